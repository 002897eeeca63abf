//! Flag files of gflags, which dynolog takes: `--flagfile=F1,F2` names files whose lines are options
//! (`ProcessOptionsFromStringLocked`, src/gflags.cc of gflags 2.2).

use super::options::{DAEMON_NAMES, DaemonOption};
use crate::host::AuditedHost;

/// Maximum depth of files that include each other.
const DEPTH: u32 = 8;

/// Maximum number of files.
const FILES: usize = 64;

/// Reads the options of flag files in order.
pub(super) struct FlagFileReader<'a> {
    pub(super) host: &'a AuditedHost,
    /// The directory of relative paths.
    pub(super) dir: &'a str,
    pub(super) files: usize,
    /// Reasons for which not all options are known.
    pub(super) unknown: Vec<String>,
    /// The files that were named, with a leading slash.
    pub(super) named: Vec<String>,
}

impl FlagFileReader<'_> {
    /// Appends the options of a list of files.
    pub(super) fn read_list(&mut self, list: &str, depth: u32, out: &mut Vec<DaemonOption>) {
        for file in list.split(',').map(str::trim).filter(|f| !f.is_empty()) {
            let path = if file.starts_with('/') { file.to_owned() } else { format!("{}/{file}", self.dir) };
            self.files += 1;
            if depth >= DEPTH || self.files > FILES {
                self.unknown.push(format!("flag file {path}: more than 64 files, or nested deeper than 8"));
                return;
            }
            self.named.push(path.clone());
            match self.host.read_file(path.trim_start_matches('/')) {
                Ok(text) => self.read_text(&text, &path, depth, out),
                Err(e) => self.unknown.push(format!("flag file {path}: {}", common::error::io_reason(&e))),
            }
        }
    }

    fn read_text(&mut self, text: &str, path: &str, depth: u32, out: &mut Vec<DaemonOption>) {
        // A line of program names says which programs the options below it are for.
        let (mut relevant, mut in_names) = (true, false);
        for line in text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
            if line.starts_with('-') {
                in_names = false;
                if relevant {
                    self.read_option(line, path, depth, out);
                }
                continue;
            }
            relevant &= in_names;
            in_names = true;
            for name in line.split_whitespace() {
                let base = name.rsplit('/').next().unwrap_or_default();
                let pattern = name.contains(['*', '?', '[']);
                relevant |= pattern || DAEMON_NAMES.contains(&base);
                if pattern && name != "*" {
                    self.unknown
                        .push(format!("flag file {path}: options for programs of the pattern {name}"));
                }
            }
        }
    }

    fn read_option(&mut self, line: &str, path: &str, depth: u32, out: &mut Vec<DaemonOption>) {
        let option = line.trim_start_matches('-');
        // gflags wants `=`; other readers of such files take a blank.
        let (name, value) = match option.split_once(['=', ' ', '\t']) {
            Some((name, value)) => (name, Some(value.trim().to_owned())),
            None => (option, None),
        };
        let name = name.replace('_', "-");
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            self.unknown.push(format!("flag file {path}: a line that is not an option"));
            return;
        }
        match (name.as_str(), value) {
            ("flagfile", Some(list)) => self.read_list(&list, depth + 1, out),
            ("fromenv" | "tryfromenv", Some(list)) => {
                self.unknown
                    .push(format!("flag file {path}: --{name}={list} takes options from the environment"));
            }
            (_, value) => out.push(DaemonOption {
                name,
                value,
                file: Some(format!("flag file {path}")),
                unknown: false,
            }),
        }
    }
}
