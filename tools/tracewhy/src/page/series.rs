//! Steps and ranks in their order, for plots: as many points as a screen shows, whatever the job.

use std::collections::BTreeSet;

use serde::Serialize;
use trace::clock::median;

use super::TIME_PARTS;
use super::bins::Bins;
use crate::job::lateness::Lateness;
use crate::part::{IdleCause, RankPart, StepTimes};

/// Points of a plot over steps, columns of a map, columns of a plot over ranks, rows of a map.
const MOST_STEPS: usize = 240;
const MOST_MAP_STEPS: usize = 128;
const MOST_RANKS: usize = 128;
const MOST_MAP_RANKS: usize = 96;

/// How a time divides, as the page has it.
pub(crate) fn divide(times: &StepTimes) -> [i64; TIME_PARTS] {
    let mut out = [0; TIME_PARTS];
    let busy = [times.compute, times.exposed_communication, times.exposed_copy];
    out.iter_mut().zip(busy.into_iter().chain(times.idle)).for_each(|(to, time)| *to = time);
    out
}

/// The mean of times.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MeanTimes {
    sum: StepTimes,
    count: i64,
}

impl MeanTimes {
    /// Adds a sum of `count` times.
    pub(crate) fn add(&mut self, times: &StepTimes, count: usize) {
        self.sum.add(times);
        self.count += count as i64;
    }

    /// The mean, divided.
    pub(crate) fn divide(&self) -> [i64; TIME_PARTS] {
        divide(&self.sum).map(|time| time / self.count.max(1))
    }
}

/// The numbers of the steps of all ranks, in order.
pub(crate) fn step_numbers(parts: &[RankPart]) -> Vec<i64> {
    let numbers: BTreeSet<i64> = parts.iter().flat_map(|p| p.steps.iter().map(|s| s.number)).collect();
    numbers.into_iter().collect()
}

/// Each step of each rank, with the place of its number among `numbers`.
fn each_step(part: &RankPart, numbers: &[i64], mut each: impl FnMut(usize, &StepTimes)) {
    for step in &part.steps {
        if let Ok(place) = numbers.binary_search(&step.number) {
            each(place, &step.times);
        }
    }
}

/// The steps of a job in their order; neighbors may be one point.
#[derive(Debug, Default, Serialize)]
pub(crate) struct StepSeries {
    /// Steps of a point.
    size: usize,
    first: Vec<i64>,
    last: Vec<i64>,
    least: Vec<i64>,
    middle: Vec<i64>,
    most: Vec<i64>,
    /// The rank of the longest.
    most_rank: Vec<i64>,
    times: Vec<[i64; TIME_PARTS]>,
}

impl StepSeries {
    /// Of all ranks; `times` are those of a rank's step as they are shown.
    pub(crate) fn of_parts(
        parts: &[RankPart],
        numbers: &[i64],
        times: impl Fn(&RankPart, StepTimes) -> StepTimes,
    ) -> Self {
        let bins = Bins::fit(numbers.len(), MOST_STEPS);
        let mut spans: Vec<Vec<(i64, i64)>> = vec![Vec::new(); bins.count];
        let mut means = vec![MeanTimes::default(); bins.count];
        for part in parts {
            each_step(part, numbers, |place, step| {
                spans[place / bins.size].push((step.span(), part.rank));
                means[place / bins.size].add(&times(part, *step), 1);
            });
        }
        let mut out = Self { size: bins.size, ..Self::default() };
        for (((first, last), spans), mean) in bins.ends(numbers).into_iter().zip(&mut spans).zip(&means) {
            // Of equally long ones, the lowest rank.
            let (most, rank) = spans
                .iter()
                .copied()
                .max_by_key(|(span, rank)| (*span, std::cmp::Reverse(*rank)))
                .unwrap_or((0, 0));
            let mut lengths: Vec<i64> = spans.iter().map(|(span, _)| *span).collect();
            out.first.push(first);
            out.last.push(last);
            out.least.push(lengths.iter().min().copied().unwrap_or(0));
            out.middle.push(median(&mut lengths));
            out.most.push(most);
            out.most_rank.push(rank);
            out.times.push(mean.divide());
        }
        out
    }
}

/// The ranks of a job in their order; neighbors may be one.
#[derive(Debug, Default, Serialize)]
pub(crate) struct RankSeries {
    size: usize,
    ranks: Vec<(i64, i64)>,
    times: Vec<[i64; TIME_PARTS]>,
}

/// The ranks by number, with their places among the parts.
fn order_ranks(parts: &[RankPart]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by_key(|&index| parts[index].rank);
    order
}

impl RankSeries {
    /// Mean steps; `times` as of [`StepSeries::of_parts`].
    pub(crate) fn of_parts(parts: &[RankPart], times: impl Fn(&RankPart, StepTimes) -> StepTimes) -> Self {
        let order = order_ranks(parts);
        let bins = Bins::fit(order.len(), MOST_RANKS);
        let numbers: Vec<i64> = order.iter().map(|&index| parts[index].rank).collect();
        let mean = |bin: &[usize]| {
            let mut mean = MeanTimes::default();
            for part in bin.iter().map(|&index| &parts[index]) {
                mean.add(&times(part, part.total()), part.steps.len());
            }
            mean.divide()
        };
        Self {
            size: bins.size,
            ranks: bins.ends(&numbers),
            times: order.chunks(bins.size).map(mean).collect(),
        }
    }
}

/// One value of each rank in each step.
#[derive(Debug, Serialize)]
struct HeatMetric {
    key: &'static str,
    label: &'static str,
    def: &'static str,
    /// Nanoseconds of a unit of the cells: five digits are enough for a color.
    scale: i64,
    /// Row by row: the largest of each cell; nothing where no rank of it has such a step.
    cells: Vec<Option<i64>>,
}

/// A map of ranks by steps.
#[derive(Debug, Serialize)]
pub(crate) struct HeatMap {
    rows: Vec<(i64, i64)>,
    columns: Vec<(i64, i64)>,
    rows_size: usize,
    columns_size: usize,
    metrics: Vec<HeatMetric>,
}

/// Key, label, definition. Where ranks wait for each other, steps of all are equally long: lateness comes first.
const METRICS: [(&str, &str, &str); 5] = [
    ("late", "late", "late"),
    ("step", "length of the step", "step"),
    ("compute", "compute", "compute"),
    ("exposed_communication", "exposed communication", "exposed-communication"),
    ("idle", "idle", "idle"),
];

impl HeatMap {
    /// Of all ranks and steps.
    pub(crate) fn of_parts(parts: &[RankPart], numbers: &[i64], lateness: &Lateness) -> Self {
        let order = order_ranks(parts);
        let (rows, columns) =
            (Bins::fit(order.len(), MOST_MAP_RANKS), Bins::fit(numbers.len(), MOST_MAP_STEPS));
        let mut cells: Vec<[Option<i64>; METRICS.len()]> =
            vec![[None; METRICS.len()]; rows.count * columns.count];
        for (row, &index) in order.iter().enumerate() {
            let part = &parts[index];
            each_step(part, numbers, |place, times| {
                let late = lateness.steps.get(&numbers[place]).and_then(|ranks| ranks.get(index));
                let values = [
                    late.map(|rank| rank.late),
                    Some(times.span()),
                    Some(times.compute),
                    Some(times.exposed_communication),
                    Some(times.idle()),
                ];
                let cell = &mut cells[row / rows.size * columns.count + place / columns.size];
                cell.iter_mut().zip(values).for_each(|(cell, value)| *cell = (*cell).max(value));
            });
        }
        let metric = |(i, (key, label, def)): (usize, &(&'static str, &'static str, &'static str))| {
            let values = cells.iter().map(|cell| cell[i]);
            let largest = values.clone().flatten().map(i64::unsigned_abs).max().unwrap_or(0);
            let scale = i64::try_from(largest / 100_000).unwrap_or(i64::MAX).max(1);
            let cells = values.map(|value| value.map(|value| value / scale)).collect();
            HeatMetric { key, label, def, scale, cells }
        };
        let ranks: Vec<i64> = order.iter().map(|&index| parts[index].rank).collect();
        let mut metrics: Vec<HeatMetric> = METRICS.iter().enumerate().map(metric).collect();
        metrics.retain(|metric| metric.cells.iter().any(Option::is_some));
        Self {
            rows: rows.ends(&ranks),
            columns: columns.ends(numbers),
            rows_size: rows.size,
            columns_size: columns.size,
            metrics,
        }
    }
}

/// Idle time by cause stands behind [`divide`]'s first three.
const _: () = assert!(IdleCause::ALL.len() + 3 == TIME_PARTS);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::lateness::StepLateness;
    use crate::part::StepPart;

    fn parts(ranks: i64, steps: i64) -> Vec<RankPart> {
        let step = |rank: i64, number: i64| {
            let times = StepTimes { compute: 1000 * rank + number, ..StepTimes::default() };
            StepPart { number, times, kernels: 1 }
        };
        let part = |rank| RankPart {
            rank,
            steps: (0..steps).map(|number| step(rank, number)).collect(),
            ..RankPart::default()
        };
        // Out of order, as files may be.
        (0..ranks).rev().map(part).collect()
    }

    #[test]
    fn a_map_is_bounded_and_shows_the_worst() {
        let mut parts = parts(1000, 300);
        let bad = parts.iter().position(|p| p.rank == 500).unwrap();
        parts[bad].steps[123].times.compute = 77_000_000;
        let numbers = step_numbers(&parts);
        let mut lateness = Lateness::new(1000);
        lateness.steps.insert(123, vec![StepLateness::default(); 1000]);
        let map = HeatMap::of_parts(&parts, &numbers, &lateness);
        assert_eq!((map.rows.len(), map.columns.len(), map.rows_size, map.columns_size), (63, 75, 16, 4));
        assert_eq!((map.rows[31], map.columns[30]), ((496, 511), (120, 123)));
        let steps = map.metrics.iter().find(|m| m.key == "step").unwrap();
        assert_eq!((steps.cells[31 * 75 + 30], steps.scale), (Some(77_000_000 / 770), 770));
        let late = map.metrics.iter().find(|m| m.key == "late").unwrap();
        assert_eq!((late.cells[30], late.cells[29]), (Some(0), None));
    }

    #[test]
    fn series_keep_extremes_and_means() {
        let parts = parts(4, 3);
        let numbers = step_numbers(&parts);
        let steps = StepSeries::of_parts(&parts, &numbers, |_, times| times);
        assert_eq!((steps.first.as_slice(), steps.size), ([0, 1, 2].as_slice(), 1));
        assert_eq!((steps.least[1], steps.middle[1], steps.most[1], steps.most_rank[1]), (1, 2001, 3001, 3));
        assert_eq!(steps.times[2][0], 1502);
        let ranks = RankSeries::of_parts(&parts, |_, times| times);
        assert_eq!((ranks.ranks[2], ranks.times[2][0]), ((2, 2), 2001));
    }
}
