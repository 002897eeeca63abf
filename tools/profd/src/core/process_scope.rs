//! The processes that a request may be about.

use std::collections::BTreeSet;

/// The users and jobs whose processes a request may see and trace; `None` for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProcessScope {
    pub(crate) users: Option<BTreeSet<u32>>,
    pub(crate) jobs: Option<BTreeSet<i64>>,
}

impl ProcessScope {
    /// Returns whether a process belongs to it.
    pub(crate) fn contains(&self, job_id: i64, uid: u32) -> bool {
        self.contains_user(uid) && self.contains_job(job_id)
    }

    /// Returns whether a user belongs to it, with some job.
    pub(crate) fn contains_user(&self, uid: u32) -> bool {
        self.users.as_ref().is_none_or(|users| users.contains(&uid))
    }

    /// Returns whether a job belongs to it, for some user.
    pub(crate) fn contains_job(&self, job_id: i64) -> bool {
        self.jobs.as_ref().is_none_or(|jobs| jobs.contains(&job_id))
    }

    /// Returns what of it belongs to one user.
    pub(crate) fn of_user(&self, uid: u32) -> Self {
        let users = if self.contains_user(uid) { BTreeSet::from([uid]) } else { BTreeSet::new() };
        Self { users: Some(users), jobs: self.jobs.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_outside_the_scope_stays_outside() {
        let all = ProcessScope::default();
        assert!(
            all.contains(7, 1000) && all.of_user(1000).contains(7, 1000) && !all.of_user(1000).contains(7, 0)
        );
        let own = ProcessScope { users: Some([1000].into()), jobs: Some([7].into()) };
        assert!(own.contains(7, 1000) && !own.contains(8, 1000) && !own.contains(7, 1001));
        assert!(!own.of_user(1001).contains(7, 1001) && !own.of_user(1001).contains(7, 1000));
    }
}
