//! Rulesets as nft(8) lists them and as its configuration files write them.

use std::collections::HashMap;

use super::{Family, Fate, Met, Port, Rule, Verdict, base, worst};

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
        let rules = |name: &str| {
            let chain = table.chains.iter().find(|c| c.name == name)?;
            let eval = Eval { table, ruleset: &ruleset, family, port };
            Some(chain.rules.iter().filter_map(|r| eval.rule(r)).flatten().collect())
        };
        let input = table.chains.iter().filter(|c| matches!(c.hook.as_str(), "input" | "prerouting"));
        input
            // Addresses are translated elsewhere, and what is dropped there is rare.
            .filter(|c| c.kind == "filter")
            .map(|c| base(&c.name, if c.drops { Fate::Drop } else { Fate::Accept }, &rules))
            .collect::<Vec<_>>()
    }))
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Open,
    Close,
    Comma,
    /// A line end or semicolon.
    End,
}

#[derive(Debug, Default)]
struct Ruleset {
    tables: Vec<Table>,
    defines: HashMap<String, Vec<Token>>,
}

#[derive(Debug, Default)]
struct Table {
    family: String,
    name: String,
    dormant: bool,
    chains: Vec<Chain>,
    /// The elements of named sets, where they are written down.
    sets: HashMap<String, Vec<Token>>,
}

#[derive(Debug, Default)]
struct Chain {
    name: String,
    kind: String,
    hook: String,
    drops: bool,
    rules: Vec<Vec<Token>>,
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\n' | ';' => tokens.push(Token::End),
            '{' => tokens.push(Token::Open),
            '}' => tokens.push(Token::Close),
            ',' => tokens.push(Token::Comma),
            '#' => while chars.next_if(|c| *c != '\n').is_some() {},
            // A joined line.
            '\\' if chars.peek() == Some(&'\n') => drop(chars.next()),
            '"' => {
                let mut word = String::new();
                while let Some(c) = chars.next_if(|c| *c != '"') {
                    word.push(c);
                }
                chars.next();
                tokens.push(Token::Word(word));
            }
            c if c.is_whitespace() => {}
            c => {
                let mut word = String::from(c);
                let part = |c: &char| !c.is_whitespace() && !"{};,\"#".contains(*c);
                while let Some(c) = chars.next_if(part) {
                    word.push(c);
                }
                tokens.push(Token::Word(word));
            }
        }
    }
    tokens
}

/// Reads tokens one statement at a time.
struct Reader<'a>(&'a [Token]);

impl<'a> Reader<'a> {
    /// The tokens before the next end or block at this level; what encloses values in braces is part of it where
    /// `values` says so. The token that ended it comes second.
    fn statement(&mut self, values: bool) -> Option<(&'a [Token], Option<&'a Token>)> {
        while let Some((Token::End, rest)) = self.0.split_first() {
            self.0 = rest;
        }
        if self.0.is_empty() {
            return None;
        }
        let mut depth = 0;
        for (i, token) in self.0.iter().enumerate() {
            let ends = match token {
                Token::Open if values || depth > 0 => {
                    depth += 1;
                    false
                }
                Token::Close if depth > 0 => {
                    depth -= 1;
                    false
                }
                Token::End => depth == 0,
                Token::Open | Token::Close => true,
                _ => false,
            };
            if ends {
                let statement = &self.0[..i];
                self.0 = &self.0[i + 1..];
                return Some((statement, Some(token)));
            }
        }
        Some((std::mem::take(&mut self.0), None))
    }

    /// The tokens of a block whose brace was read.
    fn block(&mut self) -> &'a [Token] {
        let mut depth = 1;
        for (i, token) in self.0.iter().enumerate() {
            match token {
                Token::Open => depth += 1,
                Token::Close => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                let block = &self.0[..i];
                self.0 = &self.0[i + 1..];
                return block;
            }
        }
        std::mem::take(&mut self.0)
    }
}

fn word(tokens: &[Token], at: usize) -> &str {
    match tokens.get(at) {
        Some(Token::Word(word)) => word,
        _ => "",
    }
}

impl Ruleset {
    fn parse(text: &str) -> Self {
        let mut ruleset = Self::default();
        let tokens = tokens(text);
        let mut reader = Reader(&tokens);
        while let Some((statement, end)) = reader.statement(false) {
            let add = usize::from(matches!(word(statement, 0), "add" | "create" | "insert"));
            match (word(statement, add), end) {
                ("table", Some(Token::Open)) => {
                    let block = reader.block();
                    ruleset.table(&statement[add + 1..]).read(block);
                }
                ("table", _) => drop(ruleset.table(&statement[add + 1..])),
                ("chain", Some(Token::Open)) => {
                    let block = reader.block();
                    let (table, rest) = ruleset.named(&statement[add + 1..]);
                    table.chain(word(rest, 0)).read(block);
                }
                ("rule", end) => {
                    // Values in braces are part of the rule.
                    let mut whole = statement.to_vec();
                    if end == Some(&Token::Open) {
                        whole.push(Token::Open);
                        whole.extend_from_slice(reader.block());
                        whole.push(Token::Close);
                        whole.extend(reader.statement(true).into_iter().flat_map(|(s, _)| s.to_vec()));
                    }
                    let (table, rest) = ruleset.named(&whole[add + 1..]);
                    let rule = rest.get(1..).unwrap_or_default().to_vec();
                    let rules = &mut table.chain(word(rest, 0)).rules;
                    // `insert` puts it before the others.
                    let at = if word(statement, 0) == "insert" { 0 } else { rules.len() };
                    rules.insert(at, rule);
                }
                ("define", end) => {
                    let name = word(statement, add + 1).to_owned();
                    let value = if end == Some(&Token::Open) {
                        reader.block()
                    } else {
                        statement.get(add + 3..).unwrap_or_default()
                    };
                    ruleset.defines.insert(name, value.to_vec());
                }
                ("flush", _) if word(statement, 1) == "ruleset" => ruleset.tables.clear(),
                (_, Some(Token::Open)) => drop(reader.block()),
                _ => {}
            }
        }
        ruleset
    }

    /// The table of `[family] name`.
    fn table(&mut self, words: &[Token]) -> &mut Table {
        self.named(words).0
    }

    fn named<'t>(&mut self, words: &'t [Token]) -> (&mut Table, &'t [Token]) {
        let given = matches!(word(words, 0), "ip" | "ip6" | "inet" | "arp" | "bridge" | "netdev");
        let family = if given { word(words, 0) } else { "ip" };
        let words = &words[usize::from(given).min(words.len())..];
        let name = word(words, 0);
        let at = self.tables.iter().position(|t| t.family == family && t.name == name);
        let at = at.unwrap_or_else(|| {
            self.tables.push(Table { family: family.to_owned(), name: name.to_owned(), ..Table::default() });
            self.tables.len() - 1
        });
        (&mut self.tables[at], words.get(1..).unwrap_or_default())
    }
}

impl Table {
    fn read(&mut self, tokens: &[Token]) {
        let mut reader = Reader(tokens);
        while let Some((statement, end)) = reader.statement(false) {
            match (word(statement, 0), end) {
                ("chain", Some(Token::Open)) => {
                    let block = reader.block();
                    self.chain(word(statement, 1)).read(block);
                }
                ("set", Some(Token::Open)) => {
                    let elements = elements(reader.block());
                    self.sets.insert(word(statement, 1).to_owned(), elements);
                }
                ("flags", _) => self.dormant |= statement.contains(&Token::Word("dormant".into())),
                (_, Some(Token::Open)) => drop(reader.block()),
                _ => {}
            }
        }
    }

    fn chain(&mut self, name: &str) -> &mut Chain {
        let at = self.chains.iter().position(|c| c.name == name);
        let at = at.unwrap_or_else(|| {
            self.chains.push(Chain { name: name.to_owned(), ..Chain::default() });
            self.chains.len() - 1
        });
        &mut self.chains[at]
    }
}

/// `elements = { … }` of a set's block.
fn elements(block: &[Token]) -> Vec<Token> {
    let mut reader = Reader(block);
    while let Some((statement, end)) = reader.statement(false) {
        if end == Some(&Token::Open) {
            let inner = reader.block();
            if word(statement, 0) == "elements" {
                return inner.to_vec();
            }
        }
    }
    Vec::new()
}

impl Chain {
    fn read(&mut self, tokens: &[Token]) {
        let mut reader = Reader(tokens);
        while let Some((statement, _)) = reader.statement(true) {
            match word(statement, 0) {
                "type" => {
                    self.kind = word(statement, 1).to_owned();
                    let hook = statement.iter().position(|t| *t == Token::Word("hook".into()));
                    self.hook = hook.map_or("", |at| word(statement, at + 1)).to_owned();
                }
                "policy" => self.drops = word(statement, 1) == "drop",
                "comment" | "devices" | "device" | "" => {}
                _ => self.rules.push(statement.to_vec()),
            }
        }
    }
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
            Some(Some(items)) if depth < 8 => items.iter().for_each(|t| self.item(t, value, depth + 1)),
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
            ("ip" | "ip6", "saddr") => {
                Met::of(value.items.iter().any(|a| matches!(*a, "0.0.0.0/0" | "::/0")))
            }
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
    // A limited accept lets through what it meets, now and then; a limited drop keeps nobody out.
    let met = if limited && verdict != Verdict::Accept { Met::No } else { met };
    Some((met, verdict))
}
