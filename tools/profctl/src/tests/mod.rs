//! The whole tool against daemons that answer well, badly, slowly, never: each a thread of the test.

mod bad_replies;
mod fake_daemon;
mod replies;
mod tls;
mod traces;

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use clap::Parser;
use common::cli::Tool;
use common::exit::Exit;
use common::out::{Out, Verbosity};
use serde_json::Value;

use crate::Cli;

/// What a run came to.
struct RunResult {
    exit: Exit,
    stdout: String,
    /// The error that ended it, if one did.
    error: Option<String>,
}

impl RunResult {
    /// The lines of standard output as records.
    fn records(&self) -> Vec<Value> {
        self.stdout.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"))).collect()
    }

    /// The records of one type.
    fn records_of(&self, kind: &str) -> Vec<Value> {
        self.records().into_iter().filter(|r| r["type"] == kind).collect()
    }

    /// The only record of one type.
    fn only_record(&self, kind: &str) -> Value {
        let found = self.records_of(kind);
        assert_eq!(found.len(), 1, "{}", self.stdout);
        found.into_iter().next().unwrap()
    }
}

/// Runs the tool as `main` does.
fn run<S: AsRef<str>>(args: &[S]) -> RunResult {
    let args = std::iter::once("profctl").chain(args.iter().map(AsRef::as_ref)).map(Into::into).collect();
    let written = CapturedBytes::default();
    let mut out = Out::to(Box::new(written.clone()), "profctl", false, Verbosity::Normal);
    let cli = Cli::try_parse_from(Cli::rewrite(args).unwrap()).unwrap_or_else(|e| panic!("{e}"));
    let result = cli.run(&mut out);
    out.flush().unwrap();
    let error = result.as_ref().err().map(|e| format!("{e:#}"));
    let exit = result.unwrap_or(Exit::Failed).max(out.diag().exit());
    let stdout = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    RunResult { exit, stdout, error }
}

/// Runs it with records, without certificates, against a port of this machine.
fn run_against(port: u16, args: &[&str]) -> RunResult {
    let port = port.to_string();
    let mut all =
        vec!["--certs-dir", "NO_CERTS", "--hostname", "127.0.0.1", "--port", &port, "--format", "json"];
    all.extend(args);
    run(&all)
}

#[derive(Clone, Default)]
struct CapturedBytes(Arc<Mutex<Vec<u8>>>);

impl Write for CapturedBytes {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
