//! The values that options take: closed sets with their wire spellings, lists, numbers.

use std::fmt;

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, ValueEnum};

/// Declares a closed set whose names are the wire's.
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
    /// What nputrace records.
    Activities { CpuNpu = "CPU,NPU", NpuCpu = "NPU,CPU", Cpu = "CPU", Npu = "NPU" }
}
wire_enum! {
    /// How much nputrace records on the device.
    ProfilerLevel { Level0 = "Level0", Level1 = "Level1", Level2 = "Level2", None = "Level_none" }
}
wire_enum! {
    /// Which AI core counters nputrace reads.
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
    /// What nputrace exports.
    TraceExport { Text = "Text", Db = "Db" }
}
wire_enum! {
    /// What npu-monitor exports.
    MonitorExport { Db = "DB", Jsonl = "Jsonl" }
}
wire_enum! {
    /// What nputrace records of the host.
    HostSys { Cpu = "cpu", Mem = "mem", Disk = "disk", Network = "network", Osrt = "osrt" }
}
wire_enum! {
    /// What npu-monitor measures.
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
    /// A switch that the existing client takes with a value.
    Bool { True = "true", False = "false" }
}

/// A comma-separated list of values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct List<T>(pub(crate) Vec<T>);

impl<T: fmt::Display> fmt::Display for List<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, item) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{item}")?;
        }
        Ok(())
    }
}

/// Parses a [`List`] of a closed set, where `none` is another word for the empty one.
#[derive(Clone)]
pub(crate) struct ListOf<T> {
    none: Option<&'static str>,
    of: std::marker::PhantomData<fn() -> T>,
}

/// A list with at least one item.
pub(crate) fn list_of<T>() -> ListOf<T> {
    ListOf { none: None, of: std::marker::PhantomData }
}

/// A list, or `None`.
pub(crate) fn list_or_none<T>() -> ListOf<T> {
    ListOf { none: Some("None"), of: std::marker::PhantomData }
}

impl<T: ValueEnum + Send + Sync + 'static> TypedValueParser for ListOf<T> {
    type Value = List<T>;

    fn parse_ref(
        &self,
        cmd: &Command,
        arg: Option<&Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<Self::Value, clap::Error> {
        let text = StringValueParser::new().parse_ref(cmd, arg, value)?;
        if self.none == Some(text.as_str()) {
            return Ok(List(Vec::new()));
        }
        let item = |word: &str| T::from_str(word.trim(), false).map_err(|_| self.invalid(cmd, arg, word));
        text.split(',').map(item).collect::<Result<_, _>>().map(List)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let items = T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
        Some(Box::new(items.chain(self.none.map(PossibleValue::new))))
    }
}

impl<T: ValueEnum + Send + Sync + 'static> ListOf<T> {
    fn invalid(&self, cmd: &Command, arg: Option<&Arg>, word: &str) -> clap::Error {
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

/// A number that is finite and not negative.
pub(crate) fn not_negative(text: &str) -> Result<f32, String> {
    match text.trim().parse::<f32>() {
        Ok(n) if n.is_finite() && n >= 0.0 => Ok(n),
        _ => Err("must be a number that is not negative".to_owned()),
    }
}

/// Process ids separated by commas.
pub(crate) fn pids(text: &str) -> Result<List<i32>, String> {
    let pid = |word: &str| word.trim().parse::<i32>().ok().filter(|p| *p >= 0);
    let list = text.split(',').map(pid).collect::<Option<Vec<_>>>();
    let list = list.ok_or("must be process ids separated by commas")?;
    match list.len() {
        n if n > common::rpc::message::MAX_PIDS => Err(format!("{n} pids are more than a request can name")),
        _ => Ok(List(list)),
    }
}

/// Ranks separated by commas.
pub(crate) fn ranks(text: &str) -> Result<List<i64>, String> {
    let list = text.split(',').map(|w| w.trim().parse::<i64>()).collect::<Result<_, _>>();
    list.map(List).map_err(|_| "must be integers separated by commas".to_owned())
}

/// Lines per file of a rotated log; empty for the process's own default.
pub(crate) fn rotate_lines(text: &str) -> Result<String, String> {
    rotate(text, |n| (100..=500_000).contains(&n), "must be empty or an integer from 100 to 500000")
}

/// Files of a rotated log; empty for the process's own default.
pub(crate) fn rotate_files(text: &str) -> Result<String, String> {
    rotate(text, |n| n == -1 || n >= 2, "must be empty, -1 or an integer of at least 2")
}

fn rotate(text: &str, good: impl Fn(i32) -> bool, expected: &str) -> Result<String, String> {
    let text = text.trim();
    match text.parse::<i32>() {
        Ok(n) if good(n) => Ok(n.to_string()),
        _ if text.is_empty() => Ok(String::new()),
        _ => Err(expected.to_owned()),
    }
}

/// Text of at most 1024 bytes, which is what the processes take.
pub(crate) fn short_text(text: &str) -> Result<String, String> {
    match text.len() {
        0..=1024 => Ok(text.to_owned()),
        n => Err(format!("{n} bytes are more than the 1024 that processes take")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_written_as_it_is_read() {
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
    fn pid_lists_are_never_narrowed() {
        assert_eq!(pids("0"), Ok(List(vec![0])));
        assert_eq!(pids("1, 2,3").map(|l| l.to_string()), Ok("1,2,3".into()));
        for bad in ["", "1,", "-1", "99999999999", "a", "1 2", "1]"] {
            assert!(pids(bad).is_err(), "{bad}");
        }
        assert!(pids(&vec!["1"; 5000].join(",")).is_err());
    }

    #[test]
    fn rotation_has_the_existing_ranges() {
        assert_eq!(rotate_lines(" 100 "), Ok("100".into()));
        assert_eq!(rotate_lines(""), Ok(String::new()));
        assert!(rotate_lines("99").is_err() && rotate_lines("500001").is_err());
        assert_eq!(rotate_files("-1"), Ok("-1".into()));
        assert!(rotate_files("1").is_err() && rotate_files("0").is_err() && rotate_files("-2").is_err());
    }
}
