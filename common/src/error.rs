//! Errors that carry a hint, and the reading of error chains that `main` and [`crate::out::Out`] share.

use std::fmt;

/// An error together with what the user can do about it; each line of the hint is shown on its own `help:` line.
#[derive(Debug)]
pub struct Hinted {
    error: anyhow::Error,
    hint: String,
}

impl fmt::Display for Hinted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.error)
    }
}

impl std::error::Error for Hinted {}

/// Adds a hint to an error.
pub trait HintExt<T> {
    /// Attaches what the user can do about the error.
    ///
    /// # Errors
    /// Passes the original error on, with the hint attached.
    fn hint(self, hint: impl Into<String>) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> HintExt<T> for Result<T, E> {
    fn hint(self, hint: impl Into<String>) -> anyhow::Result<T> {
        self.map_err(|e| Hinted { error: e.into(), hint: hint.into() }.into())
    }
}

/// The hint that some error in the chain carries.
#[must_use]
pub fn hint_of(error: &anyhow::Error) -> Option<&str> {
    error.chain().find_map(|e| e.downcast_ref::<Hinted>()).map(|h| h.hint.as_str())
}

/// Tells whether the error says only that the reader of our output has gone.
#[must_use]
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|e| {
        e.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
            || e.downcast_ref::<serde_json::Error>()
                .is_some_and(|e| e.io_error_kind() == Some(std::io::ErrorKind::BrokenPipe))
            || e.downcast_ref::<Hinted>().is_some_and(|h| is_broken_pipe(&h.error))
    })
}

/// An error of what a result is written to, with its name: `standard output: no space left on device`.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {error}")]
pub(crate) struct OutputError {
    pub(crate) name: String,
    pub(crate) error: std::io::Error,
}

/// Tells whether the error is one of the output, and not of the input that was being worked on. Nothing more can be written then.
#[must_use]
pub fn is_output_error(error: &anyhow::Error) -> bool {
    let is_output = |e: &std::io::Error| e.get_ref().is_some_and(|inner| inner.is::<OutputError>());
    error.chain().any(|e| {
        e.is::<OutputError>()
            || e.downcast_ref::<std::io::Error>().is_some_and(is_output)
            || e.downcast_ref::<Hinted>().is_some_and(|h| is_output_error(&h.error))
    })
}

/// An error of the system in words and without its number: `no such file or directory`.
#[must_use]
pub fn errno_reason(error: rustix::io::Errno) -> String {
    io_reason(&std::io::Error::from(error))
}

/// As [`errno_reason`]: `No such file or directory (os error 2)` becomes `no such file or directory`.
#[must_use]
pub fn io_reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_lowercase().chain(chars).collect())
}

/// An error in a text with its position, in one line: `3:1: unknown field`. Without a span it has none.
#[must_use]
pub fn describe_text_error(text: &str, span: Option<std::ops::Range<usize>>, message: &str) -> String {
    let message = message.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    match span {
        Some(span) => format!("{}: {message}", describe_position(text, span.start)),
        None => message,
    }
}

/// The line and the column of a byte, both from 1: `3:1`.
#[must_use]
pub fn describe_position(text: &str, offset: usize) -> String {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("{line}:{column}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn a_hint_survives_context_and_stays_out_of_the_message() {
        let e =
            Err::<(), _>(anyhow::anyhow!("no such job")).hint("try `status`").context("node1").unwrap_err();
        assert_eq!(format!("{e:#}"), "node1: no such job");
        assert_eq!(hint_of(&e), Some("try `status`"));
    }

    #[test]
    fn errors_in_texts_have_a_line_and_a_column() {
        assert_eq!(describe_text_error("a\n\u{e4} b", Some(5..6), "odd\n  value"), "2:3: odd value");
        assert_eq!(describe_text_error("", None, "odd"), "odd");
        // Inside a character, or behind the text.
        assert_eq!([describe_position("\u{e4}", 1), describe_position("a", 9)], ["1:2", "1:2"]);
    }

    #[test]
    fn errors_of_the_output_are_told_from_those_of_the_input() {
        let full = || std::io::Error::from(std::io::ErrorKind::StorageFull);
        let output =
            || std::io::Error::other(OutputError { name: "standard output".to_owned(), error: full() });
        assert!(is_output_error(&anyhow::Error::from(output()).context("a.pem")));
        let through_json = std::io::Error::from(serde_json::Error::io(output()));
        assert!(is_output_error(&Err::<(), _>(through_json).hint("x").unwrap_err()));
        assert!(!is_output_error(&anyhow::Error::from(full()).context("a.pem")));
        assert_eq!(output().to_string(), format!("standard output: {}", full()));
    }

    #[test]
    fn broken_pipes_are_found_below_hints_and_json() {
        let pipe = || std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        assert!(is_broken_pipe(&anyhow::Error::from(serde_json::Error::io(pipe()))));
        let hinted = Err::<(), _>(pipe()).hint("x").context("y").unwrap_err();
        assert!(is_broken_pipe(&hinted));
    }
}
