//! The subcommands, one file each.

pub(crate) mod audit;
pub(crate) mod fix;
pub(crate) mod undo;
