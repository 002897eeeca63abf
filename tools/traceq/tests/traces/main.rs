//! Whatever state a trace is in: sums by their definitions, the same answer however a trace is written, damage that
//! costs what it touches, and the cases that people reported. With small fixtures of our own, and the shared sample
//! data where that is there.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code, though not all of it is a test"
)]

#[path = "../support/mod.rs"]
mod support;

mod damage;
mod damage_of_real_traces;
mod definitions;
mod document;
mod field;
mod fixtures;
mod same_answer;
