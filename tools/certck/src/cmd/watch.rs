//! `certck watch`: directories checked periodically, and what changed.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use common::duration::parse_duration;
use common::exit::Exit;
use common::finding::{Finding, Severity};
use common::out::{Diag, Format, Out};
use common::pki::rule::DIRECTORY;
use common::record::certck as record;
use common::report::ReportFormat;
use common::text::Safe;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use time::OffsetDateTime;

use crate::check_output::report_for;
use crate::clock::format_rfc3339;
use crate::directory_check::{CheckOptions, CheckTally, CheckedDirectory, DirectoryChecker};
use crate::directory_source::DirectorySource;
use crate::metrics;
use crate::suppressions::Suppressions;

/// Check certificate directories periodically and report changes
///
/// Prints each finding once when it appears and once when it is gone. With --prometheus, each round replaces a textfile for
/// node_exporter atomically. A list of directories that is not a regular file is read once; the directories that it names,
/// or that are found below them, are looked up in each round. A failure is printed once while it lasts, and the next round
/// follows all the same.
///
/// certck ends after --count rounds, or on SIGTERM or SIGINT, with the exit status of the last `certck check`: 2 if
/// anything failed since the start.
#[derive(clap::Args, Debug)]
#[command(arg = common::report::plain_format(), after_long_help = "Examples:
  certck watch --interval 1h --prometheus /var/lib/node_exporter/certck.prom \\
    /etc/profguard/server_certs
  certck watch --format json -r /etc |
    jq -r 'select(.type==\"certck.change\" and .change==\"new\").finding.rule'")]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    source: DirectorySource,
    #[command(flatten)]
    demands: CheckOptions,
    /// Time from one round to the next, between 1s and 24h; a bare number is seconds
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = parse_interval)]
    interval: Duration,
    /// Number of rounds [default: unlimited]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Write metrics for node_exporter's textfile collector to FILE in each round
    #[arg(long, value_name = "FILE")]
    prometheus: Option<PathBuf>,
}

pub(crate) fn run(args: &WatchArgs, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
    let passphrase = args.demands.passphrase.read()?;
    let mut suppressions =
        Suppressions::read_file(args.demands.suppress.as_deref(), OffsetDateTime::now_utc())?;
    for expired in &suppressions.expired {
        out.warn("suppression", expired);
    }
    let source = args.source.with_list_read(|e| out.diag().fatal(&e))?;
    let stop = StopSignals::listen()?;
    out.flush_each_record();
    let mut known: BTreeSet<SeenFinding> = BTreeSet::new();
    let (mut troubles, mut last) = (RoundFailures::default(), CheckTally::default());
    for round in 1.. {
        let (at, begun) = (OffsetDateTime::now_utc(), Instant::now());
        match Suppressions::read_file(args.demands.suppress.as_deref(), at) {
            Ok(read) => suppressions = read,
            // The suppressions of the round before stay in effect.
            Err(e) => troubles.add_failure(&e),
        }
        let checker = DirectoryChecker {
            demands: &args.demands,
            at,
            passphrase: passphrase.as_ref(),
            suppressions: &suppressions,
        };
        // An incomplete round does not show which findings are gone.
        let Some(checked) = check_round(&source, &checker, &stop, &mut troubles) else { break };
        let now: BTreeSet<SeenFinding> =
            checked.iter().flat_map(|c| c.findings.iter().map(|f| SeenFinding::new(c, f))).collect();
        for gone in known.difference(&now) {
            report_change("gone", gone, at, format, out)?;
        }
        for new in now.difference(&known) {
            report_change("new", new, at, format, out)?;
        }
        out.flush()?;
        last = finish_round(args, &checked, &mut troubles, out.diag())?;
        known = now;
        let rest = args.interval.saturating_sub(begun.elapsed());
        if args.count == Some(round) || stop.wait_for(rest) {
            break;
        }
    }
    finish_watch(last, &known, format, out)
}

/// Parses the time between two rounds.
fn parse_interval(text: &str) -> Result<Duration, String> {
    let limits = Duration::from_secs(1)..=Duration::from_secs(24 * 3600);
    parse_duration(text).and_then(|time| match limits.contains(&time) {
        true => Ok(time),
        false => Err("must be between 1s and 24h".to_owned()),
    })
}

/// Checks every directory once; `None` when a signal came meanwhile.
fn check_round(
    source: &DirectorySource,
    checker: &DirectoryChecker<'_>,
    stop: &StopSignals,
    troubles: &mut RoundFailures,
) -> Option<Vec<CheckedDirectory>> {
    let mut checked = Vec::new();
    match source.find_directories() {
        Ok(items) => {
            for item in items {
                match item {
                    _ if stop.is_requested() => return None,
                    Ok(dir) => checked.push(checker.check_directory(dir)),
                    Err(e) => troubles.add_failure(&e),
                }
            }
        }
        Err(e) => troubles.add_failure(&e),
    }
    Some(checked)
}

/// Counts a round, reports what failed in it, and writes the textfile.
fn finish_round(
    args: &WatchArgs,
    checked: &[CheckedDirectory],
    troubles: &mut RoundFailures,
    diag: &Diag,
) -> anyhow::Result<CheckTally> {
    let mut tally = CheckTally::default();
    checked.iter().for_each(|one| tally.count_directory(one));
    if let Some((dir, _)) = tally.unchecked_hosts(&args.demands) {
        troubles.add_failure(&anyhow::anyhow!(
            "--host: does not apply to {}, which is not a server's directory",
            dir.display()
        ));
    }
    let failed = checked.iter().filter(|one| !one.readable).count() as u64;
    tally.summary.errors = troubles.now.len() as u64 + failed;
    if let Some(path) = &args.prometheus {
        let mut metrics = report_for(ReportFormat::Prometheus, Severity::Error);
        checked.iter().try_for_each(|one| metrics.add_directory(&mut std::io::sink(), one))?;
        if let Err(e) = metrics::write_textfile(path, metrics.as_mut(), &tally) {
            troubles.add_failure(&e);
        }
    }
    troubles.report_new(diag);
    Ok(tally)
}

/// Ends with the messages and the exit status of `certck check` for the last round.
fn finish_watch(
    mut tally: CheckTally,
    known: &BTreeSet<SeenFinding>,
    format: Format,
    out: &mut Out,
) -> anyhow::Result<Exit> {
    for key in known.iter().filter(|k| k.finding.rule == DIRECTORY.id) {
        out.error(&key.finding.path, key.finding.reason());
    }
    let nothing = tally.summary.checked == 0 && out.diag().errors() == 0;
    if nothing {
        out.warn("nothing to check", "no certificate directory was found");
    }
    tally.summary.errors = out.diag().errors();
    if format == Format::Json {
        out.record(&tally.summary)?;
    }
    Ok(if tally.summary.failed > 0 || nothing { Exit::No } else { Exit::Ok })
}

/// SIGTERM and SIGINT. The second signal ends the process at once.
struct StopSignals {
    asked: Arc<AtomicBool>,
    signals: Receiver<()>,
}

impl StopSignals {
    fn listen() -> anyhow::Result<Self> {
        let (asked, (send, signals)) = (Arc::new(AtomicBool::new(false)), channel());
        // Asked before it is set below: so the first signal is not the last.
        for signal in [SIGTERM, SIGINT] {
            signal_hook::flag::register_conditional_default(signal, asked.clone())?;
        }
        let mut come = Signals::new([SIGTERM, SIGINT])?;
        let set = asked.clone();
        std::thread::spawn(move || {
            if come.forever().next().is_some() {
                set.store(true, Ordering::SeqCst);
                let _ = send.send(());
            }
        });
        Ok(Self { asked, signals })
    }

    fn is_requested(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }

    /// Waits for this time; returns whether a signal came.
    fn wait_for(&self, time: Duration) -> bool {
        self.signals.recv_timeout(time).is_ok()
    }
}

/// The failures of this round, and of the one before, which are not reported again.
#[derive(Default)]
struct RoundFailures {
    before: BTreeSet<String>,
    now: BTreeSet<String>,
}

impl RoundFailures {
    fn add_failure(&mut self, error: &anyhow::Error) {
        self.now.insert(format!("{error:#}"));
    }

    /// Ends a round.
    fn report_new(&mut self, diag: &Diag) {
        let now = std::mem::take(&mut self.now);
        for new in now.difference(&self.before) {
            diag.fatal(&anyhow::anyhow!("{new}"));
        }
        self.before = now;
    }
}

/// A finding, compared with those of the round before. How long a validity still lasts is not compared.
#[derive(Clone)]
struct SeenFinding {
    dir: String,
    finding: Finding,
}

impl SeenFinding {
    fn new(checked: &CheckedDirectory, finding: &Finding) -> Self {
        Self { dir: checked.dir.to_string_lossy().into_owned(), finding: finding.clone() }
    }

    fn identity_parts(&self) -> (&str, &str, &str, &str) {
        (&self.dir, &self.finding.path, &self.finding.rule, self.finding.lasting_found())
    }
}

impl PartialEq for SeenFinding {
    fn eq(&self, other: &Self) -> bool {
        self.identity_parts() == other.identity_parts()
    }
}

impl Eq for SeenFinding {}

impl PartialOrd for SeenFinding {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SeenFinding {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.identity_parts().cmp(&other.identity_parts())
    }
}

fn report_change(
    what: &str,
    key: &SeenFinding,
    at: OffsetDateTime,
    format: Format,
    out: &mut Out,
) -> anyhow::Result<()> {
    let finding = key.finding.clone();
    if format == Format::Json {
        let (change, at) = (what.to_owned(), format_rfc3339(at));
        return Ok(out.record(&record::FindingChange { change, at, dir: key.dir.clone(), finding })?);
    }
    let line = format!(
        "{} {what:4} {:7} {}: {}",
        format_rfc3339(at),
        finding.severity,
        finding.path,
        finding.reason()
    );
    Ok(writeln!(out.text(), "{}", Safe(&line))?)
}
