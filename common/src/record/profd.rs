//! Records of `profd`.

use super::Entry;

/// All of them.
pub const ENTRIES: &[Entry] = &[];
