//! Writing a recording: to a file for a gputrace request, to a new directory for an nputrace request.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use common::fsat::AtomicFile;
use common::policy::Class;
use common::rpc::config::trace_path;

use super::ascend;
use super::clock::{JobClock, format_timestamp};
use super::config_request::TraceRequest;
use super::kineto::{self, TraceProcessInfo};
use super::recorder::TrainingRecording;
use super::trace_file::{self, TraceFileTarget, TracePathError};

/// Where a recording is written.
#[derive(Clone, Debug)]
pub(crate) enum TraceDestination {
    /// To this file.
    File(PathBuf),
    /// To a new directory in this one.
    Directory(PathBuf),
}

/// A trace that has been written.
#[derive(Debug)]
pub(crate) struct StoredTrace {
    pub(crate) path: PathBuf,
    pub(crate) size_bytes: u64,
    pub(crate) events: u64,
}

impl TraceDestination {
    /// Returns where the trace of a request is written.
    pub(crate) fn for_request(request: &TraceRequest, pid: i32) -> Self {
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

    /// Checks whether a trace can be written there.
    pub(crate) fn check_writable(&self) -> Result<(), TracePathError> {
        match self {
            Self::File(path) => TraceFileTarget::check_path(path).map(drop),
            Self::Directory(path) => trace_file::open_target_directory(path).map(drop),
        }
    }

    /// Writes the recording. A file appears when it is complete; in a directory `profiler_info` appears last.
    pub(crate) fn write_trace(
        &self,
        recording: &TrainingRecording,
        process: &TraceProcessInfo,
        clock: &JobClock,
        trace_id: Option<&str>,
    ) -> anyhow::Result<StoredTrace> {
        match self {
            Self::File(path) => {
                let target = TraceFileTarget::check_path(path)?;
                let path = target.path().to_owned();
                let name = path.to_string_lossy();
                let file = target.create_file().context("cannot create the trace")?;
                let (events, size_bytes) = write_file(file, |out| {
                    kineto::write_trace(out, recording, process, clock, trace_id, &name)
                })?;
                Ok(StoredTrace { size_bytes, events, path: path.clone() })
            }
            Self::Directory(dir) => write_trace_directory(dir, recording, process, clock),
        }
    }
}

/// Writes the directory of the Ascend PyTorch profiler, as far as readers need it.
fn write_trace_directory(
    dir: &Path,
    recording: &TrainingRecording,
    process: &TraceProcessInfo,
    clock: &JobClock,
) -> anyhow::Result<StoredTrace> {
    let base = trace_file::open_target_directory(dir)?;
    let time = format_timestamp(clock.epoch_ns_at(recording.start));
    let name = format!("{}_{}_{time}_ascend_pt", process.host, process.pid);
    let tree = trace_file::create_directory(&base, &name).context("cannot create the directory")?;
    let output =
        trace_file::create_directory(&tree, ascend::ANALYSIS_DIR).context("cannot create the directory")?;

    let create = |dir: &std::os::fd::OwnedFd, name: &str| -> io::Result<AtomicFile> {
        AtomicFile::create_at(dir.try_clone()?, Path::new(name), Class::DataFile.max())
    };
    let (events, size_bytes) = write_file(create(&output, "trace_view.json")?, |out| {
        ascend::write_trace_view(out, recording, process, clock)
    })?;
    create(&output, "analyse.done")?.commit()?;
    let info = ascend::profiler_info_json(recording, process, clock);
    let mut file = create(&tree, &format!("profiler_info_{}.json", process.rank))?;
    file.write_all(info.as_bytes())?;
    file.commit()?;
    Ok(StoredTrace { path: dir.join(name), size_bytes, events })
}

/// Writes and commits a file. Returns the result of `write`, and the size of the file in bytes.
fn write_file<T>(
    mut file: AtomicFile,
    write: impl FnOnce(&mut ByteCounter<BufWriter<&mut AtomicFile>>) -> io::Result<T>,
) -> anyhow::Result<(T, u64)> {
    let mut out = ByteCounter { inner: BufWriter::with_capacity(1 << 16, &mut file), bytes: 0 };
    let result = write(&mut out).and_then(|r| out.flush().map(|()| r)).context("cannot write the trace")?;
    let bytes = out.bytes;
    drop(out);
    file.commit().context("cannot rename the trace to its final name")?;
    Ok((result, bytes))
}

/// Counts the bytes written.
struct ByteCounter<W> {
    inner: W,
    bytes: u64,
}

impl<W: Write> Write for ByteCounter<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(buf)?;
        self.bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
