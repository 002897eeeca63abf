//! The file of a library. A name is looked up by the loader of the system, in its cache and its directories; a path must belong to
//! root or the own user, and no other user may write it or the directories that lead to it.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::ffi::Library;
use crate::{OpenError, SourceAddress};

/// Loads the library of a source. Returns also its name in messages.
pub(crate) fn load_library(address: &SourceAddress) -> Result<(Library, String), OpenError> {
    if let Some(path) = &address.library {
        let shown = path.display().to_string();
        // A name, not a file.
        let is_name = path.components().count() == 1 && path.is_relative();
        let library = if is_name { Library::open(path.as_os_str()) } else { load_file(path) };
        let library = library.map_err(|reason| OpenError::NotLoaded(format!("{shown}: {reason}")))?;
        return Ok((library, shown));
    }
    let mut reasons = Vec::new();
    for name in address.kind.library_names() {
        match Library::open(OsStr::new(name)) {
            Ok(library) => return Ok((library, (*name).to_owned())),
            Err(reason) => reasons.push(reason),
        }
    }
    Err(OpenError::NotLoaded(reasons.join("; ")))
}

/// Checks a file, and loads just this one: a name that is replaced after the check leads to nothing.
fn load_file(path: &Path) -> Result<Library, String> {
    let path = path.canonicalize().map_err(|e| e.to_string())?;
    let file = File::open(&path).map_err(|e| e.to_string())?;
    let meta = file.metadata().map_err(|e| e.to_string())?;
    if !meta.is_file() {
        return Err("not a regular file".to_owned());
    }
    require_trusted(&meta)?;
    for dir in path.ancestors().skip(1) {
        let meta = dir.metadata().map_err(|e| format!("{}: {e}", dir.display()))?;
        // In a directory with the sticky bit, others cannot replace what is not theirs.
        if meta.mode() & 0o1000 == 0 || meta.uid() != 0 {
            require_trusted(&meta).map_err(|reason| format!("{}: {reason}", dir.display()))?;
        }
    }
    Library::open(OsStr::new(&format!("/proc/self/fd/{}", file.as_raw_fd())))
}

/// Refuses what others could have written, as `common::fsat::require_trusted` does for files that are read.
fn require_trusted(meta: &Metadata) -> Result<(), String> {
    let me = Path::new("/proc/self").metadata().map_or(0, |own| own.uid());
    if meta.uid() != 0 && meta.uid() != me {
        return Err(format!("owned by uid {}, expected {me} or root", meta.uid()));
    }
    if meta.mode() & 0o022 != 0 {
        return Err(format!("mode {:04o} lets others write to it", meta.mode() & 0o7777));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_library_that_others_can_write_or_replace_is_not_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lib.so");
        std::fs::write(&path, "no library").unwrap();
        let reason = |path: &Path| load_file(path).err().unwrap();
        mode(&path, 0o664);
        assert_eq!(reason(&path), "mode 0664 lets others write to it");
        mode(&path, 0o644);
        mode(dir.path(), 0o770);
        assert!(reason(&path).ends_with("mode 0770 lets others write to it"), "{}", reason(&path));
        mode(dir.path(), 0o700);
        // Now the loader is asked.
        assert!(reason(&path).contains("file too short"), "{}", reason(&path));
        assert!(reason(dir.path()).contains("not a regular file"));
        assert!(reason(&dir.path().join("missing")).contains("No such file"));
    }
}
