//! The users besides the owners who can get to an entry through the directories above it: a file of mode 0644 in a directory of
//! mode 0700 is open to its owner only.

use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::Statx;
use rustix::io::Errno;

/// The permissions of group and others that the directories above an entry leave. The default is everybody.
///
/// Only what is certain counts. Where a directory has an ACL, the group bits of its mode are the mask (acl(5)): one that
/// gives users or groups access by name counts as open to all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// The owner of a directory that neither its group nor others may enter.
    pub closed_by: Option<u32>,
    /// The group of a directory that others may not enter.
    pub only_group: Option<u32>,
}

impl Reach {
    /// Returns who still gets on behind a directory with this mode, owner and group.
    #[must_use]
    pub fn through(self, mode: u32, uid: u32, gid: u32) -> Self {
        match (mode & 0o010 != 0, mode & 0o001 != 0) {
            (_, true) => self,
            (true, false) => Self { only_group: self.only_group.or(Some(gid)), ..self },
            // Root's directory stops more than that of somebody who may enter it.
            (false, false) => Self { closed_by: self.closed_by.filter(|by| *by == 0).or(Some(uid)), ..self },
        }
    }

    /// Returns the reach behind an open directory.
    #[must_use]
    pub fn through_open(self, dir: impl AsFd, st: &Statx) -> Self {
        self.through_entry(st, |value| rustix::fs::fgetxattr(&dir, ACCESS_ACL, value))
    }

    /// Returns the reach behind the directory at a path without symbolic links.
    #[must_use]
    pub fn through_path(self, dir: &Path, st: &Statx) -> Self {
        self.through_entry(st, |value| rustix::fs::lgetxattr(dir, ACCESS_ACL, value))
    }

    /// A directory whose ACL gives users or groups access by name counts as open to all here: which of them may enter the
    /// next one is not known. The ACL is read only where the mode keeps others out.
    fn through_entry(self, st: &Statx, read_acl: impl Fn(&mut [u8]) -> rustix::io::Result<usize>) -> Self {
        let mode = u32::from(st.stx_mode);
        if mode & 0o001 == 0 {
            let mut value = [0; MAX_ACL_SIZE];
            let named = match read_acl(&mut value) {
                Ok(length) => lets_in_named(&value[..length], st.stx_uid),
                // It has more entries than are read here.
                Err(Errno::RANGE) => true,
                Err(_) => false,
            };
            if named {
                return self;
            }
        }
        self.through(mode, st.stx_uid, st.stx_gid)
    }
}

/// The extended attribute of the access ACL (acl(5)).
const ACCESS_ACL: &str = "system.posix_acl_access";

/// Maximum size of an ACL that is read, in bytes: 500 entries.
const MAX_ACL_SIZE: usize = 4 + 500 * 8;

/// Returns whether an ACL gives access to users or groups by name, other than root and the owner. The layout is that of
/// `linux/posix_acl_xattr.h`: a version of 4 bytes, then entries of tag, permissions and id. A malformed ACL counts as one
/// that does.
fn lets_in_named(acl: &[u8], owner: u32) -> bool {
    const USER: u16 = 0x02;
    const GROUP: u16 = 0x08;
    const MASK: u16 = 0x10;
    let Some(entries) = acl.strip_prefix(&[2, 0, 0, 0]).filter(|entries| entries.len() % 8 == 0) else {
        return true;
    };
    let short = |e: &[u8], at: usize| u16::from_le_bytes([e[at], e[at + 1]]);
    let entries = || entries.chunks_exact(8).map(|e| (short(e, 0), short(e, 2), &e[4..8]));
    let mask = entries().find(|e| e.0 == MASK).map_or(7, |e| e.1);
    let own = |id: &[u8]| id == [0; 4] || id == owner.to_le_bytes();
    entries().any(|(tag, bits, id)| bits & mask & 1 != 0 && (tag == GROUP || tag == USER && !own(id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_stops_those_whom_it_does_not_let_in() {
        let all = Reach::default();
        assert_eq!(all.through(0o755, 0, 0), all);
        assert_eq!(all.through(0o711, 0, 0), all);
        assert_eq!(all.through(0o750, 0, 7), Reach { only_group: Some(7), ..all });
        assert_eq!(all.through(0o744, 5, 7), Reach { closed_by: Some(5), ..all });
        let closed = all.through(0o700, 5, 5).through(0o755, 0, 0).through(0o700, 0, 0);
        assert_eq!(closed.closed_by, Some(0));
        assert_eq!(closed.through(0o700, 9, 9).closed_by, Some(0));
        // Others may enter what its group may not: not everybody is stopped.
        assert_eq!(all.through(0o701, 0, 7), all);
    }

    #[test]
    fn an_acl_lets_in_whom_it_names_within_its_mask() {
        let acl = |entries: &[(u16, u16, u32)]| {
            let entry = |&(tag, bits, id): &(u16, u16, u32)| {
                [&tag.to_le_bytes()[..], &bits.to_le_bytes(), &id.to_le_bytes()].concat()
            };
            [vec![2, 0, 0, 0], entries.iter().flat_map(entry).collect()].concat()
        };
        let [user, group, other] = [(1, 7, !0), (4, 0, !0), (32, 0, !0)];
        let named = |entry, mask| lets_in_named(&acl(&[user, entry, group, (16, mask, !0), other]), 5);
        assert!(named((2, 1, 1), 7) && named((8, 5, 7), 5));
        assert!(!named((2, 6, 1), 7), "it may not enter");
        assert!(!named((2, 7, 1), 6), "the mask");
        assert!(!named((2, 7, 0), 7) && !named((2, 7, 5), 7), "root, and the owner");
        assert!(!lets_in_named(&acl(&[user, group, other]), 5));
        assert!([&b""[..], b"\x01\0\0\0", b"\x02\0\0\0x"].iter().all(|bytes| lets_in_named(bytes, 5)));
    }
}
