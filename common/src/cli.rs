//! The one `main` of every tool, and the flags that all of them have.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, ValueEnum};

use crate::error::is_broken_pipe;
use crate::exit::Exit;
use crate::out::{Color, Diag, Format, Out, Verbosity};

/// A command-line tool: a clap parser that can run.
pub trait Tool: Parser + CommandFactory {
    /// The program's name, as diagnostics begin.
    const NAME: &'static str;

    /// How to color and how much to say, read from the parsed flags.
    fn style(&self) -> (Color, Verbosity);

    /// Does what was asked for. Results go to `out`; the returned status is combined with the errors that
    /// `out` has seen.
    ///
    /// # Errors
    /// An error that aborts the run; shown as one line, exit status 2.
    fn run(self, out: &mut Out) -> anyhow::Result<Exit>;

    /// Rewrites the command line before it is parsed, for programs that also answer to an old spelling, or that read
    /// options from files.
    ///
    /// # Errors
    /// A file with options is invalid, or cannot be read.
    fn rewrite(args: Vec<OsString>) -> anyhow::Result<Vec<OsString>> {
        Ok(args)
    }
}

/// The flags that every tool and subcommand takes. `F` is the set of formats that the tool can write.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Common options")]
pub struct Global<F: ValueEnum + Clone + Default + Send + Sync + 'static = Format> {
    /// Form of the result on standard output
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub format: F,
    /// When to color the output
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub color: Color,
    /// Say nothing on standard error but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say on standard error what is being done
    #[arg(short, long, global = true)]
    pub verbose: bool,
}

impl<F: ValueEnum + Clone + Default + Send + Sync + 'static> Global<F> {
    /// Returns the result of [`Tool::style`].
    #[must_use]
    pub fn style(&self) -> (Color, Verbosity) {
        let verbosity = match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        };
        (self.color, verbosity)
    }
}

/// Parses, runs, reports, and turns the outcome into an exit status.
#[must_use]
pub fn main<T: Tool>() -> ExitCode {
    let args = match T::rewrite(std::env::args_os().collect()) {
        Ok(args) => args,
        Err(e) => {
            Diag::new(T::NAME, Verbosity::Normal).fatal(&e);
            return Exit::Failed.into();
        }
    };
    let cli = match T::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(e) => return usage::<T>(&e, &args),
    };
    let (color, verbosity) = cli.style();
    let started = std::time::Instant::now();
    let mut out = Out::new(T::NAME, color, verbosity);
    let result = cli.run(&mut out);
    let exit = finish(result, &mut out);
    out.diag().info(
        "done",
        format_args!("{:.3} s, peak memory {}", started.elapsed().as_secs_f64(), peak_memory()),
    );
    exit.into()
}

/// The most memory that this process ever had resident, as the kernel counts it.
fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.map_or_else(|| "unknown".to_owned(), |l| l.trim().to_owned())
}

/// Combines what the tool returned, what it reported, and whether the last bytes could be written.
fn finish(result: anyhow::Result<Exit>, out: &mut Out) -> Exit {
    let result = result.and_then(|exit| Ok(out.flush().map(|()| exit)?));
    match result {
        Ok(exit) => exit.max(out.diag().exit()),
        // Whoever read our output has seen enough.
        Err(e) if is_broken_pipe(&e) => out.diag().exit(),
        Err(e) => {
            // What was found before the failure is still a result.
            let _ = out.flush();
            out.diag().fatal(&e);
            Exit::Failed
        }
    }
}

/// Help that was asked for is a result; help after a mistake is one line and a hint.
fn usage<T: Tool>(error: &clap::Error, args: &[OsString]) -> ExitCode {
    if !error.use_stderr() {
        let text = error.render();
        let styled = Color::Auto.enabled(&std::io::stdout());
        let text = if styled { text.ansi().to_string() } else { text.to_string() };
        return match std::io::stdout().lock().write_all(text.as_bytes()) {
            Ok(()) => Exit::Ok.into(),
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Exit::Ok.into(),
            Err(e) => {
                Diag::new(T::NAME, Verbosity::Normal).error("standard output", e);
                Exit::Failed.into()
            }
        };
    }
    let diag = Diag::new(T::NAME, Verbosity::Normal);
    let mut reduced = reduce(&error.render().to_string());
    // Here the text is the whole help.
    if error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        reduced.message = "no subcommand was given".to_owned();
    }
    diag.error("usage", reduced.message);
    reduced.tips.iter().for_each(|tip| diag.help(tip));
    let command = subcommand(T::command(), args);
    diag.help(reduced.usage.unwrap_or_else(|| format!("see `{command} --help`")));
    Exit::Failed.into()
}

/// The command that the arguments reached, as one types it.
fn subcommand(mut command: clap::Command, args: &[OsString]) -> String {
    let mut name = command.get_name().to_owned();
    for arg in args.iter().skip(1) {
        if let Some(sub) = command.find_subcommand(arg) {
            name = format!("{name} {}", sub.get_name());
            command = sub.clone();
        }
    }
    name
}

/// The parts of an error message of clap.
struct Reduced {
    message: String,
    usage: Option<String>,
    tips: Vec<String>,
}

/// Folds clap's paragraphs into one line, and picks its tips and its usage line out as hints.
fn reduce(text: &str) -> Reduced {
    let (mut usage, mut tips) = (None, Vec::new());
    let mut parts = Vec::new();
    for line in text.lines().map(str::trim).filter(|l| !l.is_empty()) {
        if let Some(u) = line.strip_prefix("Usage: ") {
            usage = Some(format!("usage: {u}"));
        } else if let Some(tip) = line.strip_prefix("tip: ") {
            tips.push(tip.to_owned());
        } else if !line.starts_with("For more information") {
            parts.push(line.strip_prefix("error: ").unwrap_or(line));
        }
    }
    Reduced { message: parts.join(" "), usage, tips }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_errors_fold_into_one_line() {
        let text = "error: the following required arguments were not provided:\n  --log-file <FILE>\n\n\
                    Usage: profctl gputrace --log-file <FILE>\n\nFor more information, try '--help'.\n";
        let reduced = reduce(text);
        assert_eq!(reduced.message, "the following required arguments were not provided: --log-file <FILE>");
        assert_eq!(reduced.usage.as_deref(), Some("usage: profctl gputrace --log-file <FILE>"));
    }

    #[test]
    fn tips_are_hints_of_their_own() {
        let text = "error: unexpected argument '--bad' found\n\n  tip: to pass '--bad' as a value, use '-- --bad'\n\n\
                    Usage: certck check <DIR>...\n";
        let reduced = reduce(text);
        assert_eq!(reduced.message, "unexpected argument '--bad' found");
        assert_eq!(reduced.tips, ["to pass '--bad' as a value, use '-- --bad'"]);
    }

    #[test]
    fn the_subcommand_that_was_meant_is_named() {
        let list = clap::Command::new("list");
        let command = clap::Command::new("tool").subcommand(clap::Command::new("crl").subcommand(list));
        let reached =
            |args: &[&str]| subcommand(command.clone(), &args.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(reached(&["/bin/tool", "-q", "crl", "list", "crl"]), "tool crl list");
        assert_eq!(reached(&["tool", "--bad"]), "tool");
    }
}
