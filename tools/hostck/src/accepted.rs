//! Findings that are accepted: by an exception with a reason and an end, or because a baseline has them.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context, ensure};
use common::finding::Finding;
use common::glob::Glob;
use common::out::Diag;
use common::record::hostck::{HostFinding, HostSummary};
use serde::Deserialize;
use time::Date;
use time::macros::format_description;

use crate::host::rules;

/// Maximum size of a file of exceptions, and of a line of a baseline, in bytes.
const MAX_SIZE: u64 = 4 << 20;

/// A file of exceptions, in the form of permck's policies (profguard-policy(5)).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExceptionFile {
    version: u32,
    #[serde(default)]
    exception: Vec<HostException>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HostException {
    /// Patterns of what the finding is about, as text shows it; all without it.
    #[serde(default)]
    r#match: Vec<String>,
    rules: Vec<String>,
    reason: String,
    until: String,
}

/// The exceptions and the baseline of a run.
#[derive(Debug, Default)]
pub(crate) struct AcceptedFindings {
    exceptions: Vec<CompiledException>,
    baseline: HashSet<(String, String, String)>,
}

#[derive(Debug)]
struct CompiledException {
    globs: Vec<Glob>,
    rules: Vec<String>,
    until: Date,
    /// What messages call it.
    label: String,
}

impl AcceptedFindings {
    /// Reads both files, where they are given. A file that others can write is an error.
    pub(crate) fn load(exceptions: Option<&Path>, baseline: Option<&Path>) -> anyhow::Result<Self> {
        let mut accepted = Self::default();
        if let Some(path) = exceptions {
            accepted.exceptions = read_exceptions(path).with_context(|| path.display().to_string())?;
        }
        if let Some(path) = baseline {
            accepted.baseline = read_baseline(path).with_context(|| path.display().to_string())?;
        }
        Ok(accepted)
    }

    /// Removes accepted findings; returns their number. Exceptions that have expired or match nothing are told.
    pub(crate) fn remove_from(&self, findings: &mut Vec<Finding>, diag: &Diag) -> u64 {
        let today = time::OffsetDateTime::now_utc().date();
        let before = findings.len();
        for exception in &self.exceptions {
            let count = findings.len();
            if exception.until >= today {
                findings.retain(|f| !exception.accepts(f));
            }
            if findings.len() == count {
                let why = if exception.until < today { "has expired" } else { "matched no finding" };
                diag.warn(&exception.label, why);
            }
        }
        findings.retain(|f| !self.baseline.contains(&identity(f)));
        (before - findings.len()) as u64
    }
}

impl CompiledException {
    fn accepts(&self, finding: &Finding) -> bool {
        let path = finding.path_bytes();
        self.rules.contains(&finding.rule)
            && (self.globs.is_empty() || self.globs.iter().any(|glob| glob.matches(&path)))
    }
}

fn identity(f: &Finding) -> (String, String, String) {
    (f.rule.clone(), f.path.clone(), f.found.clone())
}

fn read_exceptions(path: &Path) -> anyhow::Result<Vec<CompiledException>> {
    let (file, meta) = common::fsat::open_regular(path)?;
    common::fsat::require_trusted(&meta)?;
    let text = String::from_utf8(common::fsat::read_bounded(file, MAX_SIZE)?).context("is not UTF-8")?;
    let file: ExceptionFile =
        toml::from_str(&text).map_err(|e| anyhow::anyhow!(e.message().replace('\n', " ")))?;
    ensure!(file.version == 1, "unsupported version {}; the supported version is 1", file.version);
    let compile = |(i, exception): (usize, &HostException)| {
        let label = format!("{}: exception {}", path.display(), i + 1);
        compile_exception(exception, label).with_context(|| format!("exception {}", i + 1))
    };
    file.exception.iter().enumerate().map(compile).collect()
}

fn compile_exception(e: &HostException, label: String) -> anyhow::Result<CompiledException> {
    for name in &e.rules {
        ensure!(rules().any(|rule| rule.id == name), "unknown rule {name:?}; `hostck rules` lists them");
    }
    ensure!(!e.rules.is_empty() && !e.reason.trim().is_empty(), "needs rules and a reason");
    let until = Date::parse(&e.until, format_description!("[year]-[month]-[day]"));
    let until =
        until.ok().with_context(|| format!("until {:?} is not a date such as \"2027-01-31\"", e.until))?;
    let globs = e.r#match.iter().map(|p| Glob::parse(p).map_err(anyhow::Error::msg));
    let label = format!("{label} ({})", e.reason);
    Ok(CompiledException { globs: globs.collect::<Result<_, _>>()?, rules: e.rules.clone(), until, label })
}

fn read_baseline(path: &Path) -> anyhow::Result<HashSet<(String, String, String)>> {
    let (file, meta) = common::fsat::open_regular(path)?;
    common::fsat::require_trusted(&meta)?;
    let mut reader = BufReader::new(file);
    let (mut known, mut complete) = (HashSet::new(), false);
    for number in 1.. {
        let mut line = String::new();
        if reader.by_ref().take(MAX_SIZE).read_line(&mut line)? == 0 {
            break;
        }
        ensure!((line.len() as u64) < MAX_SIZE, "line {number} is longer than {MAX_SIZE} bytes");
        let at = || format!("line {number}");
        let found = common::record::read::<HostFinding>(&line).with_context(at)?;
        known.extend(found.map(|record| identity(&record.finding)));
        complete |= common::record::read::<HostSummary>(&line).with_context(at)?.is_some();
    }
    ensure!(
        complete,
        "has no summary at its end: truncated, or not the output of hostck check --format json"
    );
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{clean_dir, write};

    #[test]
    fn exceptions_and_a_baseline_accept_findings() {
        let dir = clean_dir();
        let (file, base) = (dir.path().join("e.toml"), dir.path().join("b.jsonl"));
        let exception = |rules: &str, until: &str| {
            format!(
                "version = 1\n[[exception]]\nmatch = ['/etc/**']\nrules = ['{rules}']\nreason = 'r'\nuntil = '{until}'\n"
            )
        };
        let finding = |rule: &str, path: &str, found: &str| {
            Finding::new(rule, common::finding::Severity::Error, Path::new(path)).found(found)
        };
        let all =
            [finding("aslr", "/etc/a", "1"), finding("aslr", "/proc/a", "1"), finding("cann", "/etc/a", "1")];
        let left = |exceptions: Option<&Path>, baseline: Option<&Path>| {
            let mut findings = all.to_vec();
            let diag = Diag::new("t", common::out::Verbosity::Quiet);
            let n = AcceptedFindings::load(exceptions, baseline).unwrap().remove_from(&mut findings, &diag);
            assert_eq!(n as usize, all.len() - findings.len());
            findings.iter().map(|f| format!("{} {}", f.rule, f.path)).collect::<Vec<_>>()
        };
        write(&file, 0o600, exception("aslr", "9999-12-31"));
        assert_eq!(left(Some(&file), None), ["aslr /proc/a", "cann /etc/a"]);
        write(&file, 0o600, exception("aslr", "2020-01-01"));
        assert_eq!(left(Some(&file), None).len(), 3);
        for wrong in ["aslrr", "cann'\n]"] {
            write(&file, 0o600, exception(wrong, "9999-12-31"));
            assert!(AcceptedFindings::load(Some(&file), None).is_err(), "{wrong}");
        }
        // The same place in a worse state is new.
        let mut text = Vec::new();
        common::record::write(&mut text, &HostFinding { finding: all[1].clone() }).unwrap();
        write(&base, 0o600, &text);
        assert!(AcceptedFindings::load(None, Some(&base)).is_err(), "cut short");
        let summary = r#"{"type":"hostck.summary","v":1,"checks":14,"findings":1,"error_findings":1,"warning_findings":0,"note_findings":0,"errors":0}"#;
        write(&base, 0o600, [&text[..], summary.as_bytes(), b"\n"].concat());
        assert_eq!(left(None, Some(&base)), ["aslr /etc/a", "cann /etc/a"]);
    }
}
