//! `tests/run`, on output that cargo and libtest are known to write: the last line counts what happened, and the exit
//! status agrees with it.
#![allow(clippy::unwrap_used, reason = "a test program")]

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const TOP: &str = env!("CARGO_MANIFEST_DIR");

/// Runs `tests/run` with a cargo that writes some text and ends in some way; status and output.
fn run(cargo: &str, text: &str, env: &[(&str, &Path)]) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("text"), text).unwrap();
    // With cargo's arguments behind, which it is to take.
    let script =
        format!("test \"$*\" = 'test --workspace --no-fail-fast --quiet' || exit 9\ncat text\n{cargo}\n");
    std::fs::write(dir.path().join("cargo"), format!("cd {}\n{script}", dir.path().display())).unwrap();
    let mut sh = Command::new("sh");
    sh.args(["tests/run", "--quiet"]).current_dir(TOP).stdin(Stdio::null()).stderr(Stdio::inherit());
    sh.env("CARGO", format!("sh {}/cargo", dir.path().display())).env("TMPDIR", dir.path());
    let output = sh.envs(env.iter().copied()).output().unwrap();
    let left = std::fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(left, 2, "something is left in the directory of temporary files");
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

/// The exit status and the lines after cargo's own.
fn summary(cargo: &str, text: &str) -> (Option<i32>, Vec<String>) {
    let (status, output) = run(cargo, text, &[]);
    assert!(output.starts_with(text), "{output}");
    (status, output[text.len()..].lines().map(str::to_owned).collect())
}

fn result(passed: u32, failed: u32, ignored: u32) -> String {
    let word = if failed == 0 { "ok" } else { "FAILED" };
    format!(
        "\ntest result: {word}. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; 0 filtered out; \
         finished in 0.01s\n\n"
    )
}

fn program(name: &str) -> String {
    format!("     Running {name} (target/debug/deps/x-0123456789abcdef)\n\nrunning 4 tests\n")
}

#[test]
fn all_well_with_skipped_tests_and_their_reasons() {
    let text = [
        &program("unittests src/lib.rs"),
        "test a::b ... ok\nUSED openssl: OpenSSL 3.0.22 25 Aug 2026\nSKIPPED a::c: no jq on PATH\n",
        "SKIPPED a::c: the first reason counts\ntest a::c ... ok\nPARTLY SKIPPED a::b: not root\n",
        &result(3, 0, 0),
        &program("tests/x.rs"),
        // With one thread, libtest has begun the line.
        "test a::c ... SKIPPED a::c: no jq on PATH\nok\ntest d ... SKIPPED d: not root\nok\n",
        "USED openssl: OpenSSL 3.0.22 25 Aug 2026\nNOTE e: OpenSSL 3.0.22 agrees: by now\n",
        "test f ... ignored, the child of other tests\n",
        &result(9, 0, 1),
        "   Doc-tests x\n\nrunning 1 test\n",
        &result(1, 0, 0),
        "\nrunning 1 test\n",
        &result(1, 0, 0),
    ]
    .concat();
    let expected = [
        "test: used openssl: OpenSSL 3.0.22 25 Aug 2026",
        "test: note: e: OpenSSL 3.0.22 agrees: by now",
        "test: 11 passed, of them 1 in part (without: 1 not root), 0 failed, 3 skipped (2 no jq on PATH, 1 not root), \
         1 ignored (1 the child of other tests)",
    ];
    assert_eq!(summary("exit 0", &text), (Some(0), expected.map(str::to_owned).to_vec()));
    // The same as cargo writes it to a terminal.
    let colored = text
        .replace("     Running", "\x1b[1m\x1b[92m     Running\x1b[0m")
        .replace("ok.", "\x1b[32mok\x1b[m.");
    assert_eq!(summary("exit 0", &colored).1.last().unwrap(), expected[2]);
}

#[test]
fn failures_and_dead_programs_are_named_and_hide_no_others() {
    let text = [
        &program("tests/x.rs"),
        "test a ... ok\ntest b ... FAILED\nSKIPPED b: and then it failed\n\nfailures:\n\n---- b stdout ----\n",
        // What the test ran itself, and what looks like a list of failures.
        &result(70, 7, 0),
        "failures:\n    b\n",
        &result(1, 1, 0),
        "error: test failed, to rerun pass `--test x`\n",
        &program("tests/dead.rs"),
        "test c ... ok\nSKIPPED d: no moon\nerror: test failed, to rerun pass `--test dead`\n\nCaused by:\n",
        "  process didn't exit successfully: `target/debug/deps/dead` (signal: 6, SIGABRT: process abort signal)\n",
        &program("tests/y.rs"),
        &result(5, 0, 0),
        "error: 2 targets failed:\n    `--test x`\n    `--test dead`\n",
    ]
    .concat();
    let expected = [
        "test: FAILED tests/x.rs of x: b",
        "test: FAILED tests/dead.rs of x: ended without a result",
        "test: 6 passed, 2 failed (1 test program without a result), 0 skipped",
    ];
    assert_eq!(summary("exit 101", &text), (Some(1), expected.map(str::to_owned).to_vec()));
}

#[test]
fn a_step_of_a_transcript_that_failed_is_shown_again_at_the_end() {
    let long: String = (0..100).map(|i| format!("   {i} {i} | line\n")).collect();
    let text = [
        &program("tests/cases.rs"),
        "Testing tests/cases/a.md:1 ... ok 3ms\nTesting tests/cases/a.md:7 ... failed 3s 845ms\nExit: success\n\n",
        "---- expected: stdout\n++++ actual:   stdout\n   1      - one\n        1 + two\nstderr:\n\n",
        "Testing tests/cases/a.md:9 ... ignored\nTesting tests/cases/b.md:5 ... failed 2ms\n",
        &long,
        "Testing tests/cases/b.md:teardown ... ok\nUpdate snapshots with `TRYCMD=overwrite`\n",
        "test transcripts ... FAILED\n\nfailures:\n    transcripts\n",
        &result(1, 1, 0),
    ]
    .concat();
    let (status, lines) = summary("exit 101", &text);
    let expected = [
        "test: FAILED tests/cases.rs of x: transcripts",
        "test: | Testing tests/cases/a.md:7 ... failed 3s 845ms",
        "test: | Exit: success",
        "test: | ---- expected: stdout",
        "test: | ++++ actual:   stdout",
        "test: |    1      - one",
        "test: |         1 + two",
        "test: | stderr:",
        "test: | Testing tests/cases/b.md:5 ... failed 2ms",
        "test: |    0 0 | line",
    ];
    assert_eq!((status, &lines[..expected.len()]), (Some(1), &expected.map(str::to_owned)[..]));
    // Of a long one, the beginning.
    assert_eq!(
        (lines.len(), &lines[lines.len() - 2..]),
        (49, &["test: |    38 38 | line".to_owned(), "test: 1 passed, 1 failed, 0 skipped".to_owned(),][..])
    );
}

#[test]
fn what_did_not_run_has_not_passed() {
    let compile = "error[E0425]: cannot find value `x`\nerror: could not compile `x` (test \"y\")\n";
    let last =
        |status| vec![format!("test: no test ran: cargo ended with status {status}, see its errors above")];
    assert_eq!(summary("exit 101", compile), (Some(1), last(101)));
    assert_eq!(summary("exit 0", "    Finished `test` profile\n"), (Some(1), last(0)));
    // A status that the lines do not explain is believed.
    let text = program("tests/x.rs") + &result(5, 0, 0) + "error: could not execute process `y`\n";
    let line = "test: 5 passed, 0 failed, 0 skipped; not all of them ran: cargo ended with status 101";
    assert_eq!(summary("exit 101", &text), (Some(1), vec![line.to_owned()]));
}

#[test]
fn an_interrupted_run_says_so() {
    let text = program("tests/x.rs");
    // Ctrl-C reaches the whole process group, and so does this. SIGINT is ignored where the tests run in the background
    // of a script.
    let dir = tempfile::tempdir().unwrap();
    let cargo = dir.path().join("cargo");
    std::fs::write(&cargo, format!("printf '%s' '{text}'\nkill -TERM 0\nsleep 60\n")).unwrap();
    let mut run = Command::new("sh");
    run.arg("tests/run").process_group(0).current_dir(TOP).stdin(Stdio::null()).env("TMPDIR", dir.path());
    let output = run.env("CARGO", format!("sh {}", cargo.display())).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!((output.status.code(), said.lines().last()), (Some(143), Some("test: interrupted")), "{said}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

/// The awks that distributions have: mawk, gawk, busybox, the original.
#[test]
fn every_awk_says_the_same() {
    let text =
        program("tests/x.rs") + "SKIPPED a: not root\nPARTLY SKIPPED b: no jq on PATH\n" + &result(5, 0, 0);
    let awks: Vec<(&str, PathBuf)> = ["mawk", "gawk", "original-awk", "busybox"]
        .into_iter()
        .filter_map(|name| Some((name, testkit::find(name).ok()?)))
        .collect();
    assert!(!awks.is_empty() || testkit::find("awk").is_ok());
    for (name, path) in awks {
        let bin = tempfile::tempdir().unwrap();
        let own = if name == "busybox" { "exec busybox awk \"$@\"" } else { "exec \"$AWK\" \"$@\"" };
        let awk = bin.path().join("awk");
        std::fs::write(&awk, format!("#!/bin/sh\n{own}\n")).unwrap();
        std::fs::set_permissions(&awk, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let path_var = format!("{}:{}", bin.path().display(), std::env::var("PATH").unwrap());
        let (status, output) = run("exit 0", &text, &[("PATH", path_var.as_ref()), ("AWK", &path)]);
        let line =
            "test: 4 passed, of them 1 in part (without: 1 no jq on PATH), 0 failed, 1 skipped (1 not root)";
        assert_eq!((status, output.lines().last()), (Some(0), Some(line)), "{name}");
    }
}

/// libtest shows what a passed test printed to nobody: the report must be testkit's.
#[test]
fn no_test_prints_by_itself_that_it_was_skipped() {
    let mark = ["eprintln!(\"", "skipped"].concat();
    let mut looked_at = 0;
    let mut dirs = ["common", "tools", "tests"].map(|dir| Path::new(TOP).join(dir)).to_vec();
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()) {
            if entry.is_dir() {
                dirs.push(entry);
            } else if entry.extension().is_some_and(|e| e == "rs") {
                looked_at += 1;
                let text = std::fs::read_to_string(&entry).unwrap();
                assert!(!text.contains(&mark), "{}: use testkit::skip", entry.display());
            }
        }
    }
    assert!(looked_at > 100, "{looked_at}");
}
