//! Rules for single certificates: any certificate, roots, intermediates, the leaf.

use std::net::IpAddr;
use std::path::Path;

use super::advice::{suggest_new_names, suggest_reissue, suggest_renewal};
use super::revocation::describe_key;
use super::{DirectoryContent, RuleChecker, format_span};
use crate::pki::cert::check_serial;
use crate::pki::extension::KeyUsage;
use crate::pki::name::GeneralName;
use crate::pki::signature::SignatureError;
use crate::pki::{Cert, Role, is_dns_pattern, oid, oid_name, rule};

const DAY: i64 = 86_400;
const LONGEST_LEAF: i64 = 825 * DAY;
const LONGEST_CA: i64 = 25 * 366 * DAY;

impl RuleChecker<'_> {
    pub(super) fn check_roots(&mut self, case: &DirectoryContent) {
        let (path, roots) = (&case.roots.path, &case.roots.items);
        for (i, root) in roots.iter().enumerate() {
            let who = certificate_prefix(root, i, roots.len());
            // The rules for roots do not apply to it.
            if case.chain.items.first().is_some_and(|leaf| leaf.der == root.der && !leaf.is_self_issued()) {
                self.add_finding(
                    rule::NOT_A_CA
                        .at(path)
                        .found(format!("{who}the leaf of {} is in this file", file_name(&case.chain.path)))
                        .expected("CAs only")
                        .fix("delete that block"),
                );
                continue;
            }
            self.check_certificate(root, &who, path);
            self.check_ca_certificate(
                root,
                &who,
                path,
                KeyUsage(KeyUsage::KEY_CERT_SIGN.0 | KeyUsage::CRL_SIGN.0),
            );
            self.check_self_signed(root, &who, path, roots);
        }
        // An intermediate whose root is there too adds no trust anchor.
        let roots: Vec<&Cert> =
            roots.iter().filter(|r| r.is_self_issued() || !is_issued_by_any(r, roots)).collect();
        if roots.len() > 1 {
            // Several keys of one name are distinguished by their identifiers.
            let has_namesake = |r: &Cert| roots.iter().filter(|other| other.subject == r.subject).count() > 1;
            let key = |r: &Cert| if has_namesake(r) { describe_key(r) } else { String::new() };
            let names: Vec<_> = roots.iter().map(|r| format!("{}{}", r.subject, key(r))).collect();
            self.add_finding(
                rule::SEVERAL_CAS
                    .at(path)
                    .found(format!("{} roots: {}", roots.len(), names.join("; ")))
                    .expected("one, because each is fully trusted")
                    .fix(
                        "remove the roots that issue no peer's certificate; during a rollover, `certck mint rollover finish` \
                         does",
                    ),
            );
        }
    }

    pub(super) fn check_leaf_and_intermediates(&mut self, case: &DirectoryContent) {
        let (path, chain) = (&case.chain.path, &case.chain.items);
        for (i, cert) in chain.iter().enumerate() {
            let who = certificate_prefix(cert, i, chain.len());
            self.check_certificate(cert, &who, path);
            if i == 0 {
                self.check_leaf(cert, case.role, path);
                self.check_leaf_key_is_not_ca(case, cert);
            } else {
                self.check_ca_certificate(cert, &who, path, KeyUsage::KEY_CERT_SIGN);
            }
        }
    }

    /// The rules for every certificate. `who` begins each message where a file holds several.
    fn check_certificate(&mut self, cert: &Cert, who: &str, path: &Path) {
        let again = || suggest_reissue(cert, path, "--all ");
        for broken in &cert.extensions.broken {
            self.add_finding(
                rule::MALFORMED_CERTIFICATE
                    .at(path)
                    .found(format!("{who}{broken}"))
                    .expected("well-formed extensions")
                    .fix(again()),
            );
        }
        if !cert.signature.consistent {
            let found = format!("{who}has different signature algorithms inside and outside the signed part");
            self.add_finding(
                rule::MALFORMED_CERTIFICATE.at(path).found(found).expected("the same").fix(again()),
            );
        }
        if cert.version != 3 {
            let found = format!("{who}X.509 version {}", cert.version);
            self.add_finding(rule::VERSION.at(path).found(found).expected("version 3").fix(again()));
        }
        if let Err(why) = check_serial(&cert.serial) {
            let found = format!("{who}serial number {} {why}", crate::finding::hex(&cert.serial));
            self.add_finding(
                rule::SERIAL_NUMBER.at(path).found(found).expected("positive, at most 20 bytes").fix(again()),
            );
        }
        if !cert.key.kind.is_strong() {
            let found = format!("{who}{}", cert.key.kind);
            self.add_finding(
                rule::WEAK_KEY
                    .at(path)
                    .found(found)
                    .expected("RSA of 3072 to 8192 bits, EC on P-256, P-384 or P-521, or Ed25519")
                    .fix(suggest_reissue(cert, path, "--all --algo ecdsa-p256 ")),
            );
        }
        if !cert.signature.is_supported() {
            let found = format!("{who}signed by {}", cert.signature.name());
            self.add_finding(rule::SIGNATURE_ALGORITHM.at(path).found(found).expected("RSA or ECDSA with SHA-256, SHA-384 or SHA-512, or Ed25519; for RSA-PSS, a salt as long as the hash").fix(again()));
        }
        for unknown in cert.extensions.unknown.iter().filter(|u| u.critical) {
            let found = format!("{who}critical extension {}", unknown.value);
            self.add_finding(
                rule::CRITICAL_EXTENSION
                    .at(path)
                    .found(found)
                    .expected("only critical extensions that are understood")
                    .fix(again()),
            );
        }
        self.check_validity(cert, who, path);
    }

    fn check_validity(&mut self, cert: &Cert, who: &str, path: &Path) {
        let (from, until, now) = (cert.not_before, cert.not_after, crate::pki::format_utc(self.at));
        if self.at < from.unix {
            self.add_finding(
                rule::NOT_YET_VALID
                    .at(path)
                    .found(format!("{who}not valid before {from}"))
                    .expected(format!("valid at {now}"))
                    .fix("wait, or check the clock of the machine that issued it (`timedatectl`)"),
            );
        } else if self.at > until.unix {
            self.add_finding(
                rule::EXPIRED
                    .at(path)
                    .found(format!("{who}expired at {until}"))
                    .expected(format!("valid at {now}"))
                    .fix(match cert.is_ca() && cert.is_self_issued() {
                        true => {
                            "make a new authority with `certck mint`: peers reject all that this one signed"
                                .to_owned()
                        }
                        false => suggest_reissue(cert, path, ""),
                    }),
            );
        } else if self.expires_soon(from.unix, until.unix) {
            let left = format_span(until.unix - self.at);
            self.add_finding(
                rule::EXPIRING
                    .at(path)
                    .found_with_time_left(format!("{who}expires at {until}"), &left)
                    .expected(format!(
                        "more than {}",
                        format_span(self.warning_period(from.unix, until.unix))
                    ))
                    .fix(suggest_reissue(cert, path, "")),
            );
        }
        let (longest, length) =
            (if cert.is_ca() { LONGEST_CA } else { LONGEST_LEAF }, until.unix - from.unix);
        if length > longest {
            self.add_finding(
                rule::LONG_VALIDITY
                    .at(path)
                    .found(format!("{who}valid for {} days", length / DAY))
                    .expected(format!("at most {}", longest / DAY))
                    .fix(suggest_reissue(cert, path, "--all --days 365 ")),
            );
        }
    }

    fn check_ca_certificate(&mut self, cert: &Cert, who: &str, path: &Path, usage: KeyUsage) {
        if !cert.is_ca() {
            let found = format!("{who}not a CA by its basicConstraints");
            self.add_finding(
                rule::NOT_A_CA.at(path).found(found).expected("basicConstraints with CA true").fix(
                    "put the CA's own certificate there; if it is this one, replace the CA: `certck mint`",
                ),
            );
        }
        let present = cert.extensions.key_usage.as_ref().map(|k| k.value);
        if !present.is_some_and(|k| k.contains_all(usage)) {
            self.add_finding(
                rule::CA_KEY_USAGE
                    .at(path)
                    .found(format!("{who}{}", describe_key_usage(present)))
                    .expected(usage.usage_names().join(" and "))
                    .fix(suggest_reissue(cert, path, "--all ")),
            );
        }
    }

    fn check_self_signed(&mut self, cert: &Cert, who: &str, path: &Path, roots: &[Cert]) {
        if !cert.is_self_issued() {
            if is_issued_by_any(cert, roots) {
                return;
            }
            let found = format!("{who}issued by {}", cert.issuer);
            self.add_finding(
                rule::CA_NOT_SELF_SIGNED
                    .at(path)
                    .found(found)
                    .expected("a self-signed root: OpenSSL accepts an intermediate with -partial_chain only")
                    .fix("add its root; then remove this certificate, if the peers send it after their leaf"),
            );
        } else if cert.signature.verify(&cert.key) == Err(SignatureError::Invalid) {
            let found = format!("{who}not signed by its own key");
            self.add_finding(
                rule::CA_SIGNATURE
                    .at(path)
                    .found(found)
                    .expected("a self-signed root")
                    .fix("copy the root again from where it was issued"),
            );
        }
    }

    fn check_leaf(&mut self, cert: &Cert, role: Role, path: &Path) {
        if cert.is_ca() {
            self.add_finding(
                rule::LEAF_IS_CA
                    .at(path)
                    .found("a CA by its basicConstraints")
                    .expected("a leaf")
                    .fix(suggest_renewal(path, "--all ")),
            );
        }
        let usage = cert.extensions.key_usage.as_ref().map(|k| k.value);
        if !usage.is_some_and(|k| k.contains_all(KeyUsage::DIGITAL_SIGNATURE)) {
            self.add_finding(
                rule::LEAF_KEY_USAGE
                    .at(path)
                    .found(describe_key_usage(usage))
                    .expected("digitalSignature")
                    .fix(suggest_renewal(path, "--all ")),
            );
        }
        self.check_extended_key_usage(cert, role, path);
        if role == Role::Server {
            self.check_names_can_match(cert, path);
        }
        let names = cert.extensions.subject_alt_name.iter().flat_map(|s| &s.value);
        let hosts = names.filter(|n| matches!(n, GeneralName::Dns(_) | GeneralName::Ip(_)));
        if role == Role::Server && hosts.count() == 0 {
            self.add_finding(
                rule::NO_ALT_NAME
                    .at(path)
                    .found("no DNS name or address as subject alternative name")
                    .expected("the names and addresses that clients connect to")
                    .fix(suggest_new_names("NAME")),
            );
        }
    }

    /// Reports names that no client can ask for.
    fn check_names_can_match(&mut self, cert: &Cert, path: &Path) {
        for name in cert.extensions.subject_alt_name.iter().flat_map(|s| &s.value) {
            let Some(why) = explain_unmatchable(name) else { continue };
            self.add_finding(
                rule::UNMATCHABLE_NAME
                    .at(path)
                    .found(format!("{name}: {why}"))
                    .expected("names that a client can ask for")
                    .fix(suggest_new_names("NAME")),
            );
        }
    }

    /// Reports a leaf with a CA's key: who can read it can sign as the CA.
    fn check_leaf_key_is_not_ca(&mut self, case: &DirectoryContent, leaf: &Cert) {
        let others = case.roots.items.iter().chain(case.chain.items.iter().skip(1));
        let another = |c: &&Cert| c.key.spki == leaf.key.spki && (c.der != leaf.der || leaf.is_self_issued());
        if let Some(ca) = others.into_iter().find(another) {
            self.add_finding(
                rule::LEAF_HAS_CA_KEY
                    .at(&case.chain.path)
                    .found(format!("its key is the key of {}", ca.subject))
                    .expected("a key of its own")
                    .fix(
                        "make a new authority with `certck mint`: everyone who can read this key can sign as the CA",
                    ),
            );
        }
    }

    fn check_extended_key_usage(&mut self, cert: &Cert, role: Role, path: &Path) {
        let wanted = match role {
            Role::Server => "serverAuth",
            Role::Client => "clientAuth",
        };
        match cert.extensions.extended_key_usage.as_ref().map(|e| &e.value) {
            // RFC 5280, 4.2.1.12: without the extension, any use is allowed.
            None => self.add_finding(
                rule::NO_EXTENDED_KEY_USAGE
                    .at(path)
                    .found("no extendedKeyUsage: valid for either role")
                    .expected(wanted)
                    .fix(suggest_renewal(path, "--all ")),
            ),
            Some(usages) if usages.iter().any(|u| Some(u) == oid::encode_purpose(wanted).as_ref()) => {}
            Some(usages) => {
                let names: Vec<_> = usages.iter().map(|u| oid_name(u)).collect();
                self.add_finding(
                    rule::EXTENDED_KEY_USAGE
                        .at(path)
                        .found(names.join(", "))
                        .expected(wanted)
                        .fix(suggest_renewal(path, "--all ")),
                );
            }
        }
    }
}

/// Why no client can match a name (RFC 9525, section 6.3), if so.
fn explain_unmatchable(name: &GeneralName) -> Option<&'static str> {
    let text = match name {
        GeneralName::Dns(text) => text.as_str(),
        GeneralName::Ip(bytes) if !matches!(bytes.len(), 4 | 16) => {
            return Some("not an address of 4 or 16 bytes");
        }
        GeneralName::Ip(bytes) => return explain_no_host_address(address_of(bytes)?),
        _ => return None,
    };
    // Underscores are not of the preferred syntax, and clients match them all the same.
    let is_matchable = is_dns_pattern(&text.replace('_', "x"));
    match () {
        () if is_matchable => None,
        () if text.parse::<IpAddr>().is_ok() => {
            Some("an address as a DNS name, but clients look for an IP name")
        }
        () if text.ends_with('.') => Some("clients leave the trailing dot out"),
        () if text.contains('*') => {
            Some("a `*` must be the whole first label, with two more labels after it")
        }
        () => Some("not a DNS name"),
    }
}

fn address_of(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// Explains why an address is not that of a host, if so: a daemon binds to it, and clients connect to another one.
#[must_use]
pub fn explain_no_host_address(address: IpAddr) -> Option<&'static str> {
    match address.to_canonical() {
        address if address.is_unspecified() => {
            Some("the address that stands for all addresses of a host, but clients connect to one of them")
        }
        address if address.is_multicast() => Some("a multicast address"),
        IpAddr::V4(address) if address.is_broadcast() => Some("the broadcast address"),
        _ => None,
    }
}

/// Whether the issuer of a certificate is among others.
fn is_issued_by_any(cert: &Cert, others: &[Cert]) -> bool {
    others.iter().any(|other| cert.is_issued_by(other))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn certificate_prefix(cert: &Cert, index: usize, of: usize) -> String {
    if of > 1 { format!("certificate {} ({}): ", index + 1, cert.subject) } else { String::new() }
}

fn describe_key_usage(usage: Option<KeyUsage>) -> String {
    match usage {
        None => "no keyUsage".to_owned(),
        Some(k) if k.usage_names().is_empty() => "an empty keyUsage".to_owned(),
        Some(k) => format!("keyUsage {}", k.usage_names().join(", ")),
    }
}
