//! `permck rules`: explain the rules of audits.

use clap::Args;
use clap::builder::PossibleValuesParser;
use common::exit::Exit;
use common::out::{Format, Out};
use common::record::permck::{PermckRule, RulesSummary};
use common::rule::Rule;

use crate::rule::rule_descriptions;

/// List the rules of audits, or explain some of them
///
/// Without RULE, lists every rule with its severity and what it finds. With RULE, also prints the consequence of a
/// finding, how to fix it, and the source of the rule. With --format json, every rule has all of these.
#[derive(Args, Debug)]
#[command(arg = common::report::plain_format(), after_long_help = "Examples:
  permck rules
      List all rules.
  permck rules ancestor stray-key
      Explain two rules.
  permck rules --format json | jq -r 'select(.severity==\"error\").rule'
      Names of the rules that are errors.")]
pub(crate) struct RulesArgs {
    /// Explain only these rules
    #[arg(
        value_name = "RULE",
        value_parser = PossibleValuesParser::new(rule_descriptions().map(|rule| rule.id)),
        hide_possible_values = true
    )]
    rules: Vec<String>,
}

impl RulesArgs {
    pub(crate) fn run(&self, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
        let selected = |rule: &&Rule| self.rules.is_empty() || self.rules.iter().any(|id| id == rule.id);
        let mut listed = 0;
        for rule in rule_descriptions().filter(selected) {
            listed += 1;
            match format {
                Format::Json => out.record(&rule_record(rule))?,
                Format::Text => self.print_rule(rule, out)?,
            }
        }
        if format == Format::Json {
            out.record(&RulesSummary { rules: listed, errors: 0 })?;
        }
        Ok(Exit::Ok)
    }

    /// Prints a line, and the explanation if rules were named.
    fn print_rule(&self, rule: &Rule, out: &mut Out) -> std::io::Result<()> {
        writeln!(out.text(), "{:15} {:8} {}", rule.id, rule.severity, rule.what)?;
        if self.rules.is_empty() {
            return Ok(());
        }
        writeln!(out.text(), "  why        {}", rule.why)?;
        writeln!(out.text(), "  fix        {}", rule.fix)?;
        writeln!(out.text(), "  reference  {}", rule.reference)
    }
}

fn rule_record(rule: &Rule) -> PermckRule {
    PermckRule {
        rule: rule.id.to_owned(),
        severity: rule.severity,
        what: rule.what.to_owned(),
        why: rule.why.to_owned(),
        fix: rule.fix.to_owned(),
        reference: rule.reference.to_owned(),
    }
}
