//! `permck undo`: put back what `permck fix` changed.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::Args;
use common::exit::Exit;
use common::out::{Format, Out};
use common::record::permck::{Change, Refusal, UndoSummary, Undone};
use common::text::Safe;

use crate::fix;

/// A line of a record is a path and some numbers.
const LINE: u64 = 1 << 20;

const EXAMPLES: &str = "\
Examples:
  permck undo permck-fix-20261123T120000Z.jsonl
      Put back every change that is still as it was made.";

/// Put back what `permck fix` changed
///
/// Reads the file that `permck fix` wrote and undoes its changes, the last first. An entry that was replaced,
/// given to somebody else or changed since is left alone and listed; the exit status is 1 then.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Undo {
    /// What `permck fix` wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Change nothing, show what would be put back
    #[arg(short = 'n', long)]
    dry_run: bool,
}

impl Undo {
    pub(crate) fn run(self, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
        let changes = self.read().with_context(|| self.file.display().to_string())?;
        let mut summary = UndoSummary::default();
        for change in changes.iter().rev().filter(|c| !c.dry_run) {
            match fix::undo(change, self.dry_run) {
                Ok(false) => summary.unchanged += 1,
                Ok(true) => {
                    summary.undone += 1;
                    self.undone(change, format, out)?;
                }
                Err(reason) => {
                    summary.refused += 1;
                    let refusal =
                        Refusal { path: change.path.clone(), path_hex: change.path_hex.clone(), reason };
                    match format {
                        Format::Json => out.record(&refusal)?,
                        Format::Text => {
                            writeln!(out.text(), "left {}: {}", Safe(&refusal.path), Safe(&refusal.reason))?;
                        }
                    }
                }
            }
        }
        summary.errors = out.diag().errors();
        if format == Format::Json {
            out.record(&summary)?;
        }
        Ok(if summary.refused > 0 { Exit::No } else { Exit::Ok })
    }

    fn undone(&self, change: &Change, format: Format, out: &mut Out) -> anyhow::Result<()> {
        let undone = Undone {
            path: change.path.clone(),
            path_hex: change.path_hex.clone(),
            mode: change.mode_before.clone(),
            dry_run: self.dry_run,
        };
        match format {
            Format::Json => out.record(&undone)?,
            Format::Text => {
                let would = if self.dry_run { "would put back" } else { "put back" };
                writeln!(out.text(), "{would} {}: {}", Safe(&undone.path), undone.mode)?;
            }
        }
        Ok(())
    }

    /// The changes in the order in which they were made. The whole file is read before anything is changed, so
    /// that a broken one changes nothing.
    fn read(&self) -> anyhow::Result<Vec<Change>> {
        let (file, meta) = common::fsat::open_regular(&self.file)?;
        crate::trusted(&meta)?;
        let mut reader = BufReader::new(file);
        let mut changes = Vec::new();
        for number in 1.. {
            let mut line = String::new();
            if std::io::Read::take(&mut reader, LINE).read_line(&mut line)? == 0 {
                break;
            }
            ensure!((line.len() as u64) < LINE, "line {number} is longer than {LINE} bytes");
            let change = common::record::read(&line).with_context(|| format!("line {number}"))?;
            changes.extend(change);
        }
        Ok(changes)
    }
}
