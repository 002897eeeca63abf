//! The programs that a unit starts: whoever can change one runs code as the unit's account.

use std::path::Path;

use common::finding::Finding;
use common::policy::{Mode, shell_quote};

use super::file::ServiceUnit;
use super::{CHECK, environment::split_words};
use crate::host::AuditedHost;

/// Directives whose value begins with a program (systemd.service(5)).
const DIRECTIVES: [&str; 6] =
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

fn check_program(host: &AuditedHost, unit: &ServiceUnit, program: &str) -> Option<Finding> {
    let root = host.stat(".").ok()?;
    let trusted = |uid: u32| uid == 0 || uid == root.st_uid;
    let above = Path::new(program).ancestors().filter(|dir| dir.parent().is_some());
    above.filter_map(Path::to_str).find_map(|path| {
        let below = path.trim_start_matches('/');
        let st = host.stat(below).ok()?;
        let (mode, place) = (Mode::of(st.st_mode), host.display_path(below));
        // In a sticky directory nobody can replace the entries of others (chmod(1)).
        let sticky = path != program && mode.0 & 0o1000 != 0;
        let foreign = !trusted(st.st_uid);
        let fix = match (foreign, mode.is_writable_by_others() && !sticky) {
            (false, false) => return None,
            (true, _) => format!("chown root {}", shell_quote(&place)),
            (false, true) => format!("chmod go-w {}", shell_quote(&place)),
        };
        let found = format!(
            "{} starts {program}, and {path} is owned by {} with mode {mode}: others can change what it runs",
            unit.name,
            host.ids.describe_user(st.st_uid)
        );
        let finding = CHECK.rule.at(&place).found(found).fix(fix);
        Some(finding.expected("owned by root and writable by root only"))
    })
}
