//! The audit trail: a line for each request and each refusal, and nothing is carried out without one.

use std::path::Path;
use std::process::Command;

use common::record::profd::Audit;
use serde_json::json;

use super::tls::{MintedAuthority, ask};
use super::*;

pub(super) fn read_lines(path: &Path) -> Vec<Audit> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| common::record::read::<Audit>(line).unwrap().unwrap()).collect()
}

#[test]
fn each_request_has_a_line_before_it_has_its_reply() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let daemon = TestDaemon::start_with(&["--audit-log", path.to_str().unwrap()]);
    let process = daemon.process("p");
    process.poll();
    daemon.request(&[process.pid]);
    daemon.request(&[2_147_483_000]);
    let mut request = on_demand(5, &[]);
    request["config"] = "ACTIVITIES_LOG_FILE=/etc/x".into();
    daemon.ask(&request);
    daemon.ask(&json!({"fn": "getVersion"}));
    let lines = read_lines(&path);
    let shown: Vec<_> =
        lines.iter().map(|l| (l.function.as_str(), l.answer.as_str(), l.code.as_deref())).collect();
    let trace = "setKinetOnDemandRequest";
    let expected = [
        (trace, "done", None),
        (trace, "declined", None),
        (trace, "rejected", Some("output_path")),
        ("getVersion", "done", None),
    ];
    assert_eq!(shown, expected);
    let first = &lines[0];
    assert_eq!(
        (first.job_id, first.pids.as_slice(), first.output.as_deref()),
        (Some(0), &[process.pid][..], Some("/tmp/t.json"))
    );
    let uid = rustix::process::geteuid().as_raw();
    assert_eq!((first.processes[0].pid, first.processes[0].uid), (process.pid, uid));
    assert!(first.processes[0].trace_id.is_some() && first.subject.is_none());
    assert!(lines[1].reason.is_some() && lines[2].reason.as_ref().unwrap().contains("--output-root"));
    let ids: std::collections::BTreeSet<_> = lines.iter().map(|l| &l.request_id).collect();
    assert_eq!(ids.len(), 4);
}

#[test]
fn clients_that_are_refused_have_a_line_with_their_certificate() {
    let minted = MintedAuthority::new();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let daemon = minted.serve(&["--audit-log", path.to_str().unwrap()]);
    ask(&daemon, minted.client()).unwrap();
    let foreign = minted.client_with_certificate_of(&MintedAuthority::new());
    assert!(ask(&daemon, foreign).unwrap_err().to_string().contains("UnknownCA"));
    eventually("the refusal is recorded", || read_lines(&path).len() == 2);
    let lines = read_lines(&path);
    assert_eq!((lines[0].function.as_str(), lines[0].answer.as_str()), ("getVersion", "done"));
    assert_eq!((lines[1].function.as_str(), lines[1].code.as_deref()), ("handshake", Some("certificate")));
    // Both authorities give their clients the same name, so it is the fingerprint that tells them apart.
    assert_eq!(lines[0].subject, lines[1].subject);
    assert!(
        lines[0].fingerprint.as_ref().unwrap().len() == 64 && lines[0].fingerprint != lines[1].fingerprint
    );
    assert!(lines[1].reason.as_ref().unwrap().contains("UnknownIssuer"), "{lines:?}");
}

#[test]
fn malformed_requests_have_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let daemon = TestDaemon::start_with(&["--audit-log", path.to_str().unwrap()]);
    let mut client = daemon.connect();
    client.send(b"{");
    client.read_rejection();
    let mut client = daemon.connect();
    client.0.write_all(&(-1_i32).to_ne_bytes()).unwrap();
    client.read_rejection();
    let codes: Vec<_> = read_lines(&path).into_iter().map(|l| l.code.unwrap()).collect();
    assert_eq!(codes, ["request", "frame"]);
}

/// A file system of a few blocks, until it goes out of scope.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        Self::mount_with("64k")
    }

    fn mount_with(size: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size},mode=0700"), "tmpfs"])
            .arg(dir.path())
            .output();
        match mount {
            Ok(done) if done.status.success() => Some(Self(dir)),
            _ => {
                testkit::skip("no file system can be mounted here");
                None
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn the_request_that_meets_a_full_disk_gets_the_reason() {
    let Some(disk) = SmallDisk::mount() else { return };
    let path = disk.0.path().join("audit.jsonl");
    let daemon = TestDaemon::start_with(&["--audit-log", path.to_str().unwrap()]);
    let filler = disk.0.path().join("filler");
    let _ = std::fs::write(&filler, vec![0; 1 << 20]);
    let reply = daemon.ask(&json!({"fn": "getStatus"}));
    assert_eq!(reply["error"]["code"], "audit", "{reply}");
    assert!(reply["error"]["message"].as_str().unwrap().contains("was carried out"), "{reply}");
    // One that is rejected anyway is not said to be carried out.
    let mut request = on_demand(5, &[]);
    request["config"] = "ACTIVITIES_LOG_FILE=/etc/x".into();
    let reply = daemon.ask(&request);
    assert!(!reply["error"]["message"].as_str().unwrap().contains("was carried out"), "{reply}");
    std::fs::remove_file(&filler).unwrap();
    eventually("the line is written", || !read_lines(&path).is_empty());
    assert_eq!(read_lines(&path)[0].answer, "done");
}

#[test]
fn on_a_full_disk_nothing_is_carried_out_until_there_is_room() {
    let Some(disk) = SmallDisk::mount() else { return };
    let path = disk.0.path().join("audit.jsonl");
    let daemon = TestDaemon::start_with(&["--audit-log", path.to_str().unwrap()]);
    let process = daemon.process("p");
    process.poll();
    let filler = disk.0.path().join("filler");
    // All that is left: the write is cut where the disk is full.
    let _ = std::fs::write(&filler, vec![0; 1 << 20]);
    // The first one that finds no room is carried out and waits; the next ones are rejected.
    let mut waiting = daemon.connect();
    waiting.send(br#"{"fn":"getStatus"}"#);
    eventually("the disk is full", || daemon.counter("audit.write_errors") > 0);
    let reply = daemon.request(&[]);
    assert_eq!(reply["error"]["code"], "audit", "{reply}");
    std::fs::remove_file(&filler).unwrap();
    assert!(waiting.read_reply().unwrap()["nputrace"].is_string());
    assert_eq!(process.poll(), "", "what was rejected was not carried out");
    eventually("it is written again", || daemon.request(&[])["processesMatched"] == json!([process.pid]));
    assert!(process.poll().starts_with(CONFIG));
    let answers: Vec<_> = read_lines(&path).into_iter().map(|l| (l.function, l.answer)).collect();
    assert_eq!(answers[0], ("getStatus".to_owned(), "done".to_owned()));
    assert_eq!(answers[1], ("setKinetOnDemandRequest".to_owned(), "rejected".to_owned()));
    assert_eq!(answers.last().unwrap().1, "done");
}

#[test]
fn however_many_are_rejected_on_a_full_disk_each_is_answered_and_counted() {
    const REQUESTS: u64 = 3000;
    const GARBAGE: u64 = 300;
    // With room for the lines that wait, in the end.
    let Some(disk) = SmallDisk::mount_with("2m") else { return };
    let path = disk.0.path().join("audit.jsonl");
    let daemon = TestDaemon::start_with(&["--audit-log", path.to_str().unwrap()]);
    let filler = disk.0.path().join("filler");
    let _ = std::fs::write(&filler, vec![0; 4 << 20]);
    assert_eq!(daemon.ask(&json!({"fn": "getStatus"}))["error"]["code"], "audit");
    let mut client = daemon.connect();
    for n in 0..REQUESTS {
        let reply = client.ask(&json!({"fn": "getVersion"}));
        assert_eq!(reply["error"]["code"], "audit", "request {n}: {reply}");
    }
    for _ in 0..GARBAGE {
        let mut client = daemon.connect();
        client.send(b"{");
        client.read_rejection();
    }
    // No connection stays for the sake of its line.
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    eventually("the connections are closed", || descriptors() < GARBAGE);
    std::fs::remove_file(&filler).unwrap();
    let sum = |lines: &[Audit]| lines.iter().map(|line| line.count.unwrap_or(1)).sum::<u64>();
    eventually("each is in the trail", || {
        let lines = std::fs::read_to_string(&path).unwrap();
        // The last line may be written just now.
        let whole = lines.lines().filter_map(|line| common::record::read::<Audit>(line).ok().flatten());
        sum(&whole.collect::<Vec<_>>()) > REQUESTS + GARBAGE
    });
    let lines = read_lines(&path);
    assert_eq!(sum(&lines), 1 + REQUESTS + GARBAGE);
    assert!((lines.len() as u64) < REQUESTS, "{} lines", lines.len());
    let counted = lines.iter().find(|line| line.count.is_some()).unwrap();
    assert!(counted.address == "127.0.0.1" && counted.answer == "rejected", "{counted:?}");
}

/// The journal takes no line of more than 208 KiB (socket(7), SO_SNDBUF), and no client may make one.
#[test]
fn what_a_client_sends_does_not_make_long_lines() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let daemon = TestDaemon::start_with(&["--audit-log", path.to_str().unwrap()]);
    let mut request = on_demand(5, &[0; 64]);
    request["user"] = "\u{80}".repeat(32_000).into();
    assert_eq!(daemon.ask(&request)["error"]["code"], "forbidden");
    let mut request = on_demand(5, &(1..=4096).collect::<Vec<_>>());
    request["config"] = format!("ACTIVITIES_LOG_FILE=/etc/{}", "\"".repeat(3_900)).into();
    assert_eq!(daemon.ask(&request)["error"]["code"], "output_path");
    let text = std::fs::read_to_string(&path).unwrap();
    let longest = text.lines().map(str::len).max().unwrap();
    assert!(text.lines().count() == 2 && longest < 16_384, "{longest}");
    let output = read_lines(&path)[1].output.clone().unwrap();
    assert!(output.len() > 3_900 && output.ends_with('"'), "a path is whole");
}
