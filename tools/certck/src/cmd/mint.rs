//! `certck mint`: a certificate authority and the two directories that it serves.

use std::path::Path;

use common::exit::Exit;
use common::out::{Format, Out};
use common::pki::{Passphrase, Role};
use common::record::certck::MintedRecord;

use crate::authority::Authority;
use crate::authority_settings;
use crate::issued_log;
use crate::leaf::{LeafRequest, LeafSubject, Validity, default_common_name};
use crate::mint_plan::{MintOptions, MintPlan};
use crate::minted_output::{minted_record, report_minted, warn_if_long};
use crate::new_passphrase::read_new_passphrase;
use crate::pem_block::encode_block;
use crate::staged_dirs::DirectoryStage;

/// Make a certificate authority, a server's and a client's directory
///
/// Makes DIR/ca (the root and its private key: keep it off the servers), DIR/server_certs and DIR/client_certs, with mode
/// 0700 for directories and 0600 for files. All appear at once; nothing that exists is replaced. `certck mint leaf` adds
/// servers and clients under the same authority, `certck mint renew` renews certificates that expire soon, and `certck mint
/// rollover` replaces the root.
/// DIR/ca/issued.jsonl lists every certificate issued; DIR/ca/authority.toml keeps --crl-url, --ocsp-url, --days, --crl-days
/// and --algo for the certificates and CRLs that are issued later. Edit it to change them.
#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(arg = common::report::plain_format(), after_long_help = "Examples:
  certck mint pki
  certck mint --host node17.example.org --host 10.0.0.17 --days 90 pki
  certck mint --profile compat --crl-url http://pki.example.org/ca.crl pki
  certck mint --from pki.toml --encrypt --ask-passphrase pki
  profd --certs-dir pki/server_certs &
  profctl --certs-dir pki/client_certs status")]
pub(crate) struct MintArgs {
    #[command(subcommand)]
    cmd: Option<MintCommand>,
    #[command(flatten)]
    options: MintOptions,
}

#[derive(clap::Subcommand, Debug)]
enum MintCommand {
    Leaf(super::leaf::MintLeafArgs),
    Renew(super::renew::RenewArgs),
    Rollover(super::rollover::RolloverArgs),
}

pub(crate) fn run(args: &MintArgs, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
    match (&args.cmd, &args.options.dir) {
        (Some(MintCommand::Leaf(args)), _) => super::leaf::run(args, format, out),
        (Some(MintCommand::Renew(args)), _) => super::renew::run(args, format, out),
        (Some(MintCommand::Rollover(args)), _) => super::rollover::run(args, format, out),
        (None, Some(dir)) => mint_pki(&args.options, dir, format, out),
        (None, None) => anyhow::bail!("no directory is given"),
    }
}

fn mint_pki(options: &MintOptions, dir: &Path, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
    let plan = options.to_plan()?;
    let passphrase = read_new_passphrase(&options.passphrase)?;
    warn_if_long(plan.days, out);
    let mut stage = DirectoryStage::begin(dir)?;
    for name in [CA, SERVER, CLIENT] {
        stage.add_dir(name)?;
    }
    let made = make_dirs(&plan, dir, &stage, passphrase.as_ref())?;
    stage.commit()?;
    report_minted(&made, format, out)?;
    Ok(Exit::Ok)
}

const CA: &str = "ca";
const SERVER: &str = "server_certs";
const CLIENT: &str = "client_certs";

fn make_dirs(
    plan: &MintPlan,
    at: &Path,
    stage: &DirectoryStage,
    lock: Option<&Passphrase>,
) -> anyhow::Result<Vec<MintedRecord>> {
    let (authority, root) =
        Authority::new(plan.algo.generate_key()?, &plan.name, Validity::for_days(plan.ca_days)?)?;
    let crl = authority.sign_crl(1, Vec::new(), Validity::for_days(plan.crl_days)?)?;
    let crl = encode_block("X509 CRL", &crl);
    stage.write_file(CA, "ca.crt", root.pem.as_bytes())?;
    stage.write_file(CA, "ca.key", authority.key_pem(lock)?.as_bytes())?;
    stage.write_file(CA, "ca.crl", crl.as_bytes())?;
    let files = ["ca.crt", "ca.key", "ca.crl", issued_log::FILE, authority_settings::FILE].map(str::to_owned);
    let mut made = vec![minted_record(plan.algo.name(), at.join(CA), "ca", files.into(), &root)];
    let mut lines = Vec::new();
    for (role, dir, hosts) in [(Role::Server, SERVER, plan.hosts.as_slice()), (Role::Client, CLIENT, &[])] {
        let (layout, key) = (role.layout(), plan.algo.generate_key()?);
        let leaf = authority.issue_leaf(
            &key,
            &LeafRequest {
                role,
                subject: LeafSubject::Common(&default_common_name(role)),
                hosts,
                validity: Validity::for_days(plan.days)?.within_issuer(&root.cert)?.0,
                addresses: &plan.addresses,
            },
        )?;
        stage.write_file(dir, layout.ca, root.pem.as_bytes())?;
        stage.write_file(dir, layout.leaf, leaf.pem.as_bytes())?;
        stage.write_file(dir, layout.key, key.to_pem(lock)?.as_bytes())?;
        stage.write_file(dir, layout.crl, crl.as_bytes())?;
        let path = at.join(dir);
        lines.extend(issued_log::issued_line(&leaf, role, hosts, &path)?);
        let files = layout.file_names().map(str::to_owned).into();
        let mut record = minted_record(plan.algo.name(), path, role.name(), files, &leaf);
        record.hosts = hosts.iter().map(ToString::to_string).collect();
        made.push(record);
    }
    stage.write_file(CA, issued_log::FILE, &lines)?;
    stage.write_file(CA, authority_settings::FILE, plan.settings.to_toml()?.as_bytes())?;
    Ok(made)
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
            args: MintArgs,
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
    fn minted_directories_work_for_a_handshake() {
        for algo in ["ecdsa-p256", "ecdsa-p384", "ed25519", "rsa-3072"] {
            let dir = tempfile::tempdir().unwrap();
            assert_eq!(mint(dir.path(), &["--algo", algo]).unwrap(), Exit::Ok);
            handshake(dir.path(), MinVersion::Tls13, "localhost").unwrap();
            handshake(dir.path(), MinVersion::Tls12, "127.0.0.1").unwrap();
            assert!(handshake(dir.path(), MinVersion::Tls13, "example.org").is_err());
        }
    }

    #[test]
    fn mint_replaces_nothing_that_exists() {
        let dir = tempfile::tempdir().unwrap();
        mint(dir.path(), &[]).unwrap();
        let before = std::fs::read(dir.path().join("ca/ca.key")).unwrap();
        let error = mint(dir.path(), &[]).unwrap_err();
        assert!(error.to_string().ends_with("ca: already exists"), "{error}");
        assert_eq!(std::fs::read(dir.path().join("ca/ca.key")).unwrap(), before);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
    }
}
