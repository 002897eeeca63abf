//! Options of the existing daemons that `profd` does not have: those of dynolog c3a231a, of msMonitor b942bf5, and of the
//! libraries that they link, gflags 2.2 and glog 0.6.

use std::ffi::{OsStr, OsString};

/// The name that makes the daemon behave as the existing ones where an option is missing.
const EXISTING_NAME: &str = "dynolog";

/// Returns whether a program that was called by this name starts as one of the existing daemons.
pub(super) fn is_existing_name(program: &str) -> bool {
    program.rsplit('/').next() == Some(EXISTING_NAME)
}

/// The kind of an option of an existing daemon.
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
    ("use-prometheus", "--http-listen 127.0.0.1:8080 --dynolog-names"),
    ("use-tensorboard", "--metric-log-dir DIR --metric-format tensorboard"),
];

/// Options that `profd` has under another name, and how their values are written there.
const TRANSLATIONS: &[(&str, &str, Translation)] = &[
    ("kernel-monitor-reporting-interval-s", "host-interval", Translation::Seconds),
    ("otlp-export-interval-ms", "otlp-interval", Translation::Milliseconds),
    ("otlp-ssl-ca-cert-path", "otlp-ca", Translation::AsItIs),
    ("otlp-ssl-client-cert-path", "otlp-cert", Translation::AsItIs),
    ("otlp-ssl-client-key-path", "otlp-key", Translation::AsItIs),
    ("otlp-timeout-ms", "otlp-timeout", Translation::Milliseconds),
];

/// Options whose values do not belong here, and what says the same.
const VALUE_HINTS: &[(&str, &str)] = &[
    // Headers have tokens, and every user of the host can read a command line (proc_pid_cmdline(5)).
    ("otlp-headers", "--otlp-header-file FILE"),
    ("otlp-max-queue-size", "--otlp-spool-size SIZE"),
    ("prometheus-address", "--http-listen ADDR:PORT"),
    ("prometheus-port", "--http-listen ADDR:PORT"),
];

/// How a value becomes one of `profd`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Translation {
    /// A whole number of seconds; 0 is none.
    Seconds,
    /// A whole number of milliseconds; 0 is none.
    Milliseconds,
    AsItIs,
}

/// Switches, and the option and value that do the same here.
const SWITCH_TRANSLATIONS: &[(&str, &str, &str)] = &[("enable-gpu-monitor", "device-metrics", "auto")];

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
    "dcgm-major-version",
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
    "otlp-export-interval-ms",
    "otlp-headers",
    "otlp-max-queue-size",
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

/// Returns the option and the value that do the same as a switch.
pub(super) fn translate_switch(switch: &str) -> Option<(&'static str, &'static str)> {
    SWITCH_TRANSLATIONS
        .iter()
        .find(|(name, _, _)| *name == switch)
        .map(|(_, option, value)| (*option, *value))
}

/// Returns what an option is, by its name with hyphens. An option of `profd` of the same name takes precedence.
pub(super) fn find(name: &str) -> Option<ForeignKind> {
    if EQUIVALENTS.iter().any(|(function, _)| *function == name) {
        return Some(ForeignKind::Switch);
    }
    let rows =
        [(FUNCTIONS, ForeignKind::Function), (SWITCHES, ForeignKind::Switch), (VALUES, ForeignKind::Value)];
    rows.iter().find(|(names, _)| names.contains(&name)).map(|(_, kind)| *kind)
}

/// An option with a value, translated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Translated {
    /// The option of `profd` that says the same, and its value.
    Value(&'static str, OsString),
    /// `profd` has the option, but not this value. The warning says so.
    Invalid(String),
    /// `profd` does not have the option.
    NotHere,
}

/// Translates an option with a value.
pub(super) fn translate(name: &str, value: &OsStr) -> Translated {
    let Some((_, own, how)) = TRANSLATIONS.iter().find(|(foreign, ..)| *foreign == name) else {
        return Translated::NotHere;
    };
    let number = |unit: &str| {
        let number = value.to_str()?.trim().parse::<u32>().ok().filter(|n| *n > 0)?;
        Some(format!("{number}{unit}").into())
    };
    let translated: Option<OsString> = match how {
        Translation::Seconds => number("s"),
        Translation::Milliseconds => number("ms"),
        Translation::AsItIs => Some(value.to_owned()).filter(|value| !value.is_empty()),
    };
    let expected = if *how == Translation::AsItIs { "a path" } else { "a whole number from 1" };
    match translated {
        Some(value) => Translated::Value(own, value),
        None => Translated::Invalid(format!(
            "--{name}={} is ignored: expected {expected}, and --{own} keeps its own value",
            value.to_string_lossy()
        )),
    }
}

/// Returns the warning about an option, given as `name=true` or `name=false`.
pub(crate) fn explain_foreign_flag(flag: &str) -> String {
    let (name, value) = flag.split_once('=').unwrap_or((flag, "true"));
    match find(name) {
        Some(ForeignKind::Function) if value == "true" => {
            format!("--{name}: profd does not have this function, and runs without it")
        }
        Some(_) => match EQUIVALENTS.iter().chain(VALUE_HINTS).find(|(function, _)| *function == name) {
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
        let missing = explain_foreign_flag("enable-tpu-monitor=true");
        assert_eq!(missing, "--enable-tpu-monitor: profd does not have this function, and runs without it");
        assert!(explain_foreign_flag("enable-tpu-monitor=false").contains("no effect here"));
        let other = explain_foreign_flag("use-tensorboard=true");
        assert!(other.starts_with("--use-tensorboard has no effect here and is ignored: --metric-log-dir"));
        assert!(!explain_foreign_flag("use-tensorboard=false").contains("metric-log-dir"));
        assert!(explain_foreign_flag("otlp-headers=true").contains("--otlp-header-file FILE"));
        assert!(explain_foreign_flag("minloglevel=true").contains("no effect here"));
        assert!(explain_foreign_flag("unheard-of=true").contains("unknown"));
    }

    #[test]
    fn values_are_translated_or_left_out() {
        let own = |name: &str, value: &str| match translate(name, value.as_ref()) {
            Translated::Value(own, value) => Some(format!("--{own}={}", value.display())),
            Translated::Invalid(warning) => {
                assert!(
                    warning.starts_with(&format!("--{name}={value} is ignored: expected a")),
                    "{warning}"
                );
                None
            }
            Translated::NotHere => panic!("{name}"),
        };
        assert_eq!(own("kernel-monitor-reporting-interval-s", "5").as_deref(), Some("--host-interval=5s"));
        assert_eq!(own("otlp-timeout-ms", "1500").as_deref(), Some("--otlp-timeout=1500ms"));
        assert_eq!(own("otlp-ssl-ca-cert-path", "/c").as_deref(), Some("--otlp-ca=/c"));
        for (name, value) in
            [("otlp-timeout-ms", "0"), ("otlp-timeout-ms", "x"), ("otlp-ssl-ca-cert-path", "")]
        {
            assert_eq!(own(name, value), None, "{name}={value}");
        }
        assert!(TRANSLATIONS.iter().all(|(name, ..)| find(name) == Some(ForeignKind::Value)));
        assert!(VALUE_HINTS.iter().all(|(name, _)| find(name) == Some(ForeignKind::Value)));
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
