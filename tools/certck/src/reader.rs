//! Whether another user could read a certificate directory, as the program of that user must.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use common::accounts::AccountTable;
use common::finding::Finding;
use common::pki::rule;
use common::policy::{Mode, shell_quote};

/// The user whose program reads a directory.
pub(crate) struct DirectoryReaderUser {
    uid: u32,
    name: String,
    groups: Vec<u32>,
}

impl DirectoryReaderUser {
    /// A user by number, with the groups of `/etc/group`.
    pub(crate) fn new(uid: u32) -> Self {
        let accounts = AccountTable::load(Path::new("/"));
        let user = accounts.user_name(uid).unwrap_or_default();
        let groups = accounts.groups_of(user).into_iter().map(|(_, gid)| gid).collect();
        Self { uid, name: accounts.describe_user(uid), groups }
    }

    /// Finds the obstacles to reading the files of a directory: of each file, the first on its path.
    ///
    /// Access control lists are not evaluated: where there is one, nothing is reported.
    pub(crate) fn find_unreadable(&self, dir: &Path, names: &[&str]) -> Vec<Finding> {
        const SEARCH: u32 = 1;
        const READ: u32 = 4;
        if self.uid == 0 {
            return Vec::new();
        }
        let Ok(real) = dir.canonicalize() else { return Vec::new() };
        let above: Vec<PathBuf> = real.ancestors().skip(1).map(Path::to_owned).collect();
        let mut on_the_way =
            above.into_iter().rev().map(|path| (path, SEARCH)).chain([(real.clone(), READ | SEARCH)]);
        if let Some(finding) = on_the_way.find_map(|(path, bits)| self.explain_denial(&path, bits)) {
            return vec![finding];
        }
        names.iter().filter_map(|name| self.explain_denial(&real.join(name), READ)).collect()
    }

    /// The finding for a path that this user may not use in a way, if so.
    fn explain_denial(&self, path: &Path, bits: u32) -> Option<Finding> {
        let meta = path.metadata().ok()?;
        if self.class_bits(&meta) & bits == bits || has_acl(path) {
            return None;
        }
        let verb = if meta.is_dir() { "enter" } else { "read" };
        let owner = meta.uid();
        Some(
            rule::UNREADABLE
                .at(path)
                .found(format!(
                    "mode {}, owner uid {owner}: {} may not {verb} it",
                    Mode::of(meta.mode()),
                    self.name
                ))
                .expected(format!("readable for {}, who runs the program (--owner)", self.name))
                .fix(format!("chown {} {}", self.uid, shell_quote(path))),
        )
    }

    /// The permission bits that apply to this user: of the owner, the group or others, as in path_resolution(7).
    fn class_bits(&self, meta: &Metadata) -> u32 {
        let shift = match () {
            () if meta.uid() == self.uid => 6,
            () if self.groups.contains(&meta.gid()) => 3,
            () => 0,
        };
        meta.mode() >> shift & 7
    }
}

fn has_acl(path: &Path) -> bool {
    let mut value = [0; 1];
    // ERANGE: there is an ACL, and it is larger than the buffer (getxattr(2)).
    match rustix::fs::getxattr(path, "system.posix_acl_access", &mut value[..]) {
        Ok(_) | Err(rustix::io::Errno::RANGE) => true,
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_keeps_a_user_out_is_named_once() {
        let dir = tempfile::tempdir().unwrap();
        let meta = dir.path().metadata().unwrap();
        let me = DirectoryReaderUser { uid: meta.uid().max(1), name: "me".into(), groups: vec![meta.gid()] };
        let other =
            DirectoryReaderUser { uid: 4_000_000, name: "other (uid 4000000)".into(), groups: vec![] };
        let (open, closed) = (dir.path().join("open"), dir.path().join("closed"));
        std::fs::create_dir(&open).unwrap();
        std::fs::create_dir(&closed).unwrap();
        for (path, mode) in [(dir.path(), 0o755), (&open, 0o755), (&closed, 0o700)] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        std::fs::write(open.join("key"), "").unwrap();
        std::fs::set_permissions(open.join("key"), std::fs::Permissions::from_mode(0o600)).unwrap();
        let found = |user: &DirectoryReaderUser, dir: &Path| -> Vec<String> {
            user.find_unreadable(dir, &["key", "absent"]).into_iter().map(|f| f.path).collect()
        };
        assert_eq!(found(&other, &open), [open.join("key").canonicalize().unwrap().to_string_lossy()]);
        assert_eq!(found(&other, &closed), [closed.canonicalize().unwrap().to_string_lossy()]);
        if meta.uid() != 0 {
            assert!(found(&me, &closed).is_empty());
        }
        let groups = DirectoryReaderUser { groups: vec![meta.gid()], ..other };
        std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o750)).unwrap();
        assert!(found(&groups, &closed).is_empty());
    }
}
