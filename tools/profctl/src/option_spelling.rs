//! Spellings that existing clients accept: underscores in option names, and switches with a value.
//!
//! `--with_stack`, `--with-stack=true` and `--with-stack true` mean `--with-stack`; `--with-stack false` is dropped. No
//! subcommand has positional arguments, so a `true` or `false` after a switch cannot mean anything else.

use std::collections::HashSet;
use std::ffi::OsString;

use clap::{ArgAction, Command};

/// Rewrites a command line to the spelling that `command` parses.
pub(crate) fn normalize_arguments(command: &Command, args: Vec<OsString>) -> Vec<OsString> {
    let switches = collect_switches(command);
    let mut out: Vec<OsString> = Vec::with_capacity(args.len());
    let mut args = args.into_iter().peekable();
    out.extend(args.next());
    while let Some(arg) = args.next() {
        let Some(text) = arg.to_str().filter(|t| t.starts_with("--")) else {
            out.push(arg);
            continue;
        };
        if text == "--" {
            out.push(arg);
            out.extend(args);
            break;
        }
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name.replace('_', "-"), Some(value.to_owned())),
            None => (text.replace('_', "-"), None),
        };
        if switches.contains(&name[2..]) {
            let value = value.or_else(|| args.next_if(|a| a == "true" || a == "false")?.into_string().ok());
            match value.as_deref() {
                None | Some("true") => out.push(name.into()),
                Some("false") => {}
                Some(other) => out.push(format!("{name}={other}").into()),
            }
        } else {
            out.push(value.map_or(name.clone(), |v| format!("{name}={v}")).into());
        }
    }
    out
}

/// Returns the names of all switches of all subcommands.
fn collect_switches(command: &Command) -> HashSet<String> {
    let own = command.get_arguments().filter(|a| matches!(a.get_action(), ArgAction::SetTrue));
    let mut names: HashSet<String> = own.filter_map(|a| a.get_long().map(str::to_owned)).collect();
    names.extend(command.get_subcommands().flat_map(collect_switches));
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn rewritten(line: &str) -> String {
        let args = line.split(' ').map(OsString::from).collect();
        let out = normalize_arguments(&crate::Cli::command(), args);
        out.iter().map(|a| a.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn switches_take_a_value() {
        assert_eq!(rewritten("p nputrace --analyse true --l2-cache"), "p nputrace --analyse --l2-cache");
        assert_eq!(rewritten("p nputrace --analyse=false --l2_cache=true"), "p nputrace --l2-cache");
        assert_eq!(rewritten("p nputrace --analyse=maybe"), "p nputrace --analyse=maybe");
    }

    #[test]
    fn values_keep_their_underscores() {
        assert_eq!(
            rewritten("p --certs_dir /a_b nputrace --profiler_level=Level_none --data_simplification false"),
            "p --certs-dir /a_b nputrace --profiler-level=Level_none --data-simplification false"
        );
        assert_eq!(rewritten("p a_b -- --c_d"), "p a_b -- --c_d");
    }
}
