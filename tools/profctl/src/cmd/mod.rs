//! The subcommands, one file each: options as typed, turned into a request; the answer turned into a result.

pub(crate) mod dcgm;
pub(crate) mod gputrace;
pub(crate) mod npu_monitor;
pub(crate) mod nputrace;
pub(crate) mod status;
pub(crate) mod version;

use std::path::Path;

use anyhow::anyhow;
use common::error::HintExt;
use common::out::Out;

/// The path that a process is told to write to. It has another working directory than we, so a relative one is
/// completed with ours.
///
/// # Errors
/// The path has control characters, or is relative and we are nowhere.
fn output_path(text: &str, out: &Out) -> anyhow::Result<String> {
    if text.chars().any(char::is_control) {
        return Err(anyhow!("--log-file: the path has a control character"))
            .hint("the path is one line of a text that the training process obeys");
    }
    if text.is_empty() {
        return Err(anyhow!("--log-file: the path is empty"));
    }
    if text.trim() != text {
        return Err(anyhow!("--log-file: the path begins or ends with a space, which processes drop"));
    }
    if Path::new(text).is_absolute() {
        return Ok(text.to_owned());
    }
    let here = std::env::current_dir().map_err(|e| anyhow!("--log-file: no current directory: {e}"))?;
    let whole = here.join(text);
    let whole =
        whole.to_str().ok_or_else(|| anyhow!("--log-file: the current directory's name is not UTF-8"))?;
    let text = whole.to_owned();
    out.warn("--log-file", format_args!("relative to this directory, the processes are told {text}"));
    Ok(text)
}

/// Options as a subcommand parses them.
#[cfg(test)]
fn parse<A: clap::Args>(args: &[&str]) -> A {
    try_parse(args).unwrap_or_else(|e| panic!("{e}"))
}

#[cfg(test)]
fn try_parse<A: clap::Args>(args: &[&str]) -> Result<A, clap::Error> {
    let command = A::augment_args(clap::Command::new("test").no_binary_name(true));
    A::from_arg_matches(&command.try_get_matches_from(args)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::out::{Color, Verbosity};

    #[test]
    fn relative_paths_become_absolute_and_control_characters_are_refused() {
        let out = Out::new("profctl", Color::Never, Verbosity::Quiet);
        assert_eq!(output_path("/tmp/a \"b\"\\c.json", &out).unwrap(), "/tmp/a \"b\"\\c.json");
        let whole = output_path("t.json", &out).unwrap();
        assert!(whole.starts_with('/') && whole.ends_with("/t.json"));
        for bad in ["", "/tmp/a\nPROFILE_WITH_STACK=true", "/tmp/\u{1b}[2J", "/tmp/\u{85}x", "/tmp/x "] {
            assert!(output_path(bad, &out).is_err(), "{bad:?}");
        }
    }
}
