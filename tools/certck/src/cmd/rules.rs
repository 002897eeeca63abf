//! `certck rules`: the rules for directories and daemons.

use std::io;

use common::exit::Exit;
use common::finding::Severity;
use common::out::{Format, Out};
use common::pki::rule::FORESIGHT;
use common::record::certck as record;
use common::rule::Rule;

use crate::rules::{RuleCommand, all_rules};

/// List the rules that certck checks
///
/// The severity is that of the compatible profile; the strict one makes errors of all but `expiring`,
/// `crl-expiring` and `clock`. A rule that is named is explained: the consequence of breaking it, how to fix what breaks
/// it, and where the rule comes from.
#[derive(clap::Args, Debug)]
#[command(arg = common::report::plain_format(), after_long_help = "Examples:
  certck rules
  certck rules stray-key
  certck rules expired --format json")]
pub(crate) struct RulesArgs {
    /// Rules to explain [default: list all]
    #[arg(value_name = "RULE", value_parser = clap::builder::PossibleValuesParser::new(all_rules().map(|(r, _)| r.id)), hide_possible_values = true)]
    rules: Vec<String>,
}

pub(crate) fn run(args: &RulesArgs, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
    let mut listed = 0;
    let named = !args.rules.is_empty();
    let wanted = |rule: &Rule| !named || args.rules.iter().any(|id| id == rule.id);
    for (rule, command) in all_rules().filter(|(rule, _)| wanted(rule)) {
        listed += 1;
        match format {
            Format::Json => out.record(&rule_record(rule, command))?,
            Format::Text => {
                writeln!(out.text(), "{:23} {:8} {}", rule.id, rule.severity, rule.what)?;
                if named {
                    write_explanation(rule, command, out)?;
                }
            }
        }
    }
    if format == Format::Json {
        out.record(&record::Summary { checked: listed, ..record::Summary::default() })?;
    }
    Ok(Exit::Ok)
}

/// The severity in the strict profile, which applies to directories only, without rules about the future.
fn strict_severity(rule: &Rule, command: RuleCommand) -> Severity {
    let lasting = command == RuleCommand::Check && !FORESIGHT.iter().any(|r| r.id == rule.id);
    if lasting { Severity::Error } else { rule.severity }
}

fn rule_record(rule: &Rule, command: RuleCommand) -> record::RuleRecord {
    record::RuleRecord {
        rule: rule.id.to_owned(),
        severity: rule.severity,
        strict: Some(strict_severity(rule, command)),
        demands: rule.what.to_owned(),
        command: command.name().to_owned(),
        why: rule.why.to_owned(),
        fix: rule.fix.to_owned(),
        reference: rule.reference.to_owned(),
    }
}

fn write_explanation(rule: &Rule, command: RuleCommand, out: &mut Out) -> io::Result<()> {
    let by = match command {
        RuleCommand::Check => "certck check, and every program that loads a directory".to_owned(),
        command => format!("certck {}", command.name()),
    };
    writeln!(
        out.text(),
        "  severity  {}; in the strict profile {}",
        rule.severity,
        strict_severity(rule, command)
    )?;
    writeln!(out.text(), "  applied   by {by}")?;
    writeln!(out.text(), "  why       {}\n  fix       {}", rule.why, rule.fix)?;
    writeln!(out.text(), "  reference {}", rule.reference)
}
