//! `/tmp` and other shared directories: sticky, and mounted with nosuid and nodev.

use common::finding::{Finding, Severity};
use common::policy::{Mode, shell_quote};
use common::rule::Rule;
use rustix::fs::StatVfsMountFlags;

use super::{AuditedHost, HostCheck, note_unseen};

pub(super) static CHECK: HostCheck = HostCheck {
    rule: Rule {
        id: "tmp",
        severity: Severity::Error,
        what: "shared temporary directories are not protected",
        why: "Without the sticky bit other accounts can replace files; without nosuid and nodev a file there can grant privileges.",
        fix: "chmod 1777 DIR; mount -o remount,nosuid,nodev DIR, and the same in /etc/fstab",
        reference: "msMonitor security statement, system hardening; chmod(1), sticky bit; mount(8), nosuid, nodev",
    },
    run: |host, check| {
        ["tmp", "var/tmp", "dev/shm"].iter().flat_map(|dir| check_directory(host, check, dir)).collect()
    },
};

fn check_directory(host: &AuditedHost, check: &HostCheck, dir: &str) -> Vec<Finding> {
    let place = host.display_path(dir);
    let st = match host.stat(dir) {
        Ok(st) => st,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(e) => return vec![note_unseen(place, common::error::io_reason(&e))],
    };
    let mut found = Vec::new();
    let mode = Mode::of(st.st_mode);
    if mode.0 & 0o002 != 0 && mode.0 & 0o1000 == 0 {
        let finding =
            check.finding(&place).found(format!("mode {mode} without the sticky bit")).expected("1777");
        found.push(finding.fix(format!("chmod 1777 {}", shell_quote(&place))));
    }
    if host.live {
        let flags = rustix::fs::statvfs(&place).map_or(StatVfsMountFlags::empty(), |s| s.f_flag);
        let wanted = [(StatVfsMountFlags::NOSUID, "nosuid"), (StatVfsMountFlags::NODEV, "nodev")];
        let missing = wanted.iter().filter(|(flag, _)| !flags.contains(*flag)).map(|(_, name)| *name);
        let fix = match is_mount_point(host, dir, &st) {
            true => {
                format!("mount -o remount,nosuid,nodev {}, and the same in /etc/fstab", shell_quote(&place))
            }
            false => {
                "mount it as its own file system with these options, in /etc/fstab or tmp.mount".to_owned()
            }
        };
        found.extend(check_mount_options(check, &place, missing.collect(), fix));
    } else if let Some(line) = fstab_options(host, dir) {
        let has = |option: &str| line.split(',').any(|o| o == option);
        let missing = ["nosuid", "nodev"].into_iter().filter(|o| !has(o)).collect();
        let fix = format!(
            "add nosuid,nodev to the options of /{dir} in {}",
            host.display_path("etc/fstab").display()
        );
        found.extend(check_mount_options(check, &host.display_path("etc/fstab"), missing, fix));
    }
    found
}

/// Whether a directory of the running system is a file system of its own.
fn is_mount_point(host: &AuditedHost, dir: &str, st: &rustix::fs::Stat) -> bool {
    let above = dir.rsplit_once('/').map_or(".", |(above, _)| above);
    host.stat(above).is_ok_and(|above| above.st_dev != st.st_dev)
}

fn check_mount_options(
    check: &HostCheck,
    place: &std::path::Path,
    missing: Vec<&str>,
    fix: String,
) -> Option<Finding> {
    (!missing.is_empty()).then(|| {
        Finding { severity: Severity::Warning, ..check.finding(place) }
            .found(format!("mounted without {}", missing.join(", ")))
            .expected("nosuid and nodev")
            .fix(fix)
    })
}

/// The mount options that `etc/fstab` gives a directory.
fn fstab_options(host: &AuditedHost, dir: &str) -> Option<String> {
    let text = host.read_file("etc/fstab").ok()?;
    let lines = text.lines().map(|l| l.split_whitespace().collect::<Vec<_>>());
    let mut lines = lines.filter(|f| f.first().is_some_and(|f| !f.starts_with('#')));
    lines
        .find(|f| f.get(1).is_some_and(|p| p.trim_start_matches('/') == dir))
        .and_then(|f| f.get(3).map(|o| (*o).to_owned()))
}
