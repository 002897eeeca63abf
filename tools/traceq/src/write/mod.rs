//! Writers: results as tables and text for people. Records are written by `common::out`, events by `trace::rows`.

pub(crate) mod line;
mod shorten;
pub(crate) mod table;
pub(crate) mod units;
