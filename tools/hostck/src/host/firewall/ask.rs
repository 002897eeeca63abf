//! Runs programs of the system, bounded in time and output, and collects the rules of the kernel.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::iptables::IptablesTables;
use super::nft::Ruleset;
use super::{AuditedHost, HostRulesets};

/// A program that takes longer is killed: nft needs seconds for large sets.
const DEADLINE: Duration = Duration::from_secs(30);

/// More output than this is not read.
const OUTPUT: u64 = 64 << 20;

/// The start of an error message that is shown.
const MESSAGE: u64 = 4 << 10;

/// The result of running a program.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ProgramOutput {
    Text(String),
    /// The program is not installed.
    Absent,
    /// The reason.
    Failed(String),
}

/// Runs a program from the directories of the system.
pub(crate) fn ask_program(program: &str, args: &[&str]) -> ProgramOutput {
    let places = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].iter().map(|d| PathBuf::from(d).join(program));
    match places.into_iter().find(|p| p.exists()) {
        Some(path) => match run_program(&path, args, DEADLINE, OUTPUT) {
            Ok(text) => ProgramOutput::Text(text),
            Err(reason) => ProgramOutput::Failed(reason),
        },
        None => ProgramOutput::Absent,
    }
}

fn run_program(path: &Path, args: &[&str], deadline: Duration, limit: u64) -> Result<String, String> {
    let end = Instant::now() + deadline;
    let mut command = Command::new(path);
    command.args(args).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|e| common::error::io_reason(&e))?;
    let answer = read_output(&mut child, end, limit);
    if answer.is_err() {
        // It may have ended by itself.
        let _ = child.kill();
    }
    let status = wait_until(&mut child, end).ok_or_else(|| timeout_reason(deadline));
    let (text, message) = answer.map_err(|e| e.unwrap_or_else(|| timeout_reason(deadline)))?;
    if status?.success() {
        return Ok(text);
    }
    let message = message.lines().map(str::trim).find(|l| !l.is_empty()).unwrap_or("it failed").to_owned();
    Err(message)
}

fn timeout_reason(deadline: Duration) -> String {
    format!("no answer within {} s", deadline.as_secs())
}

/// Reads standard output and the start of standard error. The error is `None` where the time is up.
fn read_output(child: &mut Child, end: Instant, limit: u64) -> Result<(String, String), Option<String>> {
    let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) else { return Err(None) };
    let (send, text) = mpsc::channel();
    let (send_message, message) = mpsc::channel();
    // The threads end with the program, whose end of the pipes closes then.
    std::thread::spawn(move || send.send(read_up_to(out, limit + 1)));
    std::thread::spawn(move || send_message.send(read_up_to(err, MESSAGE)));
    let left = || end.saturating_duration_since(Instant::now());
    let text = text.recv_timeout(left()).map_err(|_| None)?;
    if text.len() as u64 > limit {
        return Err(Some(format!("its output is larger than {} MiB", limit >> 20)));
    }
    let message = message.recv_timeout(left()).map_err(|_| None)?;
    Ok((String::from_utf8_lossy(&text).into_owned(), String::from_utf8_lossy(&message).into_owned()))
}

/// Reads up to a limit, and reads over the rest of short messages so that the program is not held up.
fn read_up_to(mut from: impl Read, limit: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = from.by_ref().take(limit).read_to_end(&mut bytes);
    if limit == MESSAGE {
        let _ = std::io::copy(&mut from, &mut std::io::sink());
    }
    bytes
}

fn wait_until(child: &mut Child, end: Instant) -> Option<std::process::ExitStatus> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < end => std::thread::sleep(Duration::from_millis(1)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    }
}

/// The rules of the running kernel, as far as the programs that list them answer.
pub(super) fn read_running(host: &AuditedHost) -> HostRulesets {
    let mut rulesets = HostRulesets { live: true, ..HostRulesets::default() };
    ask_nft(&mut rulesets);
    for (v6, names) in [(false, "iptables"), (true, "ip6tables")] {
        let mut legacy = false;
        for kind in ["-save", "-nft-save", "-legacy-save"] {
            let program = format!("{names}{kind}");
            let tables = match ask_program(&program, &[]) {
                ProgramOutput::Text(text) => IptablesTables::parse(&text),
                ProgramOutput::Failed(reason) => {
                    rulesets.not_seen(program, reason);
                    continue;
                }
                ProgramOutput::Absent => continue,
            };
            legacy |= tables.has_any() && !tables.in_nftables;
            if v6 { rulesets.v6.push(tables) } else { rulesets.v4.push(tables) }
        }
        // Registered tables of iptables-legacy, one a line (net/netfilter/x_tables.c).
        let registered =
            host.read_file(if v6 { "proc/net/ip6_tables_names" } else { "proc/net/ip_tables_names" });
        if !legacy && registered.is_ok_and(|names| !names.trim().is_empty()) {
            let reason =
                format!("the kernel has tables of it, and there is no {names}-legacy-save to list them");
            rulesets.not_seen(format!("{names}-legacy"), reason);
        }
    }
    rulesets
}

fn ask_nft(rulesets: &mut HostRulesets) {
    let reason = match ask_program("nft", &["-j", "list", "ruleset"]) {
        ProgramOutput::Text(text) => match Ruleset::from_json(&text) {
            Ok(ruleset) => return ask_for_dormant_tables(rulesets, ruleset),
            Err(e) => format!("its JSON is not understood: {e}"),
        },
        ProgramOutput::Failed(reason) => reason,
        ProgramOutput::Absent => {
            return rulesets.not_seen(
                "nft".into(),
                "it is not installed, and rules of nftables cannot be listed".into(),
            );
        }
    };
    // Built without JSON, nft can still list its own language.
    if reason.contains("JSON") {
        if let ProgramOutput::Text(text) = ask_program("nft", &["-nn", "list", "ruleset"]) {
            return rulesets.nft.push(Ruleset::from_listing(&text));
        }
    }
    rulesets.not_seen("nft -j list ruleset".into(), reason);
}

/// Adds which tables are dormant: nft 1.0.6 does not say it in JSON. `-t` leaves out the elements of sets.
fn ask_for_dormant_tables(rulesets: &mut HostRulesets, mut ruleset: Ruleset) {
    match ask_program("nft", &["-t", "list", "ruleset"]) {
        ProgramOutput::Text(text) => ruleset.take_dormant_tables(&Ruleset::from_text(&text)),
        ProgramOutput::Failed(reason) => rulesets.not_seen("nft -t list ruleset".into(), reason),
        ProgramOutput::Absent => {}
    }
    rulesets.nft.push(ruleset);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limit: u64) -> Result<String, String> {
        run_program(Path::new("/bin/sh"), &["-c", script], Duration::from_millis(1500), limit)
    }

    #[test]
    fn programs_are_bounded_in_time_and_output() {
        let start = Instant::now();
        assert_eq!(sh("echo yes", 100), Ok("yes\n".into()));
        assert_eq!(sh("echo; echo 'must be root' >&2; exit 4", 100), Err("must be root".into()));
        assert_eq!(sh("exit 1", 100), Err("it failed".into()));
        assert_eq!(
            sh("while :; do echo yyyyyyyy; done", 1 << 20),
            Err("its output is larger than 1 MiB".into())
        );
        assert_eq!(sh("exec sleep 60", 100), Err("no answer within 1 s".into()));
        // It closes its output, and does not end.
        assert_eq!(sh("exec >&- 2>&-; exec sleep 60", 100), Err("no answer within 1 s".into()));
        // Much on standard error does not hold it up.
        assert_eq!(
            sh("i=0; while [ $i -lt 20000 ]; do echo eeeeeeeeeeee >&2; i=$((i+1)); done; echo x", 9),
            Ok("x\n".into())
        );
        assert!(start.elapsed() < Duration::from_secs(20));
        assert_eq!(ask_program("no-such-program-here", &[]), ProgramOutput::Absent);
    }
}
