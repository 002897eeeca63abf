//! `certck show`: the content of certificates, CRLs, requests and keys, without any verdict.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use common::exit::Exit;
use common::input_lines::open_input;
use common::out::{Format, Out};
use common::pki::der::Der;
use common::pki::pem::{self, Block, PemError};
use common::pki::{Cert, Crl, CrlLimitArgs, key, revocation_reason};
use common::record::certck as record;
use common::text::Safe;
use zeroize::Zeroizing;

use crate::describe;
use crate::request::SigningRequest;

/// Show the content of certificates, CRLs, signing requests and keys
///
/// PEM and DER are detected. Of a private key only its kind and the hash of its public half are shown, which is the same as
/// that of its certificate; of an encrypted key, how it is encrypted. Symbolic links are followed and pipes read, up to
/// --max-crl-bytes of each. A block that cannot be shown is an error, and the others are shown all the same; of a malformed
/// certificate, the parts that can be read.
#[derive(clap::Args, Debug)]
#[command(arg = common::report::plain_format(), after_long_help = "Examples:
  certck show /etc/profguard/server_certs/*.crt
  certck show --format json - < server.crt | jq -r 'select(.not_after) | .not_after'
  certck show <(openssl s_client -connect node17:1778 -showcerts < /dev/null)")]
pub(crate) struct ShowArgs {
    /// Files to show; standard input if none is given, or for `-`
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    crl_limit: CrlLimitArgs,
}

pub(crate) fn run(args: &ShowArgs, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
    let mut shown = 0;
    for file in super::paths_or_stdin(&args.files) {
        match read_input(&file, args.crl_limit.max_crl_bytes).and_then(|bytes| split_blocks(&bytes)) {
            Err(e) => out.failed(file.display(), &e),
            Ok(blocks) => {
                for block in blocks {
                    let block = match block {
                        Ok(block) => block,
                        Err(e) => {
                            out.failed(file.display(), &e.into());
                            continue;
                        }
                    };
                    match show_block(&block, &file, format, out) {
                        Ok(()) => shown += 1,
                        Err(e) if common::error::is_output_error(&e) => return Err(e),
                        Err(e) => out.failed(format_args!("{}:{}", file.display(), block.line), &e),
                    }
                }
            }
        }
    }
    if format == Format::Json {
        let errors = out.diag().errors();
        out.record(&record::Summary { checked: shown, errors, ..record::Summary::default() })?;
    }
    Ok(Exit::Ok)
}

/// A file, a pipe or standard input, whole.
fn read_input(path: &Path, limit: u64) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    Ok(Zeroizing::new(open_input(path)?.read_all(limit)?))
}

/// The blocks of a file: those of PEM, or the one that DER is.
fn split_blocks(bytes: &[u8]) -> anyhow::Result<Vec<Result<Block, PemError>>> {
    if bytes.first() != Some(&0x30) {
        return Ok(pem::parse_each(bytes)?);
    }
    let der = |label: &str| {
        let der = Zeroizing::new(bytes.to_vec());
        Block { label: label.to_owned(), der, line: 1, headers: false }
    };
    let is_key = |label: &&&str| describe::describe_key(&der(label), String::new(), 1).is_ok();
    let label = match () {
        () if Cert::parse(bytes).is_ok() => "CERTIFICATE",
        () if Crl::parse(bytes).is_ok() => "X509 CRL",
        () if SigningRequest::parse(bytes).is_ok() => "CERTIFICATE REQUEST",
        () => match KEYS.iter().find(is_key) {
            Some(label) => label,
            None => bail!("looks like DER, but is not a certificate, CRL, signing request or private key"),
        },
    };
    Ok(vec![Ok(der(label))])
}

/// The forms of private keys.
const KEYS: [&str; 4] = ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY"];

fn show_block(block: &Block, path: &Path, format: Format, out: &mut Out) -> anyhow::Result<()> {
    let (path, line) = (path.to_string_lossy().into_owned(), block.line as u64);
    let json = format == Format::Json;
    match block.label.as_str() {
        "CERTIFICATE" => {
            let cert = match Cert::parse(&block.der) {
                Ok(cert) => cert,
                // What can be read is shown, and the error says what cannot.
                Err(e) => {
                    let parts = describe::describe_readable_parts(&block.der);
                    write_malformed((path, line), "certificate", &parts, format, out)?;
                    return Err(e).context("not a certificate");
                }
            };
            let record = describe::describe_certificate(&cert, path, line);
            if json { Ok(out.record(&record)?) } else { write_certificate(&record, out) }
        }
        "X509 CRL" => {
            let crl = match Crl::parse(&block.der) {
                Ok(crl) => crl,
                Err(e) => {
                    let parts = describe::describe_readable_crl_parts(&block.der);
                    write_malformed((path, line), "CRL", &parts, format, out)?;
                    return Err(e).context("not a CRL");
                }
            };
            if json {
                return Ok(out.record(&describe::describe_crl(&crl, path, line))?);
            }
            write_crl(&describe::describe_crl_without_entries(&crl, path, line), &crl, out)
        }
        "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => {
            let request = SigningRequest::parse(&block.der).context("not a signing request")?;
            let record = describe::describe_request(&request, path, line);
            if json { Ok(out.record(&record)?) } else { write_request(&record, out) }
        }
        label if key::is_private(label) => {
            let record =
                describe::describe_key(block, path, line).context("not a private key that can be used")?;
            if json { Ok(out.record(&record)?) } else { write_key(&record, out) }
        }
        "EC PARAMETERS" => {
            let key = key::describe_curve(&mut Der::new(&block.der));
            if json {
                return Ok(out.record(&record::ParametersRecord { path, line, key })?);
            }
            write_table(&path, line, "parameters", &[("key", key)], out)
        }
        label => Err(anyhow!("`{label}`: not a certificate, CRL, signing request or private key")),
    }
}

/// Writes what can be read of a block that is malformed, if anything.
fn write_malformed(
    (path, line): (String, u64),
    kind: &str,
    parts: &[(&str, String)],
    format: Format,
    out: &mut Out,
) -> anyhow::Result<()> {
    if parts.is_empty() {
        return Ok(());
    }
    if format == Format::Text {
        return write_table(&path, line, &format!("malformed {kind}"), parts, out);
    }
    let named =
        |(name, value): &(&str, String)| record::NamedPart { name: (*name).to_owned(), value: value.clone() };
    let parts = parts.iter().map(named).collect();
    Ok(out.record(&record::MalformedRecord { path, line, kind: kind.to_owned(), parts })?)
}

/// A name and its values, if there are any.
fn push_row<'a>(rows: &mut Vec<(&'a str, String)>, name: &'a str, values: &[String]) {
    if !values.is_empty() {
        rows.push((name, values.join(", ")));
    }
}

fn write_certificate(c: &record::CertificateRecord, out: &mut Out) -> anyhow::Result<()> {
    let kind = if c.ca { "CA certificate" } else { "certificate" };
    let mut rows = vec![
        ("subject", c.subject.clone()),
        ("issuer", c.issuer.clone()),
        ("serial", c.serial.clone()),
        ("valid", format!("{} to {}", c.not_before, c.not_after)),
        ("key", c.key.clone()),
        ("signature", c.signature.clone()),
    ];
    if let Some(n) = c.path_length {
        rows.push(("path length", n.to_string()));
    }
    for (name, values) in [
        ("usage", &c.key_usages),
        ("extended usage", &c.extended_key_usages),
        ("names", &c.names),
        ("names within", &c.permitted_names),
        ("names not within", &c.excluded_names),
        ("policies", &c.policies),
        ("policy mappings", &c.policy_mappings),
        ("policy limits", &policy_limits(c)),
        ("CRL at", &c.crl_urls),
        ("OCSP at", &c.ocsp_urls),
        ("critical", &c.critical_extensions),
        ("other extensions", &c.other_extensions),
    ] {
        push_row(&mut rows, name, values);
    }
    rows.extend(c.subject_key_id.iter().map(|id| ("key identifier", id.clone())));
    rows.extend(c.authority_key_id.iter().map(|id| ("signer's key", id.clone())));
    rows.push(("SHA-256", c.sha256.clone()));
    rows.push(("key SHA-256", c.key_sha256.clone()));
    write_table(&c.path, c.line, kind, &rows, out)
}

/// The limits of policies by the names of RFC 5280, sections 4.2.1.11 and 4.2.1.14, each with the certificates until it
/// applies.
fn policy_limits(c: &record::CertificateRecord) -> Vec<String> {
    let limits = [
        ("requireExplicitPolicy", c.require_explicit_policy),
        ("inhibitPolicyMapping", c.inhibit_policy_mapping),
        ("inhibitAnyPolicy", c.inhibit_any_policy),
    ];
    let describe = |(name, skipped): (&str, Option<u32>)| match skipped? {
        0 => Some(format!("{name} at once")),
        1 => Some(format!("{name} after 1 certificate")),
        n => Some(format!("{name} after {n} certificates")),
    };
    limits.into_iter().filter_map(describe).collect()
}

/// Writes a CRL, its entries one by one.
fn write_crl(c: &record::CrlRecord, crl: &Crl, out: &mut Out) -> anyhow::Result<()> {
    let next = c.next_update.clone().unwrap_or_else(|| "no expiry (no nextUpdate)".to_owned());
    let mut rows = vec![
        ("issuer", c.issuer.clone()),
        ("number", c.number.clone().unwrap_or_else(|| "none".to_owned())),
        ("valid", format!("{} to {next}", c.this_update)),
        ("signature", c.signature.clone()),
    ];
    rows.extend(c.authority_key_id.iter().map(|id| ("signer's key", id.clone())));
    push_row(&mut rows, "limited to", &c.scope);
    push_row(&mut rows, "other extensions", &c.other_extensions);
    rows.push(("SHA-256", c.sha256.clone()));
    rows.push(("revoked", crl.revoked_count().to_string()));
    write_table(&c.path, c.line, "CRL", &rows, out)?;
    for r in describe::describe_revoked(crl) {
        let entry = format!("{} at {}{}", r.serial, r.at, revocation_reason(r.reason));
        writeln!(out.text(), "  {:<16} {}", "", Safe(&entry))?;
    }
    Ok(())
}

fn write_request(r: &record::RequestRecord, out: &mut Out) -> anyhow::Result<()> {
    let signed = if r.signed_by_key { "by its own key" } else { "NOT by its own key" };
    let mut rows = vec![
        ("subject", r.subject.clone()),
        ("key", r.key.clone()),
        ("signature", format!("{}, {signed}", r.signature)),
    ];
    if r.ca {
        rows.push(("asks", "to be a CA".to_owned()));
    }
    for (name, values) in
        [("usage", &r.key_usages), ("extended usage", &r.extended_key_usages), ("names", &r.names)]
    {
        push_row(&mut rows, name, values);
    }
    rows.push(("key SHA-256", r.key_sha256.clone()));
    write_table(&r.path, r.line, "signing request", &rows, out)
}

fn write_key(k: &record::KeyRecord, out: &mut Out) -> anyhow::Result<()> {
    let mut rows = vec![("form", k.form.clone())];
    rows.extend(k.key.iter().map(|key| ("key", key.clone())));
    rows.extend(k.encryption.iter().map(|e| ("encrypted", e.clone())));
    rows.extend(k.key_sha256.iter().map(|h| ("key SHA-256", h.clone())));
    write_table(&k.path, k.line, "private key", &rows, out)
}

fn write_table(
    path: &str,
    line: u64,
    kind: &str,
    rows: &[(&str, String)],
    out: &mut Out,
) -> anyhow::Result<()> {
    writeln!(out.text(), "{}:{line}: {kind}", Safe(path))?;
    for (name, value) in rows {
        writeln!(out.text(), "  {name:<16} {}", Safe(value))?;
    }
    Ok(())
}
