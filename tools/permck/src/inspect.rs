//! Looks at entries as they are walked: metadata, attributes, link targets and the beginning of contents become
//! a [`Subject`], the rules judge it, and what they find goes to a [`Sink`].

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use common::finding::{Finding, Severity};
use common::policy::{Class, Mode};
use rustix::fs::{self as rfs, FileType, OFlags, Statx};
use rustix::io::Errno;

use crate::classify::{self, Census, Told};
use crate::policy::{Demand, Place, Policy};
use crate::rule::{Allowed, Judge, Leads, Link, RULES, Standard, Subject};
use crate::walk::{self, Dir, Node, Visitor, kind};
use crate::writers::Writers;
use crate::xattr::{self, Xattrs};

/// Bytes of a file's beginning that are looked at. Keys and headers are at the beginning; a configuration that
/// embeds a key is rarely longer.
pub(crate) const HEAD: usize = 16 << 10;

/// What an audit holds entries to.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) judge: Judge,
    /// What is walked now.
    pub(crate) roots: Vec<Root>,
    /// Who may own entries besides root, where the user said so.
    pub(crate) owners: Option<Vec<u32>>,
    pub(crate) policy: Policy,
    /// Who writes which files, once that is asked.
    pub(crate) writers: OnceLock<Writers>,
    /// The day on which exceptions are judged.
    pub(crate) today: time::Date,
    /// Whether contents are looked at.
    pub(crate) content: bool,
}

/// One audited path.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    /// As the user gave it.
    pub(crate) path: PathBuf,
    /// Without links; links that lead below it stay in the tree.
    pub(crate) real: PathBuf,
    /// Who may own what is below it, where no policy says so.
    pub(crate) owner: Allowed,
    /// Who owns it.
    pub(crate) uid: u32,
    pub(crate) is_dir: bool,
}

/// One broken rule, with the class that the entry was held to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Issue {
    pub(crate) finding: Finding,
    pub(crate) class: Option<&'static str>,
    pub(crate) told_by: Option<String>,
}

/// Where an inspector's findings go; shared by its threads.
pub(crate) trait Sink: Sync {
    /// What an entry breaks; at least one rule. `dir` is where the entry is, or itself where the subject has
    /// no name of its own.
    fn issues(&self, root: &Root, dir: &Dir, subject: &Subject<'_>, issues: Vec<Issue>);

    /// Something that could not be looked at.
    fn failed(&self, path: PathBuf, error: Errno);
}

/// What one thread saw.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) entries: u64,
    pub(crate) dirs: u64,
    pub(crate) vanished: u64,
    pub(crate) mounts: u64,
    /// Findings that the policy accepts.
    pub(crate) accepted: u64,
}

impl std::ops::AddAssign for Seen {
    fn add_assign(&mut self, other: Self) {
        self.entries += other.entries;
        self.dirs += other.dirs;
        self.vanished += other.vanished;
        self.mounts += other.mounts;
        self.accepted += other.accepted;
    }
}

/// The visitor of audits, fixes and baselines.
pub(crate) struct Inspector<'a, S: Sink> {
    plan: &'a Plan,
    sink: &'a S,
    xattrs: xattr::Reader,
    head: Vec<u8>,
    /// The path below the root of the entry that is looked at.
    below: Vec<u8>,
    pub(crate) seen: Seen,
}

impl<'a, S: Sink> Inspector<'a, S> {
    pub(crate) fn new(plan: &'a Plan, sink: &'a S) -> Self {
        Self {
            plan,
            sink,
            xattrs: xattr::Reader::new(),
            head: vec![0; HEAD],
            below: Vec::new(),
            seen: Seen::default(),
        }
    }

    /// Opens a regular file and reads its beginning into `self.head`; the length read.
    fn read_head(&mut self, dir: &Dir, name: &CStr) -> rustix::io::Result<(OwnedFd, usize)> {
        // Neither a FIFO nor a lease may hold us up, and an audit leaves no trace in access times.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let open = |flags| rfs::openat(dir, name, flags, rfs::Mode::empty());
        let fd = match open(flags | OFlags::NOATIME) {
            Err(Errno::PERM) => open(flags),
            other => other,
        }?;
        let length = rustix::io::read(&fd, &mut self.head[..])?;
        Ok((fd, length))
    }

    fn judge(&mut self, dir: &Dir, subject: &Subject<'_>) {
        let hits = RULES.iter().filter_map(|rule| Some((rule, (rule.check)(subject, &self.plan.judge)?)));
        let mut issues = Vec::new();
        for (rule, hit) in hits {
            if self.plan.policy.has_exceptions() && self.accepted(subject, rule.id) {
                self.seen.accepted += 1;
                continue;
            }
            let finding = Finding::new(rule.id, rule.severity, &subject.path())
                .found(hit.found)
                .expected(hit.expected)
                .fix(hit.fix);
            let standard = subject.standard;
            issues.push(Issue {
                finding,
                class: standard.map(|s| s.class.row().name),
                told_by: standard.map(|s| s.by.to_owned()),
            });
        }
        if !issues.is_empty() {
            self.sink.issues(&self.plan.roots[dir.node.root], dir, subject, issues);
        }
    }

    fn attributes(&mut self, dir: &Dir, name: &CStr) -> Xattrs {
        let found = self.xattrs.read(dir.as_fd(), name);
        self.seen_attributes(found, || dir.node.path_of(name))
    }

    fn attributes_of(&mut self, file: BorrowedFd<'_>, path: impl Fn() -> PathBuf) -> Xattrs {
        let found = self.xattrs.read_open(file);
        self.seen_attributes(found, path)
    }

    fn seen_attributes(&self, found: rustix::io::Result<Xattrs>, path: impl Fn() -> PathBuf) -> Xattrs {
        match found {
            Ok(found) => found,
            Err(Errno::NOENT) => Xattrs::default(),
            Err(e) => {
                self.sink.failed(path(), e);
                Xattrs::default()
            }
        }
    }

    /// Where a link leads, as the kernel resolves it; nothing is opened but the place.
    fn link(&self, dir: &Dir, name: &CStr) -> Option<Link> {
        let target = rfs::readlinkat(dir, name, Vec::new()).ok()?;
        let target = PathBuf::from(std::ffi::OsString::from_vec(target.into_bytes()));
        let leads = match rfs::openat(dir, name, OFlags::PATH | OFlags::CLOEXEC, rfs::Mode::empty()) {
            Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR | Errno::NAMETOOLONG) => Leads::Nowhere,
            Err(_) => Leads::Unknown,
            Ok(fd) => {
                let real = rfs::readlink(format!("/proc/self/fd/{}", fd.as_raw_fd()), Vec::new()).ok();
                let real = real.map(|r| PathBuf::from(std::ffi::OsString::from_vec(r.into_bytes())));
                match real {
                    Some(real) if real.starts_with(&self.plan.roots[dir.node.root].real) => Leads::Inside,
                    Some(real) => Leads::Outside(real),
                    None => Leads::Unknown,
                }
            }
        };
        Some(Link { target, leads })
    }
}

impl<S: Sink> Visitor for Inspector<'_, S> {
    type State = Census;

    fn file(&mut self, dir: &Dir, census: &mut Census, name: &CStr, st: &Statx) {
        self.seen.entries += 1;
        let kind = kind(st);
        let regular = kind == FileType::RegularFile;
        let (mut length, mut unread, mut open) = (0, None, None);
        if regular && self.plan.content && st.stx_size > 0 {
            match self.read_head(dir, name) {
                Ok((fd, n)) => (open, length) = (Some(fd), n),
                Err(e) => unread = Some(e),
            }
        }
        let (mut secret, mut told) = (None, None);
        if regular {
            let head = &self.head[..length];
            secret = classify::private_key(head);
            let by_content = self.written(classify::file(name.to_bytes(), head, u32::from(st.stx_mode)), st);
            census.add(by_content);
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
        let owner = demand.owner(root.uid, self.plan.owners.is_some());
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
            dir_owner: dir.st.stx_uid,
            unread,
        };
        self.judge(dir, &subject);
    }

    fn dir(&mut self, dir: &Dir, census: Census) {
        self.seen.entries += 1;
        self.seen.dirs += 1;
        let told = self.home(&dir.node).unwrap_or_else(|| census.dir(dir.node.name()));
        let xattrs = self.attributes_of(dir.as_fd(), || dir.node.path());
        self.directory(dir, c"", &dir.st, told, &xattrs);
    }

    fn mount_point(&mut self, parent: &Dir, name: &CStr, st: &Statx) {
        self.seen.mounts += 1;
        self.unlisted(parent, name, st);
    }

    fn failed(&mut self, parent: &Dir, name: &CStr, st: Option<&Statx>, error: Errno) {
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
    /// A directory whose entries are not seen is judged by its own metadata.
    fn unlisted(&mut self, parent: &Dir, name: &CStr, st: &Statx) {
        self.seen.entries += 1;
        self.seen.dirs += 1;
        let told = Census::default().dir(name.to_bytes());
        let xattrs = self.attributes(parent, name);
        self.directory(parent, name, st, told, &xattrs);
    }

    /// Judges a directory: `dir` itself, or the entry `name` of it, which was not entered.
    fn directory(&mut self, dir: &Dir, name: &CStr, st: &Statx, told: Told, xattrs: &Xattrs) {
        let demand = self.demand(&dir.node, (!name.is_empty()).then_some(name), true);
        let root = &self.plan.roots[dir.node.root];
        let owner = demand.owner(root.uid, self.plan.owners.is_some());
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
        let writers = self.plan.writers.get_or_init(Writers::scan);
        if writers.has(walk::device(st), st.stx_ino) {
            return Told { class: Class::LogRecording, by: "somebody writes it" };
        }
        told
    }

    /// What the policy says of an entry.
    fn demand(&mut self, node: &Node, name: Option<&CStr>, dir: bool) -> Demand<'a> {
        let plan = self.plan;
        if plan.policy.is_empty() {
            return Demand::default();
        }
        node.relative(name.map(CStr::to_bytes), &mut self.below);
        plan.policy.demand(Place { below: &self.below, root: &plan.roots[node.root].real, dir })
    }

    fn accepted(&mut self, subject: &Subject<'_>, rule: &str) -> bool {
        let plan = self.plan;
        let name = (!subject.name.is_empty()).then(|| subject.name.to_bytes());
        subject.node.relative(name, &mut self.below);
        let dir = subject.kind() == FileType::Directory;
        let place = Place { below: &self.below, root: &plan.roots[subject.node.root].real, dir };
        plan.policy.accepts(rule, place, plan.today)
    }

    fn home(&self, node: &Arc<Node>) -> Option<Told> {
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

/// What an entry is held to: what the policy says, or what its content told.
fn held(demand: Demand<'_>, told: Told) -> Standard<'_> {
    let by_content = Standard { class: told.class, max: told.class.max(), by: told.by };
    demand.standard().unwrap_or_else(|| demand.tighten(by_content))
}

/// A finding that is about an audited path and not about an entry below it.
pub(crate) fn issue(finding: Finding) -> Issue {
    Issue { finding, class: None, told_by: None }
}

/// Tells whether a mode lets group or others write.
pub(crate) fn writable_by_others(mode: Mode) -> bool {
    mode.0 & 0o022 != 0
}

/// Severities in the order in which people want to read them.
pub(crate) const GRAVEST_FIRST: [Severity; 3] = [Severity::Error, Severity::Warning, Severity::Note];
