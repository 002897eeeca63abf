//! Units by what `systemctl show` prints, with a program in its place, and with the real one where systemd runs.

use std::path::Path;

use common::finding::{Finding, Severity};

use super::*;
use crate::host::UNSEEN;
use crate::host::programs::SystemPrograms;
use crate::host::programs::tests::install_script;
use crate::host::tests::{make_root, open_host};

/// A service without any restriction, as systemd 252 shows it; `ExecStart` and others come before it.
const UNRESTRICTED: &str = "\
Id=profd.service
LoadState=loaded
FragmentPath=/etc/systemd/system/profd.service
DropInPaths=
NeedDaemonReload=no
User=
DynamicUser=no
UMask=0022
WorkingDirectory=
Environment=
LimitCORE=infinity
NoNewPrivileges=no
ProtectSystem=no
ProtectHome=no
PrivateTmp=no
PrivateDevices=no
RestrictNamespaces=no
SystemCallArchitectures=
AmbientCapabilities=
CapabilityBoundingSet=cap_chown cap_dac_override cap_dac_read_search cap_fowner cap_fsetid cap_kill cap_setgid cap_setuid cap_setpcap cap_linux_immutable cap_net_bind_service cap_net_broadcast cap_net_admin cap_net_raw cap_ipc_lock cap_ipc_owner cap_sys_module cap_sys_rawio cap_sys_chroot cap_sys_ptrace cap_sys_pacct cap_sys_admin cap_sys_boot cap_sys_nice cap_sys_resource cap_sys_time cap_sys_tty_config cap_mknod cap_lease cap_audit_write cap_audit_control cap_setfcap cap_mac_override cap_mac_admin cap_syslog cap_wake_alarm cap_block_suspend cap_audit_read cap_perfmon cap_bpf cap_checkpoint_restore
";

/// The same with every restriction that hostck asks for.
const RESTRICTED: &str = "\
Id=profd.service
LoadState=loaded
FragmentPath=/etc/systemd/system/profd.service
DropInPaths=/etc/systemd/system/profd.service.d/a.conf
NeedDaemonReload=no
User=ann
DynamicUser=no
UMask=0027
LimitCORE=0
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictNamespaces=yes
RestrictRealtime=yes
SystemCallArchitectures=native
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
SystemCallFilter=_llseek _newselect accept accept4 access alarm arch_prctl bind
CapabilityBoundingSet=
AmbientCapabilities=
";

fn exec(key: &str, argv: &str, flags: &str) -> String {
    let path = argv.split(' ').next().unwrap();
    let times = "start_time=[n/a] ; stop_time=[n/a] ; pid=0 ; code=(null) ; status=0/0 }";
    let errors = if flags.contains("ignore-failure") { "yes" } else { "no" };
    format!(
        "{key}={{ path={path} ; argv[]={argv} ; ignore_errors={errors} ; {times}\n{key}Ex={{ path={path} ; argv[]={argv} ; flags={flags} ; {times}\n"
    )
}

/// What a running host says about its units, whose files are `files` and whose systemctl prints `shown` for them.
fn check_units(files: &[(&str, &str)], listed: &str, shown: &str) -> Vec<Finding> {
    let dir = make_root(files);
    let programs = dir.path().join("programs");
    std::fs::create_dir(&programs).unwrap();
    let script = format!(
        "case $1 in\nlist-units) cat <<'END'\n{listed}END\n;;\nshow) cat <<'END'\n{shown}END\n;;\nesac\n"
    );
    install_script(&programs, "systemctl", &script);
    let mut host = open_host(dir.path(), true);
    host.programs = SystemPrograms::in_dirs(&[&programs]);
    about_units(&host)
}

fn about_units(host: &AuditedHost) -> Vec<Finding> {
    let about = |f: &Finding| {
        ["unit", "no-tls"].contains(&f.rule.as_str())
            || f.rule == UNSEEN.id && (f.path.contains("systemctl") || f.path.contains(".service"))
    };
    host.run_checks().into_iter().filter(about).collect()
}

const FILE: &str = "etc/systemd/system/profd.service";
const LISTED: &str = "profd.service loaded active running Profiling daemon\n";

#[test]
fn settings_in_force_count_and_not_those_of_the_file() {
    // The file restricts nothing, and what systemd has loaded does.
    let bare = "[Service]\nExecStart=/usr/bin/profd --certs-dir NO_CERTS\n";
    let good = exec("ExecStart", "/usr/bin/profd --certs-dir /etc/profguard", "") + RESTRICTED;
    let found = check_units(&[(FILE, bare)], LISTED, &good);
    assert!(found.is_empty(), "{found:#?}");
    // The other way round.
    let strict =
        "[Service]\nUser=ann\nUMask=0027\nNoNewPrivileges=yes\nExecStart=/usr/bin/profd --certs-dir /c\n";
    let bad = exec("ExecStart", "/usr/bin/profd --certs-dir NO_CERTS --bind 0.0.0.0", "") + UNRESTRICTED;
    let found = check_units(&[(FILE, strict)], LISTED, &bad);
    let told = |text: &str| {
        found.iter().find(|f| f.found.contains(text)).unwrap_or_else(|| panic!("{text}: {found:#?}"))
    };
    assert_eq!(told("has no User=: the daemon runs as root").severity, Severity::Error);
    assert_eq!(told("starts the daemon with --certs-dir NO_CERTS").rule, "no-tls");
    told("--bind 0.0.0.0: on every address");
    told("umask 0022 of profd.service");
    let sandbox = &told("has no NoNewPrivileges: ").found;
    for text in
        ["has no LimitCORE", "has no CapabilityBoundingSet", "has no SystemCallFilter", "has no ProtectClock"]
    {
        assert!(sandbox.contains(text), "{text} in {sandbox}");
    }
}

#[test]
fn flags_lists_and_changed_files_are_told() {
    let shown = exec("ExecStart", "/usr/bin/profd --certs-dir /c", "ignore-failure privileged") + RESTRICTED;
    let shown = shown
        .replace("NeedDaemonReload=no", "NeedDaemonReload=yes")
        .replace("CapabilityBoundingSet=", "CapabilityBoundingSet=cap_sys_admin cap_kill")
        .replace("SystemCallFilter=", "SystemCallFilter=~");
    let found: Vec<_> =
        check_units(&[(FILE, "[Service]\n")], LISTED, &shown).into_iter().map(|f| f.found).collect();
    for text in [
        "its files have changed since systemd read them",
        "starts the daemon with + or !",
        "has CapabilityBoundingSet=CAP_SYS_ADMIN CAP_KILL: it could become as good as root",
        "has SystemCallFilter=~_llseek _newselect accept … (8 of them): it allows all others",
    ] {
        assert!(found.iter().any(|f| f.contains(text)), "{text} in {found:#?}");
    }
    assert_eq!(found.len(), 4, "{found:#?}");
}

/// Units that a generator made or that systemd-run started have no file of their own place; masked ones are no units.
#[test]
fn units_that_only_systemd_knows_are_seen() {
    let transient = RESTRICTED
        .replace("profd.service", "run-r1.service")
        .replace("FragmentPath=/etc/systemd/system", "FragmentPath=/run/systemd/transient");
    let transient = exec("ExecStart", "/opt/bin/dynolog --certs-dir NO_CERTS", "") + &transient;
    let masked = "\nId=dynolog.service\nLoadState=masked\nFragmentPath=/dev/null\n";
    let listed = "dynolog.service masked inactive dead x\nrun-r1.service loaded active running x\n";
    let found = check_units(&[], listed, &(transient + masked));
    assert_eq!(found.iter().map(|f| f.rule.as_str()).collect::<Vec<_>>(), ["no-tls"], "{found:#?}");
    assert!(found[0].path.ends_with("run/systemd/transient/run-r1.service"), "{found:#?}");
}

/// Environment, flag files and the quotes of the file work as in files.
#[test]
fn command_lines_keep_the_words_of_the_file() {
    let file = "[Service]\nExecStart=-/bin/sh -c 'exec profd --certs-dir NO_CERTS'\n";
    let shown =
        exec("ExecStart", "/bin/sh -c exec profd --certs-dir NO_CERTS", "ignore-failure") + RESTRICTED;
    let found = check_units(&[(FILE, file)], LISTED, &shown);
    assert!(found.iter().any(|f| f.rule == "no-tls"), "{found:#?}");
    let shown = exec("ExecStart", "/usr/bin/profd $OPTS --certs-dir=${DIR}", "") + RESTRICTED;
    let shown = shown
        + "Environment=DIR=NO_CERTS \"A=b c\"\nEnvironmentFiles=/etc/default/profd (ignore_errors=no)\n";
    let found =
        check_units(&[(FILE, "[Service]\n"), ("etc/default/profd", "OPTS=--port 1\n")], LISTED, &shown);
    assert!(found.iter().any(|f| f.rule == "no-tls"), "{found:#?}");
    let lost = check_units(&[(FILE, "[Service]\n")], LISTED, &shown);
    assert!(lost.iter().any(|f| f.found.contains("not all of its options are known")), "{lost:#?}");
}

#[test]
fn values_become_words_of_a_unit_file() {
    for (argv, words) in [
        ("/bin/profd --a b", vec!["/bin/profd", "--a", "b"]),
        ("/bin/profd 50% \"x ; y\\", vec!["/bin/profd", "50%", "\"x", ";", "y\\"]),
    ] {
        let line =
            command_line(&format!("{{ path=/bin/profd ; argv[]={argv} ; ignore_errors=no ; pid=0 }}"), &[]);
        let split = split_words(&line.unwrap());
        assert_eq!(split.iter().map(|w| w.text.as_str()).collect::<Vec<_>>(), words, "{argv}");
        assert!(split.iter().all(|w| !w.unknown));
    }
    assert_eq!(command_line("", &[]), None);
    assert_eq!(environment_file("/etc/a b (ignore_errors=yes)").as_deref(), Some("-/etc/a b"));
    assert_eq!(bounding_set(""), Some(Vec::new()));
}

/// Without an answer the files count, and the report says so.
#[test]
fn files_count_where_systemd_does_not_answer() {
    let bare = "[Service]\nExecStart=/usr/bin/profd --certs-dir NO_CERTS\n";
    let dir = make_root(&[(FILE, bare)]);
    let mut host = open_host(dir.path(), true);
    let unseen = |found: &[Finding]| found.iter().filter(|f| f.rule == UNSEEN.id).count();
    // No systemctl: there is nobody to ask.
    let found = about_units(&host);
    assert!(unseen(&found) == 0 && found.iter().any(|f| f.rule == "no-tls"), "{found:#?}");
    let programs = dir.path().join("programs");
    std::fs::create_dir(&programs).unwrap();
    // What systemctl 252 says where systemd is not the init process.
    let text = "System has not been booted with systemd as init system (PID 1). Can't operate.";
    for script in [format!("echo \"{text}\" >&2; exit 1\n"), "echo x.service\n".to_owned()] {
        install_script(&programs, "systemctl", &script);
        host = open_host(dir.path(), true);
        host.programs = SystemPrograms::in_dirs(&[&programs]);
        let found = about_units(&host);
        assert!(found.iter().any(|f| f.rule == "no-tls"), "{found:#?}");
        let note = found.iter().find(|f| f.path == "systemctl show");
        assert!(note.is_some_and(|f| f.found.ends_with("which may not be in force")), "{found:#?}");
    }
    // Nothing of the daemon's, and no systemd: nothing is missing.
    std::fs::remove_file(dir.path().join(FILE)).unwrap();
    host = open_host(dir.path(), true);
    host.programs = SystemPrograms::in_dirs(&[&programs]);
    assert!(about_units(&host).is_empty());
    std::fs::create_dir_all(dir.path().join("run/systemd/system")).unwrap();
    assert_eq!(unseen(&about_units(&host)), 1);
}

/// The real systemctl of a running systemd: every unit that it shows is understood.
#[test]
fn the_real_systemctl_is_understood() {
    if !Path::new("/run/systemd/system").exists() {
        return testkit::skip("systemd does not run here");
    }
    if testkit::require("systemctl").is_none() {
        return;
    }
    let host = AuditedHost::open(Path::new("/"), true, None, 1778).unwrap();
    let units = host.units();
    assert_eq!(units.not_shown, None);
    let started = units.units.iter().filter(|u| !u.settings.all_values("ExecStart").is_empty()).count();
    assert!(started > 0, "no unit of {} has a command", units.units.len());
}
