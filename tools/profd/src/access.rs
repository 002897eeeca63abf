//! The rules file in use: read at the start and again when it changes, and the rates of requests that it limits.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use common::fsat;
use common::text::without_error_numbers;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::sleep;

use crate::core::access::AccessRules;
use crate::core::accounts::Accounts;
use crate::file_stamp::FileStamp;
use crate::option_file::open_through_links;
use crate::plan::rules::parse_rules;
use crate::shutdown::{DaemonPhase, ShutdownWatch};
use crate::state::{DaemonState, RulesState};

/// How often the file is checked for changes.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// Maximum size of the file in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Maximum number of clients whose rate is known. When it is reached, those without a request in the last minute are
/// removed, and if there are none, all.
const MAX_CLIENTS: usize = 16_384;

/// The rules in use.
#[derive(Debug)]
pub(crate) struct AccessControl {
    file: Option<PathBuf>,
    /// The stamp of the file before it was read at the start.
    first_stamp: Option<FileStamp>,
    rules: RwLock<Arc<AccessRules>>,
    /// Whether clients have certificates.
    has_tls: bool,
    /// The requests that each client may send at once, by fingerprint or address.
    allowances: Mutex<HashMap<String, Allowance>>,
}

#[derive(Clone, Copy, Debug)]
struct Allowance {
    requests: f64,
    at: Instant,
}

impl AccessControl {
    /// Reads the rules file; without one every client may do everything. `has_tls`: clients have certificates.
    ///
    /// # Errors
    /// The file cannot be read, others may write it, or it is invalid.
    pub(crate) fn load(file: Option<&Path>, accounts: &Accounts, has_tls: bool) -> anyhow::Result<Self> {
        // Taken before the file is read, so that a change in between is seen as one.
        let first_stamp = file.and_then(FileStamp::of);
        let rules = match file {
            Some(path) => read_rules(path, accounts, has_tls)?,
            None => AccessRules::default(),
        };
        Ok(Self {
            file: file.map(Path::to_owned),
            first_stamp,
            rules: RwLock::new(Arc::new(rules)),
            has_tls,
            allowances: Mutex::default(),
        })
    }

    /// Returns the rules for the next request.
    pub(crate) fn rules(&self) -> Arc<AccessRules> {
        self.rules.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes one request from the allowance of a client.
    ///
    /// # Errors
    /// After which time there is one again.
    pub(crate) fn take_request(&self, client: &str, per_minute: u32, now: Instant) -> Result<(), Duration> {
        let (full, per_second) = (f64::from(per_minute), f64::from(per_minute) / 60.0);
        let mut allowances = self.allowances.lock().unwrap_or_else(PoisonError::into_inner);
        if allowances.len() >= MAX_CLIENTS && !allowances.contains_key(client) {
            // After a minute an allowance is full again, as that of a client that is not known.
            allowances.retain(|_, a| now.saturating_duration_since(a.at) < Duration::from_secs(60));
            if allowances.len() >= MAX_CLIENTS {
                allowances.clear();
            }
        }
        let allowance = allowances.entry(client.to_owned()).or_insert(Allowance { requests: full, at: now });
        let refilled = now.saturating_duration_since(allowance.at).as_secs_f64() * per_second;
        *allowance = Allowance { requests: (allowance.requests + refilled).min(full), at: now };
        if allowance.requests < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - allowance.requests) / per_second));
        }
        allowance.requests -= 1.0;
        Ok(())
    }

    /// Reads the file again whenever it changes, until the daemon stops.
    pub(crate) async fn watch_file(self: Arc<Self>, state: Arc<DaemonState>, mut shutdown: ShutdownWatch) {
        let Some(path) = self.file.clone() else { return };
        state.note_rules(RulesState::InUse);
        let mut seen = self.first_stamp;
        loop {
            tokio::select! {
                () = shutdown.reached(DaemonPhase::Draining) => return,
                () = sleep(CHECK_INTERVAL) => {}
            }
            let (access, reader, at) = (self.clone(), state.clone(), path.clone());
            let look = tokio::task::spawn_blocking(move || {
                let now = FileStamp::of(&at);
                if now != seen {
                    access.reload(&at, &reader);
                }
                now
            });
            seen = look.await.unwrap_or(seen);
        }
    }

    fn reload(&self, path: &Path, state: &DaemonState) {
        match read_rules(path, &state.accounts(), self.has_tls) {
            Ok(rules) => {
                *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
                state.log.notice(path.display(), "access rules reloaded: the file has changed");
                state.note_rules(RulesState::InUse);
            }
            Err(e) => {
                state.log.error(path.display(), format_args!("the former access rules stay in use: {e:#}"));
                let at = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
                state.note_rules(RulesState::Former { at, reason: without_error_numbers(&format!("{e:#}")) });
            }
        }
    }
}

fn read_rules(path: &Path, accounts: &Accounts, has_tls: bool) -> anyhow::Result<AccessRules> {
    let read = || {
        let (file, meta) = open_through_links(path)?;
        fsat::require_trusted(&meta)?;
        let text = String::from_utf8(fsat::read_bounded(file, MAX_BYTES)?)?;
        let rules = parse_rules(&text, accounts).map_err(|e| anyhow!(e))?;
        rules.check_clients(has_tls).map_err(|e| anyhow!(e))?;
        anyhow::Ok(rules)
    };
    read().with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    const RULES: &str = "version = 1\n[[rule]]\nname = \"all\"\nplain = true\nallow = [\"read\"]\n";

    fn write(path: &Path, text: &str, mode: u32) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_file_that_others_can_write_is_rejected() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rules.toml");
        let load = || AccessControl::load(Some(&path), &Accounts::default(), false);
        assert!(load().is_err());
        write(&path, RULES, 0o666);
        assert!(load().is_err());
        write(&path, RULES, 0o640);
        assert!(load().unwrap().rules().find(None).is_ok());
        write(&path, "version = 1\nrule = 7\n", 0o640);
        let e = format!("{:#}", load().unwrap_err());
        assert!(e.starts_with(&format!("{}: 2:", path.display())), "{e}");
    }

    #[test]
    fn a_file_of_rules_for_other_clients_than_there_are_is_rejected() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rules.toml");
        write(&path, RULES, 0o640);
        let load = |has_tls| AccessControl::load(Some(&path), &Accounts::default(), has_tls);
        assert!(load(false).is_ok());
        let e = format!("{:#}", load(true).unwrap_err());
        assert!(e.contains("no rule is for clients with a certificate"), "{e}");
        write(&path, &RULES.replace("plain = true", "issuer = [\"CN=CA\"]"), 0o640);
        assert!(load(true).is_ok());
        let e = format!("{:#}", load(false).unwrap_err());
        assert!(e.contains("no rule has plain = true"), "{e}");
    }

    #[test]
    fn the_table_of_rates_is_bounded() {
        let access = AccessControl::load(None, &Accounts::default(), false).unwrap();
        let start = Instant::now();
        for n in 0..=2 * MAX_CLIENTS {
            access.take_request(&n.to_string(), 30, start).unwrap();
        }
        assert!(access.allowances.lock().unwrap().len() <= MAX_CLIENTS);
    }

    #[test]
    fn requests_beyond_the_rate_wait_for_their_time() {
        let access = AccessControl::load(None, &Accounts::default(), false).unwrap();
        let start = Instant::now();
        for _ in 0..30 {
            access.take_request("a", 30, start).unwrap();
        }
        assert_eq!(access.take_request("a", 30, start), Err(Duration::from_secs(2)));
        assert_eq!(access.take_request("b", 30, start), Ok(()));
        assert_eq!(access.take_request("a", 30, start + Duration::from_secs(2)), Ok(()));
    }
}
