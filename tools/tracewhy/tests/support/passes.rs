//! The order in which a stage of a made-up pipeline does its work.

use super::groups::GroupPlan;

/// What a stage does for a micro-batch.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pass {
    From(usize),
    To(usize),
    /// Forward 1, backward 2, which takes twice as long.
    Compute(i64),
}

/// What a stage does in a step, in order.
pub(crate) fn list_passes(plan: &GroupPlan, stage: usize) -> Vec<Pass> {
    let (last, chunks) = (plan.inner - 1, plan.chunks);
    // The neighbors of a part of the model: where micro-batches come from, and where they go.
    let before = |chunk: usize| match stage {
        0 => (chunk > 0).then_some(last),
        _ => Some(stage - 1),
    };
    let behind =
        |chunk: usize| if stage == last { (chunk + 1 < chunks).then_some(0) } else { Some(stage + 1) };
    let mut out = Vec::new();
    if !plan.alternating {
        for chunk in 0..chunks {
            for _ in 0..plan.batches {
                out.extend(before(chunk).map(Pass::From));
                out.push(Pass::Compute(1));
                out.extend(behind(chunk).map(Pass::To));
            }
        }
        for chunk in (0..chunks).rev() {
            for _ in 0..plan.batches {
                out.extend(behind(chunk).map(Pass::From));
                out.push(Pass::Compute(2));
                out.extend(before(chunk).map(Pass::To));
            }
        }
        return out;
    }
    // As many go forward first as there are stages behind; then one forward, one back. What goes forward is passed on before
    // what comes back, on both sides.
    let first = (last - stage).min(plan.batches);
    let (mut forward, mut back) = (0, 0);
    while back < plan.batches {
        if forward < plan.batches {
            out.extend(before(0).map(Pass::From));
            out.extend(before(0).filter(|_| back > 0).map(Pass::To));
            out.push(Pass::Compute(1));
            out.extend(behind(0).map(Pass::To));
            forward += 1;
            if forward <= first {
                continue;
            }
        } else {
            out.extend(before(0).filter(|_| back > 0).map(Pass::To));
        }
        out.extend(behind(0).map(Pass::From));
        out.push(Pass::Compute(2));
        back += 1;
    }
    out.extend(before(0).map(Pass::To));
    out
}
