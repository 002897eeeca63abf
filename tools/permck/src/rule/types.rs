//! Entries that are neither files, directories nor links.

use common::finding::Severity;
use rustix::fs::FileType;

use super::{EntryRule, Violation};

pub(crate) static DEVICE: EntryRule = EntryRule {
    id: "device",
    severity: Severity::Error,
    what: "it is a device node",
    check: |s, _| {
        let kind = s.file_type();
        matches!(kind, FileType::CharacterDevice | FileType::BlockDevice).then(|| Violation {
            found: format!(
                "{} {}:{}, mode {}",
                common::fsat::kind(u32::from(s.st.stx_mode)),
                s.st.stx_rdev_major,
                s.st.stx_rdev_minor,
                s.mode()
            ),
            expected: "devices only below /dev".into(),
            fix: format!("rm {} if nothing needs it", s.quoted_path()),
        })
    },
};

pub(crate) static SOCKET: EntryRule = EntryRule {
    id: "socket",
    severity: Severity::Note,
    what: "it is a socket",
    check: |s, _| {
        (s.file_type() == FileType::Socket).then(|| Violation {
            found: format!("a socket, mode {}", s.mode()),
            expected: String::new(),
            fix: "delete it if nothing listens on it".into(),
        })
    },
};

pub(crate) static FIFO: EntryRule = EntryRule {
    id: "fifo",
    severity: Severity::Note,
    what: "it is a FIFO",
    check: |s, _| {
        (s.file_type() == FileType::Fifo).then(|| Violation {
            found: format!("a FIFO, mode {}", s.mode()),
            expected: String::new(),
            fix: "delete it if nothing uses it".into(),
        })
    },
};
