//! A rule's verdict on a subject: what audits report and what a daemon refuses to start on.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::without_error_numbers;

/// How bad a finding is.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing; not necessarily wrong.
    Note,
    /// Allowed, and probably not meant.
    Warning,
    /// Must be fixed.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// One rule broken by one subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// Stable id of the rule, in kebab case.
    pub rule: String,
    /// How bad it is.
    pub severity: Severity,
    /// The file or other subject.
    pub path: String,
    /// The path's bytes in hex, where they are not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_hex: Option<String>,
    /// What was found.
    pub found: String,
    /// What the rule expects.
    pub expected: String,
    /// How to fix it.
    pub fix: String,
    /// Where the rule comes from: an RFC and its section, a manual page.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reference: String,
    /// The part of `found` that stays the same while the finding lasts, where the rest changes with the clock.
    #[serde(skip)]
    pub lasting: Option<String>,
}

impl Finding {
    /// A finding about a path; the texts are filled in by [`Self::found`], [`Self::expected`] and [`Self::fix`].
    #[must_use]
    pub fn new(rule: &str, severity: Severity, path: &std::path::Path) -> Self {
        use std::os::unix::ffi::OsStrExt;
        let path_hex = path.to_str().is_none().then(|| hex(path.as_os_str().as_bytes()));
        Self {
            rule: rule.to_owned(),
            severity,
            path: path.to_string_lossy().into_owned(),
            path_hex,
            found: String::new(),
            expected: String::new(),
            fix: String::new(),
            reference: String::new(),
            lasting: None,
        }
    }

    /// Sets what was found. The numbers of the system's errors are left out.
    #[must_use]
    pub fn found(mut self, text: impl Into<String>) -> Self {
        self.found = without_error_numbers(&text.into());
        self
    }

    /// Sets what was found: what stays the same while the finding lasts, and the time that is left.
    #[must_use]
    pub fn found_with_time_left(self, lasting: String, left: &str) -> Self {
        Self { found: format!("{lasting}, in {left}"), lasting: Some(lasting), ..self }
    }

    /// Returns what was found, without the time that is left.
    #[must_use]
    pub fn lasting_found(&self) -> &str {
        self.lasting.as_deref().unwrap_or(&self.found)
    }

    /// Sets what the rule expects.
    #[must_use]
    pub fn expected(mut self, text: impl Into<String>) -> Self {
        self.expected = text.into();
        self
    }

    /// Sets how to fix it.
    #[must_use]
    pub fn fix(mut self, text: impl Into<String>) -> Self {
        self.fix = text.into();
        self
    }

    /// The path's bytes, as the system knows it.
    #[must_use]
    pub fn path_bytes(&self) -> Vec<u8> {
        let bytes = self.path_hex.as_deref().and_then(|d| unhex(d.as_bytes()));
        bytes.unwrap_or_else(|| self.path.clone().into_bytes())
    }

    /// Identifies this finding in the next run: by its rule and path, not by what exactly was found. Sixteen
    /// hexadecimal digits (FNV-1a, 64 bits).
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let bytes = self.rule.bytes().chain([0]).chain(self.path_bytes());
        let hash =
            bytes.fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
        format!("{hash:016x}")
    }

    /// `found, expected …`: the reason on a diagnostic line.
    #[must_use]
    pub fn reason(&self) -> String {
        match self.expected.as_str() {
            "" => format!("{} [{}]", self.found, self.rule),
            expected => format!("{}, expected {expected} [{}]", self.found, self.rule),
        }
    }
}

/// Severities in the order in which people want to read them.
pub const GRAVEST_FIRST: [Severity; 3] = [Severity::Error, Severity::Warning, Severity::Note];

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The bytes that [`hex`] wrote; `None` for anything but hexadecimal digits, or an odd number of them.
#[must_use]
pub fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |b: u8| char::from(b).to_digit(16);
    let byte = |pair: &[u8]| Some((digit(pair[0])? << 4 | digit(*pair.get(1)?)?) as u8);
    digits.chunks(2).map(byte).collect()
}

/// The worst severity among findings.
#[must_use]
pub fn worst<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> Option<Severity> {
    findings.into_iter().map(|f| f.severity).max()
}
