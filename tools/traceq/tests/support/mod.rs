//! Runs `traceq` inside the test: parsed like a command line, with its output caught.

#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, reason = "this is test code, though no test itself")]

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use clap::Parser;
use common::cli::Tool;
use common::exit::Exit;
use common::out::{Out, Verbosity};
use serde_json::Value;

/// What a run came to.
pub(crate) struct Run {
    pub(crate) exit: Exit,
    pub(crate) errors: u64,
    pub(crate) stdout: String,
    /// The error that ended the run, if one did.
    pub(crate) fatal: Option<String>,
}

#[derive(Clone, Default)]
struct Caught(Arc<Mutex<Vec<u8>>>);

impl Write for Caught {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs with these arguments.
pub(crate) fn run<S: Into<std::ffi::OsString>>(args: impl IntoIterator<Item = S>) -> Run {
    let args = std::iter::once("traceq".into()).chain(args.into_iter().map(Into::into));
    let caught = Caught::default();
    let mut out = Out::to(Box::new(caught.clone()), "traceq", false, Verbosity::Quiet);
    let result =
        traceq::Cli::try_parse_from(args).map_err(anyhow::Error::from).and_then(|cli| cli.run(&mut out));
    let exit = result.as_ref().map_or(Exit::Failed, |exit| (*exit).max(out.diag().exit()));
    let stdout = String::from_utf8(caught.0.lock().unwrap().clone()).unwrap();
    Run { exit, errors: out.diag().errors(), stdout, fatal: result.err().map(|e| format!("{e:#}")) }
}

impl Run {
    /// The records, the summary last.
    pub(crate) fn records(&self) -> Vec<Value> {
        self.stdout.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
    }

    /// The records of one type.
    pub(crate) fn of(&self, kind: &str) -> Vec<Value> {
        self.records().into_iter().filter(|r| r["type"] == kind).collect()
    }
}

/// Every file below a directory.
pub(crate) fn files(dir: &std::path::Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { out.extend(files(&path)) } else { out.push(path) }
    }
    out.sort();
    out
}
