//! One directory judged, as `check` and `watch` do it: what is demanded, what was found, and what of it counts.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use common::finding::{Finding, Severity};
use common::pki::{self, LoadOptions, Owner, Passphrase, PassphraseArgs, Profile, Role, rule};
use common::record::certck as record;
use common::report::{End, Totals};
use rustls::pki_types::ServerName;
use time::OffsetDateTime;

use crate::suppress::Suppressions;

/// What a directory is held to.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct CheckOptions {
    /// What the directories are for
    #[arg(long, value_enum, default_value_t, value_name = "ROLE")]
    role: RoleChoice,
    /// Name or address that a server's certificate must be good for; may be repeated
    #[arg(long = "host", value_name = "NAME", value_parser = parse_host)]
    pub(crate) hosts: Vec<String>,
    /// Warn of a validity that ends within so many days, at most within its last third
    #[arg(long, value_name = "N", default_value_t = 30)]
    warn_days: u32,
    /// How much is demanded
    #[arg(long, value_enum, default_value_t)]
    profile: Profile,
    /// Whose the directories must be, besides root's: the user whose program starts with them, by name or number
    /// [default: who runs certck; for root, who owns each directory]
    #[arg(long, value_name = "USER", value_parser = parse_user)]
    owner: Option<u32>,
    /// Do not count the findings that FILE lists with a reason and an end date
    #[arg(long, value_name = "FILE")]
    pub(crate) suppress: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) passphrase: PassphraseArgs,
}

/// What the TLS library can compare with a certificate.
pub(crate) fn parse_host(text: &str) -> Result<String, String> {
    let good = ServerName::try_from(text).map(|_| text.to_owned());
    good.map_err(|_| "expected a DNS name or an IP address".to_owned())
}

fn parse_user(text: &str) -> Result<u32, String> {
    crate::users::find_uid(text).ok_or_else(|| "no such user: give the number".to_owned())
}

/// What `--role` can be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleChoice {
    /// Told by the files in the directory
    #[default]
    Auto,
    /// A daemon's
    Server,
    /// A client's
    Client,
    /// An authority's, with its ca.key
    Ca,
}

impl RoleChoice {
    /// Decides for one directory. Nothing to go by counts as a server's, whose missing files are then reported.
    fn decide_purpose(self, dir: &Path) -> DirectoryPurpose {
        let lies = |name: &str| dir.join(name).symlink_metadata().is_ok();
        let has = |role: Role| [role.layout().leaf, role.layout().key].into_iter().any(lies);
        match self {
            Self::Server => DirectoryPurpose::Serving(Role::Server),
            Self::Client => DirectoryPurpose::Serving(Role::Client),
            Self::Ca => DirectoryPurpose::Authority,
            Self::Auto if has(Role::Server) => DirectoryPurpose::Serving(Role::Server),
            Self::Auto if has(Role::Client) => DirectoryPurpose::Serving(Role::Client),
            Self::Auto if lies("ca.key") || lies("issued.jsonl") => DirectoryPurpose::Authority,
            Self::Auto => DirectoryPurpose::Serving(Role::Server),
        }
    }
}

/// What a directory is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DirectoryPurpose {
    /// One end of connections.
    Serving(Role),
    /// An authority's work: nobody connects with it.
    Authority,
}

impl DirectoryPurpose {
    /// `server`, `client` or `ca`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Serving(role) => role.name(),
            Self::Authority => "ca",
        }
    }
}

/// Who judges: the demands, the time, and what is suppressed.
pub(crate) struct DirectoryChecker<'a> {
    pub(crate) demands: &'a CheckOptions,
    pub(crate) at: OffsetDateTime,
    pub(crate) passphrase: Option<&'a Passphrase>,
    pub(crate) suppressions: &'a Suppressions,
}

impl DirectoryChecker<'_> {
    /// Judges one directory.
    pub(crate) fn check_directory(&self, dir: PathBuf) -> CheckedDirectory {
        let options = LoadOptions {
            at: self.at,
            hosts: &self.demands.hosts,
            warn_days: self.demands.warn_days,
            profile: self.demands.profile,
            passphrase: self.passphrase,
            owner: match self.demands.owner {
                Some(uid) => Owner::User(uid),
                // Root checks for those whose daemons start, and is seldom one of them.
                None if rustix::process::geteuid().is_root() => Owner::Directory,
                None => Owner::Process,
            },
        };
        let role = self.demands.role.decide_purpose(&dir);
        let inspection = match role {
            DirectoryPurpose::Serving(Role::Server)
                if self.demands.role == RoleChoice::Auto && is_parent(&dir) =>
            {
                inspect_parent(&dir)
            }
            DirectoryPurpose::Serving(role) => pki::inspect_directory(&dir, role, &options),
            DirectoryPurpose::Authority => pki::inspect_authority(&dir, &options),
        };
        let mut findings = inspection.findings;
        let readable = !findings.iter().any(|f| f.rule == rule::DIRECTORY.id);
        // Nobody can live with a directory that is not there.
        let suppressed = if readable { self.suppressions.take_suppressed(&mut findings) } else { Vec::new() };
        CheckedDirectory { dir, role, readable, findings, suppressed, ends: inspection.ends }
    }
}

/// Directories below that `certck mint` would have made, or `mint leaf`.
fn minted_dirs_below(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().take(1000);
    let directories = entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
    let names = directories.filter_map(|e| e.file_name().into_string().ok());
    let mut names: Vec<_> = names.filter(|name| name == "ca" || name.ends_with("_certs")).collect();
    names.sort_unstable();
    names
}

/// Whether a directory holds certificate directories instead of certificates.
fn is_parent(dir: &Path) -> bool {
    let layout = Role::Server.layout().file_names().into_iter();
    layout.chain(["ca.key"]).all(|name| dir.join(name).symlink_metadata().is_err())
        && !minted_dirs_below(dir).is_empty()
}

/// What is said of a directory that holds others: that all files are missing would not help.
fn inspect_parent(dir: &Path) -> pki::Inspection {
    let names = minted_dirs_below(dir).join(", ");
    let finding = rule::MISSING_FILE
        .at(dir)
        .found(format!("no certificates, but the directories {names}"))
        .expected("a certificate directory")
        .fix("name those below it, or give -r");
    pki::Inspection { findings: vec![finding], dir: None, ends: Vec::new() }
}

/// What was found out about one directory.
pub(crate) struct CheckedDirectory {
    pub(crate) dir: PathBuf,
    pub(crate) role: DirectoryPurpose,
    /// Whether it could be judged at all. If not, the one finding says why: a failure, not a verdict.
    pub(crate) readable: bool,
    /// What counts.
    pub(crate) findings: Vec<Finding>,
    /// What was found and does not count.
    pub(crate) suppressed: Vec<Finding>,
    pub(crate) ends: Vec<pki::Expiry>,
}

impl CheckedDirectory {
    /// Whether a daemon or client would start with it: no suppression changes that.
    pub(crate) fn is_valid(&self) -> bool {
        self.findings.iter().chain(&self.suppressed).all(|f| f.severity < Severity::Error)
    }

    /// Findings of one severity that count.
    pub(crate) fn count_of(&self, severity: Severity) -> u64 {
        self.findings.iter().filter(|f| f.severity == severity).count() as u64
    }
}

/// What was counted so far.
#[derive(Default)]
pub(crate) struct CheckTally {
    pub(crate) summary: record::Summary,
    /// Directories by whether names are judged in them.
    servers: u64,
    others: Option<PathBuf>,
}

impl CheckTally {
    /// Counts one directory; one that could not be judged is among the errors, not here.
    pub(crate) fn count_directory(&mut self, checked: &CheckedDirectory) {
        if !checked.readable {
            return;
        }
        match checked.role {
            DirectoryPurpose::Serving(Role::Server) => self.servers += 1,
            _ => _ = self.others.get_or_insert_with(|| checked.dir.clone()),
        }
        self.summary.checked += 1;
        self.summary.refused += u64::from(checked.count_of(Severity::Error) > 0);
        self.summary.findings_error += checked.count_of(Severity::Error);
        self.summary.findings_warning += checked.count_of(Severity::Warning);
        self.summary.findings_note += checked.count_of(Severity::Note);
        self.summary.suppressed += checked.suppressed.len() as u64;
    }

    /// A directory whose names nobody judged, though names were asked for; and whether there was none in which they
    /// were.
    pub(crate) fn unchecked_hosts(&self, demands: &CheckOptions) -> Option<(&Path, bool)> {
        let other = self.others.as_deref().filter(|_| !demands.hosts.is_empty())?;
        Some((other, self.servers == 0))
    }

    pub(crate) fn report_end(&self) -> End {
        let s = &self.summary;
        let totals =
            Totals { errors: s.findings_error, warnings: s.findings_warning, notes: s.findings_note };
        End { subjects: s.checked, noun: "directories", totals, failed: s.errors, ..End::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_role_is_told_by_the_files() {
        let dir = tempfile::tempdir().unwrap();
        let decide = |choice: RoleChoice| choice.decide_purpose(dir.path()).name();
        assert_eq!(decide(RoleChoice::Auto), "server");
        std::fs::write(dir.path().join("issued.jsonl"), "").unwrap();
        assert_eq!(decide(RoleChoice::Auto), "ca");
        std::fs::remove_file(dir.path().join("issued.jsonl")).unwrap();
        std::fs::write(dir.path().join("ca.key"), "").unwrap();
        assert_eq!(decide(RoleChoice::Auto), "ca");
        std::fs::write(dir.path().join("client.key"), "").unwrap();
        assert_eq!(decide(RoleChoice::Auto), "client");
        assert_eq!((decide(RoleChoice::Server), decide(RoleChoice::Ca)), ("server", "ca"));
    }
}
