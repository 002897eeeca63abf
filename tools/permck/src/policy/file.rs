//! The policy file as written: TOML. Unknown keys are errors, so that a misspelled key is not ignored.

use common::error::describe_position;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A policy file, as profguard-policy(5) describes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicyFile {
    /// Version of this format: 1.
    pub(crate) version: u32,
    /// Built-in profiles whose rows follow those of this file.
    #[serde(default)]
    pub(crate) extends: Vec<String>,
    /// Allowed owners of entries whose row has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) owner: Option<Vec<String>>,
    /// Allowed groups of entries whose row has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) group: Option<Vec<String>>,
    /// Classes of this policy, besides those of the table.
    #[serde(default)]
    pub(crate) class: Vec<PolicyClass>,
    /// Rows; the first that matches an entry decides.
    #[serde(default)]
    pub(crate) path: Vec<PolicyRow>,
    /// Findings that are accepted until a date.
    #[serde(default)]
    pub(crate) exception: Vec<PolicyException>,
}

/// The requirements for entries that match a pattern.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicyRow {
    /// Patterns, relative to the audited path, or absolute if they begin with a slash. `*` and `?` match within a
    /// name, `**` any number of directories, `.` the audited path itself.
    pub(crate) r#match: Vec<String>,
    /// A class of the policy table, or of this policy. Classes that end in `_dir` are for directories, the others for files;
    /// without a class the content decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) class: Option<String>,
    /// A maximum mode in octal. It allows more than the class only with a reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max: Option<String>,
    /// User names or ids, or `path` (the owner of the audited path), `self` (the user who runs permck), `account` (the
    /// user of `--owner`, or else the user who runs permck, but not root), `any`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) owner: Option<Vec<String>>,
    /// Group names or ids, or `any`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) group: Option<Vec<String>>,
    /// The reason; findings quote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

/// A class of a policy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicyClass {
    /// Its name, such as `model_dir`; one for directories ends in `_dir`.
    pub(crate) name: String,
    /// The class of the table that it is like.
    pub(crate) like: String,
    /// Its maximum mode in octal.
    pub(crate) max: String,
    /// Why its maximum is not that of the other class; findings quote it.
    pub(crate) reason: String,
}

/// Findings that are accepted until a date.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicyException {
    /// Patterns, as in rows.
    pub(crate) r#match: Vec<String>,
    /// Names of rules.
    pub(crate) rules: Vec<String>,
    /// Only findings about entries of these classes; without it, about all entries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) classes: Vec<String>,
    /// The reason.
    pub(crate) reason: String,
    /// The last day on which they are accepted, such as `"2027-01-31"`.
    #[schemars(with = "String")]
    pub(crate) until: ExceptionDate,
}

/// A date: quoted, or a TOML date.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a date such as \"2027-01-31\"")]
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

/// An error in a policy file, with its position.
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
        at: e.span().map(|s| format!("{}: ", describe_position(text, s.start))).unwrap_or_default(),
        reason: e.message().replace('\n', " "),
    })?;
    match file.version {
        1 => Ok(file),
        other => Err(PolicyError::new(format!("unsupported version {other}; the supported version is 1"))),
    }
}
