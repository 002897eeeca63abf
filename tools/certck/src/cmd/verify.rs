//! `certck verify`: path validation by RFC 5280 of cases that come as JSON lines.
//!
//! Clock, roots and CRLs come with the case. The policy on modes and key sizes that `certck check` adds does not apply.

use std::path::PathBuf;

use anyhow::{Context, anyhow, ensure};
use common::exit::Exit;
use common::input_lines::open_input;
use common::out::{Format, Out};
use common::pki::extension::KeyUsage;
use common::pki::path::{self, PathError, ValidationRequest};
use common::pki::{Cert, Crl, CrlLimitArgs, Malformed, oid, pem};
use common::record::certck::{
    CaseName, CaseProfile, NameKind, PeerKind, Summary, VerifyAnswer, VerifyCase, VerifyVerdict,
};
use time::OffsetDateTime;

use crate::clock;
use crate::parallel::in_order_as_they_come;

/// Validate certificate paths given as JSON lines
///
/// Reads one case per line (a peer's certificate, intermediates, roots and CRLs as PEM text; the time; the names and usages
/// that the peer must have) and writes one verdict per line. The rules are those of RFC 5280, without the policy of
/// `certck check`. Each verdict is written as soon as its case is decided, so that a program can ask case by case. The
/// records certck.case and certck.verdict are described in profguard-records(7). Exit status 1 means that at least one case
/// was rejected. A line has room for --max-crl-bytes of CRLs and 16 MiB of certificates; reading ends with an error at a
/// line that is more than 64 MiB longer, and at a FIFO that has no writer within 5 s.
#[derive(clap::Args, Debug)]
#[command(arg = common::report::plain_format(), after_long_help = "Examples:
  certck verify --format json - < cases.jsonl
  certck verify cases.jsonl | grep reject")]
pub(crate) struct VerifyArgs {
    /// Files of cases; standard input if none is given, or for `-`
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    crl_limit: CrlLimitArgs,
}

/// Maximum size of a case without its CRLs, in bytes.
const MAX_CERTIFICATES: u64 = 16 << 20;

/// The longest case that is read, in bytes. In JSON, the end of each line of PEM is two characters instead of one.
fn max_line(limit: CrlLimitArgs) -> u64 {
    let bytes = limit.max_crl_bytes;
    bytes.saturating_add(bytes / 32).saturating_add(MAX_CERTIFICATES)
}

pub(crate) fn run(args: &VerifyArgs, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
    let mut summary = Summary::default();
    for file in super::paths_or_stdin(&args.files) {
        if let Err(e) = verify_file(&file, args.crl_limit, format, &mut summary, out) {
            if common::error::is_output_error(&e) {
                return Err(e);
            }
            out.failed(file.display(), &e);
        }
    }
    summary.errors = out.diag().errors();
    if format == Format::Json {
        out.record(&summary)?;
    }
    Ok(if summary.failed > 0 { Exit::No } else { Exit::Ok })
}

fn verify_file(
    file: &std::path::Path,
    crl_limit: CrlLimitArgs,
    format: Format,
    summary: &mut Summary,
    out: &mut Out,
) -> anyhow::Result<()> {
    let mut input = open_input(file)?;
    let name = input.name.clone();
    let limit = max_line(crl_limit);
    let lines = std::iter::from_fn(move || input.next_line(b'\n', limit).transpose()).zip(1u64..);
    let lines = lines.filter(|(line, _)| !line.as_ref().is_ok_and(|l| l.trim_ascii().is_empty()));
    let work = |(line, number): (anyhow::Result<Vec<u8>>, u64)| {
        (line.and_then(|line| answer_case(&line, crl_limit)), number)
    };
    // A program that waits for each verdict before it writes the next case must get it.
    in_order_as_they_come(lines, work, |(verdict, number)| {
        match verdict {
            Err(e) => out.failed(format_args!("{name}:{number}"), &e),
            Ok(verdict) => {
                summary.checked += 1;
                summary.failed += u64::from(verdict.verdict == VerifyAnswer::Reject);
                write_verdict(&verdict, format, out)?;
                out.flush()?;
            }
        }
        Ok(())
    })
}

fn write_verdict(verdict: &VerifyVerdict, format: Format, out: &mut Out) -> anyhow::Result<()> {
    if format == Format::Json {
        return Ok(out.record(verdict)?);
    }
    let text = match (&verdict.detail, &verdict.reason) {
        (Some(detail), Some(reason)) => format!("{}: reject: {detail} [{reason}]", verdict.id),
        _ => format!("{}: accept: {}", verdict.id, verdict.path.join(" < ")),
    };
    Ok(writeln!(out.text(), "{}", common::text::safe(&text))?)
}

/// Decides the case of one line. An invalid certificate is a verdict, an invalid case an error.
pub(crate) fn answer_case(line: &[u8], crl_limit: CrlLimitArgs) -> anyhow::Result<VerifyVerdict> {
    let case: VerifyCase = serde_json::from_slice(line).context("not a certck.case")?;
    let (bytes, most) =
        (case.crls.iter().map(|text| text.len() as u64).sum::<u64>(), crl_limit.max_crl_bytes);
    ensure!(bytes <= most, "crls: larger than {most} bytes (--max-crl-bytes)");
    let verdict = match decide_case(&case)? {
        Ok(path) => {
            VerifyVerdict { id: case.id, verdict: VerifyAnswer::Accept, reason: None, detail: None, path }
        }
        Err(error) => VerifyVerdict {
            id: case.id,
            verdict: VerifyAnswer::Reject,
            reason: Some(error.code.to_owned()),
            detail: Some(error.text),
            path: Vec::new(),
        },
    };
    Ok(verdict)
}

fn decide_case(case: &VerifyCase) -> anyhow::Result<Result<Vec<String>, PathError>> {
    let at = match &case.time {
        Some(text) => clock::parse_time(text).map_err(|e| anyhow!("time: {e}"))?,
        None => OffsetDateTime::now_utc(),
    };
    let names = case.names.iter().map(convert_peer_name).collect::<anyhow::Result<Vec<_>>>()?;
    let purposes = case_purposes(case)?;
    let key_usage = parse_key_usage(&case.key_usages)?;
    let leaf = match parse_single(&case.peer, "CERTIFICATE", Cert::parse) {
        Ok(leaf) => leaf,
        Err(e) => return Ok(Err(PathError { code: "malformed-certificate", text: e.0 })),
    };
    let readable = |texts: &[String]| -> Vec<Cert> {
        texts.iter().filter_map(|text| parse_single(text, "CERTIFICATE", Cert::parse).ok()).collect()
    };
    let crls: Result<Vec<Crl>, Malformed> =
        case.crls.iter().map(|t| parse_single(t, "X509 CRL", Crl::parse)).collect();
    let crls = match crls {
        Ok(crls) => crls,
        Err(e) => return Ok(Err(PathError { code: "malformed-crl", text: e.0 })),
    };
    let question = ValidationRequest {
        leaf: &leaf,
        intermediates: &readable(&case.intermediates),
        roots: &readable(&case.roots),
        crls: &crls,
        at: at.unix_timestamp(),
        purposes: &purposes,
        key_usage,
        names: &names,
        max_depth: case.max_depth.map_or(path::MAX_DEPTH, |n| n as usize),
        conformance: case.profile.unwrap_or_default() == CaseProfile::Rfc5280,
    };
    Ok(path::validate_path(&question).map(|path| path.iter().map(|c| c.subject.to_string()).collect()))
}

/// Reads the one block that a text must hold.
fn parse_single<T>(
    text: &str,
    label: &str,
    parse: impl Fn(&[u8]) -> Result<T, Malformed>,
) -> Result<T, Malformed> {
    let blocks = pem::parse(text.as_bytes()).map_err(|e| Malformed(e.to_string()))?;
    match blocks.as_slice() {
        [block] if block.label == label => parse(&block.der),
        _ => Err(Malformed(format!("not one `{label}` block"))),
    }
}

fn convert_peer_name(name: &CaseName) -> anyhow::Result<path::PeerName> {
    let value = name.value.clone();
    Ok(match name.kind {
        NameKind::Dns => path::PeerName::Dns(value),
        NameKind::Email => path::PeerName::Email(value),
        NameKind::Ip => path::PeerName::Ip(value.parse().with_context(|| format!("names: `{value}`"))?),
    })
}

fn case_purposes(case: &VerifyCase) -> anyhow::Result<Vec<Vec<u8>>> {
    let default = match case.kind {
        PeerKind::Server => "serverAuth",
        PeerKind::Client => "clientAuth",
    };
    let wanted = match case.extended_key_usages.as_slice() {
        [] => vec![default],
        given => given.iter().map(String::as_str).collect(),
    };
    let read = |name: &&str| {
        oid::encode_purpose(name).ok_or_else(|| anyhow!("extended_key_usages: unknown `{name}`"))
    };
    wanted.iter().map(read).collect()
}

fn parse_key_usage(names: &[String]) -> anyhow::Result<KeyUsage> {
    // RFC 5280 has two names for one bit.
    let known =
        |name: &str| if name == "contentCommitment" { "nonRepudiation".to_owned() } else { name.to_owned() };
    let bit = |name: &String| {
        (0..9)
            .map(|i| KeyUsage(1 << i))
            .find(|k| k.usage_names() == [known(name).as_str()])
            .ok_or_else(|| anyhow!("key_usages: unknown `{name}`"))
    };
    names.iter().try_fold(KeyUsage(0), |all, name| Ok(KeyUsage(all.0 | bit(name)?.0)))
}
