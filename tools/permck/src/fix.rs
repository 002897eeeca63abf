//! Tightens what an audit found, through descriptors, and writes down each change before it is made.
//!
//! An entry is opened without following links, and is left alone unless device, inode, owner and mode are still
//! those that were judged. Only permission bits are taken away, and ACLs that grant beside them; nothing is ever
//! granted, and what belongs to others or has other names is refused.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use common::finding::{Severity, hex};
use common::out::{Diag, Format};
use common::policy::Mode;
use common::record::Line;
use common::record::permck::{Change, Refusal};
use common::text::Safe;
use rustix::fs::{self as rfs, FileType, OFlags, Statx, StatxAttributes};
use rustix::io::Errno;

use crate::inspect::{Issue, Root, Sink};
use crate::rule::Subject;
use crate::walk::{Dir, device, fstat, kind};
use crate::xattr;

/// The rules whose findings can be mended by taking away permissions.
const MENDABLE: [&str; 5] = ["world-writable", "group-writable", "mode", "special-bits", "acl"];

/// Counts of a run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Done {
    pub(crate) changed: u64,
    pub(crate) refused: u64,
    /// Findings that need a person.
    pub(crate) left: u64,
}

/// The sink that mends.
pub(crate) struct Fixer<'a> {
    diag: &'a Diag,
    state: Mutex<State<'a>>,
    /// Where changes are written down; none in a dry run.
    record: Option<File>,
    format: Format,
    /// Findings below this are neither mended nor counted.
    least: Severity,
}

struct State<'a> {
    to: &'a mut (dyn Write + Send),
    done: Done,
    broken: io::Result<()>,
}

impl<'a> Fixer<'a> {
    pub(crate) fn new(
        diag: &'a Diag,
        to: &'a mut (dyn Write + Send),
        record: Option<File>,
        format: Format,
    ) -> Self {
        let state = State { to, done: Done::default(), broken: Ok(()) };
        Self { diag, state: Mutex::new(state), record, format, least: Severity::Error }
    }

    /// What was done, once every change is on disk.
    pub(crate) fn finish(self) -> io::Result<Done> {
        if let Some(record) = &self.record {
            record.sync_all()?;
        }
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.broken.map(|()| state.done)
    }

    fn lock(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mend(&self, root: &Root, dir: &Dir, s: &Subject<'_>, rules: Vec<String>) -> Result<Change, String> {
        refuse(s)?;
        let acl = rules.iter().any(|r| r == "acl");
        let after = if acl { crate::rule::acl::without_acl(s) } else { s.tightened() };
        let fd = open(dir, s.name).map_err(crate::reason)?;
        if !same(&fstat(&fd).map_err(crate::reason)?, s.st) {
            return Err("it changed while it was looked at".into());
        }
        let place = format!("/proc/self/fd/{}", fd.as_raw_fd());
        let removed = if acl { attribute(&place, xattr::ACCESS).map_err(crate::reason)? } else { None };
        let path = real(root, s);
        let change = Change {
            path: path.to_string_lossy().into_owned(),
            path_hex: path.to_str().is_none().then(|| hex(path.as_os_str().as_bytes())),
            rules,
            device: device(s.st),
            inode: s.st.stx_ino,
            uid: s.st.stx_uid,
            mode_before: s.mode().to_string(),
            mode_after: after.to_string(),
            acl_removed_hex: removed.as_deref().map(hex),
            dry_run: self.record.is_none(),
        };
        if let Some(record) = &self.record {
            write_down(record, &change).map_err(|e| format!("cannot record the change: {e}"))?;
            tighten(&place, after, removed.is_some()).map_err(crate::reason)?;
        }
        Ok(change)
    }
}

impl Sink for Fixer<'_> {
    fn issues(&self, root: &Root, dir: &Dir, subject: &Subject<'_>, issues: Vec<Issue>) {
        let grave = issues.into_iter().filter(|i| i.finding.severity >= self.least);
        let (mendable, rest): (Vec<_>, Vec<_>) =
            grave.partition(|i| MENDABLE.contains(&i.finding.rule.as_str()));
        let mut reasons: Vec<String> =
            rest.iter().map(|i| format!("{} [{}]", i.finding.found, i.finding.rule)).collect();
        let mut change = None;
        let mut refused = 0;
        if !mendable.is_empty() {
            match self.mend(root, dir, subject, mendable.into_iter().map(|i| i.finding.rule).collect()) {
                Ok(done) => change = Some(done),
                Err(reason) => {
                    refused = 1;
                    reasons.insert(0, reason);
                }
            }
        }
        let mut state = self.lock();
        state.done.changed += u64::from(change.is_some());
        state.done.refused += refused;
        state.done.left += rest.len() as u64;
        let path = subject.path();
        if let Some(change) = change {
            state.write(self.format, &change, || format!("{}", Shown(&change)));
        }
        for reason in reasons {
            let refusal = Refusal {
                path: path.to_string_lossy().into_owned(),
                path_hex: path.to_str().is_none().then(|| hex(path.as_os_str().as_bytes())),
                reason,
            };
            state.write(self.format, &refusal, || {
                format!("left {}: {}", Safe(&refusal.path), Safe(&refusal.reason))
            });
        }
    }

    fn failed(&self, path: PathBuf, error: Errno) {
        self.diag.error(path.display(), crate::reason(error));
    }
}

impl State<'_> {
    fn write<R: common::record::Record>(&mut self, format: Format, record: &R, text: impl Fn() -> String) {
        if self.broken.is_ok() {
            self.broken = match format {
                Format::Json => line(self.to, record),
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
    if below.is_empty() { root.real.clone() } else { root.real.join(std::ffi::OsStr::from_bytes(&below)) }
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
    let kind = s.kind();
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

/// Opens an entry, or the directory itself, for nothing but being changed.
fn open(dir: &Dir, name: &CStr) -> rustix::io::Result<OwnedFd> {
    let name = if name.is_empty() { c"." } else { name };
    rfs::openat(dir, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, rfs::Mode::empty())
}

fn same(now: &Statx, judged: &Statx) -> bool {
    let identity = |st: &Statx| (device(st), st.stx_ino, st.stx_uid, st.stx_mode, kind(st));
    identity(now) == identity(judged)
        && (now.stx_nlink == judged.stx_nlink || kind(now) == FileType::Directory)
}

/// Bits first: with an ACL they are its mask, so nobody has more in between.
fn tighten(place: &str, mode: Mode, acl: bool) -> rustix::io::Result<()> {
    rfs::chmod(place, rfs::Mode::from_raw_mode(mode.0))?;
    if acl {
        rfs::removexattr(place, xattr::ACCESS)?;
    }
    Ok(())
}

fn attribute(place: &str, name: &str) -> rustix::io::Result<Option<Vec<u8>>> {
    let mut value = vec![0; 64 << 10];
    match rfs::getxattr(place, name, &mut value[..]) {
        Ok(n) => Ok(Some(value[..n].to_vec())),
        Err(Errno::NODATA | Errno::NOTSUP) => Ok(None),
        Err(e) => Err(e),
    }
}

/// One write per line, so that lines of several threads do not mix and a killed run loses none.
fn write_down(mut file: &File, change: &Change) -> io::Result<()> {
    let mut bytes = Vec::new();
    line(&mut bytes, change)?;
    file.write_all(&bytes)
}

fn line<R: common::record::Record>(to: &mut dyn Write, record: &R) -> io::Result<()> {
    serde_json::to_writer(&mut *to, &Line::new(record)).map_err(io::Error::from)?;
    to.write_all(b"\n")
}

/// Puts one change back, if its entry is still as the change left it. `Ok(false)` where it never happened or
/// was put back before.
pub(crate) fn undo(change: &Change, dry_run: bool) -> Result<bool, String> {
    let path = path_of(change)?;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = rfs::ResolveFlags::NO_SYMLINKS;
    let fd = rfs::openat2(rfs::CWD, &path, flags, rfs::Mode::empty(), resolve).map_err(|e| match e {
        Errno::LOOP => "a link is in its way".to_owned(),
        e => crate::reason(e),
    })?;
    let st = fstat(fd.as_fd()).map_err(crate::reason)?;
    if (device(&st), st.stx_ino, st.stx_uid) != (change.device, change.inode, change.uid) {
        return Err("it is another file now, or has another owner".into());
    }
    let (before, after) = (octal(&change.mode_before)?, octal(&change.mode_after)?);
    let now = Mode::of(u32::from(st.stx_mode));
    let place = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let acl = change.acl_removed_hex.as_deref().map(unhex).transpose()?;
    let acl_there = attribute(&place, xattr::ACCESS).map_err(crate::reason)?.is_some();
    if now == before && acl_there == acl.is_some() {
        return Ok(false);
    }
    if now != after || acl_there {
        return Err(format!("it was changed since: mode {now}, not {after}"));
    }
    if dry_run {
        return Ok(true);
    }
    let put_back = || {
        if let Some(acl) = &acl {
            rfs::setxattr(&place, xattr::ACCESS, acl, rfs::XattrFlags::empty())?;
        }
        rfs::chmod(&place, rfs::Mode::from_raw_mode(before.0))
    };
    put_back().map(|()| true).map_err(crate::reason)
}

fn path_of(change: &Change) -> Result<PathBuf, String> {
    let path = match &change.path_hex {
        Some(bytes) => PathBuf::from(std::ffi::OsStr::from_bytes(&unhex(bytes)?)),
        None => PathBuf::from(&change.path),
    };
    if path.is_absolute() && !path.components().any(|c| c == std::path::Component::ParentDir) {
        return Ok(path);
    }
    Err("the record names no absolute path".into())
}

fn octal(text: &str) -> Result<Mode, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|m| *m <= 0o7777);
    mode.map(Mode).ok_or_else(|| format!("the record's mode {text:?} is none"))
}

fn unhex(text: &str) -> Result<Vec<u8>, String> {
    let digit = |b: u8| char::from(b).to_digit(16);
    let byte = |pair: &[u8]| Some((digit(pair[0])? << 4 | digit(*pair.get(1)?)?) as u8);
    text.as_bytes()
        .chunks(2)
        .map(byte)
        .collect::<Option<_>>()
        .ok_or_else(|| "the record's hex is none".into())
}

/// Where changes are written down when the user names no place.
pub(crate) fn default_record(now: time::OffsetDateTime) -> PathBuf {
    let format = time::macros::format_description!("[year][month][day]T[hour][minute][second]Z");
    let stamp = now.format(&format).unwrap_or_else(|_| "now".into());
    Path::new(&format!("permck-fix-{stamp}.jsonl")).to_owned()
}
