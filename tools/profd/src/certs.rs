//! The certificates that the daemon serves with: loaded at the start, and again whenever their directory changes.
//!
//! A CRL that `certck crl fetch` has put there, or a certificate that was renewed, is no use until it is loaded.
//! What must not serve is not taken: the former certificates go on, and the log says why. Connections that are
//! there already stay as they are.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context, bail};
use common::out::Out;
use common::pki::{LoadError, LoadOptions, MtlsDir, Passphrase, Role};
use common::policy::shell_quote;
use rustls::ServerConfig;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use crate::config::Tls;
use crate::daemon::report;
use crate::log::Log;
use crate::shutdown::{Hangups, Phase, Shutdown};

/// How often the directory is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// How many looks at a directory that changes all the time.
const PATIENCE: u32 = 4;

/// See the module.
pub(crate) struct Certs {
    tls: Tls,
    acceptor: RwLock<TlsAcceptor>,
    /// What is served with: what comes after it must not know less of who is revoked.
    served: Mutex<MtlsDir>,
    /// The state of the files that was loaded or refused last.
    judged: Mutex<Stamp>,
}

impl Certs {
    /// Loads them; nothing, if they must not serve: the findings are out then.
    pub(crate) fn load(tls: &Tls, out: &mut Out) -> anyhow::Result<Option<Arc<Self>>> {
        // Taken before the files are read: a change in between is seen as one.
        let stamp = Stamp::of(&tls.dir);
        let dir = match open(tls, passphrase(tls)?.as_ref()) {
            Ok(dir) => dir,
            Err(e) => {
                report(e.findings(), out);
                out.error(tls.dir.display(), "these certificates must not serve");
                out.diag().help(format_args!("certck check {}", shell_quote(&tls.dir)));
                return Ok(None);
            }
        };
        report(dir.warnings(), out);
        let acceptor = TlsAcceptor::from(Arc::new(dir.server_config(tls.min)?));
        Ok(Some(Arc::new(Self {
            tls: tls.clone(),
            acceptor: RwLock::new(acceptor),
            served: Mutex::new(dir),
            judged: Mutex::new(stamp),
        })))
    }

    /// What new connections are accepted with.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Loads them again when they change or a hang-up asks for it, until the daemon ends.
    pub(crate) async fn keep(self: Arc<Self>, mut hangups: Hangups, log: Log, mut shutdown: Shutdown) {
        let mut before = self.last();
        let mut unsettled = 0;
        loop {
            let asked = tokio::select! {
                () = shutdown.reached(Phase::Draining) => return,
                () = hangups.next() => true,
                () = sleep(LOOK) => false,
            };
            let now = Stamp::of(&self.tls.dir);
            // Files that are being copied one by one are left alone until nothing changes any more, for a while.
            let changed = now != self.last();
            unsettled = if changed && now != before { unsettled + 1 } else { 0 };
            if asked || (changed && (unsettled == 0 || unsettled > PATIENCE)) {
                unsettled = 0;
                let (certs, log, now) = (self.clone(), log.clone(), now.clone());
                let _ = tokio::task::spawn_blocking(move || certs.reload(now, asked, &log)).await;
            }
            before = now;
        }
    }

    fn last(&self) -> Stamp {
        self.judged.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is there now, if it may serve in the place of what is served with.
    fn successor(&self, served: &MtlsDir) -> anyhow::Result<(ServerConfig, MtlsDir)> {
        let dir = open(&self.tls, passphrase(&self.tls)?.as_ref())?;
        if let Some(why) = dir.forgets(served) {
            bail!("{why}: whom it revokes would be served again (a restart takes it all the same)");
        }
        Ok((dir.server_config(self.tls.min)?, dir))
    }

    fn reload(&self, now: Stamp, asked: bool, log: &Log) {
        let subject = self.tls.dir.display();
        let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        match self.successor(&served) {
            Ok((config, dir)) => {
                *self.acceptor.write().unwrap_or_else(PoisonError::into_inner) =
                    TlsAcceptor::from(Arc::new(config));
                let why = if asked { "SIGHUP" } else { "they changed" };
                log.notice(&subject, format_args!("certificates are loaded again: {why}"));
                for finding in dir.warnings() {
                    log.notice(&finding.path, finding.reason());
                }
                *served = dir;
            }
            Err(e) => log.error(&subject, format_args!("the former certificates go on, since {e:#}")),
        }
        *self.judged.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }
}

/// Read whenever it is needed, and kept no longer.
fn passphrase(tls: &Tls) -> anyhow::Result<Option<Passphrase>> {
    let read = |path: &Path| Passphrase::read(path).with_context(|| path.display().to_string());
    tls.passphrase_file.as_deref().map(read).transpose()
}

fn open(tls: &Tls, passphrase: Option<&Passphrase>) -> Result<MtlsDir, LoadError> {
    MtlsDir::load(&tls.dir, Role::Server, &LoadOptions { passphrase, ..LoadOptions::now() })
}

/// By what a changed file is told: for each name that belongs into the directory its device, inode, size and the
/// time of its last change in nanoseconds; nothing where it is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp(Vec<Option<Change>>);

type Change = (u64, u64, u64, i64, i64);

impl Stamp {
    fn of(dir: &Path) -> Self {
        let names = Role::Server.layout().names();
        let files = names.iter().map(|name| dir.join(name)).chain([dir.to_owned()]);
        let stamp = |path: &Path| {
            let meta = path.symlink_metadata().ok()?;
            Some((meta.dev(), meta.ino(), meta.size(), meta.ctime(), meta.ctime_nsec()))
        };
        Self(files.map(|path| stamp(&path)).collect())
    }
}
