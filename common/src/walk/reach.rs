//! Who besides the owners can get to an entry through the directories above it: a file of mode 0644 in a directory of
//! mode 0700 is open to its owner only.

/// What the directories above an entry leave of the permissions of group and others. The default is everybody.
///
/// Only what is certain counts. Where a directory has an ACL, the group bits of its mode are the mask (acl(5)), so a
/// directory without execute permission for its group and for others admits no named user either.
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

    /// Returns the reach behind a directory.
    #[must_use]
    pub fn through_entry(self, st: &rustix::fs::Statx) -> Self {
        self.through(u32::from(st.stx_mode), st.stx_uid, st.stx_gid)
    }
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
}
