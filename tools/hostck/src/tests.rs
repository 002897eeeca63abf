//! Shared by tests of the subcommands.

pub(crate) use testkit::{chmod, clean_dir, write};

use common::exit::Exit;

use crate::Cli;

/// Runs `hostck ARGS`; returns the exit status and standard output.
pub(crate) fn hostck<A: AsRef<std::ffi::OsStr>>(args: &[A]) -> (Exit, String) {
    testkit::run_tool::<Cli>(args)
}
