//! Progress bars. One constructor, which returns a hidden bar where stderr is not a terminal.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::out::{Diag, Verbosity};

/// The unit that a bar counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes, shown with binary prefixes.
    Bytes,
    /// Things.
    Items,
}

/// A bar on standard error, drawn only when that is a terminal and `--quiet` was not given.
#[must_use]
pub fn bar(diag: &Diag, unit: Unit, total: Option<u64>, what: &str) -> ProgressBar {
    let visible = diag.verbosity() > Verbosity::Quiet && std::io::stderr().is_terminal();
    let target = if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(total, target);
    decorate(&bar, unit, total.is_some(), what);
    bar
}

fn decorate(bar: &ProgressBar, unit: Unit, bounded: bool, what: &str) {
    bar.set_style(style(unit, bounded));
    bar.set_message(crate::text::safe(what));
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
    use indicatif::InMemoryTerm;

    use super::*;

    #[test]
    fn a_visible_bar_shows_its_message_and_its_numbers() {
        for (unit, total, shown) in [
            (Unit::Bytes, Some(4096), "2.00 KiB/4.00 KiB"),
            (Unit::Bytes, None, "2.00 KiB"),
            (Unit::Items, Some(4096), "2048/4096"),
            (Unit::Items, None, "2048"),
        ] {
            let terminal = InMemoryTerm::new(4, 100);
            let target = ProgressDrawTarget::term_like(Box::new(terminal.clone()));
            let bar = ProgressBar::with_draw_target(total, target);
            decorate(&bar, unit, total.is_some(), "a\u{1b}[31m.json");
            bar.inc(2048);
            bar.tick();
            let screen = terminal.contents();
            assert!(screen.contains(shown), "{unit:?} {total:?}: {screen}");
            assert!(screen.contains(".json") && !screen.contains('\u{1b}'), "{screen}");
        }
    }

    #[test]
    fn a_bar_is_hidden_where_nobody_watches() {
        // The standard error of tests is not a terminal, or they run with --nocapture on one: quiet hides it there too.
        assert!(bar(&Diag::new("t", Verbosity::Quiet), Unit::Bytes, Some(10), "x").is_hidden());
    }
}
