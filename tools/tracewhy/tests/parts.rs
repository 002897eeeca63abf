//! `tracewhy part`: part files come to what the traces come to, and damaged or hostile ones are refused.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod support;

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use common::exit::Exit;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use support::jobs::{Fault, Plan, write_job};

const PLAN: Plan = Plan {
    seed: 11,
    ranks: 6,
    steps: 5,
    fault: Fault::Compute(35),
    bad: 4,
    skewed: true,
    overlapped: false,
    numbered: true,
};

fn run(args: impl IntoIterator<Item = impl Into<OsString>>) -> testkit::ToolRun {
    testkit::run_tool_to_end::<tracewhy::Cli>(args)
}

fn json_of(verb: &str, inputs: &[PathBuf]) -> String {
    let args =
        ["--format", "json", verb].map(OsString::from).into_iter().chain(inputs.iter().map(OsString::from));
    let run = run(args);
    assert_eq!((run.exit, run.fatal), (Exit::Ok, None), "{verb}: {}", run.stdout);
    run.stdout
}

fn write_part(part: &Path, traces: &[PathBuf]) {
    let head = ["part".into(), "-o".into(), part.as_os_str().to_owned()];
    let run = run(head.into_iter().chain(traces.iter().map(OsString::from)));
    assert_eq!((run.exit, run.errors), (Exit::Ok, 0), "{}", run.stdout);
    assert!(run.stdout.contains(&format!(": {} ranks of ", traces.len())), "{}", run.stdout);
}

#[test]
fn part_files_say_what_the_traces_say() {
    for (numbered, fault) in [(true, Fault::Compute(35)), (false, Fault::Host(20))] {
        let dir = tempfile::tempdir().unwrap();
        let (traces, _) = write_job(dir.path(), &Plan { numbered, fault, ..PLAN });
        let [a, b] = ["a.part", "b.part"].map(|name| dir.path().join(name));
        write_part(&a, &traces[..2]);
        write_part(&b, &traces[2..5]);
        // Two hosts sent parts, and one rank came as a trace.
        let mixed = [a.clone(), b, traces[5].clone()];
        for verb in ["ranks", "comm", "idle", "modules"] {
            assert_eq!(json_of(verb, &mixed), json_of(verb, &traces), "{verb}");
        }
        // Without findings, a report has the command that makes one with them, which names the inputs.
        let findings = dir.path().join("findings");
        std::fs::write(&findings, "").unwrap();
        let page = |inputs: &[PathBuf]| {
            let to = dir.path().join("report.html");
            let head = ["report", "--title", "job", "--findings"].map(OsString::from).into_iter();
            let files = [findings.clone().into(), "-o".into(), to.clone().into()];
            let run = run(head.chain(files).chain(inputs.iter().map(OsString::from)));
            assert_eq!((run.exit, run.fatal), (Exit::Ok, None));
            std::fs::read_to_string(to).unwrap()
        };
        assert!(page(&mixed) == page(&traces), "report");
        let size = |path: &Path| path.metadata().unwrap().len();
        assert!(size(&a) * 20 < traces[..2].iter().map(|t| size(t)).sum::<u64>(), "{}", size(&a));
        // Comparisons need names, which are there too.
        let args = |base: &Path, new: &Path| {
            ["--format", "json", "diff"]
                .map(OsString::from)
                .into_iter()
                .chain([base.into(), new.into()])
                .collect::<Vec<OsString>>()
        };
        let of_part = run(args(&a, &a));
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        for to in [&one, &two] {
            std::fs::create_dir(to).unwrap();
            for trace in &traces[..2] {
                std::fs::copy(trace, to.join(trace.file_name().unwrap())).unwrap();
            }
        }
        let of_traces = run(args(&one, &two));
        assert_eq!(of_part.of("tracewhy.change"), of_traces.of("tracewhy.change"));
        assert!(of_part.of("tracewhy.change").len() > 4);
    }
}

/// Ranks whose traces do not give their numbers have their places among all inputs.
/// Hosts send their parts into one directory, and a shell puts node10 before node2.
#[test]
fn the_order_of_ranks_and_a_directory_of_parts_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (traces, _) = write_job(dir.path(), &PLAN);
    let parts = dir.path().join("parts");
    std::fs::create_dir(&parts).unwrap();
    write_part(&parts.join("node10.part"), &traces[3..]);
    write_part(&parts.join("node2.part"), &traces[..3]);
    let shuffled: Vec<PathBuf> = [4, 1, 5, 0, 3, 2].map(|i| traces[i].clone()).to_vec();
    for verb in ["ranks", "comm"] {
        let expected = json_of(verb, &traces);
        assert_eq!(json_of(verb, &shuffled), expected, "{verb}");
        assert_eq!(json_of(verb, std::slice::from_ref(&parts)), expected, "{verb}");
    }
    let diff = |base: &Path| {
        let args = ["--format", "json", "diff"].map(OsString::from);
        run(args.into_iter().chain([base, traces[0].as_path()].map(OsString::from))).stdout
    };
    let whole = dir.path().join("whole");
    std::fs::create_dir(&whole).unwrap();
    traces.iter().for_each(|t| _ = std::fs::copy(t, whole.join(t.file_name().unwrap())).unwrap());
    let behind_names = |text: String| text.split_once("base_ranks").unwrap().1.to_owned();
    assert_eq!(behind_names(diff(&parts)), behind_names(diff(&whole)));
}

#[test]
fn places_count_where_traces_give_no_rank() {
    let dir = tempfile::tempdir().unwrap();
    let (traces, _) = write_job(dir.path(), &PLAN);
    for trace in &traces {
        let text = std::fs::read_to_string(trace).unwrap();
        let cut = text.find(r#""distributedInfo""#).unwrap();
        let end = cut + text[cut..].find("},").unwrap() + 2;
        std::fs::write(trace, format!("{}{}", &text[..cut], &text[end..])).unwrap();
    }
    let [a, b] = ["a.part", "b.part"].map(|name| dir.path().join(name));
    write_part(&a, &traces[..3]);
    write_part(&b, &traces[3..]);
    assert_eq!(json_of("ranks", &[a, b]), json_of("ranks", &traces));
}

fn unpack(path: &Path) -> String {
    let mut text = String::new();
    GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    text
}

fn pack(path: &Path, text: &str) {
    let mut to = GzEncoder::new(std::fs::File::create(path).unwrap(), Compression::new(6));
    to.write_all(text.as_bytes()).unwrap();
    to.finish().unwrap();
}

#[test]
fn damaged_and_hostile_parts_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (traces, _) = write_job(dir.path(), &PLAN);
    let part = dir.path().join("a.part");
    write_part(&part, &traces);
    let text = unpack(&part);
    let last = text.lines().last().unwrap();
    assert_eq!(last, r#"{"end":{"ranks":6}}"#);
    let refuse = |what: &str, path: &Path| {
        // Nothing of it counts: the run is that of the trace beside it.
        let run = run(["--format", "json", "idle"]
            .map(OsString::from)
            .into_iter()
            .chain([path.into(), traces[0].clone().into()]));
        assert_eq!((run.exit, run.errors, run.fatal.as_ref()), (Exit::Failed, 1, None), "{what}");
        assert_eq!(run.of("tracewhy.summary")[0]["files"], 1, "{what}");
    };
    let bad = dir.path().join("bad.part");
    let call = text.lines().find(|line| line.starts_with(r#"{"call""#)).unwrap();
    let rank = text.lines().find(|line| line.starts_with(r#"{"rank""#)).unwrap();
    let cases = [
        ("version", text.replacen(r#""v":5"#, r#""v":4"#, 1)),
        ("no end", text.replace(last, "")),
        ("ranks that are missing", text.replacen(rank, "", 1).replace("\n\n", "\n")),
        ("more behind the end", format!("{text}{rank}\n")),
        ("end within", text.replacen(call, &format!("{last}\n{call}"), 1)),
        ("family", text.replacen(call, r#"{"call":[9999,0,0,1,true,0,1,0,0,0]}"#, 1)),
        ("times", text.replacen(call, r#"{"call":[0,0,0,1,true,5,1,0,0,0]}"#, 1)),
        (
            "overflow",
            text.replacen(
                call,
                r#"{"call":[0,0,0,1,true,-9223372036854775808,9223372036854775807,0,0,0]}"#,
                1,
            ),
        ),
        ("exposed", text.replacen(call, r#"{"call":[0,0,0,1,true,0,1,7,0,0]}"#, 1)),
        ("awaited", text.replacen(call, r#"{"call":[0,0,0,1,true,0,9,3,4,0]}"#, 1)),
        ("steps", text.replacen(call, r#"{"step":[1,1,-5,0,0,0,[0,0,0,0,0,0,0],0]}"#, 1)),
        ("before", text.replacen(call, r#"{"step":[1,1,5,0,0,0,[0,2,0,1,0,0,0],4]}"#, 1)),
        ("kernel", text.replacen(call, r#"{"long_kernel":[1,"gemm",5,6]}"#, 1)),
        ("kernel that ran backwards", text.replacen(call, r#"{"long_kernel":[1,"gemm",-2,-3]}"#, 1)),
        ("kind", text.replacen(call, r#"{"program":["x","y",1,1,1]}"#, 1)),
        ("path", text.replacen(call, r#"{"path":[["a"],-1,1]}"#, 1)),
        ("begin", text.replacen(r#""begin":17"#, r#""begin":57"#, 1)),
        ("unknown", text.replacen(call, r#"{"run":"id"}"#, 1)),
        (
            "long line",
            text.replacen(call, &format!(r#"{{"program":["phase","{}",1,1,1]}}"#, "x".repeat(2 << 20)), 1),
        ),
        ("no JSON", text.replacen(call, "\u{1}", 1)),
    ];
    for (what, text) in cases {
        pack(&bad, &text);
        refuse(what, &bad);
    }
    let whole = std::fs::read(&part).unwrap();
    for cut in [600, whole.len() / 2, whole.len() - 9, whole.len() - 1] {
        std::fs::write(&bad, &whole[..cut]).unwrap();
        refuse("cut off", &bad);
    }
    // A bit that is wrong is told by the checksum, wherever it is.
    for at in [700, whole.len() / 2, whole.len() - 6] {
        let mut bytes = whole.clone();
        bytes[at] ^= 4;
        std::fs::write(&bad, bytes).unwrap();
        refuse("a bit", &bad);
    }
}

#[test]
fn part_files_appear_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let part = dir.path().join("a.part");
    let missing = run([
        "part".into(),
        "-o".into(),
        part.clone().into_os_string(),
        dir.path().join("none.json").into_os_string(),
    ]);
    assert_eq!(missing.exit, Exit::Failed);
    assert!(!part.exists());
    // What is only in traces is not asked of parts.
    let (traces, _) = write_job(dir.path(), &Plan { ranks: 4, steps: 1, ..PLAN });
    write_part(&part, &traces);
    for verb in ["stacks", "mem", "critical", "flops"] {
        let run = run([OsString::from(verb), part.clone().into_os_string()]);
        assert_eq!((run.exit, run.errors, run.stdout.as_str()), (Exit::Failed, 1, ""), "{verb}");
    }
    let again = run(["part".into(), "-o".into(), part.clone().into_os_string(), part.into_os_string()]);
    assert_eq!(again.exit, Exit::Failed);
}

/// Numbers that no trace has, but that a file may.
#[test]
fn parts_at_the_limits_of_their_numbers_are_analyzed() {
    let dir = tempfile::tempdir().unwrap();
    let part = dir.path().join("limits.part");
    let (least, most, longest) = (i64::MIN, i64::MAX, 1_000_000_000_000_000_000_i64);
    let mut text = String::from("{\"type\":\"tracewhy.part\",\"v\":5}\n");
    for kind in ["all_reduce", "all_gather", "send_receive"] {
        let pair = if kind == "send_receive" { format!("[{least},{most}]") } else { "null".to_owned() };
        text += &format!(
            "{{\"family\":{{\"kind\":\"{kind}\",\"group\":\"<b>|`g`\",\"members\":\"\",\"size\":{},\"bytes\":{},\"pair\":{pair}}}}}\n",
            u64::MAX,
            u64::MAX
        );
    }
    for rank in 0..6 {
        for step in [least, least + 1, 0, most - 1, most] {
            // Some say that they ran more kernels than fit into a signed number.
            let kernels = if rank == 0 { 1 << 63 } else { u64::MAX - 7 * rank };
            let times = [longest; 4].map(|time| time.to_string()).join(",");
            text += &format!("{{\"step\":[{step},{kernels},{times},[0,0,0,0,{longest},0,0],{longest}]}}\n");
            for family in 0..3 {
                let start = if rank == 0 { 0 } else { -4 * longest };
                let (end, place) = (4 * longest, step.wrapping_add(family));
                let exposed = if rank < 3 { end - start } else { 0 };
                text += &format!(
                    "{{\"call\":[{family},{family},{place},{},true,{start},{end},{exposed},{exposed},{step}]}}\n",
                    u64::MAX
                );
            }
        }
        text += &format!(
            "{{\"rank\":{{\"path\":\"r{rank}\",\"rank\":{},\"world_size\":{most},\"on_device\":true,\"has_steps\":true,\"calls\":{max},\"other_names\":{max},\"begin\":null,\"events\":{max},\"complete\":true}}}}\n",
            most - rank as i64,
            max = u64::MAX
        );
    }
    pack(&part, &(text + "{\"end\":{\"ranks\":6}}\n"));
    for form in ["text", "json", "md"] {
        for verb in ["ranks", "comm", "idle", "modules", "diff", "report"] {
            let page = dir.path().join("report.html");
            let mut args: Vec<OsString> =
                vec!["--format".into(), form.into(), verb.into(), part.clone().into()];
            match verb {
                "diff" => args.push(part.clone().into()),
                "report" => args.extend(["-o".into(), page.into()]),
                _ => {}
            }
            let run = run(args);
            assert_eq!((run.exit, run.errors, run.fatal.as_ref()), (Exit::Ok, 0, None), "{form} {verb}");
        }
    }
}
