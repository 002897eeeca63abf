//! The words of a command line as systemd makes them: quotes, escapes, specifiers and variables, systemd.service(5)
//! "Command lines" and systemd.exec(5) "Environment".

use std::collections::BTreeMap;

use super::file::ServiceSettings;
use crate::host::AuditedHost;

/// Files of variables that a pattern may name are not looked for.
const PATTERN: [char; 3] = ['*', '?', '['];

/// A word of a command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CommandWord {
    pub(super) text: String,
    /// A part of it is not known: a variable, a specifier.
    pub(super) unknown: bool,
    /// A part of it stands in quotes or is escaped.
    pub(super) literal: bool,
}

/// The variables that a unit gives its processes.
#[derive(Clone, Debug, Default)]
pub(super) struct UnitEnvironment {
    /// `None` where the value is not known.
    values: BTreeMap<String, Option<String>>,
    /// Files that could not be read: they may set any variable. The reasons.
    pub(super) unread: Vec<String>,
    /// Files of variables, with a leading slash.
    pub(super) files: Vec<String>,
}

impl UnitEnvironment {
    /// Reads the variables that a unit sets, from the unit and from its files.
    pub(super) fn from_settings(host: &AuditedHost, settings: &ServiceSettings) -> Self {
        let mut environment = Self::default();
        for line in settings.all_values("Environment") {
            split_words(line).into_iter().for_each(|word| environment.assign(&word));
        }
        for file in settings.all_values("EnvironmentFile") {
            let optional = file.starts_with('-');
            let path = file.trim_start_matches('-');
            if path.contains(PATTERN) || path.contains('%') {
                environment.unread.push(format!("environment file {path}: a pattern"));
                continue;
            }
            environment.files.push(path.to_owned());
            match host.read_file(path.trim_start_matches('/')) {
                Ok(text) => environment.read_file(&text),
                Err(e) if optional && e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => environment
                    .unread
                    .push(format!("environment file {path}: {}", common::error::io_reason(&e))),
            }
        }
        for word in settings.all_values("UnsetEnvironment").iter().flat_map(|line| split_words(line)) {
            environment.values.insert(word.text, None);
        }
        environment
    }

    pub(super) fn assign(&mut self, word: &CommandWord) {
        if let Some((name, value)) = word.text.split_once('=') {
            let value = (!word.unknown).then(|| value.to_owned());
            self.values.insert(name.to_owned(), value);
        }
    }

    /// The files and directories of which the dynamic linker loads code into the daemon, as its variables name them
    /// (ld.so(8)): each with its variable. Names without a slash are looked up in the system's directories.
    pub(super) fn loaded_paths(&self) -> Vec<(&'static str, String)> {
        const VARIABLES: [(&str, &[char]); 3] =
            [("LD_PRELOAD", &[':', ' ']), ("LD_AUDIT", &[':']), ("LD_LIBRARY_PATH", &[':', ';'])];
        let paths = VARIABLES.iter().flat_map(|(name, separators)| {
            let value = self.values.get(*name).and_then(Option::as_deref).unwrap_or_default();
            value.split(*separators).filter(|path| path.starts_with('/')).map(|path| (*name, path.to_owned()))
        });
        paths.collect()
    }

    /// The value of a variable, where it is known. One that the unit does not set may come from the manager.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        if self.unread.is_empty() { self.values.get(name)?.as_deref() } else { None }
    }

    /// `NAME=value` lines; quotes may surround a value, and a backslash joins lines.
    fn read_file(&mut self, text: &str) {
        for line in super::file::joined_lines(text) {
            let Some((name, value)) = line.split_once('=') else { continue };
            let value = value.trim();
            let quoted = ['"', '\''].iter().find_map(|q| value.strip_prefix(*q)?.strip_suffix(*q));
            let plain = quoted.unwrap_or(value);
            let known = !plain.contains(['\\', '"', '\'']);
            self.values.insert(name.trim().to_owned(), known.then(|| plain.to_owned()));
        }
    }
}

/// Splits at blanks outside of quotes, and replaces escapes. Specifiers are not known.
pub(super) fn split_words(line: &str) -> Vec<CommandWord> {
    let (mut words, mut word, mut quote) = (Vec::new(), CommandWord::default(), None);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                let escaped = match chars.next() {
                    Some(c @ ('\\' | '"' | '\'' | ';' | ' ')) => c,
                    Some('s') => ' ',
                    Some('n') => '\n',
                    Some('t') => '\t',
                    // Numbers of characters.
                    _ => {
                        word.unknown = true;
                        continue;
                    }
                };
                word.text.push(escaped);
                word.literal = true;
            }
            '%' => {
                // `%%` is a percent sign, and others depend on the unit and the host.
                word.unknown |= chars.next_if_eq(&'%').is_none();
                word.text.push('%');
            }
            '"' | '\'' if quote == Some(c) => quote = None,
            '"' | '\'' if quote.is_none() => (quote, word.literal) = (Some(c), true),
            c if c.is_whitespace() && quote.is_none() => {
                if word.literal || word.unknown || !word.text.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => word.text.push(c),
        }
    }
    if word.literal || word.unknown || !word.text.is_empty() {
        words.push(word);
    }
    words
}

/// Puts the values of variables in their places: `$NAME` as a word becomes any number of words, `${NAME}` stays one.
pub(super) fn expand_variables(words: Vec<CommandWord>, environment: &UnitEnvironment) -> Vec<CommandWord> {
    let mut out = Vec::with_capacity(words.len());
    for word in words {
        let name = word.text.strip_prefix('$').filter(|n| !n.is_empty() && n.bytes().all(is_name));
        match name {
            Some(name) => match environment.get(name) {
                Some(value) => out.extend(split_words(value)),
                None => out.push(CommandWord { unknown: true, ..word }),
            },
            None => out.push(substitute_braced(word, environment)),
        }
    }
    out
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn substitute_braced(word: CommandWord, environment: &UnitEnvironment) -> CommandWord {
    let mut out = CommandWord { text: String::new(), unknown: word.unknown, literal: word.literal };
    let mut rest = word.text.as_str();
    while let Some((before, after)) = rest.split_once('$') {
        out.text.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            out.text.push('$');
            rest = after;
            continue;
        }
        let braced = after.strip_prefix('{').and_then(|a| a.split_once('}'));
        match braced {
            Some((name, after)) => {
                match environment.get(name) {
                    Some(value) => out.text.push_str(value),
                    None => out.unknown = true,
                }
                rest = after;
            }
            // A dollar sign that stands for itself.
            None => {
                out.text.push('$');
                rest = after;
            }
        }
    }
    out.text.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(words: &[CommandWord]) -> Vec<&str> {
        words.iter().map(|w| w.text.as_str()).collect()
    }

    #[test]
    fn words_are_those_of_systemd() {
        let words = split_words(r#"/bin/profd  --a="b c" 'd e'f \; "" %% %i x\x20y"#);
        assert_eq!(texts(&words), ["/bin/profd", "--a=b c", "d ef", ";", "", "%", "%i", "x20y"]);
        let unknown: Vec<bool> = words.iter().map(|w| w.unknown).collect();
        assert_eq!(unknown, [false, false, false, false, false, false, true, true]);
    }

    #[test]
    fn variables_become_words() {
        let mut environment = UnitEnvironment::default();
        split_words("'A=--x --y=\"1 2\"' B=b").iter().for_each(|w| environment.assign(w));
        environment.read_file("# c\nC=\"c d\"\nD=\\\ne\nE=a\\nb\n");
        let words = expand_variables(split_words("$A ${A} p${B}q $$B $C $D $E $UNSET"), &environment);
        assert_eq!(
            texts(&words),
            ["--x", "--y=1 2", "--x --y=\"1 2\"", "pbq", "$B", "c", "d", "e", "$E", "$UNSET"]
        );
        assert!(words[8].unknown && words[9].unknown && !words[7].unknown);
    }
}
