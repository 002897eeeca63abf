//! Looks at entries as they are walked: metadata, attributes, link targets and the beginning of contents become
//! a [`Subject`], the rules judge it, and what they find goes to a [`Sink`].

use std::ffi::CStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::Arc;

use common::finding::Finding;
use common::policy::Class;
use rustix::fs::{self as rfs, FileType, OFlags, Statx, StatxAttributes};
use rustix::io::Errno;

use crate::classify::{self, Census, Stray, Told};
use crate::place;
use crate::plan::{Issue, Plan, Root, issue};
use crate::policy::{Demand, Place};
use crate::rule::{HARD_LINK, RULES, Standard, Subject};
use crate::xattr::{self, Xattrs};
use common::walk::{self, OpenDirectory, TreeNode, WalkOptions, WalkVisitor, file_type};
use common::writers::FileWriters;

mod read;

use read::HEAD;

/// Where an inspector's findings go; shared by its threads.
pub(crate) trait Sink: Sync {
    /// Tells whether a path may be inspected at all, before it is; `Err` says why not.
    fn admit(&self, root: &Root) -> Result<(), String>;

    /// What is wrong with where a path lies, and not with an entry below it.
    fn place(&self, issues: Vec<Issue>);

    /// What an entry breaks; at least one rule. `dir` is where the entry is, or itself where the subject has
    /// no name of its own.
    fn issues(&self, root: &Root, dir: &OpenDirectory, subject: &Subject<'_>, issues: Vec<Issue>);

    /// Something that could not be looked at.
    fn failed(&self, path: PathBuf, error: Errno);
}

/// What one thread saw.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    /// Paths that were named.
    pub(crate) paths: u64,
    pub(crate) entries: u64,
    pub(crate) dirs: u64,
    pub(crate) vanished: u64,
    pub(crate) mounts: u64,
    /// Findings that the policy accepts.
    pub(crate) accepted: u64,
    /// Exceptions of the policy file that have ended or accepted nothing.
    pub(crate) idle: u64,
}

impl std::ops::AddAssign for Seen {
    fn add_assign(&mut self, other: Self) {
        self.paths += other.paths;
        self.entries += other.entries;
        self.dirs += other.dirs;
        self.vanished += other.vanished;
        self.mounts += other.mounts;
        self.accepted += other.accepted;
        self.idle += other.idle;
    }
}

/// The visitor of audits, fixes and baselines.
pub(crate) struct Inspector<'a, S: Sink> {
    plan: &'a Plan,
    options: WalkOptions,
    sink: &'a S,
    xattrs: xattr::Reader,
    head: Vec<u8>,
    /// The path below the root of the entry that is looked at.
    below: Vec<u8>,
    pub(crate) seen: Seen,
}

impl<'a, S: Sink> Inspector<'a, S> {
    pub(crate) fn new(plan: &'a Plan, options: WalkOptions, sink: &'a S) -> Self {
        Self {
            plan,
            options,
            sink,
            xattrs: xattr::Reader::new(),
            head: vec![0; HEAD],
            below: Vec::new(),
            seen: Seen::default(),
        }
    }

    fn judge(&mut self, dir: &OpenDirectory, subject: &Subject<'_>) {
        let hits = RULES.iter().filter_map(|rule| Some((rule, (rule.check)(subject, &self.plan.judge)?)));
        let mut found: Vec<_> = hits
            .map(|(rule, hit)| {
                let finding = Finding::new(rule.id, rule.severity, &subject.path());
                finding.found(hit.found).expected(hit.expected).fix(hit.fix)
            })
            .collect();
        found.extend(self.inner_mount(dir, subject));
        if self.plan.policy.has_exceptions() {
            let before = found.len();
            found.retain(|f| !self.accepted(subject, &f.rule));
            self.seen.accepted += (before - found.len()) as u64;
        }
        advise_to_look(&mut found);
        let issue = |finding| Issue {
            finding,
            class: subject.standard.map(|s| s.class.row().name),
            told_by: subject.standard.map(|s| s.by.to_owned()),
        };
        let issues: Vec<Issue> = found.into_iter().map(issue).collect();
        if !issues.is_empty() {
            self.sink.issues(&self.plan.roots[dir.node.root], dir, subject, issues);
        }
    }

    /// Where mounts are crossed, each has options of its own; those of the audited path are judged with its place.
    fn inner_mount(&self, dir: &OpenDirectory, subject: &Subject<'_>) -> Option<Finding> {
        let top = dir.node.depth == 0 && (subject.name.is_empty() || !self.plan.roots[dir.node.root].is_dir);
        if !self.options.cross_mounts || top || !subject.attribute(StatxAttributes::MOUNT_ROOT) {
            return None;
        }
        let name = if subject.name.is_empty() { c"." } else { subject.name };
        let fd = walk::open_entry(dir.as_fd(), name, OFlags::PATH, true).ok()?;
        place::mount(&subject.path(), rfs::fstatvfs(&fd).ok()?.f_flag)
    }
}

impl<S: Sink> WalkVisitor for Inspector<'_, S> {
    type State = Census;

    fn file(&mut self, dir: &OpenDirectory, census: &mut Census, name: &CStr, st: &Statx) {
        self.seen.entries += 1;
        let kind = file_type(st);
        if matches!(kind, FileType::CharacterDevice | FileType::BlockDevice) && self.in_dev(dir) {
            return;
        }
        let regular = kind == FileType::RegularFile;
        let (mut length, mut unread, mut open) = (0, None, None);
        if regular && self.plan.content && st.stx_size > 0 {
            match self.read_head(dir, name, st.stx_size) {
                Ok((fd, n)) => (open, length) = (Some(fd), n),
                Err(e) => unread = Some(e),
            }
        }
        let (mut secret, mut told) = (None, None);
        if regular {
            let (whole, head) = (&self.head[..length], &self.head[..length.min(HEAD)]);
            let der = classify::der_key(head, st.stx_size);
            secret = classify::private_key(whole).or(der);
            let by_content = match der {
                Some((kind, _)) => Told::key(kind),
                None => classify::file(name.to_bytes(), head, u32::from(st.stx_mode)),
            };
            let by_content = self.written(by_content, st);
            census.add(by_content, name.to_bytes());
            told = Some(by_content);
        }
        let xattrs = match &open {
            _ if kind == FileType::Symlink => Xattrs::default(),
            Some(fd) => self.attributes_of(fd.as_fd(), || dir.node.path_of(name)),
            None => self.attributes(dir, name),
        };
        let link = if kind == FileType::Symlink { self.link(dir, name) } else { None };
        let demand = self.demand(&dir.node, Some(name), false);
        let root = &self.plan.roots[dir.node.root];
        let owner = demand.owner(root.uid, self.plan.owners.as_deref());
        let subject = Subject {
            node: &dir.node,
            name,
            st,
            standard: told.map(|t| held(demand, t)),
            owner: owner.as_ref().unwrap_or(&root.owner),
            group: &demand.group(),
            xattrs: &xattrs,
            link: link.as_ref(),
            secret,
            stray: None,
            dir_owner: dir.st.stx_uid,
            unread,
        };
        self.judge(dir, &subject);
    }

    fn dir(&mut self, dir: &OpenDirectory, census: Census) {
        self.seen.entries += 1;
        self.seen.dirs += 1;
        // Most file systems count a directory's directories in its links.
        let dirs = dir.st.stx_nlink.saturating_sub(2);
        let told = self.home(&dir.node).unwrap_or_else(|| census.dir(dir.node.name(), dirs));
        let xattrs = self.attributes_of(dir.as_fd(), || dir.node.path());
        self.directory(dir, c"", &dir.st, told, &xattrs, census.stray(dirs).as_ref());
    }

    /// What is mounted here belongs to another tree: it is neither judged nor changed.
    fn mount_point(&mut self, parent: &OpenDirectory, name: &CStr, _st: &Statx) {
        self.passed_over(parent, name);
    }

    fn mounted(&mut self, dir: &OpenDirectory, _census: &mut Census, name: &CStr, _st: &Statx) {
        self.passed_over(dir, name);
    }

    fn failed(&mut self, parent: &OpenDirectory, name: &CStr, st: Option<&Statx>, error: Errno) {
        let path = if name.is_empty() { parent.node.path() } else { parent.node.path_of(name) };
        self.sink.failed(path, error);
        if let Some(st) = st {
            self.unlisted(parent, name, st);
        }
    }

    fn vanished(&mut self) {
        self.seen.vanished += 1;
    }
}

impl<'a, S: Sink> Inspector<'a, S> {
    fn passed_over(&mut self, parent: &OpenDirectory, name: &CStr) {
        self.seen.mounts += 1;
        self.sink.place(vec![issue(place::passed_over(&parent.node.path_of(name)))]);
    }

    /// A directory whose entries are not seen is judged by its own metadata.
    fn unlisted(&mut self, parent: &OpenDirectory, name: &CStr, st: &Statx) {
        self.seen.entries += 1;
        self.seen.dirs += 1;
        let told = Census::default().dir(name.to_bytes(), 0);
        let xattrs = self.attributes(parent, name);
        self.directory(parent, name, st, told, &xattrs, None);
    }

    /// Judges a directory: `dir` itself, or the entry `name` of it, which was not entered.
    fn directory(
        &mut self,
        dir: &OpenDirectory,
        name: &CStr,
        st: &Statx,
        told: Told,
        xattrs: &Xattrs,
        stray: Option<&Stray>,
    ) {
        let demand = self.demand(&dir.node, (!name.is_empty()).then_some(name), true);
        let root = &self.plan.roots[dir.node.root];
        let owner = demand.owner(root.uid, self.plan.owners.as_deref());
        let subject = Subject {
            node: &dir.node,
            name,
            st,
            standard: Some(held(demand, told)),
            owner: owner.as_ref().unwrap_or(&root.owner),
            group: &demand.group(),
            xattrs,
            link: None,
            secret: None,
            // A policy that names the directory's class knows what is in it.
            stray: stray.filter(|_| demand.standard().is_none()),
            dir_owner: st.stx_uid,
            unread: None,
        };
        self.judge(dir, &subject);
    }

    /// A log that is called like an archived one is being recorded while somebody writes it. Who writes is
    /// looked up once, and only where it makes a difference.
    fn written(&self, told: Told, st: &Statx) -> Told {
        let loose = u32::from(st.stx_mode) & 0o7777 & !Class::LogArchived.max().0 != 0;
        if told.class != Class::LogArchived || !loose {
            return told;
        }
        let writers = self.plan.writers.get_or_init(FileWriters::scan_processes);
        if writers.has_file(walk::device_of(st), st.stx_ino) {
            return Told { class: Class::LogRecording, by: "somebody writes it" };
        }
        told
    }

    /// What the policy says of an entry.
    fn demand(&mut self, node: &TreeNode, name: Option<&CStr>, dir: bool) -> Demand<'a> {
        let plan = self.plan;
        if plan.policy.is_empty() {
            return Demand::default();
        }
        node.relative(name.map(CStr::to_bytes), &mut self.below);
        plan.policy.demand(Place { below: Some(&self.below), root: &plan.roots[node.root].base, dir })
    }

    /// Devices belong below `/dev`, where the system decides who may use them.
    fn in_dev(&self, dir: &OpenDirectory) -> bool {
        let root = &self.plan.roots[dir.node.root];
        if root.base.starts_with("/dev") {
            return true;
        }
        let mut below = Vec::new();
        dir.node.relative(None, &mut below);
        root.base.parent().is_none() && below.split(|&b| b == b'/').next() == Some(b"dev")
    }

    fn accepted(&mut self, subject: &Subject<'_>, rule: &str) -> bool {
        let plan = self.plan;
        let name = (!subject.name.is_empty()).then(|| subject.name.to_bytes());
        subject.node.relative(name, &mut self.below);
        let dir = subject.file_type() == FileType::Directory;
        let place = Place { below: Some(&self.below), root: &plan.roots[subject.node.root].base, dir };
        plan.policy.accepts(rule, place, subject.standard.map(|s| s.class), plan.today)
    }

    fn home(&self, node: &Arc<TreeNode>) -> Option<Told> {
        let homes = &self.plan.judge.ids.homes;
        // A path is built for the few directories that are called like a home directory only.
        let name = node.name().rsplit(|&b| b == b'/').find(|n| !n.is_empty())?;
        let named = |h: &PathBuf| h.file_name().is_some_and(|n| n.as_encoded_bytes() == name);
        if !homes.iter().any(named) {
            return None;
        }
        let mut below = Vec::new();
        node.relative(None, &mut below);
        let below = PathBuf::from(std::ffi::OsString::from_vec(below));
        let path = self.plan.roots[node.root].real.join(below);
        let path = path.components().collect::<PathBuf>();
        homes
            .contains(&path)
            .then_some(Told { class: Class::HomeDir, by: "the account that it is the home of" })
    }
}

/// What is done to a file of somebody else is done to all of its names: whoever would follow the advice about this
/// one might give away, or lock, a file of the system.
fn advise_to_look(findings: &mut [Finding]) {
    if findings.iter().any(|f| f.rule == HARD_LINK) {
        for finding in findings.iter_mut().filter(|f| f.rule != HARD_LINK) {
            finding.fix = format!("first find out what file it is: see [{HARD_LINK}]");
        }
    }
}

/// What an entry is held to: what the policy says, or what its content told.
fn held(demand: Demand<'_>, told: Told) -> Standard<'_> {
    let by_content = Standard { class: told.class, max: told.class.max(), by: told.by };
    demand.standard().unwrap_or_else(|| demand.tighten(by_content))
}
