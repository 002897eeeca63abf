//! The state of the certificates as `getStatus`, the log and the exit status of `profctl status` report it.

use std::path::Path;
use std::time::Duration;

use common::finding::hex;
use common::pki::{Cert, Crl, MtlsDir, sha256};
use common::rpc::message::{CertificateStatus, CertificateSummary, CrlStatus, ReloadFailure};
use tokio::time::Instant;

use crate::log::DaemonLog;

/// How long the directory may not be looked at until that is reported: its file system hangs.
const MAX_SILENCE: Duration = Duration::from_secs(10);

/// How many CRLs that were not taken are logged and reported.
const MAX_DECLINED_SHOWN: usize = 4;

/// When the certificates in use were loaded, and the result of the last reload.
pub(super) struct CertificateState {
    pub(super) loaded_at: String,
    crls: Vec<UsedCrl>,
    leaf: Option<Cert>,
    roots: Vec<Cert>,
    /// When the directory was last looked at.
    pub(super) looked_at: Instant,
    /// The problems that were logged last.
    pub(super) logged_problems: Vec<String>,
    /// CRLs that could not be taken alone. If the whole directory is reloaded, they are in use nevertheless.
    pub(super) undecided_crls: Vec<String>,
    /// CRLs of a directory that could not be reloaded, each with the reason why it was not taken.
    pub(super) declined_crls: Vec<String>,
    pub(super) reload_failure: Option<ReloadFailure>,
    /// The part of the failure that a retry repeats: its text can hold the time.
    pub(super) failure_key: String,
}

/// A CRL in use, for `getStatus`.
#[derive(Clone)]
struct UsedCrl {
    crl: Crl,
    since: Instant,
}

impl CertificateState {
    /// The state of a directory that was loaded just now.
    pub(super) fn new(dir: &MtlsDir, loaded_at: String) -> Self {
        let mut state = Self {
            loaded_at,
            crls: Vec::new(),
            leaf: None,
            roots: Vec::new(),
            looked_at: Instant::now(),
            logged_problems: Vec::new(),
            undecided_crls: Vec::new(),
            declined_crls: Vec::new(),
            reload_failure: None,
            failure_key: String::new(),
        };
        state.describe_directory(dir);
        state
    }

    /// The state for `getStatus`, at a time in seconds since 1970.
    pub(super) fn status(&self, now: i64) -> CertificateStatus {
        CertificateStatus {
            loaded_at: self.loaded_at.clone(),
            crls: self.crls.iter().map(|crl| crl.status(now)).collect(),
            leaf: self.leaf.as_ref().map(summarize_certificate),
            roots: self.roots.iter().take(MAX_ROOTS_SHOWN).map(summarize_certificate).collect(),
            problems: self.list_problems(now),
            declined_crls: self.declined_crls.clone(),
            reload_failure: self.reload_failure.clone(),
        }
    }

    /// Takes what `getStatus` reports of a directory that is in use now.
    pub(super) fn describe_directory(&mut self, dir: &MtlsDir) {
        let since = |crl: &Crl| {
            let before = self.crls.iter().find(|old| old.crl.der == crl.der);
            before.map_or_else(Instant::now, |old| old.since)
        };
        self.crls = dir.crls().iter().map(|crl| UsedCrl { since: since(crl), crl: crl.clone() }).collect();
        self.leaf = dir.chain().first().and_then(|der| Cert::parse(der).ok());
        self.roots = dir.roots().iter().filter_map(|der| Cert::parse(der).ok()).collect();
    }

    /// Lists the problems that keep clients out at a time in seconds since 1970, or the daemon from noticing changes. The texts do not
    /// change from second to second.
    pub(super) fn list_problems(&self, now: i64) -> Vec<String> {
        let mut problems = Vec::new();
        for UsedCrl { crl, .. } in &self.crls {
            let (number, issuer) = (format_crl_number(crl), &crl.issuer);
            if let Some(why) = self.explain_uncovered(crl) {
                problems.push(format!(
                    "CRL {number} by {issuer} does not cover the daemon's own certificate: {why}; clients whose \
                     certificates it does not cover are rejected"
                ));
            }
            if let Some(end) = crl.next_update.filter(|end| now > end.unix) {
                problems.push(format!(
                    "CRL {number} by {issuer} expired at {end} (nextUpdate): clients of this CA are rejected until a newer \
                     one is there (certck crl fetch)"
                ));
            } else if now < crl.this_update.unix {
                let begin = crl.this_update;
                problems.push(format!(
                    "CRL {number} by {issuer} is not valid before {begin}: clients of this CA are rejected; check the clock"
                ));
            }
        }
        let certificates = self.leaf.iter().map(|cert| ("the certificate", cert));
        for (what, cert) in certificates.chain(self.roots.iter().map(|cert| ("the trust anchor", cert))) {
            if now > cert.not_after.unix {
                problems.push(format!("{what} {} expired at {}", cert.subject, cert.not_after));
            } else if now < cert.not_before.unix {
                problems.push(format!(
                    "{what} {} is not valid before {}: check the clock",
                    cert.subject, cert.not_before
                ));
            }
        }
        if self.looked_at.elapsed() > MAX_SILENCE {
            problems.push(format!(
                "the directory cannot be looked at: its file system has not answered for more than {} s",
                MAX_SILENCE.as_secs()
            ));
        }
        problems
    }

    /// Explains why a CRL that is limited to other certificates of its CA does not cover that of the daemon, if no other CRL
    /// does: the certificates of clients are likely to be like it.
    fn explain_uncovered(&self, crl: &Crl) -> Option<String> {
        let leaf = self.leaf.as_ref()?;
        let by_issuer = |crl: &Crl| crl.issuer == leaf.issuer;
        let covers = |used: &UsedCrl| by_issuer(&used.crl) && used.crl.explain_out_of_scope(leaf).is_none();
        let why = crl.explain_out_of_scope(leaf).filter(|_| by_issuer(crl))?;
        (!self.crls.iter().any(covers)).then_some(why)
    }

    /// Logs which CRLs are not in use, once until they change: a few of them, since a file can hold thousands.
    pub(super) fn report_declined_crls(&mut self, path: &Path, log: &DaemonLog) {
        let declined = std::mem::take(&mut self.undecided_crls);
        let shown: Vec<String> = declined.iter().take(MAX_DECLINED_SHOWN).cloned().collect();
        if self.declined_crls == shown {
            return;
        }
        for reason in &shown {
            log.warning(path.display(), format_args!("CRL not taken: {reason}"));
        }
        if let more @ 1.. = declined.len() - shown.len() {
            log.warning(path.display(), format_args!("{more} more CRLs not taken"));
        }
        self.declined_crls = shown;
    }
}

pub(super) fn format_crl_number(crl: &Crl) -> String {
    crl.number.as_ref().map_or_else(|| "without a number".to_owned(), |n| hex(&n.value))
}

/// How many trust anchors `getStatus` reports.
const MAX_ROOTS_SHOWN: usize = 16;

impl UsedCrl {
    fn status(&self, now: i64) -> CrlStatus {
        let crl = &self.crl;
        CrlStatus {
            issuer: crl.issuer.to_string(),
            authority_key_id: crl.authority_key_id.as_ref().and_then(|id| id.key_id.as_deref()).map(hex),
            number: crl.number.as_ref().map(|n| hex(&n.value)),
            this_update: crl.this_update.to_string(),
            next_update: crl.next_update.map(|t| t.to_string()),
            age_s: now.saturating_sub(crl.this_update.unix),
            in_use_s: Some(self.since.elapsed().as_secs()),
            revoked: crl.revoked_count() as u64,
        }
    }
}

/// The state of the certificates in numbers, beside the counters: of CRLs the greatest age, of the expiries the first.
pub(crate) fn measure_certificates(status: &CertificateStatus) -> [(String, u64); 4] {
    let ages = status.crls.iter().map(|crl| u64::try_from(crl.age_s).unwrap_or(0));
    [
        ("certificates.crl_age_s", ages.max().unwrap_or(0)),
        ("certificates.crls_declined", status.declined_crls.len() as u64),
        ("certificates.problems", status.problems.len() as u64),
        ("certificates.reload_failed", u64::from(status.reload_failure.is_some())),
    ]
    .map(|(name, value)| (name.to_owned(), value))
}

fn summarize_certificate(cert: &Cert) -> CertificateSummary {
    CertificateSummary {
        subject: cert.subject.to_string(),
        serial: hex(&cert.serial),
        not_after: cert.not_after.to_string(),
        sha256: hex(&sha256(&cert.der)),
    }
}
