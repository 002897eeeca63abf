//! `permck undo`: put back what `permck fix` changed.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::Args;
use common::exit::Exit;
use common::out::{Diag, Format, Out};
use common::record::permck::{FixRefusal, PermissionChange, UndoSummary, UndoneChange};
use common::text::Safe;

use crate::fix::Undoer;
use crate::fix::journal::LINE;

const EXAMPLES: &str = "\
Examples:
  permck undo permck-fix-20261123T120000Z.jsonl
      Put back every change that is still as it was made.";

/// Put back what `permck fix` changed
///
/// Reads the file that `permck fix` wrote and undoes its changes, the last first. An entry that was replaced,
/// given to somebody else or changed since, in content or otherwise, is left alone and listed; the exit status is 1
/// then. What a killed `permck fix` may or may not have changed is put back where size and times prove that it is
/// the same file, and setuid and setgid bits never are. A last line that was cut short is passed over with a warning.
#[derive(Args, Debug)]
#[command(arg = common::report::plain_format(), after_long_help = EXAMPLES)]
pub(crate) struct UndoArgs {
    /// What `permck fix` wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Change nothing, show what would be put back
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
                    let refusal =
                        FixRefusal { path: change.path.clone(), path_hex: change.path_hex.clone(), reason };
                    match format {
                        Format::Json => out.record(&refusal)?,
                        Format::Text => {
                            let left = if self.dry_run { "would leave" } else { "left" };
                            writeln!(
                                out.text(),
                                "{left} {}: {}",
                                Safe(&refusal.path),
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
    fn read_journal(&self, diag: &Diag) -> anyhow::Result<Vec<PermissionChange>> {
        let (file, meta) = common::fsat::open_regular(&self.file)?;
        crate::trusted(&meta)?;
        let (changes, cut) = parse_journal(BufReader::new(file))?;
        if let Some(number) = cut {
            diag.warn(self.file.display(), format_args!("line {number} is cut short and passed over"));
        }
        Ok(changes)
    }
}

/// The changes of a record, and the number of its last line if that was cut short.
pub(crate) fn parse_journal(
    mut reader: impl BufRead,
) -> anyhow::Result<(Vec<PermissionChange>, Option<u64>)> {
    let mut changes = Vec::new();
    for number in 1.. {
        let mut line = Vec::new();
        if reader.by_ref().take(LINE).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        ensure!((line.len() as u64) < LINE, "line {number} is longer than {LINE} bytes");
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

/// The line after a change stands for the one before it.
fn merge_change(changes: &mut Vec<PermissionChange>, change: PermissionChange) {
    let before = |c: &PermissionChange| PermissionChange { ctime_after: None, ..c.clone() };
    if changes.last().is_some_and(|last| last.ctime_after.is_none() && *last == before(&change)) {
        changes.pop();
    }
    changes.push(change);
}
