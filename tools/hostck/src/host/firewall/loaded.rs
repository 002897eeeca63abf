//! Rulesets that are in force together. On a running host these are all that the kernel has; of the files of an image,
//! the order in which they are loaded may decide which rules remain.

use super::decide::Passage;
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
            let fate = self.evaluate_passage(&packet).overall_fate(&packet);
            // Facts only ever become true, so this ends.
            if packet.collect_facts() == facts {
                return (fate, packet.doubts());
            }
            facts = packet.collect_facts();
        }
    }

    fn evaluate_passage(&self, packet: &Packet<'_>) -> Passage {
        let family = packet.family.table_family();
        // A table that iptables keeps in nftables is listed by both. nft shows it whole, but for extensions, whose
        // arguments only iptables shows.
        let in_nft = |table: &str| self.live && self.nft.iter().any(|n| n.has_table(family, table));
        let foreign = |table: &str| self.nft.iter().any(|n| n.has_foreign_rules(family, table));
        let saved =
            |table: &str| self.live && self.iptables.iter().any(|t| t.in_nftables && t.has_table(table));
        let mut all = Passage::default();
        for ruleset in &self.nft {
            let skipped = |of: &str, table: &str| of == family && foreign(table) && saved(table);
            all.merge_passage(ruleset.evaluate_passage(packet, &skipped));
        }
        for saved in &self.iptables {
            let skipped = |table: &str| saved.in_nftables && in_nft(table) && !foreign(table);
            all.merge_passage(saved.evaluate_passage(packet, &skipped));
        }
        all
    }
}

impl HostRulesets {
    /// The result for a family, and the conditions that could not be decided.
    pub(super) fn decide_fate(&self, family: Family, port: &DaemonPort) -> (PacketFate, Vec<String>) {
        let iptables = if family == Family::V4 { &self.v4 } else { &self.v6 };
        if self.live {
            let nft = self.nft.iter().collect();
            return LoadedRules { nft, iptables: iptables.iter().collect(), live: true }
                .decide_fate(family, port);
        }
        let mut results = Vec::new();
        let mut doubts = Vec::new();
        // A service loads one file for nft and one for each family of iptables; where two are there, it is either.
        for nft in either_file(&self.nft) {
            for iptables in either_file(iptables) {
                let both = LoadedRules {
                    nft: nft.into_iter().collect(),
                    iptables: iptables.into_iter().collect(),
                    live: false,
                };
                results.push(both.decide_fate(family, port));
                let (Some(nft), Some(iptables)) = (nft, iptables) else { continue };
                // nftables.service and the services of iptables are not ordered against each other.
                match nft.effect_on_tables(family.table_family(), &|table| iptables.has_table(table)) {
                    EffectOnTables::None => continue,
                    EffectOnTables::Removes => {
                        let alone = LoadedRules { nft: vec![nft], iptables: Vec::new(), live: false };
                        results.push(alone.decide_fate(family, port));
                    }
                    EffectOnTables::Changes => results.push((PacketFate::Unsure, Vec::new())),
                }
                doubts.push(
                    "the file of nft removes or changes tables of iptables: the order in which both are loaded decides"
                        .to_owned(),
                );
            }
        }
        if results.iter().all(|(fate, _)| *fate == results[0].0) && results[0].0 != PacketFate::Unsure {
            return results.swap_remove(0);
        }
        doubts.extend(results.into_iter().flat_map(|(_, doubts)| doubts));
        for (rulesets, paths) in
            [(self.nft.len(), files::NFT), (iptables.len(), files::iptables_files(family))]
        {
            if rulesets > 1 {
                doubts.push(format!("which of {} is loaded", paths.join(" and ")));
            }
        }
        doubts.sort();
        doubts.dedup();
        (PacketFate::Unsure, doubts)
    }
}

/// Each of the files as the one that is loaded; `None` if no file exists.
fn either_file<T>(files: &[T]) -> Vec<Option<&T>> {
    if files.is_empty() { vec![None] } else { files.iter().map(Some).collect() }
}
