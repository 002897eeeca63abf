//! The Trace Event TraceFormat: an array of events, or an object with `traceEvents` and metadata around it.
//!
//! One reader for all producers: libkineto, the Ascend exporters and everybody else write the same events with
//! different categories ([`super::kineto`], [`super::ascend`]). Metadata may stand behind the events, so what
//! the trace says about itself is complete only when it has been read.

use super::error::{InputPosition, ReadError, ReadFault};
use super::event::{DialectSigns, EventDecoder, EventFields};
use super::json::JsonScanner;
use super::{ReadOutcome, kineto};
use crate::model::{Dialect, EventSink};

/// How many keys of an object that is no trace are named.
const KEYS_SHOWN: usize = 4;

/// Reading stops because of the input, or because the sink cannot go on.
pub(super) enum ReadStop {
    Read(ReadError),
    EventSink(anyhow::Error),
}

impl From<ReadError> for ReadStop {
    fn from(e: ReadError) -> Self {
        Self::Read(e)
    }
}

/// Reads a whole document; `out` holds what was found, however it ends.
pub(super) fn read_document(
    scan: JsonScanner<'_>,
    sink: &mut dyn EventSink,
    out: &mut ReadOutcome,
) -> Result<(), ReadStop> {
    let mut reader =
        ChromeReader { scan, sink, out, decoder: EventDecoder::default(), told_by_metadata: false };
    let result = reader.read_root();
    reader.finish();
    result
}

struct ChromeReader<'r, 's> {
    scan: JsonScanner<'r>,
    sink: &'s mut dyn EventSink,
    out: &'s mut ReadOutcome,
    decoder: EventDecoder,
    told_by_metadata: bool,
}

impl ChromeReader<'_, '_> {
    fn read_root(&mut self) -> Result<(), ReadStop> {
        match self.scan.peek_byte()? {
            None => return Err(not_a_trace_error("is empty").into()),
            Some(b'[') => {
                if !self.read_events(true)? {
                    return self.accept_unclosed_array();
                }
            }
            Some(b'{') => self.read_object()?,
            Some(_) => {
                return Err(not_a_trace_error("is not a trace: neither a JSON object nor an array").into());
            }
        }
        if self.out.events == 0 && self.out.without_phase > 0 {
            let n = self.out.without_phase;
            return Err(not_a_trace_error(format!(
                "is not a trace: none of its {n} objects is an event with a `ph`"
            ))
            .into());
        }
        if self.scan.peek_byte()?.is_some() {
            return Err(self.scan.syntax_error("unexpected text after the end of the trace").into());
        }
        self.out.complete = true;
        Ok(())
    }

    /// A bare array without its end. Programs that may crash are allowed to write one; profilers close theirs,
    /// so of a profile, something is missing.
    fn accept_unclosed_array(&self) -> Result<(), ReadStop> {
        match self.decide_dialect() {
            Dialect::Chrome => Ok(()),
            _ => Err(self.scan.buffer.error_here(ReadFault::Truncated("the list of events")).into()),
        }
    }

    /// The object form: `traceEvents`, with metadata before and behind.
    fn read_object(&mut self) -> Result<(), ReadStop> {
        let mut others = Vec::new();
        let mut found = false;
        let mut more = self.scan.open_bracket(b'}')?;
        while more {
            self.scan.buffer.mark();
            let key = self.scan.scan_key()?;
            let key = self.scan.text_of(key).decode().into_owned();
            self.scan.buffer.unmark();
            if key == "traceEvents" {
                found = true;
                match self.scan.expect_byte("an object")? {
                    b'[' => _ = self.read_events(false)?,
                    _ => return Err(self.scan.syntax_error("expected an array for `traceEvents`").into()),
                }
            } else {
                self.read_metadata(&key)?;
                // For an error message: more than a few are of no use, and they cost memory.
                others.extend((others.len() <= KEYS_SHOWN).then_some(key));
            }
            more = self.scan.next_element(b'}')?;
        }
        if found { Ok(()) } else { Err(no_events_error(&others).into()) }
    }

    fn read_metadata(&mut self, key: &str) -> Result<(), ReadError> {
        if !kineto::KEYS.contains(&key) {
            return self.scan.skip_value();
        }
        self.scan.buffer.mark();
        let value = self.scan.read_value()?;
        self.scan.buffer.unmark();
        self.told_by_metadata |= kineto::read_metadata(&mut self.out.meta, key, &value);
        Ok(())
    }

    /// The events between brackets. `false` if the closing bracket was never written, which a bare array is
    /// allowed to leave out: programs that may crash append events one by one.
    fn read_events(&mut self, bare: bool) -> Result<bool, ReadStop> {
        self.scan.advance();
        let mut comma = false;
        loop {
            match self.scan.peek_byte()? {
                None if bare => {
                    self.count_repair("missing_end_bracket");
                    return Ok(false);
                }
                None => {
                    return Err(self.scan.buffer.error_here(ReadFault::Truncated("`traceEvents`")).into());
                }
                Some(b']') => break,
                Some(b'{') => self.read_event()?,
                Some(_) if self.out.events + self.out.without_phase == 0 => {
                    return Err(not_a_trace_error(
                        "is not a trace: its list begins with something that is no event",
                    )
                    .into());
                }
                Some(_) => {
                    self.scan.skip_value()?;
                    self.count_repair("not_an_event");
                }
            }
            comma = self.scan.peek_byte()? == Some(b',');
            match self.scan.peek_byte()? {
                Some(b',') => self.scan.advance(),
                Some(b'{') => self.count_repair("missing_comma"),
                None | Some(b']') => {}
                Some(_) => return Err(self.scan.syntax_error("expected `,` or `]` after an event").into()),
            }
        }
        if comma {
            self.count_repair("trailing_comma");
        }
        self.scan.advance();
        Ok(true)
    }

    fn read_event(&mut self) -> Result<(), ReadStop> {
        self.scan.buffer.mark();
        let fields = EventFields::read_fields(&mut self.scan)?;
        let result = self.pass_on(&fields);
        self.scan.buffer.unmark();
        result.map_err(ReadStop::EventSink)
    }

    /// Gives the event its decoder and hands it to the sink.
    fn pass_on(&mut self, fields: &EventFields) -> anyhow::Result<()> {
        let Some(event) = self.decoder.decode_event(&self.scan, fields) else {
            self.out.without_phase += 1;
            self.count_repair("no_phase");
            return Ok(());
        };
        self.out.events += 1;
        self.sink.event(&event)?;
        while let Some(cause) = self.decoder.faults.pop() {
            self.count_repair(cause);
        }
        Ok(())
    }

    fn count_repair(&mut self, cause: &'static str) {
        self.out.repairs.count_repair(cause, || self.scan.buffer.position().line);
    }

    /// What is known only at the end, however that came.
    fn finish(&mut self) {
        self.out.meta.dialect = self.decide_dialect();
        self.out.bytes = self.scan.buffer.bytes_consumed();
    }

    /// Whose trace it is, by what was read so far.
    fn decide_dialect(&self) -> Dialect {
        match self.decoder.signs {
            DialectSigns { ascend: true, .. } => Dialect::Ascend,
            DialectSigns { kineto: true, .. } => Dialect::Kineto,
            _ if self.told_by_metadata => Dialect::Kineto,
            _ => Dialect::Chrome,
        }
    }
}

fn not_a_trace_error(what: impl Into<String>) -> ReadError {
    ReadError::new(InputPosition::default(), ReadFault::NotATrace(what.into()))
}

/// An object without events, with the first few keys that it has instead.
fn no_events_error(keys: &[String]) -> ReadError {
    let mut list = keys.iter().take(KEYS_SHOWN).map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", ");
    if keys.len() > KEYS_SHOWN {
        list.push_str(", …");
    }
    let has = if keys.is_empty() { String::new() } else { format!(" (it has {list})") };
    not_a_trace_error(format!("is not a trace: its object has no `traceEvents`{has}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Event;
    use crate::read::buffer::InputBuffer;
    use crate::read::testing::DripReader;

    /// Every event, spelled out.
    #[derive(Default)]
    struct List(Vec<String>);

    impl EventSink for List {
        fn event(&mut self, e: &Event<'_>) -> anyhow::Result<()> {
            let args = String::from_utf8_lossy(e.args);
            let name = e.name.decode();
            let (category, ids) = (e.category.name(), (e.device, e.stream, e.correlation, e.external));
            self.0.push(format!(
                "{} {category} {name} {:?} {:?} {ids:?} {args}",
                e.phase as char, e.start, e.dur
            ));
            Ok(())
        }
    }

    fn list(text: &str, step: usize) -> (Vec<String>, ReadOutcome) {
        let (mut list, mut out) = (List::default(), ReadOutcome::default());
        let buffer = InputBuffer::new(Box::new(DripReader::new(text.as_bytes(), step)));
        if let Err(ReadStop::Read(e)) = read_document(JsonScanner::new(buffer), &mut list, &mut out) {
            out.error = Some(e);
        }
        (list.0, out)
    }

    #[test]
    fn how_the_bytes_arrive_does_not_matter() {
        let text = r#" {"a": [1, {"b": "\u00e9"}], "traceEvents": [
            {"ph": "X", "cat": "Kernel", "name": "k\u00e9\"", "pid": 2, "tid": "stream 7", "ts": 1.0005, "dur": 2e0,
             "args": {"stream": 7, "correlation": 12, "external id": 0, "x": {"stream": 9}}},
            {"args": {"Task Type": "AI_CORE", "stream": "0x1f"}, "name": "n", "ts": "3.000", "ph": "i"}
        ], "baseTimeNanoseconds": 5, "distributedInfo": {"rank": 3}} "#;
        let expected = [
            r#"X kernel ké" Some(1001) Some(2000) (Some(2), Some(7), Some(12), None) {"stream": 7, "correlation": 12, "external id": 0, "x": {"stream": 9}}"#,
            r#"i marker n Some(3000) None (None, Some(31), None, None) {"Task Type": "AI_CORE", "stream": "0x1f"}"#,
        ];
        for step in 1..80 {
            let (events, out) = list(text, step);
            assert_eq!(events, expected, "{step}");
            assert!(out.complete && out.error.is_none());
            assert_eq!((out.meta.rank, out.meta.base_ns, out.bytes), (Some(3), Some(5), text.len() as u64));
            assert_eq!(out.meta.dialect, Dialect::Kineto);
        }
    }

    #[test]
    fn errors_stand_where_the_text_breaks() {
        let (events, out) = list("{\"traceEvents\":[\n{\"ph\":\"i\",\"ts\":1},\n  {\"ph\":\"i\", ts:2}]}", 5);
        let e = out.error.unwrap();
        assert_eq!((events.len(), e.place()), (1, ":3:14".to_owned()));
        assert_eq!(e.to_string(), "expected a quoted key, found `t` (byte 49)");
    }

    #[test]
    fn only_crash_safe_writers_may_leave_the_end_out() {
        let (events, out) = list("[{\"ph\":\"i\",\"ts\":1},\n", 5);
        assert_eq!((events.len(), out.error.is_none(), out.complete), (1, true, false));
        let ascend = r#"[{"name":"process_name","pid":9,"args":{"name":"Overlap Analysis"},"ph":"M"},"#;
        let (_, out) = list(ascend, 5);
        assert_eq!(
            out.error.unwrap().to_string(),
            format!("the file ends inside the list of events (byte {})", ascend.len())
        );
    }

    #[test]
    fn rows_of_an_ascend_file_are_told_by_their_process_even_if_named_late() {
        let text = r#"[{"name":"Computing","pid":9,"tid":0,"ts":"1.000","dur":1,"ph":"X"},
            {"name":"process_name","pid":9,"args":{"name":"Overlap Analysis"},"ph":"M"},
            {"name":"Free","pid":9,"tid":3,"ts":"2.000","dur":1,"ph":"X"}]"#;
        let (events, out) = list(text, 7);
        let categories: Vec<_> = events.iter().map(|e| e.split(' ').nth(1).unwrap()).collect();
        assert_eq!(categories, ["other", "other", "marker"]);
        assert_eq!(out.repairs.counts().get("process_named_late"), Some(&1));
        assert_eq!(out.meta.dialect, Dialect::Ascend);
    }
}
