//! `certck probe` against daemons of many kinds: good ones, open ones, slow ones, dying ones.

#![allow(clippy::unwrap_used, reason = "a test")]

mod command;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use command::{certck, minted, put, records};
use common::exit::Exit;
use common::pki::{LoadOptions, MinVersion, MtlsDir, Role};
use rustls::ServerConfig;
use serde_json::{Value, json};

/// Serves each connection on a thread of its own; `serve` gets its number, too.
fn listen(serve: impl Fn(TcpStream, usize) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (serve, count) = (Arc::new(serve), AtomicUsize::new(0));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (serve, n) = (serve.clone(), count.fetch_add(1, Ordering::Relaxed));
            thread::spawn(move || serve(stream.unwrap(), n));
        }
    });
    address.to_string()
}

fn shake(mut stream: TcpStream, config: &Arc<ServerConfig>) {
    let mut tls = rustls::ServerConnection::new(config.clone()).unwrap();
    while tls.complete_io(&mut stream).is_ok_and(|(r, w)| r + w > 0) {}
    let _ = tls.write_tls(&mut stream);
}

fn config(pki: &str) -> Arc<ServerConfig> {
    let dir = Path::new(pki).join("server_certs");
    let dir = MtlsDir::load(&dir, Role::Server, &LoadOptions::now()).unwrap();
    Arc::new(dir.server_config(MinVersion::Tls13).unwrap())
}

fn good(pki: &str) -> String {
    let config = config(pki);
    listen(move |stream, _| shake(stream, &config))
}

/// Passes everything on, each way late by a time.
fn late(to: String, delay: Duration) -> String {
    listen(move |stream, _| {
        let other = TcpStream::connect(&to).unwrap();
        let pass = move |mut from: TcpStream, mut to: TcpStream| {
            let (send, receive) = std::sync::mpsc::channel::<(Instant, Vec<u8>)>();
            thread::spawn(move || {
                for (at, bytes) in receive {
                    thread::sleep((at + delay).saturating_duration_since(Instant::now()));
                    if bytes.is_empty() || to.write_all(&bytes).is_err() {
                        let _ = to.shutdown(Shutdown::Write);
                        return;
                    }
                }
            });
            let mut bytes = vec![0; 1 << 16];
            while let Ok(n) = from.read(&mut bytes) {
                if send.send((Instant::now(), bytes[..n].to_vec())).is_err() || n == 0 {
                    return;
                }
            }
        };
        let back = (other.try_clone().unwrap(), stream.try_clone().unwrap());
        thread::spawn(move || pass(back.0, back.1));
        pass(stream, other);
    })
}

fn probe(pki: &str, address: &str, more: &[&str]) -> (Exit, Option<Value>, Vec<String>) {
    let certs = format!("{pki}/client_certs");
    let args = ["probe", address, "--certs-dir", &certs, "--format", "json"];
    let (exit, text) = certck(&[&args[..], more].concat());
    let rules = records(&text, "certck.finding").into_iter().map(|f| f["rule"].as_str().unwrap().to_owned());
    (exit, records(&text, "certck.probe").pop(), rules.collect())
}

#[test]
fn probe_tries_the_clients_that_must_be_rejected() {
    let (_dir, pki) = minted();
    let (ca, server, client) =
        (format!("{pki}/ca"), format!("{pki}/server_certs"), format!("{pki}/client_certs"));
    let tried = |record: &Option<Value>| {
        let all = record.as_ref().unwrap()["tried"].as_array().unwrap().clone();
        all.iter()
            .map(|t| (t["what"].as_str().unwrap().to_owned(), t["rejected"].clone()))
            .collect::<Vec<_>>()
    };
    let yes = |what: &str| (what.to_owned(), json!(true));
    let (exit, record, _) = probe(&pki, &good(&pki), &[]);
    assert_eq!((exit, tried(&record)), (Exit::Ok, vec![yes("no certificate"), yes("unknown CA")]));
    // What the CA has revoked, the daemon must refuse; with the list of before, it does not.
    let old = good(&pki);
    assert_eq!(
        certck(&["revoke", &ca, "--unlisted", "--serial", "11", "--to", &server, "--to", &client]).0,
        Exit::Ok
    );
    let all = ["no certificate", "unknown CA", "expired", "not for clients", "revoked"].map(yes);
    let (exit, record, _) = probe(&pki, &good(&pki), &["--ca", &ca]);
    assert_eq!((exit, tried(&record)), (Exit::Ok, all.to_vec()));
    let (exit, record, rules) = probe(&pki, &old, &["--ca", &ca]);
    assert_eq!((exit, rules.join(" ").as_str()), (Exit::No, "wrong-client-accepted"));
    assert_eq!(tried(&record)[4], ("revoked".to_owned(), json!(false)));
    // Somebody else's CA would prove nothing.
    let (_other, theirs) = minted();
    assert_eq!(probe(&pki, &old, &["--ca", &format!("{theirs}/ca")]).0, Exit::Failed);
}

#[test]
fn a_closed_connection_before_the_handshake_is_no_rejection() {
    let (dir, pki) = minted();
    let config = config(&pki);
    // Only the first connection is served, the others are closed before anything was said.
    let address = listen(move |stream, n| {
        if n == 0 {
            shake(stream, &config)
        }
    });
    let (exit, record, _) = probe(&pki, &address, &[]);
    assert_eq!(exit, Exit::Failed);
    assert_eq!(record.unwrap()["tried"][0], json!({"what": "no certificate"}));
    let certs = format!("{pki}/client_certs");
    let args = ["probe", "127.0.0.1:1", "--certs-dir", &certs, "--format", "nagios"];
    let (exit, text) = certck(&args);
    assert_eq!(exit, Exit::Unknown);
    assert!(text.starts_with("CERTCK UNKNOWN: ") && text.contains("127.0.0.1:1: "), "{text}");
    // One that cannot be reached does not hide the other; and the report goes where it is wanted.
    let file = dir.path().join("report").to_str().unwrap().to_owned();
    let good = good(&pki);
    let args = ["probe", "127.0.0.1:1", &good, "--certs-dir", &certs, "--format", "json", "-o", &file];
    assert_eq!(certck(&args), (Exit::Failed, String::new()));
    let text = std::fs::read_to_string(&file).unwrap();
    let summary = &records(&text, "certck.summary")[0];
    assert_eq!((&summary["checked"], &summary["errors"]), (&1.into(), &1.into()));
}

#[test]
fn a_slow_handshake_ends_at_the_timeout() {
    let (_dir, pki) = minted();
    let address = listen(|mut stream, _| {
        // The header of a long record, and then a byte now and then.
        let _ = stream.write_all(&[22, 3, 3, 0x40, 0]);
        while stream.write_all(&[2]).is_ok() {
            thread::sleep(Duration::from_millis(200));
        }
    });
    let begin = Instant::now();
    assert_eq!(probe(&pki, &address, &["--timeout", "1"]).0, Exit::Failed);
    // It would go on for an hour.
    assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
}

#[test]
fn a_late_rejection_counts() {
    let (_dir, pki) = minted();
    let address = late(good(&pki), Duration::from_millis(400));
    let (exit, record, rules) = probe(&pki, &address, &[]);
    assert_eq!((exit, rules.join(" ").as_str()), (Exit::Ok, ""));
    assert_eq!(record.unwrap()["accepted"], true);
}

#[test]
fn obsolete_tls_versions_are_found_and_can_be_suppressed() {
    let (dir, pki) = minted();
    let config = config(&pki);
    let address = listen(move |mut stream, _| {
        let mut begin = [0; 11];
        while stream.peek(&mut begin).is_ok_and(|n| n < begin.len()) {}
        // Offered TLS 1.1 at most, it agrees; our own hellos say 1.2 here.
        if begin[9..] == [3, 2] {
            stream.write_all(&[22, 3, 2, 0, 50, 2, 0, 0, 46, 3, 2]).unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
        } else {
            shake(stream, &config);
        }
    });
    let (exit, record, rules) = probe(&pki, &address, &[]);
    assert_eq!((exit, rules.join(" ").as_str()), (Exit::No, "obsolete-tls"));
    assert_eq!(record.unwrap()["old_tls"], "TLSv1_1");
    let text = format!(
        "[[suppress]]\nrule = \"obsolete-tls\"\npath = \"{address}\"\nreason = \"old\"\nuntil = 2999-01-01\n"
    );
    let list = put(&dir.path().join("s.toml"), 0o600, text);
    let (exit, _, rules) = probe(&pki, &address, &["--suppress", &list]);
    assert_eq!((exit, rules.len()), (Exit::Ok, 0));
}

/// The values of a series by daemon.
fn series(text: &str, metric: &str) -> Vec<(String, i64)> {
    let lines = text.lines().filter_map(|line| line.strip_prefix(metric)?.strip_prefix("{address=\""));
    lines
        .map(|line| {
            let (address, value) = line.split_once("\"} ").unwrap();
            (address.to_owned(), value.parse().unwrap())
        })
        .collect()
}

/// One that is well, one that lets everybody in, one that is not there: each has its series, and the first two say when
/// their certificates expire and which they are, in every format.
#[test]
fn each_daemon_has_its_series_and_its_certificate_in_every_format() {
    let (dir, pki) = minted();
    let (good, gone) = (good(&pki), "127.0.0.1:1".to_owned());
    let open = {
        let loaded = Path::new(&pki).join("server_certs");
        let loaded = MtlsDir::load(&loaded, Role::Server, &LoadOptions::now()).unwrap();
        let key = loaded.certified_key().clone();
        let mut config = ServerConfig::builder_with_provider(common::pki::crypto_provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(key)));
        config.send_tls13_tickets = 0;
        let config = Arc::new(config);
        listen(move |stream, _| shake(stream, &config))
    };
    let certs = format!("{pki}/client_certs");
    let probe =
        |format: &str| certck(&["probe", &good, &open, &gone, "--certs-dir", &certs, "--format", format]);
    let (exit, text) = probe("prometheus");
    assert_eq!(exit, Exit::Failed, "one could not be reached");
    let of = |metric: &str| {
        let mut all = series(&text, metric);
        all.sort_by_key(|(address, _)| [&good, &open, &gone].iter().position(|a| *a == address));
        all.into_iter().map(|(_, value)| value).collect::<Vec<_>>()
    };
    assert_eq!(of("certck_daemon_reachable"), [1, 1, 0]);
    assert_eq!(of("certck_daemon_valid"), [1, 0, 0]);
    let leaf = std::fs::read(format!("{pki}/server_certs/server.crt")).unwrap();
    let leaf = common::pki::pem::parse(&leaf).unwrap().remove(0).der;
    let cert = common::pki::Cert::parse(&leaf).unwrap();
    assert_eq!(of("certck_daemon_expiry_timestamp_seconds"), [cert.not_after.unix; 2]);
    // Each metric is described once, or Prometheus rejects the whole.
    assert_eq!(text.matches("# TYPE certck_daemon_valid ").count(), 1);
    let (until, hash) = (cert.not_after.to_string(), common::finding::hex(&common::pki::sha256(&leaf)));
    assert_eq!(text.matches(&format!("\",sha256=\"{hash}\"}} 1\n")).count(), 2, "{text}");
    for format in ["text", "json", "nagios", "sarif", "junit"] {
        let (_, text) = probe(format);
        assert_eq!((text.matches(&until).count(), text.matches(&hash).count()), (2, 2), "{format}: {text}");
    }
    // A file for the textfile collector is written all the same.
    let file = dir.path().join("probe.prom").to_str().unwrap().to_owned();
    certck(&["probe", &gone, "--certs-dir", &certs, "--format", "prometheus", "-o", &file]);
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(series(&text, "certck_daemon_reachable"), [(gone.clone(), 0)]);
}

/// Cron and pipelines ask with the exit status whether something expires soon.
#[test]
fn warnings_make_the_exit_status_1_if_that_is_wanted() {
    let (_dir, pki) = minted();
    let (good, certs) = (good(&pki), format!("{pki}/client_certs"));
    let soon = ["--warn-days", "400"];
    let probe = |more: &[&str]| {
        certck(&[&["probe", &good, "--certs-dir", &certs, "--host", "localhost"], more].concat()).0
    };
    assert_eq!(probe(&[&soon[..], &["--fail-on", "error"]].concat()), Exit::Ok);
    assert_eq!(probe(&[&soon[..], &["--fail-on", "warning"]].concat()), Exit::No);
    assert_eq!(probe(&["--fail-on", "warning"]), Exit::Ok);
    let warning = [&soon[..], &["--fail-on", "warning", "--format", "nagios"]].concat();
    assert_eq!(probe(&warning), Exit::Failed, "critical");
    let (server, crl) = (format!("{pki}/server_certs"), format!("{pki}/ca/ca.crl"));
    for args in [&["check", &server][..], &["crl", "check", "--ca", &format!("{pki}/ca/ca.crt"), &crl]] {
        let run = |more: &[&str]| certck(&[args, more].concat()).0;
        assert_eq!(run(&soon), Exit::Ok, "{args:?}");
        assert_eq!(run(&[&soon[..], &["--fail-on", "warning"]].concat()), Exit::No, "{args:?}");
        assert_eq!(run(&["--fail-on", "warning"]), Exit::Ok, "{args:?}");
    }
}

#[test]
fn an_address_has_a_host_and_a_port() {
    let (_dir, pki) = minted();
    for wrong in ["localhost", "localhost:x", "a b:1", ":1"] {
        assert_eq!(probe(&pki, wrong, &[]).0, Exit::Failed, "{wrong}");
    }
}

#[test]
fn a_daemon_without_tls_is_a_finding() {
    let (_dir, pki) = minted();
    let address = listen(|mut stream, _| {
        let _ = stream.write_all(b"220 ready\r\n");
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let (exit, record, rules) = probe(&pki, &address, &[]);
    assert_eq!((exit, record, rules.join(" ").as_str()), (Exit::No, None, "no-tls"));
    let certs = format!("{pki}/client_certs");
    let (exit, text) = certck(&["probe", &address, "--certs-dir", &certs]);
    assert_eq!(exit, Exit::No);
    assert!(text.starts_with(&format!("{address}: no TLS\n  error   does not speak TLS")), "{text}");
    let (exit, text) = certck(&["probe", &address, "--certs-dir", &certs, "--format", "nagios"]);
    assert_eq!(exit, Exit::Failed, "critical");
    assert!(text.starts_with("CERTCK CRITICAL: ") && text.contains("in 1 daemon"), "{text}");
}
