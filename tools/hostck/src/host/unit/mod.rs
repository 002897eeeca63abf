//! The daemon's systemd units, recognized by name or command: their user, umask, sandbox and addresses.

use std::path::Path;

use common::finding::{Finding, Severity};
use common::policy::shell_quote;

use super::umask::{check_umask, parse_octal};
use common::rule::Rule;

use super::changeable::check_changeable;
use super::{AuditedHost, HostCheck, note_unseen};

mod command;
mod environment;
pub(crate) mod file;
mod flagfile;
mod locate;
mod options;
mod ports;
mod program;
mod sandbox;
mod show;
mod starters;

use command::DaemonCommand;
use environment::UnitEnvironment;
use file::{ServiceSettings, ServiceUnit};
use options::DAEMON_NAMES;
pub(super) use ports::find_daemon_ports;
use sandbox::check_sandbox;
pub(crate) use show::HostUnits;

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
        let HostUnits { units, not_shown } = host.units();
        let unread = units.iter().flat_map(|u| &u.unread);
        let mut found: Vec<_> =
            unread.map(|(path, reason)| note_unseen(host.display_path(path), reason.as_str())).collect();
        let ours: Vec<_> = units.iter().filter(|u| is_daemon_unit(host, u)).collect();
        // Where systemd does not run and no file is the daemon's, nothing is missing.
        if let Some(reason) = not_shown.as_ref().filter(|_| !ours.is_empty() || is_booted(host)) {
            let text = format!("{reason}; units are checked by their files, which may not be in force");
            found.push(note_unseen("systemctl show", text));
        }
        found.extend(ours.into_iter().flat_map(|u| check_unit(host, check, u)));
        // Several units may start one program, and lie in one directory.
        let mut seen = std::collections::BTreeSet::new();
        found.retain(|f| seen.insert((f.path.clone(), f.found.clone(), f.fix.clone())));
        found
    },
};

/// Whether the system was started by systemd (sd_booted(3)).
fn is_booted(host: &AuditedHost) -> bool {
    host.stat("run/systemd/system").is_ok()
}

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
        let units = &host.units().units;
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
    // The file that sets the directive, which may be a drop-in.
    let origin =
        |key: &str| unit.settings.origin(key).map_or_else(|| place.clone(), |file| host.display_path(file));
    let new_finding = |text: String, wanted: &str| {
        let key = wanted.split('=').next().unwrap_or_default();
        Finding { severity: Severity::Warning, ..check.finding(origin(key)) }
            .found(text)
            .expected(wanted)
            .fix(edit(wanted))
    };
    let mut found = Vec::new();
    if unit.stale {
        let text = "its files have changed since systemd read them: older settings are in force".to_owned();
        let fix =
            format!("systemctl daemon-reload && systemctl restart {}", shell_quote(Path::new(&unit.name)));
        found.push(new_finding(text, "its files as systemd has read them").fix(fix));
    }
    found.extend(check_account(host, &unit.settings, &new_finding));
    let drop_in = |lines: &[String]| describe_drop_in(host, unit, lines);
    found.extend(check_sandbox(&unit.settings, &new_finding, &drop_in));
    found.extend(program::check_programs(host, unit));
    let umask = unit.settings.get("UMask").and_then(parse_octal).unwrap_or(0o022);
    let umask = check_umask(check, origin("UMask"), &unit.name, umask, &edit("UMask=0027"));
    found.extend(umask.into_iter().map(|finding| Finding { severity: Severity::Warning, ..finding }));
    let commands = find_commands(host, unit);
    if commands.is_empty() && unit.settings.is_set("ExecStart") {
        found.push(note_unseen(
            &place,
            "its program is not the daemon itself: the options of the daemon are not known",
        ));
    }
    found.extend(commands.iter().flat_map(|command| check_command(command, &place, &new_finding)));
    found.extend(check_deciding_files(host, unit, &commands));
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
            "unsure whether the daemon gets certificates and which addresses and port it binds to: not all of its options \
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

/// The drop-in for settings of a unit, below the root. It must be read after the others, which are read in the order of
/// their names (systemd.unit(5)).
fn drop_in_path(unit: &ServiceUnit) -> String {
    const USUAL: &str = "50-profguard.conf";
    let names =
        unit.files.iter().filter(|path| **path != unit.path).filter_map(|path| path.rsplit('/').next());
    let name = match names.max().filter(|last| *last > USUAL) {
        None => USUAL.to_owned(),
        Some(last) if last.ends_with(".profguard.conf") => last.to_owned(),
        Some(last) => format!("{}.profguard.conf", last.trim_end_matches(".conf")),
    };
    format!("etc/systemd/system/{}.d/{name}", unit.name)
}

/// The file that changes several settings of a unit, as one command to paste.
fn describe_drop_in(host: &AuditedHost, unit: &ServiceUnit, lines: &[String]) -> String {
    let file = host.display_path(&drop_in_path(unit));
    let (place, file) = (shell_quote(file.parent().unwrap_or(&file)), shell_quote(&file));
    let reload = if host.live { " && systemctl daemon-reload" } else { "" };
    let quoted: Vec<String> = lines.iter().map(|line| format!("'{line}'")).collect();
    // Appended: another finding may have put its own line there.
    format!("mkdir -p {place} && printf '%s\\n' '[Service]' {} >> {file}{reload}", quoted.join(" "))
}

/// How to change a setting of a unit.
fn describe_edit(host: &AuditedHost, unit: &ServiceUnit, line: &str) -> String {
    let drop_in = drop_in_path(unit);
    let place = host.display_path(&drop_in);
    match (host.live, drop_in.ends_with(".profguard.conf")) {
        // systemctl(1) writes override.conf, which the last drop-in would follow.
        (true, true) => format!("in {}: [Service] {line}; systemctl daemon-reload", place.display()),
        (true, false) => format!("systemctl edit {}, [Service] {line}", shell_quote(Path::new(&unit.name))),
        (false, _) => format!("in {}: [Service] {line}", place.display()),
    }
}

fn check_no_tls(host: &AuditedHost, check: &HostCheck, unit: &ServiceUnit) -> Vec<Finding> {
    let finding = |option: String| {
        check
            .finding(host.display_path(unit.settings.origin("ExecStart").unwrap_or(&unit.path)))
            .found(format!("starts the daemon with {option}: every host that reaches its port controls it"))
            .expected("--certs-dir with a directory that certck check accepts")
            .fix(describe_edit(host, unit, "ExecStart= and then the command with --certs-dir DIR"))
    };
    find_commands(host, unit).iter().filter_map(DaemonCommand::without_tls).map(finding).collect()
}

/// Checks that only root can change what decides about the daemon: the unit, its drop-ins and their directories, files of
/// variables and options, and libraries that variables name.
fn check_deciding_files(host: &AuditedHost, unit: &ServiceUnit, commands: &[DaemonCommand]) -> Vec<Finding> {
    let environment = UnitEnvironment::from_settings(host, &unit.settings);
    let unit_files = unit.files.iter().cloned().chain(file::deciding_dirs(host, &unit.name));
    let mut paths: Vec<(String, String)> =
        unit_files.map(|path| (path, "others can change what root starts".to_owned())).collect();
    let options = environment.files.iter().chain(commands.iter().flat_map(|command| &command.files));
    let change = "others can change how the daemon starts";
    paths.extend(options.map(|path| (path.clone(), change.to_owned())));
    let loaded = commands.iter().flat_map(|command| command.loaded.clone()).chain(environment.loaded_paths());
    paths.extend(loaded.map(|(variable, path)| {
        let text = format!("others can change the code that the daemon loads by {variable}={path}");
        (path, text)
    }));
    let checked = paths.iter().filter_map(|(path, text)| check_changeable(host, &CHECK.rule, path, text));
    // A directory above several of them is one finding.
    let mut seen = std::collections::BTreeSet::new();
    checked.filter(|finding| seen.insert(finding.path.clone())).collect()
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
        None => Some(as_error(new_finding("has no User=: the daemon runs as root".into(), &wanted))),
        Some(user) if root(user) => {
            Some(as_error(new_finding(format!("runs the daemon as root: User={user}"), &wanted)))
        }
        Some(_) => None,
    }
}

fn as_error(finding: Finding) -> Finding {
    Finding { severity: Severity::Error, ..finding }
}

fn has_dynamic_user(settings: &ServiceSettings) -> bool {
    settings.get("DynamicUser").is_some_and(|v| YES.contains(&v))
}

#[cfg(test)]
mod tests;
