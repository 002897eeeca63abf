//! dpkg: `/var/lib/dpkg/info/PACKAGE.list` names the files of a package, one a line; the modes that an administrator has
//! set are in `/var/lib/dpkg/statoverride` (dpkg-statoverride(1)).

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use common::policy::Mode;

use super::{PackagedFiles, hash_path};
use crate::image::SystemImage;

/// Maximum size in bytes of a list of files that is read.
const MAX_LIST_SIZE: u64 = 64 << 20;

/// The most lists that are read.
const MAX_LISTS: usize = 200_000;

/// Adds the files of all packages.
pub(super) fn read_lists(image: &SystemImage, known: &mut PackagedFiles) {
    let find = |path: &str| image.resolve(Path::new(path)).ok();
    let info = find("/var/lib/dpkg/info").and_then(|dir| std::fs::read_dir(dir).ok());
    for list in info.into_iter().flatten().flatten().take(MAX_LISTS) {
        if list.path().extension().is_some_and(|end| end == "list") {
            read_lines(&list.path(), |line| known.add_file(line));
        }
    }
    let Some(overrides) = find("/var/lib/dpkg/statoverride") else { return };
    read_lines(&overrides, |line| {
        // `root ssl-cert 0640 /etc/ssl/private/x.key`
        let mut fields = line.splitn(4, |&b| b == b' ').skip(2);
        let mode = fields.next().and_then(|m| Mode::parse(std::str::from_utf8(m).ok()?));
        if let (Some(mode), Some(path)) = (mode, fields.next()) {
            known.overrides.insert((hash_path(path), mode.0));
        }
    });
}

/// Calls `take` for each line of a regular file. A link or a FIFO in its place, as an image may have, is not read.
fn read_lines(path: &Path, mut take: impl FnMut(&[u8])) {
    let Ok((file, _)) = common::fsat::open_regular(path) else { return };
    let mut reader = BufReader::new(file.take(MAX_LIST_SIZE));
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
        take(line.trim_ascii_end());
        line.clear();
    }
}
