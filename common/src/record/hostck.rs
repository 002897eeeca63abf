//! Records of `hostck`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Entry, Record, entry, summary};

/// All of them.
pub const ENTRIES: &[Entry] =
    &[entry::<HostFinding>(), entry::<HostSummary>(), entry::<AddressRecord>(), entry::<NetaddrSummary>()];

/// `hostck.finding`: a check of the host that fails, or that could not be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostFinding {
    /// What was found.
    #[serde(flatten)]
    pub finding: crate::finding::Finding,
}

impl Record for HostFinding {
    const TYPE: &'static str = "hostck.finding";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"hostck.finding","v":1,"rule":"aslr","severity":"error","path":"/proc/sys/kernel/randomize_va_space","found":"0","expected":"2","fix":"sysctl -w kernel.randomize_va_space=2"}"#;
}

summary!(HostSummary, "hostck.summary", r#"{"type":"hostck.summary","v":1,"checks":14,"findings":2,"error_findings":1,"warning_findings":0,"note_findings":1,"errors":0}"#, {
    /// Checks that were made.
    checks: u64,
    /// Findings shown.
    findings: u64,
    /// Findings of severity error.
    error_findings: u64,
    /// Findings of severity warning.
    warning_findings: u64,
    /// Findings of severity note: what could not be looked at, too.
    note_findings: u64,
});

/// What kind of address it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AddressKind {
    /// An IPv4 address.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// A URL.
    Url,
    /// A host name.
    Host,
    /// A mail address.
    Mail,
}

impl std::fmt::Display for AddressKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Url => "url",
            Self::Host => "host",
            Self::Mail => "mail",
        })
    }
}

/// Where an address belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AddressScope {
    /// The public network.
    Public,
    /// Networks of one's own.
    Private,
    /// This host.
    Loopback,
    /// This link.
    LinkLocal,
    /// Groups of hosts.
    Multicast,
    /// Documentation and examples.
    Documentation,
    /// Kept for other uses.
    Reserved,
}

impl std::fmt::Display for AddressScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Public => "public",
            Self::Private => "private",
            Self::Loopback => "loopback",
            Self::LinkLocal => "link-local",
            Self::Multicast => "multicast",
            Self::Documentation => "documentation",
            Self::Reserved => "reserved",
        })
    }
}

/// `hostck.address`: a network address in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AddressRecord {
    /// The file.
    pub path: String,
    /// The path's bytes in hex, where they are not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_hex: Option<String>,
    /// Line, from 1.
    pub line: u64,
    /// Byte in the line, from 1.
    pub column: u64,
    /// As it is written.
    pub address: String,
    /// What kind of address it is.
    pub kind: AddressKind,
    /// Where it belongs.
    pub scope: AddressScope,
    /// The host in it: what an allow list names.
    pub host: String,
}

impl Record for AddressRecord {
    const TYPE: &'static str = "hostck.address";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"hostck.address","v":1,"path":"/etc/app.conf","line":3,"column":10,"address":"https://www.example.com/x","kind":"url","scope":"documentation","host":"www.example.com"}"#;
}

summary!(NetaddrSummary, "hostck.netaddr_summary", r#"{"type":"hostck.netaddr_summary","v":1,"files":12,"public":1,"other":0,"allowed":2,"errors":0}"#, {
    /// Files looked into.
    files: u64,
    /// Public addresses that are not allowed.
    public: u64,
    /// Other addresses shown.
    other: u64,
    /// Public addresses that are allowed.
    allowed: u64,
});
