//! Accounts of the host without a password, and accounts other than root that have uid 0.

use std::path::Path;

use common::finding::{Finding, Severity};
use common::policy::shell_quote;
use common::rule::Rule;

use super::{AuditedHost, HostCheck, note_unseen};

pub(super) static CHECK: HostCheck = HostCheck {
    rule: Rule {
        id: "logins",
        severity: Severity::Error,
        what: "an account has no password, or is a second root",
        why: "A user who becomes root, or another account, without a password reads every key and changes every program.",
        fix: "passwd -l ACCOUNT, which locks its password; userdel ACCOUNT for a second root",
        reference: "passwd(5); shadow(5), encrypted password",
    },
    run: |host, check| {
        let mut found = check_roots(host, check);
        found.extend(check_passwords(host, check));
        found
    },
};

/// Accounts with uid 0 other than root.
fn check_roots(host: &AuditedHost, check: &HostCheck) -> Vec<Finding> {
    let text = host.read_file("etc/passwd").unwrap_or_default();
    let names = text.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        (fields.get(2) == Some(&"0") && fields[0] != "root").then(|| fields[0].to_owned())
    });
    let finding = |name: String| {
        check
            .finding(format!("account {name}"))
            .found("has uid 0: it is root under another name")
            .expected("root alone: the account can do everything that root can")
            .fix(format!("userdel {}{}", host.root_option(), shell_quote(Path::new(&name))))
    };
    names.map(finding).collect()
}

/// Accounts whose password is empty: the field is empty, not `x`, `*` or `!`.
fn check_passwords(host: &AuditedHost, check: &HostCheck) -> Vec<Finding> {
    let mut found = Vec::new();
    for path in ["etc/passwd", "etc/shadow"] {
        let text = match host.read_file(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => {
                found.push(note_unseen(host.display_path(path), common::error::io_reason(&e)));
                continue;
            }
        };
        for line in text.lines() {
            let mut fields = line.split(':');
            let (Some(name), Some(password)) = (fields.next(), fields.next()) else { continue };
            if password.is_empty() && !name.is_empty() && !name.starts_with(['+', '-', '#']) {
                found.push(
                    check
                        .finding(host.display_path(path))
                        .found(format!("{name} has no password: anybody can log in as it"))
                        .expected("a password, or one that is locked")
                        .fix(format!("passwd {}-l {}", host.root_option(), shell_quote(Path::new(name)))),
                );
            }
        }
    }
    found
}
