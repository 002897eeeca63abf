//! The text of a config: lines `KEY=VALUE`, as a client composes it and a training process obeys it.
//!
//! The text reaches another user's process, which trims each line and takes everything after the first `=`.
//! So a line break inside a value would add a key of the sender's choice: building and parsing both refuse
//! characters that may end a line.

use std::fmt;

use thiserror::Error;

/// The key under which the daemon sends a process the id of the request; a trace carries it as `trace_id`.
pub const TRACE_ID: &str = "REQUEST_TRACE_ID";
/// Where the trace goes: a file for gputrace, a directory for nputrace.
pub const LOG_FILE: &str = "ACTIVITIES_LOG_FILE";
/// Where npu-monitor writes; a directory, or empty for metrics to the daemon.
pub const MONITOR_LOG_FILE: &str = "NPU_MONITOR_LOG_FILE";
/// Starts a monitor with the value `true`. Clients write it first.
pub const MONITOR_START: &str = "NPU_MONITOR_START";
/// Stops a monitor with the value `true`.
pub const MONITOR_STOP: &str = "NPU_MONITOR_STOP";
/// The longest config text that every known process accepts, its NUL and header aside.
pub const MAX_TEXT: usize = 4096 - 64;
/// More keys than any client sends.
const MAX_KEYS: usize = 128;

/// Why a text is not a config.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// Nothing in it.
    #[error("config is empty")]
    Empty,
    /// Longer than processes accept.
    #[error("config is {0} bytes long, more than the {MAX_TEXT} that a process accepts")]
    TooLong(usize),
    /// More lines than any client sends.
    #[error("config has more than {MAX_KEYS} keys")]
    TooManyKeys,
    /// A line without `=`, or with a key that is not made of A-Z, 0-9 and `_`.
    #[error("config line {0} is not KEY=VALUE")]
    NotKeyValue(usize),
    /// A control character or another that ends a line in a value.
    #[error("config key {0} has a control character or line separator in its value")]
    Control(String),
    /// The same key twice: peers differ on which one counts.
    #[error("config key {0} is given twice")]
    Twice(String),
}

/// A config: keys and values in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    pairs: Vec<(String, String)>,
}

impl Config {
    /// An empty config, to be filled with [`Self::push`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a pair.
    ///
    /// # Errors
    /// The key is malformed or already there, the value has a character that [`may_end_line`], or there are too many.
    pub fn push(&mut self, key: &str, value: impl fmt::Display) -> Result<(), ConfigError> {
        let value = value.to_string();
        if !is_key(key) {
            return Err(ConfigError::NotKeyValue(self.pairs.len() + 1));
        }
        if value.chars().any(may_end_line) {
            return Err(ConfigError::Control(key.to_owned()));
        }
        if self.get(key).is_some() {
            return Err(ConfigError::Twice(key.to_owned()));
        }
        if self.pairs.len() >= MAX_KEYS {
            return Err(ConfigError::TooManyKeys);
        }
        self.pairs.push((key.to_owned(), value));
        Ok(())
    }

    /// Reads a text. Lines are trimmed, empty ones skipped, as processes do.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        if text.len() > MAX_TEXT {
            return Err(ConfigError::TooLong(text.len()));
        }
        let mut config = Self::new();
        for (n, line) in text.split('\n').enumerate() {
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            let (key, value) = line.split_once('=').ok_or(ConfigError::NotKeyValue(n + 1))?;
            if !is_key(key.trim()) {
                return Err(ConfigError::NotKeyValue(n + 1));
            }
            config.push(key.trim(), value.trim())?;
        }
        if config.pairs.is_empty() { Err(ConfigError::Empty) } else { Ok(config) }
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.pairs.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// All pairs in order.
    #[must_use]
    pub fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }

    /// Whether this is a monitor command: it starts or stops a monitor, wherever the keys are. The process side of msMonitor
    /// (b942bf5) looks the keys up and does not take the order into account.
    #[must_use]
    pub fn is_monitor(&self) -> bool {
        [MONITOR_START, MONITOR_STOP].iter().any(|key| self.get(key).is_some())
    }

    /// The path that the process is to write to, if the config names one.
    #[must_use]
    pub fn output(&self) -> Option<&str> {
        [LOG_FILE, MONITOR_LOG_FILE].iter().find_map(|k| self.get(k)).filter(|p| !p.is_empty())
    }
}

/// Returns whether some process might take a character for the end of a line, and what follows it for another key: control characters,
/// and the separators of lines and paragraphs, at which Python's `splitlines` ends lines, too.
#[must_use]
pub fn may_end_line(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (key, value)) in self.pairs.iter().enumerate() {
            let newline = if i == 0 { "" } else { "\n" };
            write!(f, "{newline}{key}={value}")?;
        }
        Ok(())
    }
}

/// The file to which libkineto writes the trace of a process whose config names `log_file`: with `_PID` before the first
/// `.pt.trace.json`, or else before the first `.json`, in a directory's name too. Without either there is no place for
/// the pid, and every process writes `log_file` itself. Seen so with the libkineto of PyTorch 2.15.
#[must_use]
pub fn trace_path(log_file: &str, pid: i64) -> String {
    match find_pid_place(log_file) {
        Some(at) => format!("{}_{pid}{}", &log_file[..at], &log_file[at..]),
        None => log_file.to_owned(),
    }
}

/// Inserts a word and `_` before it into the name of a trace file: where [`trace_path`] puts the pid, or else before the suffix.
#[must_use]
pub fn insert_into_trace_name(log_file: &str, word: &str) -> String {
    let name_start = log_file.rfind('/').map_or(0, |at| at + 1);
    let suffix = || log_file[name_start..].rfind('.').filter(|at| *at > 0).map(|at| name_start + at);
    let at = find_pid_place(log_file).or_else(suffix).unwrap_or(log_file.len());
    format!("{}_{word}{}", &log_file[..at], &log_file[at..])
}

fn find_pid_place(log_file: &str) -> Option<usize> {
    [".pt.trace.json", ".json"].iter().find_map(|suffix| log_file.find(suffix))
}

/// Checks the placeholders of a path for the daemon to expand: `%h` (host name), `%H` (pid on the host), `%p` (pid of the
/// process), `%j` (job id), `%r` (rank), `%%`.
///
/// # Errors
/// The first one that is unknown.
pub fn check_placeholders(path: &str) -> Result<(), String> {
    let mut chars = path.chars();
    while let Some(c) = chars.next() {
        if c == '%' && !matches!(chars.next(), Some('h' | 'H' | 'p' | 'j' | 'r' | '%')) {
            return Err(
                "unknown placeholder in the path: known are %h, %H, %p, %j, %r, and %% for a percent sign"
                    .into(),
            );
        }
    }
    Ok(())
}

fn is_key(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_survives_the_round_trip() {
        let text = "ACTIVITIES_LOG_FILE=/tmp/a \"b\"\\c=d.json\nACTIVITIES_ITERATIONS=5";
        let config = Config::parse(text).unwrap();
        assert_eq!(config.to_string(), text);
        assert_eq!(config.output(), Some("/tmp/a \"b\"\\c=d.json"));
        assert!(!config.is_monitor());
    }

    #[test]
    fn a_monitor_command_is_one_wherever_its_keys_are() {
        let is_monitor = |text: &str| Config::parse(text).unwrap().is_monitor();
        assert!(!is_monitor("ACTIVITIES_LOG_FILE=/tmp/a.json\nPROFILE_START_TIME=0"));
        assert!(is_monitor("NPU_MONITOR_START=true\nDURATION=5"));
        assert!(is_monitor("A=1\n NPU_MONITOR_START=false"));
        assert!(is_monitor("ACTIVITIES_LOG_FILE=/a\nNPU_MONITOR_STOP=true"));
        assert!(!is_monitor("NPU_MONITOR_STARTS=true"));
    }

    #[test]
    fn the_pid_goes_where_libkineto_puts_it() {
        assert_eq!(trace_path("/tmp/t.json", 42), "/tmp/t_42.json");
        assert_eq!(trace_path("/tmp/a.pt.trace.json", 42), "/tmp/a_42.pt.trace.json");
        assert_eq!(trace_path("/tmp/plain", 42), "/tmp/plain");
        assert_eq!(trace_path("/tmp/t.json.gz", 42), "/tmp/t_42.json.gz");
        assert_eq!(trace_path("/tmp/c.json.d.json", 42), "/tmp/c_42.json.d.json");
        assert_eq!(trace_path("/tmp/x.json.d/t.json", 42), "/tmp/x_42.json.d/t.json");
        assert_eq!(trace_path("/tmp/x.json/t.pt.trace.json", 42), "/tmp/x.json/t_42.pt.trace.json");
    }

    #[test]
    fn unknown_placeholders_are_errors() {
        assert_eq!(check_placeholders("/tmp/%h-%H-%p-%j-%r%%.json"), Ok(()));
        assert!(check_placeholders("/tmp/%x.json").is_err() && check_placeholders("/tmp/x%").is_err());
    }

    #[test]
    fn a_word_is_inserted_where_the_pid_goes_or_before_the_suffix() {
        for (log_file, expected) in [
            ("/tmp/t.json", "/tmp/t_w.json"),
            ("/tmp/t.pt.trace.json", "/tmp/t_w.pt.trace.json"),
            ("/tmp/c.txt", "/tmp/c_w.txt"),
            ("/tmp/v1.2/c", "/tmp/v1.2/c_w"),
            ("/tmp/.c", "/tmp/.c_w"),
        ] {
            assert_eq!(insert_into_trace_name(log_file, "w"), expected);
        }
    }

    #[test]
    fn indented_lines_are_trimmed() {
        let config = Config::parse("A=1\n      REQUEST_TRACE_ID=77\n\n").unwrap();
        assert_eq!(config.get(TRACE_ID), Some("77"));
    }

    #[test]
    fn a_value_cannot_smuggle_a_key_in() {
        let mut config = Config::new();
        let e = config.push("ACTIVITIES_LOG_FILE", "/tmp/x\nPROFILE_WITH_STACK=true").unwrap_err();
        assert_eq!(e, ConfigError::Control("ACTIVITIES_LOG_FILE".into()));
        assert_eq!(Config::parse("A=1\nA=2").unwrap_err(), ConfigError::Twice("A".into()));
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(Config::parse(" \n").unwrap_err(), ConfigError::Empty);
        assert_eq!(Config::parse("A=1\nno equals").unwrap_err(), ConfigError::NotKeyValue(2));
        assert_eq!(Config::parse("a=1").unwrap_err(), ConfigError::NotKeyValue(1));
        assert_eq!(Config::parse("A=\x1b[2J").unwrap_err(), ConfigError::Control("A".into()));
        assert!(matches!(Config::parse(&"A".repeat(5000)), Err(ConfigError::TooLong(5000))));
    }
}
