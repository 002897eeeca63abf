//! The input and output of an audit: the plan for all paths, the audited paths, and the findings about them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use common::finding::Finding;
use common::out::Diag;
use common::policy::Mode;

use crate::filter::FindingFilter;
use crate::image::SystemImage;
use crate::packages::PackagedFiles;
use crate::policy::Policy;
use crate::rule::{AllowedIds, AuditedEntry, RuleContext};
use common::file_id::FileId;
use common::walk::{self, Reach};
use common::writers::FileWriters;

/// The policy and the options that hold for all paths of an audit.
#[derive(Debug)]
pub(crate) struct AuditPlan {
    pub(crate) context: RuleContext,
    /// The roots of the current batch.
    pub(crate) roots: Vec<AuditRoot>,
    /// Allowed owners besides root, from `--owner`.
    pub(crate) owners: Option<Vec<u32>>,
    pub(crate) policy: Policy,
    /// The policy file, if one was given.
    pub(crate) policy_file: Option<PathBuf>,
    /// Files that are open for writing, looked up when first needed.
    pub(crate) writers: OnceLock<FileWriters>,
    /// The files of packages, looked up when first needed.
    pub(crate) packages: OnceLock<PackagedFiles>,
    /// The day that decides which exceptions have expired.
    pub(crate) today: time::Date,
    /// The system that the paths belong to.
    pub(crate) image: SystemImage,
    /// Whether contents are read.
    pub(crate) content: bool,
    /// The findings that are wanted.
    pub(crate) filter: FindingFilter,
}

impl AuditPlan {
    /// Warns of exceptions of the policy file that have expired or that no finding matched, and of rows that no entry
    /// matched; returns the number of the exceptions.
    pub(crate) fn warn_of_stale_exceptions(&self, diag: &Diag) -> u64 {
        let Some(path) = &self.policy_file else { return 0 };
        let stale =
            self.policy.expired_exceptions(self.today).chain(self.policy.unused_exceptions(self.today));
        let stale = stale.map(|text| diag.warn(path.display(), text)).count() as u64;
        self.policy.unused_rows().for_each(|text| diag.warn(path.display(), text));
        stale
    }

    /// Warns of package databases that were needed and could not be read: what they say about entries is not known.
    pub(crate) fn warn_of_unread_packages(&self, diag: &Diag) {
        for (path, reason) in self.packages.get().iter().flat_map(|packages| &packages.unread) {
            diag.warn(path.display(), reason);
        }
    }
}

/// One audited path.
#[derive(Clone, Debug)]
pub(crate) struct AuditRoot {
    /// As the user wrote it.
    pub(crate) path: PathBuf,
    /// Without symbolic links.
    pub(crate) real: PathBuf,
    /// Patterns are relative to this directory: `real`, or its directory where it is a file.
    pub(crate) base: PathBuf,
    /// The walk checks that it is still the same.
    pub(crate) id: FileId,
    /// Its mount: see [`walk::mount_of`].
    pub(crate) mount: (bool, u64),
    /// Allowed owners of entries below it, where no policy says otherwise.
    pub(crate) owner: AllowedIds,
    /// Its owner.
    pub(crate) uid: u32,
    pub(crate) is_dir: bool,
    /// The users who get to it through the directories above it.
    pub(crate) reach: Reach,
}

impl AuditRoot {
    /// Returns the path of an entry below it, without symbolic links.
    pub(crate) fn real_path(&self, s: &AuditedEntry<'_>) -> PathBuf {
        // The base of a root that is a file is its directory.
        if !self.is_dir {
            return self.real.clone();
        }
        let mut below = Vec::new();
        s.node.write_relative((!s.name.is_empty()).then(|| s.name.to_bytes()), &mut below);
        if below.is_empty() { self.real.clone() } else { self.real.join(OsStr::from_bytes(&below)) }
    }
}

/// A finding, with the class of the entry and what decided it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AuditIssue {
    pub(crate) finding: Finding,
    pub(crate) class: Option<String>,
    pub(crate) class_by: Option<String>,
    /// The permissions of group and others, for findings about an entry.
    pub(crate) mode: Option<Mode>,
}

/// Resolves a path to audit.
pub(crate) fn resolve_root(
    path: PathBuf,
    owners: Option<&[u32]>,
    image: &SystemImage,
) -> anyhow::Result<AuditRoot> {
    let real = image.resolve(&path).map_err(|e| anyhow::anyhow!(crate::io_reason(&e)))?;
    let path = if image.path == Path::new("/") { path } else { real.clone() };
    let st = walk::stat_path(&real).map_err(|e| anyhow::anyhow!(crate::reason(e)))?;
    let mut ids = owners.map_or_else(|| vec![st.stx_uid], <[u32]>::to_vec);
    if !ids.contains(&0) {
        ids.push(0);
    }
    let is_dir = walk::file_type(&st) == rustix::fs::FileType::Directory;
    let base = if is_dir { real.clone() } else { real.parent().unwrap_or(&real).to_owned() };
    let base = image.inner_path(&base);
    let above: Vec<_> = {
        let inside = real.ancestors().skip(1).filter(|dir| dir.starts_with(&image.path));
        inside.filter_map(|dir| Some((dir, walk::stat_path(dir).ok()?))).collect()
    };
    let reach = above.iter().rev().fold(Reach::default(), |reach, (dir, st)| reach.through_path(dir, st));
    Ok(AuditRoot {
        path,
        base,
        real,
        owner: AllowedIds::Ids(ids),
        uid: st.stx_uid,
        is_dir,
        id: FileId::of_statx(&st),
        mount: walk::mount_of(&st),
        reach,
    })
}

/// Makes a finding about an audited path, which has no class.
pub(crate) fn root_issue(finding: Finding) -> AuditIssue {
    AuditIssue { finding, class: None, class_by: None, mode: None }
}
