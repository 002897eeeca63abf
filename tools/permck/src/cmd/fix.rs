//! `permck fix`: remove permissions that an audit finds.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use common::accounts::AccountTable;
use common::error::HintExt;
use common::exit::Exit;
use common::out::{Diag, Format, Out, Verbosity};
use common::policy::{Mode, shell_quote};
use common::record::permck::FixSummary;

use common::inputs::PathInputs;
use common::system_paths::is_system_path;
use common::walk::WalkOptions;

use super::tree::TreeArgs;
use crate::fix::journal::{self, Journal};
use crate::fix::survey::{AccessLosses, AccessSurvey};
use crate::fix::{FixCounts, FixOptions, Fixer};
use crate::plan::AuditPlan;

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
/// Removes permissions of group and others that the class of an entry does not allow, setuid and setgid bits of files,
/// and ACLs that grant access to other users and groups, where the audit finds an error or a warning. With --strict also
/// permissions of the owner, special bits of directories, and everything that no other user can use. It never adds a
/// permission, never follows a symbolic link, and skips entries that another user owns, that have several hard links, that
/// are mounted below a PATH, or that change meanwhile.
/// Findings of severity error that need a decision, also about the directories above each PATH, are listed, and the exit
/// status is then 1. Findings of severity warning are counted on standard error; a default ACL is one, because without
/// it the umask decides the mode of new entries.
///
/// An account that is known from --owner, the policy or the owner of the PATH is never locked out: if it reaches an entry
/// only with the permissions of others, these are kept, and the command to run first is listed. Private keys are closed
/// nevertheless.
///
/// As root, the accounts that processes run as, and those that units of systemd name, are checked first: if one would
/// lose access to an entry, nothing is changed, the accounts are named, and the commands to choose from are printed:
/// --umask 022 removes only write permissions, which locks nobody out of reading; --lock-out USER allows an account to lose
/// access.
///
/// System paths (/etc, /usr except below /usr/local, /dev and the like, and directories such as /, /opt, /srv and /var/log
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
    /// Remove only the permissions of this umask, such as 027 [default: 077; with --strict, all that the policy table does not allow]
    #[arg(long, value_name = "MASK", value_parser = parse_umask, conflicts_with = "strict")]
    umask: Option<Mode>,
    /// Account of a service that may lose access, or `all`; root only
    #[arg(long, value_name = "USER")]
    lock_out: Vec<String>,
}

impl FixArgs {
    pub(crate) fn run(self, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
        let mut plan = self.tree.load_plan()?;
        plan.context.umask = self.umask.unwrap_or(plan.context.umask);
        let options = self.tree.walk_options();
        let fix_options = FixOptions { format, cross_mounts: options.cross_mounts, system: self.system };
        let path =
            self.record.clone().unwrap_or_else(|| journal::default_path(time::OffsetDateTime::now_utc()));
        let shown = || path.display().to_string();
        let paths: Vec<_> = self.inputs.paths()?.collect();
        self.check_services(&mut plan, &paths, options, out.diag())?;
        let journal = if self.dry_run { None } else { Some(self.open_journal(&path)?) };
        let (diag, to) = out.parts();
        let fixer = Fixer::new(diag, to, journal, fix_options, plan.context.clone());
        let ran = crate::run::run_audit(&mut plan, paths.into_iter(), options, diag, &fixer);
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

    /// Stops before the first change if root would take access away from the account of a service. A dry run reports it
    /// and goes on.
    fn check_services(
        &self,
        plan: &mut AuditPlan,
        paths: &[anyhow::Result<PathBuf>],
        options: WalkOptions,
        diag: &Diag,
    ) -> anyhow::Result<()> {
        let all = self.lock_out.iter().any(|name| name == "all");
        let elsewhere = plan.image.path != std::path::Path::new("/");
        if all || elsewhere || !rustix::process::geteuid().is_root() {
            return Ok(());
        }
        let id = |name: &String| {
            plan.context.accounts.uid_of(name).with_context(|| format!("--lock-out {name}: no such user"))
        };
        let allowed = self.lock_out.iter().map(id).collect::<anyhow::Result<Vec<u32>>>()?;
        let context = plan.context.clone();
        let survey = AccessSurvey::new(&context, self.system, |uid| allowed.contains(&uid));
        // The run that follows reports what is wrong with the paths.
        let quiet = Diag::new("permck", Verbosity::Quiet);
        let is_admitted = |real: PathBuf| self.system || !is_system_path(&real);
        let readable = paths.iter().flatten().filter(|path| path.canonicalize().is_ok_and(is_admitted));
        crate::run::run_audit(plan, readable.cloned().map(Ok), options, &quiet, &survey)?;
        let Some(losses) = survey.into_losses() else { return Ok(()) };
        let args: Vec<OsString> = std::env::args_os().collect();
        let ways = self.list_ways_forward(&losses, &args, &context.accounts);
        if self.dry_run {
            diag.error("fix", format_args!("would stop before the first change: {}", losses.description));
            diag.help(ways);
            return Ok(());
        }
        Err(anyhow::anyhow!("fix: stopped before the first change: {}", losses.description)).hint(ways)
    }

    /// The commands that get past accounts that would lose access, a line each: from the one that is always safe to the one
    /// that needs the most knowledge.
    fn list_ways_forward(&self, losses: &AccessLosses, args: &[OsString], accounts: &AccountTable) -> String {
        /// Beyond these, `--lock-out all` is what a person would write.
        const MAX_NAMED: usize = 4;
        let names = &losses.accounts;
        let mut ways = Vec::new();
        if losses.spared_by_umask_022 && !self.tree.strict && self.umask.is_none() {
            let command = rerun_command(args, "--umask 022");
            ways.push(format!("to remove only write permissions, which none of them loses: {command}"));
        }
        let paths: Vec<String> = self.inputs.given().iter().map(|path| shell_quote(path)).collect();
        let paths = if self.inputs.given_only() { paths.join(" ") } else { "PATH".to_owned() };
        let own_group = |name: &String| {
            let gid = accounts.group_of(accounts.uid_of(name)?)?;
            accounts
                .groups_of(name)
                .into_iter()
                .find(|(group, id)| *id == gid && !group.is_empty())
                .map(|(group, _)| group)
        };
        let group = match names.as_slice() {
            [only] => own_group(only).unwrap_or_else(|| "GROUP".to_owned()),
            _ => "GROUP".to_owned(),
        };
        ways.push(format!(
            "if the account of a service uses them, give them to its group first, by which it keeps its access: chgrp \
             -R {group} {paths}"
        ));
        let lock_out = match names.len() {
            1..=MAX_NAMED => {
                names.iter().map(|name| format!("--lock-out {name}")).collect::<Vec<_>>().join(" ")
            }
            _ => "--lock-out all".to_owned(),
        };
        ways.push(format!("if none of these accounts uses them: {}", rerun_command(args, &lock_out)));
        ways.join("\n")
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

/// The command line of this run with another option.
fn rerun_command(args: &[OsString], option: &str) -> String {
    let quote = |arg: &OsString| match arg.to_str() {
        // An option: only a path gets `./` before a dash.
        Some(text) if text.starts_with('-') => match shell_quote(Path::new(&format!("/{text}"))) {
            quoted if quoted.starts_with('/') => text.to_owned(),
            quoted => quoted.replacen('/', "", 1),
        },
        _ => shell_quote(Path::new(arg)),
    };
    let at = args.iter().position(|arg| arg == "fix").map_or(args.len(), |at| at + 1);
    let (before, after) = (args.get(1..at).unwrap_or_default(), args.get(at..).unwrap_or_default());
    let words = before.iter().map(quote).chain([option.to_owned()]).chain(after.iter().map(quote));
    format!("permck {}", words.collect::<Vec<_>>().join(" "))
}

fn parse_umask(text: &str) -> Result<Mode, String> {
    let mask = Mode::parse(text).filter(|mask| mask.0 <= 0o777);
    mask.ok_or_else(|| "expected an octal number up to 777, such as 027".to_owned())
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
