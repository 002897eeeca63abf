//! Chrome traces made of formats whose times count from the Unix epoch, as readers see them that hold times as doubles
//! of microseconds: Perfetto's UI, Chrome, pandas.

#![cfg(all(feature = "parquet", feature = "sqlite"))]
#![allow(clippy::unwrap_used, reason = "helpers of tests are test code")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::exit::Exit;
use support::run;

/// Nanoseconds after the Unix epoch: a base of libkineto (a multiple of 7889238 s), and moments until the last before the
/// next one.
const BASE: i64 = 1_767_189_312_000_000_000;
const MOMENTS: [i64; 6] = [1, 10, 251, 1_000, 86_400_000_000_001, 7_889_237_999_999_499];

/// Reads traces with floats, and prints a line for each: the names of kernels, with their moments from the epoch and their
/// durations. A database has further rows, which say what of a device's time is which.
const SCRIPT: &str = "
import json, re, sys
for path in sys.argv[1:]:
    trace = json.load(open(path))
    base, slices = trace['baseTimeNanoseconds'], [e for e in trace['traceEvents'] if e['ph'] == 'X']
    assert all(isinstance(e['ts'], float) for e in slices)
    events = {e['name']: (base + round(e['ts'] * 1000), round(e['dur'] * 1000)) for e in slices}
    print(' '.join(f'{name}:{start}:{dur}' for name, (start, dur) in sorted(events.items()) if re.fullmatch('k[0-9]', name)))";

fn trace() -> String {
    let event = |(i, moment): (usize, &i64)| {
        let (whole, rest) = (moment / 1000, moment % 1000);
        format!(
            r#"{{"ph":"X","cat":"kernel","name":"k{i}","pid":0,"tid":7,"ts":{whole}.{rest:03},"dur":0.0{i}1,"args":{{"device":0,"stream":7}},"cname":"red"}}"#
        )
    };
    let events: Vec<String> = MOMENTS.iter().enumerate().map(event).collect();
    format!(
        r#"{{"baseTimeNanoseconds":{BASE},"distributedInfo":{{"rank":2}},"traceEvents":[{}]}}"#,
        events.join(",\n")
    )
}

fn expected() -> String {
    let event = |(i, moment): (usize, &i64)| format!("k{i}:{}:{}", BASE + moment, 10 * i + 1);
    MOMENTS.iter().enumerate().map(event).collect::<Vec<_>>().join(" ")
}

fn tracecv(args: &[&str], output: &Path, input: &Path) {
    let args = args.iter().copied().chain(["-o", output.to_str().unwrap(), input.to_str().unwrap()]);
    let done = run(args.map(str::to_owned));
    assert_eq!((done.exit, done.fatal), (Exit::Ok, None), "{} {}", input.display(), output.display());
}

#[test]
fn readers_with_doubles_see_every_nanosecond() {
    let Ok(python) = testkit::find("python3").inspect_err(|reason| testkit::skip(reason)) else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| -> PathBuf { dir.path().join(name) };
    std::fs::write(path("t.json"), trace()).unwrap();
    tracecv(&["convert", "--to", "parquet"], &path("ds"), &path("t.json"));
    tracecv(&["convert", "--to", "ascend-db"], &path("ascend_pytorch_profiler_2.db"), &path("t.json"));
    // A part that has been taken out of its data set: nothing beside it tells a base.
    std::fs::copy(path("ds/run=1/table=events/part-00001-of-00001.parquet"), path("part.parquet")).unwrap();
    let mut written = Vec::new();
    for input in ["ds", "ascend_pytorch_profiler_2.db", "part.parquet"] {
        for command in ["convert --to chrome", "cut", "repair", "anon", "merge"] {
            let out = path(&format!("{input} {command}.json"));
            tracecv(&command.split(' ').collect::<Vec<_>>(), &out, &path(input));
            written.push(out);
        }
        // Pieces have the same base.
        let pieces = path("pieces");
        tracecv(&["cut", "--max-size", "150"], &pieces, &path(input));
        let bases = testkit::list_files(&pieces).into_iter().map(|piece| {
            let trace: serde_json::Value = serde_json::from_slice(&std::fs::read(piece).unwrap()).unwrap();
            trace["baseTimeNanoseconds"].as_i64().unwrap()
        });
        let bases: Vec<i64> = bases.collect();
        assert!(bases.len() > 1 && bases.iter().all(|base| *base == BASE), "{input}: {bases:?}");
        std::fs::remove_dir_all(pieces).unwrap();
    }
    let read = Command::new(&python).args(["-c", SCRIPT]).args(&written).output().unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let lines = String::from_utf8(read.stdout).unwrap();
    assert_eq!(lines.lines().count(), written.len());
    for (line, path) in lines.lines().zip(&written) {
        assert_eq!(line, expected(), "{}", path.display());
    }
}

/// What a Chrome trace says is copied as it stands, whatever its times count from.
#[test]
fn chrome_traces_keep_their_times() {
    let dir = tempfile::tempdir().unwrap();
    let [from, to] = ["t.json", "out.json"].map(|name| dir.path().join(name));
    let text = r#"[{"ph":"X","name":"a","pid":1,"tid":1,"ts":"1767189312000000.001","dur":0.5}]"#;
    std::fs::write(&from, text).unwrap();
    tracecv(&["convert", "--to", "chrome"], &to, &from);
    let written = std::fs::read_to_string(&to).unwrap();
    assert!(written.contains(r#""ts":"1767189312000000.001""#) && !written.contains("baseTime"), "{written}");
}
