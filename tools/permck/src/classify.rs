//! Tells a file's class from what it is, where no policy names it, and says how it was told.
//!
//! Content decides before names, names before permissions. What is told here is a guess that a policy can
//! correct; every finding quotes how it was made.

use common::policy::Class;
use memchr::memmem;

/// A class, and how it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) class: Class,
    pub(crate) by: &'static str,
}

impl Told {
    /// A file that is a key by its whole form, and that was not called one.
    pub(crate) const fn key(by: &'static str) -> Self {
        Self { class: Class::KeyFile, by }
    }
}

const fn told(class: Class, by: &'static str) -> Told {
    Told { class, by }
}

/// Tells a regular file's class. `head` is the beginning of its content, empty where it was not read; `mode`
/// is its permission bits.
pub(crate) fn file(name: &[u8], head: &[u8], mode: u32) -> Told {
    by_content(name, head).or_else(|| by_name(name)).unwrap_or(if mode & 0o111 != 0 {
        told(Class::ProgramFile, "its execute permission")
    } else {
        told(Class::DataFile, "nothing special about it")
    })
}

fn by_content(name: &[u8], head: &[u8]) -> Option<Told> {
    if head.starts_with(b"\x7fELF") {
        // e_type, in the file's own byte order: 4 is a core dump.
        let kind = head.get(16..18).map_or(0, |t| t[0] | t[1]);
        return Some(if kind == 4 {
            told(Class::DebugFile, "ELF core dump")
        } else {
            told(Class::ProgramFile, "ELF header")
        });
    }
    if head.starts_with(b"#!") {
        return Some(script(name, head, "its #! line"));
    }
    key(head).or_else(|| der(name, head))
}

/// PEM and its relatives at the beginning of the file, after blank or comment lines.
fn key(head: &[u8]) -> Option<Told> {
    const STARTS: [(&[u8], &str); 5] = [
        (b"PuTTY-User-Key-File-", "PuTTY private key"),
        (b"AGE-SECRET-KEY-", "age secret key"),
        (b"age-encryption.org/", "age ciphertext"),
        (b"Salted__", "openssl ciphertext"),
        (b"\xfe\xed\xfe\xed", "Java key store"),
    ];
    if let Some((_, by)) = STARTS.iter().find(|(start, _)| head.starts_with(start)) {
        return Some(told(Class::KeyFile, by));
    }
    // `openssl x509 -text` and bundles put explanations before the first block; a program that only mentions
    // one, or a configuration that embeds one deep inside, is not a key file.
    let label = pem_label(first_block(head)?)?;
    Some(told(Class::KeyFile, pem_kind(label)?))
}

/// The text from the first `-----BEGIN `, where only text of a bundle stands before it.
fn first_block(head: &[u8]) -> Option<&[u8]> {
    let at = memmem::find(head, b"-----BEGIN ")?;
    let before = &head[..at];
    let quiet = |line: &[u8]| {
        let line = line.trim_ascii();
        line.is_empty()
            || line.starts_with(b"#")
            || line.starts_with(b"Certificate:")
            || line.starts_with(b"Bag ")
    };
    let dump = before.starts_with(b"Certificate:\n") || before.starts_with(b"Certificate Revocation List");
    (dump || before.split(|&b| b == b'\n').all(quiet)).then(|| &head[at..])
}

/// What stands between `-----BEGIN ` and the next five dashes.
fn pem_label(block: &[u8]) -> Option<&[u8]> {
    let label = block.strip_prefix(b"-----BEGIN ")?;
    let end = memmem::find(label.get(..80).unwrap_or(label), b"-----")?;
    Some(&label[..end])
}

fn pem_kind(label: &[u8]) -> Option<&'static str> {
    Some(match label {
        l if private_label(l).is_some() => private_label(l)?,
        b"CERTIFICATE" | b"X509 CERTIFICATE" | b"TRUSTED CERTIFICATE" => "PEM certificate",
        b"X509 CRL" => "PEM revocation list",
        b"CERTIFICATE REQUEST" | b"NEW CERTIFICATE REQUEST" => "PEM certificate request",
        b"PUBLIC KEY" | b"RSA PUBLIC KEY" => "PEM public key",
        b"PKCS7" | b"CMS" => "PEM PKCS#7",
        b"PGP MESSAGE" | b"AGE ENCRYPTED FILE" => "ciphertext",
        _ => return None,
    })
}

/// The labels of private keys.
fn private_label(label: &[u8]) -> Option<&'static str> {
    match label {
        b"PGP PRIVATE KEY BLOCK" => Some("PGP private key"),
        l if l.ends_with(b"PRIVATE KEY") => Some("PEM private key"),
        _ => None,
    }
}

/// Tells a private key in DER by its form, whatever the file is called: a sequence as long as the file that begins
/// as PKCS#8, PKCS#1, SEC 1, or encrypted PKCS#8 do.
pub(crate) fn der_key(head: &[u8], size: u64) -> Option<(&'static str, usize)> {
    let (length, body) = der_sequence(head)?;
    if (head.len() - body.len()) as u64 + length != size {
        return None;
    }
    let pkcs8 =
        |after: &[u8]| der_sequence(after).is_some_and(|(_, algorithm)| algorithm.starts_with(b"\x06"));
    let private = match body {
        // The version, and the algorithm, or the first number of RSA.
        [2, 1, 0, after @ ..] => pkcs8(after) || after.starts_with(b"\x02\x82"),
        // The version, and the algorithm, or the number of an elliptic curve and then the curve.
        [2, 1, 1, after @ ..] => pkcs8(after) || matches!(after, [4, 28 | 32 | 48 | 66, ..]),
        // PBES2 (1.2.840.113549.1.5.13).
        _ => der_sequence(body)
            .is_some_and(|(_, a)| a.starts_with(b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0d")),
    };
    private.then_some(("DER private key", 0))
}

/// The announced length of a DER sequence, and what of its content is there.
fn der_sequence(bytes: &[u8]) -> Option<(u64, &[u8])> {
    match bytes {
        [0x30, n @ 0..=0x7f, body @ ..] => Some((u64::from(*n), body)),
        [0x30, 0x81, n, body @ ..] => Some((u64::from(*n), body)),
        [0x30, 0x82, a, b, body @ ..] => Some((u64::from(*a) << 8 | u64::from(*b), body)),
        _ => None,
    }
}

/// DER has no mark of its own, so the name must agree with the first byte.
fn der(name: &[u8], head: &[u8]) -> Option<Told> {
    const NAMES: [(&[u8], &str); 9] = [
        (b"p12", "PKCS#12 key store"),
        (b"pfx", "PKCS#12 key store"),
        (b"key", "DER key"),
        (b"pk8", "DER private key"),
        (b"der", "DER certificate or key"),
        (b"crt", "DER certificate"),
        (b"cer", "DER certificate"),
        (b"crl", "DER revocation list"),
        (b"jks", "Java key store"),
    ];
    let by = NAMES.iter().find(|(e, _)| extension(name).is_some_and(|x| x.eq_ignore_ascii_case(e)))?.1;
    head.starts_with(b"\x30").then_some(told(Class::KeyFile, by))
}

fn by_name(name: &[u8]) -> Option<Told> {
    if let Some(log) = log(name) {
        return Some(log);
    }
    if name == b"core" || name.strip_prefix(b"core.").is_some_and(digits) {
        return Some(told(Class::DebugFile, "the name of a core dump"));
    }
    // Python on its way, libraries with a version after the suffix.
    if memmem::find(name, b".so.").is_some() {
        return Some(told(Class::ProgramFile, "its name (library)"));
    }
    let lower = extension(name)?.to_ascii_lowercase();
    Some(match &lower[..] {
        b"sh" | b"bash" | b"py" | b"pl" | b"rb" | b"lua" | b"tcl" => script(name, b"", "its name (script)"),
        b"so" | b"a" | b"pyc" | b"pyo" | b"jar" | b"ko" => told(Class::ProgramFile, "its name (library)"),
        b"conf" | b"cfg" | b"cnf" | b"ini" | b"toml" | b"yaml" | b"yml" | b"env" | b"properties"
        | b"service" | b"socket" | b"timer" => told(Class::ConfigFile, "its name (configuration)"),
        b"key" | b"pem" | b"p12" | b"pfx" | b"jks" | b"crt" | b"cer" | b"crl" | b"der" | b"csr" => {
            told(Class::KeyFile, "its name (key or certificate)")
        }
        b"dmp" | b"core" | b"dbg" | b"debug" => told(Class::DebugFile, "its name (debug)"),
        _ => return None,
    })
}

/// `x.log` is being recorded; `x.log.1`, `x.log.gz`, `x.log-20260101` and `x.log.old` are archived.
fn log(name: &[u8]) -> Option<Told> {
    if name.ends_with(b".log") {
        return Some(told(Class::LogRecording, "its name (log)"));
    }
    let at = memmem::rfind(name, b".log")?;
    let rest = &name[at + 4..];
    let rotated = matches!(rest.first(), Some(b'.' | b'-' | b'_'))
        && rest[1..].split(|b| b".-_".contains(b)).all(|part| {
            digits(part)
                || matches!(part, b"gz" | b"xz" | b"zst" | b"bz2" | b"zip" | b"old" | b"bak" | b"tar" | b"tgz")
                // A time such as 20260101T120000Z.
                || part.first().is_some_and(u8::is_ascii_digit) && part.iter().all(u8::is_ascii_alphanumeric)
        });
    rotated.then_some(told(Class::LogArchived, "its name (rotated log)"))
}

fn script(name: &[u8], head: &[u8], by: &'static str) -> Told {
    let lower = name.to_ascii_lowercase();
    let named = [&b"encrypt"[..], b"decrypt", b"cipher"].iter().any(|w| memmem::find(&lower, w).is_some());
    let calls = [&b"openssl enc "[..], b"openssl pkeyutl", b"gpg --decrypt", b"gpg --encrypt"];
    if named {
        told(Class::CryptoScript, "the name of an encryption script")
    } else if calls.iter().any(|w| memmem::find(head, w).is_some()) {
        told(Class::CryptoScript, "a script that encrypts or decrypts")
    } else {
        told(Class::ProgramFile, by)
    }
}

fn digits(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

fn extension(name: &[u8]) -> Option<&[u8]> {
    let dot = memchr::memrchr(b'.', name)?;
    (dot > 0 || name.len() > 1).then(|| &name[dot + 1..])
}

/// Finds a private key in what was read of a file: its kind and where it starts.
pub(crate) fn private_key(text: &[u8]) -> Option<(&'static str, usize)> {
    let mut from = 0;
    while let Some(at) = memmem::find(&text[from..], b"-----BEGIN ").map(|i| from + i) {
        // A key has lines of base64 after its label; code that only mentions the label has not.
        if let Some(label) = pem_label(&text[at..])
            && let Some(kind) = private_label(label)
            && base64_follows(&text[at + 11 + label.len() + 5..])
        {
            return Some((kind, at));
        }
        from = at + 11;
    }
    let age = memmem::find(text, b"AGE-SECRET-KEY-1")?;
    let body = text[age + 16..].iter().take_while(|b| b.is_ascii_alphanumeric()).count();
    (body >= 50).then_some(("age secret key", age))
}

/// Tells a line of key material, also where line ends are written as `\n` or `\r\n` inside a string.
fn base64_follows(after: &[u8]) -> bool {
    const HEADERS: [&[u8]; 5] = [b"Version:", b"Comment:", b"Hash:", b"MessageID:", b"Charset:"];
    let mut rest = line_end(after);
    // Encrypted keys of the old form begin with headers.
    if rest.starts_with(b"Proc-Type:") {
        return true;
    }
    // So do OpenPGP's, and there are only a few.
    for _ in 0..8 {
        if !HEADERS.iter().any(|h| rest.starts_with(h)) {
            break;
        }
        let Some(end) = memchr::memchr2(b'\n', b'\\', rest) else { return false };
        rest = line_end(&rest[end..]);
    }
    rest.iter().take_while(|b| b.is_ascii_alphanumeric() || b"+/=".contains(b)).count() >= 32
}

/// What follows after line ends, written or real.
fn line_end(mut text: &[u8]) -> &[u8] {
    loop {
        text = text.trim_ascii_start();
        match text.strip_prefix(b"\\n").or_else(|| text.strip_prefix(b"\\r")) {
            Some(rest) => text = rest,
            None => return text,
        }
    }
}

/// What a directory's own files are, counted while it is read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Census {
    private: u32,
    keys: u32,
    programs: u32,
    configs: u32,
    logs: u32,
    debug: u32,
    data: u32,
    /// The first private key's name.
    key: Option<Box<[u8]>>,
}

/// A private key in a directory that is mainly for other things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stray {
    /// The first one's name.
    pub(crate) name: Box<[u8]>,
    pub(crate) keys: u32,
    /// The entries that are neither keys nor certificates.
    pub(crate) others: u32,
}

impl Census {
    /// Counts one file.
    pub(crate) fn add(&mut self, file: Told, name: &[u8]) {
        let private = file.by.contains("private") || file.by.contains("store");
        let field = match file.class {
            Class::KeyFile if private => {
                self.key.get_or_insert_with(|| name.into());
                &mut self.private
            }
            Class::KeyFile => &mut self.keys,
            Class::ProgramFile | Class::CryptoScript => &mut self.programs,
            Class::ConfigFile => &mut self.configs,
            Class::LogArchived | Class::LogRecording => &mut self.logs,
            Class::DebugFile => &mut self.debug,
            _ => &mut self.data,
        };
        *field = field.saturating_add(1);
    }

    /// The private keys, where at least half of a directory is something else; `dirs` is how many directories are
    /// in it.
    pub(crate) fn stray(&self, dirs: u32) -> Option<Stray> {
        let others = [self.programs, self.configs, self.logs, self.debug, self.data, dirs];
        let others = others.iter().fold(0_u32, |sum, n| sum.saturating_add(*n));
        let keys = self.private.saturating_add(self.keys);
        let name = self.key.clone().filter(|_| others > keys)?;
        Some(Stray { name, keys: self.private, others })
    }

    /// Tells the directory's class: private keys make it a key directory, unless it mainly holds other things;
    /// otherwise what most of its files are; otherwise its name.
    pub(crate) fn dir(&self, name: &[u8], dirs: u32) -> Told {
        if self.private > 0 && self.stray(dirs).is_none() {
            return told(Class::KeyDir, "the private keys that it mainly holds");
        }
        let counts = [
            (self.keys, told(Class::KeyDir, "the certificates in it")),
            (self.programs, told(Class::ProgramDir, "the programs in it")),
            (self.logs, told(Class::LogDir, "the logs in it")),
            (self.configs, told(Class::ConfigDir, "the configuration in it")),
            (self.debug, told(Class::DebugDir, "the debug files in it")),
            (self.data, told(Class::DataDir, "the data in it")),
        ];
        // Of equal counts the first, which is the stricter.
        let most = counts.iter().rev().max_by_key(|(n, _)| *n).filter(|(n, _)| *n > 0);
        named_dir(name).or(most.map(|(_, t)| *t)).unwrap_or(told(Class::DataDir, "nothing special about it"))
    }
}

/// Directories whose purpose their name tells better than their content.
fn named_dir(name: &[u8]) -> Option<Told> {
    let name = name.rsplit(|&b| b == b'/').find(|n| !n.is_empty()).unwrap_or(name);
    Some(match name.to_ascii_lowercase().as_slice() {
        b"tmp" | b"temp" => told(Class::TmpDir, "its name"),
        b"upgrade" | b"patch" | b"maintenance" => told(Class::UpgradeDir, "its name"),
        b"log" | b"logs" => told(Class::LogDir, "its name"),
        b"debug" | b"coredump" => told(Class::DebugDir, "its name"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(name: &str, head: &[u8]) -> Class {
        file(name.as_bytes(), head, 0o640).class
    }

    #[test]
    fn content_decides_before_names() {
        assert_eq!(class("x.conf", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0"), Class::ProgramFile);
        assert_eq!(class("x", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x04\0"), Class::DebugFile);
        assert_eq!(class("x.txt", b"#!/bin/sh\n"), Class::ProgramFile);
        assert_eq!(class("x.txt", b"#!/bin/sh\nopenssl enc -d\n"), Class::CryptoScript);
        assert_eq!(class("x.json", b"-----BEGIN EC PRIVATE KEY-----\n"), Class::KeyFile);
        assert_eq!(class("x", b"# root\n\n-----BEGIN CERTIFICATE-----\n"), Class::KeyFile);
        assert_eq!(class("x", b"Certificate:\n    Data:\n-----BEGIN CERTIFICATE-----\n"), Class::KeyFile);
        assert_eq!(class("x.p12", b"\x30\x82"), Class::KeyFile);
    }

    #[test]
    fn what_only_mentions_a_key_is_not_one() {
        assert_eq!(class("x.py", b"K = '-----BEGIN PRIVATE KEY-----'\n"), Class::ProgramFile);
        assert_eq!(class("notes", b"see -----BEGIN CERTIFICATE----- for\n"), Class::DataFile);
        assert_eq!(private_key(b"if text.startswith('-----BEGIN PRIVATE KEY-----'):\n"), None);
    }

    #[test]
    fn embedded_keys_are_found_where_they_start() {
        let key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpe5iQ\n";
        let yaml = format!("tls:\n  key: |\n    {}", key.replace('\n', "\n    "));
        assert_eq!(private_key(yaml.as_bytes()), Some(("PEM private key", 18)));
        let json = format!("{{\"key\":\"{}\"}}", key.replace('\n', "\\n"));
        assert_eq!(private_key(json.as_bytes()), Some(("PEM private key", 8)));
    }

    #[test]
    fn keys_are_found_in_strings_and_after_headers_of_openpgp() {
        let line = "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpe5iQ";
        let crlf = format!("{{\"key\":\"-----BEGIN PRIVATE KEY-----\\r\\n{line}\\r\\n\"}}");
        assert_eq!(private_key(crlf.as_bytes()), Some(("PEM private key", 8)));
        let pgp =
            format!("x\n-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: GnuPG v2\nComment: a: b\n\n{line}\n");
        assert_eq!(private_key(pgp.as_bytes()), Some(("PGP private key", 2)));
        assert_eq!(class("x", &pgp.as_bytes()[2..]), Class::KeyFile);
    }

    #[test]
    fn der_keys_are_told_by_their_form() {
        let ed25519 =
            [&b"\x30\x2e\x02\x01\0\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20"[..], &[7; 32]].concat();
        assert_eq!(der_key(&ed25519, 48), Some(("DER private key", 0)));
        let sec1 = [
            &b"\x30\x31\x02\x01\x01\x04\x20"[..],
            &[7; 32],
            b"\xa0\x0a\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07",
        ]
        .concat();
        assert_eq!(der_key(&sec1, sec1.len() as u64), Some(("DER private key", 0)));
        // Neither a longer file that begins so, nor a certificate.
        assert_eq!(der_key(&ed25519, 49), None);
        assert_eq!(der_key(b"\x30\x06\x30\x04\x02\x01\x02\x05", 8), None);
    }

    #[test]
    fn logs_are_recorded_or_archived_by_name() {
        for name in ["a.log", "plog-1_2026.log"] {
            assert_eq!(class(name, b"x"), Class::LogRecording, "{name}");
        }
        for name in
            ["a.log.1", "a.log.gz", "a.log.3.gz", "a.log-20260101", "a.log.old", "a.log.20260101T000000Z.zst"]
        {
            assert_eq!(class(name, b"x"), Class::LogArchived, "{name}");
        }
        for name in ["a.logic", "catalog.json", "a.log.py~x"] {
            assert_ne!(class(name, b"x"), Class::LogArchived, "{name}");
        }
    }

    #[test]
    fn names_and_permissions_are_the_last_resort() {
        assert_eq!(class("libx.so.1.2", b""), Class::ProgramFile);
        assert_eq!(class("profd.toml", b"[a]"), Class::ConfigFile);
        assert_eq!(class("core.4242", b""), Class::DebugFile);
        assert_eq!(class("decrypt.py", b""), Class::CryptoScript);
        assert_eq!(file(b"tool", b"MZ", 0o755).class, Class::ProgramFile);
        assert_eq!(file(b"trace", b"{", 0o644).class, Class::DataFile);
    }

    #[test]
    fn a_directory_is_what_most_of_its_files_are() {
        let census = |files: &[(&str, &[u8])]| {
            let mut c = Census::default();
            files.iter().for_each(|(n, h)| c.add(file(n.as_bytes(), h, 0o600), n.as_bytes()));
            c.dir(b"d", 0).class
        };
        assert_eq!(census(&[("a", b"#!x"), ("b", b"#!x"), ("c", b"")]), Class::ProgramDir);
        let key = b"-----BEGIN PRIVATE KEY-----";
        assert_eq!(census(&[("a", b""), ("k", key)]), Class::KeyDir);
        assert_eq!(census(&[("a", b""), ("b", b""), ("k", key)]), Class::DataDir);
        assert_eq!(census(&[("a", b""), ("b", b""), ("k", b"-----BEGIN CERTIFICATE-----")]), Class::DataDir);
        assert_eq!(census(&[]), Class::DataDir);
        assert_eq!(Census::default().dir(b"/var/log", 0).class, Class::LogDir);
    }
}
