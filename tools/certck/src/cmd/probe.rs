//! `certck probe`: what a live daemon does, held to the rules.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use common::error::HintExt;
use common::exit::Exit;
use common::finding::{Finding, Severity};
use common::out::Out;
use common::pki::rule::Rule;
use common::pki::{Cert, LoadOptions, MtlsDir, PassphraseArgs, Role, inspect_peer, key, pem};
use common::record::certck as record;
use common::report::ReportFormat;
use common::text::Safe;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use time::OffsetDateTime;

use crate::authority::{Algorithm, Authority, Validity};
use crate::files;
use crate::handshake::{ANY, Offer, Outcome, TLS12, shake};
use crate::verdict::{Elsewhere, line};

/// Shake hands with a live daemon, and judge what it does
///
/// Says which TLS it speaks and which chain it presents, and holds the chain to the rules of `certck check`.
/// Then tries what must be refused: no client certificate, and one by an unknown CA.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "Examples:
  certck probe node17:1778 --certs-dir pki/client_certs
  certck probe 10.0.0.17:1778 --host node17.example.org --certs-dir pki/client_certs --format json
  certck probe node17:1778 --certs-dir pki/client_certs --refused old/client_certs")]
pub(crate) struct Args {
    /// Where the daemon listens
    #[arg(value_name = "HOST:PORT")]
    address: String,
    /// A client's certificate directory
    #[arg(long, value_name = "DIR")]
    certs_dir: PathBuf,
    /// Name that the daemon's certificate must be good for [default: HOST]
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// A directory whose client.crt and client.key must be refused: expired or revoked ones
    #[arg(long, value_name = "DIR")]
    refused: Vec<PathBuf>,
    /// Seconds that each handshake may take
    #[arg(long, value_name = "S", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=300))]
    timeout: u64,
    /// Warn of a validity that ends within so many days
    #[arg(long, value_name = "N", default_value_t = 30)]
    warn_days: u32,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

const NO_CLIENT_AUTH: Rule = Rule {
    id: "no-client-auth",
    severity: Severity::Error,
    what: "The daemon serves nobody without a client certificate.",
};
const WRONG_CLIENT_ACCEPTED: Rule = Rule {
    id: "wrong-client-accepted",
    severity: Severity::Error,
    what: "The daemon refuses client certificates that are by an unknown CA, expired or revoked.",
};
const CLIENT_REFUSED: Rule = Rule {
    id: "client-refused",
    severity: Severity::Error,
    what: "The daemon takes a good client certificate.",
};
const OLD_TLS: Rule =
    Rule { id: "tls-1.2", severity: Severity::Note, what: "The daemon speaks TLS 1.3 only." };

/// The rules that only a live daemon can break.
pub(crate) static OWN: [Rule; 4] = [NO_CLIENT_AUTH, WRONG_CLIENT_ACCEPTED, CLIENT_REFUSED, OLD_TLS];

pub(crate) fn run(args: &Args, format: ReportFormat, out: &mut Out) -> anyhow::Result<Exit> {
    let passphrase = args.passphrase.read()?;
    let options = LoadOptions { passphrase: passphrase.as_ref(), ..LoadOptions::now() };
    let dir = MtlsDir::load(&args.certs_dir, Role::Client, &options)
        .hint(format!("see `certck check {}`", args.certs_dir.display()))?;
    let probe = Probe::new(args)?;
    let good = probe.shake(Some(dir.certified_key().clone())).with_context(|| args.address.clone())?;
    let mut findings = probe.judge(&good, &dir);
    findings.extend(probe.refusals(&good)?);
    for refused in &args.refused {
        findings.extend(probe.must_refuse(refused)?);
    }
    let old = probe.old();
    if old {
        findings.push(
            OLD_TLS
                .at(probe.name())
                .found("TLS 1.2 is spoken too")
                .expected("TLS 1.3 only, unless old peers need it"),
        );
    }
    write(&probe.record(&good, old), &findings, format, out)
}

struct Probe<'a> {
    args: &'a Args,
    host: String,
    name: ServerName<'static>,
    timeout: Duration,
}

impl<'a> Probe<'a> {
    fn new(args: &'a Args) -> anyhow::Result<Self> {
        let (host, _) =
            args.address.rsplit_once(':').ok_or_else(|| anyhow!("{}: not HOST:PORT", args.address))?;
        let host = args.host.as_deref().unwrap_or(host).trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host.clone()).with_context(|| host.clone())?;
        Ok(Self { args, host, name, timeout: Duration::from_secs(args.timeout) })
    }

    fn name(&self) -> &Path {
        Path::new(&self.args.address)
    }

    fn shake(&self, certificate: Option<CertifiedKey>) -> anyhow::Result<Outcome> {
        let offer = Offer { versions: ANY, certificate: certificate.map(Arc::new) };
        shake(&self.args.address, &self.name, &offer, self.timeout)
    }

    /// The chain that was shown, and whether we were let in.
    fn judge(&self, good: &Outcome, dir: &MtlsDir) -> Vec<Finding> {
        let hosts = [self.host.clone()];
        let options = LoadOptions { hosts: &hosts, warn_days: self.args.warn_days, ..LoadOptions::now() };
        let mut findings = inspect_peer(self.name(), &good.chain, Role::Server, dir, &options);
        if !good.accepted {
            let expected = format!("the certificate of {}", self.args.certs_dir.display());
            findings.push(CLIENT_REFUSED.at(self.name()).found("our certificate is refused").expected(expected).fix("look into the daemon's log; see that both ends have the same ca.crt and a CRL that is in force"));
        }
        findings
    }

    /// What must be refused whatever the daemon's CA is: nobody, and somebody of another CA.
    fn refusals(&self, good: &Outcome) -> anyhow::Result<Vec<Finding>> {
        let mut findings = Vec::new();
        let let_in = |outcome: anyhow::Result<Outcome>| outcome.is_ok_and(|o| o.accepted);
        if !good.asked || let_in(self.shake(None)) {
            let found = if good.asked {
                "serves clients without a certificate"
            } else {
                "asks for no client certificate"
            };
            findings.push(
                NO_CLIENT_AUTH
                    .at(self.name())
                    .found(found)
                    .expected("a client certificate demanded")
                    .fix("start the daemon with --certs-dir"),
            );
        } else if let_in(self.shake(Some(stranger()?))) {
            findings.push(
                WRONG_CLIENT_ACCEPTED
                    .at(self.name())
                    .found("serves a client whose CA it cannot know")
                    .expected("a refusal"),
            );
        }
        Ok(findings)
    }

    fn must_refuse(&self, dir: &Path) -> anyhow::Result<Option<Finding>> {
        let layout = Role::Client.layout();
        let chain = files::certificates(&dir.join(layout.leaf))?.into_iter().map(|c| c.der).collect();
        let block = files::private_key(&dir.join(layout.key))?;
        let key = key::read(&block, None).map_err(|e| anyhow!("{}: {e}", dir.join(layout.key).display()))?;
        let accepted = self.shake(Some(CertifiedKey::new(chain, key))).is_ok_and(|o| o.accepted);
        let found = || format!("serves the client of {}", dir.display());
        Ok(accepted.then(|| {
            WRONG_CLIENT_ACCEPTED
                .at(self.name())
                .found(found())
                .expected("a refusal")
                .fix("see that the daemon has a CRL that is in force")
        }))
    }

    /// Whether TLS 1.2 is spoken.
    fn old(&self) -> bool {
        let offer = Offer { versions: TLS12, certificate: None };
        // A refusal of our missing certificate comes after the version is agreed upon.
        shake(&self.args.address, &self.name, &offer, self.timeout).is_ok_and(|o| o.protocol == "TLSv1_2")
    }

    fn record(&self, good: &Outcome, tls12: bool) -> record::Probe {
        let subject = |der: &rustls::pki_types::CertificateDer<'_>| {
            Cert::parse(der).map_or_else(|_| "(unreadable)".to_owned(), |c| c.subject.to_string())
        };
        record::Probe {
            address: self.args.address.clone(),
            protocol: good.protocol.clone(),
            suite: good.suite.clone(),
            key_exchange: good.key_exchange.clone(),
            chain: good.chain.iter().map(subject).collect(),
            asks_for_certificate: good.asked,
            tls12,
            accepted: good.accepted,
            handshake_us: u64::try_from(good.took.as_micros()).unwrap_or(u64::MAX),
        }
    }
}

/// A client of a CA that was made a moment ago.
fn stranger() -> anyhow::Result<CertifiedKey> {
    let now = OffsetDateTime::now_utc();
    let validity = Validity { from: now - time::Duration::HOUR, until: now + time::Duration::DAY };
    let (authority, _) = Authority::new(Algorithm::EcdsaP256.generate()?, "certck probe", validity)?;
    let key = Algorithm::EcdsaP256.generate()?;
    let leaf = authority.leaf(&key, Role::Client, &[], validity)?;
    let certificate = pem::parse(leaf.pem.as_bytes())?.remove(0).der.to_vec().into();
    let block = pem::parse(key.pem(None)?.as_bytes())?.remove(0);
    Ok(CertifiedKey::new(vec![certificate], key::read(&block, None)?))
}

fn write(
    probe: &record::Probe,
    findings: &[Finding],
    format: ReportFormat,
    out: &mut Out,
) -> anyhow::Result<Exit> {
    let about = |finding: &Finding| record::Finding {
        dir: probe.address.clone(),
        role: "server".to_owned(),
        finding: finding.clone(),
    };
    let findings: Vec<_> = findings.iter().map(about).collect();
    let refused = findings.iter().any(|f| f.finding.severity == Severity::Error);
    let elsewhere = Elsewhere {
        own: &OWN,
        noun: "daemons",
        subjects: 1,
        refused: u64::from(refused),
        findings: &findings,
        ..Elsewhere::default()
    };
    let (diag, to) = out.parts();
    elsewhere.write(format, diag, to, |to| line(to, probe), |to| text(probe, to))
}

fn text(probe: &record::Probe, to: &mut dyn Write) -> io::Result<()> {
    let exchange = probe.key_exchange.as_deref().unwrap_or("unknown key exchange");
    writeln!(to, "{}: {}, {}, {exchange}", Safe(&probe.address), probe.protocol, probe.suite)?;
    writeln!(to, "  presents {}", Safe(&probe.chain.join(" < ")))?;
    let asks =
        if probe.asks_for_certificate { "asks for a client certificate" } else { "asks for no certificate" };
    let takes = if probe.accepted { "takes ours" } else { "refuses ours" };
    writeln!(to, "  {asks}, {takes}; handshake in {} us", probe.handshake_us)
}
