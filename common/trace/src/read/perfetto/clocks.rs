//! Clocks: packets name one, snapshots say what several of them show at one moment.

use super::messages::ClockSnapshot;
use crate::model::FastMap;

const REALTIME: u32 = 1;
const BOOTTIME: u32 = 6;

/// Clocks from here to [`LAST_OF_SEQUENCE`] belong to a sequence.
const FIRST_OF_SEQUENCE: u32 = 64;
const LAST_OF_SEQUENCE: u32 = 127;

/// A clock as the last snapshot has it.
#[derive(Clone, Copy, Debug, Default)]
struct ClockState {
    /// The time to add to come to the trace's clock.
    offset: i64,
    /// Nanoseconds of one unit.
    unit: i64,
    /// Stamps are differences to the one before; this is their sum.
    running: Option<i64>,
}

/// The clocks of a trace. The trace's own is BOOTTIME.
#[derive(Debug, Default)]
pub(super) struct ClockTable {
    clocks: FastMap<(u32, u32), ClockState>,
    /// The time to add to the trace's clock to come to the Unix epoch.
    epoch: Option<i64>,
    /// The clock of the first stamp: that of the trace, where no snapshot defines another.
    first: Option<u32>,
}

impl ClockTable {
    /// Takes what the clocks show at one moment.
    pub(super) fn take_snapshot(&mut self, sequence: u32, snapshot: &ClockSnapshot) {
        const MOST: usize = 1 << 16;
        let value = |id: u32| {
            let clock = snapshot.clocks.iter().find(|c| c.id == Some(id))?;
            let unit = clock.unit.filter(|u| *u > 0).unwrap_or(1) as i64;
            Some((clock.at? as i64).wrapping_mul(unit))
        };
        // Where there is no BOOTTIME, what another clock of the trace says leads to it.
        let known = snapshot.clocks.iter().find_map(|c| {
            let state = self.clocks.get(&(0, c.id?))?;
            Some(value(c.id?)?.wrapping_add(state.offset))
        });
        let Some(now) = value(BOOTTIME).or(known).or_else(|| value(snapshot.clocks.first()?.id?)) else {
            return;
        };
        if let Some(realtime) = value(REALTIME) {
            self.epoch = self.epoch.or(Some(realtime.wrapping_sub(now)));
        }
        for clock in &snapshot.clocks {
            let (Some(id), Some(at)) = (clock.id, clock.at) else { continue };
            if self.clocks.len() >= MOST {
                break;
            }
            let unit = clock.unit.filter(|u| *u > 0).unwrap_or(1) as i64;
            let at = (at as i64).wrapping_mul(unit);
            let state = ClockState {
                offset: now.wrapping_sub(at),
                unit,
                running: (clock.incremental == Some(true)).then_some(at),
            };
            self.clocks.insert(key_of(sequence, id), state);
        }
    }

    /// A stamp on the trace's clock, and whether what leads there is known.
    pub(super) fn convert(&mut self, sequence: u32, clock: Option<u32>, stamp: u64) -> (i64, bool) {
        let id = clock.unwrap_or(BOOTTIME);
        let first = *self.first.get_or_insert(id);
        let Some(state) = self.clocks.get_mut(&key_of(sequence, id)) else {
            // Of one clock alone, nothing need be known.
            return (stamp as i64, id == BOOTTIME || (id == first && self.clocks.is_empty()));
        };
        let stamp = (stamp as i64).wrapping_mul(state.unit);
        let at = match &mut state.running {
            Some(sum) => {
                *sum = sum.wrapping_add(stamp);
                *sum
            }
            None => stamp,
        };
        (at.wrapping_add(state.offset), true)
    }

    /// The time to add to times to come to the Unix epoch.
    pub(super) fn epoch_offset(&self) -> Option<i64> {
        self.epoch.or((self.first == Some(REALTIME)).then_some(0))
    }
}

fn key_of(sequence: u32, id: u32) -> (u32, u32) {
    let own = (FIRST_OF_SEQUENCE..=LAST_OF_SEQUENCE).contains(&id);
    (if own { sequence } else { 0 }, id)
}
