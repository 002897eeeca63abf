//! Records of `certck`.

use super::Entry;

/// All of them.
pub const ENTRIES: &[Entry] = &[];
