//! The answers to requests.

use std::path::Path;
use std::sync::Arc;

use super::HttpContext;
use super::daemon_page::{add_activities, add_daemon};
use super::device_page::add_devices;
use super::dynolog_page::add_dynolog;
use super::exposition::MetricPage;
use super::health::{list_failures, list_notes, list_obstacles};
use super::host_page::add_host;
use super::request::{HttpRequest, HttpTarget};
use crate::core::process_scope::ProcessScope;
use crate::host::read_host;

const TEXT: &str = "text/plain; charset=utf-8";
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Makes the answer to a request, head and body, for a client that may see the processes in `scope`.
pub(super) async fn make_answer(
    context: Arc<HttpContext>,
    request: HttpRequest,
    scope: ProcessScope,
) -> Vec<u8> {
    // It reads /proc, and waits for locks that others hold for a moment.
    let work = move || match request.target {
        HttpTarget::Metrics => format_answer("200 OK", METRICS, &render_metrics(&context, &scope)),
        HttpTarget::Health => answer_health("healthy", &list_failures(&context), &[]),
        HttpTarget::Readiness => answer_health("ready", &list_obstacles(&context), &list_notes(&context)),
    };
    let answer = tokio::task::spawn_blocking(work).await;
    // An error means that the runtime is shutting down.
    let mut answer = answer.unwrap_or_else(|_| format_answer("503 Service Unavailable", TEXT, "stopping\n"));
    if request.is_head {
        let head = answer.windows(4).position(|w| w == b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
        answer.truncate(head);
    }
    answer
}

/// Formats an answer, after which the connection is closed.
fn format_answer(status: &str, kind: &str, body: &str) -> Vec<u8> {
    format_answer_with(status, kind, "", body)
}

/// The same with further header fields, each ended by CR LF.
pub(super) fn format_answer_with(status: &str, kind: &str, fields: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nCache-Control: no-store\r\n\
         {fields}Connection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Formats the word if there are no reasons, else `not` and the word, and the reasons and notes one a line.
fn answer_health(word: &str, reasons: &[String], notes: &[String]) -> Vec<u8> {
    let (status, first) = if reasons.is_empty() {
        ("200 OK", word.to_owned())
    } else {
        ("503 Service Unavailable", format!("not {word}"))
    };
    let notes = notes.iter().map(|note| format!("note: {note}"));
    let lines: Vec<String> = std::iter::once(first).chain(reasons.iter().cloned()).chain(notes).collect();
    format_answer(status, TEXT, &(lines.join("\n") + "\n"))
}

fn render_metrics(context: &HttpContext, scope: &ProcessScope) -> String {
    let host = read_host(Path::new("/proc"));
    let mut page = MetricPage::default();
    add_host(&mut page, &host);
    add_daemon(&mut page, context, host.system.boot_time_s);
    let recent = context.recent.lock();
    add_activities(&mut page, &recent.series, scope);
    let report = recent.reports.get(&None).cloned();
    drop(recent);
    add_devices(&mut page, &context.devices.list_families(&context.state.host_name, context.shows_dynolog));
    if let Some(report) = report.filter(|_| context.shows_dynolog) {
        add_dynolog(&mut page, &report, &context.state.host_name);
    }
    page.into_text()
}
