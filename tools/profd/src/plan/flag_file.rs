//! Flag files of gflags (gflags 2.2, `ProcessOptionsFromStringLocked`): one option a line, `#` comments. A line that does
//! not begin with a dash has patterns of program names: the options below it are for those programs only.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use anyhow::{Context, ensure};
use common::fsat;
use common::glob::Glob;
use common::text::count_noun;
use thiserror::Error;

use crate::option_file::open_through_links;

/// Maximum size of a flag file in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// How deep flag files may name each other.
const MAX_DEPTH: usize = 16;

/// How many flag files and variables are read: without a limit, 16 levels of files that name two others each are 65,535 of them.
pub(super) const MAX_SOURCES: usize = 256;

/// Maximum number of characters of a line that a warning shows.
const MAX_SHOWN: usize = 80;

/// Flag files name each other too often.
#[derive(Debug, Error)]
pub(super) enum FlagFileLimit {
    #[error("flag files are nested more than {MAX_DEPTH} deep")]
    Depth,
    #[error("more than {MAX_SOURCES} flag files and variables are named, repeated ones included")]
    Sources,
}

/// Reads one flag file.
pub(super) struct GflagsFileReader<'a> {
    /// The name that the program was called by.
    pub(super) program: &'a str,
    /// How many flag files lead to this one, itself included.
    pub(super) depth: usize,
}

/// The options of a flag file.
#[derive(Debug, Default)]
pub(super) struct FlagFileOptions {
    /// Those for this program, as typed.
    pub(super) options: Vec<OsString>,
    /// The lines that are left out, if there are any: gflags says nothing about them.
    pub(super) skipped: Option<SkippedLines>,
}

/// Lines below patterns of names that are not those of this program.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SkippedLines {
    /// The number of the first line with patterns, from 1.
    pub(super) line: usize,
    patterns: String,
    /// Number of options below these and further patterns of other programs.
    options: u64,
}

impl SkippedLines {
    /// Describes the lines for a warning. `program` is the name that they do not have.
    pub(super) fn describe(&self, program: &str) -> String {
        let Self { patterns, options, .. } = self;
        let below = match options {
            0 => "is left out".to_owned(),
            n => format!("and {} below it are left out", count_noun(*n, "option")),
        };
        format!(
            "{patterns:?} {below}: a line without a dash names the programs that the options below it are for, and {program:?} is not one of them"
        )
    }
}

impl GflagsFileReader<'_> {
    /// Returns the options that are for this program.
    ///
    /// # Errors
    /// The file cannot be read, others could have written it, or there are too many.
    pub(super) fn read(&self, path: &Path) -> anyhow::Result<FlagFileOptions> {
        ensure!(self.depth <= MAX_DEPTH, FlagFileLimit::Depth);
        let (file, meta) = open_through_links(path)?;
        fsat::require_trusted(&meta)?;
        let text = fsat::read_bounded(file, MAX_BYTES).context("cannot be read")?;
        Ok(self.select_options(&text))
    }

    fn select_options(&self, text: &[u8]) -> FlagFileOptions {
        // Editors of other systems put a byte order mark in front (RFC 3629, section 6).
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let mut selected = FlagFileOptions::default();
        let (mut skipped, mut is_loss): (Option<SkippedLines>, bool) = (None, false);
        // Between patterns of names and the options for them.
        let (mut in_patterns, mut applies) = (false, true);
        for (n, line) in text.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).enumerate() {
            match line.first() {
                None | Some(b'#') => {}
                Some(b'-') => {
                    in_patterns = false;
                    if applies {
                        selected.options.push(OsString::from_vec(line.to_vec()));
                    } else if let Some(skipped) = &mut skipped {
                        skipped.options += 1;
                        is_loss = true;
                    }
                }
                Some(_) => {
                    // A new section; its patterns may stand on several lines.
                    let patterns = String::from_utf8_lossy(line);
                    applies = (in_patterns && applies) || self.is_named_by(&patterns);
                    in_patterns = true;
                    if !applies {
                        // An option whose dashes were forgotten is lost itself.
                        is_loss |= patterns.contains('=');
                        let patterns = patterns.chars().take(MAX_SHOWN).collect();
                        skipped.get_or_insert(SkippedLines { line: n + 1, patterns, options: 0 });
                    }
                }
            }
        }
        selected.skipped = skipped.filter(|_| is_loss);
        selected
    }

    fn is_named_by(&self, patterns: &str) -> bool {
        let name = self.program.rsplit('/').next().unwrap_or_default();
        let matches = |pattern: &str| {
            let whole = if pattern.contains('/') { self.program } else { name };
            pattern == whole || Glob::parse(pattern).is_ok_and(|glob| glob.matches(whole.as_bytes()))
        };
        patterns.split_whitespace().any(matches)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use clap::CommandFactory;

    use super::*;
    use crate::Cli;
    use crate::plan::arguments::collect_arguments;

    fn write(path: &Path, text: &str, mode: u32) {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn read(program: &str, path: &Path) -> Result<String, String> {
        let args = vec![program.into(), format!("--flagfile={}", path.display()).into(), "--port=7".into()];
        let args = collect_arguments(args, &Cli::command()).map_err(|e| format!("{e:#}"))?;
        Ok(args.iter().map(|a| a.to_str().unwrap()).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn options_come_from_nested_files_and_later_ones_win() {
        let dir = tempfile::tempdir().unwrap();
        let (outer, inner) = (dir.path().join("outer"), dir.path().join("inner"));
        write(&inner, "-enable_ipc_monitor\n--minloglevel=2\n", 0o644);
        let text = format!(
            "# comment\n\n--port=5\n  --flagfile={}\n--nouse_JSON\n--certs_dir=NO_CERTS\n--unheard_of=1\n--bind\n",
            inner.display()
        );
        write(&outer, &text, 0o640);
        assert_eq!(
            read("profd", &outer).unwrap(),
            "profd --enable-ipc-monitor --foreign-flag=minloglevel=true --certs-dir=NO_CERTS \
             --foreign-flag=unheard-of=true --port=7"
        );
    }

    #[test]
    fn sections_are_for_the_programs_that_they_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let text = "--certs_dir=/a\nother\n--certs_dir=/b\nelse dyno*\n/opt/*/profd\n--certs_dir=/c\nnobody\n--use_JSON\n";
        write(&path, text, 0o600);
        let read = |program: &str| {
            let line = read(program, &path).unwrap();
            let (before, rest) = line.split_once(" --option-warning=").unwrap();
            let (warning, after) = rest.split_once(" is not one of them").unwrap();
            (format!("{before}{after}"), warning.replace(&path.display().to_string(), "F"))
        };
        assert_eq!(read("/x/dynolog").0, "/x/dynolog --certs-dir=/c --port=7 --host-metrics");
        assert_eq!(read("/opt/pg/profd").0, "/opt/pg/profd --certs-dir=/c --port=7");
        let (line, warning) = read("profd");
        assert_eq!(line, "profd --certs-dir=/a --port=7");
        assert!(warning.starts_with("F:2: \"other\" and 3 options below it are left out: "), "{warning}");
    }

    #[test]
    fn lines_that_are_lost_are_said_and_a_byte_order_mark_is_not_one() {
        let select = |text: &[u8]| GflagsFileReader { program: "/x/dynolog", depth: 1 }.select_options(text);
        let skipped = |text: &str| select(text.as_bytes()).skipped.map(|s| (s.line, s.options));
        let marked = select(b"\xef\xbb\xbf--certs_dir=/c\n");
        assert_eq!((marked.options, marked.skipped), (vec!["--certs_dir=/c".into()], None));
        assert_eq!(skipped("--port=1\ncerts_dir=/c\n--enable_ipc_monitor\n"), Some((2, 1)));
        assert_eq!(skipped("# x\nmy settings\n\n--a\n--b\n"), Some((2, 2)));
        assert_eq!(skipped("--a\ncerts_dir=/c"), Some((2, 0)), "nothing below it, but it was an option");
        assert_eq!(skipped("--a\nmy settings\n"), None, "nothing is lost");
        assert_eq!(skipped("dynolog\n--a\n"), None);
        assert_eq!(skipped("dynolog\n--a\nother\n--b\ndyno*\n--c"), Some((3, 1)));
    }

    #[test]
    fn links_of_the_user_are_followed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("..2026")).unwrap();
        write(&dir.path().join("..2026/f"), "--use_JSON\n", 0o600);
        // As Kubernetes mounts a ConfigMap.
        std::os::unix::fs::symlink("..2026", dir.path().join("..data")).unwrap();
        std::os::unix::fs::symlink("..data/f", dir.path().join("f")).unwrap();
        assert_eq!(read("profd", &dir.path().join("f")).unwrap(), "profd --use-json --port=7");
    }

    #[test]
    fn files_that_cannot_be_trusted_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        assert!(read("profd", &path).unwrap_err().starts_with("--flagfile "));
        write(&path, "--use_JSON\n", 0o666);
        assert!(read("profd", &path).unwrap_err().contains("lets others write"));
        write(&path, &format!("--flagfile={}\n", path.display()), 0o600);
        let e = read("profd", &path).unwrap_err();
        assert!(e.ends_with("flag files are nested more than 16 deep"), "{e}");
        // Not deep, but each one names the next one twice.
        let name = |i: usize| dir.path().join(format!("wide{i}"));
        for i in 0..12 {
            let next = name(i + 1).display().to_string();
            write(&name(i), &format!("--flagfile={next}\n--flagfile={next}\n"), 0o600);
        }
        write(&name(12), "", 0o600);
        let e = read("profd", &name(0)).unwrap_err();
        assert!(
            e.ends_with("more than 256 flag files and variables are named, repeated ones included"),
            "{e}"
        );
    }
}
