//! Trees that are deeper than there are open files.

use std::os::fd::OwnedFd;

use rustix::fs::{self as rfs, OFlags};

use crate::tests::{clean_dir, permck};

const INSIDE: &str = "PERMCK_TEST_FEW_FILES";

/// With directories beside the way down, which wait with a descriptor each. The soft limit is what a shell has.
#[test]
fn a_deep_tree_is_audited_completely() {
    if std::env::var_os(INSIDE).is_none() {
        let program = std::env::current_exe().unwrap();
        let test = "cmd::audit::tests::deep::a_deep_tree_is_audited_completely";
        let script = "ulimit -Sn 256; exec \"$0\" --exact \"$1\"";
        let mut shell = std::process::Command::new("sh");
        let output = shell.args(["-c", script]).arg(program).arg(test).env(INSIDE, "1").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    let dir = clean_dir();
    let mut fd = OwnedFd::from(std::fs::File::open(dir.path()).unwrap());
    for _ in 0..300 {
        for name in ["a", "b", "c", "d"] {
            rfs::mkdirat(&fd, name, rfs::Mode::RWXU).unwrap();
        }
        fd = rfs::openat(&fd, "b", OFlags::DIRECTORY, rfs::Mode::empty()).unwrap();
    }
    let file = rfs::openat(&fd, "f", OFlags::CREATE | OFlags::WRONLY, rfs::Mode::empty()).unwrap();
    rfs::fchmod(&file, rfs::Mode::from_raw_mode(0o666)).unwrap();
    let (exit, text) = permck(&["audit".as_ref(), "--strict".as_ref(), dir.path().as_os_str()]);
    assert!(exit == common::exit::Exit::No && text.contains("[world-writable]"), "{exit:?} {text}");
}
