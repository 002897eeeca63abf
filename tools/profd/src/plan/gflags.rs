//! Command lines of the existing daemons (dynolog c3a231a, msMonitor b942bf5). They use gflags, which accepts one dash
//! or two, underscores or hyphens, `--flag=true`, `--noflag` and `--flag value`.
//!
//! Options of theirs without a meaning here are ignored with a warning, and so are functions that are switched off. A
//! function that is switched on and that `profd` does not have is an error: a daemon without it would not do what it
//! was started for.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use anyhow::bail;
use common::error::HintExt;

/// Switches that both have.
const SWITCHES: [&str; 2] = ["enable-ipc-monitor", "use-json"];
/// Options with a value that both have.
const VALUES: [&str; 3] = ["port", "certs-dir", "metric-log-dir"];
/// Switches of the existing daemons for functions that `profd` does not have.
const MISSING_FUNCTIONS: [&str; 8] = [
    "enable-gpu-monitor",
    "enable-perf-monitor",
    "use-prometheus",
    "use-fbrelay",
    "use-ods",
    "use-scuba",
    "use-tensorboard",
    "enable-tcp-relay",
];
/// Switches of the existing daemons and of glog, their logging library, that have no effect here.
const IGNORED_SWITCHES: [&str; 8] = [
    "logtostderr",
    "alsologtostderr",
    "colorlogtostderr",
    "log-prefix",
    "logtostdout",
    "alsologtostdout",
    "timestamp-in-logfile-name",
    "stop-logging-if-full-disk",
];
/// Options with a value that have no effect here.
const IGNORED_VALUES: [&str; 14] = [
    "kernel-monitor-reporting-interval-s",
    "perf-monitor-reporting-interval-s",
    "dcgm-reporting-interval-s",
    "dcgm-fields",
    "dcgm-lib-path",
    "scribe-category",
    "minloglevel",
    "stderrthreshold",
    "v",
    "vmodule",
    "log-dir",
    "logbufsecs",
    "logbuflevel",
    "max-log-size",
];

/// Rewrites the options of the existing daemons to those of `profd`, and leaves everything else as it is.
pub(crate) fn rewrite_args(args: Vec<OsString>) -> Vec<OsString> {
    let mut out = Vec::with_capacity(args.len());
    let mut switches = SWITCHES.map(|name| (name, false));
    let mut args = args.into_iter();
    out.extend(args.next());
    let mut rest = Vec::new();
    while let Some(arg) = args.next() {
        if arg == "--" {
            rest.push(arg);
            rest.extend(args);
            break;
        }
        let Some(flag) = GflagsArg::parse(&arg) else {
            out.push(arg);
            continue;
        };
        let known = flag
            .match_switch(&SWITCHES)
            .and_then(|(on, switch)| Some((on, switches.iter_mut().find(|s| s.0 == switch)?)));
        if let Some((on, state)) = known {
            // gflags: the last occurrence counts.
            state.1 = on;
        } else if VALUES.contains(&flag.name.as_str()) {
            out.push(flag.to_profd_arg());
        } else if let Some((on, name)) =
            flag.match_switch(&MISSING_FUNCTIONS).or_else(|| flag.match_switch(&IGNORED_SWITCHES))
        {
            out.push(format!("--foreign-flag={name}={on}").into());
        } else if IGNORED_VALUES.contains(&flag.name.as_str()) {
            if flag.value.is_none() {
                args.next();
            }
            out.push(format!("--foreign-flag={}", flag.name).into());
        } else {
            out.push(arg);
        }
    }
    out.extend(switches.iter().filter(|s| s.1).map(|s| OsString::from(format!("--{}", s.0))));
    out.extend(rest);
    out
}

/// Returns the warning about an option that [`rewrite_args`] has marked as foreign.
///
/// # Errors
/// It switches on a function that `profd` does not have.
pub(crate) fn check_foreign_flag(flag: &str) -> anyhow::Result<String> {
    let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
    if MISSING_FUNCTIONS.contains(&name) && value == "true" {
        let no: anyhow::Result<String> = Err(anyhow::anyhow!("--{name}: profd does not have this function"));
        return no.hint("leave the option out");
    }
    if !MISSING_FUNCTIONS.contains(&name)
        && !IGNORED_SWITCHES.contains(&name)
        && !IGNORED_VALUES.contains(&name)
    {
        bail!("--foreign-flag is not an option of profd");
    }
    Ok(format!("--{name} has no effect here and is ignored"))
}

/// A long option, with its name in lower case and with hyphens.
struct GflagsArg {
    name: String,
    value: Option<OsString>,
}

impl GflagsArg {
    fn parse(arg: &OsStr) -> Option<Self> {
        let bytes = arg.as_bytes();
        let body = bytes.strip_prefix(b"--").or_else(|| {
            // One dash and one letter is a short option of `profd`, alone or joined with others.
            bytes.strip_prefix(b"-").filter(|b| b.len() > 2 || b.contains(&b'='))
        })?;
        let (name, value) = match body.iter().position(|b| *b == b'=') {
            Some(at) => (&body[..at], Some(OsStr::from_bytes(&body[at + 1..]).to_owned())),
            None => (body, None),
        };
        let name = std::str::from_utf8(name).ok()?.replace('_', "-");
        // use_JSON and use_ODS are the only names with capital letters.
        let name = if name.ends_with("JSON") || name.ends_with("ODS") { name.to_lowercase() } else { name };
        Some(Self { name, value })
    }

    /// Returns the state and the name if it switches one of `names` on or off.
    fn match_switch(&self, names: &[&'static str]) -> Option<(bool, &'static str)> {
        let find = |name: &str| names.iter().find(|n| **n == name).copied();
        if let Some(name) = find(&self.name) {
            let value = self.value.as_deref().map(|v| v.to_string_lossy().to_lowercase());
            return match value.as_deref() {
                None | Some("true" | "t" | "1" | "yes" | "y") => Some((true, name)),
                Some("false" | "f" | "0" | "no" | "n") => Some((false, name)),
                Some(_) => None,
            };
        }
        let name = self.name.strip_prefix("no")?;
        find(name.trim_start_matches('-')).filter(|_| self.value.is_none()).map(|name| (false, name))
    }

    /// Formats it as an option of `profd`.
    fn to_profd_arg(&self) -> OsString {
        let mut arg = OsString::from(format!("--{}", self.name));
        if let Some(value) = &self.value {
            arg.push("=");
            arg.push(value);
        }
        arg
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(line: &str) -> String {
        let out = rewrite_args(line.split(' ').map(OsString::from).collect());
        out.iter().map(|a| a.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn gflags_spellings_are_rewritten() {
        let expected =
            "profd --port=1 --certs-dir NO_CERTS --metric-log-dir=/m --enable-ipc-monitor --use-json";
        let line =
            "profd --enable_ipc_monitor=true -port=1 --certs_dir NO_CERTS --metric_log_dir=/m --use_JSON";
        assert_eq!(rewritten(line), expected);
        assert_eq!(rewritten("d -enable-ipc-monitor -use_JSON"), "d --enable-ipc-monitor --use-json");
        assert_eq!(rewritten("d --enable_ipc_monitor --noenable_ipc_monitor"), "d");
        assert_eq!(rewritten("d --use_JSON=false --enable_ipc_monitor=1"), "d --enable-ipc-monitor");
    }

    #[test]
    fn options_of_profd_are_not_changed() {
        for line in [
            "d -q -v --bind 127.0.0.1 --drain-timeout=1s",
            "d --nonsense",
            "d -vq",
            "d --use-json=perhaps",
            "d",
        ] {
            assert_eq!(rewritten(line), line);
        }
        assert_eq!(rewritten("d --use-json -- --use_JSON"), "d --use-json -- --use_JSON");
    }

    #[test]
    fn options_without_effect_are_ignored_and_missing_functions_are_errors() {
        assert_eq!(
            rewritten("d --minloglevel 2 --v=1 -q"),
            "d --foreign-flag=minloglevel --foreign-flag=v -q"
        );
        assert_eq!(rewritten("d --enable_gpu_monitor"), "d --foreign-flag=enable-gpu-monitor=true");
        assert_eq!(rewritten("d --nouse_ODS"), "d --foreign-flag=use-ods=false");
        assert!(check_foreign_flag("minloglevel").is_ok() && check_foreign_flag("use-ods=false").is_ok());
        assert!(check_foreign_flag("enable-gpu-monitor=true").is_err());
        assert!(check_foreign_flag("anything").is_err());
    }
}
