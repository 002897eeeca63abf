//! `hostck check` against real connections: rule sets are loaded with real nft and iptables into a network namespace,
//! another one connects, and the verdict has to agree.
//!
//! Needs root, iproute2, nftables and iptables; without them it is reported as skipped. PROFGUARD_VERBOSE=1 prints a
//! line for each case.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test program")]

#[path = "firewall/cases.rs"]
#[allow(missing_docs, unreachable_pub, reason = "a module of this test program")]
mod cases;
mod harness;
#[path = "firewall/pair.rs"]
mod pair;

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::TcpListener;

use cases::{CASES, Case, Closed, Legacy, Loader, Nft, Open, Unsure, Verdict};
use harness::{Done, bin, finish};
use pair::{NamespacePair, V4, V6, audit_files};

const PORT: u16 = 1778;

/// Prints a line about one case where PROFGUARD_VERBOSE is set: libtest captures what macros print.
fn print_case(line: &str) {
    if std::env::var_os("PROFGUARD_VERBOSE").is_some() {
        let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
    }
}

/// Whether the programs, the privileges and the kernel are here; the test is reported as skipped otherwise.
#[track_caller]
fn require_firewall() -> bool {
    let programs = ["ip", "nft", "iptables", "ip6tables"].iter().all(|p| testkit::require(p).is_some());
    programs && testkit::require_root() && testkit::or_skip(try_firewall()).is_some()
}

/// Makes network namespaces and loads a table in one of them.
fn try_firewall() -> Result<(), &'static str> {
    let pair = NamespacePair::new().map_err(|_| "no network namespace can be made")?;
    let probe = Case { loader: Nft, rules: "table inet probe { }", via: 0, v4: Open, v6: Open };
    pair.load_case(&probe).map_err(|_| "the kernel takes no table of nft in a network namespace")
}

/// The verdict in a report on one family.
fn verdict(report: &Done, family: &str) -> Verdict {
    let path = format!("port {PORT}, {family}");
    let findings = report.of_type("hostck.finding");
    let about = |rule: &str| findings.iter().any(|f| f["rule"] == rule && f["path"] == path.as_str());
    let source = |f: &serde_json::Value| {
        let path = f["path"].as_str().unwrap_or_default();
        f["rule"] == "unseen" && (path.contains("nft") || path.contains("tables"))
    };
    match () {
        () if about("firewall") => Open,
        () if about("unseen") || findings.iter().any(source) => Unsure,
        () => Closed,
    }
}

/// A verdict that the connection shows to be wrong.
fn contradicts(verdict: Verdict, connects: bool) -> bool {
    matches!((verdict, connects), (Closed, true) | (Open, false))
}

#[test]
fn verdicts_agree_with_real_connections() {
    if !require_firewall() {
        return;
    }
    let (mut wrong, mut loaded, mut decided, mut not_taken) = (String::new(), 0, 0, false);
    for case in CASES {
        let pair = NamespacePair::new().unwrap();
        let listener = pair.run_inside(0, || TcpListener::bind(("::", PORT)).unwrap());
        let name = case.rules.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Err(reason) = pair.load_case(case) {
            assert!(may_be_missing(case.loader, &reason), "{name}: {reason}");
            print_case(&format!("not taken here: `{name}`: {}", reason.lines().next().unwrap_or_default()));
            not_taken = true;
            continue;
        }
        loaded += 1;
        let report = pair.audit_live();
        // A legacy case may have rules in nftables, too, which the files of one program do not have.
        let image = (case.loader != Legacy).then(|| pair.audit_image(case.loader));
        for (family, address, wanted) in [("IPv4", V4[0], case.v4), ("IPv6", V6[0], case.v6)] {
            let found = verdict(&report, family);
            let connects =
                pair.can_connect(address, PORT) || case.via != 0 && pair.can_connect(address, case.via);
            decided += u32::from(found != Unsure);
            let real = if connects { "connects" } else { "fails   " };
            let line = format!("{family} {real} {found:?}\t{:?} {name}", case.loader);
            print_case(&line);
            if let Some(image) = &image {
                if contradicts(verdict(image, family), connects) {
                    let _ = writeln!(wrong, "{line}\n  as an image: {}", image.stdout);
                }
            }
            if contradicts(found, connects) || found != wanted {
                let _ = writeln!(wrong, "{line}\n  wanted {wanted:?}: {}", report.stdout);
            }
        }
        drop(listener);
    }
    if not_taken {
        testkit::skip_part("a rule set that this kernel does not take");
    }
    testkit::note(format!(
        "{loaded} of {} rule sets loaded, {decided} of {} verdicts decided",
        CASES.len(),
        2 * loaded
    ));
    assert!(wrong.is_empty(), "{wrong}");
    assert!(loaded >= 20, "only {loaded} rule sets could be loaded");
}

/// Debian's nftables.conf begins with `flush ruleset`: whether iptables rules are left depends on which is loaded last.
#[test]
fn the_order_of_nft_and_iptables_decides_and_the_verdict_on_the_files_is_unsure() {
    const IPTABLES: &str = "*filter\n-A INPUT -p tcp --dport 1778 -j DROP\nCOMMIT\n";
    const NFT: &str = "flush ruleset\ntable inet f { chain in { type filter hook input priority 0; }\n}\n";
    if !require_firewall() {
        return;
    }
    let pair = NamespacePair::new().unwrap();
    let _listener = pair.run_inside(0, || TcpListener::bind(("::", PORT)).unwrap());
    if finish(pair.command(0, "sh").args(["-ec", "command -v iptables-nft-restore"])).status != Some(0) {
        return testkit::skip("no iptables-nft-restore on PATH");
    }
    pair.load_file("nft -f -", NFT);
    pair.load_file("iptables-nft-restore", IPTABLES);
    assert!(!pair.can_connect(V4[0], PORT), "iptables last: its rule is in force");
    pair.load_file("nft -f -", NFT);
    assert!(pair.can_connect(V4[0], PORT), "nft last: its flush removed the rule");
    let (rules, nftables) = (("iptables/rules.v4", IPTABLES.to_owned()), ("nftables.conf", NFT.to_owned()));
    let report = audit_files(&[rules.clone(), nftables]);
    assert_eq!(verdict(&report, "IPv4"), Unsure, "{}", report.stdout);
    // Without the flush both are in force, in either order.
    let report = audit_files(&[rules, ("nftables.conf", NFT.replace("flush ruleset\n", ""))]);
    assert_eq!(verdict(&report, "IPv4"), Closed, "{}", report.stdout);
}

/// Kernels may lack an expression or the tables of iptables-legacy, and say so; anything else is a fault of the case.
fn may_be_missing(loader: Loader, reason: &str) -> bool {
    let lacks = ["No such file or directory", "Operation not supported", "Extension", "can't initialize"];
    loader == Legacy || lacks.iter().any(|text| reason.contains(text))
}

/// Programs that fail are said to be unseen, and their silence is no verdict.
#[test]
fn without_privileges_nothing_is_passed_in_silence() {
    if !require_firewall() {
        return;
    }
    if testkit::require("setpriv").is_none() {
        return;
    }
    let pair = NamespacePair::new().unwrap();
    let _listener = pair.run_inside(0, || TcpListener::bind(("::", PORT)).unwrap());
    let mut setpriv = pair.command(0, "setpriv");
    setpriv.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    // The binary may lie where this account cannot reach it.
    let copy = tempfile::Builder::new().prefix("hostck").tempdir_in("/tmp").unwrap();
    let path = copy.path().join("hostck");
    std::fs::copy(bin("hostck"), &path).unwrap();
    let mode = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
    std::fs::set_permissions(copy.path(), mode).unwrap();
    let done = finish(setpriv.arg(&path).args(["check", "--format", "json"]));
    assert_eq!(verdict(&done, "IPv4"), Unsure, "{}\n{}", done.stdout, done.stderr);
    assert_eq!(verdict(&done, "IPv6"), Unsure, "{}", done.stdout);
    assert!(done.stdout.contains("must be root") || done.stdout.contains("ermission"), "{}", done.stdout);
}

/// Conditions of random rule sets, of every kind.
const CONDITIONS: [&str; 36] = [
    "",
    "ct state new",
    "ct state established,related",
    "ct state != new",
    "ct state { new, invalid }",
    "ct state invalid",
    "ct status dnat",
    "tcp dport 1778",
    "tcp dport != 1778",
    "tcp dport { 22, 1000-2000 }",
    "tcp dport < 1778",
    "tcp sport >= 1024",
    "th dport 1778",
    "udp dport 1778",
    "udp dport != 1",
    "meta l4proto tcp",
    "meta l4proto != tcp",
    "meta nfproto ipv4",
    "meta nfproto ipv6",
    "iifname lo",
    "iifname != lo",
    "iifname v",
    "iifname { lo, w }",
    "ip saddr 10.0.0.0/8",
    "ip saddr != 10.0.0.0/8",
    "ip saddr 128.0.0.0/1",
    "ip6 saddr != fd00::/8",
    "ip daddr 198.51.100.1",
    "ip daddr 127.0.0.0/8",
    "fib daddr type local",
    "fib saddr type local",
    "tcp flags & (syn|ack) == syn",
    "tcp flags syn",
    "tcp flags ack",
    "ip saddr . tcp dport { 10.0.0.0/8 . 1778, 0.0.0.0/0 . 1000-2000 }",
    "meta mark 0",
];

/// Verdicts of random rule sets; `g` and `h` are chains.
const VERDICTS: [&str; 10] = [
    "accept",
    "accept",
    "drop",
    "drop",
    "reject",
    "return",
    "jump g",
    "goto h",
    "counter",
    "limit rate 100/second accept",
];

/// Random numbers that are the same on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) as usize % end
    }

    fn of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }

    fn rules(&mut self, verdicts: &[&str]) -> String {
        let mut rules = String::new();
        for _ in 0..self.below(4) {
            let (one, two) =
                (self.of(&CONDITIONS), if self.below(3) == 0 { self.of(&CONDITIONS) } else { "" });
            let _ = writeln!(rules, "{one} {two} {}", self.of(verdicts));
        }
        rules
    }

    fn ruleset(&mut self) -> String {
        let (policy, early) = (self.of(&["accept", "drop"]), self.of(&["-300", "-150", "0"]));
        let (h, g) = (self.rules(&VERDICTS[..6]), self.rules(&VERDICTS[..6]));
        let input = self.rules(&VERDICTS);
        let (before, output) = match self.below(4) {
            0 => (self.rules(&VERDICTS[..6]), String::new()),
            1 => (String::new(), self.rules(&["accept", "drop"])),
            _ => <_>::default(),
        };
        format!(
            "flush ruleset\ntable inet f {{\nchain h {{\n{h}}}\nchain g {{\n{g}}}\n\
             chain pre {{\ntype filter hook prerouting priority {early}\n{before}}}\n\
             chain out {{\ntype filter hook output priority 0\n{output}}}\n\
             chain in {{\ntype filter hook input priority 0; policy {policy}\n{input}}}\n}}\n"
        )
    }
}

/// Random rule sets: 30, or as many as PROFGUARD_RULE_SETS says.
#[test]
fn verdicts_on_random_rule_sets_agree_with_real_connections() {
    if !require_firewall() {
        return;
    }
    let wanted = std::env::var("PROFGUARD_RULE_SETS").ok().and_then(|n| n.parse().ok()).unwrap_or(30);
    let seed = std::env::var("PROFGUARD_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    let mut random = Random(seed);
    let pair = NamespacePair::new().unwrap();
    let listener = pair.run_inside(0, || TcpListener::bind(("::", PORT)).unwrap());
    listener.set_nonblocking(true).unwrap();
    let (mut loaded, mut decided, mut tries, mut wrong) = (0, 0, 0, String::new());
    while loaded < wanted {
        tries += 1;
        assert!(tries < 20 * wanted + 100, "nft takes too few of these rule sets");
        let rules = random.ruleset();
        let mut shell = pair.command(0, "sh");
        // Some combinations contradict each other, and nft rejects them.
        if finish(shell.args(["-ec", &format!("nft -f - <<'END'\n{rules}\nEND")])).status != Some(0) {
            continue;
        }
        loaded += 1;
        let (report, image) = (pair.audit_live(), pair.audit_image(Nft));
        for (family, address) in [("IPv4", V4[0]), ("IPv6", V6[0])] {
            let (live, file) = (verdict(&report, family), verdict(&image, family));
            let connects = pair.can_connect(address, PORT);
            // Connections that nobody accepts fill the queue.
            while listener.accept().is_ok() {}
            decided += u32::from(live != Unsure);
            if contradicts(live, connects) || contradicts(file, connects) {
                let _ = writeln!(
                    wrong,
                    "{family}: connects: {connects}, live {live:?}, as a file {file:?}\n{rules}"
                );
            }
        }
    }
    testkit::note(format!("{loaded} random rule sets, {decided} of {} verdicts decided", 2 * loaded));
    assert!(wrong.is_empty(), "{wrong}");
}
