//! Rows by column, until they are written as a row group. What all rows of a trace have, and what follows from its steps,
//! is added when its end has been read.

use std::ops::Range;

use trace::model::FastMap;

use super::values::{Column, ColumnKind, ColumnValues, TextPool, Values};
use crate::survey::{NearStep, StepFacts, TraceSurvey, WorkPlace};

/// The columns of tables of events that are added at the end of a trace; the last one, `trace_number`, is as well.
const RANK: usize = 0;
const STEP: usize = 1;
/// It has times of the trace's clock until then.
pub(super) const START: usize = 2;
/// The correlation of work on a device; tables without such work have another column here.
pub(super) const CORRELATION: usize = 8;
/// The place of the event in its trace.
const INDEX: usize = 9;

/// Rows by column.
pub(super) struct RowGroup {
    pub(super) values: Vec<ColumnValues>,
    pub(super) rows: u32,
    /// What the steps of the last rows follow from, beside their start and their correlation: of rows whose trace has not
    /// ended.
    pending: Vec<WorkPlace>,
    /// By which the modules of the last rows are found.
    pending_modules: Vec<Option<i64>>,
}

/// The rows of a group at a moment, to go back to.
#[derive(Default)]
pub(super) struct GroupMark {
    rows: u32,
    /// Of each column how many values it has, and how many different texts.
    counts: Vec<(usize, usize)>,
}

impl RowGroup {
    /// Without rows yet.
    pub(super) fn new(columns: &[Column]) -> Self {
        let values = columns.iter().map(|column| match column.kind {
            ColumnKind::Int => Values::Int(Vec::new()),
            ColumnKind::Text => Values::Text(TextPool::default(), Vec::new()),
        });
        let values = values.map(ColumnValues::new).collect();
        Self { values, rows: 0, pending: Vec::new(), pending_modules: Vec::new() }
    }

    /// Discards all rows.
    pub(super) fn clear(&mut self) {
        self.values.iter_mut().for_each(ColumnValues::clear);
        self.rows = 0;
        self.pending.clear();
        self.pending_modules.clear();
    }

    /// Makes room for `times` times the values that there are: there are likely to be as many.
    pub(super) fn reserve(&mut self, times: usize) {
        self.pending.reserve(self.pending.len() * (times - 1));
        self.values.iter_mut().for_each(|column| column.reserve(times));
    }

    /// Bytes of memory that the rows take, about.
    pub(super) fn size(&self) -> usize {
        let pending = self.pending.len() * size_of::<WorkPlace>();
        let modules = self.pending_modules.len() * size_of::<Option<i64>>();
        pending + modules + self.values.iter().map(ColumnValues::size).sum::<usize>()
    }

    /// Bytes of memory that the texts take, about.
    pub(super) fn text_bytes(&self) -> usize {
        self.values.iter().map(|column| column.pool().map_or(0, TextPool::size)).sum()
    }

    /// Takes some rows of a group of the same columns, whose indices begin with `first` and which lack what these lack. `known` is
    /// as in [`ColumnValues::append`], for each column. Returns by how many bytes the texts have grown.
    pub(super) fn append(
        &mut self,
        other: &Self,
        rows: Range<u32>,
        first: i64,
        known: &mut [Vec<u32>],
    ) -> usize {
        let mut grown = 0;
        for ((own, others), known) in self.values.iter_mut().zip(&other.values).zip(known) {
            grown += own.append(self.rows, others, rows.clone(), known);
        }
        self.values[INDEX].renumber_last(rows.len(), first);
        self.pending.extend_from_slice(&other.pending[rows.start as usize..rows.end as usize]);
        self.rows += rows.len() as u32;
        grown
    }

    /// The most bytes by which [`Self::append`] of all rows makes texts grow.
    pub(super) fn most_text_bytes(&self) -> usize {
        self.values.iter().map(ColumnValues::most_text_bytes).sum()
    }

    /// Takes the start of the next row, and what else its step follows from.
    #[inline]
    pub(super) fn push_pending(&mut self, start: Option<i64>, place: WorkPlace) {
        if let Some(start) = start {
            self.values[START].push_int(self.rows, start);
        }
        self.pending.push(place);
    }

    /// Takes the key of the module of the next row.
    #[inline]
    pub(super) fn push_module(&mut self, key: Option<i64>) {
        self.pending_modules.push(key);
    }

    /// Adds what the rows lack, which are those of the trace of this number.
    pub(super) fn settle(&mut self, survey: &TraceSurvey, trace: i64) {
        let from = self.rows - self.pending.len() as u32;
        let last = self.values.len() - 1;
        for (column, number) in [(RANK, survey.meta.rank), (last, Some(trace))] {
            if let Some(number) = number {
                self.values[column].fill(from..self.rows, number);
            }
        }
        let mut steps = std::mem::replace(&mut self.values[STEP], ColumnValues::new(Values::Int(Vec::new())));
        let (mut starts, mut correlations) =
            (self.values[START].number_finder(from), self.values[CORRELATION].number_finder(from));
        let mut near = NearStep::default();
        for (row, place) in (from..).zip(&self.pending) {
            let start = starts.number_of_row(row);
            let correlation = if *place == WorkPlace::Host { None } else { correlations.number_of_row(row) };
            let facts = StepFacts { start, correlation, place: *place };
            if let Some(step) = survey.counted_step_of(&facts, &mut near) {
                steps.push_int(row, step.number);
            }
        }
        self.values[STEP] = steps;
        self.values[START].change_from(from, |start| survey.wall_clock(start));
        self.pending.clear();
        self.settle_modules(survey);
    }

    fn settle_modules(&mut self, survey: &TraceSurvey) {
        if self.pending_modules.is_empty() {
            return;
        }
        let from = self.rows - self.pending_modules.len() as u32;
        let module = self.values.len() - 2;
        // Each name once, however many there are.
        let mut known = FastMap::<u32, u32>::default();
        for (row, key) in (from..).zip(self.pending_modules.drain(..)) {
            let Some(name) = key.and_then(|key| survey.module_of_key(key)) else { continue };
            self.values[module].push_text(row, |texts| {
                *known.entry(name).or_insert_with(|| texts.number_of(survey.names.name(name).as_bytes()))
            });
        }
    }

    /// The rows that there are.
    pub(super) fn mark(&self) -> GroupMark {
        let counts =
            self.values.iter().map(|column| (column.count(), column.pool().map_or(0, TextPool::count)));
        GroupMark { rows: self.rows, counts: counts.collect() }
    }

    /// Discards the rows after those of a mark, all of which lack something.
    pub(super) fn go_back(&mut self, mark: &GroupMark) {
        self.rows = mark.rows;
        self.pending.clear();
        self.pending_modules.clear();
        for (column, counts) in self.values.iter_mut().zip(&mark.counts) {
            column.truncate(*counts);
        }
    }

    /// The places of the rows in the order of the first columns; of equal ones, as they came.
    pub(super) fn sort_rows(&self, sorted: usize) -> Vec<u32> {
        let mut places = vec![0; self.rows as usize];
        let Some((last, groups)) = self.values[..sorted].split_last() else {
            return (0..self.rows).collect();
        };
        // The numbers of the columns before the last, as one: there are few of them.
        let mut keys = vec![[None; 2]; places.len()];
        for (n, column) in groups.iter().enumerate() {
            column.for_each_number(|row, number| keys[row][n] = Some(number));
        }
        let mut different: Vec<[Option<i64>; 2]> =
            keys.chunk_by(|a, b| a == b).map(|equal| equal[0]).collect();
        different.sort_unstable();
        different.dedup();
        let mut known = 0;
        let mut order: Vec<u128> = (0_u32..)
            .zip(&keys)
            .map(|(row, key)| {
                if different[known] != *key {
                    known = different.binary_search(key).unwrap_or_default();
                }
                u128::from(known as u32) << 97 | u128::from(row)
            })
            .collect();
        // One that is missing comes first.
        const SIGN: u64 = 1 << 63;
        last.for_each_number(|row, number| order[row] |= 1 << 96 | u128::from(number as u64 ^ SIGN) << 32);
        order.sort_unstable();
        (0..).zip(order).for_each(|(place, row)| places[row as u32 as usize] = place);
        places
    }
}
