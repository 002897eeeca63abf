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
    cases.case("tests/cases/*/*.md");
}
