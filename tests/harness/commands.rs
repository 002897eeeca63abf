//! The command lines of all tools, for tests that walk them.

use clap::{Command, CommandFactory};

/// Every tool: its command and the section of its manual page. The one list to extend for a new tool.
pub(crate) fn tools() -> Vec<(Command, &'static str)> {
    vec![
        (certck::Cli::command(), "1"),
        (datack::Cli::command(), "1"),
        (hostck::Cli::command(), "1"),
        (permck::Cli::command(), "1"),
        (profctl::Cli::command(), "1"),
        (profd::Cli::command(), "8"),
        (proftap::Cli::command(), "1"),
        (tracecv::Cli::command(), "1"),
        (traceq::Cli::command(), "1"),
        (tracewhy::Cli::command(), "1"),
    ]
}
