//! The name of what a process runs, by its command line.

use super::process_role::find_program;

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
