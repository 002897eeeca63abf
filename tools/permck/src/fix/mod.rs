//! Tightens modes and removes ACLs through file descriptors, and records each change before it is made.
//!
//! An entry is opened without following symbolic links and without leaving its mount, and skipped unless device, inode,
//! owner and mode are still those that were checked. Only permission bits and ACLs are removed; no permission is ever
//! added. Entries of other users and entries with several hard links are rejected.

use std::collections::BTreeMap;
use std::ffi::{CStr, OsStr};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use common::finding::{Severity, hex};
use common::out::{Diag, Format};
use common::policy::Mode;
use common::record::RecordPath;
use common::record::permck::{FixRefusal, PermissionChange};
use common::text::Safe;
use rustix::fs::{self as rfs, FileType, OFlags, StatVfsMountFlags, Statx, StatxAttributes};
use rustix::io::Errno;

use crate::inspect::IssueSink;
use crate::plan::{AuditIssue, AuditRoot};
use crate::rule::lockout::{self, Lockout};
use crate::rule::{AuditedEntry, RuleContext};
use crate::xattr::{self, Acl};
use common::file_id::FileId;
use common::walk::{self, OpenDirectory, file_type, stat_open};
use identity::{ChangeRights, birth_time, format_timestamp};

mod identity;
pub(crate) mod journal;
pub(crate) mod survey;
mod undo;

use journal::Journal;
pub(crate) use undo::Undoer;

/// The rules whose findings are fixed by removing permissions. A default ACL is not among them: without one the umask
/// of the creating process decides, which may grant more (acl(5), "Object creation and default ACLs").
const FIXABLE: [&str; 6] =
    ["key-readable", "world-writable", "group-writable", "mode", "special-bits", "acl"];

/// The options of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FixOptions {
    pub(crate) format: Format,
    /// Whether mounts below a path are entered and changed.
    pub(crate) cross_mounts: bool,
    /// Whether system paths are changed.
    pub(crate) system: bool,
}

/// The counts of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct FixCounts {
    pub(crate) changed: u64,
    pub(crate) refused: u64,
    /// Findings of severity error that need a decision.
    pub(crate) left: u64,
    /// Findings of severity warning by rule; they are not fixed.
    pub(crate) warnings: BTreeMap<String, u64>,
    /// Entries of root's group whose permissions for others were removed.
    pub(crate) locked: u64,
}

/// Fixes the findings of an audit.
pub(crate) struct Fixer<'a> {
    diag: &'a Diag,
    state: Mutex<FixerState<'a>>,
    /// The record of changes; none in a dry run.
    journal: Option<Mutex<Journal>>,
    options: FixOptions,
    rights: ChangeRights,
    context: RuleContext,
}

struct FixerState<'a> {
    to: &'a mut (dyn Write + Send),
    done: FixCounts,
    /// The first error of the output.
    output: io::Result<()>,
    /// The first error of the record; after it nothing is changed.
    record: io::Result<()>,
}

impl<'a> Fixer<'a> {
    pub(crate) fn new(
        diag: &'a Diag,
        to: &'a mut (dyn Write + Send),
        journal: Option<Journal>,
        options: FixOptions,
        context: RuleContext,
    ) -> Self {
        let state = FixerState { to, done: FixCounts::default(), output: Ok(()), record: Ok(()) };
        let journal = journal.map(Mutex::new);
        Self { diag, state: Mutex::new(state), journal, options, rights: ChangeRights::of_process(), context }
    }

    /// Waits until every change is on disk; returns the counts and the first errors of the record and the output.
    pub(crate) fn finish(self) -> (FixCounts, io::Result<()>, io::Result<()>) {
        let synced = self.journal.as_ref().map_or(Ok(()), |j| lock_mutex(j).sync());
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        (state.done, state.record.and(synced), state.output)
    }

    /// Removes the permissions and the ACL that the rules found; returns the change, or `None` where nothing is left to
    /// change. The error is the reason why the entry is skipped.
    fn tighten_entry(
        &self,
        root: &AuditRoot,
        dir: &OpenDirectory,
        s: &AuditedEntry<'_>,
        rules: Vec<String>,
    ) -> Result<Option<PermissionChange>, String> {
        // Reject what must not or cannot be changed before anything is opened.
        check_fixable(s)?;
        self.rights.check_owner(s.st.stx_uid)?;
        let acl = removes_acl(&rules);
        // The entry that is open now must still be the one that was checked.
        let fd = self.open_entry(root, dir, s.name).map_err(crate::reason)?;
        if !is_same_entry(&stat_open(&fd).map_err(crate::reason)?, s.st) {
            return Err("it changed during the check".into());
        }
        if rfs::fstatvfs(&fd).is_ok_and(|fs| fs.f_flag.contains(StatVfsMountFlags::RDONLY)) {
            return Err("its file system is mounted read-only".into());
        }
        let fd_path = proc_path(&fd);
        let current_acl = read_attribute(&fd_path, xattr::ACCESS).map_err(crate::reason)?;
        if current_acl.as_deref().map(Acl::parse) != s.xattrs.access {
            return Err("its ACL changed during the check".into());
        }
        let after = planned_mode(s, &rules, &self.context);
        if after == s.mode() && !acl {
            return Ok(None);
        }
        let removed = current_acl.filter(|_| acl);
        let path = root.real_path(s);
        let mut change = PermissionChange {
            path: RecordPath::from(&*path),
            rules,
            device: FileId::of_statx(s.st).device,
            inode: s.st.stx_ino,
            uid: s.st.stx_uid,
            gid: Some(s.st.stx_gid),
            size_bytes: Some(s.st.stx_size),
            mtime: Some(format_timestamp(&s.st.stx_mtime)),
            btime: birth_time(s.st),
            ctime_before: Some(format_timestamp(&s.st.stx_ctime)),
            ctime_after: None,
            mode_before: s.mode().to_string(),
            mode_after: after.to_string(),
            acl_removed_hex: removed.as_deref().map(hex),
            dry_run: self.journal.is_none(),
        };
        // A dry run ends here. Otherwise the change is recorded, made, and recorded as made.
        let Some(journal) = &self.journal else { return Ok(Some(change)) };
        let mut journal = lock_mutex(journal);
        let start = journal.end_offset();
        self.journal_change(&mut journal, &change)?;
        if let Err((e, undone)) = apply_change(&fd_path, s.mode(), after, removed.is_some()) {
            // The change was not made, so its line is removed.
            if undone {
                journal.truncate_to(start).map_err(|e| self.stop_for_journal_error(e))?;
            }
            return Err(crate::reason(e));
        }
        change.ctime_after = Some(format_timestamp(&stat_open(&fd).map_err(crate::reason)?.stx_ctime));
        // The change is made and its first line is written: it counts even if the second line cannot be.
        let _ = self.journal_change(&mut journal, &change);
        Ok(Some(change))
    }

    /// Opens an entry. A mounted file that the user named is opened; below a directory, mounts are not entered.
    fn open_entry(&self, root: &AuditRoot, dir: &OpenDirectory, name: &CStr) -> rustix::io::Result<OwnedFd> {
        let name = if name.is_empty() { c"." } else { name };
        walk::open_entry(dir.as_fd(), name, OFlags::PATH, self.options.cross_mounts || !root.is_dir)
    }

    fn journal_change(&self, journal: &mut Journal, change: &PermissionChange) -> Result<(), String> {
        if self.is_stopped() {
            return Err(STOPPED.into());
        }
        journal.append_change(change).map_err(|e| match e.kind() {
            io::ErrorKind::InvalidData => e.to_string(),
            _ => self.stop_for_journal_error(e),
        })
    }

    /// Keeps the error of the record; from now on nothing is changed.
    fn stop_for_journal_error(&self, error: io::Error) -> String {
        lock_mutex(&self.state).record = Err(error);
        STOPPED.into()
    }

    fn is_stopped(&self) -> bool {
        lock_mutex(&self.state).record.is_err()
    }

    fn report_left(&self, state: &mut FixerState<'_>, path: &Path, reason: String) {
        let refusal = FixRefusal { path: RecordPath::from(path), reason };
        let left = if self.journal.is_none() { "would leave" } else { "left" };
        state.write_record(self.options.format, &refusal, || {
            format!("{left} {}: {}", Safe(&refusal.path.path), Safe(&refusal.reason))
        });
    }
}

/// Returns the rules whose findings are fixed by a change of this entry: those of severity warning and error.
fn fixable_rules(issues: &[AuditIssue]) -> Vec<String> {
    let fixable = issues.iter().filter(|issue| is_fixable(issue));
    fixable.map(|issue| issue.finding.rule.clone()).collect()
}

fn is_fixable(issue: &AuditIssue) -> bool {
    let rule = issue.finding.rule.as_str();
    issue.finding.severity > Severity::Note && FIXABLE.contains(&rule)
}

fn removes_acl(rules: &[String]) -> bool {
    rules.iter().any(|r| r == crate::rule::acl::RULE.description.id)
}

/// Returns the mode that an entry gets: permissions of others stay where an account would be locked out.
fn planned_mode(s: &AuditedEntry<'_>, rules: &[String], context: &RuleContext) -> Mode {
    let acl = removes_acl(rules);
    let wanted = if acl { crate::rule::acl::without_acl(s, context) } else { s.tightened_mode(context) };
    match find_lockout(s, context) {
        // Write permission is removed nevertheless.
        Some(_) => Mode(wanted.0 | lockout::lost_bits(s, wanted)),
        None => wanted,
    }
}

/// Returns the account that would lose access that it has as one of the others. The mode of a private key is tightened
/// regardless.
fn find_lockout(s: &AuditedEntry<'_>, context: &RuleContext) -> Option<Lockout> {
    let lockout = lockout::find_lockout(s, s.tightened_mode(context), context)?;
    (s.secret.is_none() && lockout != Lockout::Anybody).then_some(lockout)
}

/// Returns why a path must not be changed.
fn admits_root(root: &AuditRoot, system: bool) -> Result<(), String> {
    if system || !common::system_paths::is_system_path(&root.real) {
        return Ok(());
    }
    Err("is a system path, which the classes of the policy table do not cover; --system tightens it anyway"
        .into())
}

const STOPPED: &str = "the change cannot be recorded";

fn lock_mutex<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl IssueSink for Fixer<'_> {
    fn admit_root(&self, root: &AuditRoot) -> Result<(), String> {
        admits_root(root, self.options.system)
    }

    /// Lists findings about the surroundings of a root, which need a decision.
    fn report_root_issues(&self, issues: Vec<AuditIssue>) {
        let mut state = lock_mutex(&self.state);
        for AuditIssue { finding, .. } in issues {
            match finding.severity {
                Severity::Error => {
                    state.done.left += 1;
                    let path = PathBuf::from(OsStr::from_bytes(&finding.path_bytes()));
                    self.report_left(&mut state, &path, format!("{} [{}]", finding.found, finding.rule));
                }
                Severity::Warning => state.done.count_warning(finding.rule),
                Severity::Note => {}
            }
        }
    }

    fn report_issues(
        &self,
        root: &AuditRoot,
        dir: &OpenDirectory,
        subject: &AuditedEntry<'_>,
        mut issues: Vec<AuditIssue>,
    ) {
        if self.is_stopped() {
            return;
        }
        let rules = fixable_rules(&issues);
        issues.retain(|issue| !is_fixable(issue));
        let (rest, others): (Vec<_>, Vec<_>) =
            issues.into_iter().partition(|i| i.finding.severity == Severity::Error);
        let mut reasons: Vec<String> =
            rest.iter().map(|i| format!("{} [{}]", i.finding.found, i.finding.rule)).collect();
        let mut change = None;
        let mut refused = 0;
        if !rules.is_empty() {
            match self.tighten_entry(root, dir, subject, rules) {
                Ok(done) => {
                    change = done;
                    if let Some(lockout) = find_lockout(subject, &self.context) {
                        refused = 1;
                        reasons.insert(0, lockout.describe(subject, &self.context));
                    }
                }
                Err(reason) => {
                    refused = 1;
                    reasons.insert(0, reason);
                }
            }
        }
        let mut state = lock_mutex(&self.state);
        state.done.changed += u64::from(change.is_some());
        state.done.refused += refused;
        state.done.left += rest.len() as u64;
        for issue in others.into_iter().filter(|i| i.finding.severity == Severity::Warning) {
            state.done.count_warning(issue.finding.rule);
        }
        if let Some(change) = change {
            let after = subject.tightened_mode(&self.context);
            let lockout = lockout::find_lockout(subject, after, &self.context);
            state.done.locked += u64::from(lockout == Some(Lockout::Anybody));
            state.write_record(self.options.format, &change, || format!("{}", ChangeLine(&change)));
        }
        if !reasons.is_empty() {
            let path = root.real_path(subject);
            reasons.into_iter().for_each(|reason| self.report_left(&mut state, &path, reason));
        }
    }

    fn report_error(&self, path: PathBuf, error: Errno) {
        self.diag.error(path.display(), crate::reason(error));
    }
}

impl FixCounts {
    fn count_warning(&mut self, rule: String) {
        *self.warnings.entry(rule).or_default() += 1;
    }
}

impl FixerState<'_> {
    fn write_record<R: common::record::Record>(
        &mut self,
        format: Format,
        record: &R,
        text: impl Fn() -> String,
    ) {
        if self.output.is_ok() {
            self.output = match format {
                Format::Json => common::record::write(self.to, record),
                Format::Text => writeln!(self.to, "{}", text()),
            };
        }
    }
}

struct ChangeLine<'a>(&'a PermissionChange);

impl std::fmt::Display for ChangeLine<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let c = self.0;
        let acl = if c.acl_removed_hex.is_some() { ", ACL removed" } else { "" };
        let would = if c.dry_run { "would change" } else { "changed" };
        write!(
            f,
            "{would} {}: {} to {}{acl} [{}]",
            Safe(&c.path.path),
            c.mode_before,
            c.mode_after,
            c.rules.join(", ")
        )
    }
}

/// Rejects entries that cannot be changed safely, even by root.
fn check_fixable(s: &AuditedEntry<'_>) -> Result<(), String> {
    let kind = s.file_type();
    if matches!(kind, FileType::Symlink | FileType::CharacterDevice | FileType::BlockDevice) {
        return Err(format!("it is {}", common::fsat::kind(u32::from(s.st.stx_mode))));
    }
    if !s.owner.admits(s.st.stx_uid) {
        return Err(format!("it is owned by uid {}, which the policy does not allow", s.st.stx_uid));
    }
    if kind != FileType::Directory && s.st.stx_nlink > 1 {
        return Err(format!(
            "it has {} hard links: the change would also apply to the other names",
            s.st.stx_nlink
        ));
    }
    if s.has_attribute(StatxAttributes::IMMUTABLE) || s.has_attribute(StatxAttributes::APPEND) {
        return Err("it has an immutable or append-only flag".into());
    }
    Ok(())
}

fn is_same_entry(now: &Statx, checked: &Statx) -> bool {
    let identity = |st: &Statx| {
        (FileId::of_statx(st), walk::mount_of(st), st.stx_uid, st.stx_gid, st.stx_mode, file_type(st))
    };
    identity(now) == identity(checked)
        && (now.stx_nlink == checked.stx_nlink || file_type(now) == FileType::Directory)
}

/// Changes the mode and then removes the ACL: with an ACL the group bits are its mask (acl(5)), so access never widens in
/// between. The error says whether the mode was restored.
fn apply_change(place: &str, before: Mode, after: Mode, acl: bool) -> Result<(), (Errno, bool)> {
    let chmod = |mode: Mode| rfs::chmod(place, rfs::Mode::from_raw_mode(mode.0));
    chmod(after).map_err(|e| (e, true))?;
    if !acl {
        return Ok(());
    }
    rfs::removexattr(place, xattr::ACCESS).map_err(|e| (e, chmod(before).is_ok()))
}

/// Returns the path of a descriptor. `fchmod` fails with EBADF on a descriptor opened with `O_PATH` (open(2)).
fn proc_path(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

fn read_attribute(place: &str, name: &str) -> rustix::io::Result<Option<Vec<u8>>> {
    let mut value = vec![0; 64 << 10];
    match rfs::getxattr(place, name, &mut value[..]) {
        Ok(n) => Ok(Some(value[..n].to_vec())),
        Err(Errno::NODATA | Errno::NOTSUP) => Ok(None),
        Err(e) => Err(e),
    }
}
