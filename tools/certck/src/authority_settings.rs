//! The addresses that an authority puts into its certificates: `authority.toml` beside its key.

use std::path::Path;

use anyhow::{Context, ensure};
use common::error::HintExt;
use common::policy::shell_quote;
use serde::Deserialize;

use crate::files;
use crate::leaf::{StatusUrls, parse_url};

/// The file's name.
pub(crate) const FILE: &str = "authority.toml";

/// The largest file that is read, in bytes.
const MAX_BYTES: u64 = 64 << 10;
/// Most addresses of one kind: every certificate carries all of them.
const MAX_ADDRESSES: usize = 16;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct AuthoritySettings {
    #[serde(default)]
    crl_urls: Vec<String>,
    #[serde(default)]
    ocsp_urls: Vec<String>,
}

/// The file's text for an authority whose certificates name these addresses.
pub(crate) fn format_settings(addresses: &StatusUrls) -> anyhow::Result<String> {
    // An address is printable ASCII: JSON's strings are TOML's then.
    let (crl, ocsp) =
        (serde_json::to_string(&addresses.crl_url)?, serde_json::to_string(&addresses.ocsp_url)?);
    Ok(format!(
        "# Addresses that each certificate from `certck mint leaf` names, unless its options name others.\n\
         crl_urls = {crl}\nocsp_urls = {ocsp}\n"
    ))
}

/// The addresses that an authority's certificates name; none where it has no such file, as those of older versions.
///
/// # Errors
/// The file cannot be read, others than its owner may write to it, or it holds what no option could say.
pub(crate) fn read_urls(ca: &Path) -> anyhow::Result<StatusUrls> {
    let path = ca.join(FILE);
    if path.symlink_metadata().is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound) {
        return Ok(StatusUrls::default());
    }
    let hint = format!(
        "correct it, or remove it with `rm {}`: then addresses come from options only",
        shell_quote(&path)
    );
    read_settings(&path).with_context(|| path.display().to_string()).hint(hint)
}

fn read_settings(path: &Path) -> anyhow::Result<StatusUrls> {
    let bytes = files::read_guarded(path, MAX_BYTES)?;
    let text = std::str::from_utf8(&bytes).context("not UTF-8 text")?;
    let settings: AuthoritySettings = toml::from_str(text)
        .map_err(|e| anyhow::anyhow!("{}", crate::suppressions::format_toml_error(text, &e)))?;
    let (crl_url, ocsp_url) =
        (check_urls("crl_urls", settings.crl_urls)?, check_urls("ocsp_urls", settings.ocsp_urls)?);
    Ok(StatusUrls { crl_url, ocsp_url })
}

fn check_urls(what: &str, urls: Vec<String>) -> anyhow::Result<Vec<String>> {
    ensure!(
        urls.len() <= MAX_ADDRESSES,
        "{what}: {} addresses, expected at most {MAX_ADDRESSES}",
        urls.len()
    );
    let urls =
        urls.into_iter().map(|url| parse_url(&url).map_err(|e| anyhow::anyhow!("{what}: {url:?}: {e}")));
    urls.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(dir: &Path, mode: u32, text: impl AsRef<[u8]>) {
        let path = dir.join(FILE);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    }

    #[test]
    fn written_settings_are_read_back() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read_urls(dir.path()).unwrap(), StatusUrls::default());
        let urls = ["http://pki.example/\"a\\b'c#.crl", "https://x/?q=%20"].map(str::to_owned).to_vec();
        for (crl_url, ocsp_url) in [(vec![], vec![]), (urls.clone(), vec![]), (vec![], urls)] {
            let wanted = StatusUrls { crl_url, ocsp_url };
            put(dir.path(), 0o600, format_settings(&wanted).unwrap());
            assert_eq!(read_urls(dir.path()).unwrap(), wanted);
        }
    }

    #[test]
    fn settings_that_no_option_accepts_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        let many = format!("crl_urls = {:?}", vec!["http://x/"; MAX_ADDRESSES + 1]);
        for (text, words) in [
            (&b"crl_urls = [\"ftp://x/\"]"[..], "crl_urls: \"ftp://x/\": expected an http or https address"),
            (b"ocsp_urls = [\"http://x/\\u001b[2J\"]", "\\u{1b}[2J"),
            (b"crl_urls = \"http://x/\"", "line 1, column 12: invalid type: string"),
            (b"crl_url = []", "crl_url"),
            (b"[", "line 1"),
            (b"\xff", "UTF-8"),
            (many.as_bytes(), "17 addresses"),
            (&vec![b'#'; MAX_BYTES as usize + 1], "larger"),
        ] {
            put(dir.path(), 0o600, text);
            let error = format!("{:#}", read_urls(dir.path()).unwrap_err());
            assert!(error.contains(FILE) && error.contains(words), "{error}");
        }
        put(dir.path(), 0o666, "");
        assert!(format!("{:#}", read_urls(dir.path()).unwrap_err()).contains("0666"));
        std::fs::remove_file(dir.path().join(FILE)).unwrap();
        std::fs::create_dir(dir.path().join(FILE)).unwrap();
        read_urls(dir.path()).unwrap_err();
    }
}
