//! What every tool owes the shell: help on stdout, mistakes in one line on stderr, closed pipes silent, a full
//! disk noticed.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test program")]

mod harness;

use std::fs::OpenOptions;
use std::process::{Command, Stdio};

use harness::{TOOLS, command, finish, finish_child, run};

#[test]
fn help_that_was_asked_for_is_a_result() {
    for tool in TOOLS {
        for flag in ["--help", "-h"] {
            let help = run(tool, &[flag]).expect(0);
            assert!(help.stdout.contains("Usage: "), "{tool} {flag}");
            assert_eq!(help.stderr, "", "{tool} {flag}");
        }
        let version = run(tool, &["--version"]).expect(0);
        assert_eq!(version.stdout, format!("{tool} {}\n", env!("CARGO_PKG_VERSION")));
    }
}

#[test]
fn a_mistake_is_one_line_and_a_hint() {
    for tool in TOOLS {
        let wrong = run(tool, &["--no-such-flag"]).expect(2);
        assert_eq!(wrong.stdout, "", "{tool}");
        let lines: Vec<&str> = wrong.stderr.lines().collect();
        assert_eq!(lines.len(), 2, "{tool}: {}", wrong.stderr);
        assert!(lines[0].starts_with(&format!("{tool}: usage: ")), "{}", wrong.stderr);
        assert!(lines[1].starts_with(&format!("{tool}: help: ")), "{}", wrong.stderr);
    }
}

#[test]
fn no_arguments_are_a_mistake_too() {
    for tool in TOOLS {
        let bare = run::<&str>(tool, &[]).expect(2);
        assert_eq!((bare.stdout.as_str(), bare.stderr.lines().count()), ("", 2), "{tool}: {}", bare.stderr);
        assert!(
            bare.stderr.lines().all(|l| l.starts_with(&format!("{tool}: ")) && l.len() < 240),
            "{}",
            bare.stderr
        );
    }
}

/// Reasons are words, on both streams and in every format; `(os error 2)` is of the standard library.
#[test]
fn errors_of_the_system_have_no_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing").display().to_string();
    let here = dir.path().display().to_string();
    let commands: &[(&str, &[&str])] = &[
        ("certck", &["check", &missing]),
        ("certck", &["show", &missing]),
        ("certck", &["show", &here]),
        ("datack", &["manifest", "verify", &missing]),
        ("datack", &["manifest", "create", &missing]),
        ("hostck", &["check", "--root", &missing]),
        ("permck", &["audit", &missing]),
        ("profctl", &["--certs-dir=NO_CERTS", "--hostname=127.0.0.1", "--port=1", "status"]),
        ("profctl", &["--certs-dir", &missing, "status"]),
        ("profctl", &["audit", &missing]),
        ("profctl", &["audit", &here]),
        ("profd", &["--log-format=json", "--certs-dir=NO_CERTS", "--audit-log", &here]),
        ("profd", &["--check-config", "--certs-dir=NO_CERTS", "--rules", &missing]),
        ("profd", &["--check-config", "--certs-dir", &missing]),
        ("profd", &["--log-format=json", "--certs-dir=NO_CERTS", "--bind=192.0.2.1", "--insecure-listen"]),
        ("tracecv", &["convert", "--to=csv", &missing]),
        ("traceq", &["info", &missing]),
        // Can be opened, and reading its beginning is an error.
        ("traceq", &["info", "/proc/self/mem"]),
        ("traceq", &["check", "/proc/self/mem"]),
        ("traceq", &["check", "--format=sarif", "/proc/self/mem"]),
        ("tracewhy", &["idle", &missing]),
    ];
    for (tool, args) in commands {
        for format in [&[][..], &["--format=json"]] {
            let done = run(tool, &[format, args].concat());
            let all = format!("{}{}", done.stdout, done.stderr);
            assert_ne!(done.status, Some(0), "{tool} {args:?}: {all}");
            assert!(
                !all.trim().is_empty() && !all.contains("(os error"),
                "{tool} {format:?} {args:?}: {all}"
            );
        }
    }
}

#[test]
fn escape_sequences_in_arguments_do_not_reach_the_terminal() {
    for tool in TOOLS {
        let wrong = run(tool, &["\x1b[2J--evil\nline"]).expect(2);
        assert!(!wrong.stderr.contains('\x1b'), "{tool}: {:?}", wrong.stderr);
        assert!(
            wrong.stderr.lines().all(|l| l.starts_with(&format!("{tool}: "))),
            "{tool}: {}",
            wrong.stderr
        );
    }
}

/// A trace large enough that no pipe buffer holds what is printed of it.
fn large_trace(dir: &std::path::Path) -> std::path::PathBuf {
    let mut text = String::from("{\"schemaVersion\":1,\"traceEvents\":[\n");
    for i in 0..20_000 {
        text.push_str(&format!(
            "{{\"ph\":\"X\",\"cat\":\"kernel\",\"name\":\"k{i}\",\"pid\":0,\"tid\":7,\"ts\":{i}.000,\"dur\":0.500,\"args\":{{\"stream\":7}}}},\n"
        ));
    }
    text.push_str(
        "{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":0,\"tid\":0,\"args\":{\"name\":\"p\"}}]}\n",
    );
    let path = dir.join("large.json");
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_closed_pipe_is_silent() {
    let dir = tempfile::tempdir().unwrap();
    let file = large_trace(dir.path());
    for format in ["json", "csv"] {
        let mut cat = command("traceq");
        cat.args(["cat", "--format", format]).arg(&file).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = cat.spawn().unwrap();
        drop(child.stdout.take());
        let done = finish_child(child).expect(0);
        assert_eq!(done.stderr, "");
    }
}

#[test]
fn a_full_disk_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let file = large_trace(dir.path());
    for args in [&["sum"][..], &["info"], &["top"], &["cat", "--format", "csv"]] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut traceq = command("traceq");
        traceq.args(args).arg(&file).stdout(full).stderr(Stdio::piped());
        let done = finish_child(traceq.spawn().unwrap()).expect(2);
        assert!(
            done.stderr.starts_with("traceq: ") && done.stderr.contains("No space left"),
            "{args:?}: {}",
            done.stderr
        );
    }
}

/// Of every verb that prints what it found, or a trace.
#[test]
fn a_full_disk_and_a_closed_pipe_are_the_same_to_every_verb() {
    let dir = tempfile::tempdir().unwrap();
    let file = large_trace(dir.path());
    let verbs: &[(&str, &[&str])] = &[
        ("tracewhy", &["ranks", "comm", "idle", "modules", "stacks", "critical"]),
        ("tracecv", &["repair", "anon", "cut --name k1"]),
    ];
    for (tool, verb) in verbs.iter().flat_map(|(tool, verbs)| verbs.iter().map(move |verb| (*tool, *verb))) {
        let spawn = |stdout: Stdio| {
            let mut printing = command(tool);
            printing.arg("--quiet").args(verb.split(' ')).arg(&file).stdout(stdout).stderr(Stdio::piped());
            printing.spawn().unwrap()
        };
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let done = finish_child(spawn(full.into())).expect(2);
        assert_eq!(done.stderr, format!("{tool}: standard output: No space left on device\n"), "{verb}");
        let mut child = spawn(Stdio::piped());
        drop(child.stdout.take());
        assert_eq!(finish_child(child).expect(0).stderr, "", "{tool} {verb}");
    }
}

/// The inputs are fine: a line about one of them would be untrue, and a second line too many.
#[test]
fn a_full_disk_is_no_fault_of_the_inputs() {
    let dir = tempfile::tempdir().unwrap();
    let pki = dir.path().join("pki");
    harness::run("certck", &["mint".as_ref(), "-q".as_ref(), pki.as_os_str()]).expect(0);
    let leaf = pki.join("server_certs/server.crt").display().to_string();
    let trail = format!("{}/tests/cases/profctl/audit.in/audit.jsonl", env!("CARGO_MANIFEST_DIR"));
    for (tool, args) in [
        ("certck", vec!["show", &leaf, &leaf]),
        ("certck", vec!["--format", "json", "show", &leaf, &leaf]),
        ("profctl", vec!["audit", &trail, &trail]),
        ("profctl", vec!["--format", "json", "audit", &trail, &trail]),
    ] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut printing = command(tool);
        printing.args(&args).stdout(full).stderr(Stdio::piped());
        let done = finish_child(printing.spawn().unwrap()).expect(2);
        assert_eq!(done.stderr, format!("{tool}: standard output: No space left on device\n"), "{args:?}");
    }
}

/// Formats that are written while the trace is read, after it has been sorted, and from a temporary file.
const CONVERTED: [&str; 5] = ["chrome", "perfetto", "folded", "sqlite", "arrow"];

#[test]
fn a_converted_trace_to_a_closed_pipe_is_silent() {
    let dir = tempfile::tempdir().unwrap();
    let file = large_trace(dir.path());
    for format in CONVERTED {
        let mut convert = command("tracecv");
        convert.args(["convert", "--quiet", "--to", format]).arg(&file);
        let mut child = convert.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        assert_eq!(finish_child(child).expect(0).stderr, "", "{format}");
    }
}

#[test]
fn a_converted_trace_to_a_full_disk_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let file = large_trace(dir.path());
    for format in CONVERTED {
        let mut convert = command("tracecv");
        convert.args(["convert", "--quiet", "--to", format, "-o", "/dev/full"]).arg(&file);
        let done = finish(&mut convert).expect(2);
        assert_eq!(done.stderr, "tracecv: /dev/full: No space left on device\n", "{format}");
    }
}

/// A database is built in a file of TMPDIR: that is what is full, and not the output.
#[test]
fn a_full_directory_of_temporary_files_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = large_trace(dir.path());
    let output = dir.path().join("out.db");
    std::fs::write(&output, "former").unwrap();
    // A file that may not grow fails as on a full disk, if the signal for it is ignored.
    let script = "trap '' XFSZ; ulimit -f 64; exec \"$0\" convert --quiet --to sqlite -o \"$1\" \"$2\"";
    let mut convert = Command::new("sh");
    convert.args(["-c", script, harness::bin("tracecv")]).arg(&output).arg(&file).env("TMPDIR", dir.path());
    let done = finish(&mut convert).expect(2);
    let start = format!("tracecv: temporary file in {}: ", dir.path().display());
    assert!(done.stderr.starts_with(&start) && done.stderr.lines().count() == 1, "{}", done.stderr);
    assert_eq!(std::fs::read(&output).unwrap(), b"former");
    assert_eq!(testkit::list_files(dir.path()).len(), 2);
}

/// Of a data set that could not be written, the directories that were made for it go; those that were there stay.
#[test]
fn a_data_set_that_fails_leaves_no_directories() {
    let dir = tempfile::tempdir().unwrap();
    let file = large_trace(dir.path());
    let there = dir.path().join("there");
    std::fs::create_dir(&there).unwrap();
    let script = "trap '' XFSZ; ulimit -f 1; exec \"$0\" convert --quiet --to parquet -o \"$1\" \"$2\"";
    for output in [dir.path().join("new/ds"), there.clone()] {
        let mut convert = Command::new("sh");
        let done = finish(convert.args(["-c", script, harness::bin("tracecv")]).arg(&output).arg(&file));
        assert!(done.expect(2).stderr.contains("File too large"));
    }
    assert!(!dir.path().join("new").exists());
    assert_eq!(there.read_dir().unwrap().count(), 0);
    // A part of several: others may be about to write theirs.
    let script = script.replace("\"$2\"", "--shard 1/2 \"$2\"");
    let mut convert = Command::new("sh");
    let done = finish(convert.args(["-c", &script, harness::bin("tracecv")]).arg(&there).arg(&file));
    done.expect(2);
    assert!(there.join("run=1/table=events").is_dir());
}

/// Of hundreds of ranks, lines about each would hide the result.
#[test]
fn a_warning_about_many_traces_is_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let text = |rank: u32| {
        let first =
            format!("{{\"schemaVersion\":1,\"distributedInfo\":{{\"rank\":{rank},\"world_size\":2}},");
        let kernel = "{\"ph\":\"X\",\"cat\":\"kernel\",\"name\":\"k\",\"pid\":0,\"tid\":7,\"ts\":1,\"dur\":5,\"args\":{\"stream\":7}}";
        first + "\"traceEvents\":[" + kernel + "]}"
    };
    let write = |name: &str, text: String| std::fs::write(dir.path().join(name), text).unwrap();
    (0..40).for_each(|copy| write(&format!("copy{copy:02}.json"), text(0)));
    write("rank1.json", text(1));
    let ranks = |more: &[&str]| {
        let args = [more, &["ranks", dir.path().to_str().unwrap()]].concat();
        run("tracewhy", &args).expect(0).stderr
    };
    let warnings = ranks(&[]);
    let of_copies: Vec<&str> = warnings.lines().filter(|line| line.contains("left out")).collect();
    let [line] = of_copies[..] else { panic!("{warnings}") };
    assert!(line.starts_with("tracewhy: 39 traces: are left out"), "{line}");
    assert!(line.contains("copy01.json") && line.ends_with("and 36 more; --verbose names all"), "{line}");
    assert!(warnings.lines().count() <= 4, "{warnings}");
    assert_eq!(ranks(&["--verbose"]).lines().filter(|line| line.contains("is left out")).count(), 39);
}

#[test]
fn help_to_a_full_disk_is_noticed() {
    for tool in TOOLS {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut help = command(tool);
        help.arg("--help").stdout(full).stderr(Stdio::piped());
        let done = finish_child(help.spawn().unwrap()).expect(2);
        assert!(done.stderr.contains("No space left"), "{tool}: {}", done.stderr);
    }
}

#[test]
fn color_only_where_it_is_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let file = large_trace(dir.path());
    let plain = finish(command("traceq").arg("info").arg(&file)).expect(0);
    assert!(!plain.stdout.contains('\x1b'));
}
