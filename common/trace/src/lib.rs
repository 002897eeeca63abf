//! Traces of profilers, read into one model.
//!
//! The crate that `traceq`, `tracecv` and `tracewhy` share: [`read`] turns bytes into events of the [`model`], one file per
//! format. Which events of a trace count, and whether its numbers can be believed, all decide alike ([`analysis`], [`check`]).
//! Readers stream: memory depends on what a sink keeps, not on the file.
//!
//! | module | holds |
//! |---|---|
//! | [`inputs`], [`options`] | the arguments that name traces, and those of everything that analyzes |
//! | [`analysis`] | what the events of a trace add up to; its ranks; when it was recorded |
//! | [`check`] | what is wrong with a trace |
//! | [`read`], [`model`] | readers; what they produce |
//! | [`report`] | messages about a trace that was read |
//! | [`classifier`], [`meaning`] | what each event is: by its category, name, process, and the user's classes |
//! | [`clock`] | how the clocks of two ranks differ |
//! | [`launch`] | device work and the launches that it came from |
//! | [`pairs`] | ranges in two halves, as spans |
//! | [`ranks`] | the ranks of a trace one after the other, merged files split |
//! | [`program`] | which module, annotation and phase device time belongs to |
//! | [`summary`], [`table`], [`units`], [`shorten`] | results, tables and numbers for people, as text and Markdown |
//! | [`rows`] | events as records and rows of CSV |
//! | [`split`] | how time on a device divides |
//! | [`steps`] | the steps of a trace, by their marks |
//! | [`spool`] | records by the million, sorted, in bounded memory |
//! | [`stack_tree`] | stacks of frames that add up |

pub mod analysis;
pub mod argument_columns;
pub mod check;
pub mod classifier;
pub mod clock;
pub mod inputs;
pub mod launch;
mod markdown;
pub mod meaning;
pub mod model;
pub mod options;
pub mod pairs;
pub mod program;
pub mod ranks;
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
