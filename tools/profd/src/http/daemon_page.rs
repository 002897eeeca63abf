//! The metrics of the daemon itself and of the processes that it serves.

use common::rpc::message::{CertificateStatus, CrlStatus};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::HttpContext;
use super::exposition::{FamilyKind, MetricPage};
use super::host_page::seconds_of_ticks;
use crate::core::process_scope::ProcessScope;
use crate::host::{OwnUsage, read_own_usage};
use crate::sink::series::{SeriesKey, SeriesTable, SeriesTotal};
use crate::state::RulesState;

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
    add_deliveries(page, context);
    if let rules @ (RulesState::InUse | RulesState::Former { .. }) = state.rules_state() {
        let help = "Whether the access rules in use are those of the rules file.";
        page.gauge("profd_rules_reload_success", help, u8::from(rules == RulesState::InUse));
    }
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

fn add_deliveries(page: &mut MetricPage, context: &HttpContext) {
    let deliveries: Vec<_> = context.state.counters.list_deliveries().collect();
    let help = "Metrics of processes that wait until a sink has recorded them.";
    let mut family = page.family("profd_sink_waiting_metrics", FamilyKind::Gauge, help);
    for (kind, delivery) in &deliveries {
        family.sample(&[("sink", kind.name())], delivery.waiting);
    }
    let help = "Time since a sink that is sent to last took something, or since the start.";
    let mut family = page.family("profd_sink_last_success_age_seconds", FamilyKind::Gauge, help);
    for (kind, delivery) in &deliveries {
        family.sample(&[("sink", kind.name())], delivery.success_age.as_secs_f64());
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
            family.sample(&labels_of_crl(crl), number);
        }
    }
    let help = "Time since thisUpdate of a CRL in use.";
    let mut family = page.family("profd_crl_age_seconds", FamilyKind::Gauge, help);
    for crl in &status.crls {
        family.sample(&labels_of_crl(crl), crl.age_s);
    }
    // As seconds since 1970, which is how Prometheus compares with time() (prometheus.io, "Metric and label naming").
    let help =
        "nextUpdate of a CRL in use, after which clients of its CA are rejected, in seconds since 1970.";
    let name = "profd_crl_next_update_timestamp_seconds";
    let mut family = page.family(name, FamilyKind::Gauge, help);
    for crl in &status.crls {
        if let Some(due) = crl.next_update.as_deref().and_then(parse_unix_time) {
            family.sample(&labels_of_crl(crl), due);
        }
    }
    let help = "notAfter of the daemon's certificate (leaf) and of the trust anchors, in seconds since 1970.";
    let name = "profd_certificate_expiration_timestamp_seconds";
    let mut family = page.family(name, FamilyKind::Gauge, help);
    let roots = status.roots.iter().map(|root| ("trust_anchor", root));
    for (role, cert) in status.leaf.iter().map(|leaf| ("leaf", leaf)).chain(roots) {
        if let Some(end) = parse_unix_time(&cert.not_after) {
            family.sample(&[("role", role), ("subject", &cert.subject), ("serial", &cert.serial)], end);
        }
    }
    let help = "Certificates that a CRL in use revokes.";
    let mut family = page.family("profd_crl_revoked_certificates", FamilyKind::Gauge, help);
    for crl in &status.crls {
        family.sample(&labels_of_crl(crl), crl.revoked);
    }
}

/// Returns the labels of a CRL: its issuer, and which of those CAs that have one name, while their keys are exchanged.
fn labels_of_crl(crl: &CrlStatus) -> [(&str, &str); 2] {
    [("issuer", &crl.issuer), ("authority_key_id", crl.authority_key_id.as_deref().unwrap_or_default())]
}

/// Returns a time of RFC 3339 in seconds since 1970.
fn parse_unix_time(text: &str) -> Option<i64> {
    OffsetDateTime::parse(text, &Rfc3339).ok().map(OffsetDateTime::unix_timestamp)
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

/// Adds what the processes in `scope` have sent.
pub(super) fn add_activities(page: &mut MetricPage, series: &SeriesTable, scope: &ProcessScope) {
    let shown: Vec<_> = series.iter().filter(|(key, _)| key.is_in(scope)).collect();
    let help =
        "Sum of the durations of all activities of a kind, as processes report it; overlaps count twice.";
    let mut family = page.family("profd_activity_seconds_total", FamilyKind::Counter, help);
    for (key, total) in &shown {
        with_labels(key, |labels| family.sample(labels, total.seconds()));
    }
    let help = "Metrics that processes have sent.";
    let mut family = page.family("profd_activity_reports_total", FamilyKind::Counter, help);
    for (key, SeriesTotal { reports, .. }) in &shown {
        with_labels(key, |labels| family.sample(labels, reports));
    }
}

fn with_labels(key: &SeriesKey, add: impl FnOnce(&[(&str, &str)])) {
    let number = |n: Option<i64>| n.map(|n| n.to_string()).unwrap_or_default();
    let device = if key.device_id < 0 { "host".to_owned() } else { key.device_id.to_string() };
    let (pid, uid, job) = (key.host_pid.to_string(), number(key.uid.map(i64::from)), number(key.job_id));
    let mut labels: Vec<(&str, &str)> = vec![
        ("kind", &key.kind),
        ("device", &device),
        ("pid", &pid),
        ("uid", &uid),
        ("job_id", &job),
        ("domain", key.domain.as_deref().unwrap_or_default()),
    ];
    labels.extend(key.labels());
    add(&labels);
}

#[cfg(test)]
mod tests {
    use common::rpc::message::CertificateSummary;

    use super::*;

    #[test]
    fn numbers_of_crls_may_be_long() {
        assert_eq!(parse_hex("0a"), Some(10.0));
        assert_eq!(parse_hex(&"f".repeat(40)), Some(16_f64.powi(40)));
        assert_eq!(parse_hex("x"), None);
    }

    #[test]
    fn what_expires_has_its_time() {
        let certificate = |subject: &str, not_after: &str| CertificateSummary {
            subject: subject.to_owned(),
            serial: "4f".to_owned(),
            not_after: not_after.to_owned(),
            ..CertificateSummary::default()
        };
        let crl = CrlStatus {
            issuer: "CN=ca".to_owned(),
            authority_key_id: Some("0a".to_owned()),
            next_update: Some("2027-02-21T09:00:00Z".to_owned()),
            ..CrlStatus::default()
        };
        // The key of the CA has changed, and its name has not.
        let next = CrlStatus { authority_key_id: Some("0b".to_owned()), ..crl.clone() };
        let endless = CrlStatus { issuer: "CN=other".to_owned(), ..CrlStatus::default() };
        let status = CertificateStatus {
            crls: vec![crl, next, endless],
            leaf: Some(certificate("CN=node1", "2027-02-21T09:00:01Z")),
            roots: vec![certificate("CN=ca", "2049-12-31T23:59:59Z")],
            ..CertificateStatus::default()
        };
        let mut page = MetricPage::default();
        add_certificates(&mut page, &status);
        let text = page.into_text();
        let lines: Vec<&str> = text.lines().filter(|line| line.contains("timestamp_seconds{")).collect();
        let expected = [
            r#"profd_crl_next_update_timestamp_seconds{issuer="CN=ca",authority_key_id="0a"} 1803200400"#,
            r#"profd_crl_next_update_timestamp_seconds{issuer="CN=ca",authority_key_id="0b"} 1803200400"#,
            r#"profd_certificate_expiration_timestamp_seconds{role="leaf",subject="CN=node1",serial="4f"} 1803200401"#,
            r#"profd_certificate_expiration_timestamp_seconds{role="trust_anchor",subject="CN=ca",serial="4f"} 2524607999"#,
        ];
        assert_eq!(lines, expected);
    }
}
