//! `permck clean`: retention for generated traces and logs, by age and by total size.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::ensure;
use clap::Args;
use common::exit::Exit;
use common::finding::hex;
use common::out::{Diag, Format, Out};
use common::record::permck::{CleanSummary, Deletion, DeletionReason};
use common::text::Safe;
use rustix::fs::{self as rfs, AtFlags, OFlags, ResolveFlags};

use super::tree::Inputs;
use crate::manifest::list::{Listed, list};
use crate::policy::glob::Glob;
use crate::walk::{Options, device, stat};
use crate::writers::Writers;

/// How long what is known of open files is believed.
const FRESH: Duration = Duration::from_secs(1);

/// Files that traces and logs are, where the user does not say which.
const GENERATED: [&str; 12] = [
    "**/*.trace.json",
    "**/*.trace.json.gz",
    "**/*_[0-9]*.json",
    "**/*_[0-9]*.json.gz",
    "**/*_ascend_pt/**",
    "**/PROF_*/**",
    "**/msmonitor_*.db",
    "**/msmonitor_*.jsonl",
    "**/trace_view.json",
    "**/*.log",
    "**/*.log.*",
    "**/*.log-*",
];

const EXAMPLES: &str = "\
Examples:
  permck clean --older-than 14d --keep 50GiB --dry-run /srv/traces
      Show what a cron job would delete.
  permck clean --older-than 14d --keep 50GiB --format json /srv/traces >> /var/log/permck-clean.jsonl
      Delete it, with a record for each file.
  permck clean --older-than 7d --match '**/*.nsys-rep' /srv/traces
      Other files than traces and logs.";

/// Delete generated traces and logs by age and by total size, oldest first
///
/// Deletes regular files below each PATH that are older than --older-than, and then the oldest until what is left
/// takes at most --keep. Never follows a link, never leaves the tree, and never deletes a file that is open for
/// writing or was changed less than --idle ago.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Clean {
    #[command(flatten)]
    inputs: Inputs,
    /// Delete files that were last changed longer ago: `90s`, `30m`, `12h`, `14d`
    #[arg(long, value_name = "AGE", value_parser = age, required_unless_present = "keep")]
    older_than: Option<Duration>,
    /// Delete the oldest files until the rest takes at most this: `50GiB`, `10GB`, bytes
    #[arg(long, value_name = "SIZE", value_parser = size)]
    keep: Option<u64>,
    /// Which files may be deleted: patterns below each PATH. Default: traces and logs by their usual names
    ///
    /// `*` and `?` match within a name, `**` any number of directories. Without this option: *.trace.json and
    /// *_NUMBER.json (gzip too), everything in *_ascend_pt and PROF_* trees, msmonitor_*.db and msmonitor_*.jsonl,
    /// trace_view.json, *.log and rotated logs.
    #[arg(long = "match", value_name = "PATTERN")]
    patterns: Vec<String>,
    /// Spare files that were changed less than this ago
    #[arg(long, value_name = "AGE", value_parser = age, default_value = "10m")]
    idle: Duration,
    /// Delete directories that this leaves empty, too
    #[arg(long)]
    prune: bool,
    /// Delete nothing, show what would be deleted
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// One file that may be deleted.
struct Candidate {
    file: Listed,
    /// Index of the path that it is below.
    root: usize,
}

impl Clean {
    pub(crate) fn run(self, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
        let globs = self.globs()?;
        let roots = self.inputs.paths()?.collect::<anyhow::Result<Vec<_>>>()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64);
        let candidates = candidates(&roots, &globs, out.diag());
        let mut summary = CleanSummary {
            files: candidates.len() as u64,
            size_bytes: candidates.iter().map(|c| c.file.size).sum(),
            ..CleanSummary::default()
        };
        let mut left = summary.size_bytes;
        let mut guard = Guard::new(out.diag());
        for candidate in &candidates {
            let Some(reason) = self.reason(&candidate.file, now, left) else { continue };
            let spared =
                now - candidate.file.mtime < self.idle.as_secs() as i64 || guard.writing(&candidate.file);
            if spared {
                summary.spared += 1;
                continue;
            }
            let path = &candidate.file.path;
            if !self.dry_run
                && let Err(e) = delete(&roots[candidate.root], &candidate.file, self.prune)
            {
                out.error(path.display(), e);
                continue;
            }
            left -= candidate.file.size;
            summary.deleted += 1;
            summary.deleted_bytes += candidate.file.size;
            self.tell(&candidate.file, reason, format, out)?;
        }
        summary.errors = out.diag().errors();
        if format == Format::Json {
            out.record(&summary)?;
        }
        if self.keep.is_some_and(|keep| left > keep) {
            out.warn(
                "clean",
                format_args!(
                    "{left} bytes are left, more than --keep: the rest is in use or could not be deleted"
                ),
            );
            return Ok(Exit::No);
        }
        Ok(Exit::Ok)
    }

    fn globs(&self) -> anyhow::Result<Vec<Glob>> {
        let patterns: Vec<&str> = match self.patterns.is_empty() {
            true => GENERATED.to_vec(),
            false => self.patterns.iter().map(String::as_str).collect(),
        };
        let globs = patterns.iter().map(|p| Glob::parse(p).map_err(|e| anyhow::anyhow!("--match: {e}")));
        let globs = globs.collect::<anyhow::Result<Vec<_>>>()?;
        ensure!(
            globs.iter().all(|g| !g.absolute),
            "--match: patterns are below each PATH and begin without a slash"
        );
        Ok(globs)
    }

    /// Why a file goes, when `left` bytes are there: candidates come oldest first.
    fn reason(&self, file: &Listed, now: i64, left: u64) -> Option<DeletionReason> {
        let old = |age: Duration| now.saturating_sub(file.mtime) > age.as_secs() as i64;
        if self.older_than.is_some_and(old) {
            return Some(DeletionReason::Age);
        }
        self.keep.is_some_and(|keep| left > keep).then_some(DeletionReason::Size)
    }

    fn tell(
        &self,
        file: &Listed,
        reason: DeletionReason,
        format: Format,
        out: &mut Out,
    ) -> anyhow::Result<()> {
        let path = &file.path;
        match format {
            Format::Text => {
                let would = if self.dry_run { "would delete" } else { "deleted" };
                let path = path.to_string_lossy();
                writeln!(out.text(), "{would} {} ({} bytes, {reason})", Safe(&path), file.size)?;
            }
            Format::Json => out.record(&Deletion {
                path: path.to_string_lossy().into_owned(),
                path_hex: path.to_str().is_none().then(|| hex(path.as_os_str().as_bytes())),
                size_bytes: file.size,
                changed: time::OffsetDateTime::from_unix_timestamp(file.mtime)
                    .ok()
                    .and_then(|t| t.format(&time::format_description::well_known::Rfc3339).ok())
                    .unwrap_or_default(),
                reason,
                dry_run: self.dry_run,
            })?,
        }
        Ok(())
    }
}

/// The files that may be deleted, oldest first.
fn candidates(roots: &[PathBuf], globs: &[Glob], diag: &Diag) -> Vec<Candidate> {
    let threads = std::thread::available_parallelism().map_or(1, Into::into);
    let mut all = Vec::new();
    for (root, path) in roots.iter().enumerate() {
        let files = list(std::slice::from_ref(path), Options { threads, cross_mounts: false }, diag);
        let below = |file: &Listed| {
            let below = file.path.strip_prefix(path).unwrap_or(&file.path).as_os_str().as_bytes();
            globs.iter().any(|g| g.matches(below))
        };
        all.extend(files.into_iter().filter(below).map(|file| Candidate { file, root }));
    }
    all.sort_by(|a, b| (a.file.mtime, &a.file.path).cmp(&(b.file.mtime, &b.file.path)));
    // Paths that overlap name a file twice.
    let mut seen = std::collections::HashSet::new();
    all.retain(|c| seen.insert((c.file.device, c.file.inode, c.file.path.clone())));
    all
}

/// Knows which files are being written, and looks again when that is old.
struct Guard {
    writers: Writers,
    at: Instant,
}

impl Guard {
    fn new(diag: &Diag) -> Self {
        let writers = Writers::scan();
        if writers.hidden > 0 {
            let n = writers.hidden;
            diag.info(
                "clean",
                format_args!("the open files of {n} processes cannot be seen; --idle guards theirs"),
            );
        }
        Self { writers, at: Instant::now() }
    }

    fn writing(&mut self, file: &Listed) -> bool {
        if self.at.elapsed() > FRESH {
            self.writers = Writers::scan();
            self.at = Instant::now();
        }
        self.writers.has(file.device, file.inode)
    }
}

/// Deletes a file by way of its directory's descriptor, which is reached from the root without links, if it is
/// still the one that was judged.
fn delete(root: &Path, file: &Listed, prune: bool) -> Result<(), String> {
    let below = file.path.strip_prefix(root).map_err(|_| "is not below its path")?;
    let (Some(parent), Some(name)) = (below.parent(), below.file_name()) else {
        return Err("is the path itself: name its directory".into());
    };
    let name = CString::new(name.as_bytes()).map_err(|_| "holds a NUL byte")?;
    let top = rfs::open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, rfs::Mode::empty())
        .map_err(crate::reason)?;
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let dir = rfs::openat2(&top, parent, flags, rfs::Mode::empty(), resolve).map_err(crate::reason)?;
    let st = stat(&dir, &name).map_err(crate::reason)?;
    let now = (device(&st), st.stx_ino, st.stx_size, st.stx_mtime.tv_sec);
    if now != (file.device, file.inode, file.size, file.mtime) {
        return Err("changed while it was looked at".into());
    }
    rfs::unlinkat(&dir, &name, AtFlags::empty()).map_err(crate::reason)?;
    if prune {
        drop(dir);
        remove_empty(&top, parent, resolve);
    }
    Ok(())
}

/// Removes directories that are empty now, upwards, but never the root. The system refuses one that is not empty.
fn remove_empty(top: &impl std::os::fd::AsFd, mut dir: &Path, resolve: ResolveFlags) {
    while let (Some(parent), Some(name)) = (dir.parent(), dir.file_name()) {
        let above = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Ok(fd) = rfs::openat2(top, above, flags, rfs::Mode::empty(), resolve) else { return };
        if rfs::unlinkat(&fd, name, AtFlags::REMOVEDIR).is_err() {
            return;
        }
        dir = parent;
    }
}

/// Reads `14d`.
fn age(text: &str) -> Result<Duration, String> {
    let units = [("s", 1), ("m", 60), ("h", 3600), ("d", 86400), ("w", 604_800)];
    number(text, &units)
        .map(Duration::from_secs)
        .ok_or_else(|| "is no age such as 90s, 30m, 12h or 14d".into())
}

/// Reads `50GiB`.
fn size(text: &str) -> Result<u64, String> {
    let units = [
        ("", 1),
        ("B", 1),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("KB", 1000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
    ];
    number(text, &units).ok_or_else(|| "is no size such as 50GiB, 10GB or 1000000".into())
}

fn number(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let unit = units.iter().find(|(u, _)| u.eq_ignore_ascii_case(unit.trim()))?.1;
    digits.parse::<u64>().ok()?.checked_mul(unit).filter(|&n| i64::try_from(n).is_ok())
}

#[cfg(test)]
mod tests;
