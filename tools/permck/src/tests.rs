//! What tests of the subcommands share.

pub(crate) use testkit::{ask, chmod, clean_dir, oracle, skip as skipped, write};

use common::exit::Exit;

use crate::Cli;

/// Runs `permck ARGS`; the exit status and what stood on standard output.
pub(crate) fn permck<A: AsRef<std::ffi::OsStr>>(args: &[A]) -> (Exit, String) {
    testkit::run_tool::<Cli>(args)
}

/// The rule and path of every finding in JSON lines.
pub(crate) fn findings(json: &str) -> Vec<(String, String)> {
    let parse = |line| common::record::read::<common::record::permck::PermckFinding>(line).unwrap();
    json.lines().filter_map(parse).map(|f| (f.rule, f.path.path)).collect()
}

/// The path and severity of every finding in JSON lines.
pub(crate) fn findings_with_severity(json: &str) -> Vec<(String, String)> {
    let parse = |line| common::record::read::<common::record::permck::PermckFinding>(line).unwrap();
    json.lines().filter_map(parse).map(|f| (f.path.path, f.severity.to_string())).collect()
}

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

/// What is mounted on a file or directory, until this goes: the directories of the test can be removed then.
pub(crate) struct TestMount(std::path::PathBuf);

impl TestMount {
    /// Mounts a file or directory on another one; `None`, and the test is reported as skipped, where that is not allowed.
    pub(crate) fn bind(from: &std::path::Path, to: &std::path::Path) -> Option<Self> {
        Self::mount(&["--bind".as_ref(), from.as_ref()], to)
    }

    /// Mounts an empty file system of some size; `None` as of [`Self::bind`].
    pub(crate) fn small_disk(size: &str, to: &std::path::Path) -> Option<Self> {
        let options = format!("size={size},mode=700");
        Self::mount(&["-t".as_ref(), "tmpfs".as_ref(), "-o".as_ref(), options.as_ref(), "none".as_ref()], to)
    }

    fn mount(args: &[&std::ffi::OsStr], to: &std::path::Path) -> Option<Self> {
        oracle("mount", &[args, &[to.as_ref()]].concat()).map(|_| Self(to.to_owned()))
    }
}

impl Drop for TestMount {
    fn drop(&mut self) {
        // What cannot be unmounted goes with the mount namespace.
        ask("umount", &[self.0.as_ref()]).ok();
    }
}
