//! The content of a directory checked against the rules: one file per kind of subject. Reading is done before.

mod advice;
mod certificate;
mod chain;
mod revocation;

pub use certificate::explain_no_host_address;

use std::path::PathBuf;

use super::{Cert, Crl, LoadOptions, Profile, Role, rule};
use crate::finding::{Finding, Severity};

/// The content of one file.
pub(super) struct Bundle<T> {
    /// The file.
    pub(super) path: PathBuf,
    /// The items that could be read, in order.
    pub(super) items: Vec<T>,
    /// Whether something in it could not be read.
    pub(super) broken: bool,
}

/// The content of a directory to check.
pub(super) struct DirectoryContent {
    pub(super) role: Role,
    pub(super) roots: Bundle<Cert>,
    pub(super) chain: Bundle<Cert>,
    pub(super) crls: Bundle<Crl>,
    /// Whether the CRL's file is there, readable or not.
    pub(super) crl_present: bool,
}

/// Whether an authority still has the CRL that it signed last.
#[derive(Clone, Copy)]
pub(super) enum AuthorityCrl {
    Own,
    Lost,
}

/// Checks content against the rules and collects the findings.
pub(super) struct RuleChecker<'a> {
    options: &'a LoadOptions<'a>,
    at: i64,
    /// Set for an authority's own directory, whose CRL cannot be fetched from elsewhere.
    keeper: Option<AuthorityCrl>,
    findings: Vec<Finding>,
}

impl<'a> RuleChecker<'a> {
    /// Starts with the findings of reading.
    pub(super) fn new(options: &'a LoadOptions<'a>, findings: Vec<Finding>) -> Self {
        Self { options, at: options.at.unix_timestamp(), keeper: None, findings }
    }

    /// The findings, a key that others can read first; in the strict profile, warnings are errors.
    pub(super) fn into_findings(mut self) -> Vec<Finding> {
        self.findings.sort_by_key(|f| f.rule != rule::KEY_READABLE.id);
        if self.options.profile == Profile::Strict {
            let lasting = |f: &&mut Finding| !rule::FORESIGHT.iter().any(|r| r.id == f.rule);
            self.findings.iter_mut().filter(lasting).for_each(|f| f.severity = Severity::Error);
        }
        self.findings
    }

    /// Checks everything against every rule.
    pub(super) fn check_all(&mut self, case: &DirectoryContent) {
        self.check_clock(case);
        self.check_roots(case);
        self.check_leaf_and_intermediates(case);
        self.check_chain(case);
        self.check_revocation(case);
        self.check_final_validation(case);
    }

    /// Checks an authority's directory against its rules.
    pub(super) fn check_authority(&mut self, case: &DirectoryContent) {
        let own = |crl: &Crl| case.roots.items.iter().any(|root| crl.is_issued_by(root));
        self.keeper =
            Some(if case.crls.items.iter().any(own) { AuthorityCrl::Own } else { AuthorityCrl::Lost });
        self.check_clock(case);
        self.check_roots(case);
        self.check_revocation(case);
    }

    fn add_finding(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// A clock that shows a time before this program was written is wrong.
    fn check_clock(&mut self, case: &DirectoryContent) {
        const WRITTEN: i64 = 1_767_225_600; // 2026-01-01
        if self.at < WRITTEN {
            let found = format!("the time is {}", super::format_utc(self.at));
            let dir = case.roots.path.parent().unwrap_or(&case.roots.path).to_owned();
            self.add_finding(
                rule::CLOCK.at(&dir).found(found).expected("2026 or later").fix("set the clock"),
            );
        }
    }

    /// The seconds before expiry in which a warning is given: as the options say; without one, at most the last third of
    /// the validity, or short-lived certificates would always be warned of.
    fn warning_period(&self, from: i64, until: i64) -> i64 {
        const DAY: i64 = 86_400;
        let third = until.saturating_sub(from).max(0) / 3;
        self.options.warn_days.map_or(third.min(30 * DAY), |days| i64::from(days) * DAY)
    }

    /// Whether it expires within the warning period.
    fn expires_soon(&self, from: i64, until: i64) -> bool {
        self.at.saturating_add(self.warning_period(from, until)) > until
    }
}

/// A length of time in days; in hours or minutes where it is short.
fn format_span(seconds: i64) -> String {
    let (n, unit) = match seconds {
        ..120 => (seconds, "second"),
        120..7_200 => (seconds / 60, "minute"),
        7_200..172_800 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{n} {unit}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_time_is_not_zero_hours() {
        for (seconds, text) in [
            (0, "0 seconds"),
            (1, "1 second"),
            (2_399, "39 minutes"),
            (7_200, "2 hours"),
            (86_400, "24 hours"),
            (30 * 86_400, "30 days"),
        ] {
            assert_eq!(format_span(seconds), text);
        }
    }
}
