//! Rulesets that are in force together. On a running host these are all that the kernel has; of the files of an image,
//! the order in which they are loaded may decide which rules remain.

use super::decide::ChainResults;
use super::follow::PacketFate;
use super::iptables::IptablesTables;
use super::nft::{EffectOnTables, Ruleset};
use super::packet::{Packet, RulesetFacts};
use super::{DaemonPort, Family, HostRulesets, files};

/// Rulesets of nft and of one family of iptables that are in force together.
struct LoadedRules<'r> {
    nft: Vec<&'r Ruleset>,
    iptables: Vec<&'r IptablesTables>,
    live: bool,
}

impl LoadedRules<'_> {
    /// The result for a family, and the conditions that could not be decided.
    fn decide_fate(&self, family: Family, port: &DaemonPort) -> (PacketFate, Vec<String>) {
        let mut facts = RulesetFacts::default();
        loop {
            let packet = Packet::new(family, port, facts);
            let fate = self.evaluate_chains(&packet).overall_fate(&packet);
            // Facts only ever become true, so this ends.
            if packet.collect_facts() == facts {
                return (fate, packet.doubts());
            }
            facts = packet.collect_facts();
        }
    }

    fn evaluate_chains(&self, packet: &Packet<'_>) -> ChainResults {
        let family = packet.family.table_family();
        // A table that iptables keeps in nftables is listed by both. nft shows it whole, but for extensions, whose
        // arguments only iptables shows.
        let in_nft = |table: &str| self.live && self.nft.iter().any(|n| n.has_table(family, table));
        let foreign = |table: &str| self.nft.iter().any(|n| n.has_foreign_rules(family, table));
        let saved =
            |table: &str| self.live && self.iptables.iter().any(|t| t.in_nftables && t.has_table(table));
        let mut all = ChainResults::default();
        for ruleset in &self.nft {
            let skipped = |of: &str, table: &str| of == family && foreign(table) && saved(table);
            all.merge_results(ruleset.evaluate_chains(packet, &skipped));
        }
        for saved in &self.iptables {
            let skipped = |table: &str| saved.in_nftables && in_nft(table) && !foreign(table);
            all.merge_results(saved.evaluate_chains(packet, &skipped));
        }
        all
    }
}

/// The result of evaluation, and the conditions that could not be decided.
type Decision = (PacketFate, Vec<String>);

impl HostRulesets {
    /// The result for a family, and the conditions that could not be decided.
    pub(super) fn decide_fate(&self, family: Family, port: &DaemonPort) -> Decision {
        let iptables = if family == Family::V4 { &self.v4 } else { &self.v6 };
        if self.live {
            let nft = self.nft.iter().collect();
            let all = LoadedRules { nft, iptables: iptables.iter().collect(), live: true };
            return all.decide_fate(family, port);
        }
        // A service loads one file for nft and one for each family of iptables; where two exist, it may be either.
        let (mut decisions, mut doubts) = (Vec::new(), Vec::new());
        for nft in either_file(&self.nft) {
            for iptables in either_file(iptables) {
                decide_files(nft, iptables, family, port, &mut decisions, &mut doubts);
            }
        }
        // A result that does not depend on the files and their order is certain.
        let first = decisions[0].0;
        if first != PacketFate::Unsure && decisions.iter().all(|(fate, _)| *fate == first) {
            return decisions.swap_remove(0);
        }
        doubts.extend(decisions.into_iter().flat_map(|(_, doubts)| doubts));
        let files = [(self.nft.len(), files::NFT), (iptables.len(), files::iptables_files(family))];
        for (_, paths) in files.into_iter().filter(|(count, _)| *count > 1) {
            doubts.push(format!("which of {} is loaded", paths.join(" and ")));
        }
        doubts.sort();
        doubts.dedup();
        (PacketFate::Unsure, doubts)
    }
}

/// Appends the possible results of a file of nft and one of iptables: nftables.service and the services of iptables
/// are not ordered against each other.
fn decide_files(
    nft: Option<&Ruleset>,
    iptables: Option<&IptablesTables>,
    family: Family,
    port: &DaemonPort,
    decisions: &mut Vec<Decision>,
    doubts: &mut Vec<String>,
) {
    let loaded = |iptables: Option<&IptablesTables>| {
        let (nft, iptables) = (nft.into_iter().collect(), iptables.into_iter().collect());
        LoadedRules { nft, iptables, live: false }.decide_fate(family, port)
    };
    decisions.push(loaded(iptables));
    let (Some(nft), Some(tables)) = (nft, iptables) else { return };
    match nft.effect_on_tables(family.table_family(), &|table| tables.has_table(table)) {
        EffectOnTables::None => return,
        EffectOnTables::Removes => decisions.push(loaded(None)),
        EffectOnTables::Changes => decisions.push((PacketFate::Unsure, Vec::new())),
    }
    doubts.push(
        "the file of nft removes or changes tables of iptables: the order in which both are loaded decides"
            .to_owned(),
    );
}

/// Each of the files as the one that is loaded; `None` if no file exists.
fn either_file<T>(files: &[T]) -> Vec<Option<&T>> {
    if files.is_empty() { vec![None] } else { files.iter().map(Some).collect() }
}
