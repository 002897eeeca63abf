//! Text for people, grouped by rule, gravest first. Without findings, nothing is written.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::{End, Writer};
use crate::finding::{Finding, GRAVEST_FIRST, Severity};
use crate::text::Safe;

/// Keeps the first findings of each rule by path, so that a tree of a million faults fits on a screen.
pub struct GroupedText {
    /// Most findings shown per rule; 0 shows all.
    limit: usize,
    color: bool,
    groups: BTreeMap<(u8, String), FindingGroup>,
    heading: fn(&str) -> &'static str,
}

#[derive(Default)]
struct FindingGroup {
    count: u64,
    /// By path and what was found: one file can break a rule in several ways.
    first: BTreeMap<(String, String, String), Finding>,
}

impl GroupedText {
    /// A report that shows at most `limit` findings of a rule (0: all), each rule under its heading.
    #[must_use]
    pub fn new(limit: usize, color: bool, heading: fn(&str) -> &'static str) -> Self {
        Self { limit, color, groups: BTreeMap::new(), heading }
    }

    fn write_group(
        &self,
        text: &mut dyn Write,
        severity: Severity,
        rule: &str,
        group: &FindingGroup,
    ) -> io::Result<()> {
        let (on, off) = match (self.color, severity) {
            (false, _) => ("", ""),
            (true, Severity::Error) => ("\x1b[1;31m", "\x1b[0m"),
            (true, Severity::Warning) => ("\x1b[1;33m", "\x1b[0m"),
            (true, Severity::Note) => ("\x1b[1m", "\x1b[0m"),
        };
        let heading = (self.heading)(rule);
        writeln!(text, "{on}{severity}{off} [{rule}] {heading}: {}", group.count)?;
        for f in group.first.values() {
            write!(text, "  {}: {}", Safe(&f.path), Safe(&f.found))?;
            if !f.expected.is_empty() {
                write!(text, "; expected {}", Safe(&f.expected))?;
            }
            writeln!(text)?;
            if !f.fix.is_empty() {
                writeln!(text, "    fix: {}", Safe(&f.fix))?;
            }
        }
        let hidden = group.count - group.first.len() as u64;
        if hidden > 0 {
            writeln!(text, "  and {hidden} more; --limit 0 shows all")?;
        }
        Ok(())
    }
}

impl Writer for GroupedText {
    fn finding(&mut self, _to: &mut dyn Write, f: &Finding) -> io::Result<()> {
        let rank = GRAVEST_FIRST.iter().position(|s| *s == f.severity).unwrap_or(0) as u8;
        let group = self.groups.entry((rank, f.rule.clone())).or_default();
        group.count += 1;
        let key = (f.path.clone(), f.path_hex.clone().unwrap_or_default(), f.found.clone());
        let full = self.limit > 0 && group.first.len() >= self.limit;
        if full && group.first.last_key_value().is_some_and(|(last, _)| *last < key) {
            return Ok(());
        }
        group.first.insert(key, f.clone());
        if full {
            group.first.pop_last();
        }
        Ok(())
    }

    fn end(&mut self, to: &mut dyn Write, end: &End) -> io::Result<()> {
        for ((rank, rule), group) in &self.groups {
            self.write_group(to, GRAVEST_FIRST[usize::from(*rank)], rule, group)?;
        }
        let totals = end.totals;
        if totals.at_least(Severity::Note) > 0 {
            let accepted = end.accepted;
            let accepted = if accepted > 0 { format!("; {accepted} accepted") } else { String::new() };
            writeln!(to, "{totals} in {}{accepted}", end.counted())?;
        }
        Ok(())
    }
}
