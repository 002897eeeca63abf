//! Object identifiers: the ones that the code reads or writes, their notation, and their names.
#![allow(missing_docs, reason = "the names of the constants are those of RFC 5280, RFC 6960 and PKCS #9")]

use super::oid_names::NAMES;

/// The bytes of an object identifier under 2.5.29 (id-ce).
#[must_use]
pub const fn ce_oid(n: u8) -> [u8; 3] {
    [0x55, 0x1d, n]
}

pub const SUBJECT_KEY_ID: [u8; 3] = ce_oid(14);
pub const KEY_USAGE: [u8; 3] = ce_oid(15);
pub const SUBJECT_ALT_NAME: [u8; 3] = ce_oid(17);
pub const ISSUER_ALT_NAME: [u8; 3] = ce_oid(18);
pub const BASIC_CONSTRAINTS: [u8; 3] = ce_oid(19);
pub const CRL_NUMBER: [u8; 3] = ce_oid(20);
pub const REASON_CODE: [u8; 3] = ce_oid(21);
pub const INVALIDITY_DATE: [u8; 3] = ce_oid(24);
pub const DELTA_CRL: [u8; 3] = ce_oid(27);
pub const ISSUING_DISTRIBUTION_POINT: [u8; 3] = ce_oid(28);
pub const CERTIFICATE_ISSUER: [u8; 3] = ce_oid(29);
pub const NAME_CONSTRAINTS: [u8; 3] = ce_oid(30);
pub const CRL_DISTRIBUTION_POINTS: [u8; 3] = ce_oid(31);
pub const CERTIFICATE_POLICIES: [u8; 3] = ce_oid(32);
pub const POLICY_MAPPINGS: [u8; 3] = ce_oid(33);
pub const AUTHORITY_KEY_ID: [u8; 3] = ce_oid(35);
pub const POLICY_CONSTRAINTS: [u8; 3] = ce_oid(36);
pub const EXTENDED_KEY_USAGE: [u8; 3] = ce_oid(37);
pub const FRESHEST_CRL: [u8; 3] = ce_oid(46);
pub const INHIBIT_ANY_POLICY: [u8; 3] = ce_oid(54);
pub const AUTHORITY_INFO_ACCESS: [u8; 8] = [0x2b, 6, 1, 5, 5, 7, 1, 1];
pub const ANY_EKU: [u8; 4] = [0x55, 0x1d, 37, 0];
pub const ANY_POLICY: [u8; 4] = [0x55, 0x1d, 32, 0];
/// 1.2.840.113549.1.9.1: e-mail addresses as they stand in old subjects.
pub const EMAIL_ADDRESS: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1];
pub const RSA: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
pub const RSA_PSS: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10];
pub const EC: [u8; 7] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
pub const ED25519: [u8; 3] = [0x2b, 0x65, 0x70];
pub const OCSP: [u8; 8] = [0x2b, 6, 1, 5, 5, 7, 48, 1];
pub const OCSP_BASIC: [u8; 9] = [0x2b, 6, 1, 5, 5, 7, 48, 1, 1];
pub const OCSP_NONCE: [u8; 9] = [0x2b, 6, 1, 5, 5, 7, 48, 1, 2];
pub const OCSP_SIGNING: [u8; 8] = [0x2b, 6, 1, 5, 5, 7, 3, 9];
/// 1.2.840.113549.1.9.14: the extensions that a request asks for.
pub const EXTENSION_REQUEST: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 14];
pub const SHA1: [u8; 5] = [0x2b, 14, 3, 2, 26];

/// The name or the dotted numbers of an object identifier.
#[must_use]
pub fn display_name(oid: &[u8]) -> String {
    let dotted = format_dotted(oid);
    NAMES.iter().find(|(d, _)| *d == dotted).map_or(dotted, |(_, name)| (*name).to_owned())
}

/// Whether [`display_name`] is a name and not the dotted numbers.
pub(in crate::pki) fn has_name(oid: &[u8]) -> bool {
    let dotted = format_dotted(oid);
    NAMES.iter().any(|(d, _)| *d == dotted)
}

/// Finds the type of an attribute of names by its name, whatever the case, or by its dotted numbers. Returns what
/// [`display_name`] does: of a type that is not known the numbers.
pub(in crate::pki) fn find_attribute_type(text: &str) -> Option<String> {
    const OTHERS: [&str; 3] =
        ["1.2.840.113549.1.9.1", "0.9.2342.19200300.100.1.25", "0.9.2342.19200300.100.1.1"];
    let is_attribute = |dotted: &str| dotted.starts_with("2.5.4.") || OTHERS.contains(&dotted);
    let found = NAMES
        .iter()
        .find(|(dotted, name)| is_attribute(dotted) && (*dotted == text || name.eq_ignore_ascii_case(text)));
    let is_dotted = text.contains('.') && text.split('.').all(|part| part.parse::<u64>().is_ok());
    found.map(|(_, name)| (*name).to_owned()).or_else(|| is_dotted.then(|| text.to_owned()))
}

/// The dotted numbers.
#[must_use]
pub fn format_dotted(oid: &[u8]) -> String {
    let mut parts: Vec<u64> = Vec::new();
    let mut n = 0u64;
    for &b in oid {
        n = n.saturating_mul(128).saturating_add(u64::from(b & 0x7f));
        if b & 0x80 == 0 {
            parts.push(n);
            n = 0;
        }
    }
    let Some((&first, rest)) = parts.split_first() else { return String::new() };
    let top = (first / 40).min(2);
    let mut text = format!("{top}.{}", first - 40 * top);
    rest.iter().for_each(|p| text.push_str(&format!(".{p}")));
    text
}

/// The bytes of an extended key usage's name or dotted numbers.
#[must_use]
pub fn encode_purpose(text: &str) -> Option<Vec<u8>> {
    let dotted = NAMES.iter().find(|(_, name)| *name == text).map_or(text, |(dotted, _)| dotted);
    encode_dotted(dotted)
}

fn encode_dotted(dotted: &str) -> Option<Vec<u8>> {
    let parts: Option<Vec<u64>> = dotted.split('.').map(|p| p.parse().ok()).collect();
    let parts = parts?;
    let (&[first, second], rest) = parts.split_first_chunk::<2>()?;
    let mut out = Vec::new();
    for part in std::iter::once(first.checked_mul(40)?.checked_add(second)?).chain(rest.iter().copied()) {
        let groups = (64 - part.leading_zeros()).div_ceil(7).max(1);
        for i in (0..groups).rev() {
            out.push((part >> (7 * i) & 0x7f) as u8 | if i > 0 { 0x80 } else { 0 });
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_have_names_and_numbers() {
        assert_eq!(display_name(&RSA), "RSA");
        assert_eq!(display_name(&[0x55, 0x1d, 37, 0]), "anyExtendedKeyUsage");
        assert_eq!(format_dotted(&AUTHORITY_INFO_ACCESS), "1.3.6.1.5.5.7.1.1");
        assert_eq!(format_dotted(&[0x88, 0x37, 3]), "2.999.3");
        assert_eq!(format_dotted(&[]), "");
    }

    #[test]
    fn what_is_encoded_reads_back() {
        for (numbers, _) in NAMES {
            assert_eq!(&format_dotted(&encode_dotted(numbers).unwrap()), numbers);
        }
        assert_eq!(encode_purpose("serverAuth").unwrap(), [0x2b, 6, 1, 5, 5, 7, 3, 1]);
        assert!(encode_purpose("nonsense").is_none());
    }
}
