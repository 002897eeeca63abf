//! What tests of the subcommands share.

pub(crate) use testkit::{ask, chmod, clean_dir, oracle, skip as skipped, write};

use common::exit::Exit;

use crate::Cli;

/// Runs `datack ARGS`; the exit status and what stood on standard output.
pub(crate) fn datack<A: AsRef<std::ffi::OsStr>>(args: &[A]) -> (Exit, String) {
    testkit::run_tool::<Cli>(args)
}
