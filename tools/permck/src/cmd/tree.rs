//! The arguments that audits, fixes and baselines share: which trees, how to walk, what to hold entries to.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context, ensure};
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use crate::plan::AuditPlan;
use crate::policy::Policy;
use crate::policy::profile::PROFILES;
use crate::rule::RuleContext;
use common::accounts::AccountTable;
use common::walk::WalkOptions;

/// How to walk and what to hold entries to.
#[derive(Args, Clone, Debug)]
pub(crate) struct TreeArgs {
    /// Who may own entries, besides root: a name or number. Default: what the policy says, or the owner of each PATH.
    /// Where a policy asks for the account that runs the tools, as the profile cann does, it is this one, without root
    #[arg(long, value_name = "USER")]
    owner: Vec<String>,
    /// A policy file; its rows decide before those of profiles
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// A built-in policy
    #[arg(long, value_name = "NAME", value_parser = profile_parser())]
    profile: Vec<String>,
    /// Do not look into files: tell classes by names only, and see no keys in wrong places
    #[arg(long)]
    no_content: bool,
    /// Look at what is mounted below a PATH, too: directories and files
    #[arg(long)]
    cross_mounts: bool,
    /// Threads that walk. Default: one per processor
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
}

impl TreeArgs {
    pub(crate) fn walk_options(&self) -> WalkOptions {
        let processors = || std::thread::available_parallelism().map_or(1, Into::into);
        let threads = self.threads.map_or_else(processors, usize::from);
        WalkOptions { threads: threads.min(256), cross_mounts: self.cross_mounts }
    }

    /// Reads what entries are held to; the roots come later.
    pub(crate) fn load_plan(&self) -> anyhow::Result<AuditPlan> {
        let ids = AccountTable::load(Path::new("/"));
        let owners = self.resolve_owners(&ids)?;
        let policy = self.load_policy(&ids)?;
        if policy.needs_account() {
            let account = owners.clone().unwrap_or_else(|| vec![rustix::process::geteuid().as_raw()]);
            let reason = "--owner: root is not the account that the policy asks for";
            ensure!(!account.contains(&0), "{reason}: name the unprivileged account that runs the tools");
        }
        Ok(AuditPlan {
            context: RuleContext { accounts: ids },
            roots: Vec::new(),
            owners,
            policy,
            policy_file: self.policy.clone(),
            writers: OnceLock::new(),
            today: time::OffsetDateTime::now_utc().date(),
            content: !self.no_content,
        })
    }

    /// Tells whether the classes are told from a policy, and not only from what files are.
    pub(crate) fn has_policy(&self) -> bool {
        self.policy.is_some() || !self.profile.is_empty()
    }

    fn load_policy(&self, ids: &AccountTable) -> anyhow::Result<Policy> {
        let mut policy = Policy::default();
        if let Some(path) = &self.policy {
            let shown = path.display().to_string();
            let text = Policy::read_file(path).with_context(|| shown.clone())?;
            let separator = |e: &crate::policy::file::PolicyError| if e.at.is_empty() { " " } else { "" };
            policy.add_file(&text, ids).map_err(|e| anyhow::anyhow!("{shown}:{}{e}", separator(&e)))?;
        }
        for name in &self.profile {
            policy.add_profile(name, ids).with_context(|| format!("profile {name}"))?;
        }
        Ok(policy)
    }

    fn resolve_owners(&self, ids: &AccountTable) -> anyhow::Result<Option<Vec<u32>>> {
        if self.owner.is_empty() {
            return Ok(None);
        }
        let named = |name: &String| ids.uid(name).with_context(|| format!("--owner {name}: no such user"));
        let named = self.owner.iter().map(named).collect::<anyhow::Result<Vec<u32>>>()?;
        Ok(Some(named))
    }
}

/// The names of the profiles, with what each is for.
fn profile_parser() -> impl TypedValueParser<Value = String> {
    let values = PROFILES.iter().map(|(name, what, _)| PossibleValue::new(*name).help(*what));
    PossibleValuesParser::new(values.collect::<Vec<_>>())
}
