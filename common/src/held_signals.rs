//! Signals during an operation that must not be left half done: they are recorded and raised afterwards.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use anyhow::Context;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

/// Holds back SIGINT and SIGTERM until it is dropped.
#[derive(Debug)]
pub struct HeldSignals(&'static SignalFlags);

#[derive(Debug, Default)]
struct SignalFlags {
    /// Whether the signals have their default effect.
    idle: Arc<AtomicBool>,
    /// The signal that was received; 0 is none.
    noted: Arc<AtomicUsize>,
}

/// Handlers are installed once: taking one away does not bring the default back.
static SIGNALS: OnceLock<Option<SignalFlags>> = OnceLock::new();

fn install_handlers() -> io::Result<SignalFlags> {
    let signals = SignalFlags::default();
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_default(signal, Arc::clone(&signals.idle))?;
        flag::register_usize(signal, Arc::clone(&signals.noted), signal as usize)?;
    }
    Ok(signals)
}

impl HeldSignals {
    /// Holds the signals back from now on.
    ///
    /// # Errors
    /// The system does not allow handlers.
    pub fn new() -> anyhow::Result<Self> {
        let signals =
            SIGNALS.get_or_init(|| install_handlers().ok()).as_ref().context("signals cannot be held")?;
        signals.idle.store(false, Ordering::SeqCst);
        Ok(Self(signals))
    }

    /// Whether a signal was received.
    #[must_use]
    pub fn has_arrived(&self) -> bool {
        self.0.noted.load(Ordering::SeqCst) != 0
    }

    /// Ends the process with the signal that was received, if there was one.
    pub fn raise_noted(&self) {
        let signal = self.0.noted.load(Ordering::SeqCst) as i32;
        if signal != 0 {
            let _ = low_level::emulate_default_handler(signal);
        }
    }
}

impl Drop for HeldSignals {
    fn drop(&mut self) {
        self.0.idle.store(true, Ordering::SeqCst);
    }
}
