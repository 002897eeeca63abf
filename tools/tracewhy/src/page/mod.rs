//! The report of a job as one file of HTML: what it holds, and how it is written. It loads nothing from elsewhere, and
//! texts of traces are in it as text only.

mod bins;
mod html;
mod memory;
mod series;
mod tables;

use serde::Serialize;

pub(crate) use html::write_page;
pub(crate) use memory::{BEFORE_RECORDING, JobMemory, MemoryData, TIMELINE_POINTS};
pub(crate) use series::{HeatMap, MeanTimes, RankSeries, StepSeries, step_numbers};
pub(crate) use tables::{Cell, Findings, Flame, TableData, cut_text, row};

/// Parts of a time: computation, exposed communication, exposed copies, and idle time by cause.
pub(crate) const TIME_PARTS: usize = 3 + crate::part::IdleCause::ALL.len();

/// The content of a report. The script of the page has one section for each of the later fields.
#[derive(Debug, Serialize)]
pub(crate) struct PageData {
    #[serde(skip)]
    pub(crate) title: String,
    #[serde(skip)]
    pub(crate) headline: String,
    #[serde(skip)]
    pub(crate) notes: Vec<String>,
    /// When the first trace begins, as text.
    #[serde(skip)]
    pub(crate) recorded: Option<String>,
    pub(crate) verdict: VerdictData,
    pub(crate) job: JobData,
    /// Mean step of all ranks.
    pub(crate) totals: [i64; TIME_PARTS],
    pub(crate) steps: StepSeries,
    pub(crate) rank_times: RankSeries,
    pub(crate) heat: HeatMap,
    pub(crate) ranks: TableData,
    pub(crate) links: TableData,
    pub(crate) collectives: TableData,
    pub(crate) names: TableData,
    pub(crate) program: TableData,
    pub(crate) flame: Flame,
    pub(crate) memory: MemoryData,
    /// The losses in reading.
    pub(crate) reading: TableData,
    pub(crate) findings: Findings,
    pub(crate) comparison: Option<ComparisonData>,
}

/// The verdict on the job.
#[derive(Debug, Serialize)]
pub(crate) struct VerdictData {
    /// The slow rank.
    pub(crate) rank: Option<i64>,
    /// The time that the others waited for it.
    pub(crate) lost_ns: i64,
    pub(crate) confidence: f64,
}

/// The input that was read.
#[derive(Debug, Serialize)]
pub(crate) struct JobData {
    pub(crate) ranks: u64,
    pub(crate) missing: u64,
    pub(crate) steps: u64,
    pub(crate) step_ns: i64,
    pub(crate) collectives: u64,
    pub(crate) on_device: bool,
    pub(crate) files: u64,
    pub(crate) incomplete: u64,
    pub(crate) events: u64,
}

/// Two sets of traces beside each other.
#[derive(Debug, Serialize)]
pub(crate) struct ComparisonData {
    pub(crate) text: String,
    pub(crate) base: String,
    pub(crate) new: String,
    pub(crate) base_ranks: u64,
    pub(crate) new_ranks: u64,
    #[serde(flatten)]
    pub(crate) changes: TableData,
}
