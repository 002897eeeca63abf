//! Finds private keys in the content of a file.

use memchr::memmem;

/// Finds a private key in the part of a file that was read, as it is, in UTF-16, or in base64, as Secrets of Kubernetes have
/// it; returns its kind and its offset in bytes.
pub(crate) fn find_private_key(text: &[u8]) -> Option<(&'static str, usize)> {
    let wide = || {
        // Byte order marks of UTF-16 (RFC 2781, section 3.2): the other byte of ASCII is zero.
        let low = if text.starts_with(b"\xff\xfe") { 0 } else { 1 };
        let marked = low == 0 || text.starts_with(b"\xfe\xff");
        let narrow: Vec<u8> =
            text.get(2..).filter(|_| marked)?.chunks_exact(2).map(|unit| unit[low]).collect();
        find_plain_key(&narrow).map(|(kind, at)| (kind, 2 + 2 * at))
    };
    find_plain_key(text).or_else(|| find_encoded_key(text)).or_else(|| find_json_web_key(text)).or_else(wide)
}

/// Finds a JSON Web Key with its private part (RFC 7517, RFC 7518, sections 6.2.2, 6.3.2 and 6.4; RFC 8037), or a symmetric
/// one: `"kty"`, and `"d"` or `"k"` with base64url.
fn find_json_web_key(text: &[u8]) -> Option<(&'static str, usize)> {
    let at = memmem::find(text, b"\"kty\"")?;
    let has_secret = |name: &[u8]| {
        memmem::find_iter(text, name).any(|at| {
            let value = text[at + name.len()..].trim_ascii_start().strip_prefix(b":");
            let value = value.and_then(|rest| rest.trim_ascii_start().strip_prefix(b"\""));
            let long = |v: &[u8]| {
                v.iter().take_while(|b| b.is_ascii_alphanumeric() || b"-_=".contains(b)).count() >= 16
            };
            value.is_some_and(long)
        })
    };
    (has_secret(b"\"d\"") || has_secret(b"\"k\"")).then_some(("JSON Web Key", at))
}

/// Finds a private key in base64: the beginning of a PEM block has one form there.
fn find_encoded_key(text: &[u8]) -> Option<(&'static str, usize)> {
    /// `-----BEGI` in base64 (RFC 4648, section 4).
    const BEGIN: &[u8] = b"LS0tLS1CRUdJ";
    /// Bytes of base64 that are decoded: the label and the first lines of a key.
    const DECODED: usize = 512;
    memmem::find_iter(text, BEGIN).find_map(|at| {
        let encoded = &text[at..text.len().min(at + DECODED)];
        find_plain_key(&decode_base64(encoded)).map(|(kind, _)| (kind, at))
    })
}

/// Decodes base64 up to the first character that is none.
fn decode_base64(text: &[u8]) -> Vec<u8> {
    let digit = |b: u8| match b {
        b'A'..=b'Z' => Some(b - b'A'),
        b'a'..=b'z' => Some(b - b'a' + 26),
        b'0'..=b'9' => Some(b - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let digits: Vec<u32> = text.iter().map_while(|b| digit(*b)).map(u32::from).collect();
    let three = |four: &[u32]| {
        let bits = four.iter().fold(0, |bits, digit| bits << 6 | digit);
        [(bits >> 16) as u8, (bits >> 8) as u8, bits as u8]
    };
    digits.chunks_exact(4).flat_map(three).collect()
}

fn find_plain_key(text: &[u8]) -> Option<(&'static str, usize)> {
    let mut from = 0;
    while let Some(at) = memmem::find(&text[from..], b"-----BEGIN ").map(|i| from + i) {
        // A key has lines of base64 after its label; code that only mentions the label has not.
        let label = pem_label(&text[at..]).and_then(|label| Some((label, private_label(label)?)));
        if let Some((label, kind)) = label {
            if base64_follows(&text[at + 11 + label.len() + 5..]) {
                return Some((kind, at));
            }
        }
        from = at + 11;
    }
    // A comment that mentions a key may precede the key.
    let body = |at: &usize| text[at + 16..].iter().take_while(|b| b.is_ascii_alphanumeric()).count() >= 50;
    let age = memmem::find_iter(text, b"AGE-SECRET-KEY-1").find(body);
    age.map(|at| ("age secret key", at))
}

/// Returns whether a line of key material follows, also where line ends are written as `\n` or `\r\n` in a string.
fn base64_follows(after: &[u8]) -> bool {
    const HEADERS: [&[u8]; 5] = [b"Version:", b"Comment:", b"Hash:", b"MessageID:", b"Charset:"];
    let mut rest = line_end(after);
    // Encrypted keys of the traditional format begin with headers (RFC 1421, section 4.6).
    if rest.starts_with(b"Proc-Type:") {
        return true;
    }
    // So do those of OpenPGP (RFC 9580, section 6.2.2), with a few headers.
    for _ in 0..8 {
        if !HEADERS.iter().any(|h| rest.starts_with(h)) {
            break;
        }
        let Some(end) = memchr::memchr2(b'\n', b'\\', rest) else { return false };
        rest = line_end(&rest[end..]);
    }
    let long = |text: &[u8]| {
        text.iter().take_while(|b| b.is_ascii_alphanumeric() || b"+/=".contains(b)).count() >= 32
    };
    long(rest) || next_string(rest).is_some_and(long)
}

/// Returns the content of the next string literal, where source code splits a key over several: only if it begins like
/// the base64 of a key, because mostly other code follows.
fn next_string(text: &[u8]) -> Option<&[u8]> {
    let rest = text.strip_prefix(b"\"").or_else(|| text.strip_prefix(b"'"))?;
    let between = |b: &u8| b.is_ascii_whitespace() || b"+,\\.".contains(b);
    let skip = rest.iter().position(|b| !between(b))?;
    let rest = &rest[skip..];
    let rest = rest.strip_prefix(b"\"").or_else(|| rest.strip_prefix(b"'"))?;
    (rest.starts_with(b"M") || rest.starts_with(b"b3Bl")).then_some(rest)
}

/// Skips line ends, real or written as escapes.
fn line_end(mut text: &[u8]) -> &[u8] {
    loop {
        text = text.trim_ascii_start();
        match text.strip_prefix(b"\\n").or_else(|| text.strip_prefix(b"\\r")) {
            Some(rest) => text = rest,
            None => return text,
        }
    }
}

/// Returns the kind of private key that a label stands for.
pub(super) fn private_label(label: &[u8]) -> Option<&'static str> {
    match label {
        b"PGP PRIVATE KEY BLOCK" => Some("PGP private key"),
        l if l.ends_with(b"PRIVATE KEY") => Some("PEM private key"),
        _ => None,
    }
}

/// Finds a private key in DER, whatever the name of the file: a sequence as long as the file that begins like PKCS#8 or
/// encrypted PKCS#8 (RFC 5958), PKCS#1 (RFC 8017, A.1.2) or SEC 1 (RFC 5915).
pub(crate) fn find_der_private_key(head: &[u8], size: u64) -> Option<(&'static str, usize)> {
    let (length, body) = der_sequence(head)?;
    if (head.len() - body.len()) as u64 + length != size {
        return None;
    }
    let pkcs8 =
        |after: &[u8]| der_sequence(after).is_some_and(|(_, algorithm)| algorithm.starts_with(b"\x06"));
    let private = match body {
        // Version 0, then the algorithm (PKCS#8) or the modulus of RSA (PKCS#1).
        [2, 1, 0, after @ ..] => pkcs8(after) || after.starts_with(b"\x02\x82"),
        // Version 1, then the algorithm (PKCS#8 with public key) or an EC private key (SEC 1).
        [2, 1, 1, after @ ..] => pkcs8(after) || matches!(after, [4, 28 | 32 | 48 | 66, ..]),
        // The algorithm PBES2, 1.2.840.113549.1.5.13 (RFC 8018).
        _ => der_sequence(body)
            .is_some_and(|(_, a)| a.starts_with(b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0d")),
    };
    private.then_some(("DER private key", 0))
}

/// Returns the length of a DER sequence, and the available part of its content (X.690).
fn der_sequence(bytes: &[u8]) -> Option<(u64, &[u8])> {
    match bytes {
        [0x30, n @ 0..=0x7f, body @ ..] => Some((u64::from(*n), body)),
        [0x30, 0x81, n, body @ ..] => Some((u64::from(*n), body)),
        [0x30, 0x82, a, b, body @ ..] => Some((u64::from(*a) << 8 | u64::from(*b), body)),
        _ => None,
    }
}

/// Returns the label between `-----BEGIN ` and the next five dashes (RFC 7468).
pub(super) fn pem_label(block: &[u8]) -> Option<&[u8]> {
    let label = block.strip_prefix(b"-----BEGIN ")?;
    let end = memmem::find(label.get(..80).unwrap_or(label), b"-----")?;
    Some(&label[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_keys_are_found_where_they_start() {
        let key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpe5iQ\n";
        let yaml = format!("tls:\n  key: |\n    {}", key.replace('\n', "\n    "));
        assert_eq!(find_private_key(yaml.as_bytes()), Some(("PEM private key", 18)));
        let json = format!("{{\"key\":\"{}\"}}", key.replace('\n', "\\n"));
        assert_eq!(find_private_key(json.as_bytes()), Some(("PEM private key", 8)));
    }

    #[test]
    fn keys_are_found_in_strings_and_after_headers_of_openpgp() {
        let line = "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpe5iQ";
        let crlf = format!("{{\"key\":\"-----BEGIN PRIVATE KEY-----\\r\\n{line}\\r\\n\"}}");
        assert_eq!(find_private_key(crlf.as_bytes()), Some(("PEM private key", 8)));
        let pgp =
            format!("x\n-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: GnuPG v2\nComment: a: b\n\n{line}\n");
        assert_eq!(find_private_key(pgp.as_bytes()), Some(("PGP private key", 2)));
        assert_eq!(
            crate::classify::classify_file(b"x", &pgp.as_bytes()[2..], 0).class,
            common::policy::Class::KeyFile
        );
    }

    #[test]
    fn keys_are_found_in_strings_line_by_line_and_behind_a_mention() {
        let line = "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpe5iQ";
        let c = format!("char k[] =\n  \"-----BEGIN PRIVATE KEY-----\\n\"\n  \"{line}\\n\";");
        assert_eq!(find_private_key(c.as_bytes()), Some(("PEM private key", 14)));
        let code = b"x('-----BEGIN PRIVATE KEY-----', 'a_very_long_name_that_is_no_key_at_all_0123456789')";
        assert_eq!(find_private_key(code), None);
        let age = format!("# AGE-SECRET-KEY-1...\nAGE-SECRET-KEY-1{}", "Q".repeat(58));
        assert_eq!(find_private_key(age.as_bytes()), Some(("age secret key", 22)));
    }

    #[test]
    fn keys_are_found_in_base64_and_in_utf_16() {
        let key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpe5iQ\n";
        // `base64 -w0` of the two lines.
        let encoded = "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tCk1DNENBUUF3QlFZREsyVndCQ0lFSUoxaHNaM3YvVnBndW9SSzlKTHNMTVJFU2NWcGU1aVEK";
        assert_eq!(decode_base64(encoded.as_bytes()), key.as_bytes());
        let secret = format!("kind: Secret\ndata:\n  tls.key: {encoded}\n");
        assert_eq!(find_private_key(secret.as_bytes()), Some(("PEM private key", 30)));
        // A certificate in base64 is not a key.
        let certificate =
            "data: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUJmVENDQVNPZ0F3SUJBZ0lVRVFoYXZtNVZPTTBQ";
        assert_eq!(find_private_key(certificate.as_bytes()), None);
        let wide = |mark: [u8; 2], swap: bool| {
            let unit = |b: u8| if swap { [0, b] } else { [b, 0] };
            mark.into_iter().chain(key.bytes().flat_map(unit)).collect::<Vec<u8>>()
        };
        assert_eq!(find_private_key(&wide([0xff, 0xfe], false)), Some(("PEM private key", 2)));
        assert_eq!(find_private_key(&wide([0xfe, 0xff], true)), Some(("PEM private key", 2)));
    }

    #[test]
    fn private_json_web_keys_are_found() {
        let d = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
        let key = format!("{{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"d\":\"{d}\",\"x\":\"11qYAYKxCrfVS_7T\"}}");
        assert_eq!(find_private_key(key.as_bytes()), Some(("JSON Web Key", 1)));
        let set = format!("{{ \"keys\" : [ {{ \"kty\" : \"oct\", \"k\" :\n\"{d}\" }} ] }}");
        assert_eq!(find_private_key(set.as_bytes()), Some(("JSON Web Key", 15)));
        // The public half, and JSON about something else.
        for other in [key.replace("\"d\"", "\"y\""), key.replace("\"kty\"", "\"type\""), key.replace(d, "x")]
        {
            assert_eq!(find_private_key(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn der_keys_are_found_by_their_encoding() {
        let ed25519 =
            [&b"\x30\x2e\x02\x01\0\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20"[..], &[7; 32]].concat();
        assert_eq!(find_der_private_key(&ed25519, 48), Some(("DER private key", 0)));
        let sec1 = [
            &b"\x30\x31\x02\x01\x01\x04\x20"[..],
            &[7; 32],
            b"\xa0\x0a\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07",
        ]
        .concat();
        assert_eq!(find_der_private_key(&sec1, sec1.len() as u64), Some(("DER private key", 0)));
        // Neither a longer file that begins so, nor a certificate.
        assert_eq!(find_der_private_key(&ed25519, 49), None);
        assert_eq!(find_der_private_key(b"\x30\x06\x30\x04\x02\x01\x02\x05", 8), None);
    }
}
