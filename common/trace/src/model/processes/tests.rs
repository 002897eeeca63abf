use super::*;

fn metadata(pid: i64, tid: i64, what: &'static str, label: &'static str) -> Event<'static> {
    Event {
        phase: b'M',
        name: what.into(),
        label: label.into(),
        pid: EventId::Number(pid),
        tid: EventId::Number(tid),
        ..Event::default()
    }
}

fn row(pid: i64, tid: i64, name: &'static str, task: &'static str) -> Event<'static> {
    Event {
        phase: b'X',
        name: name.into(),
        task_type: task.into(),
        pid: EventId::Number(pid),
        tid: EventId::Number(tid),
        ..Event::default()
    }
}

/// Threads are numbered before their processes are named, as in a file with its metadata at the end.
fn classify(metadata: &[Event<'_>], row: &Event<'_>) -> (Category, Option<i64>, Option<i64>) {
    let mut table = ProcessTable::default();
    let thread = table.thread_of(row);
    metadata.iter().for_each(|m| table.learn(m));
    let class = super::super::classify_kernel_name(&row.name.decode());
    let traits = RowTraits::from_byte(RowTraits::of_event(row, class).to_byte());
    let meaning = table.classify_row(thread, traits);
    (meaning.category, meaning.device, meaning.stream)
}

#[test]
fn ascend_rows_are_told_by_process_and_task() {
    let hardware =
        [metadata(9, 0, "process_name", "Ascend Hardware"), metadata(9, 0, "process_labels", "NPU 3")];
    let of = |name, task| classify(&hardware, &row(9, 2, name, task));
    assert_eq!(of("MatMul", "KERNEL_AICORE"), (Category::Kernel, Some(3), Some(2)));
    assert_eq!(of("MEMCPY_ASYNC", "PCIE_DMA_SQE").0, Category::Memcpy);
    assert_eq!(of("MEMCPY_ASYNC", "SDMA_SQE").0, Category::Memcpy);
    assert_eq!(of("x", "MEMCPY_ASYNC").0, Category::Memcpy);
    assert_eq!(of("SDMA", "SDMA").0, Category::Other);
    assert_eq!(of("x", "EVENT_WAIT_SQE").0, Category::Other);
    let hccl = [metadata(9, 0, "process_name", "HCCL")];
    assert_eq!(classify(&hccl, &row(9, 2, "hcom_allReduce__1_2_3", "")), (Category::Collective, None, None));
    assert_eq!(classify(&hccl, &row(9, 2, "Notify_Wait", "Notify_Wait")).0, Category::Other);
    assert_eq!((npu_of_label("NPU 3"), npu_of_label("NPU"), npu_of_label("CPU")), (Some(3), None, None));
}

#[test]
fn merged_processes_are_what_they_were() {
    for label in ["rank 12", "trace 1"] {
        let name: &'static str = format!("{label}: Ascend Hardware").leak();
        let of = |name| classify(&[metadata(9, 0, "process_name", name)], &row(9, 2, "MatMul", "AI_CORE"));
        assert_eq!(of(name).0, Category::Kernel);
        assert_eq!(split_merge_label(name), (Some(label), "Ascend Hardware"));
        assert!(is_ascend_process(name));
    }
    for name in ["rank x: Ascend Hardware", "rank : CANN", "node 1: CANN", "CANN: rank 1"] {
        assert_eq!(split_merge_label(name), (None, name));
    }
}

/// Tools that put ranks together write the rank before or behind the names of processes.
#[test]
fn processes_of_ascend_keep_their_role_beside_a_rank() {
    for name in ["rank 1 Ascend Hardware", "[rank1] Ascend Hardware", "Rank_1: Ascend Hardware"] {
        let of_rank = metadata(1, 0, "process_name", name);
        assert_eq!(classify(&[of_rank], &row(1, 7, "MatMul", "AI_CORE")).0, Category::Kernel, "{name}");
        assert!(decides_rows(name) && is_ascend_process(name));
    }
    let behind = metadata(1, 0, "process_name", "Ascend Hardware (rank 1)");
    assert_eq!(classify(&[behind], &row(1, 7, "MatMul", "AI_CORE")).0, Category::Kernel);
    for name in ["my Ascend Hardware", "rank 1 CANNON", "rank x CANN", "CANN 1"] {
        assert!(!decides_rows(name), "{name}");
    }
}

#[test]
fn xla_streams_are_work_and_derived_rows_are_not() {
    let gpu =
        |thread| [metadata(1, 0, "process_name", "/device:GPU:2"), metadata(1, 7, "thread_name", thread)];
    let of = |thread, name| classify(&gpu(thread), &row(1, 7, name, ""));
    assert_eq!(of("Stream #13(Compute)", "fusion_3"), (Category::Kernel, Some(2), Some(13)));
    assert_eq!(of("Stream #13(MemcpyH2D)", "MemcpyH2D").0, Category::Memcpy);
    assert_eq!(of("Stream #13(Compute)", "ncclDevKernel_AllReduce_Sum").0, Category::Collective);
    assert_eq!(of("Stream #13(MemoryAlloc)", "MemoryAlloc").0, Category::Marker);
    assert_eq!(of("Steps", "4").0, Category::Step);
    for derived in ["XLA Ops", "XLA Modules", "TensorFlow Name Scope"] {
        assert_eq!(of(derived, "x").0, Category::Marker, "{derived}");
    }
    let tpu =
        [metadata(1, 0, "process_name", "host1 /device:TPU:0"), metadata(1, 7, "thread_name", "XLA Ops")];
    assert_eq!(classify(&tpu, &row(1, 7, "all-reduce.3", "")).0, Category::Collective);
    assert_eq!(classify(&tpu, &row(1, 7, "fusion.3", "")).0, Category::Kernel);
}

#[test]
fn tensorflow_one_repeats_its_streams() {
    let all = metadata(1, 0, "process_name", "/job:w/replica:0/task:0/device:GPU:0/stream:all Compute");
    let one = metadata(2, 0, "process_name", "/job:w/replica:0/task:0/device:GPU:0/stream:22 Compute");
    let host = metadata(3, 0, "process_name", "/job:w/replica:0/task:0/device:GPU:0 Compute");
    assert_eq!(classify(&[all, one], &row(1, 0, "MatMul", "")).0, Category::Kernel);
    assert_eq!(classify(&[all, one], &row(2, 0, "MatMul", "")).0, Category::Marker);
    assert_eq!(classify(&[one], &row(2, 0, "MatMul", "")), (Category::Kernel, Some(0), Some(0)));
    assert_eq!(classify(&[host], &row(3, 0, "MatMul", "")).0, Category::Other);
}

#[test]
fn the_first_profiler_of_pytorch_names_its_processes() {
    let mut table = ProcessTable::default();
    let mut event = row(0, 3, "gemm", "");
    event.pid = EventId::Text("CUDA functions".into());
    let thread = table.thread_of(&event);
    let meaning = table.classify_row(thread, RowTraits::default());
    assert_eq!((meaning.category, meaning.device), (Category::Kernel, Some(3)));
}

#[test]
fn hosts_stand_before_the_planes_of_xla() {
    let host = |name: &'static str| {
        let mut table = ProcessTable::default();
        table.learn(&metadata(1, 0, "process_name", name));
        table.named_host(0).map(str::to_owned)
    };
    assert_eq!(host("worker-3 /device:TPU:1").as_deref(), Some("worker-3"));
    assert_eq!(host("worker-3 /host:CPU").as_deref(), Some("worker-3"));
    for other in ["/device:GPU:0", "/job:w/replica:0/task:0/device:GPU:0/stream:all Compute", "python"] {
        assert_eq!(host(other), None, "{other}");
    }
}

#[test]
fn ranks_stand_in_names_and_labels() {
    let ranks =
        ["rank 3", "python (Rank: 12)", "trainer rank_0 pid 5", "DP rank=7", "frank", "rank", "ranks 2 of 8"];
    assert_eq!(ranks.map(rank_in_text), [Some(3), Some(12), Some(0), Some(7), None, None, None]);
}
