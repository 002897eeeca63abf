//! The addresses of daemons: host names and IP addresses, with ports.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use anyhow::{Context, bail};
use common::error::HintExt;

/// One daemon: a host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct DaemonAddress {
    /// A name or an address as given; an IPv6 address without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The address to connect to, where it is known; else those of the host are looked up.
    pub(crate) ip: Option<IpAddr>,
}

impl fmt::Display for DaemonAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(ip) = self.ip {
            write!(f, "{} ({})", self.host, std::net::SocketAddr::new(ip, self.port))
        } else if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl DaemonAddress {
    /// Parses `host`, `host:port`, `[v6]`, `[v6]:port` or a bare IPv6 address.
    ///
    /// # Errors
    /// The host is empty, too long or has a character that is not valid in a name or an address; or the port is invalid.
    pub(crate) fn parse(text: &str, default_port: u16) -> anyhow::Result<Self> {
        let (host, port) = split_host_port(text);
        let port = match port {
            None => default_port,
            Some(p) => p
                .parse()
                .ok()
                .filter(|p| *p != 0)
                .with_context(|| format!("{text}: invalid port: expected 1 to 65535"))?,
        };
        if host.is_empty() || host.len() > 255 {
            bail!("{text:?}: invalid host: empty, or longer than 255 bytes");
        }
        let plain = |c: char| c.is_alphanumeric() || "-._:%".contains(c);
        if !host.chars().all(plain) {
            bail!("{text:?}: invalid host: neither a host name nor an address");
        }
        Ok(Self { host: host.to_owned(), port, ip: None })
    }

    /// Whether the host is this machine: a loopback address, or a name reserved for it (RFC 6761, section 6.3).
    pub(crate) fn is_loopback(&self) -> bool {
        let name = self.host.trim_end_matches('.').to_ascii_lowercase();
        match name.parse::<IpAddr>() {
            Ok(ip) => ip.is_loopback(),
            Err(_) => name == "localhost" || name.ends_with(".localhost"),
        }
    }
}

/// Splits off the port, if there is one.
fn split_host_port(text: &str) -> (&str, Option<&str>) {
    if let Some((host, rest)) = text.strip_prefix('[').and_then(|t| t.split_once(']')) {
        return (host, rest.strip_prefix(':').or((!rest.is_empty()).then_some(rest)));
    }
    if text.parse::<Ipv6Addr>().is_ok() || text.matches(':').count() > 1 {
        return (text, None);
    }
    text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)))
}

/// Returns the daemons on these hosts, in the order given and without duplicates. `option` is what named them.
///
/// # Errors
/// There is none, or one is invalid.
pub(crate) fn parse_daemons(
    option: &'static str,
    hosts: &[String],
    port: u16,
) -> anyhow::Result<Vec<DaemonAddress>> {
    let mut found = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for host in hosts {
        let daemon = DaemonAddress::parse(host, port).context(option)?;
        if seen.insert(daemon.clone()) {
            found.push(daemon);
        }
    }
    if found.is_empty() {
        return Err(anyhow::anyhow!("{option}: the list is empty"))
            .hint("separate hosts by commas, or give a file as `@FILE`");
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (String, u16) {
        let t = DaemonAddress::parse(text, 1778).unwrap();
        (t.host, t.port)
    }

    #[test]
    fn hosts_come_with_and_without_ports() {
        assert_eq!(parsed("node1"), ("node1".into(), 1778));
        assert_eq!(parsed("node1:99"), ("node1".into(), 99));
        assert_eq!(parsed("::1"), ("::1".into(), 1778));
        assert_eq!(parsed("[::1]"), ("::1".into(), 1778));
        assert_eq!(parsed("[fe80::1%eth0]:5"), ("fe80::1%eth0".into(), 5));
        assert_eq!(DaemonAddress::parse("[::1]:5", 1).unwrap().to_string(), "[::1]:5");
    }

    #[test]
    fn invalid_hosts_are_rejected() {
        for bad in ["", ":5", "a:b", "a:0", "a:70000", "a b", "a\nb", "http://x", "a/b", "[::1]x"] {
            assert!(DaemonAddress::parse(bad, 1778).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn loopback_is_recognized_by_name_and_address() {
        for (host, yes) in [
            ("localhost", true),
            ("LOCALHOST.", true),
            ("127.0.0.9", true),
            ("::1", true),
            ("node1", false),
            ("192.0.2.1", false),
            ("localhost.evil.example", false),
        ] {
            assert_eq!(DaemonAddress::parse(host, 1).unwrap().is_loopback(), yes, "{host}");
        }
    }

    #[test]
    fn lists_come_from_the_command_line_and_from_files() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("hosts");
        std::fs::write(&file, "# rack 1\nnode3 node4:9\n\nnode1, node5 # spare\n").unwrap();
        let lists = [format!("node1,node2,@{}", file.display()), "node6".into()];
        let hosts = crate::host_list::expand_host_lists(&lists).unwrap();
        let found: Vec<_> =
            parse_daemons("--hosts", &hosts, 7).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(found, ["node1:7", "node2:7", "node3:7", "node4:9", "node5:7", "node6:7"]);
    }

    #[test]
    fn empty_and_unreadable_lists_are_errors() {
        assert_eq!(
            format!("{:#}", parse_daemons("--hosts", &[], 7).unwrap_err()),
            "--hosts: the list is empty"
        );
        let e = crate::host_list::expand_host_lists(&["@/nonexistent/hosts".into()]).unwrap_err();
        assert!(format!("{e:#}").starts_with("--hosts: /nonexistent/hosts: "), "{e:#}");
    }
}
