//! Replies of every kind of daemon, and what is made of them.

use super::*;

fn result_of(json: &str, job_id: i64, pids: &[i32]) -> TriggerResult {
    let reply = crate::reply::decode_reply(json.as_bytes()).unwrap();
    let filter = ProcessFilter { job_id, pids: pids.to_vec(), process_limit: 3, ..ProcessFilter::default() };
    TriggerResult::from_reply(reply, &filter, RequestedFunction::GpuTrace)
}

fn reason(json: &str, job_id: i64, pids: &[i32]) -> String {
    result_of(json, job_id, pids).failure.expect("declined").reason
}

const NOTHING: &str = r#""processesMatched":[],"activityProfilersTriggered":[],"activityProfilersBusy":0"#;

fn with_detail(detail: &str) -> String {
    format!("{{{NOTHING},\"detail\":{{{detail}}}}}")
}

#[test]
fn processes_of_the_same_namespace_pid_keep_their_own_ids() {
    let v = result_of(
        r#"{"processesMatched":[1,1],"activityProfilersTriggered":[1,1],"activityProfilersBusy":0,
            "detail":{"registered":2,"jobs":[{"job_id":0,"processes":1,"uid":7,"user":"ann"},
            {"job_id":0,"processes":1,"uid":8}],"triggered":[{"pid":1,"trace_id":"77","host_pid":90,"uid":7,
            "user":"ann"},{"pid":1,"trace_id":"78","host_pid":91,"uid":8}]}}"#,
        0,
        &[],
    );
    let ids: Vec<_> = v.triggered.iter().map(|t| (t.trace_id.as_deref(), t.host_pid)).collect();
    assert_eq!(ids, [(Some("77"), Some(90)), (Some("78"), Some(91))]);
    assert_eq!(
        (v.triggered[0].describe(), v.triggered[1].describe()),
        ("pid 1 of ann".into(), "pid 1 of uid 8".into())
    );
}

#[test]
fn users_who_are_not_served_and_pids_that_are_not_unique_are_explained() {
    let rejected = r#""registered":0,"jobs":[],"rejected":[{"uid":1001,"user":"bob","cause":"user",
        "reason":"the daemon does not serve this user (--allow-uid 1001)","count":9,"last_pid":77,"last_ms":800}]"#;
    let text = reason(&with_detail(rejected), 0, &[]);
    assert!(text.contains("bob (uid 1001)") && text.contains("--allow-uid 1001"), "{text}");
    let ambiguous =
        r#""registered":1,"jobs":[{"job_id":0,"processes":1}],"ambiguous_pids":[7],"reason":"pid 7 is"#;
    let text = reason(&with_detail(&format!("{ambiguous} of two\"")), 0, &[7]);
    assert_eq!(text, "pid 7 is of two");
}

#[test]
fn triggered_processes_carry_their_trace_ids() {
    let v = result_of(
        r#"{"processesMatched":[5,6,7],"activityProfilersTriggered":[5],"activityProfilersBusy":1,
            "detail":{"registered":3,"jobs":[{"job_id":0,"processes":3}],"unknown_pids":[9],
            "beyond_limit":[7],"triggered":[{"pid":5,"trace_id":"77"}],"later":{}}}"#,
        0,
        &[5, 6, 7, 9],
    );
    assert!(v.failure.is_none());
    assert_eq!((v.held_back, v.limited), (1, 1), "one is busy");
    assert_eq!((v.triggered[0].pid, v.triggered[0].trace_id.as_deref()), (5, Some("77")));
    assert_eq!(
        v.remarks,
        [
            "1 process busy with an earlier request",
            "1 process left out: without --process-limit at most 3 are triggered",
            "unknown pids: 9"
        ]
    );
}

/// profd's command status is `ineffective` also when nothing matched; that is not the reason.
#[test]
fn nothing_matched_is_not_attributed_to_the_command_status() {
    let json = r#"{"processesMatched":[],"activityProfilersTriggered":[],"commandStatus":"ineffective","detail":
        {"registered":1,"jobs":[{"job_id":0,"processes":1}],"unknown_pids":[9],"reason":"no process matches"}}"#;
    assert_eq!(reason(json, 0, &[9]), "none of the pids 9 belongs to the 1 process of job 0");
    assert_eq!(reason(json, 7, &[0]), "no process of job 7 is registered; job 0 has 1 process");
    assert_eq!(reason(json, 0, &[0]), "no process matches");
}

#[test]
fn blocked_processes_are_not_attributed_to_the_limit() {
    let json = r#"{"processesMatched":[5,6],"activityProfilersTriggered":[6],"detail":{"registered":2,"jobs":[],
        "triggered":[{"pid":6,"trace_id":"1"}],"reason":"in 1 of 2 matching processes npumonitor is running"}}"#;
    let result = result_of(json, 0, &[0]);
    assert_eq!(result.remarks, ["in 1 of 2 matching processes npumonitor is running"]);
    assert_eq!((result.held_back, result.limited), (1, 0));
    let none = json.replace("\"activityProfilersTriggered\":[6]", "\"activityProfilersTriggered\":[]");
    assert_eq!(reason(&none, 0, &[0]), "in 1 of 2 matching processes npumonitor is running");
}

#[test]
fn nothing_registered_at_all() {
    let v = result_of(&with_detail(r#""registered":0,"jobs":[]"#), 0, &[0]);
    let failure = v.failure.unwrap();
    assert_eq!(failure.reason, "no process is registered with the daemon");
    assert!(failure.hints[0].contains("KINETO_USE_DAEMON=1"));
}

#[test]
fn a_user_without_processes_is_not_an_empty_daemon() {
    let of_user = |detail: &str| {
        let reply = crate::reply::decode_reply(with_detail(detail).as_bytes()).unwrap();
        let filter = ProcessFilter { user: Some("ann".to_owned()), ..ProcessFilter::default() };
        TriggerResult::from_reply(reply, &filter, RequestedFunction::GpuTrace).failure.unwrap()
    };
    let failure = of_user(r#""registered":0,"jobs":[]"#);
    assert_eq!(failure.reason, "no process of user ann is registered");
    assert!(failure.hints.iter().all(|hint| !hint.contains("KINETO_USE_DAEMON")), "{:?}", failure.hints);
    let failure = of_user(r#""registered":0,"jobs":[],"started_ms":900"#);
    assert_eq!(failure.reason, "the daemon started 900 ms ago, and no process of user ann is registered yet");
}

#[test]
fn other_jobs_are_named() {
    let json =
        with_detail(r#""registered":3,"jobs":[{"job_id":12,"processes":1},{"job_id":13,"processes":2}]"#);
    assert_eq!(
        reason(&json, 7, &[0]),
        "no process of job 7 is registered; job 12 has 1 process, job 13 has 2 processes"
    );
}

#[test]
fn unknown_pids_are_named() {
    let json = with_detail(r#""registered":2,"jobs":[{"job_id":0,"processes":2}],"unknown_pids":[8,9]"#);
    assert_eq!(reason(&json, 0, &[8, 9]), "none of the pids 8, 9 belongs to the 2 processes of job 0");
}

#[test]
fn busy_reports_the_age_of_the_request() {
    let json = r#"{"processesMatched":[5],"activityProfilersTriggered":[],"activityProfilersBusy":1,
        "detail":{"registered":1,"jobs":[{"job_id":0,"processes":1}],"busy":[{"pid":5,"since_ms":12000}]}}"#;
    assert_eq!(
        reason(json, 0, &[0]),
        "busy: 1 process still has to fetch an earlier request, the oldest of 12 s ago"
    );
}

#[test]
fn a_limit_that_excludes_all_is_reported() {
    let json = r#"{"processesMatched":[5,6],"activityProfilersTriggered":[],"activityProfilersBusy":0}"#;
    assert_eq!(reason(json, 0, &[0]), "2 processes matched, but none was triggered: the process limit is 3");
}

#[test]
fn existing_daemons_are_explained_too() {
    let upstream = format!("{{{NOTHING},\"eventProfilersTriggered\":[],\"eventProfilersBusy\":0}}");
    assert_eq!(
        reason(&upstream, 7, &[1, 2]),
        "no process of job 7 with the pids 1, 2 matched; this daemon does not report which processes are registered"
    );
    let v = result_of(r#"{"commandStatus":"ineffective"}"#, 0, &[0]);
    assert_eq!(v.command_status, Some(CommandStatus::Ineffective));
    assert!(
        v.failure
            .unwrap()
            .reason
            .contains("npu-monitor is running, no process supports nputrace, or no process of job 0")
    );
    assert!(reason(r#"{"commandStatus":"unknown"}"#, 0, &[0]).contains("no process has reported"));
    assert!(reason("{}", 0, &[0]).starts_with("no process of job 0 matched"));
}

#[test]
fn negative_counts_and_pids_are_tolerated() {
    let v = result_of(
        r#"{"processesMatched":[-5,9223372036854775807],"activityProfilersTriggered":[-5],
            "activityProfilersBusy":-9}"#,
        0,
        &[0],
    );
    assert_eq!(v.busy, Some(0));
    assert!(v.failure.is_none());
}

#[test]
fn a_limit_that_was_given_is_no_surprise() {
    let json = r#"{"processesMatched":[5,6],"activityProfilersTriggered":[5],"activityProfilersBusy":0}"#;
    let of = |has_limit| {
        let reply = crate::reply::decode_reply(json.as_bytes()).unwrap();
        let filter = ProcessFilter { process_limit: 1, has_limit, ..ProcessFilter::default() };
        TriggerResult::from_reply(reply, &filter, RequestedFunction::GpuTrace)
    };
    assert_eq!((of(true).limited, of(false).limited), (0, 1));
    assert_eq!(of(true).remarks, ["1 process excluded by --process-limit"]);
}

#[test]
fn a_daemon_that_does_not_know_selections_has_selected_nothing() {
    let filter = ProcessFilter {
        user: Some("ann".into()),
        selection: Some(common::rpc::selection::ProcessSelection { ranks: vec![0], ..Default::default() }),
        ..ProcessFilter::default()
    };
    let of = |json: &str| {
        let reply = crate::reply::decode_reply(json.as_bytes()).unwrap();
        TriggerResult::from_reply(reply, &filter, RequestedFunction::GpuTrace).failure.map(|f| f.reason)
    };
    let old = "this daemon is too old for --rank, --user, so it was asked for no process";
    assert_eq!(of(&format!("{{{NOTHING}}}")).as_deref(), Some(old), "dynolog");
    assert_eq!(of(r#"{"commandStatus":"ineffective"}"#).as_deref(), Some(old), "msMonitor");
    let without = r#""registered":1,"jobs":[{"job_id":0,"processes":1}],"unknown_pids":[2147483647]"#;
    assert_eq!(of(&with_detail(without)).as_deref(), Some(old), "an older profd");
    let known = with_detail(
        r#""selected":true,"registered":1,"jobs":[{"job_id":0,"processes":1}],"unknown_ranks":[0]"#,
    );
    assert_eq!(of(&known).as_deref(), Some("the only process of job 0 is not known to have rank 0"));
}

#[test]
fn a_daemon_that_has_just_started_says_so() {
    let text = reason(&with_detail(r#""registered":0,"jobs":[],"started_ms":2000"#), 0, &[0]);
    assert_eq!(text, "the daemon started 2 s ago, and no process is registered yet");
    let text = reason(&with_detail(r#""registered":0,"jobs":[]"#), 0, &[0]);
    assert_eq!(text, "no process is registered with the daemon");
}

/// msMonitor's daemon (b942bf5) answers alike in three cases; its status tells them apart.
#[test]
fn the_status_of_an_existing_daemon_tells_why_a_command_is_ineffective() {
    let of = |job_id, status: &str| {
        let mut result = result_of(r#"{"commandStatus":"ineffective"}"#, job_id, &[0]);
        assert!(result.needs_status());
        let filter = ProcessFilter { job_id, pids: vec![0], ..ProcessFilter::default() };
        let status = crate::reply::decode_reply(status.as_bytes()).unwrap();
        result.explain_by_status(&status, &filter, RequestedFunction::NpuTrace);
        result.failure.unwrap().reason
    };
    let idle = r#"{"nputrace":"Idle","npumonitor":"Idle","current_step":4}"#;
    assert_eq!(of(7, idle), "no process of job 7 is registered there; processes of msMonitor have job id 0");
    assert!(of(0, r#"{"nputrace":"Idle","npumonitor":"Running"}"#).starts_with("npu-monitor is running"));
    assert!(
        of(0, r#"{"nputrace":"Uninitialized","npumonitor":"Idle"}"#).contains("no process there supports")
    );
    assert!(of(7, r#"{"status":1}"#).contains("or no process of job 7 is registered there"));
    let own = result_of(&with_detail(r#""registered":0,"jobs":[]"#), 0, &[0]);
    assert!(!own.needs_status());
}

#[test]
fn rejected_users_are_named_also_when_others_are_registered() {
    let json = with_detail(
        r#""registered":1,"jobs":[{"job_id":3,"processes":1}],"rejected":[{"uid":1001,"user":"bob","cause":"user",
            "reason":"the daemon does not serve this user (--allow-uid 1001)","count":9,"last_pid":77,"last_ms":800}]"#,
    );
    let text = reason(&json, 0, &[]);
    assert!(text.starts_with("no process of job 0 is registered; job 3 has 1 process"), "{text}");
    assert!(text.contains("bob (uid 1001)"), "{text}");
}
