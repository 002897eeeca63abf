//! The sandbox of a unit: directives that must be set, systemd.exec(5).

use common::finding::Finding;

use super::file::ServiceSettings;
use super::has_dynamic_user;

/// Directives that must be on, or have one of these values.
const WANTED: [(&str, &[&str], &str); 18] = [
    ("NoNewPrivileges", &["yes", "true", "on", "1"], "it could gain privileges by running setuid programs"),
    ("ProtectSystem", &["strict", "full"], "it could write to the system's programs and settings"),
    ("ProtectHome", &["yes", "true", "on", "1", "read-only", "tmpfs"], "it could write to home directories"),
    ("PrivateTmp", &["yes", "true", "on", "1", "disconnected"], "it shares /tmp with all processes"),
    ("PrivateDevices", &["yes", "true", "on", "1"], "it could open devices"),
    ("ProtectKernelTunables", &["yes", "true", "on", "1"], "it could change kernel settings"),
    ("ProtectKernelModules", &["yes", "true", "on", "1"], "it could load kernel modules"),
    ("ProtectKernelLogs", &["yes", "true", "on", "1"], "it could read the log of the kernel"),
    ("ProtectControlGroups", &["yes", "true", "on", "1"], "it could change control groups"),
    ("ProtectClock", &["yes", "true", "on", "1"], "it could change the clock"),
    ("ProtectHostname", &["yes", "true", "on", "1"], "it could change the host name"),
    ("RestrictNamespaces", &["yes", "true", "on", "1"], "it could make namespaces of its own"),
    ("RestrictRealtime", &["yes", "true", "on", "1"], "it could take a processor for itself"),
    (
        "SystemCallArchitectures",
        &["native"],
        "it could make system calls of other architectures, past the filter",
    ),
    ("RestrictSUIDSGID", &["yes", "true", "on", "1"], "it could create setuid files"),
    ("LockPersonality", &["yes", "true", "on", "1"], "it could change its execution domain"),
    ("MemoryDenyWriteExecute", &["yes", "true", "on", "1"], "it could run what it wrote to memory"),
    ("LimitCORE", &["0", "0:0"], "a crash could write keys to disk"),
];

/// Directives that must be set, with a value that the daemon can run with.
const PRESENT: [(&str, &str, &str); 3] = [
    ("RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6", "it could open sockets of any kind"),
    ("SystemCallFilter", "@system-service", "it could make any system call"),
    ("CapabilityBoundingSet", "", "it could keep every capability"),
];

/// Capabilities that are equivalent to root, capabilities(7).
const POWERFUL: [&str; 14] = [
    "CAP_SYS_ADMIN",
    "CAP_SYS_PTRACE",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_SETUID",
    "CAP_SETGID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_CHOWN",
    "CAP_FOWNER",
    "CAP_NET_ADMIN",
    "CAP_BPF",
];

/// The directives that are on, or off, or have one of a few values.
pub(super) fn plain_directives() -> impl Iterator<Item = &'static str> {
    WANTED.iter().map(|(key, ..)| *key)
}

/// Checks the sandbox: what is missing is one finding, and `describe_drop_in` says how to set all of its lines at once.
pub(super) fn check_sandbox(
    settings: &ServiceSettings,
    new_finding: &dyn Fn(String, &str) -> Finding,
    describe_drop_in: &dyn Fn(&[String]) -> String,
) -> Vec<Finding> {
    let (mut missing, mut lines) = (Vec::new(), Vec::new());
    for (key, values, why) in WANTED {
        // A dynamic user brings some of them with it.
        let implied = has_dynamic_user(settings)
            && matches!(
                key,
                "NoNewPrivileges" | "ProtectSystem" | "ProtectHome" | "PrivateTmp" | "RestrictSUIDSGID"
            );
        let value = settings.get(key);
        if !implied && !value.is_some_and(|v| values.iter().any(|w| w.eq_ignore_ascii_case(v))) {
            let now = value.map_or_else(|| format!("has no {key}"), |v| format!("has {key}={v}"));
            missing.push(format!("{now}: {why}"));
            lines.push(format!("{key}={}", values[0]));
        }
    }
    for (key, value, why) in PRESENT {
        // No capability is the best set of them; nothing in the others allows all.
        let there = if value.is_empty() { settings.is_set(key) } else { settings.get(key).is_some() };
        if !there {
            missing.push(format!("has no {key}: {why}"));
            lines.push(format!("{key}={value}"));
        }
    }
    let mut found = Vec::new();
    if !lines.is_empty() {
        let finding = new_finding(missing.join("; "), "the restrictions that the fix sets");
        found.push(finding.fix(describe_drop_in(&lines)));
    }
    found.extend(
        ["SystemCallFilter", "RestrictAddressFamilies"]
            .into_iter()
            .filter_map(|key| check_deny_list(settings, key, new_finding)),
    );
    found.extend(check_capabilities(settings, new_finding));
    found
}

/// A deny list (`~`) allows everything that it does not name.
fn check_deny_list(
    settings: &ServiceSettings,
    key: &str,
    new_finding: &dyn Fn(String, &str) -> Finding,
) -> Option<Finding> {
    let first = settings.all_values(key).first().filter(|v| v.starts_with('~'))?;
    let (_, wanted, _) = PRESENT.iter().find(|(k, ..)| *k == key)?;
    Some(new_finding(format!("has {key}={first}: it allows all others"), &format!("{key}={wanted}")))
}

fn check_capabilities(
    settings: &ServiceSettings,
    new_finding: &dyn Fn(String, &str) -> Finding,
) -> Vec<Finding> {
    let mut found = Vec::new();
    let bounding = settings.all_values("CapabilityBoundingSet");
    let powerful =
        |v: &&String| v.starts_with('~') || POWERFUL.iter().any(|c| v.to_ascii_uppercase().contains(c));
    if let Some(value) = bounding.iter().find(powerful) {
        let text = format!("has CapabilityBoundingSet={value}: it could become as good as root");
        found.push(new_finding(text, "CapabilityBoundingSet="));
    }
    if let Some(value) = settings.get("AmbientCapabilities") {
        let text = format!("has AmbientCapabilities={value}: the daemon needs none");
        found.push(new_finding(text, "AmbientCapabilities="));
    }
    found
}
