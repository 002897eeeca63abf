//! The certificates that the daemon serves with: loaded at the start, and again whenever their directory changes.
//!
//! A CRL that `certck crl fetch` has put there, or a certificate that was renewed, is no use until it is loaded.
//! What must not serve is not taken: the former certificates go on, and the log says why. Connections that are
//! there already stay as they are.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context;
use common::exit::Exit;
use common::out::Out;
use common::pki::{LoadError, LoadOptions, MtlsDir, Passphrase, Role};
use common::policy::shell_quote;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use crate::config::Tls;
use crate::daemon::report;
use crate::log::Log;
use crate::shutdown::{Hangups, Phase, Shutdown};

/// How often the directory is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// See the module.
pub(crate) struct Certs {
    tls: Tls,
    passphrase: Option<Passphrase>,
    acceptor: RwLock<TlsAcceptor>,
    /// The state of the files that was loaded or refused last.
    judged: Mutex<Stamp>,
}

impl Certs {
    /// Loads them; nothing, if they must not serve: the findings are out then.
    pub(crate) fn load(tls: &Tls, out: &mut Out) -> anyhow::Result<Option<Arc<Self>>> {
        let read = |path: &Path| Passphrase::read(path).with_context(|| path.display().to_string());
        let passphrase = tls.passphrase_file.as_deref().map(read).transpose()?;
        // Taken before the files are read: a change in between is seen as one.
        let stamp = Stamp::of(&tls.dir);
        let dir = match open(tls, passphrase.as_ref()) {
            Ok(dir) => dir,
            Err(e) => {
                report(e.findings(), out);
                out.error(tls.dir.display(), "these certificates must not serve");
                out.diag().help(format_args!("certck check {}", shell_quote(&tls.dir)));
                return Ok(None);
            }
        };
        if report(dir.warnings(), out) == Exit::Failed {
            return Ok(None);
        }
        let acceptor = TlsAcceptor::from(Arc::new(dir.server_config(tls.min)?));
        Ok(Some(Arc::new(Self {
            tls: tls.clone(),
            passphrase,
            acceptor: RwLock::new(acceptor),
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
        loop {
            let asked = tokio::select! {
                () = shutdown.reached(Phase::Draining) => return,
                () = hangups.next() => true,
                () = sleep(LOOK) => false,
            };
            let now = Stamp::of(&self.tls.dir);
            // Files that are being copied one by one are left alone until nothing changes any more.
            if asked || (now != self.last() && now == before) {
                let (certs, log, now) = (self.clone(), log.clone(), now.clone());
                let _ = tokio::task::spawn_blocking(move || certs.reload(now, asked, &log)).await;
            }
            before = now;
        }
    }

    fn last(&self) -> Stamp {
        self.judged.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn reload(&self, now: Stamp, asked: bool, log: &Log) {
        let subject = self.tls.dir.display();
        let loaded = open(&self.tls, self.passphrase.as_ref())
            .map_err(anyhow::Error::from)
            .and_then(|dir| Ok((dir.server_config(self.tls.min)?, dir)));
        match loaded {
            Ok((config, dir)) => {
                *self.acceptor.write().unwrap_or_else(PoisonError::into_inner) =
                    TlsAcceptor::from(Arc::new(config));
                let why = if asked { "SIGHUP" } else { "they changed" };
                log.notice(&subject, format_args!("certificates are loaded again: {why}"));
                for finding in dir.warnings() {
                    log.notice(&finding.path, finding.reason());
                }
            }
            Err(e) => log.error(&subject, format_args!("the former certificates go on, since {e:#}")),
        }
        *self.judged.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }
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
