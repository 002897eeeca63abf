//! Decides the class of a file that no policy names, and records what decided it.
//!
//! Content takes precedence over names, names over permissions. The result is a guess that a policy can correct; every
//! finding quotes what decided.

use common::policy::Class;
use memchr::memmem;

mod census;
mod key;

pub(crate) use census::{DirectoryCensus, StrayKey};
pub(crate) use key::{find_der_private_key, find_private_key};
use key::{pem_label, private_label};

/// A class, and what decided it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Classification {
    pub(crate) class: Class,
    pub(crate) by: &'static str,
    pub(crate) secrecy: Secrecy,
}

/// Whether the content of a file says that a private key is in it; a name alone does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Secrecy {
    /// Nothing says so.
    Public,
    /// DER of some kind in a file that is named like a key.
    Likely,
    /// A private key, or a store of keys.
    Private,
}

impl Classification {
    /// Makes a classification of what is not secret.
    pub(crate) const fn new(class: Class, by: &'static str) -> Self {
        Self { class, by, secrecy: Secrecy::Public }
    }

    /// Classifies a file as a private key by its whole content, whatever its name.
    pub(crate) const fn private_key(by: &'static str) -> Self {
        Self::key(by, Secrecy::Private)
    }

    const fn key(by: &'static str, secrecy: Secrecy) -> Self {
        Self { class: Class::KeyFile, by, secrecy }
    }
}

const fn classify_as(class: Class, by: &'static str) -> Classification {
    Classification::new(class, by)
}

/// Classifies a regular file. `head` is the beginning of its content, empty where it was not read; `mode`
/// is its permission bits.
pub(crate) fn classify_file(name: &[u8], head: &[u8], mode: u32) -> Classification {
    classify_content(name, head).or_else(|| classify_name(name)).unwrap_or(if mode & 0o111 != 0 {
        classify_as(Class::ProgramFile, "its execute permission")
    } else {
        classify_as(Class::DataFile, "default")
    })
}

fn classify_content(name: &[u8], head: &[u8]) -> Option<Classification> {
    if head.starts_with(b"\x7fELF") {
        // e_type, in the byte order of the file: 4 is ET_CORE (elf(5)).
        let kind = head.get(16..18).map_or(0, |t| t[0] | t[1]);
        return Some(if kind == 4 {
            classify_as(Class::DebugFile, "ELF core dump")
        } else {
            classify_as(Class::ProgramFile, "ELF header")
        });
    }
    if head.starts_with(b"#!") {
        return Some(classify_script(name, head, "its #! line"));
    }
    classify_key_text(head).or_else(|| classify_der(name, head))
}

/// Recognizes PEM and similar text formats at the beginning of the file, after blank or comment lines.
fn classify_key_text(head: &[u8]) -> Option<Classification> {
    const STARTS: [(&[u8], &str, Secrecy); 5] = [
        (b"PuTTY-User-Key-File-", "PuTTY private key", Secrecy::Private),
        (b"AGE-SECRET-KEY-", "age secret key", Secrecy::Private),
        (b"age-encryption.org/", "age ciphertext", Secrecy::Public),
        (b"Salted__", "openssl ciphertext", Secrecy::Public),
        (b"\xfe\xed\xfe\xed", "Java key store", Secrecy::Private),
    ];
    if let Some((_, by, secrecy)) = STARTS.iter().find(|(start, ..)| head.starts_with(start)) {
        return Some(Classification::key(by, *secrecy));
    }
    // `openssl x509 -text` and bundles put explanations before the first block; a program that only mentions
    // one, or a configuration that embeds one deep inside, is not a key file.
    let label = pem_label(first_block(head)?)?;
    match private_label(label) {
        Some(by) => Some(Classification::private_key(by)),
        None => Some(classify_as(Class::KeyFile, public_pem_kind(label)?)),
    }
}

/// Returns the text from the first `-----BEGIN `, if only explanatory text of a bundle precedes it.
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

fn public_pem_kind(label: &[u8]) -> Option<&'static str> {
    Some(match label {
        b"CERTIFICATE" | b"X509 CERTIFICATE" | b"TRUSTED CERTIFICATE" => "PEM certificate",
        b"X509 CRL" => "PEM revocation list",
        b"CERTIFICATE REQUEST" | b"NEW CERTIFICATE REQUEST" => "PEM certificate request",
        b"PUBLIC KEY" | b"RSA PUBLIC KEY" => "PEM public key",
        b"PKCS7" | b"CMS" => "PEM PKCS#7",
        b"PGP MESSAGE" | b"AGE ENCRYPTED FILE" => "ciphertext",
        _ => return None,
    })
}

/// Recognizes DER, which has no magic number, by its extension and its first byte.
fn classify_der(name: &[u8], head: &[u8]) -> Option<Classification> {
    const NAMES: [(&[u8], &str, Secrecy); 9] = [
        (b"p12", "PKCS#12 key store", Secrecy::Private),
        (b"pfx", "PKCS#12 key store", Secrecy::Private),
        (b"key", "DER key", Secrecy::Likely),
        (b"pk8", "DER private key", Secrecy::Private),
        (b"der", "DER certificate or key", Secrecy::Public),
        (b"crt", "DER certificate", Secrecy::Public),
        (b"cer", "DER certificate", Secrecy::Public),
        (b"crl", "DER revocation list", Secrecy::Public),
        (b"jks", "Java key store", Secrecy::Private),
    ];
    let extension = extension_of(name)?;
    let (_, by, secrecy) = NAMES.iter().find(|(end, ..)| extension.eq_ignore_ascii_case(end))?;
    head.starts_with(b"\x30").then_some(Classification::key(by, *secrecy))
}

fn classify_name(name: &[u8]) -> Option<Classification> {
    if let Some(log) = classify_log(name) {
        return Some(log);
    }
    if name == b"core" || name.strip_prefix(b"core.").is_some_and(is_digits) {
        return Some(classify_as(Class::DebugFile, "the name of a core dump"));
    }
    // Shared libraries with a version after the suffix.
    if memmem::find(name, b".so.").is_some() {
        return Some(classify_as(Class::ProgramFile, "its name (library)"));
    }
    let lower = extension_of(name)?.to_ascii_lowercase();
    Some(match &lower[..] {
        b"sh" | b"bash" | b"py" | b"pl" | b"rb" | b"lua" | b"tcl" => {
            classify_script(name, b"", "its name (script)")
        }
        b"so" | b"a" | b"pyc" | b"pyo" | b"jar" | b"ko" => {
            classify_as(Class::ProgramFile, "its name (library)")
        }
        b"conf" | b"cfg" | b"cnf" | b"ini" | b"toml" | b"yaml" | b"yml" | b"env" | b"properties"
        | b"service" | b"socket" | b"timer" => classify_as(Class::ConfigFile, "its name (configuration)"),
        b"key" | b"pem" | b"p12" | b"pfx" | b"jks" | b"crt" | b"cer" | b"crl" | b"der" | b"csr" => {
            classify_as(Class::KeyFile, "its name (key or certificate)")
        }
        b"dmp" | b"core" | b"dbg" | b"debug" => classify_as(Class::DebugFile, "its name (debug)"),
        _ => return None,
    })
}

/// `x.log` is being recorded; `x.log.1`, `x.log.gz`, `x.log-20260101` and `x.log.old` are archived.
fn classify_log(name: &[u8]) -> Option<Classification> {
    if name.ends_with(b".log") {
        return Some(classify_as(Class::LogRecording, "its name (log)"));
    }
    let at = memmem::rfind(name, b".log")?;
    let rest = &name[at + 4..];
    let rotated = matches!(rest.first(), Some(b'.' | b'-' | b'_'))
        && rest[1..].split(|b| b".-_".contains(b)).all(|part| {
            is_digits(part)
                || matches!(part, b"gz" | b"xz" | b"zst" | b"bz2" | b"zip" | b"old" | b"bak" | b"tar" | b"tgz")
                // A time such as 20260101T120000Z.
                || part.first().is_some_and(u8::is_ascii_digit) && part.iter().all(u8::is_ascii_alphanumeric)
        });
    rotated.then_some(classify_as(Class::LogArchived, "its name (rotated log)"))
}

fn classify_script(name: &[u8], head: &[u8], by: &'static str) -> Classification {
    let lower = name.to_ascii_lowercase();
    let named = [&b"encrypt"[..], b"decrypt", b"cipher"].iter().any(|w| memmem::find(&lower, w).is_some());
    let calls = [&b"openssl enc "[..], b"openssl pkeyutl", b"gpg --decrypt", b"gpg --encrypt"];
    if named {
        classify_as(Class::CryptoScript, "the name of an encryption script")
    } else if calls.iter().any(|w| memmem::find(head, w).is_some()) {
        classify_as(Class::CryptoScript, "a script that encrypts or decrypts")
    } else {
        classify_as(Class::ProgramFile, by)
    }
}

fn is_digits(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

fn extension_of(name: &[u8]) -> Option<&[u8]> {
    let dot = memchr::memrchr(b'.', name)?;
    (dot > 0 || name.len() > 1).then(|| &name[dot + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(name: &str, head: &[u8]) -> Class {
        classify_file(name.as_bytes(), head, 0o640).class
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
    fn a_mention_of_a_key_is_not_a_key() {
        assert_eq!(class("x.py", b"K = '-----BEGIN PRIVATE KEY-----'\n"), Class::ProgramFile);
        assert_eq!(class("notes", b"see -----BEGIN CERTIFICATE----- for\n"), Class::DataFile);
        assert_eq!(find_private_key(b"if text.startswith('-----BEGIN PRIVATE KEY-----'):\n"), None);
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
        assert_eq!(classify_file(b"tool", b"MZ", 0o755).class, Class::ProgramFile);
        assert_eq!(classify_file(b"trace", b"{", 0o644).class, Class::DataFile);
    }

    #[test]
    fn a_directory_is_what_most_of_its_files_are() {
        let census = |files: &[(&str, &[u8])]| {
            let mut c = DirectoryCensus::default();
            files.iter().for_each(|(n, h)| c.count_file(classify_file(n.as_bytes(), h, 0o600), n.as_bytes()));
            c.classify_directory(b"d", 0).class
        };
        assert_eq!(census(&[("a", b"#!x"), ("b", b"#!x"), ("c", b"")]), Class::ProgramDir);
        let key = b"-----BEGIN PRIVATE KEY-----";
        assert_eq!(census(&[("a", b""), ("k", key)]), Class::KeyDir);
        assert_eq!(census(&[("a", b""), ("b", b""), ("k", key)]), Class::DataDir);
        assert_eq!(census(&[("a", b""), ("b", b""), ("k", b"-----BEGIN CERTIFICATE-----")]), Class::DataDir);
        assert_eq!(census(&[]), Class::DataDir);
        assert_eq!(DirectoryCensus::default().classify_directory(b"/var/log", 0).class, Class::LogDir);
        assert_eq!(DirectoryCensus::default().classify_directory(b"/home/ann/.ssh", 0).class, Class::KeyDir);
    }
}
