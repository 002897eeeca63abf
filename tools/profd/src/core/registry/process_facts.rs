//! The facts about a process, by its command line and its environment: its program, its rank, and the job that it belongs to.
//!
//! It is what the process says about itself, and decides nothing: who it is, the kernel says.

use std::sync::Arc;

use common::rpc::message::ProcessStatus;

use super::process_role::ProcessRole;

/// Maximum length of a text in bytes.
const MAX_TEXT: usize = 200;

/// See the module. Each is missing if it is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProcessFacts {
    /// The program, and for Python its script or module. Other arguments are left out: they may be secret.
    pub(crate) command: Option<String>,
    pub(crate) role: ProcessRole,
    pub(crate) rank: Option<i64>,
    pub(crate) local_rank: Option<i64>,
    pub(crate) world_size: Option<i64>,
    pub(crate) slurm_job_id: Option<String>,
    pub(crate) slurm_job_name: Option<String>,
    pub(crate) slurm_account: Option<String>,
    pub(crate) slurm_partition: Option<String>,
    pub(crate) pod: Option<String>,
    pub(crate) namespace: Option<String>,
    /// The variables that a mappings file names, by the names that it gives them.
    pub(crate) attributes: Vec<(Arc<str>, String)>,
}

/// A variable of processes that metrics show, and its name there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EnvMapping {
    pub(crate) variable: String,
    pub(crate) name: Arc<str>,
}

/// Variables with the rank of a process, the most reliable first: that of torchrun, DeepSpeed and accelerate; of MindSpore's
/// msrun; of Open MPI; of PMIx and PMI (MPICH, Intel MPI).
const RANK: [&str; 5] = ["RANK", "RANK_ID", "OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"];
/// The same of its rank on the host.
const LOCAL_RANK: [&str; 3] = ["LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID"];
/// The same of the number of ranks.
const WORLD_SIZE: [&str; 3] = ["WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE"];

/// Usual names for the name of a pod in its own environment (Kubernetes, downward API); `HOSTNAME` is the same there.
const POD: [&str; 3] = ["POD_NAME", "MY_POD_NAME", "K8S_POD_NAME"];
const NAMESPACE: [&str; 4] = ["POD_NAMESPACE", "MY_POD_NAMESPACE", "K8S_NAMESPACE", "NAMESPACE"];

impl ProcessFacts {
    /// Reads the contents of `/proc/<pid>/cmdline` and `/proc/<pid>/environ` (proc_pid_environ(5)); empty if they cannot be
    /// read. `mappings` are the further variables that are read.
    pub(crate) fn read(command_line: &[u8], environment: &[u8], mappings: &[EnvMapping]) -> Self {
        let role = ProcessRole::of_command_line(command_line);
        let variables = Variables(environment);
        let number = |names: &[&str], of_slurm: &str| {
            // srun gives a launcher a rank of its own, which is not that of the processes that it starts with it
            // (srun(1), OUTPUT ENVIRONMENT VARIABLES).
            let slurm = || (role != ProcessRole::Launcher).then(|| variables.number(of_slurm)).flatten();
            names.iter().find_map(|name| variables.number(name)).or_else(slurm)
        };
        let is_pod = variables.get("KUBERNETES_SERVICE_HOST").is_some();
        let pod = variables.first(&POD).or_else(|| variables.get("HOSTNAME").filter(|_| is_pod));
        Self {
            command: describe_command(command_line),
            role,
            rank: number(&RANK, "SLURM_PROCID"),
            local_rank: number(&LOCAL_RANK, "SLURM_LOCALID"),
            world_size: number(&WORLD_SIZE, "SLURM_NTASKS"),
            slurm_job_id: variables.get("SLURM_JOB_ID"),
            slurm_job_name: variables.get("SLURM_JOB_NAME"),
            slurm_account: variables.get("SLURM_JOB_ACCOUNT"),
            slurm_partition: variables.get("SLURM_JOB_PARTITION"),
            namespace: variables.first(&NAMESPACE).filter(|_| is_pod || pod.is_some()),
            pod,
            attributes: mappings
                .iter()
                .filter_map(|mapping| Some((mapping.name.clone(), variables.get(&mapping.variable)?)))
                .collect(),
        }
    }

    /// Adds the facts to the status of the process.
    pub(crate) fn add_to(&self, status: &mut ProcessStatus) {
        let Self { command, rank, local_rank, world_size, pod, namespace, .. } = self.clone();
        status.command = command;
        status.role = match self.role {
            ProcessRole::Trainer | ProcessRole::Starter => None,
            ProcessRole::Helper => Some("helper".to_owned()),
            ProcessRole::Launcher => Some("launcher".to_owned()),
        };
        (status.rank, status.local_rank, status.world_size) = (rank, local_rank, world_size);
        (status.pod, status.namespace) = (pod, namespace);
        status.slurm_job_id = self.slurm_job_id.clone();
        status.slurm_job_name = self.slurm_job_name.clone();
        status.slurm_account = self.slurm_account.clone();
        status.slurm_partition = self.slurm_partition.clone();
    }
}

/// The variables of a process, each ended by a NUL.
struct Variables<'a>(&'a [u8]);

impl Variables<'_> {
    fn get(&self, name: &str) -> Option<String> {
        let value =
            |entry: &[u8]| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=").map(<[u8]>::to_vec);
        let value = self.0.split(|b| *b == 0).find_map(value)?;
        bounded_text(&value)
    }

    /// A number that is not negative.
    fn number(&self, name: &str) -> Option<i64> {
        self.get(name)?.trim().parse().ok().filter(|n| *n >= 0)
    }

    fn first(&self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| self.get(name))
    }
}

fn bounded_text(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_TEXT)]).into_owned();
    Some(text).filter(|text| !text.is_empty())
}

/// Returns the program, and what an interpreter runs: `python3 train.py`, `python3 -m pkg.train`.
fn describe_command(command_line: &[u8]) -> Option<String> {
    let mut arguments = command_line.split(|b| *b == 0);
    let program = arguments.next().filter(|program| !program.is_empty())?;
    let program = program.rsplit(|b| *b == b'/').next().unwrap_or(program);
    let mut words = vec![program];
    if program.starts_with(b"python") {
        while let Some(argument) = arguments.next() {
            match argument {
                b"-m" | b"-c" => {
                    words.push(argument);
                    // The text of a program may hold anything.
                    words.extend(arguments.next().filter(|_| argument == b"-m"));
                    break;
                }
                // The options of python3 with a value of their own.
                b"-W" | b"-X" => drop(arguments.next()),
                option if option.starts_with(b"-") => {}
                script => {
                    words.push(script);
                    break;
                }
            }
        }
    }
    bounded_text(words.join(&b' ').trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nul(words: &str) -> Vec<u8> {
        words.split(' ').flat_map(|word| [word.as_bytes(), b"\0"].concat()).collect()
    }

    #[test]
    fn ranks_and_jobs_are_those_of_the_environment() {
        let environment = nul(
            "PATH=/bin RANK=5 LOCAL_RANK=1 WORLD_SIZE=8 SLURM_JOB_ID=4711 SLURM_PROCID=2 SLURM_JOB_ACCOUNT=lab \
             SLURM_JOB_PARTITION=gpu SLURM_JOB_NAME=llama HOSTNAME=node1 XRANK=9",
        );
        let facts =
            ProcessFacts::read(&nul("/usr/bin/python3 -u train.py --token secret"), &environment, &[]);
        assert_eq!((facts.rank, facts.local_rank, facts.world_size), (Some(5), Some(1), Some(8)));
        assert_eq!(facts.command.as_deref(), Some("python3 train.py"));
        assert_eq!(facts.slurm_job_id.as_deref(), Some("4711"));
        assert_eq!((facts.pod, facts.namespace), (None, None), "HOSTNAME is a pod in a pod only");
        let srun = nul("SLURM_PROCID=2 SLURM_LOCALID=0 SLURM_NTASKS=4");
        assert_eq!(ProcessFacts::read(&nul("python train.py"), &srun, &[]).rank, Some(2));
        assert_eq!(ProcessFacts::read(&nul("torchrun train.py"), &srun, &[]).rank, None);
        assert_eq!(ProcessFacts::read(b"", &nul("RANK=-1"), &[]).rank, None);
    }

    #[test]
    fn a_pod_is_named_by_its_variables() {
        let environment = nul("KUBERNETES_SERVICE_HOST=10.0.0.1 HOSTNAME=job-0 POD_NAMESPACE=ml");
        let mapping = EnvMapping { variable: "POD_NAMESPACE".to_owned(), name: "team".into() };
        let facts = ProcessFacts::read(b"", &environment, &[mapping]);
        assert_eq!(facts.attributes, [("team".into(), "ml".to_owned())]);
        assert_eq!((facts.pod.as_deref(), facts.namespace.as_deref()), (Some("job-0"), Some("ml")));
        let named = nul("POD_NAME=a HOSTNAME=b");
        assert_eq!(ProcessFacts::read(b"", &named, &[]).pod.as_deref(), Some("a"));
    }

    #[test]
    fn commands_are_named_without_their_arguments_and_are_bounded() {
        let command = |words: &str| ProcessFacts::read(&nul(words), b"", &[]).command;
        assert_eq!(command("python -X dev -m pkg.train --key k").as_deref(), Some("python -m pkg.train"));
        assert_eq!(command("python -c password").as_deref(), Some("python -c"));
        assert_eq!(command("/opt/demo/worker --key k").as_deref(), Some("worker"));
        assert_eq!(ProcessFacts::read(b"", b"", &[]).command, None);
        let long = ProcessFacts::read(
            &nul(&"x".repeat(5000)),
            &nul(&format!("SLURM_JOB_NAME={}", "y".repeat(5000))),
            &[],
        );
        assert_eq!((long.command.unwrap().len(), long.slurm_job_name.unwrap().len()), (MAX_TEXT, MAX_TEXT));
    }
}
