//! The `[memory]` events of `torch.profiler` (pytorch/kineto `libkineto/src/output_json.cpp`; PyTorch
//! `torch/csrc/profiler`): one for each allocation and release, with its bytes and address and what is allocated after it.
//!
//! Each belongs to the operator, module and annotation that its thread had open.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::io;

use trace::model::{Category, Event, EventSink, FastState, NameTable, is_plausible_time};
use trace::read::{RawValue, find_argument};
use trace::spool::{MemoryLimit, Spool, SpoolRecord};

use super::account::{DeviceMemory, MemoryAccount, MemoryChange, MemoryHolder, UNKNOWN};
use crate::part::host_stack::{FrameKind, HostRange, HostRanges, OnThread, StackVisitor, sweep_host};

/// A change and the thread that asked for it.
#[derive(Clone, Copy, Debug)]
struct ThreadChange {
    thread: u32,
    change: MemoryChange,
}

impl SpoolRecord<8> for ThreadChange {
    fn to_words(self) -> [i64; 8] {
        let [a, b, c, d, e, f, g] = self.change.to_words();
        [i64::from(self.thread), a, b, c, d, e, f, g]
    }

    fn from_words([thread, a, b, c, d, e, f, g]: [i64; 8]) -> Self {
        Self { thread: thread as u32, change: MemoryChange::from_words([a, b, c, d, e, f, g]) }
    }
}

impl OnThread for ThreadChange {
    fn place(&self) -> (u32, i64) {
        (self.thread, self.change.at)
    }
}

/// Collects the memory events of one trace.
pub(crate) struct MemorySink {
    memory: MemoryLimit,
    host: HostRanges,
    account: MemoryAccount,
    changes: Spool<ThreadChange, 8>,
    /// Numbers of devices, by type, index and allocator.
    devices: BTreeMap<(i64, i64, String), u32>,
}

impl MemorySink {
    /// Without events yet.
    pub(crate) fn new(memory: MemoryLimit) -> Self {
        Self {
            memory,
            host: HostRanges::new(memory),
            account: MemoryAccount::new(memory),
            changes: Spool::new(memory),
            devices: BTreeMap::new(),
        }
    }

    fn take_change(&mut self, event: &Event<'_>, at: i64) -> io::Result<()> {
        let number = |names: &[&str]| names.iter().find_map(|name| number_argument(event.args, name));
        let Some(bytes) = number(&["Bytes", "bytes"]) else { return Ok(()) };
        let kind = number(&["Device Type", "device type"]).unwrap_or(0);
        let index = number(&["Device Id", "device id"]).unwrap_or(-1);
        let device = self.device(kind, index, text_argument(event.args, "Allocator").unwrap_or_default());
        // Tables of allocations have the operator themselves.
        let holder = match text_argument(event.args, "Operator") {
            Some(operator) => self.account.holder(&MemoryHolder { part: String::new(), operator }),
            None => 0,
        };
        let change = MemoryChange {
            device,
            holder,
            at,
            order: event.sequence.unwrap_or(i64::try_from(event.index).unwrap_or(i64::MAX)),
            bytes,
            // Tables of Ascend have no addresses: the row is as good.
            address: address_argument(event.args).or_else(|| number(&["Row"])).unwrap_or(UNKNOWN),
            allocated: number(&["Total Allocated", "total allocated"]).unwrap_or(UNKNOWN),
            reserved: number(&["Total Reserved", "total reserved"]).filter(|n| *n > 0).unwrap_or(UNKNOWN),
        };
        let thread = self.host.thread_of(event);
        self.changes.push(ThreadChange { thread, change })
    }

    /// Returns the number of a device, or of one of its allocators.
    fn device(&mut self, kind: i64, index: i64, allocator: String) -> u32 {
        let account = &mut self.account;
        let key = (kind, index, allocator);
        if let Some(&number) = self.devices.get(&key) {
            return number;
        }
        let name = match key.2.as_str() {
            "" => name_device(kind, index),
            // Only profiles of Ascend have several allocators of a device.
            allocator => format!("NPU:{index} {allocator}"),
        };
        let number = account.device(&name);
        self.devices.insert(key, number);
        number
    }

    /// Takes the state of an allocator of Ascend: a counter of the table `MEMORY_RECORD`.
    fn take_state(&mut self, event: &Event<'_>, at: i64) -> io::Result<()> {
        let name = event.name.decode();
        let Some(allocator) = name.strip_prefix("Memory ").filter(|name| !name.is_empty()) else {
            return Ok(());
        };
        let number = |name: &str| number_argument(event.args, name);
        let (allocated, reserved) = (number("totalAllocated"), number("totalReserved"));
        let Some(level) = allocated.or(reserved) else { return Ok(()) };
        let device = self.device(NPU, event.device.unwrap_or(0), allocator.to_owned());
        let change = MemoryChange {
            device,
            holder: 0,
            at,
            order: i64::try_from(event.index).unwrap_or(i64::MAX),
            bytes: 0,
            address: UNKNOWN,
            // Of the whole process (APP) only the reserved size is known.
            allocated: level,
            reserved: reserved.unwrap_or(UNKNOWN),
        };
        let thread = self.host.thread_of(event);
        self.changes.push(ThreadChange { thread, change })
    }

    /// Returns the account of each device's memory.
    ///
    /// # Errors
    /// A temporary file cannot be used.
    pub(crate) fn finish(self, points: usize) -> io::Result<Vec<DeviceMemory>> {
        let Self { memory, mut host, mut account, changes, devices } = self;
        if devices.is_empty() {
            return Ok(Vec::new());
        }
        let ranges = std::mem::replace(&mut host.ranges, Spool::new(memory));
        let mut finder = HolderFinder {
            names: &host.names,
            account: &mut account,
            known: vec![HolderNames::default()],
            numbers: BTreeMap::from([(HolderNames::default(), 0)]),
            holders: vec![0],
        };
        sweep_host(ranges, changes, &mut finder)?;
        account.finish(points)
    }
}

impl EventSink for MemorySink {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        if event.category == Category::Memory && matches!(event.phase, b'i' | b'I' | b'n') {
            if let Some(at) = event.start.filter(|at| is_plausible_time(*at)) {
                self.take_change(event, at)?;
            }
            return Ok(());
        }
        if event.phase == b'C' {
            if let Some(at) = event.start.filter(|at| is_plausible_time(*at)) {
                self.take_state(event, at)?;
            }
            return Ok(());
        }
        match event.plausible_span() {
            Some(span) => {
                let wants =
                    |kind| matches!(kind, FrameKind::Module | FrameKind::Annotation | FrameKind::Operator);
                Ok(self.host.take(event, span, wants)?)
            }
            None => Ok(()),
        }
    }
}

/// `c10::DeviceType::PrivateUse1`, which an NPU is.
const NPU: i64 = 20;

/// Names of `c10::DeviceType` (pytorch `c10/core/DeviceType.h`).
fn name_device(kind: i64, index: i64) -> String {
    let name = match kind {
        0 => return "cpu".to_owned(),
        1 => "cuda",
        6 => "hip",
        9 => "xla",
        12 => "xpu",
        14 => "hpu",
        15 => "mtia",
        NPU => "device",
        _ => return format!("device of type {kind}:{index}"),
    };
    format!("{name}:{index}")
}

fn text_argument(args: &[u8], name: &str) -> Option<String> {
    match find_argument(args, name)? {
        RawValue::Text(text) => Some(text.decode().into_owned()).filter(|text| !text.is_empty()),
        _ => None,
    }
}

fn number_argument(args: &[u8], name: &str) -> Option<i64> {
    let digits = |text: &str| text.trim().parse().ok();
    match find_argument(args, name)? {
        RawValue::Number(text) => digits(std::str::from_utf8(text).ok()?),
        RawValue::Text(text) => digits(&text.decode()),
        _ => None,
    }
}

/// The address of a block: a number, or a text of any form, of which the hash is as good.
fn address_argument(args: &[u8]) -> Option<i64> {
    let of_text = |text: &str| match text.parse::<u64>() {
        Ok(number) => number as i64,
        Err(_) => FastState::default().hash_one(text) as i64,
    };
    match find_argument(args, "Addr").or_else(|| find_argument(args, "addr"))? {
        RawValue::Number(text) => Some(of_text(std::str::from_utf8(text).ok()?)),
        RawValue::Text(text) => Some(of_text(&text.decode())),
        _ => None,
    }
}

/// The open ranges, by numbers of names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct HolderNames {
    part: Option<u32>,
    operator: Option<u32>,
}

/// Finds what asked for each change. Nodes are indices of distinct holders.
struct HolderFinder<'a> {
    names: &'a NameTable,
    account: &'a mut MemoryAccount,
    known: Vec<HolderNames>,
    numbers: BTreeMap<HolderNames, u32>,
    /// Numbers of the account, by node; `u32::MAX` if not asked for yet.
    holders: Vec<u32>,
}

impl StackVisitor<ThreadChange> for HolderFinder<'_> {
    fn begin_thread(&mut self, _: u32) -> u32 {
        0
    }

    fn open(&mut self, range: &HostRange, parent: u32) -> u32 {
        let mut names = self.known.get(parent as usize).copied().unwrap_or_default();
        match range.kind {
            FrameKind::Operator => names.operator = names.operator.or(Some(range.name)),
            // An operator that runs modules or marks ranges is not what asks for their memory.
            _ => names = HolderNames { part: Some(range.name), operator: None },
        }
        let next = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
        let node = *self.numbers.entry(names).or_insert(next);
        if node == next {
            self.known.push(names);
            self.holders.push(u32::MAX);
        }
        node
    }

    fn own_time(&mut self, _: u32, _: i64, _: i64) {}

    fn moment(&mut self, moment: &ThreadChange, node: u32) -> io::Result<()> {
        if moment.change.holder != 0 {
            return self.account.push(moment.change);
        }
        let holder = match self.holders.get(node as usize) {
            Some(&holder) if holder != u32::MAX => holder,
            _ => {
                let HolderNames { part, operator } =
                    self.known.get(node as usize).copied().unwrap_or_default();
                let name =
                    |number: Option<u32>| number.map(|n| self.names.name(n).to_owned()).unwrap_or_default();
                let holder =
                    self.account.holder(&MemoryHolder { part: name(part), operator: name(operator) });
                if let Some(slot) = self.holders.get_mut(node as usize) {
                    *slot = holder;
                }
                holder
            }
        };
        self.account.push(MemoryChange { holder, ..moment.change })
    }
}
