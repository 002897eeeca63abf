//! How fast the processes of the hosts train, from one query of their steps to the next.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// Maximum number of processes that are followed, and of step times that are kept for each.
const MAX_FOLLOWED: usize = 100_000;
const MAX_STEP_TIMES: usize = 64;

/// The key of a process: the place of its daemon, its job and its pid.
pub(crate) type FollowedProcess = (usize, i64, i32);

/// The progress of one process.
#[derive(Clone, Debug)]
pub(crate) struct StepProgress {
    pub(crate) step: i64,
    /// When the step was first seen.
    pub(crate) since: Instant,
    /// Seconds per step between looks at which it had changed; the last one last.
    pub(crate) step_times: VecDeque<f64>,
}

/// The progress of all processes.
#[derive(Debug, Default)]
pub(crate) struct StepFollower(BTreeMap<FollowedProcess, StepProgress>);

impl StepFollower {
    /// Notes the step of a process, and returns its progress.
    pub(crate) fn note(
        &mut self,
        process: FollowedProcess,
        step: i64,
        now: Instant,
    ) -> Option<&StepProgress> {
        if self.0.len() >= MAX_FOLLOWED && !self.0.contains_key(&process) {
            return None;
        }
        let new = || StepProgress { step, since: now, step_times: VecDeque::new() };
        let progress = self.0.entry(process).or_insert_with(new);
        if step < progress.step {
            // The process, or another one with its pid, has started anew.
            *progress = new();
        } else if step > progress.step {
            let per_step =
                now.saturating_duration_since(progress.since).as_secs_f64() / (step - progress.step) as f64;
            progress.step_times.push_back(per_step);
            if progress.step_times.len() > MAX_STEP_TIMES {
                progress.step_times.pop_front();
            }
            (progress.step, progress.since) = (step, now);
        }
        Some(progress)
    }

    /// Returns the progress of every process.
    pub(crate) fn all(&self) -> impl Iterator<Item = &StepProgress> {
        self.0.values()
    }
}

impl StepProgress {
    /// Returns the steps per second as of the last change.
    pub(crate) fn steps_per_second(&self) -> Option<f64> {
        self.step_times.back().filter(|t| **t > 0.0).map(|t| 1.0 / t)
    }

    /// Returns how long the step has not changed.
    pub(crate) fn stalled_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    /// Returns how many times as long as the median of the steps before the current one takes; `None` until enough steps
    /// are known.
    pub(crate) fn slowdown(&self, now: Instant) -> Option<f64> {
        const NEEDED: usize = 5;
        if self.step_times.len() < NEEDED {
            return None;
        }
        let mut times: Vec<f64> = self.step_times.iter().copied().collect();
        let last = times.pop()?;
        times.sort_by(f64::total_cmp);
        let median = times[times.len() / 2];
        let current = last.max(self.stalled_for(now).as_secs_f64());
        (median > 0.0).then(|| current / median)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_stalls_and_slowdowns_follow_from_the_looks() {
        let start = Instant::now();
        let at = |s: u64| start + Duration::from_secs(s);
        let mut follower = StepFollower::default();
        let process = (0, 0, 7);
        for second in 0..8 {
            follower.note(process, second * 2, at(u64::try_from(second).unwrap()));
        }
        let progress = follower.note(process, 14, at(8)).unwrap();
        assert_eq!(progress.steps_per_second(), Some(2.0));
        assert_eq!(progress.stalled_for(at(12)), Duration::from_secs(5));
        assert_eq!(progress.slowdown(at(7)), Some(1.0));
        assert_eq!(progress.slowdown(at(12)), Some(10.0), "the current step counts as soon as it is late");
        let again = follower.note(process, 1, at(13)).unwrap();
        assert_eq!((again.step, again.slowdown(at(99))), (1, None), "started anew");
    }
}
