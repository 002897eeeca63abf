//! Runs `traceq` inside the test: parsed like a command line, with its output caught.

#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, reason = "this is test code, though no test itself")]

use std::ffi::OsString;

use testkit::ToolRun;

/// Runs with these arguments.
pub(crate) fn run<S: Into<OsString>>(args: impl IntoIterator<Item = S>) -> ToolRun {
    testkit::run_tool_to_end::<traceq::Cli>(args)
}
