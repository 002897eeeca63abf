//! `permck fix`: remove permissions that an audit finds.

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
      Show what would be changed, and what needs a decision.
  permck fix --record /root/permck.jsonl /opt/profguard
      Make the changes; each is recorded before it is made.
  permck undo /root/permck.jsonl
      Undo all of them.";

/// Fix findings of an audit by removing permissions, and record each change
///
/// Removes permission bits that the class of an entry does not allow, setuid, setgid and sticky bits, and ACLs that
/// grant access to other users and groups. It never adds a permission, never follows a symbolic link, and skips entries
/// that another user owns, that have several hard links, that are mounted below a PATH, or that change meanwhile.
/// Findings of severity error that need a decision, also about the directories above each PATH, are listed, and the exit
/// status is then 1. Findings of severity warning are counted on standard error; a default ACL is one, because without
/// it the umask decides the mode of new entries.
///
/// An account that is known from --owner, the policy or the owner of the PATH is never locked out: if it reaches an entry
/// only with the permissions of others, these are kept, and the command to run first is listed. Private keys are closed
/// nevertheless.
///
/// System paths (/etc, /usr except below /usr/local, /dev and the like, and directories such as / and /var/log
/// themselves) are rejected without --system: the classes are those of an installation of these tools.
///
/// Each change is recorded before it is made and again after it. If it cannot be recorded, the run stops with exit
/// status 2.
#[derive(Args, Debug)]
#[command(arg = common::report::plain_format(), after_long_help = EXAMPLES)]
pub(crate) struct FixArgs {
    #[command(flatten)]
    inputs: PathInputs,
    #[command(flatten)]
    tree: TreeArgs,
    /// Show what would be changed, and change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Record changes in FILE, for `permck undo` [default: permck-fix-TIME.jsonl]
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    record: Option<PathBuf>,
    /// Allow system paths
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
            opened.hint("--record FILE sets the file that records changes")
        }
    }
}

/// Names the undo command; removes the record of a run that changed nothing, unless it existed before.
fn finish_journal(path: &std::path::Path, done: &FixCounts, diag: &Diag) {
    if done.changed > 0 {
        diag.help(format_args!("`permck undo {}` undoes the changes", shell_quote(path)));
    } else if std::fs::symlink_metadata(path).is_ok_and(|m| m.is_file() && m.len() == 0) {
        let _ = std::fs::remove_file(path);
    }
}

/// Prints warnings about what the run left or removed.
fn print_warnings(done: &FixCounts, dry_run: bool, diag: &Diag) {
    let total: u64 = done.warnings.values().sum();
    if total > 0 {
        let rules: Vec<_> = done.warnings.iter().map(|(rule, n)| format!("{n} {rule}")).collect();
        let s = if total == 1 { "" } else { "s" };
        diag.warn(
            "fix",
            format_args!("{total} warning{s} left: {}; `permck audit` shows them", rules.join(", ")),
        );
    }
    if done.locked > 0 {
        let would = if dry_run { "would be" } else { "were" };
        let what = "entries of root's group: permissions of others";
        diag.warn("fix", format_args!("{} {what} {would} removed", done.locked));
        diag.help("chgrp them to the group of the account that uses them; --owner USER keeps its access");
    }
}

#[cfg(test)]
mod tests;
