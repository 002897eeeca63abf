//! Severity follows danger, and each cause is told once.

use super::*;
use crate::tests::findings_with_severity;

/// A tree that everybody can reach: what is in it decides.
fn open_dir() -> tempfile::TempDir {
    let dir = clean_dir();
    chmod(dir.path(), 0o755);
    dir
}

fn severities(path: &Path, more: &[&str]) -> Vec<(String, String)> {
    let mut args: Vec<&OsStr> = ["audit", "--show", "note", "--format", "json"].map(OsStr::new).to_vec();
    args.extend(more.iter().map(OsStr::new));
    args.push(path.as_os_str());
    let (_, records) = permck(&args);
    let mut found = findings_with_severity(&records);
    found.retain(|(place, _)| Path::new(place) != path && Path::new(place).starts_with(path));
    let name = |place: &str| place.rsplit('/').next().unwrap_or_default().to_owned();
    found.into_iter().map(|(place, severity)| (name(&place), severity)).collect()
}

fn owned(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

#[test]
fn what_others_can_write_or_run_is_an_error_and_what_they_can_read_a_warning() {
    let dir = open_dir();
    let path = |name: &str| dir.path().join(name);
    write(&path("a-written"), 0o666, "x");
    write(&path("b-setuid"), 0o4755, b"\x7fELF\x02\x01\x01");
    write(&path("c-read"), 0o644, "x");
    write(&path("d-program"), 0o755, b"\x7fELF\x02\x01\x01");
    write(&path("e-owner"), 0o700, b"\x7fELF\x02\x01\x01");
    write(&path("f-rotated.log.1"), 0o640, "x");
    std::fs::create_dir(path("g-tmp")).unwrap();
    chmod(&path("g-tmp"), 0o1777);
    let wanted = [
        ("a-written", "error"),
        ("b-setuid", "error"),
        ("b-setuid", "warning"),
        ("c-read", "warning"),
        ("d-program", "warning"),
        ("e-owner", "note"),
        ("f-rotated.log.1", "note"),
        // In a sticky directory nobody replaces what is another's.
        ("g-tmp", "warning"),
        ("g-tmp", "note"),
    ];
    let mut found = severities(dir.path(), &[]);
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let mut wanted = owned(&wanted);
    wanted.iter().for_each(|w| assert!(found.contains(w), "{w:?} {found:?}"));
    wanted.dedup_by(|a, b| a.0 == b.0);
    found.dedup_by(|a, b| a.0 == b.0);
    assert_eq!(found.len(), wanted.len(), "{found:?}");
}

#[test]
fn what_nobody_else_can_reach_is_a_note_and_strict_judges_by_the_table() {
    let dir = open_dir();
    let closed = dir.path().join("closed");
    std::fs::create_dir_all(closed.join("sub")).unwrap();
    write(&closed.join("sub/a"), 0o666, "x");
    write(&closed.join("sub/k.pem"), 0o644, KEY);
    [(closed.join("sub"), 0o777), (closed.clone(), 0o700)].iter().for_each(|(d, mode)| chmod(d, *mode));
    let found = severities(dir.path(), &[]);
    assert!(found.len() >= 3 && found.iter().all(|(_, severity)| severity == "note"), "{found:?}");
    // The audited path may be anywhere below.
    let found = severities(&closed.join("sub"), &[]);
    assert!(found.iter().all(|(_, severity)| severity == "note"), "{found:?}");
    let found = severities(dir.path(), &["--strict"]);
    assert!(found.iter().any(|(_, severity)| severity == "error"), "{found:?}");
    // One name in the open is enough.
    std::fs::hard_link(closed.join("sub/a"), dir.path().join("b")).unwrap();
    assert!(severities(dir.path(), &[]).contains(&("a".to_owned(), "error".to_owned())));
    chmod(&closed, 0o711);
    let found = severities(dir.path(), &[]);
    assert!(found.contains(&("k.pem".to_owned(), "error".to_owned())), "{found:?}");
}

/// A directory whose mode is closed and whose ACL lets somebody in is not closed: as the audited path, above it and below it.
#[test]
fn an_acl_that_lets_somebody_in_opens_a_directory() {
    let dir = open_dir();
    let closed = dir.path().join("closed");
    std::fs::create_dir_all(closed.join("sub")).unwrap();
    write(&closed.join("sub/run"), 0o777, "#!/bin/sh\n");
    write(&closed.join("sub/k.pem"), 0o644, KEY);
    chmod(&closed.join("sub"), 0o755);
    let places =
        || [dir.path().to_owned(), closed.clone(), closed.join("sub")].map(|place| severities(&place, &[]));
    for acl in ["u:1:x", "g:1:rx", "u:1:r", "u:0:x", "u:1:x,m::r"] {
        chmod(&closed, 0o700);
        if oracle("setfacl", &["-b".as_ref(), closed.as_ref()]).is_none() {
            return;
        }
        oracle("setfacl", &["-m".as_ref(), acl.as_ref(), closed.as_ref()]).unwrap();
        let wanted = if matches!(acl, "u:1:x" | "g:1:rx") { "error" } else { "note" };
        for found in places() {
            assert!(found.contains(&("run".to_owned(), wanted.to_owned())), "{acl}: {found:?}");
            assert!(
                found.contains(&("k.pem".to_owned(), wanted.to_owned())) || wanted == "note",
                "{acl}: {found:?}"
            );
        }
    }
    // Behind a directory that lets nobody in, an ACL opens nothing.
    oracle("setfacl", &["-m".as_ref(), "u:1:x,m::x".as_ref(), closed.as_ref()]).unwrap();
    chmod(dir.path(), 0o700);
    assert!(places().iter().flatten().all(|(_, severity)| severity == "note"));
}

#[test]
fn a_readable_key_comes_first_and_no_exception_about_modes_covers_it() {
    let (dir, place) = (open_dir(), clean_dir());
    for i in 0..30 {
        write(&dir.path().join(format!("a{i:02}.json")), 0o644, "{}");
    }
    write(&dir.path().join("written"), 0o646, "x");
    write(&dir.path().join("z.pem"), 0o644, KEY);
    write(&dir.path().join("z.ppk"), 0o640, "PuTTY-User-Key-File-3: ssh-ed25519\n");
    let policy = place.path().join("p.toml");
    let exception = "version = 1\n[[exception]]\nmatch = ['**', '.']\nrules = ['mode', 'world-writable']\nreason = 'r'\n\
                     until = '9999-12-31'\n[[path]]\nmatch = ['**']\nmax = '0666'\nreason = 'r'\n";
    write(&policy, 0o600, exception);
    for more in [vec![], vec!["--policy", policy.to_str().unwrap()]] {
        for format in ["text", "json", "sarif", "junit"] {
            let mut args: Vec<&OsStr> = ["audit", "--format", format].map(OsStr::new).to_vec();
            args.extend(more.iter().map(OsStr::new));
            args.push(dir.path().as_os_str());
            let (exit, text) = permck(&args);
            assert_eq!(exit, Exit::No, "{format}: {text}");
            let results = text.find("\"results\"").unwrap_or(0);
            let key = text[results..].find("z.pem").unwrap_or(usize::MAX);
            assert!(key < text[results..].find("a00.json").unwrap_or(usize::MAX), "{format}: {text}");
            assert!(key < text[results..].find("/written").unwrap_or(usize::MAX), "{format}: {text}");
            assert!(text.contains("replace the key"), "{format}: {text}");
        }
    }
    let (_, records) =
        permck(&["audit".as_ref(), "--format".as_ref(), "json".as_ref(), dir.path().as_os_str()]);
    assert_eq!(rules_of(&records, &dir.path().join("z.pem")), ["key-readable"]);
}

/// `umask 022`, as most programs install.
#[test]
fn a_tree_of_one_umask_is_one_cause_with_a_command_that_fixes_it() {
    let (dir, place) = (open_dir(), clean_dir());
    for d in 0..10 {
        let sub = dir.path().join(format!("package{d}"));
        std::fs::create_dir(&sub).unwrap();
        chmod(&sub, 0o755);
        for f in 0..20 {
            write(&sub.join(format!("m{f}.py")), 0o644, "x = 1\n");
            write(&sub.join(format!("d{f}.dat")), 0o644, "x");
        }
        write(&sub.join("run"), 0o755, "#!/bin/sh\n");
    }
    write(&dir.path().join("open"), 0o666, "x");
    let audit = || permck(&["audit".as_ref(), dir.path().as_os_str()]);
    let (exit, text) = audit();
    assert_eq!(exit, Exit::No);
    let lines: Vec<_> = text.lines().collect();
    assert!(lines.len() <= 8 && lines[0].starts_with("error [world-writable]"), "{text}");
    assert!(
        text.contains("warning [mode] umask 022: 421 entries readable by others, none writable\n"),
        "{text}"
    );
    let fix = lines.iter().find_map(|l| l.trim().strip_prefix("fix: permck fix --umask 027 ")).unwrap();
    assert_eq!(fix, dir.path().display().to_string());
    let record = place.path().join("r");
    let args: [&OsStr; 8] = [
        "fix".as_ref(),
        "--umask".as_ref(),
        "027".as_ref(),
        "--lock-out".as_ref(),
        "all".as_ref(),
        "--record".as_ref(),
        record.as_ref(),
        dir.path().as_ref(),
    ];
    assert_eq!(permck(&args).0, Exit::Ok);
    assert_eq!(audit(), (Exit::Ok, String::new()));
}

/// umask 0027, certificates 0700 and 0600.
#[test]
fn an_installation_as_the_statement_asks_has_no_errors_and_no_warnings() {
    let dir = clean_dir();
    let path = |name: &str| dir.path().join(name);
    for (name, mode) in [("bin", 0o750), ("lib", 0o750), ("certs", 0o700), ("log", 0o750)] {
        std::fs::create_dir(path(name)).unwrap();
        chmod(&path(name), mode);
    }
    write(&path("bin/profd"), 0o750, b"\x7fELF\x02\x01\x01");
    write(&path("lib/x.py"), 0o640, "x = 1");
    write(&path("certs/server.crt"), 0o600, "-----BEGIN CERTIFICATE-----\n");
    write(&path("certs/server.key"), 0o600, KEY);
    write(&path("log/a.log.1"), 0o640, "x");
    chmod(dir.path(), 0o750);
    let run = |more: &[&str]| {
        let mut args: Vec<&OsStr> = vec!["audit".as_ref()];
        args.extend(more.iter().map(OsStr::new));
        permck(&[&args[..], &[dir.path().as_os_str()]].concat())
    };
    assert_eq!(run(&[]), (Exit::Ok, String::new()));
    assert_eq!(run(&["--strict"]).0, Exit::No);
}

/// In every format the gravest is first: keys, then programs that run as another, before what is only readable.
#[test]
fn every_format_lists_the_gravest_first() {
    let dir = open_dir();
    (0..4).for_each(|i| write(&dir.path().join(format!("a{i}")), 0o644, "x"));
    write(&dir.path().join("y-setuid"), 0o4711, b"\x7fELF\x02\x01\x01");
    write(&dir.path().join("z-key"), 0o644, KEY);
    let run = |format: &str| {
        permck(&["audit".as_ref(), "--format".as_ref(), format.as_ref(), dir.path().as_os_str()]).1
    };
    let by_json: Vec<String> = findings(&run("json")).into_iter().map(|(rule, _)| rule).collect();
    let log: serde_json::Value = serde_json::from_str(&run("sarif")).unwrap();
    let results = log["runs"][0]["results"].as_array().unwrap();
    let by_sarif: Vec<&str> = results.iter().map(|r| r["ruleId"].as_str().unwrap()).collect();
    assert_eq!(by_json, by_sarif);
    assert_eq!(by_json[..2], ["key-readable", "special-bits"]);
    assert!(by_json[2..].iter().filter(|rule| *rule == "mode").count() >= 4, "{by_json:?}");
    let nagios = run("nagios");
    assert!(nagios.contains("; ") && nagios.contains("z-key"), "{nagios}");
}

#[test]
fn a_link_is_as_dangerous_as_who_can_change_its_target() {
    let (dir, other) = (open_dir(), open_dir());
    write(&other.path().join("kept"), 0o600, "x");
    write(&other.path().join("open"), 0o666, "x");
    symlink(other.path().join("kept"), dir.path().join("a")).unwrap();
    symlink(other.path().join("open"), dir.path().join("b")).unwrap();
    symlink(other.path().join("nothing"), dir.path().join("c")).unwrap();
    // As /tmp is: every user could make what the link leads to.
    let shared = other.path().join("shared");
    std::fs::create_dir(&shared).unwrap();
    chmod(&shared, 0o1777);
    symlink(shared.join("no-such-directory/x"), dir.path().join("d")).unwrap();
    let wanted = owned(&[("d", "warning"), ("b", "warning"), ("c", "note"), ("a", "note")]);
    assert_eq!(severities(dir.path(), &[]), wanted);
}

#[test]
fn rules_and_paths_are_selected() {
    let dir = open_dir();
    std::fs::create_dir(dir.path().join("skip")).unwrap();
    chmod(&dir.path().join("skip"), 0o755);
    write(&dir.path().join("skip/a"), 0o666, "x");
    write(&dir.path().join("b"), 0o666, "x");
    write(&dir.path().join("c"), 0o4755, b"\x7fELF\x02\x01\x01");
    let names = |more: &[&str]| {
        let mut names: Vec<_> = severities(dir.path(), more).into_iter().map(|(name, _)| name).collect();
        names.dedup();
        names
    };
    assert_eq!(names(&["--rule", "world-writable"]), ["b", "a"]);
    assert_eq!(names(&["--rule", "world-writable", "--exclude", "skip"]), ["b"]);
    assert_eq!(names(&["--exclude", "**/skip", "--ignore", "mode", "--ignore", "special-bits"]), ["b"]);
}
