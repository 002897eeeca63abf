//! The measurements of accelerators and the processor.

use super::exposition::{FamilyKind, MetricPage};
use crate::devices::DeviceFamily;

/// Adds the metrics of the devices.
pub(super) fn add_devices(page: &mut MetricPage, families: &[DeviceFamily]) {
    for family in families {
        let kind = if family.is_counter { FamilyKind::Counter } else { FamilyKind::Gauge };
        let mut writer = page.family(family.name, kind, family.help);
        for sample in &family.samples {
            let labels: Vec<(&str, &str)> = sample.labels.iter().map(|(n, v)| (*n, v.as_str())).collect();
            writer.sample(&labels, sample.value);
        }
    }
}
