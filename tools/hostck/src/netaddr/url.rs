//! URLs: their extent in a line, and the host that they name.

use std::net::{Ipv4Addr, Ipv6Addr};

use common::record::hostck::{AddressKind, AddressScope};

use super::{LocatedAddress, domain, ip_scope, name_scope};

/// Longer URLs are cut here. Without an end, a line full of them would be read to its end for each.
pub(super) const LONGEST: usize = 4 << 10;

/// The URL whose `://`, `:\/\/` or `//` begins at `at`; its scheme does not reach before `from`.
pub(super) fn find_url(line: &[u8], at: usize, from: usize) -> Option<LocatedAddress> {
    let slashes = [&b"://"[..], br":\/\/", b"//"].into_iter().find(|s| line[at..].starts_with(s))?;
    let start = match slashes {
        b"//" => at,
        _ => at - scheme_length(&line[from..at])?,
    };
    let after = at + slashes.len();
    let rest = &line[after..line.len().min(after + LONGEST)];
    let rest = &rest[..url_length(rest)];
    let authority = rest.split(|b| b"/?#\\".contains(b)).next()?;
    let (login, authority) = match authority.iter().rposition(|&b| b == b'@') {
        Some(at) => (at + 1, &authority[at + 1..]),
        None => (0, authority),
    };
    let (host, scope) = parse_host(authority)?;
    // Without a scheme it is a URL only where it can be nothing else: in quotes or brackets, of a sure domain.
    if slashes == b"//" {
        let before = start.checked_sub(1).map(|i| line[i])?;
        if !b"\"'(=`".contains(&before)
            || !domain::is_name(&host)
            || domain::classify_domain(&host) < domain::DomainEvidence::Ambiguous
        {
            return None;
        }
    }
    // The report must not hold a password.
    let mut text = String::from_utf8_lossy(&line[start..after]).into_owned();
    if login > 0 {
        text.push_str("***@");
    }
    text.push_str(&String::from_utf8_lossy(&rest[login..]));
    Some(LocatedAddress {
        at: start,
        len: after + rest.len() - start,
        text,
        kind: AddressKind::Url,
        scope,
        host,
    })
}

/// The length of the scheme at the end; files have no host.
fn scheme_length(before: &[u8]) -> Option<usize> {
    let length = before.iter().rev().take_while(|b| b.is_ascii_alphanumeric() || b"+.-".contains(b)).count();
    let name = std::str::from_utf8(&before[before.len() - length..]).ok()?;
    let named = name.starts_with(|c: char| c.is_ascii_alphabetic()) && !name.eq_ignore_ascii_case("file");
    named.then_some(length)
}

/// The length of a URL: letters of all scripts belong to it, and punctuation at the end does not.
fn url_length(rest: &[u8]) -> usize {
    let valid = match std::str::from_utf8(rest) {
        Ok(text) => text,
        Err(e) => std::str::from_utf8(&rest[..e.valid_up_to()]).unwrap_or_default(),
    };
    let mut end = valid.len();
    let mut chars = valid.char_indices().peekable();
    while let Some((i, c)) = chars.next() {
        let escaped = c == '\\' && chars.peek().is_some_and(|(_, next)| *next == '/');
        let out =
            c <= ' ' || "\"'`<>|^{}\x7f".contains(c) || c == '\\' || (!c.is_ascii() && !c.is_alphanumeric());
        if out && !escaped {
            end = i;
            break;
        }
    }
    let text = &valid.as_bytes()[..end];
    match text.iter().rposition(|b| !b".,;:!?)]".contains(b)) {
        // A bracket of an IPv6 address stays.
        Some(last) if text.get(last + 1) == Some(&b']') && text.contains(&b'[') => last + 2,
        Some(last) => last + 1,
        None => 0,
    }
}

/// The host of `host`, `host:port`, `[v6]:port`.
fn parse_host(authority: &[u8]) -> Option<(String, AddressScope)> {
    let text = std::str::from_utf8(authority).ok()?;
    if let Some(rest) = text.strip_prefix('[') {
        let ip: Ipv6Addr = rest.split(['%', ']']).next()?.parse().ok()?;
        return Some((ip.to_string(), ip_scope(ip.into())));
    }
    let name = text.split(':').next()?.trim_end_matches('.');
    if let Some(ip) = parse_ipv4(name) {
        return Some((ip.to_string(), ip_scope(ip.into())));
    }
    let label = |l: &str| !l.is_empty() && l.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_');
    // `http://$HOST/` and `http://%s/` name none.
    name.split('.').all(label).then(|| (name.to_lowercase(), name_scope(name)))
}

/// An IPv4 address as programs take it in a URL: one to four parts, decimal, octal or hexadecimal.
fn parse_ipv4(text: &str) -> Option<Ipv4Addr> {
    let part = |p: &str| match p.strip_prefix("0x").or_else(|| p.strip_prefix("0X")) {
        Some(hex) if hex.bytes().all(|b| b.is_ascii_hexdigit()) => u32::from_str_radix(hex, 16).ok(),
        _ if !p.bytes().all(|b| b.is_ascii_digit()) => None,
        _ if p.len() > 1 && p.starts_with('0') => u32::from_str_radix(p, 8).ok(),
        _ => p.parse().ok(),
    };
    let parts = text.split('.').map(part).collect::<Option<Vec<u32>>>()?;
    let (last, first) = parts.split_last().filter(|(_, first)| first.len() < 4)?;
    let room = 8 * (4 - first.len() as u32);
    let small = first.iter().all(|p| *p < 256) && u64::from(*last) < 1 << room;
    let high = first.iter().fold(0_u64, |n, p| n << 8 | u64::from(*p)) << room;
    small.then(|| Ipv4Addr::from((high | u64::from(*last)) as u32))
}
