//! From what was typed to the command line that is parsed: options of flag files and of the configuration file are added,
//! those of the existing daemons are rewritten or marked.
//!
//! The command line goes before the configuration file. Within the command line and its flag files the last one of an
//! option counts, as with gflags.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Command;

use super::argument::{Argument, OptionTable};
use super::config_file::read_config_file;
use super::gflags::{ArgumentReader, OptionSource};

/// The name that makes the daemon behave as the existing ones where an option is missing.
const EXISTING_NAME: &str = "dynolog";

/// The certificates of a daemon that is called by that name and is given none. Without them it serves plain TCP on
/// loopback: the existing daemons have no certificates unless an option says so.
pub(super) const DEFAULT_CERTS_DIR: &str = "/etc/profguard/server_certs";

/// The directory with the credentials of a service (systemd.exec(5)).
const CREDENTIALS_VAR: &str = "CREDENTIALS_DIRECTORY";

/// The credential with the passphrase of the private key.
const PASSPHRASE: &str = "passphrase";

/// Returns the command line to parse.
///
/// # Errors
/// A flag file or the configuration file cannot be read or is invalid.
pub(crate) fn collect_arguments(args: Vec<OsString>, command: &Command) -> anyhow::Result<Vec<OsString>> {
    let mut args = args.into_iter();
    let Some(program) = args.next() else { return Ok(Vec::new()) };
    let options = OptionTable::of_command(command);
    let name = program.to_string_lossy().into_owned();
    let mut reader = ArgumentReader { options: &options, program: &name, arguments: Vec::new() };
    reader.read(args.collect(), OptionSource::CommandLine)?;
    let mut arguments = reader.arguments;
    let config = arguments.iter().rev().find_map(|argument| match argument {
        Argument::Value { name, value } if name == "config" => Some(value.clone()),
        _ => None,
    });
    if let Some(path) = config {
        let given: BTreeSet<String> =
            arguments.iter().filter_map(|a| a.option_name().map(str::to_owned)).collect();
        let mut of_file = read_config_file(Path::new(&path), command)?;
        of_file.retain(|argument| argument.option_name().is_none_or(|name| !given.contains(name)));
        arguments.splice(0..0, of_file);
    }
    add_defaults(&mut arguments, name.rsplit('/').next() == Some(EXISTING_NAME));
    Ok(format_arguments(program, arguments, &options))
}

/// Adds the certificates and the passphrase that a service manager provides (systemd.exec(5), `LoadCredential`), and the
/// certificates of a daemon that is called by the name of the existing ones.
fn add_defaults(arguments: &mut Vec<Argument>, is_existing: bool) {
    let is_given = |arguments: &[Argument], option| arguments.iter().any(|a| a.option_name() == Some(option));
    let credential = |name: &str| {
        let dir = PathBuf::from(std::env::var_os(CREDENTIALS_VAR)?);
        Some(dir.clone()).filter(|_| dir.join(name).exists())
    };
    let add = |arguments: &mut Vec<Argument>, name: &str, value: OsString| {
        arguments.push(Argument::Value { name: name.to_owned(), value });
    };
    if !is_given(arguments, "certs-dir") {
        if let Some(dir) = credential("server.key") {
            add(arguments, "certs-dir", dir.into());
        } else if is_existing {
            let has_default = Path::new(DEFAULT_CERTS_DIR).is_dir();
            let dir = if has_default { DEFAULT_CERTS_DIR } else { super::flags::NO_CERTS };
            add(arguments, "certs-dir", dir.into());
        }
    }
    let is_plain = arguments.iter().any(|argument| {
        matches!(argument, Argument::Value { name, value } if name == "certs-dir" && value == super::flags::NO_CERTS)
    });
    if !is_plain && !is_given(arguments, "passphrase-file") && !is_given(arguments, "key-passphrase-file") {
        if let Some(dir) = credential(PASSPHRASE) {
            add(arguments, "passphrase-file", dir.join(PASSPHRASE).into());
        }
    }
}

/// Formats arguments for the parser: the last one of an option that has one value, and the last state of a switch.
fn format_arguments(program: OsString, arguments: Vec<Argument>, options: &OptionTable) -> Vec<OsString> {
    let is_list = |name: &str| options.is_list(name);
    let mut seen = BTreeSet::new();
    let mut formatted = Vec::new();
    let mut others = Vec::new();
    for argument in arguments.into_iter().rev() {
        let (name, arg) = match argument {
            Argument::Other(arg) => {
                others.push(arg);
                continue;
            }
            Argument::Value { name, value } => {
                let mut arg = OsString::from(format!("--{name}="));
                arg.push(value);
                (name, Some(arg))
            }
            Argument::Switch { name, is_on } => {
                let arg = is_on.then(|| OsString::from(format!("--{name}")));
                (name, arg)
            }
            Argument::Foreign { name, is_on } => {
                let arg = OsString::from(format!("--foreign-flag={name}={is_on}"));
                (name, Some(arg))
            }
        };
        if is_list(&name) || seen.insert(name) {
            formatted.extend(arg);
        }
    }
    std::iter::once(program).chain(formatted.into_iter().rev()).chain(others.into_iter().rev()).collect()
}
