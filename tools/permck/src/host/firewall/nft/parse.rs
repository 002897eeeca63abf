//! The language of nft: tables, chains and sets, in blocks or by commands. What does not bear on packets that come
//! in is read over.

use std::collections::HashMap;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Word(String),
    Open,
    Close,
    Comma,
    /// A line end or semicolon.
    End,
}

#[derive(Debug, Default)]
pub(super) struct Ruleset {
    pub(super) tables: Vec<Table>,
    pub(super) defines: HashMap<String, Vec<Token>>,
}

#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) family: String,
    name: String,
    pub(super) dormant: bool,
    pub(super) chains: Vec<Chain>,
    /// The elements of named sets, where they are written down.
    pub(super) sets: HashMap<String, Vec<Token>>,
}

#[derive(Debug, Default)]
pub(super) struct Chain {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) hook: String,
    pub(super) drops: bool,
    pub(super) rules: Vec<Vec<Token>>,
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

pub(super) fn word(tokens: &[Token], at: usize) -> &str {
    match tokens.get(at) {
        Some(Token::Word(word)) => word,
        _ => "",
    }
}

impl Ruleset {
    pub(super) fn parse(text: &str) -> Self {
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
