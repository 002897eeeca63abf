//! What an earlier audit found: the findings that are not new.
//!
//! A baseline is the JSON lines of an audit. A finding is known when rule, path and what was found are the same,
//! so a mode that got worse is new.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context, ensure};
use common::record::permck as record;

use crate::inspect::Issue;

/// A finding is a path and some sentences.
const LINE: u64 = 1 << 20;

/// The findings of an earlier audit.
#[derive(Debug, Default)]
pub(crate) struct Baseline {
    known: HashSet<u64>,
}

impl Baseline {
    /// Reads what `permck baseline` or `permck audit --format json` wrote.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let shown = || path.display().to_string();
        let (file, meta) = common::fsat::open_regular(path)
            .map_err(|e| anyhow::anyhow!(crate::io_reason(&e)))
            .with_context(shown)?;
        crate::trusted(&meta).with_context(shown)?;
        Self::parse(BufReader::new(file)).with_context(shown)
    }

    fn parse(mut reader: impl BufRead) -> anyhow::Result<Self> {
        let mut baseline = Self::default();
        let mut complete = false;
        for number in 1.. {
            let mut line = String::new();
            if reader.by_ref().take(LINE).read_line(&mut line)? == 0 {
                break;
            }
            ensure!((line.len() as u64) < LINE, "line {number} is longer than {LINE} bytes");
            let at = || format!("line {number}");
            let finding = common::record::read::<record::Finding>(&line).with_context(at)?;
            if let Some(f) = finding {
                baseline.known.insert(key(&f.rule, &f.path, f.path_hex.as_deref(), &f.found));
            }
            complete |= common::record::read::<record::Summary>(&line).with_context(at)?.is_some();
        }
        ensure!(complete, "has no summary at its end: it was cut short, or is no baseline");
        Ok(baseline)
    }

    pub(crate) fn knows(&self, issue: &Issue) -> bool {
        let f = &issue.finding;
        !self.known.is_empty() && self.known.contains(&key(&f.rule, &f.path, f.path_hex.as_deref(), &f.found))
    }
}

fn key(rule: &str, path: &str, path_hex: Option<&str>, found: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (rule, path, path_hex, found).hash(&mut hasher);
    hasher.finish()
}
