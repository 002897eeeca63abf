//! Files of a certificate directory, opened below the open directory, and checked before they are read.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, StatVfsMountFlags};
use zeroize::Zeroizing;

use super::role::LAYOUTS;
use super::{Owner, rule};
use crate::finding::Finding;
use crate::fsat;
use crate::policy::{self, Class};

/// The largest file of certificates or a key that is read, in bytes.
pub(crate) const MAX_BYTES: u64 = 1 << 20;

/// The largest file of CRLs where no option says otherwise, in bytes: some two million entries.
pub const MAX_CRL_BYTES: u64 = 128 << 20;

/// The link by which the kubelet replaces all files of a volume at once (Kubernetes 1.31,
/// pkg/volume/util/atomic_writer.go).
pub const VOLUME_LINK: &str = "..data";

/// An open certificate directory.
pub(crate) struct OpenDirectory {
    file: File,
    path: PathBuf,
    /// The required owner of its files.
    user: u32,
    /// Whether it is a volume of Kubernetes: `file` is the directory behind [`VOLUME_LINK`] then.
    is_volume: bool,
    /// Whether it holds the credentials of a systemd service.
    pub(super) is_credentials: bool,
}

impl OpenDirectory {
    /// Opens a directory and checks its mode and owner. A symbolic link is followed, since the user named it; its target
    /// is checked.
    pub(crate) fn open(path: &Path, owner: Owner, findings: &mut Vec<Finding>) -> Option<Self> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let opened = rustix::fs::open(path, flags, Mode::empty()).map(File::from).map_err(io::Error::from);
        match opened.and_then(|file| file.metadata().map(|meta| (file, meta))) {
            Ok((file, meta)) => {
                let user = match owner {
                    Owner::Process => rustix::process::geteuid().as_raw(),
                    Owner::User(uid) => uid,
                    Owner::Directory => meta.uid(),
                };
                let content = open_volume(&file);
                // The kubelet makes a volume writable for others and mounts it read-only into the container.
                if content.is_none() || !is_read_only(&file) {
                    let mut broken = policy::check_for(path, &meta, Class::KeyDir, user);
                    accept_credentials(path, &meta, &mut broken);
                    findings.extend(broken.into_iter().map(rule::with_reference));
                }
                let is_volume = content.is_some();
                let is_credentials = is_credentials_dir(path);
                let file = content.unwrap_or(file);
                Some(Self { file, path: path.to_owned(), user, is_volume, is_credentials })
            }
            Err(e) => {
                let fix = match e.kind() {
                    io::ErrorKind::PermissionDenied => {
                        "run certck as the directory's owner; each directory above it must be searchable"
                    }
                    _ => "copy it from where it was minted, with its modes: `cp -rp` or `rsync -a`",
                };
                findings.push(
                    rule::DIRECTORY
                        .at(path)
                        .found(describe_io_error(&e))
                        .expected("a directory of certificates")
                        .fix(fix),
                );
                None
            }
        }
    }

    /// The path of a file in it, for messages.
    pub(crate) fn file_path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// Reads a file after checking its type, mode and owner. Any failure but absence is a finding.
    pub(crate) fn read_file(&self, name: impl AsRef<Path>, findings: &mut Vec<Finding>) -> FileContent {
        self.read_up_to(MAX_BYTES, name, findings)
    }

    /// The same for a file of at most `limit` bytes.
    pub(crate) fn read_up_to(
        &self,
        limit: u64,
        name: impl AsRef<Path>,
        findings: &mut Vec<Finding>,
    ) -> FileContent {
        let path = self.file_path(&name);
        let (file, meta) = match fsat::open_regular_at(self.as_fd(), name.as_ref()) {
            Ok(opened) => opened,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return FileContent::Absent,
            Err(e) => return report_unreadable(&path, limit, &e, findings),
        };
        findings.extend(self.check_file_mode(&path, &meta));
        match fsat::read_secret(file, &meta, limit) {
            Ok(bytes) => FileContent::Bytes(bytes),
            Err(e) => report_unreadable(&path, limit, &e, findings),
        }
    }

    /// Whether there is an entry of this name.
    pub(crate) fn has_entry(&self, name: &str) -> bool {
        rustix::fs::statat(&self.file, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// Checks the mode and the owner of a file against the permission table.
    fn check_file_mode(&self, path: &Path, meta: &Metadata) -> Vec<Finding> {
        let mut broken = policy::check_for(path, meta, Class::KeyFile, self.user);
        if self.is_credentials {
            accept_credentials(&self.path, meta, &mut broken);
        }
        if self.is_volume {
            // With fsGroup the kubelet gives the files to the group of the pod, readable, and nothing else can be chosen.
            if meta.mode() & 0o037 == 0 && is_own_group(meta.gid()) {
                broken.retain(|finding| finding.rule != rule::MODE.id);
            }
            for finding in broken.iter_mut().filter(|finding| finding.rule == rule::MODE.id) {
                finding.fix = "set `defaultMode: 0400` in the volume of the pod".to_owned();
            }
        }
        // A user who has read the key can use it after its mode was changed: an exception about modes does not cover that.
        if meta.mode() & 0o044 != 0 && path.extension().is_some_and(|end| end == "key") {
            let how = match path.ends_with("ca.key") {
                true => {
                    "; if others could have read it, make a new authority: everyone who has this key can sign as the CA"
                }
                false => {
                    "; if others could have read it, replace the key: `certck mint renew --all`, and revoke the old certificate"
                }
            };
            for finding in broken.iter_mut().filter(|finding| finding.rule == rule::MODE.id) {
                finding.rule = rule::KEY_READABLE.id.to_owned();
                finding.fix += how;
            }
        }
        broken.into_iter().map(rule::with_reference).collect()
    }

    /// Takes bytes in place of a file's, within the same limit.
    pub(crate) fn take_staged(
        &self,
        limit: u64,
        name: &str,
        bytes: &[u8],
        findings: &mut Vec<Finding>,
    ) -> FileContent {
        if bytes.len() as u64 <= limit {
            return FileContent::Bytes(Zeroizing::new(bytes.to_vec()));
        }
        let e = io::Error::new(io::ErrorKind::FileTooLarge, format!("is larger than {limit} bytes"));
        report_unreadable(&self.file_path(name), limit, &e, findings)
    }

    /// The names in the directory, at most a hundred thousand of them.
    pub(crate) fn entry_names(&self) -> Vec<std::ffi::OsString> {
        use std::os::unix::ffi::OsStrExt;
        let Ok(entries) = rustix::fs::Dir::read_from(&self.file) else { return Vec::new() };
        let names =
            entries.flatten().map(|e| std::ffi::OsStr::from_bytes(e.file_name().to_bytes()).to_owned());
        let mut names: Vec<_> = names.filter(|n| n != "." && n != "..").take(100_000).collect();
        names.sort_unstable();
        names
    }
}

impl AsFd for OpenDirectory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Opens the directory behind the link of a volume; `None` if the directory is not a volume.
fn open_volume(dir: &File) -> Option<File> {
    let target = rustix::fs::readlinkat(dir, VOLUME_LINK, Vec::new()).ok()?;
    // One component, as the kubelet writes it: a link to elsewhere is not followed.
    let name =
        target.to_str().ok().filter(|name| name.starts_with("..") && !name.contains('/') && *name != "..")?;
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name, flags, Mode::empty()).ok().map(File::from)
}

/// Returns whether a directory is that of `CREDENTIALS_DIRECTORY` (systemd.exec(5)).
fn is_credentials_dir(dir: &Path) -> bool {
    let given = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let canonical = |path: &Path| path.canonicalize().ok();
    given.is_some_and(|given| canonical(&given).is_some_and(|given| canonical(dir) == Some(given)))
}

/// Removes the findings about modes in the credentials directory `dir` of a systemd service. systemd (255,
/// src/core/exec-credential.c) gives the files to root and lets the service read them by an ACL, whose mask stands in the
/// place of the mode of the group.
pub(super) fn accept_credentials(dir: &Path, meta: &Metadata, findings: &mut Vec<Finding>) {
    let is_made_by_manager = meta.uid() == 0 && meta.gid() == 0 && meta.mode() & 0o027 == 0;
    if is_made_by_manager && is_credentials_dir(dir) {
        findings.retain(|finding| finding.rule != rule::MODE.id);
    }
}

fn is_read_only(dir: &File) -> bool {
    rustix::fs::fstatvfs(dir).is_ok_and(|fs| fs.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// Whether this process is in a group.
fn is_own_group(gid: u32) -> bool {
    let others = rustix::process::getgroups().unwrap_or_default();
    others.into_iter().chain([rustix::process::getegid()]).any(|group| group.as_raw() == gid)
}

/// The result of reading a file.
pub(crate) enum FileContent {
    /// The file does not exist.
    Absent,
    /// It exists and could not be read; a finding says why.
    Unreadable,
    /// Its content.
    Bytes(Zeroizing<Vec<u8>>),
}

fn is_crl_file(path: &Path) -> bool {
    LAYOUTS.iter().any(|layout| path.file_name() == Some(layout.crl.as_ref()))
}

fn report_unreadable(path: &Path, limit: u64, e: &io::Error, findings: &mut Vec<Finding>) -> FileContent {
    findings.push(
        rule::UNREADABLE
            .at(path)
            .found(describe_io_error(e))
            .expected(format!("a readable regular file of at most {limit} bytes"))
            .fix(match e.kind() {
                io::ErrorKind::FileTooLarge if is_crl_file(path) => {
                    "give a larger --max-crl-bytes, or fetch a smaller CRL: `certck crl fetch`"
                }
                io::ErrorKind::FileTooLarge => "put a file there that is not larger",
                _ => "put the file itself there, not a link, owned by the user who runs the program",
            }),
    );
    FileContent::Unreadable
}

/// Describes an I/O error.
pub(crate) fn describe_io_error(e: &io::Error) -> String {
    match e.kind() {
        io::ErrorKind::NotFound => "does not exist".to_owned(),
        io::ErrorKind::NotADirectory => "is not a directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => e.to_string(),
    }
}
