//! A ruleset of nftables as types: read from JSON of `nft -j` or from the language of nft, evaluated the same way.

use std::collections::HashMap;

use crate::host::firewall::Family;
use crate::host::firewall::follow::RuleVerdict;
use crate::host::firewall::packet::RateLimit;

/// All tables.
#[derive(Debug, Default)]
pub(crate) struct Ruleset {
    pub(super) tables: Vec<NftTable>,
    /// Something stands outside of tables that is not understood.
    pub(super) unknown: bool,
    /// Tables that commands of a file remove or flush, its own and others.
    pub(super) removals: Vec<Removal>,
}

/// Tables that a command removes or flushes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Removal {
    /// `None` for every family.
    pub(super) family: Option<String>,
    /// `None` for every table.
    pub(super) table: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct NftTable {
    pub(super) family: String,
    pub(super) name: String,
    pub(super) dormant: bool,
    pub(super) chains: HashMap<String, NftChain>,
    /// Sets and maps by name.
    pub(super) sets: HashMap<String, NamedSet>,
    /// A statement of the table that is not understood.
    pub(super) unknown: bool,
}

#[derive(Debug, Default)]
pub(super) struct NftChain {
    /// The hook, for a base chain.
    pub(super) base: Option<BaseChain>,
    pub(super) rules: Vec<Vec<Statement>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BaseChain {
    pub(super) kind: String,
    pub(super) hook: String,
    /// `None` where it is not understood.
    pub(super) priority: Option<i64>,
    /// `None` means accept (nft(8), "Chains").
    pub(super) policy: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct NamedSet {
    pub(super) elements: Vec<Expr>,
    /// Elements come and go by timeouts or packets, or are not all known.
    pub(super) changing: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Statement {
    Match {
        op: String,
        left: Expr,
        right: Expr,
    },
    /// A condition that is not understood, with its name.
    Condition(String),
    Limit(RateLimit),
    Verdict(RuleVerdict),
    /// Rejects packets of one family: nft leaves out the condition that the kind of reply implies
    /// (`meta nfproto ipv4 reject` is listed as `reject with icmp`).
    Reject(Family),
    VerdictMap {
        key: Expr,
        data: Expr,
    },
    /// Counters, logs, marks: no effect on the packet's way.
    NoEffect,
    /// Exempts the packet from connection tracking.
    Untrack,
    /// Sends the packet to another address or port: the port, where one is given.
    Divert(Option<Expr>),
    /// Hands the packet to a local socket without a change to it (`tproxy`).
    Intercept(Option<Expr>),
    /// Changes elements of a set.
    Update(String),
    /// Not understood: it may be a condition or an action.
    Unknown(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expr {
    /// A symbol, an address, `@set`, or `*` for all other keys of a set.
    Text(String),
    Number(u128),
    /// Values combined with `or`.
    List(Vec<Self>),
    Set(Vec<Self>),
    Range(Box<(Self, Self)>),
    Prefix(Box<Self>, u32),
    /// An element that expires, or is otherwise not constant.
    Expiring(Box<Self>),
    Concat(Vec<Self>),
    Payload(String, String),
    Meta(String),
    /// A key of connection tracking; those of one direction are not understood.
    Ct(String),
    /// A lookup of a route: its key and its result, such as `daddr type`.
    Fib(String),
    And(Vec<Self>),
    Verdict(Option<RuleVerdict>),
    Unknown(String),
}

impl Ruleset {
    /// The table of this name, made where it is missing.
    pub(super) fn table_mut(&mut self, family: &str, name: &str) -> &mut NftTable {
        let at = self.tables.iter().position(|t| t.family == family && t.name == name);
        let at = at.unwrap_or_else(|| {
            self.tables.push(NftTable { family: family.into(), name: name.into(), ..NftTable::default() });
            self.tables.len() - 1
        });
        &mut self.tables[at]
    }

    /// Marks the sets that rules change: nft 1.0.6 lists no `dynamic` flag in JSON.
    pub(super) fn mark_changing_sets(&mut self) {
        for table in &mut self.tables {
            let statements = table.chains.values().flat_map(|c| c.rules.iter().flatten());
            let updated =
                statements.filter_map(|s| if let Statement::Update(set) = s { Some(set) } else { None });
            for name in updated.map(|n| n.trim_start_matches('@')) {
                if let Some(set) = table.sets.get_mut(name) {
                    set.changing = true;
                }
            }
        }
    }
}

/// The effect of a file of nft on the tables that iptables-nft keeps under the same names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EffectOnTables {
    None,
    /// It removes them, or their rules.
    Removes,
    /// It defines tables of the same names: nft adds to them, and iptables-restore(8) flushes them.
    Changes,
}
