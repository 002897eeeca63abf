//! Writers: results as tables and text for people, events as CSV. Records are written by `common::out`.

pub(crate) mod event;
mod shorten;
pub(crate) mod table;
pub(crate) mod units;
