//! The account that the daemon runs under: its home, its limits.

use std::path::PathBuf;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors beside those of connections and processes.
const SPARE: u64 = 64;

/// The home directory of a user, as `/etc/passwd` has it. Processes look there for the sockets, whatever `HOME`
/// says; that variable counts only for users who are in a directory service instead of the file.
pub(crate) fn home(uid: u32) -> Option<PathBuf> {
    let passwd = std::fs::read("/etc/passwd").unwrap_or_default();
    in_passwd(&String::from_utf8_lossy(&passwd), uid)
        .or_else(|| std::env::var_os("HOME").map(PathBuf::from))
        .filter(|home| home.is_absolute() && home.is_dir())
}

fn in_passwd(text: &str, uid: u32) -> Option<PathBuf> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':').skip(2);
        let same = fields.next()?.parse() == Ok(uid);
        same.then(|| fields.nth(2).filter(|h| !h.is_empty()).map(PathBuf::from)).flatten()
    })
}

/// Raises the descriptor limit as far as allowed, and says what does not fit below it.
pub(crate) fn raise_descriptors(connections: usize, processes: usize) -> Option<String> {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let have = getrlimit(Resource::Nofile).current?;
    let need = connections as u64 + processes as u64 + SPARE;
    (have < need).then(|| {
        format!("{have} descriptors are allowed, and {connections} connections and {processes} processes need {need}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn homes_are_found_by_number() {
        let text =
            "root:x:0:0:root:/root:/bin/sh\nbroken\nai:x:1000:1000:A, I:/home/ai:/bin/sh\nn:x:7:7:::\n";
        assert_eq!(in_passwd(text, 1000), Some("/home/ai".into()));
        assert_eq!(in_passwd(text, 0), Some("/root".into()));
        assert_eq!(in_passwd(text, 7), None);
        assert_eq!(in_passwd(text, 8), None);
    }
}
