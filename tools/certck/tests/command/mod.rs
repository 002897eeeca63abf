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

/// What came of a command: the exit status as `main` would make it, standard output, and the error.
pub(crate) struct Ran {
    pub(crate) exit: Exit,
    pub(crate) text: String,
    pub(crate) error: String,
}

impl Ran {
    /// The records of a kind.
    pub(crate) fn records(&self, kind: &str) -> Vec<Value> {
        records(&self.text, kind)
    }

    /// Demands success.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!((self.exit, self.error.as_str()), (Exit::Ok, ""), "{}", self.text);
        self
    }

    /// Demands that the answer was no, with these words.
    #[track_caller]
    pub(crate) fn no(self, words: &str) -> Self {
        assert_eq!(self.exit, Exit::No, "{}", self.text);
        assert!(self.text.contains(words), "{words}: {}", self.text);
        self
    }

    /// Demands that the command could not do it, for a reason with these words.
    #[track_caller]
    pub(crate) fn failed(self, words: &str) -> Self {
        assert_eq!(self.exit, Exit::Failed, "{}", self.text);
        assert!(self.error.contains(words), "{}", self.error);
        self
    }
}

/// Runs a command with its records in JSON, if it has a word for it.
pub(crate) fn run(args: &[&str]) -> Ran {
    let cli = match certck::Cli::try_parse_from([&["certck"], args].concat()) {
        Ok(cli) => cli,
        Err(e) => return Ran { exit: Exit::Failed, text: String::new(), error: e.to_string() },
    };
    let buffer = Buffer::default();
    let mut out = Out::to(Box::new(buffer.clone()), "certck", false, Verbosity::Quiet);
    let (exit, error) = match cli.run(&mut out) {
        Ok(exit) => (exit.max(out.diag().exit()), String::new()),
        Err(e) => {
            let hint = common::error::hint_of(&e).unwrap_or_default();
            (Exit::Failed, format!("{e:#}; {hint}"))
        }
    };
    drop(out);
    let text = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
    Ran { exit, text, error }
}

/// [`run`] with records.
pub(crate) fn json(args: &[&str]) -> Ran {
    run(&[args, &["--format", "json"]].concat())
}

/// The exit status, and what went to standard output; a mistake in the command line is 2.
pub(crate) fn certck(args: &[&str]) -> (Exit, String) {
    let ran = run(args);
    (ran.exit, ran.text)
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
