//! `certck check`: is this directory fit to serve?

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::ValueEnum;
use common::exit::Exit;
use common::finding::{Finding, Severity};
use common::fsat::Output;
use common::out::Out;
use common::pki::{self, LoadOptions, Passphrase, PassphraseArgs, Profile, Role, rule};
use common::policy::Mode;
use common::progress;
use common::record::certck as record;
use common::report::{self, End, ReportFormat, Totals, Writer, nagios_exit};
use time::OffsetDateTime;

use crate::clock;
use crate::order::in_order;
use crate::source::Source;
use crate::suppress::Suppressions;
use crate::verdict::{Json, Metrics, Text, source};

/// Judge certificate directories by every rule
///
/// Says of each directory whether profd or profctl would start with it, and names every rule that it breaks, the
/// file, what was found, what was expected and how to mend it. All times are UTC.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "Examples:
  certck check /etc/profguard/server_certs
      Would profd start with it?
  certck check --host node17.example.org --warn-days 60 pki/server_certs pki/client_certs
      Is the server's certificate good for this name, and for two months more?
  certck check --format json pki/server_certs | jq 'select(.type==\"certck.finding\")'
  certck check -r --format prometheus -o /var/lib/node_exporter/certck.prom /etc
      Every certificate directory below /etc, as metrics; from cron.
  find /srv -name server_certs -print0 | certck check -0 --files-from - --format sarif -o certck.sarif

Suppression file:
  [[suppress]]
  rule = \"no-crl\"
  path = \"/etc/profguard\"             # optional: the file, or a directory above it
  reason = \"the PKI has no CRL yet\"
  until = \"2027-01-31\"                # the last day on which it counts")]
pub(crate) struct Args {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    demands: Demands,
    /// Do not count the findings that FILE lists with a reason and an end date
    #[arg(long, value_name = "FILE")]
    suppress: Option<PathBuf>,
    /// Write the report to FILE, replaced in one step, instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// What a directory is held to.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Demands {
    /// Which end the directories are for
    #[arg(long, value_enum, default_value_t, value_name = "ROLE")]
    role: RoleChoice,
    /// Name or address that a server's certificate must be good for; may be repeated
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,
    /// The time to judge for instead of now: RFC 3339, or seconds since 1970
    #[arg(long, value_name = "TIME", value_parser = clock::parse)]
    at: Option<OffsetDateTime>,
    /// Warn of a validity that ends within so many days
    #[arg(long, value_name = "N", default_value_t = 30)]
    warn_days: u32,
    /// How much is demanded
    #[arg(long, value_enum, default_value_t)]
    profile: Profile,
    #[command(flatten)]
    pub(crate) passphrase: PassphraseArgs,
}

/// What `--role` can be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleChoice {
    /// Told by the files in the directory
    #[default]
    Auto,
    /// A daemon's
    Server,
    /// A client's
    Client,
}

impl RoleChoice {
    /// Decides for one directory. Nothing to go by counts as a server's, whose missing files are then reported.
    fn decide(self, dir: &Path) -> Role {
        let has = |role: Role| {
            [role.layout().leaf, role.layout().key].iter().any(|f| dir.join(f).symlink_metadata().is_ok())
        };
        match self {
            Self::Server => Role::Server,
            Self::Client => Role::Client,
            Self::Auto if has(Role::Client) && !has(Role::Server) => Role::Client,
            Self::Auto => Role::Server,
        }
    }
}

/// What was found out about one directory.
pub(crate) struct Checked {
    pub(crate) dir: PathBuf,
    pub(crate) role: Role,
    pub(crate) findings: Vec<Finding>,
    pub(crate) ends: Vec<pki::End>,
}

/// A form of the result.
pub(crate) trait Report {
    /// Takes one directory.
    fn checked(&mut self, to: &mut dyn Write, checked: &Checked) -> anyhow::Result<()>;

    /// Ends the report.
    fn end(&mut self, to: &mut dyn Write, end: &End, summary: &record::Summary) -> anyhow::Result<()>;
}

/// The formats that all audits share.
struct Shared(Box<dyn Writer>);

impl Report for Shared {
    fn checked(&mut self, to: &mut dyn Write, checked: &Checked) -> anyhow::Result<()> {
        Ok(checked.findings.iter().try_for_each(|f| self.0.finding(to, f))?)
    }

    fn end(&mut self, to: &mut dyn Write, end: &End, _summary: &record::Summary) -> anyhow::Result<()> {
        Ok(self.0.end(to, end)?)
    }
}

pub(crate) fn run(args: &Args, format: ReportFormat, out: &mut Out) -> anyhow::Result<Exit> {
    let Some(path) = &args.output else {
        let (diag, to) = out.parts();
        return check(args, format, diag, to);
    };
    let shown = || path.display().to_string();
    let mut file = BufWriter::new(Output::create(path, Mode(0o640)).with_context(shown)?);
    let exit = check(args, format, out.diag(), &mut file)?;
    file.into_inner().map_err(std::io::IntoInnerError::into_error)?.commit().with_context(shown)?;
    Ok(exit)
}

fn check(
    args: &Args,
    format: ReportFormat,
    diag: &common::out::Diag,
    to: &mut (dyn Write + Send),
) -> anyhow::Result<Exit> {
    let at = args.demands.at.unwrap_or_else(OffsetDateTime::now_utc);
    let suppressions = match &args.suppress {
        Some(path) => Suppressions::read(path, at)?,
        None => Suppressions::default(),
    };
    for ended in &suppressions.ended {
        diag.warn("suppression", ended);
    }
    let passphrase = args.demands.passphrase.read()?;
    let mut report = form(format);
    let mut tally = Tally::default();
    let bar = progress::bar(diag, progress::Unit::Items, args.source.count(), "certificate directories");
    let judge =
        |item: anyhow::Result<PathBuf>| item.map(|dir| judge(dir, &args.demands, at, passphrase.as_ref()));
    in_order(args.source.items()?, judge, |checked| {
        bar.inc(1);
        match checked {
            Err(e) => diag.fatal(&e),
            Ok(mut checked) => match unreadable(&checked) {
                Some(finding) => diag.error(&finding.path, finding.reason()),
                None => {
                    let n = checked.findings.len();
                    checked.findings.retain(|f| !suppressions.cover(f));
                    tally.summary.suppressed += (n - checked.findings.len()) as u64;
                    tally.count(&checked.findings);
                    report.checked(to, &checked)?;
                }
            },
        }
        Ok::<_, anyhow::Error>(())
    })?;
    bar.finish_and_clear();
    tally.summary.errors = diag.errors();
    let end = tally.end();
    report.end(to, &end, &tally.summary)?;
    Ok(match format {
        ReportFormat::Nagios => nagios_exit(&end),
        _ if tally.summary.refused > 0 => Exit::No,
        _ => Exit::Ok,
    })
}

/// The writer of a format.
pub(crate) fn form(format: ReportFormat) -> Box<dyn Report> {
    match (format, report::writer(format, source(&[]))) {
        (ReportFormat::Prometheus, Some(writer)) => Box::new(Metrics::new(writer)),
        (_, Some(writer)) => Box::new(Shared(writer)),
        (ReportFormat::Json, None) => Box::new(Json),
        (_, None) => Box::new(Text),
    }
}

/// Judges one directory.
pub(crate) fn judge(
    dir: PathBuf,
    demands: &Demands,
    at: OffsetDateTime,
    passphrase: Option<&Passphrase>,
) -> Checked {
    let options = LoadOptions {
        at,
        hosts: &demands.hosts,
        warn_days: demands.warn_days,
        profile: demands.profile,
        passphrase,
    };
    let role = demands.role.decide(&dir);
    let inspection = pki::inspect(&dir, role, &options);
    Checked { dir, role, findings: inspection.findings, ends: inspection.ends }
}

/// A directory that is not there was not judged: that is a failure, not a verdict.
fn unreadable(checked: &Checked) -> Option<&Finding> {
    checked.findings.iter().find(|f| f.rule == rule::DIRECTORY.id)
}

/// What was counted so far.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) summary: record::Summary,
}

impl Tally {
    /// Counts one directory.
    pub(crate) fn count(&mut self, findings: &[Finding]) {
        let of = |severity| findings.iter().filter(|f| f.severity == severity).count() as u64;
        self.summary.checked += 1;
        self.summary.refused += u64::from(of(Severity::Error) > 0);
        self.summary.findings_error += of(Severity::Error);
        self.summary.findings_warning += of(Severity::Warning);
        self.summary.findings_note += of(Severity::Note);
    }

    pub(crate) fn end(&self) -> End {
        let s = &self.summary;
        let totals =
            Totals { errors: s.findings_error, warnings: s.findings_warning, notes: s.findings_note };
        End { subjects: s.checked, noun: "directories", totals, failed: s.errors }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_role_is_told_by_the_files() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(RoleChoice::Auto.decide(dir.path()), Role::Server);
        std::fs::write(dir.path().join("client.key"), "").unwrap();
        assert_eq!(RoleChoice::Auto.decide(dir.path()), Role::Client);
        assert_eq!(RoleChoice::Server.decide(dir.path()), Role::Server);
    }
}
