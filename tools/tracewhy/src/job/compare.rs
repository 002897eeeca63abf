//! Two sets of traces beside each other: what became slower, by how much, and whether that is more than steps differ anyway.

use std::collections::{BTreeMap, BTreeSet};

use crate::part::named::{ItemKind, NamedTime, OTHER_NAMES};
use crate::part::{RankPart, StepTimes};

/// The time of an item in each step of each rank.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Samples {
    /// Steps of all ranks; those without the item count, with no time.
    steps: u64,
    ranks: u64,
    sum: i64,
    calls: u64,
    /// Sum of the squares of distances from the mean of the same rank: ranks may differ, steps of one rank make the noise.
    squares: f64,
}

impl Samples {
    /// Adds another item of the same ranks.
    fn add_item(&mut self, other: &Self) {
        self.sum = self.sum.saturating_add(other.sum);
        self.calls = self.calls.saturating_add(other.calls);
        self.squares += other.squares;
    }

    /// Adds a rank with this number of steps; `times` has the time and calls of each step that has the item.
    fn add_rank(&mut self, steps: usize, times: impl Iterator<Item = (i64, u64)>) {
        let (mut sum, mut squares) = (0_i64, 0.0);
        for (time, calls) in times {
            sum = sum.saturating_add(time);
            squares += time as f64 * time as f64;
            self.calls = self.calls.saturating_add(calls);
        }
        self.sum = self.sum.saturating_add(sum);
        let mean = sum as f64 / steps.max(1) as f64;
        self.squares += (squares - sum as f64 * mean).max(0.0);
    }

    /// Mean of a step, in nanoseconds.
    pub(crate) fn mean(&self) -> f64 {
        if self.steps == 0 { 0.0 } else { self.sum as f64 / self.steps as f64 }
    }

    /// Calls in a step.
    pub(crate) fn calls_in_step(&self) -> f64 {
        if self.steps == 0 { 0.0 } else { self.calls as f64 / self.steps as f64 }
    }

    /// The square of the standard error of the mean.
    fn squared_error(&self) -> f64 {
        let freedom = self.steps.saturating_sub(self.ranks);
        if freedom == 0 { 0.0 } else { self.squares / freedom as f64 / self.steps as f64 }
    }

    /// There are enough steps of a rank to measure what they differ by.
    fn shows_noise(&self) -> bool {
        self.ranks > 0 && self.steps / self.ranks >= LEAST_STEPS
    }
}

/// An item of both sets.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Change {
    pub(crate) kind: ItemKind,
    pub(crate) name: String,
    /// Its name in the second set, where that is another one.
    pub(crate) new_name: Option<String>,
    pub(crate) base: Samples,
    pub(crate) new: Samples,
    /// By how much means differ by chance: one standard error.
    pub(crate) noise: f64,
    /// The difference is more than that explains; `None` with too few steps to decide.
    pub(crate) beyond_noise: Option<bool>,
}

/// Minimum difference beyond noise, in standard errors.
const LEAST_ERRORS: f64 = 3.0;
/// Steps of each rank that noise is measured with.
const LEAST_STEPS: u64 = 3;

impl Change {
    fn new(kind: ItemKind, name: String, base: Samples, new: Samples) -> Self {
        let noise = (base.squared_error() + new.squared_error()).sqrt();
        let known = base.shows_noise() && new.shows_noise();
        let difference = (new.mean() - base.mean()).abs();
        let beyond_noise = known.then_some(difference > LEAST_ERRORS * noise && difference >= 1.0);
        Self { kind, name, new_name: None, base, new, noise, beyond_noise }
    }

    /// Nanoseconds by which a step takes longer for it.
    pub(crate) fn difference(&self) -> f64 {
        self.new.mean() - self.base.mean()
    }

    /// The share by which it takes longer; none if there was nothing.
    pub(crate) fn growth(&self) -> Option<f64> {
        (self.base.mean() > 0.0).then(|| self.difference() / self.base.mean())
    }
}

/// The parts of a step, by name.
type StepItem = (&'static str, fn(&StepTimes) -> i64);

/// Those that are compared; the first is the step itself.
pub(crate) const STEP_ITEMS: [StepItem; 6] = [
    ("step", StepTimes::span),
    ("compute", |t| t.compute),
    ("communication", |t| t.communication),
    ("exposed_communication", |t| t.exposed_communication),
    ("exposed_copy", |t| t.exposed_copy),
    ("idle", StepTimes::idle),
];

type ItemSamples = BTreeMap<(ItemKind, String), Samples>;

/// Maximum number of names; later ones are counted as one.
const MOST_NAMES: usize = 100_000;

/// The times of the items of a set of traces.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SetSamples {
    items: ItemSamples,
    steps: u64,
    ranks: u64,
    /// Maximum number of names of a rank that are one.
    other_names: u64,
}

impl SetSamples {
    /// Adds a rank.
    pub(crate) fn add_rank(&mut self, part: &RankPart) {
        let count = part.steps.len();
        self.other_names = self.other_names.max(part.other_names);
        self.steps += count as u64;
        self.ranks += u64::from(count > 0);
        for (name, of) in STEP_ITEMS {
            let samples = self.items.entry((ItemKind::Step, name.to_owned())).or_default();
            samples.add_rank(count, part.steps.iter().map(|step| (of(&step.times), 1)));
        }
        let mut named: BTreeMap<(ItemKind, &str), Vec<(i64, u64)>> = BTreeMap::new();
        for NamedTime { kind, name, time, calls, .. } in &part.named {
            named.entry((*kind, name)).or_default().push((*time, *calls));
        }
        for ((kind, name), times) in named {
            let mut key = (kind, name.to_owned());
            if self.items.len() >= MOST_NAMES && !self.items.contains_key(&key) {
                key.1 = OTHER_NAMES.to_owned();
            }
            self.items.entry(key).or_default().add_rank(count, times.into_iter());
        }
    }

    /// Everything but parts of the step by name: the sum of its durations, and its calls.
    pub(crate) fn each_name(&self) -> impl Iterator<Item = (ItemKind, &str, i64, u64)> {
        let named = self.items.iter().filter(|((kind, _), _)| *kind != ItemKind::Step);
        named.map(|((kind, name), samples)| (*kind, name.as_str(), samples.sum, samples.calls))
    }

    /// Steps of all ranks together.
    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    /// How many names of a rank, at most, were too many and are one.
    pub(crate) fn other_names(&self) -> u64 {
        self.other_names
    }

    /// Kinds of which some names are one.
    fn folded_kinds(&self) -> BTreeSet<ItemKind> {
        self.items.keys().filter(|(_, name)| name == OTHER_NAMES).map(|(kind, _)| *kind).collect()
    }

    /// Makes one of the names of these kinds that the other set does not have: it may have them among those that are one.
    fn fold_alone(&mut self, kinds: &BTreeSet<ItemKind>, other: &BTreeSet<(ItemKind, String)>) {
        let alone =
            |key: &(ItemKind, String)| kinds.contains(&key.0) && key.1 != OTHER_NAMES && !other.contains(key);
        let names: Vec<(ItemKind, String)> = self.items.keys().filter(|key| alone(key)).cloned().collect();
        for key in names {
            let Some(samples) = self.items.remove(&key) else { continue };
            self.items.entry((key.0, OTHER_NAMES.to_owned())).or_default().add_item(&samples);
        }
    }

    fn into_items(mut self) -> ItemSamples {
        self.items.values_mut().for_each(|s| (s.steps, s.ranks) = (self.steps, self.ranks));
        self.items
    }
}

/// Compares two sets. What changed most comes first, the parts of the step before all.
pub(crate) fn compare_sets(mut base: SetSamples, mut new: SetSamples) -> Vec<Change> {
    let folded: BTreeSet<ItemKind> = base.folded_kinds().union(&new.folded_kinds()).copied().collect();
    if !folded.is_empty() {
        let [of_base, of_new] =
            [&base, &new].map(|set| set.items.keys().cloned().collect::<BTreeSet<(ItemKind, String)>>());
        base.fold_alone(&folded, &of_new);
        new.fold_alone(&folded, &of_base);
    }
    let none = |set: &SetSamples| Samples { steps: set.steps, ranks: set.ranks, ..Samples::default() };
    let (none_of_base, none_of_new) = (none(&base), none(&new));
    let (base, new) = (base.into_items(), new.into_items());
    let names = match_renamed(&base, &new);
    let renamed: BTreeSet<&(ItemKind, String)> = names.values().collect();
    let mut out = Vec::new();
    for (key, samples) in &base {
        let other = new.get(key).or_else(|| new.get(names.get(key)?)).copied().unwrap_or(none_of_new);
        let mut change = Change::new(key.0, key.1.clone(), *samples, other);
        change.new_name = names.get(key).map(|(_, name)| name.clone());
        out.push(change);
    }
    for (key, samples) in new.iter().filter(|(key, _)| !base.contains_key(*key) && !renamed.contains(key)) {
        out.push(Change::new(key.0, key.1.clone(), none_of_base, *samples));
    }
    let place = |change: &Change| STEP_ITEMS.iter().position(|(name, _)| *name == change.name);
    out.sort_by(|a, b| {
        let of_step =
            |c: &Change| if c.kind == ItemKind::Step { place(c) } else { None }.unwrap_or(usize::MAX);
        of_step(a)
            .cmp(&of_step(b))
            .then_with(|| b.difference().abs().total_cmp(&a.difference().abs()))
            .then_with(|| (a.kind, &a.name).cmp(&(b.kind, &b.name)))
    });
    out
}

/// Items of one set only that seem to be one of the other: their names are alike but for numbers and parameters, no other
/// is so, and they run about as often.
fn match_renamed(base: &ItemSamples, new: &ItemSamples) -> BTreeMap<(ItemKind, String), (ItemKind, String)> {
    let alone = |own: &ItemSamples, other: &ItemSamples| {
        let mut out: BTreeMap<(ItemKind, String), Vec<(ItemKind, String)>> = BTreeMap::new();
        for key in own.keys().filter(|key| !other.contains_key(*key)) {
            out.entry((key.0, stem_of_name(&key.1))).or_default().push(key.clone());
        }
        out
    };
    let (old, fresh) = (alone(base, new), alone(new, base));
    let mut out = BTreeMap::new();
    for (stem, names) in &old {
        let ([name], Some([other])) = (names.as_slice(), fresh.get(stem).map(Vec::as_slice)) else {
            continue;
        };
        let (a, b) = (base[name].calls_in_step(), new[other].calls_in_step());
        if a.max(b) <= 2.0 * a.min(b) {
            out.insert(name.clone(), other.clone());
        }
    }
    out
}

/// A name without template arguments, parameters, digits and a version at its end, as `_v2`: what compilers and authors
/// change.
fn stem_of_name(name: &str) -> String {
    let end = name.find(['<', '(']).unwrap_or(name.len());
    let plain = name[..end].trim_end();
    let before_number = plain.trim_end_matches(|c: char| c.is_ascii_digit());
    let plain = if before_number.len() < plain.len() {
        before_number.strip_suffix("_v").or(before_number.strip_suffix("_V")).unwrap_or(plain)
    } else {
        plain
    };
    plain.chars().filter(|c| !c.is_ascii_digit()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::part::StepPart;

    fn part(computes: &[i64], named: &[(&str, i64)]) -> RankPart {
        let step = |(number, &compute): (i64, &i64)| {
            let times = StepTimes { compute, ..StepTimes::default() };
            StepPart { number, times, kernels: 1 }
        };
        let named = named.iter().flat_map(|&(name, time)| {
            (0..computes.len() as i64).map(move |step| {
                let (kind, name) = (ItemKind::Kernel, name.to_owned());
                NamedTime { kind, name, step, time, calls: 2 }
            })
        });
        RankPart {
            steps: (0..).zip(computes).map(step).collect(),
            named: named.collect(),
            ..RankPart::default()
        }
    }

    fn compare(base: &[RankPart], new: &[RankPart]) -> Vec<Change> {
        let [base, new] = [base, new].map(|parts| {
            let mut set = SetSamples::default();
            parts.iter().for_each(|part| set.add_rank(part));
            set
        });
        compare_sets(base, new)
    }

    fn find<'a>(changes: &'a [Change], name: &str) -> &'a Change {
        changes.iter().find(|change| change.name == name).unwrap()
    }

    #[test]
    fn noise_between_steps_is_no_change() {
        let base = [part(&[100, 140, 120, 90], &[])];
        let step = compare(&base, &[part(&[130, 100, 120, 118], &[])]).swap_remove(0);
        assert_eq!((step.name.as_str(), step.beyond_noise), ("step", Some(false)));
        assert!((step.base.mean() - 112.5).abs() < 1e-9 && (step.difference() - 4.5).abs() < 1e-9);
        let changes = compare(&base, &[part(&[230, 200, 220, 218], &[])]);
        assert_eq!(find(&changes, "compute").beyond_noise, Some(true));
        assert_eq!(find(&changes, "idle").beyond_noise, Some(false));
        assert_eq!(compare(&base, &[part(&[230], &[])])[0].beyond_noise, None);
    }

    #[test]
    fn names_that_one_set_counts_as_others_are_no_change() {
        let base = [part(&[9, 9, 9], &[("a", 10), ("b", 4), (OTHER_NAMES, 6)])];
        let new = [part(&[9, 9, 9], &[("a", 10), ("c", 5), ("b", 4), ("d", 1)])];
        let changes = compare(&base, &new);
        let kernels: Vec<(&str, f64)> = changes
            .iter()
            .filter(|change| change.kind == ItemKind::Kernel)
            .map(|change| (change.name.as_str(), change.difference()))
            .collect();
        assert_eq!(kernels, [(OTHER_NAMES, 0.0), ("a", 0.0), ("b", 0.0)]);
    }

    #[test]
    fn renamed_kernels_are_found() {
        let base = [part(&[9, 9, 9], &[("gemm_128<float>", 10), ("sum", 5)])];
        let new = [part(&[9, 9, 9], &[("gemm_256<half>", 30), ("max", 5)])];
        let changes = compare(&base, &new);
        let gemm = find(&changes, "gemm_128<float>");
        assert_eq!((gemm.new_name.as_deref(), gemm.growth()), (Some("gemm_256<half>"), Some(2.0)));
        assert_eq!((find(&changes, "sum").new_name.as_deref(), find(&changes, "max").growth()), (None, None));
        assert_eq!(changes.len(), STEP_ITEMS.len() + 3);
        let stems = ["flash_fwd", "flash_fwd_v2", "flash_fwd_v10<true>(int)"].map(stem_of_name);
        assert!(stems.iter().all(|stem| stem == "flash_fwd"), "{stems:?}");
        assert_eq!(["conv", "recv", "v2"].map(stem_of_name), ["conv", "recv", "v"]);
    }
}
