//! Users of the password file by name or number.

use std::fs::File;

use common::fsat;

/// The most bytes that are read of `/etc/passwd`. A directory service is not asked.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// The number of a user who is given by name or number; `None` where a name has no line in `/etc/passwd`.
pub(crate) fn find_uid(user: &str) -> Option<u32> {
    user.parse().ok().or_else(|| {
        let file = File::open("/etc/passwd").ok()?;
        find_uid_in(&fsat::read_bounded(file, MAX_BYTES).ok()?, user)
    })
}

/// The number in the line of a name (passwd(5)).
fn find_uid_in(passwd: &[u8], name: &str) -> Option<u32> {
    let lines = passwd.split(|b| *b == b'\n').map(|line| line.split(|b| *b == b':').collect::<Vec<_>>());
    let fields = lines.into_iter().find(|fields| fields.first().is_some_and(|f| *f == name.as_bytes()))?;
    std::str::from_utf8(fields.get(2)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name_and_number() {
        let text = b"root:x:0:0:root:/root:/bin/sh\nbroken\nalice:x:1000:100::/home/alice:\n";
        assert_eq!(["alice", "broken", "eve"].map(|name| find_uid_in(text, name)), [Some(1000), None, None]);
        assert_eq!(find_uid("4711"), Some(4711));
    }
}
