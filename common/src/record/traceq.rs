//! Records of `traceq`.

use super::Entry;

/// All of them.
pub const ENTRIES: &[Entry] = &[];
