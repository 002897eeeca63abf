//! `certck probe`: what live daemons do, held to the rules.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use common::duration::duration;
use common::error::HintExt;
use common::exit::Exit;
use common::finding::{Finding, Severity};
use common::fsat::Output;
use common::out::{Diag, Out};
use common::pki::{Cert, LoadOptions, MtlsDir, PassphraseArgs, Role, inspect_peer};
use common::policy::Mode;
use common::record::certck as record;
use common::record::write as line;
use common::report::ReportFormat;
use common::text::Safe;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use time::OffsetDateTime;

use crate::decoy::{self, Decoy};
use crate::handshake::{ANY, NoTls, Offer, Outcome, TLS12, TooSlow, shake};
use crate::order::in_order;
use crate::rules::{CLIENT_REFUSED, NO_CLIENT_AUTH, NO_TLS, OBSOLETE_TLS, OLD_TLS, PROBE_RULES};
use crate::suppress::Suppressions;
use crate::verdict::Elsewhere;
use crate::{judgement, live, oldtls};

/// Shake hands with live daemons, and judge what they do
///
/// Says which TLS each speaks and which chain it presents, and holds the chain to the rules of `certck check`.
/// Then tries what must be refused: no client certificate, and one by an unknown CA; with --ca also an expired one,
/// one that is for servers only, and one whose serial number the CA's CRL revokes. These are made in memory, and
/// written nowhere. Only an alert, or the end of the connection once our certificate was sent, counts as a refusal.
///
/// Exit status 1 means that a daemon is not as it should be; 2 that one could not be reached, or that something could
/// not be found out. With --format nagios that is 3, and 2 is a daemon that is not as it should be.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "Examples:
  certck probe node17:1778 --certs-dir pki/client_certs
  certck probe node17:1778 node18:1778 --certs-dir pki/client_certs --ca pki/ca
  certck probe 10.0.0.17:1778 --host node17.example.org --certs-dir pki/client_certs --format json
  certck probe node17:1778 --certs-dir pki/client_certs --refused old/client_certs")]
pub(crate) struct Args {
    /// Where the daemons listen
    #[arg(value_name = "HOST:PORT", required = true, value_parser = address)]
    addresses: Vec<Address>,
    /// A client's certificate directory
    #[arg(long, value_name = "DIR")]
    certs_dir: PathBuf,
    /// Name that each daemon's certificate must be good for [default: HOST]
    #[arg(long, value_name = "NAME", value_parser = judgement::host)]
    host: Option<String>,
    /// The directory of the CA that issued the client's certificate, with its ca.key: to make clients that must be
    /// refused
    #[arg(long, value_name = "CA_DIR")]
    ca: Option<PathBuf>,
    /// A directory whose client.crt and client.key must be refused: expired or revoked ones
    #[arg(long, value_name = "DIR")]
    refused: Vec<PathBuf>,
    /// Time limit for each handshake, such as 5s or 500ms; a bare number is seconds
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    timeout: Duration,
    /// Warn of a validity that ends within so many days, at most within its last third
    #[arg(long, value_name = "N", default_value_t = 30)]
    warn_days: u32,
    /// Do not count the findings that FILE lists with a reason and an end date; a path there is HOST:PORT
    #[arg(long, value_name = "FILE")]
    suppress: Option<PathBuf>,
    /// Write the report to FILE, replaced in one step, instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

/// Where a daemon listens, and the host's name in it.
#[derive(Clone, Debug)]
struct Address {
    text: String,
    host: String,
}

fn address(text: &str) -> Result<Address, String> {
    let (host, port) = text.rsplit_once(':').ok_or("expected HOST:PORT")?;
    port.parse::<u16>().map_err(|_| format!("`{port}` is no port"))?;
    let host = judgement::host(host.trim_matches(['[', ']']))?;
    Ok(Address { text: text.to_owned(), host })
}

pub(crate) fn run(args: &Args, format: ReportFormat, out: &mut Out) -> anyhow::Result<Exit> {
    let (diag, to) = out.parts();
    let passphrase = args.passphrase.read()?;
    let options = LoadOptions { passphrase: passphrase.as_ref(), ..LoadOptions::now() };
    let dir = MtlsDir::load(&args.certs_dir, Role::Client, &options)
        .hint(format!("see `certck check {}`", args.certs_dir.display()))?;
    let mut decoys = vec![decoy::stranger()?];
    if let Some(ca) = &args.ca {
        decoys.extend(decoy::of_authority(ca, passphrase.as_ref(), &dir)?);
    }
    for refused in &args.refused {
        decoys.push(decoy::of_directory(refused, passphrase.as_ref())?);
    }
    let suppressions = Suppressions::read(args.suppress.as_deref(), OffsetDateTime::now_utc())?;
    suppressions.ended.iter().for_each(|ended| diag.warn("suppression", ended));
    let mut report = Report::default();
    let probe = |address: &Address| Probe { args, address, dir: &dir, decoys: &decoys }.run();
    in_order(args.addresses.iter(), probe, |probed| {
        report.take(probed, &suppressions, diag);
        Ok::<_, anyhow::Error>(())
    })?;
    let Some(path) = &args.output else { return report.write(format, diag, to) };
    let shown = || path.display().to_string();
    let mut file = BufWriter::new(Output::create(path, Mode(0o640)).with_context(shown)?);
    let exit = report.write(format, diag, &mut file)?;
    file.into_inner().map_err(io::IntoInnerError::into_error)?.commit().with_context(shown)?;
    Ok(exit)
}

/// One daemon, and what it is shown.
struct Probe<'a> {
    args: &'a Args,
    address: &'a Address,
    dir: &'a MtlsDir,
    decoys: &'a [Decoy],
}

/// What one daemon did, as far as it was found out.
#[derive(Default)]
struct Probed {
    address: String,
    record: Option<record::Probe>,
    findings: Vec<Finding>,
    failures: Vec<anyhow::Error>,
}

impl Probe<'_> {
    fn run(self) -> Probed {
        let mut probed = Probed { address: self.address.text.clone(), ..Probed::default() };
        let good = match self.shake(Some(self.dir.certified_key().clone())) {
            Ok(good) => good,
            Err(e) => {
                match e.downcast_ref::<NoTls>() {
                    Some(why) => probed.findings.push(live::no_tls(self.name(), why)),
                    None => probed.failures.push(e),
                }
                return probed;
            }
        };
        probed.findings = self.judge(&good);
        let mut record = self.record(&good);
        self.refusals(&good, &mut record.tried, &mut probed);
        self.versions(&mut record, &mut probed);
        probed.record = Some(record);
        probed
    }

    fn name(&self) -> &Path {
        Path::new(&self.address.text)
    }

    fn shake(&self, certificate: Option<CertifiedKey>) -> anyhow::Result<Outcome> {
        self.shake_by(&Offer { versions: ANY, certificate: certificate.map(Arc::new) })
    }

    fn shake_by(&self, offer: &Offer) -> anyhow::Result<Outcome> {
        let name = ServerName::try_from(self.host().clone())?;
        shake(&self.address.text, &name, offer, self.args.timeout)
    }

    fn host(&self) -> &String {
        self.args.host.as_ref().unwrap_or(&self.address.host)
    }

    /// The chain that was shown, and whether we were let in.
    fn judge(&self, good: &Outcome) -> Vec<Finding> {
        let hosts = [self.host().clone()];
        let options = LoadOptions { hosts: &hosts, warn_days: self.args.warn_days, ..LoadOptions::now() };
        let mut findings = inspect_peer(self.name(), &good.chain, Role::Server, self.dir, &options);
        if !good.accepted {
            let expected = format!("the certificate of {}", self.args.certs_dir.display());
            findings.push(CLIENT_REFUSED.at(self.name()).found("our certificate is refused").expected(expected).fix("look into the daemon's log; see that both ends have the same ca.crt and a CRL that is in force"));
        }
        findings
    }

    /// What must be refused: nobody, and everybody with whom something is wrong.
    fn refusals(&self, good: &Outcome, tried: &mut Vec<record::Tried>, probed: &mut Probed) {
        let open = if good.asked { self.refuses("no certificate", None, tried, probed) } else { Some(false) };
        if open == Some(false) {
            let found = match good.asked {
                true => "serves clients without a certificate",
                false => "asks for no client certificate",
            };
            probed.findings.push(
                NO_CLIENT_AUTH
                    .at(self.name())
                    .found(found)
                    .expected("a client certificate demanded")
                    .fix("start the daemon with --certs-dir"),
            );
            return;
        }
        for decoy in self.decoys {
            // Who refuses a good client of this CA refuses the others for the same reason.
            if !good.accepted && decoy.what != "unknown CA" {
                continue;
            }
            if self.refuses(&decoy.what, Some(decoy.certificate.clone()), tried, probed) == Some(false) {
                probed.findings.push(live::wrong_client(self.name(), &decoy.what));
            }
        }
    }

    /// Whether a client is refused; what kept us from finding out is a failure.
    fn refuses(
        &self,
        what: &str,
        certificate: Option<CertifiedKey>,
        tried: &mut Vec<record::Tried>,
        probed: &mut Probed,
    ) -> Option<bool> {
        let refused = match self.shake(certificate) {
            Ok(outcome) => Some(!outcome.accepted),
            Err(e) => {
                probed.failures.push(e.context(format!("when shown a client that must be refused ({what})")));
                None
            }
        };
        tried.push(record::Tried { what: what.to_owned(), refused });
        refused
    }

    /// Which TLS is spoken besides.
    fn versions(&self, record: &mut record::Probe, probed: &mut Probed) {
        let offer = Offer { versions: TLS12, certificate: None };
        // A refusal of our missing certificate comes after the version is agreed upon; any other end is a no, but not
        // silence.
        record.tls12 = match self.shake_by(&offer) {
            Ok(outcome) => outcome.protocol == "TLSv1_2",
            Err(e) if e.is::<TooSlow>() => {
                probed.failures.push(e.context("when offered TLS 1.2"));
                false
            }
            Err(_) => false,
        };
        if record.tls12 {
            probed.findings.push(
                OLD_TLS
                    .at(self.name())
                    .found("TLS 1.2 is spoken too")
                    .expected("TLS 1.3 only, unless old peers need it"),
            );
        }
        match oldtls::spoken(&self.address.text, self.args.timeout) {
            Ok(old) => record.old_tls = old.map(str::to_owned),
            Err(e) => probed.failures.push(e),
        }
        if let Some(old) = &record.old_tls {
            probed.findings.push(
                OBSOLETE_TLS
                    .at(self.name())
                    .found(format!("{old} is spoken"))
                    .expected("TLS 1.2 or newer")
                    .fix("replace the daemon, or what terminates TLS in front of it"),
            );
        }
    }

    fn record(&self, good: &Outcome) -> record::Probe {
        let subject = |der: &rustls::pki_types::CertificateDer<'_>| {
            Cert::parse(der).map_or_else(|_| "(unreadable)".to_owned(), |c| c.subject.to_string())
        };
        record::Probe {
            address: self.address.text.clone(),
            protocol: good.protocol.clone(),
            suite: good.suite.clone(),
            key_exchange: good.key_exchange.clone(),
            chain: good.chain.iter().map(subject).collect(),
            asks_for_certificate: good.asked,
            tls12: false,
            old_tls: None,
            accepted: good.accepted,
            tried: Vec::new(),
            handshake_us: u64::try_from(good.took.as_micros()).unwrap_or(u64::MAX),
        }
    }
}

/// What came of all daemons.
#[derive(Default)]
struct Report {
    probes: Vec<record::Probe>,
    /// Where something else than TLS is spoken.
    foreign: Vec<String>,
    findings: Vec<record::Finding>,
    refused: u64,
    suppressed: u64,
    trouble: Option<String>,
}

impl Report {
    fn take(&mut self, mut probed: Probed, suppressions: &Suppressions, diag: &Diag) {
        if probed.findings.iter().any(|f| f.rule == NO_TLS.id) {
            self.foreign.push(probed.address.clone());
        }
        self.suppressed += suppressions.split(&mut probed.findings).len() as u64;
        self.refused += u64::from(probed.findings.iter().any(|f| f.severity == Severity::Error));
        self.findings.extend(probed.findings.into_iter().map(|finding| record::Finding {
            dir: probed.address.clone(),
            role: "server".to_owned(),
            finding,
        }));
        self.probes.extend(probed.record);
        for failure in probed.failures {
            let failure = failure.context(probed.address.clone());
            self.trouble.get_or_insert_with(|| format!("{failure:#}"));
            diag.fatal(&failure);
        }
    }

    fn write(&self, format: ReportFormat, diag: &Diag, to: &mut dyn Write) -> anyhow::Result<Exit> {
        let elsewhere = Elsewhere {
            own: &PROBE_RULES,
            noun: "daemons",
            subjects: (self.probes.len() + self.foreign.len()) as u64,
            refused: self.refused,
            findings: &self.findings,
            suppressed: self.suppressed,
            trouble: self.trouble.as_deref(),
        };
        let records = |to: &mut dyn Write| self.probes.iter().try_for_each(|p| line(to, p));
        let texts = |to: &mut dyn Write| {
            self.probes.iter().try_for_each(|p| text(p, to))?;
            self.foreign.iter().try_for_each(|address| writeln!(to, "{}: no TLS", Safe(address)))
        };
        elsewhere.write(format, diag, to, records, texts)
    }
}

fn text(probe: &record::Probe, to: &mut dyn Write) -> io::Result<()> {
    let exchange = probe.key_exchange.as_deref().unwrap_or("unknown key exchange");
    writeln!(to, "{}: {}, {}, {exchange}", Safe(&probe.address), probe.protocol, probe.suite)?;
    writeln!(to, "  presents {}", Safe(&probe.chain.join(" < ")))?;
    let asks =
        if probe.asks_for_certificate { "asks for a client certificate" } else { "asks for no certificate" };
    let takes = if probe.accepted { "takes ours" } else { "refuses ours" };
    writeln!(to, "  {asks}, {takes}; handshake in {} us", probe.handshake_us)?;
    let refused = probe.tried.iter().filter(|t| t.refused == Some(true));
    let refused: Vec<_> = refused.map(|t| t.what.as_str()).collect();
    if refused.is_empty() { Ok(()) } else { writeln!(to, "  refuses: {}", Safe(&refused.join(", "))) }
}
