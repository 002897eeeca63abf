//! Messages on standard error about a trace that was read, the same in every tool.

use common::out::Out;

use crate::model::{DefectCost, DefectCount};
use crate::read::ReadOutcome;

/// Reports why reading stopped, what had to be repaired, and what was lost. Losses count as errors.
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
            DefectCost::Repaired => out.warn(place, reason),
            DefectCost::EventLost | DefectCost::MoreLost => out.error(place, reason),
        }
    }
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
