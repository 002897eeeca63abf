//! Names of files that can be given to other programs and shown on a terminal.

use anyhow::ensure;

/// Rejects a name that a shell, a terminal or a script would take for something else.
pub(super) fn require_plain_name(name: &str) -> anyhow::Result<()> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-+=@,:".contains(c);
    let fits = !name.is_empty() && name.len() <= 255 && !name.starts_with(['.', '-']);
    ensure!(
        fits && name.chars().all(is_plain),
        "unsafe file name {name:?}: names of letters, digits and ._-+=@,: are copied"
    );
    Ok(())
}
