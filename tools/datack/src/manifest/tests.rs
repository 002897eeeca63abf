//! Lines of manifests, there and back.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use std::path::Path;
use std::sync::atomic::Ordering;

use super::text;
use super::*;

#[test]
fn any_name_survives_a_line_of_either_form() {
    for name in [&b"a"[..], b" a b ", b"new\nline", b"back\\slash", b"cr\r", b"\xff\xfe", b"\\"] {
        let path = Path::new(OsStr::from_bytes(name));
        let mut line = Vec::new();
        text::write_line(&mut line, path, &[7; 32]).unwrap();
        assert_eq!(line.iter().filter(|&&b| b == b'\n').count(), 1);
        let entry = text::parse_line(line.strip_suffix(b"\n").unwrap()).unwrap().unwrap();
        assert_eq!((entry.path.as_path(), entry.sha256), (path, [7; 32]));
        let record = text::digest_record(path, &[7; 32], 1);
        let record = serde_json::to_string(&common::record::Line::new(&record)).unwrap();
        assert_eq!(text::parse_line(record.as_bytes()).unwrap().unwrap(), entry);
    }
}

/// Against coreutils: `sha256sum --tag`, and comments, which `sha256sum -c` skips.
#[test]
fn tagged_lines_and_comments_are_read() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["plain", "a) = b", "new\nline", "back\\slash"] {
        let path = dir.path().join(name);
        std::fs::write(&path, name).unwrap();
        let args = ["--tag".as_ref(), path.as_os_str()];
        let Some(line) = crate::tests::oracle("sha256sum", &args) else { return };
        let entry = text::parse_line(line.strip_suffix(b"\n").unwrap()).unwrap().unwrap();
        assert_eq!(entry.path, path);
        assert_eq!(entry.sha256[..], *digest::digest(&digest::SHA256, name.as_bytes()).as_ref());
    }
    assert_eq!(text::parse_line(b"# a comment"), Ok(None));
    assert!(text::parse_line(b"MD5 (x) = 00").is_err() && text::parse_line(b"SHA256 (x) = 00").is_err());
}

#[test]
fn malformed_lines_are_errors() {
    for line in [
        "x",
        "00  f",
        &"0".repeat(64),
        &format!("{}  ", "0".repeat(64)),
        &format!("{}  f", "g".repeat(64)),
        "{}",
        &format!(
            r#"{{"type":"datack.digest","v":1,"path":"","sha256":"{}","size_bytes":0}}"#,
            "0".repeat(64)
        ),
        &format!(
            r#"{{"type":"datack.digest","v":1,"path":"a\u0000","sha256":"{}","size_bytes":0}}"#,
            "0".repeat(64)
        ),
    ] {
        assert!(text::parse_line(line.as_bytes()).is_err(), "{line}");
    }
    assert_eq!(text::parse_line(b""), Ok(None));
    assert_eq!(text::parse_line(br#"{"type":"datack.other","v":1}"#), Ok(None));
}

#[test]
fn a_file_that_is_replaced_while_it_is_read_is_unstable() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    std::fs::write(&path, "a").unwrap();
    let listed = lister::find_named(&lister::open_base(None).unwrap(), &path).unwrap();
    let mut buffer = vec![0; 10];
    let bar = ProgressBar::hidden();
    assert!(hash_file(&listed, &mut buffer, &bar).is_ok());
    // A writer that rewrites it between the two looks.
    let stop = std::sync::atomic::AtomicBool::new(false);
    let unstable = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                std::fs::write(&path, vec![0; 4096]).unwrap();
            }
        });
        let unstable =
            (0..20_000).any(|_| matches!(hash_file(&listed, &mut buffer, &bar), Err(HashError::Unstable)));
        stop.store(true, Ordering::Relaxed);
        unstable
    });
    assert!(unstable, "never seen to change");
}
