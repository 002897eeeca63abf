//! Any bytes as a trace of any format: databases, protobuf, JSON and text of other kinds; the seeds have one of each. Read,
//! analyzed and written again; it makes no difference how the input arrives.
#![no_main]

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};

use libfuzzer_sys::fuzz_target;
use trace::model::{Event, EventSink};
use trace::read::{ReadOptions, read_trace};

fuzz_target!(|bytes: &[u8]| {
    traceq::fuzz_trace(bytes);
    let whole = read(Box::new(io::Cursor::new(bytes.to_vec())));
    let drip = DripReader { rest: io::Cursor::new(bytes.to_vec()), step: 7 };
    assert_eq!(whole, read(Box::new(drip)), "7 bytes at a time");
});

/// Gives a few bytes at a time, so that everything is cut everywhere.
struct DripReader {
    rest: io::Cursor<Vec<u8>>,
    step: usize,
}

impl Read for DripReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.step.min(buf.len());
        self.rest.read(&mut buf[..n])
    }
}

fn read(source: Box<dyn Read + Send>) -> (u64, u64, bool, Option<String>) {
    let mut seen = EventHashes(DefaultHasher::new());
    let outcome = read_trace(source, &ReadOptions::default(), &mut seen).expect("the sink does not fail");
    let error = outcome.error.map(|e| e.to_string());
    (outcome.events, seen.0.finish(), outcome.complete, error)
}

struct EventHashes(DefaultHasher);

impl EventSink for EventHashes {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        format!("{event:?}").hash(&mut self.0);
        Ok(())
    }
}
