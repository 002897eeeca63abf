//! The records of single events that are kept until a rank is known, and those for the job.

use trace::spool::SpoolRecord;

use super::host::HostWork;

/// A call of a collective.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) family: u32,
    /// The number of what may be one call on several ranks.
    pub(super) matching: u32,
    pub(super) sequence: Option<i64>,
}

/// Work on a device, or an operator of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Work {
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) correlation: i64,
    pub(super) activity: u8,
    pub(super) name: u32,
    /// Index of the call that it is.
    pub(super) call: i64,
}

/// Values of [`Work::activity`].
pub(super) const COMPUTE: u8 = 0;
pub(super) const COMMUNICATION: u8 = 1;
pub(super) const COPY: u8 = 2;

impl SpoolRecord<5> for Work {
    fn to_words(self) -> [i64; 5] {
        [
            self.start,
            self.end,
            self.correlation,
            i64::from(self.activity) | i64::from(self.name) << 8,
            self.call,
        ]
    }

    fn from_words([start, end, correlation, what, call]: [i64; 5]) -> Self {
        Self { start, end, correlation, activity: what as u8, name: (what >> 8) as u32, call }
    }
}

/// Something that the host did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HostSpan {
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) work: HostWork,
    /// It is an operator that computes, for jobs without devices.
    pub(super) computes: bool,
    pub(super) name: u32,
}

impl SpoolRecord<3> for HostSpan {
    fn to_words(self) -> [i64; 3] {
        [self.start, self.end, self.work as i64 | i64::from(self.computes) << 8 | i64::from(self.name) << 16]
    }

    fn from_words([start, end, flags]: [i64; 3]) -> Self {
        let work = HostWork::ALL[(flags & 0xff) as usize % HostWork::ALL.len()];
        Self { start, end, work, computes: flags & 1 << 8 != 0, name: (flags >> 16) as u32 }
    }
}

/// An arrival at a collective, for the job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// The key that is the same on all ranks that take part.
    pub(crate) key: u64,
    /// Start and end, in nanoseconds since the Unix epoch, or of the rank's own clock.
    pub(crate) start: i64,
    pub(crate) end: i64,
    /// Time of it in which nothing was computed.
    pub(crate) exposed: i64,
    /// The part of that in which it was the next of the rank's calls to end.
    pub(crate) awaited: i64,
    /// Index of the rank in the job.
    pub(crate) part: u32,
    pub(crate) family: u32,
    /// Number of the step in which it began; `i64::MIN` if in none.
    pub(crate) step: i64,
}

impl SpoolRecord<7> for Arrival {
    fn to_words(self) -> [i64; 7] {
        let ids = (u64::from(self.part) << 32 | u64::from(self.family)) as i64;
        [self.key as i64, self.start, self.end, self.exposed, self.awaited, ids, self.step]
    }

    fn from_words([key, start, end, exposed, awaited, ids, step]: [i64; 7]) -> Self {
        let ids = ids as u64;
        let (part, family) = ((ids >> 32) as u32, ids as u32);
        Self { key: key as u64, start, end, exposed, awaited, part, family, step }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_the_file() {
        let work =
            Work { start: -1, end: 2, correlation: i64::MIN, activity: COPY, name: u32::MAX, call: i64::MIN };
        assert_eq!(Work::from_words(work.to_words()), work);
        let (work, name) = (HostWork::Synchronization, u32::MAX);
        let span = HostSpan { start: 1, end: i64::MAX, work, computes: true, name };
        assert_eq!(HostSpan::from_words(span.to_words()), span);
        let arrival = Arrival {
            key: u64::MAX,
            start: 1,
            end: 2,
            exposed: 3,
            awaited: 2,
            part: 4,
            family: u32::MAX,
            step: i64::MIN,
        };
        assert_eq!(Arrival::from_words(arrival.to_words()), arrival);
    }
}
