//! `certck rules`: what directories and daemons are held to.

use common::exit::Exit;
use common::out::{Format, Out};
use common::pki::rule::{RULES, Rule};
use common::record::certck as record;

use super::{fetch, ocsp, probe};

/// List the rules that directories and daemons are held to
///
/// The severity is that of the compatible profile; the strict one makes errors of all but `expiring`,
/// `crl-expiring` and `clock`.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "Examples:
  certck rules
  certck rules expired --format json")]
pub(crate) struct Args {
    /// Only these
    #[arg(value_name = "RULE", value_parser = clap::builder::PossibleValuesParser::new(all().map(|(r, _)| r.id)), hide_possible_values = true)]
    rules: Vec<String>,
}

/// Every rule, and the command that applies it.
pub(crate) fn all() -> impl Iterator<Item = (&'static Rule, &'static str)> {
    let checked = RULES.iter().map(|r| (r, "check"));
    let fetched = fetch::OWN.iter().map(|r| (r, "crl fetch"));
    checked
        .chain(fetched)
        .chain(ocsp::OWN.iter().map(|r| (r, "ocsp")))
        .chain(probe::OWN.iter().map(|r| (r, "probe")))
}

pub(crate) fn run(args: &Args, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
    let mut listed = 0;
    let wanted = |rule: &Rule| args.rules.is_empty() || args.rules.iter().any(|id| id == rule.id);
    for (rule, command) in all().filter(|(rule, _)| wanted(rule)) {
        listed += 1;
        match format {
            Format::Text => writeln!(out.text(), "{:23} {:8} {}", rule.id, rule.severity, rule.what)?,
            Format::Json => out.record(&record::Rule {
                rule: rule.id.to_owned(),
                severity: rule.severity,
                demands: rule.what.to_owned(),
                command: command.to_owned(),
            })?,
        }
    }
    if format == Format::Json {
        out.record(&record::Summary { checked: listed, ..record::Summary::default() })?;
    }
    Ok(Exit::Ok)
}
