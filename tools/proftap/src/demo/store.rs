//! A recording to its place: a file for a request of libkineto's kind, a directory for one of Ascend's.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use common::fsat::AtomicFile;
use common::policy::Class;
use common::rpc::config::trace_path;

use super::ascend;
use super::clock::{Clock, stamp};
use super::kineto::{self, Facts};
use super::recorder::Recording;
use super::request::TraceRequest;
use super::target::{self, Target, TargetError};

/// Where a recording goes.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// A file of its own.
    File(PathBuf),
    /// A new directory in this one.
    Directory(PathBuf),
}

/// What was written.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) path: PathBuf,
    pub(crate) size_bytes: u64,
    pub(crate) events: u64,
}

impl Place {
    /// Where the trace of a request goes.
    pub(crate) fn of(request: &TraceRequest, pid: i32) -> Self {
        if request.into_directory {
            Self::Directory(request.log_file.clone().into())
        } else {
            Self::File(trace_path(&request.log_file, pid.into()).into())
        }
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::File(path) | Self::Directory(path) => path,
        }
    }

    /// Whether it may be written.
    pub(crate) fn check(&self) -> Result<(), TargetError> {
        match self {
            Self::File(path) => Target::check(path).map(drop),
            Self::Directory(path) => target::directory(path).map(drop),
        }
    }

    /// Writes the recording. Nothing of it is there before the whole is, but for a directory, whose
    /// `profiler_info` comes last.
    pub(crate) fn write(
        &self,
        recording: &Recording,
        facts: &Facts,
        clock: &Clock,
        trace_id: Option<&str>,
    ) -> anyhow::Result<Stored> {
        match self {
            Self::File(path) => {
                let target = Target::check(path)?;
                let path = target.path().to_owned();
                let name = path.to_string_lossy();
                let file = target.create().context("trace cannot be created")?;
                let (events, size_bytes) =
                    fill(file, |out| kineto::write(out, recording, facts, clock, trace_id, &name))?;
                Ok(Stored { size_bytes, events, path: path.clone() })
            }
            Self::Directory(dir) => write_tree(dir, recording, facts, clock),
        }
    }
}

/// The tree of the Ascend PyTorch profiler, as far as its readers need it.
fn write_tree(dir: &Path, recording: &Recording, facts: &Facts, clock: &Clock) -> anyhow::Result<Stored> {
    let base = target::directory(dir)?;
    let time = stamp(clock.wall(recording.start));
    let name = format!("{}_{}_{time}_ascend_pt", facts.host, facts.pid);
    let tree = target::make(&base, &name).context("directory cannot be created")?;
    let output = target::make(&tree, ascend::OUTPUT).context("directory cannot be created")?;

    let create = |dir: &std::os::fd::OwnedFd, name: &str| -> io::Result<AtomicFile> {
        AtomicFile::create_at(dir.try_clone()?, Path::new(name), Class::DataFile.max())
    };
    let (events, size_bytes) =
        fill(create(&output, "trace_view.json")?, |out| ascend::write_view(out, recording, facts, clock))?;
    create(&output, "analyse.done")?.commit()?;
    let info = ascend::info(recording, facts, clock);
    let mut file = create(&tree, &format!("profiler_info_{}.json", facts.rank))?;
    file.write_all(info.as_bytes())?;
    file.commit()?;
    Ok(Stored { path: dir.join(name), size_bytes, events })
}

/// Fills a file and puts it in its place. Returns what the writer returned, and the file's size.
fn fill<T>(
    mut file: AtomicFile,
    write: impl FnOnce(&mut Counted<BufWriter<&mut AtomicFile>>) -> io::Result<T>,
) -> anyhow::Result<(T, u64)> {
    let mut out = Counted { inner: BufWriter::with_capacity(1 << 16, &mut file), bytes: 0 };
    let result = write(&mut out).and_then(|r| out.flush().map(|()| r)).context("trace cannot be written")?;
    let bytes = out.bytes;
    drop(out);
    file.commit().context("trace cannot be put in place")?;
    Ok((result, bytes))
}

/// Counts what passes.
struct Counted<W> {
    inner: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(buf)?;
        self.bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
