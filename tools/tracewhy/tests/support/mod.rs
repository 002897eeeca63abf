//! Runs `tracewhy` inside the test: parsed like a command line, with its output caught.

#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, reason = "this is test code, though no test itself")]

pub(crate) mod groups;
pub(crate) mod hosts;
pub(crate) mod jobs;
pub(crate) mod passes;
pub(crate) mod pipelines;
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

/// Appends a span to a Kineto trace, behind another event: `place` gives the process and thread as members, `span` its
/// start and end in nanoseconds, `args` the members of its arguments.
pub(crate) fn push_span(text: &mut String, cat: &str, name: &str, place: &str, span: (i64, i64), args: &str) {
    let us = |n: i64| format!("{}.{:03}", n / 1000, n % 1000);
    let (ts, dur) = (us(span.0), us(span.1 - span.0));
    *text += &format!(
        ",{{\"ph\":\"X\",\"cat\":\"{cat}\",\"name\":\"{name}\",{place},\"ts\":{ts},\"dur\":{dur},\"args\":{{{args}}}}}\n"
    );
}

/// The records of one type.
pub(crate) fn of<'a>(records: &'a [Value], kind: &str) -> Vec<&'a Value> {
    records.iter().filter(|record| record["type"] == kind).collect()
}
