//! Databases of dpkg and rpm: made here, made by rpm itself, and damaged.

use std::os::unix::fs::symlink;
use std::process::Command;

use super::*;
use crate::tests::{clean_dir, skipped};

fn load(root: &Path) -> PackagedFiles {
    PackagedFiles::load(&SystemImage::open(Some(root)).unwrap())
}

#[test]
fn lists_and_overrides_of_dpkg_are_read() {
    let root = clean_dir();
    let dpkg = root.path().join("var/lib/dpkg");
    std::fs::create_dir_all(dpkg.join("info")).unwrap();
    let list = "/.\n/lib\n/lib/x.so\n/usr/share/a b\n/usr/lib/python3/m\n/usr/lib/python3/m/x.py\n";
    std::fs::write(dpkg.join("info/x.list"), list).unwrap();
    std::fs::write(dpkg.join("info/x.md5sums"), "/etc/other\n").unwrap();
    std::fs::write(dpkg.join("statoverride"), "root ssl-cert 0640 /etc/ssl/my key\n").unwrap();
    let known = load(root.path());
    for (path, there) in [
        ("/lib/x.so", true),
        ("/usr/lib/x.so", true),
        ("/usr/share/a b", true),
        ("/etc/other", false),
        ("/usr/lib/python3/m/__pycache__", true),
        ("/usr/lib/python3/m/__pycache__/x.cpython-311.pyc", true),
        ("/usr/lib/python3/m/__pycache__/x.cpython-311.opt-1.pyc", true),
        ("/usr/lib/python3/m/__pycache__/y.cpython-311.pyc", false),
        ("/usr/lib/python3/m/x.cpython-311.pyc", false),
        ("/usr/lib/python3/n/__pycache__", false),
    ] {
        assert_eq!(known.has_file(Path::new(path), Mode(0o644)), there, "{path}");
    }
    assert!(known.overrides(Path::new("/etc/ssl/my key"), Mode(0o640)));
    assert!(!known.overrides(Path::new("/etc/ssl/my key"), Mode(0o644)));
    let empty = clean_dir();
    assert!(!load(empty.path()).has_file(Path::new("/lib/x.so"), Mode(0o644)));
}

/// A FIFO would hold the audit up, and a link could lead out of the image.
#[test]
fn links_and_fifos_in_the_place_of_a_list_are_not_read() {
    let (root, other) = (clean_dir(), clean_dir());
    let info = root.path().join("var/lib/dpkg/info");
    std::fs::create_dir_all(&info).unwrap();
    std::fs::write(other.path().join("theirs"), "/etc/theirs\n").unwrap();
    symlink(other.path().join("theirs"), info.join("link.list")).unwrap();
    let fifo = std::ffi::CString::new(info.join("fifo.list").to_str().unwrap()).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    assert!(!load(root.path()).has_file(Path::new("/etc/theirs"), Mode(0o644)));
}

/// A header as rpm writes it: the values of each tag, one behind the other.
fn header(entries: &[(u32, u32, &[u8])]) -> Vec<u8> {
    let (mut index, mut data) = (Vec::new(), Vec::new());
    for (tag, count, values) in entries {
        for number in [*tag, 6, data.len() as u32, *count] {
            index.extend(number.to_be_bytes());
        }
        data.extend_from_slice(values);
    }
    let mut blob = (entries.len() as u32).to_be_bytes().to_vec();
    blob.extend((data.len() as u32).to_be_bytes());
    [blob, index, data].concat()
}

/// Three files of a package: a program, a file of another user, and one that the package does not bring.
fn package() -> Vec<u8> {
    header(&[
        (1117, 3, b"tool\0mine\0made.log\0"),
        (1118, 2, b"/usr/bin/\0/var/log/\0"),
        (1116, 3, &[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1]),
        (
            1030,
            3,
            &[0o100755_u16.to_be_bytes(), 0o100644_u16.to_be_bytes(), 0o100644_u16.to_be_bytes()].concat(),
        ),
        (1039, 3, b"root\0daemon\0root\0"),
        (1037, 3, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 64]),
    ])
}

fn database(path: &Path, blobs: &[&[u8]]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let database = rusqlite::Connection::open(path).unwrap();
    database
        .execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)", ())
        .unwrap();
    for blob in blobs {
        database.execute("INSERT INTO Packages (blob) VALUES (?1)", [blob]).unwrap();
    }
}

#[test]
fn rpm_is_believed_about_root_s_files_with_their_modes() {
    for place in ["var/lib/rpm", "usr/lib/sysimage/rpm"] {
        let root = clean_dir();
        database(&root.path().join(place).join("rpmdb.sqlite"), &[b"no header", &package()]);
        let known = load(root.path());
        assert_eq!(known.unread, []);
        let has = |path: &str, mode| known.has_file(Path::new(path), Mode(mode));
        assert!(has("/usr/bin/tool", 0o755));
        assert!(!has("/usr/bin/tool", 0o777), "changed since");
        assert!(!has("/var/log/mine", 0o644), "another user's");
        assert!(!has("/var/log/made.log", 0o644), "not from the package");
    }
}

#[test]
fn databases_that_cannot_be_read_are_told() {
    let root = clean_dir();
    let dir = root.path().join("var/lib/rpm");
    std::fs::create_dir_all(&dir).unwrap();
    let reason = |root: &Path| load(root).unread.into_iter().map(|(_, reason)| reason).collect::<String>();
    for (name, content, words) in [
        ("Packages", &b"x"[..], "older format"),
        ("rpmdb.sqlite", b"no database at all", "not a database"),
        ("rpmdb.sqlite", b"", "no such table"),
    ] {
        std::fs::write(dir.join(name), content).unwrap();
        assert!(reason(root.path()).contains(words), "{name}: {}", reason(root.path()));
    }
    std::fs::remove_file(dir.join("rpmdb.sqlite")).unwrap();
    let view = rusqlite::Connection::open(dir.join("rpmdb.sqlite")).unwrap();
    view.execute("CREATE VIEW Packages AS SELECT randomblob(100000000) AS blob", ()).unwrap();
    drop(view);
    assert!(reason(root.path()).contains("cannot be read"), "{}", reason(root.path()));
    // Nothing of this system is looked at through a link of the image.
    let (image, theirs) = (clean_dir(), clean_dir());
    database(&theirs.path().join("rpmdb.sqlite"), &[&package()]);
    std::fs::create_dir_all(image.path().join("var/lib")).unwrap();
    symlink(theirs.path(), image.path().join("var/lib/rpm")).unwrap();
    assert!(!load(image.path()).has_file(Path::new("/usr/bin/tool"), Mode(0o755)));
}

#[test]
fn damaged_headers_are_no_packages() {
    let whole = package();
    for end in 0..whole.len() {
        let mut known = PackagedFiles::default();
        rpm::read_header(&whole[..end], &mut known);
        assert!(known.modes.is_empty());
    }
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] = 0xff;
        rpm::read_header(&changed, &mut PackagedFiles::default());
    }
}

/// What rpm itself writes: a package that is built and entered into a database here.
#[test]
fn the_database_that_rpm_writes_is_read() {
    let root = clean_dir();
    let (work, db) = (root.path().join("work"), root.path().join("var/lib/rpm"));
    std::fs::create_dir_all(&work).unwrap();
    std::fs::create_dir_all(&db).unwrap();
    let spec = "Name: sample\nVersion: 1\nRelease: 1\nSummary: s\nLicense: MIT\nBuildArch: noarch\n\
                %description\nx\n%install\nmkdir -p %{buildroot}/usr/bin %{buildroot}/etc\n\
                echo x > %{buildroot}/usr/bin/sample\necho y > %{buildroot}/etc/sample.conf\n\
                %files\n%attr(4755, root, root) /usr/bin/sample\n%attr(640, root, root) /etc/sample.conf\n";
    std::fs::write(work.join("sample.spec"), spec).unwrap();
    let run = |program: &str, args: &[&str]| {
        let done = Command::new(program).args(args).env("HOME", &work).output();
        done.is_ok_and(|done| done.status.success())
    };
    let top = format!("_topdir {}", work.display());
    if !run("rpmbuild", &["-bb", "--define", &top, work.join("sample.spec").to_str().unwrap()]) {
        return skipped("no rpmbuild");
    }
    let package = work.join("RPMS/noarch/sample-1-1.noarch.rpm");
    let dbpath = db.to_str().unwrap();
    let install =
        ["--dbpath", dbpath, "--justdb", "--nodeps", "--noscripts", "-i", package.to_str().unwrap()];
    if !run("rpm", &install) || !db.join("rpmdb.sqlite").exists() {
        return skipped("no right to install packages, or an rpm that has no SQLite");
    }
    let known = load(root.path());
    assert_eq!(known.unread, []);
    assert!(known.has_file(Path::new("/usr/bin/sample"), Mode(0o4755)));
    assert!(known.has_file(Path::new("/etc/sample.conf"), Mode(0o640)));
    assert!(!known.has_file(Path::new("/etc/sample.conf"), Mode(0o644)));
}
