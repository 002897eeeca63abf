//! Several traces beside each other: a row for each rank, and what is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use common::record::traceq as record;
use common::text::safe;
use trace::report::format_count;
use trace::table::{Align, Table, output_width};

/// Ranges of numbers that are shown of a long list.
const SHOWN: usize = 8;

/// The facts that the traces of one rank have in common. Traces that do not say their rank stand alone.
struct RankRow<'a> {
    rank: Option<i64>,
    traces: Vec<&'a record::Info>,
}

impl RankRow<'_> {
    fn device_events(&self) -> u64 {
        self.traces.iter().flat_map(|trace| &trace.devices).map(|device| device.events).sum()
    }

    fn steps(&self) -> String {
        let steps: BTreeSet<i64> = self.traces.iter().flat_map(|trace| &trace.steps).copied().collect();
        let updates: u64 = self.traces.iter().map(|trace| trace.optimizer_steps).sum();
        if steps.is_empty() && updates > 0 {
            return format!("{updates} unmarked");
        }
        list_ranges(&ranges_of(&steps))
    }

    /// Different texts of the traces, joined.
    fn texts<'t>(&'t self, text: impl Fn(&'t record::Info) -> Option<&'t str>) -> String {
        let all: BTreeSet<&str> = self.traces.iter().filter_map(|trace| text(trace)).collect();
        all.into_iter().collect::<Vec<_>>().join(", ")
    }

    fn cells(&self) -> Vec<String> {
        let start = self.traces.iter().filter_map(|trace| trace.start.as_deref()).min();
        let end = self.traces.iter().filter_map(|trace| trace.end.as_deref()).max();
        let dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
        let path = self.traces.first().map_or(String::new(), |trace| trace.path.clone());
        vec![
            dash(self.rank.map_or(String::new(), |rank| rank.to_string())),
            dash(self.texts(|trace| trace.host.as_deref())),
            self.traces.len().to_string(),
            self.texts(|trace| Some(trace.format.as_str())),
            dash(self.steps()),
            dash(start.map_or(String::new(), to_millis)),
            dash(end.map_or(String::new(), |end| time_of_day(&to_millis(end), start))),
            path,
        ]
    }
}

/// Wall-clock time of RFC 3339 to the millisecond.
fn to_millis(time: &str) -> String {
    let time = time.trim_end_matches('Z');
    let (seconds, fraction) = time.split_once('.').unwrap_or((time, ""));
    format!("{seconds}.{:0<3}Z", fraction.get(..3).unwrap_or(fraction))
}

/// Without the date, if that is the same as that of the start.
fn time_of_day(end: &str, start: Option<&str>) -> String {
    match (end.split_once('T'), start.and_then(|start| start.split_once('T'))) {
        (Some((date, time)), Some((first, _))) if date == first => time.to_owned(),
        _ => end.to_owned(),
    }
}

/// Rows in the order of ranks, those without one last.
fn rows_of(infos: &[record::Info]) -> Vec<RankRow<'_>> {
    let mut ranks: BTreeMap<i64, RankRow<'_>> = BTreeMap::new();
    let mut unranked = Vec::new();
    for info in infos {
        match info.rank {
            Some(rank) => {
                let row =
                    ranks.entry(rank).or_insert_with(|| RankRow { rank: Some(rank), traces: Vec::new() });
                row.traces.push(info);
            }
            None => unranked.push(RankRow { rank: None, traces: vec![info] }),
        }
    }
    ranks.into_values().chain(unranked).collect()
}

/// Finds the ranks that are missing of the job of these traces.
pub(super) fn find_missing(infos: &[record::Info]) -> record::RankSet {
    let rows = rows_of(infos);
    let present: BTreeSet<i64> = rows.iter().filter_map(|row| row.rank).collect();
    let world_size = infos.iter().filter_map(|info| info.world_size).max();
    // Where nothing says how many there are, those between the first and the last are expected.
    let expected = match (world_size, present.first(), present.last()) {
        (Some(size), ..) => Some((0, size.saturating_sub(1))),
        (None, Some(first), Some(last)) => Some((*first, *last)),
        _ => None,
    };
    let idle = rows.iter().filter(|row| row.rank.is_some() && row.device_events() == 0);
    record::RankSet {
        traces: infos.len() as u64,
        ranks: present.len() as u64,
        world_size,
        missing_ranks: expected.map_or(Vec::new(), |(first, last)| gaps_between(&present, first, last)),
        ranks_without_device_events: ranges_of(&idle.filter_map(|row| row.rank).collect()),
        incomplete: infos.iter().filter(|info| !info.complete).map(|info| info.path.clone()).collect(),
        without_rank: rows.iter().filter(|row| row.rank.is_none()).count() as u64,
    }
}

/// The numbers from `first` to `last` that are not in the set.
fn gaps_between(present: &BTreeSet<i64>, first: i64, last: i64) -> Vec<record::RankRange> {
    let mut gaps = Vec::new();
    let mut next = first;
    for &rank in present.range(first..=last.max(first)) {
        if rank > next {
            gaps.push(record::RankRange { first: next, last: rank - 1 });
        }
        next = rank.saturating_add(1);
    }
    if next <= last {
        gaps.push(record::RankRange { first: next, last });
    }
    gaps
}

/// Numbers that follow one another, together.
fn ranges_of(numbers: &BTreeSet<i64>) -> Vec<record::RankRange> {
    let mut ranges: Vec<record::RankRange> = Vec::new();
    for &number in numbers {
        match ranges.last_mut() {
            Some(range) if range.last.checked_add(1) == Some(number) => range.last = number,
            _ => ranges.push(record::RankRange { first: number, last: number }),
        }
    }
    ranges
}

fn list_ranges(ranges: &[record::RankRange]) -> String {
    let show = |range: &record::RankRange| match range {
        record::RankRange { first, last } if first == last => first.to_string(),
        record::RankRange { first, last } => format!("{first}-{last}"),
    };
    let more = if ranges.len() > SHOWN { ", …" } else { "" };
    ranges.iter().take(SHOWN).map(show).collect::<Vec<_>>().join(", ") + more
}

fn count_numbers(ranges: &[record::RankRange]) -> u64 {
    ranges.iter().fold(0u64, |sum, range| sum.saturating_add((range.last - range.first) as u64 + 1))
}

/// Writes the table, and below it what is missing.
pub(super) fn write_table(to: &mut dyn Write, infos: &[record::Info]) -> io::Result<()> {
    let rows = rows_of(infos);
    let set = find_missing(infos);
    let of = set.world_size.map_or(String::new(), |size| format!(" of {size}"));
    writeln!(to, "{} traces, ranks: {}{of}", format_count(set.traces), format_count(set.ranks))?;
    let (left, right) = (Align::Left, Align::Right);
    let mut table = Table::new(&[
        ("rank", right),
        ("host", left),
        ("files", right),
        ("format", left),
        ("steps", left),
        ("start", left),
        ("end", left),
        ("trace", left),
    ]);
    rows.iter().for_each(|row| table.add_row(row.cells()));
    table.fit_last_column(output_width());
    table.write(to)?;
    let lists = [
        ("missing ranks", &set.missing_ranks),
        ("ranks without device events", &set.ranks_without_device_events),
    ];
    for (what, ranges) in lists.iter().filter(|(_, ranges)| !ranges.is_empty()) {
        writeln!(to, "{what}: {} ({})", format_count(count_numbers(ranges)), list_ranges(ranges))?;
    }
    if set.without_rank > 0 {
        writeln!(to, "traces that do not say their rank: {}", format_count(set.without_rank))?;
    }
    for info in infos.iter().filter(|info| !info.complete) {
        let reason = info.error.as_deref().unwrap_or("the array is not closed");
        writeln!(to, "incomplete: {}: {}", safe(&info.path), safe(reason))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(rank: Option<i64>, events: u64) -> record::Info {
        let devices = vec![record::Device { device: Some(0), name: None, events }];
        record::Info {
            path: format!("r{rank:?}.json"),
            rank,
            devices,
            complete: true,
            ..record::Info::default()
        }
    }

    fn range(first: i64, last: i64) -> record::RankRange {
        record::RankRange { first, last }
    }

    #[test]
    fn what_is_missing_is_told() {
        let mut infos =
            vec![info(Some(1), 4), info(Some(4), 0), info(Some(4), 0), info(None, 1), info(Some(5), 0)];
        let set = find_missing(&infos);
        assert_eq!(set.missing_ranks, [range(2, 3)]);
        assert_eq!(set.ranks_without_device_events, [range(4, 5)]);
        assert_eq!((set.traces, set.ranks, set.without_rank), (5, 3, 1));
        infos[0].world_size = Some(i64::MAX);
        infos[3].complete = false;
        let set = find_missing(&infos);
        assert_eq!(set.missing_ranks, [range(0, 0), range(2, 3), range(6, i64::MAX - 1)]);
        assert_eq!(set.incomplete, ["rNone.json"]);
        infos[0].world_size = Some(0);
        assert_eq!(find_missing(&infos).missing_ranks, []);
        assert_eq!(
            list_ranges(&ranges_of(&(0..40).map(|n| n * 2).collect())),
            "0, 2, 4, 6, 8, 10, 12, 14, …"
        );
    }

    #[test]
    fn times_are_short() {
        assert_eq!(to_millis("2023-11-14T22:13:20Z"), "2023-11-14T22:13:20.000Z");
        assert_eq!(to_millis("2023-11-14T22:13:20.12Z"), "2023-11-14T22:13:20.120Z");
        assert_eq!(to_millis("2023-11-14T22:13:20.123456Z"), "2023-11-14T22:13:20.123Z");
        let end = "2023-11-14T22:13:21.000Z";
        assert_eq!(time_of_day(end, Some("2023-11-14T22:13:20Z")), "22:13:21.000Z");
        assert_eq!(time_of_day(end, Some("2023-11-13T22:13:20Z")), end);
    }
}
