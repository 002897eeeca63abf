//! The words that keep the trace files of several daemons apart, whatever directory their hosts share.
//!
//! libkineto puts its pid into the name of a file, which containers on two hosts can have in common, and profd tells apart only
//! the processes of its own host. Before a request is sent, nobody knows which pids will get it, and afterwards it is too late.
//! So each of several daemons has a word of its own in the name.

use std::collections::{BTreeMap, BTreeSet};

use crate::daemon_address::DaemonAddress;

/// Returns the word for each daemon that is inserted into the name of its trace files: the name of the host, unless the path has
/// `%h`; and the port or the address where a host has several daemons. `None` for a single daemon, and where `%h` says it all.
pub(crate) fn label_daemons(daemons: &[DaemonAddress], log_file: &str) -> Vec<Option<String>> {
    let mut of_host: BTreeMap<&str, (BTreeSet<u16>, BTreeSet<_>)> = BTreeMap::new();
    for daemon in daemons {
        let (ports, addresses) = of_host.entry(&daemon.host).or_default();
        ports.insert(daemon.port);
        addresses.insert(daemon.ip);
    }
    let names_host = of_host.len() > 1 && !has_host_placeholder(log_file);
    let mut seen = BTreeSet::new();
    let mut label = |daemon: &DaemonAddress| {
        let mut words = Vec::new();
        words.extend(names_host.then(|| daemon.host.clone()));
        if let Some((ports, addresses)) = of_host.get(daemon.host.as_str()) {
            words.extend(daemon.ip.filter(|_| addresses.len() > 1).map(|ip| ip.to_string()));
            words.extend((ports.len() > 1).then(|| daemon.port.to_string()));
        }
        if words.is_empty() {
            return None;
        }
        let mut label = make_plain(&words.join("_"));
        // Two names can differ in nothing but a character that is not plain.
        while !seen.insert(label.clone()) {
            label.push('_');
        }
        Some(label)
    };
    daemons.iter().map(&mut label).collect()
}

/// Returns whether a path has `%h`, and not only `%%h`.
fn has_host_placeholder(path: &str) -> bool {
    let mut chars = path.chars();
    while let Some(c) = chars.next() {
        if c == '%' && chars.next() == Some('h') {
            return true;
        }
    }
    false
}

/// Replaces what has a meaning in a path, to profd or to libkineto, which looks for the first `.json`.
fn make_plain(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    let plain: String = text.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    plain.replace(".json", "_json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(daemons: &[(&str, u16, Option<&str>)], log_file: &str) -> Vec<String> {
        let daemon = |(host, port, ip): &(&str, u16, Option<&str>)| DaemonAddress {
            host: (*host).to_owned(),
            port: *port,
            ip: ip.map(|ip| ip.parse().unwrap()),
        };
        let daemons: Vec<_> = daemons.iter().map(daemon).collect();
        label_daemons(&daemons, log_file).into_iter().map(Option::unwrap_or_default).collect()
    }

    #[test]
    fn one_daemon_needs_no_label() {
        assert_eq!(labels(&[("node1", 1778, None)], "/d/t.json"), [""]);
        assert_eq!(labels(&[("node1", 1778, Some("10.0.0.1"))], "/d/t.json"), [""]);
    }

    #[test]
    fn several_hosts_are_told_apart_by_their_names() {
        let two = [("node1", 1778, None), ("node2.cluster", 1778, Some("10.0.0.2"))];
        assert_eq!(labels(&two, "/d/t.json"), ["node1", "node2.cluster"]);
        assert_eq!(
            labels(&two, "/d/rank%r-%H-%p-%j.json"),
            ["node1", "node2.cluster"],
            "jobs can share ranks"
        );
        assert_eq!(labels(&two, "/d/%h/t.json"), ["", ""]);
        assert_eq!(labels(&two, "/d/100%%h.json"), ["node1", "node2.cluster"], "that is a percent sign");
    }

    #[test]
    fn daemons_of_one_host_are_told_apart_by_what_differs() {
        let ports = [("a", 1, None), ("a", 2, None), ("b", 1, None)];
        assert_eq!(labels(&ports, "/d/t.json"), ["a_1", "a_2", "b"]);
        assert_eq!(labels(&ports, "/d/%h.json"), ["1", "2", ""]);
        let addresses = [("a", 1, Some("10.0.0.1")), ("a", 1, Some("fe80::1"))];
        assert_eq!(labels(&addresses, "/d/t.json"), ["10.0.0.1", "fe80__1"]);
    }

    #[test]
    fn no_two_labels_are_equal_and_none_changes_the_path() {
        let odd = [("fe80::1%eth0", 1, None), ("fe80__1_eth0", 1, None), ("x.jsonl", 1, None)];
        assert_eq!(labels(&odd, "/d/t.json"), ["fe80__1_eth0", "fe80__1_eth0_", "x_jsonl"]);
    }
}
