//! What the documents name exists: options, files, tests, fields of records, messages.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::harness::{bin, finish};
use super::markdown::{Document, all_documents, root};
use super::options::{check_line, is_known_option, tool_has_option, tools};

/// Asserts that a list of faults is empty.
#[track_caller]
fn assert_none(faults: &[String], what: &str) {
    assert!(faults.is_empty(), "{what}:\n{}", faults.join("\n"));
}

#[test]
fn every_option_and_subcommand_exists() {
    let tools = tools();
    let (mut faults, mut checked) = (Vec::new(), 0);
    for document in all_documents() {
        let name = &document.name;
        let mut check = |line: usize, text: &str| match check_line(&tools, text) {
            Ok(calls) => checked += calls,
            Err(e) => faults.push(format!("{name}:{line}: {e}")),
        };
        for block in &document.blocks {
            block.commands().iter().for_each(|c| check(block.line, &c.text));
            // The commands of a unit.
            let units = block.lines.iter().filter_map(|l| l.strip_prefix("ExecStart="));
            units.for_each(|l| check(block.line, l));
        }
        let spans = document.code_spans();
        for (line, span) in &spans {
            let first = span.split(' ').next().unwrap_or_default();
            if span.contains(' ') && tools.iter().any(|t| t.get_name() == first) {
                check(*line, span);
            }
        }
        // The chapter on migration names options of other programs too, which `migration` checks.
        if name.ends_with("migrating.md") {
            continue;
        }
        for (line, span) in spans.iter().filter(|(_, s)| s.starts_with("--") && s.len() > 2) {
            let option = span[2..].split([' ', '=']).next().unwrap_or_default();
            if !is_known_option(&tools, option) {
                faults.push(format!("{name}:{line}: no tool has the option --{option}"));
            }
        }
    }
    assert_none(&faults, "options that no tool has");
    assert!(checked > 50, "only {checked} calls were found");
}

/// Adds the indented lines below a command's help, and below that of its subcommands: commands, and what they are for.
fn collect_examples(command: &clap::Command, examples: &mut Vec<String>) {
    let help = command.get_after_long_help().or(command.get_after_help()).map(ToString::to_string);
    let text = help.unwrap_or_default().replace("\\\n", " ");
    examples.extend(text.lines().filter(|line| line.starts_with("  ")).map(str::to_owned));
    command.get_subcommands().for_each(|subcommand| collect_examples(subcommand, examples));
}

#[test]
fn options_in_the_examples_of_help_texts_exist() {
    let tools = tools();
    let mut examples = Vec::new();
    tools.iter().for_each(|tool| collect_examples(tool, &mut examples));
    let (mut faults, mut checked) = (Vec::new(), 0);
    for example in examples {
        match check_line(&tools, &example) {
            Ok(calls) => checked += calls,
            Err(e) => faults.push(e),
        }
    }
    assert_none(&faults, "options that no tool has");
    assert!(checked > 100, "only {checked} calls were found");
}

/// clap wraps the lines of help at 100 columns, and a command that is broken at a space cannot be copied.
#[test]
fn examples_of_help_texts_fit_into_their_lines() {
    fn collect_long_lines(command: &clap::Command, faults: &mut Vec<String>) {
        let help = command.get_after_long_help().or(command.get_after_help()).map(ToString::to_string);
        let lines = help.iter().flat_map(|text| text.lines());
        faults.extend(
            lines.filter(|l| l.chars().count() > 100).map(|l| format!("{}: {l}", command.get_name())),
        );
        command.get_subcommands().for_each(|subcommand| collect_long_lines(subcommand, faults));
    }
    let mut faults = Vec::new();
    tools().iter().for_each(|tool| collect_long_lines(tool, &mut faults));
    assert_none(&faults, "lines of examples that are wrapped");
}

/// Options in the fixes of rules that belong to programs of others.
const FOREIGN_OPTIONS: [&str; 5] = ["cuda-graph-trace", "now", "shell", "system", "uid"];

#[test]
fn options_in_the_fixes_of_rules_exist() {
    let tools = tools();
    let (mut faults, mut checked) = (Vec::new(), 0);
    for tool in tools.iter().filter(|t| t.find_subcommand("rules").is_some()) {
        let output = Command::new(bin(tool.get_name())).args(["--format", "json", "rules"]).output().unwrap();
        let records = String::from_utf8(output.stdout).unwrap();
        for rule in records.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap()) {
            let Some(fix) = rule["fix"].as_str() else { continue };
            // The tool that was named last before an option; the rule's own, if none was.
            let mut named = tool;
            for word in fix.split([' ', '`', '(']) {
                named = tools.iter().find(|t| t.get_name() == word).unwrap_or(named);
                let Some(option) = word.strip_prefix("--").filter(|o| !o.is_empty()) else { continue };
                let option = option.split(['=', '.', ',', ';', ')']).next().unwrap_or_default();
                checked += 1;
                if !tool_has_option(named, option) && !FOREIGN_OPTIONS.contains(&option) {
                    faults.push(format!("{}: {fix}: {} has no --{option}", rule["rule"], named.get_name()));
                }
            }
        }
    }
    assert_none(&faults, "options that no tool has");
    assert!(checked > 15, "only {checked} options were found");
}

/// Targets of links, without the anchor, and the anchor.
fn links(document: &Document) -> Vec<(usize, String, String)> {
    let mut links = Vec::new();
    for (number, line) in &document.prose {
        for (at, _) in line.match_indices("](") {
            let target = line[at + 2..].split(')').next().unwrap_or_default();
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            links.push((*number, path.to_owned(), anchor.to_owned()));
        }
        for part in line.split("src=\"").skip(1) {
            links.push((*number, part.split('"').next().unwrap_or_default().to_owned(), String::new()));
        }
    }
    links
}

/// The anchor that a heading has on the usual sites.
fn anchor_of(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

#[test]
fn links_lead_somewhere() {
    let mut faults = Vec::new();
    for document in all_documents() {
        let dir = Path::new(&document.name).parent().unwrap_or(Path::new(""));
        for (line, path, anchor) in links(&document) {
            if path.starts_with("https://") {
                continue;
            }
            let target =
                if path.is_empty() { root().join(&document.name) } else { root().join(dir).join(&path) };
            if !target.exists() {
                faults.push(format!("{}:{line}: {path} does not exist", document.name));
            } else if !anchor.is_empty() {
                let text = std::fs::read_to_string(&target).unwrap_or_default();
                let mut headings = text.lines().filter(|l| l.starts_with('#'));
                if !headings.any(|h| anchor_of(h.trim_start_matches('#')) == anchor) {
                    faults.push(format!("{}:{line}: {path} has no heading for #{anchor}", document.name));
                }
            }
        }
    }
    assert_none(&faults, "links that lead nowhere");
}

#[test]
fn files_of_the_repository_that_are_named_exist() {
    let tops = [
        "tools/",
        "common/",
        "tests/",
        "docs/",
        "man/",
        "schema/",
        "demo/",
        "packaging/",
        "benches/",
        "fuzz/",
    ];
    let mut faults = Vec::new();
    for document in all_documents() {
        for (line, span) in document.code_spans() {
            let is_path =
                tops.iter().any(|top| span.starts_with(top)) && !span.contains(['<', '*', ' ', '$']);
            if is_path && !root().join(span.trim_end_matches('/')).exists() {
                faults.push(format!("{}:{line}: {span} does not exist", document.name));
            }
        }
        // The files that a diff in CONTRIBUTING.md changes; `+++ b/` names those that it would add.
        for block in document.blocks.iter().filter(|b| b.language == "diff") {
            let mut added = false;
            for line in &block.lines {
                let old = line.strip_prefix("--- ");
                added = old.map_or(added, |old| old == "/dev/null");
                let named = line.strip_prefix("+++ b/");
                if let Some(path) = named.filter(|path| added && root().join(path).exists()) {
                    faults.push(format!("{}:{}: {path} exists already", document.name, block.line));
                }
                let changed = named.filter(|_| !added);
                for path in changed.into_iter().chain(old.and_then(|o| o.strip_prefix("a/"))) {
                    if !root().join(path).is_file() {
                        faults.push(format!("{}:{}: {path} does not exist", document.name, block.line));
                    }
                }
            }
        }
    }
    assert_none(&faults, "files that do not exist");
}

/// A diff in CONTRIBUTING.md shows lines of its file that are there: those that it keeps.
#[test]
fn the_diffs_of_examples_fit_their_files() {
    let mut faults = Vec::new();
    for block in Document::read("CONTRIBUTING.md").blocks.iter().filter(|b| b.language == "diff") {
        let mut text: Option<String> = None;
        for (i, line) in block.lines.iter().enumerate() {
            if let Some(path) = line.strip_prefix("--- a/") {
                text = std::fs::read_to_string(root().join(path)).ok();
            } else if line == "--- /dev/null" {
                text = None;
            } else if let (Some(kept), Some(text)) = (line.strip_prefix(' '), &text) {
                if !text.lines().any(|l| l.trim() == kept.trim()) {
                    faults.push(format!(
                        "CONTRIBUTING.md:{}: the file has no line `{}`",
                        block.line + i,
                        kept.trim()
                    ));
                }
            }
        }
    }
    assert_none(&faults, "diffs that do not fit");
}

/// The Rust files of the repository.
fn sources() -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> = ["tools", "common", "tests"].map(|d| root().join(d)).to_vec();
    let mut files = Vec::new();
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.push(path);
            }
        }
    }
    files
}

#[test]
fn tests_that_the_threat_model_names_exist() {
    let mut tests = BTreeSet::new();
    for path in sources() {
        let text = std::fs::read_to_string(path).unwrap();
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for (i, line) in lines.iter().enumerate().filter(|(_, l)| l.contains("fn ")) {
            let is_test =
                lines[i.saturating_sub(3)..i].iter().any(|l| l.contains("test") && l.starts_with("#["));
            let name = line.split("fn ").nth(1).unwrap_or_default();
            let name: String = name.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            // Tests with generated input stand in a macro.
            if is_test || text.contains("proptest!") {
                tests.insert(name);
            }
        }
    }
    let document = Document::read("SECURITY.md");
    let (mut named, mut faults) = (0, Vec::new());
    // Each defense has its tests, in the last column.
    let rows = document.prose.iter().filter(|(_, l)| l.starts_with("| ") && !l.starts_with("| what"));
    for (line, row) in rows {
        let last = row.trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        let names: Vec<&str> = last.split('`').skip(1).step_by(2).collect();
        if names.is_empty() {
            faults.push(format!("SECURITY.md:{line}: no test in the last column"));
        }
        named += names.len();
        let missing = names.into_iter().filter(|name| !tests.contains(*name));
        faults.extend(missing.map(|name| format!("SECURITY.md:{line}: no test {name}")));
    }
    assert_none(&faults, "defenses without a test");
    assert!(named > 100, "only {named} tests are named");
}

/// The fields of a record of the schemas.
fn fields(record: &str) -> Vec<String> {
    let path = root().join(format!("schema/{record}.v1.json"));
    let schema: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let properties = schema["properties"].as_object().expect("an object");
    properties.keys().filter(|k| !matches!(k.as_str(), "type" | "v")).cloned().collect()
}

/// The chapter that defines the fields of a record; `None` of records that a manual page alone describes.
fn chapter_of(record: &str) -> Option<&'static str> {
    match record.split_once('.')?.0 {
        "traceq" => Some("docs/guide/reading-traces.md"),
        "tracewhy" => Some("docs/guide/slow-jobs.md"),
        "tracecv" => Some("docs/guide/converting.md"),
        _ if record == "profd.metric" => Some("docs/guide/metrics.md"),
        _ => None,
    }
}

#[test]
fn every_number_of_a_record_is_defined() {
    let (mut checked, mut faults) = (0, Vec::new());
    for entry in std::fs::read_dir(root().join("schema")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let record = name.strip_suffix(".v1.json").expect("a schema");
        let Some(chapter) = chapter_of(record) else { continue };
        let spans: BTreeSet<String> = Document::read(chapter).code_spans().into_iter().map(|s| s.1).collect();
        checked += 1;
        let named = std::iter::once(record.to_owned()).filter(|_| !record.starts_with("profd."));
        let missing = named.chain(fields(record)).filter(|field| !spans.contains(field));
        faults.extend(missing.map(|field| format!("{chapter}: `{field}` of {record}")));
    }
    assert_none(&faults, "records and fields that are not defined");
    assert!(checked > 35, "only {checked} records were checked");
}

/// Each heading of the chapter is a message as a tool prints it; `…` stands for what differs.
#[test]
fn messages_of_the_troubleshooting_chapter_exist() {
    let mut code = String::new();
    // What a test expects is not what a tool says.
    let is_test = |p: &&PathBuf| {
        p.file_stem().is_some_and(|stem| stem == "tests") || p.components().any(|c| c.as_os_str() == "tests")
    };
    for path in sources().iter().filter(|p| !is_test(p)) {
        // Strings may be broken with a backslash.
        let text = std::fs::read_to_string(path).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for line in text.lines().map(str::trim_start) {
            match line.strip_suffix('\\') {
                Some(part) => code.push_str(part),
                None => {
                    code.push_str(line);
                    code.push('\n');
                }
            }
        }
    }
    let document = Document::read("docs/guide/troubleshooting.md");
    let headings = document.prose.iter().filter(|(_, l)| l.starts_with("### "));
    let mut faults = Vec::new();
    for (line, heading) in headings {
        let message = heading.trim_start_matches("### ");
        for part in message.split(['…', '`']).map(|p| p.trim_matches([' ', ','])).filter(|p| p.len() > 3) {
            if !code.contains(part) {
                faults.push(format!("{}:{line}: no tool says {part:?}", document.name));
            }
        }
    }
    assert_none(&faults, "messages that no tool prints");
}

/// Words that the glossary replaces.
#[test]
fn documents_keep_to_the_glossary() {
    let words = [
        "name space",
        "fit to serve",
        "unfit",
        "mends",
        "mend ",
        "tells of",
        "whoever",
        "telegraph",
        "behaviour",
        "colour",
        "licence ",
        "judged",
        "turn away",
    ];
    let mut faults = Vec::new();
    for document in all_documents() {
        for (line, text) in &document.prose {
            let lower = text.to_lowercase();
            let found = words.iter().filter(|w| lower.contains(*w));
            faults.extend(found.map(|w| format!("{}:{line}: {w:?}", document.name)));
        }
    }
    assert_none(&faults, "words that docs/glossary.md replaces");
}

/// The picture of the README is what its script draws now.
#[test]
fn pictures_are_current() {
    if testkit::require("awk").is_none() {
        return;
    }
    let mut script = Command::new("sh");
    script.arg(root().join("docs/pictures/draw")).env("TRACEQ", bin("traceq"));
    let drawn = finish(&mut script).expect(0).stdout;
    let path = root().join("docs/pictures/steps.svg");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &drawn).unwrap();
    }
    assert!(std::fs::read_to_string(path).unwrap() == drawn, "stale: run `make bless`");
}

/// `hostck check` has no objection to the unit in the guide, and has one if the unit is made worse.
#[test]
fn the_unit_of_the_guide_passes_the_audit() {
    let document = Document::read("docs/guide/cluster.md");
    let unit = document.blocks.iter().find(|b| b.language == "ini").expect("a unit").lines.join("\n");
    let audit = |unit: &str| {
        let image = tempfile::tempdir().unwrap();
        let units = image.path().join("etc/systemd/system");
        std::fs::create_dir_all(&units).unwrap();
        std::fs::write(units.join("profd.service"), unit).unwrap();
        std::fs::write(image.path().join("etc/passwd"), "trainer:x:1000:1000::/home/trainer:/bin/sh\n")
            .unwrap();
        let mut hostck = super::harness::command("hostck");
        hostck.args(["check", "--user", "trainer", "--show", "warning", "--format", "json", "--root"]);
        finish(hostck.arg(image.path())).of_type("hostck.finding")
    };
    assert_eq!(audit(&unit), Vec::<serde_json::Value>::new());
    assert!(!audit(&unit.replace("ProtectSystem=strict", "")).is_empty());
}
