//! Entries that are neither files, directories nor links.

use common::finding::Severity;
use rustix::fs::FileType;

use super::{Hit, Rule};

pub(crate) static DEVICE: Rule = Rule {
    id: "device",
    severity: Severity::Error,
    what: "it is a device node",
    check: |s, _| {
        let kind = s.file_type();
        matches!(kind, FileType::CharacterDevice | FileType::BlockDevice).then(|| Hit {
            found: format!(
                "{} {}:{}, mode {}",
                common::fsat::kind(u32::from(s.st.stx_mode)),
                s.st.stx_rdev_major,
                s.st.stx_rdev_minor,
                s.mode()
            ),
            expected: "devices only below /dev".into(),
            fix: format!("rm {} if nothing needs it", s.quoted()),
        })
    },
};

pub(crate) static SOCKET: Rule = Rule {
    id: "socket",
    severity: Severity::Note,
    what: "it is a socket",
    check: |s, _| {
        (s.file_type() == FileType::Socket).then(|| Hit {
            found: format!("a socket, mode {}", s.mode()),
            expected: String::new(),
            fix: "delete it if nothing listens on it".into(),
        })
    },
};

pub(crate) static FIFO: Rule = Rule {
    id: "fifo",
    severity: Severity::Note,
    what: "it is a FIFO",
    check: |s, _| {
        (s.file_type() == FileType::Fifo).then(|| Hit {
            found: format!("a FIFO, mode {}", s.mode()),
            expected: String::new(),
            fix: "delete it if nothing uses it".into(),
        })
    },
};
