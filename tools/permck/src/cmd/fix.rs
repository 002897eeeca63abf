//! `permck fix`: tighten what an audit finds.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use common::error::HintExt;
use common::exit::Exit;
use common::out::{Diag, Format, Out};
use common::policy::shell_quote;
use common::record::permck::FixSummary;

use common::inputs::PathInputs;

use super::tree::TreeArgs;
use crate::fix::journal::{self, Journal};
use crate::fix::{FixCounts, FixOptions, Fixer};

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
/// somebody else, has several names, is mounted below a PATH, or changed in between. Findings of severity error that
/// need a person, also about the directories above each PATH, are listed, and the exit status is 1 when there are
/// any. Findings of severity warning are counted on standard error; a default ACL is one, because without it the
/// umask decides what new entries allow.
///
/// Where an account is known, by --owner, the policy or the owner of the PATH, nothing is cut off from it: what it has
/// only as one of the others, because neither the owner nor the group of an entry is its own, stays, and is listed with
/// what to do first. Private keys are closed all the same.
///
/// Paths of the system (/etc, /usr but what is below /usr/local, /dev and the like, and directories such as / and
/// /var/log themselves) are refused without --system: the classes are those of an installation of these tools.
///
/// Each change is written down before it is made and again after it. When that cannot be done, the run ends with
/// status 2 and changes nothing more.
#[derive(Args, Debug)]
#[command(arg = common::report::plain_format(), after_long_help = EXAMPLES)]
pub(crate) struct FixArgs {
    #[command(flatten)]
    inputs: PathInputs,
    #[command(flatten)]
    tree: TreeArgs,
    /// Change nothing, show what would be changed
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Where changes are written down, for `permck undo`. Default: permck-fix-TIME.jsonl
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    record: Option<PathBuf>,
    /// Tighten paths of the system, too
    #[arg(long)]
    system: bool,
}

impl FixArgs {
    pub(crate) fn run(self, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
        let mut plan = self.tree.load_plan()?;
        let options = self.tree.walk_options();
        let manner = FixOptions { format, cross_mounts: options.cross_mounts, system: self.system };
        let path =
            self.record.clone().unwrap_or_else(|| journal::default_path(time::OffsetDateTime::now_utc()));
        let shown = || path.display().to_string();
        let journal = if self.dry_run { None } else { Some(self.open_journal(&path)?) };
        let (diag, to) = out.parts();
        let fixer = Fixer::new(diag, to, journal, manner, plan.context.clone());
        let ran = crate::run::run_audit(&mut plan, self.inputs.paths()?, options, diag, &fixer);
        let (done, record, output) = fixer.finish();
        if !self.dry_run {
            finish_journal(&path, &done, diag);
        }
        record.map_err(|e| anyhow::anyhow!(crate::io_reason(&e))).with_context(shown)?;
        output?;
        let seen = ran?;
        print_warnings(&done, self.dry_run, diag);
        if format == Format::Json {
            out.record(&FixSummary {
                entries: seen.entries,
                changed: done.changed,
                refused: done.refused,
                left: done.left,
                warnings: done.warnings.values().sum(),
                errors: out.diag().errors(),
            })?;
        }
        let open = done.refused + done.left + if self.dry_run { done.changed } else { 0 };
        Ok(if open > 0 { Exit::No } else { Exit::Ok })
    }

    fn open_journal(&self, path: &std::path::Path) -> anyhow::Result<Journal> {
        let opened = Journal::open(path).map_err(|e| anyhow::anyhow!(crate::io_reason(&e)));
        let opened = opened.with_context(|| path.display().to_string());
        if self.record.is_some() {
            opened
        } else {
            opened.hint("--record FILE names where changes are written down")
        }
    }
}

/// A run that changed nothing leaves no record, unless one was there before.
fn finish_journal(path: &std::path::Path, done: &FixCounts, diag: &Diag) {
    if done.changed > 0 {
        diag.help(format_args!("`permck undo {}` puts it back", shell_quote(path)));
    } else if std::fs::symlink_metadata(path).is_ok_and(|m| m.is_file() && m.len() == 0) {
        let _ = std::fs::remove_file(path);
    }
}

/// What the run says besides the changes.
fn print_warnings(done: &FixCounts, dry_run: bool, diag: &Diag) {
    let total: u64 = done.warnings.values().sum();
    if total > 0 {
        let rules: Vec<_> = done.warnings.iter().map(|(rule, n)| format!("{n} {rule}")).collect();
        let s = if total == 1 { "" } else { "s" };
        diag.warn("fix", format_args!("{total} warning{s} left: {}; `permck audit` tells", rules.join(", ")));
    }
    if done.locked > 0 {
        let will = if dry_run { "would be" } else { "are" };
        let what = "entries that others could use and that";
        diag.warn("fix", format_args!("{what} {will} left to root's group: {}", done.locked));
        diag.help("chgrp them to the group of the account that uses them; --owner names it, and nothing is cut off from it");
    }
}

#[cfg(test)]
mod tests;
