//! The output of commands about the CRLs and directories that they have written.

use common::exit::Exit;
use common::out::{Format, Out};
use common::pki::Role;
use common::record::certck::{self as record, Summary, WrittenRecord};
use common::text::Safe;

use crate::check_output::write_finding;
use crate::crl_store::CrlStore;

/// Prints what was written, and what keeps a program from loading a directory that got the CRL.
///
/// A running profd takes the CRL all the same; with anything else it goes on as it was, and it would not start again.
pub(crate) fn report_published(
    written: &[WrittenRecord],
    places: &[CrlStore],
    format: Format,
    out: &mut Out,
) -> anyhow::Result<Exit> {
    for w in written {
        report_written(w, format, out)?;
    }
    let made = written.iter().filter(|w| !w.dry_run).count() as u64;
    let mut summary = Summary { made, ..Summary::default() };
    for place in places {
        report_load_errors(place, format, &mut summary, out)?;
    }
    summary.errors = out.diag().errors();
    if format == Format::Json {
        out.record(&summary)?;
    }
    let answer = if summary.failed > 0 { Exit::No } else { Exit::Ok };
    Ok(answer.max(out.diag().exit()))
}

/// Prints what was written: CRLs and directories.
pub(crate) fn report_all_written(
    written: &[WrittenRecord],
    format: Format,
    out: &mut Out,
) -> anyhow::Result<()> {
    report_published(written, &[], format, out).map(drop)
}

/// Prints one CRL or directory that was written, or would be.
pub(crate) fn report_written(w: &WrittenRecord, format: Format, out: &mut Out) -> anyhow::Result<()> {
    if format == Format::Json {
        return Ok(out.record(w)?);
    }
    let number = match &w.serial {
        Some(serial) => format!("serial {serial}, "),
        None if w.number.is_empty() => String::new(),
        None => format!("number {}, ", w.number),
    };
    let revoked = w.revoked.map(|n| format!("{n} revoked, ")).unwrap_or_default();
    let would = if w.dry_run { "would write " } else { "" };
    Ok(writeln!(out.text(), "{would}{}: {number}{revoked}until {}", Safe(&w.path.path), w.expires)?)
}

/// Prints what keeps a program from loading a directory that has a new CRL, and counts it.
pub(crate) fn report_load_errors(
    place: &CrlStore,
    format: Format,
    summary: &mut Summary,
    out: &mut Out,
) -> anyhow::Result<()> {
    let Some((role, findings)) = place.load_errors() else { return Ok(()) };
    summary.failed += 1;
    summary.findings_error += findings.len() as u64;
    let dir = place.dir().to_string_lossy().into_owned();
    if format == Format::Json {
        for finding in findings {
            out.record(&record::FindingRecord { dir: dir.clone(), role: role.name().to_owned(), finding })?;
        }
        return Ok(());
    }
    let consequence = match role {
        Role::Server => "a running profd takes the new CRL and nothing else, and does not start again",
        Role::Client => "profctl does not start with it",
    };
    writeln!(out.text(), "{}: not valid: {consequence} until this is fixed:", Safe(&dir))?;
    for finding in &findings {
        write_finding(out.text(), Some(&finding.path), finding)?;
    }
    Ok(())
}
