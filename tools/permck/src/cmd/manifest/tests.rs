//! Manifests of real trees, against sha256sum and openssl.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::*;
use crate::tests::{clean_dir, oracle, permck, write};

fn create(output: &Path, tree: &Path, more: &[&str]) -> Exit {
    let mut args: Vec<&OsStr> = vec!["manifest".as_ref(), "create".as_ref(), "-o".as_ref(), output.as_ref()];
    args.extend(more.iter().map(OsStr::new));
    args.push(tree.as_ref());
    permck(&args).0
}

fn verify(manifest: &Path, more: &[&OsStr]) -> (Exit, String) {
    let mut args: Vec<&OsStr> =
        vec!["manifest".as_ref(), "verify".as_ref(), "--manifest".as_ref(), manifest.as_ref()];
    args.extend(more);
    permck(&args)
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
    let mut files: Vec<PathBuf> =
        list(&[dir.path().to_owned()], options(Some(1)), &Diag::new("t", common::out::Verbosity::Quiet))
            .into_iter()
            .map(|f| f.path)
            .collect();
    files.sort();
    let args: Vec<&OsStr> = files.iter().map(|f| f.as_os_str()).collect();
    let Some(theirs) = oracle("sha256sum", &args) else { return };
    assert_eq!(String::from_utf8_lossy(&std::fs::read(&ours).unwrap()), String::from_utf8_lossy(&theirs));
    let checked =
        oracle("sha256sum", &["--quiet".as_ref(), "--strict".as_ref(), "-c".as_ref(), ours.as_ref()])
            .unwrap();
    assert!(checked.is_empty(), "{}", String::from_utf8_lossy(&checked));
}

#[test]
fn what_changed_is_missing_or_new_is_told() {
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
    let sig = sign::beside(&manifest);
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
fn a_cut_run_goes_on_and_trusts_only_what_is_unchanged() {
    let (dir, place) = (clean_dir(), clean_dir());
    grow(dir.path());
    let (manifest, partial) = (place.path().join("m"), place.path().join("m.partial"));
    // A file that cannot be hashed cuts the run: here one whose digest is already recorded, with wrong content.
    let mut record = Partial::open(&manifest, false).unwrap();
    let stamp = |name: &str| crate::manifest::Stamp::of(&dir.path().join(name).metadata().unwrap());
    record.add(&dir.path().join("small"), &Digest { sha256: [9; 32], stamp: stamp("small") }).unwrap();
    record.add(&dir.path().join("large"), &Digest { sha256: [9; 32], stamp: stamp("small") }).unwrap();
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
