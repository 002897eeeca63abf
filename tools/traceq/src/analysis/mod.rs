//! Analyses that only `traceq` has: lists of names, and device time by what launched it. What a trace adds up to, all
//! tools compute alike ([`trace::analysis`]).

pub(crate) mod program;
pub(crate) mod rank;
