//! How far the clocks of the daemons' hosts are from the clock of this machine.
//!
//! Each daemon is asked for its time a few times on one connection. The answer was given between the request and the
//! reply, so the offset is known to half of the round trip (Cristian's algorithm, as in RFC 5905, section 8, for one
//! timestamp of the server); the exchange with the shortest round trip counts.

use std::time::{Duration, Instant};

use common::rpc::message::Request;
use common::rpc::progress::ClockReply;
use tokio::task::JoinSet;

use crate::daemon_address::DaemonAddress;
use crate::reply::{RequestFailure, decode_reply};
use crate::transport::Transport;
use crate::wall_clock::time_since_epoch;

/// The number of exchanges with each daemon.
const EXCHANGES: usize = 8;

/// The clock of a host, compared to that of this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClockOffset {
    /// The time to add to a time of this machine to get that of the host, nanoseconds.
    pub(crate) offset_ns: i64,
    /// How far the offset may be from the true one, nanoseconds.
    pub(crate) uncertainty_ns: i64,
}

impl ClockOffset {
    /// Returns the offset that an exchange shows.
    fn from_exchange(sent_ns: i64, received_ns: i64, host_ns: i64) -> Self {
        let round_trip = received_ns.saturating_sub(sent_ns).max(0);
        let middle = sent_ns.saturating_add(round_trip / 2);
        Self { offset_ns: host_ns.saturating_sub(middle), uncertainty_ns: round_trip / 2 + 1 }
    }

    /// Converts a time of this machine, in milliseconds since the Unix epoch, to that of the host.
    pub(crate) fn to_host_ms(self, local_ms: u64) -> u64 {
        let host_ns = i128::from(local_ms) * 1_000_000 + i128::from(self.offset_ns);
        u64::try_from((host_ns + 500_000) / 1_000_000).unwrap_or(0)
    }
}

/// Measures the clocks of all hosts, of at most `parallel` at the same time. The results are in the order of the daemons.
///
/// Few at a time: exchanges that wait for each other on this machine would seem to wait for the network.
pub(crate) async fn measure_clocks(
    transport: &Transport,
    daemons: &[DaemonAddress],
    parallel: usize,
) -> Vec<Result<ClockOffset, RequestFailure>> {
    let lost = || Err(RequestFailure::from_error("the measurement was lost", None));
    let mut results: Vec<_> = daemons.iter().map(|_| lost()).collect();
    let mut waiting = daemons.iter().cloned().enumerate();
    let mut running = JoinSet::new();
    loop {
        while running.len() < parallel.max(1) {
            let Some((index, daemon)) = waiting.next() else { break };
            let transport = transport.clone();
            running.spawn(async move { (index, measure_clock(&transport, &daemon).await) });
        }
        match running.join_next().await {
            None => return results,
            Some(Ok((index, result))) => results[index] = result,
            Some(Err(_)) => {}
        }
    }
}

async fn measure_clock(transport: &Transport, daemon: &DaemonAddress) -> Result<ClockOffset, RequestFailure> {
    let failed = |e: crate::exchange_error::ExchangeError| match e {
        crate::exchange_error::ExchangeError::NoReply { .. } => explain_old_daemon(),
        e => RequestFailure::from_error(e.to_string(), e.suggest_fix()),
    };
    let mut connection = transport.connect(daemon).await.map_err(failed)?;
    let body = Request::Clock.encode();
    let mut best: Option<ClockOffset> = None;
    for _ in 0..EXCHANGES {
        let (sent, start) = (now_ns(), Instant::now());
        let reply = connection.exchange(&body).await.map_err(failed)?;
        // By the monotonic clock: the other one may be set meanwhile.
        let received = sent.saturating_add(i64::try_from(start.elapsed().as_nanos()).unwrap_or(i64::MAX));
        let clock: ClockReply = decode_reply(&reply).map_err(|e| match e.is_unknown_function() {
            true => explain_old_daemon(),
            false => e,
        })?;
        let offset = ClockOffset::from_exchange(sent, received, clock.unix_ns);
        if best.is_none_or(|b| offset.uncertainty_ns < b.uncertainty_ns) {
            best = Some(offset);
        }
    }
    connection.close().await;
    best.ok_or_else(explain_old_daemon)
}

fn explain_old_daemon() -> RequestFailure {
    let hint =
        "leave out --synchronized and give --profile-start-time; the clocks must then agree by themselves";
    RequestFailure {
        hints: vec![hint.to_owned()],
        ..RequestFailure::from_decline(
            "this daemon does not say its time, so its start cannot be synchronized",
        )
    }
}

/// Returns the time of the wall clock, nanoseconds since the Unix epoch.
fn now_ns() -> i64 {
    i64::try_from(time_since_epoch().as_nanos()).unwrap_or(i64::MAX)
}

/// Formats nanoseconds as milliseconds.
pub(crate) fn format_ms(ns: i64) -> String {
    let magnitude = Duration::from_nanos(ns.unsigned_abs());
    let sign = if ns < 0 { "-" } else { "" };
    format!("{sign}{:.3} ms", magnitude.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offset_is_known_to_half_the_round_trip() {
        // The host is 5 s ahead, and answers after a third of the round trip of 900 ns.
        let offset = ClockOffset::from_exchange(1_000, 1_900, 5_000_001_300);
        assert_eq!(offset, ClockOffset { offset_ns: 4_999_999_850, uncertainty_ns: 451 });
        assert!((5_000_000_000 - offset.offset_ns).abs() <= offset.uncertainty_ns);
        // A clock that was set back between the two readings is not taken for a negative round trip.
        assert_eq!(ClockOffset::from_exchange(2_000, 1_000, 2_000).uncertainty_ns, 1);
    }

    #[test]
    fn times_are_converted_to_those_of_the_host() {
        let offset = |offset_ns| ClockOffset { offset_ns, uncertainty_ns: 1 };
        assert_eq!(offset(-1_500_000).to_host_ms(10), 9, "8.5, rounded up");
        assert_eq!(offset(2_400_000).to_host_ms(10), 12);
        assert_eq!(offset(i64::MIN).to_host_ms(10), 0);
        assert_eq!(format_ms(-1_500_000), "-1.500 ms");
    }
}
