//! What `certck mint` makes: from options, from a file, from defaults, in this order.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::ValueEnum;
use common::pki::PassphraseArgs;
use serde::Deserialize;

use crate::authority::{Algorithm, Host};
use crate::files;

/// The options; what is not given comes from the file, or is a default.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// Where to make the directories; made too if it does not exist
    #[arg(value_name = "DIR", required = true)]
    pub(crate) dir: Option<PathBuf>,
    /// Take what no option says from a TOML file: hosts, days, ca_days, crl_days, algo, name
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Name or address of the server; may be repeated [default: localhost, 127.0.0.1, ::1]
    #[arg(long = "host", value_name = "NAME", value_parser = Host::parse)]
    hosts: Vec<Host>,
    /// Days that the server's and client's certificates are valid [default: 365]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=MOST_LEAF.into()))]
    days: Option<u16>,
    /// Days that the root is valid [default: 3650]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=MOST_CA.into()))]
    ca_days: Option<u16>,
    /// Days until the revocation list must have been renewed [default: as --days]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=MOST_LEAF.into()))]
    crl_days: Option<u16>,
    /// Kind of all keys [default: ecdsa-p256]
    #[arg(long, value_enum)]
    algo: Option<Algorithm>,
    /// Common name of the root [default: profguard CA]
    #[arg(long, value_name = "NAME", value_parser = common_name)]
    name: Option<String>,
    /// Encrypt all private keys with the passphrase
    #[arg(long, requires = "passphrase")]
    pub(crate) encrypt: bool,
    #[command(flatten)]
    pub(crate) passphrase: PassphraseArgs,
}

const MOST_LEAF: u16 = 3650;
const MOST_CA: u16 = 9125;

/// What is made.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) hosts: Vec<Host>,
    pub(crate) days: u16,
    pub(crate) ca_days: u16,
    pub(crate) crl_days: u16,
    pub(crate) algo: Algorithm,
    pub(crate) name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    hosts: Option<Vec<String>>,
    days: Option<u16>,
    ca_days: Option<u16>,
    crl_days: Option<u16>,
    algo: Option<String>,
    name: Option<String>,
}

impl Options {
    /// Decides.
    ///
    /// # Errors
    /// The file cannot be read, or says what no option could; or the leaves would outlive the root.
    pub(crate) fn plan(&self) -> anyhow::Result<Plan> {
        let file = match &self.from {
            Some(path) => read(path).with_context(|| path.display().to_string())?,
            None => File::default(),
        };
        self.merge(file)
    }

    fn merge(&self, file: File) -> anyhow::Result<Plan> {
        let hosts = match (self.hosts.as_slice(), file.hosts) {
            ([], Some(hosts)) => hosts.iter().map(|h| host(h)).collect::<anyhow::Result<Vec<_>>>()?,
            ([], None) => {
                ["localhost", "127.0.0.1", "::1"].into_iter().map(host).collect::<anyhow::Result<_>>()?
            }
            (hosts, _) => hosts.to_vec(),
        };
        let algo = match (self.algo, &file.algo) {
            (Some(algo), _) => algo,
            (None, Some(text)) => {
                Algorithm::from_str(text, false).map_err(|e| anyhow::anyhow!("algo: {e}"))?
            }
            (None, None) => Algorithm::default(),
        };
        let name = match (&self.name, file.name) {
            (Some(name), _) => name.clone(),
            (None, Some(name)) => common_name(&name).map_err(|e| anyhow::anyhow!("name: {e}"))?,
            (None, None) => "profguard CA".to_owned(),
        };
        let days = self.days.or(file.days).unwrap_or(365);
        let ca_days = self.ca_days.or(file.ca_days).unwrap_or(3650);
        let crl_days = self.crl_days.or(file.crl_days).unwrap_or(days);
        for (what, n, most) in
            [("days", days, MOST_LEAF), ("ca_days", ca_days, MOST_CA), ("crl_days", crl_days, MOST_LEAF)]
        {
            ensure!((1..=most).contains(&n), "{what}: {n} is not between 1 and {most}");
        }
        if hosts.is_empty() {
            bail!("hosts: a server needs at least one name");
        }
        ensure!(
            days <= ca_days,
            "the certificates would be valid for {days} days, the root for {ca_days} only"
        );
        Ok(Plan { hosts, days, ca_days, crl_days, algo, name })
    }
}

fn read(path: &Path) -> anyhow::Result<File> {
    let text = String::from_utf8(files::read(path)?.to_vec()).context("not UTF-8 text")?;
    toml::from_str(&text).map_err(|e| {
        let lines: Vec<_> = e.to_string().lines().map(|l| l.trim().to_owned()).collect();
        anyhow::anyhow!("{}", lines.join(" "))
    })
}

fn host(text: &str) -> anyhow::Result<Host> {
    Host::parse(text).map_err(|e| anyhow::anyhow!("hosts: `{text}`: {e}"))
}

/// RFC 5280's upper bound of a common name.
fn common_name(text: &str) -> Result<String, String> {
    let good = (1..=64).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if good { Ok(text.to_owned()) } else { Err("expected 1 to 64 characters".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        options: Options,
    }

    fn plan(args: &[&str], file: &str) -> anyhow::Result<Plan> {
        let options = <Cli as clap::Parser>::parse_from([&["mint", "d"], args].concat()).options;
        options.merge(toml::from_str(file)?)
    }

    #[test]
    fn options_come_before_the_file_and_that_before_defaults() {
        let file = "hosts = [\"a.example\", \"10.0.0.1\"]\ndays = 10\nalgo = \"ed25519\"";
        let plan = plan(&["--days", "20", "--name", "Test CA"], file).unwrap();
        assert_eq!((plan.days, plan.crl_days, plan.ca_days, plan.algo), (20, 20, 3650, Algorithm::Ed25519));
        assert_eq!((plan.hosts.len(), plan.name.as_str()), (2, "Test CA"));
    }

    #[test]
    fn a_file_says_nothing_that_an_option_could_not() {
        for (file, word) in [
            ("days = 0", "days"),
            ("days = 20\nca_days = 10", "root"),
            ("algo = \"rsa-1024\"", "algo"),
            ("hosts = [\"a b\"]", "hosts"),
            ("hosts = []", "hosts"),
            ("name = \"\"", "name"),
            ("dayz = 3", "dayz"),
        ] {
            assert!(format!("{:#}", plan(&[], file).unwrap_err()).contains(word), "{file}");
        }
    }
}
