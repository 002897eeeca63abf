//! When to stop: one value that everybody watches. The first signal drains, the second one does not wait, and
//! whichever comes after the orderly part ends the process as if nobody had taken it over.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag::register_conditional_default;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// How far the daemon is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Taking connections and datagrams.
    Serving,
    /// Finishing what was begun, taking nothing new.
    Draining,
    /// The last request is answered: what waits for a process now is all that ever will.
    Answered,
    /// Dropping everything.
    Stopping,
}

/// Moves the phase on.
#[derive(Debug)]
pub(crate) struct Trigger(watch::Sender<Phase>);

/// Watches the phase.
#[derive(Clone, Debug)]
pub(crate) struct Shutdown(watch::Receiver<Phase>);

/// A phase and its watcher, serving.
pub(crate) fn channel() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(Phase::Serving);
    (Trigger(sender), Shutdown(receiver))
}

impl Trigger {
    /// Moves on to a phase; never back.
    pub(crate) fn advance(&self, to: Phase) {
        self.0.send_if_modified(|phase| {
            let later = *phase < to;
            *phase = (*phase).max(to);
            later
        });
    }
}

impl Shutdown {
    /// Waits until the phase is at least `phase`. A trigger that is gone counts as reached.
    pub(crate) async fn reached(&mut self, phase: Phase) {
        let _ = self.0.wait_for(|p| *p >= phase).await;
    }

    /// The phase now.
    pub(crate) fn phase(&self) -> Phase {
        *self.0.borrow()
    }
}

/// The signals that end the daemon: SIGTERM, SIGINT, and SIGHUP of a terminal that closes.
pub(crate) struct Signals {
    term: Signal,
    int: Signal,
    /// Absent where the daemon was started to outlive its terminal (`nohup`), or has none.
    hup: Option<Signal>,
    /// Without a terminal, SIGHUP means what it means to every daemon: to load again.
    reload: Option<Signal>,
    deadly: Deadly,
}

/// The hang-ups that ask for a reload; none, where there is a terminal to hang up.
pub(crate) struct Hangups(Option<Signal>);

impl Hangups {
    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        match &mut self.0 {
            Some(signal) => drop(signal.recv().await),
            None => pending().await,
        }
    }
}

/// Gives the signals their default action back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deadly(Arc<AtomicBool>);

impl Deadly {
    /// From now on a signal ends the process, whatever it hangs in.
    pub(crate) fn arm(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Signals {
    /// Takes them over from their default action. What was ignored at the start stays ignored.
    pub(crate) fn listen() -> std::io::Result<Self> {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let deadly = Deadly::default();
        let take = |number: i32| {
            register_conditional_default(number, deadly.0.clone())?;
            signal(SignalKind::from_raw(number))
        };
        let terminal = std::fs::File::open("/dev/tty").is_ok();
        let (hup, reload) = match (ignores(&status, SIGHUP), terminal) {
            (true, _) => (None, None),
            (false, true) => (Some(take(SIGHUP)?), None),
            (false, false) => (None, Some(signal(SignalKind::hangup())?)),
        };
        Ok(Self { term: take(SIGTERM)?, int: take(SIGINT)?, hup, reload, deadly })
    }

    /// Takes the hang-ups out that end nothing.
    pub(crate) fn hangups(&mut self) -> Hangups {
        Hangups(self.reload.take())
    }

    /// What gives them back.
    pub(crate) fn deadly(&self) -> Deadly {
        self.deadly.clone()
    }

    /// The name of the next one.
    pub(crate) async fn next(&mut self) -> &'static str {
        let hup = async {
            match &mut self.hup {
                Some(hup) => hup.recv().await,
                None => pending().await,
            }
        };
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.int.recv() => "SIGINT",
            _ = hup => "SIGHUP",
        }
    }
}

/// Whether a process ignores a signal, by its `/proc/<pid>/status`: a mask in hex, signal 1 in its lowest bit.
pub(crate) fn ignores(status: &str, number: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|m| u64::from_str_radix(m.trim(), 16).ok()).unwrap_or(0);
    mask >> (number - 1) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn phases_only_move_on() {
        let (trigger, mut shutdown) = channel();
        assert_eq!(shutdown.phase(), Phase::Serving);
        trigger.advance(Phase::Stopping);
        trigger.advance(Phase::Draining);
        shutdown.reached(Phase::Draining).await;
        assert_eq!(shutdown.phase(), Phase::Stopping);
    }
    #[test]
    fn what_is_ignored_is_read_from_the_mask() {
        let status = "SigBlk:\t0000000000000001\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000004002\n";
        assert!(ignores(status, SIGHUP));
        assert!(!ignores(status, SIGINT) && !ignores(status, SIGTERM));
        assert!(!ignores("", SIGHUP));
    }
}
