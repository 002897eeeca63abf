//! Traces of profilers, read into one model.
//!
//! What `traceq`, `tracecv` and `tracewhy` share: [`read`] turns bytes into events of the [`model`], one file per
//! format. What the numbers of an analysis mean is left to the tools.
//! Readers stream: memory depends on what a sink keeps, not on the file.

pub mod model;
pub mod read;
