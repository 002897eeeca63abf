//! The extensions of certificates (RFC 5280, section 4.2), read into values: their types, and the list of them.

mod parse;

use std::collections::BTreeSet;

use super::der::{self, Der, Result};
use super::name::{GeneralName, Name};
use super::oid;

pub(in crate::pki) use parse::{
    REASONS, parse_authority_key_id, parse_distribution_point_name, parse_reason_bits,
};

/// An extension's value, and whether it is critical.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension<T> {
    /// Whether a certificate must be rejected by a program that does not understand it.
    pub critical: bool,
    /// Its value.
    pub value: T,
}

/// All extensions of a certificate.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs, reason = "the names are those of RFC 5280, section 4.2")]
pub struct Extensions {
    pub basic_constraints: Option<Extension<BasicConstraints>>,
    pub key_usage: Option<Extension<KeyUsage>>,
    /// Object identifiers' bytes.
    pub extended_key_usage: Option<Extension<Vec<Vec<u8>>>>,
    pub subject_alt_name: Option<Extension<Vec<GeneralName>>>,
    pub name_constraints: Option<Extension<NameConstraints>>,
    pub subject_key_id: Option<Extension<Vec<u8>>>,
    pub authority_key_id: Option<Extension<AuthorityKeyId>>,
    pub policies: Option<Extension<Vec<Vec<u8>>>>,
    pub policy_mappings: Option<Extension<Vec<PolicyMapping>>>,
    pub policy_constraints: Option<Extension<PolicyConstraints>>,
    pub inhibit_any_policy: Option<Extension<u32>>,
    /// Addresses of CRLs, and whether each stands for all reasons and the certificate's own issuer.
    pub crl_distribution_points: Option<Extension<Vec<DistributionPoint>>>,
    /// Addresses of OCSP responders.
    pub authority_info_access: Option<Extension<Vec<String>>>,
    /// Extensions that are not understood, by name, and whether each is critical.
    pub unknown: Vec<Extension<String>>,
    /// Extensions that are known and change no verdict, by name.
    pub without_effect: Vec<String>,
    /// Extensions that cannot be read, or occur twice.
    pub broken: Vec<String>,
    /// The number of extensions.
    pub count: usize,
}

/// An issuer's policy, and the subject's that counts as it; object identifiers' bytes.
pub type PolicyMapping = (Vec<u8>, Vec<u8>);

/// basicConstraints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BasicConstraints {
    /// Whether the subject is a CA.
    pub ca: bool,
    /// How many intermediates may follow it.
    pub path_len: Option<u32>,
}

/// keyUsage: bit 0 of RFC 5280 is the lowest bit here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyUsage(pub u16);

#[allow(missing_docs, reason = "the names are those of RFC 5280, section 4.2.1.3")]
impl KeyUsage {
    pub const DIGITAL_SIGNATURE: Self = Self(1 << 0);
    pub const KEY_CERT_SIGN: Self = Self(1 << 5);
    pub const CRL_SIGN: Self = Self(1 << 6);
    /// The usages of a key that can only sign: digitalSignature, nonRepudiation, keyCertSign, cRLSign.
    pub const SIGNING: Self = Self(1 << 0 | 1 << 1 | 1 << 5 | 1 << 6);

    /// Whether all bits of the other are set.
    #[must_use]
    pub fn contains_all(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The usages by name.
    #[must_use]
    pub fn usage_names(self) -> Vec<&'static str> {
        const NAMES: [&str; 9] = [
            "digitalSignature",
            "nonRepudiation",
            "keyEncipherment",
            "dataEncipherment",
            "keyAgreement",
            "keyCertSign",
            "cRLSign",
            "encipherOnly",
            "decipherOnly",
        ];
        NAMES.iter().enumerate().filter(|(i, _)| self.0 >> i & 1 == 1).map(|(_, n)| *n).collect()
    }
}

/// nameConstraints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameConstraints {
    /// Where names of these forms must lie.
    pub permitted: Vec<Subtree>,
    /// Where no name may lie.
    pub excluded: Vec<Subtree>,
}

/// One subtree of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subtree {
    /// Its root.
    pub base: GeneralName,
    /// Whether minimum is 0 and there is no maximum, as RFC 5280 demands.
    pub plain: bool,
}

/// authorityKeyIdentifier.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthorityKeyId {
    /// The identifier of the signer's key.
    pub key_id: Option<Vec<u8>>,
    /// The issuer of the signer's certificate.
    pub issuer: Option<Vec<GeneralName>>,
    /// The serial number of the signer's certificate.
    pub serial: Option<Vec<u8>>,
}

impl AuthorityKeyId {
    /// The reason why it does not identify `issuer`, if it does not.
    #[must_use]
    pub fn explain_mismatch(&self, issuer: &super::Cert) -> Option<String> {
        let hex = crate::finding::hex;
        let own = issuer.extensions.subject_key_id.as_ref().map(|s| &s.value);
        match (&self.key_id, own, &self.serial) {
            (Some(wanted), Some(own), _) if wanted != own => {
                Some(format!("names the issuer's key {}, which is {}", hex(wanted), hex(own)))
            }
            (_, _, Some(wanted)) if *wanted != issuer.serial => Some(format!(
                "names the issuer's serial number {}, which is {}",
                hex(wanted),
                hex(&issuer.serial)
            )),
            _ => None,
        }
    }
}

/// policyConstraints: after how many more certificates each holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of RFC 5280, section 4.2.1.11")]
pub struct PolicyConstraints {
    pub require_explicit: Option<u32>,
    pub inhibit_mapping: Option<u32>,
}

/// One CRL distribution point.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DistributionPoint {
    /// Its full names.
    pub names: Vec<GeneralName>,
    /// Its name relative to the issuer's.
    pub relative: Option<Name>,
    /// The reasons that it covers, if not all.
    pub reasons: Option<u16>,
    /// Whether another CA than the certificate's issuer signs the CRL (cRLIssuer).
    pub other_issuer: bool,
}

impl Extensions {
    /// Reads a SEQUENCE of extensions: the content of `[3]` in a certificate. One that cannot be read, or stands twice,
    /// is listed in [`Self::broken`].
    ///
    /// # Errors
    /// It is not a SEQUENCE of extensions in DER.
    pub fn read_list(list: &[u8]) -> Result<Self> {
        let mut list = Der::open_only(list, der::SEQUENCE)?;
        let mut extensions = Self::default();
        let mut seen = BTreeSet::new();
        if list.is_empty() {
            extensions.broken.push("the list of extensions is empty".to_owned());
        }
        while !list.is_empty() {
            let (id, critical, value) = read_extension(&mut list)?;
            extensions.count += 1;
            if !seen.insert(id) {
                extensions.broken.push(format!("{} occurs twice", oid::display_name(id)));
                continue;
            }
            if let Err(e) = extensions.set_extension(id, critical, value) {
                extensions.broken.push(e.within(oid::display_name(id)).0);
            }
        }
        Ok(extensions)
    }

    /// Whether there are any.
    pub(in crate::pki) fn is_nonempty(&self) -> bool {
        self.count > 0
    }

    fn set_extension(&mut self, id: &[u8], critical: bool, value: &[u8]) -> Result<()> {
        fn to<T>(slot: &mut Option<Extension<T>>, critical: bool, value: T) {
            *slot = Some(Extension { critical, value });
        }
        match id {
            _ if id == oid::BASIC_CONSTRAINTS => {
                to(&mut self.basic_constraints, critical, parse::parse_basic_constraints(value)?)
            }
            _ if id == oid::KEY_USAGE => to(&mut self.key_usage, critical, parse::parse_key_usage(value)?),
            _ if id == oid::EXTENDED_KEY_USAGE => {
                to(&mut self.extended_key_usage, critical, parse::parse_oids(value)?)
            }
            _ if id == oid::SUBJECT_ALT_NAME => {
                let names = GeneralName::read_all(Der::open_only(value, der::SEQUENCE)?)?;
                to(&mut self.subject_alt_name, critical, names);
            }
            _ if id == oid::NAME_CONSTRAINTS => {
                to(&mut self.name_constraints, critical, parse::parse_name_constraints(value)?)
            }
            _ if id == oid::SUBJECT_KEY_ID => {
                to(&mut self.subject_key_id, critical, parse::parse_octets(value)?)
            }
            _ if id == oid::AUTHORITY_KEY_ID => {
                to(&mut self.authority_key_id, critical, parse_authority_key_id(value)?)
            }
            _ if id == oid::CERTIFICATE_POLICIES => {
                to(&mut self.policies, critical, parse::parse_policies(value)?)
            }
            _ if id == oid::POLICY_MAPPINGS => {
                to(&mut self.policy_mappings, critical, parse::parse_policy_mappings(value)?)
            }
            _ if id == oid::POLICY_CONSTRAINTS => {
                to(&mut self.policy_constraints, critical, parse::parse_policy_constraints(value)?);
            }
            _ if id == oid::INHIBIT_ANY_POLICY => {
                to(&mut self.inhibit_any_policy, critical, parse::parse_number(value)?)
            }
            _ if id == oid::CRL_DISTRIBUTION_POINTS => {
                to(&mut self.crl_distribution_points, critical, parse::parse_distribution_points(value)?);
            }
            _ if id == oid::AUTHORITY_INFO_ACCESS => {
                to(&mut self.authority_info_access, critical, parse::parse_responders(value)?);
            }
            // The issuer's other names, and where delta CRLs are, change no verdict.
            _ if id == oid::ISSUER_ALT_NAME || id == oid::FRESHEST_CRL => {
                self.without_effect.push(oid::display_name(id));
            }
            _ => self.unknown.push(Extension { critical, value: oid::display_name(id) }),
        }
        Ok(())
    }
}

/// Reads one `Extension`: identifier, critical, value.
///
/// # Errors
/// The next element is not one.
pub fn read_extension<'a>(list: &mut Der<'a>) -> Result<(&'a [u8], bool, &'a [u8])> {
    let mut one = list.open_sequence()?;
    let (id, critical, value) =
        (one.read_oid()?, one.read_default_false()?, one.read_tagged(der::OCTET_STRING)?);
    one.expect_end()?;
    Ok((id, critical, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_twice_or_is_broken_is_listed() {
        let ski = [0x30, 0x09, 6, 3, 0x55, 0x1d, 14, 4, 2, 4, 0];
        let bad = [0x30, 0x09, 6, 3, 0x55, 0x1d, 15, 4, 2, 4, 0];
        let list = [&[0x30, 33][..], &ski, &ski, &bad].concat();
        let broken = Extensions::read_list(&list).unwrap().broken;
        assert_eq!(broken.len(), 2);
        assert_eq!(broken[0], "subject key identifier occurs twice");
        assert!(broken[1].starts_with("key usage: "), "{broken:?}");
    }
}
