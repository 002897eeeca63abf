//! The settings of an authority for its certificates and CRLs: `authority.toml` beside its key.

use std::path::Path;

use anyhow::{Context, ensure};
use clap::ValueEnum;
use common::error::{HintExt, describe_text_error};
use common::policy::shell_quote;
use serde::Deserialize;

use crate::authority::KeyAlgorithm;
use crate::files;
use crate::leaf::{StatusUrls, parse_url};

/// The longest validity of a certificate or CRL, in days.
pub(crate) const MAX_LEAF_DAYS: u16 = 3650;

/// The file's name.
pub(crate) const FILE: &str = "authority.toml";

/// The largest file that is read, in bytes.
const MAX_BYTES: u64 = 64 << 10;
/// Most addresses of one kind: every certificate carries all of them.
const MAX_ADDRESSES: usize = 16;

/// The settings of an authority for certificates and CRLs unless options say otherwise. One that is not set is the default of
/// the option.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AuthoritySettings {
    /// Addresses in certificates.
    pub(crate) addresses: StatusUrls,
    /// Validity of certificates in days.
    pub(crate) days: Option<u16>,
    /// Algorithm of the keys of certificates.
    pub(crate) algo: Option<KeyAlgorithm>,
    /// Validity of CRLs in days.
    pub(crate) crl_days: Option<u16>,
}

/// The file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SettingsFile {
    #[serde(default)]
    crl_urls: Vec<String>,
    #[serde(default)]
    ocsp_urls: Vec<String>,
    days: Option<u16>,
    algo: Option<String>,
    crl_days: Option<u16>,
}

impl AuthoritySettings {
    /// The file's text.
    pub(crate) fn to_toml(&self) -> anyhow::Result<String> {
        // An address is printable ASCII: JSON's strings are TOML's then.
        let crl = serde_json::to_string(&self.addresses.crl_url)?;
        let ocsp = serde_json::to_string(&self.addresses.ocsp_url)?;
        let line = |name: &str, value: Option<String>, example: &str| match value {
            Some(value) => format!("{name} = {value}"),
            None => format!("# {name} = {example}"),
        };
        let days = line("days", self.days.map(|days| days.to_string()), "365");
        let algo = line("algo", self.algo.map(|algo| format!("{:?}", algo.name())), "\"ecdsa-p256\"");
        let crl_days = line("crl_days", self.crl_days.map(|days| days.to_string()), "30");
        Ok(format!(
            "# What `certck mint leaf` puts into certificates, unless its options say otherwise.\n\
             # Addresses: of the CRL, and of OCSP responders.\n\
             crl_urls = {crl}\nocsp_urls = {ocsp}\n\
             # Validity in days, and the algorithm of the keys.\n\
             {days}\n{algo}\n\n\
             # Validity in days of the CRLs of `certck revoke` and `certck crl new`. Without it, a CRL is valid for as\n\
             # long as the one before.\n\
             {crl_days}\n"
        ))
    }

    /// The settings of an authority; none where it has no such file, as those of older versions.
    ///
    /// # Errors
    /// The file cannot be read, others than its owner may write to it, or it holds what no option could say.
    pub(crate) fn read_file(ca: &Path) -> anyhow::Result<Self> {
        let path = ca.join(FILE);
        if path.symlink_metadata().is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound) {
            return Ok(Self::default());
        }
        let hint =
            format!("correct it, or remove it with `rm {}`: then only options count", shell_quote(&path));
        Self::parse_file(&path).with_context(|| path.display().to_string()).hint(hint)
    }

    fn parse_file(path: &Path) -> anyhow::Result<Self> {
        let bytes = files::read_guarded(path, MAX_BYTES)?;
        let text = std::str::from_utf8(&bytes).context("not UTF-8 text")?;
        let file: SettingsFile = toml::from_str(text)
            .map_err(|e| anyhow::anyhow!(describe_text_error(text, e.span(), e.message())))?;
        for (what, days) in [("days", file.days), ("crl_days", file.crl_days)] {
            check_days(what, days.unwrap_or(1), MAX_LEAF_DAYS)?;
        }
        Ok(Self {
            addresses: StatusUrls {
                crl_url: check_urls("crl_urls", file.crl_urls)?,
                ocsp_url: check_urls("ocsp_urls", file.ocsp_urls)?,
            },
            days: file.days,
            algo: parse_value("algo", file.algo.as_deref())?,
            crl_days: file.crl_days,
        })
    }
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

/// Checks a number of days.
pub(crate) fn check_days(what: &str, days: u16, most: u16) -> anyhow::Result<()> {
    ensure!((1..=most).contains(&days), "{what}: {days} is not between 1 and {most}");
    Ok(())
}

/// Parses a value as the option of the same name does.
pub(crate) fn parse_value<T: ValueEnum>(what: &str, text: Option<&str>) -> anyhow::Result<Option<T>> {
    text.map(|text| T::from_str(text, false).map_err(|e| anyhow::anyhow!("{what}: {e}"))).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_settings(dir: &Path, mode: u32, text: impl AsRef<[u8]>) {
        let path = dir.join(FILE);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    }

    #[test]
    fn written_settings_are_read_back() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(AuthoritySettings::read_file(dir.path()).unwrap(), AuthoritySettings::default());
        let urls = ["http://pki.example/\"a\\b'c#.crl", "https://x/?q=%20"].map(str::to_owned).to_vec();
        let none = AuthoritySettings::default();
        for wanted in [
            none.clone(),
            AuthoritySettings {
                addresses: StatusUrls { crl_url: urls.clone(), ocsp_url: vec![] },
                ..none.clone()
            },
            AuthoritySettings { addresses: StatusUrls { crl_url: vec![], ocsp_url: urls }, ..none.clone() },
            AuthoritySettings { days: Some(3650), algo: Some(KeyAlgorithm::Rsa3072), ..none.clone() },
            AuthoritySettings { crl_days: Some(1), ..none },
        ] {
            write_settings(dir.path(), 0o600, wanted.to_toml().unwrap());
            assert_eq!(AuthoritySettings::read_file(dir.path()).unwrap(), wanted);
        }
        // As it was written before there was more than addresses.
        write_settings(dir.path(), 0o600, "crl_urls = []\nocsp_urls = []\n");
        assert_eq!(AuthoritySettings::read_file(dir.path()).unwrap(), AuthoritySettings::default());
    }

    #[test]
    fn settings_that_no_option_accepts_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        let many = format!("crl_urls = {:?}", vec!["http://x/"; MAX_ADDRESSES + 1]);
        for (text, words) in [
            (&b"crl_urls = [\"ftp://x/\"]"[..], "crl_urls: \"ftp://x/\": expected an http or https address"),
            (b"ocsp_urls = [\"http://x/\\u001b[2J\"]", "\\u{1b}[2J"),
            (b"crl_urls = \"http://x/\"", "1:12: invalid type: string"),
            (b"crl_url = []", "crl_url"),
            (b"[", ": 1:2: "),
            (b"\xff", "UTF-8"),
            (many.as_bytes(), "17 addresses"),
            (b"days = 0", "days: 0 is not between 1 and 3650"),
            (b"crl_days = 3651", "crl_days: 3651 is not"),
            (b"days = 70000", "1:8"),
            (b"algo = \"rsa-1024\"", "algo"),
            (&vec![b'#'; MAX_BYTES as usize + 1], "larger"),
        ] {
            write_settings(dir.path(), 0o600, text);
            let error = format!("{:#}", AuthoritySettings::read_file(dir.path()).unwrap_err());
            assert!(error.contains(FILE) && error.contains(words), "{error}");
        }
        write_settings(dir.path(), 0o666, "");
        assert!(format!("{:#}", AuthoritySettings::read_file(dir.path()).unwrap_err()).contains("0666"));
        std::fs::remove_file(dir.path().join(FILE)).unwrap();
        std::fs::create_dir(dir.path().join(FILE)).unwrap();
        AuthoritySettings::read_file(dir.path()).unwrap_err();
    }
}
