//! The password file: the homes of users, where a daemon of msMonitor's kind puts its sockets.
//!
//! The variable HOME is not asked: daemon and process must agree, and each may have its own.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::fsat;

/// More than any password file holds; a directory service is not asked.
const LIMIT: u64 = 16 * 1024 * 1024;

/// The home directory of a user, from `/etc/passwd`. None where the user has no line or no absolute path in it.
#[must_use]
pub fn of_user(uid: u32) -> Option<PathBuf> {
    let file = std::fs::File::open("/etc/passwd").ok()?;
    find(&fsat::read_bounded(file, LIMIT).ok()?, uid)
}

fn find(passwd: &[u8], uid: u32) -> Option<PathBuf> {
    let uid = uid.to_string();
    passwd
        .split(|b| *b == b'\n')
        .map(|line| line.split(|b| *b == b':').collect::<Vec<_>>())
        .find(|fields| fields.get(2).is_some_and(|f| *f == uid.as_bytes()))
        .and_then(|fields| fields.get(5).map(|home| Path::new(OsStr::from_bytes(home)).to_owned()))
        .filter(|home| home.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_the_uid_counts() {
        let text = b"root:x:0:0:root:/root:/bin/sh\nbroken\nalice:x:1000:100::/home/alice:\nbob:x:10:1:::\n";
        assert_eq!(find(text, 0), Some(PathBuf::from("/root")));
        assert_eq!(find(text, 1000), Some(PathBuf::from("/home/alice")));
        assert_eq!(find(text, 10), None);
        assert_eq!(find(text, 100), None);
    }
}
