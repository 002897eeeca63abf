//! The trace model: what every reader produces and every analysis and writer takes.
//!
//! One event at a time, borrowed from the reader's buffer; times are integer nanoseconds of the file's own
//! clock ([`TraceMeta::base_ns`] moves them to the Unix epoch). Knows no format.

mod category;
mod collective;
mod defect;
mod hash;
mod meta;
mod names;
mod processes;
mod text;

use std::any::Any;

pub use category::Category;
pub use collective::{KernelClass, classify_kernel_name, is_collective_call};
pub use defect::{Defect, DefectCost, DefectCount, DefectCounts};
pub use hash::{FastMap, FastState};
pub use meta::{Dialect, RootMember, TraceMeta, is_epoch_time};
pub use names::NameTable;
pub use processes::{
    DevicePlane, NameHint, ProcessRole, ProcessTable, RowMeaning, RowTraits, TaskKind, decides_rows,
    is_lane_name, rank_in_text, split_merge_label, thread_decides_rows,
};
pub(crate) use processes::{is_ascend_process, is_compute_task};
pub use text::RawText;

/// A process, thread, flow or async id. A text of plain digits is the number: writers differ in the spelling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum EventId<'a> {
    /// Not given.
    #[default]
    None,
    /// A number.
    Number(i64),
    /// A text, or a number that does not fit.
    Text(RawText<'a>),
}

impl EventId<'_> {
    /// The id as JSON.
    pub fn to_json(self) -> Option<serde_json::Value> {
        match self {
            Self::None => None,
            Self::Number(n) => Some(n.into()),
            Self::Text(t) => Some(t.decode().into_owned().into()),
        }
    }

    /// The id if it is a number.
    pub fn as_number(self) -> Option<i64> {
        match self {
            Self::Number(n) => Some(n),
            _ => None,
        }
    }
}

/// One event.
#[derive(Clone, Copy, Debug, Default)]
pub struct Event<'a> {
    /// Its number in the file's order, from 0. Events that are equal otherwise are ordered by it.
    pub index: u64,
    /// The `ph` character.
    pub phase: u8,
    /// The normalized category.
    pub category: Category,
    /// The category as the file spells it.
    pub cat: RawText<'a>,
    /// The name: of an operator, a kernel, a range.
    pub name: RawText<'a>,
    /// Process id; some producers use it for devices.
    pub pid: EventId<'a>,
    /// Thread id; some producers use it for streams.
    pub tid: EventId<'a>,
    /// Start, in nanoseconds of the file's clock.
    pub start: Option<i64>,
    /// Duration in nanoseconds.
    pub dur: Option<i64>,
    /// Index of the device that it ran on.
    pub device: Option<i64>,
    /// Stream of the device.
    pub stream: Option<i64>,
    /// Ties a launch to what it launched (`correlation`, or else `correlation_id`).
    pub correlation: Option<i64>,
    /// Ties device work to the operator that asked for it (`External id`).
    pub external: Option<i64>,
    /// Id of a flow or of an async span: `id`, or else `id2`.
    pub id: EventId<'a>,
    /// The id holds within the process only (`id2.local`).
    pub local_id: bool,
    /// The scope of the id (`scope`).
    pub scope: RawText<'a>,
    /// The value of a metadata event: its `name` or `labels`.
    pub label: RawText<'a>,
    /// Kind of an Ascend device task (`Task Type`).
    pub task_type: RawText<'a>,
    /// Place in the order of the producer (`Ev Idx`).
    pub sequence: Option<i64>,
    /// Number of the step that the event marks (`step_num`).
    pub step_number: Option<i64>,
    /// The arguments as they stand in the file, an object of JSON; empty if there are none.
    pub args: &'a [u8],
    /// The whole event as it stands in the file, an object of JSON; empty if the format is another.
    pub text: &'a [u8],
    /// The text is not quite JSON in UTF-8: a repair was needed to read it.
    pub repaired: bool,
    /// Its category, device and stream follow from the name of its process or thread, and stand nowhere in the event.
    pub of_process: bool,
    /// The text stands in no file: it was made of the columns of a data set.
    pub made: bool,
    /// Its time or its duration cannot be used as it stands in the file: it was left out, or counts as zero.
    pub untimed: bool,
    /// Everything that the text says is in the other fields, as it stands there: they can be written in its place.
    pub plain: bool,
    /// What ties an operator of the backward pass to that of the forward pass.
    pub autograd: AutogradLink,
}

/// The arguments of an operator that tie the backward pass to the forward pass (pytorch `torch/csrc/profiler/collection.h`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AutogradLink {
    /// They stand among the arguments, if it has them: the reader has not looked for them.
    #[default]
    InArguments,
    /// The whole numbers that they are.
    Read {
        /// `Sequence number`: operators of both passes have the same.
        sequence: Option<i64>,
        /// `Fwd thread id`: above 0 for operators of the backward pass.
        forward_thread: Option<i64>,
    },
}

impl Event<'_> {
    /// Start and end of an event that has both and can have been: not before the year 1843 or after 2096, and not work of
    /// more than a day. So times can be added up.
    pub fn plausible_span(&self) -> Option<(i64, i64)> {
        const DAY: i64 = 86_400_000_000_000;
        let (start, end) = self.span()?;
        let may_last = matches!(self.category, Category::Step | Category::Marker);
        let lasts = end >= start && (may_last || end.checked_sub(start)? <= DAY);
        (lasts && is_plausible_time(start) && is_plausible_time(end)).then_some((start, end))
    }

    /// Start and end of an event that has both.
    pub fn span(&self) -> Option<(i64, i64)> {
        match (self.phase, self.start, self.dur) {
            (b'X', Some(start), Some(dur)) => Some((start, start.saturating_add(dur))),
            _ => None,
        }
    }
}

/// Returns whether a time is plausible: differences of plausible times fit into 64 bits.
pub fn is_plausible_time(at: i64) -> bool {
    const FURTHEST: i64 = 4_000_000_000_000_000_000;
    (-FURTHEST..=FURTHEST).contains(&at)
}

/// Where a reader puts its events.
pub trait EventSink {
    /// Takes one event. Called for every event in the file's order, on one thread, while other threads decode what
    /// follows: what this takes is on the critical path.
    ///
    /// # Errors
    /// The sink cannot go on (a closed pipe); reading stops and the error is passed through.
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()>;

    /// Returns whether this looks at the arguments of events. Readers that have to put them together leave them out where
    /// nobody does.
    fn wants_arguments(&self) -> bool {
        true
    }

    /// Takes notice, before the first event, that processes and threads have their names in front of all that these decide.
    fn note_names_first(&mut self) {}

    /// A worker that does part of this sink's work on another thread, if there is such a part. What it prepared comes in the
    /// file's order, in the place of its events, or before them (see [`PreparedEvents::beside`]). The events that it gets have
    /// the category that the reader gave them.
    fn make_worker(&self) -> Option<Box<dyn EventWorker>> {
        None
    }

    /// Takes what a worker of this sink has made of events.
    ///
    /// # Errors
    /// As of [`Self::event`].
    fn take_prepared(&mut self, prepared: PreparedEvents) -> anyhow::Result<()> {
        let PreparedEvents { .. } = prepared;
        Ok(())
    }
}

/// Does part of a sink's work on another thread, many events at a time, before their turn.
pub trait EventWorker: Send {
    /// Takes one event that is no metadata; its index is not known yet. `false` if the sink has to take it: then it
    /// takes all that come together with it, and what has been made of them is forgotten.
    fn prepare(&mut self, event: &Event<'_>, prepared: &mut PreparedEvents) -> bool;

    /// Ends the events that stand together, whether all of them were prepared or not: what is left of them goes to
    /// `prepared`, and the next ones begin anew.
    fn end_batch(&mut self, prepared: &mut PreparedEvents) {
        let PreparedEvents { .. } = prepared;
    }
}

/// The output of a worker for events that stand together.
#[derive(Debug, Default)]
pub struct PreparedEvents {
    /// Text to write.
    pub text: Vec<u8>,
    /// How many records it holds.
    pub records: u64,
    /// What was made of the events besides: if there is anything, they come to the sink as well, after this.
    pub beside: Option<Box<dyn Any + Send>>,
    /// The index of the first of the events, once it is known.
    pub first_index: u64,
}

/// A sink made of two. Only the second may have a worker, one that prepares what comes beside the events.
impl<A: EventSink, B: EventSink> EventSink for (&mut A, &mut B) {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        self.0.event(event)?;
        self.1.event(event)
    }

    fn note_names_first(&mut self) {
        self.0.note_names_first();
        self.1.note_names_first();
    }

    fn make_worker(&self) -> Option<Box<dyn EventWorker>> {
        self.1.make_worker()
    }

    fn take_prepared(&mut self, prepared: PreparedEvents) -> anyhow::Result<()> {
        self.1.take_prepared(prepared)
    }
}
