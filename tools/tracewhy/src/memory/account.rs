//! Goes through allocations and releases in the order of time, and keeps the peak and what holds it.
//!
//! The holders of the peak are known after one pass: blocks that are live at the latest peak are those which began before it and
//! are still live, and those that were released since.

use std::collections::BTreeMap;
use std::io;

use trace::model::FastMap;
use trace::spool::{MemoryLimit, Spool, SpoolRecord};

/// Not known.
pub(crate) const UNKNOWN: i64 = i64::MIN;

/// One allocation, release or state of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MemoryChange {
    /// Number of the device among those of the account.
    pub(crate) device: u32,
    /// Number of what asked for it.
    pub(crate) holder: u32,
    /// When, in nanoseconds of the file's clock.
    pub(crate) at: i64,
    /// Place in the order of the file, which counts where times are equal; below zero for a block that was there before the
    /// recording.
    pub(crate) order: i64,
    /// Bytes; negative ones are released.
    pub(crate) bytes: i64,
    /// Address of the block, or [`UNKNOWN`].
    pub(crate) address: i64,
    /// Bytes allocated after it, or [`UNKNOWN`].
    pub(crate) allocated: i64,
    /// Bytes that the allocator has reserved after it, or [`UNKNOWN`].
    pub(crate) reserved: i64,
}

impl SpoolRecord<7> for MemoryChange {
    fn to_words(self) -> [i64; 7] {
        let ids = (u64::from(self.device) << 32 | u64::from(self.holder)) as i64;
        [ids, self.at, self.order, self.bytes, self.address, self.allocated, self.reserved]
    }

    fn from_words([ids, at, order, bytes, address, allocated, reserved]: [i64; 7]) -> Self {
        let (device, holder) = ((ids as u64 >> 32) as u32, ids as u32);
        Self { device, holder, at, order, bytes, address, allocated, reserved }
    }
}

/// The holder of memory: the operator or range that asked for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct MemoryHolder {
    /// The innermost module or annotation; empty if none.
    pub(crate) part: String,
    /// The outermost operator, or a frame of the program; empty if none.
    pub(crate) operator: String,
}

/// A live block.
#[derive(Clone, Copy, Debug)]
struct LiveBlock {
    bytes: i64,
    holder: u32,
    /// Place of its allocation among all changes of the device.
    place: u64,
}

/// A moment of the timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MemoryPoint {
    pub(crate) at: i64,
    /// The most that was allocated in its time.
    pub(crate) allocated: i64,
    /// The bytes that were allocated at the end of its time.
    pub(crate) left: i64,
    pub(crate) reserved: Option<i64>,
}

/// The result of the changes of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeviceMemory {
    /// The name of the device.
    pub(crate) device: String,
    pub(crate) allocations: u64,
    pub(crate) releases: u64,
    /// Releases of blocks that were allocated before the recording, or whose address is unknown.
    pub(crate) unknown_releases: u64,
    /// Blocks beyond the limit of memory, whose holders are not known.
    pub(crate) beyond_limit: u64,
    /// Bytes at the highest moment, and when that was.
    pub(crate) peak: i64,
    pub(crate) peak_at: i64,
    /// Most bytes that were reserved.
    pub(crate) reserved: Option<i64>,
    /// Bytes before the first change, and after the last.
    pub(crate) before: i64,
    pub(crate) after: i64,
    /// The holders of the peak: bytes and blocks, the most first.
    pub(crate) held: Vec<(MemoryHolder, i64, u64)>,
    pub(crate) timeline: Vec<MemoryPoint>,
}

impl DeviceMemory {
    /// Bytes of the peak that nothing in the recording asked for.
    pub(crate) fn not_known(&self) -> i64 {
        self.held.iter().fold(self.peak, |rest, (_, bytes, _)| rest.saturating_sub(*bytes))
    }
}

/// The memory of the devices of one rank, while it is read.
pub(crate) struct MemoryAccount {
    memory: MemoryLimit,
    changes: Spool<MemoryChange, 7>,
    devices: Vec<DeviceSpan>,
    holders: Vec<MemoryHolder>,
    numbers: FastMap<MemoryHolder, u32>,
}

/// When a device's memory changes.
struct DeviceSpan {
    name: String,
    first: i64,
    last: i64,
}

impl MemoryAccount {
    /// Without changes yet; holder 0 is unknown.
    pub(crate) fn new(memory: MemoryLimit) -> Self {
        Self {
            memory,
            changes: Spool::new(memory),
            devices: Vec::new(),
            holders: vec![MemoryHolder::default()],
            numbers: FastMap::default(),
        }
    }

    /// The number of a device.
    pub(crate) fn device(&mut self, name: &str) -> u32 {
        let at = self.devices.iter().position(|d| d.name == name).unwrap_or_else(|| {
            self.devices.push(DeviceSpan { name: name.to_owned(), first: i64::MAX, last: i64::MIN });
            self.devices.len() - 1
        });
        u32::try_from(at).unwrap_or(u32::MAX)
    }

    /// The number of a holder.
    pub(crate) fn holder(&mut self, holder: &MemoryHolder) -> u32 {
        if let Some(&number) = self.numbers.get(holder) {
            return number;
        }
        let number = u32::try_from(self.holders.len()).unwrap_or(u32::MAX);
        self.numbers.insert(holder.clone(), number);
        self.holders.push(holder.clone());
        number
    }

    /// Adds a change.
    ///
    /// # Errors
    /// A temporary file cannot be used.
    pub(crate) fn push(&mut self, change: MemoryChange) -> io::Result<()> {
        if let Some(span) = self.devices.get_mut(change.device as usize) {
            span.first = span.first.min(change.at);
            span.last = span.last.max(change.at);
        }
        self.changes.push(change)
    }

    /// Returns the result of each device's changes, with a timeline of at most `points` points; 0 keeps every change.
    ///
    /// # Errors
    /// A temporary file cannot be used.
    pub(crate) fn finish(self, points: usize) -> io::Result<Vec<DeviceMemory>> {
        let most_live = usize::try_from(self.memory.of_tables() / 64).unwrap_or(usize::MAX);
        let mut sorted = self.changes.into_sorted(|c| (c.device, c.at, c.order))?;
        let mut out = Vec::new();
        let mut current: Option<(u32, DeviceRun)> = None;
        while let Some(change) = sorted.next_record()? {
            if current.as_ref().is_none_or(|(device, _)| *device != change.device) {
                if let Some((_, done)) = current.take() {
                    out.push(done.finish(&self.holders));
                }
                let span = self.devices.get(change.device as usize);
                current = Some((change.device, DeviceRun::new(span, points, most_live)));
            }
            if let Some((_, run)) = &mut current {
                run.take(&change);
            }
        }
        if let Some((_, done)) = current {
            out.push(done.finish(&self.holders));
        }
        Ok(out)
    }
}

/// One device, while its changes come.
struct DeviceRun {
    result: DeviceMemory,
    live: FastMap<i64, LiveBlock>,
    most_live: usize,
    /// Bytes and blocks by holder, of those that held the peak and are released.
    released: BTreeMap<u32, (i64, u64)>,
    running: i64,
    /// Number of the change, and of the one at the peak.
    place: u64,
    peak_place: u64,
    begun: bool,
    first: i64,
    /// Nanoseconds of a point of the timeline; 0 keeps every change.
    width: i64,
}

impl DeviceRun {
    fn new(span: Option<&DeviceSpan>, points: usize, most_live: usize) -> Self {
        let (first, last) = span.map_or((0, 0), |span| (span.first, span.last));
        let whole = last.saturating_sub(first).saturating_add(1);
        let width = i64::try_from(points).ok().filter(|n| *n > 0).map_or(0, |n| (whole - 1) / n + 1);
        let device = span.map(|span| span.name.clone()).unwrap_or_default();
        Self {
            result: DeviceMemory { device, peak: i64::MIN, ..DeviceMemory::default() },
            live: FastMap::default(),
            most_live,
            released: BTreeMap::new(),
            running: 0,
            place: 0,
            peak_place: 0,
            begun: false,
            first,
            width,
        }
    }

    fn take(&mut self, change: &MemoryChange) {
        self.place += 1;
        if !self.begun {
            self.begun = true;
            let before =
                if change.allocated == UNKNOWN { 0 } else { change.allocated.saturating_sub(change.bytes) };
            self.result.before = before;
            self.running = before;
        }
        let is_earlier = change.order < 0;
        match change.bytes {
            0 => {}
            bytes if is_earlier => self.result.before = self.result.before.saturating_add(bytes),
            bytes if bytes > 0 => self.result.allocations += 1,
            _ => self.release(change),
        }
        // Who holds a block from before is known of some.
        if change.bytes > 0 && (!is_earlier || change.holder > 0) {
            self.allocate(change);
        }
        let known = (change.allocated != UNKNOWN).then_some(change.allocated);
        self.running = known.unwrap_or_else(|| self.running.saturating_add(change.bytes));
        let reserved = (change.reserved != UNKNOWN).then_some(change.reserved);
        self.result.reserved = self.result.reserved.max(reserved);
        // Of what a state says, the allocation of that moment may come later.
        let is_peak =
            self.running == self.result.peak && change.at == self.result.peak_at && change.bytes > 0;
        if is_peak || self.running > self.result.peak {
            (self.result.peak, self.result.peak_at) = (self.running, change.at);
            self.peak_place = self.place;
            self.released.clear();
        }
        if !is_earlier {
            self.add_point(MemoryPoint {
                at: change.at,
                allocated: self.running,
                left: self.running,
                reserved,
            });
        }
    }

    fn allocate(&mut self, change: &MemoryChange) {
        if change.address == UNKNOWN {
            return;
        }
        if self.live.len() >= self.most_live {
            self.result.beyond_limit += 1;
            return;
        }
        let block = LiveBlock { bytes: change.bytes, holder: change.holder, place: self.place };
        if let Some(lost) = self.live.insert(change.address, block) {
            // Its release is not recorded; it was before this.
            self.note_release(lost);
        }
    }

    fn release(&mut self, change: &MemoryChange) {
        self.result.releases += 1;
        match self.live.remove(&change.address).filter(|_| change.address != UNKNOWN) {
            Some(block) => self.note_release(block),
            None => self.result.unknown_releases += 1,
        }
    }

    fn note_release(&mut self, block: LiveBlock) {
        if block.place <= self.peak_place {
            let (bytes, blocks) = self.released.entry(block.holder).or_default();
            *bytes = bytes.saturating_add(block.bytes);
            *blocks += 1;
        }
    }

    fn add_point(&mut self, point: MemoryPoint) {
        let number = |at: i64| if self.width == 0 { 0 } else { at.saturating_sub(self.first) / self.width };
        match self.result.timeline.last_mut() {
            Some(last) if self.width > 0 && number(last.at) == number(point.at) => {
                last.reserved = last.reserved.max(point.reserved);
                last.left = point.left;
                if point.allocated > last.allocated {
                    (last.at, last.allocated) = (point.at, point.allocated);
                }
            }
            _ => self.result.timeline.push(point),
        }
    }

    fn finish(mut self, holders: &[MemoryHolder]) -> DeviceMemory {
        let mut held = std::mem::take(&mut self.released);
        for block in self.live.values().filter(|block| block.place <= self.peak_place) {
            let (bytes, blocks) = held.entry(block.holder).or_default();
            *bytes = bytes.saturating_add(block.bytes);
            *blocks += 1;
        }
        let named = |(holder, (bytes, blocks)): (u32, (i64, u64))| {
            (holders.get(holder as usize).cloned().unwrap_or_default(), bytes, blocks)
        };
        let mut list: Vec<_> = held.into_iter().map(named).collect();
        list.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        self.result.held = list;
        self.result.after = self.running;
        self.result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(at: i64, bytes: i64, address: i64, holder: u32) -> MemoryChange {
        MemoryChange {
            device: 0,
            holder,
            at,
            order: at,
            bytes,
            address,
            allocated: UNKNOWN,
            reserved: UNKNOWN,
        }
    }

    #[test]
    fn the_peak_is_held_by_what_is_live_then() {
        let mut account = MemoryAccount::new(MemoryLimit::default());
        account.device("cuda:0");
        let holders = ["a", "b", "c"]
            .map(|name| account.holder(&MemoryHolder { operator: name.into(), ..MemoryHolder::default() }));
        let [a, b, c] = holders;
        for change in [
            change(1, 100, 1, a),
            change(2, 50, 2, b),
            change(3, -100, 1, 0),
            change(4, 60, 3, b),
            // 170, the peak: two blocks of b, one of c. Then one is released, and another begins.
            change(5, 60, 1, c),
            change(6, -50, 2, 0),
            change(7, 10, 9, a),
            change(8, -7, 77, 0),
        ] {
            account.push(change).unwrap();
        }
        let [device] = account.finish(0).unwrap().try_into().unwrap();
        assert_eq!((device.peak, device.peak_at, device.after), (170, 5, 123));
        let held: Vec<_> =
            device.held.iter().map(|(h, bytes, n)| (h.operator.as_str(), *bytes, *n)).collect();
        assert_eq!(held, [("b", 110, 2), ("c", 60, 1)]);
        assert_eq!((device.allocations, device.releases, device.unknown_releases), (5, 3, 1));
        assert_eq!((device.timeline.len(), device.not_known()), (8, 0));
        assert_eq!(device.timeline.last().map(|point| (point.allocated, point.left)), Some((123, 123)));
    }

    #[test]
    fn a_point_has_the_most_of_its_time_and_what_is_left() {
        let mut account = MemoryAccount::new(MemoryLimit::default());
        account.device("cuda:0");
        for (at, bytes) in [(0, 100), (1, 50), (2, -140), (90, 5)] {
            account.push(change(at, bytes, at, 0)).unwrap();
        }
        let [device] = account.finish(2).unwrap().try_into().unwrap();
        let points: Vec<_> = device.timeline.iter().map(|p| (p.at, p.allocated, p.left)).collect();
        assert_eq!(points, [(1, 150, 10), (90, 15, 15)]);
    }
}
