//! Processes of other users, some of them in pid namespaces of their own. They need root, who can be any user, and are
//! skipped without it.

use serde_json::json;

use super::worker::Worker;
use super::*;

/// A user without privileges or an account.
const STRANGER: u32 = 65_533;

/// The example of a hostile user: in a new namespace a process has the pid of another user's, here pid 1, which every host
/// has.
#[test]
fn a_process_in_a_namespace_of_another_user_does_not_answer_for_a_host_pid() {
    if !testkit::require_root()
        || testkit::require("unshare").is_none()
        || testkit::require("setpriv").is_none()
    {
        return;
    }
    let daemon = TestDaemon::new();
    let Some(mut hostile) = Worker::start_in_namespace(&daemon.name, STRANGER) else {
        return testkit::skip("unprivileged users cannot create namespaces here");
    };
    assert_eq!(hostile.run_command("poll"), "");
    let status = daemon.ask(&json!({"fn": "getStatus", "extended": true}));
    let process = &status["detail"]["processes"][0];
    assert_eq!((&process["pid"], &process["uid"]), (&json!(1), &json!(STRANGER)), "{status}");
    let reply = daemon.request(&[1]);
    assert_eq!(
        (&reply["processesMatched"], &reply["detail"]["ambiguous_pids"]),
        (&json!([]), &json!([1])),
        "{reply}"
    );
    assert!(reply["detail"]["reason"].as_str().unwrap().contains("host pid"), "{reply}");
    assert_eq!(hostile.run_command("poll"), "", "it has got nothing");
    // By its host pid it can be traced.
    let host_pid = i32::try_from(process["host_pid"].as_i64().unwrap()).unwrap();
    assert_eq!(daemon.request(&[host_pid])["detail"]["triggered"][0]["uid"], STRANGER);
    assert!(hostile.run_command("poll").starts_with(CONFIG));
}

#[test]
fn a_user_who_is_not_served_is_named_to_the_client() {
    if !testkit::require_root() || testkit::require("setpriv").is_none() {
        return;
    }
    // A daemon of root serves everybody, so this one has a plan of another user.
    let daemon = TestDaemon::start_as(4242, &["--allow-uid=0"]);
    let mut stranger = Worker::start_as(&daemon.name, STRANGER);
    stranger.send_command("poll");
    daemon.wait_for_counter("ipc.rejected.uid", 1);
    let reply = daemon.request(&[]);
    let rejected = &reply["detail"]["rejected"][0];
    assert_eq!((&rejected["uid"], &rejected["cause"]), (&json!(STRANGER), &json!("user")), "{reply}");
    assert!(rejected["reason"].as_str().unwrap().contains("--allow-uid 65533"), "{reply}");
}

#[test]
fn processes_of_an_allowed_group_are_served() {
    if !testkit::require_root() || testkit::require("setpriv").is_none() {
        return;
    }
    let daemon = TestDaemon::start_as(4242, &["--allow-gid=65533"]);
    let mut member = Worker::start_as(&daemon.name, STRANGER);
    assert_eq!(member.run_command("poll"), "");
    let reply = daemon.request(&[member.pid()]);
    assert_eq!(reply["detail"]["triggered"][0]["uid"], STRANGER, "{reply}");
    assert!(member.run_command("poll").starts_with(CONFIG));
}

/// `usermod -aG training alice` does not change the primary group of what she runs.
#[test]
fn processes_with_an_allowed_group_among_others_are_served() {
    if !testkit::require_root() || testkit::require("setpriv").is_none() {
        return;
    }
    let daemon = TestDaemon::start_as(4242, &["--allow-gid=4711"]);
    let mut member = Worker::start_in_groups(&daemon.name, STRANGER, "4710,4711");
    assert_eq!(member.run_command("poll"), "");
    let reply = daemon.request(&[member.pid()]);
    assert_eq!(reply["detail"]["triggered"][0]["uid"], STRANGER, "{reply}");
    let mut other = Worker::start_in_groups(&daemon.name, STRANGER, "4712");
    other.send_command("poll");
    daemon.wait_for_counter("ipc.rejected.uid", 1);
}

#[test]
fn one_user_cannot_take_the_places_of_the_others() {
    if !testkit::require_root() || testkit::require("setpriv").is_none() {
        return;
    }
    let daemon = TestDaemon::start_with(&["--max-processes=4"]);
    let mut strangers: Vec<Worker> = (0..4).map(|_| Worker::start_as(&daemon.name, STRANGER)).collect();
    for stranger in &mut strangers {
        assert_eq!(stranger.run_command("poll"), "");
    }
    daemon.wait_for_counter("ipc.declined.user_share", 2);
    let own = daemon.process("own");
    own.poll();
    let reply = daemon.request(&[own.pid]);
    assert_eq!(reply["activityProfilersTriggered"], json!([own.pid]), "{reply}");
    let rejected = &reply["detail"]["rejected"][0];
    assert_eq!((&rejected["uid"], &rejected["cause"]), (&json!(STRANGER), &json!("sender_share")), "{reply}");
}
