//! The subcommands, one file each: the options, the request built from them, and the result.

pub(crate) mod audit;
pub(crate) mod dcgm;
pub(crate) mod gputrace;
pub(crate) mod metrics;
pub(crate) mod monitor;
pub(crate) mod npu_monitor;
pub(crate) mod nputrace;
pub(crate) mod schedule;
pub(crate) mod status;
mod status_views;
pub(crate) mod version;
pub(crate) mod watch;

use std::path::Path;

use anyhow::anyhow;
use common::error::HintExt;
use common::out::Out;
use common::rpc::config::check_placeholders;

/// Returns the absolute form of `--log-file`, whose placeholders the daemon replaces.
///
/// # Errors
/// As [`absolute_output_path`], or a placeholder is unknown.
fn expandable_output_path(text: &str, out: &Out) -> anyhow::Result<String> {
    let path = absolute_output_path(text, out)?;
    check_placeholders(&path).map_err(|reason| anyhow!("--log-file: {reason}"))?;
    Ok(path)
}

/// Returns the absolute form of `--log-file`. A training process has another working directory, so a relative path is
/// resolved against the one of this process.
///
/// # Errors
/// The path is empty, contains line separators, begins or ends with a space, or is relative without a current directory.
fn absolute_output_path(text: &str, out: &Out) -> anyhow::Result<String> {
    if text.chars().any(common::rpc::config::may_end_line) {
        return Err(anyhow!("--log-file: the path has a control character or line separator"))
            .hint("the path becomes one line of the config that the training process executes");
    }
    if text.is_empty() {
        return Err(anyhow!("--log-file: the path is empty"));
    }
    if text.trim() != text {
        return Err(anyhow!(
            "--log-file: the path begins or ends with white space, which the processes would remove"
        ));
    }
    if Path::new(text).is_absolute() {
        return Ok(text.to_owned());
    }
    let current_dir =
        std::env::current_dir().map_err(|e| anyhow!("--log-file: no current directory: {e}"))?;
    let absolute = current_dir.join(text);
    let absolute = absolute
        .to_str()
        .ok_or_else(|| anyhow!("--log-file: the path of the current directory is not valid UTF-8"))?;
    out.warn("--log-file", format_args!("relative path resolved against the current directory: {absolute}"));
    Ok(absolute.to_owned())
}

/// Parses the options of a subcommand.
#[cfg(test)]
pub(crate) fn parse_args<A: clap::Args>(args: &[&str]) -> A {
    try_parse_args(args).unwrap_or_else(|e| panic!("{e}"))
}

#[cfg(test)]
pub(crate) fn try_parse_args<A: clap::Args>(args: &[&str]) -> Result<A, clap::Error> {
    let command = A::augment_args(clap::Command::new("test").no_binary_name(true));
    A::from_arg_matches(&command.try_get_matches_from(args)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::out::{Color, Verbosity};

    #[test]
    fn relative_paths_become_absolute_and_control_characters_are_rejected() {
        let out = Out::new("profctl", Color::Never, Verbosity::Quiet);
        assert_eq!(absolute_output_path("/tmp/a \"b\"\\c.json", &out).unwrap(), "/tmp/a \"b\"\\c.json");
        let whole = absolute_output_path("t.json", &out).unwrap();
        assert!(whole.starts_with('/') && whole.ends_with("/t.json"));
        for bad in ["", "/tmp/a\nPROFILE_WITH_STACK=true", "/tmp/\u{1b}[2J", "/tmp/\u{85}x", "/tmp/x "] {
            assert!(absolute_output_path(bad, &out).is_err(), "{bad:?}");
        }
    }
}
