//! `certck check`: is this directory fit to serve?

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use common::exit::Exit;
use common::finding::{Finding, Severity};
use common::out::{Format, Out};
use common::pki::{self, LoadOptions, Profile, Role};
use common::record::certck as record;
use common::text::Safe;
use time::OffsetDateTime;

use crate::clock;

/// Judge certificate directories by every rule
///
/// Says of each directory whether profd or profctl would start with it, and names every rule that it breaks, the
/// file, what was found, what was expected and how to mend it. All times are UTC.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "Examples:
  certck check /etc/profguard/server_certs
  certck check --host node17.example.org --warn-days 60 pki/server_certs pki/client_certs
  certck check --format json pki/server_certs | jq 'select(.type==\"certck.finding\")'")]
pub(crate) struct Args {
    /// Directories of certificates
    #[arg(value_name = "DIR", required = true)]
    dirs: Vec<PathBuf>,
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
}

/// What `--role` can be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum RoleChoice {
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

pub(crate) fn run(args: &Args, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
    let options = LoadOptions {
        hosts: &args.hosts,
        warn_days: args.warn_days,
        profile: args.profile,
        ..LoadOptions::now()
    };
    let options = LoadOptions { at: args.at.unwrap_or(options.at), ..options };
    let mut summary = record::Summary::default();
    for dir in &args.dirs {
        let role = args.role.decide(dir);
        let findings = pki::inspect(dir, role, &options).findings;
        count(&mut summary, &findings);
        match format {
            Format::Json => records(dir, role, findings, out)?,
            Format::Text => text(dir, role, &findings, out)?,
        }
    }
    summary.errors = out.diag().errors();
    if format == Format::Json {
        out.record(&summary)?;
    }
    Ok(if summary.refused > 0 { Exit::No } else { Exit::Ok })
}

fn count(summary: &mut record::Summary, findings: &[Finding]) {
    let mut counts: BTreeMap<Severity, u64> = BTreeMap::new();
    findings.iter().for_each(|f| *counts.entry(f.severity).or_default() += 1);
    let of = |severity| counts.get(&severity).copied().unwrap_or(0);
    summary.checked += 1;
    summary.refused += u64::from(of(Severity::Error) > 0);
    summary.findings_error += of(Severity::Error);
    summary.findings_warning += of(Severity::Warning);
    summary.findings_note += of(Severity::Note);
}

fn records(dir: &Path, role: Role, findings: Vec<Finding>, out: &mut Out) -> anyhow::Result<()> {
    let dir = dir.to_string_lossy();
    for finding in findings {
        out.record(&record::Finding { dir: dir.to_string(), role: role.name().to_owned(), finding })?;
    }
    Ok(())
}

fn text(dir: &Path, role: Role, findings: &[Finding], out: &mut Out) -> anyhow::Result<()> {
    let refused = findings.iter().any(|f| f.severity == Severity::Error);
    let verdict = if refused { "not fit to serve" } else { "fit to serve" };
    writeln!(out.text(), "{} ({role}): {verdict}", Safe(&dir.to_string_lossy()))?;
    for f in findings {
        let file = Path::new(&f.path).strip_prefix(dir).unwrap_or(Path::new(&f.path)).to_string_lossy();
        let file = if file.is_empty() { ".".into() } else { file };
        writeln!(out.text(), "  {:7} {}: {}", f.severity, Safe(&file), Safe(&f.reason()))?;
        if !f.fix.is_empty() {
            writeln!(out.text(), "          fix: {}", Safe(&f.fix))?;
        }
    }
    Ok(())
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
