//! Memory snapshots of PyTorch (`torch.cuda.memory._dump_snapshot`; pytorch `torch/cuda/memory.py`,
//! `torch/csrc/cuda/memory_snapshot.cpp`): the history of each device's allocator, and its blocks at the end.
//!
//! A block that the history releases without having allocated it, or that is active at the end without an allocation, was
//! there before; as `torch/utils/viz/MemoryViz.js` has it. It is released when `free_completed` says so.

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
    let mut reader =
        SnapshotReader { pickle: &pickle, account: MemoryAccount::new(memory), budget: most, order: 0 };
    let mut any = false;
    ensure!(pickle.items(traces).len() <= MOST_DEVICES, "has more than {MOST_DEVICES} devices");
    for (device, &history) in (0_i64..).zip(pickle.items(traces)) {
        any |= reader.read_device(device, history)?;
    }
    ensure!(any, "has no history of allocations: call torch.cuda.memory._record_memory_history() before");
    Ok(reader.account.finish(points)?)
}

/// A block that was there before.
struct EarlierBlock {
    address: i64,
    bytes: i64,
    holder: u32,
}

struct SnapshotReader<'a, 'b> {
    pickle: &'a Pickle<'b>,
    account: MemoryAccount,
    /// Number of values that may still be visited: a hostile file may name one in many places.
    budget: usize,
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
        let begin = entries.first().map_or(0, |entry| time(*entry));
        let (mut live, mut earlier) = (HashSet::new(), Vec::new());
        let mut changes = Vec::new();
        for &entry in entries {
            self.spend()?;
            let (action, address) = (pickle.member_text(entry, "action"), pickle.member_int(entry, "addr"));
            let size = pickle.member_int(entry, "size").unwrap_or(0);
            let (Some(action), Some(address)) = (action, address) else { continue };
            let bytes = match action.as_str() {
                "alloc" => {
                    live.insert(address);
                    size
                }
                "free_completed" | "free" => {
                    if !live.remove(&address) {
                        earlier.push(EarlierBlock { address, bytes: size, holder: 0 });
                    }
                    // One that has no negative is the size of nothing.
                    size.checked_neg().unwrap_or(0)
                }
                _ => continue,
            };
            let holder = if bytes > 0 { self.holder_of(entry)? } else { 0 };
            changes.push((time(entry), bytes, address, holder));
        }
        self.add_active_blocks(device, &live, &mut earlier)?;
        for block in earlier {
            self.push(number, (begin, block.bytes, block.address, block.holder))?;
        }
        changes.into_iter().try_for_each(|change| self.push(number, change))?;
        Ok(true)
    }

    fn push(
        &mut self,
        device: u32,
        (at, bytes, address, holder): (i64, i64, i64, u32),
    ) -> anyhow::Result<()> {
        let order = self.order;
        self.order += 1;
        let (allocated, reserved) = (UNKNOWN, UNKNOWN);
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

    /// Blocks that are active at the end, of which the history has no allocation.
    fn add_active_blocks(
        &mut self,
        device: i64,
        live: &HashSet<i64>,
        earlier: &mut Vec<EarlierBlock>,
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
                let bytes = pickle.member_int(block, "size").unwrap_or(0);
                let address = pickle.member_int(block, "address").unwrap_or(next);
                next = address.wrapping_add(bytes);
                let state = pickle.member_text(block, "state").unwrap_or_default();
                if bytes > 0 && state.starts_with("active") && !live.contains(&address) {
                    let holder = self.holder_of(block)?;
                    earlier.push(EarlierBlock { address, bytes, holder });
                }
            }
        }
        Ok(())
    }

    /// The innermost frame that is not PyTorch's own, or else the innermost.
    fn holder_of(&mut self, entry: Ref) -> anyhow::Result<u32> {
        const MOST_FRAMES: usize = 64;
        let pickle = self.pickle;
        let frames = pickle.member(entry, "frames").map(|list| pickle.items(list)).unwrap_or_default();
        let mut first = None;
        for &frame in frames.iter().take(MOST_FRAMES) {
            self.spend()?;
            let file = pickle.member_text(frame, "filename").unwrap_or_default();
            let name = pickle.member_text(frame, "name").unwrap_or_default();
            let line = pickle.member_int(frame, "line").unwrap_or(0);
            let is_own =
                file.contains("/torch/") || file.is_empty() || file == "??" || file.ends_with(".cpp");
            let text = format!("{file}({line}): {name}");
            self.spend_bytes(text.len())?;
            if !is_own {
                return Ok(self.account.holder(&MemoryHolder { part: String::new(), operator: text }));
            }
            first = first.or(Some(text));
        }
        let operator = first.unwrap_or_default();
        let holder = MemoryHolder { part: String::new(), operator };
        Ok(if holder.operator.is_empty() { 0 } else { self.account.holder(&holder) })
    }
}
