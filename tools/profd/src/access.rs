//! The rules file in use: read at the start and again when it changes, and the rates of requests that it limits.

use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use common::fsat;
use tokio::time::sleep;

use crate::core::access::AccessRules;
use crate::core::accounts::Accounts;
use crate::log::DaemonLog;
use crate::plan::rules::parse_rules;
use crate::shutdown::{DaemonPhase, ShutdownWatch};
use crate::state::DaemonState;

/// How often the file is checked for changes.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// Maximum size of the file in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Maximum number of clients whose rate is known. When it is reached, those that have not used theirs are forgotten.
const MAX_CLIENTS: usize = 16_384;

/// The rules in use.
#[derive(Debug)]
pub(crate) struct AccessControl {
    file: Option<PathBuf>,
    /// What the file was before it was read at the start.
    first_stamp: Option<FileStamp>,
    rules: RwLock<Arc<AccessRules>>,
    /// The requests that each client may send at once, by fingerprint or address.
    allowances: Mutex<HashMap<String, Allowance>>,
}

#[derive(Clone, Copy, Debug)]
struct Allowance {
    requests: f64,
    at: Instant,
}

type FileStamp = (u64, u64, u64, i64, i64);

impl AccessControl {
    /// Reads the rules file; without one every client may do everything.
    ///
    /// # Errors
    /// The file cannot be read, others may write it, or it is invalid.
    pub(crate) fn load(file: Option<&Path>, accounts: &Accounts) -> anyhow::Result<Self> {
        // Taken before the file is read, so that a change in between is seen as one.
        let first_stamp = file.and_then(stamp);
        let rules = match file {
            Some(path) => read_rules(path, accounts)?,
            None => AccessRules::default(),
        };
        Ok(Self {
            file: file.map(Path::to_owned),
            first_stamp,
            rules: RwLock::new(Arc::new(rules)),
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
            allowances.retain(|_, a| now.saturating_duration_since(a.at) < Duration::from_secs(60));
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
        let mut seen = self.first_stamp;
        loop {
            tokio::select! {
                () = shutdown.reached(DaemonPhase::Draining) => return,
                () = sleep(CHECK_INTERVAL) => {}
            }
            let (access, reader, at) = (self.clone(), state.clone(), path.clone());
            let look = tokio::task::spawn_blocking(move || {
                let now = stamp(&at);
                if now != seen {
                    access.reload(&at, &reader.accounts(), &reader.log);
                }
                now
            });
            seen = look.await.unwrap_or(seen);
        }
    }

    fn reload(&self, path: &Path, accounts: &Accounts, log: &DaemonLog) {
        match read_rules(path, accounts) {
            Ok(rules) => {
                *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
                log.notice(path.display(), "access rules reloaded: the file has changed");
            }
            Err(e) => log.error(path.display(), format_args!("the former access rules stay in use: {e:#}")),
        }
    }
}

fn read_rules(path: &Path, accounts: &Accounts) -> anyhow::Result<AccessRules> {
    let read = || {
        let (file, meta) = fsat::open_regular(path)?;
        fsat::require_trusted(&meta)?;
        let text = String::from_utf8(fsat::read_bounded(file, MAX_BYTES)?)?;
        parse_rules(&text, accounts).map_err(|e| anyhow!(e))
    };
    read().with_context(|| path.display().to_string())
}

fn stamp(path: &Path) -> Option<FileStamp> {
    let stamp = |m: Metadata| (m.dev(), m.ino(), m.size(), m.ctime(), m.ctime_nsec());
    path.metadata().ok().map(stamp)
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
        let load = || AccessControl::load(Some(&path), &Accounts::default());
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
    fn requests_beyond_the_rate_wait_for_their_time() {
        let access = AccessControl::load(None, &Accounts::default()).unwrap();
        let start = Instant::now();
        for _ in 0..30 {
            access.take_request("a", 30, start).unwrap();
        }
        assert_eq!(access.take_request("a", 30, start), Err(Duration::from_secs(2)));
        assert_eq!(access.take_request("b", 30, start), Ok(()));
        assert_eq!(access.take_request("a", 30, start + Duration::from_secs(2)), Ok(()));
    }
}
