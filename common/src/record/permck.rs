//! Records of `permck`.

use super::Entry;

/// All of them.
pub const ENTRIES: &[Entry] = &[];
