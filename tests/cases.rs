//! Console transcripts, run as tests and readable as documentation: `tests/cases/TOOL/*.md`, each with the
//! files of its `.in` directory. `make bless` rewrites what the commands print.
//!
//! A daemon with certificates and a training job run beside them: transcripts find them by `$DAEMON`, `$CERTS` and `$TRACES`.
//! `$IPC` has the sockets of another daemon, `$CRL` is the address of a newer CRL of that authority, `$OCSP` that of its OCSP
//! responder.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test program")]

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

#[path = "harness/commands.rs"]
mod commands;
mod harness;
#[path = "harness/servers.rs"]
mod servers;
#[path = "harness/transcripts.rs"]
mod transcripts;

use harness::{Deployment, Guard, TOOLS, bin};

#[test]
fn transcripts_are_true() {
    let deployment = Deployment::with_tls();
    let job = start_job_with_a_rare_pid(&deployment);
    let address = format!("127.0.0.1:{}", deployment.port);
    // The transcripts about the daemon say how many processes it has: one that comes and goes has a daemon of its own.
    let spare = Deployment::plain();
    let dir = deployment.dir.path();
    let certs = dir.join("certs");
    let crl = servers::serve_bytes(newer_crl(&certs, &dir.join("next")));
    let responder =
        servers::start_ocsp_responder(&certs.join("ca"), &certs.join("server_certs/server.crt"), dir);
    let ocsp = responder.as_ref().map_or("", |(_, url)| url);
    let cases = trycmd::TestCases::new();
    // Shell commands of transcripts call the tools by name, too.
    let tools = Path::new(bin(TOOLS[0])).parent().unwrap().display();
    for (key, value) in [
        ("LC_ALL", "C"),
        ("TZ", "UTC"),
        ("COLUMNS", "100"),
        ("NO_COLOR", "1"),
        ("XDG_CONFIG_HOME", "/config"),
        ("PATH", &format!("{tools}:/usr/bin:/bin")),
        ("DAEMON", &address),
        ("CERTS", &certs.display().to_string()),
        ("IPC", &spare.ipc().display().to_string()),
        ("TRACES", &dir.join("traces").display().to_string()),
        ("CRL", &crl),
        ("OCSP", ocsp),
    ] {
        cases.env(key, value);
    }
    for (name, value) in [
        ("[DAEMON]", address.clone()),
        ("[PID]", job.pid().to_string()),
        ("[DIR]", dir.display().to_string()),
    ] {
        cases.insert_var(name, value).unwrap();
    }
    // A checkout has the modes of the umask and the times of now: cases about them set their own.
    for program in ["chmod", "rm", "sh", "touch"] {
        if let Some(path) = find_in_path(program) {
            cases.register_bin(program, path);
        }
    }
    cases.case("tests/cases/*/*.md");
    if responder.is_none() {
        testkit::skip_part("tests/cases/certck/ocsp.md: no openssl on PATH");
        cases.skip("tests/cases/certck/ocsp.md");
    }
    // They run when `cases` goes: before the daemon does.
    drop(cases);
}

/// Starts the training job. trycmd writes `[PID]` wherever the digits of its process id occur in an output, also inside of other
/// numbers: a process whose digits some transcript has never becomes the job.
fn start_job_with_a_rare_pid(deployment: &Deployment) -> Guard {
    let texts = transcripts::read_all();
    // Those that were not taken wait until one is, so that none has the id of another.
    let mut waiting = Vec::new();
    let mut job = loop {
        let mut shell = Command::new("sh");
        shell.args([
            "-c",
            "read -r _ && exec \"$@\"",
            "sh",
            bin("proftap"),
            "demo",
            "--npu",
            "--step-time",
            "5ms",
        ]);
        shell.env_clear().env("KINETO_IPC_SOCKET_DIR", deployment.ipc());
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let shell = Guard(shell.spawn().unwrap());
        let digits = shell.pid().to_string();
        if !texts.iter().any(|text| text.contains(&digits)) {
            break shell;
        }
        waiting.push(shell);
    };
    job.0.stdin.take().unwrap().write_all(b"\n").unwrap();
    deployment.registered(job.pid());
    job
}

/// A CRL with a higher number than that of the authority, which stays as it is.
fn newer_crl(certs: &Path, copy: &Path) -> Vec<u8> {
    common::fsat::create_dir(copy, common::policy::Mode(0o700)).unwrap();
    for file in std::fs::read_dir(certs.join("ca")).unwrap().map(Result::unwrap) {
        std::fs::copy(file.path(), copy.join(file.file_name())).unwrap();
    }
    harness::run("certck", &[OsStr::new("crl"), OsStr::new("new"), copy.as_os_str()]).expect(0);
    std::fs::read(copy.join("ca.crl")).unwrap()
}

/// Finds a program of the system, which transcripts may call by its name.
fn find_in_path(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|candidate| candidate.is_file())
}

/// Every verb of every tool has a transcript in which it does its work.
#[test]
fn every_verb_has_a_transcript() {
    let missing: BTreeSet<String> = commands::tools()
        .into_iter()
        .flat_map(|(command, _)| {
            let examples = transcripts::read_examples(command.get_name());
            let verbs = verbs_of(&command, command.get_name());
            let does_it = move |verb: &String| examples.iter().any(|e| e.calls(verb) && !e.is_failure());
            verbs.into_iter().filter(move |verb| !does_it(verb))
        })
        .collect();
    assert!(missing.is_empty(), "write a transcript in tests/cases/ for: {missing:?}");
}

/// The command, or its subcommands where it has some: `certck crl check`.
fn verbs_of(command: &clap::Command, path: &str) -> Vec<String> {
    let visible: Vec<_> =
        command.get_subcommands().filter(|c| !c.is_hide_set() && c.get_name() != "help").collect();
    if visible.is_empty() {
        return vec![path.to_owned()];
    }
    let mut verbs: Vec<_> =
        visible.iter().flat_map(|c| verbs_of(c, &format!("{path} {}", c.get_name()))).collect();
    // `certck mint DIR` does something, and has subcommands.
    if !command.is_subcommand_required_set() && command.get_positionals().next().is_some() {
        verbs.push(path.to_owned());
    }
    verbs
}
