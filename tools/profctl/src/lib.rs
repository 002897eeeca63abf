//! `profctl`: ask profiling daemons for status, traces and monitoring, and wait for the traces.
//!
//! | module | holds |
//! |---|---|
//! | `cmd` | one file per subcommand: its options, its request, its result |
//! | `value`, `spelling` | what options take, and their old spellings |
//! | `session`, `target`, `certs` | whom to ask and how: the validated plan |
//! | `fanout`, `transport`, `failure` | many daemons, one exchange, why it failed |
//! | `reply`, `verdict` | what an answer means, and why nothing matched |
//! | `demand` | the flow that gputrace, nputrace and npu-monitor share |
//! | `wait` | traces that appear on disk |

mod certs;
mod cmd;
mod demand;
mod failure;
mod fanout;
mod reply;
mod session;
mod spelling;
mod target;
mod transport;
mod value;
mod verdict;
mod wait;

#[cfg(test)]
mod tests;

use std::ffi::OsString;

use clap::{CommandFactory, Parser, Subcommand};
use common::cli::{Global, Tool};
use common::exit::Exit;
use common::out::{Color, Out, Verbosity};

use session::{Connection, Session};

const EXAMPLES: &str = "\
Examples:
  profctl status
      what the daemon on this machine knows
  profctl gputrace --iterations 5 --log-file /tmp/trace.json --wait
      trace 5 iterations of every process of job 0, and print the files when they are complete
  profctl --hosts @hosts --format json nputrace --start-step -1 --iterations 2 \\
      --log-file /data/prof --wait | traceq sum --files-from -
      the same on every host of a list, into a shared directory, and summarise";

/// Ask profiling daemons for status, traces and monitoring
///
/// Asks one or many daemons (profd, dynolog, msMonitor's dynolog) over mutual TLS. Standard output carries the
/// answers, as text or, with `--format json`, as one record per daemon.
#[derive(Parser, Debug)]
#[command(name = "profctl", version, max_term_width = 100, after_long_help = EXAMPLES, arg_required_else_help = false)]
pub struct Cli {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    cmd: Cmd,
}

#[derive(Subcommand, Debug)]
enum Cmd {
    Status(cmd::status::Status),
    Version(cmd::version::Version),
    Gputrace(cmd::gputrace::Gputrace),
    Nputrace(Box<cmd::nputrace::Nputrace>),
    NpuMonitor(cmd::npu_monitor::NpuMonitor),
    DcgmPause(cmd::dcgm::Pause),
    DcgmResume(cmd::dcgm::Resume),
}

impl Tool for Cli {
    const NAME: &'static str = "profctl";

    fn style(&self) -> (Color, Verbosity) {
        self.global.style()
    }

    fn rewrite(args: Vec<OsString>) -> Vec<OsString> {
        spelling::normalise(&Self::command(), args)
    }

    fn run(self, out: &mut Out) -> anyhow::Result<Exit> {
        let session = |out| Session::new(&self.connection, &self.global, out);
        match &self.cmd {
            Cmd::Status(c) => c.run(session(out)?),
            Cmd::Version(c) => c.run(session(out)?),
            Cmd::Gputrace(c) => {
                let demand = c.demand(out)?;
                demand.run(session(out)?)
            }
            Cmd::Nputrace(c) => {
                let demand = c.demand(out)?;
                demand.run(session(out)?)
            }
            Cmd::NpuMonitor(c) => {
                let demand = c.demand(out)?;
                demand.run(session(out)?)
            }
            Cmd::DcgmPause(c) => c.run(session(out)?),
            Cmd::DcgmResume(c) => c.run(session(out)?),
        }
    }
}
