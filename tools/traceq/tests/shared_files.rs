//! Every file of the shared sample data is read, or is refused with the reason that a table has for it. Skipped where the
//! data is absent.

#![allow(clippy::unwrap_used, reason = "helpers of tests are test code")]

mod support;

use std::path::Path;

use common::glob::Glob;
use support::run;
use testkit::{list_files, require_data, skip_part};
use trace::model::{Event, EventSink};
use trace::read::{ReadOptions, TraceSource, open_trace_file, read_trace};

/// Files that are no traces: a pattern, and a part of the reason that is given. The first that matches counts.
const REFUSED: &str = include_str!("refused.txt");

struct Nothing;

impl EventSink for Nothing {
    fn event(&mut self, _: &Event<'_>) -> anyhow::Result<()> {
        Ok(())
    }
}

/// Reads a file. Returns how many events it has, or why it cannot be read.
fn read(path: &Path) -> Result<u64, String> {
    let (file, _) = open_trace_file(path).map_err(|e| format!("{e:#}"))?;
    let source = TraceSource::of_file(Box::new(file), path.to_owned());
    let outcome = read_trace(source, &ReadOptions::default(), &mut Nothing).unwrap();
    match outcome.error {
        Some(e) => Err(e.to_string()),
        None => Ok(outcome.events),
    }
}

#[test]
fn every_shared_file_is_read_or_refused_with_its_reason() {
    let Some(root) = require_data("") else { return };
    let table = REFUSED.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut table: Vec<(Glob, &str, &str, u64)> = table
        .map(|line| {
            let (pattern, reason) = line.split_once("  ").unwrap_or_else(|| panic!("{line}"));
            (Glob::parse(pattern).unwrap(), pattern, reason.trim(), 0)
        })
        .collect();
    let (mut events, mut faults) = (0, Vec::new());
    for path in list_files(&root) {
        let name = path.strip_prefix(&root).unwrap().as_os_str().as_encoded_bytes().to_vec();
        let row = table.iter_mut().find(|(glob, ..)| glob.matches(&name));
        let label = String::from_utf8_lossy(&name).into_owned();
        match (row, read(&path)) {
            (None, Ok(n)) => events += n,
            (Some(row), Err(reason)) if reason.contains(row.2) => row.3 += 1,
            (None, Err(reason)) => faults.push(format!("{label}: not read: {reason}")),
            (Some(row), Err(reason)) => faults.push(format!("{label}: {reason}; expected {}", row.2)),
            (Some(row), Ok(_)) => faults.push(format!("{label}: read; expected {}", row.2)),
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(events > 500_000, "{events}");
    for (_, pattern, ..) in table.iter().filter(|(.., seen)| *seen == 0) {
        skip_part(format!("no {pattern} in the shared data"));
    }
}

/// In what is read, the parts make the whole.
#[test]
fn the_parts_of_every_shared_trace_make_the_whole() {
    let Some(root) = require_data("") else { return };
    let mut traces = 0;
    for path in list_files(&root) {
        let run = run([Path::new("sum"), Path::new("--format"), Path::new("json"), &path]);
        assert_eq!(run.fatal, None, "{}", path.display());
        let records = run.records();
        let summary = records.last().unwrap();
        assert_eq!(summary["type"], "traceq.summary");
        traces += summary["files"].as_u64().unwrap();
        for record in records.iter().filter(|record| !record["total_ns"].is_null()) {
            let ns = |field: &str| record[field].as_i64().unwrap();
            let parts = ["compute_ns", "exposed_communication_ns", "exposed_memcpy_ns", "idle_ns"];
            assert_eq!(parts.map(ns).iter().sum::<i64>(), ns("total_ns"), "{}", path.display());
            assert!(ns("total_ns") >= 0 && record["device"] != -1);
        }
    }
    assert!(traces > 80, "{traces}");
}
