//! How the room in a table is shared among the users of a host.
//!
//! A table that serves several users must not be filled by one of them. A user may hold as many entries as are free,
//! which is half of a table without others; while more users fill it, each keeps its entries and a newcomer finds room.
//! (Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet switches", 1998.) A table that serves
//! one user only is that user's as a whole.

use std::collections::BTreeMap;

/// The entries of a table by account, and its capacity.
#[derive(Clone, Debug)]
pub(crate) struct UserShares {
    capacity: usize,
    /// Whether the table serves more than one user.
    is_shared: bool,
    total: usize,
    by_account: BTreeMap<u32, usize>,
}

/// Why an entry does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// The table is full.
    TableFull,
    /// The user has no share left in the table.
    ShareUsed,
}

impl UserShares {
    pub(crate) fn new(capacity: usize, is_shared: bool) -> Self {
        Self { capacity, is_shared, total: 0, by_account: BTreeMap::new() }
    }

    /// Checks whether an account may have one entry more.
    ///
    /// # Errors
    /// The limit that is reached.
    pub(crate) fn check_room(&self, account: u32) -> Result<(), NoRoom> {
        let free = self.capacity.saturating_sub(self.total);
        match free {
            0 => Err(NoRoom::TableFull),
            _ if self.is_shared && self.count_of(account) >= free => Err(NoRoom::ShareUsed),
            _ => Ok(()),
        }
    }

    /// Notes an entry more.
    pub(crate) fn add(&mut self, account: u32) {
        self.total += 1;
        *self.by_account.entry(account).or_default() += 1;
    }

    /// Notes an entry less.
    pub(crate) fn remove(&mut self, account: u32) {
        if let Some(n) = self.by_account.get_mut(&account) {
            self.total -= 1;
            *n -= 1;
            if *n == 0 {
                self.by_account.remove(&account);
            }
        }
    }

    fn count_of(&self, account: u32) -> usize {
        self.by_account.get(&account).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(shares: &mut UserShares, account: u32) -> usize {
        let mut n = 0;
        while shares.check_room(account).is_ok() {
            shares.add(account);
            n += 1;
        }
        n
    }

    #[test]
    fn no_user_takes_the_room_of_the_others() {
        let mut shares = UserShares::new(100, true);
        assert_eq!(fill(&mut shares, 1), 50);
        assert_eq!(shares.check_room(1), Err(NoRoom::ShareUsed));
        assert_eq!((fill(&mut shares, 2), fill(&mut shares, 3)), (25, 13));
        assert_eq!(shares.check_room(4), Ok(()));
        for _ in 0..50 {
            shares.remove(1);
        }
        assert_eq!(shares.check_room(1), Ok(()));
        shares.remove(99);
    }

    #[test]
    fn the_only_user_has_the_whole_table() {
        let mut shares = UserShares::new(10, false);
        assert_eq!(fill(&mut shares, 1), 10);
        assert_eq!(shares.check_room(1), Err(NoRoom::TableFull));
    }
}
