//! The training or serving steps of a trace, and which step a moment belongs to.

use regex::Regex;

use crate::model::{Category, Event};

/// Parses the numbers of steps as an option gives them, `12` or `12-14`: the first and the last one.
///
/// # Errors
/// The text is neither a number nor a range, or the range is empty.
pub fn parse_steps(text: &str) -> Result<(i64, i64), String> {
    let wrong = || "expected steps such as 12 or 12-14".to_owned();
    if let Ok(number) = text.parse() {
        return Ok((number, number));
    }
    let (first, last) = text.split_once('-').ok_or_else(wrong)?;
    let (first, last) = (first.parse().map_err(|_| wrong())?, last.parse().map_err(|_| wrong())?);
    if first > last { Err(wrong()) } else { Ok((first, last)) }
}

/// Recognizes ranges that the program marked on the host; those on a device repeat them.
pub fn is_host_annotation(cat: &[u8]) -> bool {
    !matches!(cat, b"gpu_user_annotation" | b"Trace" | b"cuda_profiler_range")
}

/// The kind of mark of a step. The first kind that occurs in a trace counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MarkKind {
    /// A name that the user gave.
    User,
    /// `ProfilerStep#N` of `torch.profiler` and of the Ascend profiler.
    Profiler,
    /// An argument `step_num`, of `jax.profiler.StepTraceAnnotation`.
    StepNumber,
    /// A batch of a serving engine; the number names the family.
    Serving(u8),
    /// `iteration 12`, `train_step` and the like, of Megatron and other training loops.
    Loop,
    /// A row of a device's own `Steps` line, of XLA.
    Line,
}

/// The kind and number of the mark that something is, if it is one.
pub type NameMark = Option<(MarkKind, Option<i64>)>;

/// A mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepMark {
    /// Its kind.
    pub kind: MarkKind,
    /// The number that the mark gives.
    pub number: Option<i64>,
    /// Number of its name.
    pub name: u32,
    /// Number of its thread.
    pub thread: u32,
    /// Start in nanoseconds.
    pub start: i64,
    /// End in nanoseconds.
    pub end: i64,
    /// It has no end of its own.
    pub partial: bool,
}

/// Recognizes marks by their names.
#[derive(Clone, Debug, Default)]
pub struct StepNames {
    /// The user's; if there are any, nothing else is a mark.
    user: Vec<Regex>,
}

/// Names of serving engines (vLLM `gpu_model_runner.py`, sglang `scheduler_profiler_mixin.py` and `model_runner.py`, ROCm/ATOM, xDiT; as
/// found in AMD-AGI/TraceLens `tests/traces`). Runs that capture graphs (`capture_8_DECODE`) are no steps.
const SERVING: [&[&str]; 4] = [
    &["execute_context_", "execute_new_", "execute_diffusion_", "execute_model"],
    &["step[", "step ["],
    &["prefill[", "decode[", "extend[", "mixed[", "verify["],
    &["execute_"],
];

impl StepNames {
    /// With the user's expressions.
    pub fn new(user: Vec<Regex>) -> Self {
        Self { user }
    }

    /// Whether the user named marks: then operators may be marks, too.
    pub fn has_user_names(&self) -> bool {
        !self.user.is_empty()
    }

    /// Whether an event of the host may mark a step, if its name is that of a mark.
    pub fn may_mark(&self, event: &Event<'_>) -> bool {
        match event.category {
            Category::Step | Category::Marker | Category::Other => true,
            Category::CpuOp => self.has_user_names(),
            // A function that is known by its process, without a category.
            Category::Python => self.has_user_names() && event.cat.is_empty(),
            _ => false,
        }
    }

    /// The mark of a range by its name and the argument `step_num`.
    pub fn with_number(&self, by_name: NameMark, step_number: Option<i64>) -> NameMark {
        match (by_name, step_number) {
            (Some((MarkKind::User | MarkKind::Profiler, _)), _) => by_name,
            (_, Some(_)) if !self.has_user_names() => Some((MarkKind::StepNumber, step_number)),
            _ => by_name,
        }
    }

    /// The kind and number of the mark that a host range of this name is, if it is one.
    pub fn mark_of_name(&self, name: &str) -> NameMark {
        if let Some(found) = self.user.iter().find_map(|pattern| pattern.captures(name)) {
            let number = found.get(1).and_then(|digits| digits.as_str().parse().ok());
            return Some((MarkKind::User, number.or_else(|| trailing_number(name))));
        }
        if self.has_user_names() || !may_begin_mark(name) {
            return None;
        }
        if let Some(number) = name.strip_prefix("ProfilerStep#") {
            return Some((MarkKind::Profiler, Some(number.trim().parse().ok()?)));
        }
        if let Some(family) = SERVING.iter().position(|starts| starts.iter().any(|s| name.starts_with(s))) {
            return Some((MarkKind::Serving(family as u8), None));
        }
        is_loop_name(name).then(|| (MarkKind::Loop, trailing_number(name)))
    }
}

/// Returns whether any mark begins like a name: most names do not, and need no closer look.
fn may_begin_mark(name: &str) -> bool {
    let first = name.bytes().next().unwrap_or(0);
    matches!(first, b'P' | b'p' | b'd' | b'e' | b'm' | b'v')
        || matches!(first.to_ascii_lowercase(), b't' | b's' | b'i' | b'g')
}

/// Recognizes `iteration 7`, `train_step`, `Training Step: 12`, `step_3`, `global_step=5`; not the bare word `step`, which
/// may be an optimizer's.
fn is_loop_name(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let words = lower.trim_end_matches(|c: char| c.is_ascii_digit() || " #:=_-[]()".contains(c));
    let numbered = trailing_number(&lower).is_some();
    match words.replace(['_', '-'], " ").as_str() {
        "train step" | "training step" | "train iteration" | "training iteration" | "train iter" => true,
        "step" | "iteration" | "iter" | "global step" | "global iteration" => numbered,
        _ => false,
    }
}

/// The number at the end of a name.
fn trailing_number(name: &str) -> Option<i64> {
    let name = name.trim_end_matches([' ', ']', ')']);
    let digits = name.len() - name.bytes().rev().take_while(u8::is_ascii_digit).count();
    name.get(digits..)?.parse().ok()
}

/// One step, as the host sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its number, which its mark gives, or counted from 0.
    pub number: i64,
    /// Start in nanoseconds.
    pub start: i64,
    /// End in nanoseconds.
    pub end: i64,
    /// The trace ends inside it.
    pub partial: bool,
    /// The number of its mark's name; none if it was derived from an optimizer.
    pub name: Option<u32>,
}

/// Steps in the order of time.
#[derive(Clone, Debug, Default)]
pub struct Steps {
    steps: Vec<Step>,
    /// Marks that repeat a step: another thread's, or a copy.
    pub repeated: u64,
    /// The kind of their marks; none if they were derived from the optimizer, or if there are no steps.
    pub kind: Option<MarkKind>,
}

/// The end of one call of an optimizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Update {
    /// The optimizer, by its name's number.
    pub name: u32,
    /// Number of its thread.
    pub thread: u32,
    /// Start in nanoseconds.
    pub start: i64,
    /// End in nanoseconds.
    pub end: i64,
}

/// How many steps back a moment is looked for: marks of other threads may lie in between.
const BACK: usize = 8;

impl Steps {
    /// The steps that marks bound: those of the first kind that occurs. Of the families of serving engines, which
    /// nest, the one that covers most time counts.
    pub fn from_marks(mut marks: Vec<StepMark>) -> Self {
        let Some(kind) = choose_kind(&marks) else { return Self::default() };
        marks.retain(|m| m.kind == kind);
        let numbered = match kind {
            MarkKind::Profiler | MarkKind::StepNumber | MarkKind::Line => true,
            // A batch size at the end of a name is no number of a step: those grow.
            MarkKind::User | MarkKind::Loop => have_growing_numbers(&mut marks),
            MarkKind::Serving(_) => false,
        };
        marks.sort_unstable_by_key(|m| (m.start, std::cmp::Reverse(m.end), m.number, m.thread));
        let mut out = Self { kind: Some(kind), ..Self::default() };
        for mark in &marks {
            let near = out.steps.iter().rev().take(BACK);
            let repeats = |s: &Step| mark.start < s.end && (!numbered || Some(s.number) == mark.number);
            if near.clone().any(repeats) {
                out.repeated += 1;
                continue;
            }
            let number = mark.number.filter(|_| numbered).unwrap_or(out.steps.len() as i64);
            let StepMark { start, end, partial, name, .. } = *mark;
            out.steps.push(Step { number, start, end, partial, name: Some(name) });
        }
        out
    }

    /// Derives the steps of a trace that marks none, as on-demand traces of libkineto do not: a step lasts from
    /// the end of one optimizer call to the end of the next. They are numbered from 0, and the first is called
    /// partial since nothing says that the recording began at its beginning. With several optimizers, the one
    /// that comes first counts.
    pub fn from_optimizer(mut updates: Vec<Update>, begin: i64) -> Self {
        updates.sort_unstable_by_key(|u| (u.start, u.end, u.name));
        let Some(first) = updates.first().map(|u| u.name) else { return Self::default() };
        updates.retain(|u| u.name == first);
        let mut start = begin;
        let step = |(i, end): (usize, i64)| {
            let from = std::mem::replace(&mut start, end);
            Step { number: i as i64, start: from, end, partial: i == 0, name: None }
        };
        let steps = updates.iter().map(|u| u.end).enumerate().map(step).filter(|s| s.start < s.end).collect();
        Self { steps, repeated: 0, kind: None }
    }

    /// Calls every step partial, of a trace that was cut.
    pub fn mark_partial(&mut self) {
        self.steps.iter_mut().for_each(|s| s.partial = true);
    }

    /// They were derived from the optimizer.
    pub fn are_derived(&self) -> bool {
        self.kind.is_none() && !self.steps.is_empty()
    }

    /// All of them.
    pub fn all(&self) -> &[Step] {
        &self.steps
    }

    /// The index of the step that a moment belongs to: the latest to start of those that hold it.
    pub fn at(&self, moment: i64) -> Option<usize> {
        let mut nowhere = usize::MAX;
        self.at_near(moment, &mut nowhere)
    }

    /// [`Self::at`] of a moment that is likely to be near the last one: `begun` is how many steps had begun by that, or any
    /// number, and becomes how many have begun by this one.
    #[inline]
    pub fn at_near(&self, moment: i64, begun: &mut usize) -> Option<usize> {
        let has_begun = |i: usize| self.steps.get(i).is_some_and(|s| s.start <= moment);
        if has_begun(*begun) || !begun.checked_sub(1).is_none_or(has_begun) {
            *begun = self.steps.partition_point(|s| s.start <= moment);
        }
        (begun.saturating_sub(BACK)..*begun).rev().find(|&i| moment < self.steps[i].end)
    }
}

impl Steps {
    /// The indices of all steps that hold a moment.
    pub fn all_at(&self, moment: i64) -> impl Iterator<Item = usize> {
        let after = self.steps.partition_point(|s| s.start <= moment);
        (after.saturating_sub(BACK)..after).filter(move |&i| moment < self.steps[i].end)
    }
}

fn choose_kind(marks: &[StepMark]) -> Option<MarkKind> {
    let rank = |kind: MarkKind| if let MarkKind::Serving(_) = kind { MarkKind::Serving(0) } else { kind };
    let best = marks.iter().map(|m| rank(m.kind)).min()?;
    if !matches!(best, MarkKind::Serving(_)) {
        return Some(best);
    }
    let mut covered = [0i64; SERVING.len()];
    for mark in marks {
        if let MarkKind::Serving(family) = mark.kind {
            let sum = &mut covered[usize::from(family) % SERVING.len()];
            *sum = sum.saturating_add(mark.end - mark.start);
        }
    }
    // Of equal ones, the first.
    let widest = (0..SERVING.len()).rev().max_by_key(|&i| covered[i])?;
    Some(MarkKind::Serving(widest as u8))
}

/// Returns whether all marks have numbers, and these grow with time.
fn have_growing_numbers(marks: &mut [StepMark]) -> bool {
    marks.sort_unstable_by_key(|m| (m.start, std::cmp::Reverse(m.end), m.number));
    let numbers: Option<Vec<i64>> = marks.iter().map(|m| m.number).collect();
    numbers.is_some_and(|n| {
        n.windows(2).all(|pair| pair[0] <= pair[1]) && (n.len() == 1 || n.first() < n.last())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(kind: MarkKind, number: Option<i64>, start: i64, end: i64) -> StepMark {
        StepMark { kind, number, name: 0, thread: 0, start, end, partial: false }
    }

    fn step(number: i64, start: i64, end: i64) -> StepMark {
        mark(MarkKind::Profiler, Some(number), start, end)
    }

    #[test]
    fn steps_are_one_or_a_range() {
        assert_eq!(parse_steps("12"), Ok((12, 12)));
        assert_eq!(parse_steps("-1"), Ok((-1, -1)));
        assert_eq!(parse_steps("12-14"), Ok((12, 14)));
        for bad in ["", "a", "3-1", "1-", "-"] {
            assert!(parse_steps(bad).is_err(), "{bad}");
        }
    }

    fn spans(steps: &Steps) -> Vec<(i64, i64, i64)> {
        steps.all().iter().map(|s| (s.number, s.start, s.end)).collect()
    }

    #[test]
    fn moments_find_their_step() {
        let steps = Steps::from_marks(vec![step(6, 10, 20), step(5, 0, 10), step(5, 1, 9), step(7, 25, 30)]);
        let numbers: Vec<_> = steps.all().iter().map(|s| s.number).collect();
        assert_eq!((numbers, steps.repeated), (vec![5, 6, 7], 1));
        let found: Vec<_> = [-1, 0, 9, 10, 19, 20, 25, 30].iter().map(|t| steps.at(*t)).collect();
        assert_eq!(found, [None, Some(0), Some(0), Some(1), Some(1), None, Some(2), None]);
        // Wherever one was found before.
        for (moment, begun) in (-2..33).flat_map(|moment| (0..6).map(move |begun| (moment, begun))) {
            let mut near = begun;
            assert_eq!(steps.at_near(moment, &mut near), steps.at(moment), "{moment} {begun}");
            assert_eq!(near, steps.all().iter().filter(|step| step.start <= moment).count());
        }
    }

    #[test]
    fn optimizer_calls_end_steps_where_none_are_marked() {
        let update = |name, start, end| Update { name, thread: 0, start, end };
        let steps = Steps::from_optimizer(vec![update(1, 28, 30), update(1, 8, 10), update(2, 12, 14)], 0);
        let spans: Vec<_> = steps.all().iter().map(|s| (s.number, s.start, s.end, s.partial)).collect();
        assert_eq!(spans, [(0, 0, 10, true), (1, 10, 30, false)]);
        assert!(steps.are_derived());
        assert_eq!(Steps::from_optimizer(Vec::new(), 0).all(), []);
    }

    #[test]
    fn names_of_engines_and_loops_are_known() {
        let names = StepNames::default();
        let of = |name| names.mark_of_name(name);
        assert_eq!(of("ProfilerStep#12"), Some((MarkKind::Profiler, Some(12))));
        assert_eq!(of("ProfilerStep#x"), None);
        assert_eq!(of("step[DECODE bs=8]"), Some((MarkKind::Serving(1), None)));
        assert_eq!(of("execute_context_1(888_788544)_generation_0(0)"), Some((MarkKind::Serving(0), None)));
        assert_eq!(of("decode[bs=2 tok=2]"), Some((MarkKind::Serving(2), None)));
        assert_eq!(of("iteration 7"), Some((MarkKind::Loop, Some(7))));
        assert_eq!(of("train_step"), Some((MarkKind::Loop, None)));
        for name in
            ["capture_8_DECODE", "step", "Optimizer.step#SGD.step", "aten::step", "decode", "stepper 3"]
        {
            assert_eq!(of(name), None, "{name}");
        }
        let user =
            StepNames::new(vec![Regex::new(r"^batch (\d+) of").unwrap(), Regex::new("^work").unwrap()]);
        assert_eq!(user.mark_of_name("batch 4 of 9"), Some((MarkKind::User, Some(4))));
        assert_eq!(user.mark_of_name("work x"), Some((MarkKind::User, None)));
        assert_eq!(user.mark_of_name("ProfilerStep#1"), None);
    }

    #[test]
    fn marks_without_numbers_are_counted_in_the_order_of_time() {
        let serving = |family, start, end| mark(MarkKind::Serving(family), None, start, end);
        // The inner family is within the outer one; a second thread repeats a mark.
        let steps = Steps::from_marks(vec![
            serving(0, 100, 190),
            serving(1, 110, 180),
            serving(0, 0, 90),
            serving(0, 0, 80),
            serving(1, 10, 80),
        ]);
        assert_eq!((spans(&steps), steps.repeated), (vec![(0, 0, 90), (1, 100, 190)], 1));
        // Batch sizes do not grow.
        let user = |number, start| mark(MarkKind::User, Some(number), start, start + 5);
        assert_eq!(spans(&Steps::from_marks(vec![user(8, 0), user(4, 10)])), [(0, 0, 5), (1, 10, 15)]);
        assert_eq!(spans(&Steps::from_marks(vec![user(4, 10), user(3, 0)])), [(3, 0, 5), (4, 10, 15)]);
    }
}
