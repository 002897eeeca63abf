//! One directory checked, as `check` and `watch` do it: the options, the findings, and which of them are suppressed.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use common::accounts::AccountTable;
use common::duration::parse_whole_days;
use common::finding::{Finding, Severity};
use common::pki::{self, CrlLimitArgs, LoadOptions, Owner, Passphrase, PassphraseArgs, Profile, Role, rule};
use common::record::certck as record;
use common::report::{End, Totals};
use rustls::pki_types::ServerName;
use time::OffsetDateTime;

use crate::crl_store;
use crate::reader::DirectoryReaderUser;
use crate::suppressions::Suppressions;

/// The options of a check.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct CheckOptions {
    /// Kind of directory
    #[arg(long, value_enum, default_value_t, value_name = "ROLE")]
    role: RoleChoice,
    /// Name or address for which a server's certificate must be valid; may be repeated
    #[arg(long = "host", value_name = "NAME", value_parser = parse_host)]
    pub(crate) hosts: Vec<String>,
    /// Warn of certificates and CRLs that expire within N days [default: 30, or the last third of their validity if that
    /// is shorter]
    #[arg(long, value_name = "N", value_parser = parse_whole_days)]
    warn_days: Option<u32>,
    /// Strictness: compat for old and new peers; strict also requires what RFC 5280 obliges CAs to, and makes warnings errors
    #[arg(long, value_enum, default_value_t)]
    profile: Profile,
    /// User who runs the program, by name or number: the required owner of the directories and files besides root, who
    /// must be able to read them [default: the user who runs certck; for root, the owner of each directory]
    #[arg(long, value_name = "USER", value_parser = parse_user)]
    owner: Option<u32>,
    /// Ignore the findings that FILE lists, each with a reason and an expiry date
    #[arg(long, value_name = "FILE")]
    pub(crate) suppress: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) crl_limit: CrlLimitArgs,
    #[command(flatten)]
    pub(crate) passphrase: PassphraseArgs,
}

/// Parses a name that the TLS library can compare with a certificate.
pub(crate) fn parse_host(text: &str) -> Result<String, String> {
    let good = ServerName::try_from(text).map(|_| text.to_owned());
    good.map_err(|_| "expected a DNS name or an IP address".to_owned())
}

fn parse_user(text: &str) -> Result<u32, String> {
    AccountTable::load(Path::new("/")).uid_of(text).ok_or_else(|| "unknown user: give the number".to_owned())
}

/// The values of `--role`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleChoice {
    /// Detected from the files in the directory
    #[default]
    Auto,
    /// A daemon's directory
    Server,
    /// A client's directory
    Client,
    /// An authority's directory, with its ca.key
    Ca,
}

impl RoleChoice {
    /// Decides for one directory. One without any of the files counts as a server's, whose files are then reported as
    /// missing.
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
            Self::Auto if lies("tls.crt") || lies("tls.key") => {
                DirectoryPurpose::Serving(crl_store::role_of_secret(dir))
            }
            Self::Auto => DirectoryPurpose::Serving(Role::Server),
        }
    }
}

/// The purpose of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DirectoryPurpose {
    /// A server or client.
    Serving(Role),
    /// An authority.
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

/// Checks directories with the same options, time and suppressions.
pub(crate) struct DirectoryChecker<'a> {
    pub(crate) demands: &'a CheckOptions,
    pub(crate) at: OffsetDateTime,
    pub(crate) passphrase: Option<&'a Passphrase>,
    pub(crate) suppressions: &'a Suppressions,
}

impl DirectoryChecker<'_> {
    /// Checks one directory.
    pub(crate) fn check_directory(&self, dir: PathBuf) -> CheckedDirectory {
        let options = LoadOptions {
            at: self.at,
            hosts: &self.demands.hosts,
            warn_days: self.demands.warn_days,
            max_crl_bytes: self.demands.crl_limit.max_crl_bytes,
            profile: self.demands.profile,
            passphrase: self.passphrase,
            owner: match self.demands.owner {
                Some(uid) => Owner::User(uid),
                // Root checks for other users, whose daemons start with the directories.
                None if rustix::process::geteuid().is_root() => Owner::Directory,
                None => Owner::Process,
            },
        };
        let role = self.demands.role.decide_purpose(&dir);
        let inspection = match role {
            DirectoryPurpose::Serving(Role::Server)
                if self.demands.role == RoleChoice::Auto && holds_no_certificates(&dir) =>
            {
                inspect_other_directory(&dir)
            }
            DirectoryPurpose::Serving(role) => pki::inspect_directory(&dir, role, &options),
            DirectoryPurpose::Authority => pki::inspect_authority(&dir, &options),
        };
        let mut findings = inspection.findings;
        if let (Some(uid), DirectoryPurpose::Serving(role)) = (self.demands.owner, role) {
            let layout = role.layout_of(|name| dir.join(name).symlink_metadata().is_ok());
            findings.extend(DirectoryReaderUser::new(uid).find_unreadable(&dir, &layout.file_names()));
        }
        let readable = !findings.iter().any(|f| f.rule == rule::DIRECTORY.id);
        // That a directory cannot be read is a failure, which is not suppressed.
        let suppressed = if readable { self.suppressions.take_suppressed(&mut findings) } else { Vec::new() };
        CheckedDirectory { dir, role, readable, findings, suppressed, expiries: inspection.expiries }
    }
}

/// The names of directories below that look like those of `certck mint` and `mint leaf`.
fn minted_dirs_below(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().take(1000);
    let directories = entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
    let names = directories.filter_map(|e| e.file_name().into_string().ok());
    let mut names: Vec<_> = names.filter(|name| name == "ca" || name.ends_with("_certs")).collect();
    names.sort_unstable();
    names
}

/// Whether a directory has none of the files of a certificate directory.
fn holds_no_certificates(dir: &Path) -> bool {
    let layout = Role::Server.layout().file_names().into_iter();
    let mut names = layout.chain(["ca.key", "tls.crt", "tls.key"]);
    dir.read_dir().is_ok() && names.all(|name| dir.join(name).symlink_metadata().is_err())
}

/// The finding for a directory that is no certificate directory, in place of those about its mode and each of its files:
/// it is of another kind, such as /etc/ssl/certs, or holds certificate directories.
fn inspect_other_directory(dir: &Path) -> pki::Inspection {
    let below = minted_dirs_below(dir).join(", ");
    let finding = rule::MISSING_FILE.at(dir).expected("a certificate directory");
    let finding = if below.is_empty() {
        let names = Role::Server.layout().file_names().join(", ");
        finding
            .found(format!("none of the files of a certificate directory: {names}, or those of a client"))
            .fix("name the directory that holds them; `certck mint` and `certck mint leaf` make one")
    } else {
        finding
            .found(format!("no certificates, only the directories {below}"))
            .fix("name the directories below it, or use -r")
    };
    pki::Inspection { findings: vec![finding], dir: None, expiries: Vec::new() }
}

/// The result of checking one directory.
pub(crate) struct CheckedDirectory {
    pub(crate) dir: PathBuf,
    pub(crate) role: DirectoryPurpose,
    /// Whether it could be checked. If not, the only finding says why.
    pub(crate) readable: bool,
    /// The findings that count.
    pub(crate) findings: Vec<Finding>,
    /// The findings that are suppressed.
    pub(crate) suppressed: Vec<Finding>,
    pub(crate) expiries: Vec<pki::Expiry>,
}

impl CheckedDirectory {
    /// Whether a daemon or client would start with it, whatever is suppressed.
    pub(crate) fn is_valid(&self) -> bool {
        self.findings.iter().chain(&self.suppressed).all(|f| f.severity < Severity::Error)
    }

    /// Counts the findings of one severity, without suppressed ones.
    pub(crate) fn count_of(&self, severity: Severity) -> u64 {
        self.findings.iter().filter(|f| f.severity == severity).count() as u64
    }
}

/// Counts over the directories checked so far.
#[derive(Default)]
pub(crate) struct CheckTally {
    pub(crate) summary: record::Summary,
    /// The number of servers' directories, and one of another kind: `--host` applies to servers only.
    servers: u64,
    others: Option<PathBuf>,
}

impl CheckTally {
    /// Counts one directory, unless it could not be checked: such a one is among the errors.
    pub(crate) fn count_directory(&mut self, checked: &CheckedDirectory) {
        if !checked.readable {
            return;
        }
        match checked.role {
            DirectoryPurpose::Serving(Role::Server) => self.servers += 1,
            _ => _ = self.others.get_or_insert_with(|| checked.dir.clone()),
        }
        self.summary.checked += 1;
        self.summary.failed += u64::from(checked.count_of(Severity::Error) > 0);
        self.summary.findings_error += checked.count_of(Severity::Error);
        self.summary.findings_warning += checked.count_of(Severity::Warning);
        self.summary.findings_note += checked.count_of(Severity::Note);
        self.summary.suppressed += checked.suppressed.len() as u64;
    }

    /// A directory to which `--host` does not apply though it was given, and whether it applied to none.
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
    fn the_role_follows_from_the_file_names() {
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
