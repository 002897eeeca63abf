//! The names of the daemon and its options, as command lines and flag files give them.

/// The daemon, and the one that it replaces.
pub(super) const DAEMON_NAMES: [&str; 2] = ["profd", "dynolog"];

/// An option of the daemon: dashes and underscores are the same, and so are `--a=b` and `--a b`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DaemonOption {
    pub(super) name: String,
    pub(super) value: Option<String>,
    /// The file that holds it, such as `flag file /etc/x`.
    pub(super) file: Option<String>,
    /// The value is not known.
    pub(super) unknown: bool,
}

impl DaemonOption {
    /// Where it stands, as the end of a text; nothing for the command line.
    pub(super) fn place(&self) -> String {
        self.file.as_ref().map(|file| format!(" (in the {file})")).unwrap_or_default()
    }
}
