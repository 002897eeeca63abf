//! Certificate revocation lists (RFC 5280, section 5), parsed strictly. Whether they are valid is for the rules.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::Cert;
use super::der::{self, Der, Malformed, Result, Time, context_tag, explicit_tag};
use super::extension::{
    AuthorityKeyId, Extension, parse_authority_key_id, parse_distribution_point_name, parse_reason_bits,
    read_extension,
};
use super::name::{GeneralName, Name};
use super::oid;
use super::signature::{PublicKey, SharedBytes, Signature, SignatureError};

/// A certificate revocation list.
///
/// Its bytes are kept once, whatever is copied: the entries and the signed part are parts of them. Entries are read when
/// they are looked up, by an index of four bytes each.
#[derive(Clone, Debug)]
pub struct Crl {
    /// The CRL in DER.
    pub der: Arc<Vec<u8>>,
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
    /// The content of revokedCertificates.
    entries: SharedBytes,
    /// Where each entry begins there, in the order of their serial numbers.
    by_serial: Arc<[u32]>,
    /// The keys with which its signature was verified, and the results.
    verified: Arc<Mutex<Vec<VerifiedByKey>>>,
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
    /// Extensions that are not critical and not understood, by name.
    pub unknown: Vec<String>,
    /// Extensions that cannot be read, or occur twice.
    pub broken: Vec<String>,
}

/// A public key and the result of a verification with it.
type VerifiedByKey = (Vec<u8>, VerifyResult);

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

/// The result of verifying a signature.
pub type VerifyResult = std::result::Result<(), SignatureError>;

/// How many results are kept: peers choose the keys of intermediates.
const MAX_KNOWN_KEYS: usize = 16;

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
        Self::from_der(bytes.to_vec())
    }

    /// [`Self::parse`] without a copy.
    ///
    /// # Errors
    /// As there.
    pub fn from_der(der: Vec<u8>) -> Result<Self> {
        let bytes = Arc::new(der);
        let (mut signature, tbs) = Signature::split_shared(&bytes)?;
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
            der: bytes.clone(),
            version,
            signature,
            issuer,
            this_update,
            next_update: parse_next_update(&mut tbs).map_err(|e| e.within("nextUpdate"))?,
            entries: SharedBytes::default(),
            by_serial: Arc::default(),
            verified: Arc::default(),
            authority_key_id: None,
            number: None,
            delta: false,
            scope: None,
            unknown_critical: Vec::new(),
            unknown: Vec::new(),
            broken: Vec::new(),
        };
        if let Some(list) = tbs.read_optional(der::SEQUENCE)? {
            crl.by_serial = crl.index_entries(list).map_err(|e| e.within("revoked certificates"))?;
            crl.entries = SharedBytes::part_of(&bytes, list);
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
        self.issuer == issuer.subject && self.verify_signature(&issuer.key).is_ok()
    }

    /// Verifies its signature with a key, once: to hash a long CRL takes a tenth of a second.
    ///
    /// # Errors
    /// As [`Signature::verify`].
    pub fn verify_signature(&self, signer: &PublicKey) -> VerifyResult {
        let lock = || self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = lock().iter().find(|(spki, _)| *spki == signer.spki) {
            return *known;
        }
        let result = self.signature.verify(signer);
        let mut known = lock();
        if known.len() < MAX_KNOWN_KEYS {
            known.push((signer.spki.clone(), result));
        }
        result
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
        let lost = present.entries().find(|entry| !self.revokes(&entry.serial))?;
        let serial = crate::finding::hex(&lost.serial);
        Some(format!("it has no higher number, and does not revoke {serial} as the present one does"))
    }

    /// Finds the entry of a serial number.
    #[must_use]
    pub fn find_entry(&self, serial: &[u8]) -> Option<RevokedEntry> {
        let first = self.by_serial.partition_point(|&at| serial_at(&self.entries, at) < serial);
        let at = self.by_serial.get(first).filter(|&&at| serial_at(&self.entries, at) == serial)?;
        read_entry(&mut Der::new(self.entries.get(*at as usize..)?)).ok()
    }

    /// Whether it lists a serial number.
    #[must_use]
    pub fn revokes(&self, serial: &[u8]) -> bool {
        self.find_entry(serial).is_some()
    }

    /// The number of entries.
    #[must_use]
    pub fn revoked_count(&self) -> usize {
        self.by_serial.len()
    }

    /// The entries in the order of the CRL.
    pub fn entries(&self) -> impl Iterator<Item = RevokedEntry> {
        let mut rest = Der::new(&self.entries);
        std::iter::from_fn(move || if rest.is_empty() { None } else { read_entry(&mut rest).ok() })
    }

    /// Reads every entry once, and returns where each begins, in the order of their serial numbers.
    fn index_entries(&mut self, list: &[u8]) -> Result<Arc<[u32]>> {
        let mut rest = Der::new(list);
        // Most serial numbers differ in their first eight bytes, so that few are compared as a whole.
        let mut index: Vec<(u64, u32)> = Vec::new();
        while !rest.is_empty() {
            let at = u32::try_from(list.len() - rest.len()).map_err(|_| Malformed::new("beyond 4 GiB"))?;
            let (serial, _, extensions) = split_entry(&mut rest)?;
            if let Some(extensions) = extensions {
                parse_reason(extensions, &mut self.unknown_critical)?;
            }
            let mut first = [0; 8];
            let n = serial.len().min(8);
            first[..n].copy_from_slice(&serial[..n]);
            index.push((u64::from_be_bytes(first), at));
        }
        index.sort_unstable_by(|(a, i), (b, j)| {
            a.cmp(b).then_with(|| serial_at(list, *i).cmp(serial_at(list, *j))).then(i.cmp(j))
        });
        Ok(index.into_iter().map(|(_, at)| at).collect())
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
            _ => self.unknown.push(oid::display_name(id)),
        }
        Ok(())
    }
}

/// The serial number of the entry that begins at a position.
fn serial_at(entries: &[u8], at: u32) -> &[u8] {
    let entry = Der::new(entries.get(at as usize..).unwrap_or_default()).open_sequence();
    entry.and_then(|mut entry| entry.read_tagged(der::INTEGER)).unwrap_or_default()
}

/// The parts of an entry: serial number, time, extensions.
type EntryParts<'a> = (&'a [u8], Time, Option<&'a [u8]>);

/// Splits the next entry.
fn split_entry<'a>(list: &mut Der<'a>) -> Result<EntryParts<'a>> {
    let mut one = list.open_sequence()?;
    let (serial, at) = (one.read_tagged(der::INTEGER)?, Time::read_der(&mut one)?);
    let extensions = one.read_optional(der::SEQUENCE)?;
    one.expect_end()?;
    Ok((serial, at, extensions))
}

fn read_entry(list: &mut Der<'_>) -> Result<RevokedEntry> {
    let (serial, at, extensions) = split_entry(list)?;
    let reason = extensions.map(|e| parse_reason(e, &mut Vec::new())).transpose()?.flatten();
    Ok(RevokedEntry { serial: serial.to_vec(), at, reason })
}

/// Parses the extensions of an entry: the reason, and the names of critical ones that are not understood.
fn parse_reason(list: &[u8], unknown_critical: &mut Vec<String>) -> Result<Option<u8>> {
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
            if unknown_critical.len() < 8 && !unknown_critical.contains(&name) {
                unknown_critical.push(name);
            }
        }
    }
    Ok(reason)
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
