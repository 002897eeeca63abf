//! Allocations of operators, as `torch.profiler` writes them (pytorch/pytorch `torch/csrc/autograd/profiler_kineto.cpp`,
//! `addMemoryAllocation`): an instant `[memory]` for each allocation and each release.

use super::ascend::{AscendLayer, layer_process};
use super::emit::Emitter;
use super::error::ReadStop;
use crate::model::{Event, EventId};

/// An allocation, or a release.
pub(super) struct Allocation<'a> {
    /// When, in nanoseconds.
    pub(super) at: i64,
    /// Who asked for it.
    pub(super) operator: &'a [u8],
    /// How much; a release is below zero.
    pub(super) bytes: i64,
    /// What the allocator has given out then, in bytes.
    pub(super) allocated: Option<i64>,
    /// What it holds then, in bytes.
    pub(super) reserved: Option<i64>,
    /// What is in use then, in bytes.
    pub(super) active: Option<i64>,
    /// The device; none for memory of the host.
    pub(super) device: Option<i64>,
}

impl Allocation<'_> {
    /// Sends it as an event.
    pub(super) fn send(&self, emit: &mut Emitter<'_>) -> Result<(), ReadStop> {
        /// `c10::DeviceType::PrivateUse1`, which an NPU is, and `CPU`.
        const DEVICE_TYPES: (i64, i64) = (20, 0);
        let kind = if self.device.is_some() { DEVICE_TYPES.0 } else { DEVICE_TYPES.1 };
        let args = &mut emit.args;
        args.integer("Bytes", self.bytes).some_text("Operator", self.operator);
        args.integer("Device Type", kind).integer("Device Id", self.device.unwrap_or(-1));
        args.some_integer("Total Allocated", self.allocated).some_integer("Total Reserved", self.reserved);
        args.some_integer("Total Active", self.active);
        emit.send(Event {
            phase: b'i',
            name: "[memory]".into(),
            pid: EventId::Number(layer_process(0, AscendLayer::Counters, self.device.unwrap_or(0))),
            tid: EventId::Number(0),
            start: Some(self.at),
            ..Event::default()
        })
    }
}
