//! Findings that somebody has decided to live with for a while: a file of rules, paths, reasons and end dates.
//!
//! Only `certck check` reads it. A daemon that starts on a directory knows no suppressions.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use common::finding::Finding;
use common::pki::rule::RULES;
use serde::Deserialize;
use time::macros::format_description;
use time::{Date, OffsetDateTime};

/// The suppressions of one file.
#[derive(Debug, Default)]
pub(crate) struct Suppressions {
    entries: Vec<Entry>,
    /// Whose day has passed; they suppress nothing.
    pub(crate) ended: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    suppress: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// The rule's id.
    rule: String,
    /// A path that the finding's path is or lies below; every path, if absent.
    path: Option<String>,
    /// Why.
    reason: String,
    /// The last day on which it counts, UTC.
    until: String,
}

const MAX_BYTES: u64 = 1 << 20;

impl Suppressions {
    /// Reads a file and keeps what counts at a time.
    pub(crate) fn read(path: &Path, at: OffsetDateTime) -> anyhow::Result<Self> {
        let shown = || path.display().to_string();
        let (file, _) = common::fsat::open_regular(path).with_context(shown)?;
        let bytes = common::fsat::read_bounded(file.take(MAX_BYTES + 1), MAX_BYTES).with_context(shown)?;
        let text = String::from_utf8(bytes).with_context(shown)?;
        Self::parse(&text, at).with_context(shown)
    }

    fn parse(text: &str, at: OffsetDateTime) -> anyhow::Result<Self> {
        let file: File = match toml::from_str(text) {
            Ok(file) => file,
            Err(e) => bail!("{}", e.to_string().lines().map(str::trim).collect::<Vec<_>>().join(" ")),
        };
        let mut suppressions = Self::default();
        for entry in file.suppress {
            ensure!(RULES.iter().any(|r| r.id == entry.rule), "there is no rule `{}`", entry.rule);
            ensure!(!entry.reason.trim().is_empty(), "rule `{}`: no reason is given", entry.rule);
            let until = Date::parse(&entry.until, format_description!("[year]-[month]-[day]"))
                .with_context(|| format!("rule `{}`: `until` is no date like 2027-01-31", entry.rule))?;
            if until < at.to_offset(time::UtcOffset::UTC).date() {
                suppressions.ended.push(format!("rule `{}` ended on {until}: {}", entry.rule, entry.reason));
            } else {
                suppressions.entries.push(entry);
            }
        }
        Ok(suppressions)
    }

    /// Whether a finding is one of those.
    pub(crate) fn cover(&self, finding: &Finding) -> bool {
        let below =
            |entry: &Entry| entry.path.as_ref().is_none_or(|path| Path::new(&finding.path).starts_with(path));
        self.entries.iter().any(|entry| entry.rule == finding.rule && below(entry))
    }
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
        assert!(s.cover(&finding("/etc/a/ca.crl")) && !s.cover(&finding("/etc/ab/ca.crl")));
        assert!(!s.cover(&rule::EXPIRED.at(Path::new("/etc/a/ca.crl"))));
        let s = Suppressions::parse(TEXT, datetime!(2027-01-01 0:00 UTC)).unwrap();
        assert!(!s.cover(&finding("/etc/a/ca.crl")));
        assert_eq!(s.ended.len(), 1);
    }

    #[test]
    fn what_is_wrong_with_the_file_is_said_in_one_line() {
        let error =
            |text: &str| format!("{:#}", Suppressions::parse(text, OffsetDateTime::UNIX_EPOCH).unwrap_err());
        assert_eq!(error(&TEXT.replace("no-crl", "nocrl")), "there is no rule `nocrl`");
        assert!(error(&TEXT.replace("2026-12-31", "soon")).contains("no date"));
        assert!(!error("suppress = 3").contains('\n'));
        assert!(error(&TEXT.replace("the PKI has no CRL yet", "")).contains("no reason"));
    }
}
