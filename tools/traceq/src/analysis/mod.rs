//! Analyses: what the events of a trace add up to. They know the model, no format and no output.

pub(crate) mod collect;
pub(crate) mod coverage;

pub(crate) mod overlap;
pub(crate) mod rank;
pub(crate) mod selftime;
pub(crate) mod split;
pub(crate) mod steps;
pub(crate) mod sum;
