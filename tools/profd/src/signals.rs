//! The signals that stop the daemon or make it reload its certificates.
//!
//! The first signal to stop begins the drain, the second one skips it, and after the orderly end of the daemon any
//! further one terminates the process by its default action.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag::register_conditional_default;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM, SIGINT, and SIGHUP when the daemon has a controlling terminal.
pub(crate) struct DaemonSignals {
    term: Signal,
    int: Signal,
    /// `None` without a terminal, and when SIGHUP was ignored at the start (`nohup`).
    hup: Option<Signal>,
    /// SIGHUP without a terminal, until [`Self::take_reload_signal`].
    reload: Option<Signal>,
    default_action: DefaultAction,
}

/// SIGHUP as the request to reload; it never arrives when the daemon has a controlling terminal.
pub(crate) struct ReloadSignal(Option<Signal>);

impl ReloadSignal {
    /// Waits for the next signal.
    pub(crate) async fn next(&mut self) {
        match &mut self.0 {
            Some(signal) => drop(signal.recv().await),
            None => pending().await,
        }
    }
}

/// Restores the default action of the signals to stop.
#[derive(Clone, Debug, Default)]
pub(crate) struct DefaultAction(Arc<AtomicBool>);

impl DefaultAction {
    /// From now on a signal to stop terminates the process, even if it hangs.
    pub(crate) fn restore(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl DaemonSignals {
    /// Catches the signals. A SIGHUP that is ignored stays ignored, as `nohup` asks for.
    ///
    /// # Errors
    /// A handler cannot be installed.
    pub(crate) fn catch() -> std::io::Result<Self> {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let default_action = DefaultAction::default();
        let catch_signal = |number: i32| {
            register_conditional_default(number, default_action.0.clone())?;
            signal(SignalKind::from_raw(number))
        };
        // Opening /dev/tty fails without a controlling terminal (tty(4)).
        let has_terminal = std::fs::File::open("/dev/tty").is_ok();
        let (hup, reload) = match (ignores_signal(&status, SIGHUP), has_terminal) {
            (true, _) => (None, None),
            (false, true) => (Some(catch_signal(SIGHUP)?), None),
            (false, false) => (None, Some(signal(SignalKind::hangup())?)),
        };
        Ok(Self { term: catch_signal(SIGTERM)?, int: catch_signal(SIGINT)?, hup, reload, default_action })
    }

    /// Hands over the SIGHUP that asks for a reload.
    pub(crate) fn take_reload_signal(&mut self) -> ReloadSignal {
        ReloadSignal(self.reload.take())
    }

    /// Returns the switch that restores the default action of these signals.
    pub(crate) fn default_action(&self) -> DefaultAction {
        self.default_action.clone()
    }

    /// Waits for the next signal and returns its name.
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

/// Returns whether a process ignores a signal. `status` is the text of its `/proc/<pid>/status`, whose `SigIgn` is a
/// mask in hexadecimal with signal 1 in the lowest bit (proc_pid_status(5)).
pub(crate) fn ignores_signal(status: &str, number: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|m| u64::from_str_radix(m.trim(), 16).ok()).unwrap_or(0);
    mask >> (number - 1) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_mask() {
        let status = "SigBlk:\t0000000000000001\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000004002\n";
        assert!(ignores_signal(status, SIGHUP));
        assert!(!ignores_signal(status, SIGINT) && !ignores_signal(status, SIGTERM));
        assert!(!ignores_signal("", SIGHUP));
    }
}
