//! The files that are open for writing or mapped writable, as far as /proc shows (proc_pid_fdinfo(5), proc_pid_maps(5)),
//! at the moment of the scan.

use std::collections::HashSet;
use std::path::Path;

use rustix::fs::{makedev, stat};

use crate::file_id::FileId;

/// Access modes of `flags:` in fdinfo, octal: write-only and read-write.
const WRITING: u32 = 0o3;

/// Files that processes have open for writing.
#[derive(Debug, Default)]
pub struct FileWriters {
    files: HashSet<FileId>,
    /// Number of processes whose open files could not be read.
    pub hidden: u64,
}

impl FileWriters {
    /// Scans `/proc`.
    pub fn scan_processes() -> Self {
        let mut writers = Self::default();
        let Ok(processes) = std::fs::read_dir("/proc") else {
            writers.hidden = 1;
            return writers;
        };
        for process in processes.flatten() {
            if process.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit) {
                writers.scan_process(&process.path());
            }
        }
        writers
    }

    /// Whether a file is open for writing.
    #[must_use]
    pub fn has_file(&self, file: FileId) -> bool {
        self.files.contains(&file)
    }

    fn scan_process(&mut self, process: &Path) {
        let fds = match std::fs::read_dir(process.join("fd")) {
            Ok(fds) => fds,
            Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
                self.hidden += 1;
                return;
            }
            // It ended.
            Err(_) => return,
        };
        for fd in fds.flatten() {
            let info =
                std::fs::read_to_string(process.join("fdinfo").join(fd.file_name())).unwrap_or_default();
            if !is_opened_for_writing(&info) {
                continue;
            }
            if let Ok(st) = stat(fd.path()) {
                self.files.insert(FileId::of_stat(&st));
            }
        }
        let maps = std::fs::read_to_string(process.join("maps")).unwrap_or_default();
        self.files.extend(maps.lines().filter_map(parse_mapping));
    }
}

fn is_opened_for_writing(fdinfo: &str) -> bool {
    let flags = fdinfo.lines().find_map(|l| l.strip_prefix("flags:"));
    flags.and_then(|f| u32::from_str_radix(f.trim(), 8).ok()).is_some_and(|f| f & WRITING != 0)
}

/// `7f..-7f.. rw-s 00000000 fe:00 1234 /path`: shared and writable.
fn parse_mapping(line: &str) -> Option<FileId> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let perms = fields.next()?.as_bytes();
    if perms.get(1) != Some(&b'w') || perms.get(3) != Some(&b's') {
        return None;
    }
    let (major, minor) = fields.nth(1)?.split_once(':')?;
    let inode = fields.next()?.parse().ok().filter(|&i| i != 0)?;
    let number = |hex| u32::from_str_radix(hex, 16).ok();
    Some(FileId { device: makedev(number(major)?, number(minor)?), inode })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_seen_while_it_is_open_for_writing_and_only_then() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let file = std::fs::File::create(&path).unwrap();
        let meta = file.metadata().unwrap();
        assert!(FileWriters::scan_processes().has_file(FileId::of_metadata(&meta)));
        drop(file);
        let _reader = std::fs::File::open(&path).unwrap();
        // A program that another test starts at this moment holds it until it runs.
        let seen = || FileWriters::scan_processes().has_file(FileId::of_metadata(&meta));
        let closed = (0..100).any(|_| {
            let closed = !seen();
            std::thread::sleep(std::time::Duration::from_millis(if closed { 0 } else { 20 }));
            closed
        });
        assert!(closed);
    }

    #[test]
    fn only_shared_writable_mappings_count() {
        let line = |perms: &str| format!("7f00-7f01 {perms} 00000000 fe:01 1234    /x");
        let file = FileId { device: makedev(0xfe, 1), inode: 1234 };
        assert_eq!(parse_mapping(&line("rw-s")), Some(file));
        assert_eq!((parse_mapping(&line("rw-p")), parse_mapping(&line("r--s"))), (None, None));
    }
}
