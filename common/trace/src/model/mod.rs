//! The trace model: what every reader produces and every analysis and writer takes.
//!
//! One event at a time, borrowed from the reader's buffer; times are integer nanoseconds of the file's own
//! clock ([`Meta::base_ns`] moves them to the Unix epoch). Knows no format.

mod category;
mod meta;
mod names;
mod pairs;
mod text;

pub(crate) use category::{Category, is_collective, is_copy_kernel};
pub(crate) use meta::{Census, Dialect, Meta, Repairs};
pub(crate) use names::{Lanes, Names};
pub(crate) use pairs::Pairs;
pub(crate) use text::Text;

/// What an event's process is for, where the process and not the event tells: Ascend device rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Role {
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
pub(crate) enum Id<'a> {
    /// Not given.
    #[default]
    None,
    /// A number.
    Number(i64),
    /// A text, or a number that does not fit.
    Text(Text<'a>),
}

impl Id<'_> {
    /// The id as JSON.
    pub(crate) fn to_json(self) -> Option<serde_json::Value> {
        match self {
            Self::None => None,
            Self::Number(n) => Some(n.into()),
            Self::Text(t) => Some(t.decode().into_owned().into()),
        }
    }
}

/// One event.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Event<'a> {
    /// The `ph` character.
    pub(crate) phase: u8,
    pub(crate) category: Category,
    /// The category as the file spells it.
    pub(crate) cat: Text<'a>,
    pub(crate) name: Text<'a>,
    pub(crate) pid: Id<'a>,
    pub(crate) tid: Id<'a>,
    pub(crate) role: Role,
    /// Start, in nanoseconds of the file's clock.
    pub(crate) start: Option<i64>,
    /// Duration in nanoseconds.
    pub(crate) dur: Option<i64>,
    /// Index of the device that it ran on.
    pub(crate) device: Option<i64>,
    pub(crate) stream: Option<i64>,
    /// Ties a launch to what it launched.
    pub(crate) correlation: Option<i64>,
    /// Ties device work to the operator that asked for it.
    pub(crate) external: Option<i64>,
    /// Id of a flow.
    pub(crate) flow: Id<'a>,
    /// The arguments as they stand in the file; empty if there are none.
    pub(crate) args: &'a [u8],
}

impl Event<'_> {
    /// Start and end of an event that has both.
    pub(crate) fn span(&self) -> Option<(i64, i64)> {
        match (self.phase, self.start, self.dur) {
            (b'X', Some(start), Some(dur)) => Some((start, start + dur)),
            _ => None,
        }
    }
}

/// Where a reader puts its events.
pub(crate) trait Sink {
    /// Takes one event.
    ///
    /// # Errors
    /// The sink cannot go on (a closed pipe); reading stops and the error is passed through.
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()>;
}

/// A sink made of two.
impl<A: Sink, B: Sink> Sink for (&mut A, &mut B) {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        self.0.event(event)?;
        self.1.event(event)
    }
}
