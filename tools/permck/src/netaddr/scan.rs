//! Finds addresses in a line of text.
//!
//! URLs first, then words: a word that is an IP address, a mail address, or a name under a well-known top-level
//! domain. Code is full of dotted words that are no hosts (`self.net`, `log.info`), so names count only under
//! domains that are rarely attributes, or in quotes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use common::record::permck::{AddressKind, AddressScope};
use memchr::memmem;

use super::{Address, name_scope, scope};

/// Top-level domains that count wherever they stand.
const DOMAINS: [&str; 22] = [
    "com", "org", "edu", "gov", "mil", "cn", "ru", "de", "uk", "jp", "kr", "fr", "eu", "biz", "cloud",
    "tech", "ai", "hk", "tw", "sg", "ca", "au",
];

/// Top-level domains that are as often attributes in code: they count in quotes, or with three labels.
const AMBIGUOUS: [&str; 8] = ["net", "io", "dev", "app", "info", "me", "us", "in"];

/// The addresses in a line, in the order in which they stand.
pub(crate) fn scan(line: &[u8]) -> Vec<Address> {
    let mut found = Vec::new();
    let mut taken = 0;
    for at in memmem::find_iter(line, b"://") {
        if at < taken {
            continue;
        }
        if let Some(url) = url(line, at, taken) {
            words(line, taken, url.at, &mut found);
            taken = url.at + url.text.len();
            found.push(url);
        }
    }
    words(line, taken, line.len(), &mut found);
    found
}

fn url(line: &[u8], at: usize, from: usize) -> Option<Address> {
    let scheme =
        line[from..at].iter().rev().take_while(|b| b.is_ascii_alphanumeric() || b"+.-".contains(b)).count();
    let start = at - scheme;
    let name = std::str::from_utf8(&line[start..at]).ok()?;
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) || name.eq_ignore_ascii_case("file") {
        return None;
    }
    let rest = &line[at + 3..];
    let end = rest.iter().position(|&b| b <= b' ' || b"\"'`<>|\\^{}".contains(&b) || b >= 0x7f);
    let rest = &rest[..end.unwrap_or(rest.len())];
    // Punctuation at the end belongs to the sentence.
    let rest = rest.trim_ascii_end();
    let rest = match rest.iter().rposition(|b| !b".,;:!?)]".contains(b)) {
        // A bracket of an IPv6 address stays.
        Some(last) if rest.get(last + 1) == Some(&b']') && rest.contains(&b'[') => &rest[..last + 2],
        Some(last) => &rest[..=last],
        None => return None,
    };
    let authority = rest.split(|b| b"/?#".contains(b)).next()?;
    let authority = authority.rsplit(|&b| b == b'@').next()?;
    let (host, scope) = host(authority)?;
    let text = String::from_utf8_lossy(&line[start..at + 3 + rest.len()]).into_owned();
    Some(Address { at: start, text, kind: AddressKind::Url, scope, host })
}

/// The host of `host`, `host:port`, `[v6]:port`.
fn host(authority: &[u8]) -> Option<(String, AddressScope)> {
    let text = std::str::from_utf8(authority).ok()?;
    if let Some(rest) = text.strip_prefix('[') {
        let ip: Ipv6Addr = rest.split(']').next()?.parse().ok()?;
        return Some((ip.to_string(), scope(ip.into())));
    }
    let name = text.split(':').next()?;
    if let Ok(ip) = name.parse::<Ipv4Addr>() {
        return Some((ip.to_string(), scope(ip.into())));
    }
    let label =
        |l: &str| !l.is_empty() && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let plain = name.trim_end_matches('.');
    // `http://$HOST/` and `http://%s/` name none.
    (plain.split('.').all(label)).then(|| (plain.to_ascii_lowercase(), name_scope(plain)))
}

/// Looks at the words of a part of a line.
fn words(line: &[u8], from: usize, to: usize, found: &mut Vec<Address>) {
    let part = |b: &u8| b.is_ascii_alphanumeric() || b".-_:@+%".contains(b);
    let mut at = from;
    while at < to {
        let Some(skip) = line[at..to].iter().position(part) else { return };
        let start = at + skip;
        let length = line[start..to].iter().position(|b| !part(b)).unwrap_or(to - start);
        at = start + length;
        let before = start.checked_sub(1).map(|i| line[i]);
        let after = line.get(at).copied();
        if let Ok(word) = std::str::from_utf8(&line[start..at])
            && let Some(address) = word_of(word, start, before, after)
        {
            found.push(address);
        }
    }
}

fn word_of(word: &str, at: usize, before: Option<u8>, after: Option<u8>) -> Option<Address> {
    let word = word.trim_end_matches(['.', ':', '-']);
    // A path, a variable, a format: no host.
    if matches!(before, Some(b'/' | b'$' | b'\\' | b'.'))
        && !word.contains('@')
        && word.parse::<IpAddr>().is_err()
    {
        return None;
    }
    if word.matches(':').count() >= 2 {
        let text = word.split('%').next()?;
        let ip: Ipv6Addr = text.parse().ok()?;
        // `a::b` is C++ and Rust, and in no range that is in use.
        let scope = scope(ip.into());
        return (scope != AddressScope::Reserved)
            .then(|| address(at, text, AddressKind::Ipv6, scope, ip.to_string()));
    }
    if let Some((local, domain)) = word.rsplit_once('@') {
        let domain = domain.split(':').next()?;
        let mail = !local.is_empty() && domain.contains('.') && known(domain);
        return mail
            .then(|| address(at, word, AddressKind::Mail, name_scope(domain), domain.to_ascii_lowercase()));
    }
    let name = word.split(':').next()?;
    if let Ok(ip) = name.parse::<Ipv4Addr>() {
        // `==1.2.3.4` and `>=1.2.3.4` are versions.
        let version = matches!(before, Some(b'='))
            && after.is_none_or(|b| b == b',' || b == b';')
            && ip.octets()[0] < 10;
        return (!version).then(|| address(at, name, AddressKind::Ipv4, scope(ip.into()), ip.to_string()));
    }
    let quoted = matches!(before, Some(b'"' | b'\'' | b'`'));
    let called = matches!(after, Some(b'(' | b'[' | b'='));
    (!called && is_host(name, quoted))
        .then(|| address(at, name, AddressKind::Host, name_scope(name), name.to_ascii_lowercase()))
}

fn address(at: usize, text: &str, kind: AddressKind, scope: AddressScope, host: String) -> Address {
    Address { at, text: text.to_owned(), kind, scope, host }
}

fn known(domain: &str) -> bool {
    let Some((rest, top)) = domain.rsplit_once('.') else { return false };
    let top = top.to_ascii_lowercase();
    !rest.is_empty() && (DOMAINS.contains(&top.as_str()) || AMBIGUOUS.contains(&top.as_str()))
}

fn is_host(name: &str, quoted: bool) -> bool {
    let labels: Vec<&str> = name.split('.').collect();
    let label = |l: &&str| {
        !l.is_empty()
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    let Some(top) = labels.last().map(|t| t.to_ascii_lowercase()) else { return false };
    // Attributes of objects look like names of three labels, too, but their objects are called so.
    let object = matches!(labels[0], "self" | "this" | "cls" | "super" | "args" | "ctx" | "model" | "torch");
    labels.len() >= 2
        && labels.iter().all(label)
        && !object
        && (DOMAINS.contains(&top.as_str())
            || (AMBIGUOUS.contains(&top.as_str()) && (quoted || labels[0].eq_ignore_ascii_case("www"))))
}
