//! One JSON line for each measurement.

use std::io::Write;
use std::time::Duration;

use serde_json::Value;

pub(crate) fn summarize(line: &mut Value, latencies: &mut [Duration], span: Duration) {
    latencies.sort_unstable();
    let at = |share: f64| {
        let last = latencies.len().saturating_sub(1);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an index into what was measured"
        )]
        let index = (last as f64 * share).round() as usize;
        latencies.get(index).map_or(0, Duration::as_micros)
    };
    let (p50, p99, max) = (at(0.5), at(0.99), at(1.0));
    line["n"] = latencies.len().into();
    line["per_s"] = (latencies.len() as u64 / span.as_secs()).into();
    line["p50_us"] = u64::try_from(p50).unwrap_or(u64::MAX).into();
    line["p99_us"] = u64::try_from(p99).unwrap_or(u64::MAX).into();
    line["max_us"] = u64::try_from(max).unwrap_or(u64::MAX).into();
}

pub(crate) fn say(line: &Value) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")?;
    Ok(stdout.flush()?)
}
