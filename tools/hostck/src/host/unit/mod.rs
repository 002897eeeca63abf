//! The daemon's systemd units, recognized by name or command: their user, umask, sandbox and addresses.

use std::path::Path;

use common::finding::{Finding, Severity};
use common::policy::{Mode, shell_quote};

use super::umask::{check_umask, parse_octal};
use common::rule::Rule;

use super::{AuditedHost, HostCheck, note_unseen};

mod command;
mod environment;
pub(crate) mod file;
mod flagfile;
mod locate;
mod options;
mod program;
mod sandbox;
mod starters;

use command::DaemonCommand;
use environment::UnitEnvironment;
use file::{ServiceSettings, ServiceUnit};
use options::DAEMON_NAMES;
use sandbox::check_sandbox;

pub(super) static CHECK: HostCheck = HostCheck {
    rule: Rule {
        id: "unit",
        severity: Severity::Error,
        what: "the daemon's systemd unit does not restrict it enough",
        why: "An attacker who takes over the daemon can use whatever its unit does not restrict.",
        fix: "systemctl edit UNIT, and set the directive that the finding names under [Service]",
        reference: "msMonitor security statement, running security; systemd.exec(5), Sandboxing; capabilities(7)",
    },
    run: |host, check| {
        let units = file::list_units(host);
        let unread = units.iter().flat_map(|u| &u.unread);
        let notes = unread.map(|(path, reason)| note_unseen(host.display_path(path), reason.as_str()));
        notes
            .chain(units.iter().filter(|u| is_daemon_unit(host, u)).flat_map(|u| check_unit(host, check, u)))
            .collect()
    },
};

const YES: [&str; 6] = ["yes", "true", "on", "1", "y", "t"];

pub(super) static NO_TLS: HostCheck = HostCheck {
    rule: Rule {
        id: "no-tls",
        severity: Severity::Error,
        what: "the daemon's systemd unit starts it without certificates",
        why: "Without certificates any host that reaches the port can start traces and read their paths.",
        fix: "profd --certs-dir DIR, with a directory that certck check accepts",
        reference: "msMonitor security statement, communication",
    },
    run: |host, check| {
        let units = file::list_units(host);
        units.iter().filter(|u| is_daemon_unit(host, u)).flat_map(|u| check_no_tls(host, check, u)).collect()
    },
};

/// Reads a text as a unit and as a command line, for fuzzing.
pub(crate) fn read_any(text: &str) {
    let mut settings = ServiceSettings::default();
    settings.read_text(text);
    let _ = command::locate_in_line(text, &UnitEnvironment::default());
}

/// A unit of the daemon: by its name, or because one of its commands runs the daemon, as systemd expands them.
fn is_daemon_unit(host: &AuditedHost, unit: &ServiceUnit) -> bool {
    let stem = unit.name.trim_end_matches(".service").split('@').next().unwrap_or_default();
    DAEMON_NAMES.contains(&stem) || !find_commands(host, unit).is_empty()
}

fn check_unit(host: &AuditedHost, check: &HostCheck, unit: &ServiceUnit) -> Vec<Finding> {
    let place = host.display_path(&unit.path);
    if unit.unread.iter().any(|(path, _)| *path == unit.path) {
        return Vec::new();
    }
    let edit = |line: &str| describe_edit(host, unit, line);
    let new_finding = |text: String, wanted: &str| {
        Finding { severity: Severity::Warning, ..check.finding(&place) }
            .found(text)
            .expected(wanted)
            .fix(edit(wanted))
    };
    let mut found = Vec::new();
    found.extend(check_account(host, &unit.settings, &new_finding));
    let drop_in = |lines: &[String]| describe_drop_in(host, unit, lines);
    found.extend(check_sandbox(&unit.settings, &new_finding, &drop_in));
    found.extend(program::check_programs(host, unit));
    let umask = unit.settings.get("UMask").and_then(parse_octal).unwrap_or(0o022);
    let umask = check_umask(check, &place, &unit.name, umask, &edit("UMask=0027"));
    found.extend(umask.into_iter().map(|finding| Finding { severity: Severity::Warning, ..finding }));
    let commands = find_commands(host, unit);
    if commands.is_empty() && unit.settings.is_set("ExecStart") {
        found.push(note_unseen(
            &place,
            "its program is not the daemon itself: the options of the daemon are not known",
        ));
    }
    found.extend(commands.iter().flat_map(|command| check_command(command, &place, &new_finding)));
    found.extend(unit.files.iter().filter_map(|path| check_file_owner(host, path)));
    found
}

/// Checks how a command line starts the daemon.
fn check_command(
    command: &DaemonCommand,
    place: &Path,
    new_finding: &dyn Fn(String, &str) -> Finding,
) -> Vec<Finding> {
    let mut found = Vec::new();
    if command.privileged {
        let text = "starts the daemon with + or !: User= and the sandbox do not apply".to_owned();
        found.push(new_finding(text, "ExecStart= and then the command without it"));
    }
    found.extend(command.wildcard_bind().map(|address| {
        let text = format!("starts the daemon with --bind {address}: on every address");
        let finding = new_finding(text, "ExecStart= and then the command with --bind ADDRESS");
        finding.expected("--bind with one address, preferably of a management network")
    }));
    found.extend(command.unknown.iter().map(|reason| {
        let text = format!(
            "unsure whether the daemon gets certificates and which addresses it binds to: not all of its options \
             are known: {reason}"
        );
        note_unseen(place, text)
    }));
    found
}

/// The daemon's command lines in a unit.
fn find_commands(host: &AuditedHost, unit: &ServiceUnit) -> Vec<DaemonCommand> {
    let environment = UnitEnvironment::from_settings(host, &unit.settings);
    let dir = unit.settings.get("WorkingDirectory").map_or("/", |dir| dir.trim_start_matches('-'));
    let lines = unit.settings.all_values("ExecStart").iter();
    lines.flat_map(|line| command::parse_daemon_commands(line, host, &environment, dir)).collect()
}

/// The file that changes several settings of a unit, as one command to paste.
fn describe_drop_in(host: &AuditedHost, unit: &ServiceUnit, lines: &[String]) -> String {
    let dir = host.display_path(&format!("etc/systemd/system/{}.d", unit.name));
    let (place, file) = (shell_quote(&dir), shell_quote(&dir.join("50-profguard.conf")));
    let reload = if host.live { " && systemctl daemon-reload" } else { "" };
    let quoted: Vec<String> = lines.iter().map(|line| format!("'{line}'")).collect();
    // Appended: another finding may have put its own line there.
    format!("mkdir -p {place} && printf '%s\\n' '[Service]' {} >> {file}{reload}", quoted.join(" "))
}

/// How to change a setting of a unit.
fn describe_edit(host: &AuditedHost, unit: &ServiceUnit, line: &str) -> String {
    if host.live {
        return format!("systemctl edit {}, [Service] {line}", shell_quote(Path::new(&unit.name)));
    }
    let drop_in = format!("etc/systemd/system/{}.d/50-profguard.conf", unit.name);
    format!("in {}: [Service] {line}", host.display_path(&drop_in).display())
}

fn check_no_tls(host: &AuditedHost, check: &HostCheck, unit: &ServiceUnit) -> Vec<Finding> {
    let finding = |option: String| {
        check
            .finding(host.display_path(&unit.path))
            .found(format!("starts the daemon with {option}: every host that reaches its port controls it"))
            .expected("--certs-dir with a directory that certck check accepts")
            .fix(describe_edit(host, unit, "ExecStart= and then the command with --certs-dir DIR"))
    };
    find_commands(host, unit).iter().filter_map(DaemonCommand::without_tls).map(finding).collect()
}

/// Checks that only root can change a unit's file, which decides what root starts. The files of an unpacked image may
/// belong to the user who unpacked it.
fn check_file_owner(host: &AuditedHost, path: &str) -> Option<Finding> {
    let (st, root) = (host.stat(path).ok()?, host.stat(".").ok()?);
    let (mode, place) = (Mode::of(st.st_mode), host.display_path(path));
    let foreign = st.st_uid != 0 && st.st_uid != root.st_uid;
    let fix = match (foreign, mode.is_writable_by_others()) {
        (false, false) => return None,
        (true, _) => format!("chown root {}", shell_quote(&place)),
        (false, true) => format!("chmod go-w {}", shell_quote(&place)),
    };
    let found = format!(
        "owned by {} with mode {mode}: others can change what root starts",
        host.ids.describe_user(st.st_uid)
    );
    let finding = CHECK.rule.at(&place).found(found);
    Some(finding.expected("owned by root and writable by root only").fix(fix))
}

fn check_account(
    host: &AuditedHost,
    settings: &ServiceSettings,
    new_finding: &dyn Fn(String, &str) -> Finding,
) -> Option<Finding> {
    let root = |user: &str| host.ids.uid_of(user) == Some(0) || user == "root";
    let given = host.user.as_deref().filter(|u| !root(u)).unwrap_or("profguard");
    let wanted = format!("User={given}");
    match settings.get("User") {
        _ if has_dynamic_user(settings) => None,
        None => Some(grave(new_finding("has no User=: the daemon runs as root".into(), &wanted))),
        Some(user) if root(user) => {
            Some(grave(new_finding(format!("runs the daemon as root: User={user}"), &wanted)))
        }
        Some(_) => None,
    }
}

fn grave(finding: Finding) -> Finding {
    Finding { severity: Severity::Error, ..finding }
}

fn has_dynamic_user(settings: &ServiceSettings) -> bool {
    settings.get("DynamicUser").is_some_and(|v| YES.contains(&v))
}

#[cfg(test)]
mod tests;
