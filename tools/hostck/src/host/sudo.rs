//! The rights that sudo gives an account. On a running system sudo itself lists them (`sudo -l`), whatever its rules come from: files,
//! LDAP or SSSD.

use common::finding::Severity;

use super::AuditedHost;

/// The rights that sudo lists for an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SudoRights {
    /// Each as `(root) NOPASSWD: /bin/x`; empty where the account may do nothing.
    Listed(Vec<String>),
    /// Why sudo does not say it.
    Unsure(String),
    /// sudo is not installed.
    Absent,
}

/// Asks sudo for the rights of an account. Only root may ask for others, and sudo may want a password of who asks for
/// himself: `-n` makes it fail then.
pub(super) fn ask_sudo(host: &AuditedHost, user: &str) -> SudoRights {
    let uid = rustix::process::geteuid();
    let own = host.ids.uid_of(user).is_some_and(|id| id == uid.as_raw());
    let args: &[&str] = match (uid.is_root(), own) {
        (true, _) => &["-n", "-l", "-U", user],
        (false, true) => &["-n", "-l"],
        (false, false) => return SudoRights::Unsure(format!("only root can ask for the rights of {user}")),
    };
    match host.programs.run("sudo", args) {
        None => SudoRights::Absent,
        Some(Err(reason)) => SudoRights::Unsure(reason),
        Some(Ok(end)) => parse_listing(&end.text).map_or_else(
            || {
                let message = end.message.lines().map(str::trim).find(|line| !line.is_empty());
                let reason = message.unwrap_or("its output is not understood");
                SudoRights::Unsure(reason.trim_start_matches("sudo: ").to_owned())
            },
            SudoRights::Listed,
        ),
    }
}

/// Reads what `sudo -l` prints (display_privs and display_cmnd in plugins/sudoers/display.c of sudo 1.9.13): a line for
/// each rule, indented by four blanks and with the accounts to become in parentheses, or that there is none. Its exit
/// status does not distinguish them in all versions.
fn parse_listing(text: &str) -> Option<Vec<String>> {
    if text.lines().any(|line| line.starts_with("User ") && line.contains(" is not allowed to run sudo on "))
    {
        return Some(Vec::new());
    }
    let mut lines = text.lines().skip_while(|line| {
        !(line.starts_with("User ") && line.contains(" may run the following commands on "))
    });
    lines.next()?;
    let mut rights: Vec<String> = Vec::new();
    for line in lines.take_while(|line| line.starts_with("    ")) {
        let words = line.split_whitespace().collect::<Vec<_>>().join(" ");
        match rights.last_mut() {
            // A long line goes on below, indented by more.
            Some(last) if line.starts_with("     ") => *last = format!("{last} {words}"),
            _ => rights.push(words),
        }
    }
    (!rights.is_empty()).then_some(rights)
}

/// Returns whether a rule of sudoers allows any command: the last one that matches decides (sudoers(5), "Cmnd_List"), so
/// `!ALL` at the end, and a list of denied commands alone, allow none. A rule that is not understood counts as one that does.
pub(super) fn grants_commands(rule: &str) -> bool {
    let Some((_, commands)) = rule.split_once('=') else { return true };
    if commands.contains(['=', '"', '\\']) {
        return true;
    }
    let items: Vec<String> =
        remove_accounts(commands).split(',').map(|item| remove_tags(item).to_owned()).collect();
    // More hosts follow behind a colon.
    let is_denied = |item: &String| item.starts_with('!') && !item.starts_with("!!") && !item.contains(':');
    let none_allowed = items.iter().all(is_denied);
    let last_denies_all =
        items.last().is_some_and(|item| item.trim_start_matches('!').trim() == "ALL" && is_denied(item));
    !(none_allowed || last_denies_all && !items.iter().any(|item| item.contains(':')))
}

/// Removes tags such as `NOPASSWD:` from a command.
fn remove_tags(item: &str) -> &str {
    let mut item = item.trim();
    while let Some((tag, rest)) = item.split_once(':') {
        if tag.is_empty() || !tag.trim().bytes().all(|b| b.is_ascii_uppercase() || b == b'_') {
            break;
        }
        item = rest.trim();
    }
    item
}

/// Permission to run every command is equivalent to root; single commands may be what an operator wants.
pub(super) fn severity_of_sudo(rule: &str) -> Severity {
    let commands = rule.split_once('=').map_or(rule, |(_, commands)| commands);
    severity_of_commands(commands)
}

/// Removes the accounts in parentheses, which are those to become, from commands.
fn remove_accounts(commands: &str) -> String {
    let mut commands = commands.to_owned();
    while let Some((before, rest)) = commands.split_once('(') {
        let after = rest.split_once(')').map_or("", |(_, after)| after);
        commands = format!("{before} {after}");
    }
    commands
}

/// The severity of the commands of a rule, without its users and hosts.
pub(super) fn severity_of_commands(commands: &str) -> Severity {
    let commands = remove_accounts(commands);
    let every = commands.split([',', ':', ' ', '\t']).any(|word| word == "ALL");
    if every { Severity::Error } else { Severity::Warning }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::note_unseen;
    use crate::host::programs::SystemPrograms;
    use crate::host::programs::tests::install_script;
    use crate::host::tests::{make_root, open_host};

    /// The output of sudo 1.9.13p3 of Debian 12 for `sudo -n -l -U USER`, run with a sudoers file of these rules.
    const ALL: &str = "Matching Defaults entries for ann on vm:\n    env_reset, !requiretty\n\nUser ann may run the following commands on vm:\n    (ALL) NOPASSWD: ALL\n";
    const SOME: &str = "Matching Defaults entries for ann on vm:\n    env_reset\n\nUser ann may run the following commands on vm:\n    (root : adm) SETENV: NOPASSWD: /usr/bin/systemctl restart profd, /usr/bin/systemctl stop profd\n    (nobody) SETENV: PASSWD: /bin/ls /a/path, !/bin/sh\n";
    const NONE: &str = "User ann is not allowed to run sudo on vm.\n";

    #[test]
    fn listings_are_read() {
        assert_eq!(parse_listing(ALL).unwrap(), ["(ALL) NOPASSWD: ALL"]);
        let some = parse_listing(SOME).unwrap();
        assert_eq!(some.len(), 2);
        assert_eq!(some[1], "(nobody) SETENV: PASSWD: /bin/ls /a/path, !/bin/sh");
        assert_eq!(parse_listing(NONE), Some(Vec::new()));
        for other in
            ["", "Benutzer ann darf\n    (ALL) ALL\n", "User ann may run the following commands on vm:\n"]
        {
            assert_eq!(parse_listing(other), None, "{other}");
        }
        let long = "User ann may run the following commands on vm:\n    (root) /bin/a,\n        /bin/b\n    (x) /c\n";
        assert_eq!(parse_listing(long).unwrap(), ["(root) /bin/a, /bin/b", "(x) /c"]);
    }

    #[test]
    fn every_command_is_an_error_and_some_are_a_warning() {
        assert_eq!(severity_of_commands("(ALL) NOPASSWD: ALL"), Severity::Error);
        assert_eq!(severity_of_commands("(ALL : ALL) /bin/ls --a=ALL"), Severity::Warning);
        assert_eq!(severity_of_sudo("ann ALL=(ALL) /bin/ls"), Severity::Warning);
    }

    #[test]
    fn a_rule_that_denies_everything_grants_nothing() {
        for none in
            ["ann ALL=(ALL) !ALL", "ann ALL = !/bin/sh, NOPASSWD: !/bin/ls", "ann ALL=(ALL) ALL, !ALL"]
        {
            assert!(!grants_commands(none), "{none}");
        }
        for some in [
            "ann ALL=(ALL) ALL",
            "ann ALL=(ALL) ALL, !/bin/sh",
            "ann ALL=(ALL) !ALL, /bin/ls",
            "ann ALL=(ALL) !!ALL",
            "ann A=(ALL) !ALL : B=ALL",
            "ann ALL=NOPASSWD: /bin/a",
            "ann",
        ] {
            assert!(grants_commands(some), "{some}");
        }
    }

    /// The account findings of a running host whose files say one thing and whose sudo says another.
    fn account_findings(sudo: Option<&str>) -> Vec<(Severity, String)> {
        let uid = rustix::process::geteuid().as_raw();
        // Who runs the tests asks for himself, or is root and asks for another.
        let uid = if uid == 0 { 1000 } else { uid };
        let dir = make_root(&[
            ("etc/passwd", &format!("root:x:0:0::/root:/bin/sh\nann:x:{uid}:1000::/nowhere:/bin/sh\n")),
            ("etc/group", "ann:x:1000:\n"),
            ("etc/sudoers", "ann ALL=(ALL) /bin/only-in-the-file\n"),
        ]);
        let mut host = open_host(dir.path(), true);
        if let Some(script) = sudo {
            std::fs::create_dir(dir.path().join("programs")).unwrap();
            install_script(&dir.path().join("programs"), "sudo", script);
            host.programs = SystemPrograms::in_dirs(&[&dir.path().join("programs")]);
        }
        let about_sudo = |f: &crate::host::Finding| {
            f.rule == "account" || (f.rule == note_unseen("", "").rule && f.path.starts_with("sudo"))
        };
        let found = host.run_checks().into_iter().filter(about_sudo);
        found.map(|f| (f.severity, f.found)).collect()
    }

    #[test]
    fn a_running_system_is_asked_and_believed() {
        let print = |text: &str, status: u8| format!("cat <<'END'\n{text}END\nexit {status}\n");
        let all = account_findings(Some(&print(ALL, 0)));
        assert_eq!(all, [(Severity::Error, "may use sudo: (ALL) NOPASSWD: ALL".to_owned())]);
        let some = account_findings(Some(&print(SOME, 0)));
        assert_eq!(some.iter().map(|(severity, _)| *severity).collect::<Vec<_>>(), [Severity::Warning; 2]);
        // Versions differ in the exit status for nobody.
        for status in [0, 1] {
            assert!(account_findings(Some(&print(NONE, status))).is_empty());
        }
        // An answer that does not come is unsure, and then the file says what it can.
        let unsure = account_findings(Some("echo 'sudo: a password is required' >&2; exit 1\n"));
        assert!(unsure.contains(&(
            Severity::Note,
            "a password is required: rights that do not come from /etc/sudoers are not seen".to_owned()
        )));
        assert!(unsure.iter().any(|(_, found)| found.contains("only-in-the-file")), "{unsure:?}");
        // Without sudo its file is all there is.
        assert!(account_findings(None).iter().any(|(_, found)| found.contains("only-in-the-file")));
    }

    /// The real program, where it is installed and this is root: root may do everything.
    #[test]
    fn the_real_sudo_is_understood() {
        if !testkit::require_root() || testkit::require("sudo").is_none() {
            return;
        }
        let host = AuditedHost::open(std::path::Path::new("/"), true, None, 1778).unwrap();
        let rights = ask_sudo(&host, "root");
        assert!(matches!(&rights, SudoRights::Listed(_)), "{rights:?}");
    }
}
