//! What the daemon gives up: privileges, core dumps, new programs, files elsewhere.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test program")]

mod harness;

use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

use harness::{Deployment, Guard, command, finish};
use serde_json::Value;

/// The value of a line of `/proc/<pid>/status`, of every thread the same one.
fn status_of_all_threads(pid: u32, key: &str) -> String {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let values: std::collections::BTreeSet<String> = tasks
        .map(|task| {
            let text = std::fs::read_to_string(task.unwrap().path().join("status")).unwrap();
            let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
            line.trim_start_matches(':').split_whitespace().collect::<Vec<_>>().join(" ")
        })
        .collect();
    assert_eq!(values.len(), 1, "{key} differs between threads: {values:?}");
    values.into_iter().next().unwrap()
}

#[test]
fn every_thread_of_the_daemon_is_confined() {
    let d = Deployment::with_tls();
    d.profctl(&["version"]).expect(0);
    let pid = d.daemon.pid();
    assert_eq!(status_of_all_threads(pid, "NoNewPrivs"), "1");
    // 2 is a filter (proc_pid_status(5)).
    assert_eq!(status_of_all_threads(pid, "Seccomp"), "2");
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert!(core.split_whitespace().filter(|word| *word == "0").count() == 2, "{core}");
}

#[test]
fn a_daemon_of_root_becomes_the_given_user() {
    if !testkit::require_root() {
        return;
    }
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    if !passwd.lines().any(|line| line.starts_with("nobody:")) {
        return testkit::skip("there is no user nobody");
    }
    let dir = tempfile::Builder::new().prefix("pg").tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    // Only root can create the socket here.
    let ipc = dir.path().join("ipc");
    std::fs::create_dir(&ipc).unwrap();
    let mut daemon = command("profd");
    daemon.args(["--certs-dir", "NO_CERTS", "--port", "0", "--bind", "127.0.0.1", "--format", "json"]);
    daemon.args(["--enable-ipc-monitor", "--user", "nobody", "--ipc"]);
    daemon.arg(format!("dir={}", ipc.display()));
    let mut daemon = Guard(daemon.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let mut ready = String::new();
    BufReader::new(daemon.0.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    let ready: Value = serde_json::from_str(&ready).unwrap_or_else(|_| {
        let mut text = String::new();
        let _ = std::io::Read::read_to_string(&mut daemon.0.stderr.take().unwrap(), &mut text);
        panic!("profd did not start: {text}")
    });
    let nobody = passwd.lines().find(|line| line.starts_with("nobody:")).unwrap().split(':').nth(2).unwrap();
    let uids = status_of_all_threads(daemon.pid(), "Uid");
    assert_eq!(uids, [nobody; 4].join(" "), "real, effective, saved and file system user");
    let socket = std::fs::symlink_metadata(ipc.join("dynolog")).unwrap();
    assert_eq!((socket.uid().to_string().as_str(), socket.mode() & 0o777), (nobody, 0o600));
    let port = ready["addresses"][0].as_str().unwrap().rsplit(':').next().unwrap().to_owned();
    let mut client = command("profctl");
    client.args(["--certs-dir", "NO_CERTS", "--hostname", "127.0.0.1", "--port", &port, "version"]);
    finish(&mut client).expect(0);
}

/// The exposure that systemd computes from the options of the unit, from 0 (least) to 10.
#[test]
fn the_unit_is_little_exposed() {
    let Some(analyze) = testkit::require("systemd-analyze") else { return };
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/profd.service");
    let done =
        Command::new(analyze).args(["security", "--offline=true", "--no-pager"]).arg(unit).output().unwrap();
    let text = String::from_utf8_lossy(&done.stdout);
    let Some(line) = text.lines().find(|line| line.contains("Overall exposure level")) else {
        return testkit::skip("systemd-analyze does not assess units offline");
    };
    let exposure: f64 = line.split(": ").nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap();
    assert!(exposure <= 2.0, "{line}");
}

/// Landlock keeps a confined process from the environments of others; one thread of the daemon reads them.
#[test]
fn a_confined_daemon_knows_the_rank_and_the_job_of_a_process() {
    let d = Deployment::plain();
    let mut demo = command("proftap");
    demo.args(["demo", "--step-time", "5ms"]).env("KINETO_IPC_SOCKET_DIR", d.ipc());
    demo.env("RANK", "3").env("LOCAL_RANK", "1").env("WORLD_SIZE", "8").env("SLURM_JOB_ACCOUNT", "lab");
    let job = Guard(demo.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    d.registered(job.pid());
    let listed = d.profctl(&["--format", "json", "status", "--processes"]).expect(0);
    let record = &listed.of_type("profctl.processes")[0];
    let process = &record["processes"][0];
    assert_eq!((&record["total"], &process["pid"]), (&1.into(), &job.pid().into()), "{record}");
    assert_eq!(
        (&process["rank"], &process["local_rank"], &process["world_size"]),
        (&3.into(), &1.into(), &8.into()),
        "{record}"
    );
    assert_eq!((&process["command"], &process["slurm_account"]), (&"proftap".into(), &"lab".into()));
    let table = d.profctl(&["status", "--processes"]).expect(0).stdout;
    assert!(table.contains("1 process\n  PID ") && table.contains("proftap"), "{table}");
    let health = d.profctl(&["--format", "json", "status", "--health"]).expect(0);
    assert_eq!(health.of_type("profctl.health")[0]["health"]["status"], "ok");
}

/// Credentials as systemd leaves them where the file system has ACLs: of root, with the mask of the ACL as mode of the group.
#[test]
fn certificates_and_the_passphrase_can_be_credentials_of_a_service() {
    if !testkit::require_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let passphrase = dir.path().join("passphrase");
    std::fs::write(&passphrase, "open sesame, and be quick\n").unwrap();
    std::fs::set_permissions(&passphrase, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut mint = command("certck");
    mint.args(["mint", "--encrypt", "--passphrase-file"]).arg(&passphrase).arg(dir.path().join("pki"));
    finish(&mut mint).expect(0);
    let credentials = dir.path().join("credentials");
    std::fs::create_dir(&credentials).unwrap();
    for name in ["ca.crt", "server.crt", "server.key", "ca.crl"] {
        std::fs::copy(dir.path().join("pki/server_certs").join(name), credentials.join(name)).unwrap();
    }
    std::fs::copy(&passphrase, credentials.join("passphrase")).unwrap();
    for entry in std::fs::read_dir(&credentials).unwrap() {
        std::fs::set_permissions(entry.unwrap().path(), std::fs::Permissions::from_mode(0o440)).unwrap();
    }
    std::fs::set_permissions(&credentials, std::fs::Permissions::from_mode(0o550)).unwrap();
    let check = |more: &[&str], variable: &str| {
        let mut profd = command("profd");
        finish(profd.args(["--check-config", "--port", "0"]).args(more).env(variable, &credentials))
    };
    check(&[], "CREDENTIALS_DIRECTORY").expect(0);
    let elsewhere = check(&["--certs-dir", credentials.to_str().unwrap()], "OTHER_DIRECTORY").expect(2);
    assert!(
        elsewhere.stderr.contains("mode 0550") && elsewhere.stderr.contains("mode 0440"),
        "{}",
        elsewhere.stderr
    );
    std::fs::set_permissions(credentials.join("server.key"), std::fs::Permissions::from_mode(0o444)).unwrap();
    let open = check(&[], "CREDENTIALS_DIRECTORY").expect(2);
    assert!(open.stderr.contains("mode 0444"), "others may read it: {}", open.stderr);
}

#[test]
fn systemd_accepts_the_units() {
    let Some(analyze) = testkit::require("systemd-analyze") else { return };
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging");
    let dir = tempfile::tempdir().unwrap();
    let mut verify = Command::new(analyze);
    verify.args(["verify", "--man=no", "--recursive-errors=no"]);
    for unit in ["profd.service", "profd.socket"] {
        let text = std::fs::read_to_string(packaging.join(unit)).unwrap();
        std::fs::write(dir.path().join(unit), text.replace("/usr/local/bin/profd", harness::bin("profd")))
            .unwrap();
        verify.arg(dir.path().join(unit));
    }
    let done = finish(&mut verify);
    if done.stderr.contains("Failed to initialize manager") {
        return testkit::skip("systemd-analyze does not verify units here");
    }
    assert_eq!((done.status, done.stderr.as_str()), (Some(0), ""));
}

/// The unit of dynolog (scripts/dynolog.service, c3a231a) starts it like this.
#[test]
fn a_daemon_by_the_name_of_the_existing_one_starts_with_its_flag_file() {
    let dir = tempfile::Builder::new().prefix("pg").tempdir_in("/tmp").unwrap();
    let link = dir.path().join("dynolog");
    std::os::unix::fs::symlink(harness::bin("profd"), &link).unwrap();
    let flags = dir.path().join("dynolog.gflags");
    let ipc = dir.path().join("ipc");
    std::fs::create_dir(&ipc).unwrap();
    std::fs::set_permissions(&ipc, std::fs::Permissions::from_mode(0o700)).unwrap();
    let text = format!(
        "# dynolog\n--enable_ipc_monitor\n--port=0\n--ipc=dir={}\n--use_prometheus=false\n--nouse_ODS\n\
         --kernel_monitor_reporting_interval_s=60\n--enable_gpu_monitor\n--dcgm_fields=100,155\n--v=1\n",
        ipc.display()
    );
    std::fs::write(&flags, text).unwrap();
    let mut daemon = Command::new(&link);
    daemon.env_clear().arg(format!("--flagfile={}", flags.display())).args(["--format", "json"]);
    daemon.args(["--certs-dir", "NO_CERTS"]);
    let mut daemon = Guard(daemon.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let mut ready = String::new();
    BufReader::new(daemon.0.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    let ready: Value = serde_json::from_str(&ready).unwrap_or_else(|_| panic!("{}", daemon.stderr()));
    assert_eq!(ready["sockets"].as_array().unwrap().len(), 2, "{ready}");
    assert_eq!(daemon.terminate(), Some(0));
    let log = daemon.stderr();
    for (words, times) in [
        // Done, but not seen by anybody.
        ("devices: their metrics are shown nowhere without --http-listen", 1),
        ("--dcgm-fields has no effect here and is ignored", 1),
        ("--v has no effect here and is ignored", 1),
    ] {
        assert_eq!(log.matches(words).count(), times, "{words}\n{log}");
    }
}

#[test]
fn the_configuration_can_be_checked_without_a_start() {
    let dir = tempfile::tempdir().unwrap();
    let rules = dir.path().join("rules.toml");
    std::fs::write(&rules, "version = 1\n[[rule]]\nname = \"r\"\nplain = true\nallow = [\"read\"]\n")
        .unwrap();
    std::fs::set_permissions(&rules, std::fs::Permissions::from_mode(0o600)).unwrap();
    let check = |rules: &Path| {
        let mut profd = command("profd");
        profd.args(["--certs-dir", "NO_CERTS", "--port", "0", "--check-config", "--rules"]).arg(rules);
        finish(&mut profd)
    };
    assert!(check(&rules).expect(0).stderr.contains("configuration: valid"));
    std::fs::write(&rules, "version = 1\n[[rule]]\nname = \"r\"\nplain = true\nallow = [\"all\"]\n").unwrap();
    let bad = check(&rules).expect(2);
    let line = bad.stderr.lines().find(|line| line.contains("rules.toml")).unwrap_or_default();
    assert!(line.contains("rules.toml: 5:10: unknown variant `all`"), "{}", bad.stderr);
}
