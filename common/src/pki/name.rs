//! Distinguished names and general names: read, compared as RFC 5280, section 7.1 says, and shown.

use std::fmt;
use std::net::IpAddr;

use super::der::{self, Der, Malformed, Result, Tlv, context_tag, explicit_tag};
use super::oid;

/// A distinguished name. Two are equal when they match by RFC 5280, 7.1: case and runs of spaces do not count in
/// PrintableString and UTF8String, and the two compare with each other.
///
/// It is shown as RFC 4514 says, so that no value can be taken for another part of the name: the last part first,
/// special characters escaped.
#[derive(Clone, Debug)]
pub struct Name {
    /// The DER, with tag and length.
    pub raw: Vec<u8>,
    rdns: Vec<Rdn>,
    /// As they are shown, by relative distinguished name.
    shown: Vec<Vec<Attribute>>,
}

/// One relative distinguished name as it is compared: identifier, tag and value of each attribute, in order.
type Rdn = Vec<(Vec<u8>, u8, Vec<u8>)>;

/// One attribute as it is shown.
#[derive(Clone, Debug)]
struct Attribute {
    oid: Vec<u8>,
    value: AttributeValue,
}

/// The value of an attribute.
#[derive(Clone, Debug)]
enum AttributeValue {
    /// A string.
    Text(String),
    /// Anything else: the whole element in DER.
    Der(Vec<u8>),
}

impl Name {
    /// Reads the next element, which must be a Name.
    ///
    /// # Errors
    /// It is not a Name in DER.
    pub fn read_der(der: &mut Der<'_>) -> Result<Self> {
        let tlv = der.read_raw_sequence()?;
        let mut name = Self { raw: tlv.raw.to_vec(), rdns: Vec::new(), shown: Vec::new() };
        let mut rdns = Der::new(tlv.value);
        while !rdns.is_empty() {
            name.push_rdn(rdns.read_tagged(der::SET)?)?;
        }
        Ok(name)
    }

    /// Reads one part by itself, from the content of its set.
    pub(in crate::pki) fn read_part(set: &[u8]) -> Result<Self> {
        let mut name = Self { raw: Vec::new(), rdns: Vec::new(), shown: Vec::new() };
        name.push_rdn(set)?;
        Ok(name)
    }

    fn push_rdn(&mut self, set: &[u8]) -> Result<()> {
        let mut set = Der::new(set);
        let (mut rdn, mut shown) = (Vec::new(), Vec::new());
        while !set.is_empty() {
            let mut pair = set.open_sequence()?;
            let (oid, value) = (pair.read_oid()?, pair.read_element()?);
            pair.expect_end()?;
            rdn.push(normalize_value(oid, value.tag, value.value));
            shown.push(Attribute {
                oid: oid.to_vec(),
                value: AttributeValue::new(oid::has_name(oid), &value),
            });
        }
        if rdn.is_empty() {
            return Err(Malformed::new("an empty part of a name"));
        }
        rdn.sort_unstable();
        self.rdns.push(rdn);
        self.shown.push(shown);
        Ok(())
    }

    /// Whether it is `base` with the parts of `relative` after it.
    pub(in crate::pki) fn is_joined(&self, base: &Self, relative: &Self) -> bool {
        self.rdns.len() == base.rdns.len() + relative.rdns.len()
            && self.rdns.starts_with(&base.rdns)
            && self.rdns.ends_with(&relative.rdns)
    }

    /// Whether it has no parts.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rdns.is_empty()
    }

    /// Whether it lies in the subtree of `base`: begins with all its parts.
    #[must_use]
    pub fn is_within(&self, base: &Self) -> bool {
        self.rdns.starts_with(&base.rdns)
    }

    /// The text that a name is shown with, from another notation of it by RFC 4514: with spaces around its parts, types in
    /// other cases or as numbers, other escapes. `None` if the text has another form, or a type that is not known.
    #[must_use]
    pub fn normalize_text(text: &str) -> Option<String> {
        let mut shown = String::with_capacity(text.len());
        let mut rest = text;
        loop {
            let end = find_separator(rest);
            let (kind, value) = rest[..end].split_once('=')?;
            let kind = oid::find_attribute_type(kind.trim())?;
            let value = AttributeValue::parse(value, !kind.contains('.'))?;
            shown.push_str(&format!("{kind}={value}"));
            match rest[end..].chars().next() {
                Some(separator) => shown.push(separator),
                None => return Some(shown),
            }
            rest = &rest[end + 1..];
        }
    }

    /// The values of the e-mail address attribute.
    pub(in crate::pki) fn email_addresses(&self) -> impl Iterator<Item = &str> {
        self.shown.iter().flatten().filter(|a| a.oid == oid::EMAIL_ADDRESS).filter_map(|a| match &a.value {
            AttributeValue::Text(text) => Some(text.as_str()),
            AttributeValue::Der(_) => None,
        })
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.rdns == other.rdns
    }
}

impl Eq for Name {}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.shown.is_empty() {
            return f.write_str("(empty name)");
        }
        for (i, attribute) in self.shown.iter().rev().flat_map(|rdn| rdn.iter().enumerate()).enumerate() {
            let separator = match attribute {
                _ if i == 0 => "",
                (0, _) => ",",
                _ => "+",
            };
            write!(f, "{separator}{}", attribute.1)?;
        }
        Ok(())
    }
}

/// RFC 4514, section 2.3: the short name of a known type, else its dotted numbers; then a value that is not a string, or
/// that belongs to an unknown type, in hexadecimal.
impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", oid::display_name(&self.oid), self.value)
    }
}

impl AttributeValue {
    /// Only a type with a name has values that are text.
    fn new(is_named: bool, value: &Tlv<'_>) -> Self {
        // X.680, table 1: NumericString, TeletexString, IA5String, BMPString.
        const STRINGS: [u8; 5] = [der::UTF8, der::PRINTABLE, 0x12, 0x14, 0x16];
        const BMP: u8 = 0x1e;
        match value.tag {
            BMP if is_named => {
                let units = value.value.chunks_exact(2).map(|c| u16::from_be_bytes([c[0], c[1]]));
                Self::Text(String::from_utf16_lossy(&units.collect::<Vec<_>>()))
            }
            _ if !is_named => Self::Der(value.raw.to_vec()),
            tag if STRINGS.contains(&tag) => Self::Text(String::from_utf8_lossy(value.value).into_owned()),
            _ => Self::Der(value.raw.to_vec()),
        }
    }
}

/// Finds the end of the first attribute: a comma or a plus sign that is not escaped (RFC 4514, section 3), or the end.
fn find_separator(text: &str) -> usize {
    let mut is_escaped = false;
    let found = text.char_indices().find(|(_, c)| {
        let is_separator = !is_escaped && matches!(c, ',' | '+');
        is_escaped = !is_escaped && *c == '\\';
        is_separator
    });
    found.map_or(text.len(), |(at, _)| at)
}

impl AttributeValue {
    /// Reads a value as it is written (RFC 4514, section 3): a string in hexadecimal is the same as its text.
    fn parse(text: &str, is_named: bool) -> Option<Self> {
        let text = text.trim_start();
        if let Some(digits) = text.strip_prefix('#') {
            let der = crate::finding::unhex(digits.trim_end().as_bytes())?;
            let mut only = Der::new(&der);
            return Some(match only.read_element() {
                Ok(value) if only.is_empty() => Self::new(is_named, &value),
                _ => Self::Der(der),
            });
        }
        let mut bytes = Vec::with_capacity(text.len());
        // What is left when spaces at the end are taken away that are not escaped.
        let mut kept = 0;
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            if c != '\\' {
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                kept = if c == ' ' { kept } else { bytes.len() };
                continue;
            }
            let escaped = chars.next()?;
            match escaped.to_digit(16) {
                Some(high) => bytes.push(u8::try_from(high * 16 + chars.next()?.to_digit(16)?).ok()?),
                None => bytes.extend_from_slice(escaped.encode_utf8(&mut [0; 4]).as_bytes()),
            }
            kept = bytes.len();
        }
        bytes.truncate(kept);
        let text = String::from_utf8(bytes).ok()?;
        (is_named && !text.is_empty()).then_some(Self::Text(text))
    }
}

/// RFC 4514, section 2.4.
impl fmt::Display for AttributeValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Der(der) => return write!(f, "#{}", crate::finding::hex(der)),
            Self::Text(text) => text,
        };
        let last = text.chars().count().saturating_sub(1);
        for (i, c) in text.chars().enumerate() {
            match c {
                '"' | '+' | ',' | ';' | '<' | '>' | '\\' => write!(f, "\\{c}")?,
                ' ' if i == 0 || i == last => f.write_str("\\ ")?,
                '#' if i == 0 => f.write_str("\\#")?,
                // Only NUL must be escaped like this; the others would be escaped in many ways by who shows the name.
                c if c.is_ascii_control() => write!(f, "\\{:02x}", u32::from(c))?,
                c => write!(f, "{c}")?,
            }
        }
        Ok(())
    }
}

fn normalize_value(oid: &[u8], tag: u8, value: &[u8]) -> (Vec<u8>, u8, Vec<u8>) {
    let text = std::str::from_utf8(value).ok().filter(|_| tag == der::UTF8 || tag == der::PRINTABLE);
    match text {
        Some(text) => {
            let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
            (oid.to_vec(), der::UTF8, words.join(" ").into_bytes())
        }
        None => (oid.to_vec(), tag, value.to_vec()),
    }
}

/// A general name (RFC 5280, 4.2.1.6). The text forms are as found: whether they are well formed is for a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GeneralName {
    /// An e-mail address.
    Email(String),
    /// A DNS name.
    Dns(String),
    /// A distinguished name.
    Directory(Name),
    /// A URI.
    Uri(String),
    /// An address; with its mask in name constraints.
    Ip(Vec<u8>),
    /// Another form: its tag's number and value.
    Other(u8, Vec<u8>),
}

impl GeneralName {
    pub(in crate::pki) fn read_der(der: &mut Der<'_>) -> Result<Self> {
        const EMAIL: u8 = context_tag(1);
        const DNS: u8 = context_tag(2);
        const DIRECTORY: u8 = explicit_tag(4);
        const URI: u8 = context_tag(6);
        const IP: u8 = context_tag(7);
        const OTHER_NAME: u8 = explicit_tag(0);
        const X400: u8 = explicit_tag(3);
        const EDI: u8 = explicit_tag(5);
        const REGISTERED: u8 = context_tag(8);
        let tlv = der.read_element()?;
        let ascii = || match std::str::from_utf8(tlv.value) {
            Ok(text) if text.is_ascii() && !text.contains('\0') => Ok(text.to_owned()),
            _ => Err(Malformed::new("a name that is not ASCII text")),
        };
        Ok(match tlv.tag {
            EMAIL => Self::Email(ascii()?),
            DNS => Self::Dns(ascii()?),
            URI => Self::Uri(ascii()?),
            IP => Self::Ip(tlv.value.to_vec()),
            DIRECTORY => {
                let mut inner = Der::new(tlv.value);
                let name = Name::read_der(&mut inner)?;
                inner.expect_end()?;
                Self::Directory(name)
            }
            OTHER_NAME | X400 | EDI | REGISTERED => Self::Other(tlv.tag & 0x1f, tlv.value.to_vec()),
            tag => return Err(Malformed(format!("tag {tag:#04x} where a general name belongs"))),
        })
    }

    /// Reads the content of `GeneralNames`: at least one.
    pub(in crate::pki) fn read_all(mut der: Der<'_>) -> Result<Vec<Self>> {
        let mut names = Vec::new();
        while !der.is_empty() {
            names.push(Self::read_der(&mut der)?);
        }
        if names.is_empty() { Err(Malformed::new("no names")) } else { Ok(names) }
    }
}

impl fmt::Display for GeneralName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Email(text) => write!(f, "email:{text}"),
            Self::Dns(text) => write!(f, "DNS:{text}"),
            Self::Uri(text) => write!(f, "URI:{text}"),
            Self::Directory(name) => write!(f, "DN:{name}"),
            Self::Ip(bytes) => match parse_ip(bytes) {
                Some(ip) => write!(f, "IP:{ip}"),
                None => write!(f, "IP:#{}", crate::finding::hex(bytes)),
            },
            Self::Other(tag, bytes) => write!(f, "[{tag}]:#{}", crate::finding::hex(bytes)),
        }
    }
}

/// An address from its 4 or 16 bytes.
pub(in crate::pki) fn parse_ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(v4.into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cn(tag: u8, value: &str) -> Name {
        let n = value.len() as u8;
        let pair = [&[0x30, n + 7, 6, 3, 0x55, 4, 3, tag, n], value.as_bytes()].concat();
        let set = [&[0x31, n + 9][..], &pair].concat();
        Name::read_der(&mut Der::new(&[&[0x30, n + 11][..], &set].concat())).unwrap()
    }

    #[test]
    fn names_match_without_case_and_spaces() {
        assert_eq!(cn(der::UTF8, "Some  CA "), cn(der::PRINTABLE, "some ca"));
        assert_ne!(cn(der::UTF8, "some ca"), cn(der::UTF8, "someca"));
        // Other string types match only byte by byte.
        assert_ne!(cn(0x14, "CA"), cn(0x14, "ca"));
        assert_eq!(cn(der::UTF8, "x").to_string(), "CN=x");
    }

    /// A name of parts, each with its attributes: the last byte of an identifier under 2.5.4, a tag, a value.
    fn name_of(rdns: &[&[(u8, u8, &str)]]) -> Name {
        let attribute = |(kind, tag, value): &(u8, u8, &str)| {
            let pair = [
                der::encode_element(der::OID, &[0x55, 4, *kind]),
                der::encode_element(*tag, value.as_bytes()),
            ]
            .concat();
            der::encode_element(der::SEQUENCE, &pair)
        };
        let set = |rdn: &&[(u8, u8, &str)]| {
            der::encode_element(der::SET, &rdn.iter().flat_map(attribute).collect::<Vec<_>>())
        };
        let bytes = der::encode_element(der::SEQUENCE, &rdns.iter().flat_map(set).collect::<Vec<_>>());
        Name::read_der(&mut Der::new(&bytes)).unwrap()
    }

    #[test]
    fn names_are_shown_by_rfc_4514() {
        let (cn, o, ou, unknown) = (3, 10, 11, 99);
        let shown = |rdns: &[&[(u8, u8, &str)]]| name_of(rdns).to_string();
        // The last part comes first; attributes of one part stand together.
        assert_eq!(shown(&[&[(o, 0x0c, "Sales")], &[(cn, 0x0c, "node1")]]), "CN=node1,O=Sales");
        assert_eq!(shown(&[&[(cn, 0x13, "J. Smith"), (ou, 0x13, "Sales")]]), "CN=J. Smith+OU=Sales");
        // A value cannot pass for another part of the name.
        assert_eq!(shown(&[&[(cn, 0x0c, "alice, CN=admin")]]), "CN=alice\\, CN=admin");
        assert_eq!(shown(&[&[(cn, 0x0c, "a,O=b+C=d")]]), "CN=a\\,O=b\\+C=d");
        assert_eq!(shown(&[&[(cn, 0x0c, "\"<x>;\\")]]), "CN=\\\"\\<x\\>\\;\\\\");
        assert_eq!(shown(&[&[(cn, 0x0c, " # ")]]), "CN=\\ #\\ ");
        assert_eq!(shown(&[&[(cn, 0x0c, "#1")]]), "CN=\\#1");
        assert_eq!(shown(&[&[(cn, 0x0c, " ")]]), "CN=\\ ");
        assert_eq!(shown(&[&[(cn, 0x0c, "a\0\r\nb\u{e4}")]]), "CN=a\\00\\0d\\0ab\u{e4}");
        // What is not a string, or has no short name, is shown in hexadecimal.
        assert_eq!(shown(&[&[(cn, 0x03, "\0x")]]), "CN=#03020078");
        assert_eq!(shown(&[&[(unknown, 0x0c, "x")]]), "2.5.4.99=#0c0178");
    }

    #[test]
    fn other_notations_become_the_one_that_names_are_shown_with() {
        let same = [
            "CN=alice,O=Research",
            "CN=Zo\u{eb} \\\"q\\\" \\+ x",
            "CN=a\\, b+OU=y",
            "CN=\\ #\\ ",
            "CN=\\#1",
            "CN=a\\00\\0d",
            "2.5.4.99=#0c0178",
            "CN=#03020078",
            "emailAddress=a@b,CN=x",
        ];
        for text in same {
            assert_eq!(Name::normalize_text(text).as_deref(), Some(text));
        }
        for (text, shown) in [
            ("CN=alice, O=Research", "CN=alice,O=Research"),
            (" cn = alice , o=Research ", "CN=alice,O=Research"),
            ("CN=alice ", "CN=alice"),
            ("2.5.4.3=alice", "CN=alice"),
            ("CN=a\\2c b", "CN=a\\, b"),
            ("CN=\"q\"", "CN=\\\"q\\\""),
            ("CN=#0C0178", "CN=x"),
            ("2.5.4.97=#0c0178", "organizationIdentifier=x"),
        ] {
            assert_eq!(Name::normalize_text(text).as_deref(), Some(shown), "{text}");
        }
        for bad in
            ["", "alice", "/CN=alice", "CN=a,", "CN=", "x=1", "CN=a\\", "CN=a\\4", "2.5.4.99=x", "CN=#xy"]
        {
            assert_eq!(Name::normalize_text(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_empty_name_holds_every_name() {
        let empty = Name::read_der(&mut Der::new(&[0x30, 0])).unwrap();
        assert!(empty.is_empty() && cn(der::UTF8, "x").is_within(&empty));
        assert!(!empty.is_within(&cn(der::UTF8, "x")));
    }
}
