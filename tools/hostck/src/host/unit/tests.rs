//! Units by their commands: which of them run the daemon.

use super::*;
use crate::host::UNSEEN;
use crate::host::tests::{find_all, find_failures, make_root, open_host};
use crate::tests::{chmod, clean_dir, write};

/// Whether a unit with these settings is the daemon's, and whether it is found to serve without certificates.
fn judge_unit(settings: &str) -> (bool, bool) {
    let dir = clean_dir();
    let units = dir.path().join("etc/systemd/system");
    std::fs::create_dir_all(&units).unwrap();
    write(&units.join("metrics.service"), 0o644, format!("[Service]\n{settings}\n"));
    let host = AuditedHost::open(dir.path(), false, None, 1778).unwrap();
    let about_unit = |f: &Finding| f.rule != "unseen" && f.path.ends_with("metrics.service");
    let unit = (CHECK.run)(&host, &CHECK).iter().any(about_unit);
    let no_tls = (NO_TLS.run)(&host, &NO_TLS).iter().any(about_unit);
    (unit, no_tls)
}

/// The name of the program may stand in a variable.
#[test]
fn units_are_the_daemons_by_the_expanded_command() {
    for settings in [
        "Environment=CMD=/usr/bin/profd\nExecStart=/usr/bin/env $CMD --certs-dir NO_CERTS",
        "Environment=\"CMD=profd --certs-dir NO_CERTS\"\nExecStart=/usr/bin/env $CMD",
        "Environment=DIR=/opt/bin\nExecStart=/usr/bin/nice ${DIR}/dynolog --certs-dir NO_CERTS",
        "Environment=NAME=profd\nExecStart=/bin/sh -c \"exec /usr/bin/${NAME} --certs-dir NO_CERTS\"",
    ] {
        assert_eq!(judge_unit(settings), (true, true), "{settings}");
    }
    let other = "Environment=CMD=/usr/bin/other\nExecStart=/usr/bin/env $CMD --certs-dir NO_CERTS";
    assert_eq!(judge_unit(other), (false, false));
}

/// An account, a group or a directory of the daemon's name is not the daemon.
#[test]
fn words_that_are_not_the_program_do_not_make_a_unit_the_daemons() {
    for line in [
        "/usr/sbin/runuser -u dynolog -- /opt/other",
        "/usr/sbin/runuser -u dynolog /opt/other --certs-dir NO_CERTS",
        "/usr/bin/setpriv --reuid dynolog --regid=dynolog --init-groups /opt/other",
        "/usr/bin/setpriv --reuid dynolog --regid dynolog --clear-groups other",
        "/usr/bin/sudo -u dynolog -g profd /opt/other",
        "/usr/bin/sudo --user dynolog -- other",
        "/bin/su dynolog -c /opt/other",
        "/bin/su - dynolog -c \"/opt/other --certs-dir NO_CERTS\"",
        "/usr/bin/systemd-run --uid dynolog --gid dynolog --unit profd /opt/other",
        "/usr/sbin/chroot --userspec=dynolog:dynolog /srv/dynolog /opt/other",
        "/usr/sbin/chroot /srv/profd /opt/other",
        "/usr/bin/nice -n 5 /opt/other profd",
        "/usr/bin/nice tail dynolog",
        "/usr/bin/env dynolog=1 /opt/other",
        "/bin/sh -c \"chown dynolog /run/x; exec /opt/other --certs-dir NO_CERTS\"",
        "/bin/sh -c \"exec runuser -u dynolog -- /opt/other\"",
        "/bin/sh -c \". /etc/default/profd; test -x /usr/bin/dynolog || exec /opt/other\"",
        "/usr/bin/chmod 0550 /usr/bin/profd",
    ] {
        assert_eq!(judge_unit(&format!("ExecStart={line}")), (false, false), "{line}");
    }
}

#[test]
fn the_daemon_is_found_behind_every_starter() {
    for line in [
        "/usr/sbin/runuser -u dynolog -- profd --certs-dir NO_CERTS",
        "/usr/sbin/runuser -u dynolog /usr/bin/profd --certs-dir NO_CERTS",
        "/usr/bin/setpriv --reuid dynolog --regid dynolog --init-groups profd --certs-dir NO_CERTS",
        "/usr/bin/sudo -u dynolog -- profd --certs-dir NO_CERTS",
        "/usr/bin/timeout 5 profd --certs-dir NO_CERTS",
        "/usr/bin/taskset -c 0-3 profd --certs-dir NO_CERTS",
        "/usr/bin/chrt -f 10 profd --certs-dir NO_CERTS",
        "/usr/bin/numactl --interleave all profd --certs-dir NO_CERTS",
        "/usr/bin/nice -n 5 ionice -c 3 env A=b profd --certs-dir NO_CERTS",
        "/usr/sbin/chroot /srv profd --certs-dir NO_CERTS",
        "/usr/bin/numactl --preferred-many 0,1 -C 0-7 profd --certs-dir NO_CERTS",
        "/usr/bin/sudo --prompt profctl -u dynolog profd --certs-dir NO_CERTS",
        "/usr/bin/unshare --map-users 0,1000,1 --user profd --certs-dir NO_CERTS",
        "/usr/sbin/chroot --userspec 5:5 /srv profd --certs-dir NO_CERTS",
        "/usr/bin/systemd-run --on-boot 5 --uid dynolog profd --certs-dir NO_CERTS",
        "/usr/bin/tini -p SIGTERM -e 143 -- profd --certs-dir NO_CERTS",
        "/usr/bin/bwrap --ro-bind / / --dev /dev profd --certs-dir NO_CERTS",
        "/usr/bin/bwrap --overlay a b /c --chmod 0700 /d --unsetenv X profd --certs-dir NO_CERTS",
        "/usr/bin/systemd-run --uid dynolog -p MemoryMax=1G profd --certs-dir NO_CERTS",
        "/bin/su dynolog -c \"profd --certs-dir NO_CERTS\"",
        "/bin/su - dynolog -c \"exec /usr/bin/profd --certs-dir NO_CERTS\"",
        "/bin/su -s /bin/sh dynolog -- -c \"profd --certs-dir NO_CERTS\"",
        "/usr/bin/env -S \"A=b profd --certs-dir NO_CERTS\"",
        "/bin/sh -c \"test -x /usr/bin/profd && exec profd --certs-dir NO_CERTS\"",
        "/bin/sh -c \"nice -n 5 profd 2>&1 --certs-dir NO_CERTS\"",
        "/usr/bin/tini -- /bin/bash -c \"if true; then profd --certs-dir NO_CERTS; fi\"",
        "/opt/wrapper -- /usr/bin/profd --certs-dir NO_CERTS",
    ] {
        assert_eq!(judge_unit(&format!("ExecStart={line}")), (true, true), "{line}");
    }
    // Nesting of any depth ends.
    let nested = "sh -c ".repeat(5_000) + "profd";
    judge_unit(&format!("ExecStart={nested}\nExecStart={} profd", "env ".repeat(5_000)));
    // Each command is searched once, however starters and texts are nested.
    let start = std::time::Instant::now();
    let text = (0..6).fold("tail x y".repeat(2_000), |inner, _| {
        format!("{}'{}'", "env ".repeat(12), inner.replace('\\', "\\\\").replace('\'', "\\'"))
    });
    judge_unit(&format!("ExecStart={text}\nExecStart=/bin/su {text}"));
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

fn find_unit_failures(files: &[(&str, &str)]) -> Vec<String> {
    let dir = make_root(files);
    std::os::unix::fs::symlink("/dev/null", dir.path().join("etc/systemd/system/dynolog.service")).unwrap();
    find_failures(&open_host(dir.path(), false))
        .into_iter()
        .filter_map(|f| Some(f.strip_prefix("unit: ")?.to_owned()))
        .collect()
}

#[test]
fn units_are_the_daemons_by_what_they_start_and_not_when_masked() {
    let start =
        "[Service]\nUser=x\nExecStart=-/usr/bin/env A=b /opt/bin/profd --port 1 --bind 10.0.0.1 --bind=::\n";
    let lib = "usr/lib/systemd/system/dynolog.service";
    let all = find_unit_failures(&[
        ("etc/systemd/system/metrics@.service", start),
        (lib, "[Service]\nExecStart=/bin/dynolog\n"),
    ]);
    assert!(all.contains(&"starts the daemon with --bind ::: on every address".to_owned()), "{all:?}");
    assert!(all.iter().any(|f| f.contains("has no SystemCallFilter")), "{all:?}");
    // The other one is masked.
    assert!(!all.iter().any(|f| f.contains("as root")), "{all:?}");
    // Drop-ins for the template, for its kind, and one that is hidden by an empty file of the same name.
    let all = find_unit_failures(&[
        ("etc/systemd/system/met-rics@.service", start),
        ("usr/lib/systemd/system/met-.service.d/a.conf", "[Service]\nSystemCallFilter=@system-service\n"),
        (
            "etc/systemd/system/met-rics@.service.d/b.conf",
            "[Service]\nExecStart=\nExecStart=profd\nCapabilityBoundingSet=\n",
        ),
        ("usr/lib/systemd/system/met-rics@.service.d/c.conf", "[Service]\nUser=root\n"),
        ("etc/systemd/system/met-rics@.service.d/c.conf", ""),
    ]);
    for absent in ["SystemCallFilter", "--bind", "CapabilityBoundingSet", "root"] {
        assert!(!all.iter().any(|f| f.contains(absent)), "{absent} in {all:?}");
    }
    // Others may only speak of it.
    let other = "[Service]\nExecStart=/usr/bin/profctl status --name profd\n";
    assert!(find_unit_failures(&[("etc/systemd/system/x.service", other)]).is_empty());
}

#[test]
fn a_unit_without_certificates_or_sandbox_has_findings() {
    let unit = |exec: &str| {
        let text = format!(
            "[Service]\nUser=prof\nExecStart={exec}\nCapabilityBoundingSet=CAP_SYS_ADMIN\nAmbientCapabilities=CAP_NET_RAW\nSystemCallFilter=~@mount\n"
        );
        let dir = make_root(&[
            ("etc/systemd/system/profd.service", &text),
            ("etc/passwd", "prof:x:0:1500::/home/prof:/bin/sh\n"),
        ]);
        chmod(&dir.path().join("etc/systemd/system/profd.service"), 0o666);
        let host = AuditedHost::open(dir.path(), false, Some("prof".into()), 1778).unwrap();
        host.run_checks()
    };
    let all = unit("profd --certs-dir NO_CERTS --insecure-listen --bind 10.0.0.5");
    let told = |text: &str| {
        all.iter().find(|f| f.found.contains(text)).unwrap_or_else(|| panic!("{text}: {all:#?}"))
    };
    assert_eq!(told("--certs-dir NO_CERTS").severity, Severity::Error);
    assert_eq!(told("mode 0666: others can change").severity, Severity::Error);
    told("has uid 0");
    told("runs the daemon as root: User=prof");
    told("CapabilityBoundingSet=CAP_SYS_ADMIN");
    told("AmbientCapabilities=CAP_NET_RAW");
    told("SystemCallFilter=~@mount");
    assert!(unit("+profd --certs-dir /c").iter().any(|f| f.found.contains("do not apply")));
    assert!(!unit("profd --certs-dir /c").iter().any(|f| f.rule == "no-tls"));
}

/// Flag files, comments within joined lines, drop-ins and variables: the option is found wherever it stands.
#[test]
fn a_daemon_without_certificates_is_found_wherever_the_option_stands() {
    let unit = "etc/systemd/system/profd.service";
    let cases: [&[(&str, &str)]; 8] = [
        &[
            (unit, "[Service]\nExecStart=/usr/bin/profd --flagfile=/etc/prof.flags\n"),
            ("etc/prof.flags", "--port=1778\n--certs-dir=NO_CERTS\n"),
        ],
        &[
            (unit, "[Service]\nWorkingDirectory=/srv\nExecStart=/usr/bin/profd -flagfile a,b\n"),
            ("srv/a", "# nothing\n"),
            ("srv/b", "--certs_dir=NO_CERTS\n"),
        ],
        &[(
            unit,
            "[Service]\nExecStart=/usr/bin/profd \\\n# the port\n  --port 1778 \\\n; plain\\\n--certs-dir NO_CERTS\n",
        )],
        &[
            (unit, "[Service]\nExecStart=/usr/bin/profd --certs-dir /x\n"),
            (
                "etc/systemd/system/profd.service.d/a.conf",
                "[Service]\nExecStart=\nExecStart=-profd --certs-dir NO_CERTS\n",
            ),
        ],
        &[
            (
                unit,
                "[Service]\nEnvironmentFile=-/etc/default/none\nEnvironmentFile=/etc/default/profd\nExecStart=profd $OPTS\n",
            ),
            ("etc/default/profd", "OPTS=\"--port 1 --certs-dir NO_CERTS\"\n"),
        ],
        &[(unit, "[Service]\nEnvironment=\"MODE=NO_CERTS\" B=c\nExecStart=profd --certs-dir=${MODE}\n")],
        &[(unit, "[Service]\nExecStart=/bin/sh -c 'exec profd --certs-dir NO_CERTS'\n")],
        &[(unit, "[Service]\nEnvironment=FLAGS_certs_dir=NO_CERTS\nExecStart=dynolog --fromenv=certs_dir\n")],
    ];
    for files in cases {
        let said = find_all(files);
        let told = |(severity, text): &(Severity, String)| {
            *severity == Severity::Error && text.starts_with("starts the daemon with --certs-dir NO_CERTS")
        };
        assert!(said.iter().any(told), "{files:?}: {said:#?}");
    }
}

/// Options of a daemon that cannot be read are a note, neither silence nor another finding.
#[test]
fn options_that_are_not_known_are_notes() {
    let unit = "etc/systemd/system/profd.service";
    for exec in [
        "profd --flagfile=/etc/missing",
        "profd $UNSET",
        "profd --certs-dir=%i",
        "/usr/local/bin/start-it",
        "/bin/sh -c 'profd --certs-dir $DIR'",
    ] {
        let text = format!("[Service]\nExecStart={exec}\n");
        let said = find_all(&[(unit, &text)]);
        let note = |(severity, text): &(Severity, String)| {
            *severity == Severity::Note && text.contains("options") && text.contains("known")
        };
        assert!(said.iter().any(note), "{exec}: {said:#?}");
        assert!(!said.iter().any(|(_, text)| text.contains("NO_CERTS")), "{exec}: {said:#?}");
    }
    let known = find_all(&[(unit, "[Service]\nExecStart=profd \\\n# it\n--certs-dir /x\n")]);
    assert!(
        !known.iter().any(|(_, text)| text.contains("options") || text.contains("certs-dir")),
        "{known:#?}"
    );
}

/// A unit that cannot be read may start the daemon.
#[test]
fn units_that_cannot_be_read_are_notes() {
    let dir = make_root(&[("etc/systemd/system/other.service/x", "")]);
    let all = open_host(dir.path(), false).run_checks();
    assert!(all.iter().any(|f| f.rule == UNSEEN.id && f.path.ends_with("other.service")), "{all:#?}");
}
