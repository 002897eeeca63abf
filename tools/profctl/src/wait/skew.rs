//! When the traces of a synchronized start have begun, as they say themselves.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use common::record::profctl::StartSkew;
use common::text::count_noun;

use crate::clock::{ClockOffset, format_ms};
use crate::session::DaemonSession;
use crate::sync_start::SyncedStart;

/// How much of the begin and of the end of a trace is searched, in bytes. libkineto writes the base of all times before the
/// events, and the begin of the recording after them (pytorch/kineto 0062cff, `libkineto/src/output_json.cpp`,
/// `handleTraceStart` and `handleIterationStart`).
const SEARCHED: u64 = 512 << 10;
/// The key of the time to which all times of a trace are relative, nanoseconds since the Unix epoch.
const BASE_KEY: &str = "\"baseTimeNanoseconds\":";
/// The name, up to the profiler, of the event at the begin of the recording.
const BEGIN_NAME: &str = "\"Iteration Start: ";
/// The longest event of this kind, in bytes.
const LONGEST_EVENT: usize = 1024;

/// The begins of the traces by the clock of this machine, nanoseconds since the Unix epoch.
pub(super) struct StartTimes {
    planned_ns: i64,
    clocks: Vec<Option<ClockOffset>>,
    begins: Vec<i64>,
    uncertainty_ns: i64,
}

impl StartTimes {
    pub(super) fn new(synced: &SyncedStart) -> Self {
        let planned_ns = i64::try_from(synced.start_ms).unwrap_or(i64::MAX).saturating_mul(1_000_000);
        let clocks = synced.clocks.iter().map(|clock| clock.as_ref().ok().copied()).collect();
        Self { planned_ns, clocks, begins: Vec::new(), uncertainty_ns: 0 }
    }

    /// Adds the begin of a trace of the daemon at a place, if the trace says it.
    pub(super) fn add(&mut self, place: usize, path: &Path) {
        let Some(clock) = self.clocks.get(place).copied().flatten() else { return };
        if let Some(begin_ns) = read_begin(path) {
            self.begins.push(begin_ns.saturating_sub(clock.offset_ns));
            self.uncertainty_ns = self.uncertainty_ns.max(clock.uncertainty_ns);
        }
    }

    /// Reports how far apart the begins are.
    pub(super) fn report(&self, session: &mut DaemonSession<'_>) -> anyhow::Result<()> {
        let (Some(first), Some(last)) = (self.begins.iter().min(), self.begins.iter().max()) else {
            return Ok(());
        };
        let skew_ns = last.saturating_sub(*first);
        let first_after_ns = first.saturating_sub(self.planned_ns);
        if session.writes_records() {
            return Ok(session.out.record(&StartSkew {
                traces: self.begins.len() as u64,
                skew_us: skew_ns / 1000,
                first_after_us: first_after_ns / 1000,
                uncertainty_us: (self.uncertainty_ns + 999) / 1000,
            })?);
        }
        let text = format!(
            "begins of {}: within {}, the first {} after the planned start; clocks known to {}",
            count_noun(self.begins.len() as u64, "trace"),
            format_ms(skew_ns),
            format_ms(first_after_ns),
            format_ms(self.uncertainty_ns)
        );
        session.out.diag().notice("--synchronized", text);
        Ok(())
    }
}

/// Returns when the recording of a trace has begun by the clock of its host, nanoseconds since the Unix epoch.
fn read_begin(path: &Path) -> Option<i64> {
    let (mut file, meta) = common::fsat::open_regular(path).ok()?;
    let begin = read_part(&mut file, 0)?;
    let end = read_part(&mut file, meta.len().saturating_sub(SEARCHED))?;
    let base_ns = find_number(&begin, BASE_KEY).or_else(|| find_number(&end, BASE_KEY))?;
    let event = |text: &str| {
        let at = text.rfind(BEGIN_NAME)?;
        let rest = text.get(at..)?;
        let rest = &rest[..rest.char_indices().map(|(i, _)| i).take_while(|i| *i < LONGEST_EVENT).last()?];
        find_decimal_us(rest, "\"ts\":")
    };
    Some(base_ns.saturating_add(event(&end).or_else(|| event(&begin))?))
}

fn read_part(file: &mut File, from: u64) -> Option<String> {
    file.seek(SeekFrom::Start(from)).ok()?;
    let mut bytes = Vec::new();
    file.take(SEARCHED).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Returns the whole number behind a key.
fn find_number(text: &str, key: &str) -> Option<i64> {
    let rest = text[text.find(key)? + key.len()..].trim_start();
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// Returns the microseconds behind a key, with up to three decimals, as nanoseconds.
fn find_decimal_us(text: &str, key: &str) -> Option<i64> {
    let rest = text[text.find(key)? + key.len()..].trim_start();
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let (whole, decimals) = rest[..end].split_once('.').unwrap_or((&rest[..end], ""));
    let decimals: String = decimals.chars().chain("000".chars()).take(3).collect();
    whole.parse::<i64>().ok()?.checked_mul(1000)?.checked_add(decimals.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin_of(text: &str) -> Option<i64> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        read_begin(file.path())
    }

    #[test]
    fn the_begin_is_that_of_the_recording() {
        let events = "{\"ph\": \"X\", \"name\": \"x\", \"ts\": 1.000}, ".repeat(40_000);
        let text = format!(
            "{{\"schemaVersion\": 1, \"baseTimeNanoseconds\": 1795000000000000000,\n\"traceEvents\": [{events}
             {{\"name\": \"Iteration Start: PyTorch Profiler\", \"ph\": \"i\", \"s\": \"g\", \"pid\": \"Traces\",
             \"tid\": \"Trace PyTorch Profiler\", \"ts\": 12345.678}}]}}"
        );
        assert_eq!(begin_of(&text), Some(1_795_000_000_012_345_678));
        assert_eq!(begin_of("{}"), None);
        assert_eq!(begin_of(&text.replace("baseTime", "otherTime")), None);
        assert_eq!(begin_of("{\"baseTimeNanoseconds\": 5, \"x\": \"Iteration Start: é"), None);
    }

    #[test]
    fn decimals_are_exact() {
        let of = |text: &str| find_decimal_us(text, "\"ts\":");
        assert_eq!(of("\"ts\": 0.5}"), Some(500));
        assert_eq!(of("\"ts\":9007199254740993.001"), Some(9_007_199_254_740_993_001));
        assert_eq!(of("\"ts\": 9999999999999999999"), None);
        assert_eq!(of("\"ts\": x"), None);
    }
}
