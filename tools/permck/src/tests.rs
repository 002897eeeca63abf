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

/// Runs `permck ARGS`; the exit status and what stood on standard output.
pub(crate) fn permck<A: AsRef<std::ffi::OsStr>>(args: &[A]) -> (Exit, String) {
    let words = std::iter::once("permck".into()).chain(args.iter().map(|a| a.as_ref().to_owned()));
    let cli = Cli::try_parse_from(words).unwrap();
    let buffer = Buffer::default();
    let mut out = Out::to(Box::new(buffer.clone()), "permck", false, Verbosity::Quiet);
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

/// The rule and path of every finding in JSON lines.
pub(crate) fn findings(json: &str) -> Vec<(String, String)> {
    let parse = |line| common::record::read::<common::record::permck::Finding>(line).unwrap();
    json.lines().filter_map(parse).map(|f| (f.rule, f.path)).collect()
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

/// Runs a program that a test compares with; `None`, and a line that says so, where it is not installed.
pub(crate) fn oracle(program: &str, args: &[&std::ffi::OsStr]) -> Option<Vec<u8>> {
    match std::process::Command::new(program).args(args).output() {
        Ok(output) => Some(output.stdout),
        Err(e) => {
            eprintln!("skipped: {program}: {e}");
            None
        }
    }
}
