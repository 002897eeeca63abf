//! Rules as iptables-save(8) and ip6tables-save(8) write them.

use std::collections::HashMap;

use super::{Fate, Met, Port, Rule, Verdict, base, everybody, within_limit, worst};

/// What becomes of a new connection to the port. A file is of one family.
pub(crate) fn fate(text: &str, port: &Port) -> Fate {
    let tables = tables(text, port);
    let input = ["raw PREROUTING", "mangle PREROUTING", "mangle INPUT", "filter INPUT", "security INPUT"];
    worst(input.iter().filter_map(|name| {
        let (table, chain) = name.split_once(' ')?;
        let table = tables.get(table)?;
        let policy = *table.policies.get(chain)?;
        let mut rules = |name: &str| table.chains.get(name).map(Vec::as_slice);
        Some(base(chain, policy, &mut rules))
    }))
}

#[derive(Debug, Default)]
struct Table {
    chains: HashMap<String, Vec<Rule>>,
    policies: HashMap<String, Fate>,
}

fn tables(text: &str, port: &Port) -> HashMap<String, Table> {
    let mut tables: HashMap<String, Table> = HashMap::new();
    let mut table = String::new();
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('*') {
            table = name.to_owned();
        } else if let Some((name, policy)) = line.strip_prefix(':').and_then(|l| l.split_once(' ')) {
            let table = tables.entry(table.clone()).or_default();
            table.chains.entry(name.to_owned()).or_default();
            let policy = match policy.split(' ').next() {
                Some("ACCEPT") => Fate::Accept,
                Some("DROP" | "REJECT") => Fate::Drop,
                _ => continue,
            };
            table.policies.insert(name.to_owned(), policy);
        } else if let Some(rest) = append(line) {
            let words = words(rest);
            let Some((chain, args)) = words.split_first() else { continue };
            let chains = &mut tables.entry(table.clone()).or_default().chains;
            chains.entry(chain.clone()).or_default().extend(rule(args, port));
        }
    }
    tables
}

/// `-A CHAIN …`, with the counters before it that `-c` writes.
fn append(line: &str) -> Option<&str> {
    let line = match line.strip_prefix('[') {
        Some(counters) => counters.split_once(']')?.1.trim_start(),
        None => line,
    };
    line.strip_prefix("-A ").or_else(|| line.strip_prefix("--append "))
}

/// The words of a line; quoted ones hold blanks.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut any) = (Vec::new(), String::new(), false, false);
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' if quoted => word.extend(chars.next()),
            '"' => (quoted, any) = (!quoted, true),
            c if c.is_whitespace() && !quoted => {
                if any || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                any = false;
            }
            c => word.push(c),
        }
    }
    if any || !word.is_empty() {
        words.push(word);
    }
    words
}

/// `None` for a rule that decides nothing.
fn rule(args: &[String], port: &Port) -> Option<Rule> {
    let mut met = Met::Yes;
    let mut verdict = None;
    let (mut negated, mut limited) = (false, false);
    let mut args = args.iter().map(String::as_str).peekable();
    while let Some(arg) = args.next() {
        if arg == "!" {
            negated = true;
            continue;
        }
        // Options of matches take one value, but for flags.
        let mut value = || args.next().unwrap_or("");
        let one = match arg {
            "-m" | "--match" => match value() {
                // Their options follow, or they only describe.
                "tcp" | "comment" | "multiport" | "conntrack" | "state" | "iprange" | "mac" | "addrtype"
                | "set" => Met::Yes,
                // Over the limit the rule is not met.
                "limit" | "hashlimit" => {
                    limited = true;
                    Met::Yes
                }
                "udp" | "icmp" | "icmp6" | "ipv6-icmp" | "sctp" => Met::No,
                _ => Met::Unsure,
            },
            "--comment" | "--log-prefix" | "--log-level" | "--reject-with" | "--limit" | "--limit-burst" => {
                value();
                Met::Yes
            }
            "-p" | "--protocol" => Met::of(matches!(value(), "tcp" | "6" | "all" | "0")),
            "--dport" | "--destination-port" => port.is(value()),
            "--dports" | "--destination-ports" | "--ports" => {
                value().split(',').map(|p| port.is(p)).max().unwrap_or(Met::No)
            }
            // A client's port is any.
            "--sport" | "--source-port" | "--sports" | "--source-ports" => {
                value();
                Met::Unsure
            }
            "-s" | "--source" | "--src" => value().split(',').map(everybody).max().unwrap_or(Met::No),
            "--src-range" | "--mac-source" => {
                value();
                Met::No
            }
            "--match-set" => {
                let _set = value();
                if args.next().unwrap_or("").contains("src") { Met::No } else { Met::Unsure }
            }
            "-d" | "--destination" | "--dst" => {
                if everybody(value()) == Met::Yes {
                    Met::Yes
                } else {
                    Met::Unsure
                }
            }
            "-i" | "--in-interface" => {
                if value() == "lo" {
                    Met::No
                } else {
                    Met::Unsure
                }
            }
            "--ctstate" | "--state" => Met::of(value().split(',').any(|s| s == "NEW")),
            "--syn" => Met::Yes,
            "-j" | "--jump" => {
                verdict = target(value());
                Met::Yes
            }
            "-g" | "--goto" => {
                verdict = Some(Verdict::Goto(value().to_owned()));
                Met::Yes
            }
            _ => {
                // Unknown: its value, if it takes one, is none of the options that are known.
                if args.peek().is_some_and(|next| !next.starts_with('-') && *next != "!") {
                    args.next();
                }
                Met::Unsure
            }
        };
        met = met.min(one.unless(std::mem::take(&mut negated)));
    }
    let verdict = verdict?;
    Some((met.min(within_limit(limited, &verdict)), verdict))
}

/// What a target does; `None` where the packet goes on.
fn target(name: &str) -> Option<Verdict> {
    Some(match name {
        "ACCEPT" => Verdict::Accept,
        "DROP" | "REJECT" | "TARPIT" => Verdict::Drop,
        "RETURN" => Verdict::Return,
        "QUEUE" | "NFQUEUE" | "SYNPROXY" => Verdict::Unknown,
        "LOG" | "NFLOG" | "ULOG" | "MARK" | "CONNMARK" | "TRACE" | "AUDIT" | "SET" | "NOTRACK" | "CT"
        | "CLASSIFY" | "TOS" | "DSCP" | "TCPMSS" | "TTL" | "HL" | "SECMARK" | "CONNSECMARK" => return None,
        chain => Verdict::Jump(chain.to_owned()),
    })
}
