//! Certificate revocation lists (RFC 5280, section 5), parsed strictly. Whether they are valid is for the rules.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashSet};

use rustls::pki_types::CertificateRevocationListDer;

use super::Cert;
use super::der::{self, Der, Malformed, Result, Time, context_tag, explicit_tag};
use super::extension::{
    AuthorityKeyId, Extension, parse_authority_key_id, parse_distribution_point_name, parse_reason_bits,
    read_extension,
};
use super::name::{GeneralName, Name};
use super::oid;
use super::signature::Signature;

/// A certificate revocation list.
#[derive(Clone, Debug)]
pub struct Crl {
    /// The CRL in DER.
    pub der: CertificateRevocationListDer<'static>,
    /// 1 or 2.
    pub version: u32,
    /// The signature.
    pub signature: Signature,
    /// The issuer's name.
    pub issuer: Name,
    /// When it was issued.
    pub this_update: Time,
    /// When it expires.
    pub next_update: Option<Time>,
    /// The revoked certificates.
    pub revoked: Vec<RevokedEntry>,
    /// The positions of the entries in the order of their serial numbers.
    by_serial: Vec<usize>,
    /// The identifier of the key that signed it.
    pub authority_key_id: Option<AuthorityKeyId>,
    /// The bytes of its CRL number.
    pub number: Option<Extension<Vec<u8>>>,
    /// Whether it is a delta CRL.
    pub delta: bool,
    /// The issuingDistributionPoint, which limits what it covers.
    pub scope: Option<CrlScope>,
    /// Critical extensions that are not understood, by name.
    pub unknown_critical: Vec<String>,
    /// Extensions that cannot be read, or occur twice.
    pub broken: Vec<String>,
}

/// The number of a CRL, ordered as a number; a CRL without one has the lowest. Its length without leading zeros is compared
/// first, then its digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CrlNumber(usize, Vec<u8>);

impl From<&Crl> for CrlNumber {
    fn from(crl: &Crl) -> Self {
        let bytes = crl.number.as_ref().map(|n| n.value.as_slice()).unwrap_or_default();
        let first = bytes.iter().position(|&b| b != 0).unwrap_or(bytes.len());
        Self(bytes.len() - first, bytes[first..].to_vec())
    }
}

/// One revoked certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokedEntry {
    /// The serial number's bytes.
    pub serial: Vec<u8>,
    /// When it was revoked.
    pub at: Time,
    /// The reason, by its number in RFC 5280, section 5.3.1.
    pub reason: Option<u8>,
}

/// issuingDistributionPoint (RFC 5280, 5.2.5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CrlScope {
    /// The names of the distribution point.
    pub names: Vec<GeneralName>,
    /// Its name relative to the issuer's name.
    pub relative: Option<Name>,
    /// It covers leaves only.
    pub only_users: bool,
    /// It covers CAs only.
    pub only_cas: bool,
    /// Whether it names a distribution point at all.
    pub named: bool,
    /// It covers these reasons only.
    pub reasons: Option<u16>,
    /// It covers other issuers' certificates.
    pub indirect: bool,
    /// It covers attribute certificates only.
    pub only_attributes: bool,
}

impl Crl {
    /// Parses a CRL.
    ///
    /// # Errors
    /// It is not a CRL in DER.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let (mut signature, tbs) = Signature::split_signed(bytes)?;
        let mut tbs = Der::new(tbs);
        let version = match tbs.read_optional(der::INTEGER)? {
            None => 1,
            Some([1]) => 2,
            Some(_) => return Err(Malformed::new("an unknown version")),
        };
        signature.consistent = tbs.read_raw_sequence()?.value == signature.algorithm;
        let issuer = Name::read_der(&mut tbs).map_err(|e| e.within("issuer"))?;
        let this_update = Time::read_der(&mut tbs).map_err(|e| e.within("thisUpdate"))?;
        let mut crl = Self {
            der: bytes.to_vec().into(),
            version,
            signature,
            issuer,
            this_update,
            next_update: parse_next_update(&mut tbs).map_err(|e| e.within("nextUpdate"))?,
            revoked: Vec::new(),
            by_serial: Vec::new(),
            authority_key_id: None,
            number: None,
            delta: false,
            scope: None,
            unknown_critical: Vec::new(),
            broken: Vec::new(),
        };
        if let Some(list) = tbs.read_optional(der::SEQUENCE)? {
            crl.read_revoked(list).map_err(|e| e.within("revoked certificates"))?;
            crl.by_serial = (0..crl.revoked.len()).collect();
            crl.by_serial.sort_by(|a, b| crl.revoked[*a].serial.cmp(&crl.revoked[*b].serial));
        }
        if let Some(list) = tbs.read_optional(explicit_tag(0))? {
            crl.read_extensions(list).map_err(|e| e.within("extensions"))?;
        }
        tbs.expect_end()?;
        Ok(crl)
    }

    /// Whether it names `issuer` as its issuer and is signed by its key.
    #[must_use]
    pub fn is_issued_by(&self, issuer: &Cert) -> bool {
        self.issuer == issuer.subject && self.signature.verify(&issuer.key).is_ok()
    }

    /// Whether both are by the same CA, as far as the CRLs say: its name, and its key where both name one.
    #[must_use]
    pub fn has_issuer_of(&self, other: &Self) -> bool {
        let key_id = |crl: &Self| crl.authority_key_id.as_ref().and_then(|a| a.key_id.clone());
        let same_key = match (key_id(self), key_id(other)) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        };
        self.issuer == other.issuer && same_key
    }

    /// Why this CRL must not replace another one by the same issuer, if so: revoked certificates would be accepted
    /// again. By RFC 5280, 5.2.3, the number says which of two is newer, whatever the times in them; with equal numbers
    /// the newer one must revoke all that the other does.
    #[must_use]
    pub fn older_than(&self, present: &Self) -> Option<String> {
        let shown = |crl: &Self| crl.number.as_ref().map(|n| crate::finding::hex(&n.value));
        match (shown(self), shown(present)) {
            (None, Some(there)) => {
                return Some(format!("it has no number, and the present CRL has number {there}"));
            }
            (Some(here), Some(there)) => match CrlNumber::from(self).cmp(&CrlNumber::from(present)) {
                Ordering::Less => {
                    return Some(format!("its number {here} is lower than the present {there}"));
                }
                Ordering::Equal => {}
                Ordering::Greater => return None,
            },
            _ => {}
        }
        if self.this_update.unix < present.this_update.unix {
            let (made, before) = (self.this_update, present.this_update);
            return Some(format!("it was issued at {made}, before the present one at {before}"));
        }
        let serials: HashSet<&[u8]> = self.revoked.iter().map(|r| r.serial.as_slice()).collect();
        let lost = present.revoked.iter().find(|r| !serials.contains(r.serial.as_slice()))?;
        let serial = crate::finding::hex(&lost.serial);
        Some(format!("it has no higher number, and does not revoke {serial} as the present one does"))
    }

    /// Finds the entry of a serial number.
    #[must_use]
    pub fn find_entry(&self, serial: &[u8]) -> Option<&RevokedEntry> {
        let at = |n: &usize| self.revoked[*n].serial.as_slice();
        let first = self.by_serial.partition_point(|n| at(n) < serial);
        let found = self.by_serial.get(first).filter(|n| at(n) == serial)?;
        self.revoked.get(*found)
    }

    fn read_revoked(&mut self, list: &[u8]) -> Result<()> {
        let mut list = Der::new(list);
        while !list.is_empty() {
            let mut one = list.open_sequence()?;
            let (serial, at) = (one.read_tagged(der::INTEGER)?.to_vec(), Time::read_der(&mut one)?);
            let extensions = one.read_optional(der::SEQUENCE)?;
            one.expect_end()?;
            let reason = extensions.map(|e| self.read_entry_extensions(e)).transpose()?.flatten();
            self.revoked.push(RevokedEntry { serial, at, reason });
        }
        Ok(())
    }

    fn read_entry_extensions(&mut self, list: &[u8]) -> Result<Option<u8>> {
        let mut list = Der::new(list);
        let mut reason = None;
        while !list.is_empty() {
            let (id, critical, value) = read_extension(&mut list)?;
            if id == oid::REASON_CODE {
                let mut only = Der::new(value);
                reason = only.read_tagged(der::ENUMERATED)?.first().copied();
            } else if critical && id != oid::INVALIDITY_DATE {
                // A critical certificateIssuer too: it makes the CRL an indirect one (RFC 5280, 5.3.3).
                let name = if id == oid::CERTIFICATE_ISSUER {
                    "certificate issuer".into()
                } else {
                    oid::display_name(id)
                };
                if self.unknown_critical.len() < 8 && !self.unknown_critical.contains(&name) {
                    self.unknown_critical.push(name);
                }
            }
        }
        Ok(reason)
    }

    fn read_extensions(&mut self, list: &[u8]) -> Result<()> {
        let mut list = Der::open_only(list, der::SEQUENCE)?;
        let mut seen = BTreeSet::new();
        while !list.is_empty() {
            let (id, critical, value) = read_extension(&mut list)?;
            if !seen.insert(id) {
                self.broken.push(format!("{} occurs twice", oid::display_name(id)));
                continue;
            }
            if let Err(e) = self.set_extension(id, critical, value) {
                self.broken.push(e.within(oid::display_name(id)).0);
            }
        }
        Ok(())
    }

    fn set_extension(&mut self, id: &[u8], critical: bool, value: &[u8]) -> Result<()> {
        match id {
            _ if id == oid::AUTHORITY_KEY_ID => self.authority_key_id = Some(parse_authority_key_id(value)?),
            _ if id == oid::CRL_NUMBER => {
                let mut only = Der::new(value);
                let number = only.read_integer()?.to_vec();
                only.expect_end()?;
                self.number = Some(Extension { critical, value: number });
            }
            _ if id == oid::DELTA_CRL => self.delta = true,
            _ if id == oid::ISSUING_DISTRIBUTION_POINT => self.scope = Some(parse_scope(value)?),
            _ if critical => self.unknown_critical.push(oid::display_name(id)),
            _ => {}
        }
        Ok(())
    }
}

fn parse_next_update(tbs: &mut Der<'_>) -> Result<Option<Time>> {
    let mut ahead = *tbs;
    match ahead.read_element() {
        Ok(tlv) if tlv.tag == der::UTC_TIME || tlv.tag == der::GENERALIZED_TIME => {
            Time::read_der(tbs).map(Some)
        }
        _ => Ok(None),
    }
}

fn parse_scope(value: &[u8]) -> Result<CrlScope> {
    let mut all = Der::open_only(value, der::SEQUENCE)?;
    let flag = |v: Option<&[u8]>| matches!(v, Some([0xff]));
    let point = all.read_optional(explicit_tag(0))?;
    let (names, relative) = point.map(parse_distribution_point_name).transpose()?.unwrap_or_default();
    let only_users = flag(all.read_optional(context_tag(1))?);
    let only_cas = flag(all.read_optional(context_tag(2))?);
    let reasons = all.read_optional(context_tag(3))?.map(parse_reason_bits).transpose()?;
    let indirect = flag(all.read_optional(context_tag(4))?);
    let only_attributes = flag(all.read_optional(context_tag(5))?);
    all.expect_end()?;
    Ok(CrlScope {
        names,
        relative,
        named: point.is_some(),
        only_users,
        only_cas,
        reasons,
        indirect,
        only_attributes,
    })
}
