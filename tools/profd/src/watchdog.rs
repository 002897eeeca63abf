//! Notifies the watchdog of the service manager (sd_watchdog_enabled(3)) as long as the daemon does its work.
//!
//! The notification comes from the threads that serve clients, once the registry can be locked and if the thread for
//! processes has not been silent for too long. If one of them hangs, the service manager restarts the daemon.

use std::sync::Arc;

use tokio::time::{MissedTickBehavior, interval};

use crate::notify::WatchdogNotifier;
use crate::state::{DaemonState, IPC_SILENCE_LIMIT};

/// Notifies the watchdog twice in each interval of the service manager, until the daemon ends.
pub(crate) async fn notify_watchdog(
    notifier: WatchdogNotifier,
    state: Arc<DaemonState>,
    serves_processes: bool,
) {
    let mut tick = interval(notifier.interval / 2);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        drop(state.registry());
        // While the daemon stops, that thread ends.
        let is_silent = serves_processes && !state.is_stopping() && state.ipc_silence() >= IPC_SILENCE_LIMIT;
        if is_silent {
            let seconds = state.ipc_silence().as_secs();
            state
                .log
                .error("watchdog", format_args!("the thread for processes has not answered for {seconds} s"));
        } else {
            notifier.send_alive();
        }
    }
}
