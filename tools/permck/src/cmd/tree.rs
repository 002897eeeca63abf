//! The options that audits, fixes and baselines share: policy, owners, and how to walk.

use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::{Context, ensure};
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use crate::filter::FilterArgs;
use crate::image::SystemImage;
use crate::plan::AuditPlan;
use crate::policy::Policy;
use crate::policy::profile::PROFILES;
use crate::rule::RuleContext;
use common::accounts::AccountTable;
use common::walk::WalkOptions;

/// The options that audits, fixes and baselines share.
#[derive(Args, Clone, Debug)]
pub(crate) struct TreeArgs {
    /// Allowed owner of entries besides root: a user name or id [default: from the policy, or the owner of each PATH]
    ///
    /// If the policy requires the account that runs the tools as owner, as the profile cann does, it is this account,
    /// and root is not allowed.
    #[arg(long, value_name = "USER")]
    owner: Vec<String>,
    /// Policy file; its rows take precedence over those of profiles
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Built-in policy to apply
    #[arg(long, value_name = "NAME", value_parser = profile_parser())]
    profile: Vec<String>,
    #[command(flatten)]
    filter: FilterArgs,
    /// Give every finding the severity of its rule, and every mode the maximum of its class, as the table has it
    ///
    /// Otherwise severity follows danger: permissions that no other user can use are notes, because a directory above is
    /// closed, the group has no other members, or the owner alone has them.
    #[arg(long)]
    pub(super) strict: bool,
    /// Audit the image below DIR: each PATH is one of the image, and so are its accounts, packages and links
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Do not read files: classify by name only, and do not search for private keys
    #[arg(long)]
    no_content: bool,
    /// Enter mounts below a PATH
    #[arg(long)]
    cross_mounts: bool,
    /// Number of threads [default: one per processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
}

impl TreeArgs {
    pub(crate) fn walk_options(&self) -> WalkOptions {
        let processors = || std::thread::available_parallelism().map_or(1, Into::into);
        let threads = self.threads.map_or_else(processors, usize::from);
        WalkOptions { threads: threads.min(256), cross_mounts: self.cross_mounts }
    }

    /// Loads the policy and the accounts; the roots are added later.
    pub(crate) fn load_plan(&self) -> anyhow::Result<AuditPlan> {
        let image =
            SystemImage::open(self.root.as_deref()).map_err(|e| anyhow::anyhow!(crate::io_reason(&e)));
        let image =
            image.with_context(|| format!("--root {}", self.root.clone().unwrap_or_default().display()))?;
        let ids = AccountTable::load(&image.path);
        let owners = self.resolve_owners(&ids)?;
        let policy = self.load_policy(&ids)?;
        if policy.needs_account() {
            let account = owners.clone().unwrap_or_else(|| vec![rustix::process::geteuid().as_raw()]);
            let reason = "--owner: root is not allowed as the account that runs the tools";
            ensure!(!account.contains(&0), "{reason}: name the unprivileged account that runs the tools");
        }
        Ok(AuditPlan {
            context: RuleContext {
                accounts: ids,
                strict: self.strict,
                system_root: image.path.clone(),
                ..RuleContext::default()
            },
            roots: Vec::new(),
            owners,
            policy,
            policy_file: self.policy.clone(),
            writers: OnceLock::new(),
            packages: OnceLock::new(),
            today: time::OffsetDateTime::now_utc().date(),
            image,
            content: !self.no_content,
            filter: self.filter.clone().into(),
        })
    }

    /// Returns whether the audited system is an image.
    pub(crate) fn has_image(&self) -> bool {
        self.root.is_some()
    }

    /// Returns whether a policy or profile was given.
    pub(crate) fn has_policy(&self) -> bool {
        self.policy.is_some() || !self.profile.is_empty()
    }

    /// Returns the options of this policy for another command: ` --profile certs`.
    pub(crate) fn policy_options(&self) -> String {
        let policy =
            self.policy.iter().map(|path| format!(" --policy {}", common::policy::shell_quote(path)));
        let named = |option: &'static str| move |value: &String| format!(" {option} {value}");
        policy
            .chain(self.profile.iter().map(named("--profile")))
            .chain(self.owner.iter().map(named("--owner")))
            .collect()
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
        let named = |name: &String| ids.uid_of(name).with_context(|| format!("--owner {name}: no such user"));
        let named = self.owner.iter().map(named).collect::<anyhow::Result<Vec<u32>>>()?;
        Ok(Some(named))
    }
}

/// The names of the profiles, with what each is for.
fn profile_parser() -> impl TypedValueParser<Value = String> {
    let values = PROFILES.iter().map(|(name, what, _)| PossibleValue::new(*name).help(*what));
    PossibleValuesParser::new(values.collect::<Vec<_>>())
}
