//! HTTP connections: one request each, within a deadline, and not many at a time.
//!
//! In plain text, clients are programs of this host. One that sends nothing holds a connection until its deadline, or until too many wait
//! and it is the oldest of them: then it is closed for a new one. A connection whose request has come is not closed for
//! others. With TLS, clients are limited by their address, as those of the RPC server are.

use std::collections::VecDeque;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::HttpContext;
use super::exchange::{AnswerPlaces, READ_TIMEOUT, answer_client, read_request};
use super::tls::serve_tls;
use crate::core::process_scope::ProcessScope;
use crate::shutdown::DaemonPhase;

/// Maximum number of connections whose request has not come.
const MAX_PENDING: usize = 128;
/// How long nothing is accepted after an error of accept(2).
const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// A connection whose request may not have come.
struct PendingConnection {
    task: AbortHandle,
    /// Whether its request has come, or it has ended.
    is_past: Arc<AtomicBool>,
}

/// Sets its flag when it is dropped.
struct PastOnDrop(Arc<AtomicBool>);

impl Drop for PastOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Accepts connections until the daemon has answered its last request.
pub(crate) async fn run_http(listener: TcpListener, context: HttpContext) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(e) => return context.state.log.error("http", format_args!("cannot listen: {e}")),
    };
    let context = Arc::new(context);
    let places = Arc::new(AnswerPlaces::new());
    let mut pending: VecDeque<PendingConnection> = VecDeque::new();
    let mut shutdown = context.shutdown.clone();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.reached(DaemonPhase::Answered) => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(e) => {
                context.state.log.limited("http accept", "http", format_args!("cannot accept: {e}"));
                sleep(ERROR_PAUSE).await;
                continue;
            }
        };
        if context.tls.is_some() {
            serve_tls(context.clone(), places.clone(), stream, address);
            continue;
        }
        pending.retain(|connection| !connection.is_past.load(Ordering::Relaxed));
        if pending.len() >= MAX_PENDING {
            if let Some(oldest) = pending.pop_front() {
                context.state.counters.http_closed_pending.increment();
                oldest.task.abort();
            }
        }
        let past = PastOnDrop(Arc::default());
        let is_past = past.0.clone();
        let (context, places) = (context.clone(), places.clone());
        let task = tokio::spawn(serve_plain(stream, context, places, past));
        pending.push_back(PendingConnection { task: task.abort_handle(), is_past });
    }
}

async fn serve_plain(
    mut stream: TcpStream,
    context: Arc<HttpContext>,
    places: Arc<AnswerPlaces>,
    past: PastOnDrop,
) {
    let request = match timeout(READ_TIMEOUT, read_request(&mut stream)).await {
        Ok(Ok(request)) => request,
        // It has closed the connection, or is too slow.
        Ok(Err(_)) | Err(_) => return context.state.counters.http_timeout.increment(),
    };
    drop(past);
    answer_client(&mut stream, &context, &places, request.map(|request| (request, ProcessScope::default())))
        .await;
}
