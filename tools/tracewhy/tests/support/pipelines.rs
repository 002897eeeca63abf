//! Made-up pipelines whose bubbles are known: each stage computes micro-batches and passes them on, and both ends of a
//! transfer are there from when they are ready until it is done.

use std::path::{Path, PathBuf};

use super::random::Random;

/// What to make.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PipelinePlan {
    pub(crate) seed: u64,
    pub(crate) stages: usize,
    pub(crate) batches: usize,
    pub(crate) steps: usize,
    /// The stage that takes twice as long as the others.
    pub(crate) slow: Option<usize>,
}

/// Nanoseconds of the forward pass of a micro-batch, and of a transfer.
const FORWARD: i64 = 500_000;
const TRANSFER: i64 = 60_000;

/// What a stage does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Compute { times: i64 },
    Transfer { from: usize, to: usize },
}

/// All micro-batches forward, then all of them backward: from stage to stage, and back.
fn schedule(stage: usize, plan: &PipelinePlan) -> Vec<Work> {
    let (last, mut work) = (plan.stages - 1, Vec::new());
    let slow = if plan.slow == Some(stage) { 2 } else { 1 };
    for _ in 0..plan.batches {
        work.extend((stage > 0).then(|| Work::Transfer { from: stage - 1, to: stage }));
        work.push(Work::Compute { times: slow });
        work.extend((stage < last).then_some(Work::Transfer { from: stage, to: stage + 1 }));
    }
    for _ in 0..plan.batches {
        work.extend((stage < last).then_some(Work::Transfer { from: stage + 1, to: stage }));
        work.push(Work::Compute { times: 2 * slow });
        work.extend((stage > 0).then(|| Work::Transfer { from: stage, to: stage - 1 }));
    }
    work
}

/// One stage while it is made.
struct Stage {
    text: String,
    at: i64,
    work: Vec<Work>,
    next: usize,
    /// Time in transfers in which the other end was not there yet.
    bubble: i64,
}

impl Stage {
    fn event(&mut self, cat: &str, name: &str, place: &str, span: (i64, i64), args: &str) {
        super::push_span(&mut self.text, cat, name, place, span, args);
    }

    fn now(&self) -> Option<Work> {
        self.work.get(self.next).copied()
    }

    fn compute(&mut self, time: i64) {
        let span = (self.at, self.at + time);
        self.event("kernel", "gemm_kernel", r#""pid":0,"tid":7"#, span, r#""device":0,"stream":7"#);
        (self.at, self.next) = (span.1 + 2_000, self.next + 1);
    }
}

/// Both ends of a transfer are there: it begins when the later one is ready.
fn transfer(stages: &mut [Stage], (from, to): (usize, usize), time: i64, number: usize) {
    let n = stages.len();
    let last = stages[from].at.max(stages[to].at);
    for (stage, kind) in [(from, "send"), (to, "recv")] {
        let one = &mut stages[stage];
        one.bubble += last - one.at;
        let args = format!(
            r#""device":0,"stream":20,"Collective name":"{kind}","In msg nelems":65536,"Out msg nelems":65536,"Group size":{n},"dtype":"Half","Process Group Name":"pp","Src Rank":{from},"Dst Rank":{to},"Seq":{number}"#
        );
        let span = (one.at, last + time);
        one.event("kernel", "ncclDevKernel_SendRecv", r#""pid":0,"tid":20"#, span, &args);
        (one.at, one.next) = (span.1 + 1_000, one.next + 1);
    }
}

/// Writes one file for each stage; returns them, and the bubble of each.
pub(crate) fn write_pipeline(dir: &Path, plan: &PipelinePlan) -> (Vec<PathBuf>, Vec<i64>) {
    let mut random = Random(plan.seed.wrapping_mul(0x9876_5432_1fed_cba1));
    let stage = |_| Stage { text: String::new(), at: 1_000_000, work: Vec::new(), next: 0, bubble: 0 };
    let mut stages: Vec<Stage> = (0..plan.stages).map(stage).collect();
    let mut number = 0;
    for step in 0..plan.steps {
        let begins: Vec<i64> = stages.iter().map(|stage| stage.at).collect();
        for (i, stage) in stages.iter_mut().enumerate() {
            (stage.work, stage.next) = (schedule(i, plan), 0);
        }
        while stages.iter().any(|stage| stage.now().is_some()) {
            for i in 0..plan.stages {
                match stages[i].now() {
                    Some(Work::Compute { times }) => stages[i].compute(random.about(times * FORWARD)),
                    Some(Work::Transfer { from, to })
                        if from == i && stages[to].now() == stages[from].now() =>
                    {
                        number += 1;
                        transfer(&mut stages, (from, to), random.about(TRANSFER), number);
                    }
                    _ => {}
                }
            }
        }
        for (stage, begin) in stages.iter_mut().zip(begins) {
            let name = format!("ProfilerStep#{step}");
            let span = (begin, stage.at);
            stage.event("user_annotation", &name, r#""pid":10,"tid":10"#, span, "");
        }
    }
    let paths = stages.iter().enumerate().map(|(rank, stage)| {
        let path = dir.join(format!("rank{rank}.json"));
        let head = format!(
            r#"{{"schemaVersion":1,"distributedInfo":{{"backend":"nccl","rank":{rank},"world_size":{}}},"traceEvents":[
{{"ph":"M","name":"process_name","pid":10,"tid":0,"ts":0,"args":{{"name":"python"}}}}
"#,
            plan.stages
        );
        std::fs::write(&path, format!("{head}{}]}}\n", stage.text)).unwrap();
        path
    });
    let paths = paths.collect();
    (paths, stages.iter().map(|stage| stage.bubble).collect())
}
