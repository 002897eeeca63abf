//! How fast and in how much memory `traceq` reads a trace: prints JSON lines, asserts nothing.
//!
//!     cargo bench --bench traces            a trace of 100 MB
//!     cargo bench --bench traces -- 1000    of 1000 MB
//!
//! Beside each command runs `cat FILE`, so that the numbers can be compared between machines as ratios.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::json;

const MB: u64 = 1_000_000;

fn main() {
    let megabytes = std::env::args().filter_map(|a| a.parse().ok()).next().unwrap_or(100);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let plain = dir.path().join("trace.json");
    let events = generate(&plain, megabytes * MB).expect("the trace can be written");
    let gzip = dir.path().join("trace.json.gz");
    compress(&plain, &gzip).expect("the trace can be compressed");
    for args in [&["sum"][..], &["info"], &["top"], &["cat"]] {
        for file in [&plain, &gzip] {
            measure(args, file, events, plain.metadata().expect("it is there").len());
        }
    }
}

/// Runs `traceq` three times on a file and prints the best.
fn measure(args: &[&str], file: &Path, events: u64, bytes: u64) {
    let runs: Vec<(f64, u64)> = (0..3).map(|_| traceq(args, file)).collect();
    let seconds = runs.iter().map(|r| r.0).fold(f64::INFINITY, f64::min);
    let memory = runs.iter().map(|r| r.1).max().unwrap_or(0);
    let copy = seconds_of(Command::new("cat").arg(file).stdout(Stdio::null()));
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    let line = json!({
        "type": "bench.traceq", "v": 1, "command": args.join(" "), "gzip": file.extension().is_some_and(|e| e == "gz"),
        "bytes": bytes, "events": events, "seconds": seconds, "mb_per_s": bytes as f64 / 1e6 / seconds,
        "events_per_s": events as f64 / seconds, "peak_memory_bytes": memory,
        "peak_memory_ratio": memory as f64 / bytes as f64, "times_cat": seconds / copy,
    });
    #[expect(clippy::print_stdout, reason = "a benchmark's result")]
    {
        println!("{line}");
    }
}

fn seconds_of(command: &mut Command) -> f64 {
    let start = Instant::now();
    command.status().expect("the command runs");
    start.elapsed().as_secs_f64()
}

/// Seconds and peak resident bytes of one run, the latter as the tool says with `--verbose`.
fn traceq(args: &[&str], file: &Path) -> (f64, u64) {
    let start = Instant::now();
    let mut command = Command::new(env!("CARGO_BIN_EXE_traceq"));
    let output = command.args(args).arg(file).args(["--format", "json", "-v"]);
    let output = output.stdout(Stdio::null()).stderr(Stdio::piped()).output().expect("traceq runs");
    let seconds = start.elapsed().as_secs_f64();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let kib = said
        .rsplit("peak memory")
        .next()
        .and_then(|t| t.split_whitespace().next())
        .and_then(|n| n.parse().ok());
    (seconds, kib.unwrap_or(0_u64) * 1024)
}

fn compress(from: &Path, to: &Path) -> std::io::Result<()> {
    let mut encoder =
        flate2::write::GzEncoder::new(BufWriter::new(File::create(to)?), flate2::Compression::fast());
    std::io::copy(&mut File::open(from)?, &mut encoder)?;
    encoder.finish()?.flush()
}

/// Writes a trace of about `bytes` in the layout of libkineto: steps of nested operators, launches, kernels
/// and collectives on four streams, flows. Deterministic. Returns the number of events.
fn generate(path: &Path, bytes: u64) -> std::io::Result<u64> {
    let mut w = Generator { file: BufWriter::new(File::create(path)?), written: 0, events: 0, seed: 7 };
    w.put(r#"{"schemaVersion":1,"deviceProperties":[{"id":0,"name":"bench"}],"distributedInfo":{"backend":"nccl","rank":0,"world_size":8},"displayTimeUnit":"ms","baseTimeNanoseconds":1700000000000000000,"traceEvents":[
{"ph":"M","name":"process_name","pid":100,"tid":0,"ts":0.000,"args":{"name":"python"}}"#)?;
    let (mut time, mut step, mut id) = (1_000_000_u64, 0_u64, 1_u64);
    while w.written < bytes {
        let start = time;
        for _ in 0..200 {
            (time, id) = w.operator(time, id)?;
        }
        step += 1;
        let dur = time - start;
        w.event(
            "user_annotation",
            &format!("ProfilerStep#{step}"),
            (100, 100),
            start,
            dur,
            "\"External id\": 0",
        )?;
        time += 20_000;
    }
    w.put("\n],\"traceName\":\"bench.json\"}\n")?;
    w.file.flush()?;
    Ok(w.events)
}

struct Generator {
    file: BufWriter<File>,
    written: u64,
    events: u64,
    seed: u64,
}

impl Generator {
    fn put(&mut self, text: &str) -> std::io::Result<()> {
        self.written += text.len() as u64;
        self.file.write_all(text.as_bytes())
    }

    /// A number below `n`: a linear congruential generator is random enough for durations.
    fn random(&mut self, n: u64) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % n
    }

    /// Writes one complete event; times in ns.
    fn event(
        &mut self,
        cat: &str,
        name: &str,
        at: (u64, u64),
        ts: u64,
        dur: u64,
        args: &str,
    ) -> std::io::Result<()> {
        self.events += 1;
        self.put(&format!(
            ",\n  {{\n    \"ph\": \"X\", \"cat\": \"{cat}\", \"name\": \"{name}\", \"pid\": {}, \"tid\": {},\n    \"ts\": {}.{:03}, \"dur\": {}.{:03},\n    \"args\": {{\n      {args}\n    }}\n  }}",
            at.0, at.1, ts / 1000, ts % 1000, dur / 1000, dur % 1000,
        ))
    }

    /// One operator with a nested one, its launch, its kernel and the flow between them.
    fn operator(&mut self, time: u64, id: u64) -> std::io::Result<(u64, u64)> {
        let dur = 20_000 + self.random(30_000);
        let collective = self.random(20) == 0;
        let stream = if collective { 20 } else { 7 + self.random(3) };
        let (op, kernel) = match (collective, self.random(3)) {
            (true, _) => (
                "c10d::allreduce_",
                "ncclDevKernel_AllReduce_Sum_f32_RING_LL(ncclDevKernelArgsStorage<4096ul>)",
            ),
            (_, 0) => ("aten::linear", "ampere_fp16_s16816gemm_fp16_128x128_ldg8_f2f_stages_32x5_tn"),
            (_, 1) => ("aten::relu", "void at::native::vectorized_elementwise_kernel<4, at::native::relu>"),
            _ => ("aten::add", "void at::native::elementwise_kernel<128, 4, at::native::add>"),
        };
        let ids = format!(
            "\"External id\": {id}, \"Record function id\": 0, \"Sequence number\": {id}, \"Ev Idx\": {id}"
        );
        self.event("cpu_op", op, (100, 100), time, dur, &ids)?;
        self.event("cpu_op", "aten::inner", (100, 100), time + 1000, dur - 2000, &ids)?;
        let launch = format!("\"External id\": {id}, \"cbid\": 211, \"correlation\": {id}");
        self.event("cuda_runtime", "cudaLaunchKernel", (100, 100), time + 3000, 5000, &launch)?;
        let (start, length) = (time + 9000 + self.random(5000), dur / 2 + self.random(dur));
        let device = format!(
            "\"External id\": {id}, \"queued\": 0, \"device\": 0, \"context\": 1, \"stream\": {stream}, \"correlation\": {id}, \"registers per thread\": 32, \"shared memory\": 0, \"grid\": [128, 1, 1], \"block\": [256, 1, 1]"
        );
        self.event("kernel", kernel, (0, stream), start, length, &device)?;
        for (ph, pid, tid, ts, more) in
            [("s", 100, 100, time + 3000, ""), ("f", 0, stream, start, ", \"bp\": \"e\"")]
        {
            self.events += 1;
            self.put(&format!(",\n  {{\"ph\": \"{ph}\", \"id\": {id}, \"pid\": {pid}, \"tid\": {tid}, \"ts\": {}.{:03}, \"cat\": \"ac2g\", \"name\": \"ac2g\"{more}}}", ts / 1000, ts % 1000))?;
        }
        Ok((time + dur + 1000, id + 1))
    }
}
