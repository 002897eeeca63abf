//! The daemon's systemd unit, where one is installed: its user, umask and sandbox.

use std::collections::BTreeMap;

use common::finding::{Finding, Severity};

use super::umask::{judge, octal};
use super::{Check, Host};

pub(super) static CHECK: Check = Check {
    id: "unit",
    severity: Severity::Warning,
    what: "the daemon's systemd unit gives it more than it needs",
    run: |host, check| NAMES.iter().flat_map(|name| unit(host, check, name)).collect(),
};

/// The daemon's unit under its own name and under that of the daemon it replaces.
const NAMES: [&str; 2] = ["profd.service", "dynolog.service"];

/// Where units lie, the first of which hides the others.
const PLACES: [&str; 4] =
    ["etc/systemd/system", "run/systemd/system", "usr/lib/systemd/system", "lib/systemd/system"];

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

/// Directives that must be there at all.
const PRESENT: [(&str, &str); 3] = [
    ("RestrictAddressFamilies", "it could open sockets of any kind"),
    ("SystemCallFilter", "it could make any system call"),
    ("CapabilityBoundingSet", "it could keep every capability"),
];

fn unit(host: &Host, check: &Check, name: &str) -> Vec<Finding> {
    let Some(path) = PLACES.iter().map(|p| format!("{p}/{name}")).find(|p| host.read(p).is_ok()) else {
        return Vec::new();
    };
    let settings = settings(host, &path, name);
    let get = |key: &str| settings.get(key).map(String::as_str).filter(|v| !v.is_empty());
    let place = host.shown(&path);
    let mut found = Vec::new();
    let mut tell = |text: String, fix: &str| {
        let finding = check.finding(&place).found(text).expected(fix);
        found.push(finding.fix(format!("systemctl edit {name}, [Service] {fix}")));
    };
    let dynamic = get("DynamicUser").is_some_and(|v| matches!(v, "yes" | "true" | "on" | "1"));
    match get("User") {
        _ if dynamic => {}
        None => tell("names no User: the daemon runs as root".into(), "User=profguard"),
        Some("root" | "0") => tell("runs the daemon as root".into(), "User=profguard"),
        Some(_) => {}
    }
    for (key, values, why) in WANTED {
        // A dynamic user brings some of them with it.
        let implied = dynamic
            && matches!(
                key,
                "NoNewPrivileges" | "ProtectSystem" | "ProtectHome" | "PrivateTmp" | "RestrictSUIDSGID"
            );
        if !implied && !get(key).is_some_and(|v| values.iter().any(|w| w.eq_ignore_ascii_case(v))) {
            let now = get(key).map_or_else(|| format!("has no {key}"), |v| format!("has {key}={v}"));
            tell(format!("{now}: {why}"), &format!("{key}={}", values[0]));
        }
    }
    for (key, why) in PRESENT {
        if !settings.contains_key(key) {
            tell(format!("has no {key}: {why}"), &format!("{key}=…"));
        }
    }
    let umask = get("UMask").and_then(octal).unwrap_or(0o022);
    found.extend(judge(check, &place, name, umask, &format!("systemctl edit {name}, [Service] UMask=0027")));
    found
}

/// The `[Service]` settings of a unit and its drop-ins; the last assignment wins, an empty one resets.
fn settings(host: &Host, path: &str, name: &str) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    read(&host.read(path).unwrap_or_default(), &mut settings);
    let mut drop_ins = BTreeMap::new();
    for place in PLACES.iter().rev() {
        for file in host.names(&format!("{place}/{name}.d")).into_iter().filter(|n| n.ends_with(".conf")) {
            drop_ins.insert(file.clone(), format!("{place}/{name}.d/{file}"));
        }
    }
    for path in drop_ins.values() {
        read(&host.read(path).unwrap_or_default(), &mut settings);
    }
    settings
}

fn read(text: &str, settings: &mut BTreeMap<String, String>) {
    let mut section = "";
    // A backslash joins lines.
    let joined = text.replace("\\\n", " ");
    for line in joined.lines().map(str::trim).filter(|l| !l.starts_with(['#', ';'])) {
        if line.starts_with('[') {
            section = if line == "[Service]" { "Service" } else { "" };
        } else if let Some((key, value)) = line.split_once('=').filter(|_| section == "Service") {
            settings.insert(key.trim().to_owned(), value.trim().to_owned());
        }
    }
}
