//! What an authority has issued: a line for each certificate in its directory, so that one that was lost can still
//! be revoked by its serial number.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use common::fsat;
use common::pki::Role;
use common::policy::{Class, Mode};
use common::record::Line;
use common::record::certck as record;
use time::OffsetDateTime;

use crate::authority::Issued;
use crate::ca::Ca;
use crate::clock::rfc3339;
use crate::leaf::Host;

/// The file's name.
pub(crate) const FILE: &str = "issued.jsonl";

/// A certificate's line.
pub(crate) fn line(leaf: &Issued, role: Role, hosts: &[Host], path: &Path) -> anyhow::Result<Vec<u8>> {
    let record = record::Issued {
        serial: leaf.serial.clone(),
        subject: leaf.subject.clone(),
        role: role.name().to_owned(),
        hosts: hosts.iter().map(ToString::to_string).collect(),
        path: path.to_string_lossy().into_owned(),
        at: rfc3339(OffsetDateTime::now_utc()),
        not_after: rfc3339(leaf.validity.until),
    };
    let mut line = serde_json::to_vec(&Line::new(&record))?;
    line.push(b'\n');
    Ok(line)
}

/// Adds a line to an authority's file, in one write, before the certificate is anywhere: a line too many does no
/// harm, one that is missing does.
pub(crate) fn append(ca: &Ca, line: &[u8]) -> anyhow::Result<()> {
    let path = ca.path.join(FILE);
    let write = || {
        let mut file = fsat::open_append(&path, Mode(Class::KeyFile.max().0))?;
        fsat::own_like(&file, &ca.path.metadata()?)?;
        file.write_all(line)?;
        file.sync_all()
    };
    write().with_context(|| path.display().to_string())
}
