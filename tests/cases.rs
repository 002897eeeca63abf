//! Console transcripts, run as tests and readable as documentation: `tests/cases/TOOL/*.md`, each with the
//! files of its `.in` directory. `make bless` rewrites what the commands print.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test program")]

#[test]
fn transcripts_are_true() {
    let cases = trycmd::TestCases::new();
    for (key, value) in [
        ("LC_ALL", "C"),
        ("TZ", "UTC"),
        ("COLUMNS", "100"),
        ("NO_COLOR", "1"),
        ("XDG_CONFIG_HOME", "/config"),
    ] {
        cases.env(key, value);
    }
    // A checkout has the modes of the umask and the times of now: cases about them set their own.
    for program in ["chmod", "rm", "sh", "touch"] {
        if let Some(path) = find_in_path(program) {
            cases.register_bin(program, path);
        }
    }
    cases.case("tests/cases/*/*.md");
}

/// Finds a program of the system, which transcripts may call by its name.
fn find_in_path(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|candidate| candidate.is_file())
}
