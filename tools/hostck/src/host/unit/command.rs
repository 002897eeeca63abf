//! The command line of a unit: whether it runs the daemon, and with which options.

use super::environment::{CommandWord, UnitEnvironment, expand_variables, split_words};
use super::flagfile::FlagFileReader;
use super::locate::{LocatedDaemon, locate_daemon};
use super::options::DaemonOption;
use crate::host::AuditedHost;

/// A command line that runs the daemon.
#[derive(Clone, Debug, Default)]
pub(super) struct DaemonCommand {
    /// Started with `+` or `!`: the unit's restrictions do not apply.
    pub(super) privileged: bool,
    options: Vec<DaemonOption>,
    /// Reasons for which not all of its options are known.
    pub(super) unknown: Vec<String>,
}

/// The words of one command, and the options for its executable.
struct CommandLine {
    words: Vec<CommandWord>,
    privileged: bool,
    expands: bool,
}

/// Splits a value of `ExecStart` into commands: a semicolon as a word stands between them.
fn split_commands(text: &str) -> Vec<CommandLine> {
    let mut lines = Vec::new();
    // A semicolon in quotes or behind a backslash is a word like others.
    for part in split_words(text).split(|word| word.text == ";" && !word.literal) {
        let mut words = part.to_vec();
        let Some(first) = words.first_mut() else { continue };
        // `@-:+!|` say how to start it.
        let plain = first.text.trim_start_matches(['@', '-', ':', '+', '!', '|']).to_owned();
        let prefix = &first.text[..first.text.len() - plain.len()];
        let (privileged, expands, renamed) =
            (prefix.contains(['+', '!']), !prefix.contains(':'), prefix.contains('@'));
        first.text = plain;
        // With `@` the second word is argv[0] of the program (systemd.service(5), "Special executable prefixes").
        if renamed && words.len() > 1 {
            words.remove(1);
        }
        lines.push(CommandLine { words, privileged, expands });
    }
    lines
}

/// The commands of a value of `ExecStart` that run the daemon, and whether the unit's restrictions do not apply to them.
pub(super) fn locate_in_line(text: &str, environment: &UnitEnvironment) -> Vec<(bool, LocatedDaemon)> {
    let located = |line: CommandLine| {
        let words = if line.expands { expand_variables(line.words, environment) } else { line.words };
        let privileged = line.privileged;
        locate_daemon(&words).into_iter().map(move |found| (privileged, found))
    };
    split_commands(text).into_iter().flat_map(located).collect()
}

/// The commands of a value of `ExecStart` that run the daemon, with their options.
pub(super) fn parse_daemon_commands(
    text: &str,
    host: &AuditedHost,
    environment: &UnitEnvironment,
    dir: &str,
) -> Vec<DaemonCommand> {
    let command = |(privileged, found): (bool, LocatedDaemon)| {
        let mut command = DaemonCommand { privileged, ..DaemonCommand::default() };
        command.unknown.extend(found.unknown);
        let mut environment = environment.clone();
        found.assignments.iter().for_each(|word| environment.assign(word));
        command.read_options(&found.arguments, host, &environment, dir);
        command
    };
    locate_in_line(text, environment).into_iter().map(command).collect()
}

impl DaemonCommand {
    fn read_options(
        &mut self,
        words: &[CommandWord],
        host: &AuditedHost,
        environment: &UnitEnvironment,
        dir: &str,
    ) {
        let mut files = FlagFileReader { host, dir, files: 0, unknown: Vec::new() };
        let mut at = 0;
        while let Some(word) = words.get(at) {
            at += 1;
            if word.text == "--" {
                break;
            }
            let Some(option) = word.text.strip_prefix('-').filter(|o| !o.is_empty()) else {
                // The value of an option before it, or any number of options.
                if word.unknown {
                    self.unknown.push(format!("`{}` is not known", word.text));
                }
                continue;
            };
            let option = option.trim_start_matches('-');
            let (name, value, unknown) = match option.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned()), word.unknown),
                None => {
                    let next = words.get(at).filter(|w| !w.text.starts_with('-'));
                    (option, next.map(|w| w.text.clone()), word.unknown || next.is_some_and(|w| w.unknown))
                }
            };
            let name = name.replace('_', "-");
            match (name.as_str(), value) {
                ("flagfile", Some(_)) if unknown => files.unknown.push("flag file of an unknown name".into()),
                ("flagfile", Some(list)) => files.read_list(&list, 0, &mut self.options),
                ("fromenv" | "tryfromenv", Some(list)) => self.read_environment(&list, environment),
                (_, value) => self.options.push(DaemonOption { name, value, file: None, unknown }),
            }
        }
        self.unknown.append(&mut files.unknown);
        self.unknown.extend(environment.unread.iter().filter(|_| words.iter().any(|w| w.unknown)).cloned());
        let last = self.options.iter().rev().find(|o| o.name == "certs-dir");
        if last.is_some_and(|o| o.unknown) {
            self.unknown.push("the value of --certs-dir is not known".into());
        }
        self.unknown.sort();
        self.unknown.dedup();
    }

    /// `--fromenv=certs_dir` takes the variable `FLAGS_certs_dir`.
    fn read_environment(&mut self, list: &str, environment: &UnitEnvironment) {
        for flag in list.split(',').map(str::trim) {
            match environment.get(&format!("FLAGS_{flag}")) {
                Some(value) => {
                    let (name, value) = (flag.replace('_', "-"), Some(value.to_owned()));
                    self.options.push(DaemonOption { name, value, file: None, unknown: false });
                }
                None => self.unknown.push(format!("the variable FLAGS_{flag} is not known")),
            }
        }
    }

    /// The last setting of a name, which counts.
    fn last_option(&self, name: &str) -> Option<&DaemonOption> {
        self.options.iter().rev().find(|o| o.name == name)
    }

    /// Whether a flag is given and not taken back.
    fn has_flag(&self, name: &str) -> bool {
        self.last_option(name).is_some_and(|o| o.value.as_deref() != Some("false"))
    }

    /// The address of a `--bind` that means all of them.
    pub(super) fn wildcard_bind(&self) -> Option<&str> {
        let address = |v: &str| v.parse().ok().or_else(|| Some(v.parse::<std::net::SocketAddr>().ok()?.ip()));
        let values = self.options.iter().filter(|o| o.name == "bind").filter_map(|o| o.value.as_deref());
        values.into_iter().find(|v| address(v).is_some_and(|ip: std::net::IpAddr| ip.is_unspecified()))
    }

    /// The option by which the daemon serves without certificates.
    pub(super) fn without_tls(&self) -> Option<String> {
        let from = |option: &DaemonOption| match &option.file {
            Some(file) => format!(" (in the flag file {file})"),
            None => String::new(),
        };
        match self.last_option("certs-dir") {
            Some(o) if o.value.as_deref() == Some("NO_CERTS") => {
                Some(format!("--certs-dir NO_CERTS{}", from(o)))
            }
            _ if self.has_flag("insecure-listen") => Some(format!(
                "--insecure-listen{}",
                self.last_option("insecure-listen").map(from).unwrap_or_default()
            )),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{clean_dir, write};

    /// The commands of a line, in a root with these files, with these variables.
    fn read(line: &str, files: &[(&str, &str)], environment: &str) -> Vec<DaemonCommand> {
        let dir = clean_dir();
        for (path, text) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            write(&path, 0o644, text);
        }
        let host = AuditedHost::open(dir.path(), false, None, 1778).unwrap();
        let mut variables = UnitEnvironment::default();
        split_words(environment).iter().for_each(|w| variables.assign(w));
        parse_daemon_commands(line, &host, &variables, "/srv")
    }

    fn one(line: &str, files: &[(&str, &str)], environment: &str) -> DaemonCommand {
        let mut found = read(line, files, environment);
        assert_eq!(found.len(), 1, "{line}");
        found.remove(0)
    }

    #[test]
    fn options_are_read_as_the_daemon_reads_them() {
        let line = "+/usr/bin/profd -certs_dir=x --bind 10.0.0.5 --certs-dir NO_CERTS --use-json";
        let command = one(line, &[], "");
        assert_eq!(command.without_tls().as_deref(), Some("--certs-dir NO_CERTS"));
        assert!(command.privileged && command.has_flag("use-json") && command.wildcard_bind().is_none());
        let command = one("env A=b dynolog --insecure_listen --bind=::", &[], "");
        assert_eq!(command.without_tls().as_deref(), Some("--insecure-listen"));
        assert_eq!(command.wildcard_bind(), Some("::"));
        assert!(command.unknown.is_empty());
        assert_eq!(one("profd --certs-dir /etc/profguard/server_certs", &[], "").without_tls(), None);
        assert!(read("profctl --certs-dir NO_CERTS profd", &[], "").is_empty());
    }

    #[test]
    fn every_form_of_no_certs_is_found() {
        let nested = ("srv/more.flags", "  --use_json\n--certs-dir=NO_CERTS\n");
        let files = [
            ("etc/f.flags", "# of the cluster\n--port=1778\n-certs_dir=NO_CERTS\n"),
            ("etc/blank.flags", "--certs_dir NO_CERTS\n"),
            ("etc/nested.flags", "--flagfile=more.flags\n"),
            ("etc/named.flags", "other tool\n--certs-dir=/x\nprofd dynolog\n--certs-dir=NO_CERTS\n"),
            nested,
        ];
        for line in [
            "profd --flagfile=/etc/f.flags",
            "dynolog -flagfile /etc/f.flags --port 1778",
            "profd --certs-dir /x --flagfile=/etc/f.flags",
            "profd --flagfile /etc/blank.flags",
            "profd --flagfile=/etc/nested.flags",
            "profd --flagfile=/etc/nested.flags,more.flags",
            "profd --flagfile=/etc/named.flags",
            "-@/usr/bin/profd daemon --certs-dir=\"NO_CERTS\"",
            "/bin/sh -c \"exec profd --certs-dir NO_CERTS\"",
            "/bin/sh -ec 'ulimit -n 9; exec /usr/bin/profd --certs-dir NO_CERTS > /tmp/x'",
            "/usr/bin/env -S \"profd --certs-dir NO_CERTS\"",
            "env FLAGS_certs_dir=NO_CERTS dynolog --fromenv=certs_dir",
            "profd $OPTS",
            "profd --certs-dir=${MODE}",
            "profd --certs-dir ${MODE}",
            "/bin/true ; profd --certs-dir NO_CERTS",
            "/bin/sh -c \"sleep 1 ; profd --certs-dir NO_CERTS\"",
            "/opt/wrapper --quiet /usr/bin/profd --certs-dir NO_CERTS",
        ] {
            let found = read(line, &files, "'OPTS=--port 1 --certs-dir NO_CERTS' MODE=NO_CERTS");
            let told =
                found.iter().any(|c| c.without_tls().is_some_and(|t| t.starts_with("--certs-dir NO_CERTS")));
            assert!(told, "{line}: {found:?}");
        }
        let told = one("profd --flagfile=/etc/f.flags", &files, "").without_tls();
        assert_eq!(told.as_deref(), Some("--certs-dir NO_CERTS (in the flag file /etc/f.flags)"));
        // The last one counts, wherever it stands.
        assert_eq!(one("profd --flagfile=/etc/f.flags --certs-dir=/x", &files, "").without_tls(), None);
    }

    #[test]
    fn unknown_options_are_reported() {
        let files = [
            ("etc/circle", "--flagfile=/etc/circle\n"),
            ("etc/odd", "--certs-dir=/x\n--a{b}=c\n"),
            ("etc/pattern", "prof*\n--certs-dir=/x\n"),
            ("etc/env", "--fromenv=certs_dir\n"),
        ];
        for line in [
            "profd --flagfile=/etc/missing",
            "profd --flagfile=/etc/circle",
            "profd --flagfile=/etc/odd",
            "profd --flagfile=/etc/pattern",
            "profd --flagfile=/etc/env",
            "profd --flagfile=$F",
            "profd --flagfile=%E/f",
            "profd $UNSET",
            "profd --port ${UNSET}",
            "profd --certs-dir=${UNSET}",
            "profd --certs-dir=%i",
            "dynolog --tryfromenv=certs_dir",
            "/bin/sh -c 'exec profd --certs-dir /x $MORE'",
            "/bin/sh -c '. /etc/default/profd; profd --certs-dir /x'",
            "/opt/wrapper /usr/bin/profd --certs-dir /x",
        ] {
            let command = one(line, &files, "");
            assert!(command.without_tls().is_none() && !command.unknown.is_empty(), "{line}: {command:?}");
        }
        for line in [
            "profd --certs-dir /x --bind 10.0.0.1",
            ":profd --certs-dir /x -- $A",
            "sh -c 'exec profd --certs-dir /x'",
        ] {
            assert!(one(line, &files, "").unknown.is_empty(), "{line}");
        }
    }
}
