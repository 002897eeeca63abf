//! The sums of the events of a trace, and which of them belong together: for every tool that analyzes a trace.
//!
//! A sink ([`collect`]) keeps what it needs of each event in bounded memory ([`crate::spool`]); when the whole trace is
//! known, [`resolve`] gives rows their meaning, and sweeps over sorted records make the sums ([`sum`]). So neither the
//! order of a file nor its size matters.

pub mod clusters;
pub mod collect;
mod device;
pub mod edges;
mod host;
mod link;
mod overlap;
mod pairs;
mod records;
pub mod resolve;
pub mod scopes;
pub mod selftime;
pub mod sum;
mod untimed;

pub(crate) use device::DeviceFacts;
pub use device::WorkCounts;
pub use link::LinkCounts;
pub use overlap::OverlapLanes;
pub use pairs::Unmatched;
pub use records::Edge;
pub use untimed::UntimedWork;
