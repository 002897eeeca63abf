//! `certck revoke`: revokes certificates.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use common::error::HintExt;
use common::exit::Exit;
use common::out::{Format, Out};
use rcgen::{RevocationReason, RevokedCertParams, SerialNumber};
use time::OffsetDateTime;

use crate::ca_dir::{CaDir, NextCrl};
use crate::written_output::report_published;
use crate::{files, issued_log};

/// Revoke certificates and make a new CRL
///
/// Adds the certificates to the authority's CRL, increments its number, and writes it to the authority's directory and to
/// every --to directory: name all directories that verify certificates of this authority. profd loads the new CRL within
/// seconds; other servers may have to be reloaded. A --to directory that is invalid for another reason, such as the mode
/// of a file, is reported and the exit status is 1; a running profd loads the new CRL all the same.
///
/// A certificate whose file is lost is revoked by its serial number, which is in the authority's issued.jsonl. A serial
/// number that is not there is rejected, because a mistyped one would revoke nothing. certck warns of directories there
/// that did not get the new CRL.
#[derive(clap::Args, Debug)]
#[command(arg = common::report::plain_format(), after_long_help = "Examples:
  certck revoke pki/ca lost.crt --reason key-compromise \\
    --to pki/server_certs --to pki/client_certs
  grep laptop pki/ca/issued.jsonl
  certck revoke pki/ca --serial 41d7a899abf581bf093acfe059fb5ee7 \\
    --to pki/server_certs --to pki/client_certs")]
pub(crate) struct RevokeArgs {
    /// The authority's directory (ca.crt, ca.key, ca.crl), or the directory that was given to `certck mint`
    #[arg(value_name = "CA_DIR")]
    ca: PathBuf,
    /// Files of certificates to revoke
    #[arg(value_name = "FILE", required_unless_present = "serial")]
    files: Vec<PathBuf>,
    /// Serial number to revoke, in hexadecimal; may be repeated
    #[arg(long, value_name = "HEX", value_parser = parse_serial)]
    serial: Vec<SerialNumberArg>,
    /// Also revoke serial numbers that issued.jsonl does not list: of certificates that other software issued with this key
    #[arg(long, requires = "serial")]
    unlisted: bool,
    /// Reason of the revocation, by its name in RFC 5280, section 5.3.1
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
    /// No reason is given
    #[default]
    Unspecified,
    /// The private key may be known to others
    KeyCompromise,
    /// The subject's name or affiliation changed
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
    let passphrase = args.publish.passphrase.read()?;
    let ca = CaDir::open(&args.ca, passphrase.as_ref(), args.publish.crl_limit)?;
    let serials = collect_serials(args, &ca)?;
    let places = ca.open_crl_stores(&args.publish.to, out)?;
    let mut revoked = ca.revoked_entries(args.publish.first)?;
    for serial in serials {
        if revoked.iter().any(|r| r.serial_number.as_ref() == serial) {
            out.warn(common::finding::hex(&serial), "is revoked already");
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
    issued_log::warn_about_other_dirs(&ca, &args.publish.to, out);
    Ok(exit)
}

/// The serial numbers to revoke: of certificates that the authority issued, but never its own, with which this CRL would
/// be revoked too.
fn collect_serials(args: &RevokeArgs, ca: &CaDir) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut serials: Vec<Vec<u8>> = args.serial.iter().map(|s| s.0.clone()).collect();
    // A mistyped number would revoke nothing; certificates that other software issued with the key are not listed.
    if let Some(known) = issued_log::IssuedLog::read_log(&ca.path).filter(|_| !args.unlisted) {
        if let Some(serial) = serials.iter().find(|s| !known.contains_serial(s)) {
            let (serial, log) = (common::finding::hex(serial), ca.path.join(issued_log::FILE));
            return Err(anyhow::anyhow!("{serial}: not in {}: nothing was revoked", log.display())).hint(
                "correct the number; or, for a certificate that other software issued, add --unlisted",
            );
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
        .hint("a root cannot be revoked by its own CRL: remove its ca.crt wherever it is trusted");
    }
    Ok(serials)
}

/// Parses a positive number in hexadecimal, with or without colons, into the content of a DER INTEGER.
fn parse_serial(text: &str) -> Result<SerialNumberArg, String> {
    let wrong = || "expected a positive number of at most 20 bytes in hex".to_owned();
    let digits: String = text.chars().filter(|c| *c != ':').collect();
    let digits = if digits.len() % 2 == 0 { digits } else { format!("0{digits}") };
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
