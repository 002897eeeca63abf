//! Finds addresses in a line of text.
//!
//! URLs first, then words: a word that is an IP address, a mail address, or the name of a host. Code is full of
//! dotted words that are not hosts (`self.net`, `log.info`, `main.rs`), so a name counts by its top-level domain and
//! by its context: a port, a quote, a key such as `server`, the path and tag of a container image.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use common::record::hostck::{AddressKind, AddressScope};
use memchr::memmem;

use super::context::{WordContext, context_before};
use super::domain::{self, DomainEvidence};
use super::url::{LONGEST, find_url};
use super::{LocatedAddress, TextStyle, ip_scope, name_scope};

/// The addresses in a line, in the order in which they stand.
pub(crate) fn scan_line(line: &[u8], style: TextStyle) -> Vec<LocatedAddress> {
    let mut found = Vec::new();
    let mut taken = 0;
    // Both `//` and `\/\/` hold this.
    for slash in memmem::find_iter(line, b"/") {
        let escaped = line[..slash].ends_with(b"\\") && line[slash..].starts_with(br"/\/");
        let plain = line[slash..].starts_with(b"//");
        // Three slashes and more name no host.
        if slash < taken || !(plain || escaped) || line[slash..].starts_with(b"///") {
            continue;
        }
        let at = if escaped { slash - 1 } else { slash };
        let at = if line[..at].ends_with(b":") { at - 1 } else { at };
        if at < taken || (escaped && line[at] != b':') {
            continue;
        }
        if let Some(url) = find_url(line, at, taken) {
            scan_words(line, taken, url.at, style, &mut found);
            taken = url.at + url.len;
            found.push(url);
        }
    }
    scan_words(line, taken, line.len(), style, &mut found);
    found
}

/// A word and where it stands.
#[derive(Clone, Copy)]
struct LineWord<'a> {
    text: &'a str,
    at: usize,
    line: &'a [u8],
    /// The bytes beside it.
    before: Option<u8>,
    after: Option<u8>,
    style: TextStyle,
}

/// Looks at the words of a part of a line.
fn scan_words(line: &[u8], from: usize, to: usize, style: TextStyle, found: &mut Vec<LocatedAddress>) {
    let part = |b: &u8| b.is_ascii_alphanumeric() || b".-_:@+%".contains(b) || *b >= 0x80;
    let mut at = from;
    while at < to {
        let Some(skip) = line[at..to].iter().position(part) else { return };
        let start = at + skip;
        let length = line[start..to].iter().position(|b| !part(b)).unwrap_or(to - start);
        at = start + length;
        let (before, after) = (start.checked_sub(1).map(|i| line[i]), line.get(at).copied());
        if let Ok(text) = std::str::from_utf8(&line[start..at]) {
            scan_word(LineWord { text, at: start, line, before, after, style }, found);
        }
    }
}

fn scan_word(word: LineWord<'_>, found: &mut Vec<LocatedAddress>) {
    let text = word.text.trim_end_matches(['.', ':', '-']);
    // `8.8.4.4-8.8.4.8` is every address between.
    if let Some((a, b)) = text.split_once('-') {
        if a.parse::<IpAddr>().is_ok() && b.parse::<IpAddr>().is_ok() {
            found.extend(parse_word(LineWord { text: a, ..word }));
            found.extend(parse_word(LineWord { text: b, at: word.at + a.len() + 1, ..word }));
            return;
        }
    }
    found.extend(parse_word(LineWord { text, ..word }));
}

fn parse_word(word: LineWord<'_>) -> Option<LocatedAddress> {
    let LineWord { text, at, .. } = word;
    // A path, a variable or a format is not a host.
    if matches!(word.before, Some(b'/' | b'$' | b'\\' | b'.'))
        && !text.contains('@')
        && text.parse::<IpAddr>().is_err()
    {
        return None;
    }
    if text.matches(':').count() >= 2 && !text.contains('@') {
        let text = text.split('%').next()?;
        let ip: Ipv6Addr = text.parse().ok()?;
        // `a::b` is C++ and Rust, and in no range that is in use.
        let scope = ip_scope(ip.into());
        return (scope != AddressScope::Reserved)
            .then(|| new_address(at, text, AddressKind::Ipv6, scope, ip.to_string()));
    }
    if let Some((local, domain)) = text.rsplit_once('@') {
        let domain = domain.split(':').next()?;
        let mail = !local.is_empty()
            && domain::is_name(domain)
            && domain::classify_domain(domain) > DomainEvidence::File;
        return mail
            .then(|| new_address(at, text, AddressKind::Mail, name_scope(domain), domain.to_lowercase()));
    }
    let (name, port) = text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port)));
    if let Ok(ip) = name.parse::<Ipv4Addr>() {
        let version = context_before(&word.line[..at]) == WordContext::Version;
        return (!version)
            .then(|| new_address(at, name, AddressKind::Ipv4, ip_scope(ip.into()), ip.to_string()));
    }
    is_host(&word, name, port)
        .then(|| new_address(at, name, AddressKind::Host, name_scope(name), name.to_lowercase()))
}

fn new_address(
    at: usize,
    text: &str,
    kind: AddressKind,
    scope: AddressScope,
    host: String,
) -> LocatedAddress {
    LocatedAddress { at, len: text.len(), text: text.to_owned(), kind, scope, host }
}

fn is_host(word: &LineWord<'_>, name: &str, port: Option<&str>) -> bool {
    // Attributes of objects look like names of three labels, too, but their objects are called so.
    let first = name.split('.').next().unwrap_or_default();
    let object = matches!(
        first,
        "self"
            | "this"
            | "cls"
            | "super"
            | "args"
            | "ctx"
            | "model"
            | "torch"
            | "np"
            | "os"
            | "sys"
            | "window"
            | "event"
    );
    let called = matches!(word.after, Some(b'(' | b'['));
    if !domain::is_name(name) || object || called || is_key(word) {
        return false;
    }
    let before = &word.line[..word.at];
    let top = domain::classify_domain(name);
    // Modules are imported `from`, and attributes are values, too: in code only quoted words have a key.
    let keyed = word.style == TextStyle::Configuration || matches!(word.before, Some(b'"' | b'\'' | b'`'));
    let said = if keyed { context_before(before) } else { WordContext::Nothing };
    if domain::is_registry(name) || keyed && is_image(word, port) && top > DomainEvidence::File {
        return true;
    }
    let port = port.is_some_and(|p| p.parse::<u16>().is_ok_and(|p| p > 0));
    let quoted = matches!(word.before, Some(b'"' | b'\'' | b'`'));
    // `scp x host:/path`.
    let remote = word.line[word.at + name.len()..].starts_with(b":/");
    let host = remote || matches!(said, WordContext::Host | WordContext::Image);
    match top {
        DomainEvidence::Sure => said != WordContext::Version,
        DomainEvidence::Ambiguous if port || host || first.eq_ignore_ascii_case("www") => true,
        // A name followed by a path may be an API group: `networking.k8s.io/v1`.
        DomainEvidence::Ambiguous if word.after == Some(b'/') => false,
        DomainEvidence::Ambiguous => {
            quoted || name.split('.').count() >= 3 || word.style == TextStyle::Configuration
        }
        DomainEvidence::Rare => port || host || first.eq_ignore_ascii_case("www"),
        DomainEvidence::File => (port || host) && name.split('.').count() >= 3,
        DomainEvidence::None => false,
    }
}

/// `name =`, `name: `: a key is not a host.
fn is_key(word: &LineWord<'_>) -> bool {
    let rest = &word.line[word.at + word.text.trim_end_matches(':').len()..];
    let rest = rest.trim_ascii_start();
    match rest {
        [b'=', b'=', ..] => false,
        [b'=', ..] => true,
        [b':', next, ..] => next.is_ascii_whitespace(),
        [b':'] => true,
        _ => false,
    }
}

/// The rest of a container image: a path that ends with a tag or digest.
fn is_image(word: &LineWord<'_>, port: Option<&str>) -> bool {
    if word.after != Some(b'/') || port.is_some_and(|p| p.parse::<u16>().is_err()) {
        return false;
    }
    let rest = &word.line[(word.at + word.text.len()).min(word.line.len())..];
    let rest = &rest[..rest.len().min(LONGEST)];
    let path = rest.iter().position(|b| !(b.is_ascii_alphanumeric() || b"/._-:@".contains(b)));
    let path = &rest[..path.unwrap_or(rest.len())];
    let name = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
    let tag = name.iter().position(|b| b":@".contains(b)).map(|at| &name[at + 1..]);
    context_before(&word.line[..word.at]) == WordContext::Image
        || tag.is_some_and(|t| !t.is_empty() && t[0].is_ascii_alphanumeric())
}
