//! Messages on standard error about a trace that was read, the same in every tool.

use common::out::{Out, Verbosity};
use common::text::count_noun;

use crate::model::{DefectCost, DefectCount};
use crate::read::ReadOutcome;

/// Reports why reading stopped, what had to be repaired, and what was lost. Losses count as errors, but for what these
/// tools do not read.
pub fn report_faults(out: &Out, label: &str, outcome: &ReadOutcome) {
    if let Some(e) = &outcome.error {
        out.error(format_args!("{label}{}", e.place()), e);
    }
    if outcome.complete && outcome.events == 0 {
        out.warn(label, "has no events: nothing was recorded");
    }
    for (defect, DefectCount { count, line, offset }) in outcome.defects.iter() {
        let often =
            if *count > 1 { format!(", {} times, here first", format_count(*count)) } else { String::new() };
        // Where the input is no text, there are no lines; where the byte says nothing, it is 0.
        let place = if *line > 0 { format!("{label}:{line}") } else { label.to_owned() };
        let byte = if *line > 0 || *offset > 0 { format!(" (byte {offset})") } else { String::new() };
        let reason = format!("{}{often}{byte}", defect.describe());
        match defect.cost() {
            DefectCost::Allowed => out.diag().info(place, reason),
            DefectCost::Repaired | DefectCost::Unread => out.warn(place, reason),
            DefectCost::EventLost | DefectCost::MoreLost => out.error(place, reason),
        }
    }
}

/// Maximum number of traces that get a line of their own for one reason, and that are named beyond that.
const MOST_NAMED: usize = 3;

/// Warns of traces that have one thing in common: of each on a line of its own while they are few or with `--verbose`,
/// otherwise of all on one line with their number and the first of their names, so that the warnings about hundreds of
/// ranks do not hide the result.
///
/// A warning is the name of the trace and what is to be said of it; `of_all` is that in the plural.
pub fn warn_of_traces(out: &Out, of_all: &str, warnings: &[(String, String)]) {
    if warnings.len() <= MOST_NAMED || out.diag().verbosity() >= Verbosity::Verbose {
        return warnings.iter().for_each(|(label, reason)| out.warn(label, reason));
    }
    let names: Vec<&str> = warnings.iter().take(MOST_NAMED).map(|(label, _)| label.as_str()).collect();
    let (names, more) = (names.join(", "), warnings.len() - MOST_NAMED);
    let count = count_noun(warnings.len() as u64, "trace");
    out.warn(count, format_args!("{of_all}: {names} and {more} more; --verbose names all"));
}

/// A count with its thousands apart: `1,234,567`.
pub fn format_count(n: u64) -> String {
    let digits = n.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(|g| String::from_utf8_lossy(g));
    groups.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_read_well() {
        assert_eq!(
            [0, 999, 1000, 1_234_567].map(format_count),
            ["0", "999", "1,000", "1,234,567"].map(str::to_owned)
        );
    }
}
