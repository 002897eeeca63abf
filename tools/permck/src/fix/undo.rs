//! Restores modes and ACLs where the entry is provably the one that was changed and has not changed since.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use common::finding::unhex;
use common::policy::Mode;
use common::record::permck::PermissionChange;
use rustix::fs::{self as rfs, OFlags, Statx};
use rustix::io::Errno;

use super::identity::{ChangeRights, birth_time, format_timestamp};
use super::{proc_path, read_attribute};
use crate::xattr;
use common::file_id::FileId;
use common::walk::stat_open;

/// Undoes the changes of one record, the last first.
pub(crate) struct Undoer {
    dry_run: bool,
    rights: ChangeRights,
    /// For each undone entry: its status change time before the change, and after the undo.
    undone: HashMap<FileId, (Option<String>, String)>,
}

impl Undoer {
    pub(crate) fn new(dry_run: bool) -> Self {
        Self { dry_run, rights: ChangeRights::of_process(), undone: HashMap::new() }
    }

    /// Restores the mode and ACL before one change. Returns `Ok(false)` where the change was never made or was undone
    /// before.
    pub(crate) fn undo_change(&mut self, change: &PermissionChange) -> Result<bool, String> {
        // The entry must be the one that was changed.
        let fd = open_without_symlinks(&change_path(change)?)?;
        let st = stat_open(&fd).map_err(crate::reason)?;
        check_same_entry(&st, change)?;
        let (before, after) = (parse_mode(&change.mode_before)?, parse_mode(&change.mode_after)?);
        // It must still have the mode and ACL that the change left.
        let now = Mode::of(u32::from(st.stx_mode));
        let fd_path = proc_path(&fd);
        let acl = change.acl_removed_hex.as_deref().map(parse_hex).transpose()?;
        let has_acl = read_attribute(&fd_path, xattr::ACCESS).map_err(crate::reason)?.is_some();
        if now == before && (has_acl || acl.is_none()) {
            return Ok(false);
        }
        if now != after {
            return Err(format!("it was changed since: mode {now}, expected {after}"));
        }
        // An ACL that the change left is there still; where nothing proves that it is the same one, it counts as new.
        if has_acl && (acl.is_some() || change.ctime_after.is_none()) {
            return Err("it was changed since: it has another ACL".into());
        }
        // Its content must not have changed, above all if a setuid or setgid bit is restored.
        let restores_setid = before.beyond(after).0 & 0o6000 != 0;
        self.check_unchanged(&st, change, restores_setid)?;
        self.rights.check_owner(st.stx_uid)?;
        if self.dry_run {
            return Ok(true);
        }
        // The ACL comes first: the mode then sets its mask.
        if let Some(acl) = &acl {
            rfs::setxattr(&fd_path, xattr::ACCESS, acl, rfs::XattrFlags::empty()).map_err(crate::reason)?;
        }
        let chmod =
            |mode: Mode| rfs::chmod(&fd_path, rfs::Mode::from_raw_mode(mode.0)).map_err(crate::reason);
        chmod(before)?;
        let then = stat_open(&fd).map_err(crate::reason)?;
        // Its owner may have written to it meanwhile.
        if restores_setid && content_stamp(&then) != content_stamp(&st) {
            chmod(after)?;
            return Err("it was changed during the undo".into());
        }
        // The kernel clears setgid where the caller is not in the group, without an error (chmod(2)).
        let got = Mode::of(u32::from(then.stx_mode));
        if got != before {
            return Err(format!("the kernel set mode {got}, not {before}; run permck undo as root"));
        }
        self.undone
            .insert(FileId::of_statx(&st), (change.ctime_before.clone(), format_timestamp(&then.stx_ctime)));
        Ok(true)
    }

    /// Checks that nothing has happened to the entry since the change. Its owner cannot set the status change time. Where
    /// that is missing, because the run was killed between the change and its second line, size, modification time and
    /// creation time decide, but never about setuid and setgid bits.
    fn check_unchanged(
        &self,
        st: &Statx,
        change: &PermissionChange,
        restores_setid: bool,
    ) -> Result<(), String> {
        let now = format_timestamp(&st.stx_ctime);
        let Some(after) = &change.ctime_after else {
            let known = (change.size_bytes, change.mtime.as_ref(), change.btime.is_some());
            if restores_setid || known != (Some(st.stx_size), Some(&format_timestamp(&st.stx_mtime)), true) {
                return Err("the record does not prove that it is unchanged".into());
            }
            return Ok(());
        };
        // Changed twice by permck, and the later change is undone: it is as the earlier one left it.
        let ours = self.undone.get(&changed_file(change));
        let ours = ours.is_some_and(|(before, undone)| before.as_ref() == Some(after) && *undone == now);
        if now == *after || ours {
            return Ok(());
        }
        Err(format!("it was changed since: last at {now}"))
    }
}

fn content_stamp(st: &Statx) -> (u64, String) {
    (st.stx_size, format_timestamp(&st.stx_mtime))
}

fn check_same_entry(st: &Statx, change: &PermissionChange) -> Result<(), String> {
    let same = (FileId::of_statx(st), st.stx_uid) == (changed_file(change), change.uid);
    let same_group = change.gid.is_none_or(|gid| gid == st.stx_gid);
    let same_birth = change.btime.is_none() || birth_time(st).is_none() || change.btime == birth_time(st);
    if same && same_group && same_birth {
        return Ok(());
    }
    Err("it was replaced by another file, or its owner or group changed".into())
}

/// Opens an absolute path component by component, none of them a symbolic link. The path may be longer than PATH_MAX.
fn open_without_symlinks(path: &Path) -> Result<OwnedFd, String> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut names = path.components().filter_map(|c| match c {
        Component::Normal(name) => Some(name),
        _ => None,
    });
    let mut fd = rfs::open("/", flags | OFlags::DIRECTORY, rfs::Mode::empty()).map_err(crate::reason)?;
    let mut next = names.next();
    while let Some(name) = next {
        next = names.next();
        let flags = if next.is_some() { flags | OFlags::DIRECTORY } else { flags };
        fd = rfs::openat(&fd, name, flags, rfs::Mode::empty()).map_err(|e| match e {
            Errno::NOTDIR => "a directory of its path is now a symbolic link or a file".to_owned(),
            e => crate::reason(e),
        })?;
    }
    Ok(fd)
}

fn changed_file(change: &PermissionChange) -> FileId {
    FileId { device: change.device, inode: change.inode }
}

fn change_path(change: &PermissionChange) -> Result<PathBuf, String> {
    let path = change.path.to_path().ok_or("invalid record: malformed hexadecimal")?;
    if path.is_absolute() && !path.components().any(|c| c == Component::ParentDir) {
        return Ok(path);
    }
    Err("invalid record: the path is not absolute".into())
}

fn parse_mode(text: &str) -> Result<Mode, String> {
    Mode::parse(text).ok_or_else(|| format!("invalid record: mode {text:?} is not octal"))
}

fn parse_hex(hex: &str) -> Result<Vec<u8>, String> {
    unhex(hex.as_bytes()).ok_or_else(|| "invalid record: malformed hexadecimal".into())
}
