//! The subcommands, one file each.

pub(crate) mod check;
pub(crate) mod mint;
pub(crate) mod show;
pub(crate) mod verify;
