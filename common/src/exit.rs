//! Exit statuses, the same for every tool.

/// The exit status of a tool. Worse statuses compare greater, so `max` combines them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// 0: it was done, and all is well.
    #[default]
    Ok = 0,
    /// 1: it was done, and the answer is no: findings, a refusal, nothing matched.
    No = 1,
    /// 2: it could not be done: bad usage, an unreadable input, an unreachable host.
    Failed = 2,
    /// 3: only with `--format nagios`, whose statuses are those of monitoring plug-ins: it is not known.
    Unknown = 3,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The EXIT STATUS section of every manual page: status and meaning.
pub const MEANINGS: [(Exit, &str); 3] = [
    (Exit::Ok, "It was done, and all is well."),
    (
        Exit::No,
        "It was done, and the answer is no: findings, a request that was declined or rejected, nothing that matched.",
    ),
    (
        Exit::Failed,
        "It could not be done, or not all of it: bad usage, an unreadable file, an unreachable host.",
    ),
];

/// The addition to the EXIT STATUS section for a command that has `--format nagios`.
pub const PLUGIN: &str = "With --format nagios, the statuses are those of monitoring plug-ins: 0 all is well, 1 warnings, \
2 errors, 3 it could not be found out. A mistake in the command line is 2 all the same.";
