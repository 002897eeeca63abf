//! Clock synchronization: the validity of certificates and the comparison of traces depend on it.

use common::finding::Severity;
use common::rule::Rule;

use super::{AuditedHost, HostCheck, note_unseen};

pub(super) static CHECK: HostCheck = HostCheck {
    rule: Rule {
        id: "clock",
        severity: Severity::Warning,
        what: "the clock is not synchronized",
        why: "With a wrong clock valid certificates are rejected or expired ones accepted, and traces of hosts do not line up.",
        fix: "timedatectl set-ntp true; where that finds no time service, install chrony",
        reference: "RFC 5280, section 4.1.2.5; systemd-timesyncd.service(8)",
    },
    run: |host, check| {
        if !host.live {
            let enabled = host.is_enabled(&SERVICES);
            let note = || {
                note_unseen(
                    host.display_path("etc/systemd/system"),
                    "no time service is enabled; a container has its host's clock",
                )
            };
            return if enabled { Vec::new() } else { vec![note()] };
        }
        // systemd-timesyncd(8) creates this file once it has reached a server.
        if host.stat("run/systemd/timesync/synchronized").is_ok() || find_time_service(host).is_some() {
            return Vec::new();
        }
        if has_virtual_clock(host) {
            return vec![note_unseen(
                "clock",
                "no time service runs here; the hypervisor may keep the clock",
            )];
        }
        let finding =
            check.finding("clock").found("no time service runs (chronyd, ntpd, systemd-timesyncd, ptp4l)");
        let fix = "timedatectl set-ntp true; where that finds no time service, install chrony";
        vec![finding.expected("one of them").fix(fix)]
    },
};

/// Time services, as units are called.
const SERVICES: [&str; 9] =
    ["chronyd", "chrony", "ntpd", "ntp", "ntpsec", "ntpd-rs", "openntpd", "systemd-timesyncd", "ptp4l"];

/// The name of a running time service.
fn find_time_service(host: &AuditedHost) -> Option<String> {
    let known = ["chronyd", "ntpd", "systemd-timesyn", "ptp4l", "phc2sys", "openntpd", "ntpd-rs"];
    let pids = host.list_names("proc").into_iter().filter(|n| n.bytes().all(|b| b.is_ascii_digit()));
    pids.filter_map(|pid| host.read_file(&format!("proc/{pid}/comm")).ok())
        .map(|name| name.trim().to_owned())
        .find(|name| known.contains(&name.as_str()))
}

fn has_virtual_clock(host: &AuditedHost) -> bool {
    let source =
        host.read_file("sys/devices/system/clocksource/clocksource0/current_clocksource").unwrap_or_default();
    matches!(source.trim(), "kvm-clock" | "hyperv_clocksource_tsc_page" | "xen")
}
