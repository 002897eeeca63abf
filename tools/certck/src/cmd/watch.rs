//! `certck watch`: the check again and again, and what changed since.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use common::duration::duration;
use common::exit::Exit;
use common::finding::Finding;
use common::out::{Diag, Format, Out};
use common::pki::rule::DIRECTORY;
use common::record::certck as record;
use common::report::ReportFormat;
use common::text::Safe;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use time::OffsetDateTime;

use crate::clock::format_rfc3339;
use crate::judgement::{CheckOptions, CheckTally, CheckedDirectory, DirectoryChecker};
use crate::metrics;
use crate::source::DirectorySource;
use crate::suppress::Suppressions;
use crate::verdict::report_for;

/// Check again and again, and report what changes
///
/// Says each finding once when it appears and once when it is gone. With --prometheus, the state of every round
/// is a textfile for node_exporter, replaced in one step. A list that is not a regular file is read once; the
/// directories that it names, or that are found below them, are looked up again in each round. What fails in a round
/// is said once while it lasts; the next round comes all the same.
///
/// It ends after --count rounds, or on SIGTERM or SIGINT, with the exit status that `certck check` would have given
/// last: 2 if anything failed since it began.
#[derive(clap::Args, Debug)]
#[command(arg = common::report::plain_format(), after_long_help = "Examples:
  certck watch --interval 1h --prometheus /var/lib/node_exporter/certck.prom /etc/profguard/server_certs
  certck watch --format json -r /etc | jq -r 'select(.type==\"certck.change\" and .change==\"new\").finding.rule'")]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    source: DirectorySource,
    #[command(flatten)]
    demands: CheckOptions,
    /// Time from one round to the next, between 1s and 24h; a bare number is seconds
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = parse_interval)]
    interval: Duration,
    /// Rounds, after which it ends; for ever, if not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Keep a Prometheus textfile up to date
    #[arg(long, value_name = "FILE")]
    prometheus: Option<PathBuf>,
}

pub(crate) fn run(args: &WatchArgs, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
    let passphrase = args.demands.passphrase.read()?;
    let mut suppressions =
        Suppressions::read_file(args.demands.suppress.as_deref(), OffsetDateTime::now_utc())?;
    for ended in &suppressions.ended {
        out.warn("suppression", ended);
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
            // What was suppressed in the round before still is.
            Err(e) => troubles.add_failure(&e),
        }
        let judge = DirectoryChecker {
            demands: &args.demands,
            at,
            passphrase: passphrase.as_ref(),
            suppressions: &suppressions,
        };
        // Half a round says nothing about what is gone.
        let Some(checked) = check_round(&source, &judge, &stop, &mut troubles) else { break };
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
    duration(text).and_then(|time| match limits.contains(&time) {
        true => Ok(time),
        false => Err("must be between 1s and 24h".to_owned()),
    })
}

/// Judges every directory once; `None` when a signal came meanwhile.
fn check_round(
    source: &DirectorySource,
    judge: &DirectoryChecker<'_>,
    stop: &StopSignals,
    troubles: &mut RoundFailures,
) -> Option<Vec<CheckedDirectory>> {
    let mut checked = Vec::new();
    match source.find_directories() {
        Ok(items) => {
            for item in items {
                match item {
                    _ if stop.is_requested() => return None,
                    Ok(dir) => checked.push(judge.check_directory(dir)),
                    Err(e) => troubles.add_failure(&e),
                }
            }
        }
        Err(e) => troubles.add_failure(&e),
    }
    Some(checked)
}

/// Counts a round, says what failed in it, and writes the textfile.
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
            "--host: is not judged for {}, which is no server's",
            dir.display()
        ));
    }
    let failed = checked.iter().filter(|one| !one.readable).count() as u64;
    tally.summary.errors = troubles.now.len() as u64 + failed;
    if let Some(path) = &args.prometheus {
        let mut metrics = report_for(ReportFormat::Prometheus);
        checked.iter().try_for_each(|one| metrics.add_directory(&mut std::io::sink(), one))?;
        if let Err(e) = metrics::write_textfile(path, metrics.as_mut(), &tally) {
            troubles.add_failure(&e);
        }
    }
    troubles.report_new(diag);
    Ok(tally)
}

/// What the last round came to, in the words and with the status of `certck check`.
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
    Ok(if tally.summary.refused > 0 || nothing { Exit::No } else { Exit::Ok })
}

/// SIGTERM and SIGINT. The second one ends the process as it would any other.
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

    /// Waits, and tells whether one came.
    fn wait_for(&self, time: Duration) -> bool {
        self.signals.recv_timeout(time).is_ok()
    }
}

/// What failed in this round, and in the one before, of which nothing is said again.
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

/// What makes a finding the same one as in the round before: how long a validity still lasts does not.
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
        let found = &self.finding.found;
        let found = found.rsplit_once(", in ").map_or(found.as_str(), |(found, _)| found);
        (&self.dir, &self.finding.path, &self.finding.rule, found)
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
