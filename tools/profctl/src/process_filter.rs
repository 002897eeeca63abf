//! The processes that a request is for: the options, and the filter that they make.

use clap::Args;
use common::glob::Glob;
use common::rpc::message::ProcessStatus;
use common::rpc::selection::ProcessSelection;

use crate::option_value::{CommaList, parse_pids, parse_rank_ranges};

/// The options that select processes by what profd knows of them. Every command for processes has them.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ProcessSelectionArgs {
    /// Ranks of the processes in their job, such as 0,8 or 0-7; from profd only
    ///
    /// The rank is that of the variable RANK, or of what MPI or Slurm has set, at the start of the process. Launchers and
    /// data loaders have none.
    #[arg(long, value_parser = parse_rank_ranges, value_name = "LIST")]
    rank: Option<CommaList<i64>>,
    /// Name of the script or program that the processes run, such as 'train*.py'; may be repeated; from profd only
    #[arg(long, value_parser = parse_name_pattern, value_name = "PATTERN")]
    name: Vec<String>,
    /// Exactly these pids, separated by commas, and not the descendants of these processes; from profd only
    #[arg(long, value_parser = parse_pids, value_name = "LIST")]
    pid: Option<CommaList<i32>>,
    /// Select only processes of this user of the daemon's host, by name or uid; from profd only [default: all users]
    #[arg(long, value_name = "USER")]
    user: Option<String>,
}

/// The options that select the processes of a trace.
#[derive(Args, Clone, Debug)]
pub(crate) struct TracedProcessArgs {
    /// Job id of the processes: their SLURM_JOB_ID, or 0 outside Slurm and for processes of msMonitor [default: 0]
    #[arg(long, value_parser = clap::value_parser!(i64).range(0..), value_name = "ID")]
    pub(crate) job_id: Option<i64>,
    /// Pids of the processes or of ancestors of theirs, separated by commas; 0 selects all processes of the job
    #[arg(long, default_value = "0", value_parser = parse_pids, value_name = "LIST", conflicts_with = "pid")]
    pub(crate) pids: CommaList<i32>,
    #[command(flatten)]
    pub(crate) selection: ProcessSelectionArgs,
    /// Maximum number of processes to trace on each host [default: 3]
    ///
    /// The processes that train come first, launchers and data loaders last. If the default leaves processes out, that is
    /// said and the exit status is 1.
    #[arg(long, value_name = "N")]
    pub(crate) process_limit: Option<u32>,
}

/// The maximum number of traced processes, if none is given: that of the existing clients.
const DEFAULT_TRACE_LIMIT: u32 = 3;
/// The limit that leaves none out: the largest that existing daemons take (a C++ `int`).
const NO_LIMIT: u32 = i32::MAX as u32;

/// The processes that a request selects, as the daemon matches them.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProcessFilter {
    /// Job id; 0 for processes outside a batch system.
    pub(crate) job_id: i64,
    /// The job id was given.
    pub(crate) has_job_id: bool,
    /// Pids to trigger. Empty, or exactly 0, selects every process of the job.
    pub(crate) pids: Vec<i32>,
    /// The user whose processes are selected, by name or uid; all users if missing.
    pub(crate) user: Option<String>,
    /// Conditions that only profd knows.
    pub(crate) selection: Option<ProcessSelection>,
    /// Maximum number of processes to trigger.
    pub(crate) process_limit: u32,
    /// The limit was given.
    pub(crate) has_limit: bool,
}

impl ProcessSelectionArgs {
    /// Returns the selection, if there is one. A user makes one too: a daemon that does not know users must not trigger the
    /// processes of all.
    fn selection(&self) -> Option<ProcessSelection> {
        let selection = ProcessSelection {
            pids: self.pid.as_ref().map(|list| list.0.clone()).unwrap_or_default(),
            ranks: self.rank.as_ref().map(|list| list.0.clone()).unwrap_or_default(),
            names: self.name.clone(),
        };
        (selection != ProcessSelection::default() || self.user.is_some()).then_some(selection)
    }

    /// Returns the filter of a request for monitoring: job 0, as with the existing client, and no limit unless one is given.
    pub(crate) fn monitor_filter(&self, limit: Option<u32>) -> ProcessFilter {
        ProcessFilter {
            job_id: 0,
            has_job_id: true,
            pids: vec![0],
            user: self.user.clone(),
            selection: self.selection(),
            process_limit: limit.unwrap_or(NO_LIMIT),
            has_limit: limit.is_some(),
        }
    }
}

impl TracedProcessArgs {
    /// Returns the filter of a request for a trace.
    pub(crate) fn filter(&self) -> ProcessFilter {
        ProcessFilter {
            job_id: self.job_id.unwrap_or(0),
            has_job_id: self.job_id.is_some(),
            pids: self.pids.0.clone(),
            user: self.selection.user.clone(),
            selection: self.selection.selection(),
            process_limit: self.process_limit.unwrap_or(DEFAULT_TRACE_LIMIT),
            has_limit: self.process_limit.is_some(),
        }
    }
}

impl ProcessFilter {
    /// Whether the request is for every process of the job.
    pub(crate) fn selects_all_pids(&self) -> bool {
        match &self.selection {
            Some(selection) => selection.pids.is_empty(),
            None => matches!(self.pids.as_slice(), [] | [0]),
        }
    }

    /// Returns the pids that are asked for.
    pub(crate) fn wanted_pids(&self) -> &[i32] {
        self.selection.as_ref().map_or(&self.pids, |selection| &selection.pids)
    }

    /// Returns whether a process that a daemon lists is one of these, as far as its status shows: `--pids` also selects by
    /// ancestors, which it does not, so they are not looked at.
    pub(crate) fn selects(&self, process: &ProcessStatus) -> bool {
        let is_user = |user: &String| {
            process.user.as_ref() == Some(user) || process.uid.is_some_and(|uid| uid.to_string() == *user)
        };
        if process.job_id != self.job_id || !self.user.as_ref().is_none_or(is_user) {
            return false;
        }
        let Some(ProcessSelection { pids, ranks, names }) = &self.selection else { return true };
        // The name is that of the script or module, which is the last word of the command, or of the program.
        let command = process.command.as_deref().unwrap_or_default();
        let name = command.rsplit([' ', '/']).next().unwrap_or_default().as_bytes();
        let matches_name = |pattern: &String| Glob::parse(pattern).is_ok_and(|glob| glob.matches(name));
        (pids.is_empty()
            || pids.contains(&process.pid)
            || process.host_pid.is_some_and(|p| pids.contains(&p)))
            && (ranks.is_empty() || process.rank.is_some_and(|rank| ranks.contains(&rank)))
            && (names.is_empty() || names.iter().any(matches_name))
    }

    /// Names the options that only profd knows, as they were given.
    pub(crate) fn describe_selection(&self) -> String {
        let Some(selection) = &self.selection else { return String::new() };
        let mut options = Vec::new();
        options.extend((!selection.ranks.is_empty()).then_some("--rank"));
        options.extend((!selection.names.is_empty()).then_some("--name"));
        options.extend((!selection.pids.is_empty()).then_some("--pid"));
        options.extend(self.user.is_some().then_some("--user"));
        options.join(", ")
    }
}

/// Checks a pattern for names.
fn parse_name_pattern(text: &str) -> Result<String, String> {
    Glob::parse(text)?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmd::{parse_args, try_parse_args};

    #[test]
    fn selections_are_made_of_what_is_given() {
        let filter = |args: &[&str]| parse_args::<TracedProcessArgs>(args).filter();
        let plain = filter(&[]);
        assert_eq!((plain.job_id, plain.pids, plain.selection, plain.process_limit), (0, vec![0], None, 3));
        assert!(!plain.has_limit && !plain.has_job_id);
        let chosen = filter(&["--rank", "0-2,8", "--name", "train*", "--name", "x", "--process-limit", "3"]);
        assert_eq!(chosen.describe_selection(), "--rank, --name");
        let selection = chosen.selection.unwrap();
        assert_eq!((selection.ranks, selection.names.len()), (vec![0, 1, 2, 8], 2));
        assert!(chosen.has_limit);
        let user = filter(&["--user", "ann"]);
        assert_eq!((user.selection, user.user.as_deref()), (Some(ProcessSelection::default()), Some("ann")));
        for bad in
            [&["--pid", "1", "--pids", "2"][..], &["--rank", "3-1"], &["--name", ""], &["--name", "[a"]]
        {
            assert!(try_parse_args::<TracedProcessArgs>(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn listed_processes_are_selected_as_the_daemon_does() {
        let process = ProcessStatus {
            pid: 7,
            host_pid: Some(700),
            uid: Some(1000),
            user: Some("ann".into()),
            rank: Some(8),
            command: Some("python3 /job/train.py".into()),
            ..ProcessStatus::default()
        };
        let selects = |args: &[&str]| parse_args::<TracedProcessArgs>(args).filter().selects(&process);
        for chosen in [
            &[][..],
            &["--rank", "7-9"],
            &["--name", "train*", "--name", "x"],
            &["--pid", "7"],
            &["--pid", "700"],
            &["--user", "ann", "--rank", "8"],
            &["--user", "1000"],
            &["--pids", "5"],
        ] {
            assert!(selects(chosen), "{chosen:?}");
        }
        for other in [
            &["--rank", "7"][..],
            &["--name", "python3"],
            &["--pid", "8"],
            &["--user", "bob"],
            &["--job-id", "3"],
            &["--rank", "8", "--user", "bob"],
        ] {
            assert!(!selects(other), "{other:?}");
        }
        assert!(
            !parse_args::<TracedProcessArgs>(&["--rank", "0"]).filter().selects(&ProcessStatus::default())
        );
    }

    #[test]
    fn monitoring_has_no_silent_limit() {
        let filter = ProcessSelectionArgs::default().monitor_filter(None);
        assert_eq!((filter.process_limit, filter.has_limit), (2_147_483_647, false));
    }
}
