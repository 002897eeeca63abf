//! Standard input of `proftap run`: JSON lines of status and metrics, converted to messages for the daemon.
//!
//! A line is a `proftap.status` or `proftap.metric` record, or a metric in its wire form:
//! `{"kind":…,"deviceId":…,"duration":…,"timestamp":…}`. An invalid line is reported; the lines after it are read.

use std::io;
use std::os::fd::AsFd;

use common::ipc::message::{Message, Status as WireStatus};
use common::record::proftap::{Function, Metric, Status};
use common::record::{self, Record};
use serde::Deserialize;
use serde_json::{Value, json};
use thiserror::Error;

use crate::fabric::ProcessIdentity;
use crate::metric_kind::MetricKind;

/// Maximum length of a line, in bytes.
const MAX_LINE_BYTES: usize = 16 * 1024;

/// Why a line cannot be sent.
#[derive(Debug, PartialEq, Eq, Error)]
pub(crate) enum InputLineError {
    #[error("line is longer than {MAX_LINE_BYTES} bytes")]
    TooLong,
    #[error("not a JSON object: {0}")]
    NotJson(String),
    #[error("neither a `proftap.status` or `proftap.metric` record nor a metric with `kind`")]
    OtherType,
    #[error("unknown metric kind `{0}`")]
    UnknownKind(String),
    #[error("{0}")]
    BadField(String),
}

/// Splits the input into lines, and parses them. The descriptor must be readable according to poll(2).
#[derive(Debug, Default)]
pub(crate) struct InputReader {
    partial: Vec<u8>,
    /// Number of complete lines so far.
    line: u64,
    /// The rest of a line that is too long is being skipped.
    skipping: bool,
    ended: bool,
}

/// The number of a line, from 1, and its message.
pub(crate) type ParsedLine = (u64, Result<Message, InputLineError>);

impl InputReader {
    /// Whether the input has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Stops reading.
    pub(crate) fn stop_reading(&mut self) {
        self.ended = true;
    }

    /// Reads once, and returns the lines that are complete now.
    ///
    /// # Errors
    /// The descriptor cannot be read.
    pub(crate) fn read_lines(
        &mut self,
        from: impl AsFd,
        identity: &ProcessIdentity,
    ) -> io::Result<Vec<ParsedLine>> {
        let mut chunk = [0; 8192];
        let n = match rustix::io::read(from, &mut chunk) {
            Ok(n) => n,
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => return Ok(Vec::new()),
            Err(e) => return Err(e.into()),
        };
        if n == 0 {
            self.ended = true;
            // The last line is valid without a newline.
            return Ok(self.finish_line(identity).into_iter().collect());
        }
        Ok(self.add_bytes(&chunk[..n], identity))
    }

    fn add_bytes(&mut self, bytes: &[u8], identity: &ProcessIdentity) -> Vec<ParsedLine> {
        let mut parsed = Vec::new();
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            let end = piece.ends_with(b"\n");
            if !self.skipping {
                self.partial.extend_from_slice(piece);
            }
            if self.partial.len() > MAX_LINE_BYTES + 1 {
                self.partial.clear();
                self.skipping = true;
                parsed.push((self.line + 1, Err(InputLineError::TooLong)));
            }
            if end && self.skipping {
                self.skipping = false;
                self.line += 1;
            } else if end {
                parsed.extend(self.finish_line(identity));
            }
        }
        parsed
    }

    /// Parses the collected line, unless it is blank.
    fn finish_line(&mut self, identity: &ProcessIdentity) -> Option<ParsedLine> {
        let line = std::mem::take(&mut self.partial);
        let line = line.trim_ascii();
        self.line += 1;
        (!line.is_empty()).then(|| (self.line, parse_message(line, identity)))
    }
}

/// Parses a line, and builds the message for the daemon.
fn parse_message(line: &[u8], identity: &ProcessIdentity) -> Result<Message, InputLineError> {
    let text = std::str::from_utf8(line).map_err(|_| InputLineError::NotJson("not UTF-8".to_owned()))?;
    let value: Value = serde_json::from_str(text).map_err(|e| InputLineError::NotJson(e.to_string()))?;
    let object = value.as_object().ok_or_else(|| InputLineError::NotJson("another JSON value".to_owned()))?;
    match object.get("type").and_then(Value::as_str) {
        Some(Status::TYPE) => parse_record::<Status>(text).map(|s| encode_status(&s, identity)),
        Some(Metric::TYPE) => parse_record::<Metric>(text).and_then(encode_metric),
        None if object.contains_key("kind") => {
            let wire = WireMetric::deserialize(value).map_err(|e| InputLineError::BadField(e.to_string()))?;
            encode_metric(wire.into())
        }
        _ => Err(InputLineError::OtherType),
    }
}

fn parse_record<R: Record>(text: &str) -> Result<R, InputLineError> {
    record::read(text).map_err(|e| InputLineError::BadField(e.to_string()))?.ok_or(InputLineError::OtherType)
}

fn encode_status(status: &Status, identity: &ProcessIdentity) -> Message {
    let wire = WireStatus {
        state: status.state.into(),
        current_step: status.current_step,
        start_step: status.start_step,
        stop_step: status.stop_step,
        pid: identity.pid(),
        job_id: identity.job_id,
    };
    match status.function {
        Function::Nputrace => Message::TraceStatus(wire),
        Function::Npumonitor => Message::MonitorStatus(wire),
    }
}

/// Encodes a metric in its wire form.
///
/// # Errors
/// The kind is unknown.
pub(crate) fn encode_metric(metric: Metric) -> Result<Message, InputLineError> {
    let Some(kind) = MetricKind::parse(&metric.kind) else {
        return Err(InputLineError::UnknownKind(metric.kind));
    };
    let mut value = json!({
        "kind": kind.name(),
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

/// A metric in its wire form, as msMonitor's process side (b942bf5) sends it.
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

    fn identity() -> ProcessIdentity {
        ProcessIdentity { job_id: 7, device: 0, pids: vec![42] }
    }

    fn one(line: &str) -> Result<Message, InputLineError> {
        parse_message(line.as_bytes(), &identity())
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
    fn invalid_lines_are_reported_with_the_reason() {
        assert!(matches!(one("nonsense"), Err(InputLineError::NotJson(_))));
        assert!(matches!(one("[1]"), Err(InputLineError::NotJson(_))));
        assert_eq!(one(r#"{"type":"other.thing","v":1}"#), Err(InputLineError::OtherType));
        assert_eq!(one(r#"{"type":"proftap.status","v":9}"#), Err(InputLineError::OtherType));
        assert!(matches!(one(r#"{"kind":"Kernel","deviceId":0}"#), Err(InputLineError::BadField(_))));
        let odd = r#"{"kind":"Odd","deviceId":0,"duration":1,"timestamp":1}"#;
        assert_eq!(one(odd), Err(InputLineError::UnknownKind("Odd".into())));
        let negative = r#"{"kind":"Kernel","deviceId":0,"duration":-1,"timestamp":1}"#;
        assert!(matches!(one(negative), Err(InputLineError::BadField(_))));
    }

    #[test]
    fn lines_are_numbered_across_blank_partial_and_long_ones() {
        let mut feed = InputReader::default();
        assert!(feed.add_bytes(b"\n{\"kind\":", &identity()).is_empty());
        let got = feed.add_bytes(b"\"Kernel\"}\n", &identity());
        assert!(matches!(&got[..], [(2, Err(InputLineError::BadField(_)))]), "{got:?}");
        let long = vec![b'x'; MAX_LINE_BYTES + 2];
        assert_eq!(feed.add_bytes(&long, &identity()), [(3, Err(InputLineError::TooLong))]);
        assert!(feed.add_bytes(&long, &identity()).is_empty());
        let got = feed.add_bytes(b"end of it\nbad\n", &identity());
        assert!(matches!(&got[..], [(4, Err(InputLineError::NotJson(_)))]), "{got:?}");
    }

    #[test]
    fn a_last_line_without_newline_counts() {
        let (reader, writer) = std::os::unix::net::UnixStream::pair().unwrap();
        rustix::io::write(&writer, Status::SAMPLE.as_bytes()).unwrap();
        drop(writer);
        let mut feed = InputReader::default();
        assert!(feed.read_lines(&reader, &identity()).unwrap().is_empty());
        assert!(matches!(&feed.read_lines(&reader, &identity()).unwrap()[..], [(1, Ok(_))]));
        assert!(feed.has_ended());
    }
}
