//! What packaging/install lays out raises no alarm, into an empty place and into directories that are there.

use super::*;

const INSTALL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/install");
const TOOLS: [&str; 3] = ["profd", "profctl", "permck"];

/// What packaging/install takes, with programs that are only called so.
fn built(top: &Path) {
    let path = |name: &str| top.join(name);
    for dir in ["packaging", "built", "man", "completions/bash", "completions/zsh", "completions/fish"] {
        std::fs::create_dir_all(path(dir)).unwrap();
    }
    std::fs::copy(INSTALL, path("packaging/install")).unwrap();
    for tool in TOOLS {
        write(&path(&format!("built/{tool}")), 0o755, b"\x7fELF\x02\x01\x01");
        write(&path(&format!("completions/bash/{tool}")), 0o644, "complete");
        write(&path(&format!("completions/zsh/_{tool}")), 0o644, "#compdef");
        write(&path(&format!("completions/fish/{tool}.fish")), 0o644, "complete");
        write(&path(&format!("man/{tool}.1")), 0o644, ".TH");
    }
    write(&path("man/profguard-policy.5"), 0o644, ".TH");
}

fn install(top: &Path, dest: &Path, prefix: &str) {
    let script = top.join("packaging/install");
    let output = std::process::Command::new("sh")
        .arg(script)
        .arg("install")
        .args(TOOLS)
        .env("BIN", top.join("built"))
        .env("DESTDIR", dest)
        .env("GROUP", rustix::process::getegid().as_raw().to_string())
        .env("PREFIX", prefix)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn an_installation_over_an_old_one_has_no_findings() {
    let (top, dest) = (clean_dir(), clean_dir());
    built(top.path());
    let dirs = ["", "usr", "usr/bin", "usr/share", "usr/share/man", "usr/share/man/man1", "usr/share/zsh"];
    for prefix in ["/usr", "/usr/local"] {
        for there in [false, true] {
            let pkg = dest.path().join(format!("{}-{there}", prefix.len()));
            for dir in dirs.iter().filter(|_| there) {
                std::fs::create_dir(pkg.join(dir)).unwrap();
                chmod(&pkg.join(dir), 0o755);
            }
            install(top.path(), &pkg, prefix);
            for audited in [pkg.clone(), pkg.join(&prefix[1..])] {
                let (exit, records) = json(&audited, &["--profile", "profguard"]);
                assert_eq!((exit, findings(&records)), (Exit::Ok, vec![]), "{prefix} {there}");
            }
        }
    }
    // What the system shares is not for everybody to write, and what is ours is not the system's.
    let bin = dest.path().join("4-true/usr/bin");
    chmod(&bin, 0o775);
    chmod(&bin.join("profd"), 0o555);
    let (_, records) = json(&dest.path().join("4-true"), &["--profile", "profguard"]);
    assert_eq!(rules_of(&records, &bin), ["group-writable"]);
    assert_eq!(rules_of(&records, &bin.join("profd")), ["mode"]);
}

/// The directory of certificates is never one that the system shares.
#[test]
fn a_certificate_directory_is_held_to_0700_by_the_profile_too() {
    let dir = clean_dir();
    write(&dir.path().join("server.key"), 0o600, KEY);
    chmod(dir.path(), 0o755);
    assert_eq!(json(dir.path(), &["--profile", "profguard"]).0, Exit::No);
}

/// As distributions install them.
#[test]
fn manual_pages_and_completions_are_readable_by_everyone() {
    let dir = clean_dir();
    let share = dir.path().join("share");
    for file in ["man/man1/permck.1.gz", "bash-completion/completions/permck", "zsh/site-functions/_permck"] {
        let path = share.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        write(&path, 0o644, "x");
    }
    assert_eq!(findings(&json(dir.path(), &["--profile", "profguard"]).1), vec![]);
    write(&share.join("man/man1/permck.1.gz"), 0o664, "x");
    assert_eq!(json(dir.path(), &["--profile", "profguard"]).0, Exit::No);
}
