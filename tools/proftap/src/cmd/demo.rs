//! `proftap demo`: a small training job that can be profiled on demand.

use std::time::Duration;

use common::duration::parse_duration;
use common::error::HintExt;
use common::exit::Exit;
use common::out::{Out, Verbosity};

use super::run::open_connection;
use crate::demo::{DemoController, TraceProcessInfo, TrainingJob, TrainingOptions};
use crate::fabric::FabricArgs;
use crate::process;
use crate::wake::WakeReceiver;

/// The longest minimum time per step.
const MAX_STEP_TIME: Duration = Duration::from_secs(60);

/// Train a small model that can be profiled on demand
///
/// A perceptron learns synthetic data on a device that consists of threads, with streams, launches, copies and a
/// simulated all-reduce; neither a GPU nor PyTorch is needed. The job registers with the daemon like a PyTorch process.
/// On request it records its real timings, writes them to `<log file>_<pid>.json` as a Chrome trace in Kineto's format,
/// and prints a `proftap.trace` record. It ends after --steps or on SIGTERM or SIGINT; the last record is
/// `proftap.summary`.
///
/// A trace is written only to an absolute path without symbolic links, and replaces only a regular file of the same
/// user.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  Train, and request a trace:
    proftap demo -v &
    profctl gputrace --iterations 5 --log-file /tmp/trace.json --wait | traceq sum --files-from -

  Train two ranks of one job for 500 steps each:
    proftap demo --job-id 17 --world-size 2 --rank 0 --device 0 --steps 500 &
    proftap demo --job-id 17 --world-size 2 --rank 1 --device 1 --steps 500

  Train with the status messages of a process on an Ascend device:
    proftap demo --npu")]
pub(crate) struct DemoArgs {
    /// Number of steps to train; 0 trains until a signal arrives
    #[arg(long, value_name = "N", default_value_t = 0)]
    steps: u64,
    /// Minimum time per step, 0 to 60s; a faster step waits for its data
    #[arg(long, value_name = "TIME", default_value = "50ms", value_parser = parse_step_time)]
    step_time: Duration,
    /// Number of samples per batch, 1 to 4096; determines the amount of computation
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=4096))]
    batch: u16,
    /// Rank of this process, from 0
    #[arg(long, value_name = "RANK", default_value_t = 0)]
    rank: u32,
    /// Number of processes in the job, 1 to 1024; the gradients of the others are simulated
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1024))]
    world_size: u32,
    /// Report the status of nputrace and npu-monitor, and accept requests for them
    #[arg(long)]
    npu: bool,
    // Last, because its help heading applies to all options after it.
    #[command(flatten)]
    fabric: FabricArgs,
}

pub(crate) fn run(args: &DemoArgs, out: &mut Out) -> anyhow::Result<Exit> {
    if args.rank >= args.world_size {
        let wrong = format!("--rank {} is not less than --world-size {}", args.rank, args.world_size);
        return Err(anyhow::anyhow!(wrong)).hint("ranks are numbered from 0");
    }
    run_until(args, WakeReceiver::on_signals()?, out)
}

/// Runs until `wake` requests to stop.
pub(super) fn run_until(args: &DemoArgs, wake: WakeReceiver, out: &mut Out) -> anyhow::Result<Exit> {
    let plan = args.fabric.resolve_plan();
    let link = open_connection(&plan)?;
    let job = TrainingJob::start(training_options(args, out), wake.new_sender()?)?;
    let facts = TraceProcessInfo {
        pid: plan.identity.pid(),
        device: plan.identity.device,
        rank: args.rank,
        world_size: args.world_size,
        host: process::file_safe_host_name(),
    };
    let mut controller = DemoController::new(plan.identity, link, job, facts, args.npu);
    controller.run_loop(wake, out)?;
    controller.write_summary(out)?;
    Ok(Exit::Ok)
}

fn training_options(args: &DemoArgs, out: &Out) -> TrainingOptions {
    TrainingOptions {
        steps: args.steps,
        step_time: args.step_time,
        batch: args.batch.into(),
        replicas: args.world_size,
        seed: u64::from(args.rank) + 1,
        report_loss: out.diag().verbosity() >= Verbosity::Verbose,
    }
}

/// Parses the minimum time per step; 0 is valid here.
fn parse_step_time(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let time = parse_duration(text)?;
    if time <= MAX_STEP_TIME { Ok(time) } else { Err("must be at most 60s".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn step_times_outside_the_limits_are_rejected() {
        assert_eq!(parse_step_time("0"), Ok(Duration::ZERO));
        assert_eq!(parse_step_time("5ms"), Ok(Duration::from_millis(5)));
        assert_eq!(parse_step_time("60s"), Ok(Duration::from_secs(60)));
        for bad in ["61s", "2m", "-1", "5us", ""] {
            assert!(parse_step_time(bad).is_err(), "{bad}");
        }
    }
}
