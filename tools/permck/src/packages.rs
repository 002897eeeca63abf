//! What the package database of the system says about entries: dpkg's lists of installed files.
//!
//! dpkg records which files a package has, not their modes; but packages are made for everybody to read, so that root's
//! files of a package may be read by others. Modes that an administrator has set are in the overrides, exactly
//! (dpkg-statoverride(1)).

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use common::policy::Mode;

/// Maximum size in bytes of a list of files that is read.
const MAX_LIST_SIZE: u64 = 64 << 20;

/// The files of all installed packages, by hashes of their paths: a million take 16 MB.
#[derive(Debug, Default)]
pub(crate) struct PackagedFiles {
    files: HashSet<u64>,
    overrides: HashSet<(u64, u32)>,
}

impl PackagedFiles {
    /// Reads the database of dpkg below a root; empty where there is none.
    pub(crate) fn load(root: &Path) -> Self {
        let mut known = Self::default();
        let dir = root.join("var/lib/dpkg");
        for list in std::fs::read_dir(dir.join("info")).into_iter().flatten().flatten() {
            if list.path().extension().is_some_and(|end| end == "list") {
                read_lines(&list.path(), |line| {
                    known.files.insert(hash_path(line));
                });
            }
        }
        read_lines(&dir.join("statoverride"), |line| {
            // `root ssl-cert 0640 /etc/ssl/private/x.key`
            let mut fields = line.splitn(4, |&b| b == b' ').skip(2);
            let mode = fields.next().and_then(|m| Mode::parse(std::str::from_utf8(m).ok()?));
            if let (Some(mode), Some(path)) = (mode, fields.next()) {
                known.overrides.insert((hash_path(path), mode.0));
            }
        });
        known
    }

    /// Returns whether a package has the file. Where /lib is a link to /usr/lib, packages may name either.
    pub(crate) fn has_file(&self, path: &Path) -> bool {
        spellings(path).any(|path| self.files.contains(&path))
    }

    /// Returns whether an administrator has set this mode.
    pub(crate) fn overrides(&self, path: &Path, mode: Mode) -> bool {
        spellings(path).any(|path| self.overrides.contains(&(path, mode.0)))
    }
}

fn spellings(path: &Path) -> impl Iterator<Item = u64> {
    let bytes = path.as_os_str().as_bytes();
    let merged = bytes
        .strip_prefix(b"/usr")
        .filter(|rest| [&b"/lib"[..], b"/bin", b"/sbin"].iter().any(|dir| rest.starts_with(dir)));
    [Some(bytes), merged].into_iter().flatten().map(hash_path)
}

fn hash_path(path: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}

fn read_lines(path: &Path, mut take: impl FnMut(&[u8])) {
    use std::io::Read;
    let Ok(file) = std::fs::File::open(path) else { return };
    let mut reader = BufReader::new(file.take(MAX_LIST_SIZE));
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
        take(line.trim_ascii_end());
        line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_overrides_of_dpkg_are_read() {
        let root = tempfile::tempdir().unwrap();
        let dpkg = root.path().join("var/lib/dpkg");
        std::fs::create_dir_all(dpkg.join("info")).unwrap();
        std::fs::write(dpkg.join("info/x.list"), "/.\n/lib\n/lib/x.so\n/usr/share/a b\n").unwrap();
        std::fs::write(dpkg.join("info/x.md5sums"), "/etc/other\n").unwrap();
        std::fs::write(dpkg.join("statoverride"), "root ssl-cert 0640 /etc/ssl/my key\n").unwrap();
        let known = PackagedFiles::load(root.path());
        for (path, there) in
            [("/lib/x.so", true), ("/usr/lib/x.so", true), ("/usr/share/a b", true), ("/etc/other", false)]
        {
            assert_eq!(known.has_file(Path::new(path)), there, "{path}");
        }
        assert!(known.overrides(Path::new("/etc/ssl/my key"), Mode(0o640)));
        assert!(!known.overrides(Path::new("/etc/ssl/my key"), Mode(0o644)));
        assert!(!PackagedFiles::load(Path::new("/nowhere")).has_file(Path::new("/lib/x.so")));
    }
}
