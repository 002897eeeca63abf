//! Users and groups by number and name, from the files of the audited system.
//!
//! The files are read directly, so that a container's root can be audited from outside. Where the name service
//! switch knows other sources (LDAP, SSSD), an id that the files do not hold cannot be called unowned.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::system_root::SystemRoot;

/// The accounts and groups of a system.
#[derive(Clone, Debug, Default)]
pub struct AccountTable {
    users: HashMap<u32, String>,
    /// Every name, including second names of the same uid, such as another root.
    uids: HashMap<String, u32>,
    groups: HashMap<u32, String>,
    /// The primary group of each account, and the members of groups, by user name.
    primary: HashMap<String, u32>,
    members: Vec<(String, u32)>,
    /// The home directory of each account.
    home_dirs: HashMap<String, PathBuf>,
    /// Home directories of root and of regular accounts (uid 1000 to 65533).
    pub homes: Vec<PathBuf>,
    /// Whether these files are the only source of accounts, so that one they do not list does not exist.
    pub complete: bool,
}

impl AccountTable {
    /// Reads the account files below `root`.
    pub fn load(root: &Path) -> Self {
        SystemRoot::open(root).map_or_else(|_| Self::default(), |root| Self::of(&root))
    }

    /// Reads `etc/passwd`, `etc/group` and `etc/nsswitch.conf` of a root.
    pub fn of(root: &SystemRoot) -> Self {
        let read = |name: &str| root.read_file(&format!("etc/{name}")).ok();
        let (passwd, group) = (read("passwd"), read("group"));
        let complete =
            passwd.is_some() && group.is_some() && files_only(&read("nsswitch.conf").unwrap_or_default());
        let mut ids = Self { complete, ..Self::default() };
        for line in passwd.iter().flat_map(|t| t.lines()) {
            ids.add_user(line);
        }
        for line in group.iter().flat_map(|t| t.lines()) {
            let fields: Vec<&str> = line.split(':').collect();
            let [name, _, id, ..] = fields[..] else { continue };
            let Ok(id) = id.parse() else { continue };
            ids.groups.entry(id).or_insert_with(|| name.to_owned());
            let members = fields.get(3).into_iter().flat_map(|m| m.split(','));
            ids.members.extend(members.map(str::trim).filter(|m| !m.is_empty()).map(|m| (m.to_owned(), id)));
        }
        ids
    }

    fn add_user(&mut self, line: &str) {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, id, gid, _, home, ..] = fields[..] else { return };
        let Ok(id) = id.parse() else { return };
        self.users.entry(id).or_insert_with(|| name.to_owned());
        self.uids.entry(name.to_owned()).or_insert(id);
        self.home_dirs.entry(name.to_owned()).or_insert_with(|| home.into());
        if let Ok(gid) = gid.parse() {
            self.primary.entry(name.to_owned()).or_insert(gid);
        }
        // System accounts have homes like /bin and /var/spool/x, which are not home directories.
        if id == 0 || (1000..65534).contains(&id) {
            let home = PathBuf::from(home);
            if home.components().count() > 1 {
                self.homes.push(home);
            }
        }
    }

    /// The name of a user id.
    #[must_use]
    pub fn user_name(&self, uid: u32) -> Option<&str> {
        self.users.get(&uid).map(String::as_str)
    }

    /// The name of a group id.
    #[must_use]
    fn group_name(&self, gid: u32) -> Option<&str> {
        self.groups.get(&gid).map(String::as_str)
    }

    /// The id of a user, by name or as a number.
    #[must_use]
    pub fn uid_of(&self, name: &str) -> Option<u32> {
        name.parse().ok().or_else(|| self.uids.get(name).copied())
    }

    /// The home directory of an account, by name or number.
    pub fn home_of(&self, user: &str) -> Option<&Path> {
        let name = user.parse().ok().and_then(|uid: u32| self.user_name(uid)).unwrap_or(user);
        self.home_dirs.get(name).map(PathBuf::as_path)
    }

    /// The id of a group, by name or as a number.
    #[must_use]
    pub fn gid_of(&self, name: &str) -> Option<u32> {
        name.parse().ok().or_else(|| self.groups.iter().find(|(_, n)| *n == name).map(|(id, _)| *id))
    }

    /// The primary group of an account.
    pub fn group_of(&self, uid: u32) -> Option<u32> {
        self.primary.get(self.user_name(uid)?).copied()
    }

    /// The groups of an account: its primary group, and those that list it as a member.
    pub fn groups_of(&self, user: &str) -> Vec<(String, u32)> {
        let own = self.primary.get(user).copied();
        let named = self.members.iter().filter(|(name, _)| name == user).map(|(_, id)| *id);
        let mut ids: Vec<u32> = own.into_iter().chain(named).collect();
        ids.sort_unstable();
        ids.dedup();
        let name = |id: u32| (self.group_name(id).unwrap_or_default().to_owned(), id);
        ids.into_iter().map(name).collect()
    }

    /// Whether only this user, and root, are members of the group; false if other sources than the files may
    /// have members.
    pub fn is_private_group(&self, gid: u32, uid: u32) -> bool {
        let own = |name: &String| matches!(self.uids.get(name), Some(id) if *id == uid || *id == 0);
        let primary = self.primary.iter().filter(|(_, group)| **group == gid).map(|(name, _)| name);
        let named = self.members.iter().filter(|(_, group)| *group == gid).map(|(name, _)| name);
        self.complete && self.groups.contains_key(&gid) && primary.chain(named).all(own)
    }

    /// Whether no account has this user id; false if other sources than the files may have it.
    pub fn no_user(&self, uid: u32) -> bool {
        self.complete && !self.users.contains_key(&uid)
    }

    /// Whether no group has this id; false if other sources than the files may have it.
    pub fn no_group(&self, gid: u32) -> bool {
        self.complete && !self.groups.contains_key(&gid)
    }

    /// `name (uid n)`, or `uid n`.
    pub fn describe_user(&self, uid: u32) -> String {
        match self.user_name(uid) {
            Some(name) => format!("{name} (uid {uid})"),
            None => format!("uid {uid}"),
        }
    }

    /// `name (gid n)`, or `gid n`.
    pub fn describe_group(&self, gid: u32) -> String {
        match self.group_name(gid) {
            Some(name) => format!("{name} (gid {gid})"),
            None => format!("gid {gid}"),
        }
    }
}

/// Whether nsswitch.conf(5) names no other source than files, which is also the default.
fn files_only(nsswitch: &str) -> bool {
    let lines = nsswitch.lines().map(|l| l.split('#').next().unwrap_or(""));
    let sources =
        lines.filter_map(|l| l.split_once(':')).filter(|(db, _)| matches!(db.trim(), "passwd" | "group"));
    // systemd's source serves ids of running units and containers only, and those are not owners on disk.
    sources.flat_map(|(_, list)| list.split_whitespace()).all(|s| matches!(s, "files" | "compat" | "systemd"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_homes_come_from_the_files_of_that_root() {
        let root = tempfile::tempdir().unwrap();
        let etc = root.path().join("etc");
        std::fs::create_dir(&etc).unwrap();
        std::fs::write(
            etc.join("passwd"),
            "root:x:0:0::/root:/bin/sh\nbin:x:2:2::/bin:/x\nann:x:1000:100::/home/ann:/x\nbad\n",
        )
        .unwrap();
        std::fs::write(etc.join("group"), "root:x:0:\nusers:x:100:ann\n").unwrap();
        let ids = AccountTable::load(root.path());
        assert_eq!((ids.uid_of("ann"), ids.uid_of("77"), ids.uid_of("nobody")), (Some(1000), Some(77), None));
        assert_eq!(ids.gid_of("users"), Some(100));
        assert_eq!(ids.homes, [Path::new("/root"), Path::new("/home/ann")]);
        assert!(ids.no_user(4711) && !ids.no_user(1000) && ids.no_group(4711));
        // Root is in every group, and bin has one of its own, which is not listed.
        assert!(ids.is_private_group(0, 0) && ids.is_private_group(0, 1000));
        assert!(
            ids.is_private_group(100, 1000) && !ids.is_private_group(100, 2) && !ids.is_private_group(2, 2)
        );
        std::fs::write(etc.join("nsswitch.conf"), "passwd: files sss # x\n").unwrap();
        assert!(!AccountTable::load(root.path()).no_user(4711));
    }
}
