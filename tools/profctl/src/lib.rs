//! `profctl`: query profiling daemons for status, request traces and monitoring, and wait for the traces.
//!
//! | module | holds |
//! |---|---|
//! | `cmd` | one file per subcommand: its options, its request, its result |
//! | `connection_args` | the options that all subcommands share |
//! | `option_value`, `option_spelling` | the values of options, and the spellings of existing clients |
//! | `daemon_address`, `host_list`, `cluster` | addresses of daemons, lists of hosts, the hosts of Slurm and Kubernetes |
//! | `certs` | client certificates |
//! | `session`, `fanout`, `transport`, `counted_stream`, `exchange_error` | one run, many daemons, one exchange, why it failed |
//! | `runtime`, `interrupt` | what runs the exchanges, and the signals that end them |
//! | `reply`, `trigger_result`, `rejected` | decoding of replies, and why no process was triggered |
//! | `function`, `process_filter`, `on_demand` | what gputrace, nputrace and npu-monitor have in common |
//! | `wait` | waiting for traces to appear, and collecting them |
//! | `sync_start`, `clock`, `wall_clock` | a start at one time or step on all hosts, whatever their clocks show |
//! | `screen`, `step_rate` | a table on a terminal; how fast processes train |
//! | `duration_text` | durations in messages |

mod certs;
mod clock;
mod cluster;
mod cmd;
mod connection_args;
mod counted_stream;
mod daemon_address;
mod daemon_label;
mod duration_text;
mod exchange_error;
mod fanout;
mod function;
mod host_list;
mod interrupt;
mod metric_sinks;
mod on_demand;
mod option_spelling;
mod option_value;
mod process_filter;
mod rejected;
mod reply;
mod runtime;
mod screen;
mod session;
mod step_rate;
mod sync_start;
mod transport;
mod trigger_result;
mod wait;
mod wall_clock;

#[cfg(test)]
mod tests;

use std::ffi::OsString;

use clap::{CommandFactory, Parser, Subcommand};
use common::cli::{Global, Tool};
use common::exit::Exit;
use common::out::{Color, Out, Verbosity};

use connection_args::ConnectionArgs;
use session::DaemonSession;

const EXAMPLES: &str = "\
Examples:
  Show the state of the daemon on this machine:
    profctl status

  Trace 5 iterations of every process of job 0, and print the paths of the complete traces:
    profctl gputrace --iterations 5 --log-file /tmp/trace.json --wait

  Trace on every host in the file `hosts`, into a shared directory, and summarize the traces:
    profctl --hosts @hosts --format json nputrace --start-step -1 --iterations 2 \\
      --log-file /data/prof --wait | traceq sum --files-from -";

/// Query profiling daemons, and request traces and monitoring
///
/// Sends a request to one or more daemons (profd, dynolog, msMonitor's dynolog) over mutual TLS. The result on
/// standard output is text or, with `--format json`, one record per daemon.
#[derive(Parser, Debug)]
#[command(name = "profctl", version, max_term_width = 100, after_long_help = EXAMPLES, arg_required_else_help = false)]
pub struct Cli {
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: ProfctlCommand,
}

#[derive(Subcommand, Debug)]
enum ProfctlCommand {
    Status(cmd::status::StatusArgs),
    Version(cmd::version::VersionArgs),
    Gputrace(cmd::gputrace::GpuTraceArgs),
    Nputrace(Box<cmd::nputrace::NpuTraceArgs>),
    NpuMonitor(cmd::npu_monitor::NpuMonitorArgs),
    Monitor(cmd::monitor::MonitorArgs),
    Metrics(cmd::metrics::MetricsArgs),
    Watch(cmd::watch::DaemonWatchArgs),
    Schedule(cmd::schedule::ScheduleArgs),
    DcgmPause(cmd::dcgm::DcgmPauseArgs),
    DcgmResume(cmd::dcgm::DcgmResumeArgs),
    Audit(cmd::audit::AuditArgs),
}

impl Tool for Cli {
    const NAME: &'static str = "profctl";

    fn style(&self) -> (Color, Verbosity) {
        self.global.style()
    }

    fn rewrite(args: Vec<OsString>) -> anyhow::Result<Vec<OsString>> {
        Ok(option_spelling::normalize_arguments(&Self::command(), args))
    }

    fn run(self, out: &mut Out) -> anyhow::Result<Exit> {
        let session = |out| DaemonSession::new(&self.connection, &self.global, out);
        match &self.command {
            ProfctlCommand::Status(args) => args.run(session(out)?),
            ProfctlCommand::Version(args) => args.run(session(out)?),
            // The options are validated, and their warnings shown, before certificates are loaded.
            ProfctlCommand::Gputrace(args) => {
                let command = args.build_command(out)?;
                command.run(session(out)?)
            }
            ProfctlCommand::Nputrace(args) => {
                let command = args.build_command(out)?;
                command.run(session(out)?)
            }
            ProfctlCommand::NpuMonitor(args) => {
                let command = args.build_command(out)?;
                command.run(session(out)?)
            }
            ProfctlCommand::Monitor(args) => {
                let command = args.build_command(out)?;
                command.run(session(out)?)
            }
            ProfctlCommand::Metrics(args) => args.run(session(out)?),
            ProfctlCommand::Watch(args) => args.run(session(out)?),
            ProfctlCommand::Schedule(args) => {
                let command = args.build_command(out)?;
                command.run(session(out)?)
            }
            ProfctlCommand::DcgmPause(args) => args.run(session(out)?),
            ProfctlCommand::DcgmResume(args) => args.run(session(out)?),
            ProfctlCommand::Audit(args) => args.run(self.global.format, out),
        }
    }
}
