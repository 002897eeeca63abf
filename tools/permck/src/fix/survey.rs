//! Determines which service accounts would lose access, before root tightens anything.
//!
//! A service account is one that a process runs as now, or that a unit of systemd names as its user. It reaches
//! entries that it does not own by the permissions of their group, of others, or of an ACL that names it.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use common::accounts::AccountTable;
use common::policy::Mode;
use common::walk::{OpenDirectory, Reach};
use rustix::io::Errno;

use super::{admits_root, fixable_rules, planned_mode, removes_acl};
use crate::inspect::IssueSink;
use crate::plan::{AuditIssue, AuditRoot};
use crate::rule::{AuditedEntry, RuleContext};

/// Where units of systemd lie (systemd.unit(5), "UNIT FILE LOAD PATH").
const UNIT_DIRS: [&str; 4] =
    ["/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];

/// An account that a service runs as.
#[derive(Clone, Debug)]
pub(crate) struct ServiceAccount {
    uid: u32,
    groups: Vec<u32>,
    known_by: AccountSource,
}

/// The evidence that a service runs as an account: a process is more certain than a unit, which may not be started.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum AccountSource {
    /// A process of this name runs as it.
    Process(String),
    /// A unit of this name has it as its user.
    Unit(String),
}

impl std::fmt::Display for AccountSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Process(name) => write!(f, "runs {name}"),
            Self::Unit(name) => write!(f, "user of {name}"),
        }
    }
}

/// The accounts of services, and which of them would lose access to what.
pub(crate) struct AccessSurvey<'a> {
    context: &'a RuleContext,
    /// The same for a run that removes write permissions only.
    write_only: RuleContext,
    system: bool,
    accounts: Vec<ServiceAccount>,
    losses: Mutex<BTreeMap<usize, AccessLoss>>,
}

struct AccessLoss {
    entries: u64,
    first: PathBuf,
    /// Whether it loses more than the permissions of umask 022: what an ACL grants it.
    beyond_write: bool,
}

/// The accounts that would lose access.
#[derive(Debug)]
pub(crate) struct AccessLosses {
    /// Who would lose access to how much.
    pub(crate) description: String,
    /// The names of the accounts, or their numbers.
    pub(crate) accounts: Vec<String>,
    /// Whether all keep their access if only the permissions of umask 022 are removed.
    pub(crate) spared_by_umask_022: bool,
}

impl<'a> AccessSurvey<'a> {
    /// Prepares a survey for all accounts but root and those that may be locked out.
    pub(crate) fn new(context: &'a RuleContext, system: bool, may_lose: impl Fn(u32) -> bool) -> Self {
        let mut accounts = find_service_accounts(&context.accounts);
        accounts.retain(|a| a.uid != 0 && !may_lose(a.uid));
        let write_only = RuleContext { umask: Mode(0o022), strict: false, ..context.clone() };
        Self { context, write_only, system, accounts, losses: Mutex::default() }
    }

    /// The accounts that would lose access; `None` if there is none.
    pub(crate) fn into_losses(self) -> Option<AccessLosses> {
        let losses = self.losses.into_inner().unwrap_or_else(PoisonError::into_inner);
        let (_, most) = losses.iter().max_by_key(|(_, loss)| loss.entries)?;
        let user = |account: &ServiceAccount| self.context.accounts.user_name(account.uid).map(str::to_owned);
        let name = |i: &usize| {
            let account = &self.accounts[*i];
            format!(
                "{} ({})",
                user(account).unwrap_or_else(|| format!("uid {}", account.uid)),
                account.known_by
            )
        };
        let named: Vec<String> = losses.keys().map(name).collect();
        let argument = |i: &usize| {
            let account = &self.accounts[*i];
            user(account).unwrap_or_else(|| account.uid.to_string())
        };
        let accounts = losses.keys().map(argument).collect();
        let spared_by_umask_022 = !losses.values().any(|loss| loss.beyond_write);
        let (n, s) = (most.entries, if most.entries == 1 { "y" } else { "ies" });
        let description = format!(
            "{} would lose access to {n} entr{s}, such as {}",
            named.join(", "),
            common::text::safe(&most.first.to_string_lossy())
        );
        Some(AccessLosses { description, accounts, spared_by_umask_022 })
    }

    /// Returns whether the account loses permission to read, enter or execute an entry by a change that fixes these rules.
    fn loses_access(
        &self,
        account: &ServiceAccount,
        s: &AuditedEntry<'_>,
        rules: &[String],
        after: Mode,
    ) -> bool {
        let lost = s.granted_mode().0 & !after.0;
        if account.uid == s.st.stx_uid || !reaches(account, s.reach()) {
            return false;
        }
        let in_group = account.groups.contains(&s.st.stx_gid);
        // What an ACL grants the account goes with the ACL, unless its group or others keep the same.
        let kept = if in_group { after.0 >> 3 } else { after.0 };
        if removes_acl(rules) && named_bits(account, s) & !kept & 5 != 0 {
            return true;
        }
        if in_group {
            return lost & 0o050 != 0;
        }
        // Others must not read a key: it is closed to them even if a service reads it that way.
        s.secret.is_none() && lost & 0o005 != 0
    }
}

/// Returns the permissions that the ACL of an entry grants the account or its groups by name (acl(5)).
fn named_bits(account: &ServiceAccount, s: &AuditedEntry<'_>) -> u32 {
    let grants = s.xattrs.access.iter().flat_map(|acl| acl.named_grants());
    let own = grants.filter(|g| if g.group { account.groups.contains(&g.id) } else { account.uid == g.id });
    own.fold(0, |bits, grant| bits | grant.bits)
}

fn reaches(account: &ServiceAccount, reach: Reach) -> bool {
    reach.closed_by.is_none_or(|uid| uid == account.uid)
        && reach.only_group.is_none_or(|gid| account.groups.contains(&gid))
}

impl IssueSink for AccessSurvey<'_> {
    fn admit_root(&self, root: &AuditRoot) -> Result<(), String> {
        admits_root(root, self.system)
    }

    fn report_root_issues(&self, _issues: Vec<AuditIssue>) {}

    fn report_issues(
        &self,
        root: &AuditRoot,
        _dir: &OpenDirectory,
        subject: &AuditedEntry<'_>,
        issues: Vec<AuditIssue>,
    ) {
        let rules = fixable_rules(&issues);
        if rules.is_empty() {
            return;
        }
        let after = planned_mode(subject, &rules, self.context);
        let after_022 = planned_mode(subject, &rules, &self.write_only);
        for (i, account) in self.accounts.iter().enumerate() {
            if !self.loses_access(account, subject, &rules, after) {
                continue;
            }
            let mut losses = self.losses.lock().unwrap_or_else(PoisonError::into_inner);
            let loss = losses.entry(i).or_insert_with(|| AccessLoss {
                entries: 0,
                first: root.real_path(subject),
                beyond_write: false,
            });
            loss.entries += 1;
            loss.beyond_write |= self.loses_access(account, subject, &rules, after_022);
        }
    }

    /// The run that follows reports it.
    fn report_error(&self, _path: PathBuf, _error: Errno) {}
}

/// Finds the accounts that processes run as, and those that units name.
fn find_service_accounts(table: &AccountTable) -> Vec<ServiceAccount> {
    let mut found: HashMap<u32, ServiceAccount> = HashMap::new();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    for account in processes.filter_map(|entry| read_process(&entry.path())) {
        found.entry(account.uid).or_insert(account);
    }
    for dir in UNIT_DIRS {
        for unit in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let Some((name, text)) = read_unit(&unit.path()) else { continue };
            let users = text.lines().filter_map(|line| line.trim().strip_prefix("User="));
            for user in users.filter_map(|name| table.uid_of(name.trim())) {
                let groups = table.user_name(user).map(|name| table.groups_of(name)).unwrap_or_default();
                let groups = groups.into_iter().map(|(_, gid)| gid).collect();
                let account =
                    ServiceAccount { uid: user, groups, known_by: AccountSource::Unit(name.clone()) };
                found.entry(user).or_insert(account);
            }
        }
    }
    let mut accounts: Vec<_> = found.into_values().collect();
    accounts.sort_by_key(|a| (matches!(a.known_by, AccountSource::Unit(_)), a.uid));
    accounts
}

/// Reads the account of a process from `/proc/PID/status` (proc_pid_status(5)): its effective ids and its groups.
fn read_process(dir: &Path) -> Option<ServiceAccount> {
    let status = std::fs::read_to_string(dir.join("status")).ok()?;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    let numbers = |name: &str| -> Vec<u32> {
        field(name).unwrap_or_default().split_whitespace().filter_map(|n| n.parse().ok()).collect()
    };
    let uid = *numbers("Uid:").get(1)?;
    let mut groups = numbers("Groups:");
    groups.extend(numbers("Gid:").get(1));
    Some(ServiceAccount { uid, groups, known_by: AccountSource::Process(field("Name:")?.trim().to_owned()) })
}

fn read_unit(path: &Path) -> Option<(String, String)> {
    const MAX_UNIT_SIZE: u64 = 1 << 20;
    let name = path.file_name()?.to_str().filter(|name| name.ends_with(".service"))?;
    let file = std::fs::File::open(path).ok()?;
    let text = common::fsat::read_bounded(file, MAX_UNIT_SIZE).ok()?;
    Some((name.to_owned(), String::from_utf8(text).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names every account that would lose access.
    #[test]
    fn every_account_that_would_lose_access_is_named() {
        let context = RuleContext::default();
        let account = |uid| ServiceAccount {
            uid,
            groups: Vec::new(),
            known_by: AccountSource::Process(format!("daemon{uid}")),
        };
        let accounts: Vec<_> = (4101..4109).map(account).collect();
        let loss = |i| {
            let first = PathBuf::from(format!("/srv/{i}"));
            (i, AccessLoss { entries: i as u64 + 1, first, beyond_write: i == 3 })
        };
        let losses = Mutex::new((0..accounts.len()).map(loss).collect());
        let write_only = context.clone();
        let survey = AccessSurvey { context: &context, write_only, system: false, accounts, losses };
        let losses = survey.into_losses().unwrap();
        assert!(!losses.spared_by_umask_022 && losses.accounts.len() == 8);
        let text = losses.description;
        (4101..4109)
            .for_each(|uid| assert!(text.contains(&format!("uid {uid} (runs daemon{uid})")), "{text}"));
        assert!(text.ends_with("would lose access to 8 entries, such as /srv/7"), "{text}");
    }
}
