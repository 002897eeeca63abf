//! Analyses: what the events of a trace add up to. They know the model, no format and no output.
//!
//! A sink ([`collect`], [`rank`]) keeps what it needs of each event in bounded memory ([`trace::spool`]); when the whole trace
//! is known, [`resolve`] gives rows their meaning, and sweeps over sorted records make the sums. So neither the order of
//! a file nor its size matters.

pub(crate) mod clusters;
pub(crate) mod collect;
pub(crate) mod device;
mod edges;
mod host;
mod link;
pub(crate) mod overlap;
mod pairs;
pub(crate) mod program;
pub(crate) mod rank;
mod records;
pub(crate) mod resolve;
pub(crate) mod scopes;
mod selftime;
pub(crate) mod sum;
