//! The findings that are wanted: `--rule`, `--ignore` and `--exclude`.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use clap::Args;
use clap::builder::PossibleValuesParser;
use common::glob::Glob;

use crate::rule::{AuditedEntry, rule_descriptions};

/// The options that select findings.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct FilterArgs {
    /// Apply only this rule; may be repeated
    #[arg(long, value_name = "RULE", value_parser = rule_names(), hide_possible_values = true)]
    rule: Vec<String>,
    /// Do not apply this rule; may be repeated
    #[arg(long, value_name = "RULE", value_parser = rule_names(), hide_possible_values = true)]
    ignore: Vec<String>,
    /// Leave out entries that match PATTERN, and everything below them
    ///
    /// Relative to each PATH, or absolute if it begins with a slash. `*` and `?` match within a name, `**` any number of
    /// directories.
    #[arg(long, value_name = "PATTERN", value_parser = Glob::parse)]
    exclude: Vec<Glob>,
}

fn rule_names() -> PossibleValuesParser {
    PossibleValuesParser::new(rule_descriptions().map(|rule| rule.id))
}

/// The compiled options.
#[derive(Clone, Debug, Default)]
pub(crate) struct FindingFilter(FilterArgs);

impl From<FilterArgs> for FindingFilter {
    fn from(args: FilterArgs) -> Self {
        Self(args)
    }
}

impl FindingFilter {
    /// Returns whether findings of a rule are wanted.
    pub(crate) fn wants_rule(&self, id: &str) -> bool {
        let names = |list: &[String]| list.iter().any(|name| name == id);
        (self.0.rule.is_empty() || names(&self.0.rule)) && !names(&self.0.ignore)
    }

    /// Returns whether an entry, or a directory above it, is left out; `base` is the directory that patterns are relative to.
    pub(crate) fn excludes(&self, s: &AuditedEntry<'_>, base: &Path) -> bool {
        if self.0.exclude.is_empty() {
            return false;
        }
        let mut below = Vec::new();
        s.node.write_relative((!s.name.is_empty()).then(|| s.name.to_bytes()), &mut below);
        self.excludes_path(&below, base)
    }

    /// Returns whether the entry at a path below `base`, or a directory above it, is left out.
    pub(crate) fn excludes_path(&self, below: &[u8], base: &Path) -> bool {
        let mut whole = base.as_os_str().as_bytes().to_vec();
        if whole.last() != Some(&b'/') {
            whole.push(b'/');
        }
        whole.extend_from_slice(below);
        self.0.exclude.iter().any(|glob| {
            let path = if glob.absolute { &whole } else { below };
            let ends = path.iter().enumerate().filter(|(i, b)| **b == b'/' && *i > 0).map(|(i, _)| i);
            ends.chain([path.len()]).any(|end| glob.matches(&path[..end]))
        })
    }
}
