//! Rulesets, and whether a connection from another host to port 1778 passes them.

use super::*;

mod image;
mod json;

fn port() -> DaemonPort {
    DaemonPort::from_services(1778, "prodigy-internet 1778/tcp\nssh 22/tcp\nhttp 80/tcp www\ndomain 53/udp\n")
}

fn fates(rulesets: &HostRulesets) -> (PacketFate, PacketFate) {
    (rulesets.decide_fate(Family::V4, &port()).0, rulesets.decide_fate(Family::V6, &port()).0)
}

fn nft(rules: &str) -> (PacketFate, PacketFate) {
    let text = if rules.contains("table") {
        rules.to_owned()
    } else {
        format!(
            "table inet f {{\n chain in {{\n type filter hook input priority 0; policy accept;\n {rules}\n }}\n}}"
        )
    };
    fates(&HostRulesets { nft: vec![Ruleset::from_text(&text)], ..HostRulesets::default() })
}

fn iptables(rules: &str) -> PacketFate {
    let policies = if rules.contains(":INPUT") { "" } else { ":INPUT ACCEPT [0:0]\n" };
    let text = if rules.starts_with('*') {
        rules.to_owned()
    } else {
        format!("*filter\n{policies}:FORWARD DROP [0:0]\n{rules}\nCOMMIT\n")
    };
    fates(&HostRulesets { v4: vec![IptablesTables::parse(&text)], ..HostRulesets::default() }).0
}

use PacketFate::{Accept, Drop, Unsure};

#[test]
fn rules_that_only_mention_the_port_leave_it_open() {
    for rules in [
        "",
        "tcp dport 1778 accept",
        "udp dport 1778 drop",
        "tcp sport 1778 accept",
        "tcp dport 17780 drop",
        "# tcp dport 1778 drop",
        "counter packets 1778 bytes 0",
        "tcp dport { 22, 80 } drop",
        "tcp dport 1778 ip saddr 10.0.0.0/8 accept",
        "ip saddr 192.0.2.7 tcp dport 1778 drop",
        "tcp dport 1778 accept\ntcp dport 1778 drop",
        "ct state invalid drop",
        "tcp dport 1778 limit rate over 10/second drop",
        "tcp dport 1778 log prefix \"drop\"",
        "table inet f { chain in { tcp dport 1778 drop; } }",
        "table inet f { flags dormant; chain in { type filter hook input priority 0; policy drop; } }",
        "table inet f { chain in { type filter hook input priority 0; policy drop; ct state vmap { established : accept, new : accept } } }",
    ] {
        assert_eq!(nft(rules), (Accept, Accept), "{rules}");
    }
    for rules in [
        "",
        "-A INPUT -p tcp -m tcp --dport 1778 -j ACCEPT",
        "-A INPUT -p udp --dport 1778 -j DROP",
        "-A INPUT -s 192.0.2.7/32 -p tcp --dport 1778 -j DROP",
        "-A INPUT -p tcp --dport 1778 -j LOG --log-prefix \"DROP \"",
        "-A INPUT -p tcp ! --dport 1778 -j DROP",
        "-A INPUT -m conntrack --ctstate INVALID -j DROP",
        ":INPUT DROP [0:0]\n-A INPUT -p tcp -m multiport --dports 22,1700:1800 -j ACCEPT",
    ] {
        assert_eq!(iptables(rules), Accept, "{rules}");
    }
}

#[test]
fn rules_that_drop_other_hosts_close_the_port() {
    for rules in [
        "tcp dport 1778 drop",
        "tcp dport 1700-1800 ip saddr != 10.0.0.0/8 drop\ntcp dport 1778 ip6 saddr != fd00::/8 drop",
        "tcp dport { 22, 1778 } reject with tcp reset",
        "tcp dport prodigy-internet drop",
        "meta l4proto tcp th dport != 22 counter packets 1 bytes 2 drop",
        "tcp dport 1778 jump guard\n }\n chain guard {\n ip saddr 10.0.0.0/8 accept\n ip6 saddr { fd00::/8, 2001:db8::1 } accept\n drop",
        "tcp dport vmap { 22 : accept, 1778 : drop }",
        "iifname \"lo\" accept\nct state established,related accept\ntcp dport 22 accept\ndrop",
        "table inet f {\n chain in {\n type filter hook input priority filter;\n policy drop;\n ct state established accept\n }\n}",
        "define P = 1778\ntable inet f { set ports { type inet_service; elements = { 22, $P } } chain in { type filter hook input priority 0; tcp dport @ports drop } }",
        "add table inet f\nadd chain inet f in { type filter hook input priority 0; policy accept; }\nadd rule inet f in tcp dport { 1778 } drop",
        "table inet a { chain x { type filter hook input priority 5; policy accept; } }\ntable inet b { chain y { type filter hook prerouting priority -300; tcp dport 1778 drop } }",
    ] {
        assert_eq!(nft(rules), (Drop, Drop), "{rules}");
    }
    for rules in [
        "-A INPUT -p tcp -m tcp --dport 1778 -j DROP",
        "-A INPUT ! -s 10.0.0.0/8 -p tcp --dport 1700:1800 -j REJECT --reject-with tcp-reset",
        ":INPUT DROP [0:0]\n-A INPUT -i lo -j ACCEPT\n-A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT",
        ":INPUT ACCEPT [0:0]\n:guard - [0:0]\n-A INPUT -p tcp -j guard\n-A guard -s 10.0.0.0/8 -j RETURN\n-A guard -p tcp -m multiport --dports 80,1778 -m comment --comment \"x -j ACCEPT\" -j DROP",
        // As ufw writes it: who returns from an unsure rule is dropped all the same.
        ":INPUT DROP [0:0]\n:not-local - [0:0]\n-A INPUT -j not-local\n-A not-local -m addrtype --dst-type LOCAL -j RETURN\n-A not-local -m limit --limit 3/min -j LOG\n-A not-local -j DROP",
        "[5:7] -A INPUT -p tcp --dport 1778 -m iprange ! --src-range 10.0.0.1-10.0.0.9 -j DROP",
    ] {
        assert_eq!(iptables(rules), Drop, "{rules}");
    }
}

#[test]
fn families_are_evaluated_apart() {
    assert_eq!(nft("tcp dport 1778 ip saddr != 10.0.0.0/8 drop"), (Drop, Accept));
    assert_eq!(
        nft("table ip6 f { chain i { type filter hook input priority 0; policy drop; } }"),
        (Accept, Drop)
    );
    assert_eq!(nft("meta nfproto ipv6 tcp dport 1778 drop"), (Accept, Drop));
    // So nft lists `meta nfproto ipv4 reject`.
    assert_eq!(nft("tcp dport 1778 reject with icmp port-unreachable"), (Drop, Accept));
    assert_eq!(nft("reject with icmpv6 4"), (Accept, Drop));
    assert_eq!(nft("reject with icmpx admin-prohibited"), (Drop, Drop));
    assert_eq!(nft("reject with a-reply-of-tomorrow"), (Unsure, Unsure));
}

#[test]
fn rules_that_depend_on_unknown_facts_are_unsure() {
    for rules in [
        "iifname \"eth0\" tcp dport 1778 drop",
        "ip daddr 192.0.2.1 tcp dport 1778 drop\nip6 daddr 2001:db8::1 drop",
        "tcp dport @changing drop",
        "tcp dport 1778 queue",
        "tcp dport 1778 jump nowhere",
        "table inet f { chain in { type filter hook input priority 0; policy drop; iifname \"eth1\" accept } }",
    ] {
        assert_eq!(nft(rules), (Unsure, Unsure), "{rules}");
    }
    assert_eq!(iptables("-A INPUT -i eth0 -p tcp --dport 1778 -j DROP"), Unsure);
    // The daemon's reply goes to a port of the other host, which may be any.
    assert_eq!(iptables("-A OUTPUT -p tcp --dport 1778 -j DROP"), Unsure);
    assert_eq!(iptables("-A OUTPUT -p tcp --sport 22 -j DROP"), Accept);
    assert_eq!(iptables("-A INPUT -p tcp -m geoip --source-country XX -j DROP"), Unsure);
}

/// Over its limit the packet goes on, and under it not.
#[test]
fn rate_limits_are_unsure() {
    let flood =
        ":flood - [0:0]\n-A INPUT -p tcp -j flood\n-A flood -m limit --limit 9/s -j RETURN\n-A flood -j DROP";
    assert_eq!(iptables(flood), Unsure);
    assert_eq!(nft("jump f\n }\n chain f {\n limit rate 9/second return\n drop"), (Unsure, Unsure));
}

#[test]
fn changing_sets_are_unsure_and_wide_networks_cover_all_sources() {
    let drop = "type filter hook input priority 0; policy drop;";
    let filled = format!(
        "table inet f {{ set ports {{ type inet_service; }}\n chain in {{ {drop} tcp dport @ports accept }} }}\nadd element inet f ports {{ 1778 }}"
    );
    assert_eq!(nft(&filled), (Unsure, Unsure));
    let halves = format!(
        "table inet f {{ chain in {{ {drop} ip saddr {{ 0.0.0.0/1, 128.0.0.0/1 }} accept; ip6 saddr 2000::/3 accept }} }}"
    );
    assert_eq!(nft(&halves), (Accept, Accept));
    assert_eq!(
        iptables(":INPUT DROP [0:0]\n-A INPUT -s 0.0.0.0/1 -j ACCEPT\n-A INPUT -s 128.0.0.0/1 -j ACCEPT"),
        Unsure
    );
}

/// Rulesets that would take exponential time without a cache.
#[test]
fn many_jumps_take_linear_time() {
    let start = std::time::Instant::now();
    let text = "-A INPUT -j A\n".to_owned() + &"-A A -j A\n".repeat(20_000);
    assert_eq!(iptables(&text), Unsure);
    let many: String =
        (0..2_000).map(|i| format!("chain c{i} {{ jump c{}; jump c{0}; drop; }}\n", i + 1)).collect();
    nft(&format!("table inet f {{ chain in {{ type filter hook input priority 0; jump c0 }}\n{many} }}"));
    nft(&"jump A\n".repeat(5_000));
    // It was minutes.
    assert!(start.elapsed().as_secs() < 60);
}

#[test]
fn chains_that_jump_in_a_circle_are_unsure() {
    let text = "-A INPUT -p tcp -j x\n".to_owned() + &"-A x -p tcp -j x\n".repeat(50);
    assert_eq!(iptables(&text), Unsure);
    let text = "jump in\n".repeat(50);
    assert_eq!(nft(&text), (Unsure, Unsure));
}

#[test]
fn random_words_are_parsed_without_panic() {
    let pieces = [
        "table",
        "inet",
        "chain",
        "{",
        "}",
        ";",
        "\n",
        "type filter hook input",
        "policy drop",
        "tcp dport",
        "1778",
        "!=",
        "@s",
        "$d",
        "vmap",
        ":",
        ",",
        "jump x",
        "set s",
        "elements =",
        "define",
        "\"",
        "#",
        "add rule",
        ".",
        "-A INPUT",
    ];
    let mut state = 3_u64;
    for _ in 0..3_000 {
        let mut text = String::new();
        for _ in 0..20 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            text += pieces[(state >> 33) as usize % pieces.len()];
            text += " ";
        }
        evaluate_any(&text);
    }
}

/// `nft -nn` prints numbers: as reported, and its siblings.
#[test]
fn numbers_are_the_same_as_names() {
    let drop = |rule: &str| {
        nft(&format!(
            "table inet f {{ chain in {{ type filter hook input priority 0; policy drop;\n{rule}\n}} }}"
        ))
    };
    for rule in [
        "ct state 0x8 tcp dport 1778 accept",
        "ct state 0x2,0x8 accept",
        "ct state { 0x1, 0x8 } accept",
        "ct state vmap { 0x2 : accept, 0x8 : accept }",
        "meta l4proto 6 accept",
        "meta l4proto { 6, 17 } th dport 1778 accept",
        "tcp flags 0x2 / 0x1,0x2,0x4,0x10 accept",
        "tcp dport >= 1024 accept",
        "ip protocol 6 accept; ip6 nexthdr 6 accept",
    ] {
        assert_eq!(drop(rule), (Accept, Accept), "{rule}");
    }
    assert_eq!(drop("meta nfproto 2 accept"), (Accept, Drop));
    assert_eq!(drop("meta nfproto 10 tcp dport 1778 accept"), (Drop, Accept));
    assert_eq!(drop("ct state 0x2,0x4 accept\nmeta iiftype 772 accept\niif 1 accept"), (Drop, Drop));
}

/// A value that a field is set to may have several words, and ends where a statement begins; a value that is compared and has
/// more words than are understood decides nothing.
#[test]
fn values_end_where_the_next_statement_begins() {
    let with = |rule: &str, verdict: &str, policy: &str| {
        nft(&format!(
            "table inet f {{\nchain in {{\ntype filter hook input priority 0; policy {policy}\n{rule} {verdict}\n}}\n}}"
        ))
    };
    for rule in [
        "tcp dport 1778 ct mark set meta mark",
        "ct mark set meta mark tcp dport 1778",
        "meta mark set meta mark | 0x00000010",
        "meta mark set ct mark & 0xff or 0x10 ct mark set 0x3",
        "ct mark set mark counter",
        "meta priority set 1:1 meta nftrace set 1",
    ] {
        assert_eq!(with(rule, "accept", "drop"), (Accept, Accept), "{rule}");
        assert_eq!(with(rule, "drop", "accept"), (Drop, Drop), "{rule}");
    }
    for rule in [
        // The rule ends where the value is not there.
        "meta mark set tcp dport map { 22 : 0x1, 80 : 0x2 }",
        "meta mark set tcp dport map @marks",
        "meta mark set ip dscp map { cs0 : 0x1 }",
        "meta mark set ip6 flowlabel ct mark set 0x1",
        "meta mark set meta skuid",
        "meta mark set numgen inc mod 2",
        "meta mark set jhash ip saddr mod 4",
        "tcp dport 1000 - 2000",
        "tcp dport 22 + 1756",
        "tcp dport 22 | 1778",
        "tcp dport 6 << 8",
        "meta l4proto udp xor 23",
    ] {
        assert_eq!(with(rule, "accept", "drop"), (Unsure, Unsure), "{rule}");
        assert_eq!(with(rule, "drop", "accept"), (Unsure, Unsure), "{rule}");
    }
    assert_eq!(with("tcp dport 22 iifgroup 0", "accept", "drop"), (Drop, Drop), "the port is another one");
}

/// Tables and sets that a file names again.
#[test]
fn what_is_declared_again_is_woken_or_added_to() {
    let table = |flags: &str, rules: &str| {
        format!(
            "table inet f {{\n{flags}\nchain in {{\ntype filter hook input priority 0; policy drop\n{rules}\n}}\n}}\n"
        )
    };
    let dormant = table("flags dormant", "");
    assert_eq!(nft(&dormant), (Accept, Accept));
    assert_eq!(nft(&format!("{dormant}add table inet f\n")), (Drop, Drop));
    assert_eq!(nft(&format!("{}table inet f {{\nflags dormant\n}}\n", table("", ""))), (Accept, Accept));
    let set =
        |port: u16| format!("table inet f {{\nset s {{ type inet_service; elements = {{ {port} }}\n}}\n}}\n");
    let text = format!("{}{}{}", set(1778), set(22), table("", "tcp dport @s accept"));
    assert_eq!(nft(&text), (Accept, Accept));
}

/// A rule that is not understood may accept, drop or do nothing, whatever stands behind it.
#[test]
fn rules_that_are_not_understood_are_unsure_in_both_directions() {
    for rule in [
        "numgen random mod 2 0",
        "jhash ip saddr mod 2 0",
        "socket transparent 1",
        "fib saddr type local",
        "ct original ip saddr 1.2.3.4",
        "ct count over 10",
        "meta mark 1",
        "meta hour 1-2",
        "tcp option maxseg size 1-500",
        "@th,16,16 1778",
        "ip saddr & 0.0.0.255 == 0.0.0.1",
        "add @seen { ip saddr }",
        "xt match string",
        "a word of tomorrow",
        "tcp dport @missing",
        "$undefined",
        "tcp dport { 22 . 23 }",
    ] {
        for (policy, verdict) in [("drop", "accept"), ("accept", "drop")] {
            let text = format!(
                "table inet f {{\nchain in {{\ntype filter hook input priority 0; policy {policy}\n{rule} {verdict}\n}}\n}}"
            );
            let (v4, v6) = nft(&text);
            assert_eq!(v4, Unsure, "{text}");
            assert!(v6 == Unsure || rule.contains("ip"), "{text}: {v6:?}");
        }
    }
    for outside in ["include \"x\"", "delete rule inet f in handle 3", "a command of tomorrow", "}"] {
        let text =
            format!("table inet f {{\nchain in {{\ntype filter hook input priority 0\n}}\n}}\n{outside}\n");
        assert_eq!(nft(&text), (Unsure, Unsure), "{outside}");
    }
}

#[test]
fn matches_of_iptables_are_decided_or_unsure_in_both_directions() {
    let with = |policy: &str, rule: &str, target: &str| {
        iptables(&format!(":INPUT {policy} [0:0]\n:known - [0:0]\n-A INPUT {rule} -j {target}"))
    };
    for (rule, applies) in [
        ("-p tcp -m conntrack --ctstate NEW,RELATED", ConditionMet::Yes),
        ("-p 6 -m state ! --state ESTABLISHED", ConditionMet::Yes),
        ("-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN", ConditionMet::Yes),
        ("-p tcp --tcp-flags ALL SYN", ConditionMet::Yes),
        ("-p tcp ! --syn", ConditionMet::No),
        ("-p tcp -m multiport ! --dports 22,80:90", ConditionMet::Yes),
        ("! -i lo", ConditionMet::Yes),
        ("-i +", ConditionMet::Yes),
        ("-i l+", ConditionMet::Unsure),
        ("! -s 10.0.0.0/255.0.0.0", ConditionMet::Yes),
        ("-s 10.0.0.0/255.0.255.0", ConditionMet::Unsure),
        ("-s 0.0.0.0/0", ConditionMet::Yes),
        ("-m iprange --src-range 0.0.0.0-255.255.255.255", ConditionMet::Yes),
        ("-p udp", ConditionMet::No),
        ("-p protocol-of-tomorrow", ConditionMet::Unsure),
        ("-m pkttype --pkt-type unicast", ConditionMet::Yes),
        ("-m set --match-set s src", ConditionMet::Unsure),
        ("-m set ! --match-set s src", ConditionMet::Unsure),
        ("-m string --string x --algo bm", ConditionMet::Unsure),
        ("-m owner --uid-owner 0", ConditionMet::Unsure),
        ("-m mac --mac-source 00:11:22:33:44:55", ConditionMet::Unsure),
        ("-m conntrack --ctstate DNAT", ConditionMet::No),
        ("-m conntrack --ctstate SNAT", ConditionMet::Unsure),
        ("-m addrtype --dst-type LOCAL", ConditionMet::Yes),
        ("-m addrtype ! --dst-type LOCAL,MULTICAST", ConditionMet::No),
        ("-m addrtype --src-type LOCAL", ConditionMet::Unsure),
        ("-m rt --rt-type 0", ConditionMet::No),
        ("-m rt ! --rt-type 0", ConditionMet::No),
        ("-p vrrp", ConditionMet::No),
        ("-m tomorrow", ConditionMet::Unsure),
        ("--option-of-tomorrow a b", ConditionMet::Unsure),
        ("-p tcp --sport 1024:", ConditionMet::Unsure),
    ] {
        let (accepts, drops) = match applies {
            ConditionMet::Yes => (Accept, Drop),
            ConditionMet::No => (Drop, Accept),
            ConditionMet::Unsure => (Unsure, Unsure),
        };
        assert_eq!(with("DROP", rule, "ACCEPT"), accepts, "{rule}");
        assert_eq!(with("ACCEPT", rule, "DROP"), drops, "{rule}");
    }
    for target in ["TARPIT", "NFQUEUE --queue-num 1", "OF_TOMORROW", "unknown"] {
        assert_eq!((with("ACCEPT", "", target), with("DROP", "", target)), (Unsure, Unsure), "{target}");
    }
    assert_eq!(with("DROP", "", "known"), Drop);
    // Lines that are not understood, and tables that are not applied.
    for text in [
        "*filter\n:INPUT ACCEPT [0:0]\n-Z INPUT x\nCOMMIT\n",
        "*filter\n:INPUT ACCEPT [0:0]\n",
        "-A INPUT -j DROP\n",
    ] {
        assert_eq!(
            fates(&HostRulesets { v4: vec![IptablesTables::parse(text)], ..HostRulesets::default() }).0,
            Unsure,
            "{text}"
        );
    }
}

/// Rules that send packets elsewhere make other rules worthless.
#[test]
fn translated_ports_are_followed() {
    let file = |nat: &str, raw: &str, filter: &str| {
        iptables(&format!(
            "*nat\n:PREROUTING ACCEPT [0:0]\n{nat}\nCOMMIT\n*raw\n:PREROUTING ACCEPT [0:0]\n{raw}\nCOMMIT\n\
             *filter\n:INPUT ACCEPT [0:0]\n{filter}\nCOMMIT\n"
        ))
    };
    let (raw, filter) = ("-A PREROUTING -p tcp --dport 1778 -j DROP", "-A INPUT -p tcp --dport 1778 -j DROP");
    let to = "-A PREROUTING -p tcp --dport 80 -j REDIRECT --to-ports 1778";
    let from = "-A PREROUTING -p tcp --dport 1778 -j DNAT --to-destination 10.0.0.2:22";
    let other = "-A PREROUTING -p tcp --dport 80 -j DNAT --to-destination 10.0.0.2:8080";
    assert_eq!((file(to, raw, ""), file(to, "", filter), file(to, "", "")), (Unsure, Drop, Accept));
    assert_eq!((file(from, raw, ""), file(from, "", filter), file(from, "", "")), (Drop, Unsure, Unsure));
    assert_eq!((file(other, raw, ""), file(other, "", filter), file(other, "", "")), (Drop, Drop, Accept));
    let nft_file = |nat: &str, rules: &str| {
        nft(&format!(
            "table inet f {{ chain n {{ type nat hook prerouting priority dstnat; {nat} }}\n\
             chain in {{ type filter hook input priority 0; {rules} }} }}"
        ))
    };
    assert_eq!(nft_file("tcp dport 1778 redirect to :22", "tcp dport 1778 drop"), (Unsure, Unsure));
    assert_eq!(nft_file("tcp dport 80 redirect to :1778", "tcp dport 1778 drop"), (Drop, Drop));
    assert_eq!(
        nft_file("tcp dport 80 dnat to tcp sport map { 1 : 10.0.0.1 }", "tcp dport 1778 drop"),
        (Drop, Drop)
    );
    // A connection has this status where its destination was translated.
    assert_eq!(nft_file("tcp dport 80 dnat to 10.0.0.1:8080", "ct status dnat accept; drop"), (Drop, Drop));
    assert_eq!(nft_file("tcp dport 80 redirect to :1778", "ct status dnat accept; drop"), (Unsure, Unsure));
    assert_eq!(nft_file("meta mark 1 dnat to 10.0.0.1", "tcp dport 1778 drop"), (Unsure, Unsure));
}
