//! Each format with hostile names, read back by a parser where there is one.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::*;

fn source() -> Source {
    let rule = |id, severity| Rule {
        id,
        severity,
        what: "what it finds",
        why: "Anyone can write.",
        fix: "chmod o-w FILE",
        reference: "RFC 5280, section 4.2",
    };
    Source {
        tool: "permck",
        version: "1.2.3",
        rules: vec![rule("mode", Severity::Error), rule("name", Severity::Warning)],
        fail_on: Severity::Error,
    }
}

fn findings() -> Vec<Finding> {
    let hostile = OsStr::from_bytes(b"/srv/a b\n<\"&'>\x1b[31m\xff|x");
    let finding = |rule: &str, severity, path: &Path| {
        Finding::new(rule, severity, path).found("mode 0666").expected("0640").fix("chmod 0640 x")
    };
    vec![
        finding("name", Severity::Warning, Path::new("rel/x")),
        finding("mode", Severity::Error, Path::new(hostile)),
        finding("unlisted", Severity::Note, Path::new("/n")),
    ]
}

fn written(format: ReportFormat, findings: &[Finding], failed: u64) -> (String, End) {
    let mut writer = writer(format, source()).unwrap();
    let mut text = Vec::new();
    let mut end = End { subjects: 7, noun: "entries", failed, ..End::default() };
    for f in findings {
        end.totals.add(f.severity);
        writer.finding(&mut text, f).unwrap();
    }
    writer.end(&mut text, &end).unwrap();
    (String::from_utf8(text).unwrap(), end)
}

#[test]
fn sarif_is_json_with_rules_results_and_escaped_uris() {
    let log: serde_json::Value =
        serde_json::from_str(&written(ReportFormat::Sarif, &findings(), 0).0).unwrap();
    let run = &log["runs"][0];
    assert_eq!(log["version"], "2.1.0");
    assert_eq!(run["tool"]["driver"]["rules"].as_array().unwrap().len(), 2);
    let results = run["results"].as_array().unwrap();
    let uri = |i: usize| {
        results[i]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].as_str().unwrap()
    };
    assert_eq!(uri(0), "rel/x");
    assert_eq!(uri(1), "file:///srv/a%20b%0A%3C%22%26%27%3E%1B%5B31m%FF%7Cx");
    assert_eq!((&results[1]["ruleIndex"], &results[1]["level"]), (&0.into(), &"error".into()));
    assert!(results[2].get("ruleIndex").is_none());
    assert_eq!(run["invocations"][0]["executionSuccessful"], true);
    let rule = &log["runs"][0]["tool"]["driver"]["rules"][0];
    assert_eq!(
        rule["help"]["text"],
        "Anyone can write.\nFix: chmod o-w FILE\nReference: RFC 5280, section 4.2"
    );
    assert_eq!(rule["helpUri"], "https://www.rfc-editor.org/rfc/rfc5280#section-4.2");
    let empty: serde_json::Value = serde_json::from_str(&written(ReportFormat::Sarif, &[], 1).0).unwrap();
    assert_eq!(empty["runs"][0]["results"], serde_json::json!([]));
    assert_eq!(empty["runs"][0]["invocations"][0]["executionSuccessful"], false);
}

#[test]
fn junit_is_well_formed_and_bounded() {
    let (xml, _) = written(ReportFormat::Junit, &findings(), 1);
    assert!(xml.contains(r#"tests="4" failures="1" errors="1""#), "{xml}");
    assert!(!xml.contains('\x1b') && xml.contains("a b\\n&lt;&quot;&amp;"), "{xml}");
    let mut depth = 0;
    for tag in xml.split('<').skip(1).map(|t| t.split('>').next().unwrap()) {
        match tag {
            t if t.starts_with('?') || t.ends_with('/') => {}
            t if t.starts_with('/') => depth -= 1,
            _ => depth += 1,
        }
    }
    assert_eq!(depth, 0);
    let many: Vec<_> = (0..5000).map(|_| findings().remove(1)).collect();
    let (xml, _) = written(ReportFormat::Junit, &many, 0);
    assert!(xml.contains("and 4900 more") && xml.len() < 50_000, "{}", xml.len());
}

#[test]
fn prometheus_names_every_rule_and_every_line_is_a_metric() {
    let (text, _) = written(ReportFormat::Prometheus, &findings(), 2);
    assert!(text.contains("permck_findings{rule=\"mode\",severity=\"error\"} 1\n"), "{text}");
    assert!(text.contains("permck_failed_inputs 2\n"), "{text}");
    let (clean, _) = written(ReportFormat::Prometheus, &[], 0);
    assert!(clean.contains("permck_findings{rule=\"mode\",severity=\"error\"} 0\n"), "{clean}");
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        assert!(line.rsplit_once(' ').is_some_and(|(_, v)| v.parse::<u64>().is_ok()), "{line}");
    }
}

#[test]
fn nagios_is_one_line_with_the_plugin_statuses() {
    let (line, end) = written(ReportFormat::Nagios, &findings(), 0);
    assert_eq!((line.lines().count(), nagios_exit_from(&end, Severity::Error)), (1, Exit::Failed));
    assert!(
        line.starts_with("PERMCK CRITICAL: 1 error, 1 warning, 1 note in 7 entries; /srv/a b\\n"),
        "{line}"
    );
    assert_eq!(line.matches('|').count(), 1, "{line}");
    let status = |findings: &[Finding], failed| {
        nagios_exit_from(&written(ReportFormat::Nagios, findings, failed).1, Severity::Error)
    };
    assert_eq!(status(&[], 0), Exit::Ok);
    assert_eq!(status(&findings()[..1], 0), Exit::No);
    assert_eq!(status(&findings()[..1], 1), Exit::Unknown);
}

#[test]
fn a_fingerprint_is_of_rule_and_path_alone() {
    let [a, b] = [0, 1].map(|_| findings().remove(1));
    assert_eq!(a.fingerprint(), b.found("mode 0777").fingerprint());
    assert_ne!(a.fingerprint(), findings()[0].fingerprint());
}
