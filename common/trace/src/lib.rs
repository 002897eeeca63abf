//! Traces of profilers, read into one model.
//!
//! What `traceq`, `tracecv` and `tracewhy` share: [`read`] turns bytes into events of the [`model`], one file per
//! format; [`inputs`] are the arguments that name traces. What the numbers of an analysis mean is left to the tools.
//! Readers stream: memory depends on what a sink keeps, not on the file.

pub mod inputs;
pub mod model;
pub mod read;
