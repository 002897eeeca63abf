//! Which processes a request is for.

/// The processes that a request selects, as the daemon matches them.
#[derive(Clone, Debug)]
pub(crate) struct ProcessFilter {
    /// Job id; 0 for processes outside a batch system.
    pub(crate) job_id: i64,
    /// Pids to trigger. Empty, or exactly 0, selects every process of the job.
    pub(crate) pids: Vec<i32>,
    /// The user whose processes are selected, by name or uid; all users if missing.
    pub(crate) user: Option<String>,
    /// Maximum number of processes to trigger.
    pub(crate) process_limit: u32,
}

impl ProcessFilter {
    /// Whether the request is for every process of the job.
    pub(crate) fn selects_all_pids(&self) -> bool {
        matches!(self.pids.as_slice(), [] | [0])
    }
}
