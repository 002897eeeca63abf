//! The process that asks a driver: it loads the library, confines itself, and sends the daemon what it reads, whenever it is
//! asked. It has nothing of the daemon: neither its memory nor its descriptors nor its environment.

use std::fs::File;
use std::io::{BufRead, Read, Write};
use std::path::{Path, PathBuf};

use common::exit::Exit;
use device::{OpenError, Source, SourceAddress, SourceKind, SourceReading, open_source};
use serde::{Deserialize, Serialize};

use crate::plan::devices::find_port;
use crate::privileges::{UsedFiles, confine_process};

/// Maximum length of a line from the daemon.
const MAX_LINE: u64 = 64 * 1024;

/// Where libraries of drivers, and what they load and read, are.
const READ: [&str; 13] = [
    "/usr",
    "/lib",
    "/lib64",
    "/proc",
    "/sys",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/nvidia",
    "/etc/ascend_install.info",
    "/etc/hccn.conf",
    "/run/nvidia-persistenced",
    "/var/dcmi",
    "/dev/null",
];

/// How the files of devices begin: of NVIDIA's driver (`Documentation` of the driver 580, "Device files") and of Ascend's
/// (driver 24.1, `/dev/davinci0`, `/dev/davinci_manager`, `/dev/devmm_svm`, `/dev/hisi_hdc`).
const DEVICE_FILES: [(SourceKind, &[&str]); 3] = [
    (SourceKind::Nvml, &["nvidia"]),
    (SourceKind::Dcgm, &[]),
    (SourceKind::Dcmi, &["davinci", "devmm_svm", "hisi_hdc"]),
];

/// The first line that a worker reads.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WorkerTask {
    pub(super) address: SourceAddress,
    /// Whether to give up where the library is not there.
    pub(super) is_auto: bool,
    pub(super) sandbox: bool,
}

/// A line that a worker writes for each line that it reads after the first.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum WorkerReply {
    Reading(SourceReading),
    /// The source cannot be read; the worker tries again when it is asked again.
    Failed(String),
    /// The library is not there, and no option names it: the worker ends.
    Absent(String),
}

/// Serves the daemon until it closes the pipe.
///
/// # Errors
/// The daemon is gone, or what it says is not what a daemon says.
pub(crate) fn run_worker() -> anyhow::Result<Exit> {
    let mut requests = std::io::stdin().lock();
    let mut replies = take_stdout()?;
    let task: WorkerTask = serde_json::from_str(&read_line(&mut requests)?)?;
    // Counters of the processor cannot be opened any more once the process is confined.
    let is_opened_first = task.address.kind == SourceKind::Pmu;
    let mut source = is_opened_first.then(|| open_source(&task.address));
    if task.sandbox {
        // What the kernel does not have, the daemon has said about itself.
        confine_process(&list_used_files(&task.address));
    }
    while !read_line(&mut requests)?.is_empty() {
        let opened = source.take().unwrap_or_else(|| open_source(&task.address));
        let reply = read_source(opened, &mut source, &task);
        let mut line = serde_json::to_vec(&reply)?;
        line.push(b'\n');
        replies.write_all(&line)?;
        if matches!(reply, WorkerReply::Absent(_)) {
            break;
        }
    }
    Ok(Exit::Ok)
}

/// Takes standard output for the replies: what a library prints there goes nowhere.
fn take_stdout() -> std::io::Result<File> {
    let replies = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?;
    rustix::stdio::dup2_stdout(File::options().write(true).open("/dev/null")?)?;
    Ok(replies.into())
}

type OpenResult = Result<Box<dyn Source>, OpenError>;

/// Reads an open source, and keeps it open if it answers. One that cannot be opened any more keeps its reason.
fn read_source(opened: OpenResult, kept: &mut Option<OpenResult>, task: &WorkerTask) -> WorkerReply {
    match opened {
        Ok(mut source) => match source.read() {
            Ok(reading) => {
                *kept = Some(Ok(source));
                WorkerReply::Reading(reading)
            }
            Err(e) => WorkerReply::Failed(e.to_string()),
        },
        Err(OpenError::NotLoaded(reason)) if task.is_auto => WorkerReply::Absent(reason),
        Err(e) => {
            let reply = WorkerReply::Failed(e.to_string());
            *kept = (task.address.kind == SourceKind::Pmu).then_some(Err(e));
            reply
        }
    }
}

/// Reads a line; empty at the end.
fn read_line(reader: &mut impl BufRead) -> anyhow::Result<String> {
    let mut line = String::new();
    reader.by_ref().take(MAX_LINE).read_line(&mut line)?;
    Ok(line)
}

/// Lists what the library of a source uses.
fn list_used_files(address: &SourceAddress) -> UsedFiles {
    let mut files = UsedFiles { read: READ.map(PathBuf::from).into(), ..UsedFiles::default() };
    let library = address.library.as_deref().and_then(|path| path.canonicalize().ok());
    files.read.extend(library.as_deref().and_then(Path::parent).map(Path::to_owned));
    let prefixes = DEVICE_FILES.iter().find(|(kind, _)| *kind == address.kind);
    let prefixes = prefixes.map_or(&[] as &[&str], |(_, prefixes)| *prefixes);
    let entries = std::fs::read_dir("/dev").into_iter().flatten().flatten();
    let named = entries.filter(|entry| {
        let name = entry.file_name();
        prefixes.iter().any(|prefix| name.to_string_lossy().starts_with(prefix))
    });
    files.devices = named.map(|entry| entry.path()).collect();
    if address.kind == SourceKind::Dcgm {
        files.connected_ports.extend(find_port(&address.host_engine));
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Broken;

    impl Source for Broken {
        fn read(&mut self) -> Result<SourceReading, device::CallError> {
            Err(device::CallError::Failed("gone".to_owned()))
        }
    }

    fn task(kind: SourceKind, is_auto: bool) -> WorkerTask {
        let address = SourceAddress {
            kind,
            library: Some("/nowhere/lib.so".into()),
            host_engine: "127.0.0.1:5555".into(),
            interval_us: 1,
        };
        WorkerTask { address, is_auto, sandbox: true }
    }

    #[test]
    fn a_library_that_is_missing_ends_a_worker_that_nobody_named() {
        let missing = || Err(OpenError::NotLoaded("no such library".to_owned()));
        let (auto, named) = (task(SourceKind::Nvml, true), task(SourceKind::Nvml, false));
        let mut kept = None;
        assert!(matches!(read_source(missing(), &mut kept, &auto), WorkerReply::Absent(_)));
        assert!(matches!(read_source(missing(), &mut kept, &named), WorkerReply::Failed(_)));
        let refused = || Err(OpenError::Refused("the driver is not loaded".to_owned()));
        assert!(matches!(read_source(refused(), &mut kept, &auto), WorkerReply::Failed(_)));
        // It is opened again the next time.
        assert!(matches!(read_source(Ok(Box::new(Broken)), &mut kept, &auto), WorkerReply::Failed(_)));
        assert!(kept.is_none());
        // This one could not be.
        let counters = task(SourceKind::Pmu, false);
        assert!(matches!(read_source(refused(), &mut kept, &counters), WorkerReply::Failed(_)));
        assert!(matches!(kept, Some(Err(_))));
    }

    #[test]
    fn a_worker_may_use_its_own_devices_only() {
        let address = |kind| task(kind, true).address;
        assert!(list_used_files(&address(SourceKind::Dcgm)).devices.is_empty());
        assert_eq!(list_used_files(&address(SourceKind::Dcgm)).connected_ports, [5555]);
        let nvml = list_used_files(&address(SourceKind::Nvml));
        assert!(nvml.connected_ports.is_empty() && nvml.written.is_empty());
        assert!(nvml.devices.iter().all(|path| path.to_string_lossy().starts_with("/dev/nvidia")));
    }
}
