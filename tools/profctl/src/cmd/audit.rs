//! `profctl audit`: reads the audit trail of profd.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use common::duration::parse_age;
use common::exit::Exit;
use common::input_lines::{InputLines, open_input};
use common::out::{Format, Out};
use common::record::profctl::AuditSummary;
use common::record::profd::{Audit, AuditedProcess};
use common::record::{self, Record};
use common::rpc::message::{ErrorCode, Request};
use common::text::Safe;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Maximum length of a line in bytes; the daemon writes shorter ones.
const MAX_LINE: u64 = 1 << 20;

/// The first bytes of a file of gzip (RFC 1952, section 2.3.1).
const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];

const EXAMPLES: &str = "Examples:
  Print who traced what in the last hour:
    profctl audit --since 1h /var/log/profd/audit.jsonl

  Print what was rejected, from the journal:
    journalctl -t profd-audit -o cat | profctl audit --answer rejected -

  List the traces of one client for a program:
    profctl --format json audit --client alice --answer done audit.jsonl | jq .output";

/// Print the audit trail of profd
///
/// Reads the JSON lines that `profd --audit-log` has written, on the host of the daemon, and prints those that match all
/// of the given options, in the order of the files. It connects to no daemon. Lines that are not of an audit trail are
/// reported, and the exit status is 2 then; it is 1 if no line matches.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct AuditArgs {
    /// Files of the audit trail, the oldest first; `-` reads standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print only lines since this time: RFC 3339 such as 2026-03-01T12:00:00Z, or an age such as 90m, 12h or 7d
    #[arg(long, value_name = "TIMESTAMP", value_parser = parse_time)]
    since: Option<OffsetDateTime>,
    /// Print only lines before this time
    #[arg(long, value_name = "TIMESTAMP", value_parser = parse_time)]
    until: Option<OffsetDateTime>,
    /// Print only lines of clients whose subject contains TEXT, or whose fingerprint or address begins with it
    #[arg(long, value_name = "TEXT")]
    client: Option<String>,
    /// Print only requests for this job
    #[arg(long, value_name = "ID")]
    job_id: Option<i64>,
    /// Print only requests that matched processes of this user, by name or uid
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Print only lines with this answer; may be repeated: done, declined, rejected, or a code such as busy or forbidden
    #[arg(long, value_name = "ANSWER", value_parser = parse_answer)]
    answer: Vec<String>,
    /// Print only requests for this function, such as getStatus, or http, handshake or connection
    #[arg(long, value_name = "NAME", value_parser = parse_function)]
    function: Option<String>,
}

impl AuditArgs {
    pub(crate) fn run(&self, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
        let mut summary = AuditSummary::default();
        for path in &self.files {
            match open_input(path) {
                Ok(lines) => self.print_file(path, lines, format, out, &mut summary)?,
                Err(e) => out.error(path.display(), format_args!("{e:#}")),
            }
        }
        summary.errors = out.diag().errors();
        if format == Format::Json {
            out.record(&summary)?;
        }
        Ok(if summary.matched == 0 { Exit::No } else { Exit::Ok })
    }

    /// Prints the matching lines of a file. What is wrong with the file is reported here.
    ///
    /// # Errors
    /// Standard output cannot be written.
    fn print_file(
        &self,
        path: &Path,
        mut lines: InputLines,
        format: Format,
        out: &mut Out,
        summary: &mut AuditSummary,
    ) -> std::io::Result<()> {
        for number in 1_u64.. {
            // A line that is too long is reported, and the next one is read.
            let line = match lines.next_line(b'\n', MAX_LINE) {
                Ok(Some(line)) => line,
                Ok(None) => break,
                Err(e) => {
                    out.error(format_args!("{}:{number}", path.display()), format_args!("{e:#}"));
                    continue;
                }
            };
            if number == 1 && line.starts_with(GZIP_MAGIC) {
                let reason = format!("is compressed: use `zcat {} | profctl audit -`", path.display());
                out.error(path.display(), reason);
                return Ok(());
            }
            let text = String::from_utf8_lossy(&line);
            if text.trim().is_empty() {
                continue;
            }
            summary.lines += 1;
            let at = || format!("{}:{number}", path.display());
            match record::read::<Audit>(&text) {
                Ok(Some(audit)) if OffsetDateTime::parse(&audit.time, &Rfc3339).is_err() => {
                    out.error(at(), format_args!("time {:?} is not RFC 3339", audit.time));
                }
                Ok(Some(audit)) if self.matches(&audit) => {
                    summary.matched += 1;
                    match format {
                        // As it stands: a newer daemon may write more.
                        Format::Json => writeln!(out.text(), "{}", text.trim())?,
                        Format::Text => writeln!(out.text(), "{}", Safe(&format_line(&audit)))?,
                    }
                }
                // One that the filters leave out.
                Ok(Some(_)) => {}
                // Records of other types, such as those of a daemon that writes everything to standard output, are passed
                // over.
                Ok(None) => {
                    if let Some(version) = find_other_version(&text) {
                        out.error(at(), format_args!("version {version} is not supported; upgrade profctl"));
                    }
                }
                Err(_) => out.error(at(), "not a line of an audit trail, or one that was cut"),
            }
        }
        Ok(())
    }

    fn matches(&self, audit: &Audit) -> bool {
        let time = OffsetDateTime::parse(&audit.time, &Rfc3339).ok();
        let is_client = |text: &String| {
            let text = text.as_str();
            audit.subject.as_ref().is_some_and(|subject| subject.contains(text))
                || audit.fingerprint.as_ref().is_some_and(|f| f.starts_with(&without_colons(text)))
                || audit.address.starts_with(text)
        };
        let is_user = |user: &String| {
            let is_of = |p: &AuditedProcess| p.user.as_ref() == Some(user) || p.uid.to_string() == *user;
            audit.user.as_ref() == Some(user) || audit.processes.iter().any(is_of)
        };
        self.since.is_none_or(|since| time.is_some_and(|time| time >= since))
            && self.until.is_none_or(|until| time.is_some_and(|time| time < until))
            && self.client.as_ref().is_none_or(is_client)
            && self.job_id.is_none_or(|job| audit.job_id == Some(job))
            && self.user.as_ref().is_none_or(is_user)
            && (self.answer.is_empty()
                || self.answer.iter().any(|a| *a == audit.answer || Some(a) == audit.code.as_ref()))
            && self.function.as_ref().is_none_or(|function| *function == audit.function)
    }
}

/// Returns the version of a line of an audit trail, if it is not the one that is read here.
fn find_other_version(line: &str) -> Option<u32> {
    let head: record::Head = serde_json::from_str(line).ok()?;
    (head.r#type == Audit::TYPE && head.v != Audit::V).then_some(head.v)
}

/// Formats a line: when, who, what, of whom, and the answer.
fn format_line(audit: &Audit) -> String {
    let client = audit.subject.as_deref().unwrap_or("no certificate");
    let mut parts = vec![format!("{} {client} ({})", audit.time, audit.address), audit.function.clone()];
    parts.extend(audit.job_id.map(|job| format!("job {job}")));
    if !audit.pids.is_empty() {
        let pids: Vec<_> = audit.pids.iter().take(8).map(ToString::to_string).collect();
        let more = if audit.pids.len() > 8 || audit.pids_omitted.is_some() { ", …" } else { "" };
        parts.push(format!("pids {}{more}", pids.join(", ")));
    }
    parts.extend(audit.output.as_ref().map(|output| format!("to {output}")));
    let triggered: Vec<_> =
        audit.processes.iter().filter(|p| p.result == "triggered").map(format_process).collect();
    if !triggered.is_empty() {
        parts.push(triggered.join(", "));
    }
    let code = audit.code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default();
    let reason = audit.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("{}: {}{code}{reason}", parts.join(", "), audit.answer)
}

fn format_process(process: &AuditedProcess) -> String {
    let user = process.user.clone().unwrap_or_else(|| format!("uid {}", process.uid));
    let trace = process.trace_id.as_ref().map(|id| format!(" trace {id}")).unwrap_or_default();
    format!("pid {} of {user}{trace}", process.host_pid.unwrap_or(process.pid))
}

/// Returns a fingerprint as the trail has it: many programs show it in upper case, with colons.
fn without_colons(text: &str) -> String {
    text.chars().filter(|c| *c != ':').map(|c| c.to_ascii_lowercase()).collect()
}

/// A word that no daemon writes would select nothing, which looks as if there were nothing.
fn parse_answer(text: &str) -> Result<String, String> {
    let codes = ErrorCode::ALL.iter().map(|code| code.name());
    expect_word(text, ["done", "declined", "rejected"].into_iter().chain(codes))
}

fn parse_function(text: &str) -> Result<String, String> {
    expect_word(text, Request::NAMES.iter().copied().chain(["http", "handshake", "connection"]))
}

fn expect_word<'a>(text: &str, words: impl Iterator<Item = &'a str>) -> Result<String, String> {
    let words: Vec<_> = words.collect();
    if words.contains(&text) {
        Ok(text.to_owned())
    } else {
        Err(format!("expected one of {}", words.join(", ")))
    }
}

fn parse_time(text: &str) -> Result<OffsetDateTime, String> {
    if let Ok(time) = OffsetDateTime::parse(text, &Rfc3339) {
        return Ok(time);
    }
    let age: Duration = parse_age(text)
        .map_err(|e| format!("neither a time such as 2026-03-01T12:00:00Z nor an age: {e}"))?;
    let age = time::Duration::try_from(age).map_err(|e| e.to_string())?;
    OffsetDateTime::now_utc().checked_sub(age).context("the age is too great").map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::{parse_args, try_parse_args};
    use super::*;
    use common::out::Verbosity;

    fn sample() -> String {
        Audit::SAMPLE.to_owned()
    }

    fn refused() -> String {
        let answer = r#""answer":"rejected","code":"forbidden","reason":"no""#;
        sample().replace("12:00:00.250Z", "13:00:00Z").replace(r#""answer":"done""#, answer)
    }

    /// Runs the command over a file, and returns what it prints and the number of errors.
    fn print(lines: &str, args: &[&str], format: Format) -> (String, u64) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        std::fs::write(&path, lines).unwrap();
        let printed = dir.path().join("out");
        let mut out =
            Out::to(Box::new(std::fs::File::create(&printed).unwrap()), "profctl", false, Verbosity::Quiet);
        let args: AuditArgs = parse_args(&[args, &[path.to_str().unwrap()]].concat());
        args.run(format, &mut out).unwrap();
        out.flush().unwrap();
        (std::fs::read_to_string(printed).unwrap(), out.diag().errors())
    }

    #[test]
    fn lines_say_who_did_what_to_whom() {
        let (text, errors) = print(&format!("{}\n{}\n", sample(), refused()), &[], Format::Text);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(errors, 0, "{text}");
        assert_eq!(
            lines[0],
            "2026-03-01T12:00:00.250Z CN=alice,O=Research (192.0.2.7:40112), setKinetOnDemandRequest, job 4711, to \
             /data/prof/t.json, pid 4242 of alice trace 7331: done"
        );
        assert!(lines[1].ends_with(": rejected (forbidden): no"), "{}", lines[1]);
    }

    #[test]
    fn filters_select_by_time_client_job_user_and_answer() {
        let both = format!("{}\n{}\n", sample(), refused());
        let count = |args: &[&str]| print(&both, args, Format::Text).0.lines().count();
        assert_eq!(count(&["--since", "2026-03-01T12:30:00Z"]), 1);
        assert_eq!(count(&["--until", "2026-03-01T12:00:00Z"]), 0);
        assert_eq!(count(&["--since", "1000d", "--until", "2026-03-01T13:00:00Z"]), 1);
        assert_eq!(
            (count(&["--client", "alice"]), count(&["--client", "9F86"]), count(&["--client", "bob"])),
            (2, 2, 0)
        );
        assert_eq!(
            (count(&["--client", "192.0.2.7"]), count(&["--job-id", "4711"]), count(&["--job-id", "1"])),
            (2, 2, 0)
        );
        assert_eq!(
            (count(&["--user", "alice"]), count(&["--user", "1000"]), count(&["--user", "7"])),
            (2, 2, 0)
        );
        assert_eq!((count(&["--answer", "done"]), count(&["--answer", "forbidden"])), (1, 1));
        assert_eq!(
            (count(&["--answer", "done", "--answer", "rejected"]), count(&["--function", "getStatus"])),
            (2, 0)
        );
        assert_eq!((count(&["--client", "9F:86:D0"]), count(&["--client", "9F:86:D1"])), (2, 0));
        for bad in [
            ["--since", "yesterday"],
            ["--answer", "Done"],
            ["--answer", "reject"],
            ["--function", "getstatus"],
        ] {
            assert!(try_parse_args::<AuditArgs>(&[&bad[..], &["x"]].concat()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn lines_that_this_version_cannot_judge_are_errors() {
        let newer = sample().replacen("\"v\":1", "\"v\":2", 1);
        assert_ne!(newer, sample());
        let (text, errors) =
            print(&format!("{newer}\n{}\n", sample()), &["--function", "getStatus"], Format::Text);
        assert_eq!((text.as_str(), errors), ("", 1));
        let bad_time = sample().replace("2026-03-01T12:00:00.250Z", "bad");
        assert_eq!(print(&bad_time, &[], Format::Text), (String::new(), 1));
        let other = r#"{"type":"profd.log","v":7}"#;
        assert_eq!(
            print(other, &[], Format::Text),
            (String::new(), 0),
            "other records may stand between them"
        );
        assert_eq!(print("\u{1f}\u{fffd}\n\n", &[], Format::Text).1, 1);
    }

    #[test]
    fn a_compressed_file_is_one_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl.gz");
        std::fs::write(&path, b"\x1f\x8b\x08\0a\nb\nc\n").unwrap();
        let mut out = Out::to(Box::new(std::io::sink()), "profctl", false, Verbosity::Quiet);
        parse_args::<AuditArgs>(&[path.to_str().unwrap()]).run(Format::Text, &mut out).unwrap();
        assert_eq!(out.diag().errors(), 1);
    }

    #[test]
    fn nothing_that_matches_is_status_1() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        let exit = |lines: &str, args: &[&str]| {
            std::fs::write(&path, lines).unwrap();
            let mut out = Out::to(Box::new(std::io::sink()), "profctl", false, Verbosity::Quiet);
            let args: AuditArgs = parse_args(&[args, &[path.to_str().unwrap()]].concat());
            args.run(Format::Text, &mut out).unwrap()
        };
        assert_eq!(exit(&sample(), &["--client", "alice"]), Exit::Ok);
        assert_eq!(exit(&sample(), &["--client", "bob"]), Exit::No);
        assert_eq!(exit("", &[]), Exit::No);
    }

    #[test]
    fn an_output_that_cannot_be_written_is_no_fault_of_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        std::fs::write(&path, sample()).unwrap();
        for format in [Format::Text, Format::Json] {
            let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
            let mut out = Out::to(Box::new(full), "profctl", false, Verbosity::Quiet);
            let error = parse_args::<AuditArgs>(&[path.to_str().unwrap()]).run(format, &mut out).unwrap_err();
            assert!(!error.to_string().contains("audit.jsonl"), "{error:#}");
            assert_eq!(out.diag().errors(), 0, "the caller reports it");
        }
    }

    #[test]
    fn a_cut_line_is_reported_and_the_others_are_printed() {
        let (text, errors) =
            print(&format!("{}\n{{\"type\":\"pro\n{}\n", sample(), sample()), &[], Format::Json);
        assert_eq!((text.lines().count(), errors), (3, 1), "{text}");
        let summary = text.lines().last().unwrap();
        assert!(summary.contains(r#""lines":3,"matched":2,"errors":1"#), "{summary}");
    }
}
