//! Writers: results for people that are no tables. Records are written by `common::out`, events by `trace::rows`.

pub(crate) mod line;
