//! Checks before the daemon starts: no other user can change the directories of its sockets and metrics.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use common::exit::Exit;
use common::finding::{Finding, Severity};
use common::out::Out;
use common::pki::Role;
use common::policy::{Class, Mode, check_mode, check_owner};

use crate::plan::ipc::SocketPlace;
use crate::plan::{AuditTarget, DaemonPlan};

/// Returns the findings about the directories: errors, with which the daemon must not start, and warnings.
pub(crate) fn check_directories(plan: &DaemonPlan, uid: u32) -> Vec<Finding> {
    let mut findings = Vec::new();
    for planned in &plan.places {
        match &planned.place {
            SocketPlace::Abstract(_) => {}
            SocketPlace::Home(dir) => {
                // One that nobody has asked for is left out where it cannot be had: see `BoundSockets::bind`.
                findings.extend(check_socket_dir(dir, uid).into_iter().filter(|_| !planned.is_default));
                // Home directories are often readable for others, which does not endanger a socket with mode 0600.
                let loose =
                    fs::metadata(dir).ok().and_then(|m| check_mode(dir, Mode::of(m.mode()), Class::HomeDir));
                findings.extend(loose.map(|f| Finding { severity: Severity::Warning, ..f }));
            }
            SocketPlace::Dir(dir) => findings.extend(check_socket_dir(dir, uid)),
        }
    }
    if let Some(files) = &plan.metrics.files {
        findings.extend(check_metric_dir(&files.dir, uid));
        findings.extend(check_parent(&files.dir));
    }
    if let Some(tls) = &plan.tls {
        findings.extend(check_parent(&tls.dir));
        let layout = Role::Server.layout_of(|name| tls.dir.join(name).symlink_metadata().is_ok());
        findings.extend(check_key_links(&tls.dir.join(layout.key)));
    }
    let files = [plan.rules.as_deref(), plan.audit.as_ref().and_then(AuditTarget::path)];
    findings.extend(files.into_iter().flatten().filter_map(check_parent));
    findings
}

/// Explains why sockets of a place would not be safe.
pub(crate) fn explain_unusable(place: &SocketPlace, uid: u32) -> Option<String> {
    let (SocketPlace::Home(dir) | SocketPlace::Dir(dir)) = place else { return None };
    let findings = check_socket_dir(dir, uid);
    findings.first().map(|finding| format!("{}: {}", finding.path, finding.reason()))
}

/// Checks that no other user can put something else into the place of a file or directory.
fn check_parent(path: &Path) -> Option<Finding> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mode = Mode::of(fs::metadata(parent).ok()?.mode());
    let is_shared = mode.0 & 0o022 != 0 && mode.0 & 0o1000 == 0;
    // Many systems give each user a group of his own, and directories that it may write.
    let severity = if mode.0 & 0o002 != 0 { Severity::Error } else { Severity::Warning };
    is_shared.then(|| {
        Finding::new("parent-dir", severity, parent)
            .found(format!("mode {mode} lets other users replace {}", path.display()))
            .expected("a directory that only its owner can write")
            .fix(format!("chmod go-w {}", common::policy::shell_quote(parent)))
    })
}

/// Checks that the private key has one name: a second one can lie where others look for it, and outlives this one.
fn check_key_links(key: &Path) -> Option<Finding> {
    let links = fs::metadata(key).ok()?.nlink();
    (links > 1).then(|| {
        Finding::new("hard-link", Severity::Error, key)
            .found(format!("{links} names (hard links)"))
            .expected("one name")
            .fix("copy the key to a new file, and remove the other names")
    })
}

/// Checks that no other user can replace a socket.
fn check_socket_dir(dir: &Path, uid: u32) -> Vec<Finding> {
    let meta = match fs::metadata(dir) {
        Ok(meta) if meta.is_dir() => meta,
        Ok(_) => return vec![directory_finding(dir, "is not a directory")],
        Err(e) => return vec![directory_finding(dir, &e.to_string())],
    };
    let mode = Mode::of(meta.mode());
    let shared = mode.0 & 0o022 != 0 && mode.0 & 0o1000 == 0;
    let writable = shared.then(|| {
        Finding::new("socket-dir", Severity::Error, dir)
            .found(format!("mode {mode} allows other users to replace sockets"))
            .expected("a directory that only its owner can write")
            .fix(format!("chmod go-w {}", common::policy::shell_quote(dir)))
    });
    writable.into_iter().chain(check_owner(dir, meta.uid(), uid)).collect()
}

fn check_metric_dir(dir: &Path, uid: u32) -> Vec<Finding> {
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

fn directory_finding(dir: &Path, found: &str) -> Finding {
    Finding::new("directory", Severity::Error, dir)
        .found(found)
        .expected("a directory")
        .fix(format!("mkdir -m 0750 {}", common::policy::shell_quote(dir)))
}

/// Prints each finding. Returns [`Exit::Failed`] if one of them is an error.
pub(crate) fn print_findings(findings: &[Finding], out: &Out) -> Exit {
    let mut exit = Exit::Ok;
    for finding in findings {
        if finding.severity == Severity::Error {
            out.error(&finding.path, finding.reason());
            out.diag().help(&finding.fix);
            exit = Exit::Failed;
        } else {
            out.warn(&finding.path, finding.reason());
        }
    }
    exit
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn with_mode(mode: u32) -> (tempfile::TempDir, u32) {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
        let uid = fs::metadata(dir.path()).unwrap().uid();
        (dir, uid)
    }

    fn rules(findings: &[Finding]) -> Vec<&str> {
        findings.iter().map(|f| f.rule.as_str()).collect()
    }

    #[test]
    fn a_metric_directory_that_others_can_write_is_rejected() {
        for (mode, expected) in
            [(0o777, vec!["mode"]), (0o755, vec!["mode"]), (0o750, vec![]), (0o700, vec![])]
        {
            let (dir, uid) = with_mode(mode);
            assert_eq!(rules(&check_metric_dir(dir.path(), uid)), expected, "{mode:o}");
        }
        let (dir, uid) = with_mode(0o700);
        assert_eq!(
            rules(&check_metric_dir(dir.path(), uid + 1)),
            if uid == 0 { vec![] } else { vec!["owner"] }
        );
        assert_eq!(rules(&check_metric_dir(&dir.path().join("new"), uid)), [""; 0]);
        std::os::unix::fs::symlink(dir.path(), dir.path().join("link")).unwrap();
        assert_eq!(rules(&check_metric_dir(&dir.path().join("link"), uid)), ["directory"]);
    }

    #[test]
    fn a_parent_that_others_can_write_and_a_key_with_two_names_are_rejected() {
        let expected =
            [(0o777, Some(Severity::Error)), (0o775, Some(Severity::Warning)), (0o1777, None), (0o755, None)];
        for (mode, severity) in expected {
            let (dir, _) = with_mode(mode);
            assert_eq!(check_parent(&dir.path().join("certs")).map(|f| f.severity), severity, "{mode:o}");
        }
        let (dir, _) = with_mode(0o700);
        let key = dir.path().join("server.key");
        fs::write(&key, "").unwrap();
        assert!(check_key_links(&key).is_none());
        fs::hard_link(&key, dir.path().join("second")).unwrap();
        assert!(check_key_links(&key).unwrap().reason().contains("2 names"));
    }

    #[test]
    fn a_socket_directory_that_others_can_write_is_rejected() {
        for (mode, expected) in [(0o777, vec!["socket-dir"]), (0o1777, vec![]), (0o755, vec![])] {
            let (dir, uid) = with_mode(mode);
            assert_eq!(rules(&check_socket_dir(dir.path(), uid)), expected, "{mode:o}");
        }
        assert_eq!(rules(&check_socket_dir(Path::new("/no/such/dir"), 0)), ["directory"]);
    }
}
