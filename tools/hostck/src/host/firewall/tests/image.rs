//! Configuration files of an image: which of them are loaded, in which order, and with which syntax.

use super::*;
use crate::host::CHECKS;
use crate::tests::{clean_dir, write};

const DROPPING: &str = "*filter\n:INPUT DROP [0:0]\nCOMMIT\n";
const ACCEPTING_CHAIN: &str =
    "table inet f {\n chain in {\n type filter hook input priority 0; policy accept;\n }\n}\n";
const DROPPING_CHAIN: &str =
    "table inet f {\n chain in {\n type filter hook input priority 0; policy drop;\n }\n}\n";

/// The result for each family, and the reasons where one is unsure.
fn image(files: &[(&str, &str)]) -> (PacketFate, PacketFate, String) {
    let dir = clean_dir();
    for (path, text) in files {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        write(&path, 0o644, text);
    }
    let host = AuditedHost::open(dir.path(), false, None, 1778).unwrap();
    let rulesets = files::read_configured(&host);
    let (v4, mut doubts) = rulesets.decide_fate(Family::V4, &port());
    let (v6, more) = rulesets.decide_fate(Family::V6, &port());
    doubts.extend(more);
    (v4, v6, doubts.join("; "))
}

/// An image with iptables files that drop and this nftables.conf.
fn with_iptables(nftables: &str) -> (PacketFate, PacketFate, String) {
    image(&[
        ("etc/iptables/rules.v4", DROPPING),
        ("etc/iptables/rules.v6", DROPPING),
        ("etc/nftables.conf", nftables),
    ])
}

/// nftables.conf of Debian begins with `flush ruleset`, which removes the tables of iptables-nft, too.
#[test]
fn a_file_of_nft_that_removes_tables_of_iptables_leaves_the_result_to_the_order() {
    for removes in [
        "flush ruleset\n",
        "table ip filter\ndelete table ip filter\ntable ip6 filter\ndelete table ip6 filter\n",
        "destroy table ip filter\ndestroy table ip6 filter\n",
        "flush table ip filter\nflush table ip6 filter\n",
        "flush chain ip filter INPUT\nflush chain ip6 filter INPUT\n",
        // The same tables: iptables-restore flushes them, and nft adds to them.
        "table ip filter {\n}\ntable ip6 filter {\n}\n",
    ] {
        let (v4, v6, doubts) = with_iptables(&format!("{removes}{ACCEPTING_CHAIN}"));
        assert_eq!((v4, v6), (Unsure, Unsure), "{removes}");
        assert!(doubts.contains("the order in which both are loaded decides"), "{removes}: {doubts}");
    }
    // A result that the order does not change is certain.
    let (v4, v6, _) = with_iptables(&format!("flush ruleset\n{DROPPING_CHAIN}"));
    assert_eq!((v4, v6), (Drop, Drop));
    let (v4, v6, _) = with_iptables(ACCEPTING_CHAIN);
    assert_eq!((v4, v6), (Drop, Drop), "without a removal both are loaded");
    let (v4, v6, _) = with_iptables(&format!("flush table inet f\n{ACCEPTING_CHAIN}"));
    assert_eq!((v4, v6), (Drop, Drop), "a table that iptables does not keep");
    let (v4, v6, _) = with_iptables(&format!("flush ruleset ip6\n{ACCEPTING_CHAIN}"));
    assert_eq!((v4, v6), (Drop, Unsure), "a flush of one family");
    let only_v6 = [("etc/iptables/rules.v6", DROPPING), ("etc/nftables.conf", "flush ruleset\n")];
    assert_eq!((image(&only_v6).0, image(&only_v6).1), (Accept, Unsure));
}

/// One unit is called nftables.service, and it loads one of the files, depending on the distribution.
#[test]
fn of_two_files_for_one_loader_either_may_be_loaded() {
    let (v4, _, doubts) =
        image(&[("etc/nftables.conf", DROPPING_CHAIN), ("etc/sysconfig/nftables.conf", ACCEPTING_CHAIN)]);
    assert_eq!(v4, Unsure);
    assert!(doubts.contains("etc/sysconfig/nftables.conf"), "{doubts}");
    let accepting = DROPPING.replace("DROP", "ACCEPT");
    let (v4, _, _) = image(&[("etc/iptables/rules.v4", DROPPING), ("etc/sysconfig/iptables", &accepting)]);
    assert_eq!(v4, Unsure);
    let (v4, _, _) = image(&[("etc/iptables/rules.v4", DROPPING), ("etc/sysconfig/iptables", DROPPING)]);
    assert_eq!(v4, Drop);
}

/// The check of such an image has a note and neither a finding nor silence.
#[test]
fn an_order_that_decides_is_reported_as_unseen() {
    let dir = clean_dir();
    std::fs::create_dir_all(dir.path().join("etc/iptables")).unwrap();
    write(&dir.path().join("etc/iptables/rules.v4"), 0o644, DROPPING);
    write(&dir.path().join("etc/nftables.conf"), 0o644, format!("flush ruleset\n{ACCEPTING_CHAIN}"));
    let host = AuditedHost::open(dir.path(), false, None, 1778).unwrap();
    let check = CHECKS.iter().find(|c| c.rule.id == "firewall").unwrap();
    let found = check_firewall(&host, check);
    let note = found.iter().find(|f| f.path == "port 1778, IPv4").unwrap();
    assert!(note.rule == "unseen" && note.found.contains("the order in which both are loaded"), "{note:?}");
}

/// iptables-restore takes a file without the lines of policies: built-in chains exist, with the policy ACCEPT.
#[test]
fn built_in_chains_need_no_declaration() {
    for (rules, wanted) in [
        ("*filter\n-A INPUT -p tcp --dport 1778 -j DROP\nCOMMIT\n", Drop),
        ("*raw\n-A PREROUTING -p tcp --dport 1778 -j DROP\nCOMMIT\n", Drop),
        ("*mangle\n-I INPUT -p tcp --dport 1778 -j DROP\nCOMMIT\n", Drop),
        ("*filter\n:guard - [0:0]\n-A INPUT -j guard\n-A guard -p tcp --dport 1778 -j DROP\nCOMMIT\n", Drop),
        ("*filter\n:INPUT - [0:0]\n-A INPUT -p tcp --dport 1778 -j DROP\nCOMMIT\n", Drop),
        ("*filter\n-A INPUT -p tcp --dport 22 -j DROP\nCOMMIT\n", Accept),
        // Chains of the user need one, and iptables-restore rejects the file without it.
        ("*filter\n-A guard -j DROP\nCOMMIT\n", Unsure),
        ("*filter\n-A PREROUTING -j DROP\nCOMMIT\n", Unsure),
    ] {
        assert_eq!(iptables(rules), wanted, "{rules}");
    }
}

/// What a firewall manager will load is not in its files as rules: the verdict is unsure, however it is started, unless
/// it is switched off.
#[test]
fn a_firewall_manager_makes_the_verdict_on_an_image_unsure() {
    let unsure = |files: &[(&str, &str)]| {
        let dir = clean_dir();
        let none = ("etc/nftables.conf", ACCEPTING_CHAIN);
        for (path, text) in files.iter().chain([&none]) {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            write(&path, 0o644, text);
        }
        let host = AuditedHost::open(dir.path(), false, None, 1778).unwrap();
        let check = CHECKS.iter().find(|c| c.rule.id == "firewall").unwrap();
        let found = check_firewall(&host, check);
        let about: Vec<_> = found.iter().filter(|f| f.path.starts_with("port 1778")).collect();
        assert_eq!(about.len(), 2, "{found:?}");
        about.iter().all(|f| f.rule == "unseen")
    };
    let unit = ("etc/systemd/system/multi-user.target.wants/ufw.service", "");
    let ufw = |enabled| ("etc/ufw/ufw.conf", enabled);
    assert!(unsure(&[ufw("ENABLED=yes\nLOGLEVEL=low\n"), unit]));
    // Started by a script, a preset, or another init.
    assert!(unsure(&[ufw("ENABLED=yes\n")]));
    assert!(!unsure(&[ufw("ENABLED=no\n"), unit]));
    assert!(unsure(&[unit]));
    assert!(unsure(&[("etc/firewalld/firewalld.conf", "DefaultZone=public\n")]));
    assert!(unsure(&[("etc/shorewall/shorewall.conf", "STARTUP_ENABLED=Yes\n")]));
    assert!(!unsure(&[("etc/shorewall/shorewall.conf", "STARTUP_ENABLED=No\n")]));
    assert!(!unsure(&[]));
}

/// A state that is listed twice is one state.
#[test]
fn states_may_be_listed_more_than_once() {
    for states in ["NEW,NEW", "NEW,NEW,NEW", "NEW,ESTABLISHED,NEW"] {
        let rule = |verdict| format!("-A INPUT -p tcp -m conntrack --ctstate {states} -j {verdict}");
        assert_eq!(iptables(&rule("DROP")), Drop, "{states}");
        assert_eq!(iptables(&format!(":INPUT DROP [0:0]\n{}", rule("ACCEPT"))), Accept, "{states}");
    }
    assert_eq!(
        iptables("-A INPUT -m state --state ESTABLISHED,ESTABLISHED,ESTABLISHED,ESTABLISHED -j DROP"),
        Accept
    );
}

/// nft(8), "Ruleset": a family limits what is flushed.
#[test]
fn a_flush_of_one_family_keeps_the_tables_of_the_others() {
    let both = |flush: &str| {
        let chain = "chain in { type filter hook input priority 0; policy drop; }";
        nft(&format!("table ip a {{ {chain} }}\ntable ip6 b {{ {chain} }}\n{flush}\n"))
    };
    assert_eq!(both("flush ruleset"), (Accept, Accept));
    assert_eq!(both("flush ruleset ip6"), (Drop, Accept));
    assert_eq!(both("flush ruleset ip"), (Accept, Drop));
    assert_eq!(both("flush ruleset inet"), (Drop, Drop));
    assert_eq!(both("flush ruleset of-tomorrow"), (Unsure, Unsure));
    // A table by its handle may be any.
    assert_eq!(both("delete table ip handle 3"), (Unsure, Unsure));
}

/// Debian's netfilter-persistent loads what its plugins say: those of iptables-persistent load files that are read.
#[test]
fn netfilter_persistent_is_known_by_its_plugins() {
    let plugins = "usr/share/netfilter-persistent/plugins.d";
    let (v4_plugin, v6_plugin) = (format!("{plugins}/15-ip4tables"), format!("{plugins}/25-ip6tables"));
    let files = [
        ("etc/default/netfilter-persistent", "FLUSH_ON_STOP=0\nIPTABLES_SKIP_SAVE=yes\n"),
        ("etc/systemd/system/multi-user.target.wants/netfilter-persistent.service", "x"),
        ("etc/iptables/rules.v4", DROPPING),
        ("etc/iptables/rules.v6", DROPPING),
        (&v4_plugin, "#!/bin/sh\n"),
        (&v6_plugin, "#!/bin/sh\n"),
    ];
    assert_eq!(image(&files), (Drop, Drop, String::new()));
    let find = |files: &[(&str, &str)]| {
        let dir = crate::host::tests::make_root(files);
        let host = AuditedHost::open(dir.path(), false, None, 1778).unwrap();
        let check = CHECKS.iter().find(|check| check.rule.id == "firewall").unwrap();
        (check.run)(&host, check).into_iter().map(|f| f.found).collect::<Vec<_>>()
    };
    assert_eq!(find(&files), Vec::<String>::new());
    let other = format!("{plugins}/40-mine");
    let found = find(&[&files[..], &[(&other, "#!/bin/sh\n")]].concat());
    assert!(found.iter().any(|text| text.contains("its plugin 40-mine loads rules")), "{found:?}");
}
