//! Device time by what it belongs to: phases, modules, annotations, streams.

use std::collections::BTreeMap;
use std::io;

use trace::launch::{HostThreads, LaunchSpools, number_of_work};
use trace::model::{Category, Event, EventSink, NameTable};
use trace::program::{PartTimes, ProgramSpools};
use trace::spool::{MemoryLimit, Spool, SpoolRecord};
use trace::steps::is_host_annotation;

/// Work of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct StreamWork {
    start: i64,
    end: i64,
    correlation: i64,
    device: i64,
    stream: i64,
    communicates: bool,
}

impl SpoolRecord<6> for StreamWork {
    fn to_words(self) -> [i64; 6] {
        [self.start, self.end, self.correlation, self.device, self.stream, self.communicates.into()]
    }

    fn from_words([start, end, correlation, device, stream, communicates]: [i64; 6]) -> Self {
        Self { start, end, correlation, device, stream, communicates: communicates != 0 }
    }
}

/// A device or stream that the trace does not name.
pub(crate) const UNNAMED: i64 = i64::MIN;

/// The work of one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StreamTime {
    /// Time in which at least one piece of work ran.
    pub(crate) busy: i64,
    /// Sum of the durations.
    pub(crate) total: i64,
    pub(crate) count: u64,
}

/// Collects the device work of one trace, and the ranges that it was launched in.
pub(crate) struct ProgramSink {
    names: NameTable,
    threads: HostThreads,
    program: ProgramSpools,
    launches: LaunchSpools,
    work: Spool<StreamWork, 6>,
}

impl ProgramSink {
    /// Without any yet.
    pub(crate) fn new(memory: MemoryLimit) -> Self {
        Self {
            names: NameTable::default(),
            threads: HostThreads::default(),
            program: ProgramSpools::new(memory),
            launches: LaunchSpools::new(memory),
            work: Spool::new(memory),
        }
    }

    /// The time of each phase, module and annotation: of the durations of work.
    ///
    /// # Errors
    /// A temporary file cannot be used.
    pub(crate) fn sum_parts(mut self) -> io::Result<PartTimes> {
        let program = &mut self.program;
        self.launches.link(
            self.work,
            |w| (w.correlation, w.start),
            |work, origin| {
                let request = origin.request.map(|l| (l.thread, l.at));
                program.add_work(request, None, work.end - work.start, work.communicates)
            },
        )?;
        Ok(program.attribute(&self.names, &mut |_| {})?.times)
    }

    /// The time of each stream, by device and stream.
    ///
    /// # Errors
    /// A temporary file cannot be used.
    pub(crate) fn sum_streams(self) -> io::Result<BTreeMap<(i64, i64), StreamTime>> {
        let mut out: BTreeMap<(i64, i64), StreamTime> = BTreeMap::new();
        let mut sorted = self.work.into_sorted(|w| (w.device, w.stream, w.start))?;
        let mut until = (UNNAMED, UNNAMED, i64::MIN);
        while let Some(w) = sorted.next_record()? {
            let time = out.entry((w.device, w.stream)).or_default();
            if (until.0, until.1) != (w.device, w.stream) {
                until = (w.device, w.stream, i64::MIN);
            }
            time.busy = time.busy.saturating_add((w.end - w.start.max(until.2)).max(0));
            time.total = time.total.saturating_add(w.end - w.start);
            time.count += 1;
            until.2 = until.2.max(w.end);
        }
        Ok(out)
    }
}

impl EventSink for ProgramSink {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        if self.launches.take_arrow(event, |event| self.threads.number_of(event))? {
            return Ok(());
        }
        let Some((start, end)) = event.plausible_span() else { return Ok(()) };
        if event.category.is_on_device() {
            self.work.push(StreamWork {
                start,
                end,
                correlation: number_of_work(event),
                device: event.device.unwrap_or(UNNAMED),
                stream: event.stream.unwrap_or(UNNAMED),
                communicates: event.category == Category::Collective,
            })?;
            return Ok(());
        }
        if !is_host_annotation(event.cat.raw) {
            return Ok(());
        }
        let thread = self.threads.number_of(event);
        self.launches.take_call(event, start, |_| thread)?;
        if matches!(event.category, Category::Python | Category::Marker | Category::CpuOp) {
            let name = self.names.intern(event.name);
            self.program.take_range(event, (thread, name), self.names.name(name), (start, end))?;
        }
        Ok(())
    }
}
