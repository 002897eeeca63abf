//! Evaluates rules of nftables for a packet: every condition is met, not met or undecided.

use super::model::{Expr, Statement, Table};
use super::value::{Key, Value, spans};
use crate::host::firewall::follow::{Met, Rule, Verdict};
use crate::host::firewall::packet::{Limit, Packet, Place};

/// Named sets that refer to each other deeper than this are circles.
const DEPTH: u32 = 8;

/// The rules of a table at one place.
pub(super) struct Eval<'a> {
    pub(super) table: &'a Table,
    pub(super) packet: &'a Packet<'a>,
    pub(super) place: Place,
}

impl Eval<'_> {
    /// The rules of a chain that bear on the packet.
    pub(super) fn rules(&self, rules: &[Vec<Statement>]) -> Vec<Rule> {
        let mut out = Vec::new();
        rules.iter().for_each(|rule| self.rule(rule, &mut out));
        out
    }

    /// Appends what a rule amounts to: nothing where it decides nothing, several rules for a map to verdicts.
    fn rule(&self, statements: &[Statement], out: &mut Vec<Rule>) {
        let mut met = Met::Yes;
        let mut limit = None;
        for (at, statement) in statements.iter().enumerate() {
            // Conditions behind one that is not met are not evaluated, but a diversion to the port concerns packets
            // to other ports.
            let one = match statement {
                Statement::Match { op, left, right } if met != Met::No => self.compare(op, left, right),
                Statement::Match { .. } | Statement::NoEffect => Met::Yes,
                Statement::Condition(name) => self.packet.doubt(name),
                // Elements that are added may be too many, and then the rule ends.
                Statement::Update(_) => self.packet.doubt("a set that rules change"),
                Statement::Limit(one) => {
                    limit = if limit.is_none() { Some(*one) } else { Some(Limit::Unknown) };
                    Met::Yes
                }
                Statement::Untrack => {
                    if met != Met::No {
                        self.packet.note_untracked();
                    }
                    Met::Yes
                }
                Statement::Divert(port) => {
                    self.divert(met, port.as_ref(), false);
                    return self.push(met, limit, &Verdict::Accept, out);
                }
                Statement::Intercept(port) => {
                    self.divert(met, port.as_ref(), true);
                    Met::Yes
                }
                Statement::Verdict(verdict) => return self.push(met, limit, verdict, out),
                Statement::Reject(family) => {
                    let met = if *family == self.packet.family { met } else { Met::No };
                    return self.push(met, limit, &Verdict::Drop, out);
                }
                Statement::VerdictMap { key, data } => {
                    self.map(met, limit, key, data, out);
                    if at + 1 < statements.len() {
                        self.unknown(met, "statements behind a map", out);
                    }
                    return;
                }
                Statement::Unknown(name) => return self.unknown(met, name, out),
            };
            met = met.min(one);
        }
    }

    /// A statement that is not understood: it may do anything, and so may the rest of its rule.
    fn unknown(&self, met: Met, name: &str, out: &mut Vec<Rule>) {
        if self.place.diverts {
            self.packet.diverted_from.set(self.packet.diverted_from.get() || met != Met::No);
            self.packet.diverted_to.set(true);
        }
        if met != Met::No {
            self.packet.doubt(name);
        }
        out.push((met, Verdict::Unknown));
    }

    /// Notes whether a diversion takes packets from the port or leads to it.
    fn divert(&self, met: Met, port: Option<&Expr>, intercept: bool) {
        if !self.place.diverts {
            return;
        }
        if met != Met::No {
            self.packet.doubt("packets to the port are sent elsewhere");
            self.packet.diverted_from.set(true);
        }
        let number = Value::Numbers(vec![self.packet.port.number.into()], Key::Port);
        if port.is_some_and(|port| self.contains(&number, port, 0) != Met::No) {
            self.packet.doubt("packets to other ports are sent to the port");
            self.packet.diverted_to.set(true);
            // An intercepted packet keeps its port, which is what the input hook sees.
            self.packet.diverted_from.set(self.packet.diverted_from.get() || intercept);
        }
    }

    fn compare(&self, op: &str, left: &Expr, right: &Expr) -> Met {
        if *left == Expr::Ct("status".into()) && op == "in" && *right == Expr::Text("dnat".into()) {
            return self.packet.is_translated();
        }
        let value = self.value(left);
        let met = match (&value, op) {
            // A condition on a header that the packet does not have ends the rule, negated or not.
            (Value::Absent, _) => return Met::No,
            (Value::Unknown(name), _) => self.packet.doubt(name),
            (Value::Numbers(numbers, key), "in") if key.is_bitmask() && bits_are_listed(right) => {
                Met::common(numbers.iter().map(|n| self.has_bits(*n, *key, right)))
            }
            (_, "==" | "!=" | "in") => self.contains(&value, right, 0),
            (Value::Numbers(numbers, key), "<" | ">" | "<=" | ">=") => match self.number(*key, right) {
                Some(bound) => Met::common(numbers.iter().map(|n| ordered(op, *n, bound))),
                None => self.packet.doubt("a bound"),
            },
            _ => self.packet.doubt(&format!("operator {op}")),
        };
        met.unless(op == "!=")
    }

    fn has_bits(&self, number: u128, key: Key, right: &Expr) -> Met {
        match self.number(key, right) {
            Some(mask) => Met::of(number & mask != 0),
            None => self.packet.doubt("flags"),
        }
    }

    /// Whether a value is what an expression describes: one value, a range, a set.
    fn contains(&self, value: &Value, right: &Expr, depth: u32) -> Met {
        if depth > DEPTH || !self.packet.spend() {
            return self.packet.doubt("a large set");
        }
        match right {
            Expr::Set(items) if value.is_address() => self.address_in(value, items, depth),
            Expr::Set(items) => self.any(value, items, depth),
            Expr::Text(name) if name.starts_with('@') => self.named(value, name, depth),
            Expr::Expiring(inner) => {
                self.contains(value, inner, depth + 1).min(self.packet.doubt("a timeout"))
            }
            _ => self.equals(value, right, depth),
        }
    }

    fn any(&self, value: &Value, items: &[Expr], depth: u32) -> Met {
        let mut met = Met::No;
        for item in items {
            let one = if is_rest(item) { Met::Yes } else { self.contains(value, item, depth + 1) };
            met = met.max(one);
            if met == Met::Yes {
                break;
            }
        }
        met
    }

    /// A union of ranges may hold every address where no single one does.
    fn address_in(&self, value: &Value, items: &[Expr], depth: u32) -> Met {
        if items.iter().any(is_rest) {
            return Met::Yes;
        }
        let plain =
            |e: &&Expr| !matches!(e, Expr::Text(t) if t.starts_with('@')) && !matches!(e, Expr::Expiring(_));
        let known: Vec<_> = items.iter().filter(plain).map(|e| spans(e, self.packet.family)).collect();
        let named = items.iter().filter(|e| !plain(e)).map(|e| self.contains(value, e, depth + 1));
        named.max().unwrap_or(Met::No).max(self.address(value, &known))
    }

    fn address(&self, value: &Value, spans: &[Option<(u128, u128)>]) -> Met {
        if spans.iter().any(|_| !self.packet.spend()) {
            return self.packet.doubt("a large set");
        }
        match value {
            Value::OtherHost => self.packet.other_host_in(spans),
            _ => self.packet.own_address_in(spans),
        }
    }

    fn named(&self, value: &Value, name: &str, depth: u32) -> Met {
        match self.table.sets.get(&name[1..]) {
            Some(set) if set.changing => {
                // Its present elements count as named sources.
                self.packet.doubt(&format!("set {name}"))
            }
            Some(set) if value.is_address() => self.address_in(value, &set.elements, depth + 1),
            Some(set) => self.any(value, &set.elements, depth + 1),
            None => self.packet.doubt(&format!("set {name}")),
        }
    }

    fn equals(&self, value: &Value, right: &Expr, depth: u32) -> Met {
        match (value, right) {
            (Value::OtherHost | Value::OwnAddress, _) => {
                self.address(value, &[spans(right, self.packet.family)])
            }
            (Value::Interface, Expr::Text(name)) => self.packet.interface_is(name),
            (Value::Interface, Expr::Number(index)) => self.packet.interface_is(&index.to_string()),
            // ARPHRD_LOOPBACK of include/uapi/linux/if_arp.h.
            (Value::LinkType, Expr::Text(name)) if name == "loopback" || name == "772" => Met::No,
            (Value::LinkType, Expr::Number(772)) => Met::No,
            (Value::Tuple(values), Expr::Concat(parts)) if values.len() == parts.len() => {
                let met = values.iter().zip(parts).map(|(v, part)| self.part(v, part, depth + 1));
                met.min().unwrap_or(Met::Unsure)
            }
            (Value::Numbers(numbers, key), Expr::Range(ends)) => {
                match (self.number(*key, &ends.0), self.number(*key, &ends.1)) {
                    (Some(low), Some(high)) => {
                        Met::common(numbers.iter().map(|n| Met::of((low..=high).contains(n))))
                    }
                    _ => self.packet.doubt("a range"),
                }
            }
            (Value::Numbers(numbers, key), _) => match self.number(*key, right) {
                Some(wanted) => Met::common(numbers.iter().map(|n| Met::of(*n == wanted))),
                None => self.symbol(*key, right),
            },
            _ => self.packet.doubt("a value"),
        }
    }

    /// A part of a concatenation: the value may be one that is not understood, or of another protocol.
    fn part(&self, value: &Value, right: &Expr, depth: u32) -> Met {
        match value {
            Value::Absent => Met::No,
            Value::Unknown(name) => self.packet.doubt(name),
            _ => self.contains(value, right, depth),
        }
    }

    /// A symbol that is no number: the name of a service, or not understood.
    fn symbol(&self, key: Key, right: &Expr) -> Met {
        match (key, right) {
            (Key::Port, Expr::Text(name)) => match self.packet.port.is(name) {
                Met::Unsure => self.packet.doubt(&format!("service {name}")),
                met => met,
            },
            (_, Expr::Text(name)) => self.packet.doubt(name),
            _ => self.packet.doubt("a value"),
        }
    }

    /// `tcp dport vmap { 22 : accept, 1778 : drop }`: at most one element applies.
    fn map(&self, met: Met, limit: Option<Limit>, key: &Expr, data: &Expr, out: &mut Vec<Rule>) {
        let items = match data {
            Expr::Set(items) => Some(items),
            Expr::Text(name) if name.starts_with('@') => {
                self.table.sets.get(&name[1..]).filter(|set| !set.changing).map(|set| &set.elements)
            }
            _ => None,
        };
        let Some(items) = items else { return self.unknown(met, "a map", out) };
        let value = self.value(key);
        if value == Value::Absent {
            return;
        }
        let (mut all, mut rest) = (Met::No, None);
        for item in items {
            let Some((wanted, verdict)) = pair(item) else {
                self.unknown(met, "an element of a map", out);
                continue;
            };
            if is_rest(wanted) {
                rest = Some(verdict);
                continue;
            }
            let one = self.part(&value, wanted, 0);
            all = all.max(one);
            if let Some(verdict) = verdict {
                self.push(met.min(one), limit, verdict, out);
            }
            if one == Met::Yes {
                return;
            }
        }
        // The rest of the keys: those that no element has.
        if let Some(Some(verdict)) = rest {
            self.push(met.min(all.unless(true)), limit, verdict, out);
        }
    }

    /// Appends a rule that may apply.
    fn push(&self, met: Met, limit: Option<Limit>, verdict: &Verdict, out: &mut Vec<Rule>) {
        if met != Met::No {
            out.push((met.min(self.packet.within(limit, verdict)), verdict.clone()));
        }
    }
}

/// The key and the verdict of an element of a map.
fn pair(item: &Expr) -> Option<(&Expr, &Option<Verdict>)> {
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

/// Whether the right side of `in` lists flags, and is no set.
fn bits_are_listed(right: &Expr) -> bool {
    match right {
        Expr::Text(name) => !name.starts_with('@'),
        Expr::Number(_) | Expr::List(_) => true,
        _ => false,
    }
}

fn ordered(op: &str, number: u128, bound: u128) -> Met {
    Met::of(match op {
        "<" => number < bound,
        ">" => number > bound,
        "<=" => number <= bound,
        _ => number >= bound,
    })
}
