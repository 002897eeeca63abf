//! Made-up jobs whose truth is known: what each rank does is computed on one clock, then written as each rank's own
//! clock shows it, as libkineto would.

use std::path::{Path, PathBuf};

use super::random::Random;

/// What is wrong with a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Kernels take longer by this many percent.
    Compute(i64),
    /// The host begins each step late by this many percent of a step.
    Host(i64),
    /// Loading data takes longer.
    Input(i64),
    /// Garbage is collected in every step.
    Garbage(i64),
    /// A copy before each layer.
    Copy(i64),
    /// The host stops for this share of one step.
    Hiccup(i64),
    /// Transfers of the rank take so many times as long.
    Link(i64),
}

/// What to make.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) ranks: usize,
    pub(crate) steps: usize,
    pub(crate) fault: Fault,
    /// The rank that has it.
    pub(crate) bad: usize,
    /// Clocks differ and drift.
    pub(crate) skewed: bool,
    /// Collectives run beside computation, and the step waits for them at its end.
    pub(crate) overlapped: bool,
    /// Calls are numbered, as newer versions of PyTorch do.
    pub(crate) numbered: bool,
}

/// How much each rank does in a step, and how its clock goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) layers: usize,
    /// Kernels of a layer.
    pub(crate) kernels: usize,
    /// Most parts in a million by which a skewed clock is fast or slow.
    pub(crate) ppm: i64,
    /// Nanoseconds of a transfer between neighbors.
    pub(crate) exchange: i64,
}

impl Shape {
    pub(crate) const USUAL: Self = Self { layers: 4, kernels: 3, ppm: 100, exchange: PAIR_TRANSFER };
    /// Few events, for many ranks.
    pub(crate) const SMALL: Self = Self { layers: 2, kernels: 1, ppm: 100, exchange: PAIR_TRANSFER };

    /// Nanoseconds of a step without waiting.
    fn step(&self) -> i64 {
        self.layers as i64 * (self.kernels as i64 * KERNEL + TRANSFER)
    }
}

/// Nanoseconds of a kernel and of transfers.
const KERNEL: i64 = 400_000;
const TRANSFER: i64 = 300_000;
const PAIR_TRANSFER: i64 = 200_000;
pub(crate) const PAIR_BYTES: u64 = 4 * 262_144;
pub(crate) const REDUCE_BYTES: u64 = 2 * 1_000_000;

/// What is true of a job.
#[derive(Clone, Debug, Default)]
pub(crate) struct Truth {
    /// By rank: what the others waited for it in all-reduces, where it was the last.
    pub(crate) lost: Vec<i64>,
    /// By rank: to how many all-reduces it came last.
    pub(crate) last: Vec<u64>,
    /// By rank: nanoseconds of kernels.
    pub(crate) compute: Vec<i64>,
    /// Sum over all-reduces of all ranks, and of the shortest of each.
    pub(crate) reduce_total: i64,
    pub(crate) reduce_transfer: i64,
    pub(crate) reduces: u64,
    /// By rank: time of its all-reduces in which no kernel ran.
    pub(crate) exposed: Vec<i64>,
    /// By rank: what its clock shows more than the true one in the middle of the job.
    pub(crate) clocks: Vec<i64>,
}

/// One rank while it is made.
struct Rank {
    text: String,
    /// When the host, the stream and the communication stream are free.
    host: i64,
    stream: i64,
    comm: i64,
    correlation: i64,
    offset: i64,
    ppm: i64,
    /// Spans of kernels and of all-reduces.
    computes: Vec<(i64, i64)>,
    reduces: Vec<(i64, i64)>,
}

impl Rank {
    /// What its clock shows at a moment.
    fn clock(&self, t: i64) -> i64 {
        t + self.offset + t / 1_000_000 * self.ppm
    }

    /// Time of all-reduces in which no kernel ran; kernels follow one on the other.
    fn exposed(&self) -> i64 {
        let hidden = |&(from, to): &(i64, i64)| -> i64 {
            self.computes.iter().map(|&(start, end)| (end.min(to) - start.max(from)).max(0)).sum()
        };
        self.reduces.iter().map(|span| span.1 - span.0 - hidden(span)).sum()
    }

    fn event(&mut self, cat: &str, name: &str, place: &str, start: i64, end: i64, args: &str) {
        let span = (self.clock(start), self.clock(end));
        super::push_span(&mut self.text, cat, name, place, span, args);
    }

    fn host_event(&mut self, cat: &str, name: &str, start: i64, end: i64) {
        self.event(cat, name, r#""pid":10,"tid":10"#, start, end, "");
    }

    /// Launches, and says when the work may begin.
    fn launch(&mut self, random: &mut Random) -> i64 {
        self.correlation += 1;
        let (start, end) = (self.host, self.host + 4000 + random.below(3000));
        self.event(
            "cuda_runtime",
            "cudaLaunchKernel",
            r#""pid":10,"tid":10"#,
            start,
            end,
            &format!("\"correlation\":{}", self.correlation),
        );
        self.host = end + 3000;
        end + 2000
    }

    fn device_event(&mut self, cat: &str, name: &str, stream: i64, start: i64, end: i64, args: &str) {
        let more = if args.is_empty() { String::new() } else { format!(",{args}") };
        let args = format!(r#""device":0,"stream":{stream},"correlation":{}{more}"#, self.correlation);
        self.event(cat, name, &format!(r#""pid":0,"tid":{stream}"#), start, end, &args);
    }

    /// Computes for a time; returns it.
    fn compute(&mut self, random: &mut Random, time: i64) -> i64 {
        let ready = self.launch(random);
        let start = self.stream.max(ready);
        self.stream = start + time;
        self.computes.push((start, self.stream));
        self.device_event("kernel", "gemm_kernel", 7, start, self.stream, "");
        time
    }
}

/// Writes one file for each rank; returns them, and what is true.
pub(crate) fn write_job(dir: &Path, plan: &Plan) -> (Vec<PathBuf>, Truth) {
    write_shaped_job(dir, plan, &Shape::USUAL)
}

/// The same, with steps of a shape.
pub(crate) fn write_shaped_job(dir: &Path, plan: &Plan, shape: &Shape) -> (Vec<PathBuf>, Truth) {
    let mut random = Random(plan.seed.wrapping_mul(0x1234_5678_9abc_def1));
    let n = plan.ranks;
    let mut ranks: Vec<Rank> = (0..n)
        .map(|_| Rank {
            text: String::new(),
            host: 1_000_000_000 + random.below(50_000),
            stream: 0,
            comm: 0,
            correlation: 0,
            offset: if plan.skewed { random.below(10_000_000) } else { 0 },
            ppm: if plan.skewed { random.below(2 * shape.ppm) - shape.ppm } else { 0 },
            computes: Vec::new(),
            reduces: Vec::new(),
        })
        .collect();
    let mut truth = Truth { lost: vec![0; n], last: vec![0; n], compute: vec![0; n], ..Truth::default() };
    let hiccup = plan.steps / 2;
    for step in 0..plan.steps {
        let begins: Vec<i64> = ranks.iter().map(|r| r.host).collect();
        for (r, rank) in ranks.iter_mut().enumerate() {
            let share = |percent: i64| shape.step() * percent / 100;
            let is_bad = r == plan.bad;
            let mut load = random.about(200_000);
            let mut pause = 0;
            match plan.fault {
                Fault::Input(percent) if is_bad => load += share(percent),
                Fault::Host(percent) if is_bad => pause = random.about(share(percent)),
                Fault::Hiccup(percent) if is_bad && step == hiccup => pause = share(percent),
                Fault::Garbage(percent) if is_bad => {
                    let time = random.about(share(percent));
                    rank.host_event("python_function", "Python GC", rank.host, rank.host + time);
                    rank.host += time;
                }
                _ => {}
            }
            let name = "enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__";
            rank.host_event("user_annotation", name, rank.host, rank.host + load);
            rank.host += load + 5_000;
            if pause > 0 {
                rank.host_event("cpu_op", "aten::item", rank.host, rank.host + pause);
                rank.host += pause;
            }
        }
        for layer in 0..shape.layers {
            for (r, rank) in ranks.iter_mut().enumerate() {
                if let (Fault::Copy(percent), true) = (plan.fault, r == plan.bad) {
                    let ready = rank.launch(&mut random);
                    let start = rank.stream.max(ready);
                    let time = shape.step() * percent / 100 / shape.layers as i64;
                    rank.stream = start + random.about(time);
                    rank.device_event(
                        "gpu_memcpy",
                        "Memcpy DtoH (Device -> Pinned)",
                        7,
                        start,
                        rank.stream,
                        "",
                    );
                }
                for _ in 0..shape.kernels {
                    let mut time = random.about(KERNEL);
                    if let (Fault::Compute(percent), true) = (plan.fault, r == plan.bad) {
                        time += time * percent / 100;
                    }
                    truth.compute[r] += rank.compute(&mut random, time);
                }
            }
            reduce(&mut ranks, plan, &mut random, &mut truth, (step * shape.layers + layer) as i64);
        }
        exchange(&mut ranks, (plan, shape.exchange), &mut random, step as i64);
        // The host waits for the device at the end of each step.
        for (rank, begin) in ranks.iter_mut().zip(begins) {
            let done = rank.stream.max(rank.comm).max(rank.host) + 5000;
            rank.host_event("cuda_runtime", "cudaDeviceSynchronize", rank.host, done);
            rank.stream = rank.stream.max(rank.comm);
            rank.host_event("user_annotation", &format!("ProfilerStep#{}", step + 10), begin, done);
            rank.host = done + 1000;
        }
    }
    let middle = 1_000_000_000 + ranks.first().map_or(0, |rank| rank.host - 1_000_000_000) / 2;
    truth.clocks = ranks.iter().map(|rank| rank.clock(middle) - middle).collect();
    truth.exposed = ranks.iter().map(Rank::exposed).collect();
    let paths = ranks.iter().enumerate().map(|(r, rank)| {
        let path = dir.join(format!("rank{r}.json"));
        let head = format!(
            r#"{{"schemaVersion":1,"distributedInfo":{{"backend":"nccl","rank":{r},"world_size":{n}}},"baseTimeNanoseconds":1700000000000000000,"traceEvents":[
{{"ph":"M","name":"process_name","pid":10,"tid":0,"ts":0,"args":{{"name":"python"}}}}
"#
        );
        std::fs::write(&path, format!("{head}{}]}}\n", rank.text)).unwrap();
        path
    });
    (paths.collect(), truth)
}

/// An all-reduce of all ranks.
fn reduce(ranks: &mut [Rank], plan: &Plan, random: &mut Random, truth: &mut Truth, sequence: i64) {
    let starts: Vec<i64> = ranks
        .iter_mut()
        .map(|rank| {
            let ready = rank.launch(random);
            rank.stream.max(ready).max(rank.comm)
        })
        .collect();
    let last = starts.iter().max().copied().unwrap_or(0);
    let end = last + random.about(TRANSFER);
    let numbered = if plan.numbered { format!(",\"Seq\":{sequence}") } else { String::new() };
    let args = format!(
        r#""Collective name":"allreduce","In msg nelems":1000000,"Out msg nelems":1000000,"Group size":{},"dtype":"BFloat16","Process Group Name":"0"{numbered}"#,
        plan.ranks
    );
    for (rank, start) in ranks.iter_mut().zip(&starts) {
        let name = "ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<4096ul>)";
        rank.device_event("kernel", name, 20, *start, end, &args);
        rank.comm = end;
        rank.reduces.push((*start, end));
        if !plan.overlapped {
            rank.stream = end;
        }
    }
    truth.reduces += 1;
    truth.reduce_total += starts.iter().map(|start| end - start).sum::<i64>();
    truth.reduce_transfer += end - last;
    if let Some(r) = starts.iter().position(|start| *start == last) {
        truth.last[r] += 1;
        truth.lost[r] += starts.iter().map(|start| last - start).sum::<i64>();
    }
}

/// Transfers between neighbors in a ring: first the even pairs, then the odd ones.
fn exchange(ranks: &mut [Rank], (plan, usual): (&Plan, i64), random: &mut Random, step: i64) {
    let n = ranks.len();
    if n < 4 {
        return;
    }
    for parity in 0..2 {
        for a in (parity..n).step_by(2) {
            let b = (a + 1) % n;
            let mut time = random.about(usual);
            if let (Fault::Link(times), true) = (plan.fault, a == plan.bad || b == plan.bad) {
                time *= times;
            }
            let mut starts = [0; 2];
            for (start, r) in starts.iter_mut().zip([a, b]) {
                let ready = ranks[r].launch(random);
                *start = ranks[r].stream.max(ready).max(ranks[r].comm);
            }
            let end = starts[0].max(starts[1]) + time;
            let numbered = if plan.numbered { format!(",\"Seq\":{step}") } else { String::new() };
            for (start, (r, kind)) in starts.into_iter().zip([(a, "send"), (b, "recv")]) {
                let args = format!(
                    r#""Collective name":"{kind}","In msg nelems":262144,"Out msg nelems":262144,"Group size":{n},"dtype":"Float","Process Group Name":"0","Src Rank":{a},"Dst Rank":{b}{numbered}"#
                );
                let name = "ncclDevKernel_SendRecv(ncclDevKernelArgsStorage<4096ul>)";
                ranks[r].device_event("kernel", name, 20, start, end, &args);
                ranks[r].comm = end;
                ranks[r].stream = end;
            }
        }
    }
}
