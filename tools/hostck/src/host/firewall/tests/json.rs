//! The JSON of `nft -j list ruleset`, as nft 1.0.6 writes it.

use super::*;

/// A ruleset with an input chain of this policy and rules, and more objects.
fn listing(policy: &str, rules: &[&str], more: &str) -> String {
    let rule = |expr: &&str| {
        format!(
            r#", {{"rule": {{"family": "inet", "table": "f", "chain": "in", "handle": 5, "expr": [{expr}]}}}}"#
        )
    };
    let rules: String = rules.iter().map(rule).collect();
    format!(
        r#"{{"nftables": [{{"metainfo": {{"version": "1.0.6", "json_schema_version": 1}}}},
        {{"table": {{"family": "inet", "name": "f", "handle": 1}}}},
        {{"chain": {{"family": "inet", "table": "f", "name": "in", "handle": 1, "type": "filter", "hook": "input",
          "prio": 0, "policy": "{policy}"}}}}{rules}{more}]}}"#
    )
}

fn json(policy: &str, rules: &[&str], more: &str) -> (PacketFate, PacketFate) {
    let ruleset = Ruleset::from_json(&listing(policy, rules, more)).unwrap();
    fates(&HostRulesets { nft: vec![ruleset], live: true, ..HostRulesets::default() })
}

const NEW: &str = r#"{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": "new"}}"#;
const PORT: &str =
    r#"{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 1778}}"#;

fn rule(left: &str, op: &str, right: &str, verdict: &str) -> String {
    format!(r#"{{"match": {{"op": "{op}", "left": {left}, "right": {right}}}}}, {{"{verdict}": null}}"#)
}

/// As reported: `policy drop; ct state new tcp dport 1778 accept`, which got no finding.
#[test]
fn the_reported_ruleset_is_open() {
    let rule = format!(r#"{NEW}, {PORT}, {{"accept": null}}"#);
    assert_eq!(json("drop", &[&rule], ""), (Accept, Accept));
    assert_eq!(json("drop", &[], ""), (Drop, Drop));
    let rule = format!(r#"{NEW}, {PORT}, {{"drop": null}}"#);
    assert_eq!(json("accept", &[&rule], ""), (Drop, Drop));
}

#[test]
fn conditions_on_the_packet_are_decided() {
    let (ct, flags) =
        (r#"{"ct": {"key": "state"}}"#, r#"{"payload": {"protocol": "tcp", "field": "flags"}}"#);
    let masked = format!(r#"{{"&": [{flags}, ["fin", "syn", "rst", "ack"]]}}"#);
    let (saddr, dport) = (
        r#"{"payload": {"protocol": "ip", "field": "saddr"}}"#,
        r#"{"payload": {"protocol": "tcp", "field": "dport"}}"#,
    );
    let both = format!(r#"{{"concat": [{saddr}, {dport}]}}"#);
    let meta = |key: &str| format!(r#"{{"meta": {{"key": "{key}"}}}}"#);
    // With policy drop: open where the rule accepts.
    for (left, op, right, fate) in [
        (ct, "in", r#"["established", "new"]"#, (Accept, Accept)),
        (ct, "in", "8", (Accept, Accept)),
        (ct, "==", r#"{"set": ["invalid", "new"]}"#, (Accept, Accept)),
        (ct, "!=", r#""new""#, (Drop, Drop)),
        (ct, "in", r#"["established", "related"]"#, (Drop, Drop)),
        (ct, "in", r#""a-state-of-tomorrow""#, (Unsure, Unsure)),
        (flags, "in", r#""syn""#, (Accept, Accept)),
        (flags, "==", r#""syn""#, (Unsure, Unsure)),
        (&masked, "==", r#""syn""#, (Accept, Accept)),
        (&masked, "!=", r#""syn""#, (Drop, Drop)),
        (dport, ">=", "1000", (Accept, Accept)),
        (dport, "==", r#"{"range": [1000, 2000]}"#, (Accept, Accept)),
        (
            dport,
            "==",
            r#"{"set": [22, {"elem": {"val": 1778, "counter": {"packets": 0}}}]}"#,
            (Accept, Accept),
        ),
        (dport, "==", r#"{"set": [22, {"elem": {"val": 1778, "expires": 9}}]}"#, (Unsure, Unsure)),
        (dport, "==", r#""@nowhere""#, (Unsure, Unsure)),
        (&meta("nfproto"), "==", "2", (Accept, Drop)),
        (&meta("nfproto"), "==", r#""ipv6""#, (Drop, Accept)),
        (&meta("l4proto"), "==", "6", (Accept, Accept)),
        (&meta("l4proto"), "==", r#"{"set": ["tcp", "udp"]}"#, (Accept, Accept)),
        (&meta("iifname"), "==", r#""lo""#, (Drop, Drop)),
        (&meta("iifname"), "!=", r#""lo""#, (Accept, Accept)),
        (&meta("iifname"), "==", r#""eth*""#, (Unsure, Unsure)),
        (&meta("mark"), "==", "1", (Unsure, Unsure)),
        (saddr, "==", r#"{"prefix": {"addr": "10.0.0.0", "len": 8}}"#, (Drop, Drop)),
        (saddr, "==", r#"{"prefix": {"addr": "0.0.0.0", "len": 0}}"#, (Accept, Drop)),
        (saddr, "!=", r#"{"prefix": {"addr": "10.0.0.0", "len": 8}}"#, (Accept, Drop)),
        (saddr, "==", r#"{"range": ["0.0.0.0", "127.255.255.255"]}"#, (Unsure, Drop)),
        (
            &both,
            "==",
            r#"{"set": [{"concat": [{"prefix": {"addr": "0.0.0.0", "len": 0}}, 1778]}]}"#,
            (Accept, Drop),
        ),
        (&both, "==", r#"{"set": [{"concat": ["1.2.3.4", 1778]}]}"#, (Drop, Drop)),
        (r#"{"payload": {"base": "th", "offset": 16, "len": 16}}"#, "==", "1778", (Unsure, Unsure)),
        (r#"{"payload": {"protocol": "udp", "field": "dport"}}"#, "!=", "53", (Drop, Drop)),
        (r#"{"fib": {"result": "type", "flags": ["saddr"]}}"#, "==", r#""local""#, (Unsure, Unsure)),
        (r#"{"ct": {"key": "ip saddr", "dir": "original"}}"#, "==", r#""1.2.3.4""#, (Unsure, Unsure)),
        (r#"{"numgen": {"mode": "random", "mod": 2, "offset": 0}}"#, "==", "0", (Unsure, Unsure)),
        (r#"{"jhash": {"mod": 2, "expr": {"meta": {"key": "mark"}}}}"#, "==", "0", (Unsure, Unsure)),
        (r#"{"socket": {"key": "transparent"}}"#, "==", "1", (Unsure, Unsure)),
        (r#"{"a key of tomorrow": [1, {"x": null}]}"#, "==", "1", (Unsure, Unsure)),
        (dport, "an operator of tomorrow", "1778", (Unsure, Unsure)),
    ] {
        let one = rule(left, op, right, "accept");
        assert_eq!(json("drop", &[&one], ""), fate, "{one}");
        // With policy accept and a drop it is the other way round.
        let mirrored = |fate| match fate {
            Accept => Drop,
            Drop => Accept,
            Unsure => Unsure,
        };
        let one = rule(left, op, right, "drop");
        assert_eq!(json("accept", &[&one], ""), (mirrored(fate.0), mirrored(fate.1)), "{one}");
    }
}

#[test]
fn statements_that_are_not_understood_decide_nothing() {
    for statement in [
        r#"{"xt": {"type": "match", "name": "string"}}"#,
        r#"{"xt": null}"#,
        r#"{"quota": {"val": 10, "val_unit": "mbytes", "inv": true}}"#,
        r#"{"ct count": {"val": 10, "inv": true}}"#,
        r#"{"limit": "of-a-name"}"#,
        r#"{"set": {"op": "add", "elem": {"payload": {"protocol": "ip", "field": "saddr"}}, "set": "@s"}}"#,
        r#"{"a statement of tomorrow": {"accept": null}}"#,
        r#"{"accept": null, "drop": null}"#,
    ] {
        for (policy, verdict) in [("drop", "accept"), ("accept", "drop")] {
            let rule = format!(r#"{statement}, {{"{verdict}": null}}"#);
            assert_eq!(json(policy, &[&rule], ""), (Unsure, Unsure), "{rule}");
        }
    }
    for alone in [
        r#"{"queue": {"num": 1}}"#,
        r#"{"mangle": {"key": {"payload": {"protocol": "tcp", "field": "dport"}}, "value": 22}}"#,
        "",
    ] {
        assert_eq!(json("accept", &[alone], ""), (Unsure, Unsure), "{alone}");
    }
    for nothing in [
        r#"{"counter": {"packets": 0, "bytes": 0}}"#,
        r#"{"log": {"prefix": "drop"}}"#,
        r#"{"notrack": null}"#,
    ] {
        assert_eq!(json("accept", &[nothing], ""), (Accept, Accept), "{nothing}");
    }
}

#[test]
fn sets_and_maps_of_a_table_are_looked_up() {
    let in_set = rule(r#"{"payload": {"protocol": "tcp", "field": "dport"}}"#, "==", r#""@s""#, "accept");
    let set = |more: &str| {
        format!(
            r#", {{"set": {{"family": "inet", "name": "s", "table": "f", "type": "inet_service"{more}}}}}"#
        )
    };
    assert_eq!(json("drop", &[&in_set], &set(r#", "elem": [22, 1778]"#)), (Accept, Accept));
    // The listing is complete.
    assert_eq!(json("drop", &[&in_set], &set("")), (Drop, Drop));
    assert_eq!(json("drop", &[&in_set], &set(r#", "flags": ["timeout"]"#)), (Unsure, Unsure));
    assert_eq!(json("drop", &[&in_set], &set(r#", "flags": "dynamic""#)), (Unsure, Unsure));
    // Of a set that rules change nft 1.0.6 lists no flag.
    let update = r#"{"set": {"op": "add", "elem": 1, "set": "@s"}}"#;
    assert_eq!(json("drop", &[update, &in_set], &set("")), (Unsure, Unsure));
    let by_map = r#"{"vmap": {"key": {"payload": {"protocol": "tcp", "field": "dport"}}, "data": "@m"}}"#;
    let map = |elements: &str| {
        format!(
            r#", {{"map": {{"family": "inet", "name": "m", "table": "f", "type": "inet_service", "map": "verdict", "elem": [{elements}]}}}},
            {{"chain": {{"family": "inet", "table": "f", "name": "g", "handle": 2}}}},
            {{"rule": {{"family": "inet", "table": "f", "chain": "g", "expr": [{{"accept": null}}]}}}}"#
        )
    };
    assert_eq!(json("drop", &[by_map], &map(r#"[1778, {"jump": {"target": "g"}}]"#)), (Accept, Accept));
    assert_eq!(
        json("drop", &[by_map], &map(r#"[22, {"drop": null}], ["*", {"goto": {"target": "g"}}]"#)),
        (Accept, Accept)
    );
    assert_eq!(
        json("accept", &[by_map], &map(r#"[22, {"accept": null}], ["*", {"drop": null}]"#)),
        (Drop, Drop)
    );
    assert_eq!(json("drop", &[by_map], &map(r#"[1778, {"a verdict of tomorrow": null}]"#)), (Unsure, Unsure));
    assert_eq!(json("drop", &[by_map], ""), (Unsure, Unsure));
}

/// A table with extensions of iptables is believed as iptables-save shows it; others as nft does.
#[test]
fn tables_that_two_programs_list_are_evaluated_once() {
    let xt = r#"{"xt": {"type": "match", "name": "conntrack"}}"#;
    let nft = |rule: &str| {
        let text =
            listing("drop", &[rule], "").replace(r#""inet""#, r#""ip""#).replace(r#""f""#, r#""filter""#);
        Ruleset::from_json(&text).unwrap()
    };
    let saved = |rule: &str| {
        let text = format!(
            "# Generated by iptables-save v1.8.9 (nf_tables) on x\n*filter\n:INPUT DROP [0:0]\n{rule}\nCOMMIT\n"
        );
        vec![IptablesTables::parse(&text)]
    };
    let fate = |nft, v4| fates(&HostRulesets { nft: vec![nft], v4, live: true, ..HostRulesets::default() }).0;
    let known = "-A INPUT -p tcp -m conntrack --ctstate NEW -j ACCEPT";
    let unknown = format!(r#"{xt}, {{"accept": null}}"#);
    assert_eq!(fate(nft(&unknown), saved(known)), Accept);
    assert_eq!(fate(nft(&unknown), saved("-A INPUT -m string --string x -j ACCEPT")), Unsure);
    assert_eq!(fate(nft(&unknown), vec![]), Unsure);
    // Without extensions nft has the word, also where iptables does not show a rule.
    assert_eq!(fate(nft(r#"{"accept": null}"#), saved("")), Accept);
    // Tables of iptables-legacy are others.
    let legacy = IptablesTables::parse(
        "# Generated by iptables-save v1.8.9 on x\n*filter\n:INPUT DROP [0:0]\nCOMMIT\n",
    );
    assert_eq!(fate(nft(r#"{"accept": null}"#), vec![legacy]), Drop);
}

#[test]
fn json_that_is_hostile_or_cut_is_an_error_and_takes_no_time() {
    let deep = format!(r#"{{"nftables": [{}1{}]}}"#, r#"{"rule": ["#.repeat(100_000), "]}".repeat(100_000));
    for text in [
        "",
        "[]",
        "{}",
        r#"{"nftables": [{"table": 5}]}"#,
        r#"{"nftables": [{"rule": {"family": "ip"}}]}"#,
        &listing("drop", &[], "")[..200],
        &deep,
    ] {
        assert!(Ruleset::from_json(text).is_err(), "{}", &text[..text.len().min(80)]);
    }
    // Every rule looks at a set of many elements.
    let start = std::time::Instant::now();
    let elements = (0..20_000).map(|i| format!("{}", i % 1_000)).collect::<Vec<_>>().join(",");
    let set = format!(
        r#", {{"set": {{"family": "inet", "name": "s", "table": "f", "type": "inet_service", "elem": [{elements}]}}}}"#
    );
    let one = rule(r#"{"payload": {"protocol": "tcp", "field": "dport"}}"#, "==", r#""@s""#, "accept");
    let rules = vec![one.as_str(); 5_000];
    assert_eq!(json("drop", &rules, &set), (Unsure, Unsure));
    assert!(start.elapsed().as_secs() < 60);
}
