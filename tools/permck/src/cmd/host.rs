//! `permck host`: is this host, or the root of an image, fit to run the tools?

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use common::exit::Exit;
use common::finding::Severity;
use common::out::Out;
use common::report::{End, ReportFormat, nagios_exit};

use crate::collect::Collector;
use crate::host::{self, Host};
use crate::ids::Ids;
use crate::inspect::{Seen, issue};
use crate::report::{self, Ending};

const EXAMPLES: &str = "\
Examples:
  permck host --user profguard
      Audit this host for the account that runs the daemon.
  permck host --root /var/lib/machines/image --user profguard
      Audit an image that is not running.
  permck host --format nagios
      One line for a monitoring system.";

/// Audit the host: account, umask, kernel settings, listeners, firewall, units, CANN, clock
///
/// Reads only, and works without privileges; what it could not see is listed as notes.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct HostCmd {
    /// Audit the system below DIR, which is not running
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// The account that runs, or will run, the tools. Default: who runs permck
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// The daemon's port
    #[arg(long, value_name = "PORT", default_value_t = 1778)]
    port: u16,
    /// Least severity that makes the exit status 1
    #[arg(long, value_enum, default_value_t = Severity::Error, value_name = "SEVERITY")]
    fail_on: Severity,
    /// Least severity that is shown
    #[arg(long, value_enum, default_value_t = Severity::Note, value_name = "SEVERITY")]
    show: Severity,
}

impl HostCmd {
    pub(crate) fn run(self, format: ReportFormat, out: &mut Out) -> anyhow::Result<Exit> {
        let host = self.host()?;
        let color = out.color();
        let (diag, to) = out.parts();
        let mut report = report::select(format, host::source(self.fail_on), 0, color, host::heading);
        let collector = Collector::new(diag, to, &mut *report, self.show.min(self.fail_on), None);
        collector.add(host.check().into_iter().map(issue).collect());
        let (totals, known) = collector.finish()?;
        let end = End { subjects: host::CHECKS.len() as u64, noun: "checks", totals, failed: diag.errors() };
        let seen = Seen { entries: end.subjects, ..Seen::default() };
        report.end(to, &Ending { seen, known, end, ..Ending::default() })?;
        Ok(match format {
            ReportFormat::Nagios => nagios_exit(&end),
            _ if totals.at_least(self.fail_on) > 0 => Exit::No,
            _ => Exit::Ok,
        })
    }

    fn host(&self) -> anyhow::Result<Host> {
        let live = self.root.is_none();
        let root = self.root.as_deref().unwrap_or(Path::new("/"));
        let shown = || root.display().to_string();
        let me = || {
            let uid = rustix::process::geteuid().as_raw();
            Ids::load(root).user_name(uid).map_or_else(|| uid.to_string(), str::to_owned)
        };
        let user = self.user.clone().or_else(|| live.then(me));
        let mut host = Host::open(root, live, user, self.port)
            .map_err(|e| anyhow::anyhow!(crate::io_reason(&e)))
            .with_context(shown)?;
        if live && self.user.is_none() {
            host.env = std::env::vars_os()
                .filter_map(|(n, v)| Some((n.into_string().ok()?, v.into_string().ok()?)))
                .collect();
        }
        Ok(host)
    }
}
