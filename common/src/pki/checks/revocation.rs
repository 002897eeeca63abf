//! Rules for CRLs: whether each is valid, whether they cover the chain, and whether they revoke part of it.

use std::path::Path;

use super::advice::suggest_reissue;
use super::{AuthorityCrl, DirectoryContent, RuleChecker, format_span};
use crate::finding::Severity;
use crate::pki::cert::check_serial;
use crate::pki::extension::KeyUsage;
use crate::pki::signature::SignatureError;
use crate::pki::{Cert, Crl, rule};

impl RuleChecker<'_> {
    pub(in crate::pki) fn check_revocation(&mut self, case: &DirectoryContent) {
        let (path, crls) = (&case.crls.path, &case.crls.items);
        if !case.crl_present {
            let mut finding = rule::NO_CRL
                .at(path)
                .found("there is no CRL")
                .expected("a CRL, without which revoked certificates are accepted");
            // Without its CRL it is unknown what the authority has revoked, so it must not sign anything.
            if self.keeper.is_some() {
                finding.severity = Severity::Error;
            }
            self.add_finding(finding.fix(self.suggest_new_crl(path)));
        }
        for (i, crl) in crls.iter().enumerate() {
            let who = if crls.len() > 1 { format!("CRL {}: ", i + 1) } else { String::new() };
            self.check_crl_form(crl, &who, path);
            self.check_crl_dates(crl, &who, path);
            self.check_crl_signature(crl, &who, case);
        }
        if !crls.is_empty() && !case.crls.broken {
            self.check_coverage(case);
        }
        self.check_revoked(case);
    }

    /// The command that gets a new CRL. The key that signs one is not on the servers.
    fn suggest_new_crl(&self, path: &Path) -> String {
        let parent = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let dir = crate::policy::shell_quote(parent);
        match self.keeper {
            None => format!(
                "`certck crl fetch {dir}`; or where the CA's key is, `certck crl new CA_DIR`, and copy its ca.crl here"
            ),
            Some(AuthorityCrl::Own) => {
                format!("`certck crl new {dir}`, with --to for each directory that needs it")
            }
            Some(AuthorityCrl::Lost) => format!(
                "copy it back from a certificate directory that has it; if there never was one: \
                 `certck crl new --first {dir}`"
            ),
        }
    }

    fn check_crl_form(&mut self, crl: &Crl, who: &str, path: &Path) {
        for broken in &crl.broken {
            self.add_finding(
                rule::MALFORMED_CRL
                    .at(path)
                    .found(format!("{who}{broken}"))
                    .expected("well-formed extensions"),
            );
        }
        if !crl.signature.consistent {
            let found = format!("{who}has different signature algorithms inside and outside the signed part");
            self.add_finding(rule::MALFORMED_CRL.at(path).found(found).expected("the same"));
        }
        if !crl.signature.is_supported() {
            let found = format!("{who}signed by {}", crl.signature.name());
            self.add_finding(
                rule::CRL_ALGORITHM
                    .at(path)
                    .found(found)
                    .expected("RSA or ECDSA with SHA-256, SHA-384 or SHA-512, or Ed25519")
                    .fix(self.suggest_new_crl(path)),
            );
        }
        for unknown in &crl.unknown_critical {
            let found = format!("{who}critical extension {unknown}");
            self.add_finding(
                rule::CRL_EXTENSION
                    .at(path)
                    .found(found)
                    .expected("only critical extensions that are understood")
                    .fix(self.suggest_new_crl(path)),
            );
        }
        if let Some(part) = describe_partial_scope(crl) {
            self.add_finding(
                rule::CRL_SCOPE
                    .at(path)
                    .found(format!("{who}{part}"))
                    .expected("a complete CRL")
                    .fix(self.suggest_new_crl(path)),
            );
        } else if let Some(names) = describe_distribution_point(crl) {
            let mut finding = rule::CRL_SCOPE
                .at(path)
                .found(format!("{who}for certificates only that name the distribution point {names}"))
                .expected("a CRL without a distribution point, or that each certificate of this CA names it")
                .fix("issue certificates with this distribution point: peers reject the others");
            // Whether the chain names it is checked with the path.
            finding.severity = Severity::Note;
            self.add_finding(finding);
        }
        let number = match &crl.number {
            None => Some("has no number".to_owned()),
            Some(n) if n.critical => Some("has a critical number".to_owned()),
            Some(n) if n.value.iter().all(|&b| b == 0) => None,
            Some(n) => check_serial(&n.value).err().map(|why| format!("has a number that {why}")),
        };
        if let Some(why) = number {
            self.add_finding(
                rule::CRL_NUMBER
                    .at(path)
                    .found(format!("{who}{why}"))
                    .expected("a number, which distinguishes a newer CRL from an older one")
                    .fix(self.suggest_new_crl(path)),
            );
        }
    }

    fn check_crl_dates(&mut self, crl: &Crl, who: &str, path: &Path) {
        let now = crate::pki::format_utc(self.at);
        if self.at < crl.this_update.unix {
            self.add_finding(
                rule::CRL_NOT_YET_VALID
                    .at(path)
                    .found(format!("{who}issued in the future, at {}", crl.this_update))
                    .expected(format!("valid at {now}"))
                    .fix("check the clock of the machine that made it (`timedatectl`)"),
            );
        }
        match crl.next_update {
            None => self.add_finding(
                rule::CRL_EXPIRED
                    .at(path)
                    .found(format!("{who}has no nextUpdate: it never expires"))
                    .expected("a nextUpdate")
                    .fix(self.suggest_new_crl(path)),
            ),
            Some(next) if self.at > next.unix => {
                self.add_finding(
                    rule::CRL_EXPIRED
                        .at(path)
                        .found(format!("{who}expired at {next} (nextUpdate)"))
                        .expected(format!("valid at {now}"))
                        .fix(self.suggest_new_crl(path)),
                );
            }
            Some(next) if self.expires_soon(crl.this_update.unix, next.unix) => {
                let left = format_span(next.unix - self.at);
                self.add_finding(
                    rule::CRL_EXPIRING
                        .at(path)
                        .found_with_time_left(format!("{who}expires at {next} (nextUpdate)"), &left)
                        .expected(format!(
                            "more than {}",
                            format_span(self.warning_period(crl.this_update.unix, next.unix))
                        ))
                        .fix(self.suggest_new_crl(path)),
                );
            }
            Some(_) => {}
        }
    }

    fn check_crl_signature(&mut self, crl: &Crl, who: &str, case: &DirectoryContent) {
        let path = &case.crls.path;
        let issuers: Vec<&Cert> = issuing_cas(case).filter(|c| c.subject == crl.issuer).collect();
        if issuers.is_empty() {
            if !are_cas_incomplete(case) {
                let found = format!("{who}issued by {}, which is not a CA of this chain", crl.issuer);
                let mut finding = rule::CRL_ISSUER
                    .at(path)
                    .found(found)
                    .expected("a CRL by a CA of the chain, or by the CA of the peers")
                    .fix(self.suggest_new_crl(path));
                // A CRL that is checked without a chain must be by the given CA.
                if case.chain.items.is_empty() {
                    finding.severity = Severity::Error;
                }
                self.add_finding(finding);
            }
            return;
        }
        let results: Vec<_> = issuers.iter().map(|c| crl.verify_signature(&c.key)).collect();
        let good = issuers.iter().zip(&results).find(|(_, r)| r.is_ok()).map(|(c, _)| *c);
        match good {
            Some(issuer) if may_sign_crls(issuer) => self.check_crl_identifier(crl, who, issuer, path),
            Some(_) => self.add_finding(
                rule::CRL_SIGNATURE
                    .at(path)
                    .found(format!("{who}signed by a CA whose keyUsage lacks cRLSign"))
                    .expected("cRLSign")
                    .fix(self.suggest_new_crl(path)),
            ),
            // An algorithm that is not accepted has its own finding.
            None if !crl.signature.is_supported() => {}
            None => {
                let why = if results.contains(&Err(SignatureError::Invalid)) {
                    "not signed by the key of its issuer"
                } else {
                    "signed with an algorithm that does not match its issuer's key"
                };
                self.add_finding(
                    rule::CRL_SIGNATURE
                        .at(path)
                        .found(format!("{who}{why}{}", describe_key_mismatch(crl, &issuers)))
                        .expected(format!("the signature of {}", crl.issuer))
                        .fix(self.suggest_new_crl(path)),
                );
            }
        }
    }

    /// Reports an authority key identifier that is not the issuer's: OpenSSL does not find such a CRL.
    fn check_crl_identifier(&mut self, crl: &Crl, who: &str, issuer: &Cert, path: &Path) {
        if let Some(why) = crl.authority_key_id.as_ref().and_then(|id| id.explain_mismatch(issuer)) {
            self.add_finding(
                rule::KEY_IDENTIFIER
                    .at(path)
                    .found(format!("{who}{why}"))
                    .expected("the identifier of its issuer, by which OpenSSL finds the CRL")
                    .fix(self.suggest_new_crl(path)),
            );
        }
    }

    /// Reports certificates of the chain that no CRL covers: they are rejected in the handshake.
    fn check_coverage(&mut self, case: &DirectoryContent) {
        for cert in case.chain.items.iter().filter(|cert| !cert.is_self_issued()) {
            // A missing issuer is reported for the chain. Where several CAs have its name, the key decides.
            let issuers: Vec<&Cert> = issuing_cas(case).filter(|ca| cert.is_issued_by(ca)).collect();
            let mut crls = case.crls.items.iter().filter(|crl| crl.issuer == cert.issuer);
            let Some(issuer) = issuers.first() else { continue };
            if crls.clone().any(|crl| issuers.iter().any(|ca| crl.is_issued_by(ca))) {
                continue;
            }
            // A CRL in its name whose signature is wrong has a finding of its own.
            let namesakes = issuing_cas(case).filter(|ca| ca.subject == cert.issuer).count();
            if namesakes == issuers.len() && crls.next().is_some() {
                continue;
            }
            let key = if namesakes > issuers.len() { describe_key(issuer) } else { String::new() };
            let found = format!("no CRL by {}{key}, which issued {}", cert.issuer, cert.subject);
            self.add_finding(
                rule::CRL_COVERAGE
                    .at(&case.crls.path)
                    .found(found)
                    .expected("a CRL by each issuer in the chain")
                    .fix("append that CA's CRL to the file"),
            );
        }
    }

    /// Reports revoked certificates, also by a CRL that is otherwise invalid.
    fn check_revoked(&mut self, case: &DirectoryContent) {
        for cert in &case.chain.items {
            // A serial number means nothing in the CRL of another CA that has the same name.
            let is_others = |crl: &Crl| {
                let signers: Vec<&Cert> = issuing_cas(case).filter(|ca| crl.is_issued_by(ca)).collect();
                !signers.is_empty() && !signers.iter().any(|ca| cert.is_issued_by(ca))
            };
            let listing = case.crls.items.iter().filter(|crl| crl.issuer == cert.issuer);
            let entry = listing
                .filter_map(|crl| crl.find_entry(&cert.serial).map(|entry| (crl, entry)))
                .find(|(crl, _)| !is_others(crl))
                .map(|(_, entry)| entry);
            if let Some(entry) = entry {
                let found = format!(
                    "{}, serial {}, was revoked at {}{}",
                    cert.subject,
                    crate::finding::hex(&cert.serial),
                    entry.at,
                    crate::pki::revocation_reason(entry.reason)
                );
                self.add_finding(
                    rule::REVOKED
                        .at(&case.chain.path)
                        .found(found)
                        .expected("a certificate that is not revoked")
                        .fix(format!(
                            "if its holder may have a new key and certificate: {}",
                            suggest_reissue(cert, &case.chain.path, "--revoked ")
                        )),
                );
            }
        }
    }
}

/// ` (key 0a1b2c3d)`: the beginning of its identifier, or of the hash of its key.
pub(super) fn describe_key(ca: &Cert) -> String {
    let id = ca.extensions.subject_key_id.as_ref().map(|id| id.value.clone());
    let id = id.unwrap_or_else(|| crate::pki::sha256(&ca.key.spki));
    format!(" (key {})", crate::finding::hex(id.get(..4).unwrap_or(&id)))
}

/// The certificates that may have signed a CRL.
fn issuing_cas(case: &DirectoryContent) -> impl Iterator<Item = &Cert> {
    case.roots.items.iter().chain(case.chain.items.iter().skip(1))
}

fn are_cas_incomplete(case: &DirectoryContent) -> bool {
    case.roots.broken || case.roots.items.is_empty() || case.chain.broken
}

/// The key identifiers in the CRL and in the CA of that name, if they differ.
fn describe_key_mismatch(crl: &Crl, issuers: &[&Cert]) -> String {
    let wanted = crl.authority_key_id.as_ref().and_then(|id| id.key_id.as_ref());
    let here = issuers.first().and_then(|c| c.extensions.subject_key_id.as_ref());
    match (wanted, here) {
        (Some(wanted), Some(here)) if *wanted != here.value => {
            let (wanted, here) = (crate::finding::hex(wanted), crate::finding::hex(&here.value));
            format!(": it is by the key {wanted}, and the CA of this name has the key {here}")
        }
        _ => String::new(),
    }
}

fn may_sign_crls(issuer: &Cert) -> bool {
    issuer.extensions.key_usage.as_ref().is_none_or(|k| k.value.contains_all(KeyUsage::CRL_SIGN))
}

/// The names of the distribution point that a CRL is limited to (RFC 5280, section 5.2.5).
fn describe_distribution_point(crl: &Crl) -> Option<String> {
    let scope = crl.scope.as_ref().filter(|scope| scope.named)?;
    let relative = scope.relative.iter().map(ToString::to_string);
    let names: Vec<String> = scope.names.iter().map(ToString::to_string).chain(relative).collect();
    Some(names.join(", "))
}

/// Describes what a CRL covers if it is not complete.
fn describe_partial_scope(crl: &Crl) -> Option<&'static str> {
    if crl.delta {
        return Some("a delta CRL, which has only the changes");
    }
    let scope = crl.scope.as_ref()?;
    match () {
        () if scope.indirect => Some("an indirect CRL, about other issuers' certificates"),
        () if scope.only_attributes => Some("about attribute certificates only"),
        () if scope.reasons.is_some() => Some("about some reasons only"),
        () if scope.only_cas || scope.only_users => Some("about only part of the certificates"),
        () => None,
    }
}
