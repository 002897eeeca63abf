//! `certck watch`: the check again and again, and what changed since.

use std::collections::BTreeSet;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use common::exit::Exit;
use common::finding::{Finding, Severity};
use common::fsat::Output;
use common::out::{Format, Out};
use common::policy::Mode;
use common::record::certck as record;
use common::report::ReportFormat;
use common::text::Safe;
use time::OffsetDateTime;

use super::check::{Checked, Demands, Tally, form, judge};
use crate::clock::rfc3339;
use crate::source::Source;

/// Check again and again, and report what changes
///
/// Says each finding once when it appears and once when it is gone. With --prometheus, the state of every round
/// is a textfile for node_exporter, replaced in one step.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "Examples:
  certck watch --interval 3600 --prometheus /var/lib/node_exporter/certck.prom /etc/profguard/server_certs
  certck watch --format json -r /etc | jq -r 'select(.type==\"certck.change\" and .change==\"new\").finding.rule'")]
pub(crate) struct Args {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    demands: Demands,
    /// Seconds from one round to the next
    #[arg(long, value_name = "S", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86400))]
    interval: u64,
    /// Rounds, after which it ends; for ever, if not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Keep a Prometheus textfile up to date
    #[arg(long, value_name = "FILE")]
    prometheus: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
    let passphrase = args.demands.passphrase.read()?;
    out.flush_each_record();
    let mut known: BTreeSet<Key> = BTreeSet::new();
    let mut round = 0;
    loop {
        let at = OffsetDateTime::now_utc();
        let mut checked = Vec::new();
        for dir in args.source.items()? {
            match dir {
                Ok(dir) => checked.push(judge(dir, &args.demands, at, passphrase.as_ref())),
                Err(e) => out.diag().fatal(&e),
            }
        }
        let now: BTreeSet<Key> =
            checked.iter().flat_map(|c| c.findings.iter().map(|f| Key::new(c, f))).collect();
        for gone in known.difference(&now) {
            change("gone", gone, at, format, out)?;
        }
        for new in now.difference(&known) {
            change("new", new, at, format, out)?;
        }
        out.flush()?;
        if let Some(path) = &args.prometheus {
            metrics(path, &checked).with_context(|| path.display().to_string())?;
        }
        let refused = now.iter().any(|k| k.finding.severity == Severity::Error);
        known = now;
        round += 1;
        if args.count.is_some_and(|n| round >= n) {
            return Ok(if refused { Exit::No } else { Exit::Ok });
        }
        std::thread::sleep(Duration::from_secs(args.interval));
    }
}

/// What makes a finding the same one as in the round before: how long a validity still lasts does not.
#[derive(Clone)]
struct Key {
    dir: String,
    finding: Finding,
}

impl Key {
    fn new(checked: &Checked, finding: &Finding) -> Self {
        Self { dir: checked.dir.to_string_lossy().into_owned(), finding: finding.clone() }
    }

    fn id(&self) -> (&str, &str, &str, &str) {
        let found = &self.finding.found;
        let found = found.rsplit_once(", in ").map_or(found.as_str(), |(found, _)| found);
        (&self.dir, &self.finding.path, &self.finding.rule, found)
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.id().cmp(&other.id())
    }
}

fn change(what: &str, key: &Key, at: OffsetDateTime, format: Format, out: &mut Out) -> anyhow::Result<()> {
    let finding = key.finding.clone();
    if format == Format::Json {
        let (change, at) = (what.to_owned(), rfc3339(at));
        return Ok(out.record(&record::Change { change, at, dir: key.dir.clone(), finding })?);
    }
    let line =
        format!("{} {what:4} {:7} {}: {}", rfc3339(at), finding.severity, finding.path, finding.reason());
    Ok(writeln!(out.text(), "{}", Safe(&line))?)
}

fn metrics(path: &std::path::Path, checked: &[Checked]) -> anyhow::Result<()> {
    let mut file = BufWriter::new(Output::create(path, Mode(0o640))?);
    let (mut report, mut tally) = (form(ReportFormat::Prometheus), Tally::default());
    for one in checked {
        tally.count(&one.findings);
        report.checked(&mut file, one)?;
    }
    report.end(&mut file, &tally.end(), &tally.summary)?;
    file.flush()?;
    file.into_inner().map_err(std::io::IntoInnerError::into_error)?.commit()?;
    Ok(())
}
