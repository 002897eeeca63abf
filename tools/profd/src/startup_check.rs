//! Checks before the daemon starts: no other user can change the directories of its sockets and metrics.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use common::exit::Exit;
use common::finding::{Finding, Severity};
use common::fsat;
use common::out::Out;
use common::pki::Role;
use common::policy::{Class, Mode, check_mode, check_owner};

use crate::audit::check_target;
use crate::plan::directory_check::{check_metric_dir, check_parents, directory_finding};
use crate::plan::ipc::SocketPlace;
use crate::plan::{AuditTarget, DaemonPlan};

/// Returns the findings about the directories: errors, with which the daemon must not start, and warnings.
pub(crate) fn check_directories(plan: &DaemonPlan, uid: u32) -> Vec<Finding> {
    let mut findings = Vec::new();
    for planned in &plan.places {
        match &planned.place {
            SocketPlace::Abstract(_) => {}
            SocketPlace::Home(dir) => {
                // One that no option asks for is left out where it cannot be had: see `BoundSockets::bind`.
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
        findings.extend(check_parents(&files.dir, uid));
    }
    if let Some(tls) = &plan.tls {
        findings.extend(check_parents(&tls.dir, uid));
        let layout = Role::Server.layout_of(|name| tls.dir.join(name).symlink_metadata().is_ok());
        findings.extend(check_key_links(&tls.dir.join(layout.key)));
    }
    let state = plan.state_dir.as_ref().map(|state| state.dir.as_path());
    let files = [plan.rules.as_deref(), plan.audit.as_ref().and_then(AuditTarget::path), state];
    findings.extend(files.into_iter().flatten().flat_map(|path| check_parents(path, uid)));
    findings.extend(plan.audit.as_ref().and_then(check_audit_target));
    findings.extend(plan.state_dir.as_ref().and_then(|state| check_state_dir(&state.dir, state.is_given)));
    findings
}

/// Explains why sockets of a place would not be safe.
pub(crate) fn explain_unusable(place: &SocketPlace, uid: u32) -> Option<String> {
    let (SocketPlace::Home(dir) | SocketPlace::Dir(dir)) = place else { return None };
    let findings = check_socket_dir(dir, uid);
    findings.first().map(|finding| format!("{}: {}", finding.path, finding.reason()))
}

/// Checks that the audit trail can be written, before a start finds out.
fn check_audit_target(target: &AuditTarget) -> Option<Finding> {
    let e = check_target(target).err()?;
    let name = target.path().unwrap_or(Path::new("journal"));
    let finding = Finding::new("audit-log", Severity::Error, name).found(format!("no audit trail: {e}"));
    Some(
        finding.expected("a file that only the daemon's user can write").fix("give --audit-log another file"),
    )
}

/// Checks the state directory, if it exists: a start creates it. Without one that is asked for the daemon does not start.
fn check_state_dir(dir: &Path, is_given: bool) -> Option<Finding> {
    let meta = fs::metadata(dir).ok()?;
    let found = if meta.is_dir() {
        fsat::require_trusted(&meta).err()?.to_string()
    } else {
        "is not a directory".to_owned()
    };
    let severity = if is_given { Severity::Error } else { Severity::Warning };
    let finding = Finding::new("state-dir", severity, dir).found(found);
    Some(
        finding
            .expected("a directory that only the daemon's user can write")
            .fix("give --state-dir another directory"),
    )
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
            let (path, uid) = (dir.path().join("certs"), fs::metadata(dir.path()).unwrap().uid());
            let found = check_parents(&path, uid);
            assert_eq!(found.first().map(|f| f.severity), severity, "{mode:o}");
            // Above it as well, where a group may write; and what a link leads to.
            let severity = severity.filter(|s| *s == Severity::Error);
            fs::create_dir(dir.path().join("sub")).unwrap();
            fs::set_permissions(dir.path().join("sub"), fs::Permissions::from_mode(0o755)).unwrap();
            let found = check_parents(&dir.path().join("sub/certs"), uid);
            assert_eq!(found.first().map(|f| f.severity), severity, "{mode:o}");
            let (links, _) = with_mode(0o700);
            std::os::unix::fs::symlink(dir.path().join("sub"), links.path().join("link")).unwrap();
            let found = check_parents(&links.path().join("link/certs"), uid);
            assert_eq!(found.first().map(|f| f.severity), severity, "{mode:o}");
        }
        let (dir, uid) = with_mode(0o755);
        if uid == 0 {
            std::os::unix::fs::chown(dir.path(), Some(1001), None).unwrap();
            let found = check_parents(&dir.path().join("certs"), 0);
            assert_eq!(found[0].severity, Severity::Warning);
            assert!(found[0].reason().contains("uid 1001, who can replace"), "{}", found[0].reason());
            assert!(check_parents(&dir.path().join("certs"), 1001).is_empty());
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

    #[test]
    fn a_state_directory_and_an_audit_trail_that_a_start_rejects_are_found() {
        let (dir, _) = with_mode(0o777);
        assert_eq!(check_state_dir(dir.path(), true).unwrap().severity, Severity::Error);
        assert_eq!(check_state_dir(dir.path(), false).unwrap().severity, Severity::Warning);
        assert!(check_state_dir(&dir.path().join("new"), true).is_none());
        let (dir, _) = with_mode(0o700);
        assert!(check_state_dir(dir.path(), true).is_none());
        let target = |name: &str| AuditTarget::File(dir.path().join(name));
        assert!(check_audit_target(&target("a.jsonl")).is_none());
        assert!(check_audit_target(&target("none/a.jsonl")).unwrap().reason().contains("no audit trail: "));
    }
}
