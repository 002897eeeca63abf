//! `hostck rules`: the rules that hosts are checked against, with reason, fix and reference.

use clap::Args;
use clap::builder::PossibleValuesParser;
use common::exit::Exit;
use common::out::{Format, Out};
use common::record::hostck::HostRuleRecord;
use common::rule::Rule;

use crate::host::rules;

const EXAMPLES: &str = "\
Examples:
  hostck rules
      List the rules of hostck check.
  hostck rules aslr firewall
      Explain two of them.
  hostck rules --format json | jq -r '[.rule, .reference] | @tsv'
      Which section of which document does each come from?";

/// List the rules of `hostck check`, or explain some of them
///
/// Without RULE, prints a line for each rule: its id, severity and what is wrong with a host that fails. With RULE, also
/// prints the consequence of a failure, how to fix it, and the section of the security statement, RFC or manual page.
/// JSON records always have all of these.
#[derive(Args, Debug)]
#[command(arg = common::report::plain_format(), after_long_help = EXAMPLES)]
pub(crate) struct HostRulesArgs {
    /// Rules to explain
    #[arg(value_name = "RULE", value_parser = PossibleValuesParser::new(rules().map(|rule| rule.id)), hide_possible_values = true)]
    rules: Vec<String>,
}

impl HostRulesArgs {
    pub(crate) fn run(&self, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
        let explain = !self.rules.is_empty();
        for rule in rules().filter(|rule| !explain || self.rules.iter().any(|id| id == rule.id)) {
            match format {
                Format::Json => out.record(&new_record(rule))?,
                Format::Text => {
                    writeln!(out.text(), "{:16} {:8} {}", rule.id, rule.severity, rule.what)?;
                    if explain {
                        writeln!(
                            out.text(),
                            "  why        {}\n  fix        {}\n  reference  {}",
                            rule.why,
                            rule.fix,
                            rule.reference
                        )?;
                    }
                }
            }
        }
        Ok(Exit::Ok)
    }
}

fn new_record(rule: &Rule) -> HostRuleRecord {
    HostRuleRecord {
        rule: rule.id.to_owned(),
        severity: rule.severity,
        what: rule.what.to_owned(),
        why: rule.why.to_owned(),
        fix: rule.fix.to_owned(),
        reference: rule.reference.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::tests::hostck;

    #[test]
    fn every_rule_has_a_reason_a_fix_and_a_reference() {
        for rule in rules() {
            for text in [rule.what, rule.why, rule.fix, rule.reference] {
                assert!(!text.trim().is_empty(), "{}", rule.id);
            }
            let sentence = rule.why.starts_with(char::is_uppercase) && rule.why.ends_with('.');
            assert!(sentence && rule.why != rule.what, "{}: {}", rule.id, rule.why);
            let cites = ["msMonitor security statement, ", "RFC ", "(1)", "(2)", "(5)", "(7)", "(8)"];
            assert!(cites.iter().any(|c| rule.reference.contains(c)), "{}: {}", rule.id, rule.reference);
        }
        let ids: BTreeSet<_> = rules().map(|rule| rule.id).collect();
        assert_eq!(ids.len(), rules().count(), "ids are unique");
    }

    #[test]
    fn rules_are_listed_in_short_and_explained_when_named() {
        let (exit, text) = hostck(&["rules"]);
        assert_eq!((exit, text.lines().count()), (Exit::Ok, rules().count()));
        assert!(!text.contains("reference"));
        let (_, text) = hostck(&["rules", "aslr"]);
        assert!(text.starts_with("aslr             error    ") && text.lines().count() == 4, "{text}");
        assert!(
            text.contains("  fix        write `kernel.randomize_va_space = 2` in /etc/sysctl.d/"),
            "{text}"
        );
        let (_, json) = hostck(&["rules", "--format", "json"]);
        for line in json.lines() {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(record["type"], "hostck.rule");
            for key in ["rule", "severity", "what", "why", "fix", "reference"] {
                assert!(record[key].as_str().is_some_and(|text| !text.is_empty()), "{key} in {line}");
            }
        }
        assert_eq!(json.lines().count(), rules().count());
    }
}
