//! Whether the tools have the subcommands and options that a document names.

use clap::{Command, CommandFactory};

/// Every tool's command line.
pub(crate) fn tools() -> Vec<Command> {
    let mut tools = vec![
        certck::Cli::command(),
        datack::Cli::command(),
        hostck::Cli::command(),
        permck::Cli::command(),
        profctl::Cli::command(),
        profd::Cli::command(),
        proftap::Cli::command(),
        tracecv::Cli::command(),
        traceq::Cli::command(),
        tracewhy::Cli::command(),
    ];
    tools.iter_mut().for_each(Command::build);
    tools
}

/// Checks each call of a tool in a line of shell, without running it. Returns how many there are.
///
/// # Errors
/// An option or a subcommand that the tool does not have.
pub(crate) fn check_line(tools: &[Command], line: &str) -> Result<usize, String> {
    let line = line.replace("\\\n", " ");
    let words = split_words(&line);
    let calls = words.split(|w| matches!(w.as_str(), "|" | "&&" | "||" | ";" | "&" | "(" | ")"));
    let mut checked = 0;
    for call in calls {
        // Variables and starters such as `sudo -u USER` may come first.
        let tool = call.iter().enumerate().find_map(|(i, word)| {
            let name = word.rsplit('/').next().unwrap_or(word);
            tools.iter().find(|t| t.get_name() == name).map(|t| (t, &call[i + 1..]))
        });
        if let Some((tool, rest)) = tool {
            check_call(tool, rest).map_err(|e| format!("{line}: {e}"))?;
            checked += 1;
        }
    }
    Ok(checked)
}

/// Whether a tool, or a subcommand of it, has this long option.
pub(crate) fn tool_has_option(tool: &Command, name: &str) -> bool {
    has_option(tool, name) || is_known_option_below(tool, name)
}

/// Whether any tool has this long option.
pub(crate) fn is_known_option(tools: &[Command], name: &str) -> bool {
    tools.iter().any(|tool| tool_has_option(tool, name))
}

fn is_known_option_below(command: &Command, name: &str) -> bool {
    command.get_subcommands().any(|sub| has_option(sub, name) || is_known_option_below(sub, name))
}

fn has_option(command: &Command, name: &str) -> bool {
    if matches!(name, "help" | "version") {
        return true;
    }
    command.get_arguments().any(|a| {
        let aliases = a.get_all_aliases().unwrap_or_default();
        a.get_long() == Some(name) || aliases.contains(&name)
    })
}

fn has_letter(command: &Command, letter: char) -> bool {
    matches!(letter, 'h' | 'V') || command.get_arguments().any(|a| a.get_short() == Some(letter))
}

fn check_call(tool: &Command, words: &[String]) -> Result<(), String> {
    let mut command = tool;
    let mut after_option = false;
    for word in words {
        if word == "--" || word.starts_with('>') || word.starts_with('<') {
            break;
        }
        if let Some(long) = word.strip_prefix("--") {
            let name = long.split_once('=').map_or(long, |(name, _)| name).trim_end_matches("...");
            // profd and profctl take underscores, too.
            let name = name.replace('_', "-");
            if !has_option(command, &name) && !has_option(tool, &name) {
                return Err(format!("{} has no option --{name}", command.get_name()));
            }
        } else if let Some(letters) = word.strip_prefix('-').filter(|l| l.starts_with(char::is_alphabetic)) {
            let first = letters.chars().next().unwrap_or_default();
            if !has_letter(command, first) && !has_letter(tool, first) {
                return Err(format!("{} has no option -{first}", command.get_name()));
            }
        } else if let Some(sub) = command.find_subcommand(word) {
            command = sub;
        } else if let Some(sub) = tool.find_subcommand(word).filter(|_| takes_command(command)) {
            command = sub;
        } else if !after_option
            && command.has_subcommands()
            // `certck mint DIR` does something, and has subcommands.
            && command.get_positionals().next().is_none()
            && word.starts_with(|c: char| c.is_ascii_lowercase())
            && !word.contains(['/', '.', '='])
        {
            return Err(format!("{} has no subcommand {word}", command.get_name()));
        }
        after_option = word.starts_with('-') && !word.contains('=');
    }
    Ok(())
}

/// Whether a command is followed by another one, which it runs: `profctl schedule gputrace`.
fn takes_command(command: &Command) -> bool {
    command.get_positionals().any(clap::Arg::is_trailing_var_arg_set)
}

/// Splits a line of shell into words and operators. Quotes are removed, nothing is expanded.
fn split_words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    let flush = |word: &mut String, words: &mut Vec<String>| {
        if !word.is_empty() {
            words.push(std::mem::take(word));
        }
    };
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, c) if c.is_whitespace() => flush(&mut word, &mut words),
            (None, '|' | '&' | ';' | '(' | ')') => {
                flush(&mut word, &mut words);
                let double = matches!(c, '|' | '&') && chars.next_if_eq(&c).is_some();
                words.push(if double { format!("{c}{c}") } else { c.to_string() });
            }
            (_, c) => word.push(c),
        }
    }
    flush(&mut word, &mut words);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_a_tool_does_not_have_are_errors() {
        let tools = tools();
        for line in [
            "certck mint ./pg --host node1 --days 365",
            "cd /x && certck mint renew ./pg | jq '.a|.b' && profctl --hosts @h nputrace --start-step -1",
            "sudo -u trainer profd --certs_dir x --enable-ipc-monitor",
            "certck check -q --format prometheus -o f.prom /etc/x",
            "jq --nonsense",
        ] {
            check_line(&tools, line).unwrap_or_else(|e| panic!("{e}"));
        }
        for line in [
            "certck mint --hots node1",
            "certck forge x",
            "profctl status | traceq sum --files-form -",
            "profctl -z",
            "profctl gputrace --hosts a --start-step 3",
        ] {
            assert!(check_line(&tools, line).is_err(), "{line}");
        }
        assert!(is_known_option(&tools, "start-step") && !is_known_option(&tools, "start-stop"));
    }
}
