//! One file per subcommand: the flags as typed, and the order in which things happen.

pub(crate) mod demo;
pub(crate) mod run;

#[cfg(test)]
mod tests;
