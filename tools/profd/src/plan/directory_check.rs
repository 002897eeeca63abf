//! Checks of directories: no other user can change what is in them.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use common::finding::{Finding, Severity};
use common::policy::{Class, Mode, check_mode, check_owner};
use rustix::fs::StatVfsMountFlags;

/// Explains why the daemon's user could not record metrics in a directory, and what to do.
pub(super) fn explain_unusable_metric_dir(dir: &Path) -> Option<String> {
    let parent = dir.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !dir.exists() && !parent.is_dir() {
        return Some(format!("there is no directory {}", parent.display()));
    }
    let uid = rustix::process::geteuid().as_raw();
    let findings = check_metric_dir(dir, uid);
    let error =
        findings.into_iter().chain(check_parents(dir, uid)).find(|f| f.severity == Severity::Error)?;
    Some(format!("{}; to record metrics: {}", error.reason(), error.fix))
}

/// Returns the findings about a directory for metrics. One that is missing has none: it is created later.
pub(crate) fn check_metric_dir(dir: &Path, uid: u32) -> Vec<Finding> {
    let meta = match fs::symlink_metadata(dir) {
        Ok(meta) if meta.is_dir() => meta,
        Ok(_) => return vec![directory_finding(dir, "is not a directory")],
        // It is created when everything is bound.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(e) => return vec![directory_finding(dir, &e.to_string())],
    };
    let mode = Mode::of(meta.mode());
    let mut findings: Vec<_> = check_mode(dir, mode, Class::LogDir).into_iter().collect();
    findings.extend(check_owner(dir, meta.uid(), uid));
    if mode.0 & 0o1000 != 0 {
        // The mode of a directory like /tmp must not be changed.
        findings
            .iter_mut()
            .for_each(|f| "give --metric-log-dir a directory of its own".clone_into(&mut f.fix));
    }
    if let Err(e) = rustix::fs::access(dir, rustix::fs::Access::WRITE_OK) {
        findings.push(
            Finding::new("metric-dir", Severity::Error, dir)
                .found(format!("cannot be written: {e}"))
                .expected("a directory of the daemon's own user")
                .fix("give --metric-log-dir another directory"),
        );
    }
    findings
}

/// Checks that no other user can put something else into the place of a file or directory, or of one of the directories
/// that it is in: those of the path as it is written, and those that links lead to.
pub(crate) fn check_parents(path: &Path, uid: u32) -> Vec<Finding> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let real = parent.canonicalize().ok();
    let mut seen = BTreeSet::new();
    let above = real.iter().flat_map(|real| real.ancestors());
    let dirs = parent.ancestors().filter(|dir| !dir.as_os_str().is_empty()).chain(above);
    let is_first = |dir: &&Path| fs::metadata(dir).is_ok_and(|meta| seen.insert((meta.dev(), meta.ino())));
    let dirs: Vec<&Path> = dirs.filter(is_first).collect();
    dirs.into_iter().filter_map(|dir| check_parent(dir, path, dir == parent, uid)).collect()
}

/// Checks a directory above `path`.
fn check_parent(dir: &Path, path: &Path, is_parent: bool, uid: u32) -> Option<Finding> {
    let meta = fs::metadata(dir).ok()?;
    // Volumes of Kubernetes let everybody write to their directory, and are mounted read-only.
    if rustix::fs::statvfs(dir).is_ok_and(|fs| fs.f_flag.contains(StatVfsMountFlags::RDONLY)) {
        return None;
    }
    let mode = Mode::of(meta.mode());
    let is_shared = mode.0 & 0o022 != 0 && mode.0 & 0o1000 == 0;
    let is_open = is_shared && mode.0 & 0o002 != 0;
    // Many systems give each user a private group, and directories that this group may write.
    if is_open || (is_shared && is_parent) {
        let severity = if is_open { Severity::Error } else { Severity::Warning };
        let finding = Finding::new("parent-dir", severity, dir)
            .found(format!("mode {mode} lets other users replace {}", path.display()))
            .expected("a directory that only its owner can write")
            .fix(format!("chmod go-w {}", common::policy::shell_quote(dir)));
        return Some(finding);
    }
    (meta.uid() != 0 && meta.uid() != uid).then(|| {
        Finding::new("parent-dir", Severity::Warning, dir)
            .found(format!("belongs to uid {}, who can replace {}", meta.uid(), path.display()))
            .expected("a directory of root or of the daemon's user")
            .fix(format!("chown root {}", common::policy::shell_quote(dir)))
    })
}

/// Makes the finding about a place where a directory is expected.
pub(crate) fn directory_finding(dir: &Path, found: &str) -> Finding {
    Finding::new("directory", Severity::Error, dir)
        .found(found)
        .expected("a directory")
        .fix(format!("mkdir -m 0750 {}", common::policy::shell_quote(dir)))
}
