//! The rules of an audit: one file per kind of rule, one table that help, output and tests iterate.
//!
//! A rule checks one [`AuditedEntry`] and describes the violation; it makes no system calls.

use std::ffi::CStr;
use std::path::{Path, PathBuf};

use common::finding::Severity;
use common::policy::{Class, Mode};
use common::rule::Rule;
use rustix::fs::{FileType, Statx, StatxAttributes};

use crate::classify::StrayKey;
use crate::xattr::{Acl, Xattrs};
use common::accounts::AccountTable;
use common::walk::{Reach, TreeNode, file_type};

pub(crate) mod acl;
mod capability;
pub(crate) mod danger;
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

/// A rule about an entry.
pub(crate) struct EntryRule {
    pub(crate) description: Rule,
    pub(crate) check: fn(&AuditedEntry<'_>, &RuleContext) -> Option<Violation>,
}

impl EntryRule {
    /// Returns the severity that a finding has where the entry is as its package installed it, if that is another one.
    pub(crate) fn packaged_severity(&self, severity: Severity, path: &Path) -> Option<Severity> {
        let is = |rule: &Self| std::ptr::eq(self, rule);
        match severity {
            Severity::Warning if is(&mode::RULE) => Some(Severity::Note),
            Severity::Error if is(&special::RULE) || is(&capability::RULE) => Some(Severity::Warning),
            // A key that comes with a package is no secret of this machine; one in its configuration may be.
            Severity::Error if is(&secret::READABLE) && !path.starts_with("/etc") => Some(Severity::Warning),
            _ => None,
        }
    }
}

/// Every rule about an entry, the gravest first; reports list findings of one severity in this order.
pub(crate) static RULES: [&EntryRule; 21] = [
    &secret::READABLE,
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

/// The rule whose finding replaces all other fixes of an entry: see [`crate::inspect`].
pub(crate) const HARD_LINK: &str = "hard-link";

/// A directory above an audited path: see [`crate::root_check`].
pub(crate) const ANCESTOR: Rule = Rule {
    id: "ancestor",
    severity: Severity::Error,
    what: "other users can write to a directory above the path",
    why: "A user who can write to a directory above the tree can rename the tree and put another one in its place.",
    fix: "`chmod go-w DIRECTORY`, or `chown root DIRECTORY`",
    reference: "path_resolution(7); rename(2)",
};

/// The mount of an audited path.
pub(crate) const MOUNT_OPTIONS: Rule = Rule {
    id: "mount-options",
    severity: Severity::Note,
    what: "the file system lacks nosuid, nodev or noexec",
    why: "Without nosuid, nodev and noexec, data that is copied to the file system can contain setuid programs and device nodes.",
    fix: "`mount -o remount,nosuid,nodev,noexec MOUNT_POINT`, and the same in fstab(5)",
    reference: "mount(8), section FILESYSTEM-INDEPENDENT MOUNT OPTIONS",
};

/// A mount point below an audited path.
pub(crate) const MOUNTS: Rule = Rule {
    id: "mounts",
    severity: Severity::Note,
    what: "a mount point below the path was not entered",
    why: "Entries below the mount point were not checked.",
    fix: "`permck audit --cross-mounts PATH`, or audit the mount point by itself",
    reference: "permck-audit(1)",
};

/// An entry that is not as the baseline has it: see [`crate::baseline`].
pub(crate) const CHANGED: Rule = Rule {
    id: "changed",
    severity: Severity::Warning,
    what: "its owner, group or mode is not that of the baseline, or it is gone",
    why: "Somebody has changed, added or removed the entry since the baseline was recorded, within or beyond what its class allows.",
    fix: "find out who changed it; `permck baseline --entries` records it as it is",
    reference: "permck-baseline(1)",
};

/// Describes every rule: those about entries, then those that are checked once per audited path.
pub(crate) fn rule_descriptions() -> impl Iterator<Item = &'static Rule> {
    RULES.iter().map(|rule| &rule.description).chain([&ANCESTOR, &MOUNT_OPTIONS, &MOUNTS, &CHANGED])
}

/// The texts of a finding.
#[derive(Debug, Default)]
pub(crate) struct Violation {
    pub(crate) found: String,
    pub(crate) expected: String,
    pub(crate) fix: String,
    /// How grave this case is; none for the severity of the rule.
    pub(crate) severity: Option<Severity>,
}

/// The maximum mode of an entry, and what decided it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClassLimit<'a> {
    pub(crate) class: Class,
    /// The name of the class: that of a policy's own class, too.
    pub(crate) name: &'a str,
    /// The class's maximum, or that of a policy.
    pub(crate) max: Mode,
    /// `its name (log)`, or the policy's row.
    pub(crate) by: &'a str,
}

/// The accounts that may own an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum AllowedIds {
    /// Any id.
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

/// The target of a symbolic link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SymlinkTarget {
    /// The content of the link.
    pub(crate) target: PathBuf,
    pub(crate) leads: SymlinkDestination,
    /// Owner and mode of the destination or, where it is missing, of the directory where it would be; none if unknown.
    pub(crate) destination: Option<(u32, Mode)>,
}

/// The destination of a symbolic link, as the kernel resolves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SymlinkDestination {
    /// Below the audited path.
    Inside,
    /// This path outside the tree.
    Outside(PathBuf),
    /// A missing file, or a loop.
    Nowhere,
    /// The kernel did not say.
    Unknown,
}

/// One entry, with everything that the rules look at.
pub(crate) struct AuditedEntry<'a> {
    /// The directory that it is in; where `name` is empty, the entry is this directory.
    pub(crate) node: &'a TreeNode,
    pub(crate) name: &'a CStr,
    pub(crate) st: &'a Statx,
    /// Missing for what has no class: links, devices, sockets, FIFOs.
    pub(crate) limit: Option<ClassLimit<'a>>,
    pub(crate) owner: &'a AllowedIds,
    /// Whether neither a policy nor an option says who may own it.
    pub(crate) owner_by_default: bool,
    pub(crate) group: &'a AllowedIds,
    pub(crate) xattrs: &'a Xattrs,
    pub(crate) link: Option<&'a SymlinkTarget>,
    /// A private key in the content: its kind and where it begins.
    pub(crate) secret: Option<(&'static str, usize)>,
    /// Private keys in a directory that is mainly for other things.
    pub(crate) stray: Option<&'a StrayKey>,
    /// Owner of the audited path.
    pub(crate) root_owner: u32,
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

    /// Returns who gets to the entry through the directories above it.
    pub(crate) fn reach(&self) -> Reach {
        if self.name.is_empty() { self.node.reach() } else { self.node.reach_of_entries() }
    }

    pub(crate) fn own_name(&self) -> &[u8] {
        if self.name.is_empty() { self.node.name() } else { self.name.to_bytes() }
    }

    /// Returns the path as one word of a shell, for fixes.
    pub(crate) fn quoted_path(&self) -> String {
        common::policy::shell_quote(&self.path())
    }

    /// Returns the effective mode: with an ACL, the group bits of the mode are the mask, and the permissions of the group are
    /// in the ACL.
    pub(crate) fn granted_mode(&self) -> Mode {
        let mode = self.mode();
        let group = self.xattrs.access.as_ref().filter(|a| !a.broken).and_then(Acl::owning_group_bits);
        group.map_or(mode, |bits| Mode(mode.0 & 0o7707 | bits << 3))
    }

    /// Returns the mode without what its class does not allow and a fix removes: permissions of group and others, or those
    /// of a umask; special bits of files. With `--strict`, that is everything.
    pub(crate) fn tightened_mode(&self, context: &RuleContext) -> Mode {
        let mode = self.mode();
        let special = if self.file_type() == FileType::Directory { 0 } else { 0o6000 };
        let removable = if context.strict { 0o7777 } else { context.umask.0 | special };
        Mode(mode.0 & (self.strictest_mode().0 | !removable))
    }

    /// Returns the mode without the bits that its class does not allow.
    pub(crate) fn strictest_mode(&self) -> Mode {
        let mode = self.mode();
        // Only the owner may use a private key, whatever else is in the file.
        let most = if self.secret.is_some() { 0o7700 } else { 0o7777 };
        match self.limit {
            Some(s) => Mode(mode.0 & s.max.0 & most),
            // Sockets and FIFOs keep what owner and group have.
            None => Mode(mode.0 & 0o770),
        }
    }

    /// Returns the command that sets a mode. With four digits chmod(1) keeps the setuid and setgid bits of a directory.
    pub(crate) fn chmod_command(&self, mode: Mode) -> String {
        let special = self.file_type() == FileType::Directory && self.mode().0 & !mode.0 & 0o6000 != 0;
        format!("chmod {}{mode} {}", if special { "0" } else { "" }, self.quoted_path())
    }

    pub(crate) fn has_attribute(&self, flag: StatxAttributes) -> bool {
        self.st.stx_attributes.contains(flag)
    }
}

/// The context of the rules besides the entry.
#[derive(Clone, Debug)]
pub(crate) struct RuleContext {
    pub(crate) accounts: AccountTable,
    /// Whether every finding has the severity of its rule, whether or not another user can use the permissions.
    pub(crate) strict: bool,
    /// The permissions that a fix removes where the class does not allow them.
    pub(crate) umask: Mode,
    /// The root of the audited system, without symbolic links.
    pub(crate) system_root: PathBuf,
}

impl Default for RuleContext {
    fn default() -> Self {
        let (accounts, umask) = (AccountTable::default(), Mode(0o077));
        Self { accounts, strict: false, umask, system_root: "/".into() }
    }
}

impl RuleContext {
    fn is_private_group(&self, gid: u32, uid: u32) -> bool {
        self.accounts.is_private_group(gid, uid)
    }

    /// Whether a directory is the home directory of an account, by the audited system's own table.
    fn is_home_of(&self, uid: u32, path: &std::path::Path) -> bool {
        let home = self.accounts.user_name(uid).and_then(|name| self.accounts.home_of(name));
        let Some(inner) = home.and_then(|home| home.strip_prefix("/").ok()) else { return false };
        !inner.as_os_str().is_empty()
            && std::path::absolute(path).is_ok_and(|path| path == self.system_root.join(inner))
    }
}

/// Returns the name of the tool and its rules, for reports.
pub(crate) fn report_source(fail_on: Severity) -> common::report::Source {
    common::report::Source {
        tool: "permck",
        version: env!("CARGO_PKG_VERSION"),
        rules: rule_descriptions().copied().collect(),
        fail_on,
    }
}

/// Returns the heading of a rule.
pub(crate) fn rule_heading(id: &str) -> &'static str {
    rule_descriptions().find(|rule| rule.id == id).map_or("", |rule| rule.what)
}

#[cfg(test)]
mod tests;
