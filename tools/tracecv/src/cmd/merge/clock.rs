//! The clock of one rank against that of another, by the collectives that both took part in.
//!
//! No rank leaves a collective before the last has entered it, so its ends lie close together, while its starts tell who
//! waited. Clocks differ by an offset, and by a drift: the ratio of their speeds.

use trace::model::{Category, Event, EventSink, FastMap, FastState, is_collective_call};
use trace::read::{RawValue, find_argument};

/// Where a collective was seen, the surest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CollectiveSource {
    /// Kernels of a communication library.
    Device,
    /// Ranges that the backend marks around the work (`gloo:all_reduce`).
    Range,
    /// Calls on the host, which may return before the work is done.
    Call,
}

const SOURCES: [CollectiveSource; 3] =
    [CollectiveSource::Device, CollectiveSource::Range, CollectiveSource::Call];

/// Start and end of a collective on the clock of its rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CollectiveSpan {
    pub(super) start: i64,
    pub(super) end: i64,
}

/// The collectives of one trace, each under a key that is the same on all ranks.
#[derive(Default)]
pub(super) struct CollectiveSink {
    spans: [FastMap<u64, CollectiveSpan>; 3],
    /// How many of each kind have been seen, for those that no sequence number tells apart.
    seen: FastMap<u64, u64>,
    state: FastState,
}

impl EventSink for CollectiveSink {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        let Some((start, end)) = event.span() else { return Ok(()) };
        let name = event.name.decode();
        let source = match event.category {
            Category::Collective => CollectiveSource::Device,
            Category::Kernel
                if trace::model::classify_kernel_name(&name) == trace::model::KernelClass::Communication =>
            {
                CollectiveSource::Device
            }
            Category::Marker | Category::CpuOp if is_collective_call(&name) => {
                if name.contains(':') && !name.contains("::") {
                    CollectiveSource::Range
                } else if name == "record_param_comms" {
                    CollectiveSource::Call
                } else {
                    return Ok(());
                }
            }
            _ => return Ok(()),
        };
        if let Some(key) = self.key_of(event, &name, source) {
            self.spans[source as usize].entry(key).or_insert(CollectiveSpan { start, end });
        }
        Ok(())
    }
}

impl CollectiveSink {
    /// What is the same on every rank: group, kind, and the sequence number or else the place among those of its kind.
    /// `None` for what two ranks do alone.
    fn key_of(&mut self, event: &Event<'_>, name: &str, source: CollectiveSource) -> Option<u64> {
        use std::hash::BuildHasher;
        let text = |key| match find_argument(event.args, key) {
            Some(RawValue::Text(text)) => text.decode().into_owned(),
            Some(RawValue::Number(digits)) => String::from_utf8_lossy(digits).into_owned(),
            _ => String::new(),
        };
        let (kind, group) = (text("Collective name"), text("Process Group Name"));
        let kind = if kind.is_empty() { name.to_owned() } else { kind };
        let lower = kind.to_ascii_lowercase();
        if ["send", "recv", "receive"].iter().any(|word| lower.contains(word)) {
            return None;
        }
        let size = text("In msg nelems");
        let family = self.state.hash_one((source as u8, &kind, &group, &size));
        let sequence = text("Seq");
        if !sequence.is_empty() {
            return Some(self.state.hash_one((family, &sequence, true)));
        }
        let count = self.seen.entry(family).or_default();
        *count += 1;
        Some(self.state.hash_one((family, *count, false)))
    }

    /// The spans that both traces have, of the surest source that they share: the other's, and this one's.
    pub(super) fn matches(&self, other: &Self) -> Vec<(CollectiveSpan, CollectiveSpan)> {
        for source in SOURCES {
            let (own, theirs) = (&self.spans[source as usize], &other.spans[source as usize]);
            let mut found: Vec<_> =
                own.iter().filter_map(|(key, span)| Some((*theirs.get(key)?, *span))).collect();
            if !found.is_empty() {
                found.sort_unstable_by_key(|(theirs, _)| theirs.end);
                return found;
            }
        }
        Vec::new()
    }
}

/// How to come from one clock to another.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct ClockFit {
    /// The moment at which `offset` holds.
    origin: i64,
    /// Nanoseconds to add.
    pub(super) offset: i64,
    /// Nanoseconds to add for each nanosecond since the origin.
    pub(super) drift: f64,
    /// Median distance of the ends of matching collectives, in nanoseconds.
    pub(super) residual: i64,
    /// Matching collectives.
    pub(super) matched: u64,
}

impl ClockFit {
    /// Fits moments of one clock to the same moments of another. `None` without any.
    pub(super) fn of(pairs: &[(i64, i64)]) -> Option<Self> {
        let origin = pairs.first()?.0;
        let steady = Self::with_drift(pairs, origin, 0.0);
        // The slopes between the first half and the second: few, far apart, and their median knows no outliers.
        let half = pairs.len() / 2;
        let mut slopes: Vec<f64> = (0..half)
            .filter_map(|i| {
                let ((x, y), (x2, y2)) = (pairs[i], pairs[i + half]);
                let run = x2.checked_sub(x).filter(|run| *run > 0)?;
                Some((y2.saturating_sub(y).saturating_sub(run)) as f64 / run as f64)
            })
            .collect();
        slopes.sort_unstable_by(f64::total_cmp);
        let Some(&drift) = slopes.get(slopes.len() / 2).filter(|_| pairs.len() >= 4) else {
            return Some(steady);
        };
        let drifting = Self::with_drift(pairs, origin, drift);
        // A drift that explains nothing is noise.
        Some(if drifting.residual < steady.residual / 2 { drifting } else { steady })
    }

    fn with_drift(pairs: &[(i64, i64)], origin: i64, drift: f64) -> Self {
        let shape = Self { origin, drift, ..Self::default() };
        let mut offsets: Vec<i64> = pairs.iter().map(|(x, y)| y.saturating_sub(shape.apply(*x))).collect();
        let offset = median(&mut offsets);
        let mut distances: Vec<i64> =
            offsets.iter().map(|o| o.saturating_sub(offset).saturating_abs()).collect();
        Self { offset, residual: median(&mut distances), matched: pairs.len() as u64, ..shape }
    }

    /// A moment on the other clock.
    pub(super) fn apply(&self, moment: i64) -> i64 {
        let since = moment.saturating_sub(self.origin) as f64;
        moment.saturating_add(self.offset).saturating_add((since * self.drift).round() as i64)
    }
}

fn median(values: &mut [i64]) -> i64 {
    if values.is_empty() {
        return 0;
    }
    let middle = values.len() / 2;
    *values.select_nth_unstable(middle).1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Moments of a clock that is `offset` behind and `ppm` too slow, with some noise.
    fn moments(offset: i64, ppm: f64, noise: i64) -> Vec<(i64, i64)> {
        (0..200_i64)
            .map(|i| {
                let truth = 5_000_000_000 + i * 10_000_000;
                let own = truth - offset - ((truth - 5_000_000_000) as f64 * ppm / 1e6) as i64;
                (own, truth + (i * 7919) % 13 * noise / 13)
            })
            .collect()
    }

    #[test]
    fn planted_offsets_and_drifts_are_found() {
        for (offset, ppm) in [(0, 0.0), (123_456_789, 0.0), (-7_000_000, 40.0), (1 << 40, -100.0)] {
            let pairs = moments(offset, ppm, 1_000);
            let fit = ClockFit::of(&pairs).unwrap();
            for (own, truth) in &pairs {
                assert!((fit.apply(*own) - truth).abs() < 2_000, "{offset} {ppm}: {fit:?}");
            }
        }
    }

    #[test]
    fn noise_is_no_drift() {
        let fit = ClockFit::of(&moments(5, 0.0, 100_000)).unwrap();
        assert_eq!(fit.drift, 0.0);
        assert_eq!(ClockFit::of(&[]), None);
        assert_eq!(ClockFit::of(&[(3, 10)]).unwrap().apply(4), 11);
    }
}
