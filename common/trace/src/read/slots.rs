//! The members and arguments of an event that are used, and the place of their values.

/// The members of an event that are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Member {
    Phase,
    Cat,
    Name,
    Pid,
    Tid,
    Ts,
    Dur,
    Id,
    Scope,
    Args,
    Id2,
}

/// The place of a value in [`EventFields`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(u8);

impl Slot {
    /// For members that are not needed.
    pub(super) const NONE: Self = Self((Member::COUNT + Argument::COUNT) as u8);

    #[inline(always)]
    pub(super) fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl Member {
    const COUNT: usize = 11;

    /// The place of its value.
    #[inline(always)]
    pub(super) fn slot(self) -> Slot {
        Slot(self as u8)
    }

    #[inline(always)]
    pub(super) fn of_key(key: &[u8]) -> Option<Self> {
        Some(match key {
            b"ph" => Self::Phase,
            b"cat" => Self::Cat,
            b"name" => Self::Name,
            b"pid" => Self::Pid,
            b"tid" => Self::Tid,
            b"ts" => Self::Ts,
            b"dur" => Self::Dur,
            b"id" => Self::Id,
            b"scope" => Self::Scope,
            b"args" => Self::Args,
            b"id2" => Self::Id2,
            _ => return None,
        })
    }
}

/// The arguments that are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Argument {
    Correlation,
    CorrelationId,
    External,
    Stream,
    Device,
    Sequence,
    StepNumber,
    TaskType,
    AutogradSequence,
    ForwardThread,
    /// `name` or `labels` of a metadata event.
    Label,
}

impl Argument {
    const COUNT: usize = 11;

    /// The place of its value.
    #[inline(always)]
    pub(super) fn slot(self) -> Slot {
        Slot(Member::COUNT as u8 + self as u8)
    }

    #[inline(always)]
    pub(super) fn of_key(key: &[u8]) -> Option<Self> {
        Some(match key {
            b"correlation" => Self::Correlation,
            b"correlation_id" => Self::CorrelationId,
            b"External id" | b"external id" => Self::External,
            b"stream" | b"stream_id" => Self::Stream,
            b"device" => Self::Device,
            b"Ev Idx" => Self::Sequence,
            b"step_num" => Self::StepNumber,
            b"Task Type" => Self::TaskType,
            b"Sequence number" => Self::AutogradSequence,
            b"Fwd thread id" => Self::ForwardThread,
            b"name" | b"labels" => Self::Label,
            _ => return None,
        })
    }
}

/// As many as there are slots.
pub(super) const VALUES: usize = Member::COUNT + Argument::COUNT + 1;
