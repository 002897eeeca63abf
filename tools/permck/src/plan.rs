//! What an audit works with: the plan that holds for all paths, the audited paths, and the findings about them.

use std::path::PathBuf;
use std::sync::OnceLock;

use common::finding::Finding;
use common::out::Diag;

use crate::policy::Policy;
use crate::rule::{AllowedIds, RuleContext};
use common::walk;
use common::writers::FileWriters;

/// What an audit holds entries to.
#[derive(Debug)]
pub(crate) struct AuditPlan {
    pub(crate) context: RuleContext,
    /// What is walked now.
    pub(crate) roots: Vec<AuditRoot>,
    /// Who may own entries besides root, where the user said so.
    pub(crate) owners: Option<Vec<u32>>,
    pub(crate) policy: Policy,
    /// The file that the policy is from, if one was given.
    pub(crate) policy_file: Option<PathBuf>,
    /// Who writes which files, once that is asked.
    pub(crate) writers: OnceLock<FileWriters>,
    /// The day on which exceptions are judged.
    pub(crate) today: time::Date,
    /// Whether contents are looked at.
    pub(crate) content: bool,
}

impl AuditPlan {
    /// Says which exceptions of the policy file do nothing any more, after a run; how many they are.
    pub(crate) fn warn_of_stale_exceptions(&self, diag: &Diag) -> u64 {
        let Some(path) = &self.policy_file else { return 0 };
        let idle =
            self.policy.expired_exceptions(self.today).chain(self.policy.unused_exceptions(self.today));
        idle.map(|text| diag.warn(path.display(), text)).count() as u64
    }
}

/// One audited path.
#[derive(Clone, Debug)]
pub(crate) struct AuditRoot {
    /// As the user gave it.
    pub(crate) path: PathBuf,
    /// Without links; links that lead below it stay in the tree.
    pub(crate) real: PathBuf,
    /// What patterns are held against begins below this: `real`, or its directory where it is a file.
    pub(crate) base: PathBuf,
    /// Its device and inode number: what is walked is what was judged.
    pub(crate) id: (u64, u64),
    /// What it is mounted by: see [`walk::mount_of`].
    pub(crate) mount: (bool, u64),
    /// Who may own what is below it, where no policy says so.
    pub(crate) owner: AllowedIds,
    /// Who owns it.
    pub(crate) uid: u32,
    pub(crate) is_dir: bool,
}

/// One broken rule, with the class that the entry was held to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AuditIssue {
    pub(crate) finding: Finding,
    pub(crate) class: Option<&'static str>,
    pub(crate) class_by: Option<String>,
}

/// Looks up one path to audit.
pub(crate) fn resolve_root(path: PathBuf, owners: Option<&[u32]>) -> anyhow::Result<AuditRoot> {
    let real = path.canonicalize().map_err(|e| anyhow::anyhow!(crate::io_reason(&e)))?;
    let st = walk::stat_path(&real).map_err(|e| anyhow::anyhow!(crate::reason(e)))?;
    let mut ids = owners.map_or_else(|| vec![st.stx_uid], <[u32]>::to_vec);
    if !ids.contains(&0) {
        ids.push(0);
    }
    let is_dir = walk::file_type(&st) == rustix::fs::FileType::Directory;
    let base = if is_dir { real.clone() } else { real.parent().unwrap_or(&real).to_owned() };
    Ok(AuditRoot {
        path,
        base,
        real,
        owner: AllowedIds::Ids(ids),
        uid: st.stx_uid,
        is_dir,
        id: (walk::device_of(&st), st.stx_ino),
        mount: walk::mount_of(&st),
    })
}

/// A finding that is about an audited path and not about an entry below it.
pub(crate) fn issue(finding: Finding) -> AuditIssue {
    AuditIssue { finding, class: None, class_by: None }
}
