//! The addresses that are allowed: hosts, `*.domain`, addresses, networks and ranges, one per line.

use std::net::IpAddr;

use super::domain;

/// An allow list.
#[derive(Clone, Debug, Default)]
pub(crate) struct AllowList {
    names: Vec<String>,
    /// Each with the dot before it.
    domains: Vec<String>,
    /// The first and the last address, of one family.
    ranges: Vec<(IpAddr, IpAddr)>,
}

impl AllowList {
    /// Adds a line of a list; `#` begins a comment.
    pub(crate) fn add_line(&mut self, line: &str) -> Result<(), String> {
        let entry = line.split('#').next().unwrap_or("").trim();
        if entry.is_empty() {
            return Ok(());
        }
        if let Some((_, rest)) = entry.split_once("://") {
            let host = rest.split(['/', '?']).next().unwrap_or_default();
            let host = host.rsplit('@').next().unwrap_or(host);
            return Err(format!("URLs are not supported: list the host {host:?}"));
        }
        if let Some(range) = parse_range(entry) {
            self.ranges.push(range);
            return Ok(());
        }
        let name = entry.trim_end_matches('.').to_lowercase();
        // No top-level domain is a number: it is a broken address.
        let number = name.rsplit('.').next().is_some_and(|l| l.bytes().all(|b| b.is_ascii_digit()));
        if let Some(domain) = name.strip_prefix("*.").or_else(|| name.strip_prefix('.')) {
            if !number && (domain::is_name(domain) || is_label(domain)) {
                self.domains.push(format!(".{domain}"));
                return Ok(());
            }
        } else if !number && (domain::is_name(&name) || is_label(&name)) {
            self.names.push(name);
            return Ok(());
        }
        Err(format!(
            "invalid entry {entry:?}: expected a host, *.domain, address, network such as 8.8.8.0/24, or range such as 8.8.8.1-8.8.8.9"
        ))
    }

    pub(crate) fn contains_host(&self, host: &str) -> bool {
        if let Ok(ip) = host.parse::<IpAddr>() {
            // Addresses of different families compare by family.
            return self.ranges.iter().any(|(a, z)| ip.is_ipv4() == a.is_ipv4() && (*a..=*z).contains(&ip));
        }
        let host = host.to_lowercase();
        self.names.contains(&host) || self.domains.iter().any(|d| host.ends_with(d.as_str()))
    }
}

/// A name without a dot.
fn is_label(name: &str) -> bool {
    domain::is_name(&format!("{name}.x")) && !name.contains('.')
}

/// `1.2.3.4`, `1.2.3.0/24`, `1.2.3.4-1.2.3.9`.
fn parse_range(entry: &str) -> Option<(IpAddr, IpAddr)> {
    if let Some((first, last)) = entry.split_once('-') {
        let (first, last) = (first.trim().parse::<IpAddr>().ok()?, last.trim().parse::<IpAddr>().ok()?);
        return (first.is_ipv4() == last.is_ipv4() && first <= last).then_some((first, last));
    }
    let (address, bits) = entry.split_once('/').map_or((entry, None), |(a, b)| (a, Some(b)));
    let ip: IpAddr = address.parse().ok()?;
    let width = if ip.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Some(width), |b| b.parse().ok()).filter(|b: &u32| *b <= width)?;
    // All ones below the network's bits; a shift by all of them would overflow.
    let host = u128::MAX.checked_shr(128 - width + bits).unwrap_or(0);
    Some(match ip {
        IpAddr::V4(v4) => {
            let (net, host) = (v4.to_bits(), host as u32);
            (IpAddr::V4((net & !host).into()), IpAddr::V4((net | host).into()))
        }
        IpAddr::V6(v6) => {
            let net = v6.to_bits();
            (IpAddr::V6((net & !host).into()), IpAddr::V6((net | host).into()))
        }
    })
}
