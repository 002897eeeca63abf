//! When a trace was recorded, and which of its events stand at times that cannot be true.
//!
//! A profiler records for seconds or minutes without a gap that is long beside that. A few events far away, such as a
//! device record with the time 0 among times since 1970 (pytorch/kineto issue 109), were never there.

/// Events that follow each other without a long gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeCluster {
    /// First and last start.
    pub first: i64,
    /// See `first`.
    pub last: i64,
    /// Last end.
    pub end: i64,
    /// How many there are.
    pub count: u64,
    /// How many of them are work on a device.
    pub on_device: u64,
    /// The name of the first that was read, and its place in the file from 0.
    pub sample: (String, u64),
}

/// Clusters in the order of time.
#[derive(Clone, Debug, Default)]
pub struct TimeClusters {
    clusters: Vec<TimeCluster>,
    recent: usize,
}

/// A gap that does not part a recording.
const GAP: i64 = 1_000_000_000;
/// More clusters than this are merged, the nearest first.
const MOST: usize = 64;
/// A gap that is short, whatever the recording.
const SHORT: i64 = 60_000_000_000;
/// How many times its length a recording must be away from an event of it.
const FAR: i64 = 100;
/// An event so far from all others is impossible, however many there are.
const ROUNDING: u64 = 20;

/// The time of a recording, without impossible events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordedTime {
    /// First start and last end of the recording.
    pub extent: Option<(i64, i64)>,
    /// First and last start that can be true.
    pub starts: Option<(i64, i64)>,
    /// Events at impossible times, few enough to be left out.
    pub impossible: Vec<TimeCluster>,
    /// Other stretches of time that are far away: of two clocks, or of two recordings.
    pub elsewhere: Vec<TimeCluster>,
    /// How long the gap between the first of these and the recording is.
    pub apart: i64,
}

impl RecordedTime {
    /// Returns whether an event can have started at this moment.
    pub fn can_start_at(&self, moment: i64) -> bool {
        self.impossible.is_empty() || !self.impossible.iter().any(|c| (c.first..=c.last).contains(&moment))
    }
}

impl TimeClusters {
    /// Takes an event's start and end.
    #[inline]
    pub fn add(&mut self, start: i64, end: i64, on_device: bool, name: impl FnOnce() -> (String, u64)) {
        if let Some(c) = self.clusters.get_mut(self.recent).filter(|c| c.is_near(start)) {
            c.take(start, end, on_device);
            return;
        }
        self.add_elsewhere(start, end, on_device, name);
    }

    fn add_elsewhere(&mut self, start: i64, end: i64, on_device: bool, name: impl FnOnce() -> (String, u64)) {
        if let Some(i) = self.clusters.iter().position(|c| c.is_near(start)) {
            self.clusters[i].take(start, end, on_device);
            self.recent = i;
            return;
        }
        if self.clusters.len() >= MOST {
            self.merge_nearest();
        }
        let (count, on_device) = (1, u64::from(on_device));
        self.recent = self.clusters.len();
        self.clusters.push(TimeCluster { first: start, last: start, end, count, on_device, sample: name() });
    }

    fn merge_nearest(&mut self) {
        self.clusters.sort_by_key(|c| c.first);
        let gap = |pair: &[TimeCluster]| pair[1].first.saturating_sub(pair[0].last);
        let nearest = self.clusters.windows(2).enumerate().min_by_key(|(_, pair)| gap(pair)).map(|(i, _)| i);
        if let Some(i) = nearest {
            let next = self.clusters.remove(i + 1);
            self.clusters[i].merge(next);
        }
    }

    /// Separates the recording from events that are far away from it.
    pub fn find_recording(&self) -> RecordedTime {
        let mut rest = self.clusters.clone();
        rest.sort_by_key(|c| c.first);
        let Some(main) = (0..rest.len()).max_by_key(|&i| (!rest[i].is_no_time(), rest[i].count)) else {
            return RecordedTime::default();
        };
        let mut main = rest.remove(main);
        // What is near enough belongs to it, and makes it longer; so it goes on until nothing is added.
        while let Some(i) = rest.iter().position(|c| !is_far(&main, c)) {
            main.merge(rest.remove(i));
        }
        // Another clock would go on: events that all have one timestamp were not measured by it.
        let (mut impossible, mut elsewhere): (Vec<_>, Vec<_>) =
            rest.into_iter().partition(|c| c.is_no_time() && !main.is_no_time());
        let few: u64 = elsewhere.iter().map(|c| c.count).sum();
        if few == 1 && main.count > 2 || few.saturating_mul(ROUNDING) <= main.count {
            impossible.append(&mut elsewhere);
            impossible.sort_by_key(|c| c.first);
        }
        let apart = elsewhere.first().map_or(0, |other| gap_between(&main, other));
        let all = elsewhere.iter().chain([&main]);
        let first = all.clone().map(|c| c.first).min().unwrap_or(main.first);
        let last = all.clone().map(|c| c.last).max().unwrap_or(main.last);
        let end = all.map(|c| c.end).max().unwrap_or(main.end);
        RecordedTime { extent: Some((first, end)), starts: Some((first, last)), impossible, elsewhere, apart }
    }
}

/// The time between the recording and others.
fn gap_between(main: &TimeCluster, other: &TimeCluster) -> i64 {
    if other.first > main.last {
        other.first.saturating_sub(main.end.max(main.last))
    } else {
        main.first.saturating_sub(other.last)
    }
}

fn is_far(main: &TimeCluster, other: &TimeCluster) -> bool {
    let gap = gap_between(main, other);
    let length = main.last.saturating_sub(main.first);
    gap > SHORT && gap > length.saturating_mul(FAR)
}

impl TimeCluster {
    /// Returns whether its events have one timestamp, as those do that were never measured: at 0, or several.
    fn is_no_time(&self) -> bool {
        self.first == self.last && (self.first == 0 || self.count > 2)
    }

    #[inline]
    fn is_near(&self, start: i64) -> bool {
        start >= self.first.saturating_sub(GAP) && start <= self.last.saturating_add(GAP)
    }

    #[inline]
    fn take(&mut self, start: i64, end: i64, on_device: bool) {
        self.first = self.first.min(start);
        self.last = self.last.max(start);
        self.end = self.end.max(end);
        self.count += 1;
        self.on_device += u64::from(on_device);
    }

    fn merge(&mut self, other: Self) {
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.end = self.end.max(other.end);
        self.count += other.count;
        self.on_device += other.on_device;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(starts: &[i64]) -> RecordedTime {
        let mut clusters = TimeClusters::default();
        for (i, &start) in starts.iter().enumerate() {
            clusters.add(start, start + 10, false, || ("x".to_owned(), i as u64));
        }
        clusters.find_recording()
    }

    const EPOCH: i64 = 1_623_000_000_000_000_000;

    #[test]
    fn one_event_at_zero_among_absolute_times_is_impossible() {
        let time = recorded(&[EPOCH, EPOCH + 500_000, 0, EPOCH + 1_000_000]);
        assert_eq!(time.extent, Some((EPOCH, EPOCH + 1_000_010)));
        assert_eq!((time.impossible.len(), time.impossible[0].sample.1), (1, 2));
        assert!(!time.can_start_at(0) && time.can_start_at(EPOCH));
    }

    #[test]
    fn several_events_at_one_moment_are_impossible() {
        for moment in [0, -1_000_000_000_000_000_000] {
            let starts: Vec<i64> =
                (0..6).map(|i| EPOCH + i * 1000).chain(std::iter::repeat_n(moment, 5)).collect();
            let time = recorded(&starts);
            assert_eq!((time.extent, time.elsewhere.len()), (Some((EPOCH, EPOCH + 5010)), 0));
            assert_eq!((time.impossible.len(), time.impossible[0].count), (1, 5));
        }
        // Even if they are more than all others; and two of one timestamp are not several.
        let zeros = [&[0; 9][..], &[EPOCH, EPOCH + 1000]].concat();
        assert_eq!(recorded(&zeros).extent, Some((EPOCH, EPOCH + 1010)));
        let time = recorded(&[5, 5, EPOCH, EPOCH + 1000, EPOCH + 2000]);
        assert_eq!((time.impossible.len(), time.apart), (0, EPOCH - 5));
        // Alone, they are the recording.
        assert_eq!(recorded(&[0, 0, 0]).extent, Some((0, 10)));
    }

    #[test]
    fn pauses_are_no_faults() {
        // Half an hour with a pause of ten minutes in it.
        let minute = 60_000_000_000;
        let starts: Vec<i64> = (0..20).chain(30..40).map(|m| m * minute).collect();
        let time = recorded(&starts);
        assert_eq!(time.extent, Some((0, 39 * minute + 10)));
        assert!(time.impossible.is_empty() && time.elsewhere.is_empty());
        assert_eq!(recorded(&[]).extent, None);
        assert_eq!(recorded(&[5]).extent, Some((5, 15)));
    }

    #[test]
    fn two_clocks_are_kept_both() {
        let starts: Vec<i64> = (0..10).map(|i| i * 1000).chain((0..8).map(|i| EPOCH + i * 1000)).collect();
        let time = recorded(&starts);
        assert_eq!((time.impossible.len(), time.elsewhere.len()), (0, 1));
        assert_eq!(time.extent, Some((0, EPOCH + 7010)));
    }

    #[test]
    fn many_clusters_are_bounded() {
        let starts: Vec<i64> = (0..10_000).map(|i| i * 2 * GAP).collect();
        assert_eq!(recorded(&starts).extent, Some((0, 9999 * 2 * GAP + 10)));
    }
}
