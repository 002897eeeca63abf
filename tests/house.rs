//! Measures of the code itself: `make house` prints them, `make check` fails on two of them.
//!
//! Modules that import each other in a circle cannot be read one after the other, and a function in `common` that one
//! tool uses belongs to that tool. Names are counted only, because their meaning is for reviewers to judge.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test program")]

#[path = "house/modules.rs"]
mod modules;
#[path = "house/names.rs"]
mod names;

use modules::{Crate, workspace};

/// Circles between sibling modules: each with everything below it counts as one.
#[test]
fn no_module_imports_another_in_a_circle() {
    let circles: Vec<String> = workspace().iter().flat_map(Crate::circles).collect();
    assert!(circles.is_empty(), "{} circles:\n{}", circles.len(), circles.join("\n"));
}

/// What one tool uses is that tool's own.
#[test]
fn every_public_function_of_common_has_two_users() {
    let crates = workspace();
    let single = names::functions_with_one_user(&crates);
    assert!(
        single.is_empty(),
        "{} functions of `common` with one user:\n{}",
        single.len(),
        single.join("\n")
    );
}

/// `make house` runs this one.
#[test]
#[ignore = "prints figures, and decides nothing"]
fn figures() {
    let crates = workspace();
    println!("{}", names::Figures::of(&crates));
    let circles: usize = crates.iter().map(|c| c.circles().len()).sum();
    println!(
        "{circles} import circles, {} functions of `common` with one user",
        names::functions_with_one_user(&crates).len()
    );
}
