//! Checks that are made once per audited path: the directories above it, and its mount.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use common::finding::Finding;
use common::policy::{Mode, shell_quote};
use rustix::fs::StatVfsMountFlags;

use crate::plan::{AuditIssue, AuditPlan, AuditRoot, root_issue};
use crate::policy::EntryLocation;

use crate::rule::{ANCESTOR, MOUNT_OPTIONS, MOUNTS, RuleContext};

/// Checks one audited path; returns the findings, and whether an exception of the policy accepts each.
pub(crate) fn check_root(root: &AuditRoot, plan: &AuditPlan) -> Vec<(AuditIssue, bool)> {
    let mut above = directories_above(root);
    // Where an image lies is not part of it.
    above.retain(|dir| dir.starts_with(&plan.image.path));
    let above =
        above.iter().filter_map(|dir| Some((check_ancestor(root, dir, &plan.context)?, Some(dir.as_path()))));
    let mount = rustix::fs::statvfs(&root.real).ok().and_then(|fs| check_mount(&root.path, fs.f_flag));
    let found = above.chain(mount.map(|finding| (finding, None)));
    let checked = found.map(|(finding, dir)| {
        let accepted = is_accepted(root, plan, &finding.rule, dir);
        (root_issue(finding), accepted)
    });
    checked.collect()
}

/// Returns whether an exception matches the audited path or, for a finding about a directory above it, that directory.
fn is_accepted(root: &AuditRoot, plan: &AuditPlan, rule: &str, above: Option<&Path>) -> bool {
    let name = root.real.file_name().filter(|_| !root.is_dir).unwrap_or_default();
    let below = name.as_bytes();
    let own = EntryLocation { below: Some(below), root: &root.base, dir: root.is_dir };
    let accepts = |place| plan.policy.accepts_finding(rule, place, None, plan.today);
    accepts(own) || above.is_some_and(|dir| accepts(EntryLocation::above_root(dir)))
}

/// Returns the directories above the path, resolved and as written: a user who can write to the directory of a symbolic
/// link on the way can redirect the path.
fn directories_above(root: &AuditRoot) -> BTreeSet<PathBuf> {
    let written = std::path::absolute(&root.path).unwrap_or_else(|_| root.real.clone());
    let written: Vec<_> = written.ancestors().skip(1).filter_map(|dir| dir.canonicalize().ok()).collect();
    let real = root.real.ancestors().skip(1).map(Path::to_owned);
    real.chain(written.iter().flat_map(|dir| dir.ancestors()).map(Path::to_owned)).collect()
}

/// Checks one directory above: a user who can write to it can replace the audited tree.
fn check_ancestor(root: &AuditRoot, dir: &Path, context: &RuleContext) -> Option<Finding> {
    let meta = std::fs::symlink_metadata(dir).ok()?;
    let mode = Mode::of(meta.mode());
    let finding = |found: String, fix: String| {
        let finding = ANCESTOR.at(dir).found(found).fix(fix);
        finding.expected(format!("writable only by root and the owner of {}", escape_path(&root.path)))
    };
    if !root.owner.admits(meta.uid()) {
        let found = format!(
            "directory above {}, owned by {}",
            escape_path(&root.path),
            context.accounts.describe_user(meta.uid())
        );
        return Some(finding(found, format!("chown root {}", shell_quote(dir))));
    }
    // In a sticky directory only the owner can rename an entry (chmod(1), "Restricted deletion flag").
    let sticky = mode.0 & 0o1000 != 0;
    (mode.is_writable_by_others() && !sticky).then(|| {
        let who = if mode.0 & 0o002 != 0 { "everyone" } else { "its group" };
        let found = format!("directory above {}, mode {mode}: {who} may write", escape_path(&root.path));
        finding(found, format!("chmod go-w {}", shell_quote(dir)))
    })
}

/// Checks the mount options of `path`: the audited path, or a mount point below it.
pub(crate) fn check_mount(path: &Path, flags: StatVfsMountFlags) -> Option<Finding> {
    let wanted = [
        (StatVfsMountFlags::NOSUID, "nosuid"),
        (StatVfsMountFlags::NODEV, "nodev"),
        (StatVfsMountFlags::NOEXEC, "noexec"),
    ];
    let missing: Vec<_> =
        wanted.iter().filter(|(flag, _)| !flags.contains(*flag)).map(|(_, name)| *name).collect();
    (!missing.is_empty()).then(|| {
        MOUNT_OPTIONS
            .at(path)
            .found(format!("mounted without {}", missing.join(", ")))
            .expected("nosuid and nodev, and noexec where there are no programs")
            .fix(format!(
                "mount -o remount,{} MOUNT_POINT, and the same in /etc/fstab, where it holds no programs",
                missing.join(",")
            ))
    })
}

/// Reports a mount point below an audited path that was not entered.
pub(crate) fn unvisited_mount(path: &Path) -> Finding {
    MOUNTS
        .at(path)
        .found("mount point, not entered")
        .fix("permck audit --cross-mounts, or audit it by itself")
}

fn escape_path(path: &Path) -> String {
    common::text::safe(&path.to_string_lossy())
}
