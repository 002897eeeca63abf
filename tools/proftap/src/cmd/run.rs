//! `proftap run`: registers with the daemon, prints each config, and forwards status and metrics.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use anyhow::Context;
use common::error::HintExt;
use common::exit::Exit;
use common::out::Out;
use common::record::proftap::Summary;
use common::text::count_noun;
use rustix::event::{PollFd, PollFlags};

use crate::fabric::{
    DaemonLink, FabricArgs, FabricClientPlan, FabricEvent, FabricReporter, MessageQueue, ProcessIdentity,
};
use crate::input::InputReader;
use crate::wake::{WakeReceiver, poll_until};

/// With `--exit-on-eof`: maximum time to wait for a daemon that accepts the last messages.
const EXIT_TIMEOUT: Duration = Duration::from_secs(2);

/// Register with the daemon, print each request, and send status and metrics from standard input
///
/// Prints a `proftap.registered` record when a daemon replies, and then a `proftap.config` record for each request,
/// immediately. Reads `proftap.status` and `proftap.metric` records, and metrics in their wire form,
/// as JSON lines. Without a daemon it waits until one starts. SIGTERM and SIGINT end it; the last record is
/// `proftap.summary`.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  Start the profiler of a program on demand:
    proftap run | jq --unbuffered -c 'select(.type==\"proftap.config\")' | my-profiler

  Send the status of a process to the daemon:
    echo '{\"type\":\"proftap.status\",\"v\":1,\"function\":\"nputrace\",\"state\":\"idle\"}' |
      proftap run --job-id 17 --device 3

  Send one metric and exit:
    echo '{\"kind\":\"Kernel\",\"deviceId\":0,\"duration\":81000,\"timestamp\":1763892000000000000}' |
      proftap run --exit-on-eof")]
pub(crate) struct RunArgs {
    /// Exit when standard input has ended and all messages are sent
    #[arg(long)]
    exit_on_eof: bool,
    // Last, because its help heading applies to all options after it.
    #[command(flatten)]
    fabric: FabricArgs,
}

pub(crate) fn run(args: &RunArgs, out: &mut Out) -> anyhow::Result<Exit> {
    run_on(args, WakeReceiver::on_signals()?, rustix::stdio::stdin(), out)
}

/// Runs with another descriptor for standard input.
pub(super) fn run_on(
    args: &RunArgs,
    wake: WakeReceiver,
    stdin: BorrowedFd<'_>,
    out: &mut Out,
) -> anyhow::Result<Exit> {
    let plan = args.fabric.resolve_plan();
    let mut tap = ProcessTap::open(&plan, args.exit_on_eof)?;
    tap.run_loop(wake, stdin, out)?;
    tap.write_summary(out)?;
    Ok(Exit::Ok)
}

/// Binds the client socket.
///
/// # Errors
/// The socket cannot be created.
pub(crate) fn open_connection(plan: &FabricClientPlan) -> anyhow::Result<DaemonLink> {
    DaemonLink::open(plan, Instant::now())
        .with_context(|| format!("client socket {}", plan.client_socket))
        .hint("give an existing directory with --socket, or unset KINETO_IPC_SOCKET_DIR")
}

/// A run of the subcommand.
struct ProcessTap {
    link: DaemonLink,
    input: InputReader,
    queue: MessageQueue,
    reporter: FabricReporter,
    identity: ProcessIdentity,
    /// Whether the end of the input ends the run.
    exit: ExitCondition,
}

/// Whether the end of the input ends the run.
enum ExitCondition {
    /// It does not.
    Never,
    /// It will.
    AtEndOfInput,
    /// It has ended: exit once all messages are sent, at the latest at this time.
    Before(Instant),
}

/// The inputs that can be read without blocking.
struct ReadyInputs {
    replies: bool,
    stdin: bool,
}

impl ProcessTap {
    fn open(plan: &FabricClientPlan, exit_on_eof: bool) -> anyhow::Result<Self> {
        Ok(Self {
            link: open_connection(plan)?,
            input: InputReader::default(),
            queue: MessageQueue::default(),
            reporter: FabricReporter::new(plan.identity.clone()),
            identity: plan.identity.clone(),
            exit: if exit_on_eof { ExitCondition::AtEndOfInput } else { ExitCondition::Never },
        })
    }

    /// Runs until a signal arrives, or until the end of the input with `--exit-on-eof`.
    fn run_loop(
        &mut self,
        mut wake: WakeReceiver,
        stdin: BorrowedFd<'_>,
        out: &mut Out,
    ) -> anyhow::Result<()> {
        let mut events = Vec::new();
        while !wake.stop_requested() && !self.is_done() {
            self.link.poll_if_due(Instant::now(), &mut events);
            self.report_events(&mut events, out)?;
            // A message that cannot be sent is dropped: report it, and send the rest.
            if let Err(e) = self.queue.send_pending(&self.link, Instant::now()) {
                out.error("message for the daemon", e);
                continue;
            }
            let ready = self.wait_for_events(&wake, stdin)?;
            wake.drain_wakeups();
            if ready.replies {
                self.link.receive_replies(Instant::now(), &mut events)?;
                self.report_events(&mut events, out)?;
            }
            if ready.stdin {
                self.read_input(stdin, out);
            }
        }
        Ok(())
    }

    /// Waits until there is something to do.
    fn wait_for_events(&self, wake: &WakeReceiver, stdin: BorrowedFd<'_>) -> io::Result<ReadyInputs> {
        let reads_input = !self.input.has_ended() && !self.queue.is_full(&self.link);
        let mut fds = vec![PollFd::new(&self.link, PollFlags::IN), PollFd::new(wake, PollFlags::IN)];
        if reads_input {
            fds.push(PollFd::from_borrowed_fd(stdin, PollFlags::IN));
        }
        let exit = match self.exit {
            ExitCondition::Before(at) => Some(at),
            _ => None,
        };
        let deadline =
            [Some(self.link.next_poll_time()), self.queue.retry_time(), exit].into_iter().flatten().min();
        poll_until(&mut fds, deadline)?;
        let ready = |n: usize| fds.get(n).is_some_and(|fd| !fd.revents().is_empty());
        Ok(ReadyInputs { replies: ready(0), stdin: ready(2) })
    }

    fn report_events(&mut self, events: &mut Vec<FabricEvent>, out: &mut Out) -> io::Result<()> {
        let now = Instant::now();
        events.drain(..).try_for_each(|event| self.reporter.report_event(event, now, out).map(drop))
    }

    fn read_input(&mut self, stdin: BorrowedFd<'_>, out: &Out) {
        let lines = self.input.read_lines(stdin, &self.identity).unwrap_or_else(|e| {
            out.error("standard input", e);
            self.input.stop_reading();
            Vec::new()
        });
        for (line, parsed) in lines {
            match parsed {
                Ok(message) => self.queue.push(message),
                Err(e) => out.error(format_args!("standard input:{line}"), e),
            }
        }
        if self.input.has_ended() && matches!(self.exit, ExitCondition::AtEndOfInput) {
            self.exit = ExitCondition::Before(Instant::now() + EXIT_TIMEOUT);
        }
    }

    fn is_done(&self) -> bool {
        match self.exit {
            ExitCondition::Before(at) => self.queue.is_empty() || Instant::now() >= at,
            _ => false,
        }
    }

    fn write_summary(&self, out: &mut Out) -> io::Result<()> {
        let unsent = self.queue.unsent_count();
        if unsent > 0 {
            out.error("daemon", format_args!("{} could not be sent", count_noun(unsent, "message")));
        }
        let (configs, sent, errors) =
            (self.reporter.config_count(), self.queue.sent_count(), out.diag().errors());
        out.record(&Summary { configs, sent, errors })
    }
}
