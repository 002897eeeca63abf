//! Runs inspections over any number of paths, some at a time.

use std::collections::HashSet;
use std::path::PathBuf;

use common::out::Diag;

use crate::inspect::{Inspector, Issue, Plan, Seen, Sink};
use crate::walk::{self, Options};
use crate::{cmd::tree, place};

/// Paths walked together: enough for every thread, few enough for a list of millions.
const BATCH: usize = 256;

/// Directories above audited paths that are remembered as judged; then they are forgotten and judged again.
const PLACES: usize = 100_000;

/// Inspects every path, and hands what is found to the sink. A path that cannot be looked at is reported, and
/// the others go on. `place` hears what is wrong with where a path lies.
pub(crate) fn run<S: Sink>(
    plan: &mut Plan,
    paths: impl Iterator<Item = anyhow::Result<PathBuf>>,
    options: Options,
    diag: &Diag,
    sink: &S,
    place: impl Fn(Vec<Issue>),
) -> anyhow::Result<Seen> {
    if !std::path::Path::new("/proc/self/fd").exists() {
        diag.error("/proc", "is not mounted: ACLs, file capabilities and links cannot be looked at");
    }
    let mut seen = Seen::default();
    let mut judged = HashSet::new();
    let mut paths = paths.peekable();
    while paths.peek().is_some() {
        plan.roots.clear();
        for path in paths.by_ref().take(BATCH) {
            let path = path?;
            let shown = path.display().to_string();
            match tree::root(path, plan.owners.as_deref()) {
                Ok(root) => plan.roots.push(root),
                Err(e) => diag.error(shown, format_args!("{e:#}")),
            }
        }
        for root in &plan.roots {
            let mut issues = place::check(root, &plan.judge);
            issues.retain(|i| judged.insert(i.finding.fingerprint()));
            place(issues);
        }
        if judged.len() > PLACES {
            judged.clear();
        }
        let roots: Vec<PathBuf> = plan.roots.iter().map(|r| r.path.clone()).collect();
        let (inspectors, errors) = walk::walk(&roots, options, || Inspector::new(plan, sink));
        errors.into_iter().for_each(|e| sink.failed(e.path, e.error));
        inspectors.iter().for_each(|i| seen += i.seen);
    }
    Ok(seen)
}
