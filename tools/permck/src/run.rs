//! Runs inspections over any number of paths, some at a time.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use common::out::Diag;
use rustix::fs::{self as rfs, Access};

use crate::inspect::{AuditCounts, Inspector, IssueSink};
use crate::plan::{self, AuditPlan, AuditRoot};
use crate::root_check;
use common::walk::{self, WalkOptions, WalkStart};

/// Paths walked together: enough for every thread, few enough for a list of millions.
const BATCH: usize = 256;

/// Directories above audited paths, and paths, that are remembered as judged; then they are forgotten and judged
/// again.
const PLACES: usize = 100_000;

/// Inspects every path, and hands what is found to the sink. A path that cannot be looked at is reported, and
/// the others go on.
pub(crate) fn run_audit<S: IssueSink>(
    plan: &mut AuditPlan,
    mut paths: impl Iterator<Item = anyhow::Result<PathBuf>>,
    options: WalkOptions,
    diag: &Diag,
    sink: &S,
) -> anyhow::Result<AuditCounts> {
    if !std::path::Path::new("/proc/self/fd").exists() {
        diag.error("/proc", "is not mounted: ACLs, file capabilities and links cannot be looked at");
    }
    let mut seen = AuditCounts::default();
    let mut judged = HashSet::new();
    let mut covered = CoveredPaths::default();
    loop {
        let batch = paths.by_ref().take(BATCH).collect::<anyhow::Result<Vec<_>>>()?;
        if batch.is_empty() {
            break;
        }
        seen.paths += batch.len() as u64;
        let roots = batch.into_iter().filter_map(|path| admit_path(path, plan, diag, sink)).collect();
        plan.roots = covered.remove_covered(roots, plan.policy.is_empty());
        for root in &plan.roots {
            let mut issues = root_check::check_root(root, plan);
            // Paths that lie side by side have the same directories above them.
            issues.retain(|(issue, accepted)| judged.insert((issue.finding.fingerprint(), *accepted)));
            let (accepted, open): (Vec<_>, Vec<_>) = issues.into_iter().partition(|(_, accepted)| *accepted);
            seen.accepted += accepted.len() as u64;
            sink.report_root_issues(open.into_iter().map(|(issue, _)| issue).collect());
        }
        if judged.len() > PLACES {
            judged.clear();
        }
        let starts: Vec<_> =
            plan.roots.iter().map(|r| WalkStart { path: &r.path, same: Some(r.id) }).collect();
        let (inspectors, errors) = walk::walk_from(&starts, options, || Inspector::new(plan, options, sink));
        errors.into_iter().for_each(|e| sink.report_error(e.path, e.error));
        inspectors.iter().for_each(|i| seen += i.seen);
    }
    seen.idle = plan.warn_of_stale_exceptions(diag);
    if seen.mounts > 0 {
        let (n, is) = (seen.mounts, if seen.mounts == 1 { "thing that is" } else { "things that are" });
        let text = format_args!("{n} {is} mounted below the paths: not looked at without --cross-mounts");
        diag.warn("mounts", text);
    }
    Ok(seen)
}

fn admit_path<S: IssueSink>(path: PathBuf, plan: &AuditPlan, diag: &Diag, sink: &S) -> Option<AuditRoot> {
    let shown = path.display().to_string();
    let root = match plan::resolve_root(path, plan.owners.as_deref()) {
        Ok(root) => root,
        Err(e) => {
            diag.error(shown, format_args!("{e:#}"));
            return None;
        }
    };
    match sink.admit_root(&root) {
        Ok(()) => Some(root),
        Err(reason) => {
            diag.error(shown, reason);
            None
        }
    }
}

/// What was walked before: a path that is named twice is not counted twice.
#[derive(Default)]
struct CoveredPaths(HashMap<PathBuf, (bool, u64)>);

impl CoveredPaths {
    /// The roots that nothing else covers. With `nested`, also a path below another one is covered by that; with a
    /// policy it is not, because patterns mean something else below it.
    fn remove_covered(&mut self, roots: Vec<AuditRoot>, nested: bool) -> Vec<AuditRoot> {
        if self.0.len() > PLACES {
            self.0.clear();
        }
        let fresh: Vec<AuditRoot> =
            roots.into_iter().filter(|r| self.0.insert(r.real.clone(), r.mount).is_none()).collect();
        fresh.into_iter().filter(|r| !nested || !self.is_covered(r)).collect()
    }

    /// A walk from above reaches a path on the same mount, when it can read all directories on the way.
    fn is_covered(&self, root: &AuditRoot) -> bool {
        let readable = |dir: &&Path| rfs::access(*dir, Access::READ_OK | Access::EXEC_OK).is_ok();
        let mut above = root.real.ancestors().skip(1).take_while(readable);
        above.any(|dir| self.0.get(dir) == Some(&root.mount))
    }
}
