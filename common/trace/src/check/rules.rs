//! The rules of `traceq check`.

use common::finding::Severity;
use common::rule::Rule;

pub(super) const TRUNCATED: Rule = Rule {
    id: "truncated",
    severity: Severity::Error,
    what: "the trace is not complete",
    why: "Whatever stands behind the cut is missing from every number.",
    fix: "record again, and copy the file when its writer has finished: `profctl gputrace --wait` waits for that",
    reference: "traceq(1), EXIT STATUS",
};

pub(super) const DAMAGED: Rule = Rule {
    id: "damaged",
    severity: Severity::Warning,
    what: "events were lost in reading",
    why: "What could not be read is missing from every number.",
    fix: "record again, or look at the places that are named on standard error",
    reference: "traceq(1), EXIT STATUS",
};

pub(super) const NO_EVENTS: Rule = Rule {
    id: "no-events",
    severity: Severity::Error,
    what: "the trace has no events",
    why: "Nothing was recorded: the profiler was stopped before its first step, or its buffers were never read.",
    fix: "record for longer, or by iterations: `profctl gputrace --iterations 5`",
    reference: "pytorch/kineto issue 996",
};

pub(super) const IMPOSSIBLE_TIMES: Rule = Rule {
    id: "impossible-times",
    severity: Severity::Error,
    what: "events stand at times that cannot be true",
    why: "One event at the time 0 makes a trace of a second last for decades; traceq and tracewhy leave such events out of their sums.",
    fix: "leave these events out in other tools, too: HTA and Perfetto count them; update the driver and the profiler",
    reference: "pytorch/kineto issue 109",
};

pub(super) const UNTIMED_WORK: Rule = Rule {
    id: "untimed-work",
    severity: Severity::Error,
    what: "device work has no usable time or duration",
    why: "It is in no sum, or counts as zero: busy time is too low, and idle time too high.",
    fix: "record again with a current profiler; see the events: `traceq cat --format json`",
    reference: "traceq(1)",
};

pub(super) const CLOCKS_DISAGREE: Rule = Rule {
    id: "clocks-disagree",
    severity: Severity::Error,
    what: "host and device have different clocks",
    why: "Work cannot start before its launch: idle time, launch delays and steps by time are wrong.",
    fix: "record again with a current CUPTI, ROCm or CANN; compare only durations on the device",
    reference: "pytorch/kineto libkineto/src/ApproximateClock.h; AMD-AGI/TraceLens issue 972",
};

pub(super) const STREAM_OVERRUN: Rule = Rule {
    id: "stream-overrun",
    severity: Severity::Error,
    what: "an event lasts into its stream's successors",
    why: "A stream runs one event after the other, so this end is wrong, and with it busy and idle time.",
    fix: "leave the event out of conclusions, or record again",
    reference: "AMD-AGI/TraceLens issue 972",
};

pub(super) const DOMINANT_EVENT: Rule = Rule {
    id: "dominant-event",
    severity: Severity::Warning,
    what: "one event makes most of the device time",
    why: "Shares and averages say little beside it: it may wait for another rank, or its duration may be wrong.",
    fix: "look at it: `traceq cat --category kernel,collective --name NAME`; record a window without it",
    reference: "traceq(1)",
};

pub(super) const NO_DEVICE_EVENTS: Rule = Rule {
    id: "no-device-events",
    severity: Severity::Warning,
    what: "the trace has no device events, although it is of a device",
    why: "Only host time can be analyzed: the profiler had no access to the device, or was asked for the host only.",
    fix: "record with device activities; check that no other profiler holds the device, and that the process may profile it",
    reference: "pytorch/kineto issue 996",
};

pub(super) const LAUNCHES_WITHOUT_KERNELS: Rule = Rule {
    id: "launches-without-kernels",
    severity: Severity::Warning,
    what: "launches have no device event",
    why: "Kernels ran that are not in the trace, so device time is missing from it.",
    fix: "record with device activities; check that no other profiler holds the device, and that the process may profile it",
    reference: "pytorch/kineto issue 996; Hyperloom issue 769",
};

pub(super) const DROPPED_ACTIVITIES: Rule = Rule {
    id: "dropped-activities",
    severity: Severity::Warning,
    what: "activities are missing in the middle of the trace",
    why: "The profiler's buffers were full: busy time is too low, and idle time too high.",
    fix: "record for a shorter time, or give the profiler larger buffers (libkineto: ACTIVITIES_MAX_GPU_BUFFER_SIZE_MB)",
    reference: "pytorch/kineto libkineto/src/Config.cpp; openxla/xprof docs/trace_viewer.md",
};

pub(super) const GRAPHS_COLLAPSED: Rule = Rule {
    id: "graph-replays-collapsed",
    severity: Severity::Warning,
    what: "replays of graphs have no kernels of their own",
    why: "A replay that is one event, or none, hides which kernels ran, and whether the device waited between them.",
    fix: "record nodes of graphs (nsys: --cuda-graph-trace=node), or run without graphs while recording",
    reference: "nsys User Guide, --cuda-graph-trace; Hyperloom issue 1047",
};

pub(super) const UNLINKED_WORK: Rule = Rule {
    id: "unlinked-work",
    severity: Severity::Warning,
    what: "much device work is not linked to its launch",
    why: "It belongs to no operator and to no step: sums by step leave it out, or count it where it starts.",
    fix: "record with host activities (runtime or driver calls), and over whole steps; see --include-unlinked",
    reference: "AMD-AGI/TraceLens issue 728; Hyperloom issue 1047",
};

pub(super) const STEPS_MISSING: Rule = Rule {
    id: "steps-missing",
    severity: Severity::Note,
    what: "the trace marks no steps",
    why: "Only the whole can be analyzed: warm-up, data loading and the cut edges are in it.",
    fix: "call torch.profiler's step(), or name the ranges that are steps: --step-name REGEX",
    reference: "traceq(1), --step-name",
};

pub(super) const RANK_MISSING: Rule = Rule {
    id: "rank-missing",
    severity: Severity::Warning,
    what: "a trace of a distributed job does not say its rank or world size",
    why: "Traces of several ranks cannot be put in order, nor can one be found missing.",
    fix: "initialize the process group before the profiler starts; keep the rank in the file's name",
    reference: "pytorch/kineto libkineto/src/output_json.cpp, distributedInfo",
};

pub(super) const DEVICE_COUNT: Rule = Rule {
    id: "device-count",
    severity: Severity::Warning,
    what: "the number of devices is not what it should be",
    why: "Work on a device that is not this rank's takes its time and memory from another rank.",
    fix: "set the device before anything allocates on one (torch.cuda.set_device), or CUDA_VISIBLE_DEVICES",
    reference: "PyTorch documentation, torch.cuda.set_device",
};

pub(super) const MERGED_RANKS: Rule = Rule {
    id: "merged-ranks",
    severity: Severity::Note,
    what: "the file holds several ranks",
    why: "Tools that take the number of a device for its identity add up the devices of different ranks.",
    fix: "analyze the ranks' own files; traceq sums the ranks apart",
    reference: "pytorch/pytorch issue 161145; sglang issue 39037",
};

pub(super) const RANKS_DO_NOT_OVERLAP: Rule = Rule {
    id: "ranks-do-not-overlap",
    severity: Severity::Error,
    what: "traces of one job were recorded at different times",
    why: "Ranks can be compared only in a window that all of them recorded.",
    fix: "trigger all ranks at once, by iteration: `profctl gputrace --iterations 5 --profile-start-iteration-roundup 100`",
    reference: "traceq(1)",
};

pub(super) const RANK_CLOCKS_DISAGREE: Rule = Rule {
    id: "rank-clocks-disagree",
    severity: Severity::Warning,
    what: "the clocks of ranks disagree",
    why: "Ranks that exchange data are in the same step at the same time: waiting times between them are wrong.",
    fix: "synchronize the hosts' clocks (chrony, PTP), or compare the ranks by steps instead of by time",
    reference: "traceq(1)",
};

/// Every rule.
pub const RULES: &[Rule] = &[
    TRUNCATED,
    DAMAGED,
    NO_EVENTS,
    IMPOSSIBLE_TIMES,
    UNTIMED_WORK,
    CLOCKS_DISAGREE,
    STREAM_OVERRUN,
    RANKS_DO_NOT_OVERLAP,
    DOMINANT_EVENT,
    NO_DEVICE_EVENTS,
    LAUNCHES_WITHOUT_KERNELS,
    DROPPED_ACTIVITIES,
    GRAPHS_COLLAPSED,
    UNLINKED_WORK,
    RANK_MISSING,
    DEVICE_COUNT,
    RANK_CLOCKS_DISAGREE,
    MERGED_RANKS,
    STEPS_MISSING,
];

/// The rules whose findings reading a trace reports by itself.
pub(super) const SAID_IN_READING: &[&str] = &[TRUNCATED.id, DAMAGED.id, NO_EVENTS.id];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_rule_has_a_reason_a_fix_and_a_reference() {
        for rule in RULES {
            for text in [rule.what, rule.why, rule.fix, rule.reference] {
                assert!(!text.trim().is_empty(), "{}", rule.id);
            }
            assert!(rule.why.starts_with(char::is_uppercase) && rule.why.ends_with('.'), "{}", rule.id);
        }
        let ids: BTreeSet<_> = RULES.iter().map(|rule| rule.id).collect();
        assert_eq!(ids.len(), RULES.len(), "ids are unique");
    }
}
