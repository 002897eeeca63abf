//! What a job would gain without its faults: each step is gone through once more as if the ranks had come earlier that were
//! late, and what reaches the end counts. What others would have waited for anyway, such as another rank that comes nearly as
//! late or the slack of a stage of a pipeline, takes up the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use trace::clock::median;

use super::lateness::{Lateness, median_of_others};
use super::meetings::{Meetings, MoveOrder, OwnArrivals, StepMoves};
use super::place::RankPlaces;
use crate::part::sum_times;

/// A rank that was late in some steps.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    /// Index of the rank.
    pub(super) part: usize,
    /// Numbers of the steps, in order.
    pub(super) steps: Vec<i64>,
    /// How much earlier it would be without the fault, in each of these steps, in nanoseconds.
    pub(super) late: Vec<i64>,
}

impl Fault {
    fn late_in(&self, step: i64) -> Option<i64> {
        self.late.get(self.steps.binary_search(&step).ok()?).copied()
    }
}

/// Faults whose costs are divided among them, since others may have waited for several of them at a time.
#[derive(Clone, Debug)]
struct FaultSet {
    /// Places in the list of faults.
    members: Vec<usize>,
    /// Only what they did in this step counts.
    step: Option<i64>,
}

/// What faults cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FaultCosts {
    /// By fault: by how much the other ranks would be earlier in the end without it, all together, in nanoseconds.
    pub(super) lost: Vec<i64>,
    /// Steps with too many calls to say.
    pub(super) left_out: u64,
}

/// Of more faults, each has a share of what all of them cost that is as large as its lateness.
const MOST_DIVIDED: usize = 16;
/// For how many steps more it is followed what becomes of a gain in a single one.
const STEPS_FOLLOWED: usize = 8;
/// Maximum number of own times from which follows where in a step ranks are late; further steps are left out.
const MOST_SAMPLES: usize = 1 << 22;

/// Finds what each fault costs. The first `slow` of them are those of slow ranks, the others are hiccups.
///
/// # Errors
/// The temporary file cannot be used.
pub(super) fn find_costs(
    meetings: Meetings,
    lateness: &Lateness,
    places: &RankPlaces,
    faults: &[Fault],
    slow: usize,
) -> io::Result<FaultCosts> {
    if faults.is_empty() {
        return Ok(FaultCosts::default());
    }
    let (mut profiles, sets) = (vec![LateProfile::default(); faults.len()], list_sets(faults, slow));
    let (parts, mut samples) = (lateness.ranks.len(), 0);
    let mut of_steps: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    for (i, fault) in faults.iter().enumerate() {
        fault.steps.iter().for_each(|step| of_steps.entry(*step).or_default().push(i));
    }
    let mut order = MoveOrder::new(parts);
    let (meetings, left_out) = meetings.each_step(|number, step| {
        let arrivals = order.list_arrivals(step);
        let late = of_steps.get(&number).into_iter().flatten().copied();
        let mut columns: BTreeMap<(usize, usize), Option<ArrivalColumns>> = BTreeMap::new();
        for i in late {
            let Some(own) = arrivals.get(faults[i].part).filter(|own| !own.times.is_empty()) else {
                continue;
            };
            let key = (places.class(faults[i].part), own.times.len());
            let equals =
                columns.entry(key).or_insert_with(|| ArrivalColumns::of_equals(&arrivals, places, key));
            let Some(equals) = equals.as_ref().filter(|_| samples < MOST_SAMPLES) else { continue };
            samples += own.times.len();
            let at = lateness.steps.get(&number).and_then(|ranks| ranks.get(faults[i].part));
            profiles[i].add(equals.excess(own, at.map_or(0, |at| at.by_load)));
        }
    })?;
    profiles.iter_mut().for_each(LateProfile::settle);
    let mut scenarios: Vec<Scenario> =
        sets.iter().enumerate().flat_map(|(number, set)| list_scenarios(number, set, faults)).collect();
    let mut order = MoveOrder::new(parts);
    // Of a single step, none counts before that.
    let mut active: Vec<usize> = (0..scenarios.len()).filter(|i| scenarios[*i].step.is_none()).collect();
    meetings.each_step(|number, step| {
        let step = order.order_step(step);
        let mut removed: BTreeMap<usize, Vec<i64>> = BTreeMap::new();
        for &i in of_steps.get(&number).into_iter().flatten() {
            let count = step.arrivals.get(faults[i].part).map_or(0, |own| own.times.len());
            if let Some(late) = faults[i].late_in(number).filter(|_| count > 0) {
                removed.insert(i, profiles[i].divide(late, count));
            }
        }
        let first = scenarios.partition_point(|scenario| scenario.step.is_none_or(|only| only < number));
        let begin = (first..scenarios.len()).take_while(|i| scenarios[*i].step == Some(number));
        active.extend(begin);
        active.retain(|i| scenarios[*i].advance(number, &step, faults, &removed, places));
    })?;
    scenarios.iter_mut().for_each(Scenario::end);
    let mut lost = vec![0; faults.len()];
    let mut scenarios = scenarios.into_iter().peekable();
    for (number, set) in sets.iter().enumerate() {
        let mut of_set = Vec::new();
        while let Some(scenario) = scenarios.next_if(|scenario| scenario.set == number) {
            of_set.push(scenario);
        }
        // The cost of a slow rank follows from all of its steps.
        let shares = set.members.iter().zip(divide_costs(set, &of_set, faults, parts));
        shares.filter(|(i, _)| set.step.is_none() || **i >= slow).for_each(|(i, share)| lost[*i] = share);
    }
    Ok(FaultCosts { lost, left_out })
}

/// Where in a step a rank is late: by how much more than its equals it does of its own before each call.
#[derive(Clone, Debug, Default)]
struct LateProfile {
    /// By number of the calls in a step, the excess before each call in steps of that number.
    samples: BTreeMap<usize, Vec<Vec<Option<i64>>>>,
    /// The medians of them, where they are not less than zero.
    usual: BTreeMap<usize, Vec<i64>>,
}

impl LateProfile {
    fn add(&mut self, excess: Vec<Option<i64>>) {
        self.samples.entry(excess.len()).or_default().push(excess);
    }

    fn settle(&mut self) {
        for (count, samples) in std::mem::take(&mut self.samples) {
            let usual = (0..count).map(|place| {
                let mut known: Vec<i64> = samples.iter().filter_map(|excess| excess[place]).collect();
                if known.is_empty() { 0 } else { median(&mut known).max(0) }
            });
            self.usual.insert(count, usual.collect());
        }
    }

    /// Divides the lateness in a step of `count` calls among the times before them. Where nothing is known, it was late from
    /// the beginning.
    fn divide(&self, late: i64, count: usize) -> Vec<i64> {
        let shares = self.usual.get(&count).filter(|usual| usual.iter().any(|time| *time > 0));
        let Some(shares) = shares else {
            return (0..count).map(|place| if place == 0 { late } else { 0 }).collect();
        };
        let whole: f64 = shares.iter().map(|share| *share as f64).sum();
        shares.iter().map(|share| (late as f64 * (*share as f64 / whole)) as i64).collect()
    }
}

/// When equal ranks entered each of their calls in a step, sorted.
struct ArrivalColumns {
    columns: Vec<Vec<i64>>,
}

impl ArrivalColumns {
    /// Those of the ranks of one class that enter a number of calls, if they are several.
    fn of_equals(
        arrivals: &[OwnArrivals],
        places: &RankPlaces,
        (class, count): (usize, usize),
    ) -> Option<Self> {
        let equals = arrivals
            .iter()
            .enumerate()
            .filter(|(part, own)| places.class(*part) == class && own.times.len() == count);
        let equals: Vec<&OwnArrivals> = equals.map(|(_, own)| own).collect();
        if equals.len() < 2 {
            return None;
        }
        let mut columns = vec![Vec::with_capacity(equals.len()); count];
        for own in equals {
            own.times.iter().zip(&mut columns).for_each(|(time, column)| column.extend(time));
        }
        columns.iter_mut().for_each(|column| column.sort_unstable());
        Some(Self { columns })
    }

    /// By how much more than the others one of them did of its own before each of its calls, without `by_load` nanoseconds in
    /// the step that its larger share of the work explains. Where that is not known, it counts before the next call.
    fn excess(&self, own: &OwnArrivals, by_load: i64) -> Vec<Option<i64>> {
        let usual: Vec<Option<(i64, i64)>> = own
            .times
            .iter()
            .zip(&self.columns)
            .map(|(time, column)| {
                Some((*time)?).filter(|_| column.len() > 1).map(|time| (time, median_of_others(column, time)))
            })
            .collect();
        let whole = usual.iter().rev().flatten().map(|(_, usual)| *usual).next().unwrap_or(0).max(1) as f64;
        let mut before = 0;
        let excess = usual.into_iter().enumerate().map(|(place, known)| {
            let (time, usual) = known?;
            let of_load = (by_load as f64 * (usual as f64 / whole)) as i64;
            let later = time.saturating_sub(usual).saturating_sub(of_load);
            let more = later.saturating_sub(std::mem::replace(&mut before, later));
            (place > 0 || !own.is_first).then_some(more)
        });
        excess.collect()
    }
}

/// A job without some of its faults.
#[derive(Debug)]
struct Scenario {
    /// Number of the set.
    set: usize,
    step: Option<i64>,
    /// The faults that it does not have, by place in the list of them.
    without: Vec<usize>,
    /// By how much each rank is earlier than it was; empty before the first of the faults, and in the end.
    gains: Vec<i64>,
    /// All ranks that wait for each other are earlier by as much.
    is_even: bool,
    followed: usize,
    /// In the end, the sum of the gains.
    whole: i64,
    /// In the end, those of the ranks with faults of the set, by index of the rank.
    of_faulty: BTreeMap<usize, i64>,
}

/// The jobs to compare: without all faults of a set; without each; without all but each.
fn list_scenarios(number: usize, set: &FaultSet, faults: &[Fault]) -> Vec<Scenario> {
    let scenario = |without: Vec<usize>| Scenario {
        set: number,
        step: set.step,
        without,
        gains: Vec::new(),
        is_even: true,
        followed: 0,
        whole: 0,
        of_faulty: set.members.iter().map(|i| (faults[*i].part, 0)).collect(),
    };
    let all = &set.members;
    let mut out = vec![scenario(all.clone())];
    if (2..=MOST_DIVIDED).contains(&all.len()) {
        out.extend(all.iter().map(|fault| scenario(vec![*fault])));
        let but = |fault: &usize| all.iter().copied().filter(|other| other != fault).collect();
        out.extend(all.iter().map(|fault| scenario(but(fault))));
    }
    out
}

impl Scenario {
    /// Goes through a step; returns whether further ones may change something.
    fn advance(
        &mut self,
        number: i64,
        step: &StepMoves,
        faults: &[Fault],
        removed: &BTreeMap<usize, Vec<i64>>,
        places: &RankPlaces,
    ) -> bool {
        // Ranks that are all earlier by as much stay so.
        if removed.is_empty() && self.is_even {
            return self.step.is_none();
        }
        let counts = self.step.is_none_or(|only| only == number);
        let mut of_parts: Vec<Option<&[i64]>> = Vec::new();
        let here =
            self.without.iter().filter(|_| counts).filter_map(|i| Some((faults[*i].part, removed.get(i)?)));
        for (part, times) in here {
            of_parts.resize(step.arrivals.len(), None);
            of_parts[part] = Some(times);
        }
        if of_parts.is_empty() && self.is_even {
            return self.step.is_none();
        }
        self.followed += usize::from(of_parts.is_empty());
        of_parts.resize(step.arrivals.len(), None);
        self.gains.resize(step.arrivals.len(), 0);
        step.replay(&mut self.gains, &of_parts);
        let mut of_component: BTreeMap<usize, i64> = BTreeMap::new();
        let mut gains = self.gains.iter().enumerate();
        self.is_even =
            gains.all(|(part, gain)| of_component.entry(places.component(part)).or_insert(*gain) == gain);
        let is_over = self.step.is_some() && (self.is_even || self.followed >= STEPS_FOLLOWED);
        if is_over {
            self.end();
        }
        !is_over
    }

    /// Sums up the gains, which may be many, and discards them.
    fn end(&mut self) {
        let gains = std::mem::take(&mut self.gains);
        self.is_even = true;
        if !gains.is_empty() {
            self.whole = sum_times(gains.iter().copied());
            self.of_faulty.iter_mut().for_each(|(part, gain)| *gain = gains.get(*part).copied().unwrap_or(0));
        }
    }

    /// By how much all ranks but one are earlier in the end.
    fn gain_of_others(&self, part: usize) -> i64 {
        self.whole.saturating_sub(self.of_faulty.get(&part).copied().unwrap_or(0))
    }
}

/// What the other ranks lose by each fault of a set. Of two faults, the mean of what a job gains without it, while the other
/// is there and while it is not: the value of Shapley. Of more, the same for the first and the last to go, divided so that all
/// of them cost what the job gains without all.
fn divide_costs(set: &FaultSet, scenarios: &[Scenario], faults: &[Fault], parts: usize) -> Vec<i64> {
    let count = set.members.len();
    let Some((all, rest)) = scenarios.split_first() else { return vec![0; count] };
    let others = |scenario: &Scenario, i: usize| scenario.gain_of_others(faults[set.members[i]].part);
    if count == 1 {
        return vec![others(all, 0)];
    }
    let whole = all.whole as f64 * (parts.saturating_sub(1)) as f64 / parts.max(1) as f64;
    let shares: Vec<f64> = match rest.len() == 2 * count {
        true => (0..count)
            .map(|i| {
                let last = others(all, i).saturating_sub(others(&rest[count + i], i));
                others(&rest[i], i).saturating_add(last).max(0) as f64 / 2.0
            })
            .collect(),
        false => set
            .members
            .iter()
            .map(|i| {
                let late = faults[*i].steps.iter().zip(&faults[*i].late);
                sum_times(
                    late.filter(|(step, _)| set.step.is_none_or(|only| only == **step))
                        .map(|(_, late)| *late),
                ) as f64
            })
            .collect(),
    };
    let sum: f64 = shares.iter().sum();
    let scale = if count == 2 {
        1.0
    } else if sum > 0.0 {
        whole / sum
    } else {
        0.0
    };
    shares.iter().map(|share| (share * scale).round() as i64).collect()
}

/// The sets of faults: all ranks that are slow; and of each step with hiccups these, with what is slow there as well. `slow`
/// faults come first in the list, hiccups after them.
fn list_sets(faults: &[Fault], slow: usize) -> Vec<FaultSet> {
    let mut out = Vec::new();
    if slow > 0 {
        out.push(FaultSet { members: (0..slow).collect(), step: None });
    }
    let steps: BTreeSet<i64> = faults[slow..].iter().flat_map(|fault| fault.steps.iter().copied()).collect();
    for step in steps {
        let here = |i: &usize| faults[*i].late_in(step).is_some();
        let members = (slow..faults.len()).chain(0..slow).filter(here).collect();
        out.push(FaultSet { members, step: Some(step) });
    }
    out
}
