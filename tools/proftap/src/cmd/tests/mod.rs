//! The subcommands end to end, with a daemon for tests.

mod demo;
mod run;
mod trace;

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A directory for sockets and one for traces, with canonical paths.
struct TestDirs {
    _tmp: TempDir,
    sockets: PathBuf,
    traces: PathBuf,
}

impl TestDirs {
    fn new() -> Self {
        let tmp = tempfile::tempdir().unwrap();
        let root = tmp.path().canonicalize().unwrap();
        let (sockets, traces) = (root.join("s"), root.join("t"));
        fs::create_dir(&sockets).unwrap();
        fs::create_dir(&traces).unwrap();
        Self { _tmp: tmp, sockets, traces }
    }

    /// Lists the names in a directory.
    fn list_names(dir: &Path) -> Vec<String> {
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }
}
