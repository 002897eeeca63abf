//! The client certificates of a run: from the given directory or the default ones. Plain TCP is never the default.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use common::error::HintExt;
use common::out::Out;
use common::pki::{LoadOptions, MtlsDir, Passphrase, Role};
use rustls_pki_types::ServerName;
use tokio_rustls::TlsConnector;

use crate::connection_args::{CertsChoice, ConnectionArgs};
use crate::daemon_address::DaemonAddress;
use crate::transport::ConnectionSecurity;

/// The default directory, below the configuration directory of the user and of the system.
const CLIENT_CERTS_DIR: &str = "profguard/client_certs";

/// Decides how connections are protected, and loads the client certificates for TLS.
///
/// # Errors
/// No directory is given or found, or its certificates are not valid; each finding is reported on standard error.
pub(crate) fn load_security(
    connection: &ConnectionArgs,
    daemons: &[DaemonAddress],
    out: &Out,
) -> anyhow::Result<ConnectionSecurity> {
    let dir = match &connection.certs_dir {
        Some(CertsChoice::PlainTcp) => {
            warn_unprotected(daemons, out);
            return Ok(ConnectionSecurity::Plain);
        }
        Some(CertsChoice::Directory(dir)) => dir.clone(),
        None => find_default_dir()?,
    };
    let server_name = match &connection.server_name {
        None => None,
        Some(name) => Some(
            ServerName::try_from(name.clone())
                .map_err(|_| anyhow!("--server-name: {name:?} is not a valid TLS server name"))?,
        ),
    };
    let passphrase = match &connection.passphrase_file {
        None => None,
        Some(file) => Some(Passphrase::read_file(file).with_context(|| file.display().to_string())?),
    };
    let options = LoadOptions {
        passphrase: passphrase.as_ref(),
        max_crl_bytes: connection.max_crl_bytes,
        ..LoadOptions::now()
    };
    let config = load_certificates(&dir, &options, out)?.client_config(connection.tls_min)?;
    Ok(ConnectionSecurity::Tls { connector: TlsConnector::from(Arc::new(config)), server_name })
}

/// Returns the first default directory that exists.
fn find_default_dir() -> anyhow::Result<PathBuf> {
    let dirs = default_dirs(|name| std::env::var_os(name).map(PathBuf::from));
    let found = dirs.iter().find(|dir| dir.is_dir()).cloned();
    let shown: Vec<_> = dirs.iter().map(|dir| dir.display().to_string()).collect();
    found.ok_or_else(|| anyhow!("--certs-dir: not given, and no default directory exists: {}", shown.join(", "))).hint(
        "create certificates with `certck mint DIR` and give its client_certs; for a daemon without TLS use \
             `--certs-dir NO_CERTS`, which protects nothing",
    )
}

/// The default directories in order of precedence (XDG Base Directory Specification 0.8 for the user's).
fn default_dirs(env: impl Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    let absolute = |p: PathBuf| p.is_absolute().then_some(p);
    let config = env("XDG_CONFIG_HOME").and_then(absolute);
    let config = config.or_else(|| env("HOME").and_then(absolute).map(|h| h.join(".config")));
    config.into_iter().chain([PathBuf::from("/etc")]).map(|c| c.join(CLIENT_CERTS_DIR)).collect()
}

/// Loads the client directory, and reports its findings.
fn load_certificates(dir: &Path, options: &LoadOptions<'_>, out: &Out) -> anyhow::Result<MtlsDir> {
    let loaded = MtlsDir::load(dir, Role::Client, options);
    match loaded {
        Ok(loaded) => {
            for finding in loaded.warnings() {
                out.warn(&finding.path, finding.reason());
            }
            Ok(loaded)
        }
        Err(e) => {
            for finding in e.findings() {
                out.error(&finding.path, finding.reason());
                if !finding.fix.is_empty() {
                    out.diag().help(&finding.fix);
                }
            }
            Err(anyhow!("client certificate validation failed"))
                .with_context(|| dir.display().to_string())
                .hint(format!("see `certck check --role client {}`", common::policy::shell_quote(dir)))
        }
    }
}

/// Warns of plain TCP to hosts other than this one.
fn warn_unprotected(daemons: &[DaemonAddress], out: &Out) {
    let remote: Vec<_> = daemons.iter().filter(|daemon| !daemon.is_loopback()).collect();
    let Some(first) = remote.first() else { return };
    let subject = match remote.len() {
        1 => first.to_string(),
        n => format!("{first} and {} more", n - 1),
    };
    out.warn(subject, "NO_CERTS: anyone on the network path can read and modify the request and the reply");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_of_the_user_comes_before_that_of_the_system() {
        let env = |k: &str| match k {
            "HOME" => Some(PathBuf::from("/home/u")),
            _ => None,
        };
        let home =
            [PathBuf::from("/home/u/.config/profguard/client_certs"), "/etc/profguard/client_certs".into()];
        assert_eq!(default_dirs(env), home);
        let xdg = default_dirs(|k| (k == "XDG_CONFIG_HOME").then(|| PathBuf::from("/x")));
        assert_eq!(xdg[0], PathBuf::from("/x/profguard/client_certs"));
        assert_eq!(default_dirs(|_| Some("relative".into())), [PathBuf::from("/etc/profguard/client_certs")]);
    }
}
