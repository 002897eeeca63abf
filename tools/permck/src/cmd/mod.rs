//! The subcommands, one file each.

pub(crate) mod audit;
pub(crate) mod baseline;
pub(crate) mod fix;
pub(crate) mod host;
pub(crate) mod netaddr;
pub(crate) mod tree;
pub(crate) mod undo;
