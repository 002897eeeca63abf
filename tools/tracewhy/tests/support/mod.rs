//! Runs `tracewhy` inside the test: parsed like a command line, with its output caught.

#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, reason = "this is test code, though no test itself")]

pub(crate) mod jobs;
pub(crate) mod random;

use common::exit::Exit;
use serde_json::Value;
use std::ffi::OsString;

/// Runs a subcommand with `--format json` over files; the records, the summary last.
pub(crate) fn records<S: Into<OsString>>(verb: &str, files: impl IntoIterator<Item = S>) -> Vec<Value> {
    let args: Vec<OsString> = ["--quiet", "--format", "json", verb]
        .into_iter()
        .map(OsString::from)
        .chain(files.into_iter().map(Into::into))
        .collect();
    let (exit, text) = testkit::run_tool::<tracewhy::Cli>(&args);
    assert_eq!(exit, Exit::Ok, "{text}");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The records of one type.
pub(crate) fn of<'a>(records: &'a [Value], kind: &str) -> Vec<&'a Value> {
    records.iter().filter(|record| record["type"] == kind).collect()
}
