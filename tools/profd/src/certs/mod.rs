//! The certificates of the daemon: loaded at the start, and reloaded when their directory changes.
//!
//! A directory that would be rejected at the start does not replace the one in use: the daemon keeps the former
//! certificates, and logs and reports the reason. Only newer CRLs are taken from such a directory, one by one: a
//! revocation makes the daemon stricter and must not wait until, for example, the mode of another file is fixed. After
//! each of these changes every open connection verifies its client again.
//!
//! A new trust root is not taken by a reload: a user who can write the directory could admit
//! clients of their own.

mod stamps;
mod state;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context;
use common::finding::hex;
use common::out::Out;
use common::pki::{LoadError, LoadOptions, MtlsDir, Passphrase, Role, TlsServer, format_utc, sha256};
use common::policy::shell_quote;
use common::rpc::message::{CertificateStatus, ReloadFailure};
use common::text::without_error_numbers;
use rustls::pki_types::{CertificateDer, UnixTime};
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::log::DaemonLog;
use crate::plan::TlsPlan;
use crate::shutdown::{DaemonPhase, ShutdownWatch};
use crate::signals::ReloadSignal;
use crate::startup_check::print_findings;

use stamps::{Stamps, read_stamps};
pub(crate) use state::measure_certificates;
use state::{CertificateState, format_crl_number};

/// How often the directory is checked for changes.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// How many checks in a row may find further changes before the directory is reloaded nevertheless: 8 s.
const MAX_UNSETTLED_CHECKS: u32 = 32;

/// How often a failed reload is retried: a certificate that is not yet valid becomes valid without a change of its file.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);

/// The certificates in use, and their directory.
pub(crate) struct ServerCertificates {
    tls: TlsPlan,
    server: RwLock<Arc<TlsServer>>,
    /// Changes whenever [`Self::server`] does.
    generation: watch::Sender<u64>,
    /// The directory in use. A successor must not revoke less.
    served: Mutex<MtlsDir>,
    /// For `getStatus`. Never locked while anything is read or verified.
    state: Mutex<CertificateState>,
    /// The stamps of the directory and of the CRL file from before they were loaded at the start.
    at_start: Stamps,
}

/// Why a reload failed: the text, and the part of it that does not change with the time.
struct LoadFailure {
    reason: String,
    key: String,
}

/// Why the directory is reloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReloadCause {
    /// Its files have changed.
    Changed,
    /// SIGHUP asks for it.
    Hangup,
    /// The last reload failed [`RETRY_INTERVAL`] ago.
    Retry,
}

impl fmt::Debug for ServerCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerCertificates").field("dir", &self.tls.dir).finish_non_exhaustive()
    }
}

impl ServerCertificates {
    /// Loads the certificates at the start. Returns `None` after it has printed findings that are errors.
    ///
    /// # Errors
    /// The passphrase cannot be read, or rustls does not accept the certificates.
    pub(crate) fn load(tls: &TlsPlan, out: &mut Out) -> anyhow::Result<Option<Arc<Self>>> {
        // Taken before the files are read, so that a change while they are read is noticed later.
        let at_start = read_stamps(&tls.dir);
        let dir = match load_directory(tls, read_passphrase(tls)?.as_ref()) {
            Ok(dir) => dir,
            Err(e) => {
                print_findings(e.findings(), out);
                out.error(tls.dir.display(), "refusing to start: certificate validation failed");
                out.diag().help(format_args!("certck check {}", shell_quote(&tls.dir)));
                return Ok(None);
            }
        };
        print_findings(dir.warnings(), out);
        let server = Arc::new(TlsServer::new(&dir, tls.min)?);
        if let Some(warning) = explain_missing_crl(&dir) {
            out.warn(tls.dir.display(), warning);
        }
        let state = CertificateState::new(&dir, timestamp_now());
        Ok(Some(Arc::new(Self {
            tls: tls.clone(),
            server: RwLock::new(server),
            generation: watch::channel(0).0,
            served: Mutex::new(dir),
            state: Mutex::new(state),
            at_start,
        })))
    }

    /// Returns what accepts the next connection.
    pub(crate) fn tls_server(&self) -> Arc<TlsServer> {
        self.server.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns a watch that changes whenever clients must be verified again.
    pub(crate) fn watch_changes(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// Verifies the client of an open connection again.
    ///
    /// # Errors
    /// Why its handshake would fail now.
    pub(crate) fn verify_again(&self, chain: &[CertificateDer<'_>]) -> Result<(), String> {
        self.tls_server().verify_client(chain, UnixTime::now())
    }

    /// Returns what is in use, and why the last reload failed, for `getStatus`.
    pub(crate) fn certificate_status(&self) -> CertificateStatus {
        let now = OffsetDateTime::now_utc().unix_timestamp();
        lock_mutex(&self.state).status(now)
    }

    /// Reloads the certificates when they change or SIGHUP asks for it, until the daemon stops.
    pub(crate) async fn watch_directory(
        self: Arc<Self>,
        mut reload_signal: ReloadSignal,
        log: DaemonLog,
        mut shutdown: ShutdownWatch,
    ) {
        let (mut loaded, mut crl_seen) = self.at_start.clone();
        let mut before = loaded.clone();
        let mut unsettled = 0;
        let mut tried_at = Instant::now();
        loop {
            let asked = tokio::select! {
                () = shutdown.reached(DaemonPhase::Draining) => return,
                () = reload_signal.next() => true,
                () = sleep(CHECK_INTERVAL) => false,
            };
            let retry =
                lock_mutex(&self.state).reload_failure.is_some() && tried_at.elapsed() >= RETRY_INTERVAL;
            // A directory on a file system that hangs must not hold up the requests.
            let Some((now, crl_now)) = self.stamps_in_background().await else { continue };
            self.log_problems(&log);
            // A CRL is verified by its signature, so it need not wait until the directory settles.
            if asked || retry || crl_now != crl_seen {
                self.run_in_background(&log, |certs, log| certs.take_newer_crls(log)).await;
                crl_seen = crl_now;
            }
            // While files are copied one by one, a reload would find a mixture, so it waits for a check without a change.
            let changed = now != loaded;
            unsettled = if changed && now != before { unsettled + 1 } else { 0 };
            before.clone_from(&now);
            let cause = match () {
                () if asked => ReloadCause::Hangup,
                () if changed && (unsettled == 0 || unsettled > MAX_UNSETTLED_CHECKS) => ReloadCause::Changed,
                () if retry => ReloadCause::Retry,
                () => continue,
            };
            self.run_in_background(&log, move |certs, log| certs.reload_directory(cause, log)).await;
            (loaded, unsettled, tried_at) = (now, 0, Instant::now());
        }
    }

    /// Notes that the directory was looked at, and logs the problems that are new and those that are gone.
    fn log_problems(&self, log: &DaemonLog) {
        let mut state = lock_mutex(&self.state);
        state.looked_at = Instant::now();
        let problems = state.list_problems(OffsetDateTime::now_utc().unix_timestamp());
        let before = std::mem::replace(&mut state.logged_problems, problems.clone());
        drop(state);
        let subject = self.tls.dir.display();
        for problem in problems.iter().filter(|problem| !before.contains(problem)) {
            log.error(&subject, problem);
        }
        for problem in before.iter().filter(|problem| !problems.contains(problem)) {
            log.notice(&subject, format_args!("no longer: {problem}"));
        }
    }

    /// Runs work that reads files and verifies signatures on a thread for blocking work.
    async fn run_in_background(
        self: &Arc<Self>,
        log: &DaemonLog,
        work: impl FnOnce(&Self, &DaemonLog) + Send + 'static,
    ) {
        let (certs, log) = (self.clone(), log.clone());
        let _ = tokio::task::spawn_blocking(move || work(&certs, &log)).await;
    }

    async fn stamps_in_background(self: &Arc<Self>) -> Option<Stamps> {
        let certs = self.clone();
        tokio::task::spawn_blocking(move || read_stamps(&certs.tls.dir)).await.ok()
    }

    /// Takes each CRL of the directory that is newer than the one in use, whatever else is wrong there.
    fn take_newer_crls(&self, log: &DaemonLog) {
        let path = self.tls.dir.join(Role::Server.layout().crl);
        let mut served = lock_mutex(&self.served);
        // A missing or unreadable file changes nothing here; the reload reports it.
        let Ok(update) = served.read_newer_crls(OffsetDateTime::now_utc()) else { return };
        lock_mutex(&self.state).undecided_crls = update.declined;
        let Some(dir) = update.dir else { return };
        match TlsServer::new(&dir, self.tls.min) {
            Ok(server) => {
                self.use_directory(server, &dir);
                *served = dir;
                for crl in &update.taken {
                    let (number, revoked) = (format_crl_number(crl), crl.revoked_count());
                    log.notice(
                        path.display(),
                        format_args!("CRL {number} by {} is in force: {revoked} revoked", crl.issuer),
                    );
                }
            }
            Err(e) => log.error(path.display(), format_args!("the former CRLs stay in use: {e:#}")),
        }
    }

    /// Loads the directory, if it may replace the one in use.
    ///
    /// # Errors
    /// It is rejected by the rules of `certck check`, it revokes less than the one in use, or it has a new trust root.
    fn load_successor(&self, served: &MtlsDir, log: &DaemonLog) -> Result<(TlsServer, MtlsDir), LoadFailure> {
        let passphrase = read_passphrase(&self.tls).map_err(|e| LoadFailure::new(format!("{e:#}")))?;
        let dir = load_directory(&self.tls, passphrase.as_ref()).map_err(|e| {
            let key = e.findings().iter().map(|f| format!("{} {} {}\n", f.rule, f.path, f.found)).collect();
            LoadFailure { reason: e.to_string(), key }
        })?;
        if let Some(why) = dir.explain_lost_revocations(served) {
            let reason = format!(
                "{why}: certificates that are revoked now would be accepted again (a restart accepts that)"
            );
            return Err(LoadFailure::new(reason));
        }
        for root in dir.list_new_roots(served) {
            let named = format!("{}, SHA-256 {}", root.subject, hex(&sha256(&root.der)));
            if !self.tls.accept_new_roots {
                let reason = format!(
                    "ca.crt has a new trust root ({named}), whose clients would be served: a restart accepts it, and so \
                     does --accept-new-roots"
                );
                return Err(LoadFailure::new(reason));
            }
            log.warning(
                self.tls.dir.display(),
                format_args!("new trust root: {named}; its clients are served now"),
            );
        }
        let server = TlsServer::new(&dir, self.tls.min).map_err(|e| LoadFailure::new(format!("{e:#}")))?;
        Ok((server, dir))
    }

    /// Reloads the directory, or logs why the former one stays in use.
    fn reload_directory(&self, cause: ReloadCause, log: &DaemonLog) {
        let subject = self.tls.dir.display();
        let mut served = lock_mutex(&self.served);
        match self.load_successor(&served, log) {
            Ok((server, dir)) => {
                self.use_directory(server, &dir);
                let mut state = lock_mutex(&self.state);
                (state.loaded_at, state.reload_failure) = (timestamp_now(), None);
                state.declined_crls.clear();
                drop(state);
                let why = match cause {
                    ReloadCause::Changed => "they have changed",
                    ReloadCause::Hangup => "SIGHUP",
                    ReloadCause::Retry => "they are valid now",
                };
                log.notice(&subject, format_args!("certificates reloaded: {why}"));
                for finding in dir.warnings() {
                    log.warning(&finding.path, finding.reason());
                }
                *served = dir;
            }
            Err(LoadFailure { reason, key }) => {
                let mut state = lock_mutex(&self.state);
                // A retry with the same result is not logged again.
                let is_known = state.reload_failure.is_some() && state.failure_key == key;
                if !is_known || cause == ReloadCause::Hangup {
                    log.error(
                        &subject,
                        format_args!("reload failed, the former certificates stay in use: {reason}"),
                    );
                }
                state.reload_failure = Some(ReloadFailure { at: timestamp_now(), reason });
                state.failure_key = key;
                state.report_declined_crls(&self.tls.dir.join(Role::Server.layout().crl), log);
            }
        }
    }

    /// Uses a directory from the next connection on, and lets open connections verify their clients again.
    fn use_directory(&self, server: TlsServer, dir: &MtlsDir) {
        *self.server.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(server);
        lock_mutex(&self.state).describe_directory(dir);
        self.generation.send_modify(|generation| *generation += 1);
    }
}

impl LoadFailure {
    /// A failure whose text does not change with the time.
    fn new(reason: String) -> Self {
        let reason = without_error_numbers(&reason);
        Self { key: reason.clone(), reason }
    }
}

fn lock_mutex<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn timestamp_now() -> String {
    format_utc(OffsetDateTime::now_utc().unix_timestamp())
}

/// Warns about certificates that name a CRL while there is none: the authority revokes, and the daemon would not know.
fn explain_missing_crl(dir: &MtlsDir) -> Option<String> {
    if !dir.crls().is_empty() {
        return None;
    }
    let leaf = common::pki::Cert::parse(dir.chain().first()?).ok()?;
    let points = leaf.extensions.crl_distribution_points.as_ref()?;
    let address = points.value.iter().flat_map(|point| &point.names).next();
    let address = address.map_or_else(String::new, |name| format!(" ({name})"));
    Some(format!(
        "there is no ca.crl, but the certificates of this authority name a CRL{address}: revoked clients are served \
         (certck crl fetch)"
    ))
}

/// Reads the passphrase of the private key. It is read for each load and not kept.
fn read_passphrase(tls: &TlsPlan) -> anyhow::Result<Option<Passphrase>> {
    let read = |path: &Path| Passphrase::read_file(path).with_context(|| path.display().to_string());
    tls.passphrase_file.as_deref().map(read).transpose()
}

fn load_directory(tls: &TlsPlan, passphrase: Option<&Passphrase>) -> Result<MtlsDir, LoadError> {
    let options = LoadOptions { passphrase, max_crl_bytes: tls.max_crl_bytes, ..LoadOptions::now() };
    MtlsDir::load(&tls.dir, Role::Server, &options)
}
