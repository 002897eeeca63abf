//! `tracewhy diff`: what became slower between two traces, or two sets of them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use common::exit::Exit;
use common::finding::Severity;
use common::out::Out;
use common::record::tracewhy as record;
use common::report::{End, Junit, Source, Totals, Writer};
use common::rule::Rule;
use trace::options::AnalysisOptions;
use trace::report::format_count;
use trace::shorten::{cut_to_width, short_name};
use trace::units::{TimeUnit, format_duration, format_percent};

use super::{ReadJob, ReportForm, read_set};
use crate::job::Job;
use crate::job::compare::{Change, compare_sets};
use crate::page::{Cell, row};
use crate::part::named::{ItemKind, OTHER_NAMES};
use crate::report::{LEFT, RIGHT, Report};

/// Say what became slower between two traces, or two sets of traces
///
/// A step, its parts, and every kernel, operator, kind of collective, module, annotation and phase is compared by its mean
/// time in a step. A difference that is more than three standard errors, by the steps of both, is beyond noise. Kernels
/// whose names differ in numbers and parameters only are taken for one.
#[derive(Args, Debug)]
#[command(arg = diff_form_arg(), after_long_help = "Examples:\n  \
    tracewhy diff before.json.gz after.json.gz\n  \
    tracewhy --format junit diff --fail-on 'step>5%' main/ branch/")]
pub(crate) struct DiffArgs {
    /// The trace to compare with: a file, or a directory of the traces of all ranks
    #[arg(value_name = "BASE")]
    base: PathBuf,
    /// The trace to check
    #[arg(value_name = "NEW")]
    new: PathBuf,
    /// Exit with status 1 if an item became slower by more than this, beyond noise, such as `step>5%` or `idle>2ms`
    ///
    /// Items: step, compute, communication, exposed_communication, exposed_copy, idle, or kernel, operator, collective,
    /// module, annotation and phase for any one of them. Units: %, us, ms, s. May be repeated. Fails, too, if NEW lacks
    /// ranks of its job that BASE has.
    #[arg(long, value_name = "CONDITION", value_parser = parse_condition)]
    fail_on: Vec<FailCondition>,
    #[command(flatten)]
    analysis: AnalysisOptions,
}

/// By how much an item may become slower.
#[derive(Clone, Copy, Debug, PartialEq)]
enum GrowthLimit {
    /// A share of what it took.
    Share(f64),
    /// Nanoseconds of a step.
    Time(f64),
}

/// A condition on which a comparison fails.
#[derive(Clone, Debug, PartialEq)]
struct FailCondition {
    text: String,
    rule: &'static Rule,
    limit: GrowthLimit,
}

const fn rule(id: &'static str, what: &'static str, why: &'static str) -> Rule {
    Rule {
        id,
        severity: Severity::Error,
        what,
        why,
        fix: "look at what else became slower, and at the change between both traces",
        reference: "tracewhy-diff(1), --fail-on",
    }
}

/// The rules of items that can be limited, by their names.
const DIFF_RULES: [Rule; 12] = [
    rule("step", "a step became slower", "The job takes longer than it did."),
    rule("compute", "computation became slower", "The device needs more time for the work of a step."),
    rule(
        "communication",
        "communication became slower",
        "Collectives take longer, or wait longer for other ranks.",
    ),
    rule("exposed_communication", "communication is hidden less", "The device computes nothing meanwhile."),
    rule("exposed_copy", "copies are hidden less", "The device computes nothing meanwhile."),
    rule("idle", "the device is idle for longer", "The device runs nothing meanwhile."),
    rule("kernel", "a kernel became slower", "The device needs more time for it, or runs it more often."),
    rule(
        "operator",
        "an operator became slower",
        "The host is busy with it for longer, or calls it more often.",
    ),
    rule("collective", "a collective became slower", "It takes longer, or waits longer for other ranks."),
    rule("module", "a module became slower", "The device needs more time for what it launches itself."),
    rule(
        "annotation",
        "an annotated range became slower",
        "The device needs more time for what is launched in it.",
    ),
    rule("phase", "a phase became slower", "The device needs more time for this part of a step."),
];

/// Requirements beside the conditions.
const MISSING_RANKS: Rule = Rule {
    id: "missing_ranks",
    severity: Severity::Error,
    what: "ranks have no trace",
    why: "What became slower may be what is not there.",
    fix: "compare traces of the same ranks",
    reference: "tracewhy-diff(1), --fail-on",
};

/// Ranks of the job of the second set that have a trace in the first only. A job of fewer ranks lacks none; nor does one trace that
/// is compared with one other, which may be two ranks of a job.
fn find_lacking(base: &Job, new: &Job) -> Vec<i64> {
    if base.parts.len() == 1 && new.parts.len() == 1 {
        return Vec::new();
    }
    let there: BTreeSet<i64> = new.parts.iter().map(|part| part.rank).collect();
    let size = i64::try_from(new.world_size()).unwrap_or(i64::MAX);
    let of_base: BTreeSet<i64> = base.parts.iter().map(|part| part.rank).collect();
    of_base.into_iter().filter(|rank| *rank < size && !there.contains(rank)).collect()
}

fn describe_lacking(ranks: &[i64]) -> String {
    const MOST: usize = 16;
    let named: Vec<String> = ranks.iter().take(MOST).map(i64::to_string).collect();
    let more = if ranks.len() > MOST { ", …" } else { "" };
    let noun = if ranks.len() == 1 { "rank" } else { "ranks" };
    format!("has no trace of {noun} {}{more}, which the base has", named.join(", "))
}

fn parse_condition(text: &str) -> Result<FailCondition, String> {
    let expected = || "expected ITEM>LIMIT, such as step>5% or idle>2ms".to_owned();
    let (item, limit) = text.split_once('>').ok_or_else(expected)?;
    let rule = DIFF_RULES.iter().find(|rule| rule.id == item.trim()).ok_or_else(|| {
        let names: Vec<&str> = DIFF_RULES.iter().map(|rule| rule.id).collect();
        format!("unsupported item `{}`, supported: {}", item.trim(), names.join(", "))
    })?;
    let limit = limit.trim();
    let number = limit.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == '%');
    let value: f64 = number.trim().parse().map_err(|_| expected())?;
    if !(value >= 0.0 && value.is_finite()) {
        return Err(expected());
    }
    let limit = match &limit[number.len()..] {
        "%" => GrowthLimit::Share(value / 100.0),
        "us" => GrowthLimit::Time(value * 1e3),
        "ms" => GrowthLimit::Time(value * 1e6),
        "s" => GrowthLimit::Time(value * 1e9),
        _ => return Err(expected()),
    };
    Ok(FailCondition { text: text.to_owned(), rule, limit })
}

impl FailCondition {
    fn is_broken_by(&self, change: &Change) -> bool {
        let is_item = match change.kind {
            ItemKind::Step => change.name == self.rule.id,
            kind => kind.name() == self.rule.id,
        };
        let exceeds = match self.limit {
            GrowthLimit::Share(share) => {
                change.difference() > 0.0 && change.growth().is_none_or(|growth| growth > share)
            }
            GrowthLimit::Time(nanoseconds) => change.difference() > nanoseconds,
        };
        is_item && exceeds && change.beyond_noise.unwrap_or(true)
    }
}

/// The result of a comparison.
struct Comparison {
    changes: Vec<Change>,
    /// Conditions that are broken, and the items that do.
    broken: Vec<(FailCondition, Vec<Change>)>,
    ranks: (u64, u64),
    /// Ranks without a trace, of both.
    missing: (u64, u64),
    /// Ranks that the second set has no trace of, and the first has.
    lacking: Vec<i64>,
    /// Names of a rank that were too many and are one, at most.
    other_names: u64,
}

/// The forms of this command.
pub(crate) const DIFF_FORMS: &[ReportForm] =
    &[ReportForm::Text, ReportForm::Json, ReportForm::Md, ReportForm::Junit];

/// `--format` of this command.
fn diff_form_arg() -> clap::Arg {
    super::form_arg(DIFF_FORMS, "text")
}

impl DiffArgs {
    /// Reads both sets and compares them.
    pub(crate) fn run(self, out: &mut Out, form: ReportForm) -> anyhow::Result<Exit> {
        let base = read_set(out, &self.analysis, &self.base)?;
        let new = read_set(out, &self.analysis, &self.new)?;
        let (Some(mut base), Some(mut new)) = (base, new) else { return Ok(Exit::Failed) };
        if !base.is_comparable(out, &self.base) || !new.is_comparable(out, &self.new) {
            return Ok(Exit::Failed);
        }
        let other_names = base.samples.other_names().max(new.samples.other_names());
        let changes = compare_sets(std::mem::take(&mut base.samples), std::mem::take(&mut new.samples));
        let broken = self.fail_on.iter().filter_map(|condition| {
            let by: Vec<Change> = changes.iter().filter(|c| condition.is_broken_by(c)).cloned().collect();
            (!by.is_empty()).then(|| (condition.clone(), by))
        });
        let broken: Vec<_> = broken.collect();
        let ranks = (base.job.parts.len() as u64, new.job.parts.len() as u64);
        let missing = |read: &ReadJob| read.job.world_size().saturating_sub(read.job.parts.len()) as u64;
        let missing = (missing(&base), missing(&new));
        let lacking = find_lacking(&base.job, &new.job);
        if !lacking.is_empty() {
            out.warn(self.new.display(), describe_lacking(&lacking));
        }
        let result = Comparison { broken, changes, ranks, missing, lacking, other_names };
        self.write(out, form, &result, &base, &new)?;
        let is_unproved = !self.fail_on.is_empty() && !result.lacking.is_empty();
        Ok(if result.broken.is_empty() && !is_unproved { Exit::Ok } else { Exit::No })
    }

    fn write(
        &self,
        out: &mut Out,
        form: ReportForm,
        result: &Comparison,
        base: &ReadJob,
        new: &ReadJob,
    ) -> anyhow::Result<()> {
        match form {
            ReportForm::Junit => Ok(self.write_junit(out, result)?),
            ReportForm::Json => {
                out.record(&self.verdict_record(result))?;
                for change in &result.changes {
                    out.record(&change_record(change))?;
                }
                base.write_summary(out, Some(new))
            }

            ReportForm::Md => Ok(self.describe(result).write_markdown(out.text())?),
            _ => Ok(self.describe(result).write_text(out.text())?),
        }
    }

    fn verdict_record(&self, result: &Comparison) -> record::DiffVerdict {
        let step = result.changes.first();
        record::DiffVerdict {
            base: self.base.display().to_string(),
            new: self.new.display().to_string(),
            base_ranks: result.ranks.0,
            new_ranks: result.ranks.1,
            base_missing: result.missing.0,
            new_missing: result.missing.1,
            lacking_ranks: result.lacking.clone(),
            base_ns: step.map_or(0, |s| s.base.mean().round() as i64),
            new_ns: step.map_or(0, |s| s.new.mean().round() as i64),
            growth: step.and_then(Change::growth),
            beyond_noise: step.and_then(|s| s.beyond_noise),
            failed: result.broken.iter().map(|(condition, _)| condition.text.clone()).collect(),
        }
    }

    fn write_junit(&self, out: &mut Out, result: &Comparison) -> std::io::Result<()> {
        let mut rules: Vec<Rule> = Vec::new();
        for condition in &self.fail_on {
            if !rules.contains(condition.rule) {
                rules.push(*condition.rule);
            }
        }
        if !result.lacking.is_empty() && !self.fail_on.is_empty() {
            rules.push(MISSING_RANKS);
        }
        let source =
            Source { tool: "tracewhy", version: env!("CARGO_PKG_VERSION"), rules, fail_on: Severity::Error };
        let mut writer = Junit::new(source);
        let mut totals = Totals::default();
        for (condition, changes) in &result.broken {
            for change in changes {
                let finding = condition
                    .rule
                    .at(&self.new)
                    .found(describe_change(change))
                    .expected(format!("not {}", condition.text));
                totals.add(finding.severity);
                writer.finding(out.text(), &finding)?;
            }
        }
        if !result.lacking.is_empty() && !self.fail_on.is_empty() {
            let finding = MISSING_RANKS
                .at(&self.new)
                .found(describe_lacking(&result.lacking))
                .expected("traces of the same ranks");
            totals.add(finding.severity);
            writer.finding(out.text(), &finding)?;
        }
        writer.end(out.text(), &End { subjects: 1, noun: "comparisons", totals, ..End::default() })
    }

    fn describe(&self, result: &Comparison) -> Report {
        let step = result.changes.first();
        let mut report = Report::new(describe_step(&result.changes));
        let unit = TimeUnit::for_largest(step.map_or(0, |s| s.base.mean().max(s.new.mean()) as i64));
        let (parts, items): (Vec<_>, Vec<_>) = result.changes.iter().partition(|c| c.kind == ItemKind::Step);
        let columns =
            [("base", RIGHT), ("new", RIGHT), ("change", RIGHT), ("%", RIGHT), ("noise", RIGHT), ("", LEFT)];
        let row = |change: &&Change, name: String| {
            let time = |t: f64| unit.format_time(t.round() as i64);
            let mut cells =
                vec![time(change.base.mean()), time(change.new.mean()), time(change.difference())];
            cells.push(format_growth(change));
            cells.push(match change.beyond_noise {
                Some(true) => "beyond".to_owned(),
                Some(false) => "within".to_owned(),
                None => "-".to_owned(),
            });
            cells.push(name);
            cells
        };
        let title = format!("means of a step, in {}", unit.name);
        report.add_table(title, &columns, parts.iter().map(|c| row(c, c.name.clone())).collect());
        let changed: Vec<_> = items
            .iter()
            .filter(|c| c.beyond_noise != Some(false))
            .map(|c| row(c, describe_name(c)))
            .collect();
        let within = items.len() - changed.len();
        if !changed.is_empty() {
            report.add_table("what changed most", &columns, changed);
        }
        if within > 0 {
            let others = if within == 1 { "other" } else { "others" };
            report.add_note(format!("{} {others} changed within noise", format_count(within as u64)));
        }
        if result.other_names > 0 {
            report.add_note(format!(
                "{OTHER_NAMES}: up to {} names of a rank, those with the least time",
                format_count(result.other_names)
            ));
        }
        for (name, ranks, missing) in
            [("base", result.ranks.0, result.missing.0), ("new", result.ranks.1, result.missing.1)]
        {
            if missing > 0 {
                let (missing, all) = (format_count(missing), format_count(ranks + missing));
                report.add_note(format!("{name}: {missing} of {all} ranks have no trace"));
            }
        }
        if !result.lacking.is_empty() && !self.fail_on.is_empty() {
            report.add_note(format!("failed: new {}", describe_lacking(&result.lacking)));
        }
        for (condition, changes) in &result.broken {
            report.add_note(format!("failed: {} by {}", condition.text, describe_change(&changes[0])));
        }
        report
    }
}

/// How the step changed, in a sentence; it is the first of the changes.
pub(super) fn describe_step(changes: &[Change]) -> String {
    let Some(step) = changes.first() else { return "nothing to compare".to_owned() };
    let noise = match step.beyond_noise {
        Some(true) => "beyond noise",
        Some(false) => "within the noise between steps",
        None => "too few steps to measure noise",
    };
    let (base, new) = (format_mean(step.base.mean()), format_mean(step.new.mean()));
    let mut text = format!("a step takes {new} instead of {base}, {}: {noise}", format_growth(step));
    // Ranks of one job wait for each other, so their steps are equally long whatever is wrong with one of them.
    if let Some(part) = hidden_change(changes).filter(|_| step.beyond_noise == Some(false)) {
        let (base, new) = (format_mean(part.base.mean()), format_mean(part.new.mean()));
        let what = format!("{} takes {new} instead of {base}, {}", part.name, format_growth(part));
        text.push_str(&format!("; but {what}: beyond noise"));
    }
    text
}

/// The part of a step that changed most beyond noise.
fn hidden_change(changes: &[Change]) -> Option<&Change> {
    let parts = changes.iter().skip(1).filter(|c| c.kind == ItemKind::Step && c.beyond_noise == Some(true));
    parts.max_by(|a, b| a.difference().abs().total_cmp(&b.difference().abs()))
}

/// A change as a row of a report.
pub(super) fn change_cells(change: &Change) -> Vec<Cell> {
    let name = match &change.new_name {
        Some(new) => format!("{} (now {new})", change.name),
        None => change.name.clone(),
    };
    let noise = change.beyond_noise.map(|beyond| if beyond { "beyond" } else { "within" });
    row![
        change.kind.name(),
        name.as_str(),
        change.base.mean().round() as i64,
        change.new.mean().round() as i64,
        change.difference().round() as i64,
        change.growth(),
        noise.unwrap_or("not known")
    ]
}

fn format_mean(nanoseconds: f64) -> String {
    format_duration(nanoseconds.round() as i64)
}

fn format_growth(change: &Change) -> String {
    let sign = if change.difference() > 0.0 { "+" } else { "" };
    match change.growth() {
        Some(growth) => format!("{sign}{}", format_percent(Some(growth))),
        None if change.difference() > 0.0 => "new".to_owned(),
        None => "-".to_owned(),
    }
}

fn describe_name(change: &Change) -> String {
    match (change.kind, &change.new_name) {
        // The parts of a step have names that say what they are.
        (ItemKind::Step, _) => change.name.clone(),
        (kind, None) => format!("{} {}", kind.name(), change.name),
        (kind, Some(new)) => {
            format!("{} {} (now {})", kind.name(), short_name(&change.name), short_name(new))
        }
    }
}

fn describe_change(change: &Change) -> String {
    let (base, new) = (format_mean(change.base.mean()), format_mean(change.new.mean()));
    let name = cut_to_width(&describe_name(change), 160);
    format!("{name}: {base} to {new} in a step ({})", format_growth(change))
}

fn change_record(change: &Change) -> record::ItemChange {
    record::ItemChange {
        kind: change.kind.name().to_owned(),
        name: change.name.clone(),
        new_name: change.new_name.clone(),
        base_ns: change.base.mean().round() as i64,
        new_ns: change.new.mean().round() as i64,
        base_calls: change.base.calls_in_step(),
        new_calls: change.new.calls_in_step(),
        growth: change.growth(),
        noise_ns: change.noise.round() as i64,
        beyond_noise: change.beyond_noise,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_a_reason_a_fix_and_a_reference() {
        for Rule { id, why, fix, reference, .. } in &DIFF_RULES {
            assert!(![why, fix, reference].iter().any(|text| text.is_empty()), "{id}");
        }
    }

    #[test]
    fn conditions_have_items_and_units() {
        let parse = |text: &str| parse_condition(text).map(|c| (c.rule.id, c.limit));
        assert_eq!(parse("step>5%"), Ok(("step", GrowthLimit::Share(0.05))));
        assert_eq!(parse("idle > 2.5ms"), Ok(("idle", GrowthLimit::Time(2.5e6))));
        assert_eq!(parse("module>5%"), Ok(("module", GrowthLimit::Share(0.05))));
        for bad in ["step", "step>", "step>5", "x>5%", "step>-1%", "step>nan%", "step>5h"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
