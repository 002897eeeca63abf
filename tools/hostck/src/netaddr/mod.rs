//! Network addresses in text: finds them and separates public addresses from private, loopback and example ones.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use common::record::hostck::{AddressKind, AddressScope};

pub(crate) mod allow;
mod context;
mod domain;
mod scan;
mod url;

pub(crate) use scan::scan_line;

/// The meaning of dotted words in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextStyle {
    /// Attributes, mostly.
    Code,
    Configuration,
}

impl TextStyle {
    /// The style by the suffix of a file's name; shells have no attributes.
    pub(crate) fn from_name(name: &[u8]) -> Self {
        const CODE: [&[u8]; 18] = [
            b"py", b"js", b"mjs", b"ts", b"rb", b"lua", b"pl", b"c", b"h", b"cc", b"cpp", b"hpp", b"rs",
            b"go", b"java", b"cu", b"cs", b"swift",
        ];
        let extension = name.rsplit(|&b| b == b'.').next().unwrap_or_default();
        if CODE.contains(&extension) { Self::Code } else { Self::Configuration }
    }
}

/// Whether a file is configuration by a name that no class of the policy table has, such as `Dockerfile`.
pub(crate) fn is_configuration(name: &[u8]) -> bool {
    let is = |n: &&str| name == n.as_bytes();
    let ends = |e: &&str| name.ends_with(e.as_bytes());
    CONFIGURATION_NAMES.iter().any(is)
        || name.starts_with(b"Dockerfile.")
        || CONFIGURATION_SUFFIXES.iter().any(ends)
}

/// Whole names of such files.
pub(crate) const CONFIGURATION_NAMES: [&str; 18] = [
    "Dockerfile",
    "Containerfile",
    "Makefile",
    "CMakeLists.txt",
    ".npmrc",
    ".pypirc",
    ".gitmodules",
    ".netrc",
    "hosts",
    "Jenkinsfile",
    "crontab",
    "requirements.txt",
    "constraints.txt",
    "config",
    "ssh_config",
    "sshd_config",
    "known_hosts",
    "fstab",
];

/// Ends of such names.
pub(crate) const CONFIGURATION_SUFFIXES: [&str; 17] = [
    ".json",
    ".jsonc",
    ".json5",
    ".xml",
    ".dockerfile",
    ".list",
    ".repo",
    ".sources",
    ".tf",
    ".hcl",
    ".j2",
    ".tmpl",
    ".js",
    ".mjs",
    ".ts",
    ".mount",
    ".ipynb",
];

/// An address in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LocatedAddress {
    /// Byte in the line where it begins, from 0.
    pub(crate) at: usize,
    /// Its length there.
    pub(crate) len: usize,
    /// As it is written, but for a login in a URL.
    pub(crate) text: String,
    pub(crate) kind: AddressKind,
    pub(crate) scope: AddressScope,
    /// The host in it, which allow lists are compared with.
    pub(crate) host: String,
}

/// The scope of an IP address, by IANA's special-purpose address registries (RFC 6890).
pub(crate) fn ip_scope(ip: IpAddr) -> AddressScope {
    match ip {
        IpAddr::V4(v4) => ipv4_scope(v4),
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or_else(|| ipv6_scope(v6), ipv4_scope),
    }
}

fn ipv4_scope(ip: Ipv4Addr) -> AddressScope {
    let [a, b, ..] = ip.octets();
    match (a, b) {
        (127, _) => AddressScope::Loopback,
        (0, _) | (240.., _) => AddressScope::Reserved,
        (169, 254) => AddressScope::LinkLocal,
        (224..=239, _) => AddressScope::Multicast,
        // Shared address space of carrier-grade NAT (RFC 6598) and benchmarks (RFC 2544).
        (100, 64..=127) | (198, 18..=19) => AddressScope::Private,
        _ if ip.is_private() => AddressScope::Private,
        _ if ip.is_documentation() => AddressScope::Documentation,
        _ => AddressScope::Public,
    }
}

fn ipv6_scope(ip: Ipv6Addr) -> AddressScope {
    let [first, second, ..] = ip.segments();
    match (first, second) {
        _ if ip.is_loopback() => AddressScope::Loopback,
        _ if ip.is_unspecified() => AddressScope::Reserved,
        (0x2001, 0x0db8) | (0x3fff, 0x0000..=0x0fff) => AddressScope::Documentation,
        (0xfc00..=0xfdff, _) => AddressScope::Private,
        (0xfe80..=0xfebf, _) => AddressScope::LinkLocal,
        (0xff00..=0xffff, _) => AddressScope::Multicast,
        (0x2000..=0x3fff, _) => AddressScope::Public,
        _ => AddressScope::Reserved,
    }
}

/// The scope of a host name: RFC 2606 and RFC 6761 keep some for documentation and private use.
pub(crate) fn name_scope(name: &str) -> AddressScope {
    let name = name.trim_end_matches('.').to_lowercase();
    let is = |domain: &str| name == domain || name.strip_suffix(domain).is_some_and(|n| n.ends_with('.'));
    match () {
        () if is("localhost") => AddressScope::Loopback,
        () if ["example", "example.com", "example.net", "example.org", "test", "invalid"]
            .into_iter()
            .any(is) =>
        {
            AddressScope::Documentation
        }
        () if ["local", "internal", "lan", "home.arpa", "intranet", "svc", "cluster"].into_iter().any(is) => {
            AddressScope::Private
        }
        // A name without a dot is one of this network.
        () if !name.contains('.') => AddressScope::Private,
        () => AddressScope::Public,
    }
}

/// Whether a file is a script by its first line, its name or its execute permission. Binary programs are
/// recognized by NUL bytes.
pub(crate) fn is_script(name: &[u8], head: &[u8], mode: u32) -> bool {
    const SUFFIXES: [&[u8]; 7] = [b"sh", b"bash", b"py", b"pl", b"rb", b"lua", b"tcl"];
    head.starts_with(b"#!") || mode & 0o111 != 0 || has_suffix(name, &SUFFIXES)
}

/// Whether a file is configuration by its name, whatever its size.
pub(crate) fn is_plain_configuration(name: &[u8]) -> bool {
    const SUFFIXES: [&[u8]; 12] = [
        b"conf",
        b"cfg",
        b"cnf",
        b"ini",
        b"toml",
        b"yaml",
        b"yml",
        b"env",
        b"properties",
        b"service",
        b"socket",
        b"timer",
    ];
    has_suffix(name, &SUFFIXES)
}

fn has_suffix(name: &[u8], suffixes: &[&[u8]]) -> bool {
    let suffix =
        memchr::memrchr(b'.', name).filter(|dot| *dot > 0 || name.len() > 1).map(|dot| &name[dot + 1..]);
    suffix.is_some_and(|suffix| suffixes.iter().any(|s| suffix.eq_ignore_ascii_case(s)))
}

#[cfg(test)]
mod tests;
