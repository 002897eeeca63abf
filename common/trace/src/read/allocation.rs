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
    /// The number of its row: that of an allocation and of its release are equal, which is all that tells blocks apart.
    pub(super) row: i64,
    /// The operator that asked for it.
    pub(super) operator: &'a [u8],
    /// How much; a release is below zero.
    pub(super) bytes: i64,
    /// The bytes that the allocator has given out then.
    pub(super) allocated: Option<i64>,
    /// The bytes that it holds then.
    pub(super) reserved: Option<i64>,
    /// The bytes that are in use then.
    pub(super) active: Option<i64>,
    /// The device; none for memory of the host.
    pub(super) device: Option<i64>,
    /// Which allocator has it, of several of one device; empty if that is not known.
    pub(super) allocator: &'a [u8],
}

/// What the rows of Ascend's graph engine, which has an allocator of its own, begin with (torch_npu 2.14
/// `profiler/analysis/prof_view/_memory_prepare_parser.py`).
const GRAPH_ENGINE_ROW: &[u8] = b"cann::";
/// The component that these rows belong to.
pub(super) const GRAPH_ENGINE: &[u8] = b"GE";

/// The allocator of a row, from its name if that has one.
pub(super) fn allocator_of_name(name: &[u8]) -> &'static [u8] {
    if name.starts_with(GRAPH_ENGINE_ROW) { GRAPH_ENGINE } else { b"" }
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
        args.some_integer("Total Active", self.active).integer("Row", self.row);
        if !self.allocator.is_empty() {
            args.text(b"Allocator", self.allocator);
        }
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
