//! The account that runs the tools: unprivileged, not in a privileged group, and without sudo rights.

use std::collections::BTreeSet;

use common::finding::{Finding, Severity};
use common::policy::{Class, Mode, shell_quote};
use rustix::fs::FileType;

use super::changeable::check_changeable;
use super::sudo::{SudoRights, ask_sudo, grants_commands, severity_of_commands, severity_of_sudo};
use super::sudoers::{SudoInclude, SudoUser, Sudoers};
use common::rule::Rule;

use super::{AuditedHost, HostCheck, note_unseen};

pub(super) static CHECK: HostCheck = HostCheck {
    rule: Rule {
        id: "account",
        severity: Severity::Error,
        what: "the account that runs the tools has more rights than they need",
        why: "An attacker who takes over the tools has every right of the account that runs them; root has the whole host.",
        fix: "useradd --system --shell /usr/sbin/nologin profguard, and run the tools as that user",
        reference: "msMonitor security statement, accounts; sudoers(5)",
    },
    run: |host, check| {
        let mut found = Vec::new();
        if let Err(e) = host.read_file("etc/passwd") {
            found.push(note_unseen(host.display_path("etc/passwd"), common::error::io_reason(&e)));
        }
        found.extend(check_account_files(host, check));
        let Some(user) = &host.user else {
            found.push(note_unseen(
                "account",
                "no account given: name the account that will run the tools with --user",
            ));
            return found;
        };
        if host.ids.uid_of(user) == Some(0) {
            found.push(
                check
                    .finding(format!("account {user}"))
                    .found(if user == "root" {
                        "is root"
                    } else {
                        "has uid 0: it is root under another name"
                    })
                    .expected("an unprivileged account")
                    .fix(match host.live {
                        true => "useradd --system --shell /usr/sbin/nologin profguard, and run the tools as that user".to_owned(),
                        false => format!(
                            "useradd {}--system --shell /usr/sbin/nologin profguard, and run the tools as that user",
                            host.root_option()
                        ),
                    }),
            );
            return found;
        }
        found.extend(check_home(host, check, user));
        found.extend(check_groups(host, check, user));
        found.extend(check_sudo(host, check, user));
        found
    },
};

/// Checks that only root can change the files that give accounts their rights: with one of them, anybody becomes root.
fn check_account_files(host: &AuditedHost, check: &HostCheck) -> Vec<Finding> {
    const FILES: [&str; 6] =
        ["etc/passwd", "etc/shadow", "etc/group", "etc/gshadow", "etc/sudoers", "etc/sudoers.d"];
    let mut files = BTreeSet::new();
    read_sudoers(host, "etc/sudoers", &mut Sudoers::default(), &mut Vec::new(), &mut files, None);
    files.extend(FILES.map(str::to_owned));
    let consequence = "others can give accounts any rights";
    let mut seen = BTreeSet::new();
    let existing = files.iter().filter(|path| host.stat(path).is_ok());
    let checked = existing.filter_map(|path| check_changeable(host, &check.rule, path, consequence));
    // A directory above them is one finding.
    checked.filter(|finding| seen.insert(finding.path.clone())).collect()
}

/// Checks the mode of the home directory: others must not read its files or change the programs it starts.
fn check_home(host: &AuditedHost, check: &HostCheck, user: &str) -> Option<Finding> {
    let home = host.ids.home_of(user)?;
    let below = home.strip_prefix("/").ok()?.to_str().filter(|h| !h.is_empty())?;
    // System accounts have homes such as /bin.
    if common::system_paths::is_system_path(home) {
        return None;
    }
    let st = host.stat(below).ok()?;
    let (mode, most) = (Mode::of(st.st_mode), Class::HomeDir.max());
    let directory = FileType::from_raw_mode(st.st_mode) == FileType::Directory;
    (directory && mode.beyond(most).0 & 0o777 != 0).then(|| {
        let place = host.display_path(below);
        let finding = check.finding(&place).found(format!("home directory of {user} with mode {mode}"));
        let fix = format!("chmod {} {}", Mode(mode.0 & most.0), shell_quote(&place));
        let written = mode.is_writable_by_others();
        let severity = if written { Severity::Error } else { Severity::Warning };
        Finding { severity, ..finding.expected(format!("at most {most}")).fix(fix) }
    })
}

/// Maximum number of included files of sudoers.
const INCLUDES: usize = 500;

/// Groups whose members can become root, or read data of root: the last one only reads.
const POWERFUL: [(&str, &str); 12] = [
    ("root", "owns most of the system"),
    ("wheel", "may usually become root"),
    ("sudo", "may usually become root"),
    ("admin", "may usually become root"),
    ("docker", "can start containers as root"),
    ("lxd", "can start containers as root"),
    ("podman", "can start containers as root"),
    ("libvirt", "controls virtual machines as root"),
    ("disk", "can read and write whole disks"),
    ("kmem", "can read the kernel's memory"),
    ("shadow", "can read password hashes"),
    ("adm", "can read all logs"),
];

fn check_groups(host: &AuditedHost, check: &HostCheck, user: &str) -> Vec<Finding> {
    if let Err(e) = host.read_file("etc/group") {
        return vec![note_unseen(host.display_path("etc/group"), common::error::io_reason(&e))];
    }
    let groups = host.ids.groups_of(user);
    let powerful = groups.iter().filter_map(|(name, _)| POWERFUL.iter().find(|(n, _)| n == name));
    let finding = |(name, why): &(&str, &str)| {
        let severity = if *name == "adm" { Severity::Warning } else { Severity::Error };
        let finding = check.finding(format!("account {user}"));
        Finding { severity, ..finding }
            .found(format!("is in group {name}, which {why}"))
            .expected("no privileged group")
            .fix(match host.live {
                true => format!("gpasswd -d {user} {name}"),
                false => format!("remove {user} from {name} in {}", host.display_path("etc/group").display()),
            })
    };
    powerful.map(finding).collect()
}

/// Checks the rights of the account with sudo: as sudo lists them on a running system, or by the files of an image.
fn check_sudo(host: &AuditedHost, check: &HostCheck, user: &str) -> Vec<Finding> {
    let rights = if host.live { ask_sudo(host, user) } else { SudoRights::Absent };
    match rights {
        SudoRights::Listed(rights) => {
            let finding = |right: &String| {
                Finding { severity: severity_of_commands(right), ..check.finding(format!("account {user}")) }
                    .found(format!("may use sudo: {right}"))
                    .expected("no sudo rights")
                    .fix(format!("remove the rule with visudo; `sudo -ll -U {user}` shows where it stands"))
            };
            rights.iter().map(finding).collect()
        }
        SudoRights::Unsure(reason) => {
            let text = format!("{reason}: rights that do not come from /etc/sudoers are not seen");
            let note = note_unseen(format!("sudo -l for {user}"), text);
            std::iter::once(note).chain(check_sudoers(host, check, user)).collect()
        }
        SudoRights::Absent => check_sudoers(host, check, user),
    }
}

/// Rules of sudo's files that the account may use, by its name, number or groups.
fn check_sudoers(host: &AuditedHost, check: &HostCheck, user: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut sudoers = Sudoers::default();
    read_sudoers(host, "etc/sudoers", &mut sudoers, &mut found, &mut BTreeSet::new(), None);
    let groups = host.ids.groups_of(user);
    let who = SudoUser { name: user, uid: host.ids.uid_of(user), groups: &groups };
    for rule in &sudoers.rules {
        let place = host.display_path(&rule.file);
        match sudoers.applies_to(rule, who) {
            Some(false) => {}
            Some(true) if !grants_commands(&rule.text) => {}
            Some(true) => found.push(
                Finding { severity: severity_of_sudo(&rule.text), ..check.finding(place) }
                    .found(format!("gives {user} sudo rights: {}", rule.text))
                    .expected("none")
                    .fix(match host.live {
                        true => format!("remove the line with visudo -f /{}", rule.file),
                        false => "remove the line".to_owned(),
                    }),
            ),
            None => found
                .push(note_unseen(place, format!("unsure whether this applies to {user}: {}", rule.text))),
        }
    }
    found
}

/// Reads a file of sudoers and the files that it includes, each once: a hostile file may include itself. `included_by` is
/// the file whose `@include` names it, which then must exist; directories may be missing.
fn read_sudoers(
    host: &AuditedHost,
    path: &str,
    sudoers: &mut Sudoers,
    found: &mut Vec<Finding>,
    files: &mut BTreeSet<String>,
    included_by: Option<&str>,
) {
    if !files.insert(path.to_owned()) {
        return;
    }
    if files.len() > INCLUDES {
        return found.push(note_unseen(host.display_path(path), "too many files are included"));
    }
    let text = match host.read_file(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let text =
                |by: &str| format!("does not exist, and {} includes it", host.display_path(by).display());
            return found.extend(included_by.map(|by| note_unseen(host.display_path(path), text(by))));
        }
        Err(e) => return found.push(note_unseen(host.display_path(path), common::error::io_reason(&e))),
    };
    for include in sudoers.add_file(path, &text) {
        // A relative path begins at the file that includes it.
        let place = |p: &str| match p.strip_prefix('/') {
            Some(p) => p.trim_start_matches('/').to_owned(),
            None => path.rsplit_once('/').map_or_else(|| p.to_owned(), |(dir, _)| format!("{dir}/{p}")),
        };
        match include {
            SudoInclude::File(p) => read_sudoers(host, &place(&p), sudoers, found, files, Some(path)),
            SudoInclude::Directory(p) => {
                let dir = place(p.trim_end_matches('/'));
                files.insert(dir.clone());
                // sudo skips names with dots and backups (sudoers(5), "Including other files").
                for name in
                    host.list_names(&dir).into_iter().filter(|n| !n.contains('.') && !n.ends_with('~'))
                {
                    read_sudoers(host, &format!("{dir}/{name}"), sudoers, found, files, None);
                }
            }
        }
    }
}
