//! Made-up jobs of several process groups, inner and outer ones, or of stages that pass work on, with any number of faults.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::passes::{Pass, list_passes};
use super::random::Random;

/// What a rank has more of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extra {
    /// All computations of a step take longer, alike.
    Compute,
    /// One computation of a step does.
    Kernel,
    Host,
    Input,
    Copy,
}

/// A fault.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planted {
    pub(crate) rank: usize,
    pub(crate) extra: Extra,
    /// Nanoseconds in each step that has it.
    pub(crate) time: i64,
    /// Steps that have it, as bits.
    pub(crate) steps: u64,
}

/// What to make.
#[derive(Clone, Debug)]
pub(crate) struct GroupPlan {
    pub(crate) seed: u64,
    pub(crate) ranks: usize,
    pub(crate) steps: usize,
    /// Ranks of an inner group, which follow each other; of a pipeline, its stages.
    pub(crate) inner: usize,
    /// Number of micro-batches if the inner groups are pipelines, else 0.
    pub(crate) batches: usize,
    /// Of a pipeline, ranks of each stage, which follow each other and add up after each micro-batch.
    pub(crate) tensor: usize,
    /// Of a pipeline, how many parts of the model each stage has: a micro-batch passes all stages as often.
    pub(crate) chunks: usize,
    /// Of a pipeline, each micro-batch goes back as soon as it can, instead of after all have gone forward.
    pub(crate) alternating: bool,
    /// How many micro-batches follow each other in a step without pipelines; the outer groups meet after the last.
    pub(crate) rounds: usize,
    /// Of a pipeline, by how many percent the first and the last stage have more to compute.
    pub(crate) heavy: i64,
    /// Inner groups exchange tokens instead of adding up.
    pub(crate) experts: bool,
    /// By up to how many percent a rank gets more tokens than another, in all steps; they are exchanged before and after the
    /// work.
    pub(crate) hot: i64,
    /// Ranks of one place in the inner groups meet in each step.
    pub(crate) outer: bool,
    /// All meet in each step.
    pub(crate) world: bool,
    /// Ranks of one place meet after each layer as well, beside the work that follows.
    pub(crate) beside: bool,
    /// By up to how many percent the work of a rank changes from step to step.
    pub(crate) uneven: i64,
    /// If not zero, how long the tail of what kernels take is, as of [`Random::long_tailed`].
    pub(crate) tail: i64,
    pub(crate) faults: Vec<Planted>,
    /// The inner group with slow transfers, and by which factor.
    pub(crate) slow_group: Option<(usize, i64)>,
    /// The rank whose file ends at three fifths.
    pub(crate) cut: Option<usize>,
}

/// All steps.
pub(crate) const ALL: u64 = u64::MAX;

impl GroupPlan {
    /// Without faults.
    pub(crate) fn clean(seed: u64, ranks: usize, inner: usize) -> Self {
        Self {
            seed,
            ranks,
            steps: 8,
            inner,
            batches: 0,
            tensor: 1,
            chunks: 1,
            alternating: false,
            rounds: 1,
            heavy: 0,
            experts: false,
            hot: 0,
            outer: true,
            world: true,
            beside: false,
            uneven: 0,
            tail: 0,
            faults: Vec::new(),
            slow_group: None,
            cut: None,
        }
    }

    /// Ranks that follow each other until the next have the same places.
    fn block(&self) -> usize {
        self.inner * self.tensor
    }

    /// Of 100, the tokens that a rank gets where others get 100.
    fn tokens(&self, rank: usize) -> i64 {
        100 + if self.hot > 0 { (rank as i64 * 37 + self.seed as i64 * 11) % (self.hot + 1) } else { 0 }
    }

    fn extra(&self, rank: usize, step: usize, extra: Extra) -> i64 {
        let here = |f: &&Planted| f.rank == rank && f.extra == extra && f.steps >> step & 1 == 1;
        self.faults.iter().filter(here).map(|f| f.time).sum()
    }

    /// Nanoseconds that all others wait for a rank, each as long as it is late.
    pub(crate) fn lost(&self, rank: usize) -> i64 {
        let steps = |f: &Planted| (0..self.steps).filter(|step| f.steps >> step & 1 == 1).count() as i64;
        let late: i64 = self.faults.iter().filter(|f| f.rank == rank).map(|f| f.time * steps(f)).sum();
        late * (self.ranks as i64 - 1)
    }
}

/// Nanoseconds.
const LAYER: i64 = 250_000;
const LAYERS: i64 = 4;
const BATCH: i64 = 200_000;
const INNER: i64 = 30_000;
const OUTER: i64 = 200_000;
const WORLD: i64 = 15_000;

#[derive(Clone, Debug)]
enum Work {
    Begin,
    Input(i64),
    Host(i64),
    Copy(i64),
    Compute(i64),
    Call(Call),
    /// Waits for what runs beside.
    Join,
    End(usize),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Call {
    name: &'static str,
    group: String,
    members: Vec<usize>,
    /// From which rank to which.
    pair: Option<(usize, usize)>,
    time: i64,
    /// It runs on a stream of its own.
    beside: bool,
}

struct Rank {
    text: String,
    host: i64,
    at: i64,
    /// When the stream of what runs beside is free.
    beside: i64,
    begin: i64,
    correlation: i64,
    work: Vec<Work>,
    next: usize,
    seen: BTreeMap<String, i64>,
    /// Of 100, the tokens that it gets where others get 100.
    tokens: i64,
}

impl Rank {
    fn event(&mut self, cat: &str, name: &str, place: &str, span: (i64, i64), args: &str) {
        super::push_span(&mut self.text, cat, name, place, span, args);
    }

    fn pause(&mut self, cat: &str, name: &str, time: i64) {
        self.event(cat, name, r#""pid":10,"tid":10"#, (self.host, self.host + time), "");
        self.host += time;
    }

    /// Launches; when the work may begin.
    fn launch(&mut self) -> i64 {
        self.correlation += 1;
        let args = format!("\"correlation\":{}", self.correlation);
        let span = (self.host, self.host + 4_000);
        self.event("cuda_runtime", "cudaLaunchKernel", r#""pid":10,"tid":10"#, span, &args);
        self.host += 6_000;
        self.at.max(self.host)
    }

    fn device_event(&mut self, cat: &str, name: &str, stream: i64, span: (i64, i64), args: &str) {
        let args = format!(r#""device":0,"stream":{stream},"correlation":{}{args}"#, self.correlation);
        self.event(cat, name, &format!(r#""pid":0,"tid":{stream}"#), span, &args);
        self.at = span.1;
    }
}

fn list_work(plan: &GroupPlan, rank: usize, random: &mut Random) -> Vec<Work> {
    let (group, place) = (rank / plan.block(), rank % plan.block());
    // Of a pipeline, the place among the ranks of the stage, and the stage.
    let (slice, stage) = (place % plan.tensor, place / plan.tensor);
    let first = group * plan.block();
    let slow = plan.slow_group.filter(|(slow, _)| *slow == group).map_or(1, |(_, times)| times);
    let call = |name, group: String, members: Vec<usize>, time| {
        Work::Call(Call { name, group, members, pair: None, time, beside: false })
    };
    let of_stage = |stage: usize| first + stage * plan.tensor + slice;
    let pass = |from: usize, to: usize| {
        let (from, to) = (of_stage(from), of_stage(to));
        let (group, members, pair) =
            (format!("pp{group}.{slice}"), vec![from.min(to), from.max(to)], Some((from, to)));
        Work::Call(Call { name: "send", group, members, pair, time: INNER * slow, beside: false })
    };
    let mut work = Vec::new();
    for step in 0..plan.steps {
        let extra = |extra| plan.extra(rank, step, extra);
        let share = if plan.uneven > 0 { random.below(plan.uneven) + random.below(plan.uneven) } else { 0 };
        let kernel = |random: &mut Random, time: i64| match plan.tail {
            0 => random.about(time),
            tail => random.long_tailed(time, tail),
        };
        let uneven = |time: i64| time + time * (share - plan.uneven) / 100;
        work.push(Work::Begin);
        work.push(Work::Input(random.about(100_000) + extra(Extra::Input)));
        work.push(Work::Host(extra(Extra::Host)));
        work.push(Work::Copy(extra(Extra::Copy)));
        let mut has_gone_back = false;
        for part in if plan.batches > 0 { list_passes(plan, stage) } else { Vec::new() } {
            let way = match part {
                Pass::From(from) => {
                    work.push(pass(from, stage));
                    continue;
                }
                Pass::To(to) => {
                    work.push(pass(stage, to));
                    continue;
                }
                Pass::Compute(way) => way,
            };
            let more = extra(Extra::Compute) * way / (3 * (plan.batches * plan.chunks) as i64);
            let once = if way == 2 && !has_gone_back { extra(Extra::Kernel) } else { 0 };
            has_gone_back |= way == 2;
            let heavy = if stage == 0 || stage == plan.inner - 1 { 100 + plan.heavy } else { 100 };
            work.push(Work::Compute(uneven(kernel(random, BATCH * way)) * heavy / 100 + more + once));
            if plan.tensor > 1 {
                let members = rank - slice..rank - slice + plan.tensor;
                let group = format!("tp{}", rank / plan.tensor);
                work.push(call("allreduce", group, members.collect(), INNER));
            }
        }
        let layers = if plan.batches == 0 { LAYERS * plan.rounds as i64 } else { 0 };
        for layer in 0..layers {
            if plan.hot > 0 {
                let members = first..first + plan.inner;
                work.push(call("all_to_allv", format!("in{group}"), members.collect(), INNER));
            }
            let once = if layer == 1 { extra(Extra::Kernel) } else { 0 };
            let time = uneven(kernel(random, LAYER)) * plan.tokens(rank) / 100;
            work.push(Work::Compute(time + extra(Extra::Compute) / layers + once));
            let (name, members) =
                (if plan.experts { "all_to_allv" } else { "allreduce" }, first..first + plan.inner);
            work.push(call(name, format!("in{group}"), members.collect(), INNER * slow));
            if plan.beside {
                let members = (place..plan.ranks).step_by(plan.block()).collect();
                let (name, group, time) = ("_reduce_scatter_base", format!("out{place}"), OUTER / 2);
                work.push(Work::Call(Call { name, group, members, pair: None, time, beside: true }));
            }
        }
        if plan.beside {
            work.push(Work::Join);
        }
        if plan.outer && plan.block() < plan.ranks {
            let members = (place..plan.ranks).step_by(plan.block()).collect();
            work.push(call("allreduce", format!("out{place}"), members, OUTER));
        }
        if plan.world {
            work.push(call("allreduce", "all".to_owned(), (0..plan.ranks).collect(), WORLD));
        }
        work.push(Work::Compute(random.about(50_000)));
        work.push(Work::End(step));
    }
    work
}

/// By how many nanoseconds the job is longer for its faults: what chance does is the same without them.
pub(crate) fn cost_of_faults(plan: &GroupPlan) -> i64 {
    length_of_job(plan) - length_of_job(&GroupPlan { faults: Vec::new(), slow_group: None, ..plan.clone() })
}

/// How many nanoseconds the job takes.
pub(crate) fn length_of_job(plan: &GroupPlan) -> i64 {
    let begin = 1_000_000;
    run(plan).iter().map(|rank| rank.at.max(rank.host) - begin).max().unwrap_or(0)
}

/// What each rank has done in the end.
fn run(plan: &GroupPlan) -> Vec<Rank> {
    let mut random = Random(plan.seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(11));
    let mut ranks: Vec<Rank> = (0..plan.ranks)
        .map(|rank| Rank {
            text: String::new(),
            host: 1_000_000 + random.below(20_000),
            at: 0,
            beside: 0,
            begin: 0,
            correlation: 0,
            work: list_work(plan, rank, &mut random),
            next: 0,
            seen: BTreeMap::new(),
            tokens: plan.tokens(rank),
        })
        .collect();
    while ranks.iter().any(|rank| rank.next < rank.work.len()) {
        for i in 0..plan.ranks {
            advance(&mut ranks, i, &mut random);
        }
    }
    ranks
}

/// Writes one file for each rank, and returns them.
pub(crate) fn write_groups(dir: &Path, plan: &GroupPlan) -> Vec<PathBuf> {
    let ranks = run(plan);
    let write = |(rank, one): (usize, &Rank)| {
        let path = dir.join(format!("rank{rank}.json"));
        let head = format!(
            r#"{{"schemaVersion":1,"distributedInfo":{{"backend":"nccl","rank":{rank},"world_size":{}}},"traceEvents":[
{{"ph":"M","name":"process_name","pid":10,"tid":0,"ts":0,"args":{{"name":"python"}}}}
"#,
            plan.ranks
        );
        let mut text = format!("{head}{}]}}\n", one.text);
        if plan.cut == Some(rank) {
            text.truncate(text.len() * 3 / 5);
        }
        std::fs::write(&path, text).unwrap();
        path
    };
    ranks.iter().enumerate().map(write).collect()
}

/// Does what a rank has to do until it must wait for others.
fn advance(ranks: &mut [Rank], i: usize, random: &mut Random) {
    while let Some(work) = ranks[i].work.get(ranks[i].next).cloned() {
        let rank = &mut ranks[i];
        match work {
            Work::Begin => rank.begin = rank.host,
            Work::Input(time) => {
                rank.pause(
                    "user_annotation",
                    "enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__",
                    time,
                );
            }
            Work::Host(time) if time > 0 => rank.pause("cpu_op", "aten::item", time),
            Work::Copy(time) if time > 0 => {
                let start = rank.launch();
                rank.device_event(
                    "gpu_memcpy",
                    "Memcpy HtoD (Pinned -> Device)",
                    7,
                    (start, start + time),
                    "",
                );
            }
            Work::Host(_) | Work::Copy(_) => {}
            Work::Join => rank.at = rank.at.max(rank.beside),
            Work::Compute(time) => {
                let start = rank.launch();
                rank.device_event("kernel", "gemm_kernel", 7, (start, start + time), "");
            }
            Work::End(step) => {
                let done = rank.at.max(rank.host) + 5_000;
                rank.event(
                    "cuda_runtime",
                    "cudaDeviceSynchronize",
                    r#""pid":10,"tid":10"#,
                    (rank.host, done),
                    "",
                );
                let span = (rank.begin, done);
                rank.event(
                    "user_annotation",
                    &format!("ProfilerStep#{step}"),
                    r#""pid":10,"tid":10"#,
                    span,
                    "",
                );
                rank.host = done + 1_000;
            }
            Work::Call(call) => {
                let is_there = |rank: &Rank| matches!(rank.work.get(rank.next), Some(Work::Call(other)) if *other == call);
                if !call.members.iter().all(|m| is_there(&ranks[*m])) {
                    return;
                }
                meet(ranks, &call, random.about(call.time));
                continue;
            }
        }
        ranks[i].next += 1;
    }
}

fn meet(ranks: &mut [Rank], call: &Call, time: i64) {
    let start = |rank: &mut Rank| {
        let ready = rank.launch();
        if call.beside { ready.max(rank.beside) } else { ready }
    };
    let starts: Vec<i64> = call.members.iter().map(|m| start(&mut ranks[*m])).collect();
    let end = starts.iter().max().copied().unwrap_or(0) + time;
    let elements = if call.group.starts_with("out") { 2_097_152 } else { 262_144 };
    for (&member, start) in call.members.iter().zip(starts) {
        let at = ranks[member].at;
        let key = format!("{}{:?}", call.group, call.pair);
        let seen = ranks[member].seen.entry(key).or_default();
        *seen += 1;
        let all = elements * ranks[member].tokens / 100;
        // Tokens come before the work, and go after it.
        let (sent, received) = match call.name {
            "all_to_allv" if *seen % 2 == 1 && ranks[member].tokens != 100 => (elements, all),
            "all_to_allv" => (all, elements),
            _ => (elements, elements),
        };
        let mut args = format!(
            r#","Collective name":"{}","In msg nelems":{sent},"Out msg nelems":{received},"Group size":{},"dtype":"Float","Process Group Name":"{}","Seq":{seen}"#,
            if call.pair.is_some_and(|(_, to)| to == member) { "recv" } else { call.name },
            call.members.len(),
            call.group,
        );
        if let Some((from, to)) = call.pair {
            write!(args, r#","Src Rank":{from},"Dst Rank":{to}"#).unwrap();
        }
        let name = if call.pair.is_some() || call.name == "all_to_allv" {
            "SendRecv"
        } else if call.beside {
            "ReduceScatter_Sum_f32_RING_LL"
        } else {
            "AllReduce_Sum_f32_RING_LL"
        };
        let stream = if call.beside { 21 } else { 20 };
        ranks[member].device_event("kernel", &format!("ncclDevKernel_{name}"), stream, (start, end), &args);
        if call.beside {
            (ranks[member].at, ranks[member].beside) = (at, end);
        }
        ranks[member].next += 1;
    }
}
