//! Paths that others than root can change: the file itself, and the directories and symbolic links on the way to it.

use common::finding::Finding;
use common::policy::{Mode, shell_quote};
use common::rule::Rule;
use rustix::fs::FileType;

use super::AuditedHost;

/// Maximum number of symbolic links on the way to a file: as path_resolution(7).
const MAX_LINKS: usize = 40;

/// A place on the way to a file, below the root.
struct PathStep {
    /// Without symbolic links and without a leading slash.
    path: String,
    /// Whether the next place on the way, or what it leads to, exists: in a sticky directory nobody can replace that.
    next_exists: bool,
}

/// Returns the first finding about a path that others than root can change, with `consequence` at the end of its text: the
/// gravest is the one that is nearest to the file. A file that is missing counts if others can make it. The files of an
/// unpacked image may belong to the user who unpacked it.
pub(super) fn check_changeable(
    host: &AuditedHost,
    rule: &Rule,
    path: &str,
    consequence: &str,
) -> Option<Finding> {
    let root_owner = host.stat(".").ok()?.st_uid;
    steps_to(host, path).iter().rev().find_map(|step| {
        let st = host.stat(&step.path).ok()?;
        let (mode, place) = (Mode::of(st.st_mode), host.display_path(&step.path));
        let directory = FileType::from_raw_mode(st.st_mode) == FileType::Directory;
        // In a sticky directory no user can replace the entries of others (chmod(1)).
        let protected = directory && mode.0 & 0o1000 != 0 && step.next_exists;
        let foreign = st.st_uid != 0 && st.st_uid != root_owner;
        let fix = match (foreign, mode.is_writable_by_others() && !protected) {
            (false, false) => return None,
            (true, _) => format!("chown root {}", shell_quote(&place)),
            (false, true) => format!("chmod go-w {}", shell_quote(&place)),
        };
        let found = format!("owned by {} with mode {mode}: {consequence}", host.ids.describe_user(st.st_uid));
        let finding = rule.at(&place).found(found).fix(fix);
        Some(finding.expected("owned by root and writable by root only"))
    })
}

/// The directories and files that the kernel goes through to a file, links followed within the root (path_resolution(7)).
fn steps_to(host: &AuditedHost, path: &str) -> Vec<PathStep> {
    let mut steps: Vec<PathStep> = Vec::new();
    let mut left: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
    let (mut at, mut links) = (String::new(), 0);
    while let Some(name) = left.pop() {
        match name.as_str() {
            "" | "." => continue,
            ".." => {
                at.truncate(at.rfind('/').unwrap_or(0));
                continue;
            }
            _ => {}
        }
        let next = if at.is_empty() { name } else { format!("{at}/{name}") };
        if let Some(target) = host.read_link(&next) {
            links += 1;
            if links > MAX_LINKS {
                break;
            }
            if target.starts_with('/') {
                at.clear();
            }
            left.extend(target.split('/').rev().map(str::to_owned));
            continue;
        }
        let exists = host.stat(&next).is_ok();
        if !exists {
            steps.iter_mut().filter(|step| step.path == at).for_each(|step| step.next_exists = false);
            break;
        }
        steps.push(PathStep { path: next.clone(), next_exists: true });
        at = next;
    }
    steps
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::host::tests::{make_root, open_host};
    use crate::host::unit::CHECK;
    use crate::tests::chmod;

    #[test]
    fn the_place_that_others_can_change_is_named() {
        let dir = make_root(&[("opt/real/bin/x", ""), ("srv/s/y", ""), ("tmp/z", "")]);
        let place = |path: &str| dir.path().join(path);
        symlink("/opt/real", place("opt/link")).unwrap();
        symlink("../../opt/link/bin/x", place("srv/s/x")).unwrap();
        chmod(&place("tmp"), 0o1777);
        let find = |path: &str| {
            let host = open_host(dir.path(), false);
            let found = check_changeable(&host, &CHECK.rule, path, "it matters")?;
            assert!(found.fix.contains(&found.path), "{}", found.fix);
            Some(found.path.strip_prefix(&format!("{}/", dir.path().display())).unwrap().to_owned())
        };
        for path in ["/srv/s/x", "/opt/link/bin/x", "/tmp/z", "/opt/missing/x", "/srv/s/../../opt/real"] {
            assert_eq!(find(path), None, "{path}");
        }
        // What is not there yet can be made by everybody.
        assert_eq!(find("/tmp/missing").as_deref(), Some("tmp"));
        assert_eq!(find("/tmp/missing/x").as_deref(), Some("tmp"));
        // Not the link, and not the host's directory of the same name.
        for (writable, mode) in [("opt/real/bin/x", 0o666), ("opt/real/bin", 0o777), ("opt/real", 0o775)] {
            chmod(&place(writable), mode);
            assert_eq!(find("/srv/s/x").as_deref(), Some(writable));
            assert_eq!(find("/opt/link/bin/x").as_deref(), Some(writable));
            chmod(&place(writable), 0o755);
        }
        // The directory of a link on the way.
        chmod(&place("srv/s"), 0o777);
        assert_eq!(find("/srv/s/x").as_deref(), Some("srv/s"));
    }
}
