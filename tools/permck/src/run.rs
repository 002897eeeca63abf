//! Runs an audit over any number of paths, in batches.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use common::out::Diag;
use rustix::fs::{self as rfs, Access};

use crate::inspect::{AuditCounts, Inspector, IssueSink};
use crate::plan::{self, AuditPlan, AuditRoot};
use crate::root_check;
use common::walk::{self, WalkOptions, WalkStart};

/// Paths per batch: enough for every thread, few enough for a list of millions.
const BATCH: usize = 256;

/// Maximum number of paths and of findings about directories above them that are remembered.
const MAX_REMEMBERED: usize = 100_000;

/// Inspects every path and passes the findings to the sink. A path that cannot be read is reported, and the others are
/// still inspected.
pub(crate) fn run_audit<S: IssueSink>(
    plan: &mut AuditPlan,
    mut paths: impl Iterator<Item = anyhow::Result<PathBuf>>,
    options: WalkOptions,
    diag: &Diag,
    sink: &S,
) -> anyhow::Result<AuditCounts> {
    if !std::path::Path::new("/proc/self/fd").exists() {
        diag.error("/proc", "is not mounted: ACLs, file capabilities and symbolic links cannot be checked");
    }
    let mut seen = AuditCounts::default();
    let mut reported = HashSet::new();
    let mut covered = CoveredPaths::default();
    loop {
        // Roots of this batch, without those that were walked before.
        let batch: Vec<_> = paths.by_ref().take(BATCH).collect();
        if batch.is_empty() {
            break;
        }
        let named: Vec<PathBuf> =
            batch.into_iter().filter_map(|path| path.map_err(|e| diag.fatal(&e)).ok()).collect();
        seen.paths += named.len() as u64;
        let roots = named.into_iter().filter_map(|path| admit_path(path, plan, diag, sink)).collect();
        plan.roots = covered.remove_covered(roots, plan.policy.is_empty());
        // Directories above the roots, and their mounts.
        for root in &plan.roots {
            let mut issues = root_check::check_root(root, plan);
            // Paths of one directory have the same directories above them.
            issues.retain(|(issue, _)| plan.filter.wants_rule(&issue.finding.rule));
            issues.retain(|(issue, accepted)| reported.insert((issue.finding.fingerprint(), *accepted)));
            let (accepted, open): (Vec<_>, Vec<_>) = issues.into_iter().partition(|(_, accepted)| *accepted);
            seen.accepted += accepted.len() as u64;
            sink.report_root_issues(open.into_iter().map(|(issue, _)| issue).collect());
        }
        if reported.len() > MAX_REMEMBERED {
            reported.clear();
        }
        // The trees themselves.
        let starts: Vec<_> = plan
            .roots
            .iter()
            .map(|r| WalkStart { path: &r.path, same: Some(r.id), reach: r.reach })
            .collect();
        let (inspectors, errors) = walk::walk_from(&starts, options, || Inspector::new(plan, options, sink));
        errors.into_iter().for_each(|e| sink.report_error(e.path, e.error));
        inspectors.iter().for_each(|i| seen += i.seen);
    }
    seen.stale_exceptions = plan.warn_of_stale_exceptions(diag);
    plan.warn_of_unread_packages(diag);
    if seen.mounts > 0 {
        let (n, s) = (seen.mounts, if seen.mounts == 1 { "" } else { "s" });
        let text = format!("{n} mount point{s} below the paths not entered; --cross-mounts enters them");
        diag.warn("mounts", text);
    }
    Ok(seen)
}

fn admit_path<S: IssueSink>(path: PathBuf, plan: &AuditPlan, diag: &Diag, sink: &S) -> Option<AuditRoot> {
    let shown = path.display().to_string();
    let root = match plan::resolve_root(path, plan.owners.as_deref(), &plan.image) {
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

/// The paths that were walked before: a path that is named twice is walked once.
#[derive(Default)]
struct CoveredPaths(HashMap<PathBuf, (bool, u64)>);

impl CoveredPaths {
    /// Returns the roots that were not walked before. With `nested`, a path below another root counts as walked; with a
    /// policy it does not, because patterns are relative to the root.
    fn remove_covered(&mut self, roots: Vec<AuditRoot>, nested: bool) -> Vec<AuditRoot> {
        if self.0.len() > MAX_REMEMBERED {
            self.0.clear();
        }
        let fresh: Vec<AuditRoot> =
            roots.into_iter().filter(|r| self.0.insert(r.real.clone(), r.mount).is_none()).collect();
        fresh.into_iter().filter(|r| !nested || !self.is_covered(r)).collect()
    }

    /// Returns whether the walk of another root reaches this one: same mount, every directory on the way readable.
    fn is_covered(&self, root: &AuditRoot) -> bool {
        let readable = |dir: &&Path| rfs::access(*dir, Access::READ_OK | Access::EXEC_OK).is_ok();
        let mut above = root.real.ancestors().skip(1).take_while(readable);
        above.any(|dir| self.0.get(dir) == Some(&root.mount))
    }
}
