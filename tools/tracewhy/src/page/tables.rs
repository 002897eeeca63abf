//! Lists of a report: a limited number of rows, and how much was left out.

use std::collections::{BTreeMap, BinaryHeap};

use common::finding::{Finding, Severity};
use serde::Serialize;
use trace::shorten::cut_to_width;

use crate::job::program::PathTree;

/// Longer texts of traces are cut.
const MOST_TEXT: usize = 240;

/// A text of a trace as the page has it.
pub(crate) fn cut_text(text: &str) -> String {
    cut_to_width(text, MOST_TEXT)
}

/// One value of a row.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Cell {
    Text(String),
    Integer(i64),
    Number(f64),
    None,
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(cut_text(text))
    }
}

impl From<i64> for Cell {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<u64> for Cell {
    fn from(number: u64) -> Self {
        Self::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<f64> for Cell {
    /// With the digits that are shown; there is no JSON for what is no number.
    fn from(number: f64) -> Self {
        let rounded = (number * 1e5).round() / 1e5;
        if rounded.is_finite() { Self::Number(rounded) } else { Self::None }
    }
}

impl<T: Into<Self>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::None, Into::into)
    }
}

/// A row of what can become cells.
macro_rules! row {
    ($($value:expr),* $(,)?) => { vec![$($crate::page::Cell::from($value)),*] };
}
pub(crate) use row;

/// Rows, the first to matter first.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct TableData {
    rows: Vec<Vec<Cell>>,
    left_out: u64,
    /// Time of what was left out, where that is known.
    left_out_ns: i64,
}

impl TableData {
    /// The first `most` rows.
    pub(crate) fn first(most: usize, rows: impl ExactSizeIterator<Item = Vec<Cell>>) -> Self {
        let left_out = rows.len().saturating_sub(most) as u64;
        Self { rows: rows.take(most).collect(), left_out, left_out_ns: 0 }
    }

    /// Says how many were left out before, and what they take.
    pub(crate) fn and_left_out(mut self, count: u64, time: i64) -> Self {
        self.left_out += count;
        self.left_out_ns = time;
        self
    }
}

/// The findings of `traceq check`.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Findings {
    /// `--findings` was given.
    given: bool,
    /// The command that adds them to the page, where they were not given.
    command: Option<String>,
    counts: BTreeMap<String, u64>,
    #[serde(flatten)]
    table: TableData,
}

/// Maximum number of findings that are shown.
const MOST_FINDINGS: usize = 300;

impl Findings {
    /// None were given: what to run instead.
    pub(crate) fn not_given(command: String) -> Self {
        Self { command: Some(command), ..Self::default() }
    }

    /// Those that were given, the worst first.
    pub(crate) fn of(mut findings: Vec<Finding>) -> Self {
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        let mut counts = BTreeMap::new();
        for finding in &findings {
            *counts.entry(finding.severity.to_string()).or_default() += 1;
        }
        let row = |f: &Finding| {
            let severity: Severity = f.severity;
            row![
                severity.to_string().as_str(),
                f.rule.as_str(),
                f.path.as_str(),
                f.found.as_str(),
                f.fix.as_str()
            ]
        };
        Self {
            given: true,
            command: None,
            counts,
            table: TableData::first(MOST_FINDINGS, findings.iter().map(row)),
        }
    }
}

/// A flame graph: `(parent, name, own, total, pieces)` of each node, parents first; names by their places in a list.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(crate) struct Flame {
    names: Vec<String>,
    nodes: Vec<(usize, usize, i64, i64, u64)>,
    /// Nodes that are not shown, without those within them.
    left_out: u64,
}

/// Maximum number of nodes that are shown: those with the most time.
const MOST_NODES: usize = 1500;

impl Flame {
    /// The largest nodes of a tree.
    pub(crate) fn of_tree(tree: &PathTree) -> Self {
        let mut out = Self::default();
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        // No node has more time than the one around it, so that the largest of all come with what is around them.
        let mut waiting = BinaryHeap::from([(tree.nodes[0].total, std::cmp::Reverse(0), 0)]);
        while let Some((_, std::cmp::Reverse(number), parent)) = waiting.pop() {
            if out.nodes.len() >= MOST_NODES {
                out.left_out = waiting.len() as u64 + 1;
                break;
            }
            let node = &tree.nodes[number];
            let place = out.nodes.len();
            let name = *names.entry(&node.name).or_insert_with(|| {
                out.names.push(cut_text(&node.name));
                out.names.len() - 1
            });
            out.nodes.push((parent, name, node.own, node.total, node.count));
            waiting.extend(node.inner.values().map(|&i| (tree.nodes[i].total, std::cmp::Reverse(i), place)));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::program::ProgramTotals;
    use crate::part::RankPart;
    use trace::program::PathTime;

    #[test]
    fn a_flame_has_the_largest_nodes_with_their_parents() {
        let time = |i: i64| PathTime {
            path: vec!["forward".to_owned(), format!("module {}", i / 3000), format!("layer {i}")],
            time: i,
            count: 1,
        };
        let mut totals = ProgramTotals::default();
        totals.add_rank(&RankPart { paths: (0..6000).map(time).collect(), ..RankPart::default() });
        let flame = Flame::of_tree(&totals.paths);
        assert_eq!((flame.nodes.len(), flame.left_out), (MOST_NODES, 6000 + 4 - MOST_NODES as u64));
        assert!(flame.nodes.iter().enumerate().skip(1).all(|(i, node)| node.0 < i));
        assert_eq!(flame.nodes[0].3, 5999 * 3000);
        let smallest = flame.nodes.iter().map(|node| node.3).min();
        assert_eq!(smallest, Some(6000 - (MOST_NODES as i64 - 4)));
    }

    #[test]
    fn what_is_left_out_is_counted() {
        let table = TableData::first(2, (0..5_i32).map(|i| row![i64::from(i), "x", None::<i64>, f64::NAN]));
        assert_eq!((table.rows.len(), table.left_out), (2, 3));
        assert_eq!(serde_json::to_string(&table.rows[1]).unwrap(), r#"[1,"x",null,null]"#);
        assert_eq!(cut_text(&"é".repeat(500)).chars().count(), MOST_TEXT);
    }
}
