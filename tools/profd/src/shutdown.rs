//! When to stop: one value that everybody watches. The first signal drains, the second one does not wait.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// How far the daemon is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Taking connections and datagrams.
    Serving,
    /// Finishing what was begun, taking nothing new.
    Draining,
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
    hup: Signal,
}

impl Signals {
    /// Takes them over from their default action.
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
        })
    }

    /// The name of the next one.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.int.recv() => "SIGINT",
            _ = self.hup.recv() => "SIGHUP",
        }
    }
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
}
