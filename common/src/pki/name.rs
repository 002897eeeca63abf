//! Distinguished names and general names: read, compared as RFC 5280, section 7.1 says, and shown.

use std::fmt;
use std::net::IpAddr;

use super::der::{self, Der, Malformed, Result, context, explicit};
use super::oid;

/// A distinguished name. Two are equal when they match by RFC 5280, 7.1: case and runs of spaces do not count in
/// PrintableString and UTF8String, and the two compare with each other.
#[derive(Clone, Debug)]
pub struct Name {
    /// The DER, with tag and length.
    pub raw: Vec<u8>,
    rdns: Vec<Rdn>,
    attributes: Vec<Attribute>,
}

type Rdn = Vec<(Vec<u8>, u8, Vec<u8>)>;

/// One attribute as it is shown.
#[derive(Clone, Debug)]
struct Attribute {
    oid: Vec<u8>,
    /// The value: text, or its bytes in hexadecimal after `#`.
    text: String,
    is_text: bool,
    /// Whether it belongs to the same relative distinguished name as the attribute before it.
    joins_previous: bool,
}

impl Name {
    pub(crate) fn read(der: &mut Der<'_>) -> Result<Self> {
        let tlv = der.raw_sequence()?;
        let mut name = Self { raw: tlv.raw.to_vec(), rdns: Vec::new(), attributes: Vec::new() };
        let mut rdns = Der::new(tlv.value);
        while !rdns.is_empty() {
            name.push(rdns.expect(der::SET)?)?;
        }
        Ok(name)
    }

    /// Reads one part by itself, from the content of its set.
    pub(crate) fn read_part(set: &[u8]) -> Result<Self> {
        let mut name = Self { raw: Vec::new(), rdns: Vec::new(), attributes: Vec::new() };
        name.push(set)?;
        Ok(name)
    }

    fn push(&mut self, set: &[u8]) -> Result<()> {
        let mut set = Der::new(set);
        let mut rdn = Vec::new();
        while !set.is_empty() {
            let mut pair = set.sequence()?;
            let (oid, value) = (pair.oid()?, pair.read()?);
            pair.done()?;
            rdn.push(normal(oid, value.tag, value.value));
            let (text, is_text) = text(value.tag, value.value);
            let joins_previous = rdn.len() > 1;
            self.attributes.push(Attribute { oid: oid.to_vec(), text, is_text, joins_previous });
        }
        if rdn.is_empty() {
            return Err(Malformed::new("an empty part of a name"));
        }
        rdn.sort_unstable();
        self.rdns.push(rdn);
        Ok(())
    }

    /// Whether it is `base` with the parts of `relative` after it.
    pub(crate) fn is_joined(&self, base: &Self, relative: &Self) -> bool {
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

    /// The values of the e-mail address attribute.
    pub(crate) fn emails(&self) -> impl Iterator<Item = &str> {
        self.attributes.iter().filter(|a| a.oid == oid::EMAIL_ADDRESS).map(|a| a.text.as_str())
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
        if self.attributes.is_empty() {
            return f.write_str("(empty name)");
        }
        for (i, a) in self.attributes.iter().enumerate() {
            let separator = match a {
                _ if i == 0 => "",
                a if a.joins_previous => " + ",
                _ => ", ",
            };
            write!(f, "{separator}{}=", oid::name(&a.oid))?;
            if a.is_text { write_escaped(f, &a.text)? } else { f.write_str(&a.text)? }
        }
        Ok(())
    }
}

fn normal(oid: &[u8], tag: u8, value: &[u8]) -> (Vec<u8>, u8, Vec<u8>) {
    let text = std::str::from_utf8(value).ok().filter(|_| tag == der::UTF8 || tag == der::PRINTABLE);
    match text {
        Some(text) => {
            let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
            (oid.to_vec(), der::UTF8, words.join(" ").into_bytes())
        }
        None => (oid.to_vec(), tag, value.to_vec()),
    }
}

/// Writes the value of an attribute, escaped as RFC 4514, section 2.4 demands, so that a value such as
/// `alice, CN=admin` cannot be read as two attributes.
fn write_escaped(f: &mut fmt::Formatter<'_>, value: &str) -> fmt::Result {
    let last = value.chars().count().saturating_sub(1);
    for (i, c) in value.chars().enumerate() {
        match c {
            '\0' => f.write_str("\\00")?,
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => write!(f, "\\{c}")?,
            '#' if i == 0 => f.write_str("\\#")?,
            ' ' if i == 0 || i == last => f.write_str("\\ ")?,
            c => write!(f, "{c}")?,
        }
    }
    Ok(())
}

/// Returns a value as text and true, or its bytes in hexadecimal after `#` and false.
fn text(tag: u8, value: &[u8]) -> (String, bool) {
    const BMP: u8 = 0x1e;
    const STRINGS: [u8; 5] = [der::UTF8, der::PRINTABLE, 0x12, 0x14, 0x16];
    if tag == BMP {
        let units: Vec<u16> = value.chunks_exact(2).map(|c| u16::from_be_bytes([c[0], c[1]])).collect();
        return (String::from_utf16_lossy(&units), true);
    }
    if STRINGS.contains(&tag) {
        return (String::from_utf8_lossy(value).into_owned(), true);
    }
    (format!("#{}", crate::finding::hex(value)), false)
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
    pub(crate) fn read(der: &mut Der<'_>) -> Result<Self> {
        const EMAIL: u8 = context(1);
        const DNS: u8 = context(2);
        const DIRECTORY: u8 = explicit(4);
        const URI: u8 = context(6);
        const IP: u8 = context(7);
        const OTHER_NAME: u8 = explicit(0);
        const X400: u8 = explicit(3);
        const EDI: u8 = explicit(5);
        const REGISTERED: u8 = context(8);
        let tlv = der.read()?;
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
                let name = Name::read(&mut inner)?;
                inner.done()?;
                Self::Directory(name)
            }
            OTHER_NAME | X400 | EDI | REGISTERED => Self::Other(tlv.tag & 0x1f, tlv.value.to_vec()),
            tag => return Err(Malformed(format!("tag {tag:#04x} where a general name belongs"))),
        })
    }

    /// Reads the content of `GeneralNames`: at least one.
    pub(crate) fn read_all(mut der: Der<'_>) -> Result<Vec<Self>> {
        let mut names = Vec::new();
        while !der.is_empty() {
            names.push(Self::read(&mut der)?);
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
            Self::Ip(bytes) => match address(bytes) {
                Some(ip) => write!(f, "IP:{ip}"),
                None => write!(f, "IP:#{}", crate::finding::hex(bytes)),
            },
            Self::Other(tag, bytes) => write!(f, "[{tag}]:#{}", crate::finding::hex(bytes)),
        }
    }
}

/// An address from its 4 or 16 bytes.
pub(crate) fn address(bytes: &[u8]) -> Option<IpAddr> {
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
        Name::read(&mut Der::new(&[&[0x30, n + 11][..], &set].concat())).unwrap()
    }

    #[test]
    fn names_match_without_case_and_spaces() {
        assert_eq!(cn(der::UTF8, "Some  CA "), cn(der::PRINTABLE, "some ca"));
        assert_ne!(cn(der::UTF8, "some ca"), cn(der::UTF8, "someca"));
        // Other string types match only byte by byte.
        assert_ne!(cn(0x14, "CA"), cn(0x14, "ca"));
        assert_eq!(cn(der::UTF8, "x").to_string(), "CN=x");
    }

    /// RFC 4514, section 2.4.
    #[test]
    fn a_value_cannot_be_read_as_two_attributes() {
        for (value, shown) in [
            ("alice, CN=admin", r"CN=alice\, CN=admin"),
            ("alice+O=x", r"CN=alice\+O=x"),
            ("a;b<c>\"d\"", r#"CN=a\;b\<c\>\"d\""#),
            (r"alice\", r"CN=alice\\"),
            ("#04024869", r"CN=\#04024869"),
            (" alice ", r"CN=\ alice\ "),
            (" ", r"CN=\ "),
            ("a#b c", "CN=a#b c"),
            ("a\0b", r"CN=a\00b"),
        ] {
            assert_eq!(cn(der::UTF8, value).to_string(), shown);
        }
        // Bytes that are not text are shown as such, without an escape.
        assert_eq!(cn(0x04, "Hi").to_string(), "CN=#4869");
    }

    #[test]
    fn attributes_of_one_part_are_joined_by_a_plus() {
        let pair = [0x30, 8, 6, 3, 0x55, 4, 3, der::UTF8, 1, b'a'];
        let set = [&pair[..], &[0x30, 8, 6, 3, 0x55, 4, 10, der::UTF8, 1, b'b']].concat();
        assert_eq!(Name::read_part(&set).unwrap().to_string(), "CN=a + O=b");
    }

    #[test]
    fn an_empty_name_holds_every_name() {
        let empty = Name::read(&mut Der::new(&[0x30, 0])).unwrap();
        assert!(empty.is_empty() && cn(der::UTF8, "x").is_within(&empty));
        assert!(!empty.is_within(&cn(der::UTF8, "x")));
    }
}
