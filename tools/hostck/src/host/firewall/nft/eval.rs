//! Evaluates rules of nftables for a packet: every condition is met, not met or undecided.

use super::model::{Expr, NftTable, Statement};
use super::value::{NumberKind, PacketValue, expr_span};
use crate::host::firewall::follow::{ConditionMet, EvaluatedRule, RuleVerdict};
use crate::host::firewall::packet::{HookPlace, Packet, RateLimit};

/// Named sets that refer to each other deeper than this are circles.
const DEPTH: u32 = 8;

/// The rules of a table at one place.
pub(super) struct NftEvaluator<'a> {
    pub(super) table: &'a NftTable,
    pub(super) packet: &'a Packet<'a>,
    pub(super) place: HookPlace,
}

impl NftEvaluator<'_> {
    /// The rules of a chain that bear on the packet.
    pub(super) fn evaluate_rules(&self, rules: &[Vec<Statement>]) -> Vec<EvaluatedRule> {
        let mut out = Vec::new();
        rules.iter().for_each(|rule| self.evaluate_rule(rule, &mut out));
        out
    }

    /// Appends the evaluated rule: none if it has no verdict, several for a map to verdicts.
    fn evaluate_rule(&self, statements: &[Statement], out: &mut Vec<EvaluatedRule>) {
        let mut met = ConditionMet::Yes;
        let mut limit = None;
        for (at, statement) in statements.iter().enumerate() {
            // Conditions behind one that is not met are not evaluated, but a diversion to the port concerns packets
            // to other ports.
            let one = match statement {
                Statement::Match { op, left, right } if met != ConditionMet::No => {
                    self.compare_values(op, left, right)
                }
                Statement::Match { .. } | Statement::NoEffect => ConditionMet::Yes,
                Statement::Condition(name) => self.packet.note_doubt(name),
                // Elements that are added may be too many, and then the rule ends.
                Statement::Update(_) => self.packet.note_doubt("a set that rules change"),
                Statement::Limit(one) => {
                    limit = if limit.is_none() { Some(*one) } else { Some(RateLimit::Unknown) };
                    ConditionMet::Yes
                }
                Statement::Untrack => {
                    if met != ConditionMet::No {
                        self.packet.note_untracked();
                    }
                    ConditionMet::Yes
                }
                Statement::Divert(port) => {
                    self.note_diversion(met, port.as_ref(), false);
                    return self.push_rule(met, limit, &RuleVerdict::Accept, out);
                }
                Statement::Intercept(port) => {
                    self.note_diversion(met, port.as_ref(), true);
                    ConditionMet::Yes
                }
                Statement::Verdict(verdict) => return self.push_rule(met, limit, verdict, out),
                Statement::Reject(family) => {
                    let met = if *family == self.packet.family { met } else { ConditionMet::No };
                    return self.push_rule(met, limit, &RuleVerdict::Drop, out);
                }
                Statement::VerdictMap { key, data } => {
                    self.evaluate_map(met, limit, key, data, out);
                    if at + 1 < statements.len() {
                        self.push_unknown(met, "statements behind a map", out);
                    }
                    return;
                }
                Statement::Unknown(name) => return self.push_unknown(met, name, out),
            };
            met = met.min(one);
        }
    }

    /// A statement that is not understood: it may do anything, and so may the rest of its rule.
    fn push_unknown(&self, met: ConditionMet, name: &str, out: &mut Vec<EvaluatedRule>) {
        if self.place.diverts {
            self.packet.diverted_from.set(self.packet.diverted_from.get() || met != ConditionMet::No);
            self.packet.diverted_to.set(true);
        }
        if met != ConditionMet::No {
            self.packet.note_doubt(name);
        }
        out.push((met, RuleVerdict::Unknown));
    }

    /// Notes whether a diversion takes packets from the port or leads to it.
    fn note_diversion(&self, met: ConditionMet, port: Option<&Expr>, intercept: bool) {
        if !self.place.diverts {
            return;
        }
        if met != ConditionMet::No {
            self.packet.note_doubt("packets to the port are sent elsewhere");
            self.packet.diverted_from.set(true);
        }
        let number = PacketValue::Numbers(vec![self.packet.port.number.into()], NumberKind::Port);
        if port.is_some_and(|port| self.match_expr(&number, port, 0) != ConditionMet::No) {
            self.packet.note_doubt("packets to other ports are sent to the port");
            self.packet.diverted_to.set(true);
            // An intercepted packet keeps its port, which is what the input hook sees.
            self.packet.diverted_from.set(self.packet.diverted_from.get() || intercept);
        }
    }

    fn compare_values(&self, op: &str, left: &Expr, right: &Expr) -> ConditionMet {
        if *left == Expr::Ct("status".into()) && op == "in" && *right == Expr::Text("dnat".into()) {
            return self.packet.is_translated();
        }
        let value = self.read_value(left);
        let met = match (&value, op) {
            // A condition on a header that the packet does not have ends the rule, negated or not.
            (PacketValue::Absent, _) => return ConditionMet::No,
            (PacketValue::Unknown(name), _) => self.packet.note_doubt(name),
            (PacketValue::Numbers(numbers, key), "in") if key.is_bitmask() && bits_are_listed(right) => {
                ConditionMet::common_answer(numbers.iter().map(|n| self.has_bits(*n, *key, right)))
            }
            (_, "==" | "!=" | "in") => self.match_expr(&value, right, 0),
            (PacketValue::Numbers(numbers, key), "<" | ">" | "<=" | ">=") => {
                match self.read_number(*key, right) {
                    Some(bound) => {
                        ConditionMet::common_answer(numbers.iter().map(|n| compare_order(op, *n, bound)))
                    }
                    None => self.packet.note_doubt("a bound"),
                }
            }
            _ => self.packet.note_doubt(&format!("operator {op}")),
        };
        met.negate_if(op == "!=")
    }

    fn has_bits(&self, number: u128, key: NumberKind, right: &Expr) -> ConditionMet {
        match self.read_number(key, right) {
            Some(mask) => ConditionMet::from_bool(number & mask != 0),
            None => self.packet.note_doubt("flags"),
        }
    }

    /// Whether an expression contains a value: one value, a range, a set.
    fn match_expr(&self, value: &PacketValue, right: &Expr, depth: u32) -> ConditionMet {
        if depth > DEPTH || !self.packet.count_comparison() {
            return self.packet.note_doubt("a large set");
        }
        match right {
            Expr::Set(items) if value.is_address() => self.match_address_set(value, items, depth),
            Expr::Set(items) => self.match_any(value, items, depth),
            Expr::Text(name) if name.starts_with('@') => self.match_named_set(value, name, depth),
            Expr::Expiring(inner) => {
                self.match_expr(value, inner, depth + 1).min(self.packet.note_doubt("a timeout"))
            }
            _ => self.match_value(value, right, depth),
        }
    }

    fn match_any(&self, value: &PacketValue, items: &[Expr], depth: u32) -> ConditionMet {
        let mut met = ConditionMet::No;
        for item in items {
            let one = if is_rest(item) { ConditionMet::Yes } else { self.match_expr(value, item, depth + 1) };
            met = met.max(one);
            if met == ConditionMet::Yes {
                break;
            }
        }
        met
    }

    /// A union of ranges may hold every address where no single one does.
    fn match_address_set(&self, value: &PacketValue, items: &[Expr], depth: u32) -> ConditionMet {
        if items.iter().any(is_rest) {
            return ConditionMet::Yes;
        }
        let plain =
            |e: &&Expr| !matches!(e, Expr::Text(t) if t.starts_with('@')) && !matches!(e, Expr::Expiring(_));
        let known: Vec<_> = items.iter().filter(plain).map(|e| expr_span(e, self.packet.family)).collect();
        let named = items.iter().filter(|e| !plain(e)).map(|e| self.match_expr(value, e, depth + 1));
        named.max().unwrap_or(ConditionMet::No).max(self.match_address(value, &known))
    }

    fn match_address(&self, value: &PacketValue, spans: &[Option<(u128, u128)>]) -> ConditionMet {
        if spans.iter().any(|_| !self.packet.count_comparison()) {
            return self.packet.note_doubt("a large set");
        }
        match value {
            PacketValue::OtherHost => self.packet.other_host_in(spans),
            _ => self.packet.own_address_in(spans),
        }
    }

    fn match_named_set(&self, value: &PacketValue, name: &str, depth: u32) -> ConditionMet {
        match self.table.sets.get(&name[1..]) {
            Some(set) if set.changing => {
                // Its present elements count as named sources.
                self.packet.note_doubt(&format!("set {name}"))
            }
            Some(set) if value.is_address() => self.match_address_set(value, &set.elements, depth + 1),
            Some(set) => self.match_any(value, &set.elements, depth + 1),
            None => self.packet.note_doubt(&format!("set {name}")),
        }
    }

    fn match_value(&self, value: &PacketValue, right: &Expr, depth: u32) -> ConditionMet {
        match (value, right) {
            (PacketValue::OtherHost | PacketValue::OwnAddress, _) => {
                self.match_address(value, &[expr_span(right, self.packet.family)])
            }
            (PacketValue::Interface, Expr::Text(name)) => self.packet.interface_is(name),
            (PacketValue::Interface, Expr::Number(index)) => self.packet.interface_is(&index.to_string()),
            // ARPHRD_LOOPBACK of include/uapi/linux/if_arp.h.
            (PacketValue::LinkType, Expr::Text(name)) if name == "loopback" || name == "772" => {
                ConditionMet::No
            }
            (PacketValue::LinkType, Expr::Number(772)) => ConditionMet::No,
            (PacketValue::Tuple(values), Expr::Concat(parts)) if values.len() == parts.len() => {
                let met = values.iter().zip(parts).map(|(v, part)| self.match_part(v, part, depth + 1));
                met.min().unwrap_or(ConditionMet::Unsure)
            }
            (PacketValue::Numbers(numbers, key), Expr::Range(ends)) => {
                match (self.read_number(*key, &ends.0), self.read_number(*key, &ends.1)) {
                    (Some(low), Some(high)) => ConditionMet::common_answer(
                        numbers.iter().map(|n| ConditionMet::from_bool((low..=high).contains(n))),
                    ),
                    _ => self.packet.note_doubt("a range"),
                }
            }
            (PacketValue::Numbers(numbers, key), _) => match self.read_number(*key, right) {
                Some(wanted) => {
                    ConditionMet::common_answer(numbers.iter().map(|n| ConditionMet::from_bool(*n == wanted)))
                }
                None => self.match_symbol(*key, right),
            },
            _ => self.packet.note_doubt("a value"),
        }
    }

    /// A part of a concatenation: the value may be one that is not understood, or of another protocol.
    fn match_part(&self, value: &PacketValue, right: &Expr, depth: u32) -> ConditionMet {
        match value {
            PacketValue::Absent => ConditionMet::No,
            PacketValue::Unknown(name) => self.packet.note_doubt(name),
            _ => self.match_expr(value, right, depth),
        }
    }

    /// A symbol that is not a number: the name of a service, or not understood.
    fn match_symbol(&self, key: NumberKind, right: &Expr) -> ConditionMet {
        match (key, right) {
            (NumberKind::Port, Expr::Text(name)) => match self.packet.port.matches_text(name) {
                ConditionMet::Unsure => self.packet.note_doubt(&format!("service {name}")),
                met => met,
            },
            (_, Expr::Text(name)) => self.packet.note_doubt(name),
            _ => self.packet.note_doubt("a value"),
        }
    }

    /// `tcp dport vmap { 22 : accept, 1778 : drop }`: at most one element applies.
    fn evaluate_map(
        &self,
        met: ConditionMet,
        limit: Option<RateLimit>,
        key: &Expr,
        data: &Expr,
        out: &mut Vec<EvaluatedRule>,
    ) {
        let items = match data {
            Expr::Set(items) => Some(items),
            Expr::Text(name) if name.starts_with('@') => {
                self.table.sets.get(&name[1..]).filter(|set| !set.changing).map(|set| &set.elements)
            }
            _ => None,
        };
        let Some(items) = items else { return self.push_unknown(met, "a map", out) };
        let value = self.read_value(key);
        if value == PacketValue::Absent {
            return;
        }
        let (mut all, mut rest) = (ConditionMet::No, None);
        for item in items {
            let Some((wanted, verdict)) = verdict_pair(item) else {
                self.push_unknown(met, "an element of a map", out);
                continue;
            };
            if is_rest(wanted) {
                rest = Some(verdict);
                continue;
            }
            let one = self.match_part(&value, wanted, 0);
            all = all.max(one);
            if let Some(verdict) = verdict {
                self.push_rule(met.min(one), limit, verdict, out);
            }
            if one == ConditionMet::Yes {
                return;
            }
        }
        // The rest of the keys: those that no element has.
        if let Some(Some(verdict)) = rest {
            self.push_rule(met.min(all.negate_if(true)), limit, verdict, out);
        }
    }

    /// Appends a rule that may apply.
    fn push_rule(
        &self,
        met: ConditionMet,
        limit: Option<RateLimit>,
        verdict: &RuleVerdict,
        out: &mut Vec<EvaluatedRule>,
    ) {
        if met != ConditionMet::No {
            out.push((met.min(self.packet.match_limit(limit, verdict)), verdict.clone()));
        }
    }
}

/// The key and the verdict of an element of a map.
fn verdict_pair(item: &Expr) -> Option<(&Expr, &Option<RuleVerdict>)> {
    match item {
        Expr::List(pair) => match &pair[..] {
            [key, Expr::Verdict(verdict)] => Some((key, verdict)),
            _ => None,
        },
        _ => None,
    }
}

/// The element for all keys that no other element has.
fn is_rest(item: &Expr) -> bool {
    *item == Expr::Text("*".into())
}

/// Whether the right side of `in` lists flags and is not a set.
fn bits_are_listed(right: &Expr) -> bool {
    match right {
        Expr::Text(name) => !name.starts_with('@'),
        Expr::Number(_) | Expr::List(_) => true,
        _ => false,
    }
}

fn compare_order(op: &str, number: u128, bound: u128) -> ConditionMet {
    ConditionMet::from_bool(match op {
        "<" => number < bound,
        ">" => number > bound,
        "<=" => number <= bound,
        _ => number >= bound,
    })
}
