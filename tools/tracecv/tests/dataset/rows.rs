//! The rows of each table, and what they say of their trace.

use std::path::Path;

use common::exit::Exit;

use crate::support::run;
use crate::{convert, convert_to, launched, rows, step, step_rows, trace};

#[test]
fn rows_have_steps_wall_clock_and_arguments() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.json");
    std::fs::write(&path, trace(1)).unwrap();
    let out = dir.path().join("ds");
    let done = run(["convert", "--to", "parquet", "-o", out.to_str().unwrap(), path.to_str().unwrap()]);
    assert_eq!((done.exit, done.fatal), (Exit::Ok, None));
    let part = "part-00001-of-00001";
    let events = rows(&out, "events", part);
    // Sorted by step and start, though the kernel is first in the file and runs in the second step.
    let order: Vec<_> = events.iter().map(|e| (e["step"].as_i64(), e["index"].as_i64().unwrap())).collect();
    assert_eq!(order, [(Some(1), 1), (Some(1), 3), (Some(1), 0), (Some(2), 2), (Some(2), 4)]);
    let kernel = &events[2];
    assert_eq!(kernel["start_ns"], 1_700_000_000_000_015_000_i64);
    assert_eq!(
        (&kernel["dur_ns"], &kernel["rank"], &kernel["category"]),
        (&2000.into(), &1.into(), &"collective".into())
    );
    assert_eq!(
        (&kernel["group_size"], &kernel["in_elements"], &kernel["dtype"]),
        (&2.into(), &64.into(), &"Float".into())
    );
    assert_eq!(kernel["args"], r#"{"grid":[1,2,3]}"#);
    assert_eq!(events[4]["args"], r#"{"args":1,"Input Dims":[[2,3]]}"#);
    assert_eq!(events[4]["other"], r#"{"cname":"red"}"#);
    assert_eq!(rows(&out, "kernels", part).len(), 1);
    assert_eq!(rows(&out, "collectives", part)[0]["collective"], "allreduce");
    let steps: Vec<_> = rows(&out, "steps", part).iter().map(|s| s["step"].as_i64().unwrap()).collect();
    assert_eq!(steps, [1, 2]);
    let ranks = rows(&out, "ranks", part);
    assert_eq!((ranks.len(), &ranks[0]["world_size"], &ranks[0]["events"]), (1, &2.into(), &5.into()));
}

#[test]
fn kernels_have_modules_and_memory_has_a_table() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.json");
    let events = [
        r#"{"ph":"X","cat":"python_function","name":"nn.Module: Net_0","pid":1,"tid":1,"ts":0,"dur":50}"#,
        r#"{"ph":"X","cat":"python_function","name":"nn.Module: Linear_1","pid":1,"tid":1,"ts":2,"dur":10}"#,
        r#"{"ph":"X","cat":"cpu_op","name":"aten::mm","pid":1,"tid":1,"ts":3,"dur":5,"args":{"Sequence number":7}}"#,
        r#"{"ph":"X","cat":"cuda_runtime","name":"cudaLaunchKernel","pid":1,"tid":1,"ts":4,"dur":1,"args":{"correlation":1}}"#,
        r#"{"ph":"X","cat":"cuda_runtime","name":"cudaLaunchKernel","pid":1,"tid":1,"ts":20,"dur":1,"args":{"correlation":2}}"#,
        r#"{"ph":"X","cat":"cpu_op","name":"MmBackward0","pid":1,"tid":2,"ts":60,"dur":9,"args":{"Sequence number":7,"Fwd thread id":1}}"#,
        r#"{"ph":"X","cat":"cuda_runtime","name":"cudaLaunchKernel","pid":1,"tid":2,"ts":61,"dur":1,"args":{"correlation":3}}"#,
        r#"{"ph":"X","cat":"cuda_runtime","name":"cudaLaunchKernel","pid":1,"tid":2,"ts":90,"dur":1,"args":{"correlation":4}}"#,
        r#"{"ph":"X","cat":"kernel","name":"k","pid":0,"tid":7,"ts":10,"dur":2,"args":{"correlation":1,"device":0,"stream":7}}"#,
        r#"{"ph":"X","cat":"kernel","name":"k","pid":0,"tid":7,"ts":30,"dur":2,"args":{"correlation":2,"device":0,"stream":7}}"#,
        r#"{"ph":"X","cat":"kernel","name":"k","pid":0,"tid":7,"ts":70,"dur":2,"args":{"correlation":3,"device":0,"stream":7}}"#,
        r#"{"ph":"X","cat":"kernel","name":"k","pid":0,"tid":7,"ts":95,"dur":2,"args":{"correlation":4,"device":0,"stream":7}}"#,
        r#"{"ph":"i","s":"t","cat":"cpu_instant_event","name":"[memory]","pid":1,"tid":1,"ts":5,"args":{"Device Type":1,"Device Id":0,"Addr":139000,"Bytes":-512,"Total Allocated":1024,"Total Reserved":4096}}"#,
    ];
    std::fs::write(&path, format!("{{\"traceEvents\":[{}]}}", events.join(","))).unwrap();
    let out = dir.path().join("ds");
    let done = run(["convert", "--to", "parquet", "-o", out.to_str().unwrap(), path.to_str().unwrap()]);
    assert_eq!((done.exit, done.fatal), (Exit::Ok, None));
    let part = "part-00001-of-00001";
    let modules: Vec<_> =
        rows(&out, "kernels", part).iter().map(|k| k["module"].as_str().map(str::to_owned)).collect();
    let name = |text: &str| Some(format!("nn.Module: {text}"));
    assert_eq!(modules, [name("Linear_1"), name("Net_0"), name("Linear_1"), None]);
    let memory = rows(&out, "memory", part);
    assert_eq!(
        (memory.len(), &memory[0]["bytes"], &memory[0]["address"]),
        (1, &(-512).into(), &"139000".into())
    );
    assert_eq!((&memory[0]["allocated_bytes"], &memory[0]["reserved_bytes"]), (&1024.into(), &4096.into()));
}

#[test]
fn kernels_in_two_halves_are_kernels() {
    let halves = |event: &str| {
        let at = |name: &str| -> i64 {
            event
                .split(name)
                .nth(1)
                .unwrap()
                .split(',')
                .next()
                .unwrap()
                .trim_end_matches('}')
                .parse()
                .unwrap()
        };
        let (start, dur) = (at("\"ts\":"), at("\"dur\":"));
        let begin = event.replace("\"ph\":\"X\"", "\"ph\":\"B\"").replace(&format!(",\"dur\":{dur}"), "");
        let tid = event.split("\"tid\":").nth(1).unwrap().split(',').next().unwrap();
        let pid = event.split("\"pid\":").nth(1).unwrap().split(',').next().unwrap();
        format!("{begin},\n{{\"ph\":\"E\",\"pid\":{pid},\"tid\":{tid},\"ts\":{}}}", start + dur)
    };
    let ids = ("100", "0");
    let collective = r#"{"ph":"X","cat":"kernel","name":"ncclDevKernel_AllReduce_Sum_f32_RING_LL","pid":0,"tid":8,"ts":420,"dur":30,"args":{"device":0,"stream":8,"correlation":3,"Collective name":"allreduce","Seq":7}}"#;
    let plain = [
        step(1, "100", (0, 400)),
        launched(1, (50, 10), ids),
        // Its launch is in the first step.
        launched(2, (405, 15), ids),
        step(2, "100", (400, 400)),
        launched(3, (700, 20), ids).lines().next().unwrap().trim_end_matches(',').to_owned(),
        collective.to_owned(),
    ];
    let split: Vec<String> =
        plain.iter().flat_map(|lines| lines.split(",\n").map(halves).collect::<Vec<_>>()).collect();
    let part = "part-00001-of-00001";
    let (done, whole) = convert(&plain, &[]);
    assert_eq!((done.exit, done.fatal), (Exit::Ok, None));
    let (done, halved) = convert(&split, &[]);
    assert_eq!((done.exit, done.fatal), (Exit::Ok, None));
    for table in ["kernels", "collectives", "steps"] {
        let read = |dir: &Path| {
            let mut rows = rows(&dir.join("ds"), table, part);
            rows.iter_mut().for_each(|row| _ = row.as_object_mut().unwrap().remove("index"));
            rows
        };
        assert_eq!(read(halved.path()), read(whole.path()), "{table}");
        assert!(!read(whole.path()).is_empty(), "{table}");
    }
    assert_eq!(step_rows(halved.path()), [(0, 1, 2, 370_000), (0, 2, 1, 30_000)]);
    // The events are as they stand there; a kernel has the index of its begin.
    let events = rows(&halved.path().join("ds"), "events", part);
    assert_eq!(events.len(), 2 * rows(&whole.path().join("ds"), "events", part).len());
    for kernel in rows(&halved.path().join("ds"), "kernels", part) {
        let event = events.iter().find(|event| event["index"] == kernel["index"]).unwrap();
        assert_eq!(
            (&event["ph"], &event["name"], &event["start_ns"]),
            (&"B".into(), &kernel["name"], &kernel["start_ns"])
        );
    }
}

/// Of work of CANN no call has the number as its correlation: arrows and connections lead from operators to it.
#[test]
fn kernels_of_an_ascend_timeline_have_modules() {
    let process = |pid: i64, name: &str| {
        format!(r#"{{"ph":"M","name":"process_name","pid":{pid},"args":{{"name":"{name}"}}}}"#)
    };
    let span = |cat: &str, name: &str, (pid, tid): (i64, i64), (start, dur): (i64, i64), args: &str| {
        let cat = if cat.is_empty() { String::new() } else { format!(r#""cat":"{cat}","#) };
        format!(
            r#"{{"ph":"X",{cat}"name":"{name}","pid":{pid},"tid":{tid},"ts":"{start}","dur":{dur},"args":{{{args}}}}}"#
        )
    };
    let arrow = |phase: &str, (pid, tid): (i64, i64), at: i64, id: i64| {
        format!(
            r#"{{"ph":"{phase}","bp":"e","cat":"async_npu","name":"torch_to_npu","id":{id},"pid":{pid},"tid":{tid},"ts":"{at}"}}"#
        )
    };
    let kernel = |name: &str, start: i64, connection: i64| {
        let args = format!(r#""Task Type":"AI_CORE","connection_id":{connection}"#);
        span("", name, (3, 2), (start, 10), &args)
    };
    let call = |start: i64, tid: i64, connection: i64| {
        let args = format!(r#""level":"node","connection_id":{connection}"#);
        span("", "Node@launch", (2, tid), (start, 2), &args)
    };
    let events = [
        process(1, "Python"),
        process(2, "CANN"),
        process(3, "Ascend Hardware"),
        span("python_function", "nn.Module: Net_0", (1, 7), (1000, 500), ""),
        span("python_function", "nn.Module: Linear_3", (1, 7), (1100, 100), ""),
        // The operator asks on the thread of the framework; another thread calls later, outside of the module.
        arrow("s", (1, 7), 1110, 1_300_000),
        arrow("f", (3, 2), 1300, 1_300_000),
        call(1250, 8, 41),
        kernel("by_arrow", 1300, 41),
        // Without an arrow: the call counts, on the thread of the framework that has its number.
        call(1150, 7, 42),
        kernel("by_connection", 1320, 42),
        call(1600, 7, 43),
        kernel("outside", 1700, 43),
        kernel("alone", 1720, 44),
    ];
    let dir = tempfile::tempdir().unwrap();
    let (path, out) = (dir.path().join("trace_view.json"), dir.path().join("ds"));
    std::fs::write(&path, format!("[{}]", events.join(","))).unwrap();
    let done = convert_to(&out, &[&path], &[]);
    assert_eq!((done.exit, done.fatal), (Exit::Ok, None));
    let kernels = rows(&out, "kernels", "part-00001-of-00001");
    let modules: Vec<_> =
        kernels.iter().map(|k| (k["name"].as_str().unwrap(), k["module"].as_str())).collect();
    let linear = Some("nn.Module: Linear_3");
    let expected = [("by_arrow", linear), ("by_connection", linear), ("outside", None), ("alone", None)];
    assert_eq!(modules, expected);
}

/// Several changes of one moment have their order in the trace: the level after each is that of those before it.
#[test]
fn changes_of_memory_have_an_order() {
    let change = |bytes: i64| {
        format!(
            r#"{{"ph":"i","s":"t","cat":"cpu_instant_event","name":"[memory]","pid":1,"tid":1,"ts":5,"args":{{"Device Type":1,"Device Id":0,"Addr":1,"Bytes":{bytes}}}}}"#
        )
    };
    let (done, dir) = convert(&[200, -100, 50, -150].map(change), &[]);
    assert_eq!((done.exit, done.fatal), (Exit::Ok, None));
    let mut memory = rows(&dir.path().join("ds"), "memory", "part-00001-of-00001");
    memory.sort_by_key(|row| row["index"].as_i64().unwrap());
    let bytes: Vec<_> = memory.iter().map(|row| row["bytes"].as_i64().unwrap()).collect();
    assert_eq!(bytes, [200, -100, 50, -150]);
    assert!(memory.windows(2).all(|pair| pair[0]["index"] != pair[1]["index"]), "{memory:?}");
}
