//! `certck revoke`: take back a certificate.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use common::error::HintExt;
use common::exit::Exit;
use common::out::{Format, Out};
use rcgen::{RevocationReason, RevokedCertParams, SerialNumber};
use time::OffsetDateTime;

use crate::ca::{CaDir, NextCrl};
use crate::written::report_published;
use crate::{files, issued};

/// Revoke certificates, and make the CRL that says so
///
/// Adds the certificates to the authority's CRL, numbers it one higher, and puts it into the authority's
/// directory and into every --to directory: name all that check certificates of this authority. profd takes it up
/// within seconds; other programs that serve must be told. If such a directory would not be loaded as a whole, because of
/// another file's mode for example, that is printed and the exit status is 1; a running profd takes the new CRL all the
/// same. What was lost is revoked by its serial number, which the
/// authority's issued.jsonl has; of a number that is not there, and of directories there that did not get the new
/// CRL, a warning tells.
#[derive(clap::Args, Debug)]
#[command(arg = common::report::plain_format(), after_long_help = "Examples:
  certck revoke pki/ca lost.crt --reason key-compromise \\
    --to pki/server_certs --to pki/client_certs
  grep laptop pki/ca/issued.jsonl
  certck revoke pki/ca --serial 41d7a899abf581bf093acfe059fb5ee7 \\
    --to pki/server_certs --to pki/client_certs")]
pub(crate) struct RevokeArgs {
    /// The authority's directory: ca.crt, ca.key, ca.crl; or the one given to `certck mint`
    #[arg(value_name = "CA_DIR")]
    ca: PathBuf,
    /// Certificates to revoke
    #[arg(value_name = "FILE", required_unless_present = "serial")]
    files: Vec<PathBuf>,
    /// Serial number to revoke, in hex; may be repeated
    #[arg(long, value_name = "HEX", value_parser = parse_serial)]
    serial: Vec<SerialNumberArg>,
    /// Why
    #[arg(long, value_enum, default_value_t)]
    reason: RevokeReason,
    #[command(flatten)]
    publish: super::crl::PublishArgs,
}

/// A serial number's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SerialNumberArg(Vec<u8>);

/// Why a certificate is revoked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum RevokeReason {
    /// Nothing is said
    #[default]
    Unspecified,
    /// The private key may be known to others
    KeyCompromise,
    /// Its place in the organisation changed
    AffiliationChanged,
    /// A new certificate replaces it
    Superseded,
    /// It is no longer used
    CessationOfOperation,
}

impl RevokeReason {
    /// RFC 5280, 5.3.1: without a reason, the extension is left out.
    fn rfc_code(self) -> Option<RevocationReason> {
        match self {
            Self::Unspecified => None,
            Self::KeyCompromise => Some(RevocationReason::KeyCompromise),
            Self::AffiliationChanged => Some(RevocationReason::AffiliationChanged),
            Self::Superseded => Some(RevocationReason::Superseded),
            Self::CessationOfOperation => Some(RevocationReason::CessationOfOperation),
        }
    }
}

pub(crate) fn run(args: &RevokeArgs, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
    let ca = CaDir::open(&args.ca, args.publish.passphrase.read()?.as_ref())?;
    let serials = collect_serials(args, &ca, out)?;
    let places = ca.open_crl_stores(&args.publish.to, out)?;
    let mut revoked = ca.revoked_entries(args.publish.first)?;
    for serial in serials {
        if revoked.iter().any(|r| r.serial_number.as_ref() == serial) {
            out.warn(common::finding::hex(&serial), "was revoked before");
        } else {
            revoked.push(RevokedCertParams {
                serial_number: SerialNumber::from_slice(&serial),
                revocation_time: OffsetDateTime::now_utc().replace_nanosecond(0).context("no time")?,
                reason_code: args.reason.rfc_code(),
                invalidity_date: None,
            });
        }
    }
    let written = ca.publish_crl(NextCrl { revoked, days: args.publish.days }, &places, out)?;
    let exit = report_published(&written, &places, format, out)?;
    issued::warn_about_other_dirs(&ca, &args.publish.to, out);
    Ok(exit)
}

/// What is to be revoked: certificates that the authority issued, but never its own, whose word would then count for
/// nothing, this CRL included.
fn collect_serials(args: &RevokeArgs, ca: &CaDir, out: &Out) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut serials: Vec<Vec<u8>> = args.serial.iter().map(|s| s.0.clone()).collect();
    // What was issued elsewhere with the same key is on no list; and a slip of the pen revokes nobody.
    if let Some(known) = issued::IssuedLog::read_log(&ca.path) {
        for serial in serials.iter().filter(|s| !known.contains_serial(s)) {
            let why = format!("revoked, but was not issued here as far as {} tells", issued::FILE);
            out.warn(common::finding::hex(serial), why);
        }
    }
    for file in &args.files {
        let cert = files::read_certificate(file)?;
        let shown = || file.display().to_string();
        ensure!(cert.is_issued_by(&ca.certificate), "{}: not issued by {}", shown(), ca.certificate.subject);
        serials.push(cert.serial);
    }
    let own = &ca.certificate;
    if own.is_self_issued() && serials.contains(&own.serial) {
        return Err(anyhow::anyhow!(
            "{}: the authority's own certificate",
            common::finding::hex(&own.serial)
        ))
        .hint("a root is not revoked by itself: take its ca.crt away from all who trust it");
    }
    Ok(serials)
}

/// Hex digits, with or without colons; the number that they say must be positive.
fn parse_serial(text: &str) -> Result<SerialNumberArg, String> {
    let wrong = || "expected a positive number of at most 20 bytes in hex".to_owned();
    let digits: String = text.chars().filter(|c| *c != ':').collect();
    let digits = if digits.len().is_multiple_of(2) { digits } else { format!("0{digits}") };
    if digits.is_empty() || digits.len() > 42 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    let bytes: Vec<u8> = (0..digits.len() / 2)
        .map(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).map_err(|_| wrong()))
        .collect::<Result<_, _>>()?;
    let first = bytes.iter().position(|&b| b != 0).ok_or_else(wrong)?;
    let mut bytes = bytes[first..].to_vec();
    if bytes[0] & 0x80 != 0 {
        bytes.insert(0, 0);
    }
    if bytes.len() > 20 { Err(wrong()) } else { Ok(SerialNumberArg(bytes)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_numbers_are_der_integers() {
        assert_eq!(parse_serial("0f"), Ok(SerialNumberArg(vec![15])));
        assert_eq!(parse_serial("00:80"), Ok(SerialNumberArg(vec![0, 0x80])));
        assert_eq!(parse_serial("f"), Ok(SerialNumberArg(vec![15])));
        for wrong in ["", "0", "xy", &"11".repeat(21)] {
            assert!(parse_serial(wrong).is_err(), "{wrong}");
        }
    }
}
