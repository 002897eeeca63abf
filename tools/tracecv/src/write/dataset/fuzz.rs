//! For the fuzzer: what is written comes back.

use std::fs::File;
use std::io;
use std::path::Path;

use common::record::tracecv::PartTraceRecord;
use trace::analysis::clusters::RecordedTime;
use trace::analysis::collect::CollectOptions;
use trace::classifier::ClassRules;
use trace::inputs::TraceInput;
use trace::meaning::{MeaningLookup, ResolvedSink};
use trace::model::{Event, EventSink};
use trace::pairs::PairSink;
use trace::read::{ReadOptions, TraceSource, read_trace};
use trace::spool::MemoryLimit;

use super::{COMPLETE, DatasetWriter, TraceList};
use crate::survey::{ExtentSink, SurveySink};
use crate::write::shard::Shard;

/// The fields that every event has to keep: its phase, its name and its duration.
#[derive(Default)]
struct Kept(Vec<(u8, String, Option<i64>)>);

impl EventSink for Kept {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        let name = String::from_utf8_lossy(&event.name.unescape()).into_owned();
        // Columns hold text: a phase that is none comes back as another.
        let phase = if event.phase.is_ascii() { event.phase } else { b'?' };
        self.0.push((phase, name, event.dur));
        Ok(())
    }
}

/// Writes any bytes that are a trace as a data set, and reads that.
pub(crate) fn write_and_read(bytes: &[u8]) {
    // Files are synced when they are complete: in memory that takes no time.
    let Ok(dir) = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()) else { return };
    let Ok(Some(events)) = write(bytes, dir.path(), true) else { return };
    let part = dir.path().join("run=1/table=events/part-00001-of-00001.parquet");
    let once = std::fs::read(&part).expect("a data set that is finished has its tables");
    // A second reading makes the same rows.
    let again = write(bytes, dir.path(), false).expect("what was written can be written again");
    assert_eq!(again.map(|again| again.0), Some(events.0.clone()));
    assert!(std::fs::read(&part).is_ok_and(|twice| twice == once));
    let file = File::open(&part).expect("a data set that is finished has its tables");
    let mut back = Kept::default();
    let source = TraceSource::of_file(Box::new(file), part);
    let outcome = read_trace(source, &ReadOptions::default(), &mut back).expect("this sink takes everything");
    assert!(outcome.complete, "{:?}", outcome.error);
    assert_eq!(events.0, back.0);
}

/// The events of a trace that was written, in one reading or in two; `None` if it is none.
fn write(bytes: &[u8], dir: &Path, once: bool) -> anyhow::Result<Option<Kept>> {
    let read = |sink: &mut dyn EventSink| {
        let lookup = MeaningLookup::new(&TraceInput::Stdin, ClassRules::default());
        let source = Box::new(io::Cursor::new(bytes.to_vec()));
        read_trace(source, &ReadOptions::default(), &mut ResolvedSink { lookup, sink })
    };
    let options = CollectOptions { memory: MemoryLimit { bytes: 1 << 20 }, ..CollectOptions::default() };
    let list = TraceList::of(&[TraceInput::Stdin]);
    let most_waiting = if once { usize::MAX } else { 0 };
    let writer = DatasetWriter::create(dir, "1", Shard { index: 1, count: 1 }, &list)?;
    let mut writer = writer.with_most_waiting(most_waiting);
    let mut survey = SurveySink::new(&options).with_modules(&options);
    let (mut events, mut extent) = (Kept::default(), ExtentSink::default());
    let mut pairs = PairSink::new(&mut survey);
    let mut spans = (&mut extent, &mut pairs);
    writer.begin_trace(1);
    let (mut rows, mut row_spans) = writer.sinks(None, &ClassRules::default());
    let mut both = (&mut PairSink::new(&mut row_spans), &mut rows);
    let outcome = read(&mut (&mut spans, &mut (&mut events, &mut both)))?;
    if outcome.events == 0 {
        return Ok(None);
    }
    let survey = survey.finish(outcome.meta, RecordedTime::default(), extent)?;
    if !writer.settle_rows(&survey)? {
        let (mut rows, mut spans) = writer.sinks(Some(&survey), &ClassRules::default());
        read(&mut (&mut PairSink::new(&mut spans), &mut rows))?;
    }
    let about = PartTraceRecord {
        path: Path::new("-").into(),
        status: COMPLETE.to_owned(),
        events: outcome.events,
        ..PartTraceRecord::default()
    };
    writer.end_trace(about, &survey, [].iter())?;
    writer.finish()?;
    Ok(Some(events))
}
