//! `certck probe`: live daemons checked by TLS handshakes.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use common::duration::{parse_duration, parse_whole_days};
use common::error::HintExt;
use common::exit::Exit;
use common::finding::{Finding, Severity, hex};
use common::fsat::write_report;
use common::out::{Diag, Out};
use common::pki::{Cert, CrlLimitArgs, LoadOptions, MtlsDir, PassphraseArgs, Role, inspect_peer, sha256};
use common::policy::Mode;
use common::record::certck as record;
use common::record::write as line;
use common::report::ReportFormat;
use common::text::Safe;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use time::OffsetDateTime;

use crate::check_output::LiveReport;
use crate::handshake::{
    ANY, ClientOffer, HandshakeOutcome, HandshakeTimeout, NotTls, TLS12, perform_handshake,
};
use crate::invalid_clients::{self, InvalidClient};
use crate::metrics::escape_label;
use crate::parallel::in_order;
use crate::rules::{CLIENT_REFUSED, NO_CLIENT_AUTH, NO_TLS, OBSOLETE_TLS, OLD_TLS, PROBE_RULES};
use crate::suppressions::Suppressions;
use crate::{directory_check, obsolete_tls, probe_findings};

/// Check live daemons by TLS handshakes
///
/// Prints which TLS version each daemon speaks and which chain it presents, and checks the chain against the rules of
/// `certck check`. Then tries clients that the daemon must reject: one without a certificate and one by an unknown CA;
/// with --ca also an expired certificate, one that is for servers only, and one whose serial number is in the CA's CRL.
/// Their certificates are made in memory only. Only an alert, or the end of the connection after the client certificate
/// was sent, counts as a rejection.
///
/// Exit status 1 means that a daemon breaks a rule; 2 that one could not be reached, or that something could not be
/// determined. With --format nagios the latter is 3, and 2 is a daemon that breaks a rule.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "Examples:
  certck probe node17:1778 --certs-dir pki/client_certs
  certck probe node17:1778 node18:1778 --certs-dir pki/client_certs --ca pki/ca
  certck probe 10.0.0.17:1778 --host node17.example.org --certs-dir pki/client_certs --format json
  certck probe node17:1778 --certs-dir pki/client_certs --must-reject old/client_certs")]
pub(crate) struct ProbeArgs {
    /// Addresses of the daemons
    #[arg(value_name = "HOST:PORT", required = true, value_parser = parse_address)]
    addresses: Vec<DaemonAddress>,
    /// Certificate directory of a client that the daemons accept
    #[arg(long, value_name = "DIR")]
    certs_dir: PathBuf,
    /// Name for which each daemon's certificate must be valid [default: HOST]
    #[arg(long, value_name = "NAME", value_parser = directory_check::parse_host)]
    host: Option<String>,
    /// Directory of the CA that issued the client's certificate, with its ca.key: to make client certificates that the
    /// daemons must reject
    #[arg(long, value_name = "CA_DIR")]
    ca: Option<PathBuf>,
    /// Directory of a client that the daemons must reject, such as an expired or revoked one; may be repeated
    #[arg(long, value_name = "DIR")]
    must_reject: Vec<PathBuf>,
    /// Time limit for each exchange with a server, such as 500ms, 5s or 2m; a bare number is seconds
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    timeout: Duration,
    /// Warn of certificates and CRLs that expire within N days [default: 30, or the last third of their validity if that
    /// is shorter]
    #[arg(long, value_name = "N", value_parser = parse_whole_days)]
    warn_days: Option<u32>,
    /// Lowest severity that makes the exit status 1, or that is critical with --format nagios
    #[arg(long, value_enum, default_value_t = Severity::Error, value_name = "SEVERITY")]
    fail_on: Severity,
    /// Ignore the findings that FILE lists, each with a reason and an expiry date; paths there are HOST:PORT
    #[arg(long, value_name = "FILE")]
    suppress: Option<PathBuf>,
    /// Write the report to FILE instead of standard output
    ///
    /// A regular file is replaced in one step. A new file gets mode 0640. An existing one keeps its mode and group: if
    /// another account reads it, such as node_exporter's, create it once with the mode that this account needs.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    crl_limit: CrlLimitArgs,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

/// Where a daemon listens, and the host's name in it.
#[derive(Clone, Debug)]
struct DaemonAddress {
    text: String,
    host: String,
}

fn parse_address(text: &str) -> Result<DaemonAddress, String> {
    let (host, port) = text.rsplit_once(':').ok_or("expected HOST:PORT")?;
    port.parse::<u16>().map_err(|_| format!("invalid port `{port}`"))?;
    let host = directory_check::parse_host(host.trim_matches(['[', ']']))?;
    Ok(DaemonAddress { text: text.to_owned(), host })
}

pub(crate) fn run(args: &ProbeArgs, format: ReportFormat, out: &mut Out) -> anyhow::Result<Exit> {
    let (diag, to) = out.parts();
    let passphrase = args.passphrase.read()?;
    let options = LoadOptions {
        passphrase: passphrase.as_ref(),
        max_crl_bytes: args.crl_limit.max_crl_bytes,
        ..LoadOptions::now()
    };
    let dir = MtlsDir::load(&args.certs_dir, Role::Client, &options)
        .hint(format!("see `certck check {}`", args.certs_dir.display()))?;
    let mut invalid_clients_to_try = vec![invalid_clients::client_of_unknown_ca()?];
    if let Some(ca) = &args.ca {
        invalid_clients_to_try.extend(invalid_clients::invalid_clients_of_ca(
            ca,
            passphrase.as_ref(),
            args.crl_limit,
            &dir,
        )?);
    }
    for dir in &args.must_reject {
        invalid_clients_to_try.push(invalid_clients::client_of_directory(dir, passphrase.as_ref())?);
    }
    let suppressions = Suppressions::read_file(args.suppress.as_deref(), OffsetDateTime::now_utc())?;
    suppressions.expired.iter().for_each(|ended| diag.warn("suppression", ended));
    let mut report = ProbeReport::default();
    let probe = |address: &DaemonAddress| {
        ProbeRun { args, address, dir: &dir, invalid_clients_to_try: &invalid_clients_to_try }.run_probe()
    };
    in_order(args.addresses.iter(), probe, |probed| {
        report.add_probed(probed, &suppressions, diag);
        Ok::<_, anyhow::Error>(())
    })?;
    let fail_on = args.fail_on;
    let Some(path) = &args.output else { return report.write_report(format, fail_on, diag, to) };
    write_report(path, Mode(0o640), |to| report.write_report(format, fail_on, diag, to))
}

/// One daemon, and what it is shown.
struct ProbeRun<'a> {
    args: &'a ProbeArgs,
    address: &'a DaemonAddress,
    dir: &'a MtlsDir,
    invalid_clients_to_try: &'a [InvalidClient],
}

/// The behavior of one daemon, as far as it was found out.
#[derive(Default)]
struct ProbedDaemon {
    address: String,
    record: Option<record::ProbeRecord>,
    /// When its certificate expires, in seconds since 1970.
    expires: Option<i64>,
    /// The SHA-256 hash of its certificate.
    sha256: Option<String>,
    findings: Vec<Finding>,
    failures: Vec<anyhow::Error>,
}

impl ProbeRun<'_> {
    fn run_probe(self) -> ProbedDaemon {
        let mut probed = ProbedDaemon { address: self.address.text.clone(), ..ProbedDaemon::default() };
        let good = match self.handshake_with(Some(self.dir.certified_key().clone())) {
            Ok(good) => good,
            Err(e) => {
                match e.downcast_ref::<NotTls>() {
                    Some(why) => probed.findings.push(probe_findings::no_tls(self.address_path(), why)),
                    None => probed.failures.push(e),
                }
                return probed;
            }
        };
        probed.findings = self.check_chain(&good);
        probed.expires = good.chain.first().and_then(|der| Some(Cert::parse(der).ok()?.not_after.unix));
        let mut record = self.probe_record(&good);
        probed.sha256.clone_from(&record.sha256);
        self.try_invalid_clients(&good, &mut record.tried, &mut probed);
        self.try_versions(&mut record, &mut probed);
        probed.record = Some(record);
        probed
    }

    fn address_path(&self) -> &Path {
        Path::new(&self.address.text)
    }

    fn handshake_with(&self, certificate: Option<CertifiedKey>) -> anyhow::Result<HandshakeOutcome> {
        self.handshake_offering(&ClientOffer { versions: ANY, certificate: certificate.map(Arc::new) })
    }

    fn handshake_offering(&self, offer: &ClientOffer) -> anyhow::Result<HandshakeOutcome> {
        let name = ServerName::try_from(self.host_name().clone())?;
        perform_handshake(&self.address.text, &name, offer, self.args.timeout)
    }

    fn host_name(&self) -> &String {
        self.args.host.as_ref().unwrap_or(&self.address.host)
    }

    /// The chain that was shown, and whether we were let in.
    fn check_chain(&self, good: &HandshakeOutcome) -> Vec<Finding> {
        let hosts = [self.host_name().clone()];
        let options = LoadOptions { hosts: &hosts, warn_days: self.args.warn_days, ..LoadOptions::now() };
        let mut findings = inspect_peer(self.address_path(), &good.chain, Role::Server, self.dir, &options);
        if !good.accepted {
            let expected = format!("the certificate of {}", self.args.certs_dir.display());
            findings.push(CLIENT_REFUSED.at(self.address_path()).found("rejects our certificate").expected(expected).fix("see the daemon's log; check that both ends have the same ca.crt and a CRL that is in force"));
        }
        findings
    }

    /// Tries clients that must be rejected: one without a certificate, and those with invalid certificates.
    fn try_invalid_clients(
        &self,
        good: &HandshakeOutcome,
        tried: &mut Vec<record::TriedClient>,
        probed: &mut ProbedDaemon,
    ) {
        let open =
            if good.asked { self.try_client("no certificate", None, tried, probed) } else { Some(false) };
        if open == Some(false) {
            let found = match good.asked {
                true => "accepts clients without a certificate",
                false => "does not ask for a client certificate",
            };
            probed.findings.push(
                NO_CLIENT_AUTH
                    .at(self.address_path())
                    .found(found)
                    .expected("a client certificate required")
                    .fix("start the daemon with --certs-dir"),
            );
            return;
        }
        for decoy in self.invalid_clients_to_try {
            // If a valid client of this CA is rejected, the others are rejected for the same reason, which proves nothing.
            if !good.accepted && decoy.what != "unknown CA" {
                continue;
            }
            if self.try_client(&decoy.what, Some(decoy.certificate.clone()), tried, probed) == Some(false) {
                probed.findings.push(probe_findings::wrong_client(self.address_path(), &decoy.what));
            }
        }
    }

    /// Whether a client is rejected; `None` after a failure that leaves it unknown.
    fn try_client(
        &self,
        what: &str,
        certificate: Option<CertifiedKey>,
        tried: &mut Vec<record::TriedClient>,
        probed: &mut ProbedDaemon,
    ) -> Option<bool> {
        let rejected = match self.handshake_with(certificate) {
            Ok(outcome) => Some(!outcome.accepted),
            Err(e) => {
                probed.failures.push(e.context(format!("with a client that must be rejected ({what})")));
                None
            }
        };
        tried.push(record::TriedClient { what: what.to_owned(), rejected });
        rejected
    }

    /// Tries the other TLS versions.
    fn try_versions(&self, record: &mut record::ProbeRecord, probed: &mut ProbedDaemon) {
        let offer = ClientOffer { versions: TLS12, certificate: None };
        // The missing certificate is rejected after the version is negotiated. Any other failure than a timeout means that
        // TLS 1.2 is not spoken.
        record.tls12 = match self.handshake_offering(&offer) {
            Ok(outcome) => outcome.protocol == "TLSv1_2",
            Err(e) if e.is::<HandshakeTimeout>() => {
                probed.failures.push(e.context("when offered TLS 1.2"));
                false
            }
            Err(_) => false,
        };
        if record.tls12 {
            probed.findings.push(
                OLD_TLS
                    .at(self.address_path())
                    .found("also speaks TLS 1.2")
                    .expected("TLS 1.3 only, unless old peers need it"),
            );
        }
        match obsolete_tls::probe_obsolete_version(&self.address.text, self.args.timeout) {
            Ok(old) => record.old_tls = old.map(str::to_owned),
            Err(e) => probed.failures.push(e),
        }
        if let Some(old) = &record.old_tls {
            probed.findings.push(
                OBSOLETE_TLS
                    .at(self.address_path())
                    .found(format!("speaks {old}"))
                    .expected("TLS 1.2 or newer")
                    .fix("replace the daemon, or what terminates TLS in front of it"),
            );
        }
    }

    fn probe_record(&self, good: &HandshakeOutcome) -> record::ProbeRecord {
        let subject = |der: &rustls::pki_types::CertificateDer<'_>| {
            Cert::parse(der).map_or_else(|_| "(unreadable)".to_owned(), |c| c.subject.to_string())
        };
        let leaf = good.chain.first();
        record::ProbeRecord {
            not_after: leaf.and_then(|der| Some(Cert::parse(der).ok()?.not_after.to_string())),
            sha256: leaf.map(|der| hex(&sha256(der))),
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

/// The results of all daemons.
#[derive(Default)]
struct ProbeReport {
    probes: Vec<record::ProbeRecord>,
    /// Every daemon that was asked.
    states: Vec<DaemonHealth>,
    /// Where something else than TLS is spoken.
    foreign: Vec<String>,
    findings: Vec<record::FindingRecord>,
    failed: u64,
    suppressed: u64,
    first_failure: Option<String>,
}

impl ProbeReport {
    fn add_probed(&mut self, mut probed: ProbedDaemon, suppressions: &Suppressions, diag: &Diag) {
        if probed.findings.iter().any(|f| f.rule == NO_TLS.id) {
            self.foreign.push(probed.address.clone());
        }
        self.suppressed += suppressions.take_suppressed(&mut probed.findings).len() as u64;
        self.failed += u64::from(probed.findings.iter().any(|f| f.severity == Severity::Error));
        self.findings.extend(probed.findings.into_iter().map(|finding| record::FindingRecord {
            dir: probed.address.clone(),
            role: "server".to_owned(),
            finding,
        }));
        self.states.push(DaemonHealth {
            address: probed.address.clone(),
            reachable: probed.record.is_some(),
            valid: probed.record.is_some()
                && probed.failures.is_empty()
                && self
                    .findings
                    .iter()
                    .filter(|f| f.dir == probed.address)
                    .all(|f| f.finding.severity < Severity::Error),
            expires: probed.expires,
            sha256: probed.sha256,
        });
        self.probes.extend(probed.record);
        for failure in probed.failures {
            let failure = failure.context(probed.address.clone());
            self.first_failure.get_or_insert_with(|| format!("{failure:#}"));
            diag.fatal(&failure);
        }
    }

    fn write_report(
        &self,
        format: ReportFormat,
        fail_on: Severity,
        diag: &Diag,
        to: &mut dyn Write,
    ) -> anyhow::Result<Exit> {
        let elsewhere = LiveReport {
            own_rules: &PROBE_RULES,
            noun: "daemons",
            subjects: (self.probes.len() + self.foreign.len()) as u64,
            failed: self.failed,
            findings: &self.findings,
            suppressed: self.suppressed,
            first_failure: self.first_failure.as_deref(),
            fail_on,
            addition: match format {
                ReportFormat::Prometheus => format_series(&self.states),
                ReportFormat::Nagios => {
                    self.describe_certificates().take(SHOWN).collect::<Vec<_>>().join("; ")
                }
                _ => String::new(),
            },
            facts: self.describe_certificates().collect(),
        };
        let records = |to: &mut dyn Write| self.probes.iter().try_for_each(|p| line(to, p));
        let texts = |to: &mut dyn Write| {
            self.probes.iter().try_for_each(|p| write_text(p, to))?;
            self.foreign.iter().try_for_each(|address| writeln!(to, "{}: no TLS", Safe(address)))
        };
        elsewhere.write_report(format, diag, to, records, texts)
    }

    /// When the certificate of each daemon expires, and which it is.
    fn describe_certificates(&self) -> impl Iterator<Item = String> + '_ {
        let certificate = |probe: &record::ProbeRecord| {
            let (until, hash) = (probe.not_after.as_ref()?, probe.sha256.as_ref()?);
            Some(format!("{} until {until}, SHA-256 {hash}", probe.address))
        };
        self.probes.iter().filter_map(certificate)
    }
}

/// Certificates that stand on the one line of a monitoring system.
const SHOWN: usize = 4;

/// The state of one daemon, for metrics.
struct DaemonHealth {
    address: String,
    reachable: bool,
    valid: bool,
    /// When its certificate expires, in seconds since 1970.
    expires: Option<i64>,
    /// The SHA-256 hash of its certificate.
    sha256: Option<String>,
}

/// A metric: its name, its help, and the value of one daemon.
type DaemonMetric = (&'static str, &'static str, fn(&DaemonHealth) -> Option<i64>);

const DAEMON_METRICS: [DaemonMetric; 3] = [
    ("certck_daemon_reachable", "Whether a TLS handshake with a daemon was possible.", |health| {
        Some(health.reachable.into())
    }),
    ("certck_daemon_valid", "Whether a daemon was reached and no finding about it is an error.", |health| {
        Some(health.valid.into())
    }),
    (
        "certck_daemon_expiry_timestamp_seconds",
        "When the certificate of a daemon expires (notAfter).",
        |health| health.expires,
    ),
];

/// The series of each daemon in the text format of Prometheus.
fn format_series(states: &[DaemonHealth]) -> String {
    let mut text = String::new();
    for (metric, help, value) in DAEMON_METRICS {
        text += &format!("# HELP {metric} {help}\n# TYPE {metric} gauge\n");
        for (state, value) in states.iter().filter_map(|state| Some((state, value(state)?))) {
            text += &format!("{metric}{{address=\"{}\"}} {value}\n", escape_label(&state.address));
        }
    }
    // The hash is a label of a series whose value is always 1, as Prometheus exporters give such facts.
    let metric = "certck_daemon_certificate_info";
    text += &format!("# HELP {metric} The SHA-256 hash of the certificate that a daemon presents.\n");
    text += &format!("# TYPE {metric} gauge\n");
    for (state, hash) in states.iter().filter_map(|state| Some((state, state.sha256.as_ref()?))) {
        text += &format!("{metric}{{address=\"{}\",sha256=\"{hash}\"}} 1\n", escape_label(&state.address));
    }
    text
}

fn write_text(probe: &record::ProbeRecord, to: &mut dyn Write) -> io::Result<()> {
    let exchange = probe.key_exchange.as_deref().unwrap_or("unknown key exchange");
    writeln!(to, "{}: {}, {}, {exchange}", Safe(&probe.address), probe.protocol, probe.suite)?;
    writeln!(to, "  presents {}", Safe(&probe.chain.join(" < ")))?;
    if let (Some(until), Some(hash)) = (&probe.not_after, &probe.sha256) {
        writeln!(to, "  certificate until {until}, SHA-256 {hash}")?;
    }
    let asks = if probe.asks_for_certificate {
        "asks for a client certificate"
    } else {
        "does not ask for a client certificate"
    };
    let takes = if probe.accepted { "accepts ours" } else { "rejects ours" };
    writeln!(to, "  {asks}, {takes}; handshake in {} us", probe.handshake_us)?;
    let rejected = probe.tried.iter().filter(|t| t.rejected == Some(true));
    let rejected: Vec<_> = rejected.map(|t| t.what.as_str()).collect();
    if rejected.is_empty() { Ok(()) } else { writeln!(to, "  rejects: {}", Safe(&rejected.join(", "))) }
}
