//! `proftap demo`: a small training job that can be profiled on demand.

use std::time::Duration;

use common::error::HintExt;
use common::exit::Exit;
use common::out::{Out, Verbosity};

use super::run::open;
use crate::demo::{Controller, Facts, Job, Pace};
use crate::fabric::Options;
use crate::process;
use crate::wake::Wake;

/// Train a small model that can be profiled on demand
///
/// A perceptron learns made-up data, on a device made of threads: it has streams, launches, copies and a
/// simulated all-reduce, and needs neither a GPU nor PyTorch. The job registers with the daemon as a PyTorch
/// process does. On request it records its own real timings and writes them to `<log file>_<pid>.json` as a
/// Chrome trace in Kineto's form, and prints a `proftap.trace` record. It ends after --steps, or on SIGTERM or
/// SIGINT, with a `proftap.summary` record.
///
/// A trace is written to absolute paths only, never through a symbolic link, and replaces nothing but a
/// regular file of this user.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  Train, and be profiled from another terminal:
    proftap demo -v &
    profctl gputrace --iterations 5 --log-file /tmp/trace.json --wait | traceq sum --files-from -

  Two ranks of one job, 500 steps each:
    proftap demo --job 17 --world-size 2 --rank 0 --device 0 --steps 500 &
    proftap demo --job 17 --world-size 2 --rank 1 --device 1 --steps 500

  A process as the Ascend daemon sees one:
    proftap demo --npu")]
pub(crate) struct Args {
    /// Steps to train; 0 = until told to stop
    #[arg(long, value_name = "N", default_value_t = 0)]
    steps: u64,
    /// The least time of a step; what it does not need is spent waiting for data
    #[arg(long, value_name = "MS", default_value_t = 50, value_parser = clap::value_parser!(u64).range(0..=60_000))]
    step_ms: u64,
    /// Samples in a batch: how much there is to compute
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=4096))]
    batch: u16,
    /// Rank of this process in its job
    #[arg(long, value_name = "RANK", default_value_t = 0)]
    rank: u32,
    /// Processes in the job; the others' gradients are simulated
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1024))]
    world_size: u32,
    /// Tell the daemon the status of nputrace and npu-monitor, and take their requests too
    #[arg(long)]
    npu: bool,
    // Last: its heading would be that of whatever follows.
    #[command(flatten)]
    fabric: Options,
}

pub(crate) fn run(args: &Args, out: &mut Out) -> anyhow::Result<Exit> {
    if args.rank >= args.world_size {
        let wrong = format!("--rank {} is not below --world-size {}", args.rank, args.world_size);
        return Err(anyhow::anyhow!(wrong)).hint("ranks count from 0");
    }
    run_until(args, Wake::on_signals()?, out)
}

/// Runs until it is woken to stop.
pub(super) fn run_until(args: &Args, wake: Wake, out: &mut Out) -> anyhow::Result<Exit> {
    let plan = args.fabric.plan();
    let link = open(&plan)?;
    let job = Job::start(pace(args, out), wake.waker()?)?;
    let facts = Facts {
        pid: plan.who.pid(),
        device: plan.who.device,
        rank: args.rank,
        world_size: args.world_size,
        host: process::host(),
    };
    let mut controller = Controller::new(plan.who, link, job, facts, args.npu);
    controller.serve(wake, out)?;
    controller.finish(out)?;
    Ok(Exit::Ok)
}

fn pace(args: &Args, out: &Out) -> Pace {
    Pace {
        steps: args.steps,
        step: Duration::from_millis(args.step_ms),
        batch: args.batch.into(),
        replicas: args.world_size,
        seed: u64::from(args.rank) + 1,
        tell_loss: out.diag().verbosity() >= Verbosity::Verbose,
    }
}
