//! Finds addresses in a line of text.
//!
//! URLs first, then words: a word that is an IP address, a mail address, or the name of a host. Code is full of
//! dotted words that are no hosts (`self.net`, `log.info`, `main.rs`), so a name counts by its top-level domain and
//! by what stands around it: a port, a quote, a key such as `server`, the path and tag of a container image.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use common::record::hostck::{AddressKind, AddressScope};
use memchr::memmem;

use super::context::{Said, said};
use super::domain::{self, Top};
use super::url::{LONGEST, url};
use super::{Address, Style, name_scope, scope};

/// The addresses in a line, in the order in which they stand.
pub(crate) fn scan(line: &[u8], style: Style) -> Vec<Address> {
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
        if let Some(url) = url(line, at, taken) {
            words(line, taken, url.at, style, &mut found);
            taken = url.at + url.len;
            found.push(url);
        }
    }
    words(line, taken, line.len(), style, &mut found);
    found
}

/// A word and where it stands.
#[derive(Clone, Copy)]
struct Word<'a> {
    text: &'a str,
    at: usize,
    line: &'a [u8],
    /// The bytes beside it.
    before: Option<u8>,
    after: Option<u8>,
    style: Style,
}

/// Looks at the words of a part of a line.
fn words(line: &[u8], from: usize, to: usize, style: Style, found: &mut Vec<Address>) {
    let part = |b: &u8| b.is_ascii_alphanumeric() || b".-_:@+%".contains(b) || *b >= 0x80;
    let mut at = from;
    while at < to {
        let Some(skip) = line[at..to].iter().position(part) else { return };
        let start = at + skip;
        let length = line[start..to].iter().position(|b| !part(b)).unwrap_or(to - start);
        at = start + length;
        let (before, after) = (start.checked_sub(1).map(|i| line[i]), line.get(at).copied());
        if let Ok(text) = std::str::from_utf8(&line[start..at]) {
            word_of(Word { text, at: start, line, before, after, style }, found);
        }
    }
}

fn word_of(word: Word<'_>, found: &mut Vec<Address>) {
    let text = word.text.trim_end_matches(['.', ':', '-']);
    // `8.8.4.4-8.8.4.8` is every address between.
    if let Some((a, b)) = text.split_once('-')
        && a.parse::<IpAddr>().is_ok()
        && b.parse::<IpAddr>().is_ok()
    {
        found.extend(one(Word { text: a, ..word }));
        found.extend(one(Word { text: b, at: word.at + a.len() + 1, ..word }));
        return;
    }
    found.extend(one(Word { text, ..word }));
}

fn one(word: Word<'_>) -> Option<Address> {
    let Word { text, at, .. } = word;
    // A path, a variable, a format: no host.
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
        let scope = scope(ip.into());
        return (scope != AddressScope::Reserved)
            .then(|| address(at, text, AddressKind::Ipv6, scope, ip.to_string()));
    }
    if let Some((local, domain)) = text.rsplit_once('@') {
        let domain = domain.split(':').next()?;
        let mail = !local.is_empty() && domain::is_name(domain) && domain::top(domain) > Top::File;
        return mail.then(|| address(at, text, AddressKind::Mail, name_scope(domain), domain.to_lowercase()));
    }
    let (name, port) = text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port)));
    if let Ok(ip) = name.parse::<Ipv4Addr>() {
        let version = said(&word.line[..at]) == Said::Version;
        return (!version).then(|| address(at, name, AddressKind::Ipv4, scope(ip.into()), ip.to_string()));
    }
    is_host(&word, name, port)
        .then(|| address(at, name, AddressKind::Host, name_scope(name), name.to_lowercase()))
}

fn address(at: usize, text: &str, kind: AddressKind, scope: AddressScope, host: String) -> Address {
    Address { at, len: text.len(), text: text.to_owned(), kind, scope, host }
}

fn is_host(word: &Word<'_>, name: &str, port: Option<&str>) -> bool {
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
    let top = domain::top(name);
    // Modules are imported `from`, and attributes are values, too: in code only what is quoted has a key.
    let keyed = word.style == Style::Configuration || matches!(word.before, Some(b'"' | b'\'' | b'`'));
    let said = if keyed { said(before) } else { Said::Nothing };
    if domain::is_registry(name) || keyed && image(word, port) && top > Top::File {
        return true;
    }
    let port = port.is_some_and(|p| p.parse::<u16>().is_ok_and(|p| p > 0));
    let quoted = matches!(word.before, Some(b'"' | b'\'' | b'`'));
    // `scp x host:/path`.
    let remote = word.line[word.at + name.len()..].starts_with(b":/");
    let host = remote || matches!(said, Said::Host | Said::Image);
    match top {
        Top::Sure => said != Said::Version,
        Top::Ambiguous if port || host || first.eq_ignore_ascii_case("www") => true,
        // What is followed by a path may be the name of an interface: `networking.k8s.io/v1`.
        Top::Ambiguous if word.after == Some(b'/') => false,
        Top::Ambiguous => quoted || name.split('.').count() >= 3 || word.style == Style::Configuration,
        Top::Rare => port || host || first.eq_ignore_ascii_case("www"),
        Top::File => (port || host) && name.split('.').count() >= 3,
        Top::None => false,
    }
}

/// `name =`, `name: `: a key is no host.
fn is_key(word: &Word<'_>) -> bool {
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
fn image(word: &Word<'_>, port: Option<&str>) -> bool {
    if word.after != Some(b'/') || port.is_some_and(|p| p.parse::<u16>().is_err()) {
        return false;
    }
    let rest = &word.line[(word.at + word.text.len()).min(word.line.len())..];
    let rest = &rest[..rest.len().min(LONGEST)];
    let path = rest.iter().position(|b| !(b.is_ascii_alphanumeric() || b"/._-:@".contains(b)));
    let path = &rest[..path.unwrap_or(rest.len())];
    let name = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
    let tag = name.iter().position(|b| b":@".contains(b)).map(|at| &name[at + 1..]);
    said(&word.line[..word.at]) == Said::Image
        || tag.is_some_and(|t| !t.is_empty() && t[0].is_ascii_alphanumeric())
}
