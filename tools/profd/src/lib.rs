//! `profd`: The profiling daemon: RPC in front, training processes behind.
//!
//! Bytes, meaning and effect are apart: the decoders are in `common`, `registry` and `handler` know what a
//! message means and touch nothing, `connection` and `fabric` move the bytes.

use std::ffi::OsString;

use clap::Parser;
use common::cli::{Global, Tool};
use common::exit::Exit;
use common::ipc::address::SOCKET_DIR_VAR;
use common::out::{Color, Out, Verbosity};

mod account;
mod certs;
mod core;
mod counters;
mod daemon;
mod ipc;
mod log;
mod notify;
mod plan;
mod process;
mod rpc;
mod run;
mod shutdown;
mod signals;
mod sink;
mod startup_check;
mod state;
#[cfg(test)]
mod tests;

/// The profiling daemon: RPC in front, training processes behind
///
/// Clients (profctl, or the existing dyno clients) ask it over TCP to trace training processes of this host;
/// the processes fetch their configs from it over Unix sockets, and send it their state and metrics. It stays in
/// the foreground; SIGTERM lets requests in progress finish, removes its sockets and ends with status 0.
///
/// When its certificate directory changes, for example by `certck crl fetch` or `certck mint renew`, it is loaded again
/// within a second or two, or at once on SIGHUP. If `certck check` would report an error, the former certificates stay
/// in use and `profctl status` shows the reason. A newer CRL is taken all the same, as soon as it is there: it must be
/// signed by a CA that is in use, be valid now, and not be older than the present one. Connections that are open are
/// not closed. With a controlling terminal, SIGHUP terminates the daemon.
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
  profd --certs-dir certs --enable-ipc-monitor --metric-log-dir /var/log/profd

The options of the existing dynolog daemons are taken as they are (--enable_ipc_monitor, --metric_log_dir,
--use_JSON=true and so on).";

impl Tool for Cli {
    const NAME: &'static str = "profd";

    fn style(&self) -> (Color, Verbosity) {
        self.global.style()
    }

    fn rewrite(args: Vec<OsString>) -> Vec<OsString> {
        plan::gflags::rewrite(args)
    }

    fn run(self, out: &mut Out) -> anyhow::Result<Exit> {
        // Whatever is created, by whichever library, is at most 0640 and 0750.
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o027));
        let uid = rustix::process::geteuid().as_raw();
        let around = plan::HostEnvironment {
            uid,
            home: account::find_home(uid),
            socket_dir: std::env::var_os(SOCKET_DIR_VAR).filter(|d| !d.is_empty()),
        };
        let plan = plan::DaemonPlan::new(self.flags, &around)?;
        run::run_daemon(&plan, uid, self.global.format, out)
    }
}
