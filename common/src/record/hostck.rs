//! Records of `hostck`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Entry, Record, RecordPath, entry, summary};

/// Every record type of `hostck`.
pub const ENTRIES: &[Entry] = &[
    entry::<HostFinding>(),
    entry::<HostSummary>(),
    entry::<HostRuleRecord>(),
    entry::<AddressRecord>(),
    entry::<NetaddrSummary>(),
];

/// `hostck.finding`: a rule that the host breaks, or a note about input that could not be read.
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

summary!(HostSummary, "hostck.summary", r#"{"type":"hostck.summary","v":1,"checks":14,"findings":2,"error_findings":1,"warning_findings":0,"note_findings":1,"accepted":0,"baseline_gone":0,"errors":0}"#, {
    /// Checks that ran.
    checks: u64,
    /// Findings shown.
    findings: u64,
    /// Findings of severity error.
    error_findings: u64,
    /// Findings of severity warning.
    warning_findings: u64,
    /// Findings of severity note, including input that could not be read.
    note_findings: u64,
    /// Findings that an exception or the baseline accepts.
    #[serde(default)]
    accepted: u64,
    /// Findings of the baseline that were not found again.
    #[serde(default)]
    baseline_gone: u64,
});

/// `hostck.rule`: a rule that hosts are checked against.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostRuleRecord {
    /// Stable id.
    pub rule: String,
    /// Severity of a failure.
    pub severity: crate::finding::Severity,
    /// The fault of a host that fails the rule.
    pub what: String,
    /// The consequence of a failure.
    pub why: String,
    /// A command, or what to change.
    pub fix: String,
    /// The section of the security statement, RFC or manual page.
    pub reference: String,
}

impl Record for HostRuleRecord {
    const TYPE: &'static str = "hostck.rule";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"hostck.rule","v":1,"rule":"aslr","severity":"error","what":"address space randomization is not full","why":"An exploit of a memory error needs addresses, and without randomization they are the same in every process.","fix":"sysctl -w kernel.randomize_va_space=2","reference":"proc_sys_kernel(5), randomize_va_space"}"#;
}

/// Kind of an address.
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

/// Scope of an address, by IANA's special-purpose address registries (RFC 6890).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AddressScope {
    /// The public network.
    Public,
    /// Private networks (RFC 1918, RFC 4193) and names without a public domain.
    Private,
    /// This host.
    Loopback,
    /// The local link (RFC 3927, RFC 4291).
    LinkLocal,
    /// Multicast groups.
    Multicast,
    /// Documentation and examples.
    Documentation,
    /// Reserved for other uses.
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
    #[serde(flatten)]
    pub path: RecordPath,
    /// Line, from 1.
    pub line: u64,
    /// Byte offset in the line, from 1.
    pub column: u64,
    /// The address as it is written; credentials in a URL are `***`.
    pub address: String,
    /// Kind of address.
    pub kind: AddressKind,
    /// Scope of the address.
    pub scope: AddressScope,
    /// The host in it, which allow lists are compared with.
    pub host: String,
}

impl Record for AddressRecord {
    const TYPE: &'static str = "hostck.address";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"hostck.address","v":1,"path":"/etc/app.conf","line":3,"column":10,"address":"https://www.example.com/x","kind":"url","scope":"documentation","host":"www.example.com"}"#;
}

summary!(NetaddrSummary, "hostck.netaddr_summary", r#"{"type":"hostck.netaddr_summary","v":1,"files":12,"public":1,"other":0,"allowed":2,"errors":0}"#, {
    /// Files that were read.
    files: u64,
    /// Public addresses that are not allowed.
    public: u64,
    /// Other addresses that were printed.
    other: u64,
    /// Public addresses that are allowed.
    allowed: u64,
});
