//! Command lines of the existing daemons, taken as they are: gflags accepts one dash or two, underscores or
//! hyphens, `--flag=true`, `--noflag`, and `--flag value`.
//!
//! What they have and we do not: settings without a meaning here are ignored with a warning, and so are
//! functions that are switched off; a function that is switched on and that we do not have is an error, because
//! whoever gave it counts on it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use anyhow::bail;
use common::error::HintExt;

/// Switches that we share.
const SWITCHES: [&str; 2] = ["enable-ipc-monitor", "use-json"];
/// Values that we share.
const VALUES: [&str; 3] = ["port", "certs-dir", "metric-log-dir"];
/// Functions of theirs that we do not have.
const FUNCTIONS: [&str; 8] = [
    "enable-gpu-monitor",
    "enable-perf-monitor",
    "use-prometheus",
    "use-fbrelay",
    "use-ods",
    "use-scuba",
    "use-tensorboard",
    "enable-tcp-relay",
];
/// Switches of theirs and of their logging library that change nothing here.
const IDLE_SWITCHES: [&str; 8] = [
    "logtostderr",
    "alsologtostderr",
    "colorlogtostderr",
    "log-prefix",
    "logtostdout",
    "alsologtostdout",
    "timestamp-in-logfile-name",
    "stop-logging-if-full-disk",
];
/// Values likewise.
const IDLE_VALUES: [&str; 14] = [
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

/// Rewrites a command line of an existing daemon into ours; leaves everything else alone.
pub(crate) fn rewrite(args: Vec<OsString>) -> Vec<OsString> {
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
        let Some(flag) = Flag::read(&arg) else {
            out.push(arg);
            continue;
        };
        if let Some((on, switch)) = flag.switch(&SWITCHES)
            && let Some(state) = switches.iter_mut().find(|s| s.0 == switch)
        {
            // As in gflags, the last one counts.
            state.1 = on;
        } else if VALUES.contains(&flag.name.as_str()) {
            out.push(flag.ours());
        } else if let Some((on, name)) = flag.switch(&FUNCTIONS).or_else(|| flag.switch(&IDLE_SWITCHES)) {
            out.push(format!("--foreign-flag={name}={on}").into());
        } else if IDLE_VALUES.contains(&flag.name.as_str()) {
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

/// What to say about a foreign flag, as [`rewrite`] noted it.
///
/// # Errors
/// It switches on what we do not have.
pub(crate) fn judge(flag: &str) -> anyhow::Result<String> {
    let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
    if FUNCTIONS.contains(&name) && value == "true" {
        let no: anyhow::Result<String> = Err(anyhow::anyhow!("--{name}: profd does not have this function"));
        return no.hint("leave the option out");
    }
    if !FUNCTIONS.contains(&name) && !IDLE_SWITCHES.contains(&name) && !IDLE_VALUES.contains(&name) {
        bail!("--foreign-flag is not an option of profd");
    }
    Ok(format!("--{name} has no meaning here and is ignored"))
}

/// A long flag, its name in our spelling.
struct Flag {
    name: String,
    value: Option<OsString>,
}

impl Flag {
    fn read(arg: &OsStr) -> Option<Self> {
        let bytes = arg.as_bytes();
        let body = bytes.strip_prefix(b"--").or_else(|| {
            // One dash and one letter is a short option of ours, alone or joined with others.
            bytes.strip_prefix(b"-").filter(|b| b.len() > 2 || b.contains(&b'='))
        })?;
        let (name, value) = match body.iter().position(|b| *b == b'=') {
            Some(at) => (&body[..at], Some(OsStr::from_bytes(&body[at + 1..]).to_owned())),
            None => (body, None),
        };
        let name = std::str::from_utf8(name).ok()?.replace('_', "-");
        // The only capital letters in their flags are in use_JSON and use_ODS.
        let name = if name.ends_with("JSON") || name.ends_with("ODS") { name.to_lowercase() } else { name };
        Some(Self { name, value })
    }

    /// Whether it switches one of `names` on or off.
    fn switch(&self, names: &[&'static str]) -> Option<(bool, &'static str)> {
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

    /// In our spelling.
    fn ours(&self) -> OsString {
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
        let out = rewrite(line.split(' ').map(OsString::from).collect());
        out.iter().map(|a| a.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn their_spellings_become_ours() {
        let ours = "profd --port=1 --certs-dir NO_CERTS --metric-log-dir=/m --enable-ipc-monitor --use-json";
        let theirs =
            "profd --enable_ipc_monitor=true -port=1 --certs_dir NO_CERTS --metric_log_dir=/m --use_JSON";
        assert_eq!(rewritten(theirs), ours);
        assert_eq!(rewritten("d -enable-ipc-monitor -use_JSON"), "d --enable-ipc-monitor --use-json");
        assert_eq!(rewritten("d --enable_ipc_monitor --noenable_ipc_monitor"), "d");
        assert_eq!(rewritten("d --use_JSON=false --enable_ipc_monitor=1"), "d --enable-ipc-monitor");
    }

    #[test]
    fn ours_stay_as_they_are() {
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
    fn what_we_do_not_have_is_ignored_or_refused() {
        assert_eq!(
            rewritten("d --minloglevel 2 --v=1 -q"),
            "d --foreign-flag=minloglevel --foreign-flag=v -q"
        );
        assert_eq!(rewritten("d --enable_gpu_monitor"), "d --foreign-flag=enable-gpu-monitor=true");
        assert_eq!(rewritten("d --nouse_ODS"), "d --foreign-flag=use-ods=false");
        assert!(judge("minloglevel").is_ok() && judge("use-ods=false").is_ok());
        assert!(judge("enable-gpu-monitor=true").is_err());
        assert!(judge("anything").is_err());
    }
}
