//! The configuration file: options of the command line as keys of a TOML file. profd-config(5) describes it.

use std::path::Path;

use anyhow::{Context, anyhow};
use clap::{Arg, ArgAction, Command};
use common::error::HintExt;
use common::fsat;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::argument::Argument;
use super::rules::{describe_position, describe_toml_error};
use crate::option_file::open_through_links;

/// Maximum size of the file in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Options that are for one run, or that say where the file is.
const COMMAND_LINE_ONLY: [&str; 4] = ["config", "check-config", "help", "version"];

/// Returns the options that may stand in the file, in the order of the manual page.
pub(crate) fn list_config_keys(command: &Command) -> impl Iterator<Item = (&str, &Arg)> {
    let visible = command.get_arguments().filter(|arg| !arg.is_hide_set());
    visible.filter_map(|arg| Some((arg.get_long().filter(|name| !COMMAND_LINE_ONLY.contains(name))?, arg)))
}

/// Reads the file.
///
/// # Errors
/// It cannot be read, others could have written it, or a key or a value is invalid: with its line and column.
pub(super) fn read_config_file(path: &Path, command: &Command) -> anyhow::Result<Vec<Argument>> {
    let read = || {
        let (file, meta) = open_through_links(path)?;
        fsat::require_trusted(&meta)?;
        let text = String::from_utf8(fsat::read_bounded(file, MAX_BYTES)?)?;
        parse_config(&text, command)
    };
    read().with_context(|| path.display().to_string())
}

fn parse_config(text: &str, command: &Command) -> anyhow::Result<Vec<Argument>> {
    let table = DeTable::parse(text).map_err(|e| anyhow!(describe_toml_error(text, &e)))?;
    let mut entries: Vec<_> = table.get_ref().iter().collect();
    // In the order of the file, so that the first mistake is the one that is shown.
    entries.sort_by_key(|(key, _)| key.span().start);
    let mut arguments = Vec::new();
    for (key, value) in entries {
        let name: &str = key.get_ref();
        let at = |span: std::ops::Range<usize>, reason: String| {
            anyhow!("{}: {reason}", describe_position(text, span.start))
        };
        let Some((_, arg)) = list_config_keys(command).find(|(known, _)| *known == name) else {
            return Err(at(key.span(), format!("unknown key {name:?}"))).hint(suggest_key(name, command));
        };
        for argument in convert_value(name, arg, value).map_err(|(span, reason)| at(span, reason))? {
            check_value(&argument, command).map_err(|reason| at(value.span(), reason))?;
            arguments.push(argument);
        }
    }
    Ok(arguments)
}

fn suggest_key(name: &str, command: &Command) -> String {
    if COMMAND_LINE_ONLY.contains(&name) {
        return format!("--{name} is for the command line only");
    }
    let plain = |text: &str| text.replace(['-', '_'], "").to_lowercase();
    match list_config_keys(command).find(|(known, _)| plain(known) == plain(name)) {
        Some((known, _)) => format!("did you mean `{known}`?"),
        None => "the keys are the options of profd without their dashes; see profd-config(5)".to_owned(),
    }
}

type ValueError = (std::ops::Range<usize>, String);

fn convert_value(name: &str, arg: &Arg, value: &Spanned<DeValue<'_>>) -> Result<Vec<Argument>, ValueError> {
    let name = name.to_owned();
    let wrong = |expected: &str| {
        Err((value.span(), format!("{name}: found {}, expected {expected}", value.get_ref().type_str())))
    };
    match (arg.get_action(), value.get_ref()) {
        (ArgAction::SetTrue, DeValue::Boolean(is_on)) => Ok(vec![Argument::Switch { name, is_on: *is_on }]),
        (ArgAction::SetTrue, _) => wrong("true or false"),
        (ArgAction::Append, DeValue::Array(items)) => items
            .iter()
            .map(|item| match scalar_text(item.get_ref()) {
                Some(text) => Ok(Argument::Value { name: name.clone(), value: text.into() }),
                None => Err((item.span(), format!("{name}: expected a string or a number"))),
            })
            .collect(),
        (_, scalar) => match scalar_text(scalar) {
            Some(text) => Ok(vec![Argument::Value { name, value: text.into() }]),
            None if matches!(arg.get_action(), ArgAction::Append) => {
                wrong("a string, a number or an array of them")
            }
            None => wrong("a string or a number"),
        },
    }
}

fn scalar_text(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.clone().into_owned()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().replace('_', "")),
        DeValue::Float(number) => Some(number.as_str().replace('_', "")),
        _ => None,
    }
}

/// Checks a value as the parser of the command line does.
fn check_value(argument: &Argument, command: &Command) -> Result<(), String> {
    let Argument::Value { name, value } = argument else { return Ok(()) };
    let mut typed = std::ffi::OsString::from(format!("--{name}="));
    typed.push(value);
    let error = match command.clone().try_get_matches_from(["profd".into(), typed]) {
        Ok(_) => return Ok(()),
        Err(e) => e,
    };
    use clap::error::ErrorKind::{
        InvalidValue, TooFewValues, TooManyValues, ValueValidation, WrongNumberOfValues,
    };
    match error.kind() {
        InvalidValue | TooFewValues | TooManyValues | ValueValidation | WrongNumberOfValues => {
            let text = error.render().to_string();
            let lines = text.lines().map(str::trim).take_while(|line| !line.starts_with("For more"));
            let message = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
            Err(message.trim_start_matches("error: ").to_owned())
        }
        // Something else is missing, which another key or the command line may have.
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use clap::CommandFactory;

    use super::*;
    use crate::Cli;
    use crate::plan::arguments::collect_arguments;

    fn parse(text: &str) -> Result<Vec<Argument>, String> {
        parse_config(text, &Cli::command()).map_err(|e| format!("{e:#}"))
    }

    #[test]
    fn every_kind_of_value_is_taken() {
        let text = "port = 1_779\ncerts-dir = \"/c\"\nenable-ipc-monitor = true\nquiet = false\nbind = [\"::1\"]\n\
                    ipc = \"abstract\"\nallow-uid = [1, 2]\nidle-timeout = 5\nmax-request = \"64K\"\n";
        let value = |name: &str, value: &str| Argument::Value { name: name.into(), value: value.into() };
        let expected = [
            value("port", "1779"),
            value("certs-dir", "/c"),
            Argument::Switch { name: "enable-ipc-monitor".into(), is_on: true },
            Argument::Switch { name: "quiet".into(), is_on: false },
            value("bind", "::1"),
            value("ipc", "abstract"),
            value("allow-uid", "1"),
            value("allow-uid", "2"),
            value("idle-timeout", "5"),
            value("max-request", "64K"),
        ];
        assert_eq!(parse(text).unwrap(), expected);
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        let error = |text: &str| parse(text).unwrap_err();
        assert_eq!(error("port = 1\nprot = 2"), "2:1: unknown key \"prot\"");
        assert_eq!(error("config = \"x\""), "1:1: unknown key \"config\"");
        assert_eq!(error("port = true"), "1:8: port: found boolean, expected a string or a number");
        assert_eq!(error("quiet = 1"), "1:9: quiet: found integer, expected true or false");
        assert!(error("\nport = 70000").starts_with("2:8: invalid value '70000' for '--port <PORT>'"));
        assert!(error("tls-min = \"1.1\"").starts_with("1:11: invalid value '1.1' for '--tls-min"));
        assert!(error("bind = [\"::1\", true]").starts_with("1:16: bind: expected a string"));
        assert!(error("port = ").starts_with("1:8: "));
        assert!(error("[limits]\nport = 1").starts_with("1:2: unknown key"));
        assert!(error("port = 1\nport = 2").contains("duplicate"));
        let hint = |text: &str| {
            let e = parse_config(text, &Cli::command()).unwrap_err();
            common::error::hint_of(&e).unwrap().to_owned()
        };
        assert_eq!(hint("certs_dir = \"x\""), "did you mean `certs-dir`?");
        assert_eq!(hint("check-config = true"), "--check-config is for the command line only");
    }

    #[test]
    fn the_command_line_goes_before_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("profd.toml");
        std::fs::write(
            &path,
            "port = 1\nbind = [\"::1\", \"127.0.0.1\"]\nuse-json = true\ncerts-dir = \"/c\"\n",
        )
        .unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let collect = |args: &[&str]| {
            let config = format!("--config={}", path.display());
            let args = ["profd", &config].iter().chain(args).map(Into::into).collect();
            let args = collect_arguments(args, &Cli::command()).map_err(|e| format!("{e:#}"))?;
            let text = args.iter().map(|a| a.to_str().unwrap()).filter(|a| !a.starts_with("--config"));
            Ok::<_, String>(text.collect::<Vec<_>>().join(" "))
        };
        assert_eq!(
            collect(&[]).unwrap(),
            "profd --port=1 --bind=::1 --bind=127.0.0.1 --use-json --certs-dir=/c"
        );
        assert_eq!(
            collect(&["--port=2", "--bind=::2", "--nouse_JSON"]).unwrap(),
            "profd --certs-dir=/c --port=2 --bind=::2"
        );
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o662)).unwrap();
        assert!(collect(&[]).unwrap_err().contains("lets others write"));
    }
}
