//! The identity and timestamps of an entry, and whether this process may change it.

use rustix::fs::{Statx, StatxFlags, StatxTimestamp};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Returns the creation time where the file system records it: inode numbers are reused.
pub(super) fn birth_time(st: &Statx) -> Option<String> {
    let known = StatxFlags::from_bits_retain(st.stx_mask).contains(StatxFlags::BTIME);
    known.then(|| format_timestamp(&st.stx_btime))
}

/// Formats a timestamp as RFC 3339 in UTC, with nanoseconds.
pub(super) fn format_timestamp(at: &StatxTimestamp) -> String {
    let nanos = i128::from(at.tv_sec) * 1_000_000_000 + i128::from(at.tv_nsec);
    let time = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok();
    time.and_then(|t| t.format(&Rfc3339).ok()).unwrap_or_else(|| nanos.to_string())
}

/// The owners whose entries this process may change.
#[derive(Clone, Debug)]
pub(super) struct ChangeRights {
    uid: u32,
    /// Ranges of user ids (first, length) that it may change besides its own.
    others: Vec<(u32, u32)>,
}

impl ChangeRights {
    /// Reads the rights of this process: with `CAP_FOWNER` it may change entries of every user that is mapped into its user
    /// namespace (capabilities(7), user_namespaces(7)).
    pub(super) fn of_process() -> Self {
        const CAP_FOWNER: u64 = 1 << 3;
        let read = |name: &str| std::fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
        let status = read("status");
        let effective = status.lines().find_map(|l| l.strip_prefix("CapEff:"));
        let effective = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
        let range = |line: &str| {
            let numbers: Vec<u32> = line.split_whitespace().filter_map(|n| n.parse().ok()).collect();
            Some((*numbers.first()?, *numbers.get(2)?))
        };
        let others = if effective & CAP_FOWNER == 0 {
            Vec::new()
        } else {
            read("uid_map").lines().filter_map(range).collect()
        };
        Self { uid: rustix::process::geteuid().as_raw(), others }
    }

    /// Fails where the kernel would fail with EPERM, so that a dry run reports the same as a real run.
    pub(super) fn check_owner(&self, owner: u32) -> Result<(), String> {
        let theirs = |(first, length): &(u32, u32)| owner.checked_sub(*first).is_some_and(|n| n < *length);
        if self.uid == owner || self.others.iter().any(theirs) {
            return Ok(());
        }
        Err(format!("only its owner, uid {owner}, or root can change it"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owner_and_cap_fowner_may_change_an_entry() {
        let rights = |uid, others: &[(u32, u32)]| ChangeRights { uid, others: others.to_vec() };
        assert!(rights(7, &[]).check_owner(7).is_ok() && rights(7, &[(0, u32::MAX)]).check_owner(8).is_ok());
        let refused = rights(7, &[(0, 1), (10, 5)]);
        assert_eq!(refused.check_owner(8).unwrap_err(), "only its owner, uid 8, or root can change it");
        assert!(
            refused.check_owner(9).is_err()
                && refused.check_owner(10).is_ok()
                && refused.check_owner(15).is_err()
        );
        assert!(ChangeRights::of_process().check_owner(rustix::process::geteuid().as_raw()).is_ok());
    }
}
