//! New directories that appear whole or not at all.
//!
//! Everything is written into a hidden directory beside its place, then moved there by renames that replace
//! nothing. What goes wrong on the way takes back what was done.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use common::error::HintExt;
use common::fsat;
use common::policy::{Class, Mode};
use rustix::fs::{CWD, RenameFlags};

/// Directories in the making below one parent. Dropped without [`Self::commit`], it leaves nothing.
pub(crate) struct Stage {
    parent: PathBuf,
    hidden: PathBuf,
    made_parent: bool,
    names: Vec<String>,
    moved: usize,
    done: bool,
}

impl Stage {
    /// Begins below `parent`, which is made if it does not exist (its own parent must).
    pub(crate) fn begin(parent: &Path) -> anyhow::Result<Self> {
        let subject = || parent.display().to_string();
        let made_parent = match fsat::create_dir(parent, Class::KeyDir.max()) {
            Ok(()) => true,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => false,
            Err(e) => return Err(e).with_context(subject),
        };
        let mut random = [0; 8];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
        let hidden = parent.join(format!(".new-{}", common::finding::hex(&random)));
        let stage =
            Self { parent: parent.to_owned(), hidden, made_parent, names: Vec::new(), moved: 0, done: false };
        fsat::create_dir(&stage.hidden, Class::KeyDir.max()).with_context(subject)?;
        Ok(stage)
    }

    /// Adds a directory, mode 0700. One that is already there is refused before anything is written.
    pub(crate) fn dir(&mut self, name: &str) -> anyhow::Result<()> {
        let place = self.parent.join(name);
        if place.symlink_metadata().is_ok() {
            return Err(anyhow::anyhow!("{}: already exists", place.display())).hint(
                "choose another directory; what was minted there before is renewed by `certck mint renew`",
            );
        }
        fsat::create_dir(&self.hidden.join(name), Class::KeyDir.max())
            .with_context(|| place.display().to_string())?;
        self.names.push(name.to_owned());
        Ok(())
    }

    /// Adds a directory that will not be moved to its place by [`Self::commit`], and says where it is.
    pub(crate) fn unplaced(&mut self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.hidden.join(name);
        fsat::create_dir(&path, Class::KeyDir.max()).with_context(|| path.display().to_string())?;
        Ok(path)
    }

    /// Writes a file into one of the directories, mode 0600 from its creation.
    pub(crate) fn file(&self, dir: &str, name: &str, content: &[u8]) -> anyhow::Result<()> {
        const MODE: Mode = Mode(0o600);
        fsat::write(&self.hidden.join(dir).join(name), MODE, content)
            .with_context(|| self.parent.join(dir).join(name).display().to_string())
    }

    /// Where a directory is while it is being made.
    #[cfg(test)]
    fn hidden(&self) -> &Path {
        &self.hidden
    }

    /// Moves everything to its place.
    pub(crate) fn commit(mut self) -> anyhow::Result<()> {
        for name in &self.names {
            rename(&self.hidden.join(name), &self.parent.join(name))
                .with_context(|| self.parent.join(name).display().to_string())?;
            self.moved += 1;
        }
        self.done = true;
        Ok(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.done {
            for name in &self.names[..self.moved] {
                let _ = rename(&self.parent.join(name), &self.hidden.join(name));
            }
        }
        let _ = std::fs::remove_dir_all(&self.hidden);
        if !self.done && self.made_parent {
            let _ = std::fs::remove_dir(&self.parent);
        }
    }
}

fn rename(from: &Path, to: &Path) -> io::Result<()> {
    Ok(rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_appears_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("new");
        let mut stage = Stage::begin(&place).unwrap();
        stage.dir("a").unwrap();
        stage.file("a", "f", b"x").unwrap();
        assert!(!place.join("a").exists());
        stage.commit().unwrap();
        assert_eq!(std::fs::read(place.join("a/f")).unwrap(), b"x");
        assert_eq!(std::fs::read_dir(&place).unwrap().count(), 1);
    }

    #[test]
    fn a_failure_takes_everything_back() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("new");
        let mut stage = Stage::begin(&place).unwrap();
        stage.dir("a").unwrap();
        stage.dir("b").unwrap();
        // Somebody is faster.
        std::fs::create_dir(place.join("b")).unwrap();
        std::fs::write(place.join("b/theirs"), "x").unwrap();
        assert!(stage.hidden().exists());
        assert!(stage.commit().is_err());
        let left: Vec<_> = std::fs::read_dir(&place).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["b"]);
        assert!(place.join("b/theirs").exists());
    }

    #[test]
    fn an_abandoned_stage_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut stage = Stage::begin(&dir.path().join("new")).unwrap();
        stage.dir("a").unwrap();
        drop(stage);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
