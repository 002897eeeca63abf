//! Audits of real trees, held against stat, find, getfacl and getcap.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use std::path::Path;

use super::*;
use crate::tests::{ask, chmod, clean_dir, elsewhere, findings, oracle, permck, skipped, write};

const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpe5iQ\n-----END PRIVATE KEY-----\n";

fn rules_of(json: &str, path: &Path) -> Vec<String> {
    findings(json).into_iter().filter(|(_, p)| Path::new(p) == path).map(|(rule, _)| rule).collect()
}

fn json(path: &Path, more: &[&str]) -> (Exit, String) {
    let mut args: Vec<&OsStr> = ["audit", "--strict", "--format", "json"].map(OsStr::new).to_vec();
    args.extend(more.iter().map(OsStr::new));
    args.push(path.as_os_str());
    permck(&args)
}

#[test]
fn a_clean_tree_is_silent_and_ends_with_0() {
    let dir = clean_dir();
    write(&dir.path().join("trace.json"), 0o640, "{}");
    write(&dir.path().join("notes"), 0o400, "x");
    let (exit, text) = permck(&["audit".as_ref(), "--strict".as_ref(), dir.path().as_os_str()]);
    assert_eq!((exit, text.as_str()), (Exit::Ok, ""));
    let (exit, records) = json(dir.path(), &[]);
    assert_eq!(exit, Exit::Ok);
    assert!(
        records.starts_with(r#"{"type":"permck.summary","v":1,"entries":3,"dirs":1,"findings":0,"#),
        "{records}"
    );
}

#[test]
fn findings_exit_with_1_and_name_the_basis_of_the_class() {
    let dir = clean_dir();
    write(&dir.path().join("tool"), 0o755, "#!/bin/sh\n");
    let (exit, text) = permck(&["audit".as_ref(), "--strict".as_ref(), dir.path().as_os_str()]);
    assert_eq!(exit, Exit::No);
    assert!(text.contains("mode 0755: the owner may write, others may read and execute"), "{text}");
    assert!(
        text.contains("at most 0550 (programs, scripts, libraries; class program_file by its #! line)"),
        "{text}"
    );
    // Who runs a program of root's group is left out by 0550, unless the group is theirs.
    if rustix::process::getegid().is_root() {
        assert!(text.contains("fix: chgrp GROUP ") && text.contains(" && chmod 0550 "), "{text}");
    } else {
        assert!(text.contains("fix: chmod 0550 "), "{text}");
    }
}

#[test]
fn a_missing_path_ends_with_2_and_the_others_are_audited() {
    let dir = clean_dir();
    write(&dir.path().join("f"), 0o666, "x");
    let missing = dir.path().join("missing");
    let args: [&OsStr; 6] = [
        "audit".as_ref(),
        "--strict".as_ref(),
        "--format".as_ref(),
        "json".as_ref(),
        missing.as_ref(),
        dir.path().as_ref(),
    ];
    let (exit, records) = permck(&args);
    assert_eq!(exit, Exit::Failed);
    assert_eq!(rules_of(&records, &dir.path().join("f")), ["world-writable"]);
    assert!(records.ends_with("\"errors\":1}\n"), "{records}");
}

/// Every mode on a real file and a real directory: a finding about modes exactly where stat's mode has a bit
/// outside the class's maximum.
#[test]
fn every_mode_on_disk_is_judged_as_stat_shows_it() {
    let dir = clean_dir();
    for mode in 0..0o1000 {
        write(&dir.path().join(format!("f{mode:04o}")), mode, "");
        std::fs::create_dir(dir.path().join(format!("d{mode:04o}"))).unwrap();
        chmod(&dir.path().join(format!("d{mode:04o}")), mode | 0o500);
    }
    for mode in (0o1000..0o10000).step_by(0o111) {
        write(&dir.path().join(format!("f{mode:04o}")), mode, "");
    }
    let (_, records) = json(dir.path(), &["--limit", "0"]);
    let modes = ["world-writable", "group-writable", "mode", "special-bits"];
    let found: BTreeSet<String> =
        findings(&records).into_iter().filter(|(r, _)| modes.contains(&r.as_str())).map(|(_, p)| p).collect();
    let args = [
        dir.path().as_ref(),
        "-mindepth".as_ref(),
        "1".as_ref(),
        "-printf".as_ref(),
        OsStr::new("%m %y %p\n"),
    ];
    let Some(listed) = oracle("find", &args) else { return };
    let mut expected = BTreeSet::new();
    for line in String::from_utf8(listed).unwrap().lines() {
        let [mode, kind, path] = line.splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let mode = u32::from_str_radix(mode, 8).unwrap();
        // An empty file is data, or a program where somebody may run it; an empty directory is for data.
        let max = if kind == "d" {
            0o750
        } else if mode & 0o111 != 0 {
            0o550
        } else {
            0o640
        };
        if mode & !max != 0 {
            expected.insert(path.to_owned());
        }
    }
    let wrong: Vec<_> =
        found.symmetric_difference(&expected).filter(|p| Path::new(p) != dir.path()).collect();
    assert!(wrong.is_empty() && expected.len() > 500, "{} of {}: {wrong:?}", wrong.len(), expected.len());
}

#[test]
fn keys_are_found_by_content_wherever_they_lie() {
    let dir = clean_dir();
    let path = |name: &str| dir.path().join(name);
    write(&path("innocent.txt"), 0o640, KEY);
    write(&path("app.yaml"), 0o640, format!("key: |\n{KEY}"));
    write(&path("private.yaml"), 0o600, format!("key: |\n{KEY}"));
    let (_, records) = json(dir.path(), &[]);
    assert_eq!(rules_of(&records, &path("innocent.txt")), ["key-readable"]);
    assert_eq!(rules_of(&records, &path("app.yaml")), ["key-readable"]);
    assert!(rules_of(&records, &path("private.yaml")).is_empty());
    let (_, blind) = json(dir.path(), &["--no-content"]);
    assert!(rules_of(&blind, &path("app.yaml")).is_empty());
}

#[test]
fn dangling_and_outside_symlinks_agree_with_find() {
    let dir = clean_dir();
    let path = |name: &str| dir.path().join(name);
    write(&path("file"), 0o600, "x");
    for (name, target) in
        [("in", "file"), ("out", "/etc/passwd"), ("gone", "nowhere"), ("circle", "circle"), ("via", "out")]
    {
        symlink(target, path(name)).unwrap();
    }
    let (_, records) = json(dir.path(), &[]);
    assert!(rules_of(&records, &path("in")).is_empty());
    assert_eq!(rules_of(&records, &path("out")), ["link-outside"]);
    assert_eq!(rules_of(&records, &path("via")), ["link-outside"]);
    // find(1) complains of the circle, and we add it.
    let args = ["!", "-name", "circle", "-xtype", "l"].map(OsStr::new);
    let Some(listed) = oracle("find", &[&[dir.path().as_os_str()], &args[..]].concat()) else { return };
    let mut dangling: Vec<_> = String::from_utf8(listed).unwrap().lines().map(str::to_owned).collect();
    dangling.push(path("circle").display().to_string());
    let dangling: BTreeSet<_> = dangling.into_iter().collect();
    let found = findings(&records).into_iter().filter(|(r, _)| r == "link-dangling").map(|(_, p)| p);
    assert_eq!(found.collect::<BTreeSet<_>>(), dangling);
}

#[test]
fn acls_are_described_as_getfacl_does() {
    let dir = clean_dir();
    let cases = [
        ("plain", ""),
        ("user", "u:65534:r"),
        ("masked", "u:65534:rw,m::-"),
        ("group", "g:65534:rx"),
        ("mask-only", "m::r"),
        ("many", "u:1:r,u:2:-,g:3:w"),
    ];
    for (name, acl) in cases {
        let path = dir.path().join(name);
        write(&path, 0o600, "x");
        if !acl.is_empty() && oracle("setfacl", &["-m".as_ref(), acl.as_ref(), path.as_ref()]).is_none() {
            return;
        }
    }
    let sub = dir.path().join("sub");
    std::fs::create_dir(&sub).unwrap();
    chmod(&sub, 0o700);
    if oracle("setfacl", &["-dm".as_ref(), "u:65534:r".as_ref(), sub.as_ref()]).is_none() {
        return;
    }
    let (_, records) = json(dir.path(), &[]);
    let found: BTreeSet<_> = findings(&records)
        .into_iter()
        .filter(|(r, _)| r == "acl" || r == "acl-default")
        .map(|(_, p)| p)
        .collect();
    let mut expected = BTreeSet::new();
    for name in cases.map(|(n, _)| n).into_iter().chain(["sub"]) {
        let path = dir.path().join(name);
        let Some(shown) = oracle("getfacl", &["-npe".as_ref(), path.as_ref()]) else { return };
        if String::from_utf8(shown).unwrap().lines().any(grants) {
            expected.insert(path.display().to_string());
        }
    }
    assert_eq!(expected.len(), 4, "{expected:?}");
    assert_eq!(found, expected);
}

/// A line of `getfacl -e` that names a user or group and grants something: `user:1:rw-  #effective:r--`, or,
/// without `-e`'s comment, the bits as they are.
fn grants(line: &str) -> bool {
    let line = line.strip_prefix("default:").unwrap_or(line);
    let [kind, who, bits] = line.splitn(3, ':').collect::<Vec<_>>()[..] else { return false };
    let bits = bits.split_once("#effective:").map_or(bits, |(_, effective)| effective).trim();
    matches!(kind, "user" | "group") && !who.is_empty() && bits != "---"
}

#[test]
fn capabilities_are_described_as_getcap_does() {
    let dir = clean_dir();
    let path = dir.path().join("tool");
    write(&path, 0o500, "#!/bin/sh\n");
    assert!(rules_of(&json(dir.path(), &[]).1, &path).is_empty());
    let caps = "cap_net_bind_service,cap_sys_nice=ep";
    if oracle("setcap", &[caps.as_ref(), path.as_ref()]).is_none() {
        return;
    }
    let Some(shown) = oracle("getcap", &[path.as_ref()]) else { return };
    let (_, records) = json(dir.path(), &[]);
    // Older versions of getcap write `= ...+ep`.
    let shown = String::from_utf8(shown).unwrap().replace('+', "=");
    assert!(shown.trim_end().ends_with(caps), "{shown}");
    assert_eq!(rules_of(&records, &path), ["capability"]);
    assert!(records.contains(&format!("file capabilities {caps}")), "{records}");
}

#[test]
fn hostile_names_are_escaped_and_pipes_do_not_block() {
    let dir = clean_dir();
    for name in [&b"new\nline"[..], b"esc\x1b[31m", b"\xff\xfe"] {
        write(&dir.path().join(OsStr::from_bytes(name)), 0o666, "x");
    }
    rustix::fs::mknodat(
        rustix::fs::CWD,
        dir.path().join("fifo.log"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let (exit, text) = permck(&["audit".as_ref(), "--strict".as_ref(), dir.path().as_os_str()]);
    assert_eq!(exit, Exit::No);
    assert!(!text.contains('\x1b') && !text.contains("new\nline"), "{text}");
    assert!(text.contains("new\\nline") && text.contains("$'"), "{text}");
    let (_, records) = json(dir.path(), &[]);
    assert!(records.contains("\"path_hex\":\""), "{records}");
    let names = findings(&records).into_iter().filter(|(r, _)| r == "name");
    assert_eq!(names.count(), 3);
}

#[test]
fn a_directory_above_that_others_can_change_is_an_error() {
    let dir = clean_dir();
    let open = dir.path().join("open");
    let tree = open.join("tree");
    std::fs::create_dir_all(&tree).unwrap();
    chmod(&tree, 0o700);
    chmod(&open, 0o777);
    let (exit, records) = json(&tree, &[]);
    assert_eq!((exit, rules_of(&records, &open)), (Exit::No, vec!["ancestor".to_owned()]));
    chmod(&open, 0o1777);
    assert_eq!(json(&tree, &[]).0, Exit::Ok);
    // A link on the way stands in a directory, too.
    let other = clean_dir();
    let link = open.join("link");
    write(&other.path().join("f"), 0o600, "x");
    symlink(other.path(), &link).unwrap();
    chmod(&open, 0o777);
    assert_eq!(json(other.path(), &[]).0, Exit::Ok);
    assert_eq!(rules_of(&json(&link.join("f"), &[]).1, &open), ["ancestor"]);
}

#[test]
fn text_shows_the_first_of_many_and_counts_the_rest() {
    let dir = clean_dir();
    for i in 0..50 {
        write(&dir.path().join(format!("f{i:02}")), 0o666, "");
    }
    let (_, text) = permck(&[
        "audit".as_ref(),
        "--strict".as_ref(),
        "--limit".as_ref(),
        "3".as_ref(),
        dir.path().as_os_str(),
    ]);
    assert!(text.contains("/f02: ") && !text.contains("/f03: "), "{text}");
    assert!(text.contains("and 47 more; --limit 0 shows all"), "{text}");
    assert!(text.contains("50 errors in 51 entries"), "{text}");
}

#[test]
fn a_policy_decides_classes_owners_and_exceptions() {
    let dir = clean_dir();
    let path = |name: &str| dir.path().join(name);
    std::fs::create_dir(path("bin")).unwrap();
    write(&path("bin/tool"), 0o550, "data");
    write(&path("bin/helper"), 0o4550, "data");
    write(&path("secret.cfg"), 0o640, "x");
    chmod(&path("bin"), 0o550);
    let policy = clean_dir();
    let file = policy.path().join("p.toml");
    let text = "version = 1\n[[path]]\nmatch = ['bin/*']\nclass = 'program_file'\n[[path]]\nmatch = ['*.cfg']\n\
                class = 'key_file'\nreason = 'holds a token'\n[[exception]]\nmatch = ['bin/helper']\n\
                rules = ['special-bits']\nreason = 'r'\nuntil = '9999-12-31'\n";
    write(&file, 0o600, text);
    let policy = file.to_str().unwrap();
    let (_, records) = json(dir.path(), &["--policy", policy]);
    assert_eq!(findings(&records), [("mode".to_owned(), path("secret.cfg").display().to_string())]);
    assert!(records.contains("class key_file by policy row 2: *.cfg (holds a token)"), "{records}");
    assert!(records.contains("\"accepted\":1"), "{records}");
    // A policy that others can write is no policy.
    chmod(&file, 0o666);
    let (exit, records) = json(dir.path(), &["--policy", policy]);
    assert_eq!((exit, records.as_str()), (Exit::Failed, ""));
}

#[test]
fn the_certificate_profile_holds_everything_to_0600() {
    let dir = clean_dir();
    write(&dir.path().join("ca.crt"), 0o644, "not even a certificate");
    write(&dir.path().join("server.key"), 0o600, KEY);
    let (exit, records) = json(dir.path(), &["--profile", "certs"]);
    assert_eq!((exit, rules_of(&records, &dir.path().join("ca.crt"))), (Exit::No, vec!["mode".to_owned()]));
    chmod(&dir.path().join("ca.crt"), 0o600);
    assert_eq!(json(dir.path(), &["--profile", "certs"]).0, Exit::Ok);
}

#[test]
fn a_baseline_hides_what_was_there_and_nothing_that_got_worse() {
    let (dir, place) = (clean_dir(), clean_dir());
    let (old, worse, new) = (dir.path().join("old"), dir.path().join("worse"), dir.path().join("new"));
    write(&old, 0o644, "x");
    write(&worse, 0o644, "x");
    let base = place.path().join("base");
    let args: [&OsStr; 5] =
        ["baseline".as_ref(), "--strict".as_ref(), "-o".as_ref(), base.as_ref(), dir.path().as_ref()];
    assert_eq!(permck(&args), (Exit::Ok, String::new()));
    let with = ["--baseline", base.to_str().unwrap()];
    assert_eq!(json(dir.path(), &with).0, Exit::Ok);
    chmod(&worse, 0o645);
    write(&new, 0o644, "x");
    let (exit, records) = json(dir.path(), &with);
    assert_eq!(exit, Exit::No);
    let paths: Vec<_> = findings(&records).into_iter().map(|(_, p)| p).collect();
    assert_eq!(paths, [new.display().to_string(), worse.display().to_string()]);
    // A baseline that was cut short hides nothing by mistake.
    let text = std::fs::read_to_string(&base).unwrap();
    write(&base, 0o600, text.lines().next().unwrap());
    assert_eq!(json(dir.path(), &with).0, Exit::Failed);
}

#[test]
fn every_format_is_written_and_nagios_has_its_own_statuses() {
    let (dir, place) = (clean_dir(), clean_dir());
    let bad = dir.path().join("bad");
    write(&bad, 0o666, "x");
    let run = |format: &str| {
        permck(&[
            "audit".as_ref(),
            "--strict".as_ref(),
            "--format".as_ref(),
            format.as_ref(),
            dir.path().as_os_str(),
        ])
    };
    let (exit, sarif) = run("sarif");
    let log: serde_json::Value = serde_json::from_str(&sarif).unwrap();
    assert_eq!((exit, &log["runs"][0]["results"][0]["ruleId"]), (Exit::No, &"world-writable".into()));
    assert!(run("junit").1.contains("<failure message="));
    assert!(run("prometheus").1.contains("permck_findings{rule=\"world-writable\",severity=\"error\"} 1"));
    let (exit, line) = run("nagios");
    assert!(exit == Exit::Failed && line.starts_with("PERMCK CRITICAL: 1 error in 2 entries; "), "{line}");
    chmod(&bad, 0o600);
    assert_eq!(run("nagios").0, Exit::Ok);
    // A report in a file is there whole, with its final mode, and standard output is silent.
    let file = place.path().join("audit.sarif");
    let args: [&OsStr; 6] = [
        "audit".as_ref(),
        "--format".as_ref(),
        "sarif".as_ref(),
        "-o".as_ref(),
        file.as_ref(),
        dir.path().as_ref(),
    ];
    assert_eq!(permck(&args), (Exit::Ok, String::new()));
    let written: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(written["runs"][0]["results"], serde_json::json!([]));
}

#[test]
fn paths_are_read_from_a_list() {
    let (dir, place) = (clean_dir(), clean_dir());
    let names = [&b"a"[..], b"new\nline"];
    let mut list = Vec::new();
    for name in names {
        let path = dir.path().join(OsStr::from_bytes(name));
        write(&path, 0o666, "x");
        list.extend(path.as_os_str().as_bytes());
        list.push(0);
    }
    let file = place.path().join("list");
    write(&file, 0o600, list);
    let args: [&OsStr; 7] = [
        "audit".as_ref(),
        "--strict".as_ref(),
        "--format".as_ref(),
        "json".as_ref(),
        "-0".as_ref(),
        "--files-from".as_ref(),
        file.as_ref(),
    ];
    let (exit, records) = permck(&args);
    assert_eq!(
        (exit, findings(&records).iter().filter(|(r, _)| r == "world-writable").count()),
        (Exit::No, 2)
    );
}

/// What `make install` lays out: the profile finds nothing, and what is loosened is found.
#[test]
fn a_clean_installation_has_no_findings() {
    let dir = clean_dir();
    let path = |name: &str| dir.path().join(name);
    for (name, mode) in [
        ("usr", 0o750),
        ("usr/bin", 0o750),
        ("usr/share", 0o750),
        ("usr/share/man", 0o750),
        ("usr/share/man/man1", 0o750),
        ("usr/share/zsh", 0o750),
        ("etc", 0o750),
        ("etc/profguard", 0o750),
        ("etc/profguard/server_certs", 0o700),
        ("var", 0o750),
        ("var/log", 0o750),
    ] {
        std::fs::create_dir(path(name)).unwrap();
        chmod(&path(name), mode);
    }
    write(&path("usr/bin/profd"), 0o550, b"\x7fELF\x02\x01\x01");
    symlink("profd", path("usr/bin/dynolog")).unwrap();
    write(&path("usr/share/man/man1/permck.1"), 0o440, ".TH x");
    write(&path("usr/share/zsh/_permck"), 0o440, "#compdef permck");
    write(&path("etc/profguard/profd.toml"), 0o640, "port = 1778\n");
    write(&path("etc/profguard/server_certs/server.key"), 0o600, KEY);
    write(&path("var/log/profd.log"), 0o640, "x");
    write(&path("var/log/profd.log.1"), 0o440, "x");
    chmod(&path("usr/bin"), 0o550);
    let (exit, records) = json(dir.path(), &["--profile", "profguard"]);
    assert_eq!((exit, findings(&records)), (Exit::Ok, vec![]));
    chmod(&path("etc/profguard/server_certs"), 0o750);
    chmod(&path("usr/bin/profd"), 0o4550);
    let (_, records) = json(dir.path(), &["--profile", "profguard"]);
    assert_eq!(rules_of(&records, &path("etc/profguard/server_certs")), ["mode"]);
    assert_eq!(rules_of(&records, &path("usr/bin/profd")), ["special-bits"]);
}

/// Owners, unowned ids and devices need privileges to be made; find is the oracle of which ids have no account.
#[test]
fn owner_findings_agree_with_find() {
    // Root gives files away; who is not becomes root of a namespace with ids to give them to.
    let root = rustix::process::geteuid().is_root();
    if !root
        && elsewhere("cmd::audit::tests::owner_findings_agree_with_find", &["--map-root-user", "--map-auto"])
    {
        return;
    }
    let dir = clean_dir();
    let path = |name: &str| dir.path().join(name);
    for name in ["own", "daemon", "nouser", "nogroup"] {
        write(&path(name), 0o600, "x");
    }
    let chown =
        |name: &str, uid: Option<u32>, gid: Option<u32>| std::os::unix::fs::chown(path(name), uid, gid);
    if chown("daemon", Some(1), None).is_err() {
        return skipped("no right to give files away");
    }
    // An id that no account has, among those that a namespace maps.
    let nobody = 60_123;
    chown("nouser", Some(nobody), None).unwrap();
    chown("nogroup", None, Some(nobody)).unwrap();
    let (_, records) = json(dir.path(), &[]);
    let told = |rule: &str| -> BTreeSet<String> {
        findings(&records).into_iter().filter(|(r, _)| r == rule).map(|(_, p)| p).collect()
    };
    let shown = |names: &[&str]| names.iter().map(|n| path(n).display().to_string()).collect::<BTreeSet<_>>();
    assert_eq!(told("owner"), shown(&["daemon", "nouser"]));
    let args: [&OsStr; 4] = [dir.path().as_ref(), "-nouser".as_ref(), "-o".as_ref(), "-nogroup".as_ref()];
    match ask("find", &args) {
        Ok(listed) => {
            let listed = String::from_utf8(listed).unwrap();
            assert_eq!(told("unowned"), listed.lines().map(str::to_owned).collect());
        }
        Err(reason) => testkit::skip_part(reason),
    }
    // The account that is named may own them.
    assert!(!json(dir.path(), &["--owner", "1"]).1.contains("daemon\",\"found\":\"owned"));
}

#[test]
fn devices_and_sockets_are_findings() {
    let dir = clean_dir();
    let socket = dir.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    chmod(&socket, 0o600);
    let device = dir.path().join("device");
    let kind = rustix::fs::FileType::CharacterDevice;
    let made = rustix::fs::mknodat(
        rustix::fs::CWD,
        &device,
        kind,
        rustix::fs::Mode::RUSR,
        rustix::fs::makedev(1, 3),
    );
    let (_, records) = json(dir.path(), &["--show", "note"]);
    assert_eq!(rules_of(&records, &socket), ["socket"]);
    match made {
        Ok(()) => assert_eq!(rules_of(&records, &device), ["device"]),
        Err(_) => testkit::skip_part("no right to make devices"),
    }
    chmod(&socket, 0o666);
    assert_eq!(rules_of(&json(dir.path(), &[]).1, &socket), ["world-writable"]);
}

#[test]
fn a_rotated_log_that_is_still_written_is_being_recorded() {
    let dir = clean_dir();
    let path = dir.path().join("a.log.1");
    write(&path, 0o640, "x");
    assert_eq!(rules_of(&json(dir.path(), &[]).1, &path), ["mode"]);
    let _writer = std::fs::File::options().append(true).open(&path).unwrap();
    assert_eq!(json(dir.path(), &[]).0, Exit::Ok);
}

mod advice;
mod danger;
mod deep;
mod inputs;
mod install;
