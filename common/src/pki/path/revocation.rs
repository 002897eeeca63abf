//! Revocation by CRLs, RFC 5280, section 6.3.
//!
//! If there are CRLs, each certificate below the root must be covered by one; a certificate that no CRL covers is
//! rejected. Delta CRLs are not combined with their bases: their revocations count, their removals do not. Indirect CRLs
//! are not used.

use super::{PathError, PathResult, PathSearch};
use crate::pki::cert::check_serial;
use crate::pki::crl::CrlScope;
use crate::pki::extension::REASONS;
use crate::pki::extension::{DistributionPoint, KeyUsage};
use crate::pki::name::{GeneralName, Name};
use crate::pki::{Cert, Crl, Time};

pub(super) fn check_revocation(work: &PathSearch<'_, '_>, path: &[&Cert], root: &Cert) -> PathResult {
    if work.question.crls.is_empty() {
        return Ok(());
    }
    let issuers = path.iter().skip(1).copied().chain([root]);
    path.iter().zip(issuers).try_for_each(|(cert, issuer)| check_status(work, cert, issuer, path, root))
}

/// Checks one certificate. The reasons that CRLs cover add up; all must be covered.
fn check_status(
    work: &PathSearch<'_, '_>,
    cert: &Cert,
    issuer: &Cert,
    path: &[&Cert],
    root: &Cert,
) -> PathResult {
    let mut covered = 0;
    let mut why = PathError::new(UNKNOWN, "no CRL of its issuer covers it");
    for crl in work.question.crls.iter().filter(|c| c.issuer == cert.issuer) {
        match covered_reasons(work, crl, cert, issuer, path, root) {
            Err(e) if e.code == super::EXHAUSTED => return Err(e),
            // Another CA of the same name has CRLs too, which are not the reason if there is another one.
            Err(e) if e.code == OTHER_SIGNER && why.code != UNKNOWN => {}
            Err(e) => why = e,
            Ok(reasons) => {
                if crl.revokes(&cert.serial) {
                    return Err(PathError::about("revoked", cert, "revoked"));
                }
                if !crl.delta {
                    covered |= reasons;
                }
            }
        }
    }
    let code = if why.code == EXPIRED { EXPIRED } else { UNKNOWN };
    if covered == REASONS { Ok(()) } else { Err(PathError::about(code, cert, why.text)) }
}

/// The code of a certificate whose revocation status is not known.
pub(in crate::pki) const UNKNOWN: &str = "revocation-unknown";
/// The code of a certificate whose only CRL has expired.
pub(in crate::pki) const EXPIRED: &str = "crl-expired";
/// A CRL that its issuer's key has not signed.
const OTHER_SIGNER: &str = "crl-signature";

/// The revocation reasons for which a CRL covers a certificate.
fn covered_reasons(
    work: &PathSearch<'_, '_>,
    crl: &Crl,
    cert: &Cert,
    issuer: &Cert,
    path: &[&Cert],
    root: &Cert,
) -> PathResult<u16> {
    // First, because what is wrong with a CRL of another CA says nothing about this certificate.
    check_crl_signature(work, crl, issuer, path, root)?;
    check_crl_form(work, crl)?;
    crl.scope.as_ref().map_or(Ok(REASONS), |scope| reasons_in_scope(scope, cert))
}

fn crl_error(text: &str) -> PathError {
    PathError::new("crl", format_args!("its CRL {text}"))
}

fn check_crl_form(work: &PathSearch<'_, '_>, crl: &Crl) -> PathResult {
    let at = work.question.at;
    if let Some(broken) = crl.broken.first() {
        return Err(crl_error(broken));
    }
    if let Some(unknown) = crl.unknown_critical.first() {
        return Err(crl_error(&format!("has the critical extension {unknown}")));
    }
    if !crl.signature.consistent {
        return Err(crl_error("names two signature algorithms"));
    }
    if at < crl.this_update.unix {
        return Err(crl_error("has a thisUpdate in the future"));
    }
    match crl.next_update {
        None => return Err(crl_error("has no nextUpdate")),
        Some(next) if at > next.unix => {
            return Err(PathError::new(EXPIRED, format_args!("its CRL expired at {next} (nextUpdate)")));
        }
        Some(_) => {}
    }
    // Section 5.1.2.4, as of certificates.
    let late = |t: &&Time| t.generalized && t.unix < super::profile::YEAR_2050;
    if work.question.conformance
        && [Some(&crl.this_update), crl.next_update.as_ref()].iter().flatten().any(late)
    {
        return Err(crl_error("has a GeneralizedTime before the year 2050"));
    }
    let Some(number) = crl.number.as_ref().filter(|_| crl.version == 2) else {
        return if work.question.conformance { Err(crl_error("has no number")) } else { Ok(()) };
    };
    if work.question.conformance {
        let zero = number.value == [0];
        if number.critical {
            return Err(crl_error("has a critical number"));
        }
        if !zero && check_serial(&number.value).is_err() {
            return Err(crl_error("has a number that is negative or too long"));
        }
    }
    Ok(())
}

impl Crl {
    /// Explains why this CRL says nothing about a certificate of its issuer, if its scope does not include it.
    #[must_use]
    pub fn explain_out_of_scope(&self, cert: &Cert) -> Option<String> {
        self.scope.as_ref().and_then(|scope| reasons_in_scope(scope, cert).err()).map(|e| e.text)
    }
}

/// Section 6.3.3 (b): which certificates, which reasons.
fn reasons_in_scope(scope: &CrlScope, cert: &Cert) -> PathResult<u16> {
    if scope.indirect || scope.only_attributes {
        return Err(crl_error("is about other certificates"));
    }
    if (scope.only_users && cert.is_ca()) || (scope.only_cas && !cert.is_ca()) {
        return Err(crl_error("is not about this kind of certificate"));
    }
    let points =
        cert.extensions.crl_distribution_points.as_ref().map(|p| p.value.as_slice()).unwrap_or_default();
    let mut reasons = 0;
    for point in points.iter().filter(|p| !p.other_issuer) {
        if !scope.named || is_same_distribution_point(scope, point, cert) {
            reasons |= point.reasons.unwrap_or(REASONS);
        }
    }
    if points.is_empty() && !scope.named {
        reasons = REASONS;
    }
    if reasons == 0 {
        return Err(crl_error("is for another distribution point"));
    }
    Ok(reasons & scope.reasons.unwrap_or(REASONS))
}

/// Whether one of the point's names is one of the list's, where either may be relative to the issuer's name.
fn is_same_distribution_point(scope: &CrlScope, point: &DistributionPoint, cert: &Cert) -> bool {
    let joined = |names: &[GeneralName], relative: &Option<Name>| {
        let directories =
            names.iter().filter_map(|n| if let GeneralName::Directory(n) = n { Some(n) } else { None });
        relative.as_ref().is_some_and(|r| directories.into_iter().any(|n| n.is_joined(&cert.issuer, r)))
    };
    point.names.iter().any(|n| scope.names.contains(n))
        || (point.relative.is_some() && point.relative == scope.relative)
        || joined(&scope.names, &point.relative)
        || joined(&point.names, &scope.relative)
}

/// Section 6.3.3 (f) and (g): signed by the issuer, or by another key of its name that the same path vouches for.
fn check_crl_signature(
    work: &PathSearch<'_, '_>,
    crl: &Crl,
    issuer: &Cert,
    path: &[&Cert],
    root: &Cert,
) -> PathResult {
    if is_crl_signed_by(work, crl, issuer)? {
        return check_may_sign(issuer);
    }
    for other in work.question.intermediates.iter().filter(|c| c.subject == crl.issuer && c.key != issuer.key)
    {
        if is_crl_signed_by(work, crl, other)? && is_valid_crl_signer(work, other, path, root)? {
            return check_may_sign(other);
        }
    }
    Err(PathError { code: OTHER_SIGNER, ..crl_error("is not signed by its issuer") })
}

/// Whether the key of a certificate has signed a CRL.
fn is_crl_signed_by(work: &PathSearch<'_, '_>, crl: &Crl, signer: &Cert) -> PathResult<bool> {
    if let Some(known) = work.verified_crls.is_signed_by(work.question, crl, signer) {
        return Ok(known);
    }
    work.spend_budget(&work.signatures, super::SIGNATURES, "signatures to verify")?;
    Ok(crl.verify_signature(&signer.key).is_ok())
}

/// Whether a certificate for another key of a CA is good: issued from within this path, valid, not revoked.
fn is_valid_crl_signer(
    work: &PathSearch<'_, '_>,
    signer: &Cert,
    path: &[&Cert],
    root: &Cert,
) -> PathResult<bool> {
    let valid = signer.is_valid_at(work.question.at)
        && signer.extensions.broken.is_empty()
        && !signer.extensions.unknown.iter().any(|u| u.critical);
    if !valid {
        return Ok(false);
    }
    match find_issuer_in_path(work, signer, path, root)? {
        Some(issuer) => Ok(!is_signer_revoked(work, signer, issuer, path, root)?),
        None => Ok(false),
    }
}

/// The certificate of the path that has issued another one.
fn find_issuer_in_path<'c>(
    work: &PathSearch<'_, '_>,
    cert: &Cert,
    path: &[&'c Cert],
    root: &'c Cert,
) -> PathResult<Option<&'c Cert>> {
    for issuer in path.iter().skip(1).copied().chain([root]) {
        if issuer.subject == cert.issuer && work.is_signed_by(cert, issuer)? {
            return Ok(Some(issuer));
        }
    }
    Ok(None)
}

/// Whether a CRL of its issuer revokes the certificate of a CRL signer. Another CA may have the same name, and serial
/// numbers that are the same: its CRLs do not count. One key of the issuer may revoke another that this path vouches for.
fn is_signer_revoked(
    work: &PathSearch<'_, '_>,
    signer: &Cert,
    issuer: &Cert,
    path: &[&Cert],
    root: &Cert,
) -> PathResult<bool> {
    let own = |c: &&Crl| c.issuer == signer.issuer && c.revokes(&signer.serial);
    for crl in work.question.crls.iter().filter(own) {
        if is_crl_signed_by(work, crl, issuer)? {
            return Ok(true);
        }
        for other in
            work.question.intermediates.iter().filter(|c| c.subject == crl.issuer && c.key != issuer.key)
        {
            if is_crl_signed_by(work, crl, other)? && find_issuer_in_path(work, other, path, root)?.is_some()
            {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn check_may_sign(signer: &Cert) -> PathResult {
    let usage = signer.extensions.key_usage.as_ref();
    if usage.is_some_and(|k| !k.value.contains_all(KeyUsage::CRL_SIGN)) {
        return Err(crl_error("is signed by a key that may not sign CRLs"));
    }
    Ok(())
}
