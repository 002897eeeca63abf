//! `datack clean`: retention for generated traces and logs, by age and by total size.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{anyhow, ensure};
use clap::Args;
use common::duration::parse_age;
use common::exit::Exit;
use common::out::{Diag, Format, Out};
use common::record::RecordPath;
use common::record::datack::{CleanSummary, Deletion, DeletionReason, SparedFile};
use common::size::{format_size, parse_size};
use common::text::Safe;

use common::glob::Glob;
use common::inputs::PathInputs;

mod candidates;
mod generated;
mod open_files;
mod recordings;
mod remove;

use candidates::{Candidate, CandidateList, FileSelection};
use open_files::{BATCH, OpenFileGuard};
use remove::DeletionTarget;

const EXAMPLES: &str = "\
Examples:
  datack clean --older-than 14d --keep 50GiB --dry-run /srv/traces
      Show what would be deleted.
  datack clean --older-than 14d --keep 50GiB --format json /srv/traces \\
    >> /var/log/datack-clean.jsonl
      Delete it; write a record of each file.
  datack clean --older-than 7d --match '**/*.nsys-rep' /srv/traces
      Delete files that are neither traces nor logs.";

/// Delete generated traces and logs by age and by total size, oldest first
///
/// Deletes recordings below each PATH that are older than --older-than, and then the oldest ones until the rest takes at
/// most --keep on disk. A recording is deleted as a whole, and is as old as its newest file. The generated files of an
/// …_ascend_pt, …_ascend_ms or PROF_… directory are one recording; so are traces that differ in the process id at the end
/// of their name or in the number behind the word rank in it, or ….pt.trace.json files of several workers, if they were
/// written within a minute of each other; a database with its journals; and the metric log of one run of profd, metrics-START-PID-….jsonl, all of which stays while
/// the daemon writes to it. Every other file is a recording of its own.
///
/// Never follows a symbolic link and never leaves the tree. Skips a recording if one of its files is locked, is open in a
/// process for writing, as far as /proc shows it to the user who runs it, was opened during the run, or was modified less
/// than --idle ago. The records of its files are written before they are deleted. If they cannot be written, because the
/// disk is full or the reader has exited, the run stops with exit status 2.
///
/// Without --match, only files that are certainly generated are deleted. By content: *.json and *.json.gz that begin like
/// a trace (`traceEvents`; `schemaVersion` with `deviceProperties`; an array of events), *.log whose first line begins
/// with a timestamp or a level, msmonitor_PID_TIME_RANK.db and .jsonl, and metrics-TIME-PID-N.jsonl of profd. By
/// location: files in the subdirectories that the profiler makes in HOST_PID_TIME_ascend_pt, …_ascend_ms and PROF_N_TIME_ID
/// directories, if their names end as the profiler's do (.csv, .json, .db, .log, .bin, .data, .slice_N, .done, torch.NAME
/// and the like): a table that somebody saves there under such a name is deleted, too. By name: rotated logs, *.log.N, *.log-YYYYMMDD, *.log-YYYYMMDDHH and *.log.YYYY-MM-DD, also
/// with .gz, .xz, .zst or .bz2.
///
/// Without --system, these paths are rejected, also with --dry-run: / and the directories directly below it, such as /tmp,
/// /home, /srv and /data, and system paths (/etc, /usr except below /usr/local, /var/log itself and the like). They hold
/// unrelated trees: name the directory of the traces.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
#[command(group = clap::ArgGroup::new("limit").args(["older_than", "keep"]).required(true).multiple(true))]
pub(crate) struct CleanArgs {
    #[command(flatten)]
    inputs: PathInputs,
    /// Delete files that were modified longer ago than this: `90s`, `30m`, `12h`, `14d`
    #[arg(long, value_name = "AGE", value_parser = parse_age)]
    older_than: Option<Duration>,
    /// Delete the oldest files until the rest takes at most this size: `50GiB`, `10GB`, or bytes
    ///
    /// The size of a file is the space that it takes on disk. A file with several hard links counts once and is not
    /// deleted for this option, because that would free no space.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    keep: Option<u64>,
    /// Delete files that match PATTERN, relative to each PATH [default: generated traces and logs]
    ///
    /// `*` and `?` match within a name, `**` any number of directories. The content of a file that matches is not
    /// checked.
    #[arg(long = "match", value_name = "PATTERN")]
    patterns: Vec<String>,
    /// Keep files that were modified less than this ago
    #[arg(long, value_name = "AGE", value_parser = parse_age, default_value = "10m")]
    idle: Duration,
    /// Also delete directories that become empty
    #[arg(long)]
    prune: bool,
    /// Show what would be deleted, and delete nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Allow /, the directories directly below it, and system paths
    #[arg(long)]
    system: bool,
}

/// The state that all deletions of a run share.
struct CleanRun<'a> {
    candidates: &'a CandidateList,
    roots: &'a [PathBuf],
    /// Files deleted so far.
    before: u64,
    format: Format,
}

/// The result of deleting a recording that was due.
enum DeletionResult {
    /// These files of it are deleted.
    Deleted(Vec<Candidate>),
    /// It is in use, or was modified less than --idle ago.
    Spared,
    Refused,
}

impl CleanArgs {
    pub(crate) fn run(self, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
        let selection = self.file_selection()?;
        let roots = self.inputs.paths()?.collect::<anyhow::Result<Vec<_>>>()?;
        let roots: Vec<_> = roots.into_iter().filter(|path| self.admits_root(path, out.diag())).collect();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64);
        let candidates = CandidateList::collect(&roots, &selection, out.diag());
        let mut summary = CleanSummary {
            files: candidates.files.len() as u64,
            size_bytes: candidates.files.iter().map(|c| c.size).sum(),
            ..CleanSummary::default()
        };
        // Oldest first, recording by recording, in batches whose files are watched together.
        let mut left = candidates.bytes_on_disk();
        let mut open_files = OpenFileGuard::new(out.diag());
        let due = |files: &[Candidate], left| self.deletion_reason(files, now, left);
        for batch in group_recordings(candidates.recordings()) {
            let files: Vec<_> =
                batch.iter().filter(|r| due(r, left).is_some()).flat_map(|r| r.iter()).copied().collect();
            // A dry run deletes nothing, so there is nothing to watch.
            if !files.is_empty() && !self.dry_run {
                open_files.watch_files(&roots, &candidates, &files);
            }
            for recording in batch {
                // Earlier deletions may have freed enough space.
                let Some(reason) = due(recording, left) else { continue };
                let run =
                    CleanRun { candidates: &candidates, roots: &roots, before: summary.deleted, format };
                match self.delete_recording(&run, recording, (reason, now), &mut open_files, out)? {
                    DeletionResult::Deleted(files) => {
                        summary.recordings += 1;
                        for file in files {
                            let freed = if file.shared { 0 } else { file.taken };
                            left -= freed;
                            summary.deleted += 1;
                            summary.deleted_bytes += file.size;
                            summary.deleted_disk_bytes += freed;
                        }
                    }
                    DeletionResult::Spared => summary.spared += recording.len() as u64,
                    DeletionResult::Refused => {}
                }
            }
        }
        summary.left_disk_bytes = left;
        // Totals, and whether the limit was reached.
        summary.errors = out.diag().errors();
        self.report_total(&summary, format, out)?;
        if self.keep.is_some_and(|keep| left > keep) {
            out.warn(
                "clean",
                format_args!(
                    "{} are left, more than --keep: the other files are in use or could not be deleted",
                    format_size(left)
                ),
            );
            return Ok(Exit::No);
        }
        Ok(Exit::Ok)
    }

    /// Returns whether deleting below a path is allowed. A missing path is reported by the walk.
    fn admits_root(&self, path: &Path, diag: &Diag) -> bool {
        let refused = !self.system
            && path.canonicalize().is_ok_and(|real| common::system_paths::holds_unrelated_trees(&real));
        if refused {
            let reason = "holds unrelated trees, or is a system path; name the directory of the traces";
            diag.error(path.display(), format_args!("{reason}, or use --system"));
        }
        !refused
    }

    fn file_selection(&self) -> anyhow::Result<FileSelection> {
        if self.patterns.is_empty() {
            return Ok(FileSelection::Generated);
        }
        let globs = self.patterns.iter().map(|p| Glob::parse(p).map_err(|e| anyhow!("--match: {e}")));
        let globs = globs.collect::<anyhow::Result<Vec<_>>>()?;
        ensure!(
            globs.iter().all(|g| !g.absolute),
            "--match: patterns are relative to each PATH and do not begin with a slash"
        );
        Ok(FileSelection::Match(globs))
    }

    /// Returns the reason why a file that is due is kept.
    fn sparing_reason(
        &self,
        file: &Candidate,
        now: i64,
        open_files: &mut OpenFileGuard,
    ) -> Option<&'static str> {
        if now - file.mtime < self.idle.as_secs() as i64 {
            return Some("modified less than --idle ago");
        }
        if self.dry_run { open_files.reason_by_last_scan(file) } else { open_files.reason_to_keep(file) }
    }

    /// Records the files of a recording and deletes them, all or none; in a dry run, only shows them.
    fn delete_recording(
        &self,
        run: &CleanRun<'_>,
        files: &[Candidate],
        (reason, now): (DeletionReason, i64),
        open_files: &mut OpenFileGuard,
        out: &mut Out,
    ) -> anyhow::Result<DeletionResult> {
        let path = |file: &Candidate| run.candidates.path(file);
        // One file that is in use keeps the others.
        if let Some((file, why)) =
            files.iter().find_map(|f| Some((f, self.sparing_reason(f, now, open_files)?)))
        {
            out.diag().info(path(file).display(), format_args!("spared: {why}"));
            return Ok(DeletionResult::Spared);
        }
        if self.dry_run {
            files.iter().try_for_each(|f| self.report_deletion(&path(f), f, reason, run.format, out))?;
            return Ok(DeletionResult::Deleted(files.to_vec()));
        }
        // What could not be deleted keeps the others, too.
        let mut targets = Vec::new();
        for file in files {
            match DeletionTarget::open(&run.roots[run.candidates.root_index(file)], run.candidates, file) {
                // A recording of many files would take too many descriptors: they are opened again.
                Ok(target) if files.len() == 1 => targets.push(target),
                Ok(_) => {}
                Err(e) => {
                    out.error(path(file).display(), e);
                    return Ok(DeletionResult::Refused);
                }
            }
        }
        // Not as an I/O error: elsewhere a closed pipe counts as success, but here files were to be deleted.
        let stopped = |e: std::io::Error| {
            let (reason, deleted) = (common::error::io_reason(&e), count(run.before, "file"));
            anyhow!("{reason}; no file is deleted without a record: stopped after deleting {deleted}")
        };
        files
            .iter()
            .try_for_each(|f| self.report_deletion(&path(f), f, reason, run.format, out))
            .and_then(|()| out.flush())
            .map_err(stopped)?;
        // Writing the records may have blocked for long.
        if let Some(why) = files.iter().find_map(|f| open_files.reason_to_keep(f)) {
            for file in files {
                report_spared(&path(file), why.into(), run.format, out).map_err(stopped)?;
            }
            return Ok(DeletionResult::Spared);
        }
        let mut deleted = Vec::new();
        let mut targets = targets.into_iter();
        for file in files {
            let root = &run.roots[run.candidates.root_index(file)];
            let target = match targets.next() {
                Some(target) => Ok(target),
                None => DeletionTarget::open(root, run.candidates, file),
            };
            let done = target.and_then(|target| {
                target.check_unchanged()?;
                target.delete_file(self.prune)
            });
            match done {
                Ok(()) => deleted.push(*file),
                Err(e) => {
                    out.error(path(file).display(), &e);
                    report_spared(&path(file), e, run.format, out).map_err(stopped)?;
                }
            }
        }
        Ok(if deleted.is_empty() { DeletionResult::Refused } else { DeletionResult::Deleted(deleted) })
    }

    /// Returns why a recording is due when `left` bytes are left. Recordings come oldest first.
    fn deletion_reason(&self, files: &[Candidate], now: i64, left: u64) -> Option<DeletionReason> {
        let newest = files.first()?.newest;
        let old = |age: Duration| now.saturating_sub(newest) > age.as_secs() as i64;
        if self.older_than.is_some_and(old) {
            return Some(DeletionReason::Age);
        }
        // Removing one of several hard links frees no space.
        let frees = files.iter().any(|file| !file.shared && file.taken > 0);
        self.keep.is_some_and(|keep| left > keep && frees).then_some(DeletionReason::Size)
    }

    fn report_deletion(
        &self,
        path: &Path,
        file: &Candidate,
        reason: DeletionReason,
        format: Format,
        out: &mut Out,
    ) -> std::io::Result<()> {
        match format {
            Format::Text => {
                let would = if self.dry_run { "would delete" } else { "deleted" };
                let path = path.to_string_lossy();
                writeln!(out.text(), "{would} {} ({}, {reason})", Safe(&path), format_size(file.taken))
            }
            Format::Json => out.record(&Deletion {
                path: RecordPath::from(path),
                size_bytes: file.size,
                disk_bytes: file.taken,
                changed: time::OffsetDateTime::from_unix_timestamp(file.mtime)
                    .ok()
                    .and_then(|t| t.format(&time::format_description::well_known::Rfc3339).ok())
                    .unwrap_or_default(),
                reason,
                dry_run: self.dry_run,
            }),
        }
    }

    /// Prints the totals; in text only if a file was due.
    fn report_total(&self, summary: &CleanSummary, format: Format, out: &mut Out) -> std::io::Result<()> {
        if format == Format::Json {
            return out.record(summary);
        }
        let s = summary;
        if s.deleted + s.spared == 0 {
            return Ok(());
        }
        let would = if self.dry_run { "would delete" } else { "deleted" };
        let left = s.files - s.deleted;
        writeln!(
            out.text(),
            "{would} {}, {}; {} in use; {}, {} left",
            count(s.deleted, "file"),
            format_size(s.deleted_disk_bytes),
            s.spared,
            count(left, "file"),
            format_size(s.left_disk_bytes)
        )
    }
}

/// Groups recordings into batches of about [`BATCH`] files.
fn group_recordings<'a>(
    recordings: impl Iterator<Item = &'a [Candidate]>,
) -> impl Iterator<Item = Vec<&'a [Candidate]>> {
    let mut recordings = recordings.peekable();
    std::iter::from_fn(move || {
        let (mut batch, mut files) = (Vec::new(), 0);
        while let Some(recording) = recordings.next_if(|next| files == 0 || files + next.len() <= BATCH) {
            files += recording.len();
            batch.push(recording);
        }
        (!batch.is_empty()).then_some(batch)
    })
}

/// Writes a count with its noun: `1 file`, `2 files`.
fn count(n: u64, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// Reports that a recorded file was not deleted after all.
fn report_spared(path: &Path, reason: String, format: Format, out: &mut Out) -> std::io::Result<()> {
    match format {
        Format::Text => writeln!(out.text(), "not deleted {} ({reason})", Safe(&path.to_string_lossy())),
        Format::Json => out.record(&SparedFile { path: RecordPath::from(path), reason }),
    }
}

#[cfg(test)]
mod tests;
