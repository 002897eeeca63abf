//! From what was typed to the command line that is parsed: options of flag files and of the configuration file are added,
//! those of the existing daemons are rewritten or marked.
//!
//! The command line takes precedence over the configuration file. Within the command line and its flag files the last one of an
//! option counts, as with gflags.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};

use clap::Command;
use common::duration::parse_duration;
use common::error::io_reason;

use super::argument::{Argument, OptionTable};
use super::collector::check_endpoint;
use super::config_file::read_config_file;
use super::devices::complete_address;
use super::directory_check::explain_unusable_metric_dir;
use super::foreign::is_existing_name;
use super::gflags::{ArgumentReader, OptionSource};

/// The certificates of a daemon that is called by the name of the existing ones and is given none. Without them it serves
/// plain TCP on loopback: the existing daemons have no certificates unless an option says so.
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
    let mut reader = ArgumentReader { options: &options, program: &name, arguments: Vec::new(), sources: 0 };
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
    let is_existing = is_existing_name(&name);
    if is_existing {
        accept_endpoint(&mut arguments);
        leave_out_invalid(&mut arguments);
    }
    add_defaults(&mut arguments, is_existing);
    Ok(format_arguments(program, arguments, &options))
}

/// Makes the address of a collector one that `profd` takes, or leaves it out with a warning: no option of the existing daemons
/// keeps a daemon of their name from starting. They leave the address to libcurl, which takes one without a scheme for HTTP.
fn accept_endpoint(arguments: &mut [Argument]) {
    for argument in arguments {
        let Argument::Value { name, value } = argument else { continue };
        if name != "otlp-endpoint" {
            continue;
        }
        let given = value.to_string_lossy().into_owned();
        let url = if given.contains("://") { given } else { format!("http://{given}") };
        match check_endpoint(&url) {
            Ok(()) => *value = url.into(),
            Err(reason) => {
                *argument = Argument::Warning(format!("--otlp-endpoint is ignored: {reason}"));
            }
        }
    }
}

/// Leaves out what `profd` could not start with, with a warning: no option of the existing daemons keeps a daemon of their name
/// from starting. Only the port and what protects it must be right.
fn leave_out_invalid(arguments: &mut [Argument]) {
    for argument in arguments.iter_mut() {
        let Argument::Value { name, value } = argument else { continue };
        if let Some(reason) = find_fault(name, value) {
            let text = format!("--{name}={} is ignored: {reason}", value.to_string_lossy());
            *argument = Argument::Warning(text);
        }
    }
    let names = ["otlp-cert", "otlp-key"];
    let is_given = |name| arguments.iter().any(|argument| argument.option_name() == Some(name));
    if names.map(is_given).into_iter().filter(|is_there| *is_there).count() == 1 {
        let text = "the certificate for the collector is ignored: both --otlp-cert and --otlp-key are needed";
        let single = arguments.iter_mut().filter(|a| a.option_name().is_some_and(|n| names.contains(&n)));
        single.for_each(|argument| *argument = Argument::Warning(text.to_owned()));
    }
}

/// Returns why the value of an option of the existing daemons cannot be used.
fn find_fault(name: &str, value: &OsStr) -> Option<String> {
    let text = value.to_string_lossy();
    match name {
        "host-interval"
        | "device-interval"
        | "dcgm-reporting-interval-s"
        | "otlp-interval"
        | "otlp-timeout" => parse_duration(&text).err(),
        "dcgm-address" | "dcgm-standalone-address" => {
            complete_address(&text).is_none().then(|| "expected HOST:PORT".to_owned())
        }
        "otlp-ca" | "otlp-cert" | "otlp-key" => File::open(value).err().map(|e| io_reason(&e)),
        "metric-log-dir" => explain_unusable_metric_dir(Path::new(value)),
        _ => None,
    }
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
    // Its metrics of the host are not an option.
    if is_existing && !is_given(arguments, "host-metrics") {
        arguments.push(Argument::Switch { name: "host-metrics".to_owned(), is_on: true });
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
            Argument::Warning(text) => {
                formatted.push(OsString::from(format!("--option-warning={text}")));
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
