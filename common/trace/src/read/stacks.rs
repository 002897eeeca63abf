//! Profiles of stacks: speedscope's JSON (jlfwong/speedscope `src/lib/file-format-spec.ts`) and folded stacks
//! (brendangregg/FlameGraph `stackcollapse*.pl`). Frames become begins and ends; a run of samples that share a frame is one.

use serde::Deserialize;

use super::emit::{Emitter, plain};
use super::error::{ReadError, ReadFault, ReadStop};
use super::rocprof::{WindowReader, json_fault};
use super::window::{InputWindow, TEXT_LIMIT};
use super::{ReadOptions, ReadOutcome};
use crate::model::{Defect, Dialect, Event, EventId, EventSink};

/// The largest speedscope file, which is kept in memory: its names may stand behind all else. In bytes.
const LONGEST_FILE: u64 = 1 << 30;

/// The process of all stacks.
const PROCESS: i64 = 1;

/// The deepest stack.
const DEEPEST: usize = 4096;

/// Recognizes speedscope by the address of its schema.
pub(super) fn recognize_speedscope(head: &[u8]) -> bool {
    let word = |word: &[u8]| memchr::memmem::find(head, word).is_some();
    head.trim_ascii_start().starts_with(b"{")
        && (word(b"www.speedscope.app/file-format-schema.json")
            || (word(b"\"evented\"") || word(b"\"sampled\"")) && word(b"\"profiles\""))
        && !word(b"\"traceEvents\"")
}

#[derive(Deserialize)]
struct Document {
    profiles: Vec<Profile>,
    shared: Shared,
    #[serde(default)]
    exporter: Option<String>,
}

#[derive(Deserialize)]
struct Shared {
    frames: Vec<Frame>,
}

#[derive(Deserialize)]
struct Frame {
    name: String,
    #[serde(default)]
    file: Option<String>,
    #[serde(default)]
    line: Option<i64>,
    #[serde(default)]
    col: Option<i64>,
}

#[derive(Deserialize)]
struct Profile {
    #[serde(default)]
    name: String,
    #[serde(default)]
    unit: String,
    #[serde(default, rename = "startValue")]
    start: f64,
    #[serde(default)]
    events: Vec<FrameEvent>,
    #[serde(default)]
    samples: Vec<Vec<usize>>,
    #[serde(default)]
    weights: Vec<f64>,
}

#[derive(Deserialize)]
struct FrameEvent {
    /// `O` opens a frame, `C` closes it.
    #[serde(rename = "type")]
    kind: String,
    frame: usize,
    at: f64,
}

/// Reads a speedscope file.
pub(super) fn read_speedscope(
    window: InputWindow,
    options: &ReadOptions,
    sink: &mut dyn EventSink,
    out: &mut ReadOutcome,
) -> Result<(), ReadStop> {
    out.meta.dialect = Dialect::Stacks;
    let mut source = WindowReader(window);
    let result: serde_json::Result<Document> =
        serde_json::from_reader(std::io::Read::take(&mut source, LONGEST_FILE));
    out.bytes = source.0.passed().bytes;
    let document = result.map_err(|e| json_fault(&mut source.0, &e))?;
    out.meta.hints.extend(document.exporter.clone());
    let mut emit = Emitter::new(sink, options, out);
    for (i, profile) in document.profiles.iter().enumerate() {
        let Some(scale) = nanos_of_unit(&profile.unit) else {
            emit.out.meta.hints.push(format!("unit {}: one counts as 1 ns", profile.unit));
            read_profile(profile, i as i64, 1.0, &document.shared.frames, &mut emit)?;
            continue;
        };
        read_profile(profile, i as i64, scale, &document.shared.frames, &mut emit)?;
    }
    out.complete = true;
    Ok(())
}

fn nanos_of_unit(unit: &str) -> Option<f64> {
    Some(match unit {
        "nanoseconds" => 1.0,
        "microseconds" => 1e3,
        "milliseconds" => 1e6,
        "seconds" => 1e9,
        _ => return None,
    })
}

fn read_profile(
    profile: &Profile,
    tid: i64,
    scale: f64,
    frames: &[Frame],
    emit: &mut Emitter<'_>,
) -> Result<(), ReadStop> {
    emit.name_thread(PROCESS, tid, profile.name.as_bytes())?;
    let nanos = |value: f64| (value * scale).round() as i64;
    for event in &profile.events {
        let opens = event.kind == "O";
        match frames.get(event.frame) {
            Some(frame) if opens || event.kind == "C" => {
                send_frame(frame, opens, tid, nanos(event.at), emit)?
            }
            _ => emit.count(Defect::UnreadableEvent, 0)?,
        }
    }
    let mut at = profile.start;
    let mut open: Vec<usize> = Vec::new();
    for (i, sample) in profile.samples.iter().enumerate() {
        if sample.len() > DEEPEST {
            emit.count(Defect::TooDeep, 0)?;
        }
        let sample = &sample[..sample.len().min(DEEPEST)];
        let shared = open.iter().zip(sample).take_while(|(a, b)| a == b).count();
        for frame in open.drain(shared..).rev().filter_map(|f| frames.get(f)) {
            send_frame(frame, false, tid, nanos(at), emit)?;
        }
        for &frame in &sample[shared..] {
            open.push(frame);
            match frames.get(frame) {
                Some(frame) => send_frame(frame, true, tid, nanos(at), emit)?,
                None => emit.count(Defect::UnreadableEvent, 0)?,
            }
        }
        match profile.weights.get(i) {
            Some(weight) => at += weight,
            None => emit.count(Defect::SampleWithoutWeight, 0)?,
        }
    }
    for _ in profile.samples.len()..profile.weights.len() {
        emit.count(Defect::WeightWithoutSample, 0)?;
    }
    for frame in open.drain(..).rev().filter_map(|f| frames.get(f)) {
        send_frame(frame, false, tid, nanos(at), emit)?;
    }
    Ok(())
}

fn send_frame(frame: &Frame, opens: bool, tid: i64, at: i64, emit: &mut Emitter<'_>) -> Result<(), ReadStop> {
    if opens {
        emit.args.some_text("file", frame.file.as_deref().unwrap_or_default().as_bytes());
        emit.args.some_integer("line", frame.line).some_integer("col", frame.col);
    }
    send_edge(frame.name.as_bytes(), opens, tid, at, emit)
}

fn send_edge(name: &[u8], opens: bool, tid: i64, at: i64, emit: &mut Emitter<'_>) -> Result<(), ReadStop> {
    emit.send(Event {
        phase: if opens { b'B' } else { b'E' },
        name: plain(name),
        pid: EventId::Number(PROCESS),
        tid: EventId::Number(tid),
        start: Some(at),
        ..Event::default()
    })
}

/// Recognizes folded stacks: lines of frames with a number behind, some frames apart by semicolons, and few other lines.
pub(super) fn recognize_folded(head: &[u8]) -> bool {
    const ENOUGH: usize = 100;
    let whole = head.len() - head.iter().rev().take_while(|b| **b != b'\n').count();
    let text = if whole > 0 { &head[..whole] } else { head };
    let (mut stacks, mut others, mut apart) = (0, 0, false);
    let lines = text.split(|b| *b == b'\n').map(<[u8]>::trim_ascii);
    for line in lines.filter(|line| !is_comment(line)).take(ENOUGH) {
        match split_stack(line) {
            Some((frames, _)) => {
                stacks += 1;
                apart |= frames.contains(&b';');
            }
            None => others += 1,
        }
    }
    apart && stacks > 2 * others
}

/// Recognizes folded stacks whose first frame is one such as `[unknown]`, which looks like a list of JSON.
pub(super) fn begins_with_bracket(head: &[u8]) -> bool {
    let first = head.trim_ascii_start().split(|b| *b == b'\n').next().unwrap_or_default().trim_ascii();
    let frame = first.split(|b| *b == b';').next().unwrap_or_default();
    let is_bracketed = frame
        .strip_prefix(b"[")
        .is_some_and(|rest| rest.first().is_some_and(u8::is_ascii_alphabetic) && rest.contains(&b']'));
    is_bracketed && split_stack(first).is_some() && recognize_folded(head)
}

/// Returns whether every stack has two numbers, as those of `difffolded.pl` have: before and after.
fn is_differential(head: &[u8]) -> bool {
    let whole = head.len() - head.iter().rev().take_while(|b| **b != b'\n').count();
    let text = if whole > 0 { &head[..whole] } else { head };
    let lines = text.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).filter(|line| !is_comment(line));
    let mut stacks = lines.filter_map(split_stack).take(1000).peekable();
    stacks.peek().is_some() && stacks.all(|(frames, _)| split_stack(frames).is_some())
}

fn is_comment(line: &[u8]) -> bool {
    line.is_empty() || line.starts_with(b"#") || line.starts_with(b"//")
}

/// The frames of a line, and how often they were met: the number behind the last space or tab.
fn split_stack(line: &[u8]) -> Option<(&[u8], i64)> {
    let at = memchr::memrchr2(b' ', b'\t', line)?;
    let count = std::str::from_utf8(&line[at + 1..]).ok()?.parse::<f64>().ok()?;
    let frames = line[..at].trim_ascii_end();
    let fits = count.is_finite() && (0.0..9e15).contains(&count) && !frames.is_empty();
    fits.then_some((frames, count.round() as i64))
}

/// Reads folded stacks. The format does not say what the numbers count: one is taken as a nanosecond.
pub(super) fn read_folded(
    mut window: InputWindow,
    options: &ReadOptions,
    sink: &mut dyn EventSink,
    out: &mut ReadOutcome,
) -> Result<(), ReadStop> {
    out.meta.dialect = Dialect::Stacks;
    out.meta.hints.push("unit unknown: one counts as 1 ns".to_owned());
    window.fill_to(64 * 1024);
    let differential = is_differential(window.rest());
    if differential {
        out.meta.hints.push("two numbers of each stack, before and after: the second counts".to_owned());
    }
    let mut emit = Emitter::new(sink, options, out);
    let result = read_stacks(&mut window, differential, &mut emit);
    out.bytes = window.passed().bytes;
    result?;
    if let Some(fault) = window.fault.take() {
        return Err(ReadError::new(window.passed().position_behind(b""), fault).into());
    }
    out.complete = true;
    Ok(())
}

fn read_stacks(window: &mut InputWindow, differential: bool, emit: &mut Emitter<'_>) -> Result<(), ReadStop> {
    let mut open: Vec<Vec<u8>> = Vec::new();
    let (mut at, mut size) = (0i64, 64 * 1024);
    loop {
        window.fill_to(size);
        let rest = window.rest();
        let end = memchr::memchr(b'\n', rest);
        if end.is_none() && !window.is_done() {
            if rest.len() >= TEXT_LIMIT {
                let at = window.passed().position_behind(b"");
                return Err(
                    ReadError::new(at, ReadFault::Damaged("a line of more than 16 MiB".into())).into()
                );
            }
            size = rest.len() * 2;
            continue;
        }
        let length = end.unwrap_or(rest.len());
        if length == 0 && end.is_none() {
            break;
        }
        let line = rest[..length].trim_ascii();
        match split_stack(line) {
            _ if is_comment(line) => {}
            Some((frames, count)) => {
                let before = if differential { split_stack(frames) } else { None };
                let frames = before.map_or(frames, |(frames, _)| frames);
                let mut rest = frames.split(|b| *b == b';');
                let frames: Vec<&[u8]> = rest.by_ref().take(DEEPEST).collect();
                if rest.next().is_some() {
                    emit.count_line(Defect::TooDeep, window.passed().lines + 1, window.passed().bytes)?;
                }
                let shared = open.iter().zip(&frames).take_while(|(a, b)| a.as_slice() == **b).count();
                for frame in open.drain(shared..).rev() {
                    send_edge(&frame, false, 0, at, emit)?;
                }
                for frame in &frames[shared..] {
                    open.push(frame.to_vec());
                    send_edge(frame, true, 0, at, emit)?;
                }
                at = at.saturating_add(count);
            }
            None => {
                emit.count_line(Defect::TextBetweenEvents, window.passed().lines + 1, window.passed().bytes)?
            }
        }
        let step = (length + 1).min(window.rest().len());
        window.consume(step);
    }
    for frame in open.drain(..).rev() {
        send_edge(&frame, false, 0, at, emit)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{DripReader, Lines};
    use super::super::{ReadOptions, ReadOutcome, read_trace};

    fn read(text: &str) -> (Vec<String>, ReadOutcome) {
        let mut lines = Lines::default();
        let source = Box::new(DripReader::new(text.as_bytes(), 11));
        let outcome = read_trace(source, &ReadOptions::default(), &mut lines).unwrap();
        (lines.0, outcome)
    }

    #[test]
    fn samples_and_events_become_the_same_spans() {
        let frames = r#""shared":{"frames":[{"name":"a","file":"f","line":3},{"name":"b"}]}"#;
        let sampled = format!(
            r#"{{"$schema":"https://www.speedscope.app/file-format-schema.json","profiles":[{{"type":"sampled","name":"p","unit":"milliseconds","startValue":1,"endValue":7,"samples":[[0,1],[0],[0]],"weights":[1,2,3]}}],{frames}}}"#
        );
        let evented = format!(
            r#"{{{frames},"profiles":[{{"type":"evented","name":"p","unit":"milliseconds","startValue":1,"endValue":7,"events":[{{"type":"O","frame":0,"at":1}},{{"type":"O","frame":1,"at":1}},{{"type":"C","frame":1,"at":2}},{{"type":"C","frame":0,"at":7}}]}}]}}"#
        );
        let expected = [
            "M other 1/0 thread_name -+- {\"name\":\"p\"}",
            "B other 1/0 a 1000000+- {\"file\":\"f\",\"line\":3}",
            "B other 1/0 b 1000000+- null",
            "E other 1/0 b 2000000+- null",
            "E other 1/0 a 7000000+- null",
        ];
        for text in [sampled, evented] {
            let (lines, outcome) = read(&text);
            assert!(outcome.complete, "{:?}", outcome.error);
            assert_eq!(lines, expected);
            assert!(read(&text[..text.len() - 9]).1.error.is_some());
        }
    }

    /// speedscope itself rejects these (`src/import/speedscope.ts` "Expected samples.length to equal weights.length").
    #[test]
    fn samples_without_weights_are_counted() {
        let count = |samples: &str, weights: &str| {
            let text = format!(
                r#"{{"profiles":[{{"type":"sampled","name":"p","unit":"nanoseconds","startValue":0,"endValue":3,"samples":{samples},"weights":{weights}}}],"shared":{{"frames":[{{"name":"a"}},{{"name":"b"}}]}}}}"#
            );
            let (lines, outcome) = read(&text);
            assert!(outcome.complete, "{:?}", outcome.error);
            let count = |counts: std::collections::BTreeMap<String, u64>| counts.into_iter().next();
            (lines.len(), count(outcome.defects.repairs()), count(outcome.defects.losses()))
        };
        assert_eq!(count("[[0],[1]]", "[1,2]"), (5, None, None));
        let without = Some(("sample_without_weight".to_owned(), 2));
        assert_eq!(count("[[0],[1],[0]]", "[1]"), (7, without, None));
        let further = Some(("weight_without_sample".to_owned(), 1));
        assert_eq!(count("[[0]]", "[1,2]"), (3, None, further));
    }

    #[test]
    fn folded_stacks_follow_one_another() {
        let (lines, outcome) = read("# comment\r\na;b 2\r\na;b 1\na;c x 4\nno number\n");
        assert!(outcome.complete && outcome.defects.repairs()["text_between_events"] == 1);
        let expected = [
            "B other 1/0 a 0+- null",
            "B other 1/0 b 0+- null",
            "E other 1/0 b 3+- null",
            "B other 1/0 c x 3+- null",
            "E other 1/0 c x 7+- null",
            "E other 1/0 a 7+- null",
        ];
        assert_eq!(lines, expected);
        // A first frame in brackets is not taken for JSON.
        let (lines, _) = read("[unknown];a 2\n[unknown];b 1\n");
        assert_eq!(lines.len(), 6, "{lines:?}");
        // `difffolded.pl` writes two numbers.
        assert_eq!(read("a;b\t2\na;c x\t1\n").0, read("a;b 2\na;c x 1\n").0);
        let (lines, outcome) = read("a;b 2 3\na;c x1 0 4\n");
        assert!(outcome.meta.hints.iter().any(|hint| hint.contains("the second counts")));
        assert_eq!((&*lines[3], &*lines[5]), ("B other 1/0 c x1 3+- null", "E other 1/0 a 7+- null"));
        assert!(read("2026-01-01 started 5\n2026-01-01 ended 6\n").1.error.is_some());
        let deep = format!("a;b 1\n{} 2\n", ["f"; 5000].join(";"));
        let (lines, outcome) = read(&deep);
        assert_eq!((lines.len(), outcome.defects.losses()["nested_too_deeply"]), (4 + 2 * 4096, 1));
    }
}
