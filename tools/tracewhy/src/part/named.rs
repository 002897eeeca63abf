//! What single kernels, operators and collectives take in each step, for comparisons.

use std::collections::BTreeMap;

use trace::model::NameTable;

/// What kind of thing has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ItemKind {
    /// A part of the step itself.
    Step,
    /// Work on a device, by the name of its kernel.
    Kernel,
    /// An operator of the host.
    Operator,
    /// Collectives of one kind.
    Collective,
}

impl ItemKind {
    /// Tells it by its name in records.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        [Self::Step, Self::Kernel, Self::Operator, Self::Collective]
            .into_iter()
            .find(|kind| kind.name() == name)
    }

    /// The name in records.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::Kernel => "kernel",
            Self::Operator => "operator",
            Self::Collective => "collective",
        }
    }
}

/// All events of one name in one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamedTime {
    pub(crate) kind: ItemKind,
    pub(crate) name: String,
    /// Number of the step.
    pub(crate) step: i64,
    /// Sum of their durations.
    pub(crate) time: i64,
    pub(crate) calls: u64,
}

/// Adds events up by name and step.
#[derive(Debug, Default)]
pub(super) struct NamedSums(BTreeMap<(ItemKind, u32, usize), (i64, u64)>);

impl NamedSums {
    /// Adds an event of the step of this index.
    pub(super) fn add(&mut self, kind: ItemKind, name: u32, step: Option<usize>, time: i64) {
        let Some(step) = step else { return };
        let (sum, calls) = self.0.entry((kind, name, step)).or_default();
        *sum = sum.saturating_add(time);
        *calls += 1;
    }

    /// The sums with their names; `numbers` are those of the steps.
    pub(super) fn name_all(self, names: &NameTable, numbers: &[i64]) -> Vec<NamedTime> {
        let named = |((kind, name, step), (time, calls))| {
            let (name, step) = (names.name(name).to_owned(), numbers.get(step).copied()?);
            Some(NamedTime { kind, name, step, time, calls })
        };
        self.0.into_iter().filter_map(named).collect()
    }
}
