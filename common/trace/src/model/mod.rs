//! The trace model: what every reader produces and every analysis and writer takes.
//!
//! One event at a time, borrowed from the reader's buffer; times are integer nanoseconds of the file's own
//! clock ([`TraceMeta::base_ns`] moves them to the Unix epoch). Knows no format.

mod category;
mod meta;
mod names;
mod pairs;
mod text;

pub use category::{Category, is_collective, is_copy_kernel};
pub use meta::{Dialect, EventCounts, RepairCounts, TraceMeta};
pub use names::{NameTable, ThreadTable};
pub use pairs::BeginEndPairs;
pub use text::RawText;

/// What an event's process is for, where the process and not the event tells: Ascend device rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProcessRole {
    /// Nothing known.
    #[default]
    None,
    /// Tasks on a device.
    Hardware,
    /// Collective operations and their parts.
    Communication,
    /// The exporter's own lanes: Computing, Communication, Communication(Not Overlapped), Free.
    Overlap,
    /// Driver and runtime calls.
    Cann,
}

/// A process, thread, or flow id: numbers and texts are different things.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
}

/// One event.
#[derive(Clone, Copy, Debug, Default)]
pub struct Event<'a> {
    /// The `ph` character.
    pub phase: u8,
    /// The normalised category.
    pub category: Category,
    /// The category as the file spells it.
    pub cat: RawText<'a>,
    /// What happened: an operator, a kernel, a range.
    pub name: RawText<'a>,
    /// Process id; some producers use it for devices.
    pub pid: EventId<'a>,
    /// Thread id; some producers use it for streams.
    pub tid: EventId<'a>,
    /// What the process is for.
    pub role: ProcessRole,
    /// Start, in nanoseconds of the file's clock.
    pub start: Option<i64>,
    /// Duration in nanoseconds.
    pub dur: Option<i64>,
    /// Index of the device that it ran on.
    pub device: Option<i64>,
    /// Stream of the device.
    pub stream: Option<i64>,
    /// Ties a launch to what it launched.
    pub correlation: Option<i64>,
    /// Ties device work to the operator that asked for it.
    pub external: Option<i64>,
    /// Id of a flow.
    pub flow: EventId<'a>,
    /// The arguments as they stand in the file; empty if there are none.
    pub args: &'a [u8],
}

impl Event<'_> {
    /// Start and end of an event that has both.
    pub fn span(&self) -> Option<(i64, i64)> {
        match (self.phase, self.start, self.dur) {
            (b'X', Some(start), Some(dur)) => Some((start, start + dur)),
            _ => None,
        }
    }
}

/// Where a reader puts its events.
pub trait EventSink {
    /// Takes one event.
    ///
    /// # Errors
    /// The sink cannot go on (a closed pipe); reading stops and the error is passed through.
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()>;
}

/// A sink made of two.
impl<A: EventSink, B: EventSink> EventSink for (&mut A, &mut B) {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        self.0.event(event)?;
        self.1.event(event)
    }
}
