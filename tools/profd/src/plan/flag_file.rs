//! Flag files of gflags (gflags 2.2, `ProcessOptionsFromStringLocked`): one option a line, `#` comments. A line that does
//! not begin with a dash has patterns of program names: the options below it are for those programs only.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use anyhow::{Context, ensure};
use common::fsat;
use common::glob::Glob;
use thiserror::Error;

/// Maximum size of a flag file in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// How deep flag files may name each other.
const MAX_DEPTH: usize = 16;

/// Flag files name each other too often.
#[derive(Debug, Error)]
#[error("flag files are nested more than {MAX_DEPTH} deep")]
pub(super) struct TooDeep;

/// Reads one flag file.
pub(super) struct FlagFileReader<'a> {
    /// The name that the program was called by.
    pub(super) program: &'a str,
    /// How many flag files lead to this one, itself included.
    pub(super) depth: usize,
}

impl FlagFileReader<'_> {
    /// Returns the options that are for this program, as typed.
    ///
    /// # Errors
    /// The file cannot be read, others could have written it, or it is nested too deep.
    pub(super) fn read(&self, path: &Path) -> anyhow::Result<Vec<OsString>> {
        ensure!(self.depth <= MAX_DEPTH, TooDeep);
        let (file, meta) = fsat::open_regular(path)?;
        fsat::require_trusted(&meta)?;
        let text = fsat::read_bounded(file, MAX_BYTES).context("cannot be read")?;
        Ok(self.select_options(&text))
    }

    fn select_options(&self, text: &[u8]) -> Vec<OsString> {
        let mut options = Vec::new();
        // Between patterns of names and the options for them.
        let (mut in_patterns, mut applies) = (false, true);
        for line in text.split(|b| *b == b'\n').map(<[u8]>::trim_ascii) {
            match line.first() {
                None | Some(b'#') => {}
                Some(b'-') => {
                    in_patterns = false;
                    if applies {
                        options.push(OsString::from_vec(line.to_vec()));
                    }
                }
                Some(_) => {
                    // A new section; its patterns may stand on several lines.
                    applies = (in_patterns && applies) || self.is_named_by(&String::from_utf8_lossy(line));
                    in_patterns = true;
                }
            }
        }
        options
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
        assert_eq!(read("/x/dynolog", &path).unwrap(), "/x/dynolog --certs-dir=/c --port=7");
        assert_eq!(read("/opt/pg/profd", &path).unwrap(), "/opt/pg/profd --certs-dir=/c --port=7");
        assert_eq!(read("profd", &path).unwrap(), "profd --certs-dir=/a --port=7");
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
    }
}
