//! Finds the daemon in the words of a command: as the program, behind programs that start another one, or in the
//! script of a shell. Another word of the daemon's name, such as an account, is not the daemon.

use super::environment::{CommandWord, split_words};
use super::options::DAEMON_NAMES;
use super::starters::{InlineCommand, count_operands, count_values, inline_command, is_starter};

/// Shells, which run a script or a text.
const SHELLS: [&str; 6] = ["sh", "bash", "dash", "ash", "zsh", "ksh"];

/// Characters by which a shell does more than to start a program with these words.
const SHELL_SYNTAX: [char; 19] =
    ['$', '`', '<', '>', ';', '&', '|', '(', ')', '{', '}', '*', '?', '[', ']', '\\', '~', '#', '!'];

/// Words before a command of a shell (POSIX.1-2017, XCU 2.4 "Reserved Words").
const RESERVED: [&str; 10] = ["if", "then", "elif", "else", "while", "until", "do", "!", "{", "time"];

/// Commands that do not run the files that they are given: builtins of shells and tools of coreutils and libcap.
const FILE_TOOLS: [&str; 19] = [
    ".", "source", "test", "[", "[[", "cd", "echo", "printf", "cat", "ls", "chown", "chmod", "chgrp", "cp",
    "mv", "rm", "ln", "touch", "setcap",
];

/// Programs that start each other deeper than this are not followed.
const DEPTH: u32 = 16;

/// The daemon within a command line.
#[derive(Debug, Default)]
pub(super) struct LocatedDaemon {
    /// `NAME=value` before it, as env(1) takes them.
    pub(super) assignments: Vec<CommandWord>,
    pub(super) arguments: Vec<CommandWord>,
    /// The reason why the arguments may not be those that the daemon gets.
    pub(super) unknown: Option<String>,
}

fn base_name(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or_default()
}

fn is_daemon(word: &CommandWord) -> bool {
    DAEMON_NAMES.contains(&base_name(&word.text))
}

fn is_shell(word: &CommandWord) -> bool {
    SHELLS.contains(&base_name(&word.text))
}

/// Finds the daemon in the words of a command; more than one where a shell starts it more than once.
pub(super) fn locate_daemon(words: &[CommandWord]) -> Vec<LocatedDaemon> {
    locate_at(words, 0)
}

fn locate_at(words: &[CommandWord], depth: u32) -> Vec<LocatedDaemon> {
    let Some(first) = words.first() else { return Vec::new() };
    if is_daemon(first) {
        return vec![LocatedDaemon { arguments: words[1..].to_vec(), ..LocatedDaemon::default() }];
    }
    let program = base_name(&first.text);
    if depth >= DEPTH {
        return locate_anywhere(words, program, is_daemon);
    }
    if is_shell(first) {
        return locate_in_shell(words, program, depth);
    }
    if is_starter(program) {
        return locate_behind_starter(words, program, depth);
    }
    if FILE_TOOLS.contains(&program) {
        return Vec::new();
    }
    // Programs that are not known run it, too, where they are given its path.
    locate_anywhere(words, program, |word| word.text.starts_with('/') && is_daemon(word))
}

/// The first word for which this holds, as a daemon that may get the words behind it as arguments.
fn locate_anywhere(
    words: &[CommandWord],
    program: &str,
    is: impl Fn(&CommandWord) -> bool,
) -> Vec<LocatedDaemon> {
    let at = words.iter().position(is);
    let found = at.map(|at| LocatedDaemon {
        assignments: Vec::new(),
        arguments: words[at + 1..].to_vec(),
        unknown: Some(started_by(program)),
    });
    found.into_iter().collect()
}

fn started_by(program: &str) -> String {
    format!("it is started by {program}")
}

/// `runuser -u dynolog -- /usr/bin/profd`, `env A=b profd`, `su -c "profd"`.
fn locate_behind_starter(words: &[CommandWord], program: &str, depth: u32) -> Vec<LocatedDaemon> {
    let by_option = words.iter().any(|w| w.text.starts_with("-u") || w.text.starts_with("--user"));
    let mut operands = count_operands(program, by_option);
    let mut assignments = Vec::new();
    let (mut at, mut options_end, mut behind_option) = (1, false, false);
    while let Some(word) = words.get(at) {
        at += 1;
        if !options_end && word.text.starts_with('-') {
            options_end = word.text == "--";
            if let Some((kind, value)) = inline_command(program, &word.text) {
                let text = value.or_else(|| words.get(at).map(|w| w.text.as_str())).unwrap_or_default();
                let rest = words.get(at + usize::from(value.is_none())..).unwrap_or_default();
                let mut found = match kind {
                    InlineCommand::Script => locate_in_script(text, program, word.unknown, depth + 1),
                    InlineCommand::Words => locate_at(&with_more_words("env", text, rest), depth + 1),
                };
                found.iter_mut().for_each(|f| f.unknown = Some(started_by(program)));
                return found;
            }
            let values = count_values(program, &word.text);
            at += values;
            // An option that is not known may take the next word.
            behind_option = values == 0 && !options_end && word.text != "-";
            continue;
        }
        if is_assignment(&word.text) {
            assignments.push(word.clone());
            continue;
        }
        if operands > 0 {
            (operands, behind_option) = (operands - 1, false);
            continue;
        }
        let is_program = is_daemon(word) || is_shell(word) || is_starter(base_name(&word.text));
        if behind_option && !is_program && !word.text.contains('/') {
            behind_option = false;
            continue;
        }
        let mut found = locate_at(&words[at - 1..], depth + 1);
        found.iter_mut().for_each(|f| f.assignments.splice(..0, assignments.iter().cloned()).for_each(drop));
        // Starters and shells have searched the texts behind them.
        if is_program || !found.is_empty() {
            return found;
        }
        break;
    }
    // A word with blanks may be a command: `su dynolog -- -c "profd …"`.
    let texts = words.iter().filter(|w| w.text.contains(char::is_whitespace));
    texts.flat_map(|w| locate_in_script(&w.text, program, true, depth + 1)).collect()
}

/// A command of this program, of the words of a text, and of more words.
fn with_more_words(program: &str, text: &str, more: &[CommandWord]) -> Vec<CommandWord> {
    let program = CommandWord { text: program.to_owned(), ..CommandWord::default() };
    std::iter::once(program).chain(split_words(text)).chain(more.iter().cloned()).collect()
}

fn is_assignment(text: &str) -> bool {
    let name = |n: &str| !n.is_empty() && n.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    text.split_once('=').is_some_and(|(n, _)| name(n))
}

/// `sh -c 'exec profd --port 1778'`, `sh /path/profd`.
fn locate_in_shell(words: &[CommandWord], program: &str, depth: u32) -> Vec<LocatedDaemon> {
    let (mut at, mut takes_script) = (1, false);
    while let Some(word) = words.get(at) {
        let text = word.text.as_str();
        if !text.starts_with(['-', '+']) || text.len() == 1 {
            break;
        }
        at += 1;
        let short = !text.starts_with("--");
        takes_script |= short && text.starts_with('-') && text.contains('c');
        // `-o pipefail`, `--rcfile FILE`.
        at += usize::from(short && text.ends_with(['o', 'O']) || matches!(text, "--rcfile" | "--init-file"));
    }
    let Some(word) = words.get(at) else { return Vec::new() };
    if takes_script {
        return locate_in_script(&word.text, program, word.unknown, depth + 1);
    }
    locate_anywhere(&words[at..], program, |word| word.text.contains('/') && is_daemon(word))
}

/// Every start of the daemon in a script for a shell.
fn locate_in_script(text: &str, program: &str, unknown: bool, depth: u32) -> Vec<LocatedDaemon> {
    let known = !unknown && !text.contains(SHELL_SYNTAX) && !text.contains('\n');
    let mut all = Vec::new();
    for words in simple_commands(text) {
        let reserved = words.iter().take_while(|w| RESERVED.contains(&w.text.as_str())).count();
        // `A=b profd` of a shell is read as `env A=b profd`.
        let mut found = locate_at(&with_more_words("env", "", &words[reserved..]), depth);
        if !known {
            found.iter_mut().for_each(|f| f.unknown = Some(format!("a script for {program} sets them")));
        }
        all.append(&mut found);
    }
    all
}

/// The simple commands of a script: `;`, `&`, `|`, parentheses and line ends stand between them. An ampersand behind
/// `>` or `<` belongs to a redirection.
fn simple_commands(text: &str) -> Vec<Vec<CommandWord>> {
    let mut commands = vec![Vec::new()];
    for word in text.lines().flat_map(|line| split_words(line).into_iter().chain([command_separator()])) {
        if word.literal {
            commands.last_mut().into_iter().for_each(|c| c.push(word.clone()));
            continue;
        }
        let mut part = String::new();
        for c in word.text.chars().chain(['\0']) {
            let redirects = c == '&' && part.ends_with(['>', '<']);
            let separates = matches!(c, ';' | '&' | '|' | '(' | ')' | '`') && !redirects;
            if !separates && c != '\0' {
                part.push(c);
                continue;
            }
            if !part.is_empty() {
                let word = CommandWord { text: std::mem::take(&mut part), ..word.clone() };
                commands.last_mut().into_iter().for_each(|list| list.push(word.clone()));
            }
            if separates {
                commands.push(Vec::new());
            }
        }
    }
    commands
}

fn command_separator() -> CommandWord {
    CommandWord { text: ";".to_owned(), ..CommandWord::default() }
}
