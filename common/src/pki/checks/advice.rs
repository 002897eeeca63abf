//! The commands that fix certificates. They are run where the CA's key is, which is not on the servers.

use std::path::Path;

use crate::pki::Cert;
use crate::policy::shell_quote;

/// How to get a certificate that was issued wrongly, or no longer counts, issued again. `options` of `certck mint renew`
/// say what becomes different, such as `--all ` for one that does not expire soon.
pub(super) fn suggest_reissue(cert: &Cert, path: &Path, options: &str) -> String {
    match () {
        () if !cert.is_ca() => suggest_renewal(path, options),
        () if cert.is_self_issued() => {
            "replace the root in steps that reject nobody: `certck mint rollover begin DIR`; or make a new authority with \
             `certck mint`"
                .to_owned()
        }
        () => format!("have the intermediate issued again by {}", cert.issuer),
    }
}

/// The command that renews the leaf of the directory that a file is in.
pub(super) fn suggest_renewal(path: &Path, options: &str) -> String {
    // The path of a live peer is an address without a directory.
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let dir = dir.map_or_else(|| "DIR".to_owned(), shell_quote);
    format!("`certck mint renew {options}CA_DIR {dir}`; with another CA: have it issued again")
}

/// The command that makes a server's certificate with other names.
pub(super) fn suggest_new_names(host: &str) -> String {
    format!(
        "`certck mint leaf --role server --host {host} CA_DIR DEST_DIR`, with one --host for each name and address"
    )
}
