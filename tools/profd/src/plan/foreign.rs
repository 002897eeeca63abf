//! Options of the existing daemons that `profd` does not have: those of dynolog c3a231a, of msMonitor b942bf5, and of the
//! libraries that they link, gflags 2.2 and glog 0.6.

/// What an option of an existing daemon is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ForeignKind {
    /// Switches a function on that `profd` does not have.
    Function,
    /// Switches a detail that does not exist here.
    Switch,
    /// Has a value.
    Value,
}

impl ForeignKind {
    pub(super) fn is_switch(self) -> bool {
        self != Self::Value
    }
}

const FUNCTIONS: &[&str] = &[
    "enable-gpu-monitor",
    "enable-perf-monitor",
    "enable-tcp-relay",
    "enable-tpu-monitor",
    "use-fbrelay",
    "use-ods",
    "use-otel",
    "use-otel-for-kernel-monitor",
    "use-scuba",
];

/// Functions that other options switch on, which say more: dynolog's serves everybody in plain text, for example.
const EQUIVALENTS: &[(&str, &str)] = &[
    ("use-otlp", "--otlp-endpoint URL"),
    ("use-prometheus", "--http-listen 127.0.0.1:8080 --dynolog-names"),
    ("use-tensorboard", "--metric-log-dir DIR --metric-format tensorboard"),
];

const SWITCHES: &[&str] = &[
    "alsologtoemail",
    "alsologtostderr",
    "alsologtostdout",
    "colorlogtostderr",
    "colorlogtostdout",
    "drop-log-memory",
    "enable-env-var-attribution",
    "enable-pod-resources-attribution",
    "filter-nic-interfaces",
    "log-file-header",
    "log-prefix",
    "log-utc-time",
    "log-year-in-prefix",
    "logtostderr",
    "logtostdout",
    "stop-logging-if-full-disk",
    "symbolize-stacktrace",
    "timestamp-in-logfile-name",
];

const VALUES: &[&str] = &[
    "access-token",
    "allow-interface-prefixes",
    "category-id",
    "certificate-path",
    "dcgm-fields",
    "dcgm-lib-path",
    "dcgm-major-version",
    "dcgm-reporting-interval-s",
    "dcgm-standalone-address",
    "env-attribution-mappings-file",
    "fbrelay-address",
    "fbrelay-port",
    "kernel-monitor-reporting-interval-s",
    "log-backtrace-at",
    "log-dir",
    "log-link",
    "logbuflevel",
    "logbufsecs",
    "logcleansecs",
    "logemaillevel",
    "logfile-mode",
    "logmailer",
    "max-keep-age-seconds",
    "max-keep-samples",
    "max-log-size",
    "minloglevel",
    "ods-entity-prefix",
    "otel-endpoint",
    "otel-metric-mappings-file",
    "otel-resource-attrs",
    "otel-resource-env-file",
    "otlp-endpoint",
    "otlp-headers",
    "otlp-max-queue-size",
    "otlp-service-name",
    "otlp-ssl-ca-cert-path",
    "otlp-ssl-client-cert-path",
    "otlp-ssl-client-key-path",
    "otlp-timeout-ms",
    "perf-monitor-reporting-interval-s",
    "pod-resources-gpu-resource",
    "pod-resources-socket",
    "pod-resources-tpu-resource",
    "prometheus-address",
    "prometheus-port",
    "scribe-category",
    "stderrthreshold",
    "tab-completion-columns",
    "tab-completion-word",
    "tpu-device-plugin-url",
    "tpu-reporting-interval-s",
    "tpu-scrape-timeout-ms",
    "undefok",
    "update-interval-ms",
    "v",
    "vmodule",
];

/// Returns what an option is, by its name with hyphens. An option of `profd` of the same name goes first.
pub(super) fn find(name: &str) -> Option<ForeignKind> {
    if EQUIVALENTS.iter().any(|(function, _)| *function == name) {
        return Some(ForeignKind::Switch);
    }
    let rows =
        [(FUNCTIONS, ForeignKind::Function), (SWITCHES, ForeignKind::Switch), (VALUES, ForeignKind::Value)];
    rows.iter().find(|(names, _)| names.contains(&name)).map(|(_, kind)| *kind)
}

/// Returns the warning about an option, given as `name=true` or `name=false`.
pub(crate) fn explain_foreign_flag(flag: &str) -> String {
    let (name, value) = flag.split_once('=').unwrap_or((flag, "true"));
    match find(name) {
        Some(ForeignKind::Function) if value == "true" => {
            format!("--{name}: profd does not have this function, and runs without it")
        }
        Some(_) => match EQUIVALENTS.iter().find(|(function, _)| *function == name) {
            Some((_, options)) if value == "true" => {
                format!("--{name} has no effect here and is ignored: {options} does it")
            }
            _ => format!("--{name} has no effect here and is ignored"),
        },
        // Of a flag file: gflags ignores it there without a word.
        None => format!("--{name} is unknown and is ignored"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_that_is_missing_is_said_and_a_switch_that_is_off_is_not() {
        let missing = explain_foreign_flag("enable-gpu-monitor=true");
        assert_eq!(missing, "--enable-gpu-monitor: profd does not have this function, and runs without it");
        assert!(explain_foreign_flag("enable-gpu-monitor=false").contains("no effect here"));
        let other = explain_foreign_flag("use-otlp=true");
        assert_eq!(other, "--use-otlp has no effect here and is ignored: --otlp-endpoint URL does it");
        assert!(!explain_foreign_flag("use-otlp=false").contains("endpoint"));
        assert!(explain_foreign_flag("minloglevel=true").contains("no effect here"));
        assert!(explain_foreign_flag("unheard-of=true").contains("unknown"));
    }

    #[test]
    fn names_stand_once() {
        let mut all: Vec<_> = [FUNCTIONS, SWITCHES, VALUES].concat();
        let n = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), n);
    }
}
