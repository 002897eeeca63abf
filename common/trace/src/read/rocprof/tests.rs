//! A file of our own, against what must come of it; cut and damaged ones.

use super::super::ReadOutcome;
use super::super::testing::read_bytes;

const SMALL: &str = r#"{"rocprofiler-sdk-tool":[{"metadata":{"pid":908,"node":{"hostname":"n1"}},
    "agents":[{"id":{"handle":11},"type":1,"gpu_index":-1},{"id":{"handle":12},"type":2,"gpu_index":0,"name":"gfx950"}],
    "strings":{"buffer_records":[{"kind":"NONE","operations":[]},{"kind":"HIP","operations":["a","hipLaunchKernel"]},
        {"kind":"COPY","operations":["NONE","MEMORY_COPY_HOST_TO_DEVICE"]}]},
    "kernel_symbols":[{"kernel_id":5,"kernel_name":"_Z1k.kd","formatted_kernel_name":"k()"}],
    "callback_records":{"counter_collection":[]},
    "buffer_records":{
        "kernel_dispatch":[{"kind":9,"operation":2,"thread_id":908,"correlation_id":{"internal":3,"external":0},
            "start_timestamp":100,"end_timestamp":150,"dispatch_info":{"agent_id":{"handle":12},"queue_id":{"handle":4},
            "kernel_id":5,"workgroup_size":{"x":64,"y":1,"z":1},"grid_size":{"x":128,"y":1,"z":1}}}],
        "hip_api":[{"kind":1,"operation":1,"thread_id":909,"correlation_id":{"internal":3},"start_timestamp":90,"end_timestamp":95}],
        "pc_sample_host_trap":[{"x":1}],
        "memory_copy":[{"kind":2,"operation":1,"thread_id":909,"correlation_id":{"internal":4},"start_timestamp":70,
            "end_timestamp":80,"dst_agent_id":{"handle":12},"src_agent_id":{"handle":11},"bytes":64}]}}]}"#;

fn read(text: &str) -> (Vec<String>, ReadOutcome) {
    read_bytes(text.as_bytes())
}

#[test]
fn records_become_events() {
    let (lines, outcome) = read(SMALL);
    assert!(outcome.complete && outcome.meta.devices[&0] == "gfx950", "{:?}", outcome.error);
    assert_eq!(outcome.bytes, SMALL.len() as u64);
    let gpu = 1i64 << 41;
    let expected = [
        format!("M other {gpu}/- process_name -+- {{\"name\":\"GPU 0\"}}"),
        format!(
            "X kernel {gpu}/4 k() 100+50 {{\"correlation\":3,\"device\":0,\"grid\":[128,1,1],\"queue\":4,\"stream\":4,\"workgroup\":[64,1,1]}}"
        ),
        "X runtime 908/909 hipLaunchKernel 90+5 {\"correlation\":3}".to_owned(),
        format!(
            "X memcpy {gpu}/0 MEMORY_COPY_HOST_TO_DEVICE 70+10 {{\"bytes\":64,\"correlation\":4,\"device\":0}}"
        ),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn cut_and_damaged_files_say_where() {
    let (lines, outcome) = read(&SMALL[..SMALL.len() - 200]);
    let error = outcome.error.unwrap();
    assert!(lines.len() >= 2 && error.to_string().contains("ends inside an object"), "{error}");
    let (_, outcome) = read(&SMALL.replace("\"start_timestamp\":90", "\"start_timestamp\":\"x\""));
    let error = outcome.error.unwrap();
    assert!(error.to_string().contains("the file is damaged: invalid type"), "{error}");
    assert!(error.place().starts_with(":1"));
    for cut in 25..SMALL.len() {
        assert!(read(&SMALL[..cut]).1.error.is_some(), "{cut}");
    }
}

/// `strings.marker_api` holds the texts that the program gave to roctx, as a map of cereal (generateJSON.cpp).
#[test]
fn marks_have_the_texts_of_the_program() {
    let marks = r#""strings":{"marker_api":[{"key":7,"value":"step 1"}],"buffer_records":[{"operations":[]},{"operations":["roctxMarkA"]}]}"#;
    let record = |number: i64| {
        format!(
            r#"{{"kind":1,"operation":0,"thread_id":5,"correlation_id":{{"internal":{number}}},"start_timestamp":1,"end_timestamp":4}}"#
        )
    };
    let records = format!(r#""buffer_records":{{"marker_api":[{},{}]}}"#, record(7), record(8));
    let (lines, outcome) =
        read(&format!(r#"{{"rocprofiler-sdk-tool":[{{{marks},"kernel_symbols":[],{records}}}]}}"#));
    assert!(outcome.complete, "{:?}", outcome.error);
    let names: Vec<_> = lines.iter().map(|line| line.split(" {").next().unwrap()).collect();
    assert_eq!(names, ["X marker 0/5 step 1 1+3", "X marker 0/5 roctxMarkA 1+3"]);
}

#[test]
fn names_may_stand_behind_the_records() {
    let (ordered, outcome) = read(SMALL);
    assert!(outcome.complete && outcome.defects.losses().is_empty());
    let value: serde_json::Value = serde_json::from_str(SMALL).unwrap();
    // serde_json's objects are sorted by their keys, as those of Python with `sort_keys` and of jq with `-S`.
    let sorted = value.to_string();
    assert!(sorted.find("\"buffer_records\"") < sorted.find("\"kernel_symbols\""));
    let (mut lines, outcome) = read(&sorted);
    assert!(outcome.complete, "{:?}", outcome.error);
    let mut expected = ordered;
    lines.sort();
    expected.sort();
    assert_eq!(lines, expected);
}

#[test]
fn missing_names_and_impossible_times_are_counted() {
    let (lines, outcome) =
        read(&SMALL.replace("\"kernel_id\":5,\"kernel_name\"", "\"kernel_id\":6,\"kernel_name\""));
    assert!(lines[1].contains(" unknown 100+50 "), "{lines:?}");
    assert_eq!(outcome.defects.losses(), [("missing_name".to_owned(), 1)].into());
    let (lines, outcome) = read(&SMALL.replace("\"end_timestamp\":150", "\"end_timestamp\":50"));
    assert!(lines[1].contains(" k() 100+0 "), "{lines:?}");
    assert_eq!(outcome.defects.repairs(), [("negative_dur".to_owned(), 1)].into());
    let (lines, outcome) =
        read(&SMALL.replace("\"end_timestamp\":150", "\"end_timestamp\":900000000000000000"));
    assert!(lines[1].contains(" k() 100+- "), "{lines:?}");
    assert_eq!(outcome.defects.repairs(), [("longer_than_7_days".to_owned(), 1)].into());
}
