//! Operators of the host that stall: calls that take many times as long as others of their name, since something else keeps
//! their thread from running. No trace of a host says how long a thread ran; what computes takes about as long each time.

use std::io;

use trace::model::{FastMap, NameTable};
use trace::spool::Spool;
use trace::steps::Steps;

use super::kept::HostSpan;

/// A shorter stall matters to nobody: nanoseconds.
const LEAST_STALL: i64 = 200_000;
/// A call that stalls takes this many times as long as nine of ten calls do.
const TIMES_AS_LONG: i64 = 4;
/// Of fewer calls, nothing is usual.
const FEW_CALLS: u64 = 10;

/// Operators of PyTorch that compute nothing: they make another view of a tensor, reserve memory or read one number
/// (`aten/src/ATen/native/native_functions.yaml`).
const COMPUTES_NOTHING: [&str; 20] = [
    "aten::_local_scalar_dense",
    "aten::alias",
    "aten::as_strided",
    "aten::detach",
    "aten::empty",
    "aten::empty_like",
    "aten::empty_strided",
    "aten::expand",
    "aten::is_nonzero",
    "aten::item",
    "aten::numpy_T",
    "aten::permute",
    "aten::select",
    "aten::slice",
    "aten::squeeze",
    "aten::t",
    "aten::transpose",
    "aten::unsqueeze",
    "aten::view",
    "detach",
];

/// How long calls take, by name.
#[derive(Debug, Default)]
pub(super) struct UsualTimes {
    /// Nanoseconds in which a call of this name computes what it has to.
    most: FastMap<u32, i64>,
}

impl UsualTimes {
    /// Finds them among the operators of a trace.
    ///
    /// # Errors
    /// A temporary file cannot be used.
    pub(super) fn of_operators(
        spans: &Spool<HostSpan, 3>,
        names: &NameTable,
        steps: &Steps,
    ) -> io::Result<Self> {
        // By name and power of two.
        let mut counts: FastMap<(u32, u32), u64> = FastMap::default();
        let mut calls: FastMap<u32, u64> = FastMap::default();
        let power = |span: &HostSpan| (64 - (span.end - span.start).leading_zeros()).min(62);
        spans.for_each(|span| {
            if span.computes {
                *counts.entry((span.name, power(&span))).or_default() += 1;
                *calls.entry(span.name).or_default() += 1;
            }
            Ok(())
        })?;
        let mut most = FastMap::default();
        for (&name, &all) in &calls {
            if COMPUTES_NOTHING.contains(&names.name(name)) {
                most.insert(name, 0);
            } else if all >= FEW_CALLS {
                let mut longer = 0;
                let is_usual = |power: &u32| {
                    longer += counts.get(&(name, *power)).copied().unwrap_or(0);
                    longer * 10 > all
                };
                most.insert(name, 1 << (0..63).rev().find(is_usual).unwrap_or(62));
            }
        }
        let mut out = Self { most };
        out.forget_what_is_long_in_most_steps(spans, steps)?;
        Ok(out)
    }

    /// What takes long in most steps has more to compute: the large one of many small tensors.
    fn forget_what_is_long_in_most_steps(
        &mut self,
        spans: &Spool<HostSpan, 3>,
        steps: &Steps,
    ) -> io::Result<()> {
        let mut long: FastMap<u32, (Option<usize>, usize)> = FastMap::default();
        spans.for_each(|span| {
            if self.most.get(&span.name).is_some_and(|most| *most > 0) && self.stall_of(&span).is_some() {
                let (last, count) = long.entry(span.name).or_default();
                let step = steps.at(span.start);
                *count += usize::from(*count == 0 || *last != step);
                *last = step;
            }
            Ok(())
        })?;
        for (name, (_, count)) in long {
            if count * 2 > steps.all().len() {
                self.most.remove(&name);
            }
        }
        Ok(())
    }

    /// From when to when an operator stalls.
    pub(super) fn stall_of(&self, span: &HostSpan) -> Option<(i64, i64)> {
        let most = *self.most.get(&span.name).filter(|_| span.computes)?;
        let time = span.end - span.start;
        let stalls = time - most >= LEAST_STALL && time / TIMES_AS_LONG >= most;
        stalls.then_some((span.start + most, span.end))
    }
}
