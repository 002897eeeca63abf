//! Which certificates to use: the directory given, or the usual places; never none by default.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use common::error::HintExt;
use common::out::Out;
use common::pki::{LoadOptions, MtlsDir, Passphrase, Role};
use rustls_pki_types::ServerName;
use tokio_rustls::TlsConnector;

use crate::session::Connection;
use crate::target::Target;
use crate::transport::Security;

/// What existing clients call a connection that nothing protects.
const NO_CERTS: &str = "NO_CERTS";
/// Below the configuration directory of the user, and of the system.
const PLACE: &str = "profguard/client_certs";

/// Decides how connections are protected, and loads what that takes.
///
/// # Errors
/// No directory is given or found, or it does not serve; every finding has its line on standard error.
pub(crate) fn security(connection: &Connection, targets: &[Target], out: &Out) -> anyhow::Result<Security> {
    let dir = match &connection.certs_dir {
        Some(dir) if dir.as_os_str() == NO_CERTS => {
            warn_plain(targets, out);
            return Ok(Security::Plain);
        }
        Some(dir) => dir.clone(),
        None => usual()?,
    };
    let server_name = match &connection.server_name {
        None => None,
        Some(name) => Some(
            ServerName::try_from(name.clone())
                .map_err(|_| anyhow!("--server-name: {name:?} is not a name that a certificate can have"))?,
        ),
    };
    let passphrase = match &connection.key_passphrase_file {
        None => None,
        Some(file) => Some(Passphrase::read_file(file).with_context(|| file.display().to_string())?),
    };
    let config = load(&dir, passphrase.as_ref(), out)?.client_config(connection.tls_min)?;
    Ok(Security::Tls { connector: TlsConnector::from(Arc::new(config)), server_name })
}

/// The first of the usual places that exists.
fn usual() -> anyhow::Result<PathBuf> {
    let places = places(|k| std::env::var_os(k).map(PathBuf::from));
    let found = places.iter().find(|p| p.is_dir()).cloned();
    let shown: Vec<_> = places.iter().map(|p| p.display().to_string()).collect();
    found.ok_or_else(|| anyhow!("--certs-dir: not given, and there is no {}", shown.join(" or "))).hint(
        "mint certificates with `certck mint DIR`, and name its client_certs; a daemon without certificates \
             is asked with `--certs-dir NO_CERTS`, which protects nothing",
    )
}

fn places(env: impl Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    let absolute = |p: PathBuf| p.is_absolute().then_some(p);
    let config = env("XDG_CONFIG_HOME").and_then(absolute);
    let config = config.or_else(|| env("HOME").and_then(absolute).map(|h| h.join(".config")));
    config.into_iter().chain([PathBuf::from("/etc")]).map(|c| c.join(PLACE)).collect()
}

fn load(dir: &Path, passphrase: Option<&Passphrase>, out: &Out) -> anyhow::Result<MtlsDir> {
    let options = LoadOptions { passphrase, ..LoadOptions::now() };
    let loaded = MtlsDir::load(dir, Role::Client, &options);
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
            Err(anyhow!("the directory does not serve"))
                .with_context(|| dir.display().to_string())
                .hint(format!("see `certck check --role client {}`", common::policy::shell_quote(dir)))
        }
    }
}

fn warn_plain(targets: &[Target], out: &Out) {
    let far: Vec<_> = targets.iter().filter(|t| !t.is_loopback()).collect();
    let Some(first) = far.first() else { return };
    let who = match far.len() {
        1 => first.to_string(),
        n => format!("{first} and {} more", n - 1),
    };
    out.warn(who, "NO_CERTS: the request and the answer can be read and changed on the way, by anybody");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_place_comes_before_the_systems() {
        let env = |k: &str| match k {
            "HOME" => Some(PathBuf::from("/home/u")),
            _ => None,
        };
        let home =
            [PathBuf::from("/home/u/.config/profguard/client_certs"), "/etc/profguard/client_certs".into()];
        assert_eq!(places(env), home);
        let xdg = places(|k| (k == "XDG_CONFIG_HOME").then(|| PathBuf::from("/x")));
        assert_eq!(xdg[0], PathBuf::from("/x/profguard/client_certs"));
        assert_eq!(places(|_| Some("relative".into())), [PathBuf::from("/etc/profguard/client_certs")]);
    }
}
