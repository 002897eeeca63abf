//! Events one by one: as records, as CSV rows, as lines for people.

use std::io::{self, Write};

use common::record::traceq as record;
use common::text::safe;

use super::units::TimeUnit;
use trace::model::{Event, EventId};
use trace::read::parse_arguments;

/// The columns of the CSV form.
pub(crate) const COLUMNS: [&str; 14] = [
    "path",
    "category",
    "cat",
    "ph",
    "name",
    "pid",
    "tid",
    "device",
    "stream",
    "start_ns",
    "dur_ns",
    "correlation",
    "id",
    "args",
];

/// An event as a record.
pub(crate) fn event_record(event: &Event<'_>, path: Option<&str>, with_args: bool) -> record::Event {
    record::Event {
        path: path.map(str::to_owned),
        category: event.category.name().to_owned(),
        cat: (!event.cat.is_empty()).then(|| event.cat.decode().into_owned()),
        ph: char::from(event.phase).to_string(),
        name: event.name.decode().into_owned(),
        pid: event.pid.to_json(),
        tid: event.tid.to_json(),
        device: event.device,
        stream: event.stream,
        start_ns: event.start,
        dur_ns: event.dur,
        correlation: event.correlation,
        id: event.flow.to_json(),
        args: if with_args { parse_arguments(event.args) } else { None },
    }
}

/// An event as the cells of [`COLUMNS`].
pub(crate) fn csv_cells(event: &Event<'_>, path: &str, with_args: bool) -> [String; COLUMNS.len()] {
    let number = |n: Option<i64>| n.map_or(String::new(), |n| n.to_string());
    let args = if with_args { parse_arguments(event.args).map(|a| a.to_string()) } else { None };
    [
        path.to_owned(),
        event.category.name().to_owned(),
        event.cat.decode().into_owned(),
        char::from(event.phase).to_string(),
        event.name.decode().into_owned(),
        id_text(event.pid),
        id_text(event.tid),
        number(event.device),
        number(event.stream),
        number(event.start),
        number(event.dur),
        number(event.correlation),
        id_text(event.flow),
        args.unwrap_or_default(),
    ]
}

/// An event as a line: start and duration in microseconds, category, process, thread, name.
///
/// # Errors
/// What the stream says.
pub(crate) fn write_json_line(to: &mut dyn Write, event: &Event<'_>) -> io::Result<()> {
    let us = TimeUnit::for_largest(0);
    let time = |t: Option<i64>| t.map_or("-".to_owned(), |t| us.format_time(t));
    let (start, dur, category) = (time(event.start), time(event.dur), event.category.name());
    let (pid, tid, name) = (id_text(event.pid), id_text(event.tid), event.name.decode());
    let ids = format!("{}/{}", safe(&pid), safe(&tid));
    writeln!(to, "{start:>20} {dur:>12} {category:<10} {ids:<17} {}", safe(&name))
}

fn id_text(id: EventId<'_>) -> String {
    match id {
        EventId::None => String::new(),
        EventId::Number(n) => n.to_string(),
        EventId::Text(t) => t.decode().into_owned(),
    }
}
