//! Findings that are accepted: by an exception with a reason and an expiry date, or because a baseline has them.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use common::error::describe_text_error;
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
    /// The last day on which they are accepted: quoted, or a TOML date.
    until: toml::Value,
}

/// The exceptions and the baseline of a run.
#[derive(Debug, Default)]
pub(crate) struct AcceptedFindings {
    exceptions: Vec<CompiledException>,
    baseline: HashSet<FindingIdentity>,
    baseline_file: Option<PathBuf>,
}

/// How many findings were accepted, and how many of the baseline are gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AcceptedCounts {
    pub(crate) accepted: u64,
    pub(crate) baseline_gone: u64,
}

/// Rule, path and what was found.
type FindingIdentity = (String, String, String);

#[derive(Debug)]
struct CompiledException {
    globs: Vec<Glob>,
    rules: Vec<String>,
    until: Date,
    /// Its name in messages.
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
            accepted.baseline_file = Some(path.to_owned());
        }
        Ok(accepted)
    }

    /// Removes accepted findings and counts them. Warns of exceptions that have expired or match nothing, and of findings
    /// of the baseline that are gone: it would hide them if they came back.
    ///
    /// With the root of an image, paths below it also match as the image has them, wherever the image is now, and was when
    /// the baseline was written.
    pub(crate) fn remove_from(
        &self,
        findings: &mut Vec<Finding>,
        image: Option<&Path>,
        diag: &Diag,
    ) -> AcceptedCounts {
        let today = time::OffsetDateTime::now_utc().date();
        let before = findings.len();
        let names =
            PathNames { now: image, before: image.and_then(|root| self.find_former_root(findings, root)) };
        let baseline_gone = self.warn_of_gone_findings(findings, &names, diag);
        for exception in &self.exceptions {
            let count = findings.len();
            if exception.until >= today {
                findings.retain(|f| !exception.accepts(f, image));
            }
            if findings.len() == count {
                let why = if exception.until < today { "has expired" } else { "matched no finding" };
                diag.warn(&exception.label, why);
            }
        }
        findings.retain(|f| !self.baseline.contains(&names.identity(f)));
        AcceptedCounts { accepted: (before - findings.len()) as u64, baseline_gone }
    }

    /// The root below which most findings of the baseline about files of the image are.
    fn find_former_root(&self, findings: &[Finding], root: &Path) -> Option<String> {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for finding in findings {
            let Some(inner) = inner_path(&finding.path, root) else { continue };
            for (rule, path, found) in &self.baseline {
                if (rule, found) == (&finding.rule, &finding.found) {
                    path.strip_suffix(inner)
                        .into_iter()
                        .for_each(|former| *counts.entry(former).or_default() += 1);
                }
            }
        }
        let most = counts.into_iter().max_by_key(|(former, count)| (*count, std::cmp::Reverse(*former)));
        most.map(|(former, _)| former.to_owned())
    }

    fn warn_of_gone_findings(&self, findings: &[Finding], names: &PathNames<'_>, diag: &Diag) -> u64 {
        let Some(path) = &self.baseline_file else { return 0 };
        let present: HashSet<FindingIdentity> = findings.iter().map(|f| names.identity(f)).collect();
        let gone = self.baseline.difference(&present).count();
        if gone > 0 {
            let reason = "fixed since, and hidden if they come back; write the file anew with --format json";
            diag.warn(path.display(), format_args!("{gone} of {} findings {reason}", self.baseline.len()));
        }
        gone as u64
    }
}

impl CompiledException {
    fn accepts(&self, finding: &Finding, image: Option<&Path>) -> bool {
        let path = finding.path_bytes();
        let inner = image.and_then(|root| inner_path(&finding.path, root));
        let matches = |glob: &Glob| glob.matches(&path) || inner.is_some_and(|p| glob.matches(p.as_bytes()));
        self.rules.contains(&finding.rule) && (self.globs.is_empty() || self.globs.iter().any(matches))
    }
}

/// The roots of an image: where it is now, and where it was when the baseline was written.
struct PathNames<'a> {
    now: Option<&'a Path>,
    before: Option<String>,
}

impl PathNames<'_> {
    /// Rule, path and what was found, as the baseline has it.
    fn identity(&self, f: &Finding) -> FindingIdentity {
        let inner = self.now.and_then(|root| inner_path(&f.path, root));
        match (&self.before, inner) {
            (Some(root), Some(inner)) => (f.rule.clone(), format!("{root}{inner}"), f.found.clone()),
            _ => plain_identity(f),
        }
    }
}

fn plain_identity(f: &Finding) -> FindingIdentity {
    (f.rule.clone(), f.path.clone(), f.found.clone())
}

/// A path as the image has it, with the leading slash; `None` for a path that is not below its root.
fn inner_path<'p>(path: &'p str, root: &Path) -> Option<&'p str> {
    let root = root.to_str()?.trim_end_matches('/');
    path.strip_prefix(root).filter(|inner| inner.starts_with('/'))
}

fn read_exceptions(path: &Path) -> anyhow::Result<Vec<CompiledException>> {
    let (file, meta) = common::fsat::open_regular(path)?;
    common::fsat::require_trusted(&meta)?;
    let text = String::from_utf8(common::fsat::read_bounded(file, MAX_SIZE)?).context("is not UTF-8")?;
    let file: ExceptionFile = toml::from_str(&text)
        .map_err(|e| anyhow::anyhow!(describe_text_error(&text, e.span(), e.message())))?;
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
    let day = match &e.until {
        toml::Value::String(text) => text.clone(),
        toml::Value::Datetime(day) => day.to_string(),
        other => other.type_str().to_owned(),
    };
    let until = Date::parse(&day, format_description!("[year]-[month]-[day]"));
    let until = until.ok().with_context(|| format!("until {day:?} is not a date such as \"2027-01-31\""))?;
    let globs = e.r#match.iter().map(|p| Glob::parse(p).map_err(anyhow::Error::msg));
    let label = format!("{label} ({})", e.reason);
    Ok(CompiledException { globs: globs.collect::<Result<_, _>>()?, rules: e.rules.clone(), until, label })
}

fn read_baseline(path: &Path) -> anyhow::Result<HashSet<FindingIdentity>> {
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
        known.extend(found.map(|record| plain_identity(&record.finding)));
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
            let n =
                AcceptedFindings::load(exceptions, baseline).unwrap().remove_from(&mut findings, None, &diag);
            assert_eq!(n.accepted as usize, all.len() - findings.len());
            assert_eq!(n.baseline_gone, 0);
            findings.iter().map(|f| format!("{} {}", f.rule, f.path)).collect::<Vec<_>>()
        };
        write(&file, 0o600, exception("aslr", "9999-12-31"));
        assert_eq!(left(Some(&file), None), ["aslr /proc/a", "cann /etc/a"]);
        // As a date of TOML, as in permck's policies and certck's suppressions.
        write(&file, 0o600, exception("aslr", "9999-12-31").replace("'9999-12-31'", "9999-12-31"));
        assert_eq!(left(Some(&file), None), ["aslr /proc/a", "cann /etc/a"]);
        write(&file, 0o600, exception("aslr", "9999-12-31").replace("'9999-12-31'", "7"));
        assert!(AcceptedFindings::load(Some(&file), None).is_err());
        write(&file, 0o600, exception("aslr", "2020-01-01"));
        assert_eq!(left(Some(&file), None).len(), 3);
        for wrong in ["aslrr", "cann'\n]"] {
            write(&file, 0o600, exception(wrong, "9999-12-31"));
            assert!(AcceptedFindings::load(Some(&file), None).is_err(), "{wrong}");
        }
        write(&file, 0o600, "version = 1\n[[exception]]\nmatsch = []\n");
        let error = format!("{:#}", AcceptedFindings::load(Some(&file), None).unwrap_err());
        assert!(error.contains(": 3:1: unknown field `matsch`"), "{error}");
        // The same place in a worse state is new.
        let mut text = Vec::new();
        common::record::write(&mut text, &HostFinding { finding: all[1].clone() }).unwrap();
        write(&base, 0o600, &text);
        assert!(AcceptedFindings::load(None, Some(&base)).is_err(), "cut short");
        let summary = r#"{"type":"hostck.summary","v":1,"checks":14,"findings":1,"error_findings":1,"warning_findings":0,"note_findings":0,"errors":0}"#;
        write(&base, 0o600, [&text[..], summary.as_bytes(), b"\n"].concat());
        assert_eq!(left(None, Some(&base)), ["aslr /etc/a", "cann /etc/a"]);
        // What was fixed since is counted, whether or not an exception accepts it.
        let diag = Diag::new("t", common::out::Verbosity::Quiet);
        let counts =
            AcceptedFindings::load(None, Some(&base)).unwrap().remove_from(&mut Vec::new(), None, &diag);
        assert_eq!(counts, AcceptedCounts { accepted: 0, baseline_gone: 1 });
    }

    /// An image may lie elsewhere than when the baseline was written, and exceptions name its files as it has them.
    #[test]
    fn files_of_an_image_are_known_wherever_it_lies() {
        let dir = clean_dir();
        let (file, base) = (dir.path().join("e.toml"), dir.path().join("b.jsonl"));
        let finding = |path: &str| {
            Finding::new("cann", common::finding::Severity::Error, Path::new(path)).found("mode 0666")
        };
        let diag = Diag::new("t", common::out::Verbosity::Quiet);
        let mut text = Vec::new();
        for path in ["img/etc/a", "img/etc/b", "img/opt/etc/a"] {
            common::record::write(&mut text, &HostFinding { finding: finding(path) }).unwrap();
        }
        let summary = r#"{"type":"hostck.summary","v":1,"checks":14,"findings":1,"error_findings":1,"warning_findings":0,"note_findings":0,"errors":0}"#;
        write(&base, 0o600, [&text[..], summary.as_bytes(), b"\n"].concat());
        let accepted = AcceptedFindings::load(None, Some(&base)).unwrap();
        for root in ["/srv/img", "/srv/img/", "other", "img"] {
            let below = |inner: &str| finding(&format!("{}/{inner}", root.trim_end_matches('/')));
            let mut findings = vec![below("etc/a"), below("etc/b"), below("opt/etc/a"), below("etc/new")];
            let counts = accepted.remove_from(&mut findings, Some(Path::new(root)), &diag);
            assert_eq!(counts, AcceptedCounts { accepted: 3, baseline_gone: 0 }, "{root}");
            assert_eq!(findings, [below("etc/new")]);
        }
        // The end of a path is not enough.
        let mut findings = vec![finding("/r/etc/b"), finding("/r/a")];
        accepted.remove_from(&mut findings, Some(Path::new("/r")), &diag);
        assert_eq!(findings, [finding("/r/a")]);
        let exception = "version = 1\n[[exception]]\nmatch = ['/etc/*']\nrules = ['cann']\nreason = 'r'\nuntil = 9999-12-31\n";
        write(&file, 0o600, exception);
        let mut findings = vec![finding("img/etc/a"), finding("img/opt/etc/a")];
        let accepted = AcceptedFindings::load(Some(&file), None).unwrap();
        accepted.remove_from(&mut findings, Some(Path::new("img")), &diag);
        assert_eq!(findings, [finding("img/opt/etc/a")]);
    }
}
