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
    /// Flag files and the configuration file, with a leading slash.
    pub(super) files: Vec<String>,
    /// The libraries that its variables name, each with its variable.
    pub(super) loaded: Vec<(&'static str, String)>,
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
        command.loaded = environment.loaded_paths();
        command
    };
    locate_in_line(text, environment).into_iter().map(command).collect()
}

/// A value of the configuration file, as the option has it.
fn scalar_text(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Boolean(value) => Some(value.to_string()),
        toml::Value::Integer(value) => Some(value.to_string()),
        toml::Value::Float(value) => Some(value.to_string()),
        _ => None,
    }
}

impl DaemonCommand {
    fn read_options(
        &mut self,
        words: &[CommandWord],
        host: &AuditedHost,
        environment: &UnitEnvironment,
        dir: &str,
    ) {
        let mut files = FlagFileReader { host, dir, files: 0, unknown: Vec::new(), named: Vec::new() };
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
        self.files.append(&mut files.named);
        self.read_config(host, dir);
        self.unknown.extend(environment.unread.iter().filter(|_| words.iter().any(|w| w.unknown)).cloned());
        let last = self.options.iter().rev().find(|o| o.name == "certs-dir");
        if last.is_some_and(|o| o.unknown) {
            self.unknown.push("the value of --certs-dir is not known".into());
        }
        self.unknown.sort();
        self.unknown.dedup();
    }

    /// Reads the configuration file of profd that `--config` names (profd-config(5)): the command line goes before it.
    fn read_config(&mut self, host: &AuditedHost, dir: &str) {
        let Some(option) = self.last_option("config") else { return };
        let Some(file) = option.value.clone().filter(|_| !option.unknown) else {
            return self.unknown.push("configuration file of an unknown name".into());
        };
        let path = if file.starts_with('/') { file } else { format!("{dir}/{file}") };
        self.files.push(path.clone());
        let read = host.read_file(path.trim_start_matches('/'));
        let table = read
            .map_err(|e| common::error::io_reason(&e))
            .and_then(|text| text.parse::<toml::Table>().map_err(|e| format!("not TOML: {}", e.message())));
        let table = match table {
            Ok(table) => table,
            Err(reason) => return self.unknown.push(format!("configuration file {path}: {reason}")),
        };
        let given: Vec<String> = self.options.iter().map(|o| o.name.clone()).collect();
        let settings = table.into_iter().filter(|(name, _)| !given.contains(name));
        let of_file = settings.flat_map(|(name, value)| {
            let values = if let toml::Value::Array(values) = value { values } else { vec![value] };
            let file = format!("configuration file {path}");
            values.into_iter().map(move |value| DaemonOption {
                name: name.clone(),
                value: scalar_text(&value),
                file: Some(file.clone()),
                unknown: false,
            })
        });
        let of_file: Vec<DaemonOption> = of_file.collect();
        self.options.splice(0..0, of_file);
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

    /// The port of `--port`; none where its value is not known, and the usual one without the option.
    pub(super) fn port(&self) -> Option<u16> {
        match self.last_option("port") {
            None => Some(1778),
            Some(o) if o.unknown => None,
            Some(o) => o.value.as_deref()?.trim().parse().ok(),
        }
    }

    /// The address of a `--bind` that means all of them, and where it stands.
    pub(super) fn wildcard_bind(&self) -> Option<String> {
        let address = |v: &str| v.parse().ok().or_else(|| Some(v.parse::<std::net::SocketAddr>().ok()?.ip()));
        let mut values =
            self.options.iter().filter(|o| o.name == "bind").filter_map(|o| Some((o, o.value.as_deref()?)));
        let is_wildcard = |v: &str| address(v).is_some_and(|ip: std::net::IpAddr| ip.is_unspecified());
        values.find(|(_, v)| is_wildcard(v)).map(|(o, v)| format!("{v}{}", o.place()))
    }

    /// The option by which the daemon serves without certificates.
    pub(super) fn without_tls(&self) -> Option<String> {
        let from = DaemonOption::place;
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
        assert_eq!(command.wildcard_bind().as_deref(), Some("::"));
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

    /// The configuration file of profd counts where the command line is silent.
    #[test]
    fn options_of_the_configuration_file_are_read() {
        let files = [
            ("etc/p.toml", "certs-dir = \"NO_CERTS\"\nbind = [\"10.0.0.1\", \"0.0.0.0\"]\nport = 1\n"),
            ("srv/q.toml", "certs-dir = '/x'\ninsecure-listen = true\nbind = '::'\n"),
            ("etc/off.toml", "insecure-listen = false\ncerts-dir = '/x'\n"),
            ("etc/bad.toml", "certs-dir = \n"),
            ("etc/more.flags", "--config=/etc/p.toml\n"),
        ];
        for line in [
            "profd --config /etc/p.toml",
            "profd --port 2 --config=/etc/p.toml",
            "profd --flagfile=/etc/more.flags",
        ] {
            let command = one(line, &files, "");
            assert_eq!(
                command.without_tls().as_deref(),
                Some("--certs-dir NO_CERTS (in the configuration file /etc/p.toml)"),
                "{line}"
            );
            let bind = command.wildcard_bind();
            assert_eq!(bind.as_deref(), Some("0.0.0.0 (in the configuration file /etc/p.toml)"), "{line}");
            assert!(command.unknown.is_empty(), "{command:?}");
            assert!(command.files.contains(&"/etc/p.toml".to_owned()), "{command:?}");
        }
        let command = one("profd --config q.toml", &files, "");
        let told = command.without_tls();
        assert_eq!(told.as_deref(), Some("--insecure-listen (in the configuration file /srv/q.toml)"));
        assert!(command.wildcard_bind().is_some());
        // The command line goes before the file, and replaces lists.
        let command = one("profd --config /etc/p.toml --certs-dir /x --bind 10.0.0.2", &files, "");
        assert_eq!((command.without_tls(), command.wildcard_bind()), (None, None));
        assert_eq!(one("profd --config /etc/off.toml", &files, "").without_tls(), None);
        for line in
            ["profd --config /etc/missing.toml", "profd --config=/etc/bad.toml", "profd --config %E/p.toml"]
        {
            let command = one(line, &files, "");
            assert!(
                command.unknown.iter().any(|why| why.contains("configuration file")),
                "{line}: {command:?}"
            );
        }
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
