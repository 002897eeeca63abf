//! Kernel settings: address space randomization, links, ptrace, core dumps, IPv6 sockets.

use common::finding::{Finding, Severity};
use common::rule::Rule;

use super::{AuditedHost, HostCheck, note_unseen};

pub(super) static ASLR: HostCheck = HostCheck {
    rule: Rule {
        id: "aslr",
        severity: Severity::Error,
        what: "address space randomization is not full",
        why: "An exploit of a memory error needs addresses, and without randomization they are the same in every process.",
        fix: "write `kernel.randomize_va_space = 2` in /etc/sysctl.d/99-profguard.conf, then sysctl --system",
        reference: "msMonitor security statement, system hardening; proc_sys_kernel(5), randomize_va_space",
    },
    run: |host, check| check_at_least(host, check, &[("kernel.randomize_va_space", 2)]),
};

pub(super) static LINKS: HostCheck = HostCheck {
    rule: Rule {
        id: "protected-links",
        severity: Severity::Warning,
        what: "links and FIFOs of others are followed in shared directories",
        why: "In /tmp another account can prepare a link or FIFO that makes a program read or write a file it did not mean.",
        fix: "set fs.protected_symlinks, fs.protected_hardlinks, fs.protected_fifos and fs.protected_regular to 1 in /etc/sysctl.d/99-profguard.conf, then sysctl --system",
        reference: "msMonitor security statement, system hardening; proc_sys_fs(5), protected_symlinks",
    },
    run: |host, check| {
        // The last two concern only files that programs create in a shared directory, not those that they open.
        let wanted = [
            ("fs.protected_hardlinks", Severity::Warning),
            ("fs.protected_symlinks", Severity::Warning),
            ("fs.protected_fifos", Severity::Note),
            ("fs.protected_regular", Severity::Note),
        ];
        let checked = wanted.into_iter().filter_map(|(name, severity)| {
            let finding = check_setting(host, check, name, 1)?;
            Some(Finding { severity: finding.severity.min(severity), ..finding })
        });
        checked.collect()
    },
};

pub(super) static PTRACE: HostCheck = HostCheck {
    rule: Rule {
        id: "ptrace-scope",
        severity: Severity::Warning,
        what: "processes of one user can read each other's memory, keys included",
        why: "Any process of the daemon's account can attach to the daemon and read the private key from its memory.",
        fix: "write `kernel.yama.ptrace_scope = 1` in /etc/sysctl.d/99-profguard.conf, then sysctl --system",
        reference: "msMonitor security statement, system hardening; ptrace(2), /proc/sys/kernel/yama/ptrace_scope",
    },
    run: |host, check| check_at_least(host, check, &[("kernel.yama.ptrace_scope", 1)]),
};

pub(super) static BINDV6ONLY: HostCheck = HostCheck {
    rule: Rule {
        id: "bindv6only",
        severity: Severity::Warning,
        what: "a socket on all IPv6 addresses takes IPv4, too",
        why: "A socket on :: also accepts IPv4 connections, which firewall rules for IPv6 do not see.",
        fix: "write `net.ipv6.bindv6only = 1` in /etc/sysctl.d/99-profguard.conf, then sysctl --system",
        reference: "msMonitor security statement, communication; ipv6(7), IPV6_V6ONLY",
    },
    run: |host, check| check_at_least(host, check, &[("net.ipv6.bindv6only", 1)]),
};

pub(super) static CORE: HostCheck = HostCheck {
    rule: Rule {
        id: "core-dumps",
        severity: Severity::Warning,
        what: "a crash can write keys to disk",
        why: "A core file holds the memory of the process, with its private key and passphrase.",
        fix: "write `fs.suid_dumpable = 0` in /etc/sysctl.d/99-profguard.conf, then sysctl --system; LimitCORE=0 in units",
        reference: "msMonitor security statement, system hardening; core(5); proc_sys_fs(5), suid_dumpable",
    },
    run: check_core_dumps,
};

fn check_at_least(host: &AuditedHost, check: &HostCheck, wanted: &[(&str, i64)]) -> Vec<Finding> {
    wanted.iter().filter_map(|&(name, least)| check_setting(host, check, name, least)).collect()
}

fn check_setting(host: &AuditedHost, check: &HostCheck, name: &str, least: i64) -> Option<Finding> {
    let (value, place) = match host.read_sysctl(name) {
        Ok(found) => found,
        Err(why) => return Some(note_unseen(name, why)),
    };
    let ok = value.parse::<i64>().is_ok_and(|v| v >= least);
    (!ok).then(|| {
        check
            .finding(place)
            .found(format!("{name} is {value}"))
            .expected(format!("{least}{}", if least == 1 { " or more" } else { "" }))
            .fix(describe_fix(host, name, least))
    })
}

/// Describes how to set a value permanently: now on a running system, and in a file that is read at boot. If a file
/// sets it already, the new file must be read after it (sysctl.d(5)), or that file must change.
fn describe_fix(host: &AuditedHost, name: &str, value: i64) -> String {
    const OURS: &str = "99-profguard.conf";
    let there = host.find_sysctl_file(name);
    let good = |v: &str| v.parse::<i64>().is_ok_and(|v| v == value || (value > 0 && v > value));
    if let Some((_, path)) = there.as_ref().filter(|(v, _)| host.live && good(v)) {
        let path = host.display_path(path);
        return format!("sysctl --system: {} has the right value, and it is not in force", path.display());
    }
    let last = |path: &&str| *path == "etc/sysctl.conf" || path.rsplit('/').next().is_some_and(|n| n >= OURS);
    let (file, set) = match there.as_ref().map(|(_, path)| path.as_str()).filter(last) {
        Some(path) if path.starts_with("etc/") => (path.to_owned(), ", which sets it now"),
        Some(_) => ("etc/sysctl.d/zz-profguard.conf".to_owned(), ""),
        None => (format!("etc/sysctl.d/{OURS}"), ""),
    };
    let line = format!("`{name} = {value}` in {}{set}", host.display_path(&file).display());
    if host.live { format!("write {line}, then sysctl --system") } else { format!("write {line}") }
}

fn check_core_dumps(host: &AuditedHost, check: &HostCheck) -> Vec<Finding> {
    let mut found = Vec::new();
    let pattern = host.read_sysctl("kernel.core_pattern").map(|(value, _)| value);
    if let Ok((value, place)) = host.read_sysctl("fs.suid_dumpable") {
        // Dumps of privileged programs that only root gets are allowed for.
        let only_root = value == "2" && pattern.as_deref().is_ok_and(|p| p.starts_with(['/', '|']));
        if value != "0" && !only_root {
            found.push(
                check
                    .finding(place)
                    .found(format!("fs.suid_dumpable is {value}: privileged programs dump core"))
                    .expected("0")
                    .fix(describe_fix(host, "fs.suid_dumpable", 0)),
            );
        }
    }
    if !host.live {
        return found;
    }
    let limits = host.read_file("proc/self/limits").unwrap_or_default();
    let soft = limits.lines().find(|l| l.starts_with("Max core file size"));
    let soft = soft.and_then(|l| l.split_whitespace().nth(4));
    // The kernel ignores the limit where a program takes the dump.
    let piped = pattern.as_deref().is_ok_and(|p| p.starts_with('|'));
    if soft.is_some_and(|s| s != "0") && !piped {
        found.push(
            check
                .finding("/proc/self/limits")
                .found(format!("core files of this process may have {} bytes", soft.unwrap_or("?")))
                .expected("0")
                .fix("ulimit -c 0 in the shell or script that starts the tools; LimitCORE=0 in units"),
        );
    }
    found
}
