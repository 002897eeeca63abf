use super::super::testing::{DripReader, Lines, read_bytes};
use super::super::{ReadOptions, ReadOutcome, read_trace};

fn read(text: &str) -> (Vec<String>, ReadOutcome) {
    let mut lines = Lines::default();
    let source = Box::new(DripReader::new(text.as_bytes(), 5));
    let outcome = read_trace(source, &ReadOptions::default(), &mut lines).unwrap();
    (lines.0, outcome)
}

/// The events, without metadata.
fn events(text: &str) -> Vec<String> {
    let (lines, outcome) = read(text);
    assert!(outcome.complete && outcome.bytes == text.len() as u64, "{:?}", outcome.error);
    lines.into_iter().filter(|line| !line.starts_with("M ")).collect()
}

const HARDWARE: i64 = 14 << 5;
const COMMUNICATION: i64 = 16 << 5;
const COUNTERS: i64 = 17 << 5;
const STEPS: i64 = 7 << 5;

const KERNELS: &str = "Step Id,Device_id,Model ID,Task ID,Stream ID,Name,Type,Accelerator Core,Start Time(us),\
    Duration(us),Wait Time(us),Block Dim,Input Shapes,aicore_time(us)\r\n\
    5,3,4294967295,11,2,MatMul_1,MatMul,AI_CORE,\"1736408883704643.212\t\",53.741,0,32,\"\"\"32,3;3,4\"\"\",50.5\r\n\
    5,3,4294967295,N/A,N/A,hcom_allReduce__586_0_1,hcom_allReduce_,HCCL,1736408883704650.000\t,7.5,1e-05,0,N/A,N/A\r\n\
    ,3,4294967295,12,2,Cast_2,Cast,N/A,1736408883704800.001\t,1,0,1,,\r\n";

#[test]
fn kernels_and_collectives_have_their_rows() {
    assert_eq!(
        events(KERNELS),
        [
            format!(
                "X other {}/2 MatMul_1 1736408883704643212+53741 {{\"Block Num\":32,\"Input Shapes\":\"\\\"32,3;3,4\\\"\",\"Op Type\":\"MatMul\",\"Physic Stream Id\":2,\"Step Id\":5,\"Task Id\":11,\"Task Type\":\"AI_CORE\",\"Wait Time(us)\":0,\"aicore_time(us)\":50.5}}",
                HARDWARE + 3
            ),
            format!(
                "X collective {}/0 hcom_allReduce__586_0_1 1736408883704650000+7500 {{\"Block Num\":0,\"Op Type\":\"hcom_allReduce_\",\"Step Id\":5,\"Task Type\":\"HCCL\",\"Wait Time(us)\":0.00001}}",
                COMMUNICATION + 3
            ),
            format!(
                "X kernel {}/2 Cast_2 1736408883704800001+1000 {{\"Block Num\":1,\"Op Type\":\"Cast\",\"Physic Stream Id\":2,\"Task Id\":12,\"Wait Time(us)\":0}}",
                HARDWARE + 3
            ),
            format!("X step {STEPS}/0 ProfilerStep#5 1736408883704643212+53741 null"),
        ]
    );
    // msprof's names for the same columns.
    let names = [("Name", "Op Name"), ("Type", "OP Type"), ("Accelerator Core", "Task Type")];
    let names = names.iter().chain(&[("Start Time", "Task Start Time"), ("Duration", "Task Duration")]);
    let other =
        names.fold(KERNELS.to_owned(), |text, (a, b)| text.replacen(&format!(",{a}"), &format!(",{b}"), 1));
    assert_eq!(events(&other), events(KERNELS));
}

#[test]
fn a_table_that_ends_in_a_row_is_cut() {
    let cut = KERNELS.find("1736408883704800").unwrap() + 8;
    let (lines, outcome) = read(&KERNELS[..cut]);
    assert!(!outcome.complete && outcome.error.unwrap().to_string().contains("ends inside a row"));
    assert!(lines.iter().any(|line| line.contains("MatMul_1")));
    // Without the last cells, which are empty.
    assert!(read(&KERNELS[..KERNELS.len() - 6]).1.complete);
    let bad = KERNELS.replace("1736408883704650.000\t", "soon");
    let (_, outcome) = read(&bad);
    assert_eq!(outcome.defects.losses()["unreadable_event"], 1);
    assert!(outcome.complete);
}

/// A quotation mark that is not closed makes the rest of the file one cell: memory stays bounded.
#[test]
fn an_open_quotation_mark_ends_the_reading() {
    let mut text = KERNELS.to_owned() + "5,3,1,1,2,\"";
    text.push_str(&"a,b\n".repeat(5 * 1024 * 1024));
    let (_, outcome) = read_bytes(text.as_bytes());
    assert!(outcome.error.unwrap().to_string().contains("more than 16 MiB"));
}

#[test]
fn memory_is_in_bytes() {
    let allocations = "Name,Size(KB),Allocation Time(us),Release Time(us),Allocation Total Allocated(MB),\
        Allocation Total Reserved(MB),Release Total Allocated(MB),Device Type\n\
        aten::empty,1.5,100.250\t,200.000\t,2.5,4.0,2.498535156,NPU:1\naten::ones,2,300,,1,,,NPU:1\n";
    let of = |at: &str, args: &str| format!("i memory {}/0 [memory] {at}+- {args}", COUNTERS + 1);
    assert_eq!(
        events(allocations),
        [
            of(
                "100250",
                r#"{"Bytes":1536,"Device Id":1,"Device Type":20,"Operator":"aten::empty","Row":2,"Total Allocated":2621440,"Total Reserved":4194304}"#
            ),
            of(
                "200000",
                r#"{"Bytes":-1536,"Device Id":1,"Device Type":20,"Operator":"aten::empty","Row":2,"Total Allocated":2619904}"#
            ),
            of(
                "300000",
                r#"{"Bytes":2048,"Device Id":1,"Device Type":20,"Operator":"aten::ones","Row":3,"Total Allocated":1048576}"#
            ),
        ]
    );
    let levels = "Component,Timestamp(us),Total Allocated(MB),Total Reserved(MB),Device Type\nPTA,1.695E+15,0.5,2,NPU:0\n";
    let expected = "{\"totalAllocated\":524288,\"totalReserved\":2097152}";
    assert_eq!(
        events(levels),
        [format!("C counter {COUNTERS}/0 Memory PTA 1695000000000000000+- {expected}")]
    );
    let modules = "Device_id,Component,Timestamp(us),Total Reserved(KB),Device\n0,SLOG,5,1,NPU:0\n";
    let expected = "{\"totalReserved\":1024}";
    assert_eq!(events(modules), [format!("C counter {COUNTERS}/0 NPU Module MEM SLOG 5000+- {expected}")]);
    let device = "Device_id,event,ddr(KB),hbm(KB),memory(KB),timestamp(us)\n2,app,1,2,3,7\n";
    let expected = "{\"ddr\":1024,\"hbm\":2048,\"memory\":3072}";
    assert_eq!(events(device), [format!("C counter {}/0 NPU MEM app 7000+- {expected}", COUNTERS + 2)]);
}

#[test]
fn iterations_are_steps() {
    let text = "Device_id,Iteration ID,FP Start(us),BP End(us),Iteration End(us),Iteration Time(us)\n\
        0,1,N/A,N/A,1000.5,200.25\n";
    assert_eq!(events(text), [format!("X step {STEPS}/0 ProfilerStep#1 800250+200250 null")]);
}

const OPERATION: &str = r#"{"Communication Time Info":{"Start Timestamp(us)":1736408883732241.8,"Elapse Time(ms)":79.08952021875,"Wait Time(ms)":5.5},"Communication Bandwidth Info":{"RDMA":{"Transit Size(MB)":0},"HCCS":{"Transit Size(MB)":28.5,"Transit Time(ms)":1.25,"Bandwidth(GB/s)":22.8,"Size Distribution":{"2.06":[12,1.5]}}}}"#;
const SUM: &str = r#"{"Communication Time Info":{"Elapse Time(ms)":80}}"#;

#[test]
fn collectives_come_with_their_waits() {
    let text = format!(
        r#"{{"step7":{{"p2p":{{}},"collective":{{"hcom_allReduce__586_0_1@175":{OPERATION},"Total Op Info":{SUM}}}}}}}"#
    );
    let args = r#"{"HCCS bandwidth(GB/s)":22.8,"HCCS size(MB)":28.5,"HCCS transit_ns":1250000,"class":"collective","group_name":"175","step":"step7","wait_ns":5500000}"#;
    let expected =
        format!("X collective {COMMUNICATION}/0 hcom_allReduce__586_0_1 1736408883732241800+79089520 {args}");
    assert_eq!(events(&text), [expected]);
    let cut = read(&text[..text.len() - 2]).1;
    assert!(!cut.complete && cut.error.is_some());
    // Of several ranks.
    let text = format!(r#"{{"(0, 1)":{{"step":{{"hcom_send__1@5":{{"0":{OPERATION},"1":{OPERATION}}}}}}}}}"#);
    let (lines, outcome) = read(&text);
    assert!(outcome.complete);
    let named = [0, 1].map(|rank| {
        format!(
            "M other {}/- process_name -+- {{\"name\":\"rank {rank} Communication\"}}",
            COMMUNICATION + rank
        )
    });
    assert!(named.iter().all(|name| lines.contains(name)), "{lines:?}");
    assert_eq!(lines.iter().filter(|line| line.contains("hcom_send__1 1736408883732241800")).count(), 2);
}

#[test]
fn sums_are_rejected_by_what_they_are() {
    let cases = [
        (
            "Step,Computing,Communication(Not Overlapped),Free\n5,1,2,3\n",
            "step_trace_time.csv, with the sums",
        ),
        ("Step,Type,Index,Computing,Free\n5,rank,0,1,2\n", "cluster_step_trace_time.csv"),
        ("OP Type,Core Type,Count,Total Time(us)\nAdd,AI_CORE,1,2\n", "op_statistic.csv"),
        ("Device_id,Level,API Name,Time(us),Count\nhost,acl,a,1,2\n", "api_statistic.csv"),
        (
            "Name,Input Shapes,Call Stack,Host Self Duration(us),Device Total Duration(us)\n",
            "operator_details.csv",
        ),
        ("Stream Id,Task Id,Hit Rate,Victim Rate,Op Name\n2,1,0,0,a\n", "l2_cache.csv"),
        (
            r#"{"step":{"p2p":{},"collective":{"a":{"0-1":{"Transport Type":"HCCS","Transit Size(MB)":1}}}}}"#,
            "communication_matrix.json",
        ),
        (r#"{"config":{"common_config":{},"experimental_config":{}},"rank_id":0}"#, "profiler_info.json"),
        (r#"{ "collective" : [[0, 1], [0]], "p2p": []}"#, "communication_group.json"),
        (r#"{"ENV_VARIABLES":{}}"#, "profiler_metadata.json"),
    ];
    for (text, what) in cases {
        let (lines, outcome) = read(text);
        let reason = outcome.error.unwrap().to_string();
        assert!(lines.is_empty() && reason.contains(what) && reason.contains("beside it"), "{reason}");
    }
    // A trace may say the same of itself.
    let (lines, _) = read(r#"{"distributed_args":{},"traceEvents":[{"ph":"i","name":"a","ts":1}]}"#);
    assert_eq!(lines.len(), 1);
}
