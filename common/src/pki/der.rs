//! A strict reader of DER (X.690): definite, minimal lengths; nothing left over. And a writer of one element.
//!
//! X.509 libraries do not keep what the checks need: the exact bytes of algorithms and names, the encoding of a time,
//! and the rejection of encodings that are not DER.

use std::fmt;

/// Why bytes are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

impl Malformed {
    /// An error with this text.
    pub fn new(what: impl fmt::Display) -> Self {
        Self(what.to_string())
    }

    /// Puts the name of the part that is malformed before the text.
    #[must_use]
    pub fn within(self, what: impl fmt::Display) -> Self {
        Self(format!("{what}: {self}"))
    }
}

/// A value that was read, or why it could not be.
pub type Result<T> = std::result::Result<T, Malformed>;

/// The tag of BOOLEAN.
pub const BOOLEAN: u8 = 0x01;
/// The tag of INTEGER.
pub const INTEGER: u8 = 0x02;
/// The tag of BIT STRING.
pub const BIT_STRING: u8 = 0x03;
/// The tag of OCTET STRING.
pub const OCTET_STRING: u8 = 0x04;
/// The tag of NULL.
pub const NULL: u8 = 0x05;
/// The tag of OBJECT IDENTIFIER.
pub const OID: u8 = 0x06;
/// The tag of ENUMERATED.
pub const ENUMERATED: u8 = 0x0a;
/// The tag of UTF8String.
pub const UTF8: u8 = 0x0c;
/// The tag of PrintableString.
pub const PRINTABLE: u8 = 0x13;
/// The tag of UTCTime.
pub const UTC_TIME: u8 = 0x17;
/// The tag of GeneralizedTime.
pub const GENERALIZED_TIME: u8 = 0x18;
/// The tag of SEQUENCE.
pub const SEQUENCE: u8 = 0x30;
/// The tag of SET.
pub const SET: u8 = 0x31;

/// The tag of `[n]`, primitive.
#[must_use]
pub const fn context_tag(n: u8) -> u8 {
    0x80 | n
}

/// The tag of `[n]`, constructed.
#[must_use]
pub const fn explicit_tag(n: u8) -> u8 {
    0xa0 | n
}

/// One element.
#[derive(Clone, Copy, Debug)]
pub struct Tlv<'a> {
    /// The tag.
    pub tag: u8,
    /// The content.
    pub value: &'a [u8],
    /// The element with its tag and length.
    pub raw: &'a [u8],
}

/// The elements that are left to read.
#[derive(Clone, Copy, Debug)]
pub struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// Reads elements from the beginning of some bytes.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Opens bytes that are one element of the given tag and nothing else.
    ///
    /// # Errors
    /// They are not.
    pub fn open_only(bytes: &'a [u8], tag: u8) -> Result<Self> {
        let mut der = Self(bytes);
        let inner = der.read_tagged(tag)?;
        der.expect_end()?;
        Ok(Self(inner))
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of bytes that are left.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// Bytes are left over.
    pub fn expect_end(&self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed::new("bytes are left over")) }
    }

    /// Reads the next element.
    ///
    /// # Errors
    /// It is truncated, or not DER.
    pub fn read_element(&mut self) -> Result<Tlv<'a>> {
        let all = self.0;
        let (&tag, rest) = all.split_first().ok_or_else(|| Malformed::new("truncated"))?;
        if tag & 0x1f == 0x1f {
            return Err(Malformed::new("a tag of more than one byte"));
        }
        let (length, rest) = parse_length(rest)?;
        let (value, rest) = rest.split_at_checked(length).ok_or_else(|| Malformed::new("truncated"))?;
        self.0 = rest;
        Ok(Tlv { tag, value, raw: &all[..all.len() - rest.len()] })
    }

    /// Reads the content of the next element, which must have this tag.
    ///
    /// # Errors
    /// It is truncated, not DER, or has another tag.
    pub fn read_tagged(&mut self, tag: u8) -> Result<&'a [u8]> {
        match self.read_element()? {
            t if t.tag == tag => Ok(t.value),
            t => Err(Malformed(format!("tag {:#04x} where {tag:#04x} belongs", t.tag))),
        }
    }

    /// Reads the content of the next element if it has this tag.
    ///
    /// # Errors
    /// It has the tag, and is truncated or not DER.
    pub fn read_optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>> {
        if self.0.first() == Some(&tag) { self.read_tagged(tag).map(Some) } else { Ok(None) }
    }

    /// Opens the next element, which must be a SEQUENCE.
    ///
    /// # Errors
    /// It is truncated, not DER, or another element.
    pub fn open_sequence(&mut self) -> Result<Self> {
        self.read_tagged(SEQUENCE).map(Self)
    }

    /// Reads the next element, which must be a SEQUENCE, with its tag and length.
    ///
    /// # Errors
    /// It is truncated, not DER, or another element.
    pub fn read_raw_sequence(&mut self) -> Result<Tlv<'a>> {
        let tlv = self.read_element()?;
        if tlv.tag == SEQUENCE {
            Ok(tlv)
        } else {
            Err(Malformed(format!("tag {:#04x} where a sequence belongs", tlv.tag)))
        }
    }

    /// Reads a boolean that is left out when false. An explicit false is not DER, but common; it is read.
    ///
    /// # Errors
    /// The boolean is neither 00 nor ff.
    pub fn read_default_false(&mut self) -> Result<bool> {
        match self.read_optional(BOOLEAN)? {
            None | Some([0]) => Ok(false),
            Some([0xff]) => Ok(true),
            Some(_) => Err(Malformed::new("a boolean that is neither 00 nor ff")),
        }
    }

    /// Reads an object identifier's bytes.
    ///
    /// # Errors
    /// The next element is not a whole object identifier.
    pub fn read_oid(&mut self) -> Result<&'a [u8]> {
        let oid = self.read_tagged(OID)?;
        let ends = oid.last().is_some_and(|b| b & 0x80 == 0);
        if ends { Ok(oid) } else { Err(Malformed::new("a truncated object identifier")) }
    }

    /// Reads an integer's bytes: two's complement, minimal.
    ///
    /// # Errors
    /// The next element is not an integer in its shortest form.
    pub fn read_integer(&mut self) -> Result<&'a [u8]> {
        check_minimal(self.read_tagged(INTEGER)?)
    }

    /// Reads a bit string of whole bytes.
    ///
    /// # Errors
    /// The next element is not one.
    pub fn read_whole_bytes(&mut self) -> Result<&'a [u8]> {
        match self.read_tagged(BIT_STRING)?.split_first() {
            Some((0, bytes)) => Ok(bytes),
            _ => Err(Malformed::new("a bit string that is not whole bytes")),
        }
    }
}

fn parse_length(rest: &[u8]) -> Result<(usize, &[u8])> {
    let (&first, rest) = rest.split_first().ok_or_else(|| Malformed::new("truncated"))?;
    if first < 0x80 {
        return Ok((first.into(), rest));
    }
    let n = usize::from(first & 0x7f);
    if n == 0 || n > 4 {
        return Err(Malformed::new("a length that is indefinite or beyond 4 GiB"));
    }
    let (bytes, rest) = rest.split_at_checked(n).ok_or_else(|| Malformed::new("truncated"))?;
    let length = bytes.iter().fold(0usize, |n, &b| n << 8 | usize::from(b));
    if bytes[0] == 0 || length < 0x80 {
        return Err(Malformed::new("a length that is not minimal"));
    }
    Ok((length, rest))
}

/// Encodes one element.
#[must_use]
pub fn encode_element(tag: u8, value: &[u8]) -> Vec<u8> {
    let n = value.len();
    let length = n.to_be_bytes();
    let digits = &length[length.iter().position(|&b| b != 0).unwrap_or(length.len() - 1)..];
    let mut out = vec![tag];
    if n >= 0x80 {
        out.push(0x80 | digits.len() as u8);
    }
    out.extend(digits);
    out.extend(value);
    out
}

/// Checks that an integer's bytes are its shortest form (X.690, section 8.3.2).
///
/// # Errors
/// They are not.
pub fn check_minimal(bytes: &[u8]) -> Result<&[u8]> {
    match bytes {
        [] => Err(Malformed::new("an empty integer")),
        [0, next, ..] if next & 0x80 == 0 => Err(Malformed::new("an integer that is not minimal")),
        [0xff, next, ..] if next & 0x80 != 0 => Err(Malformed::new("an integer that is not minimal")),
        _ => Ok(bytes),
    }
}

/// Reads an integer that is not negative and fits 32 bits.
///
/// # Errors
/// It is negative or larger.
pub fn parse_u32(bytes: &[u8]) -> Result<u32> {
    match check_minimal(bytes)? {
        b if b[0] & 0x80 != 0 => Err(Malformed::new("a negative number")),
        b if b.len() > 5 || b.len() == 5 && b[0] != 0 => Err(Malformed::new("a number beyond 32 bits")),
        b => Ok(b.iter().fold(0, |n, &b| n << 8 | u32::from(b))),
    }
}

/// A point in time, and how it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time {
    /// Seconds since 1970, UTC.
    pub unix: i64,
    /// Whether it was a GeneralizedTime. RFC 5280, 4.1.2.5 demands UTCTime through the year 2049.
    pub generalized: bool,
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&super::format_utc(self.unix))
    }
}

impl Time {
    /// Reads UTCTime or GeneralizedTime in the only form that RFC 5280, 4.1.2.5 allows: to the second, ending in Z.
    ///
    /// # Errors
    /// The next element is not such a time.
    pub fn read_der(der: &mut Der<'_>) -> Result<Self> {
        let wrong = || Malformed::new("a time that is not YYMMDDHHMMSSZ or YYYYMMDDHHMMSSZ");
        let tlv = der.read_element()?;
        let digits =
            tlv.value.strip_suffix(b"Z").filter(|d| d.iter().all(u8::is_ascii_digit)).ok_or_else(wrong)?;
        let number = |d: &[u8]| d.iter().fold(0, |n, &b| n * 10 + i32::from(b - b'0'));
        let (year, rest, generalized) = match (tlv.tag, digits.len()) {
            (UTC_TIME, 12) => {
                let yy = number(&digits[..2]);
                (if yy < 50 { 2000 + yy } else { 1900 + yy }, &digits[2..], false)
            }
            (GENERALIZED_TIME, 14) => (number(&digits[..4]), &digits[4..], true),
            _ => return Err(wrong()),
        };
        let part = |i: usize| number(&rest[2 * i..2 * i + 2]) as u8;
        let month = time::Month::try_from(part(0)).map_err(|_| wrong())?;
        let date = time::Date::from_calendar_date(year, month, part(1)).map_err(|_| wrong())?;
        let clock = time::Time::from_hms(part(2), part(3), part(4)).map_err(|_| wrong())?;
        Ok(Self {
            unix: time::PrimitiveDateTime::new(date, clock).assume_utc().unix_timestamp(),
            generalized,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_der_is_read() {
        assert_eq!(Der::new(&[2, 1, 5]).read_integer().unwrap(), [5]);
        for wrong in [
            &[2, 0x81, 1, 5][..],
            &[2, 0x80, 5, 0, 0],
            &[2, 2, 0, 5],
            &[2, 0],
            &[2, 3, 1],
            &[0x1f, 1, 1],
            &[2],
        ] {
            assert!(Der::new(wrong).read_integer().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn numbers_fit_or_are_refused() {
        assert_eq!(parse_u32(&[0, 0xff, 0xff, 0xff, 0xff]).unwrap(), u32::MAX);
        assert!(parse_u32(&[0x80]).is_err());
        assert!(parse_u32(&[1, 0, 0, 0, 0]).is_err());
    }

    #[test]
    fn both_times_are_read_to_the_second() {
        let read = |tag, text: &str| {
            Time::read_der(&mut Der::new(&[&[tag, text.len() as u8], text.as_bytes()].concat()))
        };
        assert_eq!(read(UTC_TIME, "700101000001Z").unwrap().unix, 1);
        assert_eq!(read(UTC_TIME, "491231235959Z").unwrap().unix, 2_524_607_999);
        assert_eq!(read(GENERALIZED_TIME, "20500101000000Z").unwrap().unix, 2_524_608_000);
        for wrong in ["7001010000Z", "700101000001", "700101000060Z", "700230000000Z", "70010100000+Z"] {
            assert!(read(UTC_TIME, wrong).is_err(), "{wrong}");
        }
        assert!(read(GENERALIZED_TIME, "20500101000000.5Z").is_err());
    }
}
