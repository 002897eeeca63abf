//! Which traces to read: paths, standard input, lists of paths, and the records that `profctl --wait` prints.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use common::error::HintExt;
use common::out::Out;

use trace::read::{self, ReadOptions, ascend};

/// The longest line of a list.
const LINE_LIMIT: u64 = 1 << 20;

/// The arguments that name traces, the same for every subcommand.
#[derive(Args, Clone, Debug)]
pub(crate) struct Inputs {
    /// Traces: files, plain or gzip, or `*_ascend_pt` directories; `-` or none is standard input
    #[arg(value_name = "TRACE")]
    paths: Vec<PathBuf>,
    /// Read the names of traces from FILE (`-`: standard input)
    ///
    /// One path a line, or JSON lines: of those, `path` of each `profctl.trace_file` record is taken and other
    /// records are skipped.
    #[arg(long, value_name = "FILE", conflicts_with = "paths")]
    files_from: Option<PathBuf>,
    /// Names in --files-from end in NUL, not in a line end
    #[arg(short = '0', long = "null", requires = "files_from")]
    null: bool,
    /// Refuse a trace at the first place that has to be repaired, with exit status 2
    #[arg(long)]
    strict: bool,
}

/// One trace to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    Stdin,
    Path(PathBuf),
}

/// What is known of a trace that is open.
pub(crate) struct Opened {
    pub(crate) path: PathBuf,
    /// Size on disk, where it has one.
    pub(crate) size: Option<u64>,
    /// Rank, where the tree around the file tells.
    pub(crate) rank: Option<i64>,
}

impl Inputs {
    /// Calls `each` for every trace, in order; names from a list are used as they arrive. A broken line of the
    /// list is reported and the others go on. Returns how many there were.
    ///
    /// # Errors
    /// Nothing was named and standard input is a terminal; the list cannot be read; what `each` says.
    pub(crate) fn each(
        &self,
        out: &mut Out,
        mut each: impl FnMut(&mut Out, &Input) -> anyhow::Result<()>,
    ) -> anyhow::Result<u64> {
        let Some(list) = &self.files_from else {
            let inputs = self.named_inputs()?;
            inputs.iter().try_for_each(|input| each(out, input))?;
            return Ok(inputs.len() as u64);
        };
        let label = list.display().to_string();
        let mut list = self.open_list(list)?;
        let mut seen = 0;
        while let Some(name) = next_name(&mut list, self.null).with_context(|| label.clone())? {
            match parse_name(name, self.null) {
                Ok(Some(path)) => {
                    seen += 1;
                    each(out, &Input::Path(path))?;
                }
                Ok(None) => {}
                Err(e) => out.error(&label, format_args!("not a record: {e}")),
            }
        }
        Ok(seen)
    }

    /// Every trace at once, for commands that must know how many there are. Not for lists.
    fn named_inputs(&self) -> anyhow::Result<Vec<Input>> {
        let named = |p: &PathBuf| if p.as_os_str() == "-" { Input::Stdin } else { Input::Path(p.clone()) };
        let inputs: Vec<_> = self.paths.iter().map(named).collect();
        if !inputs.is_empty() {
            return Ok(inputs);
        }
        if io::stdin().is_terminal() {
            return Err(anyhow::anyhow!("usage: no trace was named, and standard input is a terminal"))
                .hint("name files, or pipe a trace in; see `traceq --help`");
        }
        Ok(vec![Input::Stdin])
    }

    /// How the traces are to be read.
    pub(crate) fn read_options(&self) -> ReadOptions {
        ReadOptions { strict: self.strict, ..ReadOptions::default() }
    }

    /// Whether it may be more than one trace.
    pub(crate) fn several(&self) -> bool {
        self.files_from.is_some() || self.paths.len() > 1
    }

    fn open_list(&self, path: &Path) -> anyhow::Result<Box<dyn BufRead>> {
        if path.as_os_str() == "-" {
            return Ok(Box::new(BufReader::new(io::stdin())));
        }
        let file = File::open(path).with_context(|| path.display().to_string())?;
        Ok(Box::new(BufReader::new(file)))
    }
}

/// The next name, without what ends it. Empty ones are skipped.
fn next_name(list: &mut dyn BufRead, null: bool) -> io::Result<Option<Vec<u8>>> {
    loop {
        let mut name = Vec::new();
        let end = if null { 0 } else { b'\n' };
        if list.take(LINE_LIMIT).read_until(end, &mut name)? == 0 {
            return Ok(None);
        }
        if name.last() == Some(&end) {
            name.pop();
        } else if name.len() as u64 == LINE_LIMIT {
            return Err(io::Error::other(format!("a line is longer than {LINE_LIMIT} bytes")));
        }
        if !null && name.last() == Some(&b'\r') {
            name.pop();
        }
        if !name.is_empty() {
            return Ok(Some(name));
        }
    }
}

/// The path in a line: the line itself, or the record's. Other records have none.
fn parse_name(name: Vec<u8>, null: bool) -> serde_json::Result<Option<PathBuf>> {
    if null || name.first() != Some(&b'{') {
        return Ok(Some(std::ffi::OsString::from_vec(name).into()));
    }
    let record: serde_json::Value = serde_json::from_slice(&name)?;
    if record["type"] != "profctl.trace_file" {
        return Ok(None);
    }
    if let Some(path) = record["path_hex"].as_str().and_then(unhex) {
        return Ok(Some(std::ffi::OsString::from_vec(path).into()));
    }
    match record["path"].as_str() {
        Some(path) => Ok(Some(path.into())),
        None => Err(serde::de::Error::missing_field("path")),
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok().filter(|p| p.len() == 2)?, 16).ok())
        .collect()
}

impl Input {
    /// The name in messages and records.
    pub(crate) fn label(&self) -> String {
        match self {
            Self::Stdin => "-".to_owned(),
            Self::Path(path) => path.display().to_string(),
        }
    }

    /// Opens it. A directory stands for the timeline in it.
    ///
    /// # Errors
    /// What the system says, or that the directory holds no timeline.
    pub(crate) fn open(&self) -> anyhow::Result<(Opened, Box<dyn Read + Send>)> {
        let path = match self {
            Self::Stdin => {
                let path = PathBuf::from("-");
                return Ok((Opened { path, size: None, rank: None }, Box::new(io::stdin())));
            }
            Self::Path(path) if path.is_dir() => match ascend::find_timeline(path) {
                Some(timeline) => timeline,
                None => {
                    let (reason, hint) = ascend::describe_missing_timeline(path);
                    return Err(anyhow::anyhow!(reason)).hint(hint);
                }
            },
            Self::Path(path) => path.clone(),
        };
        let (file, size) = match read::open_trace_file(&path) {
            Err(e) if e.to_string().contains("FIFO") => {
                return Err(e).hint("pipe it in: `traceq … - < FIFO`");
            }
            opened => opened?,
        };
        let rank = ascend::rank_of_timeline(&path);
        Ok((Opened { path, size: Some(size), rank }, Box::new(file)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Option<PathBuf> {
        parse_name(line.into(), false).unwrap()
    }

    #[test]
    fn lists_hold_paths_or_records() {
        assert_eq!(parse("a b.json"), Some("a b.json".into()));
        assert_eq!(
            parse(r#"{"type":"profctl.trace_file","v":1,"path":"/x","pid":3,"new":[1]}"#),
            Some("/x".into())
        );
        assert_eq!(parse(r#"{"type":"profctl.summary","v":1}"#), None);
        assert!(parse_name(b"{\"type\":\"profctl.trace_file\"}".to_vec(), false).is_err());
        assert!(parse_name(b"{".to_vec(), false).is_err());
        assert_eq!(parse_name(b"{x}".to_vec(), true).unwrap(), Some("{x}".into()));
        let hex = r#"{"type":"profctl.trace_file","v":1,"path":"?","path_hex":"61ff"}"#;
        assert_eq!(parse(hex), Some(std::ffi::OsString::from_vec(vec![b'a', 0xff]).into()));
    }

    #[test]
    fn names_end_in_lines_or_nul() {
        let all = |text: &[u8], null| {
            let mut list = text;
            std::iter::from_fn(|| next_name(&mut list, null).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(all(b"a\r\n\nb", false), [b"a".to_vec(), b"b".to_vec()]);
        assert_eq!(all(b"a\nb\0c\0", true), [b"a\nb".to_vec(), b"c".to_vec()]);
    }
}
