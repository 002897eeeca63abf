//! Options of one name mean one thing: whoever knows one tool knows the options of the next.
#![allow(clippy::unwrap_used, reason = "a test program")]

use std::collections::{BTreeMap, BTreeSet};

use clap::{Arg, Command};

#[path = "harness/commands.rs"]
mod commands;

/// Options of one name that differ, and why they must. The test fails for a new one, and for one that is none any more.
const DIFFERENT: [(&str, &str); 41] = [
    ("algo", "the default differs: a new authority, one that exists, the old keys"),
    ("baseline", "written by permck baseline, or by hostck check"),
    ("by", "what is listed, what times are put together by, or whose time it is"),
    ("ca", "a directory with its key, or certificates only"),
    (
        "certs-dir",
        "of a client, of a server, of a client that daemons accept; only the first two have defaults",
    ),
    ("config", "keys for a profiler, or a file of settings"),
    ("count", "looks at daemons, or rounds of checks"),
    ("days", "of a certificate or of a CRL, with different defaults"),
    ("dry-run", "says what is not done"),
    ("duration", "seconds as the existing client takes them, or a time"),
    ("encrypt", "of one key, of several, of renewed ones"),
    ("export-type", "of analyzed traces, or of monitored files"),
    ("fail-on", "a severity, or a limit of what became slower"),
    ("host", "names to check, or names to certify"),
    ("interval", "between checks, looks, reports or samples, with different defaults"),
    ("iterations", "libkineto's -1 and torch_npu's steps from 1 differ"),
    ("job-id", "selects processes, registers one, or selects lines"),
    ("limit", "of a cause, with two defaults, or of a rule"),
    ("log-file", "a file for Kineto, a directory for torch_npu; the names are those of dyno"),
    ("name", "of a certificate, or of an event"),
    ("number", "of rows, or of operators that are for free"),
    ("output", "a report, a manifest, a baseline or a trace"),
    ("owner", "of files, or of certificate directories, with different defaults"),
    ("port", "to connect to, to listen on, to look for"),
    ("process-limit", "three processes of a trace, or all that are monitored"),
    ("profile", "of permissions, of checks, of keys"),
    ("profile-start-time", "only libkineto waits for it with --iterations, too"),
    ("prometheus", "beside a report, or in each round"),
    ("rank", "of the processes that are meant, or of this one"),
    ("role", "of a directory, or of a certificate"),
    ("root", "a host that is audited whole, or the paths of an image"),
    ("steps", "how many to train, or which to cut"),
    ("strict", "severities of the table, or a reader without repairs"),
    ("suppress", "paths are HOST:PORT where hosts are asked"),
    ("system", "deleting below / needs it, too"),
    ("threads", "files or directories at a time"),
    ("timeout", "profctl also resolves the name in this time"),
    ("tls-min", "for old clients, or for old daemons"),
    ("to", "a directory for a CRL, or a format"),
    ("url", "of a CRL, or of a responder"),
    ("user", "to become, to check, or to select by"),
];

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
