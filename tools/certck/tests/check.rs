//! `certck check` and `certck watch`: what counts, what is said, and with which status.

#![allow(clippy::unwrap_used, reason = "a test")]

mod command;

use command::{certck, minted, put, records};
use common::exit::Exit;

#[test]
fn an_empty_list_of_directories_is_no_success() {
    let (dir, pki) = minted();
    let empty = dir.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let none = put(&dir.path().join("none"), 0o600, "\n\n");
    for args in [&["-r", empty.to_str().unwrap()][..], &["--files-from", &none]] {
        assert_eq!(certck(&[&["check"], args].concat()).0, Exit::No);
        let (exit, text) = certck(&[&["check", "--format", "nagios"], args].concat());
        assert_eq!(exit, Exit::Unknown);
        assert!(text.starts_with("CERTCK UNKNOWN: there are no directories"), "{text}");
        assert_eq!(certck(&[&["watch", "--count", "1"], args].concat()).0, Exit::No);
    }
    // A directory that lost its root is found, and judged.
    std::fs::remove_file(format!("{pki}/server_certs/ca.crt")).unwrap();
    let (exit, text) = certck(&["check", "-r", "--format", "json", &pki]);
    assert_eq!(exit, Exit::No);
    assert_eq!(records(&text, "certck.finding")[0]["rule"], "missing-file");
}

#[test]
fn every_directory_has_a_record_even_one_that_is_not_there() {
    let (_dir, pki) = minted();
    let server = format!("{pki}/server_certs");
    let (exit, text) = certck(&["check", "--format", "json", "/nowhere/x", &server]);
    assert_eq!(exit, Exit::Failed);
    let directories = records(&text, "certck.directory");
    let of = |i: usize| (directories[i]["dir"].as_str().unwrap(), directories[i]["valid"].as_bool().unwrap());
    assert_eq!((of(0), of(1)), (("/nowhere/x", false), (server.as_str(), true)));
    assert_eq!(records(&text, "certck.finding")[0]["rule"], "directory");
    let (exit, text) = certck(&["check", "--format", "nagios", "/nowhere/x", &server]);
    assert_eq!(exit, Exit::Unknown);
    assert!(text.contains("in 1 directory, 1 not readable; /nowhere/x: does not exist"), "{text}");
    assert_eq!(certck(&["watch", "--count", "1", "/nowhere/x"]).0, Exit::Failed);
}

#[test]
fn host_names_are_checked_for_servers_only_with_a_remark_for_others() {
    let (_dir, pki) = minted();
    let [server, client] = ["server_certs", "client_certs"].map(|d| format!("{pki}/{d}"));
    let check = |args: &[&str]| certck(&[&["check", "--host", "localhost"], args].concat()).0;
    assert_eq!(check(&[&client]), Exit::Failed);
    assert_eq!(check(&[&client, "--format", "nagios"]), Exit::Unknown);
    assert_eq!(check(&[&client, &server]), Exit::Ok);
    assert_eq!(certck(&["check", "--host", "a b", &server]).0, Exit::Failed);
}

#[test]
fn nagios_output_is_unknown_with_the_reason() {
    let (dir, pki) = minted();
    let server = format!("{pki}/server_certs");
    let broken = put(&dir.path().join("s.toml"), 0o600, "suppress = 3");
    for (args, why) in [
        (&["check", &server, "--suppress", &broken][..], "1:12"),
        (&["check", "--files-from", "/nowhere/list"], "/nowhere/list: does not exist"),
        (&["probe", "127.0.0.1:1", "--certs-dir", "/nowhere/x"], "/nowhere/x"),
    ] {
        let (exit, text) = certck(&[args, &["--format", "nagios"]].concat());
        assert_eq!(exit, Exit::Unknown, "{args:?}");
        assert!(text.starts_with("CERTCK UNKNOWN: ") && text.contains(why), "{text}");
        assert_eq!(text.lines().count(), 1);
    }
}

/// A list that takes out one rule for a path.
fn suppression(dir: &std::path::Path, rule: &str, path: &str) -> String {
    let text = format!(
        "[[suppress]]\nrule = \"{rule}\"\npath = \"{path}\"\nreason = \"known\"\nuntil = 2999-01-01\n"
    );
    put(&dir.join(format!("{rule}.toml")), 0o600, text)
}

#[test]
fn a_suppressed_error_leaves_the_directory_invalid() {
    let (dir, pki) = minted();
    let server = format!("{pki}/server_certs");
    let _ = put(&std::path::Path::new(&server).join("old.key"), 0o600, "-----BEGIN PRIVATE KEY-----\n");
    let list = suppression(dir.path(), "stray-key", &format!("{pki}/x/../server_certs"));
    let check = |format: &str| certck(&["check", "--suppress", &list, "--format", format, &server]);
    let (exit, text) = check("text");
    assert_eq!(exit, Exit::Ok);
    assert!(text.contains(": invalid, suppressed\n1 finding suppressed\n"), "{text}");
    let directory = &records(&check("json").1, "certck.directory")[0];
    assert_eq!((&directory["valid"], &directory["suppressed"]), (&false.into(), &1.into()));
    assert!(check("prometheus").1.contains("certck_valid{dir=\"") && check("prometheus").1.contains("} 0\n"));
    assert!(check("nagios").1.contains("in 1 directory; 1 suppressed | "), "{}", check("nagios").1);
    let (exit, text) = certck(&["watch", "--count", "1", "--suppress", &list, &server]);
    assert_eq!((exit, text.as_str()), (Exit::Ok, ""));
}

/// The labels of each series.
fn series(text: &str) -> Vec<&str> {
    text.lines().filter(|l| !l.starts_with('#')).map(|l| l.rsplit_once(' ').unwrap().0).collect()
}

#[test]
fn each_metric_series_is_written_once() {
    let (dir, pki) = minted();
    let (_other, theirs) = minted();
    let server = format!("{pki}/server_certs");
    // Two roots of one name.
    let roots = [&pki, &theirs].map(|p| std::fs::read_to_string(format!("{p}/ca/ca.crt")).unwrap()).concat();
    let _ = put(&std::path::Path::new(&server).join("ca.crt"), 0o600, roots);
    let prom = dir.path().join("certck.prom");
    let same = format!("{server}/../server_certs");
    let args = ["--prometheus", prom.to_str().unwrap(), &server, &same, &server];
    let (exit, text) = certck(&[&["check", "--format", "json"], &args[..]].concat());
    assert_eq!(exit, Exit::Ok);
    assert_eq!(records(&text, "certck.summary")[0]["checked"], 1);
    let text = std::fs::read_to_string(&prom).unwrap();
    let mut all = series(&text);
    let n = all.len();
    assert_eq!(all.iter().filter(|s| s.contains("ca.crt\"")).count(), 2, "{text}");
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), n, "{text}");
    // A report that was asked for is there though the metrics cannot be.
    let (exit, text) = certck(&["check", "--format", "json", "--prometheus", "/nowhere/x/p", &server]);
    assert_eq!(exit, Exit::Failed);
    assert_eq!(records(&text, "certck.summary")[0]["errors"], 1);
}

#[test]
fn a_watch_reads_a_pipe_once_and_survives_a_textfile_that_cannot_be_written() {
    let (dir, pki) = minted();
    let [server, fifo] =
        [format!("{pki}/server_certs"), dir.path().join("fifo").to_str().unwrap().to_owned()];
    std::fs::remove_file(format!("{server}/ca.crl")).unwrap();
    let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR);
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, kind, mode, 0).unwrap();
    let (to, list) = (fifo.clone(), format!("{server}\n"));
    let writer = std::thread::spawn(move || std::fs::write(to, list).unwrap());
    let args = ["watch", "--interval", "1", "--count", "2", "--format", "json", "--files-from", &fifo];
    let (exit, text) = certck(&[&args[..], &["--prometheus", "/nowhere/x/p"]].concat());
    writer.join().unwrap();
    assert_eq!(exit, Exit::Failed);
    let changes = records(&text, "certck.change");
    assert_eq!((changes.len(), &changes[0]["change"]), (1, &"new".into()), "{text}");
    let summary = &records(&text, "certck.summary")[0];
    assert_eq!((&summary["checked"], &summary["errors"]), (&1.into(), &1.into()));
    // A time that stands still is nothing to watch.
    assert_eq!(certck(&["watch", "--count", "1", "--at", "2026-11-23", &server]).0, Exit::Failed);
}

/// Such as /etc/ssl/certs: its mode is right as it is, and its files are none of ours. An empty one is its sibling.
#[test]
fn a_directory_of_another_kind_has_one_finding() {
    let dir = tempfile::tempdir().unwrap();
    let (store, empty) = (dir.path().join("certs"), dir.path().join("empty"));
    for place in [&store, &empty] {
        std::fs::create_dir(place).unwrap();
        std::fs::set_permissions(place, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    (0..30).for_each(|n| drop(put(&store.join(format!("root{n}.pem")), 0o644, "none")));
    let check = |place: &std::path::Path, more: &[&str]| {
        let args = [&["check", "--format", "json", place.to_str().unwrap()], more].concat();
        let (exit, text) = certck(&args);
        assert_eq!(exit, Exit::No);
        records(&text, "certck.finding")
    };
    for place in [&store, &empty] {
        let findings = check(place, &[]);
        assert_eq!((findings.len(), &findings[0]["rule"]), (1, &"missing-file".into()), "{findings:?}");
        assert!(findings[0]["fix"].as_str().unwrap().starts_with("name the directory"), "{findings:?}");
    }
    // Whoever says what it is gets every rule.
    assert!(check(&store, &["--role", "server"]).len() > 30);
}

#[test]
fn a_ca_directory_is_checked_by_the_rules_of_authorities() {
    let dir = tempfile::tempdir().unwrap();
    let pass = put(&dir.path().join("pass"), 0o600, "correct horse");
    let wrong = put(&dir.path().join("wrong"), 0o600, "battery staple");
    let pki = dir.path().join("pki").to_str().unwrap().to_owned();
    assert_eq!(certck(&["mint", "--encrypt", "--passphrase-file", &pass, &pki]).0, Exit::Ok);
    let ca = format!("{pki}/ca");
    let check = |more: &[&str]| {
        let (exit, text) = certck(&[&["check", "--format", "json", &ca], more].concat());
        let rules =
            records(&text, "certck.finding").into_iter().map(|f| f["rule"].as_str().unwrap().to_owned());
        (exit, rules.collect::<Vec<_>>().join(" "))
    };
    // Open or not, it is in order; and it is an authority's.
    assert_eq!(check(&["--profile", "strict"]), (Exit::Ok, String::new()));
    assert_eq!(check(&["--passphrase-file", &pass]), (Exit::Ok, String::new()));
    assert_eq!(check(&["--passphrase-file", &wrong]), (Exit::No, "key-encrypted".to_owned()));
    assert!(certck(&["check", &ca]).1.ends_with("ca (ca): valid\n"));
    assert!(check(&["--role", "server"]).1.contains("missing-file"));
    // Another authority's key, and a list that has expired.
    let (_other, theirs) = minted();
    std::fs::copy(format!("{theirs}/ca/ca.key"), format!("{ca}/ca.key")).unwrap();
    assert_eq!(check(&[]), (Exit::No, "key-mismatch".to_owned()));
    std::fs::copy(format!("{theirs}/ca/ca.crt"), format!("{ca}/ca.crt")).unwrap();
    std::fs::copy(format!("{theirs}/ca/ca.crl"), format!("{ca}/ca.crl")).unwrap();
    assert_eq!(check(&["--at", "2199-01-01"]).1, "expired crl-expired");
    assert_eq!(check(&["--host", "localhost"]).0, Exit::Failed);
}

/// A key that has lost its first line, a passphrase in the wrong place: whatever it is, it is not shown.
#[test]
fn malformed_keys_are_never_quoted() {
    let (_dir, pki) = minted();
    let key = format!("{pki}/server_certs/server.key");
    let text = std::fs::read_to_string(&key).unwrap();
    let secret = text.lines().nth(1).unwrap().to_owned();
    std::fs::write(&key, text.split_once('\n').unwrap().1).unwrap();
    for format in ["text", "json", "sarif", "nagios", "junit"] {
        let (exit, text) = certck(&["--format", format, "check", &format!("{pki}/server_certs")]);
        assert_ne!(exit, Exit::Ok);
        assert!(!text.contains(&secret[..12]), "{format}: {text}");
    }
}

/// Whoever has read a key keeps it: its mode alone is no repair.
#[test]
fn a_key_that_others_could_read_is_to_be_replaced() {
    let (_dir, pki) = minted();
    let fixes = |dir: &str, file: &str, rule: &str| {
        let dir = format!("{pki}/{dir}");
        let path = format!("{dir}/{file}");
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        let (exit, text) = certck(&["--format", "json", "check", &dir]);
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let found = records(&text, "certck.finding");
        assert_eq!((exit, found.len(), &found[0]["rule"]), (Exit::No, 1, &rule.into()), "{text}");
        found[0]["fix"].as_str().unwrap().to_owned()
    };
    assert!(fixes("server_certs", "server.key", "key-readable").contains("replace the key"));
    assert!(fixes("ca", "ca.key", "key-readable").contains("make a new authority"));
    assert!(!fixes("server_certs", "server.crt", "mode").contains("replace"));
}

#[test]
fn a_readable_key_comes_first_and_a_suppression_of_modes_does_not_cover_it() {
    let (dir, pki) = minted();
    let server = format!("{pki}/server_certs");
    for file in ["ca.crt", "server.crt", "server.key"] {
        let path = format!("{server}/{file}");
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    }
    let rules = |text: &str| -> Vec<String> {
        let found = records(text, "certck.finding");
        found.iter().map(|f| f["rule"].as_str().unwrap().to_owned()).collect()
    };
    let (_, text) = certck(&["--format", "json", "check", &server]);
    assert_eq!(rules(&text), ["key-readable", "mode", "mode"]);
    assert!(certck(&["--format", "nagios", "check", &server]).1.contains("[key-readable]"));
    let list = suppression(dir.path(), "mode", &server);
    let (exit, text) = certck(&["--format", "json", "check", "--suppress", &list, &server]);
    assert_eq!((exit, rules(&text)), (Exit::No, vec!["key-readable".to_owned()]));
}

/// Each fix is a command that does something about this finding: a renewal of what does not expire needs `--all`, and a
/// root is not renewed at all.
#[test]
fn fixes_name_the_command_and_the_directory() {
    let (_dir, pki) = minted();
    let server = format!("{pki}/server_certs");
    let fix = |args: &[&str], rule: &str| {
        let (_, text) = certck(&[&["--format", "json", "check"], args].concat());
        let found = records(&text, "certck.finding").into_iter().find(|f| f["rule"] == rule);
        found.unwrap_or_else(|| panic!("{rule}: {text}"))["fix"].as_str().unwrap().to_owned()
    };
    let soon = fix(&[&server, "--warn-days", "366"], "expiring");
    assert!(soon.starts_with(&format!("`certck mint renew CA_DIR {server}`")), "{soon}");
    let root = fix(&[&format!("{pki}/ca"), "--warn-days", "3700"], "expiring");
    assert!(root.contains("certck mint rollover begin"), "{root}");
    let gone = fix(&[&format!("{pki}/ca"), "--at", "2070-01-01"], "expired");
    assert!(gone.starts_with("make a new authority"), "{gone}");
    let host = fix(&[&server, "--host", "node17.example.org"], "host-mismatch");
    assert!(host.starts_with("`certck mint leaf --role server --host node17.example.org CA_DIR "), "{host}");
}

/// Root checks for the accounts whose daemons start with the directories.
#[test]
fn the_expected_owner_is_the_user_of_the_daemon() {
    if !testkit::require_root() {
        return;
    }
    let (dir, pki) = minted();
    let server = format!("{pki}/server_certs");
    let own = |name: &str, uid| {
        let path = std::path::Path::new(&server).join(name);
        std::os::unix::fs::chown(path, Some(uid), Some(uid)).unwrap();
    };
    for name in ["", "ca.crt", "ca.crl", "server.crt", "server.key"] {
        own(name, 4711);
    }
    assert_eq!(certck(&["check", &server]).0, Exit::Ok);
    // That user must be able to get there, too.
    let (exit, text) = certck(&["--format", "json", "check", "--owner", "4711", &server]);
    assert_eq!((exit, &records(&text, "certck.finding")[0]["rule"]), (Exit::No, &"unreadable".into()));
    for above in [std::path::Path::new(&pki), dir.path()] {
        std::fs::set_permissions(above, std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
    }
    assert_eq!(certck(&["check", "--owner", "4711", &server]).0, Exit::Ok);
    assert_eq!(certck(&["check", "--owner", "4712", &server]).0, Exit::No);
    own("server.key", 4712);
    let (exit, text) = certck(&["--format", "json", "check", &server]);
    assert_eq!((exit, records(&text, "certck.finding").len()), (Exit::No, 1));
    // A program that starts with it is not asked whose it may be.
    let options = common::pki::LoadOptions::now();
    assert!(common::pki::MtlsDir::load(server.as_ref(), common::pki::Role::Server, &options).is_err());
}

#[test]
fn an_authority_without_its_own_crl_cannot_issue() {
    let (_dir, pki) = minted();
    let (_other, theirs) = minted();
    let [ca, list] = ["ca", "ca/ca.crl"].map(|name| format!("{pki}/{name}"));
    let check = || {
        let (exit, text) = certck(&["check", "--format", "json", &ca]);
        (exit, records(&text, "certck.finding"))
    };
    let unfit = |rule: &str| {
        let (exit, findings) = check();
        let seen: Vec<_> = findings.iter().map(|f| f["rule"].as_str().unwrap()).collect();
        assert_eq!((exit, seen), (Exit::No, vec![rule]));
        let fix = findings[0]["fix"].as_str().unwrap();
        assert!(fix.contains("copy it back") && fix.contains(&format!("crl new --first {ca}")), "{fix}");
        assert_eq!(certck(&["crl", "new", &ca]).0, Exit::Failed);
    };
    std::fs::copy(format!("{theirs}/ca/ca.crl"), &list).unwrap();
    unfit("crl-issuer");
    std::fs::remove_file(&list).unwrap();
    unfit("no-crl");
    assert_eq!(certck(&["crl", "new", "--first", &ca]).0, Exit::Ok);
    assert_eq!(check(), (Exit::Ok, Vec::new()));
    // One that is there and has ended is mended where the key is.
    let (_, text) = certck(&["check", "--format", "json", "--at", "2199-01-01", &ca]);
    let ended = records(&text, "certck.finding").into_iter().find(|f| f["rule"] == "crl-expired").unwrap();
    assert_eq!(ended["fix"], format!("`certck crl new {ca}`, with --to for each directory that needs it"));
}

#[test]
fn a_leaf_certificate_in_ca_crt_is_one_finding() {
    let (_dir, pki) = minted();
    let [ca, leaf] = ["ca.crt", "server.crt"].map(|name| format!("{pki}/server_certs/{name}"));
    let both = [&ca, &leaf].map(|path| std::fs::read_to_string(path).unwrap()).concat();
    std::fs::write(&ca, both).unwrap();
    let (exit, text) = certck(&["check", "--format", "json", &format!("{pki}/server_certs")]);
    let findings = records(&text, "certck.finding");
    assert_eq!((exit, findings.len()), (Exit::No, 1), "{text}");
    assert!(
        findings[0]["found"].as_str().unwrap().contains("the leaf of server.crt is in this file"),
        "{text}"
    );
    assert_eq!(
        (&findings[0]["rule"], &findings[0]["fix"]),
        (&"not-a-ca".into(), &"delete that block".into())
    );
}

/// The commands that findings give are run as they stand.
#[test]
fn pkcs12_containers_are_recognized_with_advice_to_split_them() {
    if testkit::require("openssl").is_none() {
        return;
    }
    let (_dir, pki) = minted();
    let server = format!("{pki}/server_certs");
    let shell =
        |command: &str| std::process::Command::new("sh").args(["-ec", command]).current_dir(&server).status();
    let pack = "openssl pkcs12 -export -in server.crt -inkey server.key -certfile ca.crt -passout pass: -out x 2>/dev/null
        cat x >server.crt; cat x >server.key; rm x";
    assert!(shell(pack).unwrap().success());
    let check = || records(&certck(&["check", "--format", "json", &server]).1, "certck.finding");
    let findings = check();
    assert_eq!(findings.len(), 2, "{findings:?}");
    for finding in findings {
        assert_eq!(finding["found"], "PKCS#12, a container of keys and certificates");
        let fix = finding["fix"].as_str().unwrap().replace(" -in ", " -passin pass: -in ");
        assert!(shell(&fix).unwrap().success(), "{fix}");
    }
    assert_eq!(check(), Vec::<serde_json::Value>::new());
}

#[test]
fn a_directory_that_holds_certificate_directories_is_one_finding() {
    let (_dir, pki) = minted();
    let (exit, text) = certck(&["check", &pki]);
    assert_eq!(exit, Exit::No);
    assert!(text.contains("the directories ca, client_certs, server_certs"), "{text}");
    assert!(
        text.contains("fix: name the directories below it, or use -r") && text.lines().count() == 3,
        "{text}"
    );
    // An authority whose key is somewhere else is one still.
    std::fs::remove_file(format!("{pki}/ca/ca.key")).unwrap();
    let (exit, text) = certck(&["check", &format!("{pki}/ca")]);
    assert!(exit == Exit::No && text.contains("ca (ca): invalid"), "{text}");
}
