//! Collects the rules of the running kernel from the programs that list them.

use super::iptables::IptablesTables;
use super::nft::Ruleset;
use super::{AuditedHost, HostRulesets};
use crate::host::programs::{ProgramOutput, SystemPrograms};

/// The rules of the running kernel, as far as the programs that list them answer.
pub(super) fn read_running(host: &AuditedHost) -> HostRulesets {
    let mut rulesets = HostRulesets { live: true, ..HostRulesets::default() };
    ask_nft(&host.programs, &mut rulesets);
    for (v6, names) in [(false, "iptables"), (true, "ip6tables")] {
        let mut legacy = false;
        for kind in ["-save", "-nft-save", "-legacy-save"] {
            let program = format!("{names}{kind}");
            let tables = match host.programs.ask(&program, &[]) {
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

fn ask_nft(programs: &SystemPrograms, rulesets: &mut HostRulesets) {
    let reason = match programs.ask("nft", &["-j", "list", "ruleset"]) {
        ProgramOutput::Text(text) => match Ruleset::from_json(&text) {
            Ok(ruleset) => return ask_for_dormant_tables(programs, rulesets, ruleset),
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
    // Built without JSON, nft can still list its own language. If there is another reason, that fails, too.
    if let ProgramOutput::Text(text) = programs.ask("nft", &["-nn", "list", "ruleset"]) {
        return rulesets.nft.push(Ruleset::from_listing(&text));
    }
    rulesets.not_seen("nft -j list ruleset".into(), reason);
}

/// Adds which tables are dormant: nft 1.0.6 does not say it in JSON. `-t` leaves out the elements of sets.
fn ask_for_dormant_tables(programs: &SystemPrograms, rulesets: &mut HostRulesets, mut ruleset: Ruleset) {
    match programs.ask("nft", &["-t", "list", "ruleset"]) {
        ProgramOutput::Text(text) => ruleset.take_dormant_tables(&Ruleset::from_text(&text)),
        ProgramOutput::Failed(reason) => rulesets.not_seen("nft -t list ruleset".into(), reason),
        ProgramOutput::Absent => {}
    }
    rulesets.nft.push(ruleset);
}
