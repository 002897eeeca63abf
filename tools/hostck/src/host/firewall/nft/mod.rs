//! Rulesets of nftables: as `nft -j` lists them, and as its configuration files write them.

mod eval;
mod json;
mod model;
mod read;
mod text;
mod value;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

pub(crate) use model::{EffectOnTables, Ruleset};

use eval::NftEvaluator;
use model::{BaseChain, NftTable, Removal, Statement};

use super::Family;
use super::decide::ChainResults;
use super::follow::{EvaluatedRule, PacketFate, follow_base};
use super::packet::{HookPlace, Packet};

/// The tables that iptables-nft keeps (iptables/nft.c of iptables).
const IPTABLES: [&str; 5] = ["filter", "nat", "mangle", "raw", "security"];

impl Ruleset {
    /// Evaluates every base chain that the packet passes. `skipped` are tables that another program shows better.
    pub(crate) fn evaluate_chains(
        &self,
        packet: &Packet<'_>,
        skipped: &dyn Fn(&str, &str) -> bool,
    ) -> ChainResults {
        let mut results = ChainResults::new(self.unknown);
        if self.unknown {
            packet.note_doubt("a command outside of tables");
        }
        let tables = self.tables.iter().filter(|t| !t.dormant && concerns_family(&t.family, packet.family));
        for table in tables.filter(|t| !skipped(&t.family, &t.name)) {
            if table.unknown {
                packet.note_doubt(&table.name);
                results.merge_results(ChainResults::new(true));
            }
            evaluate_table(table, packet, &mut results);
        }
        results
    }

    /// Parses a listing of nft in its own language. Where nft cannot express a rule it writes a comment in its place.
    pub(crate) fn from_listing(text: &str) -> Self {
        let mut ruleset = Self::from_text(text);
        ruleset.unknown |=
            text.lines().any(|line| line.contains(" # ") || line.trim_start().starts_with("# xt"));
        ruleset
    }

    /// Takes from another listing which tables are dormant. A table that it does not have leaves all undecided.
    pub(crate) fn take_dormant_tables(&mut self, other: &Self) {
        for table in &mut self.tables {
            match other.tables.iter().find(|t| t.family == table.family && t.name == table.name) {
                Some(same) => table.dormant |= same.dormant,
                None => table.unknown = true,
            }
        }
    }

    /// Whether a table of this family, `ip` or `ip6`, is listed.
    pub(crate) fn has_table(&self, family: &str, name: &str) -> bool {
        self.tables.iter().any(|t| t.family == family && t.name == name)
    }

    /// The effect of this file on tables of a family, `ip` or `ip6`, that iptables loads, too.
    pub(crate) fn effect_on_tables(&self, family: &str, loaded: &dyn Fn(&str) -> bool) -> EffectOnTables {
        let removes = |r: &Removal| {
            r.family.as_deref().is_none_or(|f| f == family) && r.table.as_deref().is_none_or(loaded)
        };
        if self.tables.iter().any(|t| t.family == family && loaded(&t.name)) {
            EffectOnTables::Changes
        } else if self.removals.iter().any(removes) {
            EffectOnTables::Removes
        } else {
            EffectOnTables::None
        }
    }

    /// The tables of a family, `ip` or `ip6`, with rules of iptables-nft that nft cannot express in JSON.
    pub(crate) fn has_foreign_rules(&self, family: &str, name: &str) -> bool {
        let foreign = |s: &Statement| matches!(s, Statement::Unknown(word) if word == "xt");
        IPTABLES.contains(&name)
            && self
                .tables
                .iter()
                .filter(|t| t.family == family && t.name == name)
                .any(|t| t.chains.values().flat_map(|c| c.rules.iter().flatten()).any(foreign))
    }
}

fn concerns_family(table: &str, packet: Family) -> bool {
    match table {
        "ip" => packet == Family::V4,
        "ip6" => packet == Family::V6,
        // inet has both; arp, bridge and netdev see packets of both on some interfaces.
        _ => true,
    }
}

/// Rules of chains, evaluated at a place.
type KnownRules<'a> = HashMap<(HookPlace, &'a str), Rc<[EvaluatedRule]>>;

fn evaluate_table(table: &NftTable, packet: &Packet<'_>, results: &mut ChainResults) {
    let known: RefCell<KnownRules<'_>> = RefCell::default();
    for (name, chain) in &table.chains {
        let Some(base) = &chain.base else { continue };
        let Some(place) = hook_place(base, &table.family) else { continue };
        let eval = NftEvaluator { table, packet, place };
        let mut rules = |name: &str| {
            let (name, chain) = table.chains.get_key_value(name)?;
            let cached = known.borrow().get(&(place, name.as_str())).cloned();
            Some(cached.unwrap_or_else(|| {
                let rules: Rc<[EvaluatedRule]> = eval.evaluate_rules(&chain.rules).into();
                known.borrow_mut().insert((place, name), Rc::clone(&rules));
                rules
            }))
        };
        let policy = match base.policy.as_deref() {
            None | Some("accept") => PacketFate::Accept,
            Some("drop") => PacketFate::Drop,
            Some(_) => PacketFate::Unsure,
        };
        let fate = match (follow_base(name, policy, &mut rules), base.kind.as_str()) {
            (PacketFate::Accept, "filter" | "nat" | "route") => PacketFate::Accept,
            (fate, "filter") => fate,
            // Chains that translate addresses see some packets only, and a type may be one that is not known.
            _ => PacketFate::Unsure,
        };
        if fate == PacketFate::Unsure && place.partial {
            packet.note_doubt(&format!("hook {}", base.hook));
        }
        results.add_fate(place, fate);
    }
}

/// Where a base chain stands; `None` where the packets do not pass it.
fn hook_place(base: &BaseChain, family: &str) -> Option<HookPlace> {
    // Replies of a connection skip the chains that translate addresses.
    let translates_replies = base.kind == "nat" && !matches!(base.hook.as_str(), "prerouting" | "input");
    if base.kind == "route" && base.hook != "output" || translates_replies {
        return None;
    }
    let mut place = HookPlace::from_hook(&base.hook, base.priority.unwrap_or(i64::MIN))?;
    place.partial |= base.priority.is_none() || !matches!(family, "ip" | "ip6" | "inet");
    Some(place)
}
