//! The language of nft: tables, chains and sets, in blocks or by commands, nft(8). Words that are not understood make
//! a rule, a table or the whole ruleset unknown.

mod rule;
mod tokens;

use std::collections::HashMap;

use super::model::{BaseChain, NftChain, NftTable, Removal, Ruleset};
use rule::{parse_elements, parse_statements};
use tokens::{NftToken, TokenReader, tokenize, word_at};

/// Tokens that definitions may expand to altogether, so that a hostile file ends.
const EXPANDED: usize = 2_000_000;

/// Definitions that refer to each other deeper than this are circles.
const DEPTH: u32 = 8;

/// Address families of tables, nft(8) "Address families".
const FAMILIES: [&str; 6] = ["ip", "ip6", "inet", "arp", "bridge", "netdev"];

impl Ruleset {
    /// Parses a configuration file of nft.
    pub(crate) fn from_text(text: &str) -> Self {
        let mut file = NftFile { ruleset: Self::default(), defines: HashMap::new(), left: EXPANDED };
        let tokens = tokenize(text);
        let mut reader = TokenReader(&tokens);
        while let Some((statement, end)) = reader.next_statement(false) {
            file.read_command(statement, end, &mut reader);
        }
        file.ruleset.mark_changing_sets();
        file.ruleset
    }
}

/// A file being read.
struct NftFile {
    ruleset: Ruleset,
    defines: HashMap<String, Vec<NftToken>>,
    /// Tokens that may still be expanded.
    left: usize,
}

impl NftFile {
    fn read_command(&mut self, statement: &[NftToken], end: Option<&NftToken>, reader: &mut TokenReader<'_>) {
        if statement.is_empty() {
            // A block without a name, or an end of one that was not opened.
            self.ruleset.unknown |= end != Some(&NftToken::End);
            return;
        }
        let add = usize::from(matches!(word_at(statement, 0), "add" | "create" | "insert"));
        let opens = end == Some(&NftToken::Open);
        let rest = &statement[(add + 1).min(statement.len())..];
        match word_at(statement, add) {
            "table" => {
                let block = if opens { reader.next_block() } else { &[] };
                let (family, name, _) = split_table_name(rest);
                self.read_table(family, name, block);
            }
            "chain" | "set" | "map" | "element" if opens => {
                let block = reader.next_block();
                let (family, table, rest) = split_table_name(rest);
                let (kind, name) = (word_at(statement, add), word_at(rest, 0));
                let mut table = std::mem::take(self.ruleset.table_mut(family, table));
                match kind {
                    "chain" => self.read_chain(&mut table, name, block),
                    "element" => self.add_elements(&mut table, name, block),
                    _ => self.read_set(&mut table, name, block),
                }
                self.put_back(table);
            }
            // A chain without a hook.
            "chain" => {
                let (family, table, rest) = split_table_name(rest);
                let chains = &mut self.ruleset.table_mut(family, table).chains;
                chains.entry(word_at(rest, 0).to_owned()).or_default();
            }
            "rule" => self.read_rule(statement, end, reader),
            "define" | "redefine" => {
                let mut value = statement.get(add + 3..).unwrap_or_default().to_vec();
                if opens {
                    value.push(NftToken::Open);
                    value.extend_from_slice(reader.next_block());
                    value.push(NftToken::Close);
                }
                self.defines.insert(word_at(statement, add + 1).to_owned(), value);
            }
            "flush" | "delete" | "destroy" if !opens => self.read_removal(statement),
            "flowtable" | "counter" | "quota" | "limit" | "synproxy" | "secmark" | "ct" if add == 1 => {
                if opens {
                    reader.next_block();
                }
            }
            _ => {
                self.ruleset.unknown = true;
                if opens {
                    reader.next_block();
                }
            }
        }
    }

    fn put_back(&mut self, table: NftTable) {
        let at = self.ruleset.tables.iter().position(|t| t.family.is_empty() && t.name.is_empty());
        match at {
            Some(at) => self.ruleset.tables[at] = table,
            None => self.ruleset.tables.push(table),
        }
    }

    /// `flush`, `delete` and `destroy`. The tables that they name may also be those of another loader.
    fn read_removal(&mut self, statement: &[NftToken]) {
        let (family, name, rest) = split_table_name(statement.get(2..).unwrap_or_default());
        let tables = &mut self.ruleset.tables;
        let wanted = |t: &NftTable| t.family == family && t.name == name;
        let one = Removal { family: Some(family.to_owned()), table: Some(name.to_owned()) };
        match (word_at(statement, 0), word_at(statement, 1)) {
            // With a family only its tables are removed, nft(8) "Ruleset".
            ("flush", "ruleset") => match word_at(statement, 2) {
                "" if statement.len() == 2 => {
                    tables.clear();
                    self.ruleset.removals.push(Removal { family: None, table: None });
                }
                family if statement.len() == 3 && FAMILIES.contains(&family) => {
                    tables.retain(|t| t.family != family);
                    self.ruleset.removals.push(Removal { family: Some(family.to_owned()), table: None });
                }
                _ => self.ruleset.unknown = true,
            },
            ("delete" | "destroy", "table") if rest.is_empty() => {
                tables.retain(|t| !wanted(t));
                self.ruleset.removals.push(one);
            }
            ("flush", "table") if rest.is_empty() => {
                let chains = tables.iter_mut().filter(|t| wanted(t)).flat_map(|t| t.chains.values_mut());
                chains.for_each(|c| c.rules.clear());
                self.ruleset.removals.push(one);
            }
            ("flush", "chain") if rest.len() == 1 => {
                let chains = tables
                    .iter_mut()
                    .filter(|t| wanted(t))
                    .filter_map(|t| t.chains.get_mut(word_at(rest, 0)));
                chains.for_each(|c| c.rules.clear());
                self.ruleset.removals.push(one);
            }
            // A handle, or objects that are not followed.
            _ => self.ruleset.unknown = true,
        }
    }

    /// `add rule inet f in tcp dport { 22, 80 } accept`.
    fn read_rule(&mut self, statement: &[NftToken], end: Option<&NftToken>, reader: &mut TokenReader<'_>) {
        let add = usize::from(word_at(statement, 0) != "rule");
        let mut whole = statement.to_vec();
        if end == Some(&NftToken::Open) {
            // Values in braces are part of the rule.
            whole.push(NftToken::Open);
            whole.extend_from_slice(reader.next_block());
            whole.push(NftToken::Close);
            whole.extend(reader.next_statement(true).into_iter().flat_map(|(s, _)| s.to_vec()));
        }
        let whole = self.expand_defines(&whole);
        let (family, table, rest) = split_table_name(whole.get(add + 1..).unwrap_or_default());
        let list = parse_statements(rest.get(1..).unwrap_or_default());
        let table = self.ruleset.table_mut(family, table);
        let rules = &mut table.chains.entry(word_at(rest, 0).to_owned()).or_default().rules;
        // `insert` puts it before the others.
        let at = if word_at(statement, 0) == "insert" { 0 } else { rules.len() };
        rules.insert(at, list);
    }

    fn read_table(&mut self, family: &str, name: &str, block: &[NftToken]) {
        let mut table = std::mem::take(self.ruleset.table_mut(family, name));
        (table.family, table.name) = (family.to_owned(), name.to_owned());
        // To name a table again without the flag wakes it.
        table.dormant = false;
        let mut reader = TokenReader(block);
        while let Some((statement, end)) = reader.next_statement(false) {
            let opens = end == Some(&NftToken::Open);
            let inner = if opens { reader.next_block() } else { &[] };
            match word_at(statement, 0) {
                "chain" if opens => self.read_chain(&mut table, word_at(statement, 1), inner),
                "set" | "map" if opens => self.read_set(&mut table, word_at(statement, 1), inner),
                "flags" => {
                    let flags = statement.iter().skip(1);
                    for flag in flags.filter(|t| **t != NftToken::Comma) {
                        match flag {
                            NftToken::Word(w) if w == "dormant" => table.dormant = true,
                            NftToken::Word(w) if matches!(w.as_str(), "owner" | "persist") => {}
                            _ => table.unknown = true,
                        }
                    }
                }
                "flowtable" | "counter" | "quota" | "limit" | "synproxy" | "secmark" | "ct" | "comment" => {}
                _ => table.unknown |= !statement.is_empty() || opens,
            }
        }
        self.put_back(table);
    }

    fn read_chain(&mut self, table: &mut NftTable, name: &str, block: &[NftToken]) {
        let chain = table.chains.entry(name.to_owned()).or_default();
        let mut reader = TokenReader(block);
        while let Some((statement, _)) = reader.next_statement(true) {
            match word_at(statement, 0) {
                "type" => chain.base = Some(parse_base_chain(statement, chain)),
                "policy" => {
                    let policy = Some(word_at(statement, 1).to_owned());
                    chain.base.get_or_insert_with(|| parse_base_chain(&[], &NftChain::default())).policy =
                        policy;
                }
                "comment" | "devices" | "device" => {}
                "" if statement.is_empty() => {}
                _ => {
                    let rule = self.expand_defines(statement);
                    chain.rules.push(parse_statements(&rule));
                }
            }
        }
    }

    fn read_set(&mut self, table: &mut NftTable, name: &str, block: &[NftToken]) {
        // A set that is declared again keeps its elements.
        let mut set = table.sets.remove(name).unwrap_or_default();
        let mut reader = TokenReader(block);
        while let Some((statement, end)) = reader.next_statement(false) {
            let inner = if end == Some(&NftToken::Open) { reader.next_block() } else { &[] };
            match word_at(statement, 0) {
                "elements" => {
                    let mut all = statement.get(2..).unwrap_or_default().to_vec();
                    all.extend_from_slice(inner);
                    set.elements.extend(parse_elements(&self.expand_defines(&all)));
                }
                "flags" => {
                    let changes =
                        |t: &NftToken| matches!(t, NftToken::Word(w) if w == "timeout" || w == "dynamic");
                    set.changing |= statement.iter().any(changes);
                }
                "timeout" => set.changing = true,
                _ => {}
            }
        }
        // An empty one is filled by other means.
        set.changing |= set.elements.is_empty();
        table.sets.insert(name.to_owned(), set);
    }

    /// `add element inet f ports { 1778 }`.
    fn add_elements(&mut self, table: &mut NftTable, name: &str, block: &[NftToken]) {
        let added = parse_elements(&self.expand_defines(block));
        match table.sets.get_mut(name) {
            Some(set) => {
                // A set that was empty in the file is filled here, and perhaps elsewhere.
                set.elements.extend(added);
            }
            None => self.ruleset.unknown = true,
        }
    }

    /// Puts the values of definitions in their places.
    fn expand_defines(&mut self, tokens: &[NftToken]) -> Vec<NftToken> {
        let mut out = Vec::with_capacity(tokens.len());
        self.expand_into(tokens, &mut out, 0);
        out
    }

    fn expand_into(&mut self, tokens: &[NftToken], out: &mut Vec<NftToken>, depth: u32) {
        for token in tokens {
            let name = if let NftToken::Word(w) = token { w.strip_prefix('$') } else { None };
            let value = name.and_then(|n| self.defines.get(n)).cloned();
            match value {
                Some(value) if depth < DEPTH && value.len() < self.left => {
                    self.left -= value.len();
                    self.expand_into(&value, out, depth + 1);
                }
                // A name that is not known stays, and is not understood.
                _ => out.push(token.clone()),
            }
        }
    }
}

/// Splits `[family] table …` into family, table and the rest.
fn split_table_name(words: &[NftToken]) -> (&str, &str, &[NftToken]) {
    let given = FAMILIES.contains(&word_at(words, 0));
    let family = if given { word_at(words, 0) } else { "ip" };
    let words = &words[usize::from(given).min(words.len())..];
    (family, word_at(words, 0), words.get(1..).unwrap_or_default())
}

/// `type filter hook input priority filter + 10`, with a policy that was given before.
fn parse_base_chain(statement: &[NftToken], chain: &NftChain) -> BaseChain {
    let at = |name: &str| statement.iter().position(|t| *t == NftToken::Word(name.into()));
    let behind = |name: &str| at(name).map_or("", |at| word_at(statement, at + 1));
    let priority: String = match at("priority") {
        Some(at) => (at + 1..statement.len()).map(|i| word_at(statement, i)).collect(),
        None => String::new(),
    };
    BaseChain {
        kind: behind("type").to_owned(),
        hook: behind("hook").to_owned(),
        priority: priority_number(&priority),
        policy: chain.base.as_ref().and_then(|b| b.policy.clone()),
    }
}

/// The number of `-150`, `raw`, `filter+10`: nft(8), "Chains".
fn priority_number(text: &str) -> Option<i64> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let end = text.find(['+', '-']).unwrap_or(text.len());
    let (name, offset) = text.split_at(end);
    let named = match name {
        "raw" => -300,
        "mangle" => -150,
        "dstnat" => -100,
        "filter" => 0,
        "security" => 50,
        "srcnat" => 100,
        _ => return None,
    };
    let offset: i64 = if offset.is_empty() { 0 } else { offset.parse().ok()? };
    Some(named + offset.clamp(-100_000, 100_000))
}
