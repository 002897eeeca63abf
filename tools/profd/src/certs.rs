//! The certificates that the daemon serves with: loaded at the start, and again when their directory changes.
//!
//! A directory that would be refused at the start does not replace the one in use: the daemon goes on with what it
//! has, and logs and reports the reason. Only newer CRLs are taken from it one by one, whatever else is wrong there:
//! a revocation makes the daemon stricter and must not wait for the mode of another file to be fixed. Connections
//! that are open stay as they are.

use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context, bail};
use common::finding::hex;
use common::out::Out;
use common::pki::{Crl, LoadError, LoadOptions, MtlsDir, Passphrase, Role, format_utc};
use common::policy::shell_quote;
use common::rpc::message::{CertificateStatus, CrlStatus, ReloadFailure};
use rustls::ServerConfig;
use time::OffsetDateTime;
use tokio::time::{Instant, sleep};

use crate::config::Tls;
use crate::daemon::report;
use crate::log::Log;
use crate::shutdown::{Hangups, Phase, Shutdown};

/// How often the directory is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// How many looks in a row may find other changes before the directory is loaded all the same: 8 s.
const PATIENCE: u32 = 16;

/// How often a directory that could not be loaded is tried again: what is not valid yet becomes valid without any
/// file changing.
const RETRY: Duration = Duration::from_secs(10);

/// See the module.
pub(crate) struct Certs {
    tls: Tls,
    config: RwLock<Arc<ServerConfig>>,
    /// What is served with: a successor must not know less of who is revoked.
    served: Mutex<MtlsDir>,
    /// For clients that ask. Never locked while anything is read or verified.
    state: Mutex<State>,
    /// The files when they were loaded at the start.
    at_start: (DirStamp, Option<FileStamp>),
}

/// What is in use since when, and what became of the last reload.
struct State {
    loaded_at: String,
    /// Each CRL with its thisUpdate, in seconds since 1970.
    crls: Vec<(i64, CrlStatus)>,
    reload_failure: Option<ReloadFailure>,
}

/// Why the directory is loaded again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Changed,
    Hangup,
    Retry,
}

impl fmt::Debug for Certs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certs").field("dir", &self.tls.dir).finish_non_exhaustive()
    }
}

impl Certs {
    /// Loads them; `None` if they must not serve: the findings are printed then.
    pub(crate) fn load(tls: &Tls, out: &mut Out) -> anyhow::Result<Option<Arc<Self>>> {
        // Taken before the files are read: a change in between is seen as one.
        let at_start = (DirStamp::of(&tls.dir), crl_stamp(&tls.dir));
        let dir = match open(tls, passphrase(tls)?.as_ref()) {
            Ok(dir) => dir,
            Err(e) => {
                report(e.findings(), out);
                out.error(tls.dir.display(), "refusing to start: certificate validation failed");
                out.diag().help(format_args!("certck check {}", shell_quote(&tls.dir)));
                return Ok(None);
            }
        };
        report(dir.warnings(), out);
        let config = Arc::new(dir.server_config(tls.min)?);
        let state = State { loaded_at: now(), crls: crl_states(&dir), reload_failure: None };
        Ok(Some(Arc::new(Self {
            tls: tls.clone(),
            config: RwLock::new(config),
            served: Mutex::new(dir),
            state: Mutex::new(state),
            at_start,
        })))
    }

    /// The TLS configuration for the next connection.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is in use, and why the last reload failed.
    pub(crate) fn status(&self) -> CertificateStatus {
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let state = lock(&self.state);
        let aged =
            |(made, crl): &(i64, CrlStatus)| CrlStatus { age_s: now.saturating_sub(*made), ..crl.clone() };
        CertificateStatus {
            loaded_at: state.loaded_at.clone(),
            crls: state.crls.iter().map(aged).collect(),
            reload_failure: state.reload_failure.clone(),
        }
    }

    /// Loads them again when they change or SIGHUP asks for it, until the daemon ends.
    pub(crate) async fn keep(self: Arc<Self>, mut hangups: Hangups, log: Log, mut shutdown: Shutdown) {
        let (mut loaded, mut crl_seen) = self.at_start.clone();
        let mut before = loaded.clone();
        let mut unsettled = 0;
        let mut tried_at = Instant::now();
        loop {
            let asked = tokio::select! {
                () = shutdown.reached(Phase::Draining) => return,
                () = hangups.next() => true,
                () = sleep(LOOK) => false,
            };
            let retry = lock(&self.state).reload_failure.is_some() && tried_at.elapsed() >= RETRY;
            // A CRL is verified by its signature, so it need not wait until the directory settles.
            let crl_now = crl_stamp(&self.tls.dir);
            if asked || retry || crl_now != crl_seen {
                self.in_background(&log, |certs, log| certs.take_newer_crls(log)).await;
                crl_seen = crl_now;
            }
            // Files that are being copied one by one are left alone until they stop changing.
            let now = DirStamp::of(&self.tls.dir);
            let changed = now != loaded;
            unsettled = if changed && now != before { unsettled + 1 } else { 0 };
            before.clone_from(&now);
            let cause = match () {
                () if asked => Cause::Hangup,
                () if changed && (unsettled == 0 || unsettled > PATIENCE) => Cause::Changed,
                () if retry => Cause::Retry,
                () => continue,
            };
            self.in_background(&log, move |certs, log| certs.reload(cause, log)).await;
            (loaded, unsettled, tried_at) = (now, 0, Instant::now());
        }
    }

    async fn in_background(self: &Arc<Self>, log: &Log, work: impl FnOnce(&Self, &Log) + Send + 'static) {
        let (certs, log) = (self.clone(), log.clone());
        let _ = tokio::task::spawn_blocking(move || work(&certs, &log)).await;
    }

    /// Takes each CRL of the directory that is newer than the one in use, whatever else is wrong there.
    fn take_newer_crls(&self, log: &Log) {
        let path = self.tls.dir.join(Role::Server.layout().crl);
        let mut served = lock(&self.served);
        // A file that is missing or unreadable changes nothing; the reload reports it.
        let Ok(update) = served.read_newer_crls(OffsetDateTime::now_utc()) else { return };
        for reason in &update.declined {
            log.detail(path.display(), format_args!("not taken: {reason}"));
        }
        let Some(dir) = update.dir else { return };
        match dir.server_config(self.tls.min) {
            Ok(config) => {
                self.serve(config, &dir);
                *served = dir;
                for crl in &update.taken {
                    let (number, revoked) = (number(crl), crl.revoked.len());
                    log.notice(
                        path.display(),
                        format_args!("CRL {number} by {} is in force: {revoked} revoked", crl.issuer),
                    );
                }
            }
            Err(e) => log.error(path.display(), format_args!("the former CRLs stay in use: {e:#}")),
        }
    }

    /// What is there now, if it may replace what is in use.
    fn successor(&self, served: &MtlsDir) -> anyhow::Result<(ServerConfig, MtlsDir)> {
        let dir = open(&self.tls, passphrase(&self.tls)?.as_ref())?;
        if let Some(why) = dir.explain_lost_revocations(served) {
            bail!("{why}: whom it revokes would be served again (a restart takes it all the same)");
        }
        Ok((dir.server_config(self.tls.min)?, dir))
    }

    fn reload(&self, cause: Cause, log: &Log) {
        let subject = self.tls.dir.display();
        let mut served = lock(&self.served);
        match self.successor(&served) {
            Ok((config, dir)) => {
                self.serve(config, &dir);
                let mut state = lock(&self.state);
                (state.loaded_at, state.reload_failure) = (now(), None);
                drop(state);
                let why = match cause {
                    Cause::Changed => "they changed",
                    Cause::Hangup => "SIGHUP",
                    Cause::Retry => "they are valid now",
                };
                log.notice(&subject, format_args!("certificates reloaded: {why}"));
                for finding in dir.warnings() {
                    log.notice(&finding.path, finding.reason());
                }
                *served = dir;
            }
            Err(e) => {
                let reason = format!("{e:#}");
                let mut state = lock(&self.state);
                let known = state.reload_failure.as_ref().is_some_and(|f| f.reason == reason);
                if !known || cause == Cause::Hangup {
                    log.error(
                        &subject,
                        format_args!("reload failed, the former certificates stay in use: {reason}"),
                    );
                }
                state.reload_failure = Some(ReloadFailure { at: now(), reason });
            }
        }
    }

    /// The next connection is served with this.
    fn serve(&self, config: ServerConfig, dir: &MtlsDir) {
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
        lock(&self.state).crls = crl_states(dir);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now() -> String {
    format_utc(OffsetDateTime::now_utc().unix_timestamp())
}

fn number(crl: &Crl) -> String {
    crl.number.as_ref().map_or_else(|| "without a number".to_owned(), |n| hex(&n.value))
}

/// The CRLs of a directory for the status, each with its thisUpdate.
fn crl_states(dir: &MtlsDir) -> Vec<(i64, CrlStatus)> {
    let state = |crl: Crl| {
        let status = CrlStatus {
            issuer: crl.issuer.to_string(),
            number: crl.number.as_ref().map(|n| hex(&n.value)),
            this_update: crl.this_update.to_string(),
            next_update: crl.next_update.map(|t| t.to_string()),
            age_s: 0,
            revoked: crl.revoked.len() as u64,
        };
        (crl.this_update.unix, status)
    };
    dir.crls().map(state).collect()
}

/// Read whenever it is needed, and kept no longer.
fn passphrase(tls: &Tls) -> anyhow::Result<Option<Passphrase>> {
    let read = |path: &Path| Passphrase::read_file(path).with_context(|| path.display().to_string());
    tls.passphrase_file.as_deref().map(read).transpose()
}

fn open(tls: &Tls, passphrase: Option<&Passphrase>) -> Result<MtlsDir, LoadError> {
    MtlsDir::load(&tls.dir, Role::Server, &LoadOptions { passphrase, ..LoadOptions::now() })
}

/// What tells a changed file from the one before: device, inode, size, and the time of the last change in seconds and
/// nanoseconds.
type FileStamp = (u64, u64, u64, i64, i64);

fn stamp(meta: &Metadata) -> FileStamp {
    (meta.dev(), meta.ino(), meta.size(), meta.ctime(), meta.ctime_nsec())
}

/// The CRL's file; where it is a symbolic link, what that leads to.
fn crl_stamp(dir: &Path) -> Option<FileStamp> {
    let path = dir.join(Role::Server.layout().crl);
    path.metadata().ok().map(|meta| stamp(&meta))
}

/// Each file that belongs into the directory, and the directory itself; `None` for one that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct DirStamp(Vec<Option<FileStamp>>);

impl DirStamp {
    fn of(dir: &Path) -> Self {
        let names = Role::Server.layout().file_names();
        let files = names.iter().map(|name| dir.join(name)).chain([dir.to_owned()]);
        Self(files.map(|path| path.symlink_metadata().ok().map(|meta| stamp(&meta))).collect())
    }
}
