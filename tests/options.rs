//! Options of one name mean one thing: whoever knows one tool knows the options of the next.
#![allow(clippy::unwrap_used, reason = "a test program")]

use std::collections::{BTreeMap, BTreeSet};

use clap::{Arg, Command};

#[path = "harness/commands.rs"]
mod commands;

/// Options of one name that differ, and why they must. The test fails for a new one, and for one that is none any more.
const DIFFERENT: [(&str, &str); 0] = [];

#[test]
fn options_of_one_name_have_one_help_text() {
    let mut texts: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for (mut command, _) in commands::tools() {
        command.build();
        collect_options(&command, command.get_name(), &mut texts);
    }
    let different: BTreeMap<_, _> = texts.iter().filter(|(_, by_text)| by_text.len() > 1).collect();
    let listed: BTreeSet<&str> = DIFFERENT.iter().map(|(name, _)| *name).collect();
    let new: Vec<String> = different
        .iter()
        .filter(|(name, _)| !listed.contains(name.as_str()))
        .map(|(name, by_text)| format!("--{name}: {by_text:#?}"))
        .collect();
    assert!(new.is_empty(), "give these options one text, or a name of their own:\n{}", new.join("\n"));
    let stale: Vec<_> = listed.iter().filter(|name| !different.contains_key(&(**name).to_owned())).collect();
    assert!(stale.is_empty(), "take these off DIFFERENT, they agree or are gone: {stale:?}");
}

/// Notes the help of each visible option of a command and its subcommands, with the commands that have it.
fn collect_options(
    command: &Command,
    path: &str,
    texts: &mut BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
) {
    for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
        let Some(name) = arg.get_long().filter(|name| !matches!(*name, "help" | "version")) else { continue };
        texts
            .entry(name.to_owned())
            .or_default()
            .entry(describe_option(arg))
            .or_default()
            .insert(path.to_owned());
    }
    for sub in command.get_subcommands() {
        collect_options(sub, &format!("{path} {}", sub.get_name()), texts);
    }
}

/// What a reader of the help sees: the short option, the name of the value, and the text.
fn describe_option(arg: &Arg) -> String {
    let short = arg.get_short().map(|letter| format!("-{letter} ")).unwrap_or_default();
    let values: Vec<_> = arg.get_value_names().into_iter().flatten().map(ToString::to_string).collect();
    let text = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    format!("{short}{} {text}", values.join(" ")).split_whitespace().collect::<Vec<_>>().join(" ")
}
