//! Command lines of the existing daemons (dynolog c3a231a, msMonitor b942bf5). They use gflags 2.2, which accepts one
//! dash or two, underscores or hyphens, `--flag=true`, `--noflag`, `--flag value` and `--flagfile=FILE`.
//!
//! Every option of theirs is taken. What `profd` has, under the same name or another, is done; all else is ignored with a warning, also
//! a function that it does not have: a service that ends at once would be restarted for ever, and serve nobody.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::argument::{Argument, OptionTable};
use super::flag_file::{FlagFileLimit, GflagsFileReader, MAX_SOURCES};
use super::foreign::{self, ForeignKind, Translated};

/// Reads a command line, or the options of a flag file.
pub(super) struct ArgumentReader<'a> {
    pub(super) options: &'a OptionTable,
    /// The name that the program was called by, which sections of flag files are for.
    pub(super) program: &'a str,
    pub(super) arguments: Vec<Argument>,
    /// How many flag files and variables were read until now.
    pub(super) sources: usize,
}

/// Where options come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OptionSource {
    CommandLine,
    /// A line of a flag file: unknown options are ignored there, as gflags does, and a value never stands on the next
    /// line.
    FlagFile {
        depth: usize,
    },
}

impl ArgumentReader<'_> {
    /// Reads arguments after the name of the program.
    ///
    /// # Errors
    /// A flag file cannot be read, or a variable that has to be there is missing.
    pub(super) fn read(&mut self, args: Vec<OsString>, source: OptionSource) -> anyhow::Result<()> {
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            if arg == "--" {
                self.arguments.push(Argument::Other(arg));
                self.arguments.extend(args.by_ref().map(Argument::Other));
                break;
            }
            match GflagsArg::parse(&arg) {
                Some(flag) => self.read_flag(flag, arg, &mut args, source)?,
                None if source == OptionSource::CommandLine => self.arguments.push(Argument::Other(arg)),
                None => {}
            }
        }
        Ok(())
    }

    fn read_flag(
        &mut self,
        flag: GflagsArg,
        typed: OsString,
        rest: &mut dyn Iterator<Item = OsString>,
        source: OptionSource,
    ) -> anyhow::Result<()> {
        let is_known_value = self.options.has_value(&flag.name)
            || foreign::find(&flag.name) == Some(ForeignKind::Value)
            || flag.is_special();
        if is_known_value {
            let value = match (&flag.value, source) {
                (Some(value), _) => Some(value.clone()),
                (None, OptionSource::CommandLine) => rest.next(),
                (None, OptionSource::FlagFile { .. }) => None,
            };
            return self.take_value(&flag.name, value, typed, source);
        }
        if let Some((is_on, name)) = flag.match_switch(|name| self.options.has_switch(name)) {
            self.arguments.push(Argument::Switch { name, is_on });
        } else if let Some((is_on, name)) =
            flag.match_switch(|name| foreign::translate_switch(name).is_some())
        {
            self.translate_switch(&name, is_on);
        } else if let Some((is_on, name)) =
            flag.match_switch(|name| foreign::find(name).is_some_and(ForeignKind::is_switch))
        {
            self.arguments.push(Argument::Foreign { name, is_on });
        } else if let Some(warning) = self.explain_invalid_switch(&flag, &typed, source) {
            self.arguments.push(Argument::Warning(warning));
        } else if matches!(flag.name.as_str(), "helpfull" | "helpshort" | "helpon" | "helpmatch" | "helpxml")
        {
            self.arguments.push(Argument::Other("--help".into()));
        } else if source == OptionSource::CommandLine {
            self.arguments.push(Argument::Other(typed));
        } else {
            self.arguments.push(Argument::Foreign { name: flag.name, is_on: true });
        }
        Ok(())
    }

    /// Returns the warning about a switch whose value is not a boolean. One of `profd` itself is left to the parser of the command
    /// line, unless it starts as one of the existing daemons.
    fn explain_invalid_switch(
        &self,
        flag: &GflagsArg,
        typed: &OsStr,
        source: OptionSource,
    ) -> Option<String> {
        flag.value.as_ref()?;
        let may_reject = source == OptionSource::CommandLine && !foreign::is_existing_name(self.program);
        let is_foreign = |name: &str| {
            foreign::translate_switch(name).is_some()
                || foreign::find(name).is_some_and(ForeignKind::is_switch)
        };
        let is_switch = |name: &str| is_foreign(name) || self.options.has_switch(name) && !may_reject;
        let off = flag.name.strip_prefix("no").map(|name| name.trim_start_matches('-'));
        let expected = match off {
            _ if is_switch(&flag.name) => "expected true or false",
            Some(name) if is_switch(name) => "expected no value",
            _ => return None,
        };
        Some(format!("{} is ignored: {expected}", typed.to_string_lossy()))
    }

    /// Adds the option that does the same, or takes it away again: the last one of a switch counts.
    fn translate_switch(&mut self, switch: &str, is_on: bool) {
        let Some((option, value)) = foreign::translate_switch(switch) else { return };
        let same = Argument::Value { name: option.to_owned(), value: value.into() };
        self.arguments.retain(|argument| *argument != same);
        if is_on {
            self.arguments.push(same);
        }
    }

    fn take_value(
        &mut self,
        name: &str,
        value: Option<OsString>,
        typed: OsString,
        source: OptionSource,
    ) -> anyhow::Result<()> {
        let Some(value) = value else {
            // The command line ends here: clap says what is missing.
            if source == OptionSource::CommandLine {
                self.arguments.push(Argument::Other(typed));
            }
            return Ok(());
        };
        let list = || value.to_string_lossy().into_owned();
        match name {
            "flagfile" => self.read_flag_files(&list(), source),
            "fromenv" | "tryfromenv" => self.read_variables(&list(), name == "fromenv", source),
            // gflags: an empty path is none.
            _ if self.options.has_value(name) && value.is_empty() => Ok(()),
            _ if self.options.has_value(name) => {
                self.arguments.push(Argument::Value { name: name.to_owned(), value });
                Ok(())
            }
            _ => {
                let value = value.as_os_str();
                self.arguments.push(match foreign::translate(name, value) {
                    Translated::Value(own, value) => Argument::Value { name: own.to_owned(), value },
                    Translated::Invalid(warning) => Argument::Warning(warning),
                    Translated::NotHere => Argument::Foreign { name: name.to_owned(), is_on: true },
                });
                Ok(())
            }
        }
    }

    fn read_flag_files(&mut self, paths: &str, source: OptionSource) -> anyhow::Result<()> {
        let depth = match source {
            OptionSource::CommandLine => 1,
            OptionSource::FlagFile { depth } => depth + 1,
        };
        for path in paths.split(',').filter(|path| !path.is_empty()) {
            self.count_source()?;
            let reader = GflagsFileReader { program: self.program, depth };
            let content = reader.read(path.as_ref()).map_err(|e| match e.downcast::<FlagFileLimit>() {
                Ok(limit) => anyhow::anyhow!("--flagfile {path}: {limit}"),
                Err(e) => e.context(format!("--flagfile {path}")),
            })?;
            if let Some(skipped) = &content.skipped {
                let reason = skipped.describe(self.program.rsplit('/').next().unwrap_or_default());
                self.arguments.push(Argument::Warning(format!("{path}:{}: {reason}", skipped.line)));
            }
            self.read(content.options, OptionSource::FlagFile { depth })?;
        }
        Ok(())
    }

    /// Counts a flag file or a variable: they may name each other, and a variable itself.
    fn count_source(&mut self) -> Result<(), FlagFileLimit> {
        self.sources += 1;
        if self.sources > MAX_SOURCES { Err(FlagFileLimit::Sources) } else { Ok(()) }
    }

    /// Takes options from the variables `FLAGS_name`, as `--fromenv=name,name` asks for.
    fn read_variables(&mut self, names: &str, required: bool, source: OptionSource) -> anyhow::Result<()> {
        for name in names.split(',').filter(|name| !name.is_empty()) {
            let variable = format!("FLAGS_{name}");
            match std::env::var_os(&variable) {
                Some(value) => {
                    self.count_source()?;
                    let mut arg = OsString::from(format!("--{name}="));
                    arg.push(value);
                    self.read(vec![arg], source)?;
                }
                None if required => anyhow::bail!("--fromenv {name}: {variable} is not set"),
                None => {}
            }
        }
        Ok(())
    }
}

/// A long option, with its name in lower case and with hyphens.
#[derive(Debug)]
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

    /// Returns whether it is one of the options of gflags itself that bring in others.
    fn is_special(&self) -> bool {
        matches!(self.name.as_str(), "flagfile" | "fromenv" | "tryfromenv")
    }

    /// Returns the state and the name if it switches one of the switches on or off.
    fn match_switch(&self, is_switch: impl Fn(&str) -> bool) -> Option<(bool, String)> {
        if is_switch(&self.name) {
            let value = self.value.as_deref().map(|v| v.to_string_lossy().to_lowercase());
            return match value.as_deref() {
                None | Some("true" | "t" | "1" | "yes" | "y") => Some((true, self.name.clone())),
                Some("false" | "f" | "0" | "no" | "n") => Some((false, self.name.clone())),
                Some(_) => None,
            };
        }
        let name = self.name.strip_prefix("no")?.trim_start_matches('-');
        (is_switch(name) && self.value.is_none()).then(|| (false, name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use crate::Cli;
    use crate::plan::arguments::collect_arguments;

    fn rewritten(line: &str) -> String {
        let args = line.split(' ').map(std::ffi::OsString::from).collect();
        let out = collect_arguments(args, &Cli::command()).unwrap();
        out.iter().map(|a| a.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn gflags_spellings_are_rewritten() {
        let expected =
            "profd --port=1 --certs-dir=NO_CERTS --metric-log-dir=/m --enable-ipc-monitor --use-json";
        let line =
            "profd --enable_ipc_monitor=true -port=1 --certs_dir NO_CERTS --metric_log_dir=/m --use_JSON";
        assert_eq!(sorted(&rewritten(line)), sorted(expected));
        assert_eq!(rewritten("d -enable-ipc-monitor -use_JSON"), "d --enable-ipc-monitor --use-json");
        assert_eq!(rewritten("d --enable_ipc_monitor --noenable_ipc_monitor"), "d");
        assert_eq!(rewritten("d --use_JSON=false --enable_ipc_monitor=1"), "d --enable-ipc-monitor");
        assert_eq!(rewritten("d --noenable_ipc_monitor --port 1 --port=2"), "d --port=2");
        assert_eq!(rewritten("d --metric_log_dir= --bind ::1 --bind ::2"), "d --bind=::1 --bind=::2");
    }

    fn sorted(line: &str) -> Vec<&str> {
        let mut words: Vec<_> = line.split(' ').collect();
        words.sort_unstable();
        words
    }

    #[test]
    fn options_of_profd_mean_the_same_and_unknown_ones_stay() {
        assert_eq!(
            rewritten("d -q -v --bind 127.0.0.1 --drain-timeout=1s"),
            "d --bind=127.0.0.1 --drain-timeout=1s -q -v"
        );
        for line in ["d --nonsense", "d -vq", "d --use-json=perhaps", "d", "d --port"] {
            assert_eq!(rewritten(line), line);
        }
        assert_eq!(rewritten("d --use-json -- --use_JSON"), "d --use-json -- --use_JSON");
        assert_eq!(rewritten("d --helpfull"), "d --help");
    }

    #[test]
    fn options_of_the_existing_daemons_are_marked_once() {
        assert_eq!(
            rewritten("d --minloglevel 2 --v=1 -q --minloglevel=0"),
            "d --foreign-flag=v=true --foreign-flag=minloglevel=true -q"
        );
        assert_eq!(rewritten("d --enable_tpu_monitor"), "d --foreign-flag=enable-tpu-monitor=true");
        assert_eq!(rewritten("d --nouse_ODS"), "d --foreign-flag=use-ods=false");
        assert_eq!(rewritten("d --dcgm_fields 100,155"), "d --foreign-flag=dcgm-fields=true");
        assert_eq!(
            rewritten("d --kernel_monitor_reporting_interval_s=5 --otlp_timeout_ms 900 --use_otlp"),
            "d --host-interval=5s --otlp-timeout=900ms --use-otlp"
        );
        assert_eq!(rewritten("d --otlp_headers=a=b"), "d --foreign-flag=otlp-headers=true");
        let wrong = rewritten("d --kernel_monitor_reporting_interval_s=abc --otlp_timeout_ms=-5");
        assert!(
            wrong.starts_with("d --option-warning=--kernel-monitor-reporting-interval-s=abc is ignored"),
            "{wrong}"
        );
        assert!(wrong.contains("--option-warning=--otlp-timeout-ms=-5 is ignored"), "{wrong}");
    }

    #[test]
    fn a_switch_with_a_value_that_is_not_boolean_is_not_unknown() {
        for (option, expected) in [
            ("--enable_gpu_monitor=maybe", "expected true or false"),
            ("--use_ODS=2", "expected true or false"),
            ("--logtostderr=", "expected true or false"),
            ("--noenable_gpu_monitor=true", "expected no value"),
        ] {
            let warning = format!("d --option-warning={option} is ignored: {expected}");
            assert_eq!(rewritten(&format!("d {option}")), warning);
        }
        // A switch of profd is its own to explain, unless nothing may keep the daemon from starting.
        assert_eq!(rewritten("d --use_json=perhaps"), "d --use_json=perhaps");
        let existing = rewritten("/x/dynolog --certs_dir=/c --use_JSON=perhaps");
        assert!(
            existing.contains("--option-warning=--use_JSON=perhaps is ignored: expected true"),
            "{existing}"
        );
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("flags");
        std::fs::write(&file, "--enable_gpu_monitor=maybe\n--enable_ipc_monitor=maybe\n").unwrap();
        let of_file = rewritten(&format!("d --flagfile={}", file.display()));
        assert_eq!(of_file.matches("=maybe is ignored: expected true or false").count(), 2, "{of_file}");
    }

    #[test]
    fn gpus_are_monitored_by_the_switch_of_dynolog() {
        assert_eq!(rewritten("d --enable_gpu_monitor"), "d --device-metrics=auto");
        assert_eq!(rewritten("d --enable_gpu_monitor=true --noenable_gpu_monitor"), "d");
        assert_eq!(
            rewritten("d --noenable_gpu_monitor --device-metrics=dcmi --enable_gpu_monitor"),
            "d --device-metrics=dcmi --device-metrics=auto"
        );
        assert_eq!(
            rewritten("d --dcgm_reporting_interval_s 10 --dcgm_lib_path=/l --enable_perf_monitor"),
            "d --dcgm-reporting-interval-s=10 --dcgm-lib-path=/l --enable-perf-monitor"
        );
    }

    #[test]
    fn no_value_keeps_an_existing_daemon_from_starting() {
        let dir = tempfile::tempdir().unwrap();
        let open = dir.path().join("open");
        std::fs::create_dir(&open).unwrap();
        std::fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let open = format!("--metric_log_dir={}", open.display());
        for option in [
            "--dcgm_reporting_interval_s=0",
            "--kernel_monitor_reporting_interval_s=4000000000",
            "--dcgm_standalone_address=localhost:99999",
            "--dcgm_standalone_address=unix:///run/x",
            "--otlp_ssl_ca_cert_path=/nonexistent",
            "--otlp_ssl_client_cert_path=/dev/null",
            "--metric_log_dir=/nonexistent/m",
            &open,
        ] {
            let line = rewritten(&format!("/x/dynolog --certs_dir=/c {option}"));
            let (before, warning) = line.split_once("--option-warning=").unwrap_or((&line, ""));
            assert!(warning.contains("is ignored"), "{line}");
            assert!(before.ends_with("/x/dynolog ") || before.ends_with("--certs-dir=/c "), "{line}");
            let own = rewritten(&format!("/x/profd --certs_dir=/c {option}"));
            assert!(!own.contains("--option-warning"), "profd says what is wrong: {own}");
        }
        let fine =
            rewritten("/x/dynolog --certs_dir=/c --dcgm_reporting_interval_s=5 --dcgm_standalone_address=h");
        assert!(!fine.contains("--option-warning"), "{fine}");
    }

    #[test]
    fn an_existing_daemon_needs_no_certificates() {
        assert_eq!(
            rewritten("/usr/bin/dynolog --certs_dir=/c"),
            "/usr/bin/dynolog --certs-dir=/c --host-metrics"
        );
        let without = rewritten("/usr/local/bin/dynolog --port=1");
        let default = if std::path::Path::new(crate::plan::arguments::DEFAULT_CERTS_DIR).is_dir() {
            crate::plan::arguments::DEFAULT_CERTS_DIR
        } else {
            "NO_CERTS"
        };
        assert_eq!(without, format!("/usr/local/bin/dynolog --port=1 --certs-dir={default} --host-metrics"));
    }
}
