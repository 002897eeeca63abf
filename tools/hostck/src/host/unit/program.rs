//! The programs that a unit starts: a user who can change one runs code as the unit's account.

use std::path::Path;

use common::finding::Finding;

use super::file::ServiceUnit;
use super::{CHECK, environment::split_words};
use crate::host::AuditedHost;
use crate::host::changeable::check_changeable;

/// Directives whose value begins with a program (systemd.service(5)).
pub(super) const DIRECTIVES: [&str; 6] =
    ["ExecStart", "ExecStartPre", "ExecStartPost", "ExecReload", "ExecStop", "ExecStopPost"];

/// Checks that only root can change the programs of a unit, and the directories above them.
pub(super) fn check_programs(host: &AuditedHost, unit: &ServiceUnit) -> Vec<Finding> {
    let lines = DIRECTIVES.iter().flat_map(|key| unit.settings.all_values(key));
    let mut programs: Vec<String> = lines.filter_map(|line| first_program(line)).collect();
    programs.sort();
    programs.dedup();
    programs.iter().filter_map(|program| check_program(host, unit, program)).collect()
}

/// Returns the absolute path of the program of a command line, without the prefixes that say how to start it.
fn first_program(line: &str) -> Option<String> {
    let first = split_words(line).into_iter().next()?.text;
    let path = first.trim_start_matches(['@', '-', ':', '+', '!', '|']);
    path.starts_with('/').then(|| path.to_owned())
}

/// Checks the program, the directories above it, and where symbolic links on the way lead.
fn check_program(host: &AuditedHost, unit: &ServiceUnit, program: &str) -> Option<Finding> {
    let finding = check_changeable(host, &CHECK.rule, program, "others can change what it runs")?;
    let root = host.display_path("");
    let path = Path::new(&finding.path)
        .strip_prefix(root)
        .map_or_else(|_| finding.path.clone(), |path| format!("/{}", path.display()));
    let found = format!("{} starts {program}, and {path} is {}", unit.name, finding.found);
    Some(finding.found(found))
}
