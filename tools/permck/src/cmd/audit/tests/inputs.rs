//! What is audited: links that the user names, single files, mounts, paths named twice, baselines of them.

use std::path::PathBuf;

use super::*;
use crate::tests::{TestMount, as_root};

fn rules_and_paths(args: &[&OsStr]) -> (Exit, Vec<(String, String)>) {
    let mut all: Vec<&OsStr> = ["audit", "--strict", "--format", "json"].map(OsStr::new).to_vec();
    all.extend(args);
    let (exit, text) = permck(&all);
    (exit, findings(&text))
}

#[test]
fn a_named_link_to_a_file_is_followed_and_shown_as_named() {
    let dir = clean_dir();
    let (key, link) = (dir.path().join("k.pem"), dir.path().join("link"));
    write(&key, 0o644, KEY);
    symlink("k.pem", &link).unwrap();
    let wanted = vec![("key-readable".to_owned(), link.display().to_string())];
    assert_eq!(rules_and_paths(&[link.as_ref()]), (Exit::No, wanted.clone()));
    let list = dir.path().join("list");
    write(&list, 0o600, format!("{}\n", link.display()));
    assert_eq!(rules_and_paths(&["--files-from".as_ref(), list.as_ref()]), (Exit::No, wanted));
}

#[test]
fn patterns_match_a_file_that_is_named_itself() {
    let dir = clean_dir();
    let file = dir.path().join("x.bin");
    write(&file, 0o640, "x");
    for pattern in [file.canonicalize().unwrap().display().to_string(), "x.bin".to_owned()] {
        let policy = dir.path().join("p.toml");
        let row = format!("version = 1\n[[path]]\nmatch = ['{pattern}']\nclass = 'key_file'\n");
        write(&policy, 0o600, row);
        let found = rules_and_paths(&["--policy".as_ref(), policy.as_ref(), file.as_ref()]);
        assert_eq!(found, (Exit::No, vec![("mode".to_owned(), file.display().to_string())]), "{pattern}");
    }
}

#[test]
fn exceptions_apply_to_directories_above_and_unused_ones_are_counted() {
    let dir = clean_dir();
    let (open, policy) = (dir.path().join("open"), dir.path().join("p.toml"));
    let tree = open.join("tree");
    std::fs::create_dir_all(&tree).unwrap();
    chmod(&tree, 0o700);
    chmod(&open, 0o777);
    let exception = |pattern: &str| {
        let rules = "rules = ['ancestor', 'mount-options']\nreason = 'r'\nuntil = 9999-12-31\n";
        let idle =
            "[[exception]]\nmatch = ['nothing']\nrules = ['mode']\nreason = 'r'\nuntil = '9999-12-31'\n";
        write(&policy, 0o600, format!("version = 1\n[[exception]]\nmatch = ['{pattern}']\n{rules}{idle}"));
        json(&tree, &["--show", "note", "--policy", policy.to_str().unwrap()])
    };
    let (exit, records) = exception(open.canonicalize().unwrap().to_str().unwrap());
    assert_eq!((exit, rules_of(&records, &open)), (Exit::Ok, vec![]), "{records}");
    assert!(records.contains("\"exceptions_stale\":1"), "{records}");
    assert_eq!(rules_of(&exception("other").1, &open), ["ancestor"]);
    let (exit, records) = exception(".");
    assert_eq!((exit, findings(&records)), (Exit::Ok, vec![]), "{records}");
}

#[test]
fn a_path_that_is_named_twice_is_counted_once() {
    let dir = clean_dir();
    let sub = dir.path().join("sub");
    std::fs::create_dir(&sub).unwrap();
    chmod(&sub, 0o700);
    let bad = sub.join("bad");
    write(&bad, 0o666, "x");
    let wanted = (Exit::No, vec![("world-writable".to_owned(), bad.display().to_string())]);
    let (tree, again) = (dir.path().as_os_str(), dir.path().join("."));
    for paths in [[tree, sub.as_ref()], [sub.as_ref(), tree], [tree, again.as_ref()]] {
        let (exit, found) = rules_and_paths(&paths);
        let found: Vec<_> = found.into_iter().map(|(r, p)| (r, PathBuf::from(p))).collect();
        let bad = found.iter().map(|(r, p)| (r.clone(), p.canonicalize().unwrap().display().to_string()));
        assert_eq!(
            (exit, bad.collect()),
            (wanted.0, vec![(wanted.1[0].0.clone(), canonical(&wanted.1[0].1))])
        );
    }
}

fn canonical(path: &str) -> String {
    Path::new(path).canonicalize().unwrap().display().to_string()
}

#[test]
fn a_baseline_must_be_complete_and_reports_fixed_findings() {
    let (dir, place) = (clean_dir(), clean_dir());
    let key = dir.path().join("key.pem");
    write(&key, 0o640, KEY);
    let base = place.path().join("base");
    let baseline = |path: &Path| {
        permck(&["baseline".as_ref(), "--strict".as_ref(), "-o".as_ref(), base.as_os_str(), path.as_os_str()])
            .0
    };
    let dotted = dir.path().join("./.");
    assert_eq!(baseline(&dotted), Exit::Ok);
    let with = ["--baseline", base.to_str().unwrap()];
    assert_eq!(json(dir.path(), &with).0, Exit::Ok);
    let old = std::fs::read(&base).unwrap();
    assert_eq!(baseline(Path::new("/nowhere/at/all")), Exit::Failed);
    assert_eq!(std::fs::read(&base).unwrap(), old);
    chmod(&key, 0o600);
    assert!(json(dir.path(), &with).1.contains("\"baseline_gone\":1"));
}

/// A mode that became stricter, or a new owner, breaks no rule, and is seen all the same.
/// What is gone is a change like others: in every format, by name, unless it was left out or accepted.
#[test]
fn a_baseline_of_entries_names_what_is_gone_and_what_was() {
    let (dir, place) = (clean_dir(), clean_dir());
    for name in ["a", "b", "sub/c", "sub/d"] {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        write(&path, 0o600, "x");
    }
    chmod(&dir.path().join("sub"), 0o700);
    let base = place.path().join("base");
    let args: [&OsStr; 5] =
        ["baseline".as_ref(), "--entries".as_ref(), "-o".as_ref(), base.as_ref(), dir.path().as_ref()];
    assert_eq!(permck(&args).0, Exit::Ok);
    let audit = |tree: &Path, more: &[&str]| {
        let mut args: Vec<&OsStr> =
            ["audit", "--fail-on", "warning", "--baseline", base.to_str().unwrap()].map(OsStr::new).to_vec();
        args.extend(more.iter().map(OsStr::new));
        args.push(tree.as_os_str());
        permck(&args)
    };
    assert_eq!(audit(dir.path(), &[]), (Exit::Ok, String::new()));
    std::fs::remove_file(dir.path().join("a")).unwrap();
    std::fs::remove_file(dir.path().join("sub/c")).unwrap();
    chmod(&dir.path().join("b"), 0o400);
    let (exit, text) = audit(dir.path(), &[]);
    assert_eq!(exit, Exit::No);
    for wanted in [
        "/a: gone; it was a regular file, mode 0600",
        "/sub/c: gone",
        "mode 0400, uid ",
        "it was a regular file, mode 0600",
    ] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    let (exit, text) = audit(dir.path(), &["--format", "nagios"]);
    assert!(exit != Exit::Ok && text.contains("3"), "{text}");
    // Through a link, and not what is outside of what is audited or left out.
    let link = place.path().join("link");
    symlink(dir.path(), &link).unwrap();
    assert_eq!(rules(&audit(&link, &["--format", "json"]).1), ["changed"; 3]);
    assert_eq!(rules(&audit(&dir.path().join("sub"), &["--format", "json"]).1), ["changed"]);
    assert_eq!(rules(&audit(dir.path(), &["--format", "json", "--exclude", "sub"]).1), ["changed"; 2]);
    assert_eq!(audit(dir.path(), &["--ignore", "changed"]).1.matches("gone").count(), 0);
}

fn rules(json: &str) -> Vec<String> {
    findings(json).into_iter().map(|(rule, _)| rule).collect()
}

/// The path of the audit may lead to the tree by a symbolic link.
#[test]
fn a_baseline_is_known_through_a_link_to_the_tree() {
    let (dir, place) = (clean_dir(), clean_dir());
    write(&dir.path().join("a"), 0o666, "x");
    chmod(dir.path(), 0o755);
    let (base, link) = (place.path().join("base"), place.path().join("link"));
    symlink(dir.path(), &link).unwrap();
    let args: [&OsStr; 4] = ["baseline".as_ref(), "-o".as_ref(), base.as_ref(), dir.path().as_ref()];
    assert_eq!(permck(&args).0, Exit::Ok);
    let args: [&OsStr; 6] = [
        "audit".as_ref(),
        "--baseline".as_ref(),
        base.as_ref(),
        "--format".as_ref(),
        "json".as_ref(),
        link.as_ref(),
    ];
    let (exit, text) = permck(&args);
    assert_eq!(exit, Exit::Ok, "{text}");
    assert!(text.contains("\"baseline_gone\":0") && rules(&text).is_empty(), "{text}");
}

/// The baseline may have been taken by a symbolic link, and the tree be audited by its own name, or by another link.
#[test]
fn a_baseline_that_was_taken_through_a_link_is_known_without_it() {
    let (dir, place) = (clean_dir(), clean_dir());
    write(&dir.path().join("a"), 0o666, "x");
    symlink("/etc", dir.path().join("inner")).unwrap();
    chmod(dir.path(), 0o755);
    let [base, link, other] = ["base", "link", "other"].map(|name| place.path().join(name));
    symlink(dir.path(), &link).unwrap();
    symlink(&link, &other).unwrap();
    for entries in [&[][..], &["--entries".as_ref()]] {
        let args: [&[&OsStr]; 3] =
            [&["baseline".as_ref()], entries, &["-o".as_ref(), base.as_ref(), link.as_ref()]];
        assert_eq!(permck(&args.concat()).0, Exit::Ok);
        for path in [dir.path(), &other, &link] {
            let (exit, text) = json(path, &["--baseline", base.to_str().unwrap()]);
            assert_eq!(exit, Exit::Ok, "{text}");
            assert!(text.contains("\"baseline_gone\":0") && findings(&text).is_empty(), "{path:?}: {text}");
        }
        // What got worse is new.
        chmod(&dir.path().join("a"), 0o777);
        assert_eq!(json(dir.path(), &["--baseline", base.to_str().unwrap()]).0, Exit::No);
        chmod(&dir.path().join("a"), 0o666);
    }
}

#[test]
fn a_baseline_of_entries_sees_every_change_from_any_directory() {
    let (dir, place) = (clean_dir(), clean_dir());
    for name in ["kept", "changed", "gone"] {
        write(&dir.path().join(name), 0o640, "x");
    }
    let base = place.path().join("base");
    // A path that is relative to the directory of the test.
    let here = std::env::current_dir().unwrap();
    let up = "../".repeat(here.components().count() - 1);
    let relative = std::path::PathBuf::from(format!("{up}{}", &dir.path().to_str().unwrap()[1..]));
    let args: [&OsStr; 5] =
        ["baseline".as_ref(), "--entries".as_ref(), "-o".as_ref(), base.as_ref(), relative.as_ref()];
    assert_eq!(permck(&args), (Exit::Ok, String::new()));
    assert!(std::fs::read_to_string(&base).unwrap().lines().all(|line| !line.contains("\"path\":\"..")));
    let with = ["--baseline", base.to_str().unwrap()];
    chmod(&dir.path().join("changed"), 0o600);
    std::fs::remove_file(dir.path().join("gone")).unwrap();
    write(&dir.path().join("new"), 0o600, "x");
    let (_, records) = json(&relative, &with);
    let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let mut found: Vec<_> = findings(&records).into_iter().map(|(rule, path)| (rule, name(&path))).collect();
    found.sort();
    let wanted = ["changed", "gone", "new"].map(|name| ("changed".to_owned(), name.to_owned()));
    assert_eq!(found, wanted);
    assert!(
        records.contains("a regular file, mode 0600, uid ") && records.contains("mode 0640"),
        "{records}"
    );
}

/// Neither a directory nor a file that is mounted below a path is judged, unless mounts are crossed; then each mount's
/// options are.
#[test]
fn mounts_below_a_path_are_left_out() {
    let (root, user) = (["-m"], ["-m", "--map-root-user"]);
    if elsewhere("cmd::audit::tests::inputs::mounts_below_a_path_are_left_out", as_root(&root, &user)) {
        return;
    }
    let (dir, other) = (clean_dir(), clean_dir());
    let path = |name: &str| dir.path().join(name);
    std::fs::create_dir(path("mnt")).unwrap();
    chmod(&path("mnt"), 0o700);
    write(&path("file"), 0o600, "x");
    write(&other.path().join("bad"), 0o666, "x");
    let dirs = TestMount::bind(other.path(), &path("mnt"));
    let file = TestMount::bind(&other.path().join("bad"), &path("file"));
    if dirs.is_none() || file.is_none() {
        return skipped("no right to mount");
    }
    let (_, records) = json(dir.path(), &[]);
    // In a user namespace the directories above belong to nobody.
    let below = |p: &str| Path::new(p).starts_with(dir.path());
    assert!(!findings(&records).iter().any(|(_, p)| below(p)), "{records}");
    assert!(records.contains("\"mounts_skipped\":2"), "{records}");
    let (_, records) = json(dir.path(), &["--cross-mounts", "--show", "note"]);
    assert_eq!(rules_of(&records, &path("mnt/bad")), ["world-writable"]);
    let options = |path: &Path| rules_of(&records, path).contains(&"mount-options".to_owned());
    assert_eq!(options(&path("mnt")), options(dir.path()), "{records}");
    // A mounted file that is named is meant.
    assert_eq!(rules_of(&json(&path("file"), &[]).1, &path("file")), ["world-writable"]);
}

/// Owners from the accounts of the image, links within it, and what is above it is none of its business.
#[test]
fn an_image_is_judged_by_its_own_accounts_and_links() {
    let place = clean_dir();
    chmod(place.path(), 0o777);
    let image = place.path().join("image");
    for dir in ["etc", "var/lib/db", "var/lib/web", "usr/lib", "var/lib/dpkg/info"] {
        std::fs::create_dir_all(image.join(dir)).unwrap();
    }
    let root = rustix::process::geteuid().as_raw();
    write(
        &image.join("etc/passwd"),
        0o644,
        format!(
            "root:x:{root}:0::/root:/bin/sh\ndb:x:60123:60123::/:/bin/sh\nweb:x:60124:60123::/var/lib/web:/bin/sh\n"
        ),
    );
    write(&image.join("etc/group"), 0o644, "root:x:0:\ndb:x:60123:\n");
    write(&image.join("usr/lib/x.so"), 0o644, "x");
    write(&image.join("var/lib/dpkg/info/x.list"), 0o644, "/usr/lib/x.so\n");
    write(&image.join("var/lib/db/data"), 0o600, "x");
    symlink("/usr/lib/x.so", image.join("etc/inside")).unwrap();
    symlink("/etc/hostname-of-nowhere", image.join("etc/nowhere")).unwrap();
    for (path, uid) in [("var/lib/db", 60_123), ("var/lib/db/data", 60_123), ("var/lib/web", 60_124)] {
        if std::os::unix::fs::chown(image.join(path), Some(uid), Some(60_123)).is_err() {
            return skipped("no right to give files away");
        }
    }
    let run = |path: &str| {
        let args: [&OsStr; 8] = [
            "audit".as_ref(),
            "--root".as_ref(),
            image.as_ref(),
            "--show".as_ref(),
            "note".as_ref(),
            "--format".as_ref(),
            "json".as_ref(),
            path.as_ref(),
        ];
        permck(&args).1
    };
    let records = run("/");
    let told = |path: &str| rules_of(&records, &image.join(path));
    assert!(!records.contains("\"unowned\"") && !records.contains("\"ancestor\""), "{records}");
    assert!(records.contains("owned by db (uid 60123)"), "{records}");
    assert!(!records.contains("owned by web"), "it is its home directory: {records}");
    assert_eq!((told("etc/inside"), told("etc/nowhere")), (vec![], vec!["link-dangling".to_owned()]));
    assert!(records.contains("as its package installed it"), "{records}");
    assert_eq!(findings(&run("/var/lib/db")).iter().filter(|(rule, _)| rule == "owner").count(), 0);
}

/// The command that fixes an image must not run on the host, whose paths are the same.
#[test]
fn the_fix_of_an_image_is_for_the_system_within_it() {
    let image = clean_dir();
    let root = rustix::process::geteuid().as_raw();
    for dir in ["etc", "srv/app"] {
        std::fs::create_dir_all(image.path().join(dir)).unwrap();
        chmod(&image.path().join(dir), 0o755);
    }
    chmod(&image.path().join("srv"), 0o755);
    chmod(image.path(), 0o755);
    write(&image.path().join("etc/passwd"), 0o644, format!("root:x:{root}:0::/root:/bin/sh\n"));
    write(&image.path().join("etc/group"), 0o644, "root:x:0:\n");
    for file in 0..5 {
        write(&image.path().join(format!("srv/app/{file}.dat")), 0o644, "x");
    }
    let args: [&OsStr; 4] = ["audit".as_ref(), "--root".as_ref(), image.path().as_ref(), "/srv/app".as_ref()];
    let (_, text) = permck(&args);
    let fix = text.lines().find(|line| line.contains("permck fix")).unwrap_or_default();
    assert_eq!(
        fix.trim(),
        "fix: within the image (chroot, or when it runs): permck fix --umask 027 /srv/app",
        "{text}"
    );
}

/// Root is not the account that owns a toolkit, and is not added to it.
#[test]
fn a_toolkit_belongs_to_the_account_that_is_named() {
    let dir = clean_dir();
    write(&dir.path().join("set_env.sh"), 0o500, "#!/bin/sh\n");
    let me = rustix::process::geteuid().as_raw();
    let (exit, records) = json(dir.path(), &["--profile", "cann", "--owner", "1"]);
    let told = rules_of(&records, &dir.path().join("set_env.sh"));
    assert_eq!((exit, told.first().map(String::as_str)), (Exit::No, Some("owner")), "{records}");
    let own = json(dir.path(), &["--profile", "cann"]);
    if me == 0 {
        assert_eq!(own, (Exit::Failed, String::new()));
        std::os::unix::fs::chown(dir.path(), Some(1), None).unwrap();
        std::os::unix::fs::chown(dir.path().join("set_env.sh"), Some(1), None).unwrap();
        let (_, records) = json(dir.path(), &["--profile", "cann", "--owner", "1"]);
        assert!(!records.contains("\"owner\""), "{records}");
    }
}

/// What lists the paths may have failed.
#[test]
fn an_empty_list_of_paths_exits_with_1() {
    assert_eq!(permck(&["audit", "--files-from", "/dev/null"]).0, Exit::No);
    let (exit, line) = permck(&["audit", "--files-from", "/dev/null", "--format", "nagios"]);
    assert!(exit == Exit::Unknown && line.starts_with("PERMCK UNKNOWN: "), "{line}");
}

#[test]
fn monitoring_formats_report_errors() {
    let dir = clean_dir();
    std::os::unix::fs::symlink("nowhere", dir.path().join("l")).unwrap();
    let run = |more: &[&str]| {
        permck(
            &[&["audit", "--strict", "--format", "nagios"], more, &[dir.path().to_str().unwrap()]].concat(),
        )
    };
    let (exit, line) = run(&[]);
    assert!(exit == Exit::No && line.starts_with("PERMCK WARNING"), "{line}");
    let (exit, line) = run(&["--fail-on", "warning"]);
    assert!(exit == Exit::Failed && line.starts_with("PERMCK CRITICAL"), "{line}");
}
