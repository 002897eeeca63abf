//! Events as lines for people.

use std::io::Write;

use common::text::safe;

use trace::model::{Event, EventId};
use trace::units::TimeUnit;

/// Appends an event as a line: start and duration in microseconds, category, process, thread, name.
pub(crate) fn write_line(to: &mut Vec<u8>, event: &Event<'_>) {
    let us = TimeUnit::for_largest(0);
    let time = |t: Option<i64>| t.map_or("-".to_owned(), |t| us.format_time(t));
    let (start, dur, category) = (time(event.start), time(event.dur), event.category.name());
    let (pid, tid, name) = (id_text(event.pid), id_text(event.tid), event.name.decode());
    let ids = format!("{}/{}", safe(&pid), safe(&tid));
    // Writing to memory does not fail.
    let _ = writeln!(to, "{start:>20} {dur:>12} {category:<10} {ids:<17} {}", safe(&name));
}

fn id_text(id: EventId<'_>) -> String {
    match id {
        EventId::None => String::new(),
        EventId::Number(n) => n.to_string(),
        EventId::Text(t) => t.decode().into_owned(),
    }
}
