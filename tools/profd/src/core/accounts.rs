//! The accounts of the host: names of users, and the accounts behind subordinate user ids.

use std::collections::BTreeMap;

/// Names of users by uid, and ranges of subordinate uids with the account that owns each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Accounts {
    names: BTreeMap<u32, String>,
    uids: BTreeMap<String, u32>,
    subordinate: Vec<SubordinateRange>,
    gids: BTreeMap<String, u32>,
    /// The primary group of each user.
    primary: BTreeMap<u32, u32>,
    /// The members of groups by name.
    members: Vec<(String, u32)>,
}

/// A line of `/etc/subuid` (subuid(5)).
#[derive(Clone, Copy, Debug)]
struct SubordinateRange {
    start: u32,
    count: u32,
    owner: u32,
}

impl Accounts {
    /// Parses the text of `/etc/passwd` (passwd(5)) and `/etc/subuid` (subuid(5)). Malformed lines are ignored.
    pub(crate) fn parse(passwd: &str, subuid: &str) -> Self {
        let mut accounts = Self::default();
        for line in passwd.lines() {
            let mut fields = line.split(':');
            let (Some(name), Some(_), Some(uid)) = (fields.next(), fields.next(), fields.next()) else {
                continue;
            };
            let Ok(uid) = uid.parse() else { continue };
            if let Some(gid) = fields.next().and_then(|gid| gid.parse().ok()) {
                accounts.primary.entry(uid).or_insert(gid);
            }
            if !name.is_empty() {
                accounts.names.entry(uid).or_insert_with(|| name.to_owned());
                accounts.uids.entry(name.to_owned()).or_insert(uid);
            }
        }
        accounts.subordinate = subuid.lines().filter_map(|line| accounts.parse_range(line)).collect();
        accounts
    }

    /// Adds the groups of the text of `/etc/group` (group(5)).
    pub(crate) fn with_groups(mut self, group: &str) -> Self {
        for line in group.lines() {
            let mut fields = line.split(':');
            if let (Some(name), Some(_), Some(Ok(gid))) =
                (fields.next(), fields.next(), fields.next().map(str::parse))
            {
                self.gids.entry(name.to_owned()).or_insert(gid);
                let members = fields.next().unwrap_or_default().split(',').map(str::trim);
                self.members.extend(members.filter(|m| !m.is_empty()).map(|m| (m.to_owned(), gid)));
            }
        }
        self
    }

    /// Returns the primary group of a user.
    pub(crate) fn primary_group(&self, uid: u32) -> Option<u32> {
        self.primary.get(&uid).copied()
    }

    /// Returns the groups that a user is a member of, the primary one first.
    pub(crate) fn groups_of(&self, uid: u32) -> Vec<u32> {
        let is_of = |(member, _): &&(String, u32)| self.name_of(uid) == Some(member.as_str());
        let others = self.members.iter().filter(is_of).map(|(_, gid)| *gid);
        self.primary_group(uid).into_iter().chain(others).collect()
    }

    /// Returns the gid of a group given by name or by number.
    pub(crate) fn find_gid(&self, group: &str) -> Option<u32> {
        self.gids.get(group).copied().or_else(|| group.parse().ok())
    }

    fn parse_range(&self, line: &str) -> Option<SubordinateRange> {
        let mut fields = line.split(':');
        let owner = self.find_uid(fields.next()?)?;
        let (start, count) = (fields.next()?.trim().parse().ok()?, fields.next()?.trim().parse().ok()?);
        Some(SubordinateRange { start, count, owner })
    }

    /// Returns the name of a user, if the password file has it.
    pub(crate) fn name_of(&self, uid: u32) -> Option<&str> {
        self.names.get(&uid).map(String::as_str)
    }

    /// Returns the uid of a user given by name or by number.
    pub(crate) fn find_uid(&self, user: &str) -> Option<u32> {
        self.uids.get(user).copied().or_else(|| user.parse().ok())
    }

    /// Returns the account that a uid is counted for: of a subordinate uid its owner, who may use thousands of them
    /// (user_namespaces(7)).
    pub(crate) fn account_of(&self, uid: u32) -> u32 {
        let is_in = |r: &&SubordinateRange| uid.checked_sub(r.start).is_some_and(|n| n < r.count);
        self.subordinate.iter().find(is_in).map_or(uid, |r| r.owner)
    }

    /// Formats a user as `alice (uid 1000)`, or as `uid 1000` without a name.
    pub(crate) fn describe(&self, uid: u32) -> String {
        self.name_of(uid).map_or_else(|| format!("uid {uid}"), |name| format!("{name} (uid {uid})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_subordinate_uids_are_found() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:\nbroken\nbob:x:no:1:::\n";
        let accounts = Accounts::parse(passwd, "alice:100000:65536\n1001:200000:10\nnobody here\n");
        assert_eq!((accounts.name_of(1000), accounts.name_of(1001)), (Some("alice"), None));
        assert_eq!((accounts.find_uid("alice"), accounts.find_uid("77")), (Some(1000), Some(77)));
        assert_eq!(accounts.find_uid("bob"), None);
        let with_groups = accounts.clone().with_groups("staff:x:50:alice\nbad\n");
        assert_eq!(
            (with_groups.find_gid("staff"), with_groups.find_gid("7"), with_groups.find_gid("x")),
            (Some(50), Some(7), None)
        );
        assert_eq!((with_groups.groups_of(1000), with_groups.groups_of(0)), (vec![1000, 50], vec![0]));
        assert_eq!(accounts.describe(1000), "alice (uid 1000)");
        let counted_for: Vec<u32> =
            [99_999, 100_000, 165_535, 165_536, 200_009, 1000].map(|u| accounts.account_of(u)).into();
        assert_eq!(counted_for, [99_999, 1000, 1000, 165_536, 1001, 1000]);
    }
}
