//! What tests of the subcommands share.

pub(crate) use testkit::{chmod, clean_dir, write};

use common::exit::Exit;

use crate::Cli;

/// Runs `hostck ARGS`; the exit status and what stood on standard output.
pub(crate) fn hostck<A: AsRef<std::ffi::OsStr>>(args: &[A]) -> (Exit, String) {
    testkit::run_tool::<Cli>(args)
}
