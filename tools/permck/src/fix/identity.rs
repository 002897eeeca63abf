//! What tells an entry from another one, and one that was changed from one that was not; and who may change it.

use rustix::fs::{Statx, StatxFlags, StatxTimestamp};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// When it was created, where the file system tells: inode numbers are used again.
pub(super) fn born(st: &Statx) -> Option<String> {
    let told = StatxFlags::from_bits_retain(st.stx_mask).contains(StatxFlags::BTIME);
    told.then(|| moment(&st.stx_btime))
}

/// To the nanosecond, as records have it.
pub(super) fn moment(at: &StatxTimestamp) -> String {
    let nanos = i128::from(at.tv_sec) * 1_000_000_000 + i128::from(at.tv_nsec);
    let time = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok();
    time.and_then(|t| t.format(&Rfc3339).ok()).unwrap_or_else(|| nanos.to_string())
}

/// Whose entries this process may change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rights {
    uid: u32,
    /// It has the capability to change those of everybody.
    all: bool,
}

impl Rights {
    /// Those of this process.
    pub(super) fn own() -> Self {
        const CAP_FOWNER: u64 = 1 << 3;
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let effective = status.lines().find_map(|l| l.strip_prefix("CapEff:"));
        let effective = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
        let uid = rustix::process::geteuid().as_raw();
        Self { uid, all: effective.map_or(uid == 0, |caps| caps & CAP_FOWNER != 0) }
    }

    /// Refuses what the system would refuse, so that a dry run promises no more than a real one does.
    pub(super) fn check(self, owner: u32) -> Result<(), String> {
        if self.all || self.uid == owner {
            return Ok(());
        }
        Err(format!("only its owner, uid {owner}, or root can change it"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owner_and_who_may_all_can_change_an_entry() {
        let rights = |uid, all| Rights { uid, all };
        assert!(rights(7, false).check(7).is_ok() && rights(7, true).check(8).is_ok());
        assert_eq!(rights(7, false).check(8).unwrap_err(), "only its owner, uid 8, or root can change it");
        assert!(Rights::own().check(rustix::process::geteuid().as_raw()).is_ok());
    }
}
