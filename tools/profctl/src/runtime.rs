//! The runtime of the exchanges, which no name resolution can keep from ending.

use std::sync::Arc;

/// A runtime on the calling thread.
#[derive(Clone)]
pub(crate) struct ClientRuntime(Arc<EndingRuntime>);

struct EndingRuntime(Option<tokio::runtime::Runtime>);

impl ClientRuntime {
    /// # Errors
    /// The system cannot create it.
    pub(crate) fn new() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self(Arc::new(EndingRuntime(Some(runtime)))))
    }

    /// Runs a future to its end.
    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        let runtime = self.0.0.as_ref().expect("taken when it is dropped only");
        runtime.block_on(future)
    }
}

impl Drop for EndingRuntime {
    fn drop(&mut self) {
        // A name resolution can block in the C library beyond every deadline: do not wait for its thread.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
