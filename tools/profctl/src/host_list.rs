//! Lists of hosts: separated by commas, with ranges such as `node[001-128,200]`, from files and from standard input.

use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use common::error::HintExt;

/// Maximum number of hosts; a longer list is taken for a mistake.
pub(crate) const MAX_HOSTS: usize = 100_000;
/// Maximum size of a host list, in bytes.
const MAX_LIST_BYTES: u64 = 16 << 20;

/// Returns the hosts of all lists, with `@FILE` replaced by the hosts in the file and with ranges expanded.
///
/// # Errors
/// A list cannot be read or is too long, or a range is malformed.
pub(crate) fn expand_host_lists(lists: &[String]) -> anyhow::Result<Vec<String>> {
    let mut hosts = Vec::new();
    for list in lists {
        for item in split_list(list).context("--hosts")? {
            match item.strip_prefix('@') {
                None => expand_ranges(item, &mut hosts).context("--hosts")?,
                Some(file) => {
                    let text = read_host_list(file).with_context(|| format!("--hosts: {file}"))?;
                    let add = |item: &&str| expand_ranges(item, &mut hosts);
                    let items = parse_host_list(&text).with_context(|| format!("--hosts: {file}"))?;
                    items.iter().try_for_each(add).with_context(|| format!("--hosts: {file}"))?;
                }
            }
        }
    }
    Ok(hosts)
}

/// Splits a list at the commas and white space outside brackets.
fn split_list(text: &str) -> anyhow::Result<Vec<&str>> {
    let (mut items, mut begin, mut in_brackets) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        match c {
            '[' if in_brackets => bail!("{text:?}: `[` within `[`"),
            '[' => in_brackets = true,
            ']' => in_brackets = false,
            ',' | ' ' | '\t' | '\r' | '\n' if !in_brackets => {
                items.push(&text[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    if in_brackets {
        bail!("{text:?}: `[` without `]`");
    }
    items.push(&text[begin..]);
    Ok(items.into_iter().filter(|item| !item.is_empty()).collect())
}

/// Parses a host list: hosts separated by newlines, spaces or commas; `#` starts a comment.
fn parse_host_list(text: &str) -> anyhow::Result<Vec<&str>> {
    let mut hosts = Vec::new();
    for (n, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        hosts.extend(split_list(line).with_context(|| format!("line {}", n + 1))?);
    }
    Ok(hosts)
}

/// Adds the hosts of one item: `rack[1-2]node[01-16,20]` stands for 34. The brackets of an IPv6 address are no range.
fn expand_ranges(item: &str, hosts: &mut Vec<String>) -> anyhow::Result<()> {
    let Some((before, rest)) = item.split_once('[') else {
        hosts.push(item.to_owned());
        return require_few(hosts);
    };
    if before.is_empty() && rest.contains(':') && rest.split(']').next().is_some_and(|a| a.contains(':')) {
        hosts.push(item.to_owned());
        return require_few(hosts);
    }
    let (ranges, after) = rest.split_once(']').ok_or_else(|| anyhow!("{item:?}: `[` without `]`"))?;
    for range in ranges.split(',') {
        let bad = || anyhow!("{item:?}: {range:?} is neither a number nor a range such as 001-128");
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let number = |text: &str| {
            let is_number = !text.is_empty() && text.len() <= 9 && text.bytes().all(|b| b.is_ascii_digit());
            is_number.then(|| text.parse::<u32>().ok()).flatten()
        };
        let (from, to) = number(first).zip(number(last)).ok_or_else(bad)?;
        if from > to {
            bail!("{item:?}: the range {range:?} ends before it begins");
        }
        if to - from >= u32::try_from(MAX_HOSTS).unwrap_or(u32::MAX) {
            bail!("{item:?}: more than {MAX_HOSTS} hosts");
        }
        // As in Slurm's host lists, leading zeros give the width.
        let width = if first.starts_with('0') { first.len() } else { 0 };
        for n in from..=to {
            expand_ranges(&format!("{before}{n:0width$}{after}"), hosts)?;
        }
    }
    Ok(())
}

fn require_few(hosts: &[String]) -> anyhow::Result<()> {
    if hosts.len() > MAX_HOSTS {
        return Err(anyhow!("more than {MAX_HOSTS} hosts")).hint("check the ranges");
    }
    Ok(())
}

fn read_host_list(file: &str) -> anyhow::Result<String> {
    let reader: Box<dyn Read> = match file {
        "-" => Box::new(io::stdin().lock()),
        path => Box::new(std::fs::File::open(Path::new(path))?),
    };
    let bytes = common::fsat::read_bounded(reader, MAX_LIST_BYTES)?;
    let text = String::from_utf8(bytes).map_err(|_| anyhow!("not valid UTF-8"))?;
    // Editors of other systems put a byte order mark in front (RFC 3629, section 6).
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(list: &str) -> Vec<String> {
        expand_host_lists(&[list.to_owned()]).unwrap()
    }

    #[test]
    fn ranges_are_expanded_with_their_width() {
        assert_eq!(expanded("node[1-3]"), ["node1", "node2", "node3"]);
        assert_eq!(
            expanded("node[008-010,200]:99"),
            ["node008:99", "node009:99", "node010:99", "node200:99"]
        );
        assert_eq!(expanded("r[1-2]n[01-02],login"), ["r1n01", "r1n02", "r2n01", "r2n02", "login"]);
        assert_eq!(expanded("node[09-100]").len(), 92);
        assert_eq!(expanded("node[7]"), ["node7"]);
        assert_eq!(expanded("127.0.[0-1].[1-2]"), ["127.0.0.1", "127.0.0.2", "127.0.1.1", "127.0.1.2"]);
    }

    #[test]
    fn ipv6_addresses_are_no_ranges() {
        assert_eq!(expanded("[::1]:5,fe80::1,[2001:db8::7]"), ["[::1]:5", "fe80::1", "[2001:db8::7]"]);
    }

    #[test]
    fn malformed_and_endless_ranges_are_rejected() {
        for bad in [
            "n[1-",
            "n[a-b]",
            "n[3-1]",
            "n[]",
            "n[1,]",
            "n[1-2-3]",
            "n[[1]]",
            "n[-1]",
            "n[1 - 2]",
            "n[0-4294967295]",
            "n[1-99999][1-99999]",
            "n[99999999999]",
        ] {
            let error = expand_host_lists(&[bad.to_owned()]).unwrap_err();
            assert!(format!("{error:#}").starts_with("--hosts"), "{bad}: {error:#}");
        }
    }

    #[test]
    fn a_range_that_runs_backwards_is_said_to_be_one() {
        let error = expand_host_lists(&["node[3-1]".to_owned()]).unwrap_err();
        assert!(format!("{error:#}").ends_with("the range \"3-1\" ends before it begins"), "{error:#}");
    }

    #[test]
    fn lists_come_from_files_with_comments() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("hosts");
        std::fs::write(&file, "# rack 1\nnode[3-4] node4:9\n\nnode1, node5 # spare [\n").unwrap();
        let list = format!("node1,@{}", file.display());
        assert_eq!(expanded(&list), ["node1", "node3", "node4", "node4:9", "node1", "node5"]);
        std::fs::write(&file, "a\nb[1\n").unwrap();
        let error = expand_host_lists(&[format!("@{}", file.display())]).unwrap_err();
        assert!(format!("{error:#}").ends_with("line 2: \"b[1\": `[` without `]`"), "{error:#}");
    }
}
