//! The table of maximum permissions, from the security statement that we implement.
//!
//! One table, used by `permck` to audit, by `certck` and `profd` to refuse before they read, and by every tool
//! that creates a file. A mode complies when it sets no bit outside its class's maximum; octal numbers are
//! never compared by size. setuid, setgid and sticky are outside every maximum.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::finding::{Finding, Severity};

/// Permission bits, the twelve low bits of `st_mode`; shown as four octal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mode(pub u32);

impl Mode {
    /// Returns whether group or others may write.
    #[must_use]
    pub fn is_writable_by_others(self) -> bool {
        self.0 & 0o022 != 0
    }

    /// Takes the permission bits of an `st_mode`.
    #[must_use]
    pub fn of(st_mode: u32) -> Self {
        Self(st_mode & 0o7777)
    }

    /// Reads an octal number such as `0640`; `None` for anything else, and beyond `07777`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        u32::from_str_radix(text, 8).ok().filter(|m| *m <= 0o7777).map(Self)
    }

    /// Returns the bits that `maximum` does not allow.
    #[must_use]
    pub fn beyond(self, maximum: Self) -> Self {
        Self(self.0 & !maximum.0)
    }

    /// Describes the permissions that these bits grant: `the owner may write, group and others may read and enter`.
    /// Execute permission on a directory is permission to enter it: chmod(1).
    #[must_use]
    pub fn describe(self, is_dir: bool) -> String {
        let parties = [("the owner", 6), ("group", 3), ("others", 0)];
        let granted = parties.map(|(party, shift)| (party, self.0 >> shift & 7));
        let mut clauses: Vec<String> = Vec::new();
        // Parties with the same permissions share a clause.
        for (i, &(_, bits)) in granted.iter().enumerate() {
            if bits == 0 || granted[..i].iter().any(|&(_, earlier)| earlier == bits) {
                continue;
            }
            let who: Vec<_> = granted.iter().filter(|g| g.1 == bits).map(|g| g.0).collect();
            let execute = if is_dir { "enter" } else { "execute" };
            let verbs = [(4, "read"), (2, "write"), (1, execute)];
            let verbs: Vec<_> = verbs.iter().filter(|v| bits & v.0 != 0).map(|v| v.1).collect();
            clauses.push(format!("{} may {}", join_words(&who), join_words(&verbs)));
        }
        let special = [(0o4000, "setuid"), (0o2000, "setgid"), (0o1000, "sticky")];
        let special: Vec<_> = special.iter().filter(|s| self.0 & s.0 != 0).map(|s| s.1).collect();
        if !special.is_empty() {
            let verb = if special.len() == 1 { "is" } else { "are" };
            clauses.push(format!("{} {verb} set", join_words(&special)));
        }
        clauses.join(", ")
    }
}

/// Joins words as in a sentence: `read, write and execute`.
fn join_words(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [word] => (*word).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

/// A class of files that share a maximum mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each is described once, in TABLE")]
pub enum Class {
    HomeDir,
    ProgramFile,
    ProgramDir,
    ConfigFile,
    ConfigDir,
    LogArchived,
    LogRecording,
    LogDir,
    DebugFile,
    DebugDir,
    TmpDir,
    UpgradeDir,
    DataFile,
    DataDir,
    KeyDir,
    KeyFile,
    CryptoScript,
}

/// One row of [`TABLE`].
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The class.
    pub class: Class,
    /// Its name in records, policies and findings.
    pub name: &'static str,
    /// The files that belong to it.
    pub what: &'static str,
    /// The most that its mode may allow.
    pub max: Mode,
}

const fn row(class: Class, name: &'static str, what: &'static str, max: u32) -> Row {
    Row { class, name, what, max: Mode(max) }
}

/// The seventeen rows, in the order of [`Class`].
pub const TABLE: [Row; 17] = [
    row(Class::HomeDir, "home_dir", "home directory", 0o750),
    row(Class::ProgramFile, "program_file", "programs, scripts, libraries", 0o550),
    row(Class::ProgramDir, "program_dir", "directory of programs", 0o550),
    row(Class::ConfigFile, "config_file", "configuration files", 0o640),
    row(Class::ConfigDir, "config_dir", "directory of configuration files", 0o750),
    row(Class::LogArchived, "log_archived", "log files, recorded or archived", 0o440),
    row(Class::LogRecording, "log_recording", "log files being recorded", 0o640),
    row(Class::LogDir, "log_dir", "log directory", 0o750),
    row(Class::DebugFile, "debug_file", "debug files", 0o640),
    row(Class::DebugDir, "debug_dir", "directory of debug files", 0o750),
    row(Class::TmpDir, "tmp_dir", "directory of temporary files", 0o750),
    row(Class::UpgradeDir, "upgrade_dir", "directory of maintenance and upgrade files", 0o770),
    row(Class::DataFile, "data_file", "service data", 0o640),
    row(Class::DataDir, "data_dir", "directory of service data", 0o750),
    row(Class::KeyDir, "key_dir", "directory of keys, certificates, ciphertext", 0o700),
    row(Class::KeyFile, "key_file", "keys, private keys, certificates, ciphertext", 0o600),
    row(Class::CryptoScript, "crypto_script", "interfaces and scripts for encryption and decryption", 0o500),
];

impl Class {
    /// The class's row.
    #[must_use]
    pub fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// Returns whether the class is one of directories.
    #[must_use]
    pub fn is_dir(self) -> bool {
        self.row().name.ends_with("_dir")
    }

    /// Returns the maximum mode of the class.
    #[must_use]
    pub fn max(self) -> Mode {
        self.row().max
    }

    /// Finds a class by its name in records and policies.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        TABLE.iter().find(|r| r.name == name).map(|r| r.class)
    }
}

/// Checks the metadata of an entry: the mode against its class, and the owner.
///
/// The owner must be the effective user of this process or root; a root-owned file that the mode allows us to
/// read is the usual state of an installation.
#[must_use]
pub fn check(path: &Path, meta: &std::fs::Metadata, class: Class) -> Vec<Finding> {
    check_for(path, meta, class, rustix::process::geteuid().as_raw())
}

/// Checks the metadata of a file that a process of another user will read.
#[must_use]
pub fn check_for(path: &Path, meta: &std::fs::Metadata, class: Class, user: u32) -> Vec<Finding> {
    [check_mode(path, Mode::of(meta.mode()), class), check_owner(path, meta.uid(), user)]
        .into_iter()
        .flatten()
        .collect()
}

/// Rule `mode`: no bit outside the class's maximum.
#[must_use]
pub fn check_mode(path: &Path, mode: Mode, class: Class) -> Option<Finding> {
    let row = class.row();
    let beyond = mode.beyond(row.max);
    (beyond.0 != 0).then(|| {
        Finding::new("mode", Severity::Error, path)
            .found(format!("mode {mode}: {}", beyond.describe(class.is_dir())))
            .expected(format!("at most {} ({}; class {})", row.max, row.what, row.name))
            .fix(format!("chmod {} {}", Mode(mode.0 & row.max.0), shell_quote(path)))
    })
}

/// Rule `owner`: the user whose files they are, or root.
#[must_use]
pub fn check_owner(path: &Path, owner: u32, user: u32) -> Option<Finding> {
    (owner != user && owner != 0).then(|| {
        let who = if user == rustix::process::geteuid().as_raw() { " (this process)" } else { "" };
        Finding::new("owner", Severity::Error, path)
            .found(format!("owned by uid {owner}"))
            .expected(format!("uid {user}{who} or root"))
            .fix(format!(
                "run the program as the owner, or change the owner: chown {user} {}",
                shell_quote(path)
            ))
    })
}

/// A path as one word of a shell: as it is, in single quotes, or, where it holds control characters or is not
/// UTF-8, as `$'…'` with escapes (POSIX.1-2024). A name that begins with a dash gets `./`, so that it is not
/// read as an option.
#[must_use]
pub fn shell_quote(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    if path.as_os_str().as_bytes().first() == Some(&b'-') {
        return shell_quote(&Path::new(".").join(path));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    match path.to_str() {
        Some(text) if !text.is_empty() && text.chars().all(plain) => text.to_owned(),
        Some(text) if crate::text::safe(text) == text => format!("'{}'", text.replace('\'', r"'\''")),
        _ => format!("$'{}'", path.as_os_str().as_bytes().iter().map(|&b| escape(b)).collect::<String>()),
    }
}

fn escape(byte: u8) -> String {
    match byte {
        b'\'' | b'\\' => format!("\\{}", char::from(byte)),
        b' '..=b'~' => char::from(byte).to_string(),
        // Octal has a fixed length, so a digit that follows is not swallowed.
        _ => format!("\\{byte:03o}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_in_the_order_of_the_classes() {
        for (i, row) in TABLE.iter().enumerate() {
            assert_eq!(row.class as usize, i);
            assert_eq!(Class::from_name(row.name), Some(row.class));
        }
    }

    /// The oracle counts bits one by one instead of masking.
    #[test]
    fn every_mode_against_every_class() {
        for row in &TABLE {
            for mode in 0..0o10000 {
                let allowed = (0..12).all(|bit| mode >> bit & 1 == 0 || row.max.0 >> bit & 1 == 1);
                let found = check_mode(Path::new("f"), Mode(mode), row.class);
                assert_eq!(found.is_none(), allowed, "{:04o} as {}", mode, row.name);
            }
        }
    }

    #[test]
    fn a_smaller_number_may_still_break_the_rule() {
        assert!(check_mode(Path::new("k"), Mode(0o577), Class::KeyFile).is_some());
    }

    #[test]
    fn modes_are_described_in_words() {
        let described = |bits, is_dir| Mode(bits).describe(is_dir);
        assert_eq!(described(0o055, true), "group and others may read and enter");
        assert_eq!(described(0o205, false), "the owner may write, others may read and execute");
        assert_eq!(described(0o777, false), "the owner, group and others may read, write and execute");
        assert_eq!(described(0o020, true), "group may write");
        assert_eq!(described(0o1002, true), "others may write, sticky is set");
        assert_eq!(described(0o6000, false), "setuid and setgid are set");
        let finding = check_mode(Path::new("keys"), Mode(0o755), Class::KeyDir).unwrap();
        assert_eq!(
            finding.reason(),
            "mode 0755: group and others may read and enter, \
             expected at most 0700 (directory of keys, certificates, ciphertext; class key_dir) [mode]"
        );
    }

    #[test]
    fn the_fix_only_tightens() {
        let f = check_mode(Path::new("a b"), Mode(0o4777), Class::KeyFile).unwrap();
        assert_eq!(f.fix, "chmod 0600 'a b'");
    }

    #[test]
    fn a_name_that_begins_with_a_dash_is_no_option() {
        assert_eq!(shell_quote(Path::new("-rf")), "./-rf");
        assert_eq!(shell_quote(Path::new("-a b")), "'./-a b'");
    }

    #[test]
    fn any_name_is_one_word_of_a_shell() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;
        let Some(bash) = testkit::require("bash") else { return };
        for name in [
            &b"plain-1.txt"[..],
            b"a b",
            b"it's",
            b"n\nl",
            b"\x1b[31m7",
            b"\xff\xfe'\\x",
            "\u{202e}x".as_bytes(),
        ] {
            let word = shell_quote(Path::new(OsStr::from_bytes(name)));
            let mut shell = std::process::Command::new(&bash);
            let echoed = shell.args(["-c", &format!("printf %s {word}")]).output().unwrap();
            assert_eq!(echoed.stdout, name, "{word}");
        }
    }
}
