//! What the daemon shows of itself and of the processes that it serves.

use common::rpc::message::CertificateStatus;

use super::HttpContext;
use super::exposition::{FamilyKind, MetricPage};
use super::host_page::seconds_of_ticks;
use crate::host::{OwnUsage, read_own_usage};
use crate::sink::series::{SeriesKey, SeriesTable, SeriesTotal};

/// Adds the metrics of the daemon. `boot_time_s` is when the host was started, in seconds since 1970.
pub(super) fn add_daemon(page: &mut MetricPage, context: &HttpContext, boot_time_s: Option<u64>) {
    let state = &context.state;
    page.family("profd_build_info", FamilyKind::Gauge, "Version of the daemon; the value is 1.")
        .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    page.gauge(
        "profd_uptime_seconds",
        "Time since the start of the daemon.",
        state.time_since_start().as_secs_f64(),
    );
    let (processes, pending) = {
        let (registry, now) = (state.registry(), state.uptime());
        (registry.count_processes(now), registry.count_pending(now))
    };
    page.gauge("profd_registered_processes", "Processes that are registered.", processes);
    page.gauge("profd_pending_configs", "Configs that their processes have not fetched.", pending);
    for (name, value) in state.counters.list_totals() {
        let metric = format!("profd_{}_total", name.replace('.', "_"));
        page.counter(&metric, &format!("Counter {name} of `profctl status`."), value);
    }
    add_sinks(page, context);
    if let Some(certs) = &context.certs {
        add_certificates(page, &certs.certificate_status());
    }
    if let Some(usage) = read_own_usage() {
        add_own_usage(page, &usage, boot_time_s);
    }
}

fn add_sinks(page: &mut MetricPage, context: &HttpContext) {
    let help = "Metrics of processes that a sink has recorded.";
    let mut family = page.family("profd_sink_recorded_total", FamilyKind::Counter, help);
    for (kind, sink) in context.state.counters.list_sinks() {
        family.sample(&[("sink", kind.name())], sink.list()[0].1);
    }
    let help = "Metrics of processes that a sink has lost, by cause.";
    let mut family = page.family("profd_sink_lost_total", FamilyKind::Counter, help);
    for (kind, sink) in context.state.counters.list_sinks() {
        for (cause, lost) in &sink.list()[1..] {
            let cause = cause.trim_start_matches("dropped.");
            family.sample(&[("sink", kind.name()), ("cause", cause)], lost);
        }
    }
}

fn add_certificates(page: &mut MetricPage, status: &CertificateStatus) {
    let help = "Whether the last reload of the certificates succeeded.";
    page.gauge("profd_certificates_reload_success", help, u8::from(status.reload_failure.is_none()));
    let help = "What keeps clients out at present: expired certificates and CRLs, a wrong clock.";
    page.gauge("profd_certificates_problems", help, status.problems.len());
    let help = "CRLs in the directory that were not taken.";
    page.gauge("profd_crls_declined", help, status.declined_crls.len());
    let help = "Number of a CRL in use (RFC 5280, section 5.2.3).";
    let mut family = page.family("profd_crl_number", FamilyKind::Gauge, help);
    for crl in &status.crls {
        if let Some(number) = crl.number.as_deref().and_then(parse_hex) {
            family.sample(&[("issuer", &crl.issuer)], number);
        }
    }
    let help = "Time since thisUpdate of a CRL in use.";
    let mut family = page.family("profd_crl_age_seconds", FamilyKind::Gauge, help);
    for crl in &status.crls {
        family.sample(&[("issuer", &crl.issuer)], crl.age_s);
    }
    let help = "Certificates that a CRL in use revokes.";
    let mut family = page.family("profd_crl_revoked_certificates", FamilyKind::Gauge, help);
    for crl in &status.crls {
        family.sample(&[("issuer", &crl.issuer)], crl.revoked);
    }
}

/// Returns a hexadecimal number of any length, as exactly as a double is.
fn parse_hex(digits: &str) -> Option<f64> {
    digits.chars().try_fold(0.0, |n, c| Some(n * 16.0 + f64::from(c.to_digit(16)?)))
}

/// Adds what every client library of Prometheus shows of its process.
fn add_own_usage(page: &mut MetricPage, usage: &OwnUsage, boot_time_s: Option<u64>) {
    let help = "Total user and system CPU time spent in seconds.";
    page.counter("process_cpu_seconds_total", help, seconds_of_ticks(usage.cpu_ticks));
    page.gauge("process_resident_memory_bytes", "Resident memory size in bytes.", usage.resident_bytes);
    page.gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.", usage.virtual_bytes);
    page.gauge("process_open_fds", "Number of open file descriptors.", usage.open_files);
    page.gauge("process_threads", "Number of threads.", usage.threads);
    if let Some(boot) = boot_time_s {
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970")]
        let start = boot as f64 + seconds_of_ticks(usage.start_ticks);
        let help = "Start time of the process since unix epoch in seconds.";
        page.gauge("process_start_time_seconds", help, start);
    }
}

/// Adds what processes have sent.
pub(super) fn add_activities(page: &mut MetricPage, series: &SeriesTable) {
    let help =
        "Sum of the durations of all activities of a kind, as processes report it; overlaps count twice.";
    let mut family = page.family("profd_activity_seconds_total", FamilyKind::Counter, help);
    for (key, total) in series.iter() {
        with_labels(key, |labels| family.sample(labels, total.seconds()));
    }
    let help = "Metrics that processes have sent.";
    let mut family = page.family("profd_activity_reports_total", FamilyKind::Counter, help);
    for (key, SeriesTotal { reports, .. }) in series.iter() {
        with_labels(key, |labels| family.sample(labels, reports));
    }
}

fn with_labels(key: &SeriesKey, add: impl FnOnce(&[(&str, &str)])) {
    let number = |n: Option<i64>| n.map(|n| n.to_string()).unwrap_or_default();
    let device = if key.device_id < 0 { "host".to_owned() } else { key.device_id.to_string() };
    let (pid, uid, job) = (key.host_pid.to_string(), number(key.uid.map(i64::from)), number(key.job_id));
    add(&[
        ("kind", &key.kind),
        ("device", &device),
        ("pid", &pid),
        ("uid", &uid),
        ("job_id", &job),
        ("domain", key.domain.as_deref().unwrap_or_default()),
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_crls_may_be_long() {
        assert_eq!(parse_hex("0a"), Some(10.0));
        assert_eq!(parse_hex(&"f".repeat(40)), Some(16_f64.powi(40)));
        assert_eq!(parse_hex("x"), None);
    }
}
