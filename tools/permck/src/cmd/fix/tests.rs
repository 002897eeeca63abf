//! Fixing and undoing real trees: what is changed, what is refused, and that nothing outside is touched.

use std::ffi::OsStr;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use super::*;
use crate::tests::{TestMount, as_root, chmod, clean_dir, elsewhere, oracle, permck, skipped, write};

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn fix(record: &Path, tree: &Path) -> (Exit, String) {
    permck(&[OsStr::new("fix"), "--strict".as_ref(), "--record".as_ref(), record.as_ref(), tree.as_ref()])
}

/// Every mode, fixed: no bit outside the maximum is left, no bit is gained, and undo restores all of it.
#[test]
fn every_mode_is_tightened_and_put_back() {
    let (dir, place) = (clean_dir(), clean_dir());
    let record = place.path().join("changes");
    let files: Vec<_> = (0..0o10000).step_by(7).map(|m| (m, dir.path().join(format!("f{m:04o}")))).collect();
    for (mode, path) in &files {
        write(path, *mode, "");
    }
    // Setting setgid may have been refused silently for a group that we are not in.
    let before: Vec<_> = files.iter().map(|(_, path)| mode(path)).collect();
    assert_eq!(fix(&record, dir.path()).0, Exit::Ok);
    for ((_, path), before) in files.iter().zip(&before) {
        let max = if before & 0o111 != 0 { 0o550 } else { 0o640 };
        assert_eq!(mode(path), before & max, "{}", path.display());
    }
    assert_eq!(mode(&record), 0o600);
    // Twice is as good as once, and leaves no record of nothing.
    let again = place.path().join("again");
    assert_eq!(fix(&again, dir.path()), (Exit::Ok, String::new()));
    assert!(!again.exists());
    let (exit, _) = permck(&["undo".as_ref(), record.as_os_str()]);
    assert_eq!(exit, Exit::Ok);
    for ((_, path), before) in files.iter().zip(&before) {
        assert_eq!(mode(path), *before, "{}", path.display());
    }
    let (exit, text) = permck(&["undo".as_ref(), record.as_os_str()]);
    assert_eq!((exit, text.as_str()), (Exit::Ok, ""));
}

#[test]
fn a_dry_run_changes_nothing_and_says_what_it_would() {
    let dir = clean_dir();
    let path = dir.path().join("f");
    write(&path, 0o666, "x");
    let (exit, text) = permck(&[OsStr::new("fix"), "--strict".as_ref(), "-n".as_ref(), dir.path().as_ref()]);
    assert_eq!((exit, mode(&path)), (Exit::No, 0o666));
    let shown =
        format!("would change {}: 0666 to 0640 [world-writable]\n", path.canonicalize().unwrap().display());
    assert_eq!(text, shown);
}

#[test]
fn hard_links_and_symlinks_are_skipped() {
    let (dir, other) = (clean_dir(), clean_dir());
    let victim = other.path().join("victim");
    write(&victim, 0o666, "x");
    std::fs::hard_link(&victim, dir.path().join("hard")).unwrap();
    symlink(&victim, dir.path().join("soft")).unwrap();
    let (exit, text) = fix(&other.path().join("record"), dir.path());
    assert_eq!((exit, mode(&victim)), (Exit::No, 0o666));
    assert!(text.contains("it has 2 hard links"), "{text}");
}

#[test]
fn an_acl_is_removed_without_giving_the_group_its_mask_and_put_back() {
    let (dir, place) = (clean_dir(), clean_dir());
    let path = dir.path().join("f");
    write(&path, 0o600, "x");
    let acl = ["-m".as_ref(), OsStr::new("u:65534:rw,g::r,m::rw"), path.as_ref()];
    if oracle("setfacl", &acl).is_none() || mode(&path) != 0o660 {
        return skipped("no ACLs can be set here");
    }
    let show = || oracle("getfacl", &["-npE".as_ref(), path.as_ref()]).unwrap();
    let before = show();
    let record = place.path().join("r");
    assert_eq!(fix(&record, dir.path()).0, Exit::Ok);
    // The mode showed the mask, rw; the owning group had r.
    assert_eq!(mode(&path), 0o640);
    assert!(!String::from_utf8(show()).unwrap().contains("65534"));
    assert_eq!(permck(&["undo".as_ref(), record.as_os_str()]).0, Exit::Ok);
    assert_eq!(show(), before);
}

/// An ACL that fix leaves, because its mask lets nobody in, and the mode beside it.
#[test]
fn undo_restores_the_mode_beside_an_acl_that_stayed() {
    let (dir, place) = (clean_dir(), clean_dir());
    let (masked, mask_only) = (dir.path().join("masked"), dir.path().join("mask-only"));
    for (path, acl) in [(&masked, "u:65534:r,m:---"), (&mask_only, "m::r")] {
        write(path, 0o600, "x");
        if oracle("setfacl", &["-m".as_ref(), OsStr::new(acl), path.as_ref()]).is_none() {
            return skipped("no ACLs can be set here");
        }
        chmod(path, mode(path) | 0o004);
    }
    let show = || [&masked, &mask_only].map(|path| oracle("getfacl", &["-npE".as_ref(), path.as_ref()]));
    let before = show();
    let record = place.path().join("r");
    assert_eq!(fix(&record, dir.path()).0, Exit::Ok);
    assert_ne!(show(), before);
    assert!(String::from_utf8(show()[0].clone().unwrap()).unwrap().contains("65534"));
    assert_eq!(undo(&record).0, Exit::Ok);
    assert_eq!(show(), before);
    // An ACL that somebody gave it since is not touched.
    assert_eq!(fix(&record, dir.path()).0, Exit::Ok);
    oracle("setfacl", &["-m".as_ref(), OsStr::new("u:65534:rw,m::rw"), mask_only.as_ref()]).unwrap();
    assert_eq!(undo(&record).0, Exit::No);
}

/// As the account of a web server: its files are root's, and it reads them as one of the others.
#[test]
fn root_does_not_cut_off_a_running_service_without_being_told() {
    if !rustix::process::geteuid().is_root() {
        return skipped("not root");
    }
    let Some(setpriv) = testkit::require("setpriv") else { return };
    let (dir, place) = (clean_dir(), clean_dir());
    chmod(dir.path(), 0o755);
    let page = dir.path().join("index.html");
    write(&page, 0o644, "x");
    let mut service = std::process::Command::new(setpriv);
    let mut service =
        service.args(["--reuid", "33", "--regid", "33", "--clear-groups", "sleep", "60"]).spawn().unwrap();
    let record = place.path().join("r");
    let run = |more: &[&str]| {
        use clap::Parser;
        use common::cli::Tool;
        let args: [&OsStr; 4] = ["permck".as_ref(), "fix".as_ref(), "--record".as_ref(), record.as_ref()];
        let args = args.into_iter().chain(more.iter().map(OsStr::new)).chain([dir.path().as_os_str()]);
        let mut out = Out::to(Box::new(std::io::sink()), "permck", false, Verbosity::Quiet);
        let ran = crate::Cli::try_parse_from(args).unwrap().run(&mut out);
        ran.map_err(|e| format!("{e:#}\n{}", common::error::hint_of(&e).unwrap_or_default()))
    };
    // setpriv needs a moment to become the account.
    let status = format!("/proc/{}/status", service.id());
    let is_service = || std::fs::read_to_string(&status).is_ok_and(|text| text.contains("Uid:\t33\t33\t"));
    while !is_service() && service.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let stopped = run(&[]);
    // The first way forward works, and locks nobody out.
    let write_only = run(&["--umask", "022"]);
    let before = mode(&page);
    let told = run(&["--lock-out", "all"]);
    service.kill().unwrap();
    service.wait().unwrap();
    let text = stopped.unwrap_err();
    assert!(
        text.contains("stopped before the first change: ")
            && text.contains(" (runs ")
            && text.contains(" would lose access to 2 "),
        "{text}"
    );
    let ways: Vec<&str> = text.lines().skip(1).collect();
    assert!(
        ways.len() == 3
            && ways[0].contains("write permissions")
            && ways[0].contains(" --umask 022")
            && ways[1].contains("chgrp -R ")
            && ways[1].ends_with(&dir.path().display().to_string())
            && ways[2].contains(" --lock-out "),
        "{text}"
    );
    assert_eq!((write_only, before, told, mode(&page)), (Ok(Exit::Ok), 0o644, Ok(Exit::Ok), 0o640));
}

#[test]
fn the_command_to_run_again_is_the_same_with_one_option_more() {
    let again = |args: &[&str]| {
        let args: Vec<_> = args.iter().map(|arg| std::ffi::OsString::from(*arg)).collect();
        super::rerun_command(&args, "--umask 022")
    };
    assert_eq!(
        again(&["/usr/bin/permck", "--format", "json", "fix", "--exclude", "a b/*", "/srv/x y"]),
        "permck --format json fix --umask 022 --exclude 'a b/*' '/srv/x y'"
    );
    assert_eq!(again(&["permck", "fix", "--owner=a b", "."]), "permck fix --umask 022 '--owner=a b' .");
}

/// A web server that reads its files because an ACL names it.
#[test]
fn root_does_not_cut_off_a_service_that_an_acl_names() {
    if !rustix::process::geteuid().is_root() {
        return skipped("not root");
    }
    let Some(setpriv) = testkit::require("setpriv") else { return };
    let (dir, place) = (clean_dir(), clean_dir());
    chmod(dir.path(), 0o755);
    let page = dir.path().join("index.html");
    write(&page, 0o600, "x");
    if oracle("setfacl", &["-m".as_ref(), OsStr::new("u:33:r"), page.as_ref()]).is_none() {
        return skipped("no ACLs can be set here");
    }
    let mut service = std::process::Command::new(setpriv);
    let mut service =
        service.args(["--reuid", "33", "--regid", "33", "--clear-groups", "sleep", "60"]).spawn().unwrap();
    let status = format!("/proc/{}/status", service.id());
    let is_service = || std::fs::read_to_string(&status).is_ok_and(|text| text.contains("Uid:\t33\t33\t"));
    while !is_service() && service.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let show = || oracle("getfacl", &["-npE".as_ref(), page.as_ref()]).unwrap();
    let before = show();
    let record = place.path().join("r");
    // The file alone: the directory stays open to others.
    let run = |more: &[&str]| {
        let args: [&OsStr; 3] = ["fix".as_ref(), "--record".as_ref(), record.as_ref()];
        let args: Vec<&OsStr> =
            args.into_iter().chain(more.iter().map(OsStr::new)).chain([page.as_os_str()]).collect();
        permck(&args).0
    };
    let stopped = (run(&[]), show() == before);
    let allowed = (run(&["--lock-out", "all"]), show() == before);
    service.kill().unwrap();
    service.wait().unwrap();
    assert_eq!((stopped, allowed), ((Exit::Failed, true), (Exit::Ok, false)));
}

/// A key is closed whatever it is in, and what a fix leaves is told as it is then.
#[test]
fn a_key_in_another_file_is_closed() {
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\\n-----END PRIVATE KEY-----";
    let (dir, place) = (clean_dir(), clean_dir());
    chmod(dir.path(), 0o755);
    let json = format!("{{\"private_key\":\"{KEY}\"}}");
    let config = format!("[tls]\nkey = \"{KEY}\"\n");
    let files = [("service.json", 0o644, &json), ("app.ini", 0o640, &config), ("data", 0o666, &json)];
    for (name, mode, text) in files {
        write(&dir.path().join(name), mode, text);
    }
    let tree = dir.path().as_os_str();
    let (_, advice) = permck(&["audit".as_ref(), tree]);
    assert!(advice.contains("chmod go= ") && !advice.contains("chmod 0640 "), "{advice}");
    let record = place.path().join("r");
    let args = ["fix", "--lock-out", "all", "--record"].map(OsStr::new);
    let (_, text) = permck(&[&args[..], &[record.as_ref(), tree]].concat());
    assert_eq!(["service.json", "data"].map(|name| mode(&dir.path().join(name))), [0o600; 2], "{text}");
    assert!(!text.contains("left "), "{text}");
    let (_, left) = permck(&["audit".as_ref(), tree]);
    assert!(!left.contains("key-readable"), "{left}");
}

#[test]
fn undo_skips_entries_that_changed_since() {
    let (dir, place) = (clean_dir(), clean_dir());
    let (a, b, c) = (dir.path().join("a"), dir.path().join("b"), dir.path().join("c"));
    for path in [&a, &b, &c] {
        write(path, 0o666, "x");
    }
    let record = place.path().join("r");
    assert_eq!(fix(&record, dir.path()).0, Exit::Ok);
    chmod(&a, 0o400);
    std::fs::remove_file(&b).unwrap();
    let victim = place.path().join("victim");
    write(&victim, 0o640, "x");
    symlink(&victim, &b).unwrap();
    let (exit, text) = permck(&["undo".as_ref(), record.as_os_str()]);
    assert_eq!(exit, Exit::No, "{text}");
    assert_eq!((mode(&a), mode(&victim), mode(&c)), (0o400, 0o640, 0o666));
    assert!(text.contains("it was changed since: mode 0400, expected 0640"), "{text}");
}

fn undo(record: &Path) -> (Exit, String) {
    permck(&[OsStr::new("undo"), record.as_ref()])
}

/// A file of nobody with the setgid bit of root: what nobody writes into it since does not get root's group.
#[test]
fn undo_restores_no_setuid_bit_on_a_modified_file() {
    let (dir, place) = (clean_dir(), clean_dir());
    let (kept, rewritten) = (dir.path().join("kept"), dir.path().join("rewritten"));
    for path in [&kept, &rewritten] {
        write(path, 0o2755, "#!/bin/sh\n");
    }
    let record = place.path().join("r");
    fix(&record, dir.path());
    assert_eq!(mode(&rewritten), 0o550);
    let times = std::fs::metadata(&rewritten).unwrap();
    chmod(&rewritten, 0o750);
    std::fs::write(&rewritten, "#!/bin/sb\n").unwrap();
    // The owner sets size, modification time and mode as they were.
    let file = std::fs::File::options().write(true).open(&rewritten).unwrap();
    file.set_modified(times.modified().unwrap()).unwrap();
    chmod(&rewritten, 0o550);
    let (exit, text) = undo(&record);
    assert_eq!((exit, mode(&rewritten), mode(&kept)), (Exit::No, 0o550, 0o2755), "{text}");
    assert!(text.contains("rewritten: it was changed since: last at "), "{text}");
}

/// A new file with the inode number of the old one is not opened to everybody.
#[test]
fn undo_does_not_open_a_new_file_with_an_old_number() {
    let (dir, place) = (clean_dir(), clean_dir());
    let (path, record) = (dir.path().join("f"), place.path().join("r"));
    for i in 0..20 {
        write(&path, 0o666, "x");
        let number = std::fs::metadata(&path).unwrap().ino();
        let _ = std::fs::remove_file(&record);
        assert_eq!(fix(&record, dir.path()).0, Exit::Ok);
        std::fs::remove_file(&path).unwrap();
        write(&path, 0o640, "s");
        assert_eq!((undo(&record).0, mode(&path)), (Exit::No, 0o640), "{i}");
        std::fs::remove_file(&path).unwrap();
        if std::fs::metadata(&record).unwrap().ino() == number {
            return;
        }
    }
}

/// Changed twice, under two policies and into one record: both are undone.
#[test]
fn two_changes_of_one_file_are_undone_one_after_the_other() {
    let (dir, place) = (clean_dir(), clean_dir());
    let (path, record, policy) = (dir.path().join("f"), place.path().join("r"), place.path().join("p.toml"));
    write(&path, 0o666, "x");
    write(&policy, 0o600, "version = 1\n[[path]]\nmatch = ['f']\nclass = 'key_file'\n");
    fix(&record, dir.path());
    let args = [
        "fix".as_ref(),
        "--strict".as_ref(),
        "--policy".as_ref(),
        policy.as_os_str(),
        "--record".as_ref(),
        record.as_ref(),
    ];
    permck(&[&args[..], &[dir.path().as_ref()]].concat());
    assert_eq!(mode(&path), 0o600);
    assert_eq!((undo(&record).0, mode(&path)), (Exit::Ok, 0o666));
}

/// As a killed run leaves it: the change may or may not have been made, and a line may be cut.
#[test]
fn changes_of_a_killed_run_are_undone_where_safe() {
    let (dir, place) = (clean_dir(), clean_dir());
    let (plain, powers, record) =
        (dir.path().join("plain"), dir.path().join("powers"), place.path().join("r"));
    write(&plain, 0o666, "x");
    write(&powers, 0o4750, "x");
    fix(&record, dir.path());
    let text = std::fs::read_to_string(&record).unwrap();
    let first: Vec<_> = text.lines().filter(|l| !l.contains("ctime_after")).collect();
    // The directory is one of programs, and is changed, too.
    assert_eq!((first.len(), text.lines().count()), (3, 6));
    write(&record, 0o600, format!("{}\n{}", first.join("\n"), &first[0][..40]));
    // Nobody adds to a record that ends in half a line.
    assert_eq!(fix(&record, dir.path()).0, Exit::Failed);
    let (exit, text) = undo(&record);
    assert_eq!((exit, mode(&powers)), (Exit::No, 0o550), "{text}");
    assert!(mode(&plain) == 0o666 || text.contains("does not prove"), "{text}");
    write(&record, 0o600, "{}\nnot json");
    assert_eq!(undo(&record).0, Exit::Failed);
}

/// Neither a mounted directory nor a mounted file below the path is changed.
#[test]
fn mounts_below_a_path_are_not_changed() {
    let (root, user) = (["-m"], ["-m", "--map-root-user"]);
    if elsewhere("cmd::fix::tests::mounts_below_a_path_are_not_changed", as_root(&root, &user)) {
        return;
    }
    let (dir, other) = (clean_dir(), clean_dir());
    let path = |name: &str| dir.path().join(name);
    std::fs::create_dir(path("mnt")).unwrap();
    std::fs::create_dir(other.path().join("d")).unwrap();
    chmod(&other.path().join("d"), 0o777);
    for file in [path("file"), path("own"), other.path().join("f"), other.path().join("d/f")] {
        write(&file, 0o666, "x");
    }
    let dirs = TestMount::bind(&other.path().join("d"), &path("mnt"));
    let file = TestMount::bind(&other.path().join("f"), &path("file"));
    if dirs.is_none() || file.is_none() {
        return skipped("no right to mount");
    }
    // In a user namespace the directories above belong to nobody and are left, so that the status tells nothing.
    let record = other.path().join("r");
    fix(&record, dir.path());
    let modes = || ["d", "d/f", "f"].map(|name| mode(&other.path().join(name)));
    assert_eq!((modes(), mode(&path("own"))), ([0o777, 0o666, 0o666], 0o640));
    let audit = ["audit", "--strict", "--show", "note", "--format", "json"].map(OsStr::new);
    let (_, records) = permck(&[&audit[..], &[dir.path().as_os_str()]].concat());
    assert_eq!(records.matches("\"rule\":\"mounts\"").count(), 2, "{records}");
    // A mounted file that is named is meant, and so are all where mounts are crossed.
    fix(&record, &path("file"));
    assert_eq!(modes(), [0o777, 0o666, 0o640]);
    let args = [
        OsStr::new("fix"),
        "--strict".as_ref(),
        "--cross-mounts".as_ref(),
        "--record".as_ref(),
        record.as_ref(),
    ];
    permck(&[&args[..], &[dir.path().as_ref()]].concat());
    assert_eq!(modes(), [0o750, 0o640, 0o640]);
}

/// A record on a full disk: what is in it is whole, no change is without a line, and no more are made.
#[test]
fn a_full_disk_ends_the_run_with_a_record_that_can_be_undone() {
    let (root, user) = (["-m"], ["-m", "--map-root-user"]);
    if elsewhere(
        "cmd::fix::tests::a_full_disk_ends_the_run_with_a_record_that_can_be_undone",
        as_root(&root, &user),
    ) {
        return;
    }
    let (dir, place) = (clean_dir(), clean_dir());
    let Some(_disk) = TestMount::small_disk("8k", place.path()) else {
        return skipped("no right to mount");
    };
    let paths: Vec<_> = (0..100).map(|i| dir.path().join(format!("f{i}"))).collect();
    for path in &paths {
        write(path, 0o666, "x");
    }
    let record = place.path().join("r");
    assert_eq!(fix(&record, dir.path()).0, Exit::Failed);
    let changed = || paths.iter().filter(|p| mode(p) == 0o640).count();
    let lines = std::fs::read_to_string(&record).unwrap();
    assert!(lines.ends_with('\n') && changed() > 0 && changed() < 20, "{}", changed());
    assert_eq!(lines.lines().count().div_ceil(2), changed());
    assert_eq!((undo(&record).0, changed()), (Exit::Ok, 0));
}

/// Deeper than the system takes a path at once.
#[test]
fn deep_trees_are_fixed_and_undone() {
    let (dir, place) = (clean_dir(), clean_dir());
    let mut fd = std::os::fd::OwnedFd::from(std::fs::File::open(dir.path()).unwrap());
    for _ in 0..3000 {
        rustix::fs::mkdirat(&fd, "dd", rustix::fs::Mode::RWXU).unwrap();
        fd = rustix::fs::openat(&fd, "dd", rustix::fs::OFlags::DIRECTORY, rustix::fs::Mode::empty()).unwrap();
    }
    let flags = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY;
    let file = rustix::fs::openat(&fd, "f", flags, rustix::fs::Mode::RUSR).unwrap();
    let set = |bits| rustix::fs::fchmod(&file, rustix::fs::Mode::from_raw_mode(bits)).unwrap();
    let get = || rustix::fs::fstat(&file).unwrap().st_mode & 0o7777;
    set(0o666);
    let record = place.path().join("r");
    assert_eq!((fix(&record, dir.path()).0, get()), (Exit::Ok, 0o640));
    let (exit, text) = undo(&record);
    assert_eq!((exit, get()), (Exit::Ok, 0o666), "{text}");
}

#[test]
fn findings_that_fix_cannot_fix_are_listed() {
    let (dir, place) = (clean_dir(), clean_dir());
    let tree = dir.path().join("t");
    std::fs::create_dir(&tree).unwrap();
    chmod(&tree, 0o700);
    chmod(dir.path(), 0o777);
    symlink("nowhere", tree.join("link")).unwrap();
    let (exit, text) = fix(&place.path().join("r"), &tree);
    assert_eq!(exit, Exit::No);
    assert!(text.starts_with(&format!("left {}: directory above ", dir.path().display())), "{text}");
    assert!(text.contains("[ancestor]") && text.lines().count() == 1, "{text}");
    chmod(dir.path(), 0o700);
    let args = ["--strict", "--format", "json", "--record"].map(OsStr::new);
    let record = place.path().join("r");
    let (exit, text) = permck(&[&["fix".as_ref()], &args[..], &[record.as_ref(), tree.as_ref()]].concat());
    assert!(exit == Exit::Ok && text.contains("\"left\":0,\"warnings\":1"), "{text}");
}

#[test]
fn system_paths_are_rejected() {
    for path in ["/etc/passwd", "/usr", "/"] {
        assert_eq!(permck(&["fix", "-n", path]), (Exit::Failed, String::new()), "{path}");
    }
}

#[test]
fn a_record_that_others_could_have_written_is_refused() {
    let place = clean_dir();
    let record = place.path().join("r");
    write(&record, 0o666, "");
    assert_eq!(permck(&["undo".as_ref(), record.as_os_str()]).0, Exit::Failed);
    let dir = clean_dir();
    write(&dir.path().join("f"), 0o666, "x");
    assert_eq!((fix(&record, dir.path()).0, mode(&dir.path().join("f"))), (Exit::Failed, 0o666));
    write(&record, 0o600, "not json\n");
    assert_eq!(permck(&["undo".as_ref(), record.as_os_str()]).0, Exit::Failed);
}

/// While the tree is fixed, names are swapped with a link to a file outside: its mode never changes.
#[test]
fn a_race_never_reaches_outside() {
    let (dir, other) = (clean_dir(), clean_dir());
    let victim = other.path().join("victim");
    write(&victim, 0o666, "x");
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    write(&a, 0o666, "x");
    symlink(&victim, &b).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let flags = rustix::fs::RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(rustix::fs::CWD, &a, rustix::fs::CWD, &b, flags).unwrap();
            }
        });
        for i in 0..100 {
            fix(&other.path().join(format!("r{i}")), dir.path());
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(mode(&victim), 0o666);
}

#[test]
fn a_file_that_is_no_record_is_not_written_to() {
    let (dir, place) = (clean_dir(), clean_dir());
    write(&dir.path().join("f"), 0o666, "x");
    let notes = place.path().join("notes.txt");
    write(&notes, 0o600, "remember the milk\n");
    assert_eq!(fix(&notes, dir.path()), (Exit::Failed, String::new()));
    assert_eq!(std::fs::read_to_string(&notes).unwrap(), "remember the milk\n");
    assert_eq!(mode(&dir.path().join("f")), 0o666);
}

/// The directories on the way to what is the account's are root's, and so are its programs.
#[test]
fn the_account_is_never_locked_out() {
    let (dir, place) = (clean_dir(), clean_dir());
    let etc = dir.path().join("etc");
    let (certs, conf, key) = (etc.join("server_certs"), etc.join("profd.toml"), etc.join("x.key"));
    std::fs::create_dir_all(&certs).unwrap();
    write(&conf, 0o666, "port = 1\n");
    write(
        &key,
        0o644,
        "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n",
    );
    [dir.path(), &etc].into_iter().for_each(|d| chmod(d, 0o755));
    chmod(&certs, 0o700);
    if std::os::unix::fs::chown(&certs, Some(4001), Some(4001)).is_err() || mode(&conf) != 0o666 {
        return skipped("no right to give files away");
    }
    let run = || {
        let args = ["fix", "--strict", "--lock-out", "all", "--owner", "4001", "--record"].map(OsStr::new);
        permck(&[&args[..], &[place.path().join("r").as_ref(), dir.path().as_os_str()]].concat())
    };
    let (exit, text) = run();
    assert_eq!(exit, Exit::No);
    assert_eq!([dir.path(), &etc, &conf, &key].map(mode), [0o755, 0o755, 0o644, 0o600], "{text}");
    let real = etc.canonicalize().unwrap();
    let left = format!(
        "left {}: permissions of others are kept: uid 4001 would lose access; run `chgrp 4001 ",
        real.display()
    );
    assert!(text.contains(&left), "{text}");
    let audit = ["audit", "--strict", "--owner", "4001"].map(OsStr::new);
    let (_, advice) = permck(&[&audit[..], &[dir.path().as_os_str()]].concat());
    assert!(advice.contains(&format!("fix: chgrp 4001 {0} && chmod 0750 {0}", etc.display())), "{advice}");
    for path in [dir.path(), &etc, &conf] {
        std::os::unix::fs::chown(path, None, Some(4001)).unwrap();
    }
    let (_, text) = run();
    assert_eq!([dir.path(), &etc, &conf].map(mode), [0o750, 0o750, 0o640], "{text}");
    assert!(!text.contains("lose access"), "{text}");
}
