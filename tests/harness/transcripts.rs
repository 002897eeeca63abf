//! The transcripts of `tests/cases/`, read for what they show: which verbs, and what manual pages quote.
#![allow(dead_code, reason = "a module of several test programs, each of which uses its part")]

use std::path::{Path, PathBuf};

/// One command of a transcript, with the text before it and what it printed.
#[derive(Clone, Debug)]
pub(crate) struct TranscriptExample {
    /// The last paragraph before the command; empty where another command came between.
    pub(crate) text: String,
    /// The command line, without the prompt.
    pub(crate) command: String,
    /// Exit status and output, as the transcript has them.
    pub(crate) output: Vec<String>,
}

impl TranscriptExample {
    /// Whether the command line has the words of a verb in their order: `certck -q crl check x` is `certck crl check`.
    pub(crate) fn calls(&self, verb: &str) -> bool {
        let mut words = self.command.split([' ', '\'']);
        !self.is_usage_error() && verb.split(' ').all(|wanted| words.any(|word| word == wanted))
    }

    /// Whether the command could not do what it was asked for.
    pub(crate) fn is_failure(&self) -> bool {
        self.output.iter().any(|line| line == "? 2")
    }

    /// Whether it shows only that the command line was wrong.
    fn is_usage_error(&self) -> bool {
        self.output.iter().any(|line| line.contains(": usage: "))
    }
}

/// Reads all transcripts of a tool, in the order of their names.
pub(crate) fn read_examples(tool: &str) -> Vec<TranscriptExample> {
    read_texts(&cases_dir().join(tool)).iter().flat_map(|text| parse_examples(text)).collect()
}

/// Reads the texts of all transcripts of all tools.
pub(crate) fn read_all() -> Vec<String> {
    let tools = std::fs::read_dir(cases_dir()).unwrap().map(|entry| entry.unwrap().path());
    tools.flat_map(|dir| read_texts(&dir)).collect()
}

fn cases_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases")
}

/// Reads the transcripts of one directory, in the order of their names.
fn read_texts(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|e| e == "md")).collect();
    files.sort();
    files.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

/// Parses the fenced blocks of one transcript.
fn parse_examples(transcript: &str) -> Vec<TranscriptExample> {
    let mut examples: Vec<TranscriptExample> = Vec::new();
    let (mut fenced, mut text) = (false, String::new());
    for line in transcript.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            match line {
                "" => text.push('\n'),
                _ if line.starts_with('#') => text.clear(),
                _ if text.ends_with("\n\n") => text = line.to_owned(),
                _ => text = format!("{text} {line}"),
            }
            continue;
        } else if let Some(command) = line.strip_prefix("$ ") {
            let text = std::mem::take(&mut text).trim().to_owned();
            examples.push(TranscriptExample { text, command: command.to_owned(), output: Vec::new() });
        } else if let Some(example) = examples.last_mut() {
            example.output.push(line.to_owned());
        }
    }
    examples
}
