//! Memory snapshots of PyTorch (`torch.cuda.memory._dump_snapshot`; pytorch `torch/cuda/memory.py`,
//! `torch/csrc/cuda/memory_snapshot.cpp`): the history of each device's allocator, and its blocks at the end.
//!
//! A block that the history releases without having allocated it, or that is active at the end without an allocation, was
//! there before; as `torch/utils/viz/MemoryViz.js` has it. It is released when `free_completed` says so. The history has the
//! bytes that were asked for, so of a block counts `requested_size`, and not `size`, to which the allocator rounded it up.

use std::collections::HashSet;

use anyhow::{Context, ensure};
use trace::spool::MemoryLimit;

use super::account::{DeviceMemory, MemoryAccount, MemoryChange, MemoryHolder, UNKNOWN};
use super::pickle::{Pickle, Ref, read_pickle};

/// Bytes of memory that one value of a pickle takes, with what names it.
const VALUE_BYTES: u64 = 96;

/// Most devices of a host.
const MOST_DEVICES: usize = 1024;

/// Reads a snapshot.
///
/// # Errors
/// It is no snapshot, or no plain data; a temporary file cannot be used.
pub(crate) fn read_snapshot(
    bytes: &[u8],
    memory: MemoryLimit,
    points: usize,
) -> anyhow::Result<Vec<DeviceMemory>> {
    let most = usize::try_from((memory.bytes / VALUE_BYTES).max(1 << 16)).unwrap_or(usize::MAX);
    let pickle = read_pickle(bytes, most)?;
    let root = pickle.root();
    let traces =
        pickle.member(root, "device_traces").context("is a pickle, but no memory snapshot of PyTorch")?;
    let mut reader = SnapshotReader {
        pickle: &pickle,
        account: MemoryAccount::new(memory),
        budget: most,
        frames: most.saturating_mul(8),
        order: 0,
    };
    let mut any = false;
    ensure!(pickle.items(traces).len() <= MOST_DEVICES, "has more than {MOST_DEVICES} devices");
    for (device, &history) in (0_i64..).zip(pickle.items(traces)) {
        any |= reader.read_device(device, history)?;
    }
    ensure!(any, "has no history of allocations: call torch.cuda.memory._record_memory_history() before");
    Ok(reader.account.finish(points)?)
}

/// One allocation or release.
#[derive(Clone, Copy)]
struct BlockChange {
    at: i64,
    /// Negative ones are released.
    bytes: i64,
    address: i64,
    holder: u32,
    /// Bytes that the allocator has reserved after it, or [`UNKNOWN`].
    reserved: i64,
}

struct SnapshotReader<'a, 'b> {
    pickle: &'a Pickle<'b>,
    account: MemoryAccount,
    /// Number of values that may still be visited: a hostile file may name one in many places.
    budget: usize,
    /// The same of frames, of which nothing is kept.
    frames: usize,
    order: i64,
}

impl SnapshotReader<'_, '_> {
    fn spend(&mut self) -> anyhow::Result<()> {
        self.budget = self.budget.checked_sub(1).context("has more in it than --max-memory allows")?;
        Ok(())
    }

    /// Texts count by what they take, since one of the file may be in many names.
    fn spend_bytes(&mut self, bytes: usize) -> anyhow::Result<()> {
        let values = bytes as u64 / VALUE_BYTES * 4;
        self.budget = usize::try_from(values)
            .ok()
            .and_then(|values| self.budget.checked_sub(values))
            .context("has longer names in it than --max-memory allows")?;
        Ok(())
    }

    /// Reads the history of one device; `false` if it has none.
    fn read_device(&mut self, device: i64, history: Ref) -> anyhow::Result<bool> {
        let pickle = self.pickle;
        let entries = pickle.items(history);
        if entries.is_empty() {
            return Ok(false);
        }
        let number = self.account.device(&format!("cuda:{device}"));
        let time = |entry: Ref| pickle.member_int(entry, "time_us").map_or(0, |us| us.saturating_mul(1000));
        let at = entries.first().map_or(0, |entry| time(*entry));
        let mut reserved = self.reserved_before(device, entries);
        let known = |reserved: Option<i64>| reserved.filter(|bytes| *bytes >= 0).unwrap_or(UNKNOWN);
        let before = BlockChange { at, bytes: 0, address: 0, holder: 0, reserved: known(reserved) };
        let (mut live, mut earlier) = (HashSet::new(), Vec::new());
        let mut changes = Vec::new();
        for &entry in entries {
            self.spend()?;
            let (action, address) = (pickle.member_text(entry, "action"), pickle.member_int(entry, "addr"));
            let size = pickle.member_int(entry, "size").unwrap_or(0);
            let (Some(action), Some(address)) = (action, address) else { continue };
            reserved = reserved.map(|bytes| bytes.saturating_add(reserved_by(&action, size)));
            let bytes = match action.as_str() {
                "alloc" => {
                    live.insert(address);
                    size
                }
                "free_completed" | "free" => {
                    if !live.remove(&address) {
                        earlier.push(BlockChange { address, bytes: size, ..before });
                    }
                    // One that has no negative is the size of nothing.
                    size.checked_neg().unwrap_or(0)
                }
                _ => continue,
            };
            let holder = if bytes > 0 { self.holder_of(entry)? } else { 0 };
            changes.push(BlockChange { at: time(entry), bytes, address, holder, reserved: known(reserved) });
        }
        self.add_active_blocks(device, before, &live, &mut earlier)?;
        earlier.into_iter().try_for_each(|block| self.push(number, i64::MIN, block))?;
        changes.into_iter().try_for_each(|change| self.push(number, 0, change))?;
        Ok(true)
    }

    /// Adds a change behind the last one, counted from `first`.
    fn push(&mut self, device: u32, first: i64, change: BlockChange) -> anyhow::Result<()> {
        let BlockChange { at, bytes, address, holder, reserved } = change;
        let order = first.saturating_add(self.order);
        self.order += 1;
        let allocated = UNKNOWN;
        Ok(self.account.push(MemoryChange {
            device,
            holder,
            at,
            order,
            bytes,
            address,
            allocated,
            reserved,
        })?)
    }

    /// Bytes that the allocator had reserved on a device before the history: the segments at the end, without what the history
    /// says to have changed. `None` if the snapshot has no segments.
    fn reserved_before(&self, device: i64, entries: &[Ref]) -> Option<i64> {
        let pickle = self.pickle;
        let segments = pickle.items(pickle.member(pickle.root(), "segments")?);
        let of_device = |segment: &&Ref| pickle.member_int(**segment, "device").unwrap_or(0) == device;
        let sizes = segments
            .iter()
            .filter(of_device)
            .map(|segment| pickle.member_int(*segment, "total_size").unwrap_or(0));
        let at_end = sizes.fold(0, i64::saturating_add);
        let changes = entries.iter().map(|entry| {
            let action = pickle.member_text(*entry, "action").unwrap_or_default();
            reserved_by(&action, pickle.member_int(*entry, "size").unwrap_or(0))
        });
        Some(changes.fold(at_end, i64::saturating_sub))
    }

    /// Blocks that are active at the end, of which the history has no allocation.
    fn add_active_blocks(
        &mut self,
        device: i64,
        before: BlockChange,
        live: &HashSet<i64>,
        earlier: &mut Vec<BlockChange>,
    ) -> anyhow::Result<()> {
        let pickle = self.pickle;
        let Some(segments) = pickle.member(pickle.root(), "segments") else { return Ok(()) };
        for &segment in pickle.items(segments) {
            self.spend()?;
            if pickle.member_int(segment, "device").unwrap_or(0) != device {
                continue;
            }
            let mut next = pickle.member_int(segment, "address").unwrap_or(0);
            for &block in pickle.member(segment, "blocks").map(|list| pickle.items(list)).unwrap_or_default()
            {
                self.spend()?;
                let size = pickle.member_int(block, "size").unwrap_or(0);
                let bytes = pickle.member_int(block, "requested_size").unwrap_or(size);
                let address = pickle.member_int(block, "address").unwrap_or(next);
                next = address.wrapping_add(size);
                let state = pickle.member_text(block, "state").unwrap_or_default();
                if bytes > 0 && state.starts_with("active") && !live.contains(&address) {
                    let holder = self.holder_of(block)?;
                    earlier.push(BlockChange { address, bytes, holder, ..before });
                }
            }
        }
        Ok(())
    }

    /// What asked for a block: the innermost frame of the program; of the backward pass on a thread of its own, its node; or else
    /// the innermost frame of PyTorch in Python, the outermost operator, or the innermost frame.
    fn holder_of(&mut self, entry: Ref) -> anyhow::Result<u32> {
        const MOST_FRAMES: usize = 128;
        let pickle = self.pickle;
        let frames = pickle.member(entry, "frames").map(|list| pickle.items(list)).unwrap_or_default();
        let (mut of_torch, mut node, mut operator) = (None, None, None);
        for &frame in frames.iter().take(MOST_FRAMES) {
            self.frames = self.frames.checked_sub(1).context("has more frames than --max-memory allows")?;
            match FrameKind::of(pickle.member_bytes(frame, "filename"), pickle.member_bytes(frame, "name")) {
                FrameKind::Program => return self.frame_holder(frame),
                FrameKind::Torch => of_torch = of_torch.or(Some(frame)),
                FrameKind::Node => node = node.or(Some(frame)),
                FrameKind::Operator => operator = Some(frame),
                FrameKind::Native => {}
            }
        }
        if let Some(frame) = node.or(operator.filter(|_| of_torch.is_none())) {
            let name = pickle.member_text(frame, "name").unwrap_or_default();
            return self.text_holder(name.split('(').next().unwrap_or_default().to_owned());
        }
        of_torch.or(frames.first().copied()).map_or(Ok(0), |frame| self.frame_holder(frame))
    }

    fn frame_holder(&mut self, frame: Ref) -> anyhow::Result<u32> {
        let file = self.pickle.member_text(frame, "filename").unwrap_or_default();
        let name = self.pickle.member_text(frame, "name").unwrap_or_default();
        let line = self.pickle.member_int(frame, "line").unwrap_or(0);
        self.text_holder(format!("{file}({line}): {name}"))
    }

    fn text_holder(&mut self, operator: String) -> anyhow::Result<u32> {
        self.spend_bytes(operator.len())?;
        Ok(self.account.holder(&MemoryHolder { part: String::new(), operator }))
    }
}

/// Where a frame of a stack is. With `stacks="all"`, frames of C++ and of the interpreter stand among those of Python.
enum FrameKind {
    /// In the program.
    Program,
    /// In PyTorch, in Python.
    Torch,
    /// A node of the backward pass, which runs on a thread without Python (`torch::autograd::generated::MmBackward0::apply`).
    Node,
    /// An operator of PyTorch (`at::_ops::mm::call`).
    Operator,
    /// Other compiled code.
    Native,
}

impl FrameKind {
    fn of(file: &[u8], name: &[u8]) -> Self {
        const SOURCES: [&[u8]; 10] =
            [b".c", b".cc", b".cpp", b".cxx", b".h", b".hpp", b".cu", b".cuh", b".o", b".so"];
        let is_native =
            file.is_empty() || file == b"??" || SOURCES.iter().any(|ending| file.ends_with(ending));
        if !is_native {
            let in_torch = file.windows(7).any(|part| part == b"/torch/");
            return if in_torch { Self::Torch } else { Self::Program };
        }
        if name.starts_with(b"torch::autograd::generated::") {
            Self::Node
        } else if name.starts_with(b"at::_ops::") {
            Self::Operator
        } else {
            Self::Native
        }
    }
}

/// Bytes by which an entry of the history changes what the allocator has reserved.
fn reserved_by(action: &str, size: i64) -> i64 {
    match action {
        "segment_alloc" | "segment_map" => size,
        "segment_free" | "segment_unmap" => size.saturating_neg(),
        _ => 0,
    }
}
