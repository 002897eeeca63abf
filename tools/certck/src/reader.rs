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

    /// Finds the obstacles to reading the files of a directory: all on the way to it, or those at its files.
    ///
    /// Access control lists are not evaluated: where there is one, nothing is reported.
    pub(crate) fn find_unreadable(&self, dir: &Path, names: &[&str]) -> Vec<Finding> {
        if self.uid == 0 {
            return Vec::new();
        }
        let Ok(real) = dir.canonicalize() else { return Vec::new() };
        let mut above: Vec<&Path> = real.ancestors().skip(1).collect();
        above.reverse();
        let way = above.into_iter().map(|path| (path, PathPart::Above));
        let way = way.chain([(real.as_path(), PathPart::Directory)]);
        let obstacles: Vec<Finding> =
            way.filter_map(|(path, part)| self.explain_denial(path, part)).collect();
        if !obstacles.is_empty() {
            return obstacles;
        }
        let files: Vec<PathBuf> = names.iter().map(|name| real.join(name)).collect();
        files.iter().filter_map(|file| self.explain_denial(file, PathPart::File)).collect()
    }

    /// The finding for a path that this user may not use as the program must, if so.
    fn explain_denial(&self, path: &Path, part: PathPart) -> Option<Finding> {
        let meta = path.metadata().ok()?;
        let needed = part.needed_bits();
        if self.class_bits(&meta) & needed == needed || has_acl(path) {
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
                .fix(self.suggest_access(path, owner, part)),
        )
    }

    /// The change that lets this user in, and nobody else.
    fn suggest_access(&self, path: &Path, owner: u32, part: PathPart) -> String {
        let (uid, quoted) = (self.uid, shell_quote(path));
        match part {
            PathPart::Above | PathPart::Directory if owner == uid => format!("chmod u+rx {quoted}"),
            PathPart::File if owner == uid => format!("chmod u+r {quoted}"),
            // It holds other things, whose owner it must keep.
            PathPart::Above => format!(
                "move the certificates to where that user may enter, such as /etc/profguard; or, to let only that user \
                 pass: setfacl -m u:{uid}:x {quoted}"
            ),
            PathPart::Directory => format!("chown -R {uid} {quoted}"),
            PathPart::File => format!("chown {uid} {quoted}"),
        }
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

/// The part of the path of a certificate file that a permission belongs to.
#[derive(Clone, Copy)]
enum PathPart {
    /// A directory above the certificate directory.
    Above,
    /// The certificate directory.
    Directory,
    /// A file in it.
    File,
}

impl PathPart {
    /// The permissions that a program needs there, as in the mode of a file.
    fn needed_bits(self) -> u32 {
        const SEARCH: u32 = 1;
        const READ: u32 = 4;
        match self {
            Self::Above => SEARCH,
            Self::Directory => READ | SEARCH,
            Self::File => READ,
        }
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
        // A directory above belongs to others: it is not given away. What is the user's own only needs the permission.
        let fixes = |user: &DirectoryReaderUser, dir: &Path| -> Vec<String> {
            user.find_unreadable(dir, &["key"]).into_iter().map(|f| f.fix).collect()
        };
        let below = closed.join("below");
        std::fs::create_dir(&below).unwrap();
        let path = |dir: &Path| dir.canonicalize().unwrap().display().to_string();
        let above = fixes(&other, &below).remove(0);
        assert!(above.ends_with(&format!("setfacl -m u:4000000:x {}", path(&closed))), "{above}");
        assert_eq!(fixes(&other, &closed), [format!("chown -R 4000000 {}", path(&closed))]);
        assert_eq!(fixes(&other, &open), [format!("chown 4000000 {}", path(&open.join("key")))]);
        if meta.uid() != 0 {
            std::fs::set_permissions(open.join("key"), std::fs::Permissions::from_mode(0o200)).unwrap();
            assert_eq!(fixes(&me, &open), [format!("chmod u+r {}", path(&open.join("key")))]);
        }
        let groups = DirectoryReaderUser { groups: vec![meta.gid()], ..other };
        std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o750)).unwrap();
        assert!(found(&groups, &closed).is_empty());
    }
}
