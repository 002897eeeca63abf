//! Runs programs of the system, bounded in time and output, and collects the rules of the kernel.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::iptables::IptablesTables;
use super::nft::Ruleset;
use super::{AuditedHost, HostRulesets};

/// A program that takes longer is killed: nft needs seconds for large sets.
const DEADLINE: Duration = Duration::from_secs(30);

/// More output than this is not read.
const OUTPUT: u64 = 64 << 20;

/// The result of running a program.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ProgramOutput {
    Text(String),
    /// The program is not installed.
    Absent,
    /// The reason.
    Failed(String),
}

/// Runs a program from the directories of the system.
pub(crate) fn ask_program(program: &str, args: &[&str]) -> ProgramOutput {
    let places = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].iter().map(|d| PathBuf::from(d).join(program));
    match places.into_iter().find(|p| p.exists()) {
        Some(path) => match run_program(&path, args) {
            Ok(text) => ProgramOutput::Text(text),
            Err(reason) => ProgramOutput::Failed(reason),
        },
        None => ProgramOutput::Absent,
    }
}

fn run_program(path: &Path, args: &[&str]) -> Result<String, String> {
    let mut command = Command::new(path);
    command.args(args).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
    common::program::run_program(&mut command, DEADLINE, OUTPUT)
}

/// The rules of the running kernel, as far as the programs that list them answer.
pub(super) fn read_running(host: &AuditedHost) -> HostRulesets {
    let mut rulesets = HostRulesets { live: true, ..HostRulesets::default() };
    ask_nft(&mut rulesets);
    for (v6, names) in [(false, "iptables"), (true, "ip6tables")] {
        let mut legacy = false;
        for kind in ["-save", "-nft-save", "-legacy-save"] {
            let program = format!("{names}{kind}");
            let tables = match ask_program(&program, &[]) {
                ProgramOutput::Text(text) => IptablesTables::parse(&text),
                ProgramOutput::Failed(reason) => {
                    rulesets.not_seen(program, reason);
                    continue;
                }
                ProgramOutput::Absent => continue,
            };
            legacy |= tables.has_any() && !tables.in_nftables;
            if v6 { rulesets.v6.push(tables) } else { rulesets.v4.push(tables) }
        }
        // Registered tables of iptables-legacy, one a line (net/netfilter/x_tables.c).
        let registered =
            host.read_file(if v6 { "proc/net/ip6_tables_names" } else { "proc/net/ip_tables_names" });
        if !legacy && registered.is_ok_and(|names| !names.trim().is_empty()) {
            let reason =
                format!("the kernel has tables of it, and there is no {names}-legacy-save to list them");
            rulesets.not_seen(format!("{names}-legacy"), reason);
        }
    }
    rulesets
}

fn ask_nft(rulesets: &mut HostRulesets) {
    let reason = match ask_program("nft", &["-j", "list", "ruleset"]) {
        ProgramOutput::Text(text) => match Ruleset::from_json(&text) {
            Ok(ruleset) => return ask_for_dormant_tables(rulesets, ruleset),
            Err(e) => format!("its JSON is not understood: {e}"),
        },
        ProgramOutput::Failed(reason) => reason,
        ProgramOutput::Absent => {
            return rulesets.not_seen(
                "nft".into(),
                "it is not installed, and rules of nftables cannot be listed".into(),
            );
        }
    };
    // Built without JSON, nft can still list its own language.
    if reason.contains("JSON") {
        if let ProgramOutput::Text(text) = ask_program("nft", &["-nn", "list", "ruleset"]) {
            return rulesets.nft.push(Ruleset::from_listing(&text));
        }
    }
    rulesets.not_seen("nft -j list ruleset".into(), reason);
}

/// Adds which tables are dormant: nft 1.0.6 does not say it in JSON. `-t` leaves out the elements of sets.
fn ask_for_dormant_tables(rulesets: &mut HostRulesets, mut ruleset: Ruleset) {
    match ask_program("nft", &["-t", "list", "ruleset"]) {
        ProgramOutput::Text(text) => ruleset.take_dormant_tables(&Ruleset::from_text(&text)),
        ProgramOutput::Failed(reason) => rulesets.not_seen("nft -t list ruleset".into(), reason),
        ProgramOutput::Absent => {}
    }
    rulesets.nft.push(ruleset);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_there_is_absent() {
        assert_eq!(ask_program("no-such-program-here", &[]), ProgramOutput::Absent);
        assert_eq!(ask_program("true", &[]), ProgramOutput::Text(String::new()));
    }
}
