//! The daemon under load.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use common::pki::{LoadOptions, MinVersion, MtlsDir, Role};
use serde_json::Value;
use tokio_rustls::TlsConnector;

use crate::client::Target;
use crate::ipc::Process;

/// A daemon, and the directory that its sockets and certificates are in.
pub(crate) struct Daemon {
    pub(crate) child: Child,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) port: u16,
    pub(crate) tls: Option<TlsConnector>,
}

impl Daemon {
    /// With room for many connections from this one address.
    pub(crate) fn start(tls: bool) -> anyhow::Result<Self> {
        Self::start_with(tls, &["--max-connections-per-peer=1024", "--max-pending-connections-per-peer=512"])
    }

    pub(crate) fn start_with(tls: bool, options: &[&str]) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let pki = dir.path().join("pki");
        let (certs, tls) = if tls {
            let mut mint = Command::new(env!("CARGO_BIN_EXE_certck"));
            let minted = mint.arg("mint").arg(&pki).stdout(Stdio::null()).status()?;
            anyhow::ensure!(minted.success(), "certck mint failed");
            let client = MtlsDir::load(&pki.join("client_certs"), Role::Client, &LoadOptions::now())?;
            let config = client.client_config(MinVersion::Tls13)?;
            (pki.join("server_certs"), Some(TlsConnector::from(Arc::new(config))))
        } else {
            (PathBuf::from("NO_CERTS"), None)
        };
        let has_address = options.iter().any(|option| option.starts_with("--bind"));
        let address: &[&str] = if has_address { &[] } else { &["--bind=127.0.0.1"] };
        let mut child = Command::new(env!("CARGO_BIN_EXE_profd"))
            .args(["--port=0", "--format=json", "--quiet", "--enable-ipc-monitor"])
            .args(address)
            .args(options)
            .arg("--certs-dir")
            .arg(certs)
            .arg(format!("--ipc=dir={}", dir.path().display()))
            .stdout(Stdio::piped())
            .spawn()?;
        let mut ready = String::new();
        let stdout = child.stdout.take().ok_or_else(|| anyhow::anyhow!("no standard output"))?;
        BufReader::new(stdout).read_line(&mut ready)?;
        let ready: Value = serde_json::from_str(&ready)?;
        let address = ready["addresses"][0].as_str().unwrap_or_default().to_owned();
        let port = address.rsplit(':').next().unwrap_or_default().parse()?;
        Ok(Self { child, dir, port, tls })
    }

    pub(crate) fn target(&self) -> Target {
        Target { port: self.port, tls: self.tls.clone() }
    }

    /// The memory that the daemon uses at present (proc_pid_status(5)).
    pub(crate) fn rss_kib(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    pub(crate) fn process(&self, name: &str) -> anyhow::Result<Process> {
        Process::new(name, self.dir.path())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The processor time of all threads of a process (proc(5), schedstat: nanoseconds on a processor first).
pub(crate) fn processor_time(pid: u32) -> anyhow::Result<Duration> {
    let mut all = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
        all += text.split_whitespace().next().unwrap_or_default().parse::<u64>()?;
    }
    Ok(Duration::from_nanos(all))
}

/// Starts this program once more, as a server that prints its port.
pub(crate) fn start_child(args: &[&OsStr]) -> anyhow::Result<(Reaped, u16)> {
    let mut command = Command::new(std::env::current_exe()?);
    let mut child = Reaped(command.args(args).stdout(Stdio::piped()).spawn()?);
    let stdout = child.0.stdout.take().ok_or_else(|| anyhow::anyhow!("no standard output"))?;
    let mut port = String::new();
    BufReader::new(stdout).read_line(&mut port)?;
    Ok((child, port.trim().parse()?))
}

/// A process that is killed when it goes out of scope.
pub(crate) struct Reaped(pub(crate) Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
