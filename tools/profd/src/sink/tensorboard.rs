//! Metrics as TensorBoard event files, in the layout of msMonitor b942bf5 (`DynologTensorBoardLogger.cpp`):
//! `device_<id>/tfevents.pb`, tags `<kind>` and `Marker/<domain>`, the duration in ns as the value, and as the step a
//! counter for each device and kind.
//!
//! Different from there: all kinds are kept, the host is `device_host`, a file is complete at every moment, and a restart
//! goes on with the next file and step instead of overwriting.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::fsat;
use common::policy::Class;

use super::abandoned::{Repair, close_abandoned_files};
use super::event_record::{ScalarEvent, ScalarSummary, ScalarValue, append_record, read_events};
use super::metric::DecodedMetric;
use super::rotated::{FileNaming, RotatedFiles};
use super::{MetricSink, SinkAccount};
use crate::plan::metrics::RotationPlan;

/// Maximum number of devices, each with a directory and an open file.
const MAX_DEVICES: usize = 256;
/// Maximum number of kinds of one device. There are eleven.
const MAX_KINDS: usize = 64;
/// Maximum length of the domain in a tag, in characters.
const MAX_DOMAIN: usize = 128;
/// Size in bytes of an earlier run's file that is read to go on with its steps.
const MAX_EARLIER_BYTES: u64 = 1 << 28;

/// Writes event files.
pub(crate) struct TensorBoardSink {
    dir: PathBuf,
    rotation: RotationPlan,
    devices: HashMap<i64, DeviceEvents>,
    account: SinkAccount,
}

/// The event file of a device.
struct DeviceEvents {
    files: RotatedFiles,
    /// The next step by kind.
    steps: HashMap<String, i64>,
    /// Records that were not written yet, and where each ends.
    records: Vec<u8>,
    ends: Vec<usize>,
}

impl TensorBoardSink {
    pub(super) fn new(dir: PathBuf, rotation: RotationPlan, account: SinkAccount) -> Self {
        Self { dir, rotation, devices: HashMap::new(), account }
    }

    /// Gathers a metric, or counts it as lost.
    fn gather(&mut self, metric: &DecodedMetric) {
        let device = metric.record.device_id;
        if !self.devices.contains_key(&device) {
            if self.devices.len() >= MAX_DEVICES {
                let reason = format!("metrics of more than {MAX_DEVICES} devices");
                return self.account.count_lost(1, self.dir.display(), reason);
            }
            let dir = self.dir.join(device_dir(device));
            match open_device(&dir, self.rotation, &self.account) {
                Ok(events) => drop(self.devices.insert(device, events)),
                Err(e) => return self.account.count_lost(1, dir.display(), e),
            }
        }
        let Some(events) = self.devices.get_mut(&device) else { return };
        if !events.gather(metric) {
            let reason = format!("metrics of more than {MAX_KINDS} kinds");
            self.account.count_lost(1, self.dir.display(), reason);
        }
    }
}

impl MetricSink for TensorBoardSink {
    fn write(&mut self, metrics: &[Arc<DecodedMetric>]) {
        for metric in metrics {
            self.gather(metric);
        }
        for events in self.devices.values_mut().filter(|events| !events.ends.is_empty()) {
            let result = events.files.append_each(&events.records, &events.ends, &[]);
            let count = events.ends.len();
            events.records.clear();
            events.ends.clear();
            let recorded = result.as_ref().map_or_else(|(written, _)| *written, |()| count);
            self.account.count_recorded(recorded);
            if let Err((written, e)) = result {
                self.account.count_lost(count - written, events.files.dir().display(), e);
            }
        }
    }

    fn tick(&mut self) {
        self.devices.values_mut().for_each(|events| events.files.close_old_file());
    }
}

impl DeviceEvents {
    /// Returns false if there are too many kinds.
    fn gather(&mut self, metric: &DecodedMetric) -> bool {
        let record = &metric.record;
        let is_full = self.steps.len() >= MAX_KINDS;
        let step = match self.steps.get_mut(&record.kind) {
            Some(next) => {
                *next += 1;
                *next - 1
            }
            None if is_full => return false,
            None => {
                self.steps.insert(record.kind.clone(), 1);
                0
            }
        };
        #[expect(clippy::cast_precision_loss, reason = "the layout has 24 bits of a duration")]
        let value = ScalarValue { tag: make_tag(metric), simple_value: Some(record.dur_ns as f32) };
        #[expect(clippy::cast_precision_loss, reason = "less than a microsecond")]
        let wall_time = metric.received_ns as f64 / 1e9;
        let event = ScalarEvent { wall_time, step, summary: Some(ScalarSummary { value: vec![value] }) };
        append_record(&mut self.records, &event);
        self.ends.push(self.records.len());
        true
    }
}

/// Returns the name of the directory of a device.
fn device_dir(device: i64) -> String {
    if device < 0 { "device_host".to_owned() } else { format!("device_{device}") }
}

fn make_tag(metric: &DecodedMetric) -> String {
    let record = &metric.record;
    if record.kind != "Marker" {
        return record.kind.clone();
    }
    // "default" is what msMonitor's process side sends for a marker without a domain (`plugin/ipc_monitor/metric`).
    let domain = record.domain.as_deref().filter(|d| !d.is_empty()).unwrap_or("default");
    let clean = domain.chars().take(MAX_DOMAIN).map(|c| if c.is_control() { '_' } else { c });
    "Marker/".chars().chain(clean).collect()
}

fn open_device(dir: &Path, rotation: RotationPlan, account: &SinkAccount) -> std::io::Result<DeviceEvents> {
    match fs::symlink_metadata(dir) {
        Ok(meta) if meta.is_dir() => {}
        Ok(_) => return Err(std::io::ErrorKind::NotADirectory.into()),
        Err(_) => fsat::create_dir(dir, Class::LogDir.max())?,
    }
    if let Err((path, e)) = close_abandoned_files(dir, &FileNaming::Events, Repair::Nothing) {
        account.warn("metric archive", path.display(), format_args!("cannot archive a metric file: {e}"));
    }
    let files = RotatedFiles::new(dir.to_owned(), FileNaming::Events, rotation, account.clone());
    Ok(DeviceEvents { files, steps: read_next_steps(dir), records: Vec::new(), ends: Vec::new() })
}

/// Reads which steps come next after those of earlier runs: from the last two files, which have every kind that is still
/// sent. TensorBoard takes a step that is not higher than its predecessor for a restart, and drops what was there before.
fn read_next_steps(dir: &Path) -> HashMap<String, i64> {
    let mut paths: Vec<PathBuf> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|e| e.file_name().to_str().is_some_and(|name| FileNaming::Events.matches(name)))
        .filter(|e| e.metadata().is_ok_and(|m| m.is_file() && m.len() <= MAX_EARLIER_BYTES))
        .map(|e| e.path())
        .collect();
    paths.sort();
    let mut steps: HashMap<String, i64> = HashMap::new();
    for path in paths.iter().rev().take(2) {
        for event in read_events(&fs::read(path).unwrap_or_default()) {
            for value in event.summary.into_iter().flat_map(|summary| summary.value) {
                let kind = value.tag.split('/').next().unwrap_or_default();
                if steps.len() < MAX_KINDS || steps.contains_key(kind) {
                    let next = steps.entry(kind.to_owned()).or_default();
                    *next = (*next).max(event.step.saturating_add(1));
                }
            }
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::{Counters, SinkKind};
    use crate::log::DaemonLog;
    use crate::sink::lines::tests::sample_metric;
    use common::out::Verbosity;
    use std::os::unix::fs::MetadataExt;

    const KINDS: &str = "Marker Kernel API AclAPI NodeAPI RuntimeAPI Hccl Communication Memory MemSet MemCpy";

    fn sink(dir: &Path) -> (TensorBoardSink, Arc<Counters>) {
        let counters: Arc<Counters> = Arc::default();
        let log = DaemonLog::start(Verbosity::Quiet, counters.clone()).unwrap();
        let account = SinkAccount::new(SinkKind::TensorBoard, counters.clone(), log);
        let rotation = RotationPlan { file_bytes: 1 << 20, ..RotationPlan::default() };
        (TensorBoardSink::new(dir.to_owned(), rotation, account), counters)
    }

    fn metric(kind: &str, device_id: i64, domain: Option<&str>) -> Arc<DecodedMetric> {
        let mut metric = DecodedMetric::clone(&sample_metric());
        metric.record.kind = kind.to_owned();
        metric.record.device_id = device_id;
        metric.record.domain = domain.map(str::to_owned);
        Arc::new(metric)
    }

    fn points(path: &Path) -> Vec<(String, i64)> {
        let values = |event: ScalarEvent| {
            event.summary.unwrap().value.into_iter().map(move |v| (v.tag, event.step)).collect::<Vec<_>>()
        };
        read_events(&fs::read(path).unwrap()).flat_map(values).collect()
    }

    #[test]
    fn fault_07_every_kind_and_the_host_have_their_place() {
        let dir = tempfile::tempdir().unwrap();
        let (mut sink, counters) = sink(dir.path());
        for kind in KINDS.split(' ') {
            sink.write(&[metric(kind, -1, None), metric(kind, 3, Some("a\nb"))]);
        }
        let host = dir.path().join("device_host/tfevents.pb");
        let tags: Vec<String> = points(&host).into_iter().map(|p| p.0).collect();
        assert_eq!(tags.join(" "), KINDS.replace("Marker", "Marker/default"));
        assert_eq!(points(&dir.path().join("device_3/tfevents.pb"))[0], ("Marker/a_b".to_owned(), 0));
        assert_eq!(fs::metadata(&host).unwrap().mode() & 0o777, 0o640);
        assert_eq!(counters.metrics_recorded.get(), 22);
        drop(sink);
        assert_eq!(fs::metadata(&host).unwrap().mode() & 0o777, 0o440);
    }

    #[test]
    fn a_restart_goes_on_with_the_next_step() {
        let dir = tempfile::tempdir().unwrap();
        for run in 0..3 {
            let (mut sink, _) = sink(dir.path());
            sink.write(&[
                metric("Kernel", 0, None),
                metric("Marker", 0, Some("x")),
                metric("Kernel", 0, None),
            ]);
            let name = ["tfevents.pb", "tfevents.pb.000002", "tfevents.pb.000003"][run];
            let first = i64::try_from(run).unwrap() * 2;
            let expected = [("Kernel", first), ("Marker/x", first / 2), ("Kernel", first + 1)];
            let expected = expected.map(|(tag, step)| (tag.to_owned(), step));
            assert_eq!(points(&dir.path().join("device_0").join(name)), expected);
        }
    }

    #[test]
    fn devices_and_kinds_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let (mut sink, counters) = sink(dir.path());
        for n in 0..300 {
            sink.write(&[metric("Kernel", n, None)]);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), MAX_DEVICES);
        assert_eq!(counters.metrics_not_written.get(), 300 - MAX_DEVICES as u64);
        for n in 0..100 {
            sink.write(&[metric(&format!("K{n}"), 0, None)]);
        }
        assert_eq!(counters.metrics_recorded.get(), (MAX_DEVICES + MAX_KINDS - 1) as u64);
    }
}
