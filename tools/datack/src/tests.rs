//! What tests of the subcommands share: the tool run in this process, its output in a string.

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use clap::Parser;
use common::cli::Tool;
use common::exit::Exit;
use common::out::{Out, Verbosity};

use crate::Cli;

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs `datack ARGS`; the exit status and what stood on standard output.
pub(crate) fn datack<A: AsRef<std::ffi::OsStr>>(args: &[A]) -> (Exit, String) {
    let words = std::iter::once("datack".into()).chain(args.iter().map(|a| a.as_ref().to_owned()));
    let cli = Cli::try_parse_from(words).unwrap();
    let buffer = Buffer::default();
    let mut out = Out::to(Box::new(buffer.clone()), "datack", false, Verbosity::Quiet);
    let exit = cli.run(&mut out).unwrap_or_else(|e| {
        out.diag().fatal(&e);
        Exit::Failed
    });
    let exit = exit.max(out.diag().exit());
    out.flush().unwrap();
    drop(out);
    let bytes = buffer.0.lock().unwrap().clone();
    (exit, String::from_utf8(bytes).unwrap())
}

pub(crate) fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

pub(crate) fn write(path: &Path, mode: u32, content: impl AsRef<[u8]>) {
    std::fs::write(path, content).unwrap();
    chmod(path, mode);
}

/// A directory that breaks no rule by itself.
pub(crate) fn clean_dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    chmod(dir.path(), 0o700);
    dir
}

/// Reports that the running test cannot be done here.
#[track_caller]
pub(crate) fn skipped(why: impl std::fmt::Display) {
    testkit::skip(why);
}

pub(crate) use testkit::{ask, oracle};

/// Runs a test of this program again, alone, where it may do more: in a namespace of its own that `unshare` makes
/// with these options. Tells whether that was this run's part: the test is done then, or cannot be done here.
pub(crate) fn elsewhere(test: &str, options: &[&str]) -> bool {
    const INSIDE: &str = "PERMCK_TEST_ELSEWHERE";
    if std::env::var_os(INSIDE).is_some() {
        return false;
    }
    let unshare = |args: &[&std::ffi::OsStr]| {
        std::process::Command::new("unshare").args(options).args(args).env(INSIDE, "1").output()
    };
    let options_and_true = [options, &["true"]].concat();
    if oracle("unshare", &options_and_true.iter().map(std::ffi::OsStr::new).collect::<Vec<_>>()).is_none() {
        return true;
    }
    let program = std::env::current_exe().unwrap();
    let output =
        unshare(&[program.as_ref(), "--exact".as_ref(), "--nocapture".as_ref(), test.as_ref()]).unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && stdout.contains("1 passed"), "{stdout}{stderr}");
    testkit::forward(&stderr);
    true
}

/// The options of [`elsewhere`] for who is root already, and for who is not and becomes root of a user namespace
/// with a range of ids, without which nothing can be given away.
pub(crate) fn as_root<'a>(root: &'a [&'a str], user: &'a [&'a str]) -> &'a [&'a str] {
    if rustix::process::geteuid().is_root() { root } else { user }
}
