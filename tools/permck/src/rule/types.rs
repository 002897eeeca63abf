//! Entries that are neither files, directories nor links.

use common::finding::Severity;
use common::rule::Rule;
use rustix::fs::FileType;

use super::{EntryRule, Violation};

pub(crate) static DEVICE: EntryRule = EntryRule {
    description: Rule {
        id: "device",
        severity: Severity::Error,
        what: "it is a device node",
        why: "A device node gives access to hardware or memory to every user whom its mode permits, past the permissions of files.",
        fix: "`rm PATH`",
        reference: "mknod(2); mount(8), nodev",
    },
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
            fix: format!("rm {}, if nothing needs it", s.quoted_path()),
            ..Violation::default()
        })
    },
};

pub(crate) static SOCKET: EntryRule = EntryRule {
    description: Rule {
        id: "socket",
        severity: Severity::Note,
        what: "it is a socket",
        why: "The process that listens accepts requests from every user who may write to the socket.",
        fix: "`ss -xlp` shows the process; `rm PATH` if there is none",
        reference: "unix(7), section Pathname socket ownership and permissions",
    },
    check: |s, _| {
        (s.file_type() == FileType::Socket).then(|| Violation {
            found: format!("a socket, mode {}", s.mode()),
            expected: String::new(),
            fix: format!("rm {}, if `ss -xlp` shows no process that listens on it", s.quoted_path()),
            ..Violation::default()
        })
    },
};

pub(crate) static FIFO: EntryRule = EntryRule {
    description: Rule {
        id: "fifo",
        severity: Severity::Note,
        what: "it is a FIFO",
        why: "A user who may open the FIFO can inject data, or block the process at the other end.",
        fix: "`fuser PATH` shows the processes; `rm PATH` if there are none",
        reference: "fifo(7)",
    },
    check: |s, _| {
        (s.file_type() == FileType::Fifo).then(|| Violation {
            found: format!("a FIFO, mode {}", s.mode()),
            expected: String::new(),
            fix: format!("rm {0}, if `fuser {0}` shows no process", s.quoted_path()),
            ..Violation::default()
        })
    },
};
