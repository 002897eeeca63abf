//! `proftap run`: register, print each config, pass status and metrics on.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use anyhow::Context;
use common::error::HintExt;
use common::exit::Exit;
use common::out::Out;
use common::record::proftap::Summary;
use rustix::event::{PollFd, PollFlags};

use crate::fabric::{Event, Identity, Link, Options, Outbox, Plan, Reporter};
use crate::feed::Feed;
use crate::wake::{Wake, wait};

/// With --exit-on-eof: how long to wait for a daemon that takes the last messages.
const LINGER: Duration = Duration::from_secs(2);

/// Register with the daemon, print each request, send what comes on standard input
///
/// Prints a `proftap.registered` record when a daemon knows this process, then a `proftap.config` record for
/// each request that is meant for it, at once. Takes `proftap.status` and `proftap.metric` records, and metrics
/// in their wire form, as JSON lines on standard input. Goes on without a daemon and finds it when it comes.
/// Ends on SIGTERM or SIGINT, with a `proftap.summary` record.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  Start a program's own profiler on demand:
    proftap run | jq --unbuffered -c 'select(.type==\"proftap.config\")' | my-profiler

  Tell the daemon what this process does:
    echo '{\"type\":\"proftap.status\",\"v\":1,\"function\":\"nputrace\",\"state\":\"idle\"}' |
      proftap run --job 17 --device 3

  Send one metric and leave:
    echo '{\"kind\":\"Kernel\",\"deviceId\":0,\"duration\":81000,\"timestamp\":1763892000000000000}' |
      proftap run --exit-on-eof")]
pub(crate) struct Args {
    /// Leave when standard input ends and everything is sent, rather than stay for requests
    #[arg(long)]
    exit_on_eof: bool,
    // Last: its heading would be that of whatever follows.
    #[command(flatten)]
    fabric: Options,
}

pub(crate) fn run(args: &Args, out: &mut Out) -> anyhow::Result<Exit> {
    run_on(args, Wake::on_signals()?, rustix::stdio::stdin(), out)
}

/// Runs with any descriptor for standard input.
pub(super) fn run_on(args: &Args, wake: Wake, stdin: BorrowedFd<'_>, out: &mut Out) -> anyhow::Result<Exit> {
    let plan = args.fabric.plan();
    let mut tap = Tap::open(&plan, args.exit_on_eof)?;
    tap.serve(wake, stdin, out)?;
    tap.finish(out)?;
    Ok(Exit::Ok)
}

/// Binds our socket, and says what to do where that is refused.
pub(crate) fn open(plan: &Plan) -> anyhow::Result<Link> {
    Link::open(plan, Instant::now())
        .with_context(|| format!("socket of our own {}", plan.own))
        .hint("name another place with --socket, or unset KINETO_IPC_SOCKET_DIR")
}

/// The running command.
struct Tap {
    link: Link,
    feed: Feed,
    outbox: Outbox,
    reporter: Reporter,
    who: Identity,
    /// When to leave at the latest, with --exit-on-eof.
    leave: Leave,
}

/// Whether the end of the input ends the command.
enum Leave {
    Never,
    AtEnd,
    By(Instant),
}

impl Tap {
    fn open(plan: &Plan, exit_on_eof: bool) -> anyhow::Result<Self> {
        Ok(Self {
            link: open(plan)?,
            feed: Feed::default(),
            outbox: Outbox::default(),
            reporter: Reporter::new(plan.who.clone()),
            who: plan.who.clone(),
            leave: if exit_on_eof { Leave::AtEnd } else { Leave::Never },
        })
    }

    /// Runs until a signal comes, or the input has ended and that ends the command.
    fn serve(&mut self, mut wake: Wake, stdin: BorrowedFd<'_>, out: &mut Out) -> anyhow::Result<()> {
        let mut events = Vec::new();
        while !wake.stopped() && !self.done() {
            self.link.tick(Instant::now(), &mut events);
            self.report(&mut events, out)?;
            if let Err(e) = self.outbox.flush(&self.link, Instant::now()) {
                out.error("message for the daemon", e);
                continue;
            }
            let (reply, input) = self.sleep(&wake, stdin)?;
            wake.clear();
            if reply {
                self.link.receive(Instant::now(), &mut events)?;
                self.report(&mut events, out)?;
            }
            if input {
                self.read(stdin, out);
            }
        }
        Ok(())
    }

    /// Sleeps until there is something to do. Tells whether there is a reply, and input.
    fn sleep(&self, wake: &Wake, stdin: BorrowedFd<'_>) -> io::Result<(bool, bool)> {
        let listen = !self.feed.ended() && !self.outbox.is_full(&self.link);
        let mut fds = vec![PollFd::new(&self.link, PollFlags::IN), PollFd::new(wake, PollFlags::IN)];
        if listen {
            fds.push(PollFd::from_borrowed_fd(stdin, PollFlags::IN));
        }
        let own = match self.leave {
            Leave::By(at) => Some(at),
            _ => None,
        };
        let deadline = [Some(self.link.deadline()), self.outbox.deadline(), own].into_iter().flatten().min();
        wait(&mut fds, deadline)?;
        let ready = |n: usize| fds.get(n).is_some_and(|fd| !fd.revents().is_empty());
        Ok((ready(0), ready(2)))
    }

    fn report(&mut self, events: &mut Vec<Event>, out: &mut Out) -> io::Result<()> {
        let now = Instant::now();
        events.drain(..).try_for_each(|event| self.reporter.event(event, now, out).map(drop))
    }

    fn read(&mut self, stdin: BorrowedFd<'_>, out: &Out) {
        let lines = self.feed.read(stdin, &self.who).unwrap_or_else(|e| {
            out.error("standard input", e);
            self.feed.end();
            Vec::new()
        });
        for (line, parsed) in lines {
            match parsed {
                Ok(message) => self.outbox.push(message),
                Err(e) => out.error(format_args!("standard input:{line}"), e),
            }
        }
        if self.feed.ended() && matches!(self.leave, Leave::AtEnd) {
            self.leave = Leave::By(Instant::now() + LINGER);
        }
    }

    fn done(&self) -> bool {
        match self.leave {
            Leave::By(at) => self.outbox.is_empty() || Instant::now() >= at,
            _ => false,
        }
    }

    fn finish(&self, out: &mut Out) -> io::Result<()> {
        let unsent = self.outbox.unsent();
        if unsent > 0 {
            out.error("daemon", format_args!("{unsent} messages could not be sent"));
        }
        let (configs, sent, errors) = (self.reporter.configs(), self.outbox.sent(), out.diag().errors());
        out.record(&Summary { configs, sent, errors })
    }
}
