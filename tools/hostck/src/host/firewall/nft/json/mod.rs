//! The JSON of `nft -j list ruleset`: libnftables-json(5), schema version 1. Nesting is bounded by serde_json (128).

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::model::{BaseChain, Expr, NamedSet, Ruleset, Statement};
use crate::host::firewall::Family;
use crate::host::firewall::follow::RuleVerdict;
use crate::host::firewall::packet::RateLimit;

/// Implements `Deserialize` by the one key of an object.
macro_rules! by_key {
    ($type:ty, $visitor:ident) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any($visitor)
            }
        }
        struct $visitor;
    };
}

mod expr;

pub(super) use expr::map_verdict;

impl Ruleset {
    /// Parses the output of `nft -j list ruleset`.
    pub(crate) fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        let listing: RulesetListing = serde_json::from_str(text)?;
        let mut ruleset = Self::default();
        listing.nftables.into_iter().for_each(|object| object.add_to(&mut ruleset));
        ruleset.mark_changing_sets();
        Ok(ruleset)
    }
}

#[derive(Deserialize)]
struct RulesetListing {
    nftables: Vec<ListedObject>,
}

enum ListedObject {
    Table(TableObject),
    Chain(ChainObject),
    Rule(RuleObject),
    Set(SetObject),
    /// Stateful objects, flowtables, the version.
    Other,
}

#[derive(Deserialize)]
struct TableObject {
    family: String,
    name: String,
    #[serde(default)]
    flags: NameList,
}

#[derive(Deserialize)]
struct ChainObject {
    family: String,
    table: String,
    name: String,
    r#type: Option<String>,
    hook: Option<String>,
    prio: Option<Expr>,
    policy: Option<String>,
}

#[derive(Deserialize)]
struct RuleObject {
    family: String,
    table: String,
    chain: String,
    expr: Option<Vec<Statement>>,
}

#[derive(Deserialize)]
struct SetObject {
    family: String,
    table: String,
    name: String,
    #[serde(default)]
    flags: NameList,
    timeout: Option<IgnoredAny>,
    #[serde(default)]
    elem: Vec<Expr>,
}

/// One name or several.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum NameList {
    One(String),
    Several(Vec<String>),
}

impl Default for NameList {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

impl NameList {
    pub(super) fn join_names(&self) -> String {
        match self {
            Self::One(name) => name.clone(),
            Self::Several(names) => names.join(" . "),
        }
    }

    fn contains_name(&self, wanted: &str) -> bool {
        match self {
            Self::One(name) => name == wanted,
            Self::Several(names) => names.iter().any(|n| n == wanted),
        }
    }
}

impl ListedObject {
    fn add_to(self, ruleset: &mut Ruleset) {
        match self {
            Self::Table(t) => {
                ruleset.table_mut(&t.family, &t.name).dormant = t.flags.contains_name("dormant")
            }
            Self::Chain(c) => {
                let priority = match c.prio {
                    Some(Expr::Number(n)) => i64::try_from(n).ok(),
                    Some(Expr::Text(t)) => t.parse().ok(),
                    _ => None,
                };
                let kind = c.r#type.unwrap_or_default();
                let base = c.hook.map(|hook| BaseChain { kind, hook, priority, policy: c.policy });
                ruleset.table_mut(&c.family, &c.table).chains.entry(c.name).or_default().base = base;
            }
            Self::Rule(r) => {
                // A rule that nft could not express has no statements.
                let unknown = || vec![Statement::Unknown("rule".into())];
                let statements = r.expr.filter(|e| !e.is_empty()).unwrap_or_else(unknown);
                ruleset
                    .table_mut(&r.family, &r.table)
                    .chains
                    .entry(r.chain)
                    .or_default()
                    .rules
                    .push(statements);
            }
            Self::Set(s) => {
                let changing = s.timeout.is_some()
                    || s.flags.contains_name("timeout")
                    || s.flags.contains_name("dynamic");
                let set = NamedSet { elements: s.elem, changing };
                ruleset.table_mut(&s.family, &s.table).sets.insert(s.name, set);
            }
            Self::Other => {}
        }
    }
}

by_key!(ListedObject, ObjectVisitor);
by_key!(Statement, StatementVisitor);

/// Reads over the rest of an object; true where there was more.
fn skip_rest<'de, A: MapAccess<'de>>(map: &mut A) -> Result<bool, A::Error> {
    let mut more = false;
    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
        more = true;
    }
    Ok(more)
}

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = ListedObject;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of a ruleset")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ListedObject, A::Error> {
        let key: String = map.next_key()?.unwrap_or_default();
        let object = match key.as_str() {
            "table" => ListedObject::Table(map.next_value()?),
            "chain" => ListedObject::Chain(map.next_value()?),
            "rule" => ListedObject::Rule(map.next_value()?),
            "set" | "map" => ListedObject::Set(map.next_value()?),
            "" => ListedObject::Other,
            _ => map.next_value::<IgnoredAny>().map(|_| ListedObject::Other)?,
        };
        skip_rest(&mut map)?;
        Ok(object)
    }
}

#[derive(Deserialize)]
struct MatchObject {
    op: String,
    left: Expr,
    right: Expr,
}

#[derive(Deserialize)]
struct MapObject {
    key: Expr,
    data: Expr,
}

#[derive(Deserialize)]
pub(super) struct JumpTarget {
    pub(super) target: String,
}

#[derive(Deserialize)]
struct MangleObject {
    key: Expr,
    value: Expr,
}

#[derive(Deserialize)]
struct UpdateObject {
    set: Option<String>,
    map: Option<String>,
}

/// `limit`: a rate, or the name of an object.
#[derive(Deserialize)]
#[serde(untagged)]
enum LimitObject {
    Rate {
        per: String,
        #[serde(default)]
        inv: bool,
    },
    Other(IgnoredAny),
}

/// `reject`: `null` for the default reply.
#[derive(Deserialize)]
struct RejectObject {
    r#type: Option<String>,
}

/// `dnat`, `redirect`, `tproxy`: `null` where there are no arguments.
#[derive(Deserialize)]
struct DiversionObject {
    port: Option<Expr>,
}

impl<'de> Visitor<'de> for StatementVisitor {
    type Value = Statement;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a statement")
    }

    /// A bare word, such as `"notrack"`: not part of the schema.
    fn visit_str<E>(self, word: &str) -> Result<Statement, E> {
        Ok(Statement::Unknown(word.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Statement, A::Error> {
        let key: String = map.next_key()?.unwrap_or_default();
        let statement = match key.as_str() {
            "match" => {
                let MatchObject { op, left, right } = map.next_value()?;
                Statement::Match { op, left, right }
            }
            "vmap" => {
                let MapObject { key, data } = map.next_value()?;
                Statement::VerdictMap { key, data }
            }
            "limit" => Statement::Limit(match map.next_value()? {
                LimitObject::Rate { inv: false, .. } => RateLimit::Under,
                LimitObject::Rate { per, .. } if matches!(per.as_str(), "second" | "minute") => {
                    RateLimit::Over
                }
                LimitObject::Rate { .. } | LimitObject::Other(_) => RateLimit::Unknown,
            }),
            "redirect" | "dnat" => {
                Statement::Divert(map.next_value::<Option<DiversionObject>>()?.and_then(|d| d.port))
            }
            "tproxy" => {
                Statement::Intercept(map.next_value::<Option<DiversionObject>>()?.and_then(|d| d.port))
            }
            "reject" => {
                reject_statement(map.next_value::<Option<RejectObject>>()?.and_then(|r| r.r#type).as_deref())
            }
            "mangle" => {
                let MangleObject { key, value } = map.next_value()?;
                field_change_statement(&key, &value)
            }
            "set" | "map" => {
                let UpdateObject { set, map } = map.next_value()?;
                Statement::Update(set.or(map).unwrap_or_default())
            }
            "jump" => Statement::Verdict(RuleVerdict::Jump(map.next_value::<JumpTarget>()?.target)),
            "goto" => Statement::Verdict(RuleVerdict::Goto(map.next_value::<JumpTarget>()?.target)),
            "" => Statement::Unknown("statement".into()),
            word => {
                map.next_value::<IgnoredAny>()?;
                plain_statement(word)
            }
        };
        Ok(if skip_rest(&mut map)? { Statement::Unknown(key) } else { statement })
    }
}

/// A `reject` with this kind of reply.
pub(super) fn reject_statement(reply: Option<&str>) -> Statement {
    match reply {
        Some("icmp") => Statement::Reject(Family::V4),
        Some("icmpv6") => Statement::Reject(Family::V6),
        None | Some("icmpx" | "tcp reset" | "tcp") => plain_statement("drop"),
        Some(_) => Statement::Unknown("reject".into()),
    }
}

/// A statement whose arguments do not matter.
pub(super) fn plain_statement(word: &str) -> Statement {
    match word {
        "accept" => Statement::Verdict(RuleVerdict::Accept),
        "drop" => Statement::Verdict(RuleVerdict::Drop),
        "return" => Statement::Verdict(RuleVerdict::Return),
        // Translation of the source ends a chain of its kind, and the packet passes.
        "masquerade" | "snat" => Statement::Verdict(RuleVerdict::Accept),
        "queue" => Statement::Verdict(RuleVerdict::Unknown),
        "counter" | "log" | "continue" | "last" | "dup" | "flow" | "ct helper" | "ct timeout"
        | "ct expectation" | "secmark" => Statement::NoEffect,
        "notrack" => Statement::Untrack,
        // They match, count or sample, and never decide by themselves.
        "quota" | "ct count" | "meter" => Statement::Condition(word.into()),
        _ => Statement::Unknown(word.into()),
    }
}

/// A statement that sets a field: marks change nothing on the packet's way, headers do. A rule ends where the value is not there:
/// in a header of another protocol, in a map, or in a connection that is not tracked.
pub(super) fn field_change_statement(key: &Expr, value: &Expr) -> Statement {
    let is_mark = match key {
        Expr::Meta(key) => matches!(key.as_str(), "mark" | "priority" | "nftrace" | "secmark"),
        Expr::Ct(key) => matches!(key.as_str(), "mark" | "label" | "secmark" | "helper" | "event"),
        _ => false,
    };
    match () {
        () if !is_mark => Statement::Unknown("set".into()),
        () if !is_always_there(value) => Statement::Condition("a value of a header or of a map".into()),
        () if reads_connection(value) => Statement::Match {
            op: "!=".to_owned(),
            left: Expr::Ct("state".to_owned()),
            right: Expr::Text("untracked".to_owned()),
        },
        () => Statement::NoEffect,
    }
}

/// Returns whether a value consists of constants and marks.
fn is_always_there(value: &Expr) -> bool {
    match value {
        Expr::Text(_) | Expr::Number(_) => true,
        Expr::Meta(key) => matches!(key.as_str(), "mark" | "priority"),
        Expr::Ct(key) => matches!(key.as_str(), "mark" | "state" | "status"),
        Expr::List(parts) | Expr::And(parts) => parts.iter().all(is_always_there),
        _ => false,
    }
}

/// Returns whether a value is that of the connection.
fn reads_connection(value: &Expr) -> bool {
    match value {
        Expr::Ct(key) => key == "mark",
        Expr::List(parts) | Expr::And(parts) => parts.iter().any(reads_connection),
        _ => false,
    }
}
