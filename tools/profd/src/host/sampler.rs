//! Samples the host in intervals.

use std::path::Path;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::{MissedTickBehavior, interval};

use super::parse::parse_packages;
use super::report::{HostReport, report_host};
use super::{HostSample, read_host, read_text};
use crate::shutdown::{DaemonPhase, ShutdownWatch};

/// Hands a sample to `take` after each interval, until the daemon stops.
pub(crate) async fn sample_host(
    every: Duration,
    mut take: impl FnMut(HostReport),
    mut shutdown: ShutdownWatch,
) {
    let proc = Path::new("/proc");
    let packages = parse_packages(&read_text(&proc.join("cpuinfo")).unwrap_or_default());
    let mut before: Option<HostSample> = None;
    let mut tick = interval(every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.reached(DaemonPhase::Draining) => return,
            _ = tick.tick() => {}
        }
        let Ok(last) = tokio::task::spawn_blocking(|| read_host(Path::new("/proc"))).await else { return };
        take(report_host(before.as_ref(), &last, &packages, OffsetDateTime::now_utc()));
        before = Some(last);
    }
}
