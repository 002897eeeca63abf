//! `certck mint leaf`: another server or client under an existing authority.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use common::duration::days_within;
use common::error::HintExt;
use common::exit::Exit;
use common::out::{Format, Out};
use common::pki::{CrlLimitArgs, Passphrase, PassphraseArgs, Role, pem};
use common::record::certck::MintedRecord;

use crate::authority::{IssuedLeaf, KeyAlgorithm, SigningKeyPair};
use crate::authority_settings::AuthoritySettings;
use crate::ca_dir::CaDir;
use crate::leaf::{
    LeafHost, LeafRequest, LeafSubject, StatusUrls, Validity, default_common_name, parse_common_name,
};
use crate::minted_output::{check_new_directory, minted_record, report_minted, warn_if_long};
use crate::new_passphrase::read_new_passphrase;
use crate::pem_block::encode_block;
use crate::renewal::encode_roots;
use crate::request::{RequestKey, SigningRequest};
use crate::staged_dirs::DirectoryStage;
use crate::{files, issued_log};

/// Make another server's or client's directory under an existing authority
///
/// Makes DEST_DIR with ca.crt, a new certificate and its key, and the authority's CRL. It appears as a whole once it is
/// checked, or not at all; nothing that exists is replaced. Give each server and each client a certificate of its own, so
/// that one can be revoked without the others. During a rollover, DEST_DIR has both roots and both CRLs. Validity, kind of key, CRL and OCSP addresses are those of the authority's
/// authority.toml, unless options say otherwise.
#[derive(clap::Args, Debug)]
#[command(arg = common::report::plain_format(), after_long_help = "Examples:
  certck mint leaf pki/ca node18_certs --role server --host node18.example.org --name node18
  certck mint leaf pki/ca alice_certs --role client --name alice --days 90
  certck mint leaf pki/ca node19_certs --role server --host node19.example.org --csr node19.csr")]
pub(crate) struct MintLeafArgs {
    /// The authority's directory (ca.crt, ca.key, ca.crl), or the directory that was given to `certck mint`
    #[arg(value_name = "CA_DIR")]
    ca: PathBuf,
    /// Directory to make; its parent must exist
    #[arg(value_name = "DEST_DIR")]
    dest: PathBuf,
    /// Role of the certificate
    #[arg(long, value_enum)]
    role: Role,
    /// Name or address for which the certificate is valid; may be repeated; required for a server
    #[arg(long = "host", value_name = "NAME", value_parser = LeafHost::parse_host, required_if_eq("role", "server"))]
    hosts: Vec<LeafHost>,
    /// Common name, which identifies the client in audit logs [default: profguard server, profguard client]
    #[arg(long, value_name = "NAME", value_parser = parse_common_name)]
    name: Option<String>,
    /// Validity of the certificate in days [default: that of the authority's authority.toml, or 365]
    #[arg(long, value_name = "N", value_parser = days_within(1..=3650))]
    days: Option<u16>,
    /// Key algorithm [default: that of the authority's authority.toml, or of its own key]
    #[arg(long, value_enum)]
    algo: Option<KeyAlgorithm>,
    #[command(flatten)]
    addresses: StatusUrls,
    /// Issue the certificate for the key of this signing request, PEM, instead of a new key: DEST_DIR then has no key.
    /// Names and extensions of the request are ignored
    #[arg(long, value_name = "FILE", conflicts_with_all = ["algo", "encrypt"])]
    csr: Option<PathBuf>,
    /// Encrypt the private key; the same passphrase decrypts the authority's key if that is encrypted
    #[arg(long, requires = "passphrase")]
    encrypt: bool,
    #[command(flatten)]
    crl_limit: CrlLimitArgs,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

pub(crate) fn run(args: &MintLeafArgs, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
    let passphrase =
        if args.encrypt { read_new_passphrase(&args.passphrase)? } else { args.passphrase.read()? };
    let ca = CaDir::open(&args.ca, passphrase.as_ref(), args.crl_limit)?;
    if passphrase.is_some() && !args.encrypt && !ca.is_encrypted() {
        return Err(anyhow::anyhow!(
            "a passphrase is given, and neither the authority's key nor the new one is encrypted"
        ))
        .hint("add --encrypt, or omit the passphrase option");
    }
    let settings = AuthoritySettings::read_file(&ca.path)?;
    let days = args.days.or(settings.days).unwrap_or(365);
    warn_if_long(days, out);
    let (validity, cut) = Validity::for_days(days)?.within_issuer(&ca.certificate)?;
    if cut {
        out.warn(
            args.ca.display(),
            format_args!("expires at {}, and the certificate with it", ca.certificate.not_after),
        );
    }
    let lock = passphrase.as_ref().filter(|_| args.encrypt);
    let made = make_leaf_dir(args, &ca, &settings, validity, lock)?;
    report_minted(&[made], format, out)?;
    Ok(Exit::Ok)
}

fn make_leaf_dir(
    args: &MintLeafArgs,
    ca: &CaDir,
    settings: &AuthoritySettings,
    validity: Validity,
    lock: Option<&Passphrase>,
) -> anyhow::Result<MintedRecord> {
    let layout = args.role.layout();
    // During a rollover both roots are trusted, in new directories too: peers present certificates of either.
    let (mut roots, mut crls) = (vec![ca.certificate.clone()], vec![ca.usable_crl()?.clone()]);
    if let Some((root, crl)) = ca.rollover_peer()? {
        roots.push(root);
        crls.push(crl);
    }
    let list: String = crls.iter().map(|crl| encode_block("X509 CRL", &crl.der).to_string()).collect();
    let (parent, name) = split_destination(&args.dest)?;
    let mut stage = DirectoryStage::begin(parent)?;
    stage.add_dir(name)?;
    let (leaf, key) = issue_leaf(args, ca, settings, validity)?;
    stage.write_file(name, layout.ca, &encode_roots(&roots))?;
    stage.write_file(name, layout.leaf, leaf.pem.as_bytes())?;
    stage.write_file(name, layout.crl, list.as_bytes())?;
    let mut files = vec![layout.ca, layout.leaf, layout.crl];
    if let Some(key) = key {
        stage.write_file(name, layout.key, key.to_pem(lock)?.as_bytes())?;
        files.insert(2, layout.key);
    }
    check_new_directory(
        &stage.staged_path(name),
        args.role,
        &args.dest,
        lock,
        args.csr.is_some(),
        args.crl_limit,
    )?;
    issued_log::append_line(ca, &issued_log::issued_line(&leaf, args.role, &args.hosts, &args.dest)?)?;
    stage.commit()?;
    let algorithm = KeyAlgorithm::for_key(&leaf.cert.key)
        .map_or_else(|_| leaf.cert.key.kind.to_string(), KeyAlgorithm::name);
    let files = files.into_iter().map(str::to_owned).collect();
    let mut record = minted_record(algorithm, args.dest.clone(), args.role.name(), files, &leaf);
    record.hosts = args.hosts.iter().map(ToString::to_string).collect();
    Ok(record)
}

/// Issues the certificate; returns the key too unless a request was given.
fn issue_leaf(
    args: &MintLeafArgs,
    ca: &CaDir,
    settings: &AuthoritySettings,
    validity: Validity,
) -> anyhow::Result<(IssuedLeaf, Option<SigningKeyPair>)> {
    let name = args.name.clone().unwrap_or_else(|| default_common_name(args.role));
    let leaf = LeafRequest {
        role: args.role,
        subject: LeafSubject::Common(&name),
        hosts: &args.hosts,
        validity,
        addresses: &args.addresses.or_defaults(&settings.addresses),
    };
    if let Some(path) = &args.csr {
        let shown = || path.display().to_string();
        let request = read_request(path).with_context(shown)?;
        let key = RequestKey::of_request(&request).with_context(shown)?;
        return Ok((ca.authority.issue_leaf(&key, &leaf)?, None));
    }
    let key = match args.algo.or(settings.algo) {
        Some(algo) => algo.generate_key()?,
        None => KeyAlgorithm::for_key(&ca.certificate.key)?.generate_key()?,
    };
    Ok((ca.authority.issue_leaf(&key, &leaf)?, Some(key)))
}

/// Reads the one signing request of a PEM file.
fn read_request(path: &Path) -> anyhow::Result<SigningRequest> {
    let blocks = pem::parse(&files::read_file(path)?)?;
    let mut requests = blocks.iter().filter(|b| b.label.ends_with("CERTIFICATE REQUEST"));
    let block = requests.next().context("holds no certificate request")?;
    ensure!(requests.next().is_none(), "holds several certificate requests");
    SigningRequest::parse(&block.der).context("not a signing request")
}

/// The parent of the directory to make, and its name.
fn split_destination(dest: &Path) -> anyhow::Result<(&Path, &str)> {
    let shown = || dest.display().to_string();
    let Some(name) = dest.file_name() else { bail!("{}: not the name of a directory to make", shown()) };
    let name = name.to_str().with_context(shown).context("the name is not UTF-8")?;
    if dest.symlink_metadata().is_ok() {
        return Err(anyhow::anyhow!("{}: already exists", shown()))
            .hint("name a new directory; use `certck mint renew` to renew this one");
    }
    let parent = dest.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    ensure!(parent.is_dir(), "{}: does not exist", parent.display());
    Ok((parent, name))
}
