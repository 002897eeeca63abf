//! Which daemons to ask: host names, addresses and lists of them, taken apart and made unique.

use std::fmt;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

use anyhow::{Context, bail};
use common::error::HintExt;

/// More hosts than any cluster has; a list beyond it is a mistake.
const MAX_HOSTS: usize = 100_000;
/// The largest list of hosts that is read, bytes.
const MAX_LIST: u64 = 16 << 20;

/// One daemon: a host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    /// A name or an address, as it was given; an IPv6 address without its brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Target {
    /// Takes `host`, `host:port`, `[v6]`, `[v6]:port` or a bare IPv6 address.
    ///
    /// # Errors
    /// The host is empty or has characters that no name or address has, or the port is not a port.
    pub(crate) fn parse(text: &str, default_port: u16) -> anyhow::Result<Self> {
        let (host, port) = split(text);
        let port = match port {
            None => default_port,
            Some(p) => p
                .parse()
                .ok()
                .filter(|p| *p != 0)
                .with_context(|| format!("{text}: port is not 1 to 65535"))?,
        };
        if host.is_empty() || host.len() > 255 {
            bail!("{text:?}: host name is empty or longer than 255 bytes");
        }
        let plain = |c: char| c.is_alphanumeric() || "-._:%".contains(c);
        if !host.chars().all(plain) {
            bail!("{text:?}: not a host name or an address");
        }
        Ok(Self { host: host.to_owned(), port })
    }

    /// Whether the name can only mean this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        let name = self.host.trim_end_matches('.').to_ascii_lowercase();
        match name.parse::<IpAddr>() {
            Ok(ip) => ip.is_loopback(),
            Err(_) => name == "localhost" || name.ends_with(".localhost"),
        }
    }
}

/// Host and port as text, where there is a port.
fn split(text: &str) -> (&str, Option<&str>) {
    if let Some((host, rest)) = text.strip_prefix('[').and_then(|t| t.split_once(']')) {
        return (host, rest.strip_prefix(':').or((!rest.is_empty()).then_some(rest)));
    }
    if text.parse::<Ipv6Addr>().is_ok() || text.matches(':').count() > 1 {
        return (text, None);
    }
    text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)))
}

/// The daemons of `--hosts`, or else the one of `--hostname`: each once, in the order given.
///
/// # Errors
/// A list cannot be read, is empty or too long, or has an entry that is not a host.
pub(crate) fn targets(hostname: &str, hosts: &[String], port: u16) -> anyhow::Result<Vec<Target>> {
    if hosts.is_empty() {
        return Ok(vec![Target::parse(hostname, port).context("--hostname")?]);
    }
    let mut found = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for word in words(hosts)? {
        let target = Target::parse(&word, port).context("--hosts")?;
        if seen.insert(target.clone()) {
            found.push(target);
        }
        if found.len() > MAX_HOSTS {
            bail!("--hosts: more than {MAX_HOSTS} hosts");
        }
    }
    if found.is_empty() {
        return Err(anyhow::anyhow!("--hosts: no host in the list"))
            .hint("separate hosts by commas, or name a file with `@FILE`");
    }
    Ok(found)
}

/// Every host of every list: items between commas, `@FILE` for the words of a file.
fn words(lists: &[String]) -> anyhow::Result<Vec<String>> {
    let mut words = Vec::new();
    for item in lists.iter().flat_map(|l| l.split(',')).map(str::trim).filter(|i| !i.is_empty()) {
        match item.strip_prefix('@') {
            None => words.push(item.to_owned()),
            Some(file) => words.extend(words_of(&read(file).with_context(|| format!("--hosts: {file}"))?)),
        }
    }
    Ok(words)
}

/// The words of a list file: by line, space or comma; `#` starts a comment.
fn words_of(text: &str) -> Vec<String> {
    let line = |l: &str| l.split('#').next().unwrap_or_default().to_owned();
    let words = text.lines().map(line).collect::<Vec<_>>().join("\n");
    words.split([',', '\n', ' ', '\t', '\r']).filter(|w| !w.is_empty()).map(str::to_owned).collect()
}

fn read(file: &str) -> anyhow::Result<String> {
    let reader: Box<dyn Read> = match file {
        "-" => Box::new(io::stdin().lock()),
        path => Box::new(std::fs::File::open(Path::new(path))?),
    };
    let bytes = common::fsat::read_bounded(reader, MAX_LIST)?;
    String::from_utf8(bytes).map_err(|_| anyhow::anyhow!("is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (String, u16) {
        let t = Target::parse(text, 1778).unwrap();
        (t.host, t.port)
    }

    #[test]
    fn hosts_come_with_and_without_ports() {
        assert_eq!(parsed("node1"), ("node1".into(), 1778));
        assert_eq!(parsed("node1:99"), ("node1".into(), 99));
        assert_eq!(parsed("::1"), ("::1".into(), 1778));
        assert_eq!(parsed("[::1]"), ("::1".into(), 1778));
        assert_eq!(parsed("[fe80::1%eth0]:5"), ("fe80::1%eth0".into(), 5));
        assert_eq!(Target::parse("[::1]:5", 1).unwrap().to_string(), "[::1]:5");
    }

    #[test]
    fn what_is_not_a_host_is_refused() {
        for bad in ["", ":5", "a:b", "a:0", "a:70000", "a b", "a\nb", "http://x", "a/b", "[::1]x"] {
            assert!(Target::parse(bad, 1778).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn loopback_is_told_by_name_and_address() {
        for (host, yes) in [
            ("localhost", true),
            ("LOCALHOST.", true),
            ("127.0.0.9", true),
            ("::1", true),
            ("node1", false),
            ("192.0.2.1", false),
            ("localhost.evil.example", false),
        ] {
            assert_eq!(Target::parse(host, 1).unwrap().is_loopback(), yes, "{host}");
        }
    }

    #[test]
    fn lists_come_from_the_command_line_and_from_files() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("hosts");
        std::fs::write(&file, "# rack 1\nnode3 node4:9\n\nnode1, node5 # spare\n").unwrap();
        let lists = [format!("node1,node2,@{}", file.display()), "node6".into()];
        let found: Vec<_> = targets("unused", &lists, 7).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(found, ["node1:7", "node2:7", "node3:7", "node4:9", "node5:7", "node6:7"]);
    }

    #[test]
    fn empty_and_unreadable_lists_are_errors() {
        assert_eq!(
            format!("{:#}", targets("x", &[",".into()], 7).unwrap_err()),
            "--hosts: no host in the list"
        );
        let e = targets("x", &["@/nonexistent/hosts".into()], 7).unwrap_err();
        assert!(format!("{e:#}").starts_with("--hosts: /nonexistent/hosts: "), "{e:#}");
    }
}
