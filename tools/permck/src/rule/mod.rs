//! The rules of an audit: one file per rule, one table that help, output and tests iterate.
//!
//! A rule looks at one [`AuditedEntry`] and says what it breaks; it reads nothing from the system itself.

use std::ffi::CStr;
use std::path::PathBuf;

use common::finding::Severity;
use common::policy::{Class, Mode};
use common::report::RuleInfo;
use rustix::fs::{FileType, Statx, StatxAttributes};

use crate::classify::StrayKey;
use crate::xattr::{Acl, Xattrs};
use common::accounts::AccountTable;
use common::walk::{TreeNode, file_type};

pub(crate) mod acl;
mod capability;
mod hard_link;
mod link;
pub(crate) mod lockout;
mod mode;
mod name;
mod owner;
mod secret;
mod special;
mod types;
mod unowned;
mod unreadable;

/// One rule.
pub(crate) struct EntryRule {
    /// Stable, in kebab case.
    pub(crate) id: &'static str,
    pub(crate) severity: Severity,
    /// What it finds, for people: the heading of a group of findings.
    pub(crate) what: &'static str,
    pub(crate) check: fn(&AuditedEntry<'_>, &RuleContext) -> Option<Violation>,
}

/// Every rule about one entry, gravest first.
pub(crate) static RULES: [&EntryRule; 21] = [
    &secret::RULE,
    &mode::WORLD_WRITABLE,
    &mode::GROUP_WRITABLE,
    &special::RULE,
    &capability::RULE,
    &acl::RULE,
    &mode::RULE,
    &owner::OWNER,
    &owner::GROUP,
    &unowned::RULE,
    &hard_link::RULE,
    &types::DEVICE,
    &acl::DEFAULT,
    &secret::STRAY,
    &link::DANGLING,
    &link::OUTSIDE,
    &name::RULE,
    &unreadable::RULE,
    &types::SOCKET,
    &types::FIFO,
    &special::IMMUTABLE,
];

/// The rule that makes all advice about an entry wait: see [`crate::inspect`].
pub(crate) const HARD_LINK: &str = "hard-link";

/// Rules of what is checked once per audited path, beside [`RULES`]: see [`crate::root_check`].
pub(crate) const ROOT_RULES: [(&str, Severity, &str); 3] = [
    ("ancestor", Severity::Error, "a directory above the path can be changed by others"),
    ("mount-options", Severity::Note, "the file system is mounted without protection"),
    ("mounts", Severity::Note, "what is mounted below the path was not looked at"),
];

/// What a rule says about a subject that breaks it.
#[derive(Debug, Default)]
pub(crate) struct Violation {
    pub(crate) found: String,
    pub(crate) expected: String,
    pub(crate) fix: String,
}

/// What an entry is held to, and how that was decided.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClassLimit<'a> {
    pub(crate) class: Class,
    /// The class's maximum, or a policy's tighter one.
    pub(crate) max: Mode,
    /// `its name (log)`, or the policy's row.
    pub(crate) by: &'a str,
}

/// Who may own an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum AllowedIds {
    /// Anybody.
    #[default]
    Any,
    /// Only these.
    Ids(Vec<u32>),
}

impl AllowedIds {
    pub(crate) fn admits(&self, id: u32) -> bool {
        match self {
            Self::Any => true,
            Self::Ids(ids) => ids.contains(&id),
        }
    }
}

/// What a symbolic link leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SymlinkTarget {
    /// As it is written in the link.
    pub(crate) target: PathBuf,
    pub(crate) leads: SymlinkDestination,
}

/// Where a symbolic link leads, as the kernel resolves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SymlinkDestination {
    /// To something below the audited path.
    Inside,
    /// To this path elsewhere.
    Outside(PathBuf),
    /// To nothing, or in a circle.
    Nowhere,
    /// That could not be seen.
    Unknown,
}

/// One entry, with all that the rules want to know of it.
pub(crate) struct AuditedEntry<'a> {
    /// The directory that it is in; where `name` is empty, the entry is this directory.
    pub(crate) node: &'a TreeNode,
    pub(crate) name: &'a CStr,
    pub(crate) st: &'a Statx,
    /// Missing for what has no class: links, devices, sockets, FIFOs.
    pub(crate) limit: Option<ClassLimit<'a>>,
    pub(crate) owner: &'a AllowedIds,
    pub(crate) group: &'a AllowedIds,
    pub(crate) xattrs: &'a Xattrs,
    pub(crate) link: Option<&'a SymlinkTarget>,
    /// A private key in the content: its kind and where it begins.
    pub(crate) secret: Option<(&'static str, usize)>,
    /// Private keys in a directory that is mainly for other things.
    pub(crate) stray: Option<&'a StrayKey>,
    /// Owner of the directory that it is in.
    pub(crate) dir_owner: u32,
    /// Why the content could not be read.
    pub(crate) unread: Option<rustix::io::Errno>,
}

impl AuditedEntry<'_> {
    pub(crate) fn mode(&self) -> Mode {
        Mode::of(u32::from(self.st.stx_mode))
    }

    pub(crate) fn file_type(&self) -> FileType {
        file_type(self.st)
    }

    pub(crate) fn path(&self) -> PathBuf {
        if self.name.is_empty() { self.node.path() } else { self.node.path_of(self.name) }
    }

    pub(crate) fn own_name(&self) -> &[u8] {
        if self.name.is_empty() { self.node.name() } else { self.name.to_bytes() }
    }

    /// The path as one word of a shell, for fixes.
    pub(crate) fn quoted_path(&self) -> String {
        common::policy::shell_quote(&self.path())
    }

    /// What the mode grants: with an ACL the group's bits show the mask, and what the group gets is in the ACL.
    pub(crate) fn granted_mode(&self) -> Mode {
        let mode = self.mode();
        let group = self.xattrs.access.as_ref().filter(|a| !a.broken).and_then(Acl::owning_group_bits);
        group.map_or(mode, |bits| Mode(mode.0 & 0o7707 | bits << 3))
    }

    /// The mode that it should have: what it has, less what its class does not allow.
    pub(crate) fn tightened_mode(&self) -> Mode {
        let mode = self.mode();
        match self.limit {
            Some(s) => Mode(mode.0 & s.max.0),
            // Sockets and FIFOs keep what owner and group have.
            None => Mode(mode.0 & 0o770),
        }
    }

    /// The command that tightens it to a mode. Four digits would leave a directory its setuid and setgid bits.
    pub(crate) fn chmod_command(&self, mode: Mode) -> String {
        let special = self.file_type() == FileType::Directory && self.mode().0 & !mode.0 & 0o6000 != 0;
        format!("chmod {}{mode} {}", if special { "0" } else { "" }, self.quoted_path())
    }

    pub(crate) fn has_attribute(&self, flag: StatxAttributes) -> bool {
        self.st.stx_attributes.contains(flag)
    }
}

/// What all subjects are judged by.
#[derive(Clone, Debug, Default)]
pub(crate) struct RuleContext {
    pub(crate) accounts: AccountTable,
}

/// Who writes reports, and all rules.
pub(crate) fn report_source(fail_on: Severity) -> common::report::Source {
    let entry = RULES.iter().map(|r| RuleInfo { id: r.id, severity: r.severity, what: r.what });
    let place = ROOT_RULES.iter().map(|&(id, severity, what)| RuleInfo { id, severity, what });
    common::report::Source {
        tool: "permck",
        version: env!("CARGO_PKG_VERSION"),
        rules: entry.chain(place).collect(),
        fail_on,
    }
}

/// What a rule finds, as a heading.
pub(crate) fn rule_heading(id: &str) -> &'static str {
    let place = ROOT_RULES.iter().find(|(i, ..)| *i == id).map(|(.., what)| *what);
    RULES.iter().find(|r| r.id == id).map(|r| r.what).or(place).unwrap_or("")
}

#[cfg(test)]
mod tests;
