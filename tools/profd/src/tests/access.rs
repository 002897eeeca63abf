//! Rules about clients, through the daemon.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::json;

use super::*;

const READ_ONLY: &str = "version = 1\n[[rule]]\nname = \"all\"\nplain = true\nallow = [\"read\"]\n";

fn write_rules(path: &Path, text: &str) {
    // As an editor does it: the daemon never sees half of the file.
    let next = path.with_extension("new");
    std::fs::write(&next, text).unwrap();
    std::fs::set_permissions(&next, std::fs::Permissions::from_mode(0o640)).unwrap();
    std::fs::rename(next, path).unwrap();
}

#[test]
fn a_client_may_do_what_its_rule_allows_and_the_file_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rules.toml");
    write_rules(&path, READ_ONLY);
    let daemon = TestDaemon::start_with(&["--rules", path.to_str().unwrap(), "--output-root=/"]);
    let process = daemon.process("p");
    process.poll();
    assert!(daemon.ask(&json!({"fn": "getStatus"}))["nputrace"].is_string());
    let refused = daemon.request(&[]);
    let error = json!({"code": "forbidden", "message": "access rule all does not allow trace"});
    assert_eq!(refused["error"], error);
    assert_eq!(daemon.ask(&json!({"fn": "dcgmProfPause"}))["error"]["code"], "forbidden");
    assert_eq!(process.poll(), "");
    // A file that is invalid changes nothing; a valid one is used by the next request of an open connection.
    let mut client = daemon.connect();
    client.ask(&json!({"fn": "getVersion"}));
    write_rules(&path, "version = 1\n");
    let uid = rustix::process::geteuid().as_raw();
    let rule = format!(
        "version = 1\n[[rule]]\nname = \"own\"\nplain = true\nallow = [\"trace\"]\nusers = [\"{uid}\"]\njobs = [0]\n\
         output = [\"/tmp\"]\n"
    );
    write_rules(&path, &rule);
    eventually("the rules are read", || {
        client.ask(&on_demand(7, &[]))["error"]["message"] == "access rule does not allow job 7"
    });
    let mut elsewhere = on_demand(0, &[]);
    elsewhere["config"] = "ACTIVITIES_LOG_FILE=/data/x.json".into();
    assert_eq!(client.ask(&elsewhere)["error"]["code"], "output_path");
    assert_eq!(client.ask(&on_demand(0, &[]))["activityProfilersTriggered"], json!([process.pid]));
    assert!(process.poll().starts_with(CONFIG));
    // A client of another user's processes sees none of these.
    write_rules(&path, &rule.replace(&format!("\"{uid}\""), "\"4242\""));
    eventually("the rules are read", || {
        let status = client.ask(&json!({"fn": "getStatus", "extended": true}));
        status["detail"]["processes"].as_array().is_some_and(Vec::is_empty)
    });
    assert_eq!(client.ask(&on_demand(0, &[]))["processesMatched"], json!([]));
}

#[test]
fn a_file_that_was_not_taken_is_a_problem_until_one_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rules.toml");
    write_rules(&path, READ_ONLY);
    let daemon = TestDaemon::start_with(&["--rules", path.to_str().unwrap(), "--http-listen=127.0.0.1:0"]);
    let health = || daemon.ask(&json!({"fn": "getHealth"}));
    let page = |path: &str| {
        let mut stream = TcpStream::connect(daemon.http.unwrap()).unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert_eq!(health()["status"], "ok");
    eventually("the file is watched", || page("/metrics").contains("\nprofd_rules_reload_success 1\n"));
    for spoil in [
        (|path: &Path| write_rules(path, &format!("{READ_ONLY}garbage["))) as fn(&Path),
        |path| std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666)).unwrap(),
        |path| std::fs::remove_file(path).unwrap(),
    ] {
        spoil(&path);
        eventually("the file is not taken", || health()["status"] == "degraded");
        let problem = health()["problems"][0].clone();
        assert_eq!(problem["code"], "rules");
        assert!(problem["message"].as_str().unwrap().contains("the former rules stay in use: "), "{problem}");
        assert!(page("/metrics").contains("\nprofd_rules_reload_success 0\n"));
        let ready = page("/readyz");
        assert!(
            ready.starts_with("HTTP/1.1 200 ") && ready.contains("note: rules: the rules file was not"),
            "{ready}"
        );
        write_rules(&path, READ_ONLY);
        eventually("the file is taken", || health()["status"] == "ok");
    }
}

#[test]
fn a_client_that_asks_too_often_is_told_when_it_may_ask_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rules.toml");
    write_rules(&path, &format!("{READ_ONLY}requests_per_minute = 2\n"));
    let daemon = TestDaemon::start_with(&["--rules", path.to_str().unwrap()]);
    for _ in 0..2 {
        assert!(daemon.ask(&json!({"fn": "getVersion"}))["version"].is_string());
    }
    let reply = daemon.ask(&json!({"fn": "getVersion"}));
    assert_eq!(reply["error"]["code"], "rate");
    let question = common::rpc::message::Request::ConfigStates { trace_ids: vec![1], wait_ms: 0 };
    let reply_to_wait = daemon.ask(&serde_json::from_slice(&question.encode()).unwrap());
    assert_eq!(reply_to_wait["configs"], json!([]), "a wait goes on: {reply_to_wait}");
    let ask_again = || daemon.ask(&serde_json::from_slice(&question.encode()).unwrap());
    let limited = (0..400).map(|_| ask_again()).find(|reply| reply["error"]["code"] == "rate");
    assert!(limited.is_some(), "nobody fills the audit trail by questions");
    assert!(reply["error"]["message"].as_str().unwrap().contains("try again in"), "{reply}");
}

#[test]
fn a_request_can_name_the_user_whose_processes_it_means() {
    let daemon = TestDaemon::new();
    let process = daemon.process("p");
    process.poll();
    let ask = |user: &str| {
        let mut request = on_demand(0, &[]);
        request["user"] = user.into();
        daemon.ask(&request)
    };
    assert_eq!(ask("4242")["processesMatched"], json!([]));
    assert_eq!(ask("no such user")["error"]["code"], "forbidden");
    let uid = rustix::process::geteuid().as_raw();
    let reply = ask(&uid.to_string());
    assert_eq!(reply["detail"]["triggered"][0]["uid"], uid, "{reply}");
    assert_eq!(reply["detail"]["jobs"][0]["uid"], uid);
}
