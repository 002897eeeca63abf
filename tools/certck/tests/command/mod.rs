//! Runs commands without a process, and makes what they work on.

#![allow(dead_code, clippy::unwrap_used, reason = "each test uses some of it")]

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use clap::Parser;
use common::cli::Tool;
use common::exit::Exit;
use common::out::{Out, Verbosity};
use serde_json::Value;

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The exit status as `main` would make it, and what went to standard output; a mistake in the command line is 2.
pub(crate) fn certck(args: &[&str]) -> (Exit, String) {
    let Ok(cli) = certck::Cli::try_parse_from([&["certck"], args].concat()) else {
        return (Exit::Failed, String::new());
    };
    let buffer = Buffer::default();
    let mut out = Out::to(Box::new(buffer.clone()), "certck", false, Verbosity::Quiet);
    let exit = cli.run(&mut out).map_or(Exit::Failed, |exit| exit.max(out.diag().exit()));
    drop(out);
    let text = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
    (exit, text)
}

pub(crate) fn records(text: &str, kind: &str) -> Vec<Value> {
    let lines = text.lines().map(|l| serde_json::from_str::<Value>(l).unwrap());
    lines.filter(|v| v["type"] == kind).collect()
}

pub(crate) fn minted() -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pki").to_str().unwrap().to_owned();
    assert_eq!(certck(&["mint", &path]).0, Exit::Ok);
    (dir, path)
}

/// A file of some mode.
pub(crate) fn put(path: &Path, mode: u32, content: impl AsRef<[u8]>) -> String {
    std::fs::write(path, content).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    path.to_str().unwrap().to_owned()
}
