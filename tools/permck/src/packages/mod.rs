//! The package databases of a system: dpkg's lists of installed files, and rpm's database.
//!
//! Packages are made for everybody to read, so that root's files of a package may be read by others. dpkg records which
//! files a package has, not their modes; rpm records both, and is believed only where both agree. Databases are read as
//! they lie on the disk, and nothing of an image is run: `rpm --root` would run what the image has for it.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use common::policy::Mode;

use crate::image::SystemImage;

mod dpkg;
pub(crate) mod rpm;

/// The most files that are known: the largest installations have a million.
const MAX_FILES: usize = 8 << 20;

/// The files of all installed packages, by hashes of their paths: a million take 16 MB.
#[derive(Debug, Default)]
pub(crate) struct PackagedFiles {
    /// Of dpkg, with whatever mode.
    files: HashSet<u64>,
    /// Of rpm: the files of root, each with its mode.
    modes: HashSet<(u64, u32)>,
    /// The overrides that dpkg-statoverride sets.
    overrides: HashSet<(u64, u32)>,
    /// The databases that could not be read, with the reasons.
    pub(crate) unread: Vec<(PathBuf, String)>,
}

impl PackagedFiles {
    /// Reads the databases of a system; empty where there is none.
    pub(crate) fn load(image: &SystemImage) -> Self {
        let mut known = Self::default();
        dpkg::read_lists(image, &mut known);
        rpm::read_databases(image, &mut known);
        known
    }

    /// Returns whether a package has installed the file like this. Where /lib is a link to /usr/lib, packages may name
    /// either. What Debian's packages of Python modules compile when they are installed is theirs too.
    pub(crate) fn has_file(&self, path: &Path, mode: Mode) -> bool {
        let listed =
            spellings(path).any(|path| self.files.contains(&path) || self.modes.contains(&(path, mode.0)));
        let compiled_from = |source: PathBuf| spellings(&source).any(|path| self.files.contains(&path));
        listed || python_source(path).is_some_and(compiled_from)
    }

    /// Returns whether an administrator has set this mode.
    pub(crate) fn overrides(&self, path: &Path, mode: Mode) -> bool {
        spellings(path).any(|path| self.overrides.contains(&(path, mode.0)))
    }

    fn add_file(&mut self, path: &[u8]) {
        if self.files.len() < MAX_FILES {
            self.files.insert(hash_path(path));
        }
    }

    fn add_mode(&mut self, path: &[u8], mode: Mode) {
        if self.modes.len() < MAX_FILES {
            self.modes.insert((hash_path(path), mode.0));
        }
    }
}

/// The file that a compiled module comes from, `DIR/x.py` of `DIR/__pycache__/x.cpython-311.pyc`; the directory that
/// `__pycache__` is in (PEP 3147).
fn python_source(path: &Path) -> Option<PathBuf> {
    const CACHE: &str = "__pycache__";
    let parent = path.parent()?;
    if path.file_name()? == CACHE {
        return Some(parent.to_owned());
    }
    let name = path.file_name()?.to_str()?.strip_suffix(".pyc")?;
    let (module, _) = name.split_once(".cpython-")?;
    (parent.file_name()? == CACHE).then(|| parent.with_file_name(format!("{module}.py")))
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

#[cfg(test)]
mod tests;
