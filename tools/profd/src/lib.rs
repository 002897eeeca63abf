//! `profd`, the profiling daemon: it serves clients over TCP and training processes over Unix sockets.
//!
//! Its layers, from top to bottom; imports point down only:
//!
//! | module | holds |
//! |---|---|
//! | `run` | the life of the daemon |
//! | `daemon`, `watchdog` | its running parts, put together; notifications of the service manager's watchdog |
//! | `rpc`, `ipc`, `sink`, `http`, `certs` | clients, processes, metrics, what is shown over HTTP, certificates |
//! | `devices` | measurements of accelerators and the processor, read by processes of their own |
//! | `handover` | what the next daemon takes over |
//! | `access`, `audit` | the rules file, the audit trail |
//! | `state`, `process` | what those share: the registry, pidfds and `/proc` |
//! | `core` | what requests and messages mean; pure |
//! | `plan`, `account`, `privileges` | the options, validated; accounts of the host; what is given up at the start |
//! | `log`, `counters`, `host`, `file_stamp`, `option_file`, `shutdown`, `signals`, `notify`, `activation` | services |

use std::ffi::OsString;

use clap::{CommandFactory, Parser};
use common::cli::{Global, Tool};
use common::exit::Exit;
use common::ipc::address::SOCKET_DIR_VAR;
use common::out::{Color, Out, Verbosity};

mod access;
mod account;
mod activation;
mod audit;
mod certs;
mod config_page;
mod core;
mod counters;
mod daemon;
mod devices;
mod file_stamp;
pub mod fuzz;
mod handover;
mod host;
mod http;
mod ipc;
mod log;
mod notify;
mod option_file;
mod plan;
mod privileges;
mod process;
mod rpc;
mod rules_page;
mod run;
mod shutdown;
mod signals;
mod sink;
mod startup_check;
mod state;
#[cfg(test)]
mod tests;
mod watchdog;

/// Renders profd-rules(5), the manual page of rules files.
#[must_use]
pub fn rules_page(date: &str) -> String {
    rules_page::rules_page(date)
}

/// Renders profd-config(5), the manual page of configuration files.
#[must_use]
pub fn config_page(date: &str) -> String {
    config_page::config_page(&Cli::command(), date)
}

/// Returns the schema of rules files.
#[must_use]
pub fn rules_schema() -> schemars::Schema {
    schemars::schema_for!(plan::rules::RulesFile)
}

/// Profiling daemon: serves clients over TCP and training processes over Unix sockets
///
/// Clients (profctl, or the existing dyno clients) send requests over TCP to trace training processes of this host. The
/// processes fetch their configs from the daemon over Unix sockets, and send it their state and metrics. The daemon
/// stays in the foreground. On SIGTERM it finishes requests in progress, removes its sockets and exits with status 0.
///
/// When its certificate directory changes, for example by `certck crl fetch` or `certck mint renew`, the daemon reloads
/// it within a second, or at once on SIGHUP. If `certck check` would report an error, the former certificates stay
/// in use, and `profctl status` shows the reason. A newer CRL is nevertheless used at once: it must be signed by a CA
/// that is in use, be valid now, and not be older than the present one. Open connections of clients that would be
/// rejected now are closed. A new trust root is accepted at a restart only, or with --accept-new-roots. With a controlling
/// terminal, SIGHUP terminates the daemon.
///
/// Standard error is the log: errors, warnings and notices, with --quiet errors only, with --verbose also each step. In
/// the systemd journal each line has its priority (`journalctl -p warning`).
///
/// SIZE is a number with a unit, such as `64KiB`, `64MiB` or `1GiB` (`KB`, `MB` and `GB` are powers of 1000); without one
/// it is bytes. TIME is a number with a unit, such as `500ms`, `5s` or `2m`; without one it is seconds.
#[derive(Parser, Debug)]
#[command(name = "profd", version, max_term_width = 100, after_long_help = EXAMPLES)]
pub struct Cli {
    #[command(flatten)]
    flags: plan::flags::DaemonFlags,
    #[command(flatten)]
    global: Global,
}

const EXAMPLES: &str = "Examples:
  profd --certs-dir /etc/profguard/server_certs --enable-ipc-monitor
  profd --certs-dir NO_CERTS --port 0 --enable-ipc-monitor --format json | head -1
  profd --certs-dir certs --bind 0.0.0.0 --bind :: --enable-ipc-monitor --output-root /data/prof
  profd --certs-dir certs --enable-ipc-monitor --metric-log-dir /var/log/profd \\
    --http-listen 127.0.0.1:9178
  profd --certs-dir certs --enable-ipc-monitor --rules rules.toml \\
    --audit-log /var/log/profd/audit.jsonl
  profd --config /etc/profguard/profd.toml --check-config

The options of the existing dynolog daemons are accepted in their spelling (--enable_ipc_monitor,
--metric_log_dir, --use_JSON=true, --flagfile=FILE and so on). What has no meaning here is ignored
with a warning. Called by the name dynolog and without --certs-dir, the daemon uses
/etc/profguard/server_certs or else serves plain TCP on loopback.";

impl Tool for Cli {
    const NAME: &'static str = "profd";

    fn style(&self) -> (Color, Verbosity) {
        self.global.style()
    }

    fn rewrite(args: Vec<OsString>) -> anyhow::Result<Vec<OsString>> {
        plan::arguments::collect_arguments(args, &Self::command())
    }

    fn run(self, out: &mut Out) -> anyhow::Result<Exit> {
        if self.flags.devices.device_worker {
            return devices::worker::run_worker();
        }
        self.flags.log_format.line_format().into_iter().for_each(|format| out.set_line_format(format));
        // So that no file is created with more than 0640 and no directory with more than 0750.
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o027));
        let (own, accounts) = (rustix::process::geteuid().as_raw(), account::read_accounts());
        let user = self.flags.user.as_deref();
        let run_as = user.map(|name| plan::RunAs::find(name, own, &accounts)).transpose()?.flatten();
        let uid = run_as.as_ref().map_or(own, |account| account.uid);
        let environment = plan::HostEnvironment {
            uid,
            accounts,
            run_as,
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            home: account::find_home(uid),
            socket_dir: std::env::var_os(SOCKET_DIR_VAR).filter(|d| !d.is_empty()),
            state_dir: std::env::var_os(plan::STATE_DIR_VAR).filter(|d| !d.is_empty()),
            trace_dir: std::env::var_os(plan::TRACE_DIR_VAR).filter(|d| !d.is_empty()),
            collector: plan::collector::CollectorEnvironment::read(),
        };
        let plan = plan::DaemonPlan::new(self.flags, &environment)?;
        run::run_daemon(&plan, uid, self.global.format, out)
    }
}
