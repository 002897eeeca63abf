//! The daemon's systemd units, whatever they are called: their user, umask, sandbox and addresses.

use common::finding::{Finding, Severity};

use super::umask::{judge, octal};
use super::{Check, Host, unseen};

pub(crate) mod file;

use file::{Settings, Unit};

pub(super) static CHECK: Check = Check {
    id: "unit",
    severity: Severity::Warning,
    what: "the daemon's systemd unit gives it more than it needs",
    run: |host, check| {
        let units = file::units(host);
        units.iter().filter(|u| is_daemon(u)).flat_map(|u| unit(host, check, u)).collect()
    },
};

/// The daemon, and the one that it replaces.
const NAMES: [&str; 2] = ["profd", "dynolog"];

/// Programs that start another one.
const STARTERS: [&str; 12] = [
    "env", "sh", "bash", "dash", "nice", "ionice", "numactl", "taskset", "chrt", "setpriv", "stdbuf", "exec",
];

const YES: [&str; 6] = ["yes", "true", "on", "1", "y", "t"];

/// Directives that must be on, or have one of these values.
const WANTED: [(&str, &[&str], &str); 12] = [
    ("NoNewPrivileges", &["yes", "true", "on", "1"], "it could gain privileges by running setuid programs"),
    ("ProtectSystem", &["strict", "full"], "it could write to the system's programs and settings"),
    ("ProtectHome", &["yes", "true", "on", "1", "read-only", "tmpfs"], "it could write to home directories"),
    ("PrivateTmp", &["yes", "true", "on", "1", "disconnected"], "it shares /tmp with everybody"),
    ("PrivateDevices", &["yes", "true", "on", "1"], "it could open devices"),
    ("ProtectKernelTunables", &["yes", "true", "on", "1"], "it could change kernel settings"),
    ("ProtectKernelModules", &["yes", "true", "on", "1"], "it could load kernel modules"),
    ("ProtectControlGroups", &["yes", "true", "on", "1"], "it could change control groups"),
    ("RestrictSUIDSGID", &["yes", "true", "on", "1"], "it could create setuid files"),
    ("LockPersonality", &["yes", "true", "on", "1"], "it could change its execution domain"),
    ("MemoryDenyWriteExecute", &["yes", "true", "on", "1"], "it could run what it wrote to memory"),
    ("LimitCORE", &["0", "0:0"], "a crash could write keys to disk"),
];

/// Directives that must be there at all, with what serves the daemon.
const PRESENT: [(&str, &str, &str); 3] = [
    ("RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6", "it could open sockets of any kind"),
    ("SystemCallFilter", "@system-service", "it could make any system call"),
    ("CapabilityBoundingSet", "", "it could keep every capability"),
];

/// A unit of the daemon: by its name, or because it runs it.
fn is_daemon(unit: &Unit) -> bool {
    let stem = unit.name.trim_end_matches(".service").split('@').next().unwrap_or_default();
    NAMES.contains(&stem) || unit.settings.all("ExecStart").iter().any(|line| arguments(line).is_some())
}

/// What follows the daemon's program in a command line; `None` where it runs another one.
fn arguments(line: &str) -> Option<Vec<String>> {
    let words: Vec<String> = line.split_whitespace().map(|w| w.replace(['"', '\''], "")).collect();
    let base = |word: &str| word.rsplit('/').next().unwrap_or_default().to_owned();
    // `@-:+!` say how to start it.
    let first = base(words.first()?.trim_start_matches(['@', '-', ':', '+', '!', '|']));
    let at = match NAMES.contains(&first.as_str()) {
        true => 0,
        // Programs that run what they are given; others may have the name among their arguments.
        false if STARTERS.contains(&first.as_str()) => {
            words.iter().position(|w| NAMES.contains(&base(w).as_str()))?
        }
        false => return None,
    };
    Some(words[at + 1..].to_vec())
}

fn unit(host: &Host, check: &Check, unit: &Unit) -> Vec<Finding> {
    let place = host.shown(&unit.path);
    let edit = |line: &str| match host.live {
        true => format!("systemctl edit {}, [Service] {line}", unit.name),
        false => {
            let drop_in = format!("etc/systemd/system/{}.d/50-profguard.conf", unit.name);
            format!("in {}: [Service] {line}", host.shown(&drop_in).display())
        }
    };
    let tell =
        |text: String, wanted: &str| check.finding(&place).found(text).expected(wanted).fix(edit(wanted));
    let mut found = Vec::new();
    found.extend(account(&unit.settings, &tell));
    found.extend(sandbox(&unit.settings, &tell));
    let umask = unit.settings.get("UMask").and_then(octal).unwrap_or(0o022);
    found.extend(judge(check, &place, &unit.name, umask, &edit("UMask=0027")));
    for line in unit.settings.all("ExecStart") {
        let Some(arguments) = arguments(line) else { continue };
        found.extend(everywhere(&arguments).map(|address| {
            let finding = check
                .finding(&place)
                .found(format!("starts the daemon with --bind {address}: on every address"));
            finding
                .expected("--bind with one address, best of a network of its own")
                .fix(edit("ExecStart= and then ExecStart=… with --bind ADDRESS"))
        }));
        if arguments.iter().any(|a| a.starts_with('$')) {
            found.push(unseen(
                &place,
                "its options come from a variable: the addresses that it binds to are not known",
            ));
        }
    }
    found
}

fn account(settings: &Settings, tell: &dyn Fn(String, &str) -> Finding) -> Option<Finding> {
    match settings.get("User") {
        _ if dynamic(settings) => None,
        None => Some(tell("names no User: the daemon runs as root".into(), "User=profguard")),
        Some("root" | "0") => Some(tell("runs the daemon as root".into(), "User=profguard")),
        Some(_) => None,
    }
}

fn dynamic(settings: &Settings) -> bool {
    settings.get("DynamicUser").is_some_and(|v| YES.contains(&v))
}

fn sandbox(settings: &Settings, tell: &dyn Fn(String, &str) -> Finding) -> Vec<Finding> {
    let mut found = Vec::new();
    for (key, values, why) in WANTED {
        // A dynamic user brings some of them with it.
        let implied = dynamic(settings)
            && matches!(
                key,
                "NoNewPrivileges" | "ProtectSystem" | "ProtectHome" | "PrivateTmp" | "RestrictSUIDSGID"
            );
        let value = settings.get(key);
        if !implied && !value.is_some_and(|v| values.iter().any(|w| w.eq_ignore_ascii_case(v))) {
            let now = value.map_or_else(|| format!("has no {key}"), |v| format!("has {key}={v}"));
            found.push(tell(format!("{now}: {why}"), &format!("{key}={}", values[0])));
        }
    }
    for (key, value, why) in PRESENT {
        // No capability is the best set of them; nothing in the others allows all.
        let there = if value.is_empty() { settings.has(key) } else { settings.get(key).is_some() };
        if !there {
            found.push(tell(format!("has no {key}: {why}"), &format!("{key}={value}")));
        }
    }
    found
}

/// The address of a `--bind` that means all of them.
fn everywhere(arguments: &[String]) -> Option<&str> {
    let values = arguments.iter().enumerate().filter_map(|(i, a)| match a.strip_prefix("--bind") {
        Some("") => arguments.get(i + 1).map(String::as_str),
        Some(value) => value.strip_prefix('='),
        None => None,
    });
    let address = |v: &str| v.parse().ok().or_else(|| Some(v.parse::<std::net::SocketAddr>().ok()?.ip()));
    let mut values = values;
    values.find(|v| address(v).is_some_and(|ip: std::net::IpAddr| ip.is_unspecified()))
}
