//! New certificate directories: their check before they appear, and the output about them.

use std::path::{Path, PathBuf};

use anyhow::bail;
use common::finding::{Finding, Severity};
use common::out::{Format, Out};
use common::pki::{CrlLimitArgs, LoadOptions, Passphrase, Role, inspect_directory};
use common::record::RecordPath;
use common::record::certck::{MintedRecord, Summary};
use common::text::safe;

use crate::authority::IssuedLeaf;
use crate::clock::format_rfc3339;

/// Warns of a validity that `check` would warn of.
pub(crate) fn warn_if_long(days: u16, out: &Out) {
    const LONGEST: u16 = 825;
    if days > LONGEST {
        let why = format!("longer than {LONGEST} days, of which `certck check` warns");
        out.warn(format_args!("{days} days"), why);
    }
}

/// The record of a directory that was made.
pub(crate) fn minted_record(
    algorithm: String,
    path: PathBuf,
    role: &str,
    files: Vec<String>,
    certificate: &IssuedLeaf,
) -> MintedRecord {
    MintedRecord {
        role: role.to_owned(),
        path: RecordPath::from(&*path),
        files,
        algorithm,
        subject: certificate.subject.clone(),
        serial: certificate.serial.clone(),
        not_before: format_rfc3339(certificate.validity.from),
        not_after: format_rfc3339(certificate.validity.until),
        hosts: Vec::new(),
    }
}

pub(crate) fn report_minted(made: &[MintedRecord], format: Format, out: &mut Out) -> anyhow::Result<()> {
    if format == Format::Json {
        made.iter().try_for_each(|m| out.record(m))?;
        return Ok(out.record(&Summary { made: made.len() as u64, ..Summary::default() })?);
    }
    for m in made {
        let path = safe(&m.path.path);
        writeln!(
            out.text(),
            "{path}: {} ({}, {}, until {})",
            m.files.join(" "),
            m.subject,
            m.algorithm,
            m.not_after
        )?;
    }
    Ok(())
}

/// Checks that a new directory is valid. With `keyless`, findings about the key are ignored, because it is elsewhere.
pub(crate) fn check_new_directory(
    new: &Path,
    role: Role,
    dir: &Path,
    passphrase: Option<&Passphrase>,
    keyless: bool,
    crl_limit: CrlLimitArgs,
) -> anyhow::Result<()> {
    let max_crl_bytes = crl_limit.max_crl_bytes;
    let options = LoadOptions { warn_days: Some(0), passphrase, max_crl_bytes, ..LoadOptions::now() };
    let findings = inspect_directory(new, role, &options).findings;
    let key = new.join(role.layout().key).to_string_lossy().into_owned();
    let counts = |f: &&Finding| f.severity == Severity::Error && !(keyless && f.path == key);
    match findings.iter().find(counts) {
        Some(finding) => bail!("{}: would be invalid: {}", dir.display(), finding.reason()),
        None => Ok(()),
    }
}
