//! A rule in the language of nft. From the first word that is not understood the rest of a rule is unknown.

use super::tokens::{NftToken, word_at};
use crate::host::firewall::follow::RuleVerdict;
use crate::host::firewall::nft::json::{
    field_change_statement, map_verdict, plain_statement, reject_statement,
};
use crate::host::firewall::nft::model::{Expr, Statement};
use crate::host::firewall::packet::RateLimit;

/// Sets within sets deeper than this are not read.
const DEPTH: u32 = 8;

/// Headers whose fields are matched.
const HEADERS: [&str; 17] = [
    "ether", "vlan", "arp", "ip", "ip6", "icmp", "icmpv6", "igmp", "tcp", "udp", "udplite", "sctp", "dccp",
    "esp", "ah", "comp", "th",
];

/// Keys of `meta` that stand without the word.
const META: [&str; 9] = ["iif", "iifname", "iiftype", "oif", "oifname", "oiftype", "mark", "skuid", "skgid"];

/// Words that begin a statement and are not among the other lists here.
const STATEMENTS: [&str; 56] = [
    "accept",
    "drop",
    "return",
    "queue",
    "masquerade",
    "snat",
    "notrack",
    "continue",
    "reject",
    "jump",
    "goto",
    "counter",
    "comment",
    "log",
    "limit",
    "dnat",
    "redirect",
    "tproxy",
    "add",
    "update",
    "delete",
    "quota",
    "synproxy",
    "dup",
    "fwd",
    "flow",
    "last",
    "set",
    "meter",
    "rt",
    "ipsec",
    "socket",
    "exthdr",
    "osf",
    "xt",
    "numgen",
    "jhash",
    "symhash",
    "rt0",
    "rt2",
    "rt4",
    "hbh",
    "frag",
    "dst",
    "mh",
    "srh",
    "iifgroup",
    "oifgroup",
    "cgroup",
    "cpu",
    "rtclassid",
    "pkttype",
    "nftrace",
    "length",
    "protocol",
    "l4proto",
];

/// Operators between the operands of a value that a field is set to.
const OPERATORS: [&str; 8] = ["|", "&", "^", "<<", ">>", "and", "or", "xor"];

/// Returns whether a word begins a statement, so that a value ends before it.
fn begins_statement(word: &str) -> bool {
    matches!(word, "meta" | "ct" | "fib")
        || word.starts_with('@')
        || STATEMENTS.contains(&word)
        || META.contains(&word)
        || HEADERS.contains(&word)
}

/// Parses the statements of a rule.
pub(super) fn parse_statements(tokens: &[NftToken]) -> Vec<Statement> {
    let mut parser = RuleParser { tokens, at: 0 };
    let mut out = Vec::new();
    while parser.at < tokens.len() {
        let name = parser.peek_word().to_owned();
        match parser.parse_statement() {
            Some(statement) => {
                let ends = ends_rule(&statement);
                out.push(statement);
                if ends {
                    return out;
                }
            }
            None => {
                out.push(Statement::Unknown(name));
                return out;
            }
        }
    }
    if out.is_empty() {
        out.push(Statement::Unknown("an empty rule".into()));
    }
    out
}

/// Statements behind which only a comment may stand.
fn ends_rule(statement: &Statement) -> bool {
    matches!(
        statement,
        Statement::Verdict(_)
            | Statement::Reject(_)
            | Statement::VerdictMap { .. }
            | Statement::Unknown(_)
            | Statement::Divert(_)
    )
}

/// Parses the elements of a set or of a map.
pub(super) fn parse_elements(tokens: &[NftToken]) -> Vec<Expr> {
    let mut parser = RuleParser { tokens, at: 0 };
    parser.parse_items(0)
}

struct RuleParser<'a> {
    tokens: &'a [NftToken],
    at: usize,
}

impl RuleParser<'_> {
    fn peek_word(&self) -> &str {
        word_at(self.tokens, self.at)
    }

    fn next_word(&mut self) -> &str {
        self.at += 1;
        word_at(self.tokens, self.at - 1)
    }

    fn skip_word(&mut self, wanted: &str) -> bool {
        let found = self.peek_word() == wanted;
        self.at += usize::from(found);
        found
    }

    /// `None` where it is not understood.
    fn parse_statement(&mut self) -> Option<Statement> {
        let name = self.peek_word().to_owned();
        match name.as_str() {
            "accept" | "drop" | "return" | "queue" | "masquerade" | "snat" | "notrack" | "continue" => {
                self.at += 1;
                Some(plain_statement(&name))
            }
            "reject" => {
                self.at += 1;
                Some(reject_statement(if self.skip_word("with") { Some(self.next_word()) } else { None }))
            }
            "jump" | "goto" => {
                self.at += 1;
                let to = self.next_word().to_owned();
                let verdict = if name == "jump" { RuleVerdict::Jump(to) } else { RuleVerdict::Goto(to) };
                Some(Statement::Verdict(verdict))
            }
            "counter" => {
                self.at += 1;
                while matches!(self.peek_word(), "packets" | "bytes" | "name") {
                    self.at += 2;
                }
                Some(Statement::NoEffect)
            }
            "comment" => {
                self.at += 2;
                Some(Statement::NoEffect)
            }
            "log" => {
                self.at += 1;
                while matches!(
                    self.peek_word(),
                    "prefix" | "level" | "group" | "snaplen" | "queue-threshold" | "flags"
                ) {
                    self.at += 2;
                }
                Some(Statement::NoEffect)
            }
            "limit" => self.parse_limit(),
            "dnat" | "redirect" | "tproxy" => self.parse_diversion(&name),
            "add" | "update" | "delete" if word_at(self.tokens, self.at + 1).starts_with('@') => {
                self.parse_update()
            }
            _ => self.parse_condition(),
        }
    }

    /// `limit rate over 10/second burst 5 packets`.
    fn parse_limit(&mut self) -> Option<Statement> {
        self.at += 1;
        if !self.skip_word("rate") {
            return None;
        }
        let over = self.skip_word("over");
        let mut unit = self.next_word().to_owned();
        // `10 mbytes/second`.
        if !unit.contains('/') {
            unit = self.next_word().to_owned();
        }
        let (_, unit) = unit.split_once('/')?;
        let often = matches!(unit, "second" | "minute");
        if self.skip_word("burst") {
            self.at += 1;
            let _ = ["packets", "bytes", "kbytes", "mbytes"].iter().any(|unit| self.skip_word(unit));
        }
        Some(Statement::Limit(match (over, often) {
            (false, _) => RateLimit::Under,
            (true, true) => RateLimit::Over,
            (true, false) => RateLimit::Unknown,
        }))
    }

    /// `dnat ip to 10.0.0.1:80`, `redirect to :1778`, `tproxy to :1778`.
    fn parse_diversion(&mut self, name: &str) -> Option<Statement> {
        self.at += 1;
        let _ = self.skip_word("ip") || self.skip_word("ip6");
        let mut port = None;
        if self.skip_word("to") {
            let to = self.next_word();
            // Without brackets an address of IPv6 has no port.
            let v6 = to.parse::<std::net::Ipv6Addr>().is_ok();
            let (address, given) = to.rsplit_once(':').filter(|_| !v6).unwrap_or((to, ""));
            let plain = address.trim_matches(['[', ']']);
            if !(plain.is_empty() || plain.parse::<std::net::IpAddr>().is_ok()) {
                return None;
            }
            port = (!given.is_empty()).then(|| parse_scalar(given));
        }
        Some(if name == "tproxy" { Statement::Intercept(port) } else { Statement::Divert(port) })
    }

    /// `add @set { ip saddr timeout 1m }`.
    fn parse_update(&mut self) -> Option<Statement> {
        self.at += 1;
        let set = self.next_word().to_owned();
        if self.tokens.get(self.at) != Some(&NftToken::Open) {
            return None;
        }
        let close = self.tokens[self.at..].iter().position(|t| *t == NftToken::Close)?;
        self.at += close + 1;
        Some(Statement::Update(set))
    }

    fn parse_condition(&mut self) -> Option<Statement> {
        let mut left = self.parse_field()?;
        if self.skip_word("set") {
            let value = self.parse_new_value()?;
            return Some(field_change_statement(&left, &value));
        }
        if self.peek_word() == "." {
            let mut parts = vec![left];
            while self.skip_word(".") {
                parts.push(self.parse_field()?);
            }
            left = Expr::Concat(parts);
        }
        let masked = self.skip_word("&");
        if masked {
            left = Expr::And(vec![left, parse_flags(self.next_word())]);
        }
        if self.skip_word("vmap") {
            return Some(Statement::VerdictMap { key: left, data: self.parse_value(0)? });
        }
        let op = self.parse_operator(&left)?;
        let mut right = self.parse_value(0)?;
        // `1000 - 2000` and other values of several words are not understood.
        let rest = self.tokens.get(self.at);
        if !(rest.is_none() || self.peek_word() == "/" || begins_statement(self.peek_word())) {
            return None;
        }
        if self.skip_word("/") {
            // `tcp flags syn / fin,syn,rst,ack`.
            left = Expr::And(vec![left, self.parse_value(0)?]);
            let op = if op == "in" { "==".to_owned() } else { op };
            return Some(Statement::Match { op, left, right });
        }
        if let Expr::Text(text) = &right {
            right = parse_flags(text);
        }
        Some(Statement::Match { op, left, right })
    }

    /// The value that a field is set to: `0x1`, `meta mark | 0x10`, `tcp dport map { 22 : 0x1 }`. It ends where a statement
    /// begins; `None` for other forms.
    fn parse_new_value(&mut self) -> Option<Expr> {
        let mut operands = Vec::new();
        loop {
            let first = self.peek_word();
            let is_field =
                matches!(first, "meta" | "ct" | "fib") || META.contains(&first) || HEADERS.contains(&first);
            operands.push(if is_field { self.parse_field()? } else { self.parse_value(0)? });
            if self.skip_word("map") {
                self.parse_value(0)?;
                operands.push(Expr::Unknown("map".into()));
            }
            match self.tokens.get(self.at) {
                None => return Some(Expr::List(operands)),
                Some(NftToken::Word(word)) if OPERATORS.contains(&word.as_str()) => self.at += 1,
                Some(NftToken::Word(word)) if begins_statement(word) => return Some(Expr::List(operands)),
                Some(_) => return None,
            }
        }
    }

    /// `tcp dport`, `ct state`, `meta mark`, `iifname`.
    fn parse_field(&mut self) -> Option<Expr> {
        let name = self.next_word().to_owned();
        match name.as_str() {
            "meta" => Some(Expr::Meta(self.next_word().to_owned())),
            "ct" => match self.next_word() {
                key @ ("state" | "direction" | "status" | "mark" | "protocol" | "l3proto" | "label"
                | "helper") => Some(Expr::Ct(key.to_owned())),
                _ => None,
            },
            "fib" => {
                let lookup = self.next_word().to_owned();
                self.skip_word("type").then(|| Expr::Fib(format!("{lookup} type")))
            }
            _ if META.contains(&name.as_str()) => Some(Expr::Meta(name)),
            _ if HEADERS.contains(&name.as_str()) => {
                let field = self.next_word().to_owned();
                // `tcp option maxseg size`: not a field of the header.
                (field != "option" && !field.is_empty()).then_some(Expr::Payload(name, field))
            }
            _ => None,
        }
    }

    /// Without an operator flags are looked for, and other values compared.
    fn parse_operator(&mut self, left: &Expr) -> Option<String> {
        let op = match self.peek_word() {
            "==" | "eq" => "==",
            "!=" | "ne" => "!=",
            "<" | "lt" => "<",
            ">" | "gt" => ">",
            "<=" | "le" => "<=",
            ">=" | "ge" => ">=",
            "!" | "~" | "|" | "^" => return None,
            _ => {
                let bits = matches!(left, Expr::Ct(key) if matches!(key.as_str(), "state" | "status"))
                    || matches!(left, Expr::Payload(p, f) if p == "tcp" && f == "flags");
                return Some(if bits { "in" } else { "==" }.to_owned());
            }
        };
        self.at += 1;
        Some(op.to_owned())
    }

    /// A set in braces, values with commas between them, or one value.
    fn parse_value(&mut self, depth: u32) -> Option<Expr> {
        if self.tokens.get(self.at) == Some(&NftToken::Open) {
            self.at += 1;
            return Some(Expr::Set(self.parse_items(depth)));
        }
        let mut list = Vec::new();
        loop {
            let Some(NftToken::Word(text)) = self.tokens.get(self.at) else { return None };
            self.at += 1;
            let mut parts = vec![parse_scalar(text)];
            while self.skip_word(".") {
                parts.push(parse_scalar(self.next_word()));
            }
            list.push(single_or(parts, Expr::Concat));
            if self.tokens.get(self.at) != Some(&NftToken::Comma) {
                return Some(single_or(list, Expr::List));
            }
            self.at += 1;
        }
    }

    /// Elements up to the closing brace.
    fn parse_items(&mut self, depth: u32) -> Vec<Expr> {
        let mut items = Vec::new();
        loop {
            match self.tokens.get(self.at) {
                None => return items,
                Some(NftToken::Close) => {
                    self.at += 1;
                    return items;
                }
                Some(NftToken::Comma | NftToken::End) => self.at += 1,
                Some(NftToken::Open) => {
                    self.at += 1;
                    if depth > DEPTH {
                        items.push(Expr::Unknown("nested sets".into()));
                        self.at = self.tokens.len();
                    } else {
                        items.push(Expr::Set(self.parse_items(depth + 1)));
                    }
                }
                Some(NftToken::Word(_)) => {
                    let rest = &self.tokens[self.at..];
                    let end = rest.iter().position(|t| !matches!(t, NftToken::Word(_))).unwrap_or(rest.len());
                    let words: Vec<&str> = (0..end).map(|i| word_at(rest, i)).collect();
                    items.push(parse_item(&words));
                    self.at += end;
                }
            }
        }
    }
}

/// `22`, `10.0.0.1 . 22`, `10.0.0.1 timeout 1h`, `22 : accept`.
fn parse_item(words: &[&str]) -> Expr {
    // The colon may touch the key.
    let colon =
        words.iter().position(|w| *w == ":" || w.ends_with(':') && w.parse::<std::net::IpAddr>().is_err());
    if let Some(colon) = colon {
        let last = words[colon].trim_end_matches(':');
        let key: Vec<&str> =
            words[..colon].iter().copied().chain(Some(last).filter(|w| !w.is_empty())).collect();
        let verdict = match &words[colon + 1..] {
            ["jump", to] => Expr::Verdict(Some(RuleVerdict::Jump((*to).to_owned()))),
            ["goto", to] => Expr::Verdict(Some(RuleVerdict::Goto((*to).to_owned()))),
            [verdict] => map_verdict(verdict),
            _ => Expr::Unknown("a verdict".into()),
        };
        return Expr::List(vec![parse_item(&key), verdict]);
    }
    let options = words.iter().position(|w| matches!(*w, "timeout" | "expires" | "comment" | "counter"));
    let (value, options) = words.split_at(options.unwrap_or(words.len()));
    let mut parts = Vec::new();
    for (i, part) in value.iter().enumerate() {
        match (i % 2, *part) {
            (0, part) => parts.push(parse_scalar(part)),
            (_, ".") => {}
            _ => return Expr::Unknown("an element".into()),
        }
    }
    if value.len() % 2 == 0 {
        return Expr::Unknown("an element".into());
    }
    let value = single_or(parts, Expr::Concat);
    if options.iter().any(|w| matches!(*w, "timeout" | "expires")) {
        Expr::Expiring(Box::new(value))
    } else {
        value
    }
}

fn single_or(mut list: Vec<Expr>, several: fn(Vec<Expr>) -> Expr) -> Expr {
    match list.pop() {
        Some(one) if list.is_empty() => one,
        Some(last) => {
            list.push(last);
            several(list)
        }
        None => Expr::Unknown("a value".into()),
    }
}

/// A value in one word: a number, a symbol, an address, a network, a range.
fn parse_scalar(text: &str) -> Expr {
    let is_value = |t: &str| t.parse::<u32>().is_ok() || t.parse::<std::net::IpAddr>().is_ok();
    if let Some((low, high)) = text.split_once('-').filter(|(l, h)| is_value(l) && is_value(h)) {
        return Expr::Range(Box::new((Expr::Text(low.into()), Expr::Text(high.into()))));
    }
    match text.split_once('/') {
        Some((base, bits)) if is_value(base) => match bits.parse() {
            Ok(bits) => Expr::Prefix(Box::new(Expr::Text(base.into())), bits),
            Err(_) => Expr::Unknown(text.into()),
        },
        _ => Expr::Text(text.into()),
    }
}

/// `(syn|ack)`, `new|established`: the union of flags.
fn parse_flags(text: &str) -> Expr {
    let inner = text.strip_prefix('(').and_then(|t| t.strip_suffix(')')).unwrap_or(text);
    let parts: Vec<Expr> = inner.split('|').map(parse_scalar).collect();
    if inner.contains('|') { Expr::List(parts) } else { parse_scalar(inner) }
}
