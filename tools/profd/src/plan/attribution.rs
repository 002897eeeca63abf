//! The labels of metrics about the processes that sent them.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use clap::ValueEnum;
use common::fsat;

use crate::core::registry::process_facts::EnvMapping;

/// Maximum size of a mappings file in bytes.
const MAX_BYTES: u64 = 64 * 1024;

/// Maximum number of mappings: each is a label of every series.
const MAX_MAPPINGS: usize = 16;

/// Maximum length of a name in bytes.
const MAX_NAME: usize = 64;

/// Names that metrics have already.
const TAKEN: [&str; 18] = [
    "kind",
    "device",
    "device_id",
    "pid",
    "host_pid",
    "uid",
    "job_id",
    "domain",
    "name",
    "rank",
    "local_rank",
    "slurm_job_id",
    "slurm_account",
    "slurm_partition",
    "pod",
    "namespace",
    "instance",
    "job",
];

/// A label of metrics about their process, by its environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AttributionKind {
    /// Its rank, and its rank on the host
    Rank,
    /// Its Slurm job, account and partition
    Slurm,
    /// Its pod and namespace
    Kubernetes,
    /// Nothing
    None,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AttributionPlan {
    pub(crate) rank: bool,
    pub(crate) slurm: bool,
    pub(crate) kubernetes: bool,
    /// Further variables, and their names in metrics.
    pub(crate) mappings: Arc<[EnvMapping]>,
}

impl AttributionPlan {
    /// Reads the mappings file, if there is one. Returns also what is wrong with it: metrics go on without it, as those of
    /// dynolog do.
    pub(super) fn new(kinds: &[AttributionKind], file: Option<&Path>) -> (Self, Option<String>) {
        let (mappings, warning) = match file.map(read_mappings).transpose() {
            Ok(mappings) => (mappings.unwrap_or_default(), None),
            Err(e) => (Vec::new(), Some(format!("--env-attribution-mappings-file is not used: {e:#}"))),
        };
        let has = |kind| kinds.contains(&kind);
        let plan = Self {
            rank: has(AttributionKind::Rank),
            slurm: has(AttributionKind::Slurm),
            kubernetes: has(AttributionKind::Kubernetes),
            mappings: mappings.into(),
        };
        (plan, warning)
    }

    /// Returns whether metrics say anything.
    pub(crate) fn is_wanted(&self) -> bool {
        self.rank || self.slurm || self.kubernetes || !self.mappings.is_empty()
    }
}

fn read_mappings(path: &Path) -> anyhow::Result<Vec<EnvMapping>> {
    let read = || {
        let (file, meta) = fsat::open_regular(path)?;
        fsat::require_trusted(&meta)?;
        let text = String::from_utf8(fsat::read_bounded(file, MAX_BYTES)?)?;
        parse_mappings(&text).map_err(|e| anyhow::anyhow!(e))
    };
    read().with_context(|| path.display().to_string())
}

/// Parses lines `VARIABLE,NAME`; empty ones and those that begin with `#` are skipped (dynolog c3a231a,
/// `k8s/EnvAttribution.cpp`).
fn parse_mappings(text: &str) -> Result<Vec<EnvMapping>, String> {
    let mut mappings: Vec<EnvMapping> = Vec::new();
    for (n, line) in text.lines().enumerate() {
        let at = |reason: &str| format!("line {}: {reason}", n + 1);
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (variable, name) = line.split_once(',').ok_or_else(|| at("expected VARIABLE,NAME"))?;
        let (variable, name) = (variable.trim(), name.trim());
        if variable.is_empty() || variable.contains('=') {
            return Err(at("not the name of a variable"));
        }
        if !is_label_name(name) {
            return Err(at("a name has letters, digits and underscores, and no digit first"));
        }
        let is_known = mappings.iter().any(|mapping| *mapping.name == *name);
        if is_known || TAKEN.contains(&name) {
            return Err(at("metrics have this name already"));
        }
        mappings.push(EnvMapping { variable: variable.to_owned(), name: name.into() });
        if mappings.len() > MAX_MAPPINGS {
            return Err(at("there are more than 16 mappings"));
        }
    }
    Ok(mappings)
}

/// Returns whether a text can be the name of a label (prometheus.io, "Data model"); two underscores first are reserved.
fn is_label_name(name: &str) -> bool {
    let is_part = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
    let is_first = |c: u8| !c.is_ascii_digit();
    name.len() <= MAX_NAME
        && !name.starts_with("__")
        && name.bytes().next().is_some_and(is_first)
        && name.bytes().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_are_lines_of_two_names() {
        let parse = |text: &str| {
            let mappings = parse_mappings(text)?;
            Ok(mappings.iter().map(|m| format!("{}={}", m.name, m.variable)).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(parse("# c\n\nTEAM, team\r\nUSER,username\n"), Ok("team=TEAM username=USER".to_owned()));
        let error = |text: &str| -> String { parse(text).unwrap_err() };
        assert_eq!(error("A,a\nB"), "line 2: expected VARIABLE,NAME");
        assert_eq!(error(",b"), "line 1: not the name of a variable");
        for name in ["", "1a", "a-b", "__a", "ä"] {
            assert!(error(&format!("A,{name}")).contains("letters"), "{name}");
        }
        assert!(error("A,rank").contains("already") && error("A,a\nB,a").contains("already"));
        let many: String = (0..17).map(|n| format!("V{n},v{n}\n")).collect();
        assert_eq!(error(&many), "line 17: there are more than 16 mappings");
    }

    #[test]
    fn a_file_that_cannot_be_used_is_said_and_keeps_nothing_from_starting() {
        let (plan, warning) =
            AttributionPlan::new(&[AttributionKind::Rank], Some(Path::new("/nowhere/mappings")));
        assert!(plan.rank && !plan.slurm && plan.mappings.is_empty());
        assert!(warning.unwrap().contains("/nowhere/mappings: "));
        assert!(!AttributionPlan::new(&[AttributionKind::None], None).0.is_wanted());
    }
}
