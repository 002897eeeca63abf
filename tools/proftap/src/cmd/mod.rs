//! The subcommands, one file each: their options, and the course of a run.

pub(crate) mod demo;
pub(crate) mod run;

#[cfg(test)]
mod tests;
