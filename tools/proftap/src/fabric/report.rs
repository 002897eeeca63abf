//! What the conversation brings, as records on standard output and lines on standard error.

use std::io;
use std::time::{Duration, Instant};

use common::out::Out;
use common::record::proftap::{Config as ConfigRecord, Registered, Setting};
use common::rpc::config::{Config, TRACE_ID};

use super::{Event, Identity};

/// The same kind of trouble is told once in this time.
const QUIET: Duration = Duration::from_secs(60);

/// Writes events down, and hands back the configs.
#[derive(Debug)]
pub(crate) struct Reporter {
    who: Identity,
    absent: Limiter,
    dropped: Limiter,
    configs: u64,
}

impl Reporter {
    pub(crate) fn new(who: Identity) -> Self {
        Self { who, absent: Limiter::default(), dropped: Limiter::default(), configs: 0 }
    }

    /// Configs received.
    pub(crate) fn configs(&self) -> u64 {
        self.configs
    }

    /// Writes one event down. A config that can be read is returned.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(crate) fn event(&mut self, event: Event, now: Instant, out: &mut Out) -> io::Result<Option<Config>> {
        match event {
            Event::Registered { processes, socket } => self.registered(processes, socket, out)?,
            Event::Config(text) => return self.config(&text, out),
            Event::Absent(reason) => {
                if let Some(more) = self.absent.allows(now) {
                    out.warn("daemon", format_args!("{reason}{more}; waiting for one"));
                }
            }
            Event::Dropped(reason) => {
                if let Some(more) = self.dropped.allows(now) {
                    out.warn("datagram dropped", format_args!("{reason}{more}"));
                }
            }
        }
        Ok(None)
    }

    fn registered(&self, processes: Option<i32>, socket: String, out: &mut Out) -> io::Result<()> {
        out.diag().info("daemon", format_args!("registered at {socket}"));
        let Identity { job, device, .. } = self.who;
        out.record(&Registered { job, device, pid: self.who.pid(), processes, socket })
    }

    fn config(&mut self, text: &[u8], out: &mut Out) -> io::Result<Option<Config>> {
        self.configs += 1;
        let config = std::str::from_utf8(text)
            .map_err(|_| "is not UTF-8".to_owned())
            .and_then(|text| Config::parse(text).map_err(|e| e.to_string()));
        match config {
            Ok(config) => {
                out.record(&record(&self.who, &config))?;
                Ok(Some(config))
            }
            Err(reason) => {
                out.error("config from the daemon", reason);
                Ok(None)
            }
        }
    }
}

fn record(who: &Identity, config: &Config) -> ConfigRecord {
    let setting = |(key, value): &(String, String)| Setting { key: key.clone(), value: value.clone() };
    ConfigRecord {
        job: who.job,
        pid: who.pid(),
        trace_id: config.get(TRACE_ID).map(str::to_owned),
        settings: config.pairs().iter().map(setting).collect(),
    }
}

/// Lets something be said once in a while, and counts the rest.
#[derive(Debug, Default)]
struct Limiter {
    last: Option<Instant>,
    suppressed: u64,
}

impl Limiter {
    /// Whether to say it now, and a note on how often it was not said since the last time.
    fn allows(&mut self, now: Instant) -> Option<String> {
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < QUIET) {
            self.suppressed += 1;
            return None;
        }
        self.last = Some(now);
        match std::mem::take(&mut self.suppressed) {
            0 => Some(String::new()),
            n => Some(format!(" ({n} more since the last time)")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_told_once_a_minute() {
        let (mut limiter, t0) = (Limiter::default(), Instant::now());
        assert_eq!(limiter.allows(t0).as_deref(), Some(""));
        assert_eq!(limiter.allows(t0 + QUIET / 2), None);
        assert_eq!(limiter.allows(t0 + QUIET).as_deref(), Some(" (1 more since the last time)"));
    }

    #[test]
    fn the_record_keeps_order_and_names_the_request() {
        let config = Config::parse("B=1\nA=2\nREQUEST_TRACE_ID=9\n").unwrap();
        let who = Identity { job: 3, device: 0, pids: vec![5] };
        let record = record(&who, &config);
        assert_eq!(record.trace_id.as_deref(), Some("9"));
        assert_eq!(record.settings.iter().map(|s| &*s.key).collect::<Vec<_>>(), ["B", "A", TRACE_ID]);
    }
}
