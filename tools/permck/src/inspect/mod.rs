//! Inspects entries during the walk: metadata, attributes, link targets and the beginning of contents become
//! an [`AuditedEntry`], the rules are applied to it, and findings go to an [`IssueSink`].

use std::ffi::CStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::Arc;

use common::finding::{Finding, Severity};
use common::policy::Class;
use rustix::fs::{self as rfs, FileType, OFlags, Statx, StatxAttributes};
use rustix::io::Errno;

use crate::classify::{self, Classification, DirectoryCensus, Secrecy, StrayKey};
use crate::packages::PackagedFiles;
use crate::plan::{AuditIssue, AuditPlan, AuditRoot, root_issue};
use crate::policy::{EntryLocation, PolicyMatch};
use crate::root_check;
use crate::rule::{AuditedEntry, ClassLimit, EntryRule, HARD_LINK, RULES};
use crate::xattr::{self, Xattrs};
use common::file_id::FileId;
use common::walk::{self, OpenDirectory, TreeNode, WalkOptions, WalkVisitor, file_type};
use common::writers::FileWriters;

mod read;

use read::HEAD_SIZE;

/// Takes the findings of the inspectors; shared by all threads.
pub(crate) trait IssueSink: Sync {
    /// Decides before a path is inspected whether it may be; the error is the reason why not.
    fn admit_root(&self, root: &AuditRoot) -> Result<(), String>;

    /// Takes findings about the surroundings of a root: directories above it, mounts.
    fn report_root_issues(&self, issues: Vec<AuditIssue>);

    /// Takes the findings about an entry, at least one. `dir` is the directory of the entry, or the entry itself where its
    /// name is empty.
    fn report_issues(
        &self,
        root: &AuditRoot,
        dir: &OpenDirectory,
        subject: &AuditedEntry<'_>,
        issues: Vec<AuditIssue>,
    );

    /// Takes every entry that is checked; a finding may come of it.
    fn see_entry(&self, _root: &AuditRoot, _subject: &AuditedEntry<'_>) -> Option<Finding> {
        None
    }

    /// Takes an I/O error that kept an entry from being checked.
    fn report_error(&self, path: PathBuf, error: Errno);
}

/// The counts of one thread.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AuditCounts {
    /// Paths that the user named.
    pub(crate) paths: u64,
    pub(crate) entries: u64,
    pub(crate) dirs: u64,
    pub(crate) vanished: u64,
    pub(crate) mounts: u64,
    /// Findings that the policy accepts.
    pub(crate) accepted: u64,
    /// Exceptions of the policy file that have expired or that no finding matched.
    pub(crate) stale_exceptions: u64,
}

impl std::ops::AddAssign for AuditCounts {
    fn add_assign(&mut self, other: Self) {
        self.paths += other.paths;
        self.entries += other.entries;
        self.dirs += other.dirs;
        self.vanished += other.vanished;
        self.mounts += other.mounts;
        self.accepted += other.accepted;
        self.stale_exceptions += other.stale_exceptions;
    }
}

/// The visitor of audits, fixes and baselines.
pub(crate) struct Inspector<'a, S: IssueSink> {
    plan: &'a AuditPlan,
    options: WalkOptions,
    sink: &'a S,
    xattrs: xattr::XattrReader,
    head: Vec<u8>,
    /// Buffer for the path of the current entry below the root.
    below: Vec<u8>,
    pub(crate) seen: AuditCounts,
}

impl<'a, S: IssueSink> Inspector<'a, S> {
    pub(crate) fn new(plan: &'a AuditPlan, options: WalkOptions, sink: &'a S) -> Self {
        Self {
            plan,
            options,
            sink,
            xattrs: xattr::XattrReader::new(),
            head: vec![0; HEAD_SIZE],
            below: Vec::new(),
            seen: AuditCounts::default(),
        }
    }

    fn apply_rules(&mut self, dir: &OpenDirectory, subject: &AuditedEntry<'_>) {
        if self.plan.filter.excludes(subject, &self.plan.roots[subject.node.root].base) {
            return;
        }
        let context = &self.plan.context;
        let rules = RULES.iter().filter(|rule| self.plan.filter.wants_rule(rule.description.id));
        let hits = rules.filter_map(|rule| Some((rule, (rule.check)(subject, context)?)));
        let mut found: Vec<(&EntryRule, Finding)> = hits
            .map(|(&rule, hit)| {
                let mut finding = rule.description.at(&subject.path());
                if let Some(severity) = hit.severity.filter(|_| !context.strict) {
                    finding.severity = severity;
                }
                (rule, finding.found(hit.found).expected(hit.expected).fix(hit.fix))
            })
            .collect();
        if !context.strict && subject.st.stx_uid == 0 {
            self.believe_packages(subject, &mut found);
        }
        let mut found: Vec<Finding> = found.into_iter().map(|(_, finding)| finding).collect();
        found.extend(self.check_inner_mount(dir, subject));
        let seen = self.sink.see_entry(&self.plan.roots[subject.node.root], subject);
        found.extend(seen.filter(|finding| self.plan.filter.wants_rule(&finding.rule)));
        if self.plan.policy.has_exceptions() {
            let before = found.len();
            found.retain(|f| !self.is_accepted(subject, &f.rule));
            self.seen.accepted += (before - found.len()) as u64;
        }
        advise_to_look(&mut found);
        let issue = |finding| AuditIssue {
            finding,
            class: subject.limit.map(|s| s.name.to_owned()),
            class_by: subject.limit.map(|s| s.by.to_owned()),
            mode: Some(subject.granted_mode()),
        };
        let issues: Vec<AuditIssue> = found.into_iter().map(issue).collect();
        if !issues.is_empty() {
            self.sink.report_issues(&self.plan.roots[dir.node.root], dir, subject, issues);
        }
    }

    /// Lowers findings about root's files as their package installed them: they are there for everybody to read and run.
    fn believe_packages(&self, subject: &AuditedEntry<'_>, found: &mut [(&EntryRule, Finding)]) {
        let root = &self.plan.roots[subject.node.root];
        let mut path = None;
        for (rule, finding) in found {
            let image = &self.plan.image;
            let path = path.get_or_insert_with(|| image.inner_path(&root.real_path(subject)));
            let Some(lower) = rule.packaged_severity(finding.severity, path) else { continue };
            let packages = self.plan.packages.get_or_init(|| PackagedFiles::load(image));
            if packages.has_file(path, subject.mode()) {
                finding.severity = lower;
                finding.found.push_str("; as its package installed it");
            } else if packages.overrides(path, subject.mode()) {
                finding.severity = Severity::Note;
                finding.found.push_str("; as dpkg-statoverride set it");
            }
        }
    }

    /// Checks the options of a mount below the audited path, with --cross-mounts; those of the audited path itself are
    /// checked by [`root_check`].
    fn check_inner_mount(&self, dir: &OpenDirectory, subject: &AuditedEntry<'_>) -> Option<Finding> {
        let top = dir.node.depth == 0 && (subject.name.is_empty() || !self.plan.roots[dir.node.root].is_dir);
        if !self.options.cross_mounts || top || !subject.has_attribute(StatxAttributes::MOUNT_ROOT) {
            return None;
        }
        let name = if subject.name.is_empty() { c"." } else { subject.name };
        let fd = walk::open_entry(dir.as_fd(), name, OFlags::PATH, true).ok()?;
        root_check::check_mount(&subject.path(), rfs::fstatvfs(&fd).ok()?.f_flag)
    }
}

impl<S: IssueSink> WalkVisitor for Inspector<'_, S> {
    type DirectoryState = DirectoryCensus;

    fn visit_file(&mut self, dir: &OpenDirectory, census: &mut DirectoryCensus, name: &CStr, st: &Statx) {
        self.seen.entries += 1;
        let kind = file_type(st);
        if matches!(kind, FileType::CharacterDevice | FileType::BlockDevice) && self.in_dev(dir) {
            return;
        }
        // Read the beginning of the content.
        let regular = kind == FileType::RegularFile;
        let (mut length, mut unread, mut open) = (0, None, None);
        if regular && self.plan.content && st.stx_size > 0 {
            match self.read_head(dir, name, st.stx_size) {
                Ok((fd, n)) => (open, length) = (Some(fd), n),
                Err(e) => unread = Some(e),
            }
        }
        // Classify the file, and search it for private keys.
        let (mut secret, mut classification) = (None, None);
        if regular {
            let (whole, head) = (&self.head[..length], &self.head[..length.min(HEAD_SIZE)]);
            let der = classify::find_der_private_key(head, st.stx_size);
            secret = classify::find_private_key(whole).or(der);
            let by_content = match der {
                Some((kind, _)) => Classification::private_key(kind),
                None => classify::classify_file(name.to_bytes(), head, u32::from(st.stx_mode)),
            };
            // Key stores of other formats are known by their first bytes.
            let store = holds_private_key(name.to_bytes(), by_content.secrecy);
            secret = secret.or(store.then_some((by_content.by, 0)));
            let by_content = self.correct_log_class(by_content, st);
            census.count_file(by_content, name.to_bytes());
            classification = Some(by_content);
        }
        // Extended attributes, and the target of a symbolic link.
        let xattrs = match &open {
            _ if kind == FileType::Symlink => Xattrs::default(),
            Some(fd) => self.read_attributes(fd.as_fd(), || dir.node.path_of(name)),
            None => self.read_attributes_at(dir, name),
        };
        let link = if kind == FileType::Symlink { self.read_symlink(dir, name) } else { None };
        // The policy takes precedence over the classification.
        let policy_match = self.match_policy(&dir.node, Some(name), false);
        let root = &self.plan.roots[dir.node.root];
        let owner = policy_match.allowed_owners(root.uid, self.plan.owners.as_deref());
        let subject = AuditedEntry {
            node: &dir.node,
            name,
            st,
            limit: classification.map(|t| limit_for(policy_match, t)),
            owner: owner.as_ref().unwrap_or(&root.owner),
            owner_by_default: owner.is_none() && self.plan.owners.is_none(),
            group: &policy_match.allowed_groups(),
            xattrs: &xattrs,
            link: link.as_ref(),
            secret,
            stray: None,
            root_owner: root.uid,
            dir_owner: dir.st.stx_uid,
            unread,
        };
        self.apply_rules(dir, &subject);
    }

    fn visit_directory(&mut self, dir: &OpenDirectory, census: DirectoryCensus) {
        self.seen.entries += 1;
        self.seen.dirs += 1;
        // On most file systems the link count of a directory is two plus its subdirectories.
        let dirs = dir.st.stx_nlink.saturating_sub(2);
        let classification =
            self.classify_home(&dir.node).unwrap_or_else(|| census.classify_directory(dir.node.name(), dirs));
        let xattrs = self.read_attributes(dir.as_fd(), || dir.node.path());
        self.inspect_directory(
            dir,
            c"",
            &dir.st,
            classification,
            &xattrs,
            census.find_stray_key(dirs).as_ref(),
        );
    }

    /// A mount point belongs to another tree: it is neither checked nor changed.
    fn visit_mount_point(&mut self, parent: &OpenDirectory, name: &CStr, _st: &Statx) {
        self.report_mount(parent, name);
    }

    fn visit_mounted_file(
        &mut self,
        dir: &OpenDirectory,
        _census: &mut DirectoryCensus,
        name: &CStr,
        _st: &Statx,
    ) {
        self.report_mount(dir, name);
    }

    fn report_error(&mut self, parent: &OpenDirectory, name: &CStr, st: Option<&Statx>, error: Errno) {
        let path = if name.is_empty() { parent.node.path() } else { parent.node.path_of(name) };
        self.sink.report_error(path, error);
        if let Some(st) = st {
            self.inspect_unlisted(parent, name, st);
        }
    }

    fn count_vanished(&mut self) {
        self.seen.vanished += 1;
    }
}

impl<'a, S: IssueSink> Inspector<'a, S> {
    fn report_mount(&mut self, parent: &OpenDirectory, name: &CStr) {
        self.seen.mounts += 1;
        self.sink
            .report_root_issues(vec![root_issue(root_check::unvisited_mount(&parent.node.path_of(name)))]);
    }

    /// Checks a directory that cannot be listed by its metadata.
    fn inspect_unlisted(&mut self, parent: &OpenDirectory, name: &CStr, st: &Statx) {
        self.seen.entries += 1;
        self.seen.dirs += 1;
        let classification = DirectoryCensus::default().classify_directory(name.to_bytes(), 0);
        let xattrs = self.read_attributes_at(parent, name);
        self.inspect_directory(parent, name, st, classification, &xattrs, None);
    }

    /// Checks a directory: `dir` itself, or its entry `name`, which was not entered.
    fn inspect_directory(
        &mut self,
        dir: &OpenDirectory,
        name: &CStr,
        st: &Statx,
        classification: Classification,
        xattrs: &Xattrs,
        stray: Option<&StrayKey>,
    ) {
        let policy_match = self.match_policy(&dir.node, (!name.is_empty()).then_some(name), true);
        let root = &self.plan.roots[dir.node.root];
        let owner = policy_match.allowed_owners(root.uid, self.plan.owners.as_deref());
        let subject = AuditedEntry {
            node: &dir.node,
            name,
            st,
            limit: Some(limit_for(policy_match, classification)),
            owner: owner.as_ref().unwrap_or(&root.owner),
            owner_by_default: owner.is_none() && self.plan.owners.is_none(),
            group: &policy_match.allowed_groups(),
            xattrs,
            link: None,
            secret: None,
            // A policy that sets the class of the directory takes its content into account.
            stray: stray.filter(|_| policy_match.limit().is_none()),
            root_owner: root.uid,
            dir_owner: st.stx_uid,
            unread: None,
        };
        self.apply_rules(dir, &subject);
    }

    /// Corrects the class of a file that is named like an archived log and still open for writing. Open files are looked
    /// up once, and only where the class makes a difference.
    fn correct_log_class(&self, classification: Classification, st: &Statx) -> Classification {
        let loose = u32::from(st.stx_mode) & 0o7777 & !Class::LogArchived.max().0 != 0;
        if classification.class != Class::LogArchived || !loose {
            return classification;
        }
        let writers = self.plan.writers.get_or_init(FileWriters::scan_processes);
        if writers.has_file(FileId::of_statx(st)) {
            return Classification::new(Class::LogRecording, "its open writer");
        }
        classification
    }

    /// Looks up the policy row of an entry.
    fn match_policy(&mut self, node: &TreeNode, name: Option<&CStr>, dir: bool) -> PolicyMatch<'a> {
        let plan = self.plan;
        if plan.policy.is_empty() {
            return PolicyMatch::default();
        }
        node.write_relative(name.map(CStr::to_bytes), &mut self.below);
        plan.policy.match_entry(EntryLocation {
            below: Some(&self.below),
            root: &plan.roots[node.root].base,
            dir,
        })
    }

    /// Returns whether a directory is below `/dev`, where udev(7) sets the modes of devices.
    fn in_dev(&self, dir: &OpenDirectory) -> bool {
        let root = &self.plan.roots[dir.node.root];
        if root.base.starts_with("/dev") {
            return true;
        }
        let mut below = Vec::new();
        dir.node.write_relative(None, &mut below);
        root.base.parent().is_none() && below.split(|&b| b == b'/').next() == Some(b"dev")
    }

    fn is_accepted(&mut self, subject: &AuditedEntry<'_>, rule: &str) -> bool {
        let plan = self.plan;
        let name = (!subject.name.is_empty()).then(|| subject.name.to_bytes());
        subject.node.write_relative(name, &mut self.below);
        let dir = subject.file_type() == FileType::Directory;
        let place =
            EntryLocation { below: Some(&self.below), root: &plan.roots[subject.node.root].base, dir };
        plan.policy.accepts_finding(rule, place, subject.limit.map(|s| s.name), plan.today)
    }

    fn classify_home(&self, node: &Arc<TreeNode>) -> Option<Classification> {
        let homes = &self.plan.context.accounts.homes;
        // Only for the few directories that are named like a home directory a path is built.
        let name = node.name().rsplit(|&b| b == b'/').find(|n| !n.is_empty())?;
        let named = |h: &PathBuf| h.file_name().is_some_and(|n| n.as_encoded_bytes() == name);
        if !homes.iter().any(named) {
            return None;
        }
        let mut below = Vec::new();
        node.write_relative(None, &mut below);
        let below = PathBuf::from(std::ffi::OsString::from_vec(below));
        let path = self.plan.roots[node.root].real.join(below);
        let path = self.plan.image.inner_path(&path.components().collect::<PathBuf>());
        homes.contains(&path).then_some(Classification::new(Class::HomeDir, "the account database"))
    }
}

/// Replaces the fixes of an entry that is a hard link to a file of another user: a fix would change the file under all of
/// its names, and one of them may be a system file.
fn advise_to_look(findings: &mut [Finding]) {
    if findings.iter().any(|f| f.rule == HARD_LINK) {
        for finding in findings.iter_mut().filter(|f| f.rule != HARD_LINK) {
            finding.fix = format!("first find the other names of the file: see [{HARD_LINK}]");
        }
    }
}

/// Returns whether a file is one that holds a private key. A store that is called cacerts has certificates of authorities, in
/// every installation of Java.
fn holds_private_key(name: &[u8], secrecy: Secrecy) -> bool {
    name != b"cacerts" && secrecy >= Secrecy::Likely
}

/// Returns the limit for an entry: that of the policy, or of its classification.
fn limit_for(policy_match: PolicyMatch<'_>, classification: Classification) -> ClassLimit<'_> {
    let class = classification.class;
    let by_content = ClassLimit { class, name: class.row().name, max: class.max(), by: classification.by };
    policy_match.limit().unwrap_or_else(|| policy_match.tighten_limit(by_content))
}
