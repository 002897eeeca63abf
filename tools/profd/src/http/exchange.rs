//! One request and its answer, over any connection.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::HttpContext;
use super::answer::{format_answer_with, make_answer};
use super::request::{HttpRejection, HttpRequest, HttpTarget, MAX_HEAD, parse_request};
use crate::core::process_scope::ProcessScope;

/// Maximum number of answers at a time; each is in memory until its client has taken it. Further ones wait.
const MAX_ANSWERS: usize = 16;
/// Maximum number of requests that wait for an answer; further connections are closed.
const MAX_WAITING: usize = 64;
/// How long they wait for one.
const WAIT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a client may take for its request.
pub(super) const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// How long it may take for its answer. Prometheus waits ten seconds by default.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Places for answers. Those about health are short and have places of their own, so that no reader of metrics delays them.
pub(super) struct AnswerPlaces {
    metrics: Arc<Semaphore>,
    health: Arc<Semaphore>,
    waiting: Semaphore,
}

impl AnswerPlaces {
    pub(super) fn new() -> Self {
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

/// Answers a request of a client that may see some processes, or rejects it.
pub(super) async fn answer_client<S: AsyncWrite + Unpin>(
    stream: &mut S,
    context: &Arc<HttpContext>,
    places: &AnswerPlaces,
    request: Result<(HttpRequest, ProcessScope), HttpRejection>,
) {
    let counters = &context.state.counters;
    let is_page = request.as_ref().is_ok_and(|(request, _)| request.target == HttpTarget::Metrics);
    let Some(_place) = places.wait_for_place(is_page).await else {
        return counters.http_closed_waiting.increment();
    };
    let answer = match request {
        Ok((request, scope)) => {
            counters.http_requests.increment();
            make_answer(context.clone(), request, scope).await
        }
        Err(rejection) => {
            counters.http_rejected.increment();
            let fields = rejection.header_fields();
            format_answer_with(
                rejection.status_line(),
                "text/plain; charset=utf-8",
                &fields,
                &rejection.body(),
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
pub(super) async fn read_request<S: AsyncRead + Unpin>(
    stream: &mut S,
) -> io::Result<Result<HttpRequest, HttpRejection>> {
    let (mut head, mut length) = (vec![0; MAX_HEAD], 0);
    loop {
        // A head of the maximum length is rejected below, so there is always room.
        let n = stream.read(&mut head[length..]).await?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        length += n;
        match parse_request(&head[..length]) {
            Ok(None) => {}
            Ok(Some(request)) => return Ok(Ok(request)),
            Err(rejection) => return Ok(Err(rejection)),
        }
    }
}
