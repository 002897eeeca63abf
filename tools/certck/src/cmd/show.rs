//! `certck show`: what certificates, CRLs and keys say, without judging them.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use common::exit::Exit;
use common::finding::hex;
use common::out::{Format, Out};
use common::pki::name::GeneralName;
use common::pki::pem::{self, Block};
use common::pki::{Cert, Crl, key, oid_name, sha256};
use common::record::certck as record;
use common::text::Safe;
use zeroize::Zeroizing;

use crate::input;

/// Show what certificates, CRLs and keys say
///
/// PEM and DER are told apart. Of a private key only its kind and the hash of its public half are shown: the
/// same hash as its certificate's.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "Examples:
  certck show /etc/profguard/server_certs/*.crt
  certck show --format json - < server.crt | jq -r .not_after")]
pub(crate) struct Args {
    /// Files; `-` and none mean standard input
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// The largest file that is read, in bytes.
const MAX_BYTES: u64 = 64 << 20;

pub(crate) fn run(args: &Args, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
    let mut shown = 0;
    for file in input::or_stdin(&args.files) {
        match read(&file) {
            Err(e) => out.failed(file.display(), &e),
            Ok(bytes) => {
                for block in blocks(&bytes, &file, out) {
                    let line = block.line;
                    match show(&block, &file, format, out) {
                        Ok(()) => shown += 1,
                        Err(e) if common::error::is_broken_pipe(&e) => return Err(e),
                        Err(e) => out.failed(format_args!("{}:{line}", file.display()), &e),
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
fn read(path: &Path) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    Ok(Zeroizing::new(input::open(path)?.all(MAX_BYTES)?))
}

/// The blocks of a file: those of PEM, or the one that DER is.
fn blocks(bytes: &[u8], path: &Path, out: &Out) -> Vec<Block> {
    let der = |label: &str| {
        let der = Zeroizing::new(bytes.to_vec());
        vec![Block { label: label.to_owned(), der, line: 1, headers: false }]
    };
    if bytes.first() == Some(&0x30) {
        let label = match () {
            () if Cert::parse(bytes).is_ok() => "CERTIFICATE",
            () if Crl::parse(bytes).is_ok() => "X509 CRL",
            () => "PRIVATE KEY",
        };
        return der(label);
    }
    pem::parse(bytes).unwrap_or_else(|e| {
        out.error(path.display(), e);
        Vec::new()
    })
}

fn show(block: &Block, path: &Path, format: Format, out: &mut Out) -> anyhow::Result<()> {
    let (path, line) = (path.to_string_lossy().into_owned(), block.line as u64);
    match block.label.as_str() {
        "CERTIFICATE" => {
            let cert = Cert::parse(&block.der).context("not a certificate")?;
            let record = certificate(&cert, path, line);
            if format == Format::Json { Ok(out.record(&record)?) } else { certificate_text(&record, out) }
        }
        "X509 CRL" => {
            let crl = Crl::parse(&block.der).context("not a CRL")?;
            let record = list(&crl, path, line);
            if format == Format::Json { Ok(out.record(&record)?) } else { list_text(&record, out) }
        }
        label if key::is_private(label) => {
            let record = private(block, path, line);
            if format == Format::Json { Ok(out.record(&record)?) } else { private_text(&record, out) }
        }
        label => Err(anyhow!("`{label}` is no certificate, CRL or private key")),
    }
}

fn certificate(cert: &Cert, path: String, line: u64) -> record::Certificate {
    let e = &cert.extensions;
    let urls = |names: &[GeneralName]| -> Vec<String> {
        names
            .iter()
            .filter_map(|n| if let GeneralName::Uri(u) = n { Some(u.clone()) } else { None })
            .collect()
    };
    let unknown = e
        .unknown
        .iter()
        .map(|u| if u.critical { format!("{} (critical)", u.value) } else { u.value.clone() });
    record::Certificate {
        path,
        line,
        subject: cert.subject.to_string(),
        issuer: cert.issuer.to_string(),
        serial: hex(&cert.serial),
        version: cert.version,
        not_before: cert.not_before.to_string(),
        not_after: cert.not_after.to_string(),
        key: cert.key.kind.to_string(),
        signature: cert.signature.name(),
        ca: cert.is_ca(),
        path_length: e.basic_constraints.as_ref().and_then(|b| b.value.path_len),
        key_usages: e.key_usage.iter().flat_map(|k| k.value.names()).map(str::to_owned).collect(),
        extended_key_usages: e
            .extended_key_usage
            .iter()
            .flat_map(|k| &k.value)
            .map(|u| oid_name(u))
            .collect(),
        names: e.subject_alt_name.iter().flat_map(|s| &s.value).map(ToString::to_string).collect(),
        crl_urls: e
            .crl_distribution_points
            .iter()
            .flat_map(|p| &p.value)
            .flat_map(|p| urls(&p.names))
            .collect(),
        subject_key_id: e.subject_key_id.as_ref().map(|s| hex(&s.value)),
        authority_key_id: e.authority_key_id.as_ref().and_then(|a| a.value.key_id.as_ref()).map(|k| hex(k)),
        other_extensions: unknown.chain(e.broken.iter().cloned()).collect(),
        sha256: hex(&sha256(&cert.der)),
        key_sha256: hex(&sha256(&cert.key.spki)),
    }
}

fn certificate_text(c: &record::Certificate, out: &mut Out) -> anyhow::Result<()> {
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
        ("good for", &c.extended_key_usages),
        ("names", &c.names),
        ("CRL at", &c.crl_urls),
        ("other extensions", &c.other_extensions),
    ] {
        if !values.is_empty() {
            rows.push((name, values.join(", ")));
        }
    }
    rows.push(("SHA-256", c.sha256.clone()));
    rows.push(("key SHA-256", c.key_sha256.clone()));
    table(&c.path, c.line, kind, &rows, out)
}

fn list(crl: &Crl, path: String, line: u64) -> record::Crl {
    let revoked = crl.revoked.iter().map(|r| record::Revoked {
        serial: hex(&r.serial),
        at: r.at.to_string(),
        reason: r.reason,
    });
    record::Crl {
        path,
        line,
        issuer: crl.issuer.to_string(),
        number: crl.number.as_ref().map(|n| hex(&n.value)),
        this_update: crl.this_update.to_string(),
        next_update: crl.next_update.map(|t| t.to_string()),
        signature: crl.signature.name(),
        revoked: revoked.collect(),
        sha256: hex(&sha256(&crl.der)),
    }
}

fn list_text(c: &record::Crl, out: &mut Out) -> anyhow::Result<()> {
    let next = c.next_update.clone().unwrap_or_else(|| "for ever (no nextUpdate)".to_owned());
    let mut rows = vec![
        ("issuer", c.issuer.clone()),
        ("number", c.number.clone().unwrap_or_else(|| "none".to_owned())),
        ("valid", format!("{} to {next}", c.this_update)),
        ("signature", c.signature.clone()),
        ("SHA-256", c.sha256.clone()),
        ("revoked", c.revoked.len().to_string()),
    ];
    rows.extend(c.revoked.iter().map(|r| {
        let reason = r.reason.map(|n| format!(", reason {n}")).unwrap_or_default();
        ("", format!("{} at {}{reason}", r.serial, r.at))
    }));
    table(&c.path, c.line, "CRL", &rows, out)
}

fn private(block: &Block, path: String, line: u64) -> record::Key {
    let read = key::read(block, None);
    let public = read.as_ref().ok().and_then(|k| key::public(k.as_ref()));
    record::Key {
        path,
        line,
        form: block.label.clone(),
        encrypted: matches!(read, Err(key::KeyError::Encrypted | key::KeyError::Traditional)),
        key: public.as_ref().map(|p| p.kind.to_string()),
        key_sha256: public.map(|p| hex(&sha256(&p.spki))),
    }
}

fn private_text(k: &record::Key, out: &mut Out) -> anyhow::Result<()> {
    let unknown = if k.encrypted { "encrypted" } else { "cannot be read" };
    let mut rows =
        vec![("form", k.form.clone()), ("key", k.key.clone().unwrap_or_else(|| unknown.to_owned()))];
    rows.extend(k.key_sha256.iter().map(|h| ("key SHA-256", h.clone())));
    table(&k.path, k.line, "private key", &rows, out)
}

fn table(path: &str, line: u64, kind: &str, rows: &[(&str, String)], out: &mut Out) -> anyhow::Result<()> {
    writeln!(out.text(), "{}:{line}: {kind}", Safe(path))?;
    for (name, value) in rows {
        writeln!(out.text(), "  {name:<16} {}", Safe(value))?;
    }
    Ok(())
}
