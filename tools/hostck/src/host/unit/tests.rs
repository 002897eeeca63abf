//! Units by their commands: which of them run the daemon.

use super::*;
use crate::tests::{clean_dir, write};

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
        "/usr/bin/bwrap --ro-bind / / --dev /dev profd --certs-dir NO_CERTS",
        "/usr/bin/systemd-run --uid dynolog -p MemoryMax=1G profd --certs-dir NO_CERTS",
        "/bin/su dynolog -c \"profd --certs-dir NO_CERTS\"",
        "/bin/su - dynolog -c \"exec /usr/bin/profd --certs-dir NO_CERTS\"",
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
}
