//! One client, many hosts: where their names come from, traces by rank, starts at one time, copies of the traces.
//!
//! `squeue`, `scontrol`, `kubectl` and `ssh` are small programs here that print what the real ones print. Where the real
//! kubectl is installed, it is asked too, against a server of this test.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod harness;

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use harness::{Deployment, Done, Guard, bin, command, finish};
use serde_json::{Value, json};

/// A directory of programs that stand for others.
struct StandIns(tempfile::TempDir);

impl StandIns {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Adds a program; it writes its arguments to `NAME.args`, one a line.
    fn add(&self, name: &str, script: &str) {
        let path = self.0.path().join(name);
        let log = self.0.path().join(format!("{name}.args"));
        let text = format!("#!/bin/sh\nprintf '%s\\n' \"$@\" > {}\n{script}\n", log.display());
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn args_of(&self, name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.0.path().join(format!("{name}.args"))).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The client with these programs on its PATH.
    fn profctl(&self, port: u16, args: &[&str]) -> Done {
        finish(self.client(port).args(args))
    }

    fn client(&self, port: u16) -> Command {
        let mut client = command("profctl");
        client.env("PATH", format!("{}:/usr/bin:/bin", self.0.path().display()));
        client.args(["--certs-dir", "NO_CERTS", "--format", "json", "--port", &port.to_string()]);
        client
    }
}

fn hosts_of(done: &Done, record: &str) -> Vec<(String, String)> {
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    done.of_type(record).iter().map(|r| (text(&r["host"]), text(&r["outcome"]))).collect()
}

/// `squeue --format='%A|%N'` prints the id and the node list of each part of a job (squeue(1), Slurm 22.05: `%A`, `%N`);
/// `scontrol show hostnames` prints one name a line (scontrol(1)).
#[test]
fn the_hosts_of_a_slurm_job_are_asked() {
    let d = Deployment::plain();
    let s = StandIns::new();
    s.add("squeue", "echo '4711|127.0.0.[1-2]'");
    s.add("scontrol", "printf '127.0.0.1\\n127.0.0.2\\n'");
    let done = s.profctl(d.port, &["--slurm", "4711", "version"]).expect(2);
    let mut hosts = hosts_of(&done, "profctl.version");
    hosts.sort();
    let expected = [("127.0.0.1", "done"), ("127.0.0.2", "failed")];
    assert_eq!(hosts, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    let squeue = ["--noheader", "--states=RUNNING", "--format=%A|%N", "--jobs=4711"];
    assert_eq!(
        (s.args_of("squeue"), s.args_of("scontrol")),
        (
            squeue.map(str::to_owned).to_vec(),
            ["show", "hostnames", "127.0.0.[1-2]"].map(str::to_owned).to_vec()
        )
    );
    // The job id of the processes is that of the job.
    s.add("scontrol", "echo 127.0.0.1");
    let done = s.profctl(d.port, &["--slurm", "4711", "gputrace", "--log-file", "/tmp/t.json"]).expect(1);
    assert_eq!(done.of_type("profctl.request")[0]["job_id"], 4711);
    // An array has one id for each task: no request is sent to the processes of job 0 instead.
    s.add("squeue", "printf '4711|127.0.0.1\\n4712|127.0.0.1\\n'");
    let args = ["--slurm", "4711", "gputrace", "--log-file", "/tmp/t.json"];
    let done = s.profctl(d.port, &args).expect(2);
    assert!(done.stderr.contains("the job has several ids: 4711, 4712"), "{}", done.stderr);
    assert!(done.of_type("profctl.request").is_empty(), "{}", done.stdout);
    let done = s.profctl(d.port, &[&args[..], &["--job-id", "4712"]].concat()).expect(1);
    assert_eq!(done.of_type("profctl.request")[0]["job_id"], 4712);
    s.profctl(d.port, &["--slurm", "4711", "version"]).expect(0);
}

#[test]
fn what_slurm_cannot_answer_is_said_in_one_line() {
    let s = StandIns::new();
    for (script, reason) in [
        ("echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1", "Invalid job id specified"),
        ("true", "no node runs job 7"),
        ("echo '7|'", "no node runs job 7"),
        ("echo '<html>'", "which is not JOBID|NODELIST"),
        ("echo '7|--version'", "squeue printed the node list"),
        ("yes 7 | head -c 40000000", "its output is larger than 16 MiB"),
    ] {
        s.add("squeue", script);
        let done = s.profctl(1, &["--slurm", "7", "version"]).expect(2);
        assert!(done.stderr.contains(reason), "{script}: {}", done.stderr);
        assert_eq!(done.stdout, "", "{script}");
    }
    let missing = StandIns::new().profctl(1, &["--k8s", "app=x", "version"]);
    assert_eq!(missing.status, Some(2));
}

/// The fields of `--output=jsonpath` with tabs and line ends (kubernetes.io, "JSONPath Support").
#[test]
fn the_nodes_of_a_kubernetes_selector_are_asked() {
    let d = Deployment::plain();
    let s = StandIns::new();
    s.add("kubectl", "printf 'Running\\tnode-a\\t127.0.0.1\\t10.1.0.5\\nPending\\tnode-b\\t\\t\\n'");
    let args = ["--k8s", "app=train,tier!=x", "--k8s-namespace", "ml", "version"];
    let done = s.profctl(d.port, &args).expect(0);
    let record = &done.of_type("profctl.version")[0];
    assert_eq!(
        (&record["host"], &record["address"]),
        (&json!("node-a"), &json!(format!("127.0.0.1:{}", d.port)))
    );
    let args = s.args_of("kubectl");
    assert_eq!(args[..3], ["get", "pods", "--selector=app=train,tier!=x"]);
    assert_eq!(args.last().unwrap(), "--namespace=ml");
}

/// The real kubectl, if there is one, against a server that knows one pod.
#[test]
fn the_real_kubectl_is_understood() {
    let Some(kubectl) = testkit::require("kubectl") else { return };
    let d = Deployment::plain();
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = server.accept() {
            std::thread::spawn(move || answer_kubectl(stream));
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("config");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{{name: k, cluster: {{server: 'http://{address}'}}}}]\n\
         contexts: [{{name: c, context: {{cluster: k, user: u}}}}]\nusers: [{{name: u, user: {{}}}}]\n"
    );
    std::fs::write(&config, text).unwrap();
    let mut client = command("profctl");
    let path = format!("{}:/usr/bin:/bin", kubectl.parent().unwrap().display());
    client.env("PATH", path).env("KUBECONFIG", &config).env("HOME", dir.path());
    client.args(["--certs-dir", "NO_CERTS", "--format", "json", "--port", &d.port.to_string()]);
    let done = finish(client.args(["--k8s", "app=train", "version"])).expect(0);
    assert_eq!(done.of_type("profctl.version")[0]["host"], "node-a");
}

/// Answers the questions of kubectl about the API and its pods.
fn answer_kubectl(mut stream: std::net::TcpStream) {
    let mut buffer = Vec::new();
    let mut part = [0; 4096];
    loop {
        while !buffer.windows(4).any(|w| w == b"\r\n\r\n") {
            match stream.read(&mut part) {
                Ok(0) | Err(_) => return,
                Ok(n) => buffer.extend_from_slice(&part[..n]),
            }
        }
        let request = String::from_utf8_lossy(&buffer).into_owned();
        buffer.clear();
        let path = request.split_whitespace().nth(1).unwrap_or("/").to_owned();
        let pod = |phase: &str, node: &str, ip: &str| {
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": node, "namespace": "default"},
                   "spec": {"nodeName": node}, "status": {"phase": phase, "hostIP": ip, "podIP": ip}})
        };
        let body = match path.split('?').next().unwrap_or_default() {
            "/api" => json!({"kind": "APIVersions", "versions": ["v1"]}),
            "/apis" => json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": []}),
            "/api/v1" => json!({"kind": "APIResourceList", "groupVersion": "v1", "resources": [
                {"name": "pods", "singularName": "pod", "namespaced": true, "kind": "Pod", "verbs": ["get", "list"]}]}),
            "/api/v1/namespaces/default/pods" => {
                assert!(path.contains("labelSelector=app%3Dtrain"), "{path}");
                json!({"kind": "PodList", "apiVersion": "v1", "metadata": {},
                       "items": [pod("Running", "node-a", "127.0.0.1"), pod("Pending", "node-b", "")]})
            }
            _ => json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404}),
        };
        let body = body.to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        if stream.write_all(format!("{head}{body}").as_bytes()).is_err() {
            return;
        }
    }
}

/// A job of the demo with a rank in its environment, as torchrun sets it.
fn ranked_job(d: &Deployment, rank: u32, more: &[&str]) -> Guard {
    let mut demo = command("proftap");
    demo.args(["demo", "--step-time", "5ms", "--world-size", "8", "--rank", &rank.to_string()]).args(more);
    demo.env("KINETO_IPC_SOCKET_DIR", d.ipc()).env("RANK", rank.to_string());
    let child = demo.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let job = Guard(child);
    d.registered(job.pid());
    job
}

#[test]
fn a_rank_is_traced_alone_and_names_its_file() {
    let d = Deployment::plain();
    let jobs: Vec<Guard> = (0..3).map(|rank| ranked_job(&d, rank, &[])).collect();
    let trace = d.trace("rank%r.json");
    let args =
        ["--format", "json", "gputrace", "--rank", "1-2,7", "--iterations", "2", "--wait", "--log-file"];
    let done = finish(d.client().args(args).arg(&trace)).expect(0);
    let request = &done.of_type("profctl.request")[0];
    assert_eq!(request["unknown_ranks"], json!([7]));
    let mut files: Vec<(i64, String)> = done
        .of_type("profctl.trace_file")
        .iter()
        .map(|f| (f["rank"].as_i64().unwrap(), f["path"].as_str().unwrap().to_owned()))
        .collect();
    files.sort();
    let path = |rank: usize| d.trace(&format!("rank{rank}_{}.json", jobs[rank].pid())).display().to_string();
    assert_eq!(files, [(1, path(1)), (2, path(2))]);
    // By name, and one that nobody has.
    let by_name = d.profctl(&[
        "gputrace",
        "--name",
        "proft*",
        "--pid",
        &jobs[0].pid().to_string(),
        "--log-file",
        "/tmp/x.json",
    ]);
    assert!(by_name.expect(0).stdout.starts_with("127.0.0.1: 1 of 1 matching process triggered"));
    let nobody = d.profctl(&["gputrace", "--rank", "9", "--log-file", "/tmp/x.json"]).expect(1);
    assert!(
        nobody.stdout.contains("none of the 3 processes of job 0 is known to have rank 9"),
        "{}",
        nobody.stdout
    );
}

/// The directories of nputrace are those that the daemon makes of the placeholders, also for those who wait.
#[test]
fn directories_take_placeholders_too() {
    let d = Deployment::plain();
    let jobs: Vec<Guard> = (0..2).map(|rank| ranked_job(&d, rank, &["--npu"])).collect();
    let dir = d.trace("rank%r-%H");
    for (rank, job) in jobs.iter().enumerate() {
        std::fs::create_dir(d.trace(&format!("rank{rank}-{}", job.pid()))).unwrap();
    }
    let args =
        ["--format", "json", "nputrace", "--start-step", "-1", "--iterations", "1", "--wait", "--log-file"];
    let done = finish(d.client().args(args).arg(&dir)).expect(0);
    let files = done.of_type("profctl.trace_file");
    let mut parents: Vec<String> = files
        .iter()
        .map(|file| Path::new(file["path"].as_str().unwrap()).parent().unwrap().display().to_string())
        .collect();
    parents.sort();
    let expected = |rank: usize| d.trace(&format!("rank{rank}-{}", jobs[rank].pid())).display().to_string();
    assert_eq!(parents, [expected(0), expected(1)]);
    let patterns = done.of_type("profctl.request")[0]["triggered"].clone();
    let pattern = |rank: usize| format!("{}/*_{}_*_ascend_pt", expected(rank), jobs[rank].pid());
    let mut found: Vec<_> = [0, 1].map(|n| patterns[n]["path_pattern"].as_str().unwrap().to_owned()).to_vec();
    found.sort();
    assert_eq!(found, [pattern(0), pattern(1)]);
    let monitored = d.profctl(&["npu-monitor", "--npu-monitor-start", "--log-file", "/tmp/m-%r"]).expect(0);
    assert!(monitored.stdout.contains("writes /tmp/m-1"), "{}", monitored.stdout);
    for verb in [&["npu-monitor", "--npu-monitor-start"][..], &["nputrace", "--duration-ms", "5"]] {
        let unknown = d.profctl(&[verb, &["--log-file", "/tmp/%x"]].concat()).expect(2);
        assert!(unknown.stderr.contains("--log-file: unknown placeholder"), "{}", unknown.stderr);
    }
}

#[test]
fn processes_beyond_the_default_limit_are_named_and_the_exit_status_is_1() {
    let d = Deployment::plain();
    let _jobs: Vec<Guard> = (0..4).map(|rank| ranked_job(&d, rank, &[])).collect();
    let trace = d.trace("t.json");
    let args = ["gputrace", "--iterations", "1", "--log-file", trace.to_str().unwrap()];
    // When it returns, no process is busy with it.
    let limited = d.profctl(&[&args[..], &["--wait"]].concat()).expect(1);
    assert!(
        limited.stderr.contains("1 process left out: without --process-limit at most 3"),
        "{}",
        limited.stderr
    );
    d.profctl(&[&args[..], &["--process-limit", "2"]].concat()).expect(0);
}

#[test]
fn a_process_that_is_killed_ends_the_wait() {
    let d = Deployment::plain();
    let job = d.job(&["--step-time", "5ms"]);
    // Stopped, it does not fetch the request.
    harness::kill(job.pid(), rustix::process::Signal::STOP);
    let begin = Instant::now();
    let trace = d.trace("t.json");
    let mut client = d.client();
    client
        .args(["--format", "json", "gputrace", "--wait", "--wait-timeout", "50s", "--log-file"])
        .arg(&trace);
    let child = client.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(500));
    harness::kill(job.pid(), rustix::process::Signal::KILL);
    drop(job);
    let done = harness::finish_child(child).expect(2);
    let missing = &done.of_type("profctl.trace_missing")[0];
    assert_eq!(missing["reason"], "the process ended before it fetched the request");
    assert!(begin.elapsed() < std::time::Duration::from_secs(30), "{:?}", begin.elapsed());
}

#[test]
fn a_synchronized_start_reports_its_skew() {
    let d = Deployment::plain();
    let _jobs: Vec<Guard> = (0..3).map(|rank| ranked_job(&d, rank, &[])).collect();
    let trace = d.trace("s.json");
    let args = [
        "--format",
        "json",
        "gputrace",
        "--synchronized",
        "--start-in",
        "4s",
        "--duration-ms",
        "100",
        "--wait",
        "--log-file",
    ];
    let done = finish(d.client().args(args).arg(&trace)).expect(0);
    let start = &done.of_type("profctl.synchronized_start")[0];
    assert_eq!(start["hosts"], 1);
    // Client and daemon have one clock.
    let offset = start["greatest_offset_us"].as_i64().unwrap().abs();
    assert!(offset <= start["uncertainty_us"].as_i64().unwrap(), "{start}");
    let skew = &done.of_type("profctl.start_skew")[0];
    assert_eq!(skew["traces"], 3);
    assert!((0..3_000_000).contains(&skew["skew_us"].as_i64().unwrap()), "{skew}");
    assert!(skew["first_after_us"].as_i64().unwrap() > -1_000, "{skew}");
}

/// An `ssh` that runs the command here: with options, with or without `--`, as ssh(1) is called by people and by rsync.
const SSH: &str = "while [ $# -gt 0 ]; do case $1 in --) shift; break;; -*) shift;; *) break;; esac; done\n\
                   shift\n[ \"$1\" = -- ] && shift\nexec sh -c \"$*\"";

#[test]
fn traces_are_collected_with_ssh() {
    collect_with("ssh");
}

#[test]
fn traces_are_collected_with_rsync() {
    if testkit::require("rsync").is_some() {
        collect_with("rsync");
    }
}

fn collect_with(way: &str) {
    let d = Deployment::plain();
    let job = d.job(&["--step-time", "5ms"]);
    let s = StandIns::new();
    s.add("ssh", SSH);
    let all = d.dir.path().join("all");
    let trace = d.trace("c.json");
    let mut client = s.client(d.port);
    client.args(["--hostname", "127.0.0.1", "gputrace", "--iterations", "2", "--collect-with", way]);
    let done = finish(client.arg("--collect").arg(&all).arg("--log-file").arg(&trace)).expect(0);
    let file = &done.of_type("profctl.trace_file")[0];
    let name = format!("127.0.0.1_c_{}.json", job.pid());
    assert_eq!(file["path"], all.join(&name).to_str().unwrap());
    let source = PathBuf::from(file["source"].as_str().unwrap());
    assert_eq!(std::fs::read(&source).unwrap(), std::fs::read(all.join(&name)).unwrap());
    let sum = Command::new("sha256sum").arg(&source).output().unwrap().stdout;
    assert!(String::from_utf8(sum).unwrap().starts_with(file["sha256"].as_str().unwrap()));
    assert_eq!(std::fs::read_dir(&all).unwrap().count(), 1, "nothing else is left there");
}

/// An `ssh` that hangs, and what it has started; the file has the number of its process group.
fn hanging_ssh(s: &StandIns) -> PathBuf {
    let group = s.0.path().join("group");
    s.add("ssh", &format!("echo $$ > {}\nsleep 600 &\nsleep 600", group.display()));
    group
}

/// Waits until nothing of a process group is left.
fn group_ends(file: &Path) {
    let leader = std::fs::read_to_string(file).unwrap().trim().parse().unwrap();
    let group = rustix::process::Pid::from_raw(leader).unwrap();
    harness::eventually("its processes end", || {
        rustix::process::test_kill_process_group(group).is_err().then_some(())
    });
}

#[test]
fn a_hanging_ssh_ends_with_the_time_and_with_a_signal() {
    let d = Deployment::plain();
    let _job = d.job(&["--step-time", "5ms"]);
    let s = StandIns::new();
    let group = hanging_ssh(&s);
    let all = d.dir.path().join("all");
    let client = |name: &str, time: &str| {
        let mut client = s.client(d.port);
        client.args(["--hostname", "127.0.0.1", "gputrace", "--iterations", "1", "--collect-with", "ssh"]);
        client.args(["--wait-timeout", time, "--collect"]).arg(&all).arg("--log-file").arg(d.trace(name));
        client.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let begin = Instant::now();
    let done = harness::finish_child(client("a.json", "2s")).expect(2);
    let reason = done.of_type("profctl.trace_missing")[0]["reason"].as_str().unwrap().to_owned();
    assert!(reason.starts_with("ssh: did not end in the time"), "{reason}");
    assert!(begin.elapsed() < std::time::Duration::from_secs(30), "{:?}", begin.elapsed());
    group_ends(&group);
    std::fs::remove_file(&group).unwrap();
    let waiting = client("b.json", "500s");
    harness::eventually("ssh has begun", || {
        std::fs::read_to_string(&group).is_ok_and(|text| text.ends_with('\n')).then_some(())
    });
    harness::kill(waiting.id(), rustix::process::Signal::TERM);
    let status = harness::finish_child(waiting).status;
    assert!(status.is_none() || status == Some(143), "{status:?}");
    group_ends(&group);
    assert_eq!(std::fs::read_dir(&all).unwrap().count(), 0, "no part of a copy is left");
}

#[test]
fn traces_are_collected_from_a_shared_directory() {
    let d = Deployment::plain();
    let job = d.job(&["--step-time", "5ms"]);
    let all = d.dir.path().join("all");
    let mut client = d.client();
    client.args(["gputrace", "--iterations", "2", "--log-file"]).arg(d.trace("c.json"));
    let done = finish(client.arg("--collect").arg(&all)).expect(0);
    let path = all.join(format!("127.0.0.1_c_{}.json", job.pid()));
    assert_eq!(done.stdout, format!("{}\n", path.display()));
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn a_watch_on_a_pipe_prints_lines_and_on_a_terminal_restores_it() {
    let d = Deployment::plain();
    let _job = d.job(&["--step-time", "5ms", "--npu"]);
    let lines = d.profctl(&["watch", "--interval", "100ms", "--count", "3"]).expect(0).stdout;
    assert_eq!(lines.lines().filter(|l| l.starts_with("127.0.0.1: alive")).count(), 3, "{lines}");
    // script(1) gives it a terminal.
    if testkit::require("script").is_none() {
        return;
    }
    let line = format!(
        "{} --certs-dir NO_CERTS --hostname 127.0.0.1 --port {} watch --interval 200ms",
        bin("profctl"),
        d.port
    );
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]).env("TERM", "xterm");
    let child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let watch = harness::eventually("it watches", || child_of(child.id()));
    std::thread::sleep(std::time::Duration::from_secs(1));
    harness::kill(watch, rustix::process::Signal::INT);
    let done = harness::finish_child(child);
    assert_eq!(done.status, Some(0), "{}", done.stdout);
    let (enter, leave) = ("\u{1b}[?1049h\u{1b}[?25l", "\u{1b}[?25h\u{1b}[?1049l");
    let (entered, left) = (done.stdout.find(enter), done.stdout.rfind(leave));
    assert!(entered.is_some() && left > entered, "{:?}", done.stdout);
    assert!(done.stdout.contains("STEPS/S"), "{:?}", done.stdout);
}

/// The profctl below a process.
fn child_of(parent: u32) -> Option<u32> {
    let read = |path: PathBuf| std::fs::read_to_string(path).ok();
    for entry in std::fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let stat = read(Path::new("/proc").join(pid.to_string()).join("status")).unwrap_or_default();
        let field = |name: &str| {
            let line = stat.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_default();
            line.trim().to_owned()
        };
        if field("Name:") != "profctl" {
            continue;
        }
        let mut at = field("PPid:").parse::<u32>().unwrap_or(0);
        for _ in 0..4 {
            if at == parent {
                return Some(pid);
            }
            let above = read(Path::new("/proc").join(at.to_string()).join("status")).unwrap_or_default();
            let line = above.lines().find_map(|l| l.strip_prefix("PPid:")).unwrap_or_default();
            at = line.trim().parse().unwrap_or(0);
        }
    }
    None
}

#[test]
fn monitoring_is_stopped_when_it_is_interrupted() {
    let d = Deployment::plain();
    let _job = d.job(&["--step-time", "5ms", "--npu"]);
    let mut client = d.client();
    client.args(["--format", "json", "monitor", "--interval", "1s", "--kind", "Kernel"]);
    let child = client.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let state = || {
        let status = d.profctl(&["--format", "json", "status"]).expect(0);
        status.of_type("profctl.status")[0]["npumonitor"].as_str().unwrap().to_owned()
    };
    harness::eventually("it is monitored", || (state() == "Running").then_some(()));
    harness::kill(child.id(), rustix::process::Signal::INT);
    let done = harness::finish_child(child).expect(0);
    assert_eq!(done.of_type("profctl.request").len(), 2, "{}", done.stdout);
    harness::eventually("it is stopped", || (state() == "Idle").then_some(()));
}

#[test]
fn a_schedule_runs_as_often_as_it_says() {
    let d = Deployment::plain();
    let job = d.job(&["--step-time", "5ms", "--npu"]);
    let mut client = d.client();
    client.args([
        "--format",
        "json",
        "schedule",
        "--every",
        "1s",
        "--times",
        "2",
        "gputrace",
        "--iterations",
        "1",
    ]);
    let done = finish(client.args(["--wait", "--log-file"]).arg(d.trace("t.json"))).expect(0);
    assert_eq!(done.of_type("profctl.scheduled_run").len(), 2);
    let paths: Vec<String> =
        done.of_type("profctl.trace_file").iter().map(|f| f["path"].as_str().unwrap().to_owned()).collect();
    let path = |run| d.trace(&format!("t_run{run}_{}.json", job.pid())).display().to_string();
    assert_eq!(paths, [path(1), path(2)]);
    let mut client = d.client();
    client.args([
        "--format",
        "json",
        "schedule",
        "--when",
        "step:5",
        "--check-interval",
        "200ms",
        "gputrace",
    ]);
    let done = finish(client.arg("--log-file").arg(d.trace("w.json"))).expect(0);
    let run = &done.of_type("profctl.scheduled_run")[0];
    assert!(run["reason"].as_str().unwrap().ends_with("is reached"), "{run}");
    let mut client = d.client();
    client.args([
        "schedule",
        "--when",
        "step:999999999",
        "--within",
        "1s",
        "--check-interval",
        "200ms",
        "gputrace",
    ]);
    let done = finish(client.arg("--log-file").arg(d.trace("n.json"))).expect(0);
    assert!(done.stderr.contains("ended by --within after 0 of 1 runs"), "{}", done.stderr);
}

#[test]
fn an_aligned_step_is_ahead_of_all_processes() {
    let d = Deployment::plain();
    let _jobs: Vec<Guard> = (0..2).map(|rank| ranked_job(&d, rank, &["--npu"])).collect();
    let known = || {
        let status = d.profctl(&["--format", "json", "status"]).expect(0);
        let processes = status.of_type("profctl.status")[0]["processes"].clone();
        let steps =
            processes.as_array()?.iter().filter_map(|p| p["current_step"].as_i64()).collect::<Vec<_>>();
        (steps.len() == 2).then_some(steps)
    };
    harness::eventually("both report their step", known);
    let dir = d.trace("");
    let args =
        ["nputrace", "--align-step", "--iterations", "2", "--wait", "--log-file", dir.to_str().unwrap()];
    let done = d.profctl(&args).expect(0);
    assert!(done.stderr.contains("--align-step: starts at step "), "{}", done.stderr);
    assert_eq!(done.stdout.lines().count(), 2, "{}", done.stdout);
}
