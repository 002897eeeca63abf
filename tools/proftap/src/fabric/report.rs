//! Reports of events on the link: records on standard output, diagnostics on standard error.

use std::io;
use std::time::{Duration, Instant};

use common::out::Out;
use common::record::proftap::{Config as ConfigRecord, Registered, Setting};
use common::rpc::config::{Config, TRACE_ID};

use super::daemon_link::FabricEvent;
use super::identity::ProcessIdentity;

/// Problems of the same kind are reported once in this time.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// Reports events, and returns the configs among them.
#[derive(Debug)]
pub(crate) struct FabricReporter {
    identity: ProcessIdentity,
    absent: ReportLimiter,
    dropped: ReportLimiter,
    configs: u64,
}

impl FabricReporter {
    pub(crate) fn new(identity: ProcessIdentity) -> Self {
        Self { identity, absent: ReportLimiter::default(), dropped: ReportLimiter::default(), configs: 0 }
    }

    /// Returns the number of configs received.
    pub(crate) fn config_count(&self) -> u64 {
        self.configs
    }

    /// Reports an event. Returns the config if it is a valid one.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(crate) fn report_event(
        &mut self,
        event: FabricEvent,
        now: Instant,
        out: &mut Out,
    ) -> io::Result<Option<Config>> {
        match event {
            FabricEvent::Registered { processes, socket } => {
                self.report_registration(processes, socket, out)?
            }
            FabricEvent::Config(text) => return self.report_config(&text, out),
            FabricEvent::Absent(reason) => {
                if let Some(more) = self.absent.allow_report(now) {
                    out.warn("daemon", format_args!("{reason}{more}; waiting for a daemon"));
                }
            }
            FabricEvent::Dropped(reason) => {
                if let Some(more) = self.dropped.allow_report(now) {
                    out.warn("datagram dropped", format_args!("{reason}{more}"));
                }
            }
        }
        Ok(None)
    }

    fn report_registration(&self, processes: Option<i32>, socket: String, out: &mut Out) -> io::Result<()> {
        out.diag().info("daemon", format_args!("registered at {socket}"));
        let ProcessIdentity { job_id, device, .. } = self.identity;
        out.record(&Registered { job_id, device, pid: self.identity.pid(), processes, socket })
    }

    fn report_config(&mut self, text: &[u8], out: &mut Out) -> io::Result<Option<Config>> {
        self.configs += 1;
        let config = std::str::from_utf8(text)
            .map_err(|_| "not valid UTF-8".to_owned())
            .and_then(|text| Config::parse(text).map_err(|e| e.to_string()));
        match config {
            Ok(config) => {
                out.record(&config_record(&self.identity, &config))?;
                Ok(Some(config))
            }
            Err(reason) => {
                out.error("config from the daemon", reason);
                Ok(None)
            }
        }
    }
}

fn config_record(identity: &ProcessIdentity, config: &Config) -> ConfigRecord {
    let setting = |(key, value): &(String, String)| Setting { key: key.clone(), value: value.clone() };
    ConfigRecord {
        job_id: identity.job_id,
        pid: identity.pid(),
        trace_id: config.get(TRACE_ID).map(str::to_owned),
        settings: config.pairs().iter().map(setting).collect(),
    }
}

/// Limits how often something is reported, and counts the suppressed reports.
#[derive(Debug, Default)]
struct ReportLimiter {
    last: Option<Instant>,
    suppressed: u64,
}

impl ReportLimiter {
    /// Returns `None` if the report is suppressed, otherwise a note about the suppressed ones.
    fn allow_report(&mut self, now: Instant) -> Option<String> {
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < REPORT_INTERVAL) {
            self.suppressed += 1;
            return None;
        }
        self.last = Some(now);
        match std::mem::take(&mut self.suppressed) {
            0 => Some(String::new()),
            n => Some(format!(" ({n} more since the last report)")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_reported_once_a_minute() {
        let (mut limiter, t0) = (ReportLimiter::default(), Instant::now());
        assert_eq!(limiter.allow_report(t0).as_deref(), Some(""));
        assert_eq!(limiter.allow_report(t0 + REPORT_INTERVAL / 2), None);
        assert_eq!(
            limiter.allow_report(t0 + REPORT_INTERVAL).as_deref(),
            Some(" (1 more since the last report)")
        );
    }

    #[test]
    fn the_record_keeps_the_order_and_has_the_trace_id() {
        let config = Config::parse("B=1\nA=2\nREQUEST_TRACE_ID=9\n").unwrap();
        let identity = ProcessIdentity { job_id: 3, device: 0, pids: vec![5] };
        let record = config_record(&identity, &config);
        assert_eq!(record.trace_id.as_deref(), Some("9"));
        assert_eq!(record.settings.iter().map(|s| &*s.key).collect::<Vec<_>>(), ["B", "A", TRACE_ID]);
    }
}
