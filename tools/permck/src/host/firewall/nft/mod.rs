//! Rulesets as nft(8) lists them and as its configuration files write them.

mod parse;

use std::collections::HashMap;

use parse::{Chain, Ruleset, Table, Token, word};

use super::{Family, Fate, Met, Port, Rule, Verdict, base, everybody, within_limit, worst};

/// What becomes of a new connection of this family to the port.
pub(crate) fn fate(text: &str, family: Family, port: &Port) -> Fate {
    let ruleset = Ruleset::parse(text);
    let wanted = |t: &&Table| match t.family.as_str() {
        "inet" => true,
        "ip" => family == Family::V4,
        "ip6" => family == Family::V6,
        _ => false,
    };
    let tables = ruleset.tables.iter().filter(wanted).filter(|t| !t.dormant);
    worst(tables.flat_map(|table| {
        let eval = Eval { table, ruleset: &ruleset, family, port };
        let rules = |c: &Chain| c.rules.iter().filter_map(|r| eval.rule(r)).flatten().collect::<Vec<Rule>>();
        let chains: HashMap<&str, Vec<Rule>> =
            table.chains.iter().map(|c| (c.name.as_str(), rules(c))).collect();
        let mut rules = |name: &str| chains.get(name).map(Vec::as_slice);
        let input = table.chains.iter().filter(|c| matches!(c.hook.as_str(), "input" | "prerouting"));
        input
            // Addresses are translated elsewhere, and what is dropped there is rare.
            .filter(|c| c.kind == "filter")
            .map(|c| base(&c.name, if c.drops { Fate::Drop } else { Fate::Accept }, &mut rules))
            .collect::<Vec<_>>()
    }))
}

/// What a rule is judged by.
struct Eval<'a> {
    table: &'a Table,
    ruleset: &'a Ruleset,
    family: Family,
    port: &'a Port,
}

/// A value of a match: `22`, `{ 22, 80 }`, with `!=` before it.
struct Value<'a> {
    negated: bool,
    items: Vec<&'a str>,
    /// A set that is not written down.
    unknown: bool,
}

impl<'a> Eval<'a> {
    /// The rules that a rule amounts to: none where it decides nothing, several where it maps values to verdicts.
    fn rule(&self, tokens: &'a [Token]) -> Option<Vec<Rule>> {
        let mut met = Met::Yes;
        let mut limited = false;
        let mut at = 0;
        while at < tokens.len() {
            let name = word(tokens, at);
            at += 1;
            let one = match name {
                "accept" | "drop" | "reject" | "return" | "jump" | "goto" | "queue" | "continue" => {
                    return verdict(name, word(tokens, at), met, limited).map(|r| vec![r]);
                }
                "counter" | "packets" | "bytes" => {
                    at += usize::from(name != "counter");
                    Met::Yes
                }
                "comment" => {
                    at += 1;
                    Met::Yes
                }
                // It writes to the log, and its options are no matches.
                "log" => {
                    while matches!(
                        word(tokens, at),
                        "prefix" | "level" | "group" | "snaplen" | "queue-threshold" | "flags"
                    ) {
                        at += 2;
                    }
                    Met::Yes
                }
                "limit" => {
                    limited = true;
                    while !matches!(
                        word(tokens, at),
                        "" | "accept" | "drop" | "reject" | "return" | "jump" | "goto" | "counter" | "log"
                    ) {
                        at += 1;
                    }
                    Met::Yes
                }
                "iif" | "iifname" | "ct" | "tcp" | "udp" | "th" | "ip" | "ip6" | "meta" | "icmp"
                | "icmpv6" | "ether" | "fib" | "sctp" | "dccp" => {
                    let (field, one) = match name {
                        "iif" | "iifname" => ("", name),
                        _ => {
                            at += 1;
                            (word(tokens, at - 1), name)
                        }
                    };
                    if word(tokens, at) == "vmap" {
                        return Some(self.map(one, field, &tokens[at + 1..], met));
                    }
                    // A concatenation is a key of several parts.
                    if word(tokens, at) == "." {
                        return Some(vec![(met.min(Met::Unsure), Verdict::Unknown)]);
                    }
                    let value = self.value(tokens, &mut at);
                    self.matches(one, field, &value)
                }
                // Anything else: what it asks is not known, and where it ends neither.
                _ => Met::Unsure,
            };
            met = met.min(one);
        }
        None
    }

    /// Reads a value, and moves on behind it.
    fn value(&self, tokens: &'a [Token], at: &mut usize) -> Value<'a> {
        let mut value = Value { negated: false, items: Vec::new(), unknown: false };
        while matches!(word(tokens, *at), "!=" | "==" | "eq" | "ne") {
            value.negated |= matches!(word(tokens, *at), "!=" | "ne");
            *at += 1;
        }
        if tokens.get(*at) == Some(&Token::Open) {
            let rest = &tokens[*at + 1..];
            let end = rest.iter().position(|t| *t == Token::Close).unwrap_or(rest.len());
            rest[..end].iter().for_each(|t| self.item(t, &mut value, 0));
            *at += end + 2;
        } else {
            // Without braces a list ends with the first word that follows no comma.
            loop {
                if let Some(token) = tokens.get(*at) {
                    self.item(token, &mut value, 0);
                }
                *at += 1;
                if tokens.get(*at) != Some(&Token::Comma) {
                    break;
                }
                *at += 1;
            }
        }
        value
    }

    fn item(&self, token: &'a Token, value: &mut Value<'a>, depth: u32) {
        let Token::Word(text) = token else { return };
        let set = text.strip_prefix('@').map(|n| self.table.sets.get(n));
        let define = text.strip_prefix('$').map(|n| self.ruleset.defines.get(n));
        match set.or(define) {
            None => value.items.push(text),
            // An empty one is filled by other means.
            Some(Some(items)) if depth < 8 && !items.is_empty() => {
                items.iter().for_each(|t| self.item(t, value, depth + 1))
            }
            Some(_) => value.unknown = true,
        }
    }

    fn matches(&self, name: &str, field: &str, value: &Value<'_>) -> Met {
        let any = |is: &dyn Fn(&str) -> Met| {
            let met = value.items.iter().map(|i| is(i)).max().unwrap_or(Met::No);
            // What is not written down may hold it.
            if value.unknown { met.max(Met::Unsure) } else { met }
        };
        let own = if self.family == Family::V4 { "ip" } else { "ip6" };
        let met = match (name, field) {
            ("tcp" | "th", "dport") => any(&|p| self.port.is(p)),
            ("tcp", "flags") => Met::Unsure,
            ("udp" | "icmp" | "icmpv6" | "sctp" | "dccp", _) => return Met::No,
            ("ct", "state") => any(&|s| Met::of(s == "new")),
            ("iif" | "iifname", _) | ("meta", "iif" | "iifname") => {
                any(&|i| if i == "lo" { Met::No } else { Met::Unsure })
            }
            ("meta", "l4proto") | ("ip", "protocol") | ("ip6", "nexthdr")
                if name == "meta" || name == own =>
            {
                any(&|p| Met::of(matches!(p, "tcp" | "6")))
            }
            ("meta", "nfproto") => any(&|p| Met::of(p == if own == "ip" { "ipv4" } else { "ipv6" })),
            ("ip" | "ip6", _) if name != own => return Met::No,
            // A source that no rule names is in no set of addresses, whether that is written down or not.
            ("ip" | "ip6", "saddr") => value.items.iter().map(|a| everybody(a)).max().unwrap_or(Met::No),
            ("ether", "saddr") => Met::No,
            _ => Met::Unsure,
        };
        met.unless(value.negated)
    }

    /// `tcp dport vmap { 22 : accept, 1778 : drop }`.
    fn map(&self, name: &str, field: &str, tokens: &[Token], met: Met) -> Vec<Rule> {
        let unknown = vec![(met.min(Met::Unsure), Verdict::Unknown)];
        if tokens.first() != Some(&Token::Open) {
            return unknown;
        }
        let pairs = tokens[1..].split(|t| matches!(t, Token::Comma | Token::Close));
        let mut rules = Vec::new();
        for pair in pairs {
            let words: Vec<&str> = pair
                .iter()
                .filter_map(|t| if let Token::Word(w) = t { Some(w.as_str()) } else { None })
                .collect();
            let Some(colon) = words.iter().position(|w| *w == ":" || w.ends_with(':')) else { continue };
            let items =
                words[..=colon].iter().map(|w| w.trim_end_matches(':')).filter(|w| !w.is_empty()).collect();
            let value = Value { negated: false, items, unknown: false };
            let one = self.matches(name, field, &value);
            let then = words.get(colon + 1).copied().unwrap_or("");
            let to = words.get(colon + 2).copied().unwrap_or("");
            rules.extend(verdict(then, to, met.min(one), false));
        }
        rules
    }
}

/// `None` where the packet goes on.
fn verdict(name: &str, to: &str, met: Met, limited: bool) -> Option<Rule> {
    let verdict = match name {
        "accept" => Verdict::Accept,
        "drop" | "reject" => Verdict::Drop,
        "return" => Verdict::Return,
        "jump" => Verdict::Jump(to.to_owned()),
        "goto" => Verdict::Goto(to.to_owned()),
        "queue" => Verdict::Unknown,
        _ => return None,
    };
    Some((met.min(within_limit(limited, &verdict)), verdict))
}
