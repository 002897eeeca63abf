//! Files that options name, which may be symbolic links: mounted volumes and configuration management make such.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use common::fsat;

/// Opens a file as [`fsat::open_regular`] does, for a file that an administrator names, for example in a directory that Kubernetes mounts: symbolic links
/// are followed if only root or this user can have made them. Each link and its directory are checked, and the directory of
/// the file: no other user may replace it there.
///
/// # Errors
/// As there; also a file in a directory where others can replace it, a link of somebody else, one in a directory that others
/// can write, and too many links.
pub(crate) fn open_through_links(path: &Path) -> io::Result<(File, Metadata)> {
    const MAX_LINKS: usize = 16;
    let mut at = path.to_owned();
    for _ in 0..MAX_LINKS {
        let dir = at.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
        // Volumes of Kubernetes let everybody write to their directory, and are mounted read-only.
        let is_read_only = rustix::fs::statvfs(&dir)
            .is_ok_and(|fs| fs.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY));
        if !at.symlink_metadata()?.is_symlink() {
            let mode = dir.metadata()?.mode();
            if mode & 0o002 != 0 && mode & 0o1000 == 0 && !is_read_only {
                let reason = format!("{} lets others replace it (mode {:04o})", dir.display(), mode & 0o7777);
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
            }
            return fsat::open_regular(&at);
        }
        if let Err(e) =
            fsat::require_trusted(&dir.metadata()?).or_else(|e| if is_read_only { Ok(()) } else { Err(e) })
        {
            let reason = format!(
                "is a symbolic link, and its directory is not trusted ({e}): give the path that it leads to"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        let owner = at.symlink_metadata()?.uid();
        if owner != 0 && owner != rustix::process::geteuid().as_raw() {
            let reason = format!(
                "is a symbolic link of uid {owner}, which is not followed: give the path that it leads to"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        at = dir.join(std::fs::read_link(&at)?);
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "is a symbolic link that leads to too many others"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_if_only_their_user_can_have_made_them() {
        use std::fs::{Permissions, create_dir, set_permissions};
        use std::os::unix::fs::{PermissionsExt, symlink};
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("file"), "x").unwrap();
        symlink("file", path("near")).unwrap();
        symlink(path("near"), path("far")).unwrap();
        symlink("loop", path("loop")).unwrap();
        create_dir(path("open")).unwrap();
        symlink("../file", path("open/link")).unwrap();
        set_permissions(path("open"), Permissions::from_mode(0o1777)).unwrap();
        for good in ["file", "near", "far"] {
            assert_eq!(open_through_links(&path(good)).unwrap().1.len(), 1, "{good}");
        }
        let error = |name: &str| open_through_links(&path(name)).unwrap_err().to_string();
        assert!(
            error("open/link").contains("lets others write to it): give the path"),
            "{}",
            error("open/link")
        );
        std::fs::write(path("open/file"), "x").unwrap();
        assert!(open_through_links(&path("open/file")).is_ok(), "the sticky bit keeps others from it");
        set_permissions(path("open"), Permissions::from_mode(0o777)).unwrap();
        assert!(
            error("open/file").contains("open lets others replace it (mode 0777)"),
            "{}",
            error("open/file")
        );
        assert!(error("loop").contains("too many others"));
        assert!(error("open").contains("is a directory"));
    }
}
