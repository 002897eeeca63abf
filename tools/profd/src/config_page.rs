//! Renders profd-config(5), the manual page of configuration files, from the options of the command line.

use std::fmt::Write;

use clap::{Arg, ArgAction, Command};

use crate::plan::config_file::list_config_keys;

const HEAD: &str = r#".TH PROFD\-CONFIG 5 DATE
.SH NAME
profd\-config \- configuration file of profd
.SH DESCRIPTION
A configuration file holds options of
.BR profd (8).
It is a TOML file that is given with
.BR \-\-config ;
its keys are the options without their dashes. A key that is not known, and a value that is not valid, are errors with
their line and column, and the daemon does not start.
.PP
An option on the command line, or in a flag file of gflags that is given there
.RB ( \-\-flagfile ),
takes precedence over the same one in the file; lists are replaced, not joined.
.PP
The file must belong to root or to the user who starts the daemon, and nobody else may write it. It is read once, at the
start.
.B profd \-\-check\-config \-\-config FILE
checks it together with everything that it names.
.SH EXAMPLE
.nf
certs\-dir = "/etc/profguard/server_certs"
bind = ["0.0.0.0", "::"]
enable\-ipc\-monitor = true
ipc = ["abstract", "dir=/run/profd"]
ipc\-mode = "0660"
allow\-gid = ["training"]
output\-root = ["/data/prof"]
audit\-log = "/var/log/profd/audit.jsonl"
state\-dir = "/var/lib/profd"
idle\-timeout = "1m"
.fi
.SH KEYS
"#;

const TAIL: &str = r#".SH FLAG FILES
The flag files of the existing daemons
.RB ( \-\-flagfile=/etc/dynolog.gflags )
have one option a line,
.BR \-\-name ,
.B \-\-name=value
or
.BR \-\-noname ;
lines that begin with # are comments. A flag file may name others. Options without a meaning for
.B profd
are ignored with a warning.
.SH SEE ALSO
.BR profd (8),
.BR profd\-rules (5)
"#;

/// Renders the page with a date.
pub(crate) fn config_page(command: &Command, date: &str) -> String {
    let mut page = HEAD.replacen("DATE", date, 1);
    for (name, arg) in list_config_keys(command) {
        let text = arg.get_help().map(ToString::to_string).unwrap_or_default().replace('\n', " ");
        let kind = describe_kind(arg);
        let _ = write!(page, ".TP\n.B {}\n{}. {kind}\n", escape(name), escape(text.trim_end_matches('.')));
    }
    page.push_str(TAIL);
    page
}

fn describe_kind(arg: &Arg) -> String {
    let values = arg.get_possible_values();
    let kind = match arg.get_action() {
        ArgAction::SetTrue => "True or false",
        ArgAction::Append => "A value, or an array of them",
        _ if !values.is_empty() => "One of",
        _ => "A value",
    };
    let choices: Vec<_> = values.iter().map(|value| value.get_name()).collect();
    let choices = if kind == "One of" { format!(" {}", choices.join(", ")) } else { String::new() };
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    let default = match (arg.get_action(), defaults.is_empty()) {
        (ArgAction::SetTrue, _) | (_, true) => String::new(),
        _ => format!(" [default: {}]", escape(&defaults.join(", "))),
    };
    format!("{kind}{}{default}.", escape(&choices))
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace('`', "\\(ga")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_example_is_a_valid_file_and_every_key_is_described() {
        let command = crate::Cli::command();
        let page = super::config_page(&command, "2026-01-01");
        let example = page.split(".nf\n").nth(1).unwrap().split(".fi").next().unwrap().replace("\\-", "-");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("profd.toml");
        std::fs::write(&path, example).unwrap();
        let args = vec!["profd".into(), format!("--config={}", path.display()).into()];
        let args = crate::plan::arguments::collect_arguments(args, &command).unwrap();
        assert!(args.iter().any(|arg| arg == "--ipc=dir=/run/profd"), "{args:?}");
        for key in ["port", "certs\\-dir", "enable\\-ipc\\-monitor", "log\\-format", "quiet"] {
            assert!(page.contains(&format!(".TP\n.B {key}\n")), "{key}");
        }
        assert!(!page.contains(".B check\\-config\n"));
    }
}
