//! The subcommands, one file each.

pub(crate) mod audit;
pub(crate) mod baseline;
pub(crate) mod fix;
pub(crate) mod policy;
pub(crate) mod rules;
pub(crate) mod tree;
pub(crate) mod undo;
