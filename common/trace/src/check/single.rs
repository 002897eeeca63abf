//! Checks of one trace. The limits are such that real traces of healthy jobs give no finding: they are stated
//! where they stand.

use std::path::Path;

use common::finding::Finding;

use super::rules::{
    CLOCKS_DISAGREE, DAMAGED, DEVICE_COUNT, DOMINANT_EVENT, DROPPED_ACTIVITIES, GRAPHS_COLLAPSED,
    IMPOSSIBLE_TIMES, LAUNCHES_WITHOUT_KERNELS, MERGED_RANKS, NO_DEVICE_EVENTS, NO_EVENTS, RANK_MISSING,
    STEPS_MISSING, STREAM_OVERRUN, TRUNCATED, UNLINKED_WORK, UNTIMED_WORK,
};
use super::{NO_STEP_NAMED, finding_of};
use crate::analysis::DeviceFacts;
use crate::analysis::sum::Sums;
use crate::model::Dialect;
use crate::read::ReadOutcome;
use crate::report::format_count;
use crate::shorten::{cut_to_width, short_name};
use crate::units::{format_duration, format_percent};

/// The findings about a trace.
pub fn check_trace(path: &Path, outcome: &ReadOutcome, sums: &Sums) -> Vec<Finding> {
    let subject = Subject { path, outcome, sums };
    [
        subject.check_completeness(),
        subject.check_times(),
        subject.check_untimed(),
        subject.check_clocks(),
        subject.check_streams(),
        subject.check_longest(),
        subject.check_device_events(),
        subject.check_graphs(),
        subject.check_links(),
        subject.check_steps(),
        subject.check_rank(),
        subject.check_devices(),
    ]
    .concat()
}

struct Subject<'a> {
    path: &'a Path,
    outcome: &'a ReadOutcome,
    sums: &'a Sums,
}

/// An event's name as messages quote it.
fn quote(name: &str) -> String {
    format!("`{}`", short_name(name))
}

fn count_of(n: u64, noun: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{} {noun}{s}", format_count(n))
}

impl Subject<'_> {
    fn device_events(&self) -> u64 {
        self.sums.totals.iter().map(|t| t.counts.device_events).sum()
    }

    fn has_events(&self) -> bool {
        self.outcome.events > 0
    }

    fn check_completeness(&self) -> Vec<Finding> {
        let (path, outcome) = (self.path, self.outcome);
        if let Some(error) = &outcome.error {
            return vec![finding_of(
                &TRUNCATED,
                path,
                error.with_place(),
                "a document that was read to its end",
            )];
        }
        let losses = outcome.defects.losses();
        if !losses.is_empty() {
            let causes: Vec<String> =
                losses.iter().map(|(cause, n)| format!("{cause} {}", format_count(*n))).collect();
            return vec![finding_of(
                &DAMAGED,
                path,
                format!("lost: {}", causes.join(", ")),
                "a document without faults",
            )];
        }
        if outcome.events == 0 {
            let found = "no events".to_owned();
            return vec![finding_of(&NO_EVENTS, path, found, "events of a recording")];
        }
        Vec::new()
    }

    fn check_times(&self) -> Vec<Finding> {
        let recorded = &self.sums.recorded;
        let count: u64 = recorded.impossible.iter().map(|c| c.count).sum();
        let Some((first, (start, end))) = recorded.impossible.first().zip(recorded.extent) else {
            return Vec::new();
        };
        let (name, index) = &first.sample;
        let found = format!(
            "{} far from all others, first event {} of the file: {} at {} ns",
            count_of(count, "event"),
            format_count(index + 1),
            quote(name),
            first.first
        );
        let expected = format!("times between {start} and {end} ns");
        vec![finding_of(&IMPOSSIBLE_TIMES, self.path, found, &expected)]
    }

    /// Device work that counts for nothing, and should.
    fn check_untimed(&self) -> Vec<Finding> {
        let untimed = &self.sums.untimed;
        let Some((name, index)) = &untimed.first else { return Vec::new() };
        let found = format!(
            "{} without a usable time or duration, first event {} of the file: {}",
            count_of(untimed.count, "device event"),
            format_count(index + 1),
            quote(name)
        );
        vec![finding_of(&UNTIMED_WORK, self.path, found, "a start and a duration of at least 0")]
    }

    /// Device work before its launch, or a recording of the device far from that of the host.
    fn check_clocks(&self) -> Vec<Finding> {
        let (recorded, links) = (&self.sums.recorded, &self.sums.links);
        let path = self.path;
        if let Some(other) = recorded.elsewhere.first() {
            let found = format!(
                "{} of {} stand {} away from the others, first {}",
                count_of(other.count, "event"),
                format_count(self.outcome.events),
                format_duration(recorded.apart),
                quote(&other.sample.0)
            );
            return vec![finding_of(&CLOCKS_DISAGREE, path, found, "one stretch of time")];
        }
        // Single records are wrong in healthy traces, too; a clock that is wrong is wrong for many.
        if links.before_launch >= 5 && links.before_launch.saturating_mul(20) > links.launched {
            let found = format!(
                "{} of {} device events start before their launch, by up to {}",
                format_count(links.before_launch),
                format_count(links.launched),
                format_duration(links.earliest_ns)
            );
            return vec![finding_of(&CLOCKS_DISAGREE, path, found, "work that starts after its launch")];
        }
        Vec::new()
    }

    /// Overruns that change the sums: a tenth of the time between first start and last end.
    fn check_streams(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for facts in &self.sums.facts {
            let Some(worst) = facts.overruns.first() else { continue };
            // Streams on which many events contain others run them side by side.
            let few = facts.overrun_count.saturating_mul(50) <= facts.events.max(50);
            if few && worst.by.saturating_mul(10) >= facts.total {
                let is_longest = facts.longest.as_ref().is_some_and(|(_, start, _)| *start == worst.start);
                let without = if is_longest { compute_without_longest(facts) } else { String::new() };
                let found = format!(
                    "device {}, stream {}: {} overruns its successor by {} ns: {} at {} ns, and {} within it{without}",
                    device_text(facts.device),
                    worst.stream,
                    count_of(facts.overrun_count, "event"),
                    worst.by,
                    quote(&worst.name),
                    worst.start,
                    count_of(worst.contains, "event"),
                );
                let expected = "events of a stream one after the other";
                findings.push(finding_of(&STREAM_OVERRUN, self.path, found, expected));
            }
        }
        findings
    }

    /// One of many events takes more time than all others. Of a few, it must be far longer than the next.
    fn check_longest(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for facts in self.sums.facts.iter().filter(|f| f.events >= 5) {
            let Some((name, start, duration)) = &facts.longest else { continue };
            let times = if facts.events >= 20 { 10 } else { 1000 };
            // If its end is wrong, that is the finding.
            let overruns = facts.overruns.iter().any(|o| o.start == *start);
            let most = !overruns && duration.saturating_mul(2) > facts.busy;
            if most && *duration / times >= facts.second_longest {
                let found = format!(
                    "device {}: {} at {start} ns lasts {}, {} of the busy time of {}{}",
                    device_text(facts.device),
                    quote(name),
                    format_duration(*duration),
                    format_percent(Some(*duration as f64 / facts.busy.max(1) as f64)),
                    count_of(facts.events, "event"),
                    compute_without_longest(facts),
                );
                findings.push(finding_of(&DOMINANT_EVENT, self.path, found, ""));
            }
        }
        findings
    }

    fn check_device_events(&self) -> Vec<Finding> {
        let (links, meta) = (&self.sums.links, &self.outcome.meta);
        let path = self.path;
        let missing = links.kernels_missing;
        // Copies may come to nothing: that many do not.
        let copies = links.copies_missing >= 10 && links.copies_missing.saturating_mul(2) > links.copies;
        let missing = missing.saturating_add(if copies { links.copies_missing } else { 0 });
        if self.device_events() == 0 {
            // A replay whose kernels have no correlation would be explained by those; here nothing ran at all.
            let missing = missing.saturating_add(links.graphs);
            if missing > 0 {
                let found = format!("{} without a device event", count_of(missing, "launch"));
                let found = found.replace("launchs", "launches");
                return vec![finding_of(&LAUNCHES_WITHOUT_KERNELS, path, found, "a device event for each")];
            }
            let of_device = !meta.devices.is_empty() && self.has_events();
            if of_device {
                let found = format!(
                    "no device events; the trace lists {}",
                    count_of(meta.devices.len() as u64, "device")
                );
                return vec![finding_of(&NO_DEVICE_EVENTS, path, found, "kernels, copies, fills")];
            }
            return Vec::new();
        }
        // At the end of a recording some launches have not run yet: a twentieth of them is no edge.
        if missing >= 10 && missing.saturating_mul(20) > links.launches {
            let found = format!(
                "{} of {} launches without a device event",
                format_count(missing),
                format_count(links.launches)
            );
            let rule = if missing.saturating_mul(2) > links.launches {
                &LAUNCHES_WITHOUT_KERNELS
            } else {
                &DROPPED_ACTIVITIES
            };
            return vec![finding_of(rule, path, found, "a device event for each")];
        }
        self.check_event_limit()
    }

    /// The exporter of JAX and TensorFlow keeps at most this number of events (openxla/xla
    /// `xla/tsl/profiler/convert/xplane_to_trace_events.cc`).
    fn check_event_limit(&self) -> Vec<Finding> {
        let events = self.outcome.events;
        let at_limit = [1_000_000, 5_000_000].contains(&events);
        if at_limit && self.outcome.meta.dialect == Dialect::Chrome {
            let found = format!("exactly {} events, the exporter's limit", format_count(events));
            return vec![finding_of(&DROPPED_ACTIVITIES, self.path, found, "fewer")];
        }
        Vec::new()
    }

    fn check_graphs(&self) -> Vec<Finding> {
        let links = &self.sums.links;
        // Unlinked work may be what the replays ran: then that is the finding.
        let nothing = self.device_events() == 0;
        let explained = nothing || links.unlinked > 0 && links.graph_events == 0;
        if links.graphs == 0 || links.graph_events > links.graphs || explained {
            return Vec::new();
        }
        let found = format!(
            "{} of graphs with {} in all",
            count_of(links.graphs, "replay"),
            count_of(links.graph_events, "device event")
        );
        vec![finding_of(&GRAPHS_COLLAPSED, self.path, found, "the kernels of each replay")]
    }

    /// Work without a launch: a fifth of the device time is more than what was left over from before the recording.
    fn check_links(&self) -> Vec<Finding> {
        let links = &self.sums.links;
        let all = links.linked_ns.saturating_add(links.unlinked_ns);
        if links.launches == 0 && links.linked == 0 || links.unlinked_ns.saturating_mul(5) <= all {
            return Vec::new();
        }
        let share = format_percent(Some(links.unlinked_ns as f64 / all.max(1) as f64));
        let kept = if self.sums.steps_by_start { "counted" } else { "left out" };
        let found = format!(
            "{} of {} device events ({share} of device time) have no launch in the trace: {kept}",
            format_count(links.unlinked),
            format_count(links.unlinked.saturating_add(links.linked)),
        );
        vec![finding_of(&UNLINKED_WORK, self.path, found, "a launch or an operator for each")]
    }

    fn check_steps(&self) -> Vec<Finding> {
        let marked = self.sums.host.iter().any(|h| h.steps > 0);
        if marked || self.device_events() == 0 {
            return Vec::new();
        }
        let found = if self.sums.step_names_unused {
            NO_STEP_NAMED.to_owned()
        } else {
            "no steps are marked, and none follow from an optimizer".to_owned()
        };
        vec![finding_of(&STEPS_MISSING, self.path, found, "")]
    }

    /// Collectives without a rank or a world size.
    fn check_rank(&self) -> Vec<Finding> {
        let meta = &self.outcome.meta;
        let collectives: u64 = self.sums.totals.iter().map(|t| t.counts.collectives).sum();
        let mut findings = Vec::new();
        if self.sums.scopes.are_several() {
            let labels: Vec<String> =
                self.sums.scopes.scopes.iter().filter_map(|s| s.label.clone()).collect();
            let found = format!(
                "{}: {}",
                count_of(labels.len() as u64, "rank"),
                cut_to_width(&labels.join(", "), 60)
            );
            findings.push(finding_of(&MERGED_RANKS, self.path, found, "one"));
        } else if collectives > 0
            && meta.dialect == Dialect::Kineto
            && (meta.rank.is_none() || meta.world_size.is_none())
        {
            let what = match (meta.rank, meta.world_size) {
                (None, None) => "neither rank nor world size",
                (None, _) => "no rank",
                _ => "no world size",
            };
            let found = format!("{what}, and {}", count_of(collectives, "collective"));
            findings.push(finding_of(&RANK_MISSING, self.path, found, "both in distributedInfo"));
        }
        findings
    }

    /// Work on more devices than the trace lists. Their numbers may differ: ROCm numbers them over all of a host.
    fn check_devices(&self) -> Vec<Finding> {
        let listed = self.outcome.meta.devices.len();
        let used = self.sums.totals.iter().filter(|t| t.device.is_some()).count();
        if listed == 0 || used <= listed || self.sums.scopes.are_several() {
            return Vec::new();
        }
        let found = format!(
            "work on {}, and the trace lists {}",
            count_of(used as u64, "device"),
            count_of(listed as u64, "device")
        );
        vec![finding_of(&DEVICE_COUNT, self.path, found, "no more devices than are listed")]
    }
}

/// Describes the computation of a device without its longest event.
fn compute_without_longest(facts: &DeviceFacts) -> String {
    facts
        .without_longest
        .map_or(String::new(), |split| format!("; without it {} ns of compute", split.compute))
}

fn device_text(device: i64) -> String {
    if device == i64::MIN { "-".to_owned() } else { device.to_string() }
}
