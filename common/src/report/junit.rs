//! JUnit XML: one test case per rule, which fails with the first of its findings.
//!
//! A case per rule keeps the file small and the list of cases the same from run to run, which is what pipelines
//! compare.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};

use super::{End, Source, Writer};
use crate::finding::Finding;
use crate::text::safe;

/// Findings listed per rule; more are counted.
const LISTED: u64 = 100;

/// Writes a JUnit report.
#[derive(Debug)]
pub struct Junit {
    source: Source,
    cases: BTreeMap<String, Case>,
    facts: String,
}

#[derive(Debug, Default)]
struct Case {
    count: u64,
    listed: String,
    /// Whether any finding is grave enough to make the case fail.
    fails: bool,
}

impl Junit {
    /// A report of this tool.
    #[must_use]
    pub fn new(source: Source) -> Self {
        Self { source, cases: BTreeMap::new(), facts: String::new() }
    }
}

impl Writer for Junit {
    fn finding(&mut self, _to: &mut dyn Write, f: &Finding) -> io::Result<()> {
        let case = self.cases.entry(f.rule.clone()).or_default();
        case.count += 1;
        case.fails |= f.severity >= self.source.fail_on;
        if case.count <= LISTED {
            let _ = writeln!(case.listed, "{}: {}", safe(&f.path), safe(&f.reason()));
            if !f.fix.is_empty() {
                let _ = writeln!(case.listed, "  fix: {}", safe(&f.fix));
            }
        }
        Ok(())
    }

    fn add_fact(&mut self, fact: &str) {
        let _ = writeln!(self.facts, "{}", safe(fact));
    }

    fn end(&mut self, to: &mut dyn Write, end: &End) -> io::Result<()> {
        let known: Vec<(&str, &str)> = self.source.rules.iter().map(|r| (r.id, r.what)).collect();
        let other = self.cases.keys().filter(|id| !known.iter().any(|(k, _)| k == id));
        let all: Vec<_> = known.iter().copied().chain(other.map(|id| (id.as_str(), ""))).collect();
        let failures = self.cases.values().filter(|c| c.fails).count();
        let (tool, tests) = (self.source.tool, all.len() + 1);
        let errors = u8::from(end.failed > 0);
        writeln!(to, r#"<?xml version="1.0" encoding="UTF-8"?>"#)?;
        writeln!(
            to,
            r#"<testsuites><testsuite name="{tool}" tests="{tests}" failures="{failures}" errors="{errors}">"#
        )?;
        for (id, what) in all {
            write!(to, r#"<testcase classname="{tool}" name="{}">"#, escape(id))?;
            if let Some(case) = self.cases.get(id) {
                let more = case.count.saturating_sub(LISTED);
                let more = if more > 0 { format!("and {more} more\n") } else { String::new() };
                let body = format!("{}{more}", case.listed);
                if case.fails {
                    let message = escape(&format!("{what}: {}", case.count));
                    write!(to, r#"<failure message="{message}" type="{}">"#, escape(id))?;
                    write!(to, "{}</failure>", escape(&body))?;
                } else {
                    write!(to, "<system-out>{}</system-out>", escape(&body))?;
                }
            }
            writeln!(to, "</testcase>")?;
        }
        write!(to, r#"<testcase classname="{tool}" name="inputs">"#)?;
        if end.failed > 0 {
            write!(to, r#"<error message="{} inputs could not be read" type="input"/>"#, end.failed)?;
        }
        writeln!(to, "</testcase>")?;
        if !self.facts.is_empty() {
            writeln!(to, "<system-out>{}</system-out>", escape(&self.facts))?;
        }
        writeln!(to, "</testsuite></testsuites>")
    }
}

/// Text for XML. Control characters have been made visible before; what XML cannot hold at all is dropped.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => {}
            c if c < ' ' && c != '\n' && c != '\t' => {}
            c => escaped.push(c),
        }
    }
    escaped
}
