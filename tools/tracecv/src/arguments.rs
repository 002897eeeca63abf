//! Single arguments of events.

use trace::model::Event;
use trace::read::{RawValue, find_argument};

/// An argument that is a whole number.
pub(crate) fn integer_argument(event: &Event<'_>, name: &str) -> Option<i64> {
    match find_argument(event.args, name)? {
        RawValue::Number(digits) => std::str::from_utf8(digits).ok()?.parse().ok(),
        _ => None,
    }
}
