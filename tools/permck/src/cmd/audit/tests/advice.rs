//! What findings advise: nobody who follows it breaks something else.

use super::*;

#[test]
fn a_private_key_is_found_wherever_it_stands_in_a_text() {
    let dir = clean_dir();
    let path = |name: &str| dir.path().join(name);
    write(&path("late.yaml"), 0o640, format!("{}{KEY}", "# a line of a long file\n".repeat(10_000)));
    write(&path("huge.yaml"), 0o640, format!("{}{KEY}", "# a line of a long file\n".repeat(50_000)));
    write(&path("crlf.json"), 0o640, format!("{{\"k\":\"{}\"}}", KEY.replace('\n', "\\r\\n")));
    write(&path("pgp.yaml"), 0o640, format!("k: |\n{}", KEY.replace("PRIVATE KEY", "PGP PRIVATE KEY BLOCK")));
    let der = [&b"\x30\x2e\x02\x01\0\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20"[..], &[7; 32]].concat();
    write(&path("blob"), 0o640, der);
    let (_, records) = json(dir.path(), &[]);
    for name in ["late.yaml", "crlf.json", "pgp.yaml"] {
        assert_eq!(rules_of(&records, &path(name)), ["key-readable"], "{name}");
    }
    assert_eq!(rules_of(&records, &path("blob")), ["key-readable"]);
    // Beyond 1 MiB only the beginning is read, as the manual says.
    assert!(rules_of(&records, &path("huge.yaml")).is_empty());
}

#[test]
fn one_stray_key_does_not_close_a_directory_of_data() {
    let dir = clean_dir();
    let path = |name: &str| dir.path().join(name);
    chmod(dir.path(), 0o750);
    for i in 0..5 {
        write(&path(&format!("{i}.json")), 0o640, "{}");
    }
    write(&path("-k.pem"), 0o600, KEY);
    let (exit, records) = json(dir.path(), &[]);
    assert_eq!((exit, rules_of(&records, dir.path())), (Exit::Ok, vec!["stray-key".to_owned()]));
    assert!(records.contains("private key -k.pem beside 5 other entries"), "{records}");
    for i in 0..4 {
        std::fs::remove_file(path(&format!("{i}.json"))).unwrap();
    }
    assert_eq!(rules_of(&json(dir.path(), &[]).1, dir.path()), ["mode"]);
}

#[test]
fn the_mask_of_an_acl_is_not_what_the_group_gets() {
    let dir = clean_dir();
    let path = dir.path().join("f");
    write(&path, 0o640, "x");
    let acl = ["-m".as_ref(), OsStr::new("u:65534:rw,g::r,m::rw"), path.as_ref()];
    if oracle("setfacl", &acl).is_none() {
        return;
    }
    assert_eq!(rules_of(&json(dir.path(), &[]).1, &path), ["acl"]);
}

/// The advice is followed, and the finding is gone.
#[test]
fn advice_about_a_directory_with_setgid_helps() {
    let dir = clean_dir();
    let sub = dir.path().join("sub");
    std::fs::create_dir(&sub).unwrap();
    chmod(&sub, 0o2755);
    let (_, records) = json(dir.path(), &[]);
    let fix = format!("chmod 00750 {}", sub.display());
    assert!(records.contains(&fix), "{records}");
    ask("sh", &["-c".as_ref(), fix.as_ref()]).unwrap();
    assert_eq!(json(dir.path(), &[]).0, Exit::Ok);
}

#[test]
fn no_command_is_advised_for_a_file_with_several_hard_links() {
    let (dir, other) = (clean_dir(), clean_dir());
    let (victim, name) = (other.path().join("victim"), dir.path().join("name"));
    write(&victim, 0o664, "x");
    std::fs::hard_link(&victim, &name).unwrap();
    let about = |records: String| -> String {
        let path = format!("\"path\":\"{}\"", name.display());
        records.lines().filter(|l| l.contains(&path)).collect()
    };
    let policy = other.path().join("p.toml");
    write(&policy, 0o600, "version = 1\n[[path]]\nmatch = ['*']\nowner = ['1']\n");
    let records = about(json(dir.path(), &["--policy", policy.to_str().unwrap()]).1);
    assert!(
        records.contains("it has 2 hard links: first find") && !records.contains("chown -h"),
        "{records}"
    );
    // In somebody else's directory no command at all is advised but that of looking.
    if std::os::unix::fs::chown(dir.path(), Some(1), None).is_err() {
        return skipped("no right to give files away");
    }
    let records = json(dir.path(), &["--owner", "1"]).1;
    assert_eq!(rules_of(&records, &name), ["group-writable", "hard-link"]);
    let records = about(records);
    assert!(records.contains("first find the other names of the file: see [hard-link]"), "{records}");
    assert!(!records.contains("chmod"), "{records}");
}

#[test]
fn devices_belong_below_dev() {
    let (exit, records) = json(Path::new("/dev/null"), &[]);
    assert_eq!((exit, findings(&records)), (Exit::Ok, vec![]));
}
