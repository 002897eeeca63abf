//! The time of single kernels, operators, collectives, modules, annotations and phases in each step, for comparisons.

use std::collections::{BTreeMap, BTreeSet};

use trace::model::NameTable;
use trace::program::{PartName, ProgramPart, StepWork};

/// The kind of an item with a name.
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
    /// Device time of a module, without that of modules within it.
    Module,
    /// Device time of an annotation, without that of annotations within it.
    Annotation,
    /// Device time of a phase.
    Phase,
}

impl ItemKind {
    /// All of them.
    const ALL: [Self; 7] = [
        Self::Step,
        Self::Kernel,
        Self::Operator,
        Self::Collective,
        Self::Module,
        Self::Annotation,
        Self::Phase,
    ];

    /// Parses the name in records.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The name in records.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::Kernel => "kernel",
            Self::Operator => "operator",
            Self::Collective => "collective",
            Self::Module => ProgramPart::Module.name(),
            Self::Annotation => ProgramPart::Annotation.name(),
            Self::Phase => ProgramPart::Phase.name(),
        }
    }

    fn of_part(part: ProgramPart) -> Self {
        match part {
            ProgramPart::Phase => Self::Phase,
            ProgramPart::Module => Self::Module,
            ProgramPart::Annotation => Self::Annotation,
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

/// The name for the names beyond the limit.
pub(crate) const OTHER_NAMES: &str = "(other names)";
/// The name for work outside of all modules or annotations.
pub(crate) const NO_NAME: &str = "(none)";

/// A name, while it is a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ItemName {
    Number(u32),
    Fixed(&'static str),
}

/// Maximum number of sums of a rank: 1,000 names in 500 steps.
const MOST_SUMS: usize = 1 << 19;

/// Adds events up by name and step. Of too many names, those with the least time become one, in all steps, so that what is
/// known of a name is known of every step.
#[derive(Debug)]
pub(super) struct NamedSums {
    sums: BTreeMap<(ItemKind, ItemName, usize), (i64, u64)>,
    folded: BTreeSet<(ItemKind, ItemName)>,
    most: usize,
}

impl Default for NamedSums {
    fn default() -> Self {
        Self { sums: BTreeMap::new(), folded: BTreeSet::new(), most: MOST_SUMS }
    }
}

impl NamedSums {
    /// Adds an event of the step of this index.
    pub(super) fn add(&mut self, kind: ItemKind, name: u32, step: Option<usize>, time: i64) {
        if let Some(step) = step {
            self.add_sum(kind, ItemName::Number(name), step, (time, 1));
        }
    }

    /// Adds work of a part of the program.
    pub(super) fn add_program(&mut self, work: StepWork) {
        let name = match work.name {
            PartName::Phase(name) => ItemName::Fixed(name),
            PartName::Range(number) => ItemName::Number(number),
            PartName::None => ItemName::Fixed(NO_NAME),
        };
        self.add_sum(ItemKind::of_part(work.part), name, work.step as usize, (work.time, work.count));
    }

    fn add_sum(&mut self, kind: ItemKind, mut name: ItemName, step: usize, (time, count): (i64, u64)) {
        if !self.folded.is_empty() && self.folded.contains(&(kind, name)) {
            name = ItemName::Fixed(OTHER_NAMES);
        }
        let (sum, calls) = self.sums.entry((kind, name, step)).or_default();
        *sum = sum.saturating_add(time);
        *calls = calls.saturating_add(count);
        if self.sums.len() > self.most {
            self.fold();
        }
    }

    /// Makes one of the names with the least time, until half of the room is free.
    fn fold(&mut self) {
        let other = ItemName::Fixed(OTHER_NAMES);
        let mut names: BTreeMap<(ItemKind, ItemName), (i64, usize)> = BTreeMap::new();
        for (&(kind, name, _), &(time, _)) in self.sums.iter().filter(|((_, name, _), _)| *name != other) {
            let (sum, steps) = names.entry((kind, name)).or_default();
            *sum = sum.saturating_add(time);
            *steps += 1;
        }
        let mut order: Vec<_> = names.into_iter().map(|(name, (time, steps))| (time, name, steps)).collect();
        order.sort_unstable();
        let mut left = self.sums.len();
        for (_, name, steps) in order {
            if left <= self.most / 2 {
                break;
            }
            left -= steps;
            self.folded.insert(name);
        }
        for ((kind, name, step), (time, count)) in std::mem::take(&mut self.sums) {
            let name = if self.folded.contains(&(kind, name)) { other } else { name };
            let (sum, calls) = self.sums.entry((kind, name, step)).or_default();
            *sum = sum.saturating_add(time);
            *calls = calls.saturating_add(count);
        }
        // Of very many steps, each kind needs a sum for each.
        if self.sums.len() > self.most / 4 * 3 {
            self.most *= 2;
        }
    }

    /// How many names are one.
    pub(super) fn other_names(&self) -> u64 {
        self.folded.len() as u64
    }

    /// The sums with their names; `numbers` are those of the steps. A trace without modules has no work outside of them.
    pub(super) fn name_all(self, names: &NameTable, numbers: &[i64]) -> Vec<NamedTime> {
        let none = ItemName::Fixed(NO_NAME);
        let divided: BTreeSet<ItemKind> =
            self.sums.keys().filter(|(_, name, _)| *name != none).map(|(kind, ..)| *kind).collect();
        let named = |((kind, name, step), (time, calls))| {
            let name = match name {
                ItemName::Fixed(NO_NAME) if !divided.contains(&kind) => return None,
                ItemName::Fixed(name) => name,
                ItemName::Number(number) => names.name(number),
            };
            let (name, step) = (name.to_owned(), numbers.get(step).copied()?);
            Some(NamedTime { kind, name, step, time, calls })
        };
        self.sums.into_iter().filter_map(named).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_too_many_names_the_smallest_are_one_in_every_step() {
        let mut names = NameTable::default();
        let numbers: Vec<u32> =
            (0..40).map(|i| names.intern(format!("kernel {i}").as_str().into())).collect();
        let mut sums = NamedSums { most: 60, ..NamedSums::default() };
        for step in 0..4 {
            for (i, &number) in (1..).zip(&numbers) {
                sums.add(ItemKind::Kernel, number, Some(step), i);
            }
        }
        sums.add(ItemKind::Kernel, numbers[0], None, 1_000_000);
        let folded = sums.other_names();
        let all = sums.name_all(&names, &[10, 11, 12, 13]);
        assert!((1..40).contains(&folded) && all.len() <= 60, "{folded} of 40, {} sums", all.len());
        for step in 10..14 {
            let of_step = || all.iter().filter(move |named| named.step == step);
            assert_eq!(of_step().map(|named| named.time).sum::<i64>(), (1..=40).sum::<i64>(), "{step}");
            let largest = of_step().find(|named| named.name == "kernel 39").unwrap();
            assert_eq!((largest.time, largest.calls), (40, 1));
            assert_eq!(of_step().find(|named| named.name == OTHER_NAMES).unwrap().calls, folded);
        }
    }

    #[test]
    fn work_outside_of_modules_counts_beside_modules_only() {
        let mut names = NameTable::default();
        let linear = names.intern("nn.Module: Linear_0".into());
        let work = |part, name, time| StepWork { part, name, step: 0, time, count: 2 };
        let mut sums = NamedSums::default();
        sums.add_program(work(ProgramPart::Module, PartName::Range(linear), 5));
        sums.add_program(work(ProgramPart::Module, PartName::None, 3));
        sums.add_program(work(ProgramPart::Annotation, PartName::None, 8));
        sums.add_program(work(ProgramPart::Phase, PartName::Phase("forward"), 8));
        let all: Vec<_> = sums
            .name_all(&names, &[7])
            .into_iter()
            .map(|n| (n.kind, n.name, n.step, n.time, n.calls))
            .collect();
        let expected = [
            (ItemKind::Module, "nn.Module: Linear_0".to_owned(), 7, 5, 2),
            (ItemKind::Module, NO_NAME.to_owned(), 7, 3, 2),
            (ItemKind::Phase, "forward".to_owned(), 7, 8, 2),
        ];
        assert_eq!(all, expected);
    }
}
