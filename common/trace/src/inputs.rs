//! The traces to read: paths, standard input, lists of paths, and the records that `profctl --wait` prints.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use common::error::HintExt;
use common::finding::unhex;
use common::inputs::{PathListArgs, Separator};
use common::out::Out;

use crate::model::TraceMeta;
use crate::read::{self, ReadOptions, TraceSource, ascend};

/// The arguments that name traces, the same for every subcommand.
#[derive(Args, Clone, Debug)]
pub struct TraceInputs {
    /// Traces: files, also compressed, or directories of them; `-` or none is standard input
    ///
    /// The format is detected from the content: traces in JSON of PyTorch, Ascend, JAX, Chrome and others, Perfetto's
    /// .pftrace, databases of Ascend, msMonitor, Nsight Systems (SQLite export) and rocprofv3, Ascend's tables (CSV) and
    /// communication.json, xplane.pb, rocprofv3's JSON and tables (CSV), JSON lines of msMonitor and profd, speedscope and
    /// folded stacks; gzip, zstd and a zip or tar archive of one file are decompressed. A FIFO, such as `<(ssh node7 cat trace.json)` of a shell,
    /// is read once, like standard input. A directory stands for its timeline, or for all traces in it, or for all JSON
    /// files in it if none has the name of a trace; a pattern that no shell has expanded (`*`, `?`, `[a-z]`, `**` for any
    /// directories) for what it matches.
    ///
    /// A list of --files-from may hold JSON lines as well: of those, `path` of each `profctl.trace_file` record is taken
    /// and other records are skipped.
    #[arg(value_name = "TRACE")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    list: PathListArgs,
    /// Reject a trace at the first place that has to be repaired, with exit status 2
    #[arg(long)]
    strict: bool,
    /// The output directory of this run: files in it are not inputs.
    #[arg(skip)]
    except: Option<PathBuf>,
}

/// One trace to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TraceInput {
    /// Standard input.
    Stdin,
    /// A file, a FIFO, or a directory that stands for the timeline in it.
    Path(PathBuf),
}

/// The path, size and format of a trace that is open.
pub struct OpenedTrace {
    /// The file that is read, `-` for standard input.
    pub path: PathBuf,
    /// Size on disk; `None` of standard input and a FIFO, which cannot be read a second time.
    pub size: Option<u64>,
    /// Rank, where the directories around the file name it.
    pub rank: Option<i64>,
    /// Number of ranks in its job, where a file beside it says that.
    pub world_size: Option<i64>,
}

impl TraceInputs {
    /// Calls `each` for every trace, in order; names from a list are used as they arrive. A broken line of the
    /// list is reported and the others go on. Returns how many there were.
    ///
    /// # Errors
    /// Nothing was named and standard input is a terminal; the list cannot be read; what `each` says.
    pub fn for_each_input(
        &self,
        out: &mut Out,
        mut each: impl FnMut(&mut Out, &TraceInput) -> anyhow::Result<()>,
    ) -> anyhow::Result<u64> {
        let mut seen = 0;
        for input in self.named_inputs()? {
            seen += 1;
            each(out, &input)?;
        }
        let Some(mut list) = self.list.open()? else { return Ok(seen) };
        while let Some(entry) = list.next() {
            match entry.and_then(|entry| parse_entry(entry, list.separator).with_context(|| list.place())) {
                Ok(Some(path)) => {
                    seen += 1;
                    each(out, &TraceInput::Path(path))?;
                }
                Ok(None) => {}
                Err(e) => out.diag().fatal(&e),
            }
        }
        Ok(seen)
    }

    /// The traces that the command line names: standard input, if there is no list either.
    fn named_inputs(&self) -> anyhow::Result<Vec<TraceInput>> {
        let inputs: Vec<_> = self.paths.iter().flat_map(|path| self.inputs_of(path)).collect();
        if !inputs.is_empty() || self.list.file().is_some() {
            return Ok(inputs);
        }
        if io::stdin().is_terminal() {
            return Err(anyhow::anyhow!("usage: no trace was named, and standard input is a terminal"))
                .hint("name files, or pipe a trace in; see --help");
        }
        Ok(vec![TraceInput::Stdin])
    }

    /// The inputs that a path of the command line stands for: standard input, a file, the traces in a directory, or all that a
    /// pattern matches. A directory without any, and a pattern without a match, are left as they are: opening them says
    /// why.
    fn inputs_of(&self, path: &Path) -> Vec<TraceInput> {
        if path.as_os_str() == "-" {
            return vec![TraceInput::Stdin];
        }
        let matches = read::expand_pattern(path);
        if !matches.is_empty() {
            return matches.iter().flat_map(|path| self.inputs_of(path)).collect();
        }
        let found = if path.is_dir() { read::find_traces(path, self.except.as_deref()) } else { Vec::new() };
        if found.is_empty() {
            vec![TraceInput::Path(path.to_owned())]
        } else {
            found.into_iter().map(TraceInput::Path).collect()
        }
    }

    /// How the traces are to be read.
    pub fn read_options(&self) -> ReadOptions {
        ReadOptions { strict: self.strict, ..ReadOptions::default() }
    }

    /// The size of all traces, in bytes on disk; `None` where a list or a pipe names more.
    pub fn total_size(&self) -> Option<u64> {
        if self.list.file().is_some() || self.paths.is_empty() {
            return None;
        }
        let size_of = |path: &PathBuf| {
            let meta = path.metadata().ok().filter(|meta| meta.is_file());
            meta.map(|meta| meta.len())
        };
        let inputs = self.paths.iter().flat_map(|path| self.inputs_of(path));
        inputs.map(|input| if let TraceInput::Path(path) = input { size_of(&path) } else { None }).sum()
    }

    /// The paths that the command line names, beside a list.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// The inputs that these paths are on a command line.
    pub fn of_paths(paths: Vec<PathBuf>) -> Self {
        Self { paths, list: PathListArgs::default(), strict: false, except: None }
    }

    /// Leaves out what is in a directory, which is being written.
    #[must_use]
    pub fn outside(self, dir: &Path) -> Self {
        Self { except: Some(dir.to_owned()), ..self }
    }

    /// Whether it may be more than one trace.
    pub fn may_be_several(&self) -> bool {
        self.list.file().is_some() || self.paths.iter().flat_map(|path| self.inputs_of(path)).nth(1).is_some()
    }
}

/// The path in an entry of a list: the entry itself, or the record's. Other records have none.
fn parse_entry(entry: Vec<u8>, separator: Separator) -> anyhow::Result<Option<PathBuf>> {
    if separator == Separator::Nul || entry.first() != Some(&b'{') {
        return Ok(Some(OsString::from_vec(entry).into()));
    }
    let record: serde_json::Value = serde_json::from_slice(&entry).context("is not a record")?;
    if record["type"] != "profctl.trace_file" {
        return Ok(None);
    }
    if let Some(path) = record["path_hex"].as_str().and_then(|digits| unhex(digits.as_bytes())) {
        return Ok(Some(OsString::from_vec(path).into()));
    }
    match record["path"].as_str() {
        Some(path) => Ok(Some(path.into())),
        None => bail!("the record has no `path`"),
    }
}

impl OpenedTrace {
    /// A trace of which nothing is known but where it is.
    fn at(path: PathBuf, size: Option<u64>) -> Self {
        Self { path, size, rank: None, world_size: None }
    }

    /// Adds what stands around the trace to what it says of its job itself.
    pub fn complete(&self, meta: &mut TraceMeta) {
        meta.rank = meta.rank.or(self.rank);
        meta.world_size = meta.world_size.or(self.world_size);
    }

    /// The bytes of the input as a source: of a file, with its path.
    pub fn source_of(&self, bytes: Box<dyn Read + Send>) -> TraceSource {
        match self.size {
            Some(_) => TraceSource::of_file(bytes, self.path.clone()),
            None => bytes.into(),
        }
    }
}

impl TraceInput {
    /// The name in messages and records.
    pub fn label(&self) -> String {
        match self {
            Self::Stdin => "-".to_owned(),
            Self::Path(path) => path.display().to_string(),
        }
    }

    /// Whether it can be read only once: standard input, or a FIFO.
    pub fn is_read_once(&self) -> bool {
        match self {
            Self::Stdin => true,
            Self::Path(path) => is_fifo(path),
        }
    }

    /// Opens it. A directory stands for the timeline in it.
    ///
    /// # Errors
    /// An I/O error, or a directory without a timeline.
    pub fn open(&self) -> anyhow::Result<(OpenedTrace, Box<dyn Read + Send>)> {
        let path = match self {
            Self::Stdin => {
                let path = PathBuf::from("-");
                return Ok((OpenedTrace::at(path, None), Box::new(io::stdin())));
            }
            Self::Path(path) if path.is_dir() => match ascend::find_timeline(path) {
                Some(timeline) => timeline,
                None => {
                    let slices = ascend::find_slices(path);
                    if !slices.is_empty() {
                        let (text, size) = read::open_slices(&slices)?;
                        return Ok((OpenedTrace::at(path.clone(), Some(size)), text));
                    }
                    let (reason, hint) = ascend::describe_missing_timeline(path);
                    return Err(anyhow::anyhow!(reason)).hint(hint);
                }
            },
            Self::Path(path) => path.clone(),
        };
        if is_fifo(&path) {
            // Waits for a writer, as cat(1) does.
            let file = File::open(&path)?;
            return Ok((OpenedTrace::at(path, None), Box::new(file)));
        }
        let (file, size) = read::open_trace_file(&path)?;
        let (rank, world_size) = (ascend::rank_of_timeline(&path), ascend::world_size_of_timeline(&path));
        Ok((OpenedTrace { path, size: Some(size), rank, world_size }, Box::new(file)))
    }
}

fn is_fifo(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.file_type().is_fifo())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Option<PathBuf> {
        parse_entry(line.into(), Separator::Newline).unwrap()
    }

    #[test]
    fn lists_hold_paths_or_records() {
        assert_eq!(parse("a b.json"), Some("a b.json".into()));
        assert_eq!(
            parse(r#"{"type":"profctl.trace_file","v":1,"path":"/x","pid":3,"new":[1]}"#),
            Some("/x".into())
        );
        assert_eq!(parse(r#"{"type":"profctl.summary","v":1}"#), None);
        assert!(parse_entry(b"{\"type\":\"profctl.trace_file\"}".to_vec(), Separator::Newline).is_err());
        assert!(parse_entry(b"{".to_vec(), Separator::Newline).is_err());
        assert_eq!(parse_entry(b"{x}".to_vec(), Separator::Nul).unwrap(), Some("{x}".into()));
        let hex = r#"{"type":"profctl.trace_file","v":1,"path":"?","path_hex":"61ff"}"#;
        assert_eq!(parse(hex), Some(OsString::from_vec(vec![b'a', 0xff]).into()));
    }
}
