//! The plan of `certck mint`: options take precedence over the file, the file over defaults.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use common::duration::days_within;
use common::error::{HintExt, describe_text_error};
use common::pki::{PassphraseArgs, Profile};
use serde::Deserialize;

use crate::authority::KeyAlgorithm;
use crate::authority_settings::{AuthoritySettings, MAX_LEAF_DAYS, check_days, parse_value};
use crate::files;
use crate::leaf::{LeafHost, StatusUrls, parse_common_name, parse_url};
use crate::new_passphrase::is_passphrase_given;

/// The options. What is not given comes from the file, or is a default.
#[derive(clap::Args, Debug)]
pub(crate) struct MintOptions {
    /// Directory to make ca, server_certs and client_certs in; created if it does not exist
    #[arg(value_name = "DIR", required = true)]
    pub(crate) dir: Option<PathBuf>,
    /// Read options from a TOML file: hosts, days, ca_days, crl_days, profile, algo, name, crl_urls, ocsp_urls. Options
    /// on the command line take precedence
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Name or address of the server; may be repeated [default: localhost, 127.0.0.1, ::1]
    #[arg(long = "host", value_name = "NAME", value_parser = LeafHost::parse_host)]
    hosts: Vec<LeafHost>,
    /// Validity of the server's and client's certificates in days [default: 365]
    #[arg(long, value_name = "N", value_parser = days_within(1..=MAX_LEAF_DAYS))]
    days: Option<u16>,
    /// Validity of the root in days [default: 3650]
    #[arg(long, value_name = "N", value_parser = days_within(1..=MAX_CA_DAYS))]
    ca_days: Option<u16>,
    /// Validity of the CRL in days [default: that of --days]
    #[arg(long, value_name = "N", value_parser = days_within(1..=MAX_LEAF_DAYS))]
    crl_days: Option<u16>,
    /// Default kind of key: compat makes RSA keys of 3072 bits for the oldest peers, strict ECDSA keys on P-256 [default:
    /// strict]
    #[arg(long, value_name = "compat|strict", value_enum, hide_possible_values = true)]
    profile: Option<Profile>,
    /// Key algorithm [default: ecdsa-p256, or rsa-3072 with --profile compat]
    #[arg(long, value_enum)]
    algo: Option<KeyAlgorithm>,
    /// Common name of the root [default: "profguard CA" and six random hexadecimal digits]
    #[arg(long, value_name = "NAME", value_parser = parse_common_name)]
    name: Option<String>,
    #[command(flatten)]
    addresses: StatusUrls,
    /// Encrypt all private keys; needs one of the passphrase options
    #[arg(long, requires = "passphrase")]
    pub(crate) encrypt: bool,
    #[command(flatten)]
    pub(crate) passphrase: PassphraseArgs,
}

/// The longest validity of a root, in days.
const MAX_CA_DAYS: u16 = 9125;

/// The plan of `certck mint`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct MintPlan {
    pub(crate) hosts: Vec<LeafHost>,
    pub(crate) days: u16,
    pub(crate) ca_days: u16,
    pub(crate) crl_days: u16,
    pub(crate) algo: KeyAlgorithm,
    pub(crate) name: String,
    pub(crate) addresses: StatusUrls,
    /// The settings of the authority from now on, where options do not say otherwise.
    pub(crate) settings: AuthoritySettings,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct MintFile {
    hosts: Option<Vec<String>>,
    days: Option<u16>,
    ca_days: Option<u16>,
    crl_days: Option<u16>,
    profile: Option<String>,
    algo: Option<String>,
    name: Option<String>,
    #[serde(default)]
    crl_urls: Vec<String>,
    #[serde(default)]
    ocsp_urls: Vec<String>,
}

impl MintOptions {
    /// Combines the options with the file and the defaults.
    ///
    /// # Errors
    /// The file cannot be read, or says what no option could; the leaves would outlive the root; or a passphrase is
    /// for nothing.
    pub(crate) fn to_plan(&self) -> anyhow::Result<MintPlan> {
        if !self.encrypt && is_passphrase_given(&self.passphrase) {
            return Err(anyhow::anyhow!("a passphrase is given without --encrypt"))
                .hint("add --encrypt, or omit the passphrase option");
        }
        let file = match &self.from {
            Some(path) => read_mint_file(path).with_context(|| path.display().to_string())?,
            None => MintFile::default(),
        };
        self.merge_file(file)
    }

    fn merge_file(&self, file: MintFile) -> anyhow::Result<MintPlan> {
        let hosts = match (self.hosts.as_slice(), file.hosts) {
            ([], Some(hosts)) => hosts.iter().map(|h| parse_host(h)).collect::<anyhow::Result<Vec<_>>>()?,
            ([], None) => ["localhost", "127.0.0.1", "::1"]
                .into_iter()
                .map(parse_host)
                .collect::<anyhow::Result<_>>()?,
            (hosts, _) => hosts.to_vec(),
        };
        let algo = match (self.algo, parse_value("algo", file.algo.as_deref())?) {
            (Some(algo), _) | (None, Some(algo)) => algo,
            (None, None) => match self.profile.or(parse_value("profile", file.profile.as_deref())?) {
                Some(Profile::Compat) => KeyAlgorithm::Rsa3072,
                Some(Profile::Strict) | None => KeyAlgorithm::default(),
            },
        };
        let name = match (&self.name, file.name) {
            (Some(name), _) => name.clone(),
            (None, Some(name)) => parse_common_name(&name).map_err(|e| anyhow::anyhow!("name: {e}"))?,
            (None, None) => random_ca_name()?,
        };
        let days = self.days.or(file.days).unwrap_or(365);
        let ca_days = self.ca_days.or(file.ca_days).unwrap_or(3650);
        let crl_days = self.crl_days.or(file.crl_days).unwrap_or(days);
        for (what, n, most) in [
            ("days", days, MAX_LEAF_DAYS),
            ("ca_days", ca_days, MAX_CA_DAYS),
            ("crl_days", crl_days, MAX_LEAF_DAYS),
        ] {
            check_days(what, n, most)?;
        }
        if hosts.is_empty() {
            bail!("hosts: at least one name is required");
        }
        ensure!(
            days <= ca_days,
            "the certificates would be valid for {days} days, the root for {ca_days} only"
        );
        let addresses = StatusUrls {
            crl_url: choose_urls("crl_urls", &self.addresses.crl_url, &file.crl_urls)?,
            ocsp_url: choose_urls("ocsp_urls", &self.addresses.ocsp_url, &file.ocsp_urls)?,
        };
        let settings = AuthoritySettings {
            addresses: addresses.clone(),
            days: Some(days),
            algo: Some(algo),
            // Where nobody chose it, each CRL is valid for as long as the one before.
            crl_days: self.crl_days.or(file.crl_days),
        };
        Ok(MintPlan { hosts, days, ca_days, crl_days, algo, name, addresses, settings })
    }
}

fn choose_urls(what: &str, options: &[String], file: &[String]) -> anyhow::Result<Vec<String>> {
    let all = if options.is_empty() { file } else { options };
    all.iter().map(|url| parse_url(url).map_err(|e| anyhow::anyhow!("{what}: `{url}`: {e}"))).collect()
}

/// A common name that no other root has: peers find issuers by name, so a second root of the same name makes valid
/// certificates look forged.
pub(crate) fn random_ca_name() -> anyhow::Result<String> {
    let mut random = [0; 3];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
    Ok(format!("profguard CA {}", common::finding::hex(&random)))
}

fn read_mint_file(path: &Path) -> anyhow::Result<MintFile> {
    let text = String::from_utf8(files::read_file(path)?.to_vec()).context("not UTF-8 text")?;
    toml::from_str(&text).map_err(|e| anyhow::anyhow!(describe_text_error(&text, e.span(), e.message())))
}

fn parse_host(text: &str) -> anyhow::Result<LeafHost> {
    LeafHost::parse_host(text).map_err(|e| anyhow::anyhow!("hosts: `{text}`: {e}"))
}

/// The plan of a file alone, with all other options at their defaults.
pub(crate) fn plan_of_file(text: &str) -> anyhow::Result<MintPlan> {
    #[derive(clap::Parser)]
    struct Alone {
        #[command(flatten)]
        options: MintOptions,
    }
    let alone = <Alone as clap::Parser>::try_parse_from(["mint", "dir"])?;
    alone.options.merge_file(toml::from_str(text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        options: MintOptions,
    }

    fn plan(args: &[&str], file: &str) -> anyhow::Result<MintPlan> {
        let options = <Cli as clap::Parser>::parse_from([&["mint", "d"], args].concat()).options;
        options.merge_file(toml::from_str(file)?)
    }

    #[test]
    fn options_come_before_the_file_and_that_before_defaults() {
        let file = "hosts = [\"a.example\", \"10.0.0.1\"]\ndays = 10\nalgo = \"ed25519\"";
        let plan = plan(&["--days", "20", "--name", "Test CA"], file).unwrap();
        assert_eq!(
            (plan.days, plan.crl_days, plan.ca_days, plan.algo),
            (20, 20, 3650, KeyAlgorithm::Ed25519)
        );
        assert_eq!((plan.hosts.len(), plan.name.as_str()), (2, "Test CA"));
        let settings = &plan.settings;
        assert_eq!(
            (settings.days, settings.algo, settings.crl_days),
            (Some(20), Some(KeyAlgorithm::Ed25519), None)
        );
    }

    #[test]
    fn key_types_are_those_that_old_peers_accept() {
        assert_eq!(plan(&["--profile", "compat"], "").unwrap().algo, KeyAlgorithm::Rsa3072);
        assert_eq!(plan(&[], "profile = \"compat\"").unwrap().algo, KeyAlgorithm::Rsa3072);
        assert_eq!(
            plan(&["--profile", "compat", "--algo", "ed25519"], "").unwrap().algo,
            KeyAlgorithm::Ed25519
        );
        assert_eq!(plan(&["--profile", "strict"], "").unwrap().algo, KeyAlgorithm::EcdsaP256);
    }

    #[test]
    fn default_authority_names_are_random() {
        assert_ne!(plan(&[], "").unwrap().name, plan(&[], "").unwrap().name);
    }

    #[test]
    fn the_options_file_accepts_only_values_that_options_accept() {
        for (file, word) in [
            ("days = 0", "days"),
            ("days = 20\nca_days = 10", "root"),
            ("algo = \"rsa-1024\"", "algo"),
            ("hosts = [\"a b\"]", "hosts"),
            ("hosts = []", "hosts"),
            ("name = \"\"", "name"),
            ("dayz = 3", "dayz"),
            ("profile = \"lax\"", "profile"),
            ("crl_urls = [\"x\"]", "crl_urls"),
        ] {
            assert!(format!("{:#}", plan(&[], file).unwrap_err()).contains(word), "{file}");
        }
    }
}
