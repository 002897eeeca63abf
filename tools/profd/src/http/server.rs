//! HTTP connections: one request each, within a deadline, and not many at a time.
//!
//! Clients are programs of this host. One that sends nothing holds a connection until its deadline, or until so many wait
//! that the oldest of them is closed for a new one. A connection whose request has come is not closed for others.

use std::collections::VecDeque;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::HttpContext;
use super::answer::{format_answer, make_answer};
use super::request::{HttpRefusal, HttpRequest, HttpTarget, MAX_HEAD, parse_request};
use crate::shutdown::DaemonPhase;

/// Maximum number of connections whose request has not come.
const MAX_PENDING: usize = 128;
/// Maximum number of answers at a time; each is in memory until its client has taken it. Further ones wait.
const MAX_ANSWERS: usize = 16;
/// Maximum number of requests that wait for an answer; further connections are closed.
const MAX_WAITING: usize = 64;
/// How long they wait for one.
const WAIT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a client may take for its request.
const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// How long it may take for its answer. Prometheus waits ten seconds by default.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
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

/// Places for answers. Those about health are short and have places of their own, so that no reader of metrics delays them.
struct AnswerPlaces {
    metrics: Arc<Semaphore>,
    health: Arc<Semaphore>,
    waiting: Semaphore,
}

impl AnswerPlaces {
    fn new() -> Self {
        Self {
            metrics: Arc::new(Semaphore::new(MAX_ANSWERS)),
            health: Arc::new(Semaphore::new(MAX_ANSWERS)),
            waiting: Semaphore::new(MAX_WAITING),
        }
    }

    /// Waits for a place; `None` if too many wait, or for too long.
    async fn wait_for_place(&self, is_page: bool) -> Option<OwnedSemaphorePermit> {
        let _waiting = self.waiting.try_acquire().ok()?;
        let places = if is_page { &self.metrics } else { &self.health };
        timeout(WAIT_TIMEOUT, places.clone().acquire_owned()).await.ok()?.ok()
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
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(e) => {
                context.state.log.limited("http accept", "http", format_args!("cannot accept: {e}"));
                sleep(ERROR_PAUSE).await;
                continue;
            }
        };
        pending.retain(|connection| !connection.is_past.load(Ordering::Relaxed));
        if pending.len() >= MAX_PENDING {
            if let Some(oldest) = pending.pop_front() {
                context.state.counters.http_closed_pending.increment();
                oldest.task.abort();
            }
        }
        let past = PastOnDrop(Arc::default());
        let is_past = past.0.clone();
        let task = tokio::spawn(serve_connection(stream, context.clone(), places.clone(), past));
        pending.push_back(PendingConnection { task: task.abort_handle(), is_past });
    }
}

async fn serve_connection(
    mut stream: TcpStream,
    context: Arc<HttpContext>,
    places: Arc<AnswerPlaces>,
    past: PastOnDrop,
) {
    let counters = &context.state.counters;
    let request = match timeout(READ_TIMEOUT, read_request(&mut stream)).await {
        Ok(Ok(request)) => request,
        // It has closed the connection, or is too slow.
        Ok(Err(_)) | Err(_) => return counters.http_timeout.increment(),
    };
    drop(past);
    let is_page = request.as_ref().is_ok_and(|request| request.target == HttpTarget::Metrics);
    let Some(_place) = places.wait_for_place(is_page).await else {
        return counters.http_closed_waiting.increment();
    };
    let answer = match request {
        Ok(request) => {
            counters.http_requests.increment();
            make_answer(context.clone(), request).await
        }
        Err(refusal) => {
            counters.http_refused.increment();
            format_answer(
                refusal.status_line(),
                "text/plain; charset=utf-8",
                &format!("{}\n", refusal.status_line()),
            )
        }
    };
    let written = timeout(WRITE_TIMEOUT, async {
        stream.write_all(&answer).await?;
        stream.shutdown().await
    });
    if written.await.is_err() {
        counters.http_timeout.increment();
    }
}

/// Reads the head of a request; its body, if there is one, is not read.
async fn read_request(stream: &mut TcpStream) -> io::Result<Result<HttpRequest, HttpRefusal>> {
    let (mut head, mut length) = (vec![0; MAX_HEAD], 0);
    loop {
        // A head of the maximum length is refused below, so there is always room.
        let n = stream.read(&mut head[length..]).await?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        length += n;
        match parse_request(&head[..length]) {
            Ok(None) => {}
            Ok(Some(request)) => return Ok(Ok(request)),
            Err(refusal) => return Ok(Err(refusal)),
        }
    }
}
