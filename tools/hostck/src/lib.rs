//! `hostck`: audits whether a host, or an image's root, is hardened to run the tools.
//!
//! `host` has one file per check; `netaddr` finds addresses in texts; `cmd` holds one file per subcommand.

use clap::{Parser, Subcommand};
use common::cli::{Global, Tool};
use common::exit::Exit;
use common::out::{Color, Out, Verbosity};
use common::report::ReportFormat;

mod accepted;
mod cmd;
#[doc(hidden)]
pub mod fuzz;
mod host;
mod netaddr;
#[cfg(test)]
mod tests;

/// Audit whether a host is hardened to run the tools
#[derive(Parser, Debug)]
#[command(name = "hostck", version, max_term_width = 100, arg_required_else_help = true)]
#[command(after_long_help = "Examples:
  hostck check --user profguard
      Audit this host for the account that runs the daemon.
  hostck netaddr /opt/profguard
      List the public addresses in its configuration and scripts.
  hostck rules aslr firewall
      Explain two rules.")]
pub struct Cli {
    #[command(flatten)]
    global: Global<ReportFormat>,
    #[command(subcommand)]
    command: HostckCommand,
}

#[derive(Subcommand, Debug)]
enum HostckCommand {
    Check(cmd::check::CheckArgs),
    Netaddr(cmd::netaddr::NetaddrArgs),
    Rules(cmd::rules::HostRulesArgs),
}

impl Tool for Cli {
    const NAME: &'static str = "hostck";

    fn style(&self) -> (Color, Verbosity) {
        self.global.style()
    }

    fn run(self, out: &mut Out) -> anyhow::Result<Exit> {
        let format = self.global.format;
        match self.command {
            HostckCommand::Check(check) => check.run(format, out),
            HostckCommand::Rules(rules) => rules.run(format.plain()?, out),
            HostckCommand::Netaddr(netaddr) => {
                // A deep tree takes a descriptor for each of its levels.
                common::walk::raise_descriptor_limit();
                netaddr.run(format.plain()?, out)
            }
        }
    }
}
