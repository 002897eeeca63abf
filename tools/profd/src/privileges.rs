//! Gives up what the daemon does not need: another user's privileges, core dumps, new programs, files elsewhere.
//!
//! Everything here is for the calling thread and those that it starts later, so it runs before there are any.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, path_beneath_rules,
};
use rustix::process::{DumpableBehavior, Gid, Resource, Rlimit, Uid, setrlimit};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

use crate::plan::RunAs;

/// The version of Landlock whose rights are used, as far as the kernel has them (Linux 6.10).
const LANDLOCK_ABI: ABI = ABI::V5;

/// System calls that the daemon never makes, and that an attacker who controls it would: to start programs, to look into other
/// processes, to change the system.
const DENIED_CALLS: [libc::c_long; 30] = [
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_open_by_handle_at,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
];

/// The files that the daemon uses once it runs, and the ports.
#[derive(Clone, Debug, Default)]
pub(crate) struct UsedFiles {
    /// Directories and files that are read.
    pub(crate) read: Vec<PathBuf>,
    /// Directories in which files are created, written and removed.
    pub(crate) written: Vec<PathBuf>,
    /// Directories in which sockets are created and removed.
    pub(crate) sockets: Vec<PathBuf>,
    /// Files of devices, and directories of them, that are read, written and controlled.
    pub(crate) devices: Vec<PathBuf>,
    /// TCP ports that the daemon connects to.
    pub(crate) connected_ports: Vec<u16>,
}

/// Becomes another user permanently, with the groups of that user only.
///
/// # Errors
/// This process is not root's, or it has other threads already.
pub(crate) fn become_user(account: &RunAs) -> anyhow::Result<()> {
    let threads = std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    ensure!(threads == 1, "cannot change the user: there are {threads} threads");
    let groups: Vec<Gid> = account.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    let (uid, gid) = (Uid::from_raw(account.uid), Gid::from_raw(account.gid));
    rustix::thread::set_thread_groups(&groups).context("setgroups(2)")?;
    rustix::thread::set_thread_res_gid(gid, gid, gid).context("setresgid(2)")?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).context("setresuid(2)")?;
    Ok(())
}

/// Gives up everything else, as far as the kernel can do it. Returns a line for each part that it cannot.
pub(crate) fn confine_process(files: &UsedFiles) -> Vec<String> {
    let mut missing = Vec::new();
    let mut attempt = |what: &str, done: anyhow::Result<()>| {
        if let Err(e) = done {
            missing.push(format!("{what}: {e:#}"));
        }
    };
    attempt("core dumps cannot be switched off", forbid_core_dumps());
    attempt("no_new_privs cannot be set", Ok(rustix::thread::set_no_new_privs(true)).and_then(|r| Ok(r?)));
    attempt("file access is not confined (Landlock)", restrict_files(files));
    attempt("system calls are not confined (seccomp)", restrict_calls());
    missing
}

/// Keeps the private key out of core dumps and away from debuggers of the same user (prctl(2), PR_SET_DUMPABLE).
fn forbid_core_dumps() -> anyhow::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    Ok(rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

fn restrict_files(files: &UsedFiles) -> anyhow::Result<()> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let written = read
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::RemoveFile;
    let sockets: BitFlags<AccessFs> = AccessFs::ReadDir | AccessFs::MakeSock | AccessFs::RemoveFile;
    let devices = read | AccessFs::WriteFile | AccessFs::IoctlDev;
    let connected = files.connected_ports.iter().map(|port| Ok(NetPort::new(*port, AccessNet::ConnectTcp)));
    let connected = connected.collect::<Vec<Result<_, RulesetError>>>();
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(LANDLOCK_ABI))?
        // The daemon accepts connections; it makes those to a collector of metrics.
        .handle_access(AccessNet::ConnectTcp)?
        .create()?
        .add_rules(path_beneath_rules(&files.read, read))?
        .add_rules(path_beneath_rules(&files.written, written))?
        .add_rules(path_beneath_rules(&files.sockets, sockets))?
        .add_rules(path_beneath_rules(&files.devices, devices))?
        .add_rules(connected)?
        .restrict_self()?;
    ensure!(status.ruleset != RulesetStatus::NotEnforced, "the kernel does not have it");
    Ok(())
}

fn restrict_calls() -> anyhow::Result<()> {
    let rules: BTreeMap<_, _> = DENIED_CALLS.iter().map(|call| (*call, Vec::new())).collect();
    let denied = SeccompAction::Errno(u32::try_from(libc::EPERM)?);
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        denied,
        TargetArch::try_from(std::env::consts::ARCH)?,
    )?;
    let program: BpfProgram = filter.try_into()?;
    Ok(seccompiler::apply_filter(&program)?)
}
