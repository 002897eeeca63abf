//! The one generator: manual pages, completions and schemas come from the code and are checked in.
//!
//! `make bless` (BLESS=1) writes them; otherwise each test fails when a file is stale, missing, or left over.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test program")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Command;
use clap_complete::Shell;
use common::exit::{Exit, MEANINGS, PLUGIN};
use common::record::{Entry, RECORDS};

#[path = "harness/commands.rs"]
mod commands;

#[path = "harness/transcripts.rs"]
mod transcripts;

use commands::tools;
use transcripts::TranscriptExample;

/// The date of the manual pages: that of the version, so that the same sources give the same pages.
const DATE: &str = "2026-11-23";

/// Files by path below the root, as they should be.
type Files = BTreeMap<PathBuf, Vec<u8>>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Writes `files`, or compares them with what is there; `dir` holds nothing else.
fn settle(dir: &str, files: &Files) {
    let bless = std::env::var_os("BLESS").is_some();
    let mut stale = Vec::new();
    for (path, wanted) in files {
        let path = root().join(path);
        if fs::read(&path).ok().as_deref() == Some(wanted) {
            continue;
        }
        if bless {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, wanted).unwrap();
        } else {
            stale.push(path.display().to_string());
        }
    }
    for path in present(&root().join(dir)) {
        if files.contains_key(path.strip_prefix(root()).unwrap()) {
            continue;
        }
        if bless {
            fs::remove_file(&path).unwrap()
        } else {
            stale.push(format!("{} (left over)", path.display()))
        }
    }
    assert!(stale.is_empty(), "stale, run `make bless`:\n{}", stale.join("\n"));
}

fn present(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let paths = entries.map(|e| e.unwrap().path());
    paths.flat_map(|p| if p.is_dir() { present(&p) } else { vec![p] }).collect()
}

#[test]
fn manual_pages_are_current() {
    let mut files = Files::new();
    for (command, section) in tools() {
        let mut command = command.disable_help_subcommand(true);
        command.build();
        pages(&command, section, &mut files);
    }
    files.insert("man/profguard-records.7".into(), records_page().into_bytes());
    files.insert("man/profguard-policy.5".into(), permck::policy_page(DATE).into_bytes());
    files.insert("man/profd-rules.5".into(), profd::rules_page(DATE).into_bytes());
    files.insert("man/profd-config.5".into(), profd::config_page(DATE).into_bytes());
    settle("man", &files);
}

/// A page for the command and one for each of its subcommands.
fn pages(command: &Command, section: &str, files: &mut Files) {
    // clap wants names that live for ever; this program does not live long.
    let name: &'static str = command.get_display_name().unwrap_or(command.get_name()).to_owned().leak();
    let man = clap_mangen::Man::new(command.clone().name(name)).section(section);
    let man = man.manual("profguard").source(concat!("profguard ", env!("CARGO_PKG_VERSION"))).date(DATE);
    let mut page = Vec::new();
    man.render_title(&mut page).unwrap();
    man.render_name_section(&mut page).unwrap();
    page.extend_from_slice(synopsis(command).as_bytes());
    man.render_description_section(&mut page).unwrap();
    man.render_options_section(&mut page).unwrap();
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page).unwrap();
    }
    page.extend_from_slice(examples(command).as_bytes());
    page.extend_from_slice(exit_status(command).as_bytes());
    page.extend_from_slice(see_also(command, section).as_bytes());
    files.insert(format!("man/{name}.{section}").into(), tidy(&page));
    command.get_subcommands().filter(|c| !c.is_hide_set()).for_each(|c| pages(c, section, files));
}

/// The usage line, as `--help` has it: the generator's own synopsis lists each option, without its value.
fn synopsis(command: &Command) -> String {
    let usage = command.clone().render_usage().to_string();
    let lines = usage.trim_start_matches("Usage:").lines().map(str::trim).filter(|line| !line.is_empty());
    format!(".SH SYNOPSIS\n.nf\n{}.fi\n", lines.map(|line| roff(line) + "\n").collect::<String>())
}

/// The generator breaks lines beside vertical space, which manual page linters rightly call idle.
fn tidy(page: &[u8]) -> Vec<u8> {
    let page = String::from_utf8(page.to_vec()).unwrap();
    page.replace(".br\n\n.br\n", ".sp\n").into_bytes()
}

/// The text after the help, whose indented lines are commands or output, and the first example that a transcript has of
/// this verb, with its real output: one that does its work, if there is one.
fn examples(command: &Command) -> String {
    let verb = command.get_bin_name().unwrap_or(command.get_name());
    let tool = verb.split(' ').next().unwrap_or(verb);
    let is_verb = !command.get_subcommands().any(|c| !c.is_hide_set() && c.get_name() != "help");
    let of_verb = transcripts::read_examples(tool).into_iter().filter(|e| is_verb && e.calls(verb));
    let executed = of_verb.min_by_key(TranscriptExample::is_failure);
    if executed.is_none() && command.get_after_help().is_none() && command.get_after_long_help().is_none() {
        return String::new();
    }
    let text = command
        .get_after_long_help()
        .or(command.get_after_help())
        .map(ToString::to_string)
        .unwrap_or_default();
    let mut page = String::from(".SH EXAMPLES\n");
    let (mut literal, mut paragraph) = (false, "");
    for line in text.lines().filter(|l| *l != "Examples:") {
        if line.trim().is_empty() {
            continue;
        }
        let indented = line.starts_with(' ');
        if indented != literal {
            page.push_str(&if indented {
                format!("{paragraph}.nf\n.RS\n")
            } else {
                ".RE\n.fi\n.PP\n".to_owned()
            });
            literal = indented;
        }
        paragraph = ".PP\n";
        page.push_str(&roff(line.trim_end().strip_prefix("  ").unwrap_or(line.trim_end())));
        page.push('\n');
    }
    if literal {
        page.push_str(".RE\n.fi\n");
    }
    if let Some(example) = executed {
        page.push_str(&executed_example(&example));
    }
    page
}

/// An example with its real output: `$ command`, and what it prints.
fn executed_example(example: &TranscriptExample) -> String {
    let text =
        if example.text.is_empty() { String::new() } else { format!(".PP\n{}\n", roff(&example.text)) };
    // The exit status stands where a transcript needs it; the pages have a section about it.
    let output = example.output.iter().filter(|line| !line.starts_with("? ") && !line.is_empty());
    let lines = output.map(|line| roff(line) + "\n").collect::<String>();
    format!("{text}.PP\n.nf\n.RS\n$ {}\n{lines}.RE\n.fi\n", roff(&example.command))
}

fn exit_status(command: &Command) -> String {
    let rows = MEANINGS.iter().map(|(exit, meaning)| format!(".TP\n.B {}\n{}\n", *exit as u8, roff(meaning)));
    let plugin =
        command.get_arguments().flat_map(clap::Arg::get_possible_values).any(|v| v.get_name() == "nagios");
    let plugin = if plugin { format!(".PP\n{}\n", roff(PLUGIN)) } else { String::new() };
    format!(".SH EXIT STATUS\n{}{plugin}", rows.collect::<String>())
}

fn see_also(command: &Command, section: &str) -> String {
    let name = command.get_display_name().unwrap_or(command.get_name());
    let mut refs: Vec<_> =
        tools().into_iter().map(|(c, s)| (c.get_name().to_owned(), s.to_owned())).collect();
    refs.retain(|(n, _)| n != name);
    refs.extend(
        command
            .get_subcommands()
            .filter(|c| !c.is_hide_set())
            // The name of its page, which holds those of all commands above it.
            .map(|c| (c.get_display_name().unwrap_or(c.get_name()).to_owned(), section.to_owned())),
    );
    refs.push(("profguard-records".to_owned(), "7".to_owned()));
    refs.sort_by(|a, b| (&a.1, &a.0).cmp(&(&b.1, &b.0)));
    let refs: Vec<_> = refs.iter().map(|(n, s)| format!(".BR {} ({s})", n.replace('-', "\\-"))).collect();
    format!(".SH SEE ALSO\n{}\n", refs.join(",\n"))
}

/// Text as roff input: backslashes and leading control characters escaped.
fn roff(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('`', "\\(ga");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

/// profguard-records(7): every record type and its fields, from the schemas.
fn records_page() -> String {
    let mut page = String::from(
        ".TH PROFGUARD\\-RECORDS 7 DATE\n.SH NAME\nprofguard\\-records \\- the JSON lines that the tools write and read\n.SH DESCRIPTION\n\
         With\n.B \\-\\-format json\nevery tool writes JSON Lines: one object per line, whose first keys are\n.B type\nand\n.BR v ,\n\
         its version. Adding a field keeps the version; readers skip fields and types that they do not know. Names carry their unit, \
         wall\\-clock times are RFC 3339 in UTC, and a missing value is a missing key. The last record of a run is the summary: \
         without it the output was cut.\n",
    );
    for entry in RECORDS.iter().flat_map(|e| e.iter()) {
        page.push_str(&record_section(entry));
    }
    page.replacen("DATE", DATE, 1)
}

fn record_section(entry: &Entry) -> String {
    let schema = serde_json::to_value((entry.schema)()).unwrap();
    let text = |v: &serde_json::Value| v.as_str().map(|s| roff(&s.replace('\n', " "))).unwrap_or_default();
    let mut section = format!(".SH {}\n{}\n", roff(entry.name), text(&schema["description"]));
    for (name, field) in
        schema["properties"].as_object().into_iter().flatten().filter(|(n, _)| *n != "type" && *n != "v")
    {
        let required = schema["required"].as_array().is_some_and(|r| r.iter().any(|x| x == name));
        let note = if required { "" } else { " (may be missing)" };
        section.push_str(&format!(".TP\n.B {}\n{}{note}\n", roff(name), text(&field["description"])));
    }
    section + &format!(".PP\nExample:\n.PP\n.nf\n{}\n.fi\n", roff(entry.sample))
}

/// A page that refers to a page of ours refers to one that is there.
#[test]
fn references_lead_to_pages() {
    let mut files = Files::new();
    for (command, section) in tools() {
        let mut command = command.disable_help_subcommand(true);
        command.build();
        pages(&command, section, &mut files);
    }
    let others = ["man/profguard-records.7", "man/profguard-policy.5"].map(PathBuf::from);
    for (path, page) in &files {
        let page = String::from_utf8_lossy(page).replace("\\-", "-");
        let (_, refs) = page.split_once(".SH SEE ALSO\n").unwrap();
        for line in refs.lines().filter_map(|l| l.strip_prefix(".BR ")) {
            let (name, section) = line.trim_end_matches(',').split_once(' ').unwrap();
            let wanted = PathBuf::from(format!("man/{name}.{}", section.trim_matches(['(', ')'])));
            let there = files.contains_key(&wanted) || others.contains(&wanted);
            assert!(there, "{} refers to {}", path.display(), wanted.display());
        }
    }
}

#[test]
fn completions_are_current() {
    let mut files = Files::new();
    for (mut command, _) in tools() {
        let name = command.get_name().to_owned();
        for (shell, file) in [
            (Shell::Bash, format!("completions/bash/{name}")),
            (Shell::Zsh, format!("completions/zsh/_{name}")),
            (Shell::Fish, format!("completions/fish/{name}.fish")),
        ] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command, name.clone(), &mut script);
            files.insert(file.into(), script);
        }
    }
    settle("completions", &files);
}

#[test]
fn schemas_are_current() {
    let file = |e: &Entry| {
        let schema = serde_json::to_string_pretty(&(e.schema)()).unwrap() + "\n";
        (PathBuf::from(format!("schema/{}.v{}.json", e.name, e.v)), schema.into_bytes())
    };
    let mut files: Files = RECORDS.iter().flat_map(|e| e.iter()).map(file).collect();
    let policy = serde_json::to_string_pretty(&permck::policy_schema()).unwrap() + "\n";
    files.insert("schema/permck.policy.v1.json".into(), policy.into_bytes());
    let rules = serde_json::to_string_pretty(&profd::rules_schema()).unwrap() + "\n";
    files.insert("schema/profd.rules.v1.json".into(), rules.into_bytes());
    settle("schema", &files);
}

#[test]
fn samples_satisfy_their_schemas() {
    for e in RECORDS.iter().flat_map(|e| e.iter()) {
        let schema = serde_json::to_value((e.schema)()).unwrap();
        let sample = serde_json::from_str(e.sample).unwrap();
        jsonschema::validate(&schema, &sample).unwrap_or_else(|error| panic!("{}: {error}", e.name));
    }
}

#[test]
fn every_tool_is_in_every_list() {
    let listed: Vec<String> = tools().iter().map(|(c, _)| c.get_name().to_owned()).collect();
    let mut there: Vec<String> = fs::read_dir(root().join("tools"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    there.sort();
    assert_eq!(listed, there, "tests/generated.rs and tools/ disagree");
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    for tool in &listed {
        let bin = format!("path = \"tools/{tool}/main.rs\"\nrequired-features = [\"{tool}\"]");
        assert!(manifest.contains(&bin), "{tool} has no [[bin]] with its feature");
        assert!(manifest.contains(&format!("    \"{tool}\",\n")), "{tool} is not among the default features");
        assert!(
            makefile.lines().any(|l| l.starts_with("TOOLS") && l.contains(tool.as_str())),
            "{tool} is not installed"
        );
    }
}

#[test]
fn exit_statuses_are_documented_in_order() {
    assert_eq!(MEANINGS.map(|(e, _)| e), [Exit::Ok, Exit::No, Exit::Failed]);
}

#[test]
fn every_command_line_is_sound() {
    tools().into_iter().for_each(|(command, _)| command.debug_assert());
}
