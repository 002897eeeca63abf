//! `permck audit`: check every entry of trees against the class that it belongs to.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use common::exit::Exit;
use common::finding::Severity;
use common::out::{Format, Out};

use crate::collect::Collector;
use crate::ids::Ids;
use crate::inspect::{Inspector, Plan, Root, Seen};
use crate::policy::Policy;
use crate::policy::profile::{self, PROFILES};
use crate::report::{End, Json, Report, Text};
use crate::rule::{Allowed, Judge};
use crate::walk::{self, Options};
use crate::{place, rule};

const EXAMPLES: &str = "\
Examples:
  permck audit /opt/profguard
      Check an installation; prints nothing and exits 0 when all is well.
  permck audit --format json /srv/traces | jq -r 'select(.rule==\"world-writable\").path'
      Which entries can anybody write to?
  permck audit --fail-on warning --owner profguard /srv/traces
      Refuse warnings too, and files of anybody but profguard and root.";

/// Check every entry of trees against the class that it belongs to
///
/// Walks each PATH, tells what every entry is (program, key, log, configuration, data …) and holds its mode to
/// the maximum of its class. Prints what breaks a rule, why it was told so, and how to mend it.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Audit {
    /// Trees or files to audit
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    tree: Tree,
    #[command(flatten)]
    show: Show,
}

/// How to walk and what to hold entries to.
#[derive(Args, Clone, Debug)]
pub(crate) struct Tree {
    /// Who may own entries, besides root: a name or number. Default: the owner of each PATH
    #[arg(long, value_name = "USER")]
    owner: Vec<String>,
    /// A policy file; its rows decide before those of profiles
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// A built-in policy
    #[arg(long, value_name = "NAME", value_parser = profiles())]
    profile: Vec<String>,
    /// Do not look into files: tell classes by names only, and see no keys in wrong places
    #[arg(long)]
    no_content: bool,
    /// Go below mount points
    #[arg(long)]
    cross_mounts: bool,
    /// Threads that walk. Default: one per processor
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
}

/// What to show and what counts.
#[derive(Args, Clone, Debug)]
pub(crate) struct Show {
    /// Least severity that makes the exit status 1
    #[arg(long, value_enum, default_value_t = Severity::Error, value_name = "SEVERITY")]
    fail_on: Severity,
    /// Least severity that is shown
    #[arg(long, value_enum, default_value_t = Severity::Warning, value_name = "SEVERITY")]
    show: Severity,
    /// Findings shown per rule in text; 0 shows all
    #[arg(long, default_value_t = 20, value_name = "N")]
    limit: usize,
}

impl Audit {
    pub(crate) fn run(self, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
        let plan = self.tree.plan(&self.paths, out)?;
        let mut report: Box<dyn Report + Send> = match format {
            Format::Text => Box::new(Text::new(self.show.limit, rule::heading)),
            Format::Json => Box::new(Json),
        };
        let collector = Collector::new(out, &mut *report, self.show.show.min(self.show.fail_on));
        let seen = audit(&plan, self.tree.options(), &collector);
        let totals = collector.finish()?;
        report.end(out, &End { seen, totals, errors: out.diag().errors() })?;
        out.diag().info("audit", format_args!("{} entries, {} vanished", seen.entries, seen.vanished));
        Ok(if totals.at_least(self.show.fail_on) > 0 { Exit::No } else { Exit::Ok })
    }
}

/// Audits every root of the plan: its place once, and all below it.
pub(crate) fn audit(plan: &Plan, options: Options, collector: &Collector<'_>) -> Seen {
    for root in &plan.roots {
        collector.add(place::check(root, &plan.judge));
    }
    let roots: Vec<PathBuf> = plan.roots.iter().map(|r| r.path.clone()).collect();
    let (inspectors, errors) = walk::walk(&roots, options, || Inspector::new(plan, collector));
    for e in errors {
        crate::inspect::Sink::failed(collector, e.path, e.error);
    }
    let mut seen = Seen::default();
    inspectors.iter().for_each(|i| seen += i.seen);
    seen
}

impl Tree {
    pub(crate) fn options(&self) -> Options {
        let threads = self
            .threads
            .map(usize::from)
            .or_else(|| std::thread::available_parallelism().ok().map(Into::into));
        Options { threads: threads.unwrap_or(1).min(256), cross_mounts: self.cross_mounts }
    }

    /// Reads what entries are held to. A path that does not exist is reported, and the others go on.
    pub(crate) fn plan(&self, paths: &[PathBuf], out: &Out) -> anyhow::Result<Plan> {
        let ids = Ids::load(Path::new("/"));
        let owners = self.owners(&ids)?;
        let root = |path: &PathBuf| match root(path, owners.as_deref()) {
            Ok(root) => Some(root),
            Err(e) => {
                out.failed(path.display(), &e);
                None
            }
        };
        let roots = paths.iter().filter_map(root).collect();
        let policy = self.policy(&ids)?;
        let today = time::OffsetDateTime::now_utc().date();
        if let Some(path) = &self.policy {
            policy.expired(today).for_each(|e| out.warn(path.display(), e));
        }
        Ok(Plan { judge: Judge { ids }, roots, policy, today, content: !self.no_content })
    }

    fn policy(&self, ids: &Ids) -> anyhow::Result<Policy> {
        let mut policy = Policy::default();
        if let Some(path) = &self.policy {
            let shown = path.display().to_string();
            let text = Policy::read(path).with_context(|| shown.clone())?;
            policy
                .add(&text, ids)
                .map_err(|e| anyhow::anyhow!("{shown}:{}{e}", if e.at.is_empty() { " " } else { "" }))?;
        }
        for name in &self.profile {
            let text = profile::find(name).with_context(|| format!("no profile is called {name:?}"))?;
            policy.add(text, ids).with_context(|| format!("profile {name}"))?;
        }
        Ok(policy)
    }

    fn owners(&self, ids: &Ids) -> anyhow::Result<Option<Vec<u32>>> {
        if self.owner.is_empty() {
            return Ok(None);
        }
        let named = |name: &String| ids.uid(name).with_context(|| format!("--owner {name}: no such user"));
        let named = self.owner.iter().map(named).collect::<anyhow::Result<Vec<u32>>>()?;
        Ok(Some(named))
    }
}

fn root(path: &Path, owners: Option<&[u32]>) -> anyhow::Result<Root> {
    let reason = |e: std::io::Error| anyhow::anyhow!(crate::io_reason(&e));
    let real = path.canonicalize().map_err(reason)?;
    let meta = real.metadata().map_err(reason)?;
    let own = meta.uid();
    let mut ids = owners.map_or_else(|| vec![own], <[u32]>::to_vec);
    if !ids.contains(&0) {
        ids.push(0);
    }
    Ok(Root { path: path.to_owned(), real, owner: Allowed::Ids(ids), uid: own, is_dir: meta.is_dir() })
}

/// The names of the profiles, with what each is for.
fn profiles() -> impl TypedValueParser<Value = String> {
    let values = PROFILES.iter().map(|(name, what, _)| PossibleValue::new(*name).help(*what));
    PossibleValuesParser::new(values.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests;
