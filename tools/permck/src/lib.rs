//! `permck`: Audit file permissions against one policy table.
//!
//! `run` walks trees, `inspect` reads each entry and applies the rules of `rule`, `root_check` checks the directories
//! above, `packages` knows what the system's packages installed, `collect`, `issue_spool` and `report` sort and write the
//! findings, `fix` removes permissions and restores them; `cmd` holds one file per subcommand.

use clap::{Parser, Subcommand};
use common::cli::{Global, Tool};
use common::error::{errno_reason as reason, io_reason};
use common::exit::Exit;
use common::fsat::require_trusted as trusted;
use common::out::{Color, Out, Verbosity};
use common::report::ReportFormat;

mod baseline;
mod classify;
mod cmd;
mod collect;
mod filter;
mod fix;
#[doc(hidden)]
pub mod fuzz;
mod image;
mod inspect;
mod issue_spool;
mod packages;
mod plan;
mod policy;
mod report;
mod root_check;
mod rule;
mod run;
#[cfg(test)]
mod tests;
mod xattr;

/// Audit file permissions against one policy table
#[derive(Parser, Debug)]
#[command(name = "permck", version, max_term_width = 100, arg_required_else_help = true)]
#[command(after_long_help = "Examples:
  permck audit /opt/profguard
      Check an installation; prints nothing and exits with 0 if nothing is wrong.
  permck fix --dry-run /opt/profguard
      Show what would be changed, and what needs a decision.
  permck policy show --profile certs
      Show a built-in policy.")]
pub struct Cli {
    #[command(flatten)]
    global: Global<ReportFormat>,
    #[command(subcommand)]
    command: PermckCommand,
}

#[derive(Subcommand, Debug)]
enum PermckCommand {
    Audit(cmd::audit::AuditArgs),
    Fix(cmd::fix::FixArgs),
    Undo(cmd::undo::UndoArgs),
    Baseline(cmd::baseline::BaselineArgs),
    Rules(cmd::rules::RulesArgs),
    Policy(cmd::policy::PolicyArgs),
}

impl Tool for Cli {
    const NAME: &'static str = "permck";

    fn style(&self) -> (Color, Verbosity) {
        self.global.style()
    }

    fn run(self, out: &mut Out) -> anyhow::Result<Exit> {
        // A deep tree needs a file descriptor per level.
        common::walk::raise_descriptor_limit();
        let format = self.global.format;
        match self.command {
            PermckCommand::Audit(audit) => audit.run(format, out),
            PermckCommand::Fix(fix) => fix.run(format.plain()?, out),
            PermckCommand::Undo(undo) => undo.run(format.plain()?, out),
            PermckCommand::Baseline(baseline) => baseline.run(out),
            PermckCommand::Rules(rules) => rules.run(format.plain()?, out),
            PermckCommand::Policy(policy) => policy.run(format.plain()?, out),
        }
    }
}

/// Returns the JSON Schema of policy files.
#[must_use]
pub fn policy_schema() -> schemars::Schema {
    schemars::schema_for!(policy::file::PolicyFile)
}

/// Renders the manual page profguard-policy(5) in roff, with this date.
#[must_use]
pub fn policy_page(date: &str) -> String {
    policy::manual::render_page(date)
}
