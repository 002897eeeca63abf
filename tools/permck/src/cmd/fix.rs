//! `permck fix`: tighten what an audit finds.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use common::exit::Exit;
use common::out::{Format, Out};
use common::policy::Mode;
use common::record::permck::FixSummary;

use super::tree::{Inputs, Tree};
use crate::fix::{self, Fixer};

const EXAMPLES: &str = "\
Examples:
  permck fix --dry-run /opt/profguard
      Show what would be changed, and what a person must decide.
  permck fix --record /root/permck.jsonl /opt/profguard
      Change it, and write each change down first.
  permck undo /root/permck.jsonl
      Put it all back.";

/// Tighten what an audit finds, and write each change down
///
/// Takes away permission bits that the class of an entry does not allow, setuid, setgid and sticky bits, and
/// ACLs that grant beside the mode. It never grants anything, follows no link, and leaves alone what belongs to
/// somebody else, has several names, or changed in between. Findings that need a person are listed. The exit
/// status is 1 when something is left to do.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Fix {
    #[command(flatten)]
    inputs: Inputs,
    #[command(flatten)]
    tree: Tree,
    /// Change nothing, show what would be changed
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Where changes are written down, for `permck undo`. Default: permck-fix-TIME.jsonl
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    record: Option<PathBuf>,
}

impl Fix {
    pub(crate) fn run(self, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
        let mut plan = self.tree.plan(out.diag())?;
        let path = self.record.unwrap_or_else(|| fix::default_record(time::OffsetDateTime::now_utc()));
        let record = if self.dry_run { None } else { Some(common::fsat::open_append(&path, Mode(0o600))) };
        let record = record.transpose().with_context(|| path.display().to_string())?;
        let (diag, to) = out.parts();
        let fixer = Fixer::new(diag, to, record, format);
        let options = self.tree.options();
        // Where the trees lie is for people to mend: `permck audit` tells.
        let seen = crate::run::run(&mut plan, self.inputs.paths()?, options, diag, &fixer, |_| ())?;
        let done = fixer.finish()?;
        if !self.dry_run && done.changed == 0 {
            remove_if_empty(&path);
        } else if !self.dry_run {
            out.diag()
                .help(format_args!("`permck undo {}` puts it back", common::policy::shell_quote(&path)));
        }
        if format == Format::Json {
            out.record(&FixSummary {
                entries: seen.entries,
                changed: done.changed,
                refused: done.refused,
                left: done.left,
                errors: out.diag().errors(),
            })?;
        }
        let open = done.refused + done.left + if self.dry_run { done.changed } else { 0 };
        Ok(if open > 0 { Exit::No } else { Exit::Ok })
    }
}

/// A run that changed nothing leaves no record, unless one was there before.
fn remove_if_empty(path: &std::path::Path) {
    if std::fs::symlink_metadata(path).is_ok_and(|m| m.is_file() && m.len() == 0) {
        let _ = std::fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests;
