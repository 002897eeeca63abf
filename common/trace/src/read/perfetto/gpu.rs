//! Work on a GPU, in events of its own (`protos/perfetto/trace/gpu/gpu_render_stage_event.proto`): the newer of PyTorch's
//! two forms has kernels and copies nowhere else.

use super::super::emit::plain;
use super::super::error::ReadStop;
use super::super::wire::each_field;
use super::messages::{GpuCounterEvent, GpuRenderStageEvent};
use super::sequences::text_of;
use super::{PerfettoReader, number_in};
use crate::model::{Category, Defect, Event, EventId};

/// Devices are processes of their own, with numbers that no process has.
const FIRST_DEVICE_PROCESS: i64 = 1 << 41;

/// A stage that is not drawing (`InternedGpuRenderStageSpecification.RenderStageCategory`).
const COMPUTE: i32 = 2;

impl PerfettoReader<'_> {
    pub(super) fn read_gpu_stage(
        &mut self,
        stage: &GpuRenderStageEvent,
        bytes: &[u8],
        sequence: Option<u32>,
        start: i64,
        at: u64,
    ) -> Result<(), ReadStop> {
        let gpu = i64::from(stage.gpu.unwrap_or(0));
        let pid = FIRST_DEVICE_PROCESS + gpu;
        let tid = stage.queue_id.unwrap_or(0) as i64;
        self.name_device(sequence, stage.queue_id, gpu, pid, tid)?;
        let sequence = self.sequences.get(sequence);
        let (kind, class) = stage
            .stage_id
            .and_then(|id| sequence.specifications.get(&id))
            .map_or((&b""[..], 0), |(name, class)| (name.as_slice(), *class));
        let names = [
            text_of(&sequence.names, stage.name_id),
            stage.name.as_deref().unwrap_or_default(),
            text_of(&sequence.kernels, stage.kernel_id),
            kind,
        ];
        let name = names.into_iter().find(|name| !name.is_empty()).unwrap_or_default();
        let cat = category_of_stage(kind, class);
        let mut event = Event {
            phase: b'X',
            cat: cat.into(),
            name: plain(name),
            pid: EventId::Number(pid),
            tid: EventId::Number(tid),
            start: Some(start),
            dur: Some(i64::try_from(stage.dur.unwrap_or(0)).unwrap_or(i64::MAX)),
            device: Some(gpu),
            ..Event::default()
        };
        // The shape of a launch and its arguments, the stages that it waits for.
        let is_unread = |number: u64| matches!(number, 18 | 21..);
        let unread = each_field(bytes).filter(|(field, _)| is_unread(field.number)).count();
        self.emit.count_several(Defect::UnreadArgument, unread as u64, at)?;
        self.emit.args.some_text("stage", kind);
        self.emit.args.some_integer("event_id", stage.id.and_then(|id| i64::try_from(id).ok()));
        for extra in &stage.extra {
            let (Some(key), Some(value)) = (&extra.name, &extra.value) else { continue };
            let number = number_in(value);
            match (key.as_slice(), number) {
                (b"device id" | b"device", Some(n)) => event.device = Some(n),
                (b"stream id" | b"stream", Some(n)) => event.stream = Some(n),
                (b"correlation" | b"correlation_id", Some(n)) => event.correlation = Some(n),
                (b"External id", Some(n)) => event.external = Some(n).filter(|id| *id != 0),
                _ => {}
            }
            match number {
                Some(n) => self.emit.args.json(key, &n.to_string()),
                None => self.emit.args.text(key, value),
            };
        }
        // Where the writer gives no number of its own, the event's links it to what submitted it.
        event.correlation = event.correlation.or(stage.id.and_then(|id| i64::try_from(id).ok()));
        self.emit.send(event)
    }

    fn name_device(
        &mut self,
        sequence: Option<u32>,
        queue: Option<u64>,
        gpu: i64,
        pid: i64,
        tid: i64,
    ) -> Result<(), ReadStop> {
        if self.counters.insert((gpu as i32, u32::MAX), Vec::new()).is_none() {
            self.emit.name_process(pid, format!("GPU {gpu}").as_bytes())?;
        }
        // A lane is named when it is first met: the counters' table remembers that as well.
        let lane = (gpu as i32, 0x8000_0000 | (tid as u32 & 0x7fff_fff0));
        let name = queue
            .and_then(|id| self.sequences.get(sequence).specifications.get(&id))
            .map(|(name, _)| name.clone());
        if let Some(name) = name.filter(|n| !n.is_empty() && self.counters.get(&lane) != Some(n)) {
            self.emit.name_thread(pid, tid, &name)?;
            self.counters.insert(lane, name);
        }
        Ok(())
    }

    pub(super) fn read_gpu_counters(&mut self, event: &GpuCounterEvent, at: i64) -> Result<(), ReadStop> {
        const MOST: usize = 1 << 16;
        let gpu = event.gpu.unwrap_or(0);
        for spec in event.descriptor.iter().flat_map(|d| &d.specs) {
            if self.counters.len() < MOST {
                let name = spec.name.clone().unwrap_or_default();
                self.counters.insert((gpu, spec.id.unwrap_or(0) & 0x7fff_ffff), name);
            }
        }
        for counter in &event.counters {
            let id = counter.id.unwrap_or(0);
            let unnamed = format!("counter {id}").into_bytes();
            let name = self.counters.get(&(gpu, id & 0x7fff_ffff)).unwrap_or(&unnamed);
            match (counter.integer, counter.double) {
                (Some(n), _) => self.emit.args.integer("value", n),
                (None, x) => self.emit.args.real(b"value", x.unwrap_or(0.0)),
            };
            self.emit.send(Event {
                phase: b'C',
                category: Category::Counter,
                name: plain(name),
                pid: EventId::Number(FIRST_DEVICE_PROCESS + i64::from(gpu)),
                device: Some(i64::from(gpu)),
                start: Some(at),
                ..Event::default()
            })?;
        }
        Ok(())
    }
}

/// The category of a stage, as libkineto spells it.
fn category_of_stage(kind: &[u8], class: i32) -> &'static str {
    match kind {
        b"Kernel" => "kernel",
        b"Memcpy" => "gpu_memcpy",
        b"Memset" => "gpu_memset",
        b"Annotation" => "gpu_user_annotation",
        b"EventRecord" | b"HostNode" => "cuda_event",
        _ if class == COMPUTE => "kernel",
        _ => "gpu_render_stage",
    }
}
