//! The validated plan behind the connection options: whom to ask, how, and where the answers go.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use common::cli::Global;
use common::duration::duration;
use common::out::{Format, Out};
use common::pki::MinVersion;
use common::record::profctl::{Answer, Outcome, Summary};
use common::rpc::DEFAULT_PORT;
use common::rpc::message::Request;
use common::text::Safe;

use crate::certs;
use crate::fanout;
use crate::reply::Refusal;
use crate::target::{Target, targets};
use crate::transport::Transport;

/// Which daemons to ask, and how.
#[derive(Args, Debug)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connection {
    /// Host of the daemon: a name or an address, with `:PORT` if need be
    #[arg(long, global = true, default_value = "localhost", value_name = "HOST")]
    pub(crate) hostname: String,
    /// Several daemons: hosts separated by commas, `@FILE` for the hosts in a file, `@-` for standard input
    ///
    /// In a file, hosts stand on lines or between spaces or commas, and `#` starts a comment. Each host is asked
    /// once, and each gets one record, whatever happened to it.
    #[arg(long, global = true, value_name = "LIST", conflicts_with = "hostname")]
    pub(crate) hosts: Vec<String>,
    /// TCP port of the daemon, where the host does not name one
    #[arg(long, global = true, default_value_t = DEFAULT_PORT, value_name = "PORT")]
    pub(crate) port: u16,
    /// Directory of ca.crt, client.crt, client.key and ca.crl; or NO_CERTS for a connection that nothing protects
    ///
    /// Without it: `$XDG_CONFIG_HOME/profguard/client_certs` (or `~/.config/…`), then
    /// `/etc/profguard/client_certs`, whichever exists first. There is no unprotected default.
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) certs_dir: Option<PathBuf>,
    /// File with the passphrase of an encrypted client.key; its last line end is not part of it
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) key_passphrase_file: Option<PathBuf>,
    /// Name that the daemon's certificate must be good for, when it is not the host: through a tunnel
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) server_name: Option<String>,
    /// Lowest TLS version to speak; 1.2 is for daemons that have no other
    #[arg(long, global = true, value_enum, default_value_t, value_name = "VERSION")]
    pub(crate) tls_min: MinVersion,
    /// Longest time for one daemon, from the name look-up to its answer: seconds, or with a unit ms, s, m or h
    #[arg(long, global = true, default_value = "10s", value_parser = duration, value_name = "TIME")]
    pub(crate) timeout: Duration,
    /// How many daemons to ask at the same time
    #[arg(long, global = true, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=512), value_name = "N")]
    pub(crate) width: u16,
}

/// A question's way to its daemons and the answers' way out.
pub(crate) struct Session<'a> {
    targets: Vec<Target>,
    transport: Transport,
    width: usize,
    json: bool,
    runtime: Option<tokio::runtime::Runtime>,
    summary: Summary,
    pub(crate) out: &'a mut Out,
}

impl<'a> Session<'a> {
    /// Checks everything that can be checked before the first connection.
    ///
    /// # Errors
    /// A host, a certificate or a name is not usable.
    pub(crate) fn new(connection: &Connection, global: &Global, out: &'a mut Out) -> anyhow::Result<Self> {
        let targets = targets(&connection.hostname, &connection.hosts, connection.port)?;
        let security = certs::security(connection, &targets, out)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self {
            targets,
            transport: Transport { security, timeout: connection.timeout },
            width: usize::from(connection.width),
            json: global.format == Format::Json,
            runtime: Some(runtime),
            summary: Summary::default(),
            out,
        })
    }

    /// Whether records are wanted.
    pub(crate) fn json(&self) -> bool {
        self.json
    }

    /// Asks every daemon. `each` gets what is known about the answer and the answer's body, or why there is none.
    ///
    /// # Errors
    /// What `each` says.
    pub(crate) fn ask(
        &mut self,
        request: &Request,
        mut each: impl FnMut(&mut Self, Answer, Result<Vec<u8>, Refusal>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let body = request.encode();
        let Some(runtime) = self.runtime.take() else { anyhow::bail!("a session asks once") };
        let (transport, targets) = (self.transport.clone(), self.targets.clone());
        self.summary.hosts = targets.len() as u64;
        let result = runtime.block_on(fanout::ask(&transport, &targets, self.width, body, |outcome| {
            let (answer, body) = answer(outcome);
            if let Some(address) = &answer.address {
                let took = format_args!("answered from {address} in {} ms", answer.elapsed_ms);
                self.out.diag().info(&answer.host, took);
            }
            each(self, answer, body)?;
            // The next daemon may take its time.
            Ok(self.out.flush()?)
        }));
        // A name look-up that hangs in the C library must not keep us.
        runtime.shutdown_background();
        result
    }

    /// The counts of the last record.
    pub(crate) fn summary(&mut self) -> &mut Summary {
        &mut self.summary
    }

    /// Counts an answer and says on standard error what failed; what was declined is said by the result.
    pub(crate) fn count(&mut self, answer: &Answer) {
        match answer.outcome {
            Outcome::Done => self.summary.done += 1,
            Outcome::Declined => self.summary.declined += 1,
            Outcome::Failed => {
                self.summary.failed += 1;
                let target = Target { host: answer.host.clone(), port: answer.port };
                self.out.error(target, answer.reason.as_deref().unwrap_or("failed"));
                self.help(answer);
            }
        }
    }

    /// Says what can be done about an answer.
    pub(crate) fn help(&self, answer: &Answer) {
        for hint in &answer.hints {
            self.out.diag().help(hint);
        }
    }

    /// A line about one daemon, in text.
    ///
    /// # Errors
    /// What standard output says.
    pub(crate) fn line(&mut self, answer: &Answer, text: &str) -> anyhow::Result<()> {
        Ok(writeln!(self.out.text(), "{}: {}", Safe(&answer.host), Safe(text))?)
    }

    /// Ends the run: the last record and the exit status.
    ///
    /// # Errors
    /// What standard output says.
    pub(crate) fn finish(mut self) -> anyhow::Result<common::exit::Exit> {
        self.summary.errors = self.out.diag().errors();
        if self.json {
            self.out.record(&self.summary)?;
        }
        Ok(match self.summary.declined {
            0 => common::exit::Exit::Ok,
            _ => common::exit::Exit::No,
        })
    }
}

/// Splits what the transport says into what every record has and the body.
fn answer(outcome: fanout::Outcome) -> (Answer, Result<Vec<u8>, Refusal>) {
    let mut answer = Answer {
        host: outcome.target.host,
        port: outcome.target.port,
        address: None,
        outcome: Outcome::Done,
        reason: None,
        hints: Vec::new(),
        elapsed_ms: u64::try_from(outcome.elapsed.as_millis()).unwrap_or(u64::MAX),
    };
    match outcome.result {
        Ok(reply) => {
            answer.address = Some(reply.address.to_string());
            (answer, Ok(reply.body))
        }
        Err(failure) => (answer, Err(Refusal::failed(failure.to_string(), failure.hint()))),
    }
}
