//! The phase of the daemon, which its threads and tasks watch. It only moves forward.

use tokio::sync::watch;

/// How far the daemon is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum DaemonPhase {
    /// It accepts connections and datagrams.
    Serving,
    /// It finishes requests in progress and accepts no new ones.
    Draining,
    /// The last request is answered, so no config becomes pending any more.
    Answered,
    /// It drops everything.
    Stopping,
}

/// Moves the phase forward.
#[derive(Debug)]
pub(crate) struct ShutdownTrigger(watch::Sender<DaemonPhase>);

/// Watches the phase.
#[derive(Clone, Debug)]
pub(crate) struct ShutdownWatch(watch::Receiver<DaemonPhase>);

/// Creates a trigger and its watch, in the phase [`DaemonPhase::Serving`].
pub(crate) fn shutdown_channel() -> (ShutdownTrigger, ShutdownWatch) {
    let (sender, receiver) = watch::channel(DaemonPhase::Serving);
    (ShutdownTrigger(sender), ShutdownWatch(receiver))
}

impl ShutdownTrigger {
    /// Moves to a phase, unless the daemon is in that phase or a later one.
    pub(crate) fn advance(&self, to: DaemonPhase) {
        self.0.send_if_modified(|phase| {
            let is_later = *phase < to;
            *phase = (*phase).max(to);
            is_later
        });
    }
}

impl ShutdownWatch {
    /// Waits until the phase is `phase` or a later one. A dropped trigger counts as every phase.
    pub(crate) async fn reached(&mut self, phase: DaemonPhase) {
        let _ = self.0.wait_for(|p| *p >= phase).await;
    }

    /// Returns the current phase.
    pub(crate) fn phase(&self) -> DaemonPhase {
        *self.0.borrow()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn phases_only_move_forward() {
        let (trigger, mut shutdown) = shutdown_channel();
        assert_eq!(shutdown.phase(), DaemonPhase::Serving);
        trigger.advance(DaemonPhase::Stopping);
        trigger.advance(DaemonPhase::Draining);
        shutdown.reached(DaemonPhase::Draining).await;
        assert_eq!(shutdown.phase(), DaemonPhase::Stopping);
    }
}
