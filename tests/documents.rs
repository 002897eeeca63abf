//! The documents are true: their commands run and print what they show, the options, files, tests and numbers that they
//! name exist, and their pictures are current.
//!
//! The commands of a document run in order in a sandbox (`documents/sandbox.rs` says what stands for what). A block that
//! cannot run here says why in a comment, `<!-- test: skip REASON -->`, and is counted; its options are checked all the
//! same. `BLESS=1` (`make bless`) writes into the documents what the commands print now; review the diff like code.
#![allow(clippy::unwrap_used, reason = "a test program")]

#[path = "documents/claims.rs"]
mod claims;
mod harness;
#[path = "documents/markdown.rs"]
mod markdown;
#[path = "documents/migration.rs"]
mod migration;
#[path = "documents/options.rs"]
mod options;
#[path = "documents/sandbox.rs"]
mod sandbox;

use markdown::{Block, Document, all_documents, root};
use sandbox::Sandbox;

/// One test per document with commands, so that they run at the same time.
macro_rules! documents {
    ($($test:ident: $name:literal,)*) => {
        $(#[test]
        fn $test() {
            run_document($name);
        })*
        const RUN: &[&str] = &[$($name),*];
    };
}

documents! {
    readme_runs: "README.md",
    contributing_runs: "CONTRIBUTING.md",
    first_trace_runs: "docs/guide/first-trace.md",
    installation_runs: "docs/guide/installation.md",
    cluster_runs: "docs/guide/cluster.md",
    certificates_runs: "docs/guide/certificates.md",
    audits_runs: "docs/guide/audits.md",
    reading_traces_runs: "docs/guide/reading-traces.md",
    slow_jobs_runs: "docs/guide/slow-jobs.md",
    converting_runs: "docs/guide/converting.md",
    data_sets_runs: "docs/guide/data-sets.md",
    metrics_runs: "docs/guide/metrics.md",
    migrating_runs: "docs/guide/migrating.md",
    troubleshooting_runs: "docs/guide/troubleshooting.md",
}

/// The files are what tests/interop/engines asks, the guide is what people read.
#[test]
fn sql_of_the_guide_is_that_of_its_files() {
    let document = Document::read("docs/guide/data-sets.md");
    let quoted: Vec<String> =
        document.blocks.iter().filter(|b| b.language == "sql").map(|b| b.lines.join("\n") + "\n").collect();
    let mut files: Vec<_> = std::fs::read_dir(root().join("docs/guide/sql"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "sql"))
        .collect();
    files.sort();
    assert_eq!((files.len(), quoted.len()), (12, 12));
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(quoted.contains(&text), "{}: the guide has another text", path.display());
    }
}

#[test]
fn every_document_with_commands_is_run() {
    for document in all_documents() {
        let commands: usize = document.blocks.iter().map(|b| b.commands().len()).sum();
        assert!(
            commands == 0 || RUN.contains(&document.name.as_str()),
            "{}: add it to `documents!`",
            document.name
        );
    }
}

fn run_document(name: &str) {
    let document = Document::read(name);
    let mut sandbox = Sandbox::new();
    let mut changed = Vec::new();
    for block in &document.blocks {
        let place = format!("{name}:{}", block.line);
        if let Some(reason) = &block.directives.skip {
            if !block.commands().is_empty() {
                testkit::skip_part(format!("{name}: {reason}"));
            }
            continue;
        }
        if let Some(program) = missing_program(block) {
            testkit::skip_part(format!("{name}: no {program} on PATH"));
            continue;
        }
        if let Some(lines) = run_block(&mut sandbox, block, &place, document.text.contains("node1.cluster")) {
            changed.push((block, lines));
        }
    }
    write_blocks(name, &document, &changed);
}

/// Programs of the system that a sandbox does not replace and that need not be installed.
fn missing_program(block: &Block) -> Option<&'static str> {
    let uses = |program: &&str| {
        let used = |text: &str| text.split(|c: char| !c.is_alphanumeric()).any(|word| word == *program);
        block.commands().iter().any(|c| used(&c.text))
    };
    let mut used = ["curl", "jq", "openssl", "install"].into_iter().filter(uses);
    used.find(|program| testkit::find(program).is_err())
}

/// Runs the commands of a block. With BLESS, returns its lines as they should be if they are not so.
fn run_block(sandbox: &mut Sandbox, block: &Block, place: &str, names_hosts: bool) -> Option<Vec<String>> {
    let directives = &block.directives;
    let machine = Sandbox::machine(directives.machine.as_deref());
    for setup in &directives.setup {
        sandbox.run(setup, machine).expect(0);
    }
    for (command, words) in &directives.start {
        sandbox.start(command, machine, words);
    }
    let bless = std::env::var_os("BLESS").is_some();
    let commands = block.commands();
    let mut block_lines = block.lines.clone();
    // From the last one, because the lines of an output may become more or fewer.
    let mut outputs = Vec::new();
    for (i, command) in commands.iter().enumerate() {
        let output = if let Some(words) = &directives.background {
            sandbox.start(&command.text, machine, words)
        } else {
            let done = sandbox.run(&command.text, machine);
            let status = if i + 1 == commands.len() { directives.status } else { 0 };
            assert_eq!(done.status, Some(status), "{place}: $ {}\n{}", command.text, done.stdout);
            done.stdout
        };
        outputs.push(output);
    }
    let mut changed = false;
    for (command, output) in commands.iter().zip(&outputs).rev() {
        let Some(range) = command.expected.clone() else { continue };
        let expected: Vec<String> = block.lines[range.clone()]
            .iter()
            .map(|l| sandbox.without_directories(&sandbox.substitute_output(l, machine)))
            .collect();
        // Only root sees this one.
        let kept = output.lines().filter(|l| !l.contains(": account: running as root"));
        let printed: Vec<String> = kept.map(|l| sandbox.without_directories(l.trim_end())).collect();
        let printed: Vec<&str> = printed.iter().map(String::as_str).collect();
        let agree = if directives.lines_vary {
            outputs_agree(&expected[..1.min(expected.len())], &printed[..1.min(printed.len())], true)
        } else {
            outputs_agree(&expected, &printed, directives.numbers_vary)
        };
        if agree {
            continue;
        }
        assert!(
            bless && block.language == "console",
            "{place}: $ {}\nexpected:\n{}\nprinted:\n{}",
            command.text,
            expected.join("\n"),
            printed.join("\n")
        );
        changed = true;
        let new = printed.iter().map(|l| sandbox.restore(l, names_hosts));
        block_lines.splice(range, new.collect::<Vec<_>>());
    }
    changed.then_some(block_lines)
}

/// Whether an output is the expected one. A line of `...` stands for any lines; empty lines at the end do not count.
fn outputs_agree(expected: &[String], printed: &[&str], numbers_vary: bool) -> bool {
    let shape = |line: &str| if numbers_vary { without_numbers(line) } else { line.trim_end().to_owned() };
    let trimmed = |lines: Vec<String>| {
        let end = lines.iter().rposition(|l| !l.is_empty()).map_or(0, |i| i + 1);
        lines[..end].to_vec()
    };
    let expected = trimmed(expected.iter().map(|l| shape(l)).collect());
    let printed = trimmed(printed.iter().map(|l| shape(l)).collect());
    lines_agree(&expected, &printed)
}

fn lines_agree(expected: &[String], printed: &[String]) -> bool {
    match expected.split_first() {
        None => printed.is_empty(),
        Some((first, rest)) if first.trim() == "..." => {
            (0..=printed.len()).any(|skipped| lines_agree(rest, &printed[skipped..]))
        }
        Some((first, rest)) => {
            printed.split_first().is_some_and(|(p, more)| p == first && lines_agree(rest, more))
        }
    }
}

/// A line in which every number, every hexadecimal word and every stretch of spaces is the same.
fn without_numbers(line: &str) -> String {
    let mut out = String::new();
    for word in line.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let end = word.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(word.len());
        let is_hex = end >= 6 && word[..end].bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        // The unit of a time depends on the time.
        let is_unit = matches!(&word[..end], "us" | "ms" | "s" | "min" | "h");
        let plain = if is_hex {
            "0"
        } else if is_unit {
            "s"
        } else {
            &word[..end]
        };
        let word = format!("{plain}{}", &word[end..]);
        for c in word.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }) {
            let repeated = out.ends_with(c) && matches!(c, '0' | ' ');
            if !repeated {
                out.push(c);
            }
        }
    }
    out.replace("0.0", "0").trim().to_owned()
}

#[test]
fn outputs_are_compared_as_directed() {
    let agree = |expected: &[&str], printed: &[&str], vary| {
        let expected: Vec<String> = expected.iter().map(|l| (*l).to_owned()).collect();
        outputs_agree(&expected, printed, vary)
    };
    assert!(agree(&["a", "b", ""], &["a", "b"], false) && !agree(&["a"], &["a", "b"], false));
    assert!(agree(&["a", "...", "d"], &["a", "b", "c", "d"], false) && agree(&["..."], &[], false));
    assert!(!agree(&["a", "...", "d"], &["a", "b", "c"], false));
    assert!(agree(&["CA 7c2eb9, at 12:00"], &["CA abcdef, at 9:30"], true));
    assert!(agree(&["step  7  1.5 us"], &["step 12 1234.25 us"], true) && !agree(&["7 ms"], &["7 kB"], true));
}

/// Writes the lines that have changed into the document.
fn write_blocks(name: &str, document: &Document, changed: &[(&Block, Vec<String>)]) {
    if changed.is_empty() {
        return;
    }
    let mut lines: Vec<String> = document.text.lines().map(str::to_owned).collect();
    for (block, new) in changed.iter().rev() {
        let first = block.line - 1;
        lines.splice(first..first + block.lines.len(), new.iter().cloned());
    }
    std::fs::write(root().join(name), lines.join("\n") + "\n").unwrap();
}
