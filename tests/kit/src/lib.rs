//! How a test reports what its result does not say: that it could not run here, that a part of it could not, which
//! foreign program it ran against, and what it noticed without failing.
//!
//! libtest counts a test that returns early as passed, and shows what it printed only when it fails. Each function
//! here writes one line to standard error, past libtest's capture, and `tests/run` (`make test`) reads these lines:
//!
//! ```text
//! SKIPPED <test>: <reason>
//! PARTLY SKIPPED <test>: <reason>
//! USED <program>: <version>
//! NOTE <test>: <text>
//! ```
//!
//! A reason is counted with others of the same text, so it names no temporary path and no number.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use common::cli::Tool;
use common::exit::Exit;
use common::out::{Out, Verbosity};

/// Reports that the running test could not run. The test returns after it:
///
/// ```ignore
/// let Some(openssl) = testkit::require("openssl") else { return };
/// ```
#[track_caller]
pub fn skip(reason: impl Display) {
    write_line(&format!("SKIPPED {}: {reason}", running_test()));
}

/// Reports that a part of the running test could not run; the rest of it decides the result.
#[track_caller]
pub fn skip_part(reason: impl Display) {
    write_line(&format!("PARTLY SKIPPED {}: {reason}", running_test()));
}

/// Reports something that is worth a line and does not fail the test.
#[track_caller]
pub fn note(text: impl Display) {
    write_line(&format!("NOTE {}: {text}", running_test()));
}

/// The value, or `None` after [`skip`] with the error as the reason.
#[track_caller]
pub fn or_skip<T, E: Display>(result: Result<T, E>) -> Option<T> {
    result.map_err(|reason| skip(reason)).ok()
}

/// Finds a foreign program that the running test needs; `None` after [`skip`] where it is not on PATH.
#[track_caller]
pub fn require(program: &str) -> Option<PathBuf> {
    or_skip(find(program))
}

/// Skips the running test where it does not run as root. Returns whether it does.
#[track_caller]
pub fn require_root() -> bool {
    let root = is_root();
    if !root {
        skip("not root");
    }
    root
}

/// Whether this process runs as root.
#[must_use]
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

/// A file or directory of the sample data, which is no part of the project and lies beside it; `None` after
/// [`skip`] where it is absent.
#[track_caller]
pub fn require_data(path: &str) -> Option<PathBuf> {
    const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let found = Path::new(DATA).join(path);
    let reason =
        if Path::new(DATA).exists() { format!("no {path} in ../shared/data") } else { NO_DATA.into() };
    or_skip(found.exists().then_some(found).ok_or(reason))
}

const NO_DATA: &str = "no ../shared/data";

/// Finds a foreign program on PATH and reports its version, once in each test program.
///
/// # Errors
/// No directory of PATH has it, or it is an `openssl` that the tests are not written for; the error is the reason for
/// [`skip`].
pub fn find(program: &str) -> Result<PathBuf, String> {
    static FOUND: Mutex<BTreeMap<String, Result<PathBuf, String>>> = Mutex::new(BTreeMap::new());
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    found.entry(program.to_owned()).or_insert_with(|| look_for(program)).clone()
}

fn look_for(program: &str) -> Result<PathBuf, String> {
    let dirs = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&dirs).map(|dir| dir.join(program)).find(|path| is_executable(path));
    let path = found.ok_or_else(|| format!("no {program} on PATH"))?;
    let version = version(&path).unwrap_or("version unknown".into());
    if program == "openssl" {
        supported_openssl(&version)?;
    }
    write_line(&format!("USED {program}: {version}"));
    Ok(path)
}

/// Before 3.0, `openssl` lacked options that the tests give, and `-x509_strict` checked less. LibreSSL, which has an
/// `openssl` too, counts its versions by itself.
fn supported_openssl(version: &str) -> Result<(), String> {
    let major = version.strip_prefix("OpenSSL ").and_then(|rest| rest.split('.').next()?.parse::<u32>().ok());
    if major.is_some_and(|major| major >= 3) {
        return Ok(());
    }
    let name: Vec<_> = version.split_whitespace().take(2).collect();
    Err(format!("openssl on PATH is {}, not OpenSSL 3.0 or later", name.join(" ")))
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// The first line of a program's version, if it has an option for it: `openssl` has a subcommand, and the programs of
/// iproute2 take `-V` only (`main`, ip/ip.c).
#[must_use]
pub fn version(program: &Path) -> Option<String> {
    let how = match program.file_name().and_then(OsStr::to_str) {
        Some("openssl") => "version",
        Some("ip" | "ss" | "tc" | "bridge") => "-V",
        _ => "--version",
    };
    let output = Command::new(program).arg(how).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().next().map(str::trim).filter(|line| output.status.success() && !line.is_empty());
    line.map(str::to_owned)
}

/// Passes on the reports of a test program that a test has run with its standard error piped. Other lines are left.
pub fn forward(stderr: &str) {
    let reports = ["SKIPPED ", "PARTLY SKIPPED ", "USED ", "NOTE "];
    stderr.lines().filter(|line| reports.iter().any(|r| line.starts_with(r))).for_each(write_line);
}

/// libtest names a test's thread after the test; where it has only one thread, the calling line names it.
#[track_caller]
fn running_test() -> String {
    let here = Location::caller();
    match std::thread::current().name() {
        Some(name) if name != "main" => name.to_owned(),
        _ => format!("{}:{}", here.file(), here.line()),
    }
}

/// One line in one write, so that no other output comes between. libtest captures what macros print, not this.
fn write_line(line: &str) {
    let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let _ = std::io::stderr().lock().write_all(format!("{line}\n").as_bytes());
}

/// Runs a program that a test compares with; `None`, and the test is reported as skipped, where it is not installed
/// or may not do it.
#[track_caller]
pub fn oracle(program: &str, args: &[&std::ffi::OsStr]) -> Option<Vec<u8>> {
    or_skip(ask(program, args))
}

/// Runs a program that a part of a test compares with; the error is the reason why that part is skipped.
pub fn ask(program: &str, args: &[&std::ffi::OsStr]) -> Result<Vec<u8>, String> {
    let output = Command::new(find(program)?).args(args).output();
    let output = output.map_err(|e| format!("{program}: {e}"))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    // `setfacl: /tmp/x/f: Operation not supported`: only the reason is the same for all paths.
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let reason = said.lines().next().unwrap_or_default().trim_end().rsplit(": ").next();
    Err(format!("{program}: {}", reason.unwrap_or_default()))
}

/// Gives a fuzz target each seed of a directory, and what becomes of it when bytes are changed, cut out and repeated.
///
/// # Panics
/// The directory cannot be read or is empty; the target panics.
pub fn mutate_seeds(seeds: &Path, target: impl Fn(&[u8])) {
    let mut state = 5_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % below.max(1)
    };
    let seeds: Vec<_> = std::fs::read_dir(seeds).expect("seeds").flatten().collect();
    assert!(!seeds.is_empty(), "no seeds");
    for seed in seeds {
        let seed = std::fs::read(seed.path()).expect("a seed");
        target(&seed);
        for _ in 0..400 {
            let mut bytes = seed.clone();
            for _ in 0..random(4) + 1 {
                let (a, b) = (random(bytes.len()), random(bytes.len()));
                match random(3) {
                    0 => drop(bytes.drain(a.min(b)..a.max(b))),
                    1 => bytes.extend_from_within(a.min(b)..a.max(b)),
                    _ if a < bytes.len() => bytes[a] = random(256) as u8,
                    _ => {}
                }
            }
            target(&bytes);
        }
    }
}

#[derive(Clone, Default)]
struct SharedBuffer(Arc<Mutex<Vec<u8>>>);

impl Write for SharedBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a tool that ran in this process has left.
#[derive(Debug)]
pub struct ToolRun {
    /// Exit status.
    pub exit: Exit,
    /// The number of errors that it has reported.
    pub errors: u64,
    /// What it wrote to standard output.
    pub stdout: String,
    /// The error that ended the run, if one did.
    pub fatal: Option<String>,
}

impl ToolRun {
    /// The records, the summary last.
    ///
    /// # Panics
    /// A line is not JSON.
    #[must_use]
    pub fn records(&self) -> Vec<serde_json::Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    /// The records of one type.
    #[must_use]
    pub fn of(&self, kind: &str) -> Vec<serde_json::Value> {
        self.records().into_iter().filter(|record| record["type"] == kind).collect()
    }
}

/// Runs a tool in this process, whatever comes of it; arguments that do not parse end it.
///
/// # Panics
/// The output is not UTF-8.
pub fn run_tool_to_end<C: clap::Parser + Tool>(
    args: impl IntoIterator<Item = impl Into<OsString>>,
) -> ToolRun {
    let words = std::iter::once(C::NAME.into()).chain(args.into_iter().map(Into::into));
    let buffer = SharedBuffer::default();
    let mut out = Out::to(Box::new(buffer.clone()), C::NAME, false, Verbosity::Quiet);
    let result = C::try_parse_from(words).map_err(anyhow::Error::from).and_then(|cli| cli.run(&mut out));
    let exit = result.as_ref().map_or(Exit::Failed, |exit| (*exit).max(out.diag().exit()));
    let errors = out.diag().errors();
    out.flush().expect("a buffer takes all");
    drop(out);
    let bytes = buffer.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let stdout = String::from_utf8(bytes).expect("tools write UTF-8");
    ToolRun { exit, errors, stdout, fatal: result.err().map(|e| format!("{e:#}")) }
}

/// Runs a tool in this process; its exit status and what it wrote to standard output.
///
/// # Panics
/// The arguments do not parse, or the output is not UTF-8.
pub fn run_tool<C: clap::Parser + Tool>(args: &[impl AsRef<OsStr>]) -> (Exit, String) {
    let words = std::iter::once(C::NAME.into()).chain(args.iter().map(|a| a.as_ref().to_owned()));
    let cli = C::try_parse_from(words).expect("arguments that parse");
    let buffer = SharedBuffer::default();
    let mut out = Out::to(Box::new(buffer.clone()), C::NAME, false, Verbosity::Quiet);
    let exit = cli.run(&mut out).unwrap_or_else(|e| {
        out.diag().fatal(&e);
        Exit::Failed
    });
    let exit = exit.max(out.diag().exit());
    out.flush().expect("a buffer takes all");
    drop(out);
    let bytes = buffer.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    (exit, String::from_utf8(bytes).expect("tools write UTF-8"))
}

/// Every file below a directory, sorted.
///
/// # Panics
/// A directory cannot be read.
#[must_use]
pub fn list_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { files.extend(list_files(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

/// Sets the mode of a file or directory.
///
/// # Panics
/// It cannot be set.
pub fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode that can be set");
}

/// Writes a file with this mode.
///
/// # Panics
/// It cannot be written.
pub fn write(path: &Path, mode: u32, content: impl AsRef<[u8]>) {
    std::fs::write(path, content).expect("a file that can be written");
    chmod(path, mode);
}

/// A directory that breaks no rule of permck by itself.
///
/// # Panics
/// It cannot be made.
#[must_use]
pub fn clean_dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    chmod(dir.path(), 0o700);
    dir
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    const INSIDE: &str = "TESTKIT_INSIDE";

    /// Runs a test of this program alone, where it reports; its standard error. libtest captures what it may.
    fn reported(test: &str, threads: &str) -> String {
        let mut program = Command::new(std::env::current_exe().unwrap());
        program.args(["--exact", test, "--test-threads", threads]).env(INSIDE, "1");
        let output = program.output().unwrap();
        assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("1 passed"));
        String::from_utf8(output.stderr).unwrap()
    }

    #[test]
    fn a_report_passes_libtest_and_names_its_test() {
        const NAME: &str = "tests::a_report_passes_libtest_and_names_its_test";
        if std::env::var_os(INSIDE).is_some() {
            skip("no moon\ntoday");
            skip_part("no sun");
            note("stars agree");
            assert!(require("no-such-program").is_none());
            assert_eq!(require_data("no/such/file"), None);
            forward("SKIPPED other: x\nnoise\nUSED y: 1\n");
            return;
        }
        let expected = [
            format!("SKIPPED {NAME}: no moon today"),
            format!("PARTLY SKIPPED {NAME}: no sun"),
            format!("NOTE {NAME}: stars agree"),
            format!("SKIPPED {NAME}: no no-such-program on PATH"),
        ];
        let text = reported(NAME, "2");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[..4], expected);
        assert!(
            lines[4].starts_with(&format!("SKIPPED {NAME}: no ")) && lines[4].ends_with("../shared/data")
        );
        assert_eq!(lines[5..], ["SKIPPED other: x", "USED y: 1"]);
        // With one thread there may be no name of a test; the place stands for it.
        let alone = reported(NAME, "1");
        let first = alone.lines().next().unwrap();
        assert!(first == expected[0] || first.starts_with("SKIPPED tests/kit/src/lib.rs:"), "{first}");
        assert_eq!(alone.lines().count(), lines.len());
    }

    #[test]
    fn tests_are_for_openssl_3_and_later() {
        for good in ["OpenSSL 3.0.22 25 Aug 2026 (Library: OpenSSL 3.0.22 25 Aug 2026)", "OpenSSL 10.1.0 x"] {
            assert_eq!(supported_openssl(good), Ok(()));
        }
        let old = supported_openssl("OpenSSL 1.1.1w  11 Sep 2023").unwrap_err();
        assert_eq!(old, "openssl on PATH is OpenSSL 1.1.1w, not OpenSSL 3.0 or later");
        supported_openssl("LibreSSL 3.8.2").unwrap_err();
        supported_openssl("version unknown").unwrap_err();
    }

    /// `ip --version` is an error, so its version is asked for with `-V`.
    #[test]
    fn versions_are_asked_for_as_each_program_takes_it() {
        let dir = clean_dir();
        for (name, option) in [("ip", "-V"), ("openssl", "version"), ("nft", "--version")] {
            let path = dir.path().join(name);
            write(&path, 0o755, format!("#!/bin/sh\n[ \"$1\" = {option} ] && echo \"{name} 1.2\"\n"));
            assert_eq!(version(&path), Some(format!("{name} 1.2")));
        }
    }

    #[test]
    fn a_program_is_what_may_be_run() {
        let sh = find("sh").unwrap();
        assert!(
            is_executable(&sh) && !is_executable(Path::new("/")) && !is_executable(Path::new("/etc/passwd"))
        );
        assert_eq!(find("no-such-program").unwrap_err(), "no no-such-program on PATH");
    }
}
