//! `certck`: Validate, mint, revoke and watch the certificates of a mutual-TLS deployment.

use clap::{Parser, Subcommand};
use common::cli::{Global, Tool};
use common::error::is_broken_pipe;
use common::exit::Exit;
use common::out::{Color, Out, Verbosity};
use common::report::ReportFormat;

mod authority;
mod authority_settings;
mod ca_dir;
mod check_output;
mod check_report;
mod clock;
mod cmd;
mod crl_store;
mod describe;
mod directory_check;
mod directory_source;
mod download;
mod files;
mod handshake;
mod invalid_clients;
mod issued_log;
mod leaf;
mod metrics;
mod mint_plan;
mod minted_output;
mod new_passphrase;
mod obsolete_tls;
mod ocsp;
mod parallel;
mod pem_block;
mod probe_findings;
mod reader;
mod reencode;
mod renewal;
mod request;
mod rules;
mod staged_dirs;
mod suppressions;
mod written_output;

/// Validate, mint, revoke and watch the certificates of a mutual-TLS deployment
///
/// A certificate directory that `certck check` passes is one that profd and profctl start with: all three run
/// the same code.
#[derive(Parser, Debug)]
#[command(name = "certck", version, max_term_width = 100)]
#[command(after_long_help = "Examples:
  certck mint --host node17.example.org pki
      Make a CA and the certificate directories of a server and a client.
  certck check --host node17.example.org pki/server_certs
      Check that profd would start with it.
  certck revoke pki/ca lost.crt --to pki/server_certs --to pki/client_certs
      Revoke a certificate.
  certck probe node17.example.org:1778 --certs-dir pki/client_certs
      Test the TLS configuration of a running daemon.")]
pub struct Cli {
    #[command(flatten)]
    global: Global<ReportFormat>,
    #[command(subcommand)]
    cmd: CertckCommand,
}

#[derive(Subcommand, Debug)]
enum CertckCommand {
    Check(cmd::check::CheckArgs),
    #[command(subcommand)]
    Crl(cmd::crl::CrlCommand),
    Mint(Box<cmd::mint::MintArgs>),
    Ocsp(cmd::ocsp::OcspArgs),
    Probe(cmd::probe::ProbeArgs),
    Revoke(cmd::revoke::RevokeArgs),
    Rules(cmd::rules::RulesArgs),
    Show(cmd::show::ShowArgs),
    Verify(cmd::verify::VerifyArgs),
    Watch(cmd::watch::WatchArgs),
}

impl Tool for Cli {
    const NAME: &'static str = "certck";

    fn style(&self) -> (Color, Verbosity) {
        self.global.style()
    }

    fn run(self, out: &mut Out) -> anyhow::Result<Exit> {
        let format = self.global.format;
        match self.cmd.run(format, out) {
            // A monitoring system reads standard output, and takes a 2 for what was found out to be critical.
            Err(e) if format == ReportFormat::Nagios && !is_broken_pipe(&e) => {
                writeln!(out.text(), "{}", check_output::nagios_unknown(&format!("{e:#}")))?;
                out.diag().fatal(&e);
                Ok(Exit::Unknown)
            }
            result => result,
        }
    }
}

impl CertckCommand {
    fn run(self, format: ReportFormat, out: &mut Out) -> anyhow::Result<Exit> {
        match self {
            Self::Crl(cmd) => cmd::crl::run(&cmd, format.plain()?, out),
            Self::Check(args) => cmd::check::run(&args, format, out),
            Self::Mint(args) => cmd::mint::run(&args, format.plain()?, out),
            Self::Ocsp(args) => cmd::ocsp::run(&args, format, out),
            Self::Probe(args) => cmd::probe::run(&args, format, out),
            Self::Revoke(args) => cmd::revoke::run(&args, format.plain()?, out),
            Self::Rules(args) => cmd::rules::run(&args, format.plain()?, out),
            Self::Show(args) => cmd::show::run(&args, format.plain()?, out),
            Self::Watch(args) => cmd::watch::run(&args, format.plain()?, out),
            Self::Verify(args) => cmd::verify::run(&args, format.plain()?, out),
        }
    }
}

/// The readers of files that only this tool has, for the fuzzer: each answers whether the text was one.
#[doc(hidden)]
pub mod fuzz {
    use common::pki::{Cert, CrlLimitArgs};
    use time::OffsetDateTime;

    use crate::ocsp::OcspRequest;
    use crate::request::SigningRequest;

    /// A file of suppressions.
    #[must_use]
    pub fn suppressions(text: &str) -> bool {
        crate::suppressions::Suppressions::parse(text, OffsetDateTime::UNIX_EPOCH).is_ok()
    }

    /// Returns whether a text is a valid file of `certck mint --from`.
    #[must_use]
    pub fn plan(text: &str) -> bool {
        crate::mint_plan::plan_of_file(text).is_ok()
    }

    /// A line of `certck verify`.
    #[must_use]
    pub fn case(line: &[u8]) -> bool {
        crate::cmd::verify::answer_case(line, CrlLimitArgs::default()).is_ok()
    }

    /// A private key without a passphrase, as `certck show` describes it.
    #[must_use]
    pub fn private_key(block: &common::pki::pem::Block) -> bool {
        crate::describe::describe_key(block, String::new(), 1).is_ok()
    }

    /// A certificate signing request in DER.
    #[must_use]
    pub fn signing_request(der: &[u8]) -> bool {
        SigningRequest::parse(der).is_ok_and(|request| request.is_signed_by_key() | request.is_ca())
    }

    /// An OCSP response about a certificate at a time in seconds since 1970: the signer and thisUpdate of one that is
    /// believed.
    ///
    /// # Errors
    /// The reason why it is not believed.
    pub fn ocsp_response(
        cert: &Cert,
        issuer: &Cert,
        response: &[u8],
        at: i64,
    ) -> Result<(String, i64), String> {
        let answer = OcspRequest::new(cert, issuer, [7; 32]).check_response(response, &[], at);
        answer.map(|answer| (answer.signer, answer.this_update.unix)).map_err(|refused| refused.to_string())
    }
}
