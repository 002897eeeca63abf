//! The policy file as it is written: TOML, unknown keys refused, so that a misspelt one is not silently ignored.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A policy file, as profguard-policy(5) describes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicyFile {
    /// Version of this format: 1.
    pub(crate) version: u32,
    /// Built-in profiles whose rows stand after this file's own.
    #[serde(default)]
    pub(crate) extends: Vec<String>,
    /// Who may own entries for which no row says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) owner: Option<Vec<String>>,
    /// Which groups entries may have for which no row says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) group: Option<Vec<String>>,
    /// Rows, of which the first that matches decides.
    #[serde(default)]
    pub(crate) path: Vec<PolicyRow>,
    /// Findings that are accepted for a time.
    #[serde(default)]
    pub(crate) exception: Vec<PolicyException>,
}

/// What the entries that match a pattern are held to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicyRow {
    /// Patterns: below the audited path, or absolute where they begin with a slash. `*` and `?` match within a
    /// name, `**` any number of directories, `.` is the audited path itself.
    pub(crate) r#match: Vec<String>,
    /// A class of the policy table. Classes that end in `_dir` are for directories, the others for files;
    /// without a class it is told from the content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) class: Option<String>,
    /// A maximum mode in octal, which can only be tighter than the class's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max: Option<String>,
    /// User names or numbers, or `path` (the owner of the audited path), `self` (who runs permck), `account` (whom
    /// `--owner` names, or else who runs permck, who must not be root then), `any`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) owner: Option<Vec<String>>,
    /// Group names or numbers, or `any`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) group: Option<Vec<String>>,
    /// Why; findings quote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

/// Findings that are accepted until a day.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicyException {
    /// Patterns, as in rows.
    pub(crate) r#match: Vec<String>,
    /// Names of rules.
    pub(crate) rules: Vec<String>,
    /// Classes: only findings about entries that are held to one of them. Without it, about all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) classes: Vec<String>,
    /// Why it is accepted.
    pub(crate) reason: String,
    /// The last day on which it is, `"2027-01-31"`.
    #[schemars(with = "String")]
    pub(crate) until: ExceptionDate,
}

/// A day: in quotes, as everything else in the file, or as TOML writes dates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a day such as \"2027-01-31\"")]
pub(crate) enum ExceptionDate {
    Text(String),
    Toml(toml::value::Datetime),
}

impl Default for ExceptionDate {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

impl ExceptionDate {
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Toml(date) => date.to_string(),
        }
    }
}

/// A file that cannot be used: where and why.
#[derive(Debug, thiserror::Error)]
#[error("{at}{reason}")]
pub(crate) struct PolicyError {
    /// `12:3: `, or empty.
    pub(crate) at: String,
    pub(crate) reason: String,
}

impl PolicyError {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self { at: String::new(), reason: reason.into() }
    }
}

/// Reads a file's text.
pub(crate) fn parse(text: &str) -> Result<PolicyFile, PolicyError> {
    let file: PolicyFile = toml::from_str(text).map_err(|e| PolicyError {
        at: e.span().map(|s| line_and_column(text, s.start)).unwrap_or_default(),
        reason: e.message().replace('\n', " "),
    })?;
    match file.version {
        1 => Ok(file),
        other => Err(PolicyError::new(format!("version {other} is not known, only 1"))),
    }
}

fn line_and_column(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
    format!("{line}:{column}: ")
}
