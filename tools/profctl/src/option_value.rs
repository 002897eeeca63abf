//! The values of options: closed sets as they are spelled on the wire, lists, numbers.
//!
//! The sets and limits are those of msMonitor's client (`dyno`, b942bf5).

use std::fmt;
use std::time::Duration;

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, ValueEnum};
use common::duration::parse_duration;
use common::rpc::config::{Config, TRACE_ID};
use common::rpc::message::MAX_PIDS;

/// Declares a closed set whose names are those of the wire protocol.
macro_rules! wire_enum {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $wire:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
        pub(crate) enum $name {
            $(#[value(name = $wire)] $variant,)*
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $wire,)* })
            }
        }
    };
}

wire_enum! {
    /// The sides that nputrace records.
    Activities { CpuNpu = "CPU,NPU", NpuCpu = "NPU,CPU", Cpu = "CPU", Npu = "NPU" }
}
wire_enum! {
    /// The level of detail of nputrace.
    ProfilerLevel { Level0 = "Level0", Level1 = "Level1", Level2 = "Level2", None = "Level_none" }
}
wire_enum! {
    /// The AI core metrics that nputrace collects.
    AicMetrics {
        AiCoreNone = "AiCoreNone",
        PipeUtilization = "PipeUtilization",
        ArithmeticUtilization = "ArithmeticUtilization",
        Memory = "Memory",
        MemoryL0 = "MemoryL0",
        ResourceConflictRatio = "ResourceConflictRatio",
        MemoryUb = "MemoryUB",
        L2Cache = "L2Cache",
        MemoryAccess = "MemoryAccess",
    }
}
wire_enum! {
    /// The format of a trace that nputrace has analyzed.
    TraceExport { Text = "Text", Db = "Db" }
}
wire_enum! {
    /// The format of the files that npu-monitor writes.
    MonitorExport { Db = "DB", Jsonl = "Jsonl" }
}
wire_enum! {
    /// The host resources that nputrace records.
    HostSys { Cpu = "cpu", Mem = "mem", Disk = "disk", Network = "network", Osrt = "osrt" }
}
wire_enum! {
    /// The kinds of activities that npu-monitor measures.
    ActivityKind {
        Marker = "Marker",
        Kernel = "Kernel",
        Api = "API",
        Hccl = "Hccl",
        Memory = "Memory",
        MemSet = "MemSet",
        MemCpy = "MemCpy",
        Communication = "Communication",
        AclApi = "AclAPI",
        NodeApi = "NodeAPI",
        RuntimeApi = "RuntimeAPI",
    }
}
wire_enum! {
    /// A switch that msMonitor's client takes with a value.
    Bool { True = "true", False = "false" }
}

/// Where the daemon of a pod runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum PodAddress {
    /// On the node of the pod.
    #[default]
    Node,
    /// In the pod itself.
    Pod,
}

/// A comma-separated list of values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CommaList<T>(pub(crate) Vec<T>);

impl<T: fmt::Display> fmt::Display for CommaList<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, item) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{item}")?;
        }
        Ok(())
    }
}

/// Parses a [`CommaList`] of a closed set. `none` stands for the empty list.
#[derive(Clone)]
pub(crate) struct CommaListParser<T> {
    none: Option<&'static str>,
    of: std::marker::PhantomData<fn() -> T>,
}

/// Returns a parser of lists with at least one item.
pub(crate) fn comma_list<T>() -> CommaListParser<T> {
    CommaListParser { none: None, of: std::marker::PhantomData }
}

/// Returns a parser of lists; `None` is the empty list.
pub(crate) fn comma_list_or_none<T>() -> CommaListParser<T> {
    CommaListParser { none: Some("None"), of: std::marker::PhantomData }
}

impl<T: ValueEnum + Send + Sync + 'static> TypedValueParser for CommaListParser<T> {
    type Value = CommaList<T>;

    fn parse_ref(
        &self,
        cmd: &Command,
        arg: Option<&Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<Self::Value, clap::Error> {
        let text = StringValueParser::new().parse_ref(cmd, arg, value)?;
        if self.none == Some(text.as_str()) {
            return Ok(CommaList(Vec::new()));
        }
        let item = |word: &str| {
            T::from_str(word.trim(), false).map_err(|_| self.invalid_value_error(cmd, arg, word))
        };
        text.split(',').map(item).collect::<Result<_, _>>().map(CommaList)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let items = T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
        Some(Box::new(items.chain(self.none.map(PossibleValue::new))))
    }
}

impl<T: ValueEnum + Send + Sync + 'static> CommaListParser<T> {
    fn invalid_value_error(&self, cmd: &Command, arg: Option<&Arg>, word: &str) -> clap::Error {
        let mut error = clap::Error::new(ErrorKind::InvalidValue).with_cmd(cmd);
        if let Some(arg) = arg {
            error.insert(ContextKind::InvalidArg, ContextValue::String(arg.to_string()));
        }
        error.insert(ContextKind::InvalidValue, ContextValue::String(word.to_owned()));
        let names = self.possible_values().into_iter().flatten().map(|v| v.get_name().to_owned()).collect();
        error.insert(ContextKind::ValidValue, ContextValue::Strings(names));
        error
    }
}

/// Parses a non-negative number of seconds, or a duration with a unit.
pub(crate) fn parse_seconds(text: &str) -> Result<f32, String> {
    parse_non_negative(text).or_else(|_| parse_duration(text).map(|time| time.as_secs_f32()))
}

/// Parses a non-negative number of milliseconds, or a duration with a unit.
pub(crate) fn parse_milliseconds(text: &str) -> Result<f32, String> {
    let milliseconds = |time: Duration| (time.as_secs_f64() * 1000.0) as f32;
    parse_non_negative(text).or_else(|_| parse_duration(text).map(milliseconds))
}

fn parse_non_negative(text: &str) -> Result<f32, String> {
    match text.trim().parse::<f32>() {
        Ok(n) if n.is_finite() && n >= 0.0 => Ok(n),
        _ => Err("must be a non-negative number".to_owned()),
    }
}

/// Parses process ids separated by commas.
pub(crate) fn parse_pids(text: &str) -> Result<CommaList<i32>, String> {
    let pid = |word: &str| word.trim().parse::<i32>().ok().filter(|p| *p >= 0);
    let list = text.split(',').map(pid).collect::<Option<Vec<_>>>();
    let list = list.ok_or("must be process ids separated by commas")?;
    match list.len() {
        n if n > MAX_PIDS => Err(format!("{n} pids exceed the limit of {MAX_PIDS} in a request")),
        _ => Ok(CommaList(list)),
    }
}

/// Parses ranks separated by commas.
pub(crate) fn parse_ranks(text: &str) -> Result<CommaList<i64>, String> {
    let list = text.split(',').map(|w| w.trim().parse::<i64>()).collect::<Result<_, _>>();
    list.map(CommaList).map_err(|_| "must be integers separated by commas".to_owned())
}

/// Parses ranks and ranges of them, such as `0-7,16`.
pub(crate) fn parse_rank_ranges(text: &str) -> Result<CommaList<i64>, String> {
    let malformed = || "must be ranks separated by commas, or ranges such as 0-7".to_owned();
    let rank = |word: &str| word.trim().parse::<i64>().ok().filter(|rank| *rank >= 0);
    let mut ranks = Vec::new();
    for item in text.split(',') {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        let (from, to) = rank(first).zip(rank(last)).filter(|(a, b)| a <= b).ok_or_else(malformed)?;
        if to - from >= MAX_PIDS as i64 || ranks.len() + (to - from) as usize >= MAX_PIDS {
            return Err(format!("more than {MAX_PIDS} ranks"));
        }
        ranks.extend(from..=to);
    }
    Ok(CommaList(ranks))
}

/// Parses `KEY=VALUE` for a config.
pub(crate) fn parse_config_pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("must be KEY=VALUE")?;
    let mut config = Config::new();
    config.push(key, value).map_err(|e| e.to_string())?;
    if key == TRACE_ID {
        return Err(format!("{TRACE_ID} is set by the daemon only"));
    }
    Ok((key.to_owned(), value.to_owned()))
}

/// Checks the id of a Slurm job: `123`, `123_4` of an array, `123+1` of a heterogeneous job (squeue(1), `--jobs`).
pub(crate) fn parse_slurm_job(text: &str) -> Result<String, String> {
    let parts: Vec<&str> = text.split(['_', '+']).collect();
    let is_number =
        |part: &&str| !part.is_empty() && part.len() <= 18 && part.bytes().all(|b| b.is_ascii_digit());
    if parts.len() <= 2 && parts.iter().all(is_number) {
        return Ok(text.to_owned());
    }
    Err("must be a job id such as 123, 123_4 or 123+1".to_owned())
}

/// Parses the number of lines per file; empty leaves it to the process.
pub(crate) fn parse_rotate_lines(text: &str) -> Result<String, String> {
    parse_rotate_count(
        text,
        |n| (100..=500_000).contains(&n),
        "must be empty or an integer from 100 to 500000",
    )
}

/// Parses the number of files to keep; empty leaves it to the process.
pub(crate) fn parse_rotate_files(text: &str) -> Result<String, String> {
    parse_rotate_count(text, |n| n == -1 || n >= 2, "must be empty, -1 or an integer of at least 2")
}

fn parse_rotate_count(text: &str, good: impl Fn(i32) -> bool, expected: &str) -> Result<String, String> {
    let text = text.trim();
    match text.parse::<i32>() {
        Ok(n) if good(n) => Ok(n.to_string()),
        _ if text.is_empty() => Ok(String::new()),
        _ => Err(expected.to_owned()),
    }
}

/// Accepts a text of at most 1024 bytes, the limit of the processes.
pub(crate) fn parse_short_text(text: &str) -> Result<String, String> {
    match text.len() {
        0..=1024 => Ok(text.to_owned()),
        n => Err(format!("{n} bytes exceed the limit of 1024")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_formatted_as_it_is_parsed() {
        fn check<T: ValueEnum + fmt::Display>() {
            for v in T::value_variants() {
                assert_eq!(v.to_possible_value().unwrap().get_name(), v.to_string());
            }
        }
        check::<Activities>();
        check::<ProfilerLevel>();
        check::<AicMetrics>();
        check::<TraceExport>();
        check::<MonitorExport>();
        check::<HostSys>();
        check::<ActivityKind>();
        check::<Bool>();
    }

    #[test]
    fn invalid_pids_are_rejected() {
        assert_eq!(parse_pids("0"), Ok(CommaList(vec![0])));
        assert_eq!(parse_pids("1, 2,3").map(|l| l.to_string()), Ok("1,2,3".into()));
        for bad in ["", "1,", "-1", "99999999999", "a", "1 2", "1]"] {
            assert!(parse_pids(bad).is_err(), "{bad}");
        }
        assert!(parse_pids(&vec!["1"; 5000].join(",")).is_err());
    }

    #[test]
    fn ranks_come_in_ranges() {
        assert_eq!(parse_rank_ranges("0-2, 8").map(|l| l.0), Ok(vec![0, 1, 2, 8]));
        for bad in ["", "-1", "2-1", "a", "0-", "0--1", "0-9999999999", "0-4096"] {
            assert!(parse_rank_ranges(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn config_pairs_are_lines_of_a_config() {
        assert_eq!(parse_config_pair("A_1=x=y "), Ok(("A_1".into(), "x=y ".into())));
        for bad in ["A", "=x", "a=1", "A=1\nB=2", "REQUEST_TRACE_ID=7"] {
            assert!(parse_config_pair(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn job_ids_are_those_of_slurm() {
        for good in ["1", "123_4", "123+1"] {
            assert_eq!(parse_slurm_job(good), Ok(good.to_owned()));
        }
        for bad in ["", "-1", "1_", "a", "1 2", "1,2", "1_2_3", "1;x", "--all"] {
            assert!(parse_slurm_job(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rotation_has_the_existing_ranges() {
        assert_eq!(parse_rotate_lines(" 100 "), Ok("100".into()));
        assert_eq!(parse_rotate_lines(""), Ok(String::new()));
        assert!(parse_rotate_lines("99").is_err() && parse_rotate_lines("500001").is_err());
        assert_eq!(parse_rotate_files("-1"), Ok("-1".into()));
        assert!(
            parse_rotate_files("1").is_err()
                && parse_rotate_files("0").is_err()
                && parse_rotate_files("-2").is_err()
        );
    }
}
