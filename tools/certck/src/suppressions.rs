//! Suppressed findings: a file of rules, paths, reasons and expiry dates.
//!
//! Only `certck` reads it. A daemon does not.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, anyhow, ensure};
use common::error::describe_text_error;
use common::finding::Finding;
use serde::Deserialize;
use time::macros::format_description;
use time::{Date, OffsetDateTime};

use crate::rules::all_rules;

/// The suppressions of one file.
#[derive(Debug, Default)]
pub(crate) struct Suppressions {
    entries: Vec<Suppression>,
    /// Suppressions that have expired and are ignored.
    pub(crate) expired: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SuppressionFile {
    suppress: Vec<Suppression>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Suppression {
    /// The rule's id.
    rule: String,
    /// A path that the finding's path is or lies below; every path, if absent.
    path: Option<PathBuf>,
    /// Why.
    reason: String,
    /// The last day on which it counts, UTC: as TOML's own date, or quoted.
    until: toml::Value,
}

const MAX_BYTES: u64 = 1 << 20;

impl Suppressions {
    /// Reads a file, if there is one, and keeps what counts at a time.
    ///
    /// # Errors
    /// It cannot be read, or says what cannot be: an unknown rule, no reason, no date.
    pub(crate) fn read_file(path: Option<&Path>, at: OffsetDateTime) -> anyhow::Result<Self> {
        let Some(path) = path else { return Ok(Self::default()) };
        let shown = || path.display().to_string();
        let (file, _) = common::fsat::open_regular(path).with_context(shown)?;
        let bytes = common::fsat::read_bounded(file.take(MAX_BYTES + 1), MAX_BYTES).with_context(shown)?;
        let text = String::from_utf8(bytes).map_err(|_| anyhow!("not UTF-8 text")).with_context(shown)?;
        Self::parse(&text, at).with_context(shown)
    }

    pub(crate) fn parse(text: &str, at: OffsetDateTime) -> anyhow::Result<Self> {
        let file: SuppressionFile =
            toml::from_str(text).map_err(|e| anyhow!(describe_text_error(text, e.span(), e.message())))?;
        let mut suppressions = Self::default();
        for mut entry in file.suppress {
            ensure!(is_known_rule(&entry.rule), "unknown rule `{}`: see `certck rules`", entry.rule);
            ensure!(!entry.reason.trim().is_empty(), "rule `{}`: `reason` is empty", entry.rule);
            let until = parse_date(&entry.until).with_context(|| {
                format!("rule `{}`: `until` is not a date such as 2027-01-31", entry.rule)
            })?;
            entry.path = entry.path.map(|path| normalize_path(&path));
            if until < at.to_offset(time::UtcOffset::UTC).date() {
                suppressions
                    .expired
                    .push(format!("rule `{}` expired on {until}: {}", entry.rule, entry.reason));
            } else {
                suppressions.entries.push(entry);
            }
        }
        Ok(suppressions)
    }

    /// Whether a finding is suppressed.
    pub(crate) fn covers_finding(&self, finding: &Finding) -> bool {
        let mut of_rule = self.entries.iter().filter(|entry| entry.rule == finding.rule).peekable();
        if of_rule.peek().is_none() {
            return false;
        }
        let path = normalize_path(Path::new(&OsString::from_vec(finding.path_bytes())));
        let real = resolve_links(&path);
        of_rule.any(|entry| {
            entry.path.as_ref().is_none_or(|above| {
                path.starts_with(above) || real.starts_with(above) || real.starts_with(resolve_links(above))
            })
        })
    }

    /// Removes the suppressed findings from the list and returns them.
    pub(crate) fn take_suppressed(&self, findings: &mut Vec<Finding>) -> Vec<Finding> {
        let (suppressed, others) =
            std::mem::take(findings).into_iter().partition(|finding| self.covers_finding(finding));
        *findings = others;
        suppressed
    }
}

fn is_known_rule(id: &str) -> bool {
    all_rules().any(|(rule, _)| rule.id == id)
}

/// A day, written as TOML's own date or in quotes.
fn parse_date(value: &toml::Value) -> Option<Date> {
    let text = match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Datetime(day) => day.to_string(),
        _ => return None,
    };
    Date::parse(&text, format_description!("[year]-[month]-[day]")).ok()
}

/// A path from the root on, without `.` and `..`, as its text says: nothing is looked up, since what it names may
/// be gone.
fn normalize_path(path: &Path) -> PathBuf {
    let mut all = PathBuf::new();
    for part in std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).components() {
        match part {
            Component::ParentDir => _ = all.pop(),
            part => all.push(part),
        }
    }
    all
}

/// A path without the symbolic links in the part of it that exists.
fn resolve_links(path: &Path) -> PathBuf {
    for above in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (above.canonicalize(), path.strip_prefix(above)) {
            return if rest.as_os_str().is_empty() { real } else { real.join(rest) };
        }
    }
    path.to_owned()
}

#[cfg(test)]
mod tests {
    use common::pki::rule;
    use time::macros::datetime;

    use super::*;

    const TEXT: &str = r#"
        [[suppress]]
        rule = "no-crl"
        path = "/etc/a"
        reason = "the PKI has no CRL yet"
        until = "2026-12-31"
    "#;

    #[test]
    fn a_suppression_has_a_path_and_an_end() {
        let finding = |path: &str| rule::NO_CRL.at(Path::new(path));
        let s = Suppressions::parse(TEXT, datetime!(2026-12-31 23:59 UTC)).unwrap();
        assert!(s.covers_finding(&finding("/etc/a/ca.crl")) && !s.covers_finding(&finding("/etc/ab/ca.crl")));
        assert!(!s.covers_finding(&rule::EXPIRED.at(Path::new("/etc/a/ca.crl"))));
        let s = Suppressions::parse(TEXT, datetime!(2027-01-01 0:00 UTC)).unwrap();
        assert!(!s.covers_finding(&finding("/etc/a/ca.crl")));
        assert_eq!(s.expired.len(), 1);
    }

    #[test]
    fn suppressions_match_paths_however_they_are_spelled() {
        let here = std::env::current_dir().unwrap();
        let spelled = ["x/y", "./x/y", "x/./z/../y", here.join("x/y").to_str().unwrap()].map(str::to_owned);
        for (a, b) in spelled.iter().flat_map(|a| spelled.iter().map(move |b| (a, b))) {
            let s = Suppressions::parse(&TEXT.replace("/etc/a", a), OffsetDateTime::UNIX_EPOCH).unwrap();
            assert!(s.covers_finding(&rule::NO_CRL.at(&Path::new(b).join("ca.crl"))), "{a} {b}");
        }
    }

    /// The directory is the same, whichever way it is named; the file may be missing.
    #[test]
    fn suppressions_match_paths_through_links() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("certs"), dir.path().join("current"));
        std::fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink("certs", &link).unwrap();
        for (named, found) in [(&real, &link), (&link, &real), (&link, &link)] {
            let text = TEXT.replace("/etc/a", named.to_str().unwrap());
            let s = Suppressions::parse(&text, OffsetDateTime::UNIX_EPOCH).unwrap();
            assert!(s.covers_finding(&rule::NO_CRL.at(&found.join("ca.crl"))), "{named:?} {found:?}");
            assert!(!s.covers_finding(&rule::NO_CRL.at(&dir.path().join("other/ca.crl"))));
        }
    }

    #[test]
    fn errors_in_a_suppression_file_are_one_line() {
        let error =
            |text: &str| format!("{:#}", Suppressions::parse(text, OffsetDateTime::UNIX_EPOCH).unwrap_err());
        assert_eq!(error(&TEXT.replace("no-crl", "nocrl")), "unknown rule `nocrl`: see `certck rules`");
        assert!(error(&TEXT.replace("2026-12-31", "soon")).contains("not a date"));
        assert!(error(&TEXT.replace("\"2026-12-31\"", "3")).contains("not a date"));
        assert!(error(&TEXT.replace("\"2026-12-31\"", "2026-12-31T10:00:00Z")).contains("not a date"));
        assert!(error("suppress = 3").starts_with("1:12: invalid type: integer"));
        assert!(error(&TEXT.replace("rule =", "role =")).starts_with("3:9: unknown field `role`"));
        assert!(error(&TEXT.replace("the PKI has no CRL yet", "")).contains("`reason` is empty"));
    }

    #[test]
    fn suppression_dates_may_be_unquoted_toml() {
        let text = TEXT.replace("\"2026-12-31\"", "2026-12-31");
        assert_eq!(Suppressions::parse(&text, datetime!(2026-12-31 0:00 UTC)).unwrap().entries.len(), 1);
        assert_eq!(Suppressions::parse(&text, datetime!(2027-01-01 0:00 UTC)).unwrap().expired.len(), 1);
    }
}
