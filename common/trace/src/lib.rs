//! Traces of profilers, read into one model.
//!
//! What `traceq`, `tracecv` and `tracewhy` share: [`read`] turns bytes into events of the [`model`], one file per
//! format. What the numbers of an analysis mean is left to the tools.
//! Readers stream: memory depends on what a sink keeps, not on the file.
//!
//! | module | holds |
//! |---|---|
//! | [`inputs`] | the arguments that name traces |
//! | [`read`], [`model`] | readers; what they produce |
//! | [`report`] | messages about a trace that was read |
//! | [`classifier`], [`meaning`] | what each event is: by its category, name, process, and the user's classes |
//! | [`clock`] | how the clocks of two ranks differ |
//! | [`launch`] | device work and the launches that it came from |
//! | [`pairs`] | ranges in two halves, as spans |
//! | [`program`] | which module, annotation and phase device time belongs to |
//! | [`summary`], [`table`], [`units`], [`shorten`] | results, tables and numbers for people, as text and Markdown |
//! | [`rows`] | events as records and rows of CSV |
//! | [`split`] | how time on a device divides |
//! | [`steps`] | the steps of a trace, by their marks |
//! | [`spool`] | records by the million, sorted, in bounded memory |
//! | [`stack_tree`] | stacks of frames that add up |

pub mod argument_columns;
pub mod classifier;
pub mod clock;
pub mod inputs;
pub mod launch;
mod markdown;
pub mod meaning;
pub mod model;
pub mod pairs;
pub mod program;
pub mod read;
pub mod report;
pub mod rows;
pub mod shorten;
pub mod split;
pub mod spool;
pub mod stack_tree;
pub mod steps;
pub mod summary;
pub mod table;
pub mod units;
