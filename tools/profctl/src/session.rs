//! One run of a subcommand: the daemons to query, the connection to them, and the output of what they reply.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::cli::Global;
use common::exit::Exit;
use common::out::{Format, Out};
use common::progress::{Unit, bar};
use common::record::profctl::{ReplySummary, RequestOutcome, Summary};
use common::rpc::message::Request;
use common::text::{Safe, count_noun};
use tokio::task::JoinSet;

use crate::certs;
use crate::cluster::DaemonList;
use crate::connection_args::ConnectionArgs;
use crate::daemon_address::DaemonAddress;
use crate::fanout::{self, DaemonExchange, DaemonRequest, FanoutLimits};
use crate::interrupt::{Interrupted, Interrupts};
use crate::reply::RequestFailure;
use crate::runtime::ClientRuntime;
use crate::transport::Transport;

/// From this number of daemons on, a bar shows the progress and a line the sum.
const MANY_DAEMONS: usize = 16;

/// The validated options of a run, its output and its counters.
pub(crate) struct DaemonSession<'a> {
    daemons: Vec<DaemonAddress>,
    /// Hosts with several daemons, which only their ports distinguish.
    shared_hosts: BTreeSet<String>,
    /// The ids of the Slurm job whose hosts are queried.
    slurm_job_ids: Vec<i64>,
    transport: Transport,
    limits: FanoutLimits,
    writes_records: bool,
    runtime: ClientRuntime,
    /// Set for commands that have something to put back when they are interrupted.
    interrupts: Option<Interrupts>,
    summary: Summary,
    /// Processes that were busy since [`Self::take_busy`].
    busy: u64,
    pub(crate) out: &'a mut Out,
}

impl<'a> DaemonSession<'a> {
    /// Checks the options and loads the certificates. Connects to no daemon yet.
    ///
    /// # Errors
    /// A host, a certificate or a name is not usable.
    pub(crate) fn new(
        connection: &ConnectionArgs,
        global: &Global,
        out: &'a mut Out,
    ) -> anyhow::Result<Self> {
        let start = Instant::now();
        let DaemonList { mut daemons, slurm_job_ids } = DaemonList::find(connection)?;
        let find_time = start.elapsed();
        let security = certs::load_security(connection, &daemons, out)?;
        let runtime = ClientRuntime::new()?;
        let parallel = usize::from(connection.parallel);
        if connection.all_addresses {
            daemons = runtime.block_on(resolve_all(daemons, parallel, connection.timeout));
        }
        let limits = FanoutLimits {
            parallel,
            retries: connection.retries,
            deadline: connection.deadline.map(|time| (Instant::now() + time.saturating_sub(find_time), time)),
        };
        let mut ports: BTreeMap<&str, BTreeSet<u16>> = BTreeMap::new();
        for daemon in &daemons {
            ports.entry(&daemon.host).or_default().insert(daemon.port);
        }
        let shared_hosts = ports.into_iter().filter(|(_, ports)| ports.len() > 1);
        Ok(Self {
            shared_hosts: shared_hosts.map(|(host, _)| host.to_owned()).collect(),
            summary: Summary { hosts: daemons.len() as u64, ..Summary::default() },
            busy: 0,
            daemons,
            slurm_job_ids,
            transport: Transport { security, timeout: connection.timeout },
            limits,
            writes_records: global.format == Format::Json,
            runtime,
            interrupts: None,
            out,
        })
    }

    /// Whether the result is written as records (`--format json`).
    pub(crate) fn writes_records(&self) -> bool {
        self.writes_records
    }

    /// Returns the daemons of the run.
    pub(crate) fn daemons(&self) -> &[DaemonAddress] {
        &self.daemons
    }

    /// Returns the ids of the Slurm job whose hosts are queried.
    pub(crate) fn slurm_job_ids(&self) -> &[i64] {
        &self.slurm_job_ids
    }

    /// Returns how to connect to daemons, and how many to query at the same time.
    pub(crate) fn transport(&self) -> (&Transport, usize) {
        (&self.transport, self.limits.parallel)
    }

    /// Returns what runs the exchanges.
    pub(crate) fn runtime(&self) -> &ClientRuntime {
        &self.runtime
    }

    /// From now on a signal does not end the process: [`Self::query_each`] and [`Self::sleep`] return [`Interrupted`] then.
    ///
    /// # Errors
    /// The system does not allow it.
    pub(crate) fn catch_interrupts(&mut self) -> std::io::Result<()> {
        self.interrupts = Some(self.runtime.block_on(async { Interrupts::new() })?);
        Ok(())
    }

    /// Waits for some time.
    ///
    /// # Errors
    /// [`Interrupted`].
    pub(crate) fn sleep(&mut self, time: Duration) -> anyhow::Result<()> {
        let (runtime, interrupts) = (self.runtime.clone(), self.interrupts.as_mut());
        runtime.block_on(until_interrupted(interrupts, async {
            tokio::time::sleep(time).await;
            Ok(())
        }))
    }

    /// Starts the time limit for all daemons anew, for a command that queries them again and again.
    pub(crate) fn restart_deadline(&mut self) {
        if let Some((at, limit)) = &mut self.limits.deadline {
            *at = Instant::now() + *limit;
        }
    }

    /// Sends a request to every daemon. `handle` gets each exchange as it ends: what a record says about it, and the
    /// body of the reply or why there is none.
    ///
    /// # Errors
    /// The first error of `handle`; exchanges that have not ended are dropped then.
    pub(crate) fn query_daemons(
        &mut self,
        request: &Request,
        mut handle: impl FnMut(&mut Self, ReplySummary, Result<Vec<u8>, RequestFailure>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let body: Arc<[u8]> = request.encode().into();
        let to_request =
            |daemon: &DaemonAddress| DaemonRequest { daemon: daemon.clone(), body: body.clone() };
        let requests = self.daemons.iter().map(to_request).collect();
        self.query_each(requests, |session, _, answer, body| handle(session, answer, body))
    }

    /// Sends a request of its own to each of some daemons. As [`Self::query_daemons`], with the place of the request.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn query_each(
        &mut self,
        requests: Vec<DaemonRequest>,
        mut handle: impl FnMut(
            &mut Self,
            usize,
            ReplySummary,
            Result<Vec<u8>, RequestFailure>,
        ) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let (transport, limits, runtime) = (self.transport.clone(), self.limits, self.runtime.clone());
        let many = requests.len() >= MANY_DAEMONS;
        let progress =
            many.then(|| bar(self.out.diag(), Unit::Items, Some(requests.len() as u64), "daemons"));
        let mut interrupts = self.interrupts.take();
        let exchanges = fanout::query_all(&transport, requests, limits, |exchange| {
            let index = exchange.index;
            let (answer, body) = split_exchange(exchange);
            let report = || {
                if let Some(address) = &answer.address {
                    let detail = format!("reply from {address} after {} ms", answer.elapsed_ms);
                    self.out.diag().info(&answer.host, detail);
                }
                handle(self, index, answer, body)?;
                // The next daemon may take as long as the timeout: show this result now.
                Ok(self.out.flush()?)
            };
            match &progress {
                None => report(),
                Some(progress) => {
                    progress.inc(1);
                    progress.suspend(report)
                }
            }
        });
        let result = runtime.block_on(until_interrupted(interrupts.as_mut(), exchanges));
        self.interrupts = interrupts;
        if let Some(progress) = progress {
            progress.finish_and_clear();
        }
        result
    }

    /// Returns the counters of the summary record.
    pub(crate) fn summary_mut(&mut self) -> &mut Summary {
        &mut self.summary
    }

    /// Counts processes that have not got a request because they have not fetched an earlier one.
    pub(crate) fn note_busy(&mut self, processes: u64) {
        self.busy = self.busy.saturating_add(processes);
    }

    /// Returns the number of those since the last call.
    pub(crate) fn take_busy(&mut self) -> u64 {
        std::mem::take(&mut self.busy)
    }

    /// Counts an exchange, and reports a failed one on standard error. One that is declined or rejected is part of the result.
    pub(crate) fn count_answer(&mut self, answer: &ReplySummary) {
        match answer.outcome {
            RequestOutcome::Done => self.summary.done += 1,
            RequestOutcome::Declined => self.summary.declined += 1,
            RequestOutcome::Rejected => self.summary.rejected += 1,
            RequestOutcome::Failed => {
                self.summary.failed += 1;
                let daemon = DaemonAddress { host: answer.host.clone(), port: answer.port, ip: None };
                self.out.error(daemon, answer.reason.as_deref().unwrap_or("failed"));
                self.print_hints(answer);
            }
        }
    }

    /// Prints the hints of an exchange that did not do what was asked on standard error.
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
        let label = self.label_of(answer);
        Ok(writeln!(self.out.text(), "{}: {}", Safe(&label), Safe(text))?)
    }

    /// Returns the name of a daemon in text output: its host, with the port if the host has several daemons.
    pub(crate) fn label_of(&self, answer: &ReplySummary) -> String {
        let host = answer.host.clone();
        if !self.shared_hosts.contains(&host) {
            return host;
        }
        DaemonAddress { host, port: answer.port, ip: None }.to_string()
    }

    /// Writes the summary, and returns the exit status.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(crate) fn finish_run(mut self) -> anyhow::Result<Exit> {
        self.summary.errors = self.out.diag().errors();
        if self.writes_records {
            self.out.record(&self.summary)?;
        } else if self.daemons.len() >= MANY_DAEMONS {
            let Summary { hosts, done, declined, rejected, failed, .. } = self.summary;
            let rejected = match rejected {
                0 => String::new(),
                _ => format!(", {rejected} rejected"),
            };
            let daemons = count_noun(hosts, "daemon");
            let text = format!("{daemons}: {done} done, {declined} declined{rejected}, {failed} failed");
            self.out.diag().notice("summary", text);
        }
        let Summary { declined, rejected, degraded, limited, partial, .. } = self.summary;
        Ok(if declined + rejected + degraded + limited + partial == 0 { Exit::Ok } else { Exit::No })
    }
}

/// Runs a future until it ends or a signal comes.
async fn until_interrupted(
    interrupts: Option<&mut Interrupts>,
    future: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let Some(interrupts) = interrupts else { return future.await };
    tokio::select! {
        result = future => result,
        () = interrupts.wait() => Err(Interrupted.into()),
    }
}

/// Replaces each daemon by one for each address of its host. One whose name cannot be resolved stays, and fails later.
async fn resolve_all(daemons: Vec<DaemonAddress>, parallel: usize, timeout: Duration) -> Vec<DaemonAddress> {
    let mut resolved: Vec<Vec<DaemonAddress>> = vec![Vec::new(); daemons.len()];
    let mut waiting = daemons.into_iter().enumerate();
    let mut running = JoinSet::new();
    loop {
        while running.len() < parallel.max(1) {
            let Some((index, daemon)) = waiting.next() else { break };
            running.spawn(async move {
                let lookup = tokio::net::lookup_host((daemon.host.clone(), daemon.port));
                let found = tokio::time::timeout(timeout, lookup).await;
                let mut addresses: Vec<_> = found.ok().and_then(Result::ok).into_iter().flatten().collect();
                addresses.sort();
                addresses.dedup();
                let own = |ip| DaemonAddress { ip, ..daemon.clone() };
                if daemon.ip.is_some() || addresses.is_empty() {
                    return (index, vec![own(daemon.ip)]);
                }
                (index, addresses.iter().map(|address| own(Some(address.ip()))).collect())
            });
        }
        match running.join_next().await {
            None => return resolved.into_iter().flatten().collect(),
            Some(Ok((index, of_host))) => resolved[index] = of_host,
            // A lookup neither panics nor is aborted.
            Some(Err(_)) => {}
        }
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
        code: None,
        hints: Vec::new(),
        elapsed_ms: u64::try_from(exchange.elapsed.as_millis()).unwrap_or(u64::MAX),
    };
    match exchange.result {
        Ok(reply) => {
            answer.address = Some(reply.address.to_string());
            (answer, Ok(reply.body))
        }
        Err(error) => {
            let address = exchange.daemon.ip.map(|ip| std::net::SocketAddr::new(ip, answer.port));
            answer.address = address.map(|address| address.to_string());
            (answer, Err(RequestFailure::from_error(error.to_string(), error.suggest_fix())))
        }
    }
}
