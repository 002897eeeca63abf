//! Rules for the chain: whether the leaf chains to a root and is valid for the given hosts, by the TLS library and by RFC
//! 5280, with the clock and the CRLs passed in.

use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, Error, KeyUsage, anchor_from_trusted_cert};

use super::advice::{suggest_new_names, suggest_reissue};
use super::{DirectoryContent, RuleChecker};
use crate::finding::{Finding, Severity};
use crate::pki::name::GeneralName;
use crate::pki::path::revocation::UNKNOWN;
use crate::pki::path::{self, PathError, ValidationRequest};
use crate::pki::{Cert, Profile, Role, extension, oid, rule};

const FIX: &str = "put the intermediates after the leaf, and the root into ca.crt";

impl RuleChecker<'_> {
    pub(super) fn check_chain(&mut self, case: &DirectoryContent) {
        let (Some(leaf), false) = (case.chain.items.first(), case.roots.items.is_empty()) else { return };
        if !self.findings.iter().any(|f| f.rule == rule::BUNDLE_ORDER.id) {
            self.check_order(case);
        }
        let path = &case.chain.path;
        match EndEntityCert::try_from(&leaf.der) {
            Err(e) => self.add_finding(
                rule::TLS
                    .at(path)
                    .found(format!("the TLS library cannot read it: {e:?}"))
                    .expected("a certificate"),
            ),
            Ok(end_entity) => {
                self.check_root_path_len(case);
                self.check_key_identifiers(case);
                if let Err(e) = self.verify_with_webpki(case, &end_entity) {
                    self.explain_webpki_error(case, &e);
                }
                if case.role == Role::Server {
                    self.check_hosts(case, &end_entity);
                }
            }
        }
    }

    /// Reports certificates that did not issue the one before, and roots that are not left out.
    fn check_order(&mut self, case: &DirectoryContent) {
        let chain = &case.chain.items;
        let wrong = chain.windows(2).position(|pair| pair[0].issuer != pair[1].subject);
        let root = chain.iter().skip(1).find(|c| case.roots.items.iter().any(|r| r.der == c.der));
        let found = match (wrong, root) {
            (Some(i), _) => format!(
                "certificate {} ({}) did not issue certificate {} ({})",
                i + 2,
                chain[i + 1].subject,
                i + 1,
                chain[i].subject
            ),
            (None, Some(root)) => {
                format!("{}, which is in ca.crt, is among the intermediates", root.subject)
            }
            (None, None) => return,
        };
        self.add_finding(
            rule::BUNDLE_ORDER
                .at(&case.chain.path)
                .found(found)
                .expected("the leaf, then the issuer of each; not what is in ca.crt")
                .fix("put the leaf first, then the issuer of each, and leave out what is in ca.crt"),
        );
    }

    /// Reports authority key identifiers that are not the issuer's: OpenSSL does not find such an issuer.
    fn check_key_identifiers(&mut self, case: &DirectoryContent) {
        let issuers = || case.chain.items.iter().skip(1).chain(&case.roots.items);
        for (i, cert) in case.chain.items.iter().enumerate() {
            let Some(id) = &cert.extensions.authority_key_id else { continue };
            let reasons: Vec<_> =
                issuers().filter(|c| cert.is_issued_by(c)).map(|c| id.value.explain_mismatch(c)).collect();
            // One match is enough, because a CA may have several certificates.
            if reasons.is_empty() || reasons.contains(&None) {
                continue;
            }
            let who =
                if i == 0 { String::new() } else { format!("certificate {} ({}): ", i + 1, cert.subject) };
            let why = reasons.into_iter().flatten().next().unwrap_or_default();
            self.add_finding(
                rule::KEY_IDENTIFIER
                    .at(&case.chain.path)
                    .found(format!("{who}{why}"))
                    .expected("the identifier of its issuer, by which OpenSSL finds it")
                    .fix(suggest_reissue(cert, &case.chain.path, "--all ")),
            );
        }
    }

    /// Checks the path length of the roots, which webpki ignores and OpenSSL does not. Certificates that are sent though
    /// they are in ca.crt are not part of the path.
    fn check_root_path_len(&mut self, case: &DirectoryContent) {
        let trusted = |c: &Cert| case.roots.items.iter().any(|r| r.der == c.der);
        let intermediates =
            case.chain.items.iter().skip(1).filter(|c| !c.is_self_issued() && !trusted(c)).count();
        let limit = |c: &Cert| c.extensions.basic_constraints.as_ref().and_then(|b| b.value.path_len);
        let limits: Option<Vec<u32>> = case.roots.items.iter().map(limit).collect();
        if limits.is_some_and(|limits| limits.iter().all(|&n| (n as usize) < intermediates)) {
            let found = format!("more intermediates ({intermediates}) than the path length of ca.crt allows");
            self.add_finding(
                rule::CHAIN
                    .at(&case.chain.path)
                    .found(found)
                    .expected("no more than it allows")
                    .fix("use a leaf that fewer intermediates issued"),
            );
        }
    }

    fn verify_with_webpki(&self, case: &DirectoryContent, leaf: &EndEntityCert<'_>) -> Result<(), Error> {
        let anchors: Result<Vec<TrustAnchor<'_>>, Error> =
            case.roots.items.iter().map(|c| anchor_from_trusted_cert(&c.der)).collect();
        let intermediates: Vec<CertificateDer<'_>> =
            case.chain.items.iter().skip(1).map(|c| c.der.clone()).collect();
        let usage = match case.role {
            Role::Server => KeyUsage::server_auth(),
            Role::Client => KeyUsage::client_auth(),
        };
        let at = UnixTime::since_unix_epoch(Duration::from_secs(self.at.max(0) as u64));
        let algorithms = webpki::ALL_VERIFICATION_ALGS;
        // Without CRLs, which profd and profctl check themselves.
        leaf.verify_for_usage(algorithms, &anchors?, &intermediates, at, usage, None, None).map(drop)
    }

    /// Reports why webpki rejects the chain, unless another rule does.
    fn explain_webpki_error(&mut self, case: &DirectoryContent, error: &Error) {
        let is_valid = |leaf: &Cert| self.validate_leaf(case, leaf, Requirements::WITHOUT_CRLS).is_ok();
        if case.chain.items.first().is_some_and(is_valid) {
            return self.add_finding(stricter_library_finding(case, error));
        }
        let why = match error {
            Error::UnknownIssuer => "does not chain to ca.crt: its issuer is missing".to_owned(),
            Error::InvalidSignatureForPublicKey => self.explain_signature(case),
            Error::PathLenConstraintViolated => "more intermediates than a path length allows".to_owned(),
            Error::NameConstraintViolation => "a name that the CA's name constraints do not allow".to_owned(),
            Error::MaximumSignatureChecksExceeded
            | Error::MaximumPathBuildCallsExceeded
            | Error::MaximumNameConstraintComparisonsExceeded
            | Error::MaximumPathDepthExceeded => {
                "too many certificates, names or constraints to be checked".to_owned()
            }
            _ => return,
        };
        self.add_finding(rule::CHAIN.at(&case.chain.path).found(why).expected("a chain to ca.crt").fix(FIX));
    }

    /// Names the certificate whose signature does not verify with any issuer of that name. Where each verifies with
    /// one, another CA of the same name was tried last, and the signature is not what is wrong.
    fn explain_signature(&self, case: &DirectoryContent) -> String {
        let chain = &case.chain.items;
        let named = |cert: &Cert| {
            let others = chain.iter().skip(1).chain(&case.roots.items);
            others.filter(|ca| ca.subject == cert.issuer).cloned().collect::<Vec<_>>()
        };
        let unsigned = chain.iter().find(|cert| {
            let issuers = named(cert);
            !issuers.is_empty() && !issuers.iter().any(|ca| cert.is_issued_by(ca))
        });
        match (unsigned, chain.first()) {
            (Some(cert), _) => {
                let names = cert.extensions.authority_key_id.as_ref();
                let mismatch = named(cert).iter().find_map(|ca| names?.value.explain_mismatch(ca));
                let other = mismatch.map(|why| format!(", another CA of this name: it {why}"));
                format!(
                    "{}: not signed by the key of {} in ca.crt or the chain{}",
                    cert.subject,
                    cert.issuer,
                    other.unwrap_or_default()
                )
            }
            (None, Some(leaf)) => match self.validate_leaf(case, leaf, Requirements::RFC_5280) {
                Err(error) => error.to_string(),
                Ok(()) => "does not chain to ca.crt: another CA of the same name is tried first".to_owned(),
            },
            (None, None) => "does not chain to ca.crt".to_owned(),
        }
    }

    /// Checks that a directory without errors passes path validation by RFC 5280 and the verification of peers.
    pub(super) fn check_final_validation(&mut self, case: &DirectoryContent) {
        let is_invalid = self.findings.iter().any(|f| f.severity == Severity::Error);
        let Some(leaf) = case.chain.items.first().filter(|_| !is_invalid) else { return };
        let path = &case.chain.path;
        if let Err(e) = self.validate_leaf(case, leaf, Requirements::RFC_5280) {
            self.add_finding(
                rule::CHAIN
                    .at(path)
                    .found(e.to_string())
                    .expected("a path that is valid by RFC 5280")
                    .fix(match e.code {
                        UNKNOWN => {
                            "put a CRL of its issuer that covers it into ca.crl: one without a distribution point, or with \
                             one that the certificate names"
                        }
                        _ => FIX,
                    }),
            );
        } else if self.options.profile == Profile::Strict {
            if let Err(e) = self.validate_leaf(case, leaf, Requirements::CONFORMANCE) {
                let expected = "what RFC 5280 obliges CAs to issue";
                self.add_finding(
                    rule::CONFORMANCE
                        .at(path)
                        .found(e.to_string())
                        .expected(expected)
                        .fix(suggest_reissue(leaf, path, "--all ")),
                );
            }
        }
    }

    fn validate_leaf(
        &self,
        case: &DirectoryContent,
        leaf: &Cert,
        requirements: Requirements,
    ) -> Result<(), PathError> {
        let purpose = match case.role {
            Role::Server => "serverAuth",
            Role::Client => "clientAuth",
        };
        let question = ValidationRequest {
            leaf,
            intermediates: case.chain.items.get(1..).unwrap_or_default(),
            roots: &case.roots.items,
            crls: if requirements.crls { &case.crls.items } else { &[] },
            at: self.at,
            purposes: &oid::encode_purpose(purpose).into_iter().collect::<Vec<_>>(),
            key_usage: extension::KeyUsage::DIGITAL_SIGNATURE,
            names: &[],
            max_depth: path::MAX_DEPTH,
            conformance: requirements.conformance,
        };
        path::validate_path(&question).map(drop)
    }

    fn check_hosts(&mut self, case: &DirectoryContent, leaf: &EndEntityCert<'_>) {
        for host in self.options.hosts {
            let good = ServerName::try_from(host.as_str())
                .is_ok_and(|name| leaf.verify_is_valid_for_subject_name(&name).is_ok());
            if !good {
                let names = case.chain.items[0].extensions.subject_alt_name.as_ref().map(|s| &s.value);
                let names: Vec<_> = names.into_iter().flatten().map(ToString::to_string).collect();
                let found = if names.is_empty() {
                    "no subject alternative name".to_owned()
                } else {
                    format!("valid for {} only", names.join(", "))
                };
                self.add_finding(
                    rule::HOST_MISMATCH
                        .at(&case.chain.path)
                        .found(found)
                        .expected(format!("{host} among the subject alternative names"))
                        .fix(suggest_new_names(host)),
                );
            }
        }
    }
}

/// Demands on a path besides RFC 5280, section 6.1.
#[derive(Clone, Copy)]
struct Requirements {
    /// No certificate of it is revoked by the CRLs, and they cover all.
    crls: bool,
    /// It is what RFC 5280 obliges CAs to issue.
    conformance: bool,
}

impl Requirements {
    const WITHOUT_CRLS: Self = Self { crls: false, conformance: false };
    const RFC_5280: Self = Self { crls: true, conformance: false };
    const CONFORMANCE: Self = Self { crls: true, conformance: true };
}

/// The finding for a chain that is valid by RFC 5280 and that rustls-webpki 0.103 rejects, with the cause.
///
/// profctl verifies daemons with it. profd verifies clients by RFC 5280 alone, so it serves such a client.
fn stricter_library_finding(case: &DirectoryContent, error: &Error) -> Finding {
    let cause = match error {
        Error::UnknownIssuer => explain_name_encoding(case),
        Error::NameConstraintViolation => explain_constraint_forms(case),
        Error::PathLenConstraintViolated => Some(
            "it counts self-issued intermediates for the path length, which RFC 5280, section 6.1.4 (l), does not"
                .to_owned(),
        ),
        _ => None,
    };
    let cause = cause.unwrap_or_else(|| format!("{error:?}"));
    let (library, fix) =
        ("the TLS library (rustls-webpki)", "issue it again without what the library rejects");
    let finding = rule::TLS.at(&case.chain.path).expected("a chain that both accept").fix(fix);
    match case.role {
        Role::Server => {
            finding.found(format!("valid by RFC 5280, but {library} of profctl rejects it: {cause}"))
        }
        Role::Client => Finding { severity: Severity::Warning, ..finding }.found(format!(
            "valid by RFC 5280 and for profd, but {library} of other servers rejects it: {cause}"
        )),
    }
}

/// Explains an issuer that is there under the same name in another encoding.
fn explain_name_encoding(case: &DirectoryContent) -> Option<String> {
    let cas = || case.roots.items.iter().chain(case.chain.items.iter().skip(1));
    let (cert, ca) = case.chain.items.iter().find_map(|cert| {
        let ca = cas().find(|ca| ca.subject == cert.issuer)?;
        (!cas().any(|ca| ca.subject.raw == cert.issuer.raw)).then_some((cert, ca))
    })?;
    let (issuer, subject) = (cert.issuer.to_string(), ca.subject.to_string());
    let difference = if issuer == subject {
        "is encoded with other string types than the subject of its CA".to_owned()
    } else {
        format!("differs in capitals or spaces from the subject {subject} of its CA")
    };
    Some(format!(
        "it compares names byte by byte, and the issuer {issuer} of {} {difference} (RFC 5280, section 7.1, takes them as \
         equal)",
        cert.subject
    ))
}

/// Names the forms of names with constraints that the library does not compare.
fn explain_constraint_forms(case: &DirectoryContent) -> Option<String> {
    let cas = case.roots.items.iter().chain(case.chain.items.iter().skip(1));
    let constraints = cas.filter_map(|ca| ca.extensions.name_constraints.as_ref());
    let trees = constraints.flat_map(|c| c.value.permitted.iter().chain(&c.value.excluded));
    let mut forms: Vec<&str> = trees
        .filter_map(|tree| match tree.base {
            GeneralName::Email(_) => Some("e-mail addresses"),
            GeneralName::Directory(_) => Some("directory names"),
            GeneralName::Uri(_) => Some("URIs"),
            GeneralName::Other(..) => Some("other names"),
            GeneralName::Dns(_) | GeneralName::Ip(_) => None,
        })
        .collect();
    forms.sort_unstable();
    forms.dedup();
    let forms = forms.join(" and ");
    (!forms.is_empty())
        .then(|| format!("it does not compare {forms} with name constraints, and rejects all of them"))
}
