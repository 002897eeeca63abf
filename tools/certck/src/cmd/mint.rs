//! `certck mint`: a certificate authority and the two directories that it serves.

use std::path::{Path, PathBuf};

use anyhow::ensure;
use common::exit::Exit;
use common::finding::Finding;
use common::out::{Format, Out};
use common::pki::{Passphrase, PassphraseArgs, Role};
use common::record::certck::{Minted, Summary};
use time::{Duration, OffsetDateTime};

use crate::authority::{Algorithm, Authority, Host, Issued, Validity};
use crate::clock::rfc3339;
use crate::stage::Stage;

/// Make a certificate authority, a server's and a client's directory
///
/// Makes DIR/ca (the root and its private key: keep it apart, off the servers), DIR/server_certs and
/// DIR/client_certs, with directories of mode 0700 and files of mode 0600. All appear at once; nothing that
/// exists is replaced.
#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_long_help = "Examples:
  certck mint pki
  certck mint --host node17.example.org --host 10.0.0.17 --days 90 pki
  profd --certs-dir pki/server_certs &
  profctl --certs-dir pki/client_certs status")]
pub(crate) struct Args {
    #[command(subcommand)]
    cmd: Option<Cmd>,
    #[command(flatten)]
    plan: Plan,
}

#[derive(clap::Subcommand, Debug)]
enum Cmd {
    Renew(super::renew::Args),
}

/// What is made.
#[derive(clap::Args, Debug)]
struct Plan {
    /// Where to make the directories; made too if it does not exist
    #[arg(value_name = "DIR", required = true)]
    dir: Option<PathBuf>,
    /// Name or address of the server [default: localhost, 127.0.0.1, ::1]
    #[arg(long = "host", value_name = "NAME", value_parser = Host::parse)]
    hosts: Vec<Host>,
    /// Days that the server's and client's certificates are valid
    #[arg(long, value_name = "N", default_value_t = 365, value_parser = clap::value_parser!(u16).range(1..=3650))]
    days: u16,
    /// Days that the root is valid
    #[arg(long, value_name = "N", default_value_t = 3650, value_parser = clap::value_parser!(u16).range(1..=9125))]
    ca_days: u16,
    /// Days until the revocation list must have been renewed [default: as --days]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=3650))]
    crl_days: Option<u16>,
    /// Kind of all keys
    #[arg(long, value_enum, default_value_t)]
    algo: Algorithm,
    /// Encrypt all private keys with the passphrase
    #[arg(long, requires = "passphrase")]
    encrypt: bool,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

/// How far back a validity begins: clocks of two machines differ.
const SKEW: Duration = Duration::minutes(5);

pub(crate) fn run(args: &Args, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
    match (&args.cmd, &args.plan.dir) {
        (Some(Cmd::Renew(args)), _) => super::renew::run(args, format, out),
        (None, Some(dir)) => mint(&args.plan, dir, format, out),
        (None, None) => anyhow::bail!("no directory is given"),
    }
}

fn mint(args: &Plan, dir: &Path, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
    let hosts = match args.hosts.as_slice() {
        [] => ["localhost", "127.0.0.1", "::1"]
            .map(|h| Host::parse(h).map_err(anyhow::Error::msg))
            .into_iter()
            .collect::<anyhow::Result<_>>()?,
        hosts => hosts.to_vec(),
    };
    ensure!(args.days <= args.ca_days, "--days {} is longer than --ca-days {}", args.days, args.ca_days);
    let mut stage = Stage::begin(dir)?;
    for name in [CA, SERVER, CLIENT] {
        stage.dir(name)?;
    }
    let passphrase = args.passphrase.read()?.filter(|_| args.encrypt);
    let made = make(args, dir, &hosts, &stage, passphrase.as_ref())?;
    stage.commit()?;
    report(&made, format, out)?;
    Ok(Exit::Ok)
}

const CA: &str = "ca";
const SERVER: &str = "server_certs";
const CLIENT: &str = "client_certs";

fn make(
    args: &Plan,
    at: &Path,
    hosts: &[Host],
    stage: &Stage,
    lock: Option<&Passphrase>,
) -> anyhow::Result<Vec<Minted>> {
    let now = OffsetDateTime::now_utc().replace_nanosecond(0)?;
    let validity = |days: u16| Validity { from: now - SKEW, until: now + Duration::days(i64::from(days)) };
    let (authority, root) = Authority::new(args.algo.generate()?, "profguard CA", validity(args.ca_days))?;
    let crl = authority.crl(1, Vec::new(), validity(args.crl_days.unwrap_or(args.days)))?;
    stage.file(CA, "ca.crt", root.pem.as_bytes())?;
    stage.file(CA, "ca.key", authority.key_pem(lock)?.as_bytes())?;
    stage.file(CA, "ca.crl", crl.as_bytes())?;
    let mut made = vec![minted(
        args,
        at.join(CA),
        "ca",
        ["ca.crt", "ca.key", "ca.crl"].map(str::to_owned).into(),
        &root,
    )];
    for (role, dir, hosts) in [(Role::Server, SERVER, hosts), (Role::Client, CLIENT, &[])] {
        let (layout, key) = (role.layout(), args.algo.generate()?);
        let leaf = authority.leaf(&key, role, hosts, validity(args.days))?;
        stage.file(dir, layout.ca, root.pem.as_bytes())?;
        stage.file(dir, layout.leaf, leaf.pem.as_bytes())?;
        stage.file(dir, layout.key, key.pem(lock)?.as_bytes())?;
        stage.file(dir, layout.crl, crl.as_bytes())?;
        let mut record =
            minted(args, at.join(dir), role.name(), layout.names().map(str::to_owned).into(), &leaf);
        record.hosts = hosts.iter().map(ToString::to_string).collect();
        made.push(record);
    }
    Ok(made)
}

fn minted(args: &Plan, path: PathBuf, role: &str, files: Vec<String>, certificate: &Issued) -> Minted {
    Minted {
        role: role.to_owned(),
        path: path.to_string_lossy().into_owned(),
        path_hex: hex_of(&path),
        files,
        algorithm: args.algo.name(),
        subject: certificate.subject.clone(),
        serial: certificate.serial.clone(),
        not_before: rfc3339(certificate.validity.from),
        not_after: rfc3339(certificate.validity.until),
        hosts: Vec::new(),
    }
}

fn hex_of(path: &Path) -> Option<String> {
    Finding::new("", common::finding::Severity::Note, path).path_hex
}

fn report(made: &[Minted], format: Format, out: &mut Out) -> anyhow::Result<()> {
    if format == Format::Json {
        made.iter().try_for_each(|m| out.record(m))?;
        return Ok(out.record(&Summary { made: made.len() as u64, ..Summary::default() })?);
    }
    for m in made {
        let path = common::text::safe(&m.path);
        writeln!(
            out.text(),
            "{path}: {} ({}, {}, until {})",
            m.files.join(" "),
            m.subject,
            m.algorithm,
            m.not_after
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use common::out::Verbosity;
    use common::pki::{LoadOptions, MinVersion, MtlsDir};

    use super::*;

    fn mint(dir: &Path, more: &[&str]) -> anyhow::Result<Exit> {
        #[derive(clap::Parser)]
        struct Cli {
            #[command(flatten)]
            args: Args,
        }
        let words = ["mint"].iter().chain(more).map(std::ffi::OsStr::new).chain([dir.as_os_str()]);
        let args = <Cli as clap::Parser>::parse_from(words).args;
        let mut out = Out::to(Box::new(std::io::sink()), "certck", false, Verbosity::Quiet);
        run(&args, Format::Json, &mut out)
    }

    fn load(dir: &Path, role: Role) -> MtlsDir {
        let name = if role == Role::Server { SERVER } else { CLIENT };
        MtlsDir::load(&dir.join(name), role, &LoadOptions::now()).unwrap()
    }

    /// Shuttles bytes between two ends in memory until the handshake is done.
    fn handshake(dir: &Path, version: MinVersion, name: &'static str) -> Result<(), rustls::Error> {
        let client = load(dir, Role::Client).client_config(version).unwrap();
        let server = load(dir, Role::Server).server_config(version).unwrap();
        let mut client = rustls::ClientConnection::new(Arc::new(client), name.try_into().unwrap())?;
        let mut server = rustls::ServerConnection::new(Arc::new(server))?;
        while client.is_handshaking() || server.is_handshaking() {
            let mut bytes = Vec::new();
            client.write_tls(&mut bytes).unwrap();
            server.read_tls(&mut bytes.as_slice()).unwrap();
            server.process_new_packets()?;
            bytes.clear();
            server.write_tls(&mut bytes).unwrap();
            client.read_tls(&mut bytes.as_slice()).unwrap();
            client.process_new_packets()?;
        }
        Ok(())
    }

    #[test]
    fn what_is_minted_serves() {
        for algo in ["ecdsa-p256", "ecdsa-p384", "ed25519", "rsa-3072"] {
            let dir = tempfile::tempdir().unwrap();
            assert_eq!(mint(dir.path(), &["--algo", algo]).unwrap(), Exit::Ok);
            handshake(dir.path(), MinVersion::Tls13, "localhost").unwrap();
            handshake(dir.path(), MinVersion::Tls12, "127.0.0.1").unwrap();
            assert!(handshake(dir.path(), MinVersion::Tls13, "example.org").is_err());
        }
    }

    #[test]
    fn nothing_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        mint(dir.path(), &[]).unwrap();
        let before = std::fs::read(dir.path().join("ca/ca.key")).unwrap();
        let error = mint(dir.path(), &[]).unwrap_err();
        assert!(error.to_string().ends_with("ca: already exists"), "{error}");
        assert_eq!(std::fs::read(dir.path().join("ca/ca.key")).unwrap(), before);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
    }
}
