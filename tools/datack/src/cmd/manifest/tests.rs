//! Manifests of real trees, against sha256sum and openssl.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::*;
use crate::manifest::lister::{self, FileLister, ListOptions};
use crate::manifest::partial::PartialManifest;
use crate::manifest::{HashedFile, HashedFileStamp};
use crate::tests::{ask, clean_dir, datack, oracle, write};

fn create(output: &Path, tree: &Path, more: &[&str]) -> Exit {
    let mut args: Vec<&OsStr> = vec!["manifest".as_ref(), "create".as_ref(), "-o".as_ref(), output.as_ref()];
    args.extend(more.iter().map(OsStr::new));
    args.push(tree.as_ref());
    datack(&args).0
}

fn verify(manifest: &Path, more: &[&OsStr]) -> (Exit, String) {
    let mut args: Vec<&OsStr> =
        vec!["manifest".as_ref(), "verify".as_ref(), "--manifest".as_ref(), manifest.as_ref()];
    args.extend(more);
    datack(&args)
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let diag = Diag::new("t", common::out::Verbosity::Quiet);
    let files = FileLister::list_below(
        &lister::open_base(None).unwrap(),
        &[dir.to_owned()],
        ListOptions::default(),
        &diag,
    );
    let files: Vec<_> = files.map(|f| f.path).collect();
    assert!(files.is_sorted());
    files
}

fn grow(dir: &Path) {
    std::fs::create_dir(dir.join("sub")).unwrap();
    for (i, name) in
        [&b"empty"[..], b"small", b"large", b"new\nline", b"back\\slash", b"sub/\xff"].into_iter().enumerate()
    {
        write(&dir.join(OsStr::from_bytes(name)), 0o640, vec![i as u8; i * i * 100_000]);
    }
    std::os::unix::fs::symlink("small", dir.join("link")).unwrap();
}

#[test]
fn sha256sum_reads_ours_and_we_read_its() {
    let (dir, place) = (clean_dir(), clean_dir());
    grow(dir.path());
    let ours = place.path().join("ours");
    assert_eq!(create(&ours, dir.path(), &[]), Exit::Ok);
    assert_eq!(verify(&ours, &[dir.path().as_ref()]), (Exit::Ok, String::new()));
    // Others, such as busybox's, write every name as it is.
    let version = ask("sha256sum", &["--version".as_ref()]).unwrap_or_default();
    if !String::from_utf8_lossy(&version).contains("GNU coreutils") {
        return crate::tests::skipped("no sha256sum of GNU coreutils on PATH");
    }
    let files = files(dir.path());
    let args: Vec<&OsStr> = files.iter().map(|f| f.as_os_str()).collect();
    let Some(theirs) = oracle("sha256sum", &args) else { return };
    assert_eq!(String::from_utf8_lossy(&std::fs::read(&ours).unwrap()), String::from_utf8_lossy(&theirs));
    let checked =
        oracle("sha256sum", &["--quiet".as_ref(), "--strict".as_ref(), "-c".as_ref(), ours.as_ref()])
            .unwrap();
    assert!(checked.is_empty(), "{}", String::from_utf8_lossy(&checked));
}

#[test]
fn changed_missing_and_new_files_are_listed() {
    let (dir, place) = (clean_dir(), clean_dir());
    grow(dir.path());
    for more in [&[][..], &["--format", "json"]] {
        let manifest = place.path().join("m");
        assert_eq!(create(&manifest, dir.path(), more), Exit::Ok);
        write(&dir.path().join("small"), 0o640, format!("other {}", more.len()));
        std::fs::rename(dir.path().join("large"), dir.path().join("renamed")).unwrap();
        let (exit, text) = verify(&manifest, &[dir.path().as_ref()]);
        assert_eq!(exit, Exit::No);
        let shown = |name: &str, status: &str| format!("{}: {status}\n", dir.path().join(name).display());
        assert_eq!(text, shown("large", "missing") + &shown("small", "changed") + &shown("renamed", "new"));
        std::fs::rename(dir.path().join("renamed"), dir.path().join("large")).unwrap();
    }
}

#[test]
fn a_signature_is_made_and_checked_as_openssl_does() {
    let (dir, place) = (clean_dir(), clean_dir());
    grow(dir.path());
    let path = |name: &str| place.path().join(name);
    let (key, public, manifest) = (path("key"), path("pub"), path("m"));
    if oracle(
        "openssl",
        &["genpkey".as_ref(), "-algorithm".as_ref(), "ed25519".as_ref(), "-out".as_ref(), key.as_ref()],
    )
    .is_none()
    {
        return;
    }
    oracle(
        "openssl",
        &[
            "pkey".as_ref(),
            "-in".as_ref(),
            key.as_ref(),
            "-pubout".as_ref(),
            "-out".as_ref(),
            public.as_ref(),
        ],
    );
    // A key that others can read signs nothing.
    crate::tests::chmod(&key, 0o644);
    assert_eq!(create(&manifest, dir.path(), &["--sign", key.to_str().unwrap()]), Exit::Failed);
    crate::tests::chmod(&key, 0o600);
    assert_eq!(create(&manifest, dir.path(), &["--sign", key.to_str().unwrap()]), Exit::Ok);
    let with = ["--key".as_ref(), public.as_os_str()];
    assert_eq!(verify(&manifest, &with), (Exit::Ok, String::new()));
    let sig = sign::signature_path(&manifest);
    let args: [&OsStr; 10] =
        ["pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", "", "-sigfile", "", "-in", ""].map(OsStr::new);
    let mut args = args.to_vec();
    (args[5], args[7], args[9]) = (public.as_ref(), sig.as_ref(), manifest.as_ref());
    let said = oracle("openssl", &args).unwrap();
    assert!(
        String::from_utf8_lossy(&said).contains("Verified Successfully"),
        "{}",
        String::from_utf8_lossy(&said)
    );
    let mut content = std::fs::read(&manifest).unwrap();
    content[0] ^= 1;
    std::fs::write(&manifest, content).unwrap();
    let (exit, text) = verify(&manifest, &with);
    assert_eq!((exit, text), (Exit::No, format!("{}: bad signature\n", manifest.display())));
}

#[test]
fn an_interrupted_run_is_resumed_for_unchanged_files_only() {
    let (dir, place) = (clean_dir(), clean_dir());
    grow(dir.path());
    let (manifest, partial) = (place.path().join("m"), place.path().join("m.partial"));
    // A file that cannot be hashed cuts the run: here one whose digest is already recorded, with wrong content.
    let (mut record, _) = PartialManifest::open(&manifest, false).unwrap();
    let stamp = |name: &str| HashedFileStamp::of(&rustix::fs::stat(dir.path().join(name)).unwrap());
    record
        .add_digest(&dir.path().join("small"), &HashedFile { sha256: [9; 32], stamp: stamp("small") })
        .unwrap();
    record
        .add_digest(&dir.path().join("large"), &HashedFile { sha256: [9; 32], stamp: stamp("small") })
        .unwrap();
    record.flush().unwrap();
    drop(record);
    assert_eq!(create(&manifest, dir.path(), &["--resume"]), Exit::Ok);
    assert!(!partial.exists());
    let text = String::from_utf8_lossy(&std::fs::read(&manifest).unwrap()).into_owned();
    assert!(
        text.contains(&format!("{}  {}\n", "09".repeat(32), dir.path().join("small").display())),
        "{text}"
    );
    assert_eq!(text.matches("0909").count(), 16, "{text}");
    // Without --resume everything is hashed.
    assert_eq!(create(&manifest, dir.path(), &[]), Exit::Ok);
    assert_eq!(verify(&manifest, &[]).0, Exit::Ok);
}

#[test]
fn truncated_and_empty_manifests_are_rejected() {
    let (dir, place) = (clean_dir(), clean_dir());
    grow(dir.path());
    let manifest = place.path().join("m");
    for empty in ["", "\n", "# nothing\n"] {
        write(&manifest, 0o640, empty);
        assert_eq!(verify(&manifest, &[]).0, Exit::Failed, "{empty:?}");
    }
    assert_eq!(create(&manifest, dir.path(), &["--format", "json"]), Exit::Ok);
    assert_eq!(verify(&manifest, &[]).0, Exit::Ok);
    let whole = std::fs::read_to_string(&manifest).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    for cut in 0..lines.len() {
        write(&manifest, 0o640, lines[..cut].join("\n"));
        assert_eq!(verify(&manifest, &[]).0, Exit::Failed, "the first {cut} lines");
    }
    // A line that was taken out of the middle.
    write(&manifest, 0o640, [&lines[..1], &lines[2..]].concat().join("\n"));
    assert_eq!(verify(&manifest, &[]).0, Exit::Failed);
    // Nothing to name is an error at once.
    let nothing = clean_dir();
    assert_eq!(create(&manifest, nothing.path(), &[]), Exit::Failed);
}

#[test]
fn links_are_followed_where_they_are_named_or_asked_for() {
    use std::os::unix::fs::symlink;
    let (hub, place) = (clean_dir(), clean_dir());
    let at = |p: &str| hub.path().join(p);
    std::fs::create_dir(at("blobs")).unwrap();
    std::fs::create_dir(at("snap")).unwrap();
    write(&at("blobs/abc"), 0o640, "weights");
    symlink("../blobs/abc", at("snap/model.safetensors")).unwrap();
    symlink("..", at("snap/up")).unwrap();
    let manifest = place.path().join("m");
    let lines = || std::fs::read_to_string(&manifest).unwrap();
    assert_eq!(create(&manifest, &at("snap/model.safetensors"), &[]), Exit::Ok);
    assert!(lines().ends_with("/snap/model.safetensors\n"), "{}", lines());
    assert_eq!(verify(&manifest, &[]), (Exit::Ok, String::new()));
    // Alone they are nothing, and that is told.
    assert_eq!(create(&manifest, &at("snap"), &[]), Exit::Failed);
    assert_eq!(create(&manifest, hub.path(), &[]), Exit::Ok);
    assert_eq!(lines().lines().count(), 1);
    // A link that leads up ends by itself.
    let snap = at("snap");
    assert_eq!(create(&manifest, &snap, &["--follow"]), Exit::Ok);
    assert!(lines().contains("/snap/model.safetensors\n") && lines().contains("/snap/up/blobs/abc\n"));
    assert_eq!(verify(&manifest, &["--follow".as_ref(), snap.as_ref()]), (Exit::Ok, String::new()));
    symlink("nowhere", at("snap/dangling")).unwrap();
    assert_eq!(create(&manifest, &snap, &["--follow"]), Exit::Failed);
    // A file, and a link, that are named beside their directory, come once.
    let blob = at("blobs/abc");
    assert_eq!(create(&manifest, &at("blobs"), &[blob.to_str().unwrap()]), Exit::Ok);
    assert_eq!(lines().lines().count(), 1);
    let link = at("snap/model.safetensors");
    assert_eq!(create(&manifest, &snap, &[link.to_str().unwrap()]), Exit::Ok);
    assert_eq!(lines().lines().count(), 1);
}

/// As `sha256sum -c` does: another program may write the manifest.
#[test]
fn a_manifest_is_read_from_a_pipe() {
    use std::os::fd::AsRawFd;
    let (dir, place) = (clean_dir(), clean_dir());
    grow(dir.path());
    let (ours, pipe) = (place.path().join("ours"), place.path().join("pipe"));
    assert_eq!(create(&ours, dir.path(), &[]), Exit::Ok);
    // As the shell names `<(…)`.
    let open = std::fs::File::open(&ours).unwrap();
    let by_number = PathBuf::from(format!("/dev/fd/{}", open.as_raw_fd()));
    assert_eq!(verify(&by_number, &[]), (Exit::Ok, String::new()));
    if oracle("mkfifo", &[pipe.as_os_str()]).is_none() {
        return;
    }
    let (text, to) = (std::fs::read(&ours).unwrap(), pipe.clone());
    let writer = std::thread::spawn(move || std::fs::write(to, text));
    assert_eq!(verify(&pipe, &[]), (Exit::Ok, String::new()));
    writer.join().unwrap().unwrap();
    // A link in the place of the manifest is still none.
    let link = place.path().join("link");
    std::os::unix::fs::symlink(&ours, &link).unwrap();
    assert_eq!(verify(&link, &[]).0, Exit::Failed);
}

#[test]
fn a_manifest_in_its_own_tree_is_no_part_of_it() {
    let dir = clean_dir();
    grow(dir.path());
    let manifest = dir.path().join("sums.sha");
    for more in [&[][..], &["--resume"]] {
        write(&dir.path().join("sums.sha.sig"), 0o640, "x");
        assert_eq!(create(&manifest, dir.path(), more), Exit::Ok);
        assert!(!String::from_utf8_lossy(&std::fs::read(&manifest).unwrap()).contains("sums.sha"));
        assert_eq!(verify(&manifest, &[dir.path().as_ref()]), (Exit::Ok, String::new()));
    }
}

#[test]
fn names_are_relative_to_the_given_directory() {
    let (dir, place) = (clean_dir(), clean_dir());
    grow(dir.path());
    let manifest = place.path().join("m");
    let at = dir.path().to_str().unwrap();
    assert_eq!(create(&manifest, Path::new("."), &["-C", at]), Exit::Ok);
    assert!(String::from_utf8_lossy(&std::fs::read(&manifest).unwrap()).contains("  ./small\n"));
    let within = ["-C".as_ref(), dir.path().as_os_str(), ".".as_ref()];
    assert_eq!(verify(&manifest, &within), (Exit::Ok, String::new()));
    assert_eq!(verify(&manifest, &[]).1.matches("missing").count(), 6);
}

#[test]
fn many_small_files_and_a_large_one_come_in_order() {
    let (dir, place) = (clean_dir(), clean_dir());
    for i in 0..1500 {
        write(&dir.path().join(format!("{i}")), 0o640, format!("{i}"));
    }
    write(&dir.path().join("0.large"), 0o640, vec![0; 3 << 20]);
    let manifest = place.path().join("m");
    assert_eq!(create(&manifest, dir.path(), &["--threads", "4"]), Exit::Ok);
    let text = std::fs::read_to_string(&manifest).unwrap();
    let named: Vec<_> = text.lines().map(|l| PathBuf::from(&l[66..])).collect();
    assert_eq!(named, files(dir.path()));
    assert_eq!(verify(&manifest, &[dir.path().as_ref()]), (Exit::Ok, String::new()));
}

#[test]
fn a_foreign_partial_file_is_rejected() {
    let (dir, place) = (clean_dir(), clean_dir());
    grow(dir.path());
    let (manifest, other) = (place.path().join("m"), place.path().join("m.partial"));
    write(&other, 0o640, "precious");
    assert_eq!(create(&manifest, dir.path(), &[]), Exit::Failed);
    assert_eq!(create(&manifest, dir.path(), &["--resume"]), Exit::Failed);
    assert_eq!(std::fs::read_to_string(&other).unwrap(), "precious");
    std::fs::remove_file(&other).unwrap();
    let (running, _) = PartialManifest::open(&manifest, false).unwrap();
    assert_eq!(create(&manifest, dir.path(), &[]), Exit::Failed);
    drop(running);
    assert_eq!(create(&manifest, dir.path(), &[]), Exit::Ok);
}

/// Whoever adds a link to a tree of weights leads its reader elsewhere.
#[test]
fn a_link_that_the_manifest_does_not_name_is_new() {
    let (dir, place) = (clean_dir(), clean_dir());
    write(&dir.path().join("a"), 0o640, "x");
    let manifest = place.path().join("m");
    assert_eq!(create(&manifest, dir.path(), &[]), Exit::Ok);
    assert_eq!(verify(&manifest, &[dir.path().as_ref()]), (Exit::Ok, String::new()));
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("b")).unwrap();
    let (exit, text) = verify(&manifest, &[dir.path().as_ref()]);
    assert_eq!((exit, text), (Exit::No, format!("{}: new\n", dir.path().join("b").display())));
    // Those that it names were verified.
    std::fs::remove_file(&manifest).unwrap();
    std::fs::remove_file(dir.path().join("b")).unwrap();
    std::os::unix::fs::symlink("a", dir.path().join("b")).unwrap();
    assert_eq!(create(&manifest, dir.path(), &["--follow"]), Exit::Ok);
    assert_eq!(verify(&manifest, &[dir.path().as_ref()]), (Exit::Ok, String::new()));
    let json = verify(&manifest, &["--format".as_ref(), "json".as_ref(), dir.path().as_ref()]).1;
    assert!(json.contains("\"links\":0"), "{json}");
}

#[test]
fn names_are_compared_as_the_files_that_they_are() {
    let (dir, place) = (clean_dir(), clean_dir());
    grow(dir.path());
    std::fs::remove_file(dir.path().join("link")).unwrap();
    let (whole, below) = (place.path().join("whole"), place.path().join("below"));
    let at = dir.path().to_str().unwrap();
    assert_eq!(create(&whole, dir.path(), &[]), Exit::Ok);
    assert_eq!(create(&below, Path::new("."), &["-C", at]), Exit::Ok);
    let to: &[&OsStr] = &["-C".as_ref(), at.as_ref()];
    for manifest in [&whole, &below] {
        for path in [at, ".", "sub/.."] {
            let args = [to, &[path.as_ref()]].concat();
            assert_eq!(verify(manifest, &args), (Exit::Ok, String::new()), "{path}");
        }
    }
}
