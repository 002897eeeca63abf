//! The hosts of a Slurm job or of the pods of a Kubernetes selector, from the programs of these systems as they are.

use std::net::IpAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use common::error::HintExt;
use common::program::run_program;

use crate::connection_args::ConnectionArgs;
use crate::daemon_address::{DaemonAddress, parse_daemons};
use crate::duration_text::format_duration;
use crate::host_list::expand_host_lists;
use crate::option_value::PodAddress;

/// Maximum time that the programs may take together, unless `--deadline` is shorter.
const MAX_TIME: Duration = Duration::from_secs(30);
/// Maximum output of one, in bytes: a line for each of many thousand nodes or pods.
const OUTPUT: u64 = 16 << 20;

/// The fields of each pod, as `kubectl get --output=jsonpath` prints them (kubernetes.io, "JSONPath Support"; the fields
/// are those of the API's PodStatus and PodSpec, v1).
const POD_FIELDS: &str = "jsonpath={range .items[*]}{.status.phase}{\"\\t\"}{.spec.nodeName}{\"\\t\"}{.status.hostIP}{\"\\t\"}\
                          {.status.podIP}{\"\\n\"}{end}";

/// The daemons of a run.
#[derive(Debug, Default)]
pub(crate) struct DaemonList {
    pub(crate) daemons: Vec<DaemonAddress>,
    /// The ids of the Slurm job whose hosts they are: an array has one for each task that runs, others have one.
    pub(crate) slurm_job_ids: Vec<i64>,
}

impl DaemonList {
    /// Finds the daemons of `--hosts`, `--slurm` or `--k8s`, or the one of `--hostname`.
    ///
    /// # Errors
    /// A list is malformed or empty, or a program fails.
    pub(crate) fn find(connection: &ConnectionArgs) -> anyhow::Result<Self> {
        let port = connection.port;
        let limit = connection.deadline.map_or(MAX_TIME, |limit| limit.min(MAX_TIME));
        let programs = ClusterPrograms { limit, until: Instant::now() + limit };
        if let Some(job) = &connection.slurm {
            let (slurm_job_ids, nodes) = programs.find_slurm_nodes(job)?;
            return Ok(Self { daemons: parse_daemons("--slurm", &nodes, port)?, slurm_job_ids });
        }
        let daemons = if let Some(selector) = &connection.k8s {
            programs.find_pod_daemons(connection, selector)?
        } else if connection.hosts.is_empty() {
            parse_daemons("--hostname", std::slice::from_ref(&connection.hostname), port)?
        } else {
            parse_daemons("--hosts", &expand_host_lists(&connection.hosts)?, port)?
        };
        Ok(Self { daemons, slurm_job_ids: Vec::new() })
    }
}

/// Programs that are asked for hosts, and their time limit.
struct ClusterPrograms {
    limit: Duration,
    until: Instant,
}

impl ClusterPrograms {
    /// Asks Slurm for the nodes of a job. Returns the `SLURM_JOB_ID` of each of its parts, too.
    ///
    /// `squeue` prints the id (`%A`) and the nodes (`%N`) of each part of the job, such as `123|node[001-004]`;
    /// `scontrol show hostnames` prints the nodes of such a list one a line (squeue(1), scontrol(1), Slurm 22.05).
    fn find_slurm_nodes(&self, job: &str) -> anyhow::Result<(Vec<i64>, Vec<String>)> {
        let jobs = format!("--jobs={job}");
        let args = ["--noheader", "--states=RUNNING", "--format=%A|%N", &jobs];
        let listed = self.ask("squeue", &args, "--slurm")?;
        let (mut ids, mut lists) = (std::collections::BTreeSet::new(), Vec::new());
        for line in listed.lines().map(str::trim).filter(|l| !l.is_empty()) {
            let fields = line.split_once('|').map(|(id, nodes)| (id.trim().parse::<i64>(), nodes.trim()));
            let Some((Ok(id), nodes)) = fields else {
                bail!("--slurm: squeue printed {line:?}, which is not JOBID|NODELIST");
            };
            ids.insert(id);
            lists.extend((!nodes.is_empty()).then(|| nodes.to_owned()));
        }
        if lists.is_empty() {
            return Err(anyhow!("--slurm: no node runs job {job}")).hint("see `squeue --jobs` for its state");
        }
        let list = lists.join(",");
        // An argument that begins with a dash would be taken for an option.
        if list.starts_with('-') {
            bail!("--slurm: squeue printed the node list {list:?}");
        }
        let names = self.ask("scontrol", &["show", "hostnames", &list], "--slurm")?;
        let nodes = names.lines().map(str::trim).filter(|l| !l.is_empty()).map(str::to_owned).collect();
        Ok((ids.into_iter().collect(), nodes))
    }

    /// Asks Kubernetes for the running pods of a selector, and returns one daemon for each node or pod.
    fn find_pod_daemons(
        &self,
        connection: &ConnectionArgs,
        selector: &str,
    ) -> anyhow::Result<Vec<DaemonAddress>> {
        let selector_arg = format!("--selector={selector}");
        let output = format!("--output={POD_FIELDS}");
        let mut args = vec!["get", "pods", &selector_arg, &output];
        let namespace = connection.k8s_namespace.as_ref().map(|name| format!("--namespace={name}"));
        args.extend(namespace.as_deref());
        let listed = self.ask("kubectl", &args, "--k8s")?;
        let daemons = parse_pods(&listed, connection.k8s_address, connection.port)?;
        if daemons.is_empty() {
            return Err(anyhow!("--k8s: no pod that runs matches {selector:?}"))
                .hint("give the namespace with --k8s-namespace; see `kubectl get pods --selector`");
        }
        Ok(daemons)
    }

    /// Runs one of the programs, with the environment of this process: their configuration is in it.
    fn ask(&self, program: &str, args: &[&str], option: &str) -> anyhow::Result<String> {
        let mut command = Command::new(program);
        command.args(args).env("LC_ALL", "C");
        // squeue(1): these would change what it prints.
        for variable in ["SQUEUE_FORMAT", "SQUEUE_FORMAT2", "SQUEUE_STATES", "SQUEUE_ARRAY"] {
            command.env_remove(variable);
        }
        let left = self.until.saturating_duration_since(Instant::now());
        run_program(&mut command, left, OUTPUT).map_err(|reason| {
            if Instant::now() >= self.until {
                let limit = format_duration(self.limit);
                return anyhow!("{option}: {program}: no answer in time (limit: {limit})");
            }
            anyhow!("{option}: {program}: {reason}")
        })
    }
}

/// Parses what `kubectl` prints: phase, node, address of the node, address of the pod, separated by tabs.
fn parse_pods(text: &str, at: PodAddress, port: u16) -> anyhow::Result<Vec<DaemonAddress>> {
    let mut daemons: Vec<DaemonAddress> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for line in text.lines().filter(|l| !l.is_empty()) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [phase, node, host_ip, pod_ip] = fields[..] else {
            bail!("--k8s: kubectl printed {line:?}, which is not PHASE, NODE, HOSTIP and PODIP");
        };
        // A pod that does not run has no addresses.
        if phase != "Running" {
            continue;
        }
        let (name, ip) = match at {
            PodAddress::Node => (node, host_ip),
            PodAddress::Pod => (pod_ip, pod_ip),
        };
        let ip: IpAddr = ip.parse().map_err(|_| anyhow!("--k8s: kubectl printed the address {ip:?}"))?;
        let daemon = DaemonAddress { ip: Some(ip), ..DaemonAddress::parse(name, port)? };
        if seen.insert(daemon.clone()) {
            daemons.push(daemon);
        }
    }
    Ok(daemons)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_hangs_ends_with_the_limit() {
        let limit = Duration::from_millis(200);
        let programs = ClusterPrograms { limit, until: Instant::now() + limit };
        let start = Instant::now();
        let e = programs.ask("sleep", &["30"], "--slurm").unwrap_err().to_string();
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
        assert!(e.starts_with("--slurm: sleep: ") && e.ends_with("(limit: 200 ms)"), "{e}");
    }

    #[test]
    fn pods_on_one_node_have_one_daemon() {
        let text = "Running\tnode-a\t10.0.0.1\t10.1.0.5\nRunning\tnode-a\t10.0.0.1\t10.1.0.6\n\
                    Pending\tnode-b\t\t\nRunning\tnode-c\t10.0.0.3\t10.1.2.7\n";
        let shown = |at| {
            let daemons = parse_pods(text, at, 1778).unwrap();
            daemons.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(shown(PodAddress::Node), ["node-a (10.0.0.1:1778)", "node-c (10.0.0.3:1778)"]);
        assert_eq!(shown(PodAddress::Pod).len(), 3);
        for bad in ["Running\tnode-a\t10.0.0.1", "Running\tn\tx\ty", "Running\ta b\t10.0.0.1\t10.0.0.1"] {
            assert!(parse_pods(bad, PodAddress::Node, 1).is_err(), "{bad:?}");
        }
    }
}
