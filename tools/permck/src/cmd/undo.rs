//! `permck undo`: undo the changes of `permck fix`.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::Args;
use common::exit::Exit;
use common::out::{Diag, Format, Out};
use common::record::permck::{FixRefusal, PermissionChange, UndoSummary, UndoneChange};
use common::text::Safe;

use crate::fix::Undoer;
use crate::fix::journal::MAX_LINE;

const EXAMPLES: &str = "\
Examples:
  permck undo permck-fix-20261123T120000Z.jsonl
      Undo every change of an entry that has not changed since.";

/// Undo the changes of `permck fix`
///
/// Reads the record that `permck fix` wrote and undoes its changes, the last first. An entry that was replaced, got
/// another owner, or changed since is skipped and listed; the exit status is then 1. A change that an interrupted
/// `permck fix` may not have made is undone if size and timestamps prove that the file is the same; setuid and setgid
/// bits are then not restored. A truncated last line is skipped with a warning.
#[derive(Args, Debug)]
#[command(arg = common::report::plain_format(), after_long_help = EXAMPLES)]
pub(crate) struct UndoArgs {
    /// The record that `permck fix` wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Show what would be undone, and change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

impl UndoArgs {
    pub(crate) fn run(self, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
        let changes = self.read_journal(out.diag()).with_context(|| self.file.display().to_string())?;
        let mut summary = UndoSummary::default();
        let mut undoer = Undoer::new(self.dry_run);
        for change in changes.iter().rev().filter(|c| !c.dry_run) {
            match undoer.undo_change(change) {
                Ok(false) => summary.unchanged += 1,
                Ok(true) => {
                    summary.undone += 1;
                    self.print_undone(change, format, out)?;
                }
                Err(reason) => {
                    summary.refused += 1;
                    let refusal = FixRefusal { path: change.path.clone(), reason };
                    match format {
                        Format::Json => out.record(&refusal)?,
                        Format::Text => {
                            let left = if self.dry_run { "would leave" } else { "left" };
                            writeln!(
                                out.text(),
                                "{left} {}: {}",
                                Safe(&refusal.path.path),
                                Safe(&refusal.reason)
                            )?;
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

    fn print_undone(&self, change: &PermissionChange, format: Format, out: &mut Out) -> anyhow::Result<()> {
        let undone = UndoneChange {
            path: change.path.clone(),
            mode: change.mode_before.clone(),
            dry_run: self.dry_run,
        };
        match format {
            Format::Json => out.record(&undone)?,
            Format::Text => {
                let would = if self.dry_run { "would restore" } else { "restored" };
                writeln!(out.text(), "{would} {}: mode {}", Safe(&undone.path.path), undone.mode)?;
            }
        }
        Ok(())
    }

    /// Reads the changes in the order in which they were made. The whole file is read first, so that a malformed one
    /// changes nothing.
    fn read_journal(&self, diag: &Diag) -> anyhow::Result<Vec<PermissionChange>> {
        let (file, meta) = common::fsat::open_regular(&self.file)?;
        crate::trusted(&meta)?;
        let (changes, cut) = parse_journal(BufReader::new(file))?;
        if let Some(number) = cut {
            diag.warn(self.file.display(), format_args!("line {number} is truncated and skipped"));
        }
        Ok(changes)
    }
}

/// Parses the changes of a record; returns also the number of its last line if that is truncated.
pub(crate) fn parse_journal(
    mut reader: impl BufRead,
) -> anyhow::Result<(Vec<PermissionChange>, Option<u64>)> {
    let mut changes = Vec::new();
    for number in 1.. {
        let mut line = Vec::new();
        if reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        ensure!((line.len() as u64) < MAX_LINE, "line {number} is longer than {MAX_LINE} bytes");
        let whole = line.last() == Some(&b'\n');
        let change = std::str::from_utf8(&line).context("is not UTF-8");
        match change.and_then(|text| Ok(common::record::read(text)?)) {
            Ok(change) => change.into_iter().for_each(|c| merge_change(&mut changes, c)),
            Err(_) if !whole => return Ok((changes, Some(number))),
            Err(e) => return Err(e.context(format!("line {number}"))),
        }
    }
    Ok((changes, None))
}

/// Adds a change; the line after a change replaces the line before it.
fn merge_change(changes: &mut Vec<PermissionChange>, change: PermissionChange) {
    let before = |c: &PermissionChange| PermissionChange { ctime_after: None, ..c.clone() };
    if changes.last().is_some_and(|last| last.ctime_after.is_none() && *last == before(&change)) {
        changes.pop();
    }
    changes.push(change);
}
