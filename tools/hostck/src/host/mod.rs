//! The host that the tools run on: accounts, kernel settings, listeners, units, toolkits. Read-only.
//!
//! A [`AuditedHost`] is a root directory, running or not. Checks read files below it, through links as that system would
//! resolve them, and report what they could not read. On a running system they ask its own programs, and believe them. One file per subject; [`CHECKS`] lists them all.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use common::finding::{Finding, Severity};
use common::policy::shell_quote;
use common::rule::Rule;

use common::accounts::AccountTable;
use common::system_root::SystemRoot;

mod account;
mod cann;
mod changeable;
mod clock;
pub(crate) mod firewall;
mod kernel;
mod listen;
mod logins;
pub(crate) mod programs;
mod sudo;
pub(crate) mod sudoers;
mod tmp;
mod umask;
pub(crate) mod unit;

use programs::{ProgramOutput, SystemPrograms};
use unit::HostUnits;

/// A check of one subject.
pub(crate) struct HostCheck {
    pub(crate) rule: Rule,
    run: fn(&AuditedHost, &Self) -> Vec<Finding>,
}

/// Every subject, in the order in which they are checked.
pub(crate) static CHECKS: [&HostCheck; 15] = [
    &account::CHECK,
    &logins::CHECK,
    &umask::CHECK,
    &kernel::ASLR,
    &kernel::LINKS,
    &kernel::PTRACE,
    &kernel::CORE,
    &kernel::BINDV6ONLY,
    &listen::LISTEN,
    &firewall::CHECK,
    &tmp::CHECK,
    &unit::CHECK,
    &unit::NO_TLS,
    &cann::CHECK,
    &clock::CHECK,
];

/// The rule of notes about input that could not be read.
pub(crate) static UNSEEN: Rule = Rule {
    id: "unseen",
    severity: Severity::Note,
    what: "it could not be checked",
    why: "A check without its input decides nothing: the setting may be wrong.",
    fix: "run hostck as root, or install or name what the note says is missing",
    reference: "hostck-check(1)",
};

/// Every rule, in the order of the checks.
pub(crate) fn rules() -> impl Iterator<Item = &'static Rule> {
    CHECKS.iter().map(|check| &check.rule).chain([&UNSEEN])
}

/// A system to look at.
pub(crate) struct AuditedHost {
    root: SystemRoot,
    /// Whether it is the running system: `/proc` is its own.
    pub(crate) live: bool,
    pub(crate) ids: AccountTable,
    /// The account that runs, or will run, the tools.
    pub(crate) user: Option<String>,
    /// The daemon's port.
    pub(crate) port: u16,
    /// Whether the ports that units of the daemon give it take the place of `port`.
    pub(crate) asks_units: bool,
    /// Environment variables of the account's processes, where they can be known.
    pub(crate) env: Vec<(String, String)>,
    /// The programs that are asked on a running system.
    pub(crate) programs: SystemPrograms,
    /// The services, looked up when first needed.
    units: OnceLock<HostUnits>,
}

impl AuditedHost {
    pub(crate) fn open(root: &Path, live: bool, user: Option<String>, port: u16) -> io::Result<Self> {
        let root = SystemRoot::open(root)?;
        let ids = AccountTable::of(&root);
        let (programs, units) = (SystemPrograms::default(), OnceLock::new());
        Ok(Self { root, live, ids, user, port, asks_units: false, env: Vec::new(), programs, units })
    }

    /// The daemon's ports: several where its units give it different ones.
    pub(crate) fn daemon_ports(&self) -> Vec<u16> {
        let of_units = if self.asks_units { unit::find_daemon_ports(self) } else { Vec::new() };
        if of_units.is_empty() { vec![self.port] } else { of_units }
    }

    /// Runs every check.
    pub(crate) fn run_checks(&self) -> Vec<Finding> {
        CHECKS.iter().flat_map(|check| (check.run)(self, check)).collect()
    }

    /// The services of the host: on a running system as systemd has them, where it answers.
    pub(crate) fn units(&self) -> &HostUnits {
        self.units.get_or_init(|| HostUnits::load(self))
    }

    /// Reads a text file, given without the first slash.
    pub(crate) fn read_file(&self, path: &str) -> io::Result<String> {
        self.root.read_file(path)
    }

    /// The names in a directory, sorted; none where the directory does not exist.
    pub(crate) fn list_names(&self, path: &str) -> Vec<String> {
        self.root.list_names(path)
    }

    /// Returns the metadata of a file, following symlinks.
    pub(crate) fn stat(&self, path: &str) -> io::Result<rustix::fs::Stat> {
        self.root.stat(path)
    }

    /// Reads the target of a symlink.
    pub(crate) fn read_link(&self, path: &str) -> Option<String> {
        self.root.read_link(path)
    }

    /// The path of a file on this system, for messages.
    pub(crate) fn display_path(&self, path: &str) -> PathBuf {
        self.root.path.join(path)
    }

    /// The option by which passwd(1), usermod(8), useradd(8) and systemctl(1) work on this system and not on the one
    /// that hostck runs on, with a blank behind it; nothing for the running system.
    pub(crate) fn root_option(&self) -> String {
        if self.live { String::new() } else { format!("--root {} ", shell_quote(&self.root.path)) }
    }

    /// Whether the name service of the running system has a user (getent(1)).
    pub(crate) fn is_known_to_name_service(&self, user: &str) -> bool {
        matches!(self.programs.ask("getent", &["passwd", "--", user]), ProgramOutput::Text(_))
    }

    /// A kernel setting and its source: the running kernel, or the files of an image.
    pub(crate) fn read_sysctl(&self, name: &str) -> Result<(String, String), String> {
        let proc = format!("proc/sys/{}", name.replace('.', "/"));
        if self.live {
            let value = self.read_file(&proc).map_err(|e| common::error::io_reason(&e))?;
            return Ok((value.trim().to_owned(), format!("/{proc}")));
        }
        let found = self
            .find_sysctl_file(name)
            .map(|(value, path)| (value, self.display_path(&path).display().to_string()));
        found.ok_or_else(|| format!("{name} is set by no file of this root"))
    }

    /// The value that the files give a kernel setting, and the file that sets it last (sysctl.d(5)).
    pub(crate) fn find_sysctl_file(&self, name: &str) -> Option<(String, String)> {
        let mut found = None;
        for path in self.sysctl_files() {
            let text = self.read_file(&path).unwrap_or_default();
            if let Some(value) = text.lines().filter_map(|l| parse_setting(l, name)).next_back() {
                found = Some((value.to_owned(), path));
            }
        }
        found
    }

    /// Whether one of these services is started with the system.
    pub(crate) fn is_enabled(&self, services: &[&str]) -> bool {
        let places = ["etc/systemd/system", "usr/lib/systemd/system", "lib/systemd/system", "etc/runlevels"];
        let starts = |place: &&str, dir: &String| {
            dir.ends_with(".wants") || dir.ends_with(".requires") || *place == "etc/runlevels"
        };
        places.iter().any(|place| {
            let dirs = self.list_names(place).into_iter().filter(|dir| starts(place, dir));
            dirs.flat_map(|dir| self.list_names(&format!("{place}/{dir}")))
                .any(|name| services.contains(&name.trim_end_matches(".service")))
        })
    }

    /// The files in the order in which they are read; the last setting wins.
    fn sysctl_files(&self) -> Vec<String> {
        let mut by_name = std::collections::BTreeMap::new();
        let dirs = ["lib", "usr/lib", "usr/local/lib", "run", "etc"].map(|dir| format!("{dir}/sysctl.d"));
        for dir in &dirs {
            for name in self.list_names(dir).into_iter().filter(|n| n.ends_with(".conf")) {
                by_name.insert(name.clone(), format!("{dir}/{name}"));
            }
        }
        by_name.into_values().chain(["etc/sysctl.conf".to_owned()]).collect()
    }
}

impl HostCheck {
    /// A finding of this check.
    pub(crate) fn finding(&self, subject: impl AsRef<Path>) -> Finding {
        self.rule.at(subject.as_ref())
    }
}

/// A note that something could not be read.
pub(crate) fn note_unseen(subject: impl AsRef<Path>, why: impl Into<String>) -> Finding {
    UNSEEN.at(subject.as_ref()).found(why)
}

/// The value of `name = value`, where a line sets it; slashes and dots are the same to sysctl.
fn parse_setting<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (key, value) = line.trim().trim_start_matches('-').split_once('=')?;
    (key.trim().replace('/', ".") == name).then(|| value.trim())
}

/// The rules of a host audit, for report formats that list them.
pub(crate) fn report_source(fail_on: Severity) -> common::report::Source {
    let rules = rules().copied().collect();
    common::report::Source { tool: "hostck", version: env!("CARGO_PKG_VERSION"), rules, fail_on }
}

/// The heading of a rule's findings.
pub(crate) fn rule_heading(id: &str) -> &'static str {
    rules().find(|rule| rule.id == id).map_or(UNSEEN.what, |rule| rule.what)
}

#[cfg(test)]
mod tests;
