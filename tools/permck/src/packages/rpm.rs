//! rpm: the headers of the installed packages in `rpmdb.sqlite`, which name every file with its mode and owner.
//!
//! The database is hostile input: it may be that of an image. It is opened read-only and as it lies on the disk, with
//! nothing of its schema run, and one header after the other is read.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use common::policy::Mode;
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};

use super::PackagedFiles;
use crate::image::SystemImage;

/// Where distributions keep it: RHEL and openEuler; Fedora and openSUSE; rpm-ostree.
const PLACES: [&str; 3] = ["/var/lib/rpm", "/usr/lib/sysimage/rpm", "/usr/share/rpm"];

/// The database of rpm 4.16 and later (rpm 4.18, `lib/backend/sqlite.c`).
const SQLITE: &str = "rpmdb.sqlite";

/// Those of Berkeley DB, before rpm 4.16, and of SUSE (`lib/backend/bdb_ro.c`, `lib/backend/ndb/`).
const OTHERS: [&str; 2] = ["Packages", "Packages.db"];

/// The largest database that is read, in bytes: ten thousand packages have some 500 MB.
const MAX_DATABASE_SIZE: u64 = 4 << 30;

/// The largest header, in bytes; rpm itself allows 256 MiB (rpm 4.18, `lib/header.c`).
const MAX_HEADER_SIZE: i32 = 256 << 20;

/// The most packages, and the most files of one.
const MAX_PACKAGES: usize = 100_000;
const MAX_FILES_OF_PACKAGE: usize = 1 << 20;

/// Adds root's files of all packages.
pub(super) fn read_databases(image: &SystemImage, known: &mut PackagedFiles) {
    let mut seen = BTreeSet::new();
    for place in PLACES {
        let find =
            |name: &str| image.resolve(&Path::new(place).join(name)).ok().filter(|path| path.is_file());
        let Some(path) = find(SQLITE) else {
            // An empty one lies beside the new database where rpm has converted it.
            let old = OTHERS.into_iter().find_map(find).filter(|path| seen.insert(path.clone()));
            let reason = "an rpm database in an older format than SQLite is not read: its packages are not believed; \
                          `rpmdb --rebuilddb` of rpm 4.16 or later converts it";
            known.unread.extend(old.map(|path| (path, reason.to_owned())));
            continue;
        };
        if seen.insert(path.clone()) {
            if let Err(reason) = read_database(&path, known) {
                known.unread.push((path, reason));
            }
        }
    }
}

/// Adds root's files of the packages in one database.
fn read_database(path: &Path, known: &mut PackagedFiles) -> Result<(), String> {
    let size = path.metadata().map_err(|e| common::error::io_reason(&e))?.len();
    if size > MAX_DATABASE_SIZE {
        return Err(format!("larger than {} GiB: its packages are not believed", MAX_DATABASE_SIZE >> 30));
    }
    read_headers(path, known).map_err(|e| {
        let text = e.to_string();
        let first = text.lines().next().unwrap_or_default();
        format!("the rpm database cannot be read, and its packages are not believed: {first}")
    })
}

fn read_headers(path: &Path, known: &mut PackagedFiles) -> rusqlite::Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_PRIVATE_CACHE
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let database = Connection::open_with_flags(immutable_uri(path), flags)?;
    database.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    database.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    database.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    database.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    database.set_limit(Limit::SQLITE_LIMIT_LENGTH, MAX_HEADER_SIZE)?;
    database.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    database.pragma_update(None, "cell_size_check", true)?;
    let mut headers = database.prepare("SELECT blob FROM Packages")?;
    let mut rows = headers.query(())?;
    let mut packages = 0;
    while let Some(row) = rows.next()? {
        // A row that is not a header is skipped.
        if let Ok(blob) = row.get_ref(0)?.as_blob() {
            read_header(blob, known);
        }
        packages += 1;
        if packages == MAX_PACKAGES {
            break;
        }
    }
    Ok(())
}

/// The URI that opens a database as immutable: SQLite takes no lock and reads no journal beside it. Changes that a package
/// manager has not written into the database itself are not seen.
fn immutable_uri(path: &Path) -> PathBuf {
    let mut uri = "file:".to_owned();
    for &byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' => uri.push(byte.into()),
            // Writing to a String does not fail.
            other => drop(write!(uri, "%{other:02X}")),
        }
    }
    uri.push_str("?mode=ro&immutable=1");
    OsString::from(uri).into()
}

/// The header of a package: the number of entries and of bytes, an index with 16 bytes for each entry, and the data that
/// the entries point into, all numbers in network order (rpm 4.18, `docs/manual/format.md`, section Header Structure; the
/// database has no magic number before it).
struct PackageHeader<'a> {
    index: &'a [u8],
    data: &'a [u8],
}

/// Tags of an entry (rpm 4.18, `docs/manual/tags.md`).
const FILE_MODES: u32 = 1030;
const FILE_FLAGS: u32 = 1037;
const FILE_USER_NAME: u32 = 1039;
const DIR_INDEXES: u32 = 1116;
const BASE_NAMES: u32 = 1117;
const DIR_NAMES: u32 = 1118;

/// RPMFILE_GHOST: the package knows the file and does not bring it.
const GHOST: u32 = 1 << 6;

impl<'a> PackageHeader<'a> {
    fn parse(blob: &'a [u8]) -> Option<Self> {
        let (head, rest) = blob.split_at_checked(8)?;
        let (entries, length) = (be32(&head[..4])? as usize, be32(&head[4..])? as usize);
        let (index, data) = rest.split_at_checked(entries.checked_mul(16)?)?;
        Some(Self { index, data: data.get(..length)? })
    }

    /// Adds the files that are root's and that the package brings.
    fn add_files(&self, known: &mut PackagedFiles) {
        let (names, dirs) = (self.strings(BASE_NAMES), self.strings(DIR_NAMES));
        let owners = self.strings(FILE_USER_NAME);
        let modes = self.numbers(FILE_MODES, 2);
        let (indexes, flags) = (self.numbers(DIR_INDEXES, 4), self.numbers(FILE_FLAGS, 4));
        let mut path = Vec::new();
        for (i, name) in names.iter().enumerate() {
            let dir = indexes.get(i).and_then(|&at| dirs.get(at as usize));
            let (Some(dir), Some(mode), Some(owner)) = (dir, modes.get(i), owners.get(i)) else { continue };
            let is_ghost = flags.get(i).is_some_and(|flags| flags & GHOST != 0);
            if *owner == b"root" && !is_ghost {
                path.clear();
                path.extend_from_slice(dir);
                path.extend_from_slice(name);
                known.add_mode(&path, Mode(mode & 0o7777));
            }
        }
    }

    /// Finds the data of an entry and the number of its values; both are empty if the entry is missing.
    fn find(&self, tag: u32) -> (&'a [u8], usize) {
        let entry = self.index.chunks_exact(16).find(|entry| be32(&entry[..4]) == Some(tag));
        let place = entry.and_then(|entry| {
            let (offset, count) = (be32(&entry[8..12])? as usize, be32(&entry[12..])? as usize);
            Some((self.data.get(offset..)?, count.min(MAX_FILES_OF_PACKAGE)))
        });
        place.unwrap_or_default()
    }

    /// The values of an array of strings, each of which ends with NUL.
    fn strings(&self, tag: u32) -> Vec<&'a [u8]> {
        let (data, count) = self.find(tag);
        data.split(|&b| b == 0).take(count).collect()
    }

    /// The values of an array of numbers of `width` bytes each.
    fn numbers(&self, tag: u32, width: usize) -> Vec<u32> {
        let (data, count) = self.find(tag);
        data.chunks_exact(width).take(count).filter_map(be32).collect()
    }
}

/// A number of at most four bytes in network order.
fn be32(bytes: &[u8]) -> Option<u32> {
    (bytes.len() <= 4).then(|| bytes.iter().fold(0, |n, &b| n << 8 | u32::from(b)))
}

/// Adds root's files of the package that a header is about.
pub(crate) fn read_header(blob: &[u8], known: &mut PackagedFiles) {
    if let Some(header) = PackageHeader::parse(blob) {
        header.add_files(known);
    }
}
