//! Where a daemon writes metrics, and what was lost, from its counters.

use std::collections::BTreeMap;

/// The prefix of the counters of sinks: `metrics.sink.<name>.recorded`, `metrics.sink.<name>.waiting`,
/// `metrics.sink.<name>.dropped.<cause>`.
const PREFIX: &str = "metrics.sink.";

/// Formats what became of metrics, one line for each sink.
pub(crate) fn format_sinks(counters: &BTreeMap<String, u64>) -> Vec<String> {
    let mut sinks: BTreeMap<&str, (u64, Vec<String>)> = BTreeMap::new();
    for (name, n) in counters {
        let Some((sink, what)) = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('.')) else {
            continue;
        };
        let (recorded, lost) = sinks.entry(sink).or_default();
        match what.strip_prefix("dropped.") {
            Some(cause) if *n > 0 => lost.push(format!("{n} lost ({})", cause.replace('_', " "))),
            None if what == "recorded" => *recorded = *n,
            None if what == "waiting" && *n > 0 => lost.push(format!("{n} waiting")),
            _ => {}
        }
    }
    let line = |(sink, (recorded, lost)): (&str, (u64, Vec<String>))| {
        let parts: Vec<String> = std::iter::once(format!("{recorded} recorded")).chain(lost).collect();
        format!("metrics, {sink}: {}", parts.join(", "))
    };
    sinks.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sink_has_a_line_with_its_losses() {
        let counters = [
            ("metrics.recorded", 9),
            ("metrics.sink.csv.recorded", 4),
            ("metrics.sink.csv.dropped.queue_full", 2),
            ("metrics.sink.csv.dropped.not_written", 0),
            ("metrics.sink.otlp.recorded", 5),
            ("metrics.sink.otlp.new", 1),
            ("metrics.sink.otlp.waiting", 44),
            ("metrics.sink.x", 1),
        ];
        let lines = format_sinks(&counters.map(|(name, n)| (name.to_owned(), n)).into());
        assert_eq!(
            lines,
            ["metrics, csv: 4 recorded, 2 lost (queue full)", "metrics, otlp: 5 recorded, 44 waiting"]
        );
    }
}
