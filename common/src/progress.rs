//! Progress bars. One constructor, which returns a hidden bar where nobody watches.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::out::{Diag, Verbosity};

/// What a bar counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes, shown with binary prefixes.
    Bytes,
    /// Things.
    Items,
}

/// A bar on standard error, drawn only when that is a terminal and `--quiet` was not given.
///
#[must_use]
pub fn bar(diag: &Diag, unit: Unit, total: Option<u64>, what: &str) -> ProgressBar {
    let visible = diag.verbosity() > Verbosity::Quiet && std::io::stderr().is_terminal();
    let target = if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(total, target);
    bar.set_style(style(unit, total.is_some()));
    bar.set_message(crate::text::safe(what));
    bar
}

fn style(unit: Unit, bounded: bool) -> ProgressStyle {
    let template = match (unit, bounded) {
        (Unit::Bytes, true) => "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
        (Unit::Bytes, false) => "{msg} {spinner} {bytes} {bytes_per_sec}",
        (Unit::Items, true) => "{msg} {wide_bar} {pos}/{len} {eta}",
        (Unit::Items, false) => "{msg} {spinner} {pos} {elapsed}",
    };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_is_valid() {
        for unit in [Unit::Bytes, Unit::Items] {
            for bounded in [true, false] {
                let _ = style(unit, bounded);
            }
        }
        let hidden = bar(&Diag::new("t", Verbosity::Quiet), Unit::Bytes, Some(10), "x");
        assert!(hidden.is_hidden());
    }
}
