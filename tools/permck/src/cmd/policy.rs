//! `permck policy`: check and show policies.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};
use common::accounts::AccountTable;
use common::exit::Exit;
use common::out::{Format, Out};
use common::record::permck::{PolicyLine, PolicySummary};
use common::text::Safe;

use crate::policy::profile::PROFILES;
use crate::policy::{EntryLocation, Policy};

/// Check a policy file, or show what policies say
#[derive(Args, Debug)]
#[command(arg = common::report::plain_format(), after_long_help = "Examples:
  permck policy check /etc/profguard/policy.toml
      Check a policy before it is used.
  permck policy show --profile certs
      Show a built-in policy.")]
pub(crate) struct PolicyArgs {
    #[command(subcommand)]
    command: PolicyCommand,
}

#[derive(Subcommand, Debug)]
enum PolicyCommand {
    Check(PolicyCheckArgs),
    Show(PolicyShowArgs),
}

/// Check policy files: syntax, classes, accounts, patterns and dates
///
/// Prints exceptions that have expired; the exit status is then 1. A file that cannot be used is an error, and the exit
/// status 2.
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:
  permck policy check /etc/profguard/policy.toml
      Check a policy before it is used.")]
struct PolicyCheckArgs {
    /// Policy files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Show the rows and exceptions of policies in the order in which they are tried
///
/// With --path, shows the row that decides about it instead: the first that matches. Patterns of rows are relative to
/// the path that will be audited.
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:
  permck policy show --profile certs
      Show a built-in policy.
  permck policy show --policy policy.toml --path etc/app.key
      Which row decides about etc/app.key in an audited tree?")]
struct PolicyShowArgs {
    /// Policy file; its rows take precedence over those of profiles
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Built-in policy
    #[arg(long, value_name = "NAME", value_parser = PROFILES.map(|(name, ..)| name))]
    profile: Vec<String>,
    /// Show the row that decides about this path, relative to the audited one; a directory ends in a slash
    #[arg(long, value_name = "PATH")]
    path: Vec<String>,
}

impl PolicyArgs {
    pub(crate) fn run(self, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
        match self.command {
            PolicyCommand::Check(args) => args.run(format, out),
            PolicyCommand::Show(args) => args.run(format, out),
        }
    }
}

impl PolicyCheckArgs {
    fn run(self, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
        let accounts = AccountTable::load(std::path::Path::new("/"));
        let today = time::OffsetDateTime::now_utc().date();
        let mut lines = 0;
        for file in &self.files {
            let policy = match load_policy(Some(file), &[], &accounts) {
                Ok(policy) => policy,
                Err(e) => {
                    out.diag().fatal(&e);
                    continue;
                }
            };
            for text in policy.expired_exceptions(today) {
                lines += 1;
                write_line(format!("{}: {text}", file.display()), format, out)?;
            }
        }
        write_summary(lines, format, out)?;
        Ok(if lines > 0 { Exit::No } else { Exit::Ok })
    }
}

impl PolicyShowArgs {
    fn run(self, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
        let accounts = AccountTable::load(std::path::Path::new("/"));
        let policy = load_policy(self.policy.as_ref(), &self.profile, &accounts)?;
        let mut texts: Vec<String> =
            if self.path.is_empty() { policy.describe().collect() } else { Vec::new() };
        for path in &self.path {
            let below = path.trim_end_matches('/');
            let place = EntryLocation {
                below: Some(below.as_bytes()),
                root: std::path::Path::new(""),
                dir: path.ends_with('/'),
            };
            let row = policy.describe_match(place).unwrap_or("its content decides");
            texts.push(format!("{path}: {row}"));
        }
        let lines = texts.len() as u64;
        texts.into_iter().try_for_each(|text| write_line(text, format, out))?;
        write_summary(lines, format, out)?;
        Ok(Exit::Ok)
    }
}

fn load_policy(
    file: Option<&PathBuf>,
    profiles: &[String],
    accounts: &AccountTable,
) -> anyhow::Result<Policy> {
    let mut policy = Policy::default();
    if let Some(path) = file {
        let shown = path.display().to_string();
        let text = Policy::read_file(path).with_context(|| shown.clone())?;
        policy.add_file(&text, accounts).map_err(|e| anyhow::anyhow!("{shown}: {e}"))?;
    }
    for name in profiles {
        policy.add_profile(name, accounts).with_context(|| format!("profile {name}"))?;
    }
    Ok(policy)
}

fn write_line(text: String, format: Format, out: &mut Out) -> anyhow::Result<()> {
    match format {
        Format::Json => out.record(&PolicyLine { text })?,
        Format::Text => writeln!(out.text(), "{}", Safe(&text))?,
    }
    Ok(())
}

fn write_summary(lines: u64, format: Format, out: &mut Out) -> anyhow::Result<()> {
    if format == Format::Json {
        let errors = out.diag().errors();
        out.record(&PolicySummary { lines, errors })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use common::exit::Exit;

    use crate::tests::{clean_dir, permck, write};

    #[test]
    fn policies_are_checked_and_shown() {
        let dir = clean_dir();
        let file = dir.path().join("p.toml");
        let path = file.to_str().unwrap();
        let class = "[[class]]\nname = 'model_dir'\nlike = 'data_dir'\nmax = '0755'\nreason = 'shared'\n";
        let rows = "[[path]]\nmatch = ['models']\nclass = 'model_dir'\n";
        write(&file, 0o600, format!("version = 1\n{class}{rows}"));
        assert_eq!(permck(&["policy", "check", path]), (Exit::Ok, String::new()));
        let (_, text) = permck(&["policy", "show", "--policy", path, "--profile", "certs"]);
        assert!(
            text.starts_with("policy row 1: models -> model_dir, at most 0755\nprofile certs row 1: "),
            "{text}"
        );
        let args = ["policy", "show", "--policy", path, "--path", "models/", "--path", "models"];
        let (_, text) = permck(&args);
        assert_eq!(text, "models/: policy row 1: models\nmodels: its content decides\n");
        let old = "[[exception]]\nmatch = ['x']\nrules = ['mode']\nreason = 'r'\nuntil = '2020-01-01'\n";
        write(&file, 0o600, format!("version = 1\n{old}"));
        let (exit, text) = permck(&["policy", "check", path]);
        assert!(exit == Exit::No && text.contains("exception 1 for mode expired on 2020-01-01: r"), "{text}");
        write(&file, 0o600, "version = 1\n[[path]]\nmatch = ['x']\nclass = 'nonsense'\n");
        assert_eq!(permck(&["policy", "check", path]), (Exit::Failed, String::new()));
    }
}
