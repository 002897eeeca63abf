//! The account that runs the tools: not root, in no group that is as good as root, without general sudo rights.

use common::finding::{Finding, Severity};

use super::{Check, Host, unseen};

pub(super) static CHECK: Check = Check {
    id: "account",
    severity: Severity::Warning,
    what: "the account that runs the tools has more power than they need",
    run: |host, check| {
        let Some(user) = &host.user else {
            return vec![unseen("account", "no account given: --user names the one that will run the tools")];
        };
        let mut found = Vec::new();
        if host.ids.uid(user) == Some(0) {
            found.push(
                check
                    .finding(format!("account {user}"))
                    .found("is root")
                    .expected("an account of its own without privileges")
                    .fix("run the tools as another user: useradd --system profguard"),
            );
            return found;
        }
        found.extend(groups(host, check, user));
        found.extend(sudo(host, check, user));
        found
    },
};

/// Groups whose members can become root, or read what only root should.
const POWERFUL: [(&str, &str); 12] = [
    ("root", "owns most of the system"),
    ("wheel", "may usually become root"),
    ("sudo", "may usually become root"),
    ("admin", "may usually become root"),
    ("docker", "can start containers as root"),
    ("lxd", "can start containers as root"),
    ("podman", "can start containers as root"),
    ("libvirt", "controls virtual machines as root"),
    ("disk", "can read and write whole disks"),
    ("kmem", "can read the kernel's memory"),
    ("shadow", "can read password hashes"),
    ("adm", "can read all logs"),
];

fn groups(host: &Host, check: &Check, user: &str) -> Vec<Finding> {
    let text = match host.read("etc/group") {
        Ok(text) => text,
        Err(e) => return vec![unseen(host.shown("etc/group"), crate::io_reason(&e))],
    };
    let primary = primary_group(host, user);
    let member = |line: &&str| {
        let fields: Vec<&str> = line.split(':').collect();
        fields.get(3).is_some_and(|m| m.split(',').any(|m| m == user))
            || fields.get(2).is_some_and(|id| Some(*id) == primary.as_deref())
    };
    let names = text.lines().filter(member).filter_map(|l| l.split(':').next());
    let powerful = names.filter_map(|name| POWERFUL.iter().find(|(n, _)| *n == name));
    let finding = |(name, why): &(&str, &str)| {
        check
            .finding(format!("account {user}"))
            .found(format!("is in group {name}, which {why}"))
            .expected("no privileged group")
            .fix(format!("gpasswd -d {user} {name}"))
    };
    powerful.map(finding).collect()
}

fn primary_group(host: &Host, user: &str) -> Option<String> {
    let passwd = host.read("etc/passwd").ok()?;
    let line = passwd.lines().find(|l| l.split(':').next() == Some(user))?;
    line.split(':').nth(3).map(str::to_owned)
}

/// Rules of sudo that name the account; those for groups are told by the groups.
fn sudo(host: &Host, check: &Check, user: &str) -> Vec<Finding> {
    let names = host.names("etc/sudoers.d");
    // sudo itself skips names with dots and backups.
    let names = names.into_iter().filter(|n| !n.contains('.') && !n.ends_with('~'));
    let files = std::iter::once("etc/sudoers".to_owned()).chain(names.map(|n| format!("etc/sudoers.d/{n}")));
    let mut found = Vec::new();
    for path in files {
        match host.read(&path) {
            Ok(text) => {
                let rules = text.lines().map(str::trim).filter(|l| l.split_whitespace().next() == Some(user));
                found.extend(rules.map(|rule| {
                    check
                        .finding(host.shown(&path))
                        .found(format!("gives {user} sudo rights: {rule}"))
                        .expected("none")
                        .fix("remove the line with visudo")
                }));
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => found.push(unseen(host.shown(&path), crate::io_reason(&e))),
        }
    }
    found
}
