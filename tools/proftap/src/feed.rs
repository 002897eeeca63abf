//! Standard input of `proftap run`: JSON lines of status and metrics, as messages for the daemon.
//!
//! A line is a `proftap.status` or `proftap.metric` record, or a metric in the form that goes over the wire:
//! `{"kind":…,"deviceId":…,"duration":…,"timestamp":…}`. A bad line costs itself only.

use std::io;
use std::os::fd::AsFd;

use common::ipc::message::{Message, Status as WireStatus};
use common::record::proftap::{Function, Metric, Status};
use common::record::{self, Record};
use serde::Deserialize;
use serde_json::{Value, json};
use thiserror::Error;

use crate::fabric::Identity;

/// The longest line.
const MAX_LINE: usize = 16 * 1024;
/// The kinds that a daemon knows.
const KINDS: [&str; 11] = [
    "Marker",
    "Kernel",
    "Hccl",
    "Communication",
    "Memory",
    "MemSet",
    "MemCpy",
    "API",
    "AclAPI",
    "NodeAPI",
    "RuntimeAPI",
];

/// Why a line cannot be sent.
#[derive(Debug, PartialEq, Eq, Error)]
pub(crate) enum LineError {
    #[error("is longer than {MAX_LINE} bytes")]
    TooLong,
    #[error("is not a JSON object: {0}")]
    NotJson(String),
    #[error("is not a `proftap.status`, a `proftap.metric` or a metric with `kind`")]
    OtherType,
    #[error("has an unknown kind `{0}`")]
    UnknownKind(String),
    #[error("{0}")]
    BadField(String),
}

/// Lines as they come, from a descriptor that poll(2) has found readable.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    partial: Vec<u8>,
    /// Number of the line that `partial` begins.
    line: u64,
    /// Within a line that was too long.
    skipping: bool,
    ended: bool,
}

/// A line's number, from 1, and what it came to.
pub(crate) type Parsed = (u64, Result<Message, LineError>);

impl Feed {
    /// Whether the input has ended.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// Takes no more input.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    /// Reads once and returns the lines that are complete now.
    ///
    /// # Errors
    /// What the descriptor says.
    pub(crate) fn read(&mut self, from: impl AsFd, who: &Identity) -> io::Result<Vec<Parsed>> {
        let mut chunk = [0; 8192];
        let n = match rustix::io::read(from, &mut chunk) {
            Ok(n) => n,
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => return Ok(Vec::new()),
            Err(e) => return Err(e.into()),
        };
        if n == 0 {
            self.ended = true;
            // A last line without its newline is a line.
            return Ok(self.complete(who).into_iter().collect());
        }
        Ok(self.push(&chunk[..n], who))
    }

    fn push(&mut self, bytes: &[u8], who: &Identity) -> Vec<Parsed> {
        let mut parsed = Vec::new();
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            let end = piece.ends_with(b"\n");
            if !self.skipping {
                self.partial.extend_from_slice(piece);
            }
            if self.partial.len() > MAX_LINE + 1 {
                self.partial.clear();
                self.skipping = true;
                parsed.push((self.line + 1, Err(LineError::TooLong)));
            }
            if end && self.skipping {
                self.skipping = false;
                self.line += 1;
            } else if end {
                parsed.extend(self.complete(who));
            }
        }
        parsed
    }

    /// Takes the line that has been collected; a blank one is nothing.
    fn complete(&mut self, who: &Identity) -> Option<Parsed> {
        let line = std::mem::take(&mut self.partial);
        let line = line.trim_ascii();
        self.line += 1;
        (!line.is_empty()).then(|| (self.line, message(line, who)))
    }
}

/// The message that a line stands for.
fn message(line: &[u8], who: &Identity) -> Result<Message, LineError> {
    let text = std::str::from_utf8(line).map_err(|_| LineError::NotJson("not UTF-8".to_owned()))?;
    let value: Value = serde_json::from_str(text).map_err(|e| LineError::NotJson(e.to_string()))?;
    let object = value.as_object().ok_or_else(|| LineError::NotJson("another JSON value".to_owned()))?;
    match object.get("type").and_then(Value::as_str) {
        Some(Status::TYPE) => read::<Status>(text).map(|s| status(&s, who)),
        Some(Metric::TYPE) => read::<Metric>(text).and_then(metric),
        None if object.contains_key("kind") => {
            let wire = WireMetric::deserialize(value).map_err(|e| LineError::BadField(e.to_string()))?;
            metric(wire.into())
        }
        _ => Err(LineError::OtherType),
    }
}

fn read<R: Record>(text: &str) -> Result<R, LineError> {
    record::read(text).map_err(|e| LineError::BadField(e.to_string()))?.ok_or(LineError::OtherType)
}

fn status(status: &Status, who: &Identity) -> Message {
    let wire = WireStatus {
        state: status.state.into(),
        current_step: status.current_step,
        start_step: status.start_step,
        stop_step: status.stop_step,
        pid: who.pid(),
        job_id: who.job,
    };
    match status.function {
        Function::Nputrace => Message::TraceStatus(wire),
        Function::Npumonitor => Message::MonitorStatus(wire),
    }
}

/// A metric as it goes over the wire.
pub(crate) fn metric(metric: Metric) -> Result<Message, LineError> {
    if !KINDS.contains(&metric.kind.as_str()) {
        return Err(LineError::UnknownKind(metric.kind));
    }
    let mut value = json!({
        "kind": metric.kind,
        "deviceId": metric.device,
        "duration": metric.duration_ns,
        "timestamp": metric.timestamp_ns,
    });
    for (key, text) in [("domain", metric.domain), ("name", metric.name)] {
        if let Some(text) = text {
            value[key] = text.into();
        }
    }
    Ok(Message::Data(value.to_string().into_bytes()))
}

/// A metric in its wire form, as programs that know msMonitor write it.
#[derive(Deserialize)]
struct WireMetric {
    kind: String,
    #[serde(rename = "deviceId")]
    device: i64,
    duration: u64,
    timestamp: u64,
    domain: Option<String>,
    name: Option<String>,
}

impl From<WireMetric> for Metric {
    fn from(wire: WireMetric) -> Self {
        Self {
            kind: wire.kind,
            device: wire.device,
            duration_ns: wire.duration,
            timestamp_ns: wire.timestamp,
            domain: wire.domain,
            name: wire.name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::ipc::message::State;

    fn who() -> Identity {
        Identity { job: 7, device: 0, pids: vec![42] }
    }

    fn one(line: &str) -> Result<Message, LineError> {
        message(line.as_bytes(), &who())
    }

    #[test]
    fn a_status_becomes_a_message_of_this_process() {
        let Ok(Message::TraceStatus(s)) = one(Status::SAMPLE) else { panic!() };
        assert_eq!((s.state, s.pid, s.job_id), (State::Running, 42, 7));
        let short = r#"{"type":"proftap.status","v":1,"function":"npumonitor","state":"idle"}"#;
        let Ok(Message::MonitorStatus(s)) = one(short) else { panic!() };
        assert_eq!((s.current_step, s.start_step, s.stop_step), (-1, -1, -1));
    }

    #[test]
    fn both_forms_of_a_metric_are_the_same_on_the_wire() {
        let wire = r#"{"kind":"Kernel","deviceId":0,"duration":81000,"timestamp":1763892000000000000}"#;
        let Ok(Message::Data(a)) = one(Metric::SAMPLE) else { panic!() };
        assert_eq!(one(wire), Ok(Message::Data(a.clone())));
        let sent: Value = serde_json::from_slice(&a).unwrap();
        assert_eq!(sent, serde_json::from_str::<Value>(wire).unwrap());
        let host = r#"{"kind":"Marker","deviceId":-1,"duration":1,"timestamp":2,"domain":"d","name":"n"}"#;
        let Ok(Message::Data(b)) = one(host) else { panic!() };
        assert!(String::from_utf8(b).unwrap().contains(r#""deviceId":-1"#));
    }

    #[test]
    fn bad_lines_say_what_is_wrong() {
        assert!(matches!(one("nonsense"), Err(LineError::NotJson(_))));
        assert!(matches!(one("[1]"), Err(LineError::NotJson(_))));
        assert_eq!(one(r#"{"type":"other.thing","v":1}"#), Err(LineError::OtherType));
        assert_eq!(one(r#"{"type":"proftap.status","v":9}"#), Err(LineError::OtherType));
        assert!(matches!(one(r#"{"kind":"Kernel","deviceId":0}"#), Err(LineError::BadField(_))));
        let odd = r#"{"kind":"Odd","deviceId":0,"duration":1,"timestamp":1}"#;
        assert_eq!(one(odd), Err(LineError::UnknownKind("Odd".into())));
        let negative = r#"{"kind":"Kernel","deviceId":0,"duration":-1,"timestamp":1}"#;
        assert!(matches!(one(negative), Err(LineError::BadField(_))));
    }

    #[test]
    fn lines_are_counted_through_blanks_pieces_and_excess() {
        let mut feed = Feed::default();
        assert!(feed.push(b"\n{\"kind\":", &who()).is_empty());
        let got = feed.push(b"\"Kernel\"}\n", &who());
        assert!(matches!(&got[..], [(2, Err(LineError::BadField(_)))]), "{got:?}");
        let long = vec![b'x'; MAX_LINE + 2];
        assert_eq!(feed.push(&long, &who()), [(3, Err(LineError::TooLong))]);
        assert!(feed.push(&long, &who()).is_empty());
        let got = feed.push(b"end of it\nbad\n", &who());
        assert!(matches!(&got[..], [(4, Err(LineError::NotJson(_)))]), "{got:?}");
    }

    #[test]
    fn a_last_line_without_newline_counts() {
        let (reader, writer) = std::os::unix::net::UnixStream::pair().unwrap();
        rustix::io::write(&writer, Status::SAMPLE.as_bytes()).unwrap();
        drop(writer);
        let mut feed = Feed::default();
        assert!(feed.read(&reader, &who()).unwrap().is_empty());
        assert!(matches!(&feed.read(&reader, &who()).unwrap()[..], [(1, Ok(_))]));
        assert!(feed.ended());
    }
}
