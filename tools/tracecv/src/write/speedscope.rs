//! speedscope's JSON (jlfwong/speedscope `src/lib/file-format-spec.ts`): one evented profile for each thread.
//!
//! Its times are numbers of JavaScript, exact up to 2^53, so they count from the first event of the trace, in
//! nanoseconds. Slices of a thread that overlap without nesting are in a further profile.

use std::io::Write;

use serde_json::json;
use trace::model::{Event, EventSink, TraceMeta};
use trace::spool::MemoryLimit;

use super::{Buffered, TraceWriter, count_details};
use crate::losses::Losses;
use crate::timeline::sweep::SweepStep;
use crate::timeline::{TimedEvent, TimedKind, Timeline};

const SCHEMA: &str = "https://www.speedscope.app/file-format-schema.json";

/// Writes one trace.
pub(crate) struct SpeedscopeWriter<'w> {
    out: Buffered<'w>,
    timeline: Timeline,
    label: String,
    losses: Losses,
}

impl<'w> SpeedscopeWriter<'w> {
    pub(crate) fn new(to: &'w mut dyn Write, memory: MemoryLimit) -> Self {
        let (timeline, losses) = (Timeline::new(memory), Losses::default());
        Self { out: Buffered::new(to), timeline, label: String::new(), losses }
    }
}

impl EventSink for SpeedscopeWriter<'_> {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        count_details(event, &mut self.losses);
        self.timeline.take_event(event, b"")
    }
}

impl TraceWriter for SpeedscopeWriter<'_> {
    fn begin_trace(&mut self, label: &str) -> anyhow::Result<()> {
        label.clone_into(&mut self.label);
        Ok(())
    }

    fn end_trace(&mut self, meta: &TraceMeta) -> anyhow::Result<()> {
        let begin = self.timeline.begin.unwrap_or(0);
        let sorted = self.timeline.sort()?;
        self.out.bytes.extend_from_slice(format!("{{\"$schema\":\"{SCHEMA}\",\"profiles\":[").as_bytes());
        let mut profiles =
            Profiles { begin, out: &mut self.out, written: 0, track: None, further: Vec::new() };
        let (mut moments, mut flows) = (0, 0);
        let timeline = &self.timeline;
        sorted.sweep(|step| match step {
            SweepStep::Open { event, lane } => profiles.take(timeline, &event, lane, "O", event.start),
            SweepStep::Close { event, lane } => profiles.take(timeline, &event, lane, "C", event.end),
            SweepStep::Point { event, .. } => {
                *(if event.kind > TimedKind::Value { &mut flows } else { &mut moments }) += 1;
                Ok(())
            }
        })?;
        profiles.end_track(timeline)?;
        self.losses.merge(&self.timeline.losses);
        self.losses.add("moments", moments);
        self.losses.add("flows", flows);
        self.write_tail(meta, begin)
    }

    fn finish(mut self: Box<Self>) -> anyhow::Result<Losses> {
        self.out.pass_all()?;
        Ok(self.losses)
    }
}

impl SpeedscopeWriter<'_> {
    fn write_tail(&mut self, meta: &TraceMeta, begin: i64) -> anyhow::Result<()> {
        let to = &mut self.out.bytes;
        to.extend_from_slice(b"],\n\"shared\":{\"frames\":[");
        for number in 0..self.timeline.names.count_names() {
            if number > 0 {
                to.push(b',');
            }
            serde_json::to_writer(&mut *to, &json!({"name": self.timeline.names.name(number)}))?;
        }
        let epoch = meta.epoch_offset(begin).map_or_else(String::new, |base| {
            format!(", {} ns after the Unix epoch", i128::from(begin) + i128::from(base))
        });
        let name = format!("{} (0 is {begin} ns on its clock{epoch})", self.label);
        let exporter = concat!("tracecv ", env!("CARGO_PKG_VERSION"));
        to.extend_from_slice(b"]},\n\"name\":");
        serde_json::to_writer(&mut *to, &name)?;
        to.extend_from_slice(b",\"activeProfileIndex\":0,\"exporter\":");
        serde_json::to_writer(&mut *to, exporter)?;
        to.extend_from_slice(b"}\n");
        Ok(())
    }
}

/// Writes profile after profile.
struct Profiles<'a, 'w> {
    /// The moment that is 0.
    begin: i64,
    out: &'a mut Buffered<'w>,
    written: u64,
    /// The track whose profile is open, with the first and last moment of that.
    track: Option<(u32, i64, i64)>,
    /// The further lanes of the track, which get a profile each: as bytes, with the first and last timestamp.
    further: Vec<(Vec<u8>, i64, i64)>,
}

impl Profiles<'_, '_> {
    fn take(
        &mut self,
        timeline: &Timeline,
        event: &TimedEvent,
        lane: usize,
        what: &str,
        at: i64,
    ) -> anyhow::Result<()> {
        let at = at.saturating_sub(self.begin);
        if self.track.is_none_or(|(track, ..)| track != event.track) {
            self.end_track(timeline)?;
            self.begin_profile();
            self.track = Some((event.track, at, at));
        }
        let line = format!("{{\"type\":\"{what}\",\"frame\":{},\"at\":{at}}}", event.name);
        let Some(further) = lane.checked_sub(1) else {
            if let Some((_, from, to)) = &mut self.track {
                if self.out.bytes.last() != Some(&b'[') {
                    self.out.bytes.push(b',');
                }
                (*from, *to) = ((*from).min(at), (*to).max(at));
            }
            self.out.bytes.extend_from_slice(line.as_bytes());
            // What is passed on leaves its last byte, which decides whether a comma is due.
            return Ok(self.out.pass_enough_but_last()?);
        };
        if self.further.len() <= further {
            self.further.resize(further + 1, (Vec::new(), at, at));
        }
        let (bytes, from, to) = &mut self.further[further];
        if bytes.is_empty() {
            *from = at;
        } else {
            bytes.push(b',');
        }
        (*from, *to) = ((*from).min(at), (*to).max(at));
        bytes.extend_from_slice(line.as_bytes());
        Ok(())
    }

    fn begin_profile(&mut self) {
        let comma = if self.written > 0 { "," } else { "" };
        self.written += 1;
        let start = format!("{comma}\n{{\"type\":\"evented\",\"unit\":\"nanoseconds\",\"events\":[");
        self.out.bytes.extend_from_slice(start.as_bytes());
    }

    fn end_profile(&mut self, name: &str, from: i64, to: i64) -> anyhow::Result<()> {
        self.out.bytes.extend_from_slice(b"],\"name\":");
        serde_json::to_writer(&mut self.out.bytes, name)?;
        let end = format!(",\"startValue\":{from},\"endValue\":{to}}}");
        self.out.bytes.extend_from_slice(end.as_bytes());
        Ok(self.out.pass_enough_but_last()?)
    }

    fn end_track(&mut self, timeline: &Timeline) -> anyhow::Result<()> {
        let Some((number, from, to)) = self.track.take() else { return Ok(()) };
        let track = &timeline.tracks.tracks[number as usize];
        let process = timeline.tracks.processes[track.process as usize].describe();
        let name = format!("{process} {}", track.describe());
        self.end_profile(&name, from, to)?;
        for (lane, (bytes, from, to)) in (2..).zip(std::mem::take(&mut self.further)) {
            self.begin_profile();
            self.out.bytes.extend_from_slice(&bytes);
            self.end_profile(&format!("{name} (overlapping, {lane})"), from, to)?;
        }
        Ok(())
    }
}
