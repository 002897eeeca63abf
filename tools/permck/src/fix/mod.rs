//! Tightens what an audit found, through descriptors, and writes down each change before it is made.
//!
//! An entry is opened without following links and without leaving its mount, and is left alone unless device, inode,
//! owner and mode are still those that were judged. Only permission bits are taken away, and ACLs that grant beside
//! them; nothing is ever granted, and what belongs to others or has other names is refused.

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
use common::record::permck::{Change, Refusal};
use common::text::Safe;
use rustix::fs::{self as rfs, FileType, OFlags, StatVfsMountFlags, Statx, StatxAttributes};
use rustix::io::Errno;

use crate::inspect::Sink;
use crate::plan::{Issue, Root};
use crate::rule::lockout::{self, Lockout};
use crate::rule::{Judge, Subject};
use crate::xattr::{self, Acl};
use common::walk::{self, OpenDirectory, device_of, file_type, stat_open};
use identity::{Rights, born, moment};

mod identity;
pub(crate) mod journal;
mod undo;

use journal::Journal;
pub(crate) use undo::Undoer;

/// The rules whose findings can be mended by taking away permissions. A default ACL is not among them: without one
/// the umask of whoever creates an entry decides, which may be more.
const MENDABLE: [&str; 5] = ["world-writable", "group-writable", "mode", "special-bits", "acl"];

/// How a run goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    pub(crate) format: Format,
    /// Whether what is mounted below a path is changed, too.
    pub(crate) cross_mounts: bool,
    /// Whether paths of the system are changed, too.
    pub(crate) system: bool,
}

/// Counts of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Done {
    pub(crate) changed: u64,
    pub(crate) refused: u64,
    /// Findings of severity error that need a person.
    pub(crate) left: u64,
    /// Findings of severity warning by rule: they are not mended.
    pub(crate) warnings: BTreeMap<String, u64>,
    /// Entries of root's group that others could use before.
    pub(crate) locked: u64,
}

/// The sink that mends.
pub(crate) struct Fixer<'a> {
    diag: &'a Diag,
    state: Mutex<State<'a>>,
    /// Where changes are written down; none in a dry run.
    journal: Option<Mutex<Journal>>,
    manner: Manner,
    rights: Rights,
    judge: Judge,
}

struct State<'a> {
    to: &'a mut (dyn Write + Send),
    done: Done,
    /// What became of the output.
    output: io::Result<()>,
    /// What became of the record: without one nothing is changed.
    record: io::Result<()>,
}

impl<'a> Fixer<'a> {
    pub(crate) fn new(
        diag: &'a Diag,
        to: &'a mut (dyn Write + Send),
        journal: Option<Journal>,
        manner: Manner,
        judge: Judge,
    ) -> Self {
        let state = State { to, done: Done::default(), output: Ok(()), record: Ok(()) };
        let journal = journal.map(Mutex::new);
        Self { diag, state: Mutex::new(state), journal, manner, rights: Rights::own(), judge }
    }

    /// What was done, and what became of the record and the output, once every change is on disk.
    pub(crate) fn finish(self) -> (Done, io::Result<()>, io::Result<()>) {
        let synced = self.journal.as_ref().map_or(Ok(()), |j| lock(j).sync());
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        (state.done, state.record.and(synced), state.output)
    }

    fn mend(
        &self,
        root: &Root,
        dir: &OpenDirectory,
        s: &Subject<'_>,
        rules: Vec<String>,
    ) -> Result<Option<Change>, String> {
        refuse(s)?;
        self.rights.check(s.st.stx_uid)?;
        let acl = rules.iter().any(|r| r == "acl");
        let fd = self.open(root, dir, s.name).map_err(crate::reason)?;
        if !same(&stat_open(&fd).map_err(crate::reason)?, s.st) {
            return Err("it changed while it was looked at".into());
        }
        if rfs::fstatvfs(&fd).is_ok_and(|fs| fs.f_flag.contains(StatVfsMountFlags::RDONLY)) {
            return Err("its file system is mounted read-only".into());
        }
        let place = proc_path(&fd);
        let there = attribute(&place, xattr::ACCESS).map_err(crate::reason)?;
        if there.as_deref().map(Acl::parse) != s.xattrs.access {
            return Err("its ACL changed while it was looked at".into());
        }
        let wanted = if acl { crate::rule::acl::without_acl(s) } else { s.tightened() };
        let after = match self.cut_off(s) {
            // Writing is taken away all the same.
            Some(_) => Mode(wanted.0 | lockout::lost(s, wanted)),
            None => wanted,
        };
        if after == s.mode() && !acl {
            return Ok(None);
        }
        let removed = there.filter(|_| acl);
        let path = real(root, s);
        let mut change = Change {
            path: path.to_string_lossy().into_owned(),
            path_hex: path.to_str().is_none().then(|| hex(path.as_os_str().as_bytes())),
            rules,
            device: device_of(s.st),
            inode: s.st.stx_ino,
            uid: s.st.stx_uid,
            gid: Some(s.st.stx_gid),
            size_bytes: Some(s.st.stx_size),
            mtime: Some(moment(&s.st.stx_mtime)),
            btime: born(s.st),
            ctime_before: Some(moment(&s.st.stx_ctime)),
            ctime_after: None,
            mode_before: s.mode().to_string(),
            mode_after: after.to_string(),
            acl_removed_hex: removed.as_deref().map(hex),
            dry_run: self.journal.is_none(),
        };
        let Some(journal) = &self.journal else { return Ok(Some(change)) };
        let mut journal = lock(journal);
        let start = journal.end();
        self.write_down(&mut journal, &change)?;
        if let Err((e, undone)) = tighten(&place, s.mode(), after, removed.is_some()) {
            // It was not made, and must not stand there as if it were.
            if undone {
                journal.cut(start).map_err(|e| self.broken(e))?;
            }
            return Err(crate::reason(e));
        }
        change.ctime_after = Some(moment(&stat_open(&fd).map_err(crate::reason)?.stx_ctime));
        // The change is made and its first line is there: whatever becomes of the second, it counts.
        let _ = self.write_down(&mut journal, &change);
        Ok(Some(change))
    }

    /// Whether an account that is known would lose what it has as one of the others. A private key is closed whoever
    /// that keeps out.
    fn cut_off(&self, s: &Subject<'_>) -> Option<Lockout> {
        let lockout = lockout::of(s, s.tightened(), &self.judge)?;
        (s.secret.is_none() && lockout != Lockout::Anybody).then_some(lockout)
    }

    /// A user who names a mounted file means that file; below a directory, what is mounted is not the tree's.
    fn open(&self, root: &Root, dir: &OpenDirectory, name: &CStr) -> rustix::io::Result<OwnedFd> {
        let name = if name.is_empty() { c"." } else { name };
        walk::open_entry(dir.as_fd(), name, OFlags::PATH, self.manner.cross_mounts || !root.is_dir)
    }

    fn write_down(&self, journal: &mut Journal, change: &Change) -> Result<(), String> {
        if self.stopped() {
            return Err(STOPPED.into());
        }
        journal.write(change).map_err(|e| match e.kind() {
            io::ErrorKind::InvalidFilename => e.to_string(),
            _ => self.broken(e),
        })
    }

    /// Remembers that the record cannot be written: from now on nothing is changed.
    fn broken(&self, error: io::Error) -> String {
        lock(&self.state).record = Err(error);
        STOPPED.into()
    }

    fn stopped(&self) -> bool {
        lock(&self.state).record.is_err()
    }

    fn left(&self, state: &mut State<'_>, path: &Path, reason: String) {
        let refusal = Refusal {
            path: path.to_string_lossy().into_owned(),
            path_hex: path.to_str().is_none().then(|| hex(path.as_os_str().as_bytes())),
            reason,
        };
        let left = if self.journal.is_none() { "would leave" } else { "left" };
        state.write(self.manner.format, &refusal, || {
            format!("{left} {}: {}", Safe(&refusal.path), Safe(&refusal.reason))
        });
    }
}

const STOPPED: &str = "the change cannot be written down";

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sink for Fixer<'_> {
    fn admit(&self, root: &Root) -> Result<(), String> {
        if self.manner.system || !common::system_paths::is_system_path(&root.real) {
            return Ok(());
        }
        Err("is part of the system, whose files the classes do not describe: --system tightens it all the same".into())
    }

    /// Where the trees lie is for people to mend.
    fn place(&self, issues: Vec<Issue>) {
        let mut state = lock(&self.state);
        for Issue { finding, .. } in issues {
            match finding.severity {
                Severity::Error => {
                    state.done.left += 1;
                    let path = PathBuf::from(OsStr::from_bytes(&finding.path_bytes()));
                    self.left(&mut state, &path, format!("{} [{}]", finding.found, finding.rule));
                }
                Severity::Warning => state.done.warn(finding.rule),
                Severity::Note => {}
            }
        }
    }

    fn issues(&self, root: &Root, dir: &OpenDirectory, subject: &Subject<'_>, issues: Vec<Issue>) {
        if self.stopped() {
            return;
        }
        let (errors, others): (Vec<_>, Vec<_>) =
            issues.into_iter().partition(|i| i.finding.severity == Severity::Error);
        let (mendable, rest): (Vec<_>, Vec<_>) =
            errors.into_iter().partition(|i| MENDABLE.contains(&i.finding.rule.as_str()));
        let mut reasons: Vec<String> =
            rest.iter().map(|i| format!("{} [{}]", i.finding.found, i.finding.rule)).collect();
        let mut change = None;
        let mut refused = 0;
        if !mendable.is_empty() {
            match self.mend(root, dir, subject, mendable.into_iter().map(|i| i.finding.rule).collect()) {
                Ok(done) => {
                    change = done;
                    if let Some(lockout) = self.cut_off(subject) {
                        refused = 1;
                        reasons.insert(0, lockout.reason(subject, &self.judge));
                    }
                }
                Err(reason) => {
                    refused = 1;
                    reasons.insert(0, reason);
                }
            }
        }
        let mut state = lock(&self.state);
        state.done.changed += u64::from(change.is_some());
        state.done.refused += refused;
        state.done.left += rest.len() as u64;
        for issue in others.into_iter().filter(|i| i.finding.severity == Severity::Warning) {
            state.done.warn(issue.finding.rule);
        }
        if let Some(change) = change {
            let lockout = lockout::of(subject, subject.tightened(), &self.judge);
            state.done.locked += u64::from(lockout == Some(Lockout::Anybody));
            state.write(self.manner.format, &change, || format!("{}", Shown(&change)));
        }
        if !reasons.is_empty() {
            let path = real(root, subject);
            reasons.into_iter().for_each(|reason| self.left(&mut state, &path, reason));
        }
    }

    fn failed(&self, path: PathBuf, error: Errno) {
        self.diag.error(path.display(), crate::reason(error));
    }
}

impl Done {
    fn warn(&mut self, rule: String) {
        *self.warnings.entry(rule).or_default() += 1;
    }
}

impl State<'_> {
    fn write<R: common::record::Record>(&mut self, format: Format, record: &R, text: impl Fn() -> String) {
        if self.output.is_ok() {
            self.output = match format {
                Format::Json => common::record::write(self.to, record),
                Format::Text => writeln!(self.to, "{}", text()),
            };
        }
    }
}

/// The path without links, which finds the entry again.
fn real(root: &Root, s: &Subject<'_>) -> PathBuf {
    // A file that was audited by itself stands below its directory.
    if !root.is_dir {
        return root.real.clone();
    }
    let mut below = Vec::new();
    s.node.relative((!s.name.is_empty()).then(|| s.name.to_bytes()), &mut below);
    if below.is_empty() { root.real.clone() } else { root.real.join(OsStr::from_bytes(&below)) }
}

struct Shown<'a>(&'a Change);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let c = self.0;
        let acl = if c.acl_removed_hex.is_some() { ", ACL removed" } else { "" };
        let would = if c.dry_run { "would change" } else { "changed" };
        write!(
            f,
            "{would} {}: {} to {}{acl} [{}]",
            Safe(&c.path),
            c.mode_before,
            c.mode_after,
            c.rules.join(", ")
        )
    }
}

/// What cannot be done safely, whoever runs it.
fn refuse(s: &Subject<'_>) -> Result<(), String> {
    let kind = s.file_type();
    if matches!(kind, FileType::Symlink | FileType::CharacterDevice | FileType::BlockDevice) {
        return Err(format!("it is {}", common::fsat::kind(u32::from(s.st.stx_mode))));
    }
    if !s.owner.admits(s.st.stx_uid) {
        return Err(format!("it belongs to uid {}, who is not its owner by the policy", s.st.stx_uid));
    }
    if kind != FileType::Directory && s.st.stx_nlink > 1 {
        return Err(format!("it has {} names: the change would reach the others too", s.st.stx_nlink));
    }
    if s.attribute(StatxAttributes::IMMUTABLE) || s.attribute(StatxAttributes::APPEND) {
        return Err("it has an immutable or append-only flag".into());
    }
    Ok(())
}

fn same(now: &Statx, judged: &Statx) -> bool {
    let identity = |st: &Statx| {
        (device_of(st), walk::mount_of(st), st.stx_ino, st.stx_uid, st.stx_gid, st.stx_mode, file_type(st))
    };
    identity(now) == identity(judged)
        && (now.stx_nlink == judged.stx_nlink || file_type(now) == FileType::Directory)
}

/// Bits first: with an ACL they are its mask, so nobody has more in between. Either all of it is done or nothing, as
/// far as the system lets us: the error comes with whether nothing is.
fn tighten(place: &str, before: Mode, after: Mode, acl: bool) -> Result<(), (Errno, bool)> {
    let chmod = |mode: Mode| rfs::chmod(place, rfs::Mode::from_raw_mode(mode.0));
    chmod(after).map_err(|e| (e, true))?;
    if acl && let Err(e) = rfs::removexattr(place, xattr::ACCESS) {
        return Err((e, chmod(before).is_ok()));
    }
    Ok(())
}

/// An entry by its descriptor: `fchmod` and its like refuse one that was opened for nothing.
fn proc_path(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

fn attribute(place: &str, name: &str) -> rustix::io::Result<Option<Vec<u8>>> {
    let mut value = vec![0; 64 << 10];
    match rfs::getxattr(place, name, &mut value[..]) {
        Ok(n) => Ok(Some(value[..n].to_vec())),
        Err(Errno::NODATA | Errno::NOTSUP) => Ok(None),
        Err(e) => Err(e),
    }
}
