//! Copies of the traces in one directory: from a directory that this machine shares, or from the hosts, with ssh or rsync
//! as they are installed and configured.
//!
//! Data from a host is not trusted: names are made here, and names inside a trace's directory must be plain. A copy
//! counts when its SHA-256 is that of the original.

mod child;
mod remote;
mod shared;

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, ensure};
use clap::{Args, ValueHint};
use common::error::HintExt;

use super::plain_name::require_plain_name;
pub(super) use remote::RemoteCopies;
pub(super) use shared::copy_shared;

/// The options about collecting.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct CollectArgs {
    /// Wait for the traces, and copy them into this directory as HOST_FILE; each copy is verified by its SHA-256
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    collect: Option<PathBuf>,
    /// How to reach the traces: in a directory that this machine shares, with ssh, or with rsync over ssh
    ///
    /// ssh and rsync run as they are configured for this user, without asking for passwords; the names of the hosts are
    /// those that the daemons were reached by. They copy files, not the directories of nputrace.
    #[arg(long, value_enum, default_value_t, requires = "collect", value_name = "WAY")]
    collect_with: CollectWay,
    /// Maximum size of a trace that is copied with ssh or rsync
    #[arg(long, default_value = "16GiB", value_parser = common::size::parse_size, requires = "collect", value_name = "SIZE")]
    max_trace_bytes: u64,
}

/// How the traces are reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum CollectWay {
    /// In a directory that this machine shares with the hosts.
    #[default]
    Shared,
    /// `ssh HOST cat FILE`.
    Ssh,
    /// `rsync HOST:FILE`.
    Rsync,
}

/// Where to copy the traces, and how.
#[derive(Clone, Debug)]
pub(crate) struct CollectPlan {
    pub(super) dir: PathBuf,
    way: CollectWay,
    max_bytes: u64,
}

impl CollectArgs {
    /// Creates the directory.
    ///
    /// # Errors
    /// It cannot be created, or is none.
    pub(super) fn plan(&self) -> anyhow::Result<Option<CollectPlan>> {
        let Some(dir) = &self.collect else { return Ok(None) };
        let subject = || format!("--collect: {}", dir.display());
        if !dir.exists() {
            // Traces show what a program computes: no others may read them.
            common::fsat::create_dir(dir, common::policy::Mode(0o750)).with_context(subject)?;
        }
        ensure!(dir.is_dir(), "{}: is not a directory", subject());
        Ok(Some(CollectPlan { dir: dir.clone(), way: self.collect_with, max_bytes: self.max_trace_bytes }))
    }
}

impl CollectPlan {
    /// Whether the traces are in a directory of this machine.
    pub(crate) fn is_shared(&self) -> bool {
        self.way == CollectWay::Shared
    }
}

/// Returns where the copy of a trace goes: `HOST_FILE`.
///
/// # Errors
/// The name is unsafe, or the file exists already.
fn destination_of(dir: &Path, host: &str, source: &Path) -> anyhow::Result<PathBuf> {
    let name = source.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    require_plain_name(name)?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    let host: String = host.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    let path = dir.join(format!("{}_{name}", host.trim_start_matches(['.', '-'])));
    if path.symlink_metadata().is_ok() {
        return Err(anyhow!("{}: exists already", path.display())).hint("collect into an empty directory");
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_named_by_host_and_file() {
        let dir = tempfile::tempdir().unwrap();
        let of = |host: &str, source: &str| destination_of(dir.path(), host, Path::new(source));
        let named = |host: &str| of(host, "/tmp/t_5.json").unwrap().file_name().unwrap().to_owned();
        assert_eq!(named("node1"), "node1_t_5.json");
        assert_eq!(named("fe80::1%eth0"), "fe80__1_eth0_t_5.json");
        assert_eq!(named("..-x"), "x_t_5.json");
        for odd in ["/tmp/-rf", "/tmp/.x", "/tmp/a b", "/tmp/$(x)", "/tmp/a\nb", "/tmp/é", "/", "/tmp/.."] {
            assert!(of("node1", odd).is_err(), "{odd}");
        }
        std::fs::write(dir.path().join("node1_t_5.json"), "").unwrap();
        assert!(of("node1", "/tmp/t_5.json").unwrap_err().to_string().ends_with("exists already"));
    }
}
