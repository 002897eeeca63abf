//! Findings by the million, in the order of their danger and in bounded memory: what does not fit goes, sorted, to an
//! unlinked temporary file, and the sorted runs are merged at the end.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, Write};
use std::os::unix::fs::FileExt;

use common::finding::{Finding, Severity};
use common::policy::Mode;
use serde::{Deserialize, Serialize};

use crate::plan::AuditIssue;
use crate::rule::rule_descriptions;

/// Memory for reading runs, all of them together; each has at least [`SMALLEST_BUFFER`].
const BUFFERS: usize = 8 << 20;
const SMALLEST_BUFFER: usize = 4 << 10;
const LARGEST_BUFFER: usize = 64 << 10;

/// Findings that wait to be read in order.
#[derive(Debug)]
pub(crate) struct IssueSpool {
    run: Vec<RankedIssue>,
    /// Findings that are kept in memory.
    most: usize,
    file: Option<File>,
    /// Offset and length of each run in the file.
    runs: Vec<(u64, u64)>,
}

/// A finding and its place: the gravest first, then in the order of the rules, then by path.
#[derive(Debug, PartialEq, Eq)]
struct RankedIssue {
    severity: Reverse<Severity>,
    /// The position of its rule in the table.
    rule: usize,
    issue: AuditIssue,
}

/// A finding in the temporary file.
#[derive(Serialize, Deserialize)]
struct SpooledIssue {
    finding: Finding,
    class: Option<String>,
    class_by: Option<String>,
    mode: Option<u32>,
}

impl RankedIssue {
    fn new(issue: AuditIssue) -> Self {
        let rule = rule_descriptions().position(|rule| rule.id == issue.finding.rule).unwrap_or(usize::MAX);
        Self { severity: Reverse(issue.finding.severity), rule, issue }
    }

    fn sort_key(&self) -> (Reverse<Severity>, usize, &str, Option<&str>, &str) {
        let f = &self.issue.finding;
        (self.severity, self.rule, &f.path, f.path_hex.as_deref(), &f.found)
    }
}

impl Ord for RankedIssue {
    fn cmp(&self, other: &Self) -> Ordering {
        self.sort_key().cmp(&other.sort_key())
    }
}

impl PartialOrd for RankedIssue {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl IssueSpool {
    /// Makes an empty spool that keeps `most` findings in memory.
    pub(crate) fn new(most: usize) -> Self {
        Self { run: Vec::new(), most, file: None, runs: Vec::new() }
    }

    /// Adds a finding.
    pub(crate) fn push(&mut self, issue: AuditIssue) -> io::Result<()> {
        if self.run.len() >= self.most {
            self.write_run().map_err(name_temporary_file)?;
        }
        self.run.push(RankedIssue::new(issue));
        Ok(())
    }

    /// Calls `each` with every finding, in order.
    pub(crate) fn read_sorted(
        mut self,
        mut each: impl FnMut(&AuditIssue) -> io::Result<()>,
    ) -> io::Result<()> {
        self.run.sort_unstable();
        let Some(file) = self.file.take() else {
            return self.run.iter().try_for_each(|ranked| each(&ranked.issue));
        };
        let capacity = (BUFFERS / self.runs.len()).clamp(SMALLEST_BUFFER, LARGEST_BUFFER);
        let part = |&(at, left): &(u64, u64)| FilePart { file: &file, at, left };
        let mut readers: Vec<_> =
            self.runs.iter().map(|run| BufReader::with_capacity(capacity, part(run))).collect();
        let mut memory = std::mem::take(&mut self.run).into_iter();
        let mut line = Vec::new();
        // The next finding of each run; the last run is that in memory.
        let mut next_of = |run: usize| match readers.get_mut(run) {
            Some(reader) => read_issue(reader, &mut line).map_err(name_temporary_file),
            None => Ok(memory.next()),
        };
        let mut heads = BinaryHeap::new();
        for run in 0..=self.runs.len() {
            heads.extend(next_of(run)?.map(|issue| Reverse((issue, run))));
        }
        while let Some(Reverse((ranked, run))) = heads.pop() {
            each(&ranked.issue)?;
            heads.extend(next_of(run)?.map(|issue| Reverse((issue, run))));
        }
        Ok(())
    }

    /// Writes the findings in memory as one sorted run.
    fn write_run(&mut self) -> io::Result<()> {
        self.run.sort_unstable();
        let file = match &mut self.file {
            Some(file) => file,
            empty => empty.insert(tempfile::tempfile()?),
        };
        let start = file.stream_position()?;
        let mut to = BufWriter::with_capacity(LARGEST_BUFFER, &*file);
        for RankedIssue { issue, .. } in self.run.drain(..) {
            let AuditIssue { finding, class, class_by, mode } = issue;
            let spooled = SpooledIssue { finding, class, class_by, mode: mode.map(|m| m.0) };
            serde_json::to_writer(&mut to, &spooled)?;
            to.write_all(b"\n")?;
        }
        to.flush()?;
        drop(to);
        self.runs.push((start, file.stream_position()? - start));
        Ok(())
    }
}

/// Reads the next finding of a run; none at its end.
fn read_issue(from: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<RankedIssue>> {
    line.clear();
    if from.read_until(b'\n', line)? == 0 {
        return Ok(None);
    }
    let SpooledIssue { finding, class, class_by, mode } = serde_json::from_slice(line)?;
    Ok(Some(RankedIssue::new(AuditIssue { finding, class, class_by, mode: mode.map(Mode) })))
}

/// A part of a file, which is read without moving the file's offset.
struct FilePart<'a> {
    file: &'a File,
    at: u64,
    left: u64,
}

impl Read for FilePart<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).map_or(into.len(), |left| left.min(into.len()));
        let n = self.file.read_at(&mut into[..most], self.at)?;
        self.at += n as u64;
        self.left -= n as u64;
        Ok(n)
    }
}

/// Says which file could not be written or read: it has no name of its own.
fn name_temporary_file(error: io::Error) -> io::Error {
    let reason = crate::io_reason(&error);
    io::Error::new(error.kind(), format!("temporary file in {}: {reason}", std::env::temp_dir().display()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::plan::root_issue;

    /// Findings of every rule in every severity, and of names that are not UTF-8, in an order without a pattern.
    fn make_issues(n: usize) -> Vec<AuditIssue> {
        use std::os::unix::ffi::OsStrExt;
        let rules: Vec<_> = rule_descriptions().collect();
        let severities = [Severity::Note, Severity::Error, Severity::Warning];
        let make = |i: usize| {
            let mixed = i.wrapping_mul(0x9e37_79b9) >> 7;
            let mut name = format!("/tree/{:05}", mixed % 10_007).into_bytes();
            if mixed % 5 == 0 {
                name.push(0xff);
            }
            let rule = rules[i / severities.len() % rules.len()];
            let path = Path::new(std::ffi::OsStr::from_bytes(&name));
            let finding =
                Finding { severity: severities[i % 3], ..rule.at(path) }.found(format!("line\n{i}"));
            AuditIssue { class: Some("log".into()), mode: Some(Mode(0o644)), ..root_issue(finding) }
        };
        (0..n).map(make).collect()
    }

    fn sort_with(most: usize, issues: &[AuditIssue]) -> Vec<AuditIssue> {
        let mut spool = IssueSpool::new(most);
        issues.iter().for_each(|issue| spool.push(issue.clone()).unwrap());
        assert!(spool.run.len() <= most);
        let mut sorted = Vec::new();
        spool
            .read_sorted(|issue| {
                sorted.push(issue.clone());
                Ok(())
            })
            .unwrap();
        sorted
    }

    /// However few findings fit in memory, their order is that of one sort.
    #[test]
    fn runs_are_merged_into_the_order_of_one_sort() {
        let issues = make_issues(1_000);
        let expected = sort_with(1_000, &issues);
        let keys: Vec<_> = expected.iter().map(|i| RankedIssue::new(i.clone())).collect();
        assert!(keys.is_sorted());
        assert_eq!(expected.len(), issues.len());
        for most in [1, 7, 64, 999] {
            assert_eq!(sort_with(most, &issues), expected, "{most} in memory");
        }
        assert!(sort_with(3, &[]).is_empty());
    }

    /// The gravest first, readable keys before everything else.
    #[test]
    fn findings_are_ordered_by_severity_then_rule_then_path() {
        let sorted = sort_with(5, &make_issues(500));
        let severities: Vec<_> = sorted.iter().map(|i| Reverse(i.finding.severity)).collect();
        assert!(severities.is_sorted());
        assert_eq!(sorted[0].finding.rule, "key-readable");
        let errors = sorted.iter().filter(|i| i.finding.severity == Severity::Error);
        let rules: Vec<_> = errors.map(|i| RankedIssue::new(i.clone()).rule).collect();
        assert!(rules.is_sorted() && rules.last() > rules.first());
    }
}
