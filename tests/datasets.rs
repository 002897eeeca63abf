//! The recipes that write a data set on many nodes, as Slurm and Kubernetes run them: a task is well if it wrote its part, and
//! only then.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod harness;

use std::path::Path;
use std::process::{Command, Stdio};

use harness::{Done, bin, finish};

const TOP: &str = env!("CARGO_MANIFEST_DIR");

fn trace(rank: i64) -> String {
    format!(
        r#"{{"distributedInfo":{{"backend":"nccl","rank":{rank},"world_size":3}},"traceEvents":[
{{"ph":"X","cat":"cpu_op","name":"aten::mm","pid":1,"tid":1,"ts":{rank},"dur":1}}]}}"#
    )
}

/// A shell with the tools on its path.
fn shell(dir: &Path) -> Command {
    let mut shell = Command::new("sh");
    let tools = Path::new(bin("tracecv")).parent().unwrap();
    shell.env_clear().env("PATH", format!("{}:/usr/bin:/bin", tools.display())).current_dir(dir);
    shell.stdin(Stdio::null());
    shell
}

/// A task of an array of Slurm: its number, and the first, the last and the count of the array.
fn slurm_task(dir: &Path, task: [u32; 4], parts: &str, args: &[&str]) -> Done {
    let mut script = shell(dir);
    let names =
        ["SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_MAX", "SLURM_ARRAY_TASK_COUNT"];
    script.envs(names.into_iter().zip(task.map(|n| n.to_string())));
    if !parts.is_empty() {
        script.env("PARTS", parts);
    }
    finish(script.arg(format!("{TOP}/packaging/slurm/data-set")).args(args))
}

/// Three traces, of which the last is broken.
fn make_traces(dir: &Path) {
    std::fs::create_dir_all(dir.join("traces")).unwrap();
    for rank in 0..3 {
        std::fs::write(dir.join(format!("traces/rank{rank}.json")), trace(rank)).unwrap();
    }
    std::fs::write(dir.join("traces/rank2.json"), "no trace").unwrap();
}

#[test]
fn a_task_of_slurm_fails_if_its_part_was_not_written() {
    let dir = tempfile::tempdir().unwrap();
    make_traces(dir.path());
    let task = |id: u32, args: &[&str]| slurm_task(dir.path(), [id, 1, 3, 3], "", args);
    for id in 1..=3 {
        task(id, &["base", "ds", "traces"]).expect(0);
    }
    let manifest = |part: u32| {
        std::fs::read(dir.path().join(format!("ds/run=base/_manifest/part-0000{part}-of-00003.jsonl")))
            .unwrap()
    };
    let before = [1, 2, 3].map(manifest);
    for id in 1..=3 {
        // Nothing of these is there, and the manifest is that of the run before.
        task(id, &["base", "ds", "not-mounted"]).expect(2);
        task(id, &["base", "ds", "--no-such-option", "traces"]).expect(2);
        task(id, &["base", "ds/run=base/_manifest/part-00001-of-00003.jsonl", "traces"]).expect(2);
        let full =
            format!("ulimit -f 1; trap '' XFSZ; exec sh {TOP}/packaging/slurm/data-set base ds traces");
        let mut limited = shell(dir.path());
        limited.args(["-c", &full]).env("SLURM_ARRAY_TASK_ID", id.to_string());
        limited.env("PARTS", "3");
        let done = finish(&mut limited);
        assert!(done.status == Some(2) && done.stderr.contains("File too large"), "{done:?}");
        assert_eq!(done.stderr.matches("File too large").count(), 1, "{done:?}");
    }
    assert_eq!([1, 2, 3].map(manifest), before);
    // One task again; others that are not what the run has.
    slurm_task(dir.path(), [3, 3, 3, 1], "3", &["base", "ds", "traces"]).expect(0);
    assert_eq!([1, 2, 3].map(manifest), before);
    for (task, parts) in [([3, 3, 3, 1], ""), ([5, 1, 9, 5], ""), ([7, 7, 7, 1], "3"), ([1, 1, 2, 2], "")] {
        let done = slurm_task(dir.path(), task, parts, &["base", "ds", "traces"]).expect(2);
        assert!(!done.stderr.is_empty(), "{task:?}");
    }
    assert_eq!([1, 2, 3].map(manifest), before);
}

#[test]
fn a_pod_of_kubernetes_fails_if_its_part_was_not_written() {
    let dir = tempfile::tempdir().unwrap();
    make_traces(dir.path());
    let text = std::fs::read_to_string(format!("{TOP}/packaging/kubernetes/data-set.yaml")).unwrap();
    let lines = text.lines().skip_while(|line| line.trim() != "- >-").skip(1);
    let lines: Vec<&str> = lines.take_while(|line| !line.trim().starts_with("env:")).map(str::trim).collect();
    let place = |name: &str| dir.path().join(name).display().to_string();
    let pod = |index: u32, traces: &str| {
        let command = lines.join(" ").replace("/data-set", &place("ds")).replace("/traces", &place(traces));
        let mut pod = shell(dir.path());
        finish(pod.args(["-c", &command]).env("JOB_COMPLETION_INDEX", index.to_string()))
    };
    // The third trace is broken; of 64 parts, most have none.
    for index in [0, 2, 63] {
        pod(index, "traces").expect(0);
        pod(index, "not-mounted").expect(2);
    }
    assert!(dir.path().join("ds/run=base/_manifest/part-00003-of-00064.jsonl").exists());
}
