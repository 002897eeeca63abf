//! Text for people: the gravest first, each cause once.
//!
//! Modes that a umask explains are one cause, however many entries have them; what no umask explains is listed first.

use std::collections::BTreeMap;
use std::io::{self, Write};

use common::finding::{Finding, GRAVEST_FIRST, Severity};
use common::policy::Mode;
use common::text::Safe;

use super::{AuditReport, AuditResult};
use crate::plan::AuditIssue;
use crate::rule::danger::umask_of;
use crate::rule::{rule_descriptions, rule_heading};

/// The rules about permission bits, whose findings a umask may explain.
const MODE_RULES: [&str; 3] = ["world-writable", "group-writable", "mode"];

/// The rules whose findings are listed before all others of their severity.
const FIRST: [&str; 2] = ["key-readable", "world-writable"];

/// Entries of one umask that are listed one by one.
const FEW: usize = 3;

/// Findings of an error that are listed, and of a warning or note, without `--limit`.
const LISTED: [usize; 2] = [20, FEW];

/// How to write text.
#[derive(Clone, Debug, Default)]
pub(crate) struct TextOptions {
    /// Most findings to list of each cause; 0 lists all.
    pub(crate) limit: Option<usize>,
    pub(crate) color: bool,
    /// `permck fix …`, without `--umask`: its paths and options are those of the audit.
    pub(crate) fix: FixCommand,
}

/// The command that fixes what the audit found.
#[derive(Clone, Debug, Default)]
pub(crate) struct FixCommand {
    pub(crate) options: String,
    pub(crate) paths: String,
    /// The paths are those of an image: the command is for the system in it, and must not run on this one.
    pub(crate) in_image: bool,
}

/// Collects the findings of each cause, and writes them at the end.
pub(crate) struct CauseReport {
    options: TextOptions,
    causes: BTreeMap<CauseKey, Cause>,
}

/// In the order in which causes are written: by severity; what a umask explains behind the rest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct CauseKey {
    severity: usize,
    /// The place in [`FIRST`].
    rank: usize,
    umask: Option<u32>,
    rule: usize,
}

#[derive(Default)]
struct Cause {
    count: u64,
    /// Of entries that a umask explains: how many others, or the group, may write.
    writable: u64,
    /// By path and what was found: one file can break a rule in several ways.
    first: BTreeMap<(String, String, String), Finding>,
}

impl CauseReport {
    pub(crate) fn new(options: TextOptions) -> Self {
        Self { options, causes: BTreeMap::new() }
    }

    fn limit(&self, key: &CauseKey) -> usize {
        let usual = LISTED[usize::from(GRAVEST_FIRST[key.severity] != Severity::Error)];
        self.options.limit.unwrap_or(usual)
    }

    fn write_cause(&self, to: &mut dyn Write, key: &CauseKey, cause: &Cause) -> io::Result<()> {
        let severity = GRAVEST_FIRST[key.severity];
        let (on, off) = match (self.options.color, severity) {
            (false, _) => ("", ""),
            (true, Severity::Error) => ("\x1b[1;31m", "\x1b[0m"),
            (true, Severity::Warning) => ("\x1b[1;33m", "\x1b[0m"),
            (true, Severity::Note) => ("\x1b[1m", "\x1b[0m"),
        };
        let rule = rule_descriptions().nth(key.rule);
        let id = rule.map_or("mode", |rule| rule.id);
        // With --limit, the entries themselves are printed.
        if let (Some(umask), true) = (key.umask, cause.count > FEW as u64 && self.options.limit.is_none()) {
            write!(to, "{on}{severity}{off} [{id}] ")?;
            return self.write_umask(to, Mode(umask), severity, cause);
        }
        writeln!(to, "{on}{severity}{off} [{id}] {}: {}", rule_heading(id), grouped(cause.count))?;
        let one_by_one = severity == Severity::Error || cause.count == 1 || self.options.limit.is_some();
        for f in cause.first.values() {
            write_finding(to, f, one_by_one)?;
        }
        let hidden = cause.count - cause.first.len() as u64;
        if hidden > 0 {
            writeln!(to, "  and {} more; --limit 0 shows all", grouped(hidden))?;
        }
        match rule {
            Some(rule) if !one_by_one => writeln!(to, "    fix: {}", rule.fix),
            _ => Ok(()),
        }
    }

    fn write_umask(
        &self,
        to: &mut dyn Write,
        umask: Mode,
        severity: Severity,
        cause: &Cause,
    ) -> io::Result<()> {
        let (n, written) = (grouped(cause.count), grouped(cause.writable));
        let entries = if cause.count == 1 { "entry" } else { "entries" };
        let what = match (severity, cause.writable) {
            (Severity::Note, _) => format!("{n} {entries}, whose permissions no other user can use"),
            (_, 0) => format!("{n} {entries} readable by others, none writable"),
            (_, all) if all == cause.count => format!("{n} {entries} writable by others"),
            _ => format!("{n} {entries} readable by others, {written} of them writable"),
        };
        writeln!(to, "umask {:03o}: {what}", umask.0)?;
        let shown: Vec<_> = cause.first.values().take(FEW).map(|f| Safe(&f.path).to_string()).collect();
        writeln!(to, "  {} …", shown.join(", "))?;
        let FixCommand { options, paths, in_image } = &self.options.fix;
        let place = if *in_image { "within the image (chroot, or when it runs): " } else { "" };
        match severity {
            Severity::Note => Ok(()),
            _ => writeln!(to, "    fix: {place}permck fix{options} --umask 027 {paths}"),
        }
    }
}

fn write_finding(to: &mut dyn Write, f: &Finding, whole: bool) -> io::Result<()> {
    write!(to, "  {}: {}", Safe(&f.path), Safe(&f.found))?;
    if !whole {
        return writeln!(to);
    }
    if !f.expected.is_empty() {
        write!(to, "; expected {}", Safe(&f.expected))?;
    }
    writeln!(to)?;
    match f.fix.as_str() {
        "" => Ok(()),
        fix => writeln!(to, "    fix: {}", Safe(fix)),
    }
}

impl AuditReport for CauseReport {
    fn write_issue(&mut self, _to: &mut dyn Write, issue: &AuditIssue) -> io::Result<()> {
        let f = &issue.finding;
        let rule = rule_descriptions().position(|rule| rule.id == f.rule).unwrap_or(usize::MAX);
        let mode = issue.mode.filter(|_| MODE_RULES.contains(&f.rule.as_str()));
        let umask = mode.and_then(umask_of).map(|umask| umask.0);
        let severity = GRAVEST_FIRST.iter().position(|s| *s == f.severity).unwrap_or(0);
        let rank = FIRST.iter().position(|id| *id == f.rule).unwrap_or(FIRST.len());
        let key = CauseKey { severity, rank, umask, rule };
        let limit = self.limit(&key);
        let cause = self.causes.entry(key).or_default();
        cause.count += 1;
        cause.writable += u64::from(mode.is_some_and(Mode::is_writable_by_others));
        let place = (f.path.clone(), f.path_hex.clone().unwrap_or_default(), f.found.clone());
        let full = limit > 0 && cause.first.len() >= limit.max(FEW);
        if full && cause.first.last_key_value().is_some_and(|(last, _)| *last < place) {
            return Ok(());
        }
        cause.first.insert(place, f.clone());
        if full {
            cause.first.pop_last();
        }
        Ok(())
    }

    fn sorts_issues(&self) -> bool {
        true
    }

    fn write_summary(&mut self, to: &mut dyn Write, ending: &AuditResult) -> io::Result<()> {
        for (key, cause) in &self.causes {
            self.write_cause(to, key, cause)?;
        }
        let end = &ending.end;
        if end.totals.at_least(Severity::Note) > 0 {
            write!(to, "{} in {}", end.totals, end.counted())?;
            if end.accepted > 0 {
                write!(to, "; {} accepted", end.accepted)?;
            }
            if ending.hidden > 0 {
                let s = if ending.hidden == 1 { "" } else { "s" };
                write!(to, "; {} more note{s}: --show note", ending.hidden)?;
            }
            writeln!(to)?;
        }
        Ok(())
    }
}

/// Writes a number with separators, as people read it: `3,358`.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_separators() {
        assert_eq!([0, 12, 999, 1000, 1_234_567].map(grouped), ["0", "12", "999", "1,000", "1,234,567"]);
    }
}
