//! The umask of this process, of logins and of the daemon's unit: 0027 or stricter.

use common::finding::{Finding, Severity};
use common::policy::Mode;
use common::rule::Rule;

use super::{AuditedHost, HostCheck};

pub(super) static CHECK: HostCheck = HostCheck {
    rule: Rule {
        id: "umask",
        severity: Severity::Warning,
        what: "new files are open to others, or to the group for writing",
        why: "Files such as logs and traces are created with permissions that other accounts can use until somebody tightens them.",
        fix: "umask 0027 in the shell or script that starts the tools; UMask=0027 in units",
        reference: "msMonitor security statement, file permission control; umask(2); systemd.exec(5), UMask=",
    },
    run: |host, check| check_process(host, check).into_iter().chain(check_logins(host, check)).collect(),
};

/// Bits that a umask must remove.
const WANTED: u32 = 0o027;

fn check_process(host: &AuditedHost, check: &HostCheck) -> Option<Finding> {
    if !host.live {
        return None;
    }
    let status = host.read_file("proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("Umask:"))?;
    check_umask(
        check,
        "/proc/self/status",
        "this process",
        parse_octal(line)?,
        "umask 0027 in the shell or script that starts it",
    )
}

fn check_logins(host: &AuditedHost, check: &HostCheck) -> Vec<Finding> {
    let files = ["etc/login.defs", "etc/profile", "etc/bash.bashrc", "etc/bashrc", "etc/csh.cshrc"];
    let drop_ins = host.list_names("etc/profile.d").into_iter().map(|n| format!("etc/profile.d/{n}"));
    let mut found = Vec::new();
    for path in files.iter().map(|&f| f.to_owned()).chain(drop_ins) {
        let text = host.read_file(&path).unwrap_or_default();
        // The last one wins, as when the file is run.
        let Some(umask) = text.lines().filter_map(parse_line).next_back() else { continue };
        let line = if path.ends_with("login.defs") { "UMASK 027" } else { "umask 027" };
        let fix = format!("write `{line}` in {} instead", host.display_path(&path).display());
        found.extend(check_umask(check, host.display_path(&path), "logins", umask, &fix));
    }
    found
}

/// `umask 022` of a shell, also where it stands among other commands, and `UMASK 022` of login.defs.
fn parse_line(line: &str) -> Option<u32> {
    let line = line.split('#').next().unwrap_or_default();
    let commands = line.split([';', '&', '|', '(', ')', '{', '}']);
    commands.filter_map(parse_command).next_back()
}

fn parse_command(text: &str) -> Option<u32> {
    let mut words = text.split_whitespace().skip_while(|w| matches!(*w, "then" | "else" | "do"));
    words.next().filter(|w| w.eq_ignore_ascii_case("umask"))?;
    let value = words.find(|w| !w.starts_with('-'))?;
    parse_octal(value).or_else(|| parse_symbolic(value))
}

/// `u=rwx,g=rx,o=`: the permissions that remain. Classes that it does not name keep theirs, which are not known here.
fn parse_symbolic(text: &str) -> Option<u32> {
    let (mut allowed, mut named) = (0, 0);
    for part in text.split(',') {
        let (who, what) = part.split_once('=')?;
        let bit = |c: char| "xwr".find(c).map(|i| 1 << i);
        let bits = what.chars().map(bit).sum::<Option<u32>>()?;
        let who = if matches!(who, "" | "a") { "ugo" } else { who };
        for class in who.chars() {
            let shift = 3 * "ogu".find(class)?;
            (allowed, named) = (allowed & !(7 << shift) | bits << shift, named | 7 << shift);
        }
    }
    (named == 0o777).then_some(0o777 & !allowed)
}

pub(super) fn parse_octal(text: &str) -> Option<u32> {
    Mode::parse(text.trim()).map(|m| m.0).filter(|m| *m <= 0o777)
}

pub(super) fn check_umask(
    check: &HostCheck,
    subject: impl AsRef<std::path::Path>,
    whose: &str,
    umask: u32,
    fix: &str,
) -> Option<Finding> {
    (umask & WANTED != WANTED).then(|| {
        check
            .finding(subject)
            .found(format!("umask {} of {whose}", Mode(umask)))
            .expected(format!("{} or stricter", Mode(WANTED)))
            .fix(fix)
    })
}

#[cfg(test)]
mod tests {
    use super::parse_line;

    #[test]
    fn umasks_are_read_as_shells_read_them() {
        for (line, umask) in [
            ("umask 022", Some(0o022)),
            ("UMASK\t\t077", Some(0o077)),
            ("  umask u=rwx,g=rwx,o=rwx", Some(0)),
            ("umask -S u=rwx,g=rx,o=", Some(0o027)),
            ("if [ $UID -gt 9 ]; then umask 000; fi", Some(0)),
            ("umask 027 && umask 002", Some(0o002)),
            ("# umask 022", None),
            ("echo umask 022", None),
            ("umask g-w", None),
        ] {
            assert_eq!(parse_line(line), umask, "{line}");
        }
    }
}
