//! The subcommands, one file each.

pub(crate) mod check;
pub(crate) mod netaddr;
pub(crate) mod rules;
