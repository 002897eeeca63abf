//! What the command line and the environment of a process tell about it: its rank in the job, and the name of what it runs.

use super::process_role::find_program;

/// The variables that hold a rank, the most reliable first: that of torchrun, DeepSpeed and accelerate; of MindSpore's
/// msrun; of Open MPI; of PMIx and PMI (MPICH, Intel MPI); of Slurm, which a launcher that Slurm has started passes on to
/// all its children (srun(1), OUTPUT ENVIRONMENT VARIABLES).
const RANK_VARIABLES: [&str; 6] =
    ["RANK", "RANK_ID", "OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"];

/// Returns the rank that an environment tells, given as in `/proc/<pid>/environ`: each variable ended by a NUL.
///
/// It is the environment that the process was started with: what the program has set itself is not in it.
pub(crate) fn find_rank(environment: &[u8]) -> Option<i64> {
    let value_of = |name: &str| {
        let own = |variable: &&[u8]| {
            variable.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&b'='))
        };
        let found = environment.split(|b| *b == 0).find(own)?;
        std::str::from_utf8(&found[name.len() + 1..])
            .ok()?
            .trim()
            .parse::<i64>()
            .ok()
            .filter(|rank| *rank >= 0)
    };
    RANK_VARIABLES.iter().find_map(|name| value_of(name))
}

/// Returns the name of what a command line runs: the file name of a Python script, a Python module, or the file name of the
/// program.
pub(crate) fn find_name(command_line: &[u8]) -> Option<String> {
    let name = find_program(command_line);
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rank_is_that_of_the_innermost_launcher() {
        let rank = |text: &str| find_rank(text.replace(' ', "\0").as_bytes());
        assert_eq!(rank("HOME=/ SLURM_PROCID=1 RANK=9 LOCAL_RANK=1"), Some(9));
        assert_eq!(rank("SLURM_PROCID=3"), Some(3));
        assert_eq!(rank("OMPI_COMM_WORLD_RANK=4 PMI_RANK=5"), Some(4));
        for none in ["", "RANK", "RANK=", "RANK=x", "RANK=-1", "LOCAL_RANK=1", "MY_RANK=1", "RANKS=1"] {
            assert_eq!(rank(none), None, "{none}");
        }
        assert_eq!(rank("RANK=x SLURM_PROCID=2"), Some(2));
        assert_eq!(find_rank(b"RANK=\xff\0"), None);
    }

    #[test]
    fn the_name_is_that_of_the_script() {
        let name = |words: &str| find_name(words.replace(' ', "\0").as_bytes());
        for (line, expected) in [
            ("/usr/bin/python3 -u /job/train.py --lr 1", "train.py"),
            ("python -m pkg.train --lr 1", "pkg.train"),
            ("/opt/bin/trainer x", "trainer"),
            ("python3.12 /usr/local/bin/torchrun --nproc-per-node 2 train.py", "torchrun"),
            ("python", "python"),
        ] {
            assert_eq!(name(line).as_deref(), Some(expected), "{line}");
        }
        assert_eq!(name(""), None);
    }
}
