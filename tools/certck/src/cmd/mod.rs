//! The subcommands, one file each.

pub(crate) mod check;
pub(crate) mod crl;
pub(crate) mod crlcheck;
pub(crate) mod fetch;
pub(crate) mod leaf;
pub(crate) mod mint;
pub(crate) mod ocsp;
pub(crate) mod probe;
pub(crate) mod renew;
pub(crate) mod revoke;
pub(crate) mod rollover;
pub(crate) mod rules;
pub(crate) mod show;
pub(crate) mod verify;
pub(crate) mod watch;

use std::path::PathBuf;

/// The paths given, or `-` for standard input.
fn paths_or_stdin(paths: &[PathBuf]) -> Vec<PathBuf> {
    if paths.is_empty() { vec![PathBuf::from("-")] } else { paths.to_vec() }
}
