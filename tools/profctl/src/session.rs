//! One run of a subcommand: the daemons to query, the connection to them, and the output of what they reply.

use common::cli::Global;
use common::exit::Exit;
use common::out::{Format, Out};
use common::record::profctl::{ReplySummary, RequestOutcome, Summary};
use common::rpc::message::Request;
use common::text::Safe;

use crate::certs;
use crate::connection_args::ConnectionArgs;
use crate::daemon_address::{DaemonAddress, list_daemons};
use crate::fanout::{self, DaemonExchange};
use crate::reply::RequestFailure;
use crate::transport::Transport;

/// The validated options of a run, its output and its counters.
pub(crate) struct DaemonSession<'a> {
    daemons: Vec<DaemonAddress>,
    transport: Transport,
    /// Maximum number of daemons that are queried at the same time.
    parallel: usize,
    writes_records: bool,
    /// Used up by [`Self::query_daemons`].
    runtime: Option<tokio::runtime::Runtime>,
    summary: Summary,
    pub(crate) out: &'a mut Out,
}

impl<'a> DaemonSession<'a> {
    /// Checks the options and loads the certificates. Connects to nothing yet.
    ///
    /// # Errors
    /// A host, a certificate or a name is not usable.
    pub(crate) fn new(
        connection: &ConnectionArgs,
        global: &Global,
        out: &'a mut Out,
    ) -> anyhow::Result<Self> {
        let daemons = list_daemons(&connection.hostname, &connection.hosts, connection.port)?;
        let security = certs::load_security(connection, &daemons, out)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self {
            daemons,
            transport: Transport { security, timeout: connection.timeout },
            parallel: usize::from(connection.parallel),
            writes_records: global.format == Format::Json,
            runtime: Some(runtime),
            summary: Summary::default(),
            out,
        })
    }

    /// Whether the result is written as records (`--format json`).
    pub(crate) fn writes_records(&self) -> bool {
        self.writes_records
    }

    /// Sends a request to every daemon. `handle` gets each exchange as it ends: what a record says about it, and the
    /// body of the reply or why there is none. Can be called once per session.
    ///
    /// # Errors
    /// The first error of `handle`; exchanges that have not ended are dropped then.
    pub(crate) fn query_daemons(
        &mut self,
        request: &Request,
        mut handle: impl FnMut(&mut Self, ReplySummary, Result<Vec<u8>, RequestFailure>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let body = request.encode();
        let Some(runtime) = self.runtime.take() else { anyhow::bail!("a session sends one request") };
        let (transport, daemons) = (self.transport.clone(), self.daemons.clone());
        self.summary.hosts = daemons.len() as u64;
        let result =
            runtime.block_on(fanout::query_all(&transport, &daemons, self.parallel, body, |exchange| {
                let (answer, body) = split_exchange(exchange);
                if let Some(address) = &answer.address {
                    let detail = format!("reply from {address} after {} ms", answer.elapsed_ms);
                    self.out.diag().info(&answer.host, detail);
                }
                handle(self, answer, body)?;
                // The next daemon may take as long as the timeout: show this result now.
                Ok(self.out.flush()?)
            }));
        // A name resolution can block in the C library beyond the deadline: do not wait for its thread.
        runtime.shutdown_background();
        result
    }

    /// Returns the counters of the summary record.
    pub(crate) fn summary_mut(&mut self) -> &mut Summary {
        &mut self.summary
    }

    /// Counts an exchange, and reports a failed one on standard error. A declined one is part of the result.
    pub(crate) fn count_answer(&mut self, answer: &ReplySummary) {
        match answer.outcome {
            RequestOutcome::Done => self.summary.done += 1,
            RequestOutcome::Declined => self.summary.declined += 1,
            RequestOutcome::Failed => {
                self.summary.failed += 1;
                let daemon = DaemonAddress { host: answer.host.clone(), port: answer.port };
                self.out.error(daemon, answer.reason.as_deref().unwrap_or("failed"));
                self.print_hints(answer);
            }
        }
    }

    /// Prints the hints of a failed or declined exchange on standard error.
    pub(crate) fn print_hints(&self, answer: &ReplySummary) {
        for hint in &answer.hints {
            self.out.diag().help(hint);
        }
    }

    /// Prints a line about one daemon on standard output.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(crate) fn print_line(&mut self, answer: &ReplySummary, text: &str) -> anyhow::Result<()> {
        Ok(writeln!(self.out.text(), "{}: {}", Safe(&answer.host), Safe(text))?)
    }

    /// Writes the summary record, and returns the exit status.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(crate) fn finish_run(mut self) -> anyhow::Result<Exit> {
        self.summary.errors = self.out.diag().errors();
        if self.writes_records {
            self.out.record(&self.summary)?;
        }
        Ok(if self.summary.declined + self.summary.degraded == 0 { Exit::Ok } else { Exit::No })
    }
}

/// Splits an exchange into what every record says about it, and the body of the reply.
fn split_exchange(exchange: DaemonExchange) -> (ReplySummary, Result<Vec<u8>, RequestFailure>) {
    let mut answer = ReplySummary {
        host: exchange.daemon.host,
        port: exchange.daemon.port,
        address: None,
        outcome: RequestOutcome::Done,
        reason: None,
        hints: Vec::new(),
        elapsed_ms: u64::try_from(exchange.elapsed.as_millis()).unwrap_or(u64::MAX),
    };
    match exchange.result {
        Ok(reply) => {
            answer.address = Some(reply.address.to_string());
            (answer, Ok(reply.body))
        }
        Err(error) => (answer, Err(RequestFailure::from_error(error.to_string(), error.suggest_fix()))),
    }
}
