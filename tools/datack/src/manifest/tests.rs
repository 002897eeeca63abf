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

/// Lists as other programs and systems write them, against those programs.
#[test]
fn lists_of_other_programs_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let plain = dir.path().join("plain");
    let odd = dir.path().join("new\nline \\ (x)= y");
    for path in [&plain, &odd] {
        std::fs::write(path, path.as_os_str().as_bytes()).unwrap();
    }
    let sum = |path: &Path| -> Sha256 {
        digest::digest(&digest::SHA256, path.as_os_str().as_bytes()).as_ref().try_into().unwrap()
    };
    let read = |list: &[u8]| {
        let entries = text::parse_manifest(list).unwrap();
        entries.into_iter().map(|e| (e.path, e.sha256)).collect::<Vec<_>>()
    };
    let wanted = [&plain, &odd].map(|path| (path.clone(), sum(path)));
    for options in [&["-z"][..], &["-z", "--tag"], &["--tag"], &["-b"]] {
        let args: Vec<&OsStr> =
            options.iter().map(OsStr::new).chain([plain.as_os_str(), odd.as_os_str()]).collect();
        let Some(list) = crate::tests::oracle("sha256sum", &args) else { return };
        assert_eq!(read(&list), wanted, "{options:?}");
    }
    for options in [&["dgst", "-sha256"][..], &["dgst", "-sha256", "-r"]] {
        let args: Vec<&OsStr> = options.iter().map(OsStr::new).chain([plain.as_os_str()]).collect();
        let Some(list) = crate::tests::oracle("openssl", &args) else { break };
        assert_eq!(read(&list), wanted[..1], "{options:?}");
    }
    // OpenSSL 1.1, `sha256 -r` of FreeBSD, and what Windows makes of a list.
    let hex = common::finding::hex(&sum(&plain));
    let name = plain.display();
    for line in [format!("SHA256({name})= {hex}\n"), format!("{hex} {name}\n"), format!("{hex}  {name}\r\n")]
    {
        assert_eq!(read(line.as_bytes()), wanted[..1], "{line}");
        assert_eq!(read(&[b"\xef\xbb\xbf", line.as_bytes()].concat()), wanted[..1], "{line}");
        let units: Vec<u16> = format!("\u{feff}{line}").encode_utf16().collect();
        let little: Vec<u8> = units.iter().flat_map(|u| u.to_le_bytes()).collect();
        let big: Vec<u8> = units.iter().flat_map(|u| u.to_be_bytes()).collect();
        assert_eq!((read(&little), read(&big)), (wanted[..1].to_vec(), wanted[..1].to_vec()), "{line}");
        assert!(text::parse_manifest(&little[..little.len() - 1]).is_err());
    }
}

#[test]
fn a_line_has_a_bound() {
    let line = format!("{}  {}\n", "0".repeat(64), "x".repeat(70_000));
    let error = text::parse_manifest(line.as_bytes()).unwrap_err();
    assert_eq!(error, "line 1: longer than 65536 bytes");
}

#[test]
fn a_list_without_files_is_told_as_such() {
    for empty in [&b""[..], b"\n", b"# nothing\n", b"\xef\xbb\xbf", b"\xff\xfe"] {
        assert_eq!(text::parse_manifest(empty).unwrap_err(), "names no file: nothing would be verified");
    }
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
