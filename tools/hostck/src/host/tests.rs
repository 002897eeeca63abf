//! Checks of made roots: the findings of a bad one, and that a good one has none.

use std::path::Path;

use super::*;
use crate::tests::{chmod, clean_dir, write};

/// Files below a root, with their content.
pub(crate) fn make_root(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = clean_dir();
    for (path, content) in files {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        write(&path, 0o644, content);
    }
    dir
}

pub(crate) fn find_failures(host: &AuditedHost) -> Vec<String> {
    host.run_checks()
        .iter()
        .filter(|f| f.rule != UNSEEN.id)
        .map(|f| format!("{}: {}", f.rule, f.found))
        .collect()
}

pub(crate) fn open_host(dir: &Path, live: bool) -> AuditedHost {
    let mut host = AuditedHost::open(dir, live, Some("ann".into()), 1778).unwrap();
    // Programs would answer for the system that the test runs on.
    host.programs = SystemPrograms::in_dirs(&[]);
    host
}

const ACCOUNTS: [(&str, &str); 2] = [
    ("etc/passwd", "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n"),
    ("etc/group", "root:x:0:\nann:x:1000:\ndocker:x:999:bob,ann\n"),
];

/// Fixes for an image do not change the host that hostck runs on.
#[test]
fn advice_for_an_image_changes_the_image() {
    let mut files = ACCOUNTS.to_vec();
    files.extend([
        ("etc/sysctl.d/a.conf", "kernel.randomize_va_space = 1\n"),
        ("etc/login.defs", "UMASK 022\n"),
        ("etc/systemd/system/profd.service", "[Service]\nExecStart=/bin/profd\n"),
        ("etc/nftables.conf", ""),
        ("etc/sudoers", "ann ALL=ALL\n"),
        ("etc/shadow", "guest::1::::::\n"),
    ]);
    files[0].1 = "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n$(id) x:x:0:0::/:/bin/sh\n";
    let dir = make_root(&files);
    let root = dir.path().display().to_string();
    let found = open_host(dir.path(), false).run_checks();
    for finding in found.iter().filter(|f| f.rule != UNSEEN.id) {
        let fix = &finding.fix;
        for live in ["sysctl -", "gpasswd", "nft add", "visudo", "…"] {
            assert!(!fix.contains(live), "{fix}");
        }
        // What can work on another root is told to.
        for program in ["systemctl ", "passwd ", "userdel ", "useradd "] {
            let told = fix.matches(program).count();
            assert_eq!(told, fix.matches(&format!("{program}--root {root} ")).count(), "{fix}");
        }
        let words = fix.contains(&root) || finding.rule == "account" || fix.starts_with("chmod");
        assert!(words, "{finding:?}");
    }
    // A name of the image is no command.
    let fixes: Vec<&str> = found.iter().map(|f| f.fix.as_str()).collect();
    assert!(fixes.contains(&format!("userdel --root {root} '$(id) x'").as_str()), "{fixes:#?}");
    assert!(fixes.contains(&format!("passwd --root {root} -l guest").as_str()), "{fixes:#?}");
}

#[test]
fn checks_have_unique_ids() {
    let mut ids: Vec<_> = report_source(Severity::Error).rules.iter().map(|r| r.id).collect();
    ids.sort_unstable();
    let n = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), n);
}

#[test]
fn findings_of_an_image_come_from_its_files() {
    let mut files = ACCOUNTS.to_vec();
    files.extend([
        ("etc/sudoers", "root ALL=(ALL) ALL\n@includedir /etc/sudoers.d\nann ALL=(ALL) NOPASSWD: ALL\n"),
        ("etc/sudoers.d/docker", "%docker ALL=/usr/bin/docker\n"),
        ("etc/sudoers.d/old.bak", "ann ALL=ALL\n"),
        ("etc/login.defs", "#UMASK 077\nUMASK\t\t022\n"),
        ("etc/sysctl.d/10-a.conf", "kernel.randomize_va_space = 2\nnet/ipv6/bindv6only=0\n"),
        ("etc/sysctl.d/20-b.conf", "kernel.randomize_va_space=1\n"),
        ("etc/nftables.conf", "table inet filter { chain input { type filter hook input priority 0; } }\n"),
        (
            "etc/systemd/system/profd.service",
            "[Unit]\nUser=x\n[Service]\nExecStart=/bin/profd\nProtectSystem=\\\nstrict\n",
        ),
        ("etc/systemd/system/profd.service.d/x.conf", "[Service]\nNoNewPrivileges=yes\nUMask=0077\n"),
        ("usr/local/Ascend/set_env.sh", ""),
    ]);
    let dir = make_root(&files);
    std::fs::create_dir(dir.path().join("tmp")).unwrap();
    chmod(&dir.path().join("tmp"), 0o777);
    chmod(&dir.path().join("usr/local/Ascend/set_env.sh"), 0o666);
    let found = find_failures(&open_host(dir.path(), false));
    for wanted in [
        "account: is in group docker, which can start containers as root",
        "account: gives ann sudo rights: ann ALL=(ALL) NOPASSWD: ALL",
        "account: gives ann sudo rights: %docker ALL=/usr/bin/docker",
        "umask: umask 0022 of logins",
        "aslr: kernel.randomize_va_space is 1",
        "bindv6only: net.ipv6.bindv6only is 0",
        "firewall: nothing in the firewall keeps other hosts from the port",
        "tmp: mode 0777 without the sticky bit",
        "unit: has no User=: the daemon runs as root",
        "cann: mode 0666 lets others change the toolkit",
    ] {
        assert!(found.iter().any(|f| f == wanted), "{wanted} in {found:#?}");
    }
    let sandbox = |f: &&String| f.starts_with("unit: ") && f.contains("has no PrivateTmp: it shares /tmp");
    assert_eq!(found.iter().filter(sandbox).count(), 1, "{found:#?}");
    for absent in ["ProtectSystem", "NoNewPrivileges", "UMask", "profd.service: umask"] {
        assert!(!found.iter().any(|f| f.contains(absent)), "{absent} in {found:#?}");
    }
}

/// Each of these decides what the daemon or an account may do, and others can change it.
#[test]
fn what_others_can_change_is_found_wherever_it_decides() {
    let unit = "[Service]\nUser=ann\nEnvironmentFile=/etc/e1\nEnvironment=LD_PRELOAD=/opt/lib/x.so LD_LIBRARY_PATH=/opt/more\n\
                ExecStart=/usr/bin/profd --flagfile=/etc/f4 --config /etc/pg/profd.toml\n";
    let mut files = ACCOUNTS.to_vec();
    files.extend([
        ("etc/systemd/system/profd.service", unit),
        ("etc/systemd/system/profd.service.d/a.conf", "[Service]\nNice=1\n"),
        ("usr/lib/systemd/system/profd.service.d/b.conf", ""),
        ("etc/e1", "A=b\n"),
        ("etc/f4", "--port=1\n"),
        ("etc/pg/profd.toml", "certs-dir = '/x'\n"),
        ("opt/lib/x.so", ""),
        ("opt/more/y.so", ""),
        ("usr/bin/profd", ""),
        ("etc/sudoers", "@include more\n@includedir /etc/own.d\n@include missing\n"),
        ("etc/more", ""),
        ("etc/sudoers.d/a", ""),
        ("etc/own.d/a", ""),
        ("etc/shadow", ""),
    ]);
    let dir = make_root(&files);
    let changeable = |host: &AuditedHost| -> Vec<String> {
        let found = host.run_checks();
        let of = |f: &Finding| Path::new(&f.path).strip_prefix(dir.path()).unwrap().display().to_string();
        found.iter().filter(|f| f.found.contains(": others can ")).map(of).collect()
    };
    let open = || open_host(dir.path(), false);
    assert_eq!(changeable(&open()), Vec::<String>::new());
    let notes = open().run_checks();
    assert!(notes.iter().any(|f| f.path.ends_with("etc/missing") && f.rule == UNSEEN.id), "{notes:#?}");
    for (path, mode) in [
        ("etc/systemd/system/profd.service", 0o666),
        ("etc/systemd/system/profd.service.d/a.conf", 0o646),
        ("etc/systemd/system/profd.service.d", 0o777),
        ("usr/lib/systemd/system/profd.service.d", 0o775),
        ("etc/systemd/system", 0o777),
        ("etc/e1", 0o666),
        ("etc/f4", 0o666),
        ("etc/pg/profd.toml", 0o662),
        ("etc/pg", 0o777),
        ("opt/lib/x.so", 0o666),
        ("opt/lib", 0o777),
        ("opt/more", 0o777),
        ("usr/bin", 0o777),
        ("etc/sudoers", 0o660),
        ("etc/sudoers.d", 0o777),
        ("etc/own.d/a", 0o666),
        ("etc/more", 0o666),
        ("etc/own.d", 0o777),
        ("etc/passwd", 0o666),
        ("etc/shadow", 0o666),
        ("etc/group", 0o666),
    ] {
        let is_dir = dir.path().join(path).is_dir();
        chmod(&dir.path().join(path), mode);
        let found = changeable(&open());
        assert!(!found.is_empty() && found.iter().all(|place| place == path), "{path}: {found:?}");
        chmod(&dir.path().join(path), if is_dir { 0o755 } else { 0o644 });
    }
}

/// A setting is reported where it stands, and the fix is read after it.
#[test]
fn a_fix_comes_after_the_drop_in_that_it_corrects() {
    let unit = "[Service]\nUser=ann\nExecStart=/usr/bin/profd --certs-dir /x\n";
    for (name, later) in [("zz.conf", "zz.profguard.conf"), ("10-a.conf", "50-profguard.conf")] {
        let drop_in = format!("usr/lib/systemd/system/profd.service.d/{name}");
        let dir = make_root(&[
            ("usr/lib/systemd/system/profd.service", unit),
            (&drop_in, "[Service]\nUser=root\nAmbientCapabilities=CAP_CHOWN\n"),
        ]);
        let root = |found: &[Finding]| -> Option<(String, String)> {
            let finding = found.iter().find(|f| f.found.contains("as root"))?;
            Some((finding.path.clone(), finding.fix.clone()))
        };
        let (path, fix) = root(&open_host(dir.path(), false).run_checks()).unwrap();
        assert!(path.ends_with(&drop_in), "{path}");
        let place = format!("etc/systemd/system/profd.service.d/{later}");
        assert!(fix.contains(&place) && fix.ends_with("[Service] User=ann"), "{fix}");
        let place = dir.path().join(place);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        write(&place, 0o644, "[Service]\nUser=ann\n");
        let found = open_host(dir.path(), false).run_checks();
        assert_eq!(root(&found), None);
        // What else is to be set goes to the same file.
        let ambient = found.iter().find(|f| f.found.contains("AmbientCapabilities")).unwrap();
        assert!(ambient.fix.contains(later) && ambient.path.ends_with(&drop_in), "{ambient:?}");
    }
}

/// By consequence: what makes somebody root or lets others change code is an error, what only makes an attack easier
/// is not.
#[test]
fn severities_follow_consequences() {
    let files = [
        (
            "etc/passwd",
            "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\ntoor:x:0:0::/:/bin/sh\n",
        ),
        ("etc/group", "root:x:0:\nann:x:1000:\nadm:x:4:ann\ndocker:x:99:ann\n"),
        ("etc/shadow", "root:*:1::::::\nguest::1::::::\nann:!:1::::::\n"),
        ("etc/sudoers", "ann ALL=(ALL) NOPASSWD: ALL\nann ALL=(ALL) /usr/bin/systemctl restart profd\n"),
        (
            "etc/sysctl.d/10-a.conf",
            "fs.protected_fifos=0\nfs.protected_symlinks=0\nkernel.randomize_va_space=1\n",
        ),
        ("etc/systemd/system/profd.service", "[Service]\nExecStart=/opt/p/bin/profd --certs-dir /c\n"),
        ("opt/p/bin/profd", ""),
        ("home/ann/Ascend/ascend-toolkit/set_env.sh", ""),
        ("home/ann/Ascend/nnal/atb/set_env.sh", ""),
    ];
    let dir = make_root(&files);
    chmod(&dir.path().join("opt/p"), 0o777);
    chmod(&dir.path().join("home/ann/Ascend/ascend-toolkit/set_env.sh"), 0o666);
    chmod(&dir.path().join("home/ann/Ascend/nnal/atb"), 0o775);
    let found = open_host(dir.path(), false).run_checks();
    for (severity, text) in [
        (Severity::Error, "NOPASSWD: ALL"),
        (Severity::Warning, "systemctl restart profd"),
        (Severity::Error, "is in group docker"),
        (Severity::Warning, "is in group adm"),
        (Severity::Error, "has uid 0: it is root under another name"),
        (Severity::Error, "guest has no password"),
        (Severity::Error, "kernel.randomize_va_space is 1"),
        (Severity::Warning, "fs.protected_symlinks is 0"),
        (Severity::Note, "fs.protected_fifos is 0"),
        (Severity::Error, "has no User=: the daemon runs as root"),
        (Severity::Warning, "has no NoNewPrivileges"),
        (Severity::Error, "profd.service starts /opt/p/bin/profd, and /opt/p is owned by"),
        (Severity::Error, "mode 0666 lets others change the toolkit"),
        (Severity::Error, "mode 0775 lets others change the toolkit"),
    ] {
        let about: Vec<_> = found.iter().filter(|f| f.found.contains(text)).collect();
        assert!(!about.is_empty() && about.iter().all(|f| f.severity == severity), "{text}: {about:#?}");
    }
    // An account with a password that fits nothing has one.
    assert!(!found.iter().any(|f| f.found.contains("ann has no password")));
    // One command sets all of the sandbox.
    let sandbox = found.iter().find(|f| f.found.contains("has no NoNewPrivileges")).unwrap();
    let command = &sandbox.fix;
    assert!(
        command.starts_with("mkdir -p ") && command.contains("'[Service]' 'NoNewPrivileges=yes'"),
        "{command}"
    );
}

const SETTINGS: [(&str, &str); 9] = [
    ("proc/sys/kernel/randomize_va_space", "2\n"),
    ("proc/sys/kernel/yama/ptrace_scope", "1\n"),
    ("proc/sys/kernel/core_pattern", "|/usr/lib/systemd/systemd-coredump %P\n"),
    ("proc/sys/fs/suid_dumpable", "2\n"),
    ("proc/sys/fs/protected_hardlinks", "1\n"),
    ("proc/sys/fs/protected_symlinks", "1\n"),
    ("proc/sys/fs/protected_fifos", "1\n"),
    ("proc/sys/fs/protected_regular", "2\n"),
    ("proc/sys/net/ipv6/bindv6only", "1\n"),
];

const LOOPBACK: &str =
    "  sl  local_address\n   0: 0100007F:06F2 00000000:0000 0A 0:0 00:0 0  1000        0 1 1 x\n";

#[test]
fn a_hardened_host_has_no_findings_and_a_bad_setting_has_one() {
    let mut files = SETTINGS.to_vec();
    files.extend([
        ACCOUNTS[0],
        ("etc/group", "root:x:0:\nann:x:1000:\n"),
        ("proc/self/status", "Name:\tx\nUmask:\t0027\n"),
        ("proc/self/limits", "Max core file size        unlimited            unlimited            bytes\n"),
        ("proc/net/tcp", LOOPBACK),
        ("run/systemd/timesync/synchronized", ""),
    ]);
    let dir = make_root(&files);
    let good = open_host(dir.path(), true);
    assert_eq!(find_failures(&good), Vec::<String>::new());
    write(&dir.path().join("proc/sys/fs/protected_regular"), 0o644, "0\n");
    write(&dir.path().join("proc/self/status"), 0o644, "Umask:\t0022\n");
    write(&dir.path().join("proc/sys/kernel/core_pattern"), 0o644, "core\n");
    write(&dir.path().join("proc/net/tcp"), 0o644, LOOPBACK.replace("0100007F", "00000000"));
    std::fs::remove_file(dir.path().join("run/systemd/timesync/synchronized")).unwrap();
    let found = find_failures(&good);
    for wanted in [
        "protected-links: fs.protected_regular is 0",
        "umask: umask 0022 of this process",
        "core-dumps: fs.suid_dumpable is 2: privileged programs dump core",
        "core-dumps: core files of this process may have unlimited bytes",
        "listen: a process of ann (uid 1000) listens on 0.0.0.0: all addresses of this host",
        "clock: no time service runs (chronyd, ntpd, systemd-timesyncd, ptp4l)",
    ] {
        assert!(found.iter().any(|f| f == wanted), "{wanted} in {found:#?}");
    }
}

#[test]
fn input_that_cannot_be_read_is_a_note() {
    let dir = make_root(&[]);
    let unseen: Vec<_> =
        open_host(dir.path(), true).run_checks().into_iter().filter(|f| f.rule == UNSEEN.id).collect();
    assert!(unseen.iter().any(|f| f.path == "kernel.randomize_va_space"), "{unseen:#?}");
    assert!(unseen.iter().any(|f| f.path.ends_with("etc/group")), "{unseen:#?}");
}

/// A FIFO in the place of an account file, and a link out of the image to the host's own.
#[test]
fn account_files_of_an_image_are_read_without_waiting_and_from_the_image_only() {
    let dir = make_root(&[("etc/hostname", "x")]);
    let fifo = dir.path().join("etc/passwd");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
        .unwrap();
    assert_eq!(common::accounts::AccountTable::load(dir.path()).user_name(0), None);
    std::fs::remove_file(&fifo).unwrap();
    std::os::unix::fs::symlink("/etc/shadow-of-the-image", &fifo).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("etc/group")).unwrap();
    assert_eq!(common::accounts::AccountTable::load(dir.path()).user_name(0), None);
}

#[test]
fn symlinks_of_an_image_are_resolved_in_the_image() {
    let dir = make_root(&[("real/login.defs", "UMASK 000\n")]);
    std::fs::create_dir(dir.path().join("etc")).unwrap();
    std::os::unix::fs::symlink("/real/login.defs", dir.path().join("etc/login.defs")).unwrap();
    std::os::unix::fs::symlink("../../../../../../etc/passwd", dir.path().join("etc/profile")).unwrap();
    assert_eq!(open_host(dir.path(), false).read_file("etc/login.defs").unwrap(), "UMASK 000\n");
    assert!(open_host(dir.path(), false).read_file("etc/profile").is_err());
}

#[test]
fn variables_that_leave_the_toolkit_are_findings() {
    let dir = make_root(&ACCOUNTS);
    let mut host = open_host(dir.path(), false);
    let env = [
        ("ASCEND_TOOLKIT_HOME", "/opt/Ascend/ascend-toolkit/latest"),
        ("ASCEND_OPP_PATH", "/tmp/opp"),
        ("LD_LIBRARY_PATH", "/opt/Ascend/lib64::rel"),
    ];
    host.env = env.map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec();
    let found: Vec<_> = find_failures(&host).into_iter().filter(|f| f.starts_with("cann")).collect();
    assert_eq!(
        found,
        [
            "cann: is /tmp/opp, not below /opt/Ascend/ascend-toolkit",
            "cann: holds \"\", which is relative to the current directory",
            "cann: holds \"rel\", which is relative to the current directory",
        ]
    );
}

#[test]
fn files_that_include_themselves_are_read_once() {
    let mut files = ACCOUNTS.to_vec();
    let (sudoers, nft) =
        ("@include /etc/sudoers\n".repeat(12), "include \"/etc/nftables.conf\"\n".repeat(12));
    let nft = nft + "include \"nftables.d/*.nft\"\n";
    files.push(("etc/sudoers", &sudoers));
    files.push(("etc/nftables.conf", &nft));
    let drop = "table inet f { chain i { type filter hook input priority 0; policy drop; } }\n";
    files.push(("etc/nftables.d/a.nft", drop));
    let dir = make_root(&files);
    let found = find_failures(&open_host(dir.path(), false));
    assert!(!found.iter().any(|f| f.contains("nothing in the firewall")), "{found:?}");
}

#[test]
fn fixes_name_the_given_account_and_its_home_is_checked() {
    let mut files = ACCOUNTS.to_vec();
    files.extend([("etc/systemd/system/profd.service", "[Service]\nExecStart=profd\n"), ("home/ann/x", "")]);
    let dir = make_root(&files);
    chmod(&dir.path().join("home/ann"), 0o755);
    let all = open_host(dir.path(), false).run_checks();
    assert!(all.iter().any(|f| f.fix.ends_with("[Service] User=ann")), "{all:#?}");
    assert!(all.iter().any(|f| f.found == "home directory of ann with mode 0755"), "{all:#?}");
}

/// The file that has the last word is the one to change.
#[test]
fn the_fix_of_a_setting_overrides_existing_files() {
    let name = "kernel.randomize_va_space";
    for (file, advice) in [
        ("etc/sysctl.d/99-x.conf", "etc/sysctl.d/99-x.conf"),
        ("etc/sysctl.conf", "etc/sysctl.conf"),
        ("etc/sysctl.d/10-x.conf", "etc/sysctl.d/99-profguard.conf"),
        ("usr/local/lib/sysctl.d/x.conf", "etc/sysctl.d/zz-profguard.conf"),
    ] {
        let dir = make_root(&[(file, "kernel.randomize_va_space = 0\n")]);
        let all = open_host(dir.path(), false).run_checks();
        let finding = all.iter().find(|f| f.rule == "aslr").unwrap();
        assert!(
            finding.fix.contains(&format!("`{name} = 2` in {}/{advice}", dir.path().display())),
            "{finding:?}"
        );
    }
}

#[test]
fn rules_without_a_service_and_a_missing_time_service_are_reported() {
    let drop = "table inet f { chain i { type filter hook input priority 0; policy drop; } }\n";
    let dir = make_root(&[("etc/nftables.conf", drop)]);
    let all = open_host(dir.path(), false).run_checks();
    assert!(all.iter().any(|f| f.found.starts_with("not loaded at boot")), "{all:#?}");
    assert!(all.iter().any(|f| f.found.starts_with("no time service is enabled")), "{all:#?}");
    for service in ["sysinit.target.wants/nftables.service", "multi-user.target.wants/chrony.service"] {
        let link = dir.path().join("etc/systemd/system").join(service);
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink("/usr/lib/systemd/system/x.service", link).unwrap();
    }
    let all = open_host(dir.path(), false).run_checks();
    assert!(
        !all.iter().any(|f| f.found.starts_with("no service") || f.found.starts_with("no time")),
        "{all:#?}"
    );
}

/// All findings about an image with these files, notes included.
pub(crate) fn find_all(files: &[(&str, &str)]) -> Vec<(Severity, String)> {
    let dir = make_root(files);
    let all = open_host(dir.path(), false).run_checks();
    all.into_iter().map(|f| (f.severity, f.found.replace(&dir.path().display().to_string(), ""))).collect()
}

/// Firewalls of images: a manager whose files are not read, files that are included several times or not at all.
#[test]
fn an_image_is_not_open_when_a_source_of_rules_is_unread() {
    let accept = "table inet f { chain i { type filter hook input priority 0; policy accept; } }\n";
    let open = |files: &[(&str, &str)]| {
        let said = find_all(files);
        let open = said.iter().any(|(_, text)| text.starts_with("nothing in the firewall"));
        let unsure = said
            .iter()
            .any(|(s, t)| *s == Severity::Note && (t.contains("unsure") || t.contains("not all rules")));
        assert!(open != unsure || files.is_empty() || !open && !unsure, "{said:#?}");
        (open, unsure)
    };
    assert_eq!(open(&[("etc/nftables.conf", accept)]), (true, false));
    let ufw = [
        ("etc/nftables.conf", accept),
        ("etc/systemd/system/multi-user.target.wants/ufw.service", "x"),
        ("etc/ufw/ufw.conf", "ENABLED=yes\n"),
    ];
    assert_eq!(open(&ufw), (false, true));
    assert_eq!(open(&[ufw[0], ufw[1], ("etc/ufw/ufw.conf", "ENABLED=no\n")]), (true, false));
    assert_eq!(open(&[("etc/nftables.conf", &format!("{accept}include \"/etc/missing\"\n"))]), (false, true));
    assert_eq!(
        open(&[("etc/nftables.conf", &format!("{accept}include \"/etc/none.d/*\"\n"))]),
        (true, false)
    );
    // The same file in two chains.
    let twice = "table inet f { chain a {\ninclude \"r\"\n}\n chain i { type filter hook input priority 0;\ninclude \"r\"\n} }\n";
    assert_eq!(open(&[("etc/nftables.conf", twice), ("etc/r", "tcp dport 1778 drop\n")]), (false, false));
}
