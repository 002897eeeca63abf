//! The addresses that are allowed: hosts, `*.domain`, networks, one per line.

use std::net::IpAddr;

/// An allow list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Allow {
    names: Vec<String>,
    domains: Vec<String>,
    networks: Vec<(IpAddr, u8)>,
}

impl Allow {
    /// Adds a line of a list; `#` begins a comment.
    pub(crate) fn add(&mut self, line: &str) -> Result<(), String> {
        let entry = line.split('#').next().unwrap_or("").trim();
        if entry.is_empty() {
            return Ok(());
        }
        if let Some((address, bits)) = entry.split_once('/') {
            let ip: IpAddr = address.parse().map_err(|_| format!("{entry:?} is no network"))?;
            let most = if ip.is_ipv4() { 32 } else { 128 };
            let bits =
                bits.parse().ok().filter(|b| *b <= most).ok_or_else(|| format!("{entry:?} is no network"))?;
            self.networks.push((ip, bits));
        } else if let Ok(ip) = entry.parse::<IpAddr>() {
            self.networks.push((ip, if ip.is_ipv4() { 32 } else { 128 }));
        } else if let Some(domain) = entry.strip_prefix("*.") {
            self.domains.push(format!(".{}", domain.to_ascii_lowercase()));
        } else {
            self.names.push(entry.to_ascii_lowercase());
        }
        Ok(())
    }

    pub(crate) fn admits(&self, host: &str) -> bool {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return self.networks.iter().any(|&(net, bits)| within(ip, net, bits));
        }
        let host = host.to_ascii_lowercase();
        self.names.contains(&host) || self.domains.iter().any(|d| host.ends_with(d.as_str()))
    }
}

fn within(ip: IpAddr, network: IpAddr, bits: u8) -> bool {
    let wide = |ip: IpAddr| match ip {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()) << 96, 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    };
    let ((a, width), (b, other)) = (wide(ip), wide(network));
    // A shift by all bits would overflow: a network of no bits holds everything.
    width == other && (bits == 0 || (a ^ b) >> (128 - u32::from(bits)) == 0)
}
