//! Any number of threads reads what one thread reads.

use proptest::prelude::*;

use crate::model::{Event, EventSink, EventWorker, PreparedEvents};
use crate::read::testing::DripReader;
use crate::read::{ReadOptions, read_trace};

/// Names and start times in order.
#[derive(Default)]
struct Names(Vec<(u64, String, Option<i64>)>);

impl EventSink for Names {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        self.0.push((event.index, event.name.decode().into_owned(), event.start));
        Ok(())
    }
}

/// Everything that a reading says.
fn read(text: &[u8], threads: usize) -> (Names, String) {
    read_in_blocks(text, threads, None)
}

fn read_in_blocks(text: &[u8], threads: usize, block: Option<usize>) -> (Names, String) {
    let mut names = Names::default();
    let options = ReadOptions { threads: Some(threads), block, ..ReadOptions::default() };
    let out = read_trace(Box::new(DripReader::new(text, 300_000)), &options, &mut names).unwrap();
    let error = out.error.as_ref().map(|e| (e.place(), e.to_string()));
    (
        names,
        format!(
            "{} {} {} {error:?} {:?} {:?}",
            out.events, out.bytes, out.complete, out.meta.rank, out.defects
        ),
    )
}

/// A trace of some megabytes; what looks like the begin of an event stands in strings and arguments, too.
fn trace() -> String {
    let event = |i: usize| {
        let inner = if i % 7 == 0 { r#"[{"ph":"X","name":"no"},{"name":"x, {\"ph\":\"X\"}"}]"# } else { "1" };
        format!(r#"{{"ph":"X","name":"e{i} }},{{\"ph\":","ts":{i}.5,"dur":1,"args":{{"a":{inner}}}}}"#)
    };
    let events: Vec<String> = (0..60_000).map(event).collect();
    format!("{{\"traceEvents\":[\n{}\n],\"distributedInfo\":{{\"rank\":3}}}}", events.join(",\n"))
}

#[test]
fn threads_do_not_change_what_is_read() {
    let intact = trace();
    let middle = intact.len() / 2;
    let mut damaged = intact.clone().into_bytes();
    for at in (1000..damaged.len()).step_by(200_000) {
        damaged[at] = b"\"{}[],\\\0 x"[at / 200_000 % 10];
    }
    let mut erased = intact.clone().into_bytes();
    erased[middle..middle + 1_500_000].fill(0);
    let two = format!("{intact}\n{intact}");
    let long = format!("{}{}{}", &intact[..middle], "y".repeat(3_000_000), &intact[middle..]);
    let texts =
        [intact.as_bytes(), &intact.as_bytes()[..middle], &damaged, &erased, two.as_bytes(), long.as_bytes()];
    for (i, text) in texts.into_iter().enumerate() {
        let (names, said) = read(text, 1);
        assert!(names.0.len() > 20_000, "{i}: {said}");
        for threads in [2, 5] {
            let (other, told) = read(text, threads);
            assert_eq!(said, told, "{i}");
            assert!(names.0 == other.0, "{i}");
        }
    }
    assert_eq!(
        read(intact.as_bytes(), 2).1,
        format!("60000 {} true None Some(3) DefectCounts({{}})", intact.len())
    );
}

/// Found by fuzzing: the first thing of the list is a text, and it is not clear in the first block what follows it.
#[test]
fn a_list_that_begins_with_text_is_read_alike() {
    let text = r#"{"displayTimeUnit":"ns","metadata":{"highres-ticks":true},"traceEvents":[":701,"tid":0,"name":"process_name","args":{"name":/host:CPU"}},{"ph":"M","pid":701,"tid":1.,"name":"thread_name","args":{"name":"pytho"#;
    for end in 100..=text.len() {
        crate::read::fuzz_agreement(&text.as_bytes()[..end]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Damage of any kind, blocks of any size.
    #[test]
    fn blocks_do_not_change_what_is_read(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..4), 0..6),
        block in 64usize..600,
        pretty in any::<bool>(),
    ) {
        let events: Vec<serde_json::Value> = (0..40)
            .map(|i| serde_json::json!({"ph": "X", "name": format!("e\\{i}}},{{\"ph\":"), "ts": i, "args": {"x": [{"ph": "i"}]}}))
            .collect();
        let root = serde_json::json!({"schemaVersion": 1, "traceEvents": events, "traceName": "t"});
        let mut text = if pretty { serde_json::to_vec_pretty(&root) } else { serde_json::to_vec(&root) }.unwrap();
        for (at, byte, how) in edits {
            let at = at.index(text.len().max(1));
            match how {
                _ if at >= text.len() => {}
                0 => text[at] = byte,
                1 => _ = text.remove(at),
                2 => text.insert(at, b"\"\\{}[],:0-.eE tf\0"[byte as usize % 17]),
                _ => text[at..].iter_mut().take(usize::from(byte)).for_each(|b| *b = 0),
            }
        }
        let (names, said) = read(&text, 1);
        let (other, told) = read_in_blocks(&text, 3, Some(block));
        prop_assert_eq!(said, told, "{}", String::from_utf8_lossy(&text));
        prop_assert!(names.0 == other.0);
    }
}

/// The names of events, a line for each.
#[derive(Default)]
struct Lines {
    text: Vec<u8>,
    prepared: u64,
    metadata: u64,
}

/// Prepares all but one.
struct LineMaker;

fn write_name(event: &Event<'_>, to: &mut Vec<u8>) {
    to.extend_from_slice(event.name.raw);
    to.push(b'\n');
}

impl EventSink for Lines {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        self.metadata += u64::from(event.phase == b'M');
        write_name(event, &mut self.text);
        Ok(())
    }

    fn make_worker(&self) -> Option<Box<dyn EventWorker>> {
        Some(Box::new(LineMaker))
    }

    fn take_prepared(&mut self, prepared: PreparedEvents) -> anyhow::Result<()> {
        self.prepared += prepared.records;
        self.text.extend_from_slice(&prepared.text);
        Ok(())
    }
}

impl EventWorker for LineMaker {
    fn prepare(&mut self, event: &Event<'_>, prepared: &mut PreparedEvents) -> bool {
        prepared.records += 1;
        write_name(event, &mut prepared.text);
        event.name.raw != b"alone"
    }
}

#[test]
fn what_workers_prepare_comes_in_the_place_of_its_events() {
    let event = |i: usize| match i {
        2000 => r#"{"ph":"M","name":"process_name"}"#.to_owned(),
        3000 => r#"{"ph":"i","ts":1,"name":"alone"}"#.to_owned(),
        _ => format!(r#"{{"ph":"i","ts":1,"name":"e{i}"}}"#),
    };
    let text = format!("[{}]", (0..5000).map(event).collect::<Vec<_>>().join(","));
    let read = |threads| {
        let mut lines = Lines::default();
        let options = ReadOptions { threads: Some(threads), block: Some(2048), ..ReadOptions::default() };
        let out = read_trace(Box::new(std::io::Cursor::new(text.clone())), &options, &mut lines).unwrap();
        (lines, out.events, out.complete)
    };
    let (one, three) = (read(1), read(3));
    assert_eq!((one.1, one.2, one.0.prepared), (5000, true, 0));
    assert_eq!((three.1, three.2, three.0.metadata), (5000, true, 1));
    assert!(one.0.text == three.0.text);
    assert!(three.0.prepared > 1000, "{}", three.0.prepared);
}

/// Takes events, and how many a worker has seen of them before.
#[derive(Default)]
struct Counts {
    events: u64,
    seen: u64,
}

#[derive(Default)]
struct Counter(u64);

impl EventSink for Counts {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        assert_eq!(event.index, self.events);
        self.events += 1;
        Ok(())
    }

    fn make_worker(&self) -> Option<Box<dyn EventWorker>> {
        Some(Box::new(Counter::default()))
    }

    fn take_prepared(&mut self, prepared: PreparedEvents) -> anyhow::Result<()> {
        assert_eq!(prepared.first_index, self.events);
        self.seen += *prepared.beside.unwrap().downcast::<u64>().unwrap();
        Ok(())
    }
}

impl EventWorker for Counter {
    fn prepare(&mut self, event: &Event<'_>, _: &mut PreparedEvents) -> bool {
        self.0 += 1;
        event.name.raw != b"alone"
    }

    fn end_batch(&mut self, prepared: &mut PreparedEvents) {
        prepared.beside = Some(Box::new(std::mem::take(&mut self.0)));
    }
}

#[test]
fn events_come_after_what_workers_prepare_beside_them() {
    let event =
        |i: usize| format!(r#"{{"ph":"i","ts":1,"name":"{}"}}"#, if i == 3000 { "alone" } else { "e" });
    let text = format!("[{}]", (0..5000).map(event).collect::<Vec<_>>().join(","));
    let mut counts = Counts::default();
    let options = ReadOptions { threads: Some(3), block: Some(2048), ..ReadOptions::default() };
    read_trace(Box::new(std::io::Cursor::new(text)), &options, &mut (&mut Names::default(), &mut counts))
        .unwrap();
    assert_eq!(counts.events, 5000);
    // Those of the first piece, and of the block of the one that stands alone, are not among them.
    assert!((4000..5000).contains(&counts.seen), "{}", counts.seen);
}
