//! Records of `profctl`.

use super::Entry;

/// All of them.
pub const ENTRIES: &[Entry] = &[];
