//! SARIF 2.1.0, one run, written as the findings come.

use std::io::{self, Write};

use serde_json::json;

use super::{End, Source, Writer};
use crate::finding::{Finding, Severity};
use crate::rule::Rule;

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// Writes a SARIF log.
#[derive(Debug)]
pub struct Sarif {
    source: Source,
    begun: bool,
    findings: u64,
    facts: Vec<String>,
}

impl Sarif {
    /// A log of this tool.
    #[must_use]
    pub fn new(source: Source) -> Self {
        Self { source, begun: false, findings: 0, facts: Vec::new() }
    }

    fn begin(&mut self, to: &mut dyn Write) -> io::Result<()> {
        if std::mem::replace(&mut self.begun, true) {
            return Ok(());
        }
        let rules: Vec<_> = self.source.rules.iter().map(rule_descriptor).collect();
        let driver = json!({"name": self.source.tool, "version": self.source.version, "rules": rules});
        write!(
            to,
            r#"{{"$schema":"{SCHEMA}","version":"2.1.0","runs":[{{"tool":{{"driver":{driver}}},"results":["#
        )
    }
}

/// A rule as a `reportingDescriptor` (SARIF 2.1.0, section 3.49).
fn rule_descriptor(rule: &Rule) -> serde_json::Value {
    let Rule { id, severity, what, why, fix, reference } = rule;
    let mut descriptor = json!({
        "id": id,
        "shortDescription": {"text": what},
        "defaultConfiguration": {"level": level(*severity)},
        "help": {"text": format!("{why}\nFix: {fix}\nReference: {reference}")},
    });
    if let Some(uri) = rule.reference_uri() {
        descriptor["helpUri"] = json!(uri);
    }
    descriptor
}

impl Writer for Sarif {
    fn finding(&mut self, to: &mut dyn Write, f: &Finding) -> io::Result<()> {
        self.begin(to)?;
        let separator = if self.findings == 0 { "\n" } else { ",\n" };
        self.findings += 1;
        let text = match (f.expected.as_str(), f.fix.as_str()) {
            ("", "") => f.found.clone(),
            ("", fix) => format!("{}. Fix: {fix}", f.found),
            (expected, "") => format!("{}; expected {expected}", f.found),
            (expected, fix) => format!("{}; expected {expected}. Fix: {fix}", f.found),
        };
        let index = self.source.rules.iter().position(|r| r.id == f.rule);
        let mut result = json!({
            "ruleId": f.rule,
            "level": level(f.severity),
            "message": {"text": text},
            "locations": [{"physicalLocation": {"artifactLocation": {"uri": uri(f)}}}],
            "partialFingerprints": {"ruleAndPath/v1": f.fingerprint()},
        });
        if let Some(index) = index {
            result["ruleIndex"] = json!(index);
        }
        write!(to, "{separator}{result}")
    }

    fn add_fact(&mut self, fact: &str) {
        self.facts.push(fact.to_owned());
    }

    fn end(&mut self, to: &mut dyn Write, end: &End) -> io::Result<()> {
        self.begin(to)?;
        let mut invocation = json!({"executionSuccessful": end.failed == 0});
        // Notifications are what a run says besides its results (SARIF 2.1.0, section 3.58).
        let notes = self.facts.iter().map(|fact| json!({"level": "note", "message": {"text": fact}}));
        if !self.facts.is_empty() {
            invocation["toolExecutionNotifications"] = notes.collect();
        }
        writeln!(to, r#"],"columnKind":"unicodeCodePoints","invocations":[{invocation}]}}]}}"#)
    }
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

/// The path as a URI reference: every byte that is not unreserved is escaped, so any name survives.
fn uri(f: &Finding) -> String {
    let bytes = f.path_bytes();
    let mut uri = String::from(if bytes.first() == Some(&b'/') { "file://" } else { "" });
    for &b in &bytes {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => uri.push(b.into()),
            b => uri.push_str(&format!("%{b:02X}")),
        }
    }
    uri
}
