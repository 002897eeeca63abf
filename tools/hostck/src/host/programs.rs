//! Programs of the running system, which know what its files alone do not say. Each runs without a shell, with a fixed
//! environment, and bounded in time and output.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use common::program::ProgramEnd;

/// A program that takes longer is killed: nft needs seconds for large sets, and systemctl waits 25 s for the bus.
const DEADLINE: Duration = Duration::from_secs(30);

/// More output than this is not read.
const OUTPUT: u64 = 64 << 20;

/// The directories of the system's programs.
const SYSTEM_DIRS: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];

/// The result of running a program.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ProgramOutput {
    Text(String),
    /// The program is not installed.
    Absent,
    /// The reason.
    Failed(String),
}

/// The programs that can be asked.
#[derive(Clone, Debug)]
pub(crate) struct SystemPrograms {
    dirs: Vec<PathBuf>,
}

impl Default for SystemPrograms {
    fn default() -> Self {
        Self { dirs: SYSTEM_DIRS.iter().map(PathBuf::from).collect() }
    }
}

impl SystemPrograms {
    /// The programs in these directories.
    #[cfg(test)]
    pub(crate) fn in_dirs(dirs: &[&std::path::Path]) -> Self {
        Self { dirs: dirs.iter().map(|dir| (*dir).to_owned()).collect() }
    }

    /// Runs a program, and returns what it prints if it succeeds.
    pub(crate) fn ask(&self, program: &str, args: &[&str]) -> ProgramOutput {
        let Some(mut command) = self.prepare_command(program, args) else { return ProgramOutput::Absent };
        match common::program::run_program(&mut command, DEADLINE, OUTPUT) {
            Ok(text) => ProgramOutput::Text(text),
            Err(reason) => ProgramOutput::Failed(reason),
        }
    }

    /// Runs a program, and returns what it prints and how it ends; none if it is not installed.
    pub(crate) fn run(&self, program: &str, args: &[&str]) -> Option<Result<ProgramEnd, String>> {
        let mut command = self.prepare_command(program, args)?;
        Some(common::program::run_to_end(&mut command, DEADLINE, OUTPUT))
    }

    fn prepare_command(&self, program: &str, args: &[&str]) -> Option<Command> {
        let path = self.dirs.iter().map(|dir| dir.join(program)).find(|path| path.exists())?;
        let mut command = Command::new(path);
        command.args(args).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
        Some(command)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;
    use std::path::Path;
    use std::process::Stdio;

    use super::*;

    /// Installs a script under the name of a program. A shell writes it: a file that this process has open for writing
    /// could not be run while another test forks.
    pub(crate) fn install_script(dir: &Path, name: &str, script: &str) {
        let mut shell = Command::new("/bin/sh")
            .args(["-c", "cat > \"$0\" && chmod 0755 \"$0\""])
            .arg(dir.join(name))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        write!(shell.stdin.take().unwrap(), "#!/bin/sh\n{script}").unwrap();
        assert!(shell.wait().unwrap().success());
    }

    #[test]
    fn a_program_that_is_not_there_is_absent() {
        let programs = SystemPrograms::default();
        assert_eq!(programs.ask("no-such-program-here", &[]), ProgramOutput::Absent);
        assert_eq!(programs.ask("true", &[]), ProgramOutput::Text(String::new()));
        assert_eq!(programs.ask("false", &[]), ProgramOutput::Failed("it failed".into()));
    }

    /// Neither the search path nor the language of the user who runs hostck reaches a program.
    #[test]
    fn programs_get_a_fixed_environment() {
        let dir = crate::tests::clean_dir();
        install_script(dir.path(), "show-env", "echo $PATH $LC_ALL $HOME; exit 3\n");
        let programs = SystemPrograms::in_dirs(&[dir.path()]);
        let end = programs.run("show-env", &[]).unwrap().unwrap();
        assert_eq!((end.text.as_str(), end.success), ("/usr/sbin:/usr/bin:/sbin:/bin C\n", false));
    }
}
