//! What is checked once per audited path: the directories above it, and how its file system is mounted.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use common::finding::Finding;
use common::policy::{Mode, shell_quote};
use rustix::fs::StatVfsMountFlags;

use crate::plan::{AuditIssue, AuditPlan, AuditRoot, issue};
use crate::policy::EntryLocation;
use crate::rule::{ROOT_RULES, RuleContext};

/// Judges the place of one audited path: what is wrong with it, and whether the policy accepts that.
pub(crate) fn check_root(root: &AuditRoot, plan: &AuditPlan) -> Vec<(AuditIssue, bool)> {
    let above = directories_above(root);
    let above =
        above.iter().filter_map(|dir| Some((check_ancestor(root, dir, &plan.context)?, Some(dir.as_path()))));
    let mount = rustix::fs::statvfs(&root.real).ok().and_then(|fs| check_mount(&root.path, fs.f_flag));
    let found = above.chain(mount.map(|finding| (finding, None)));
    let judged = found.map(|(finding, dir)| {
        let accepted = is_accepted(root, plan, &finding.rule, dir);
        (issue(finding), accepted)
    });
    judged.collect()
}

/// An exception names the audited path, or, for what is above it, that directory.
fn is_accepted(root: &AuditRoot, plan: &AuditPlan, rule: &str, above: Option<&Path>) -> bool {
    let below = root.real.strip_prefix(&root.base).unwrap_or(Path::new("")).as_os_str().as_bytes();
    let own = EntryLocation { below: Some(below), root: &root.base, dir: root.is_dir };
    let accepts = |place| plan.policy.accepts_finding(rule, place, None, plan.today);
    accepts(own) || above.is_some_and(|dir| accepts(EntryLocation::above_root(dir)))
}

/// The directories above the path as it is and as it is written: where a link stands on the way, whoever can
/// change the directory of the link can lead the way elsewhere.
fn directories_above(root: &AuditRoot) -> BTreeSet<PathBuf> {
    let written = std::path::absolute(&root.path).unwrap_or_else(|_| root.real.clone());
    let written: Vec<_> = written.ancestors().skip(1).filter_map(|dir| dir.canonicalize().ok()).collect();
    let real = root.real.ancestors().skip(1).map(Path::to_owned);
    real.chain(written.iter().flat_map(|dir| dir.ancestors()).map(Path::to_owned)).collect()
}

/// Whoever can change a directory above can put another tree in the place of the audited one.
fn check_ancestor(root: &AuditRoot, dir: &Path, context: &RuleContext) -> Option<Finding> {
    let meta = std::fs::symlink_metadata(dir).ok()?;
    let mode = Mode::of(meta.mode());
    let (id, severity, _) = ROOT_RULES[0];
    let finding = |found: String, fix: String| {
        let finding = Finding::new(id, severity, dir).found(found).fix(fix);
        finding.expected(format!("only root and the owner of {} can change it", escape_path(&root.path)))
    };
    if !root.owner.admits(meta.uid()) {
        let found = format!(
            "directory above {} owned by {}",
            escape_path(&root.path),
            context.accounts.user(meta.uid())
        );
        return Some(finding(found, format!("chown root {}", shell_quote(dir))));
    }
    // In a sticky directory nobody can rename what belongs to others.
    let sticky = mode.0 & 0o1000 != 0;
    (mode.is_writable_by_others() && !sticky).then(|| {
        let who = if mode.0 & 0o002 != 0 { "everybody" } else { "its group" };
        let found = format!("directory above {} is writable by {who}, mode {mode}", escape_path(&root.path));
        finding(found, format!("chmod go-w {}", shell_quote(dir)))
    })
}

/// What a mount allows that data does not need; `path` is the audited path, or a mount point below it.
pub(crate) fn check_mount(path: &Path, flags: StatVfsMountFlags) -> Option<Finding> {
    let wanted = [
        (StatVfsMountFlags::NOSUID, "nosuid"),
        (StatVfsMountFlags::NODEV, "nodev"),
        (StatVfsMountFlags::NOEXEC, "noexec"),
    ];
    let missing: Vec<_> =
        wanted.iter().filter(|(flag, _)| !flags.contains(*flag)).map(|(_, name)| *name).collect();
    let (id, severity, _) = ROOT_RULES[1];
    (!missing.is_empty()).then(|| {
        Finding::new(id, severity, path)
            .found(format!("on a file system mounted without {}", missing.join(", ")))
            .expected("nosuid and nodev; noexec too where no programs are")
            .fix("give data its own file system with these mount options")
    })
}

/// What is mounted below an audited path, and not looked at.
pub(crate) fn unvisited_mount(path: &Path) -> Finding {
    let (id, severity, _) = ROOT_RULES[2];
    Finding::new(id, severity, path)
        .found("mounted here, and not looked at")
        .fix("--cross-mounts looks at it, too; or audit it by itself")
}

fn escape_path(path: &Path) -> String {
    common::text::safe(&path.to_string_lossy())
}
