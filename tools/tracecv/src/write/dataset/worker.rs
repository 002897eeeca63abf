//! Rows of the table of all events, made by the threads that decode a trace: reading arguments and finding texts takes most of
//! the time of writing a data set. The thread that takes the events in their order puts these rows behind each other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use trace::classifier::{ClassRules, EventClassifier};
use trace::model::{Event, EventWorker, PreparedEvents};

use super::arguments::EventArguments;
use super::row_builder::RowBuilder;
use super::rows::RowGroup;
use super::{TRACE, event_columns, push_event_row};

/// Makes workers, and hands them memory for rows that is free again.
pub(super) struct RowWorkers {
    classes: ClassRules,
    spare: Arc<SpareRows>,
}

/// What workers share with the thread that takes their rows.
#[derive(Default)]
struct SpareRows {
    /// Memory for rows that is free again.
    groups: Mutex<Vec<RowGroup>>,
    /// The memory for rows is used up.
    is_full: AtomicBool,
}

impl RowWorkers {
    /// For events of these classes of device work.
    pub(super) fn new(classes: &ClassRules) -> Self {
        Self { classes: classes.clone(), spare: Arc::default() }
    }

    /// Makes a worker.
    pub(super) fn make_worker(&self) -> Box<dyn EventWorker> {
        let classifier = EventClassifier::new(self.classes.clone());
        let (spare, row) = (Arc::clone(&self.spare), None);
        Box::new(RowWorker { classifier, arguments: EventArguments::default(), row, spare })
    }

    /// Takes rows that are not needed any more.
    pub(super) fn take_back(&self, mut rows: RowGroup) {
        rows.clear();
        self.spare.groups.lock().unwrap_or_else(PoisonError::into_inner).push(rows);
    }

    /// Has the workers make no more rows.
    pub(super) fn stop(&self) {
        self.spare.is_full.store(true, Ordering::Relaxed);
    }
}

/// Makes rows of events that need no other to be classified.
struct RowWorker {
    classifier: EventClassifier,
    arguments: EventArguments,
    /// The rows of the events that stand together.
    row: Option<RowBuilder>,
    spare: Arc<SpareRows>,
}

impl EventWorker for RowWorker {
    fn prepare(&mut self, event: &Event<'_>, _: &mut PreparedEvents) -> bool {
        if self.spare.is_full.load(Ordering::Relaxed) {
            return false;
        }
        let Some(meaning) = self.classifier.meaning_by_itself(event) else { return false };
        let row = self.row.get_or_insert_with(|| {
            let spare = self.spare.groups.lock().unwrap_or_else(PoisonError::into_inner).pop();
            spare.map_or_else(|| RowBuilder::new(&columns()), RowBuilder::on)
        });
        meaning.give_event(event, |event| push_event_row(row, event, &mut self.arguments));
        row.skip(1);
        row.end_row();
        true
    }

    fn end_batch(&mut self, prepared: &mut PreparedEvents) {
        prepared.beside = self.row.take().map(|row| Box::new(row.group) as _);
    }
}

fn columns() -> Vec<super::Column> {
    event_columns().into_iter().chain([TRACE]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::dataset::values::{ColumnValues, Values};
    use trace::model::{Category, EventId};

    /// The value of each row that has one.
    fn values_of(column: &ColumnValues) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        match &column.values {
            Values::Int(numbers) => {
                column.for_each_row(numbers, |row, number| found.push((row, number.to_string())));
            }
            Values::Text(pool, numbers) => column.for_each_row(numbers, |row, number| {
                found.push((row, String::from_utf8_lossy(pool.text(*number)).into_owned()));
            }),
        }
        found
    }

    fn push_row(row: &mut RowBuilder, arguments: &mut EventArguments, number: u64, index: u64) {
        // More different names than a dictionary holds; ids in some rows, and arguments in stretches of them.
        let name = format!("a name that is not short: {}", number * 7919 % 40_000);
        let args = format!(r#"{{"Sequence number":{number},"x":[{}]}}"#, number % 50);
        let event = Event {
            index,
            phase: b'X',
            category: if number % 5 == 0 { Category::Kernel } else { Category::CpuOp },
            name: name.as_str().into(),
            pid: EventId::Number((number % 3) as i64),
            id: if number % 7 == 0 { EventId::Number(number as i64) } else { EventId::None },
            start: (number % 11 > 0).then_some(number as i64),
            args: if number / 100 % 2 == 0 { args.as_bytes() } else { b"" },
            ..Event::default()
        };
        push_event_row(row, &event, arguments);
        row.skip(1);
        row.end_row();
    }

    #[test]
    fn blocks_of_rows_are_the_rows() {
        let (mut arguments, columns) = (EventArguments::default(), columns());
        let (mut one, mut blocks) = (RowBuilder::new(&columns), RowBuilder::new(&columns));
        let mut number = 0;
        for length in (0..90_u64).map(|i| i * i % 997).chain([30_000, 1, 20_000]) {
            let mut block = RowBuilder::new(&columns);
            for i in 0..length {
                push_row(&mut one, &mut arguments, number + i, number + i);
                push_row(&mut block, &mut arguments, number + i, 0);
            }
            // In two parts, as where a row group ends.
            let (mut known, rows) = (vec![Vec::new(); columns.len()], block.group.rows);
            let most = block.group.most_text_bytes();
            let mut grown = 0;
            for part in [0..rows / 3, rows / 3..rows] {
                let first = (number + u64::from(part.start)) as i64;
                grown += blocks.group.append(&block.group, part, first, &mut known);
            }
            assert!(grown <= most, "{grown} of {most}");
            blocks.text_bytes += grown;
            number += length;
        }
        assert_eq!((blocks.group.rows, u64::from(one.group.rows)), (one.group.rows, number));
        // By how much texts grow says where a row group ends.
        assert_eq!(blocks.text_bytes, one.text_bytes);
        for (column, (a, b)) in columns.iter().zip(one.group.values.iter().zip(&blocks.group.values)) {
            assert!(values_of(a) == values_of(b), "{}", column.name);
            assert_eq!(a.pool().map(|p| p.size()), b.pool().map(|p| p.size()), "{}", column.name);
        }
    }
}
