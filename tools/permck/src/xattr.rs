//! Decodes the extended attributes that grant permissions: POSIX ACLs and file capabilities.

use std::ffi::CStr;
use std::fmt::{self, Write};
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::fs as rfs;
use rustix::io::Errno;

pub(crate) const ACCESS: &str = "system.posix_acl_access";
pub(crate) const DEFAULT: &str = "system.posix_acl_default";
pub(crate) const CAPABILITY: &str = "security.capability";

/// Maximum size of attributes in bytes: XATTR_SIZE_MAX of the kernel (xattr(7)).
const MAX_XATTR_SIZE: usize = 64 << 10;

/// The extended attributes of an entry that rules use.
#[derive(Debug, Default)]
pub(crate) struct Xattrs {
    pub(crate) access: Option<Acl>,
    pub(crate) default: Option<Acl>,
    pub(crate) capability: Option<FileCapabilities>,
}

/// Reads attributes through `/proc/self/fd`, so that no path from the root is resolved and no symbolic link followed.
#[derive(Debug)]
pub(crate) struct XattrReader {
    path: Vec<u8>,
    list: Vec<u8>,
}

impl XattrReader {
    pub(crate) fn new() -> Self {
        Self { path: Vec::with_capacity(300), list: vec![0; MAX_XATTR_SIZE] }
    }

    /// The attributes of an open file.
    pub(crate) fn read_open(&mut self, file: BorrowedFd<'_>) -> rustix::io::Result<Xattrs> {
        let length = rfs::flistxattr(file, &mut self.list[..]);
        self.read_known(length, |name, value| rfs::fgetxattr(file, name, value))
    }

    /// The attributes of the entry `name` of an open directory.
    pub(crate) fn read_entry(&mut self, dir: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<Xattrs> {
        self.set_proc_path(dir, name);
        let path = std::mem::take(&mut self.path);
        let place = CStr::from_bytes_until_nul(&path).unwrap_or(c"");
        let length = rfs::llistxattr(place, &mut self.list[..]);
        let found = self.read_known(length, |name, value| rfs::lgetxattr(place, name, value));
        self.path = path;
        found
    }

    /// Reads the attributes that are in the list and that rules use.
    fn read_known(
        &mut self,
        length: rustix::io::Result<usize>,
        get: impl Fn(&str, &mut [u8]) -> rustix::io::Result<usize>,
    ) -> rustix::io::Result<Xattrs> {
        // Most entries have none: one system call is enough.
        let length = match length {
            Ok(0) | Err(Errno::NOTSUP) => return Ok(Xattrs::default()),
            Ok(n) => n,
            Err(e) => return Err(e),
        };
        let names = self.list[..length].to_vec();
        let mut value = |wanted: &str| {
            if !names.split(|&b| b == 0).any(|n| n == wanted.as_bytes()) {
                return Ok(None);
            }
            match get(wanted, &mut self.list[..]) {
                Ok(n) => Ok(Some(self.list[..n].to_vec())),
                // Removed in the meantime.
                Err(Errno::NODATA | Errno::NOTSUP) => Ok(None),
                Err(e) => Err(e),
            }
        };
        Ok(Xattrs {
            access: value(ACCESS)?.as_deref().map(Acl::parse),
            default: value(DEFAULT)?.as_deref().map(Acl::parse),
            capability: value(CAPABILITY)?.as_deref().map(FileCapabilities::parse),
        })
    }

    fn set_proc_path(&mut self, dir: BorrowedFd<'_>, name: &CStr) {
        self.path.clear();
        self.path.extend_from_slice(b"/proc/self/fd/");
        let mut digits = [0; 10];
        let mut at = digits.len();
        let mut fd = dir.as_raw_fd().unsigned_abs();
        loop {
            at -= 1;
            digits[at] = b'0' + (fd % 10) as u8;
            fd /= 10;
            if fd == 0 {
                break;
            }
        }
        self.path.extend_from_slice(&digits[at..]);
        self.path.push(b'/');
        self.path.extend_from_slice(name.to_bytes_with_nul());
    }
}

/// A POSIX ACL, as the kernel stores it (version 2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Acl {
    entries: Vec<AclEntry>,
    /// Whether the bytes were malformed.
    pub(crate) broken: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct AclEntry {
    tag: u16,
    perm: u16,
    id: u32,
}

const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

impl Acl {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let broken = Self { entries: Vec::new(), broken: true };
        let Some((head, body)) = bytes.split_at_checked(4) else { return broken };
        if head != [2, 0, 0, 0] || body.len() % 8 != 0 {
            return broken;
        }
        let entry = |e: &[u8]| AclEntry {
            tag: u16::from_le_bytes([e[0], e[1]]),
            perm: u16::from_le_bytes([e[2], e[3]]) & 7,
            id: u32::from_le_bytes([e[4], e[5], e[6], e[7]]),
        };
        Self { entries: body.chunks_exact(8).map(entry).collect(), broken: false }
    }

    fn entry_bits(&self, tag: u16) -> Option<u32> {
        self.entries.iter().find(|e| e.tag == tag).map(|e| u32::from(e.perm))
    }

    fn mask(&self) -> u32 {
        self.entry_bits(MASK).unwrap_or(7)
    }

    /// Returns the effective permissions of the owning group; the group bits of the mode are the mask.
    pub(crate) fn owning_group_bits(&self) -> Option<u32> {
        self.entry_bits(GROUP_OBJ).map(|p| p & self.mask())
    }

    /// Returns the permissions of others.
    pub(crate) fn other_bits(&self) -> Option<u32> {
        self.entry_bits(OTHER)
    }

    /// Returns the named users and groups that have permissions after the mask is applied.
    pub(crate) fn named_grants(&self) -> impl Iterator<Item = AclGrant> + '_ {
        let mask = self.mask();
        self.entries.iter().filter(|e| matches!(e.tag, USER | GROUP)).filter_map(move |e| {
            let bits = u32::from(e.perm) & mask;
            (bits != 0).then_some(AclGrant { group: e.tag == GROUP, id: e.id, bits })
        })
    }
}

/// The effective permissions of a named user or group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AclGrant {
    pub(crate) group: bool,
    pub(crate) id: u32,
    pub(crate) bits: u32,
}

impl fmt::Display for AclGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.group { "group" } else { "user" };
        write!(f, "{kind}:{}:{}", self.id, format_bits(self.bits))
    }
}

/// Three permission bits as `ls` shows them.
pub(crate) fn format_bits(bits: u32) -> String {
    [(4, 'r'), (2, 'w'), (1, 'x')].iter().map(|&(b, c)| if bits & b == 0 { '-' } else { c }).collect()
}

/// The capabilities that a program gains when it is executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileCapabilities {
    permitted: u64,
    inheritable: u64,
    effective: bool,
    /// Whether the bytes are malformed or of an unknown version.
    broken: bool,
}

/// Names by bit number, from the kernel's capability.h.
const NAMES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

impl FileCapabilities {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let word = |i: usize| {
            let four = bytes.get(i * 4..i * 4 + 4).and_then(|b| b.try_into().ok());
            four.map(u32::from_le_bytes)
        };
        let known = |words: usize| bytes.len() == words * 4;
        let magic = word(0).unwrap_or(0);
        let pair =
            |lo: Option<u32>, hi: Option<u32>| u64::from(lo.unwrap_or(0)) | u64::from(hi.unwrap_or(0)) << 32;
        let (permitted, inheritable, broken) = match magic >> 24 {
            1 if known(3) => (pair(word(1), None), pair(word(2), None), false),
            2 if known(5) => (pair(word(1), word(3)), pair(word(2), word(4)), false),
            3 if known(6) => (pair(word(1), word(3)), pair(word(2), word(4)), false),
            _ => (0, 0, true),
        };
        Self { permitted, inheritable, effective: magic & 1 == 1, broken }
    }
}

/// As getcap(8) shows them where all have the same flags; otherwise one clause per set of flags.
impl fmt::Display for FileCapabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.broken {
            return f.write_str("a capability attribute of unknown form");
        }
        let clauses = [
            (self.permitted & !self.inheritable, if self.effective { "=ep" } else { "=p" }),
            (self.inheritable & !self.permitted, if self.effective { "=ei" } else { "=i" }),
            (self.permitted & self.inheritable, if self.effective { "=eip" } else { "=ip" }),
        ];
        let mut separator = "";
        for (set, flags) in clauses {
            if set == 0 {
                continue;
            }
            f.write_str(std::mem::replace(&mut separator, " "))?;
            let mut comma = "";
            for bit in (0..64).filter(|b| set >> b & 1 == 1) {
                f.write_str(std::mem::replace(&mut comma, ","))?;
                match NAMES.get(bit) {
                    Some(name) => write!(f, "cap_{name}")?,
                    None => write!(f, "{bit}")?,
                }
            }
            f.write_str(flags)?;
        }
        if separator.is_empty() { f.write_char('=') } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut bytes = vec![2, 0, 0, 0];
        for (tag, perm, id) in entries {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(perm.to_le_bytes());
            bytes.extend(id.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn the_mask_limits_what_named_users_get() {
        let parsed =
            Acl::parse(&acl(&[(1, 7, !0), (2, 6, 1000), (4, 7, !0), (8, 2, 5), (16, 4, !0), (32, 1, !0)]));
        let grants: Vec<String> = parsed.named_grants().map(|g| g.to_string()).collect();
        assert_eq!(grants, ["user:1000:r--"]);
        assert_eq!((parsed.owning_group_bits(), parsed.other_bits()), (Some(4), Some(1)));
    }

    #[test]
    fn malformed_attributes_are_reported() {
        for bytes in [&b""[..], b"\x02", b"\x01\0\0\0", b"\x02\0\0\0\x01"] {
            assert!(Acl::parse(bytes).broken);
        }
        assert!(FileCapabilities::parse(b"").to_string().contains("unknown"));
        assert!(FileCapabilities::parse(&[1, 0, 0, 2, 0]).to_string().contains("unknown"));
    }

    /// Attributes of a hostile file system: any bytes are decoded or reported as malformed.
    #[test]
    fn any_bytes_are_decoded_without_panic() {
        let mut state = 7_u64;
        for length in 0..2000 {
            let mut byte = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 59) as u8
            };
            let bytes: Vec<u8> = (0..length % 67).map(|_| byte()).collect();
            let acl = Acl::parse(&bytes);
            assert!(acl.broken || acl.named_grants().all(|g| g.bits != 0 && g.bits < 8));
            assert!(!FileCapabilities::parse(&bytes).to_string().is_empty());
        }
    }

    #[test]
    fn capabilities_read_as_getcap_writes_them() {
        let mut v2 = vec![1, 0, 0, 2];
        for word in [1u32 << 10 | 1 << 13, 0, 1 << 6, 0] {
            v2.extend(word.to_le_bytes());
        }
        let shown = FileCapabilities::parse(&v2).to_string();
        assert_eq!(shown, "cap_net_bind_service,cap_net_raw,cap_perfmon=ep");
    }
}
