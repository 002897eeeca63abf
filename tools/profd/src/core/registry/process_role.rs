//! The order in which processes of a job are traced, if not all of them are.
//!
//! libkineto registers every process that imports torch with `KINETO_USE_DAEMON=1`: besides the ranks also the launcher
//! that starts them, and data loaders that are started by spawning. A trace of those is almost empty, so they come last. A
//! launcher is known by its program or, when a request selects processes, by the registered ranks that descend from it.

/// The part of a process in its job. Processes get configs in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ProcessRole {
    /// It trains, as far as its command line shows.
    #[default]
    Trainer,
    /// Python's multiprocessing has spawned it: mostly a data loader.
    Helper,
    /// It has started another process of the job, and no rank shows which of the two trains.
    Starter,
    /// It starts the processes that train.
    Launcher,
}

/// Programs that start training processes, by the name of their file.
const LAUNCHER_PROGRAMS: [&str; 8] =
    ["torchrun", "deepspeed", "accelerate", "horovodrun", "colossalai", "msrun", "mpirun", "srun"];

/// The same as Python modules, after `-m`.
const LAUNCHER_MODULES: [&str; 6] = [
    "torch.distributed.run",
    "torch.distributed.launch",
    "torch_npu.distributed.run",
    "deepspeed.launcher.launch",
    "deepspeed.launcher.runner",
    "accelerate.commands.launch",
];

/// The mark of a child of Python's multiprocessing on its command line (CPython 3.12, `Lib/multiprocessing/spawn.py`,
/// `get_command_line`; `forkserver.py`, `resource_tracker.py`).
const HELPER_MARKS: [&str; 3] = [
    "--multiprocessing-fork",
    "from multiprocessing.forkserver import",
    "from multiprocessing.resource_tracker import",
];

/// The arguments that are looked at. A launcher has its own before those of the script.
const MAX_ARGUMENTS: usize = 16;

impl ProcessRole {
    /// Returns the role that a command line shows, given as in `/proc/<pid>/cmdline`: each argument ended by a NUL.
    pub(crate) fn of_command_line(command_line: &[u8]) -> Self {
        let arguments: Vec<_> =
            command_line.split(|b| *b == 0).take(MAX_ARGUMENTS).map(String::from_utf8_lossy).collect();
        let has_mark = |argument: &str| HELPER_MARKS.iter().any(|mark| argument.contains(mark));
        if arguments.iter().any(|argument| has_mark(argument)) {
            return Self::Helper;
        }
        let is_launcher = match find_argument(&arguments) {
            Some(RunArgument::Module(module)) => LAUNCHER_MODULES.contains(&module),
            Some(RunArgument::File(file)) => LAUNCHER_PROGRAMS.contains(&file_name(file)),
            None => false,
        };
        if is_launcher { Self::Launcher } else { Self::Trainer }
    }
}

/// The argument of a command line that says what is run.
enum RunArgument<'a> {
    /// Of Python's `-m`.
    Module(&'a str),
    File(&'a str),
}

/// Finds what is run: `torchrun …`, `python torchrun …`, `python -u -m torch.distributed.run …`: the first argument that is
/// not an option, behind the interpreter.
fn find_argument<'a>(arguments: &'a [std::borrow::Cow<'_, str>]) -> Option<RunArgument<'a>> {
    let is_python = |argument: &str| file_name(argument).starts_with("python");
    let mut rest = arguments.iter().map(AsRef::as_ref).skip_while(|argument| is_python(argument));
    while let Some(argument) = rest.next() {
        if argument == "-m" {
            return rest.next().map(RunArgument::Module);
        }
        if !argument.starts_with('-') {
            return Some(RunArgument::File(argument));
        }
    }
    None
}

/// Returns the name of what a command line runs: of a script, a module or, without either, the program itself.
pub(super) fn find_program(command_line: &[u8]) -> String {
    let arguments: Vec<_> =
        command_line.split(|b| *b == 0).take(MAX_ARGUMENTS).map(String::from_utf8_lossy).collect();
    match find_argument(&arguments) {
        Some(RunArgument::Module(module)) => module.to_owned(),
        Some(RunArgument::File(file)) if !file.is_empty() => file_name(file).to_owned(),
        _ => arguments.first().map(|program| file_name(program).to_owned()).unwrap_or_default(),
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn launchers_and_helpers_are_known_by_their_command_lines() {
        let role = |words: &str| {
            let line: Vec<u8> = words.split(' ').flat_map(|word| [word.as_bytes(), b"\0"].concat()).collect();
            ProcessRole::of_command_line(&line)
        };
        for launcher in [
            "/usr/bin/python3 /usr/local/bin/torchrun --nproc-per-node 2 train.py",
            "python -m torch.distributed.run --nnodes 2 train.py",
            "python3.12 -u -m torch.distributed.launch train.py",
            "/opt/conda/bin/python /opt/conda/bin/deepspeed train.py",
            "mpirun -n 8 python train.py",
        ] {
            assert_eq!(role(launcher), ProcessRole::Launcher, "{launcher}");
        }
        let spawned =
            "python -c from\u{a0}multiprocessing.spawn spawn_main(pipe_handle=9) --multiprocessing-fork";
        assert_eq!(role(spawned), ProcessRole::Helper);
        for trainer in [
            "python train.py --launcher torchrun",
            "python -u -m train torchrun",
            "python",
            "",
            "/work/torchrun.py",
            "./demo --multi",
        ] {
            assert_eq!(role(trainer), ProcessRole::Trainer, "{trainer}");
        }
    }
}
