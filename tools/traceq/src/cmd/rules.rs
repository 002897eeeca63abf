//! `traceq rules`: the rules that traces are checked against, with reason, fix and reference.

use clap::Args;
use clap::builder::PossibleValuesParser;
use common::exit::Exit;
use common::out::Out;
use common::record::traceq::TraceRuleRecord;
use common::rule::Rule;

use super::Format;
use trace::check::RULES;

const EXAMPLES: &str = "\
Examples:
  traceq rules
      List the rules of traceq check.
  traceq rules stream-overrun truncated
      Explain two of them.";

/// List the rules of `traceq check`, or explain some of them
///
/// Without RULE, prints a line for each rule: its id, severity and what is wrong with a trace that fails. With RULE, also
/// prints the consequence of a failure, what to do, and where the rule comes from. JSON records always have all of these.
#[derive(Args, Debug)]
#[command(arg = super::format_arg(super::PLAIN), after_long_help = EXAMPLES)]
pub(crate) struct TraceRulesArgs {
    /// Rules to explain
    #[arg(value_name = "RULE", value_parser = PossibleValuesParser::new(RULES.iter().map(|rule| rule.id)), hide_possible_values = true)]
    rules: Vec<String>,
}

impl TraceRulesArgs {
    pub(crate) fn run(self, out: &mut Out, format: Format) -> anyhow::Result<Exit> {
        let json = format.is_json("rules")?;
        let explain = !self.rules.is_empty();
        for rule in RULES.iter().filter(|rule| !explain || self.rules.iter().any(|id| id == rule.id)) {
            if json {
                out.record(&rule_record(rule))?;
                continue;
            }
            writeln!(out.text(), "{:24} {:8} {}", rule.id, rule.severity, rule.what)?;
            if explain {
                let Rule { why, fix, reference, .. } = rule;
                writeln!(out.text(), "  why        {why}\n  fix        {fix}\n  reference  {reference}")?;
            }
        }
        Ok(Exit::Ok)
    }
}

fn rule_record(rule: &Rule) -> TraceRuleRecord {
    TraceRuleRecord {
        rule: rule.id.to_owned(),
        severity: rule.severity,
        what: rule.what.to_owned(),
        why: rule.why.to_owned(),
        fix: rule.fix.to_owned(),
        reference: rule.reference.to_owned(),
    }
}
