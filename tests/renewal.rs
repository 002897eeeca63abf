//! Certificates over their life: made on an authority's machine, revoked there, fetched by cron on two hosts and for a
//! client, and renewed. A web server on the loopback interface publishes the revocation list.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod harness;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::{Done, bin, command, finish};

/// A machine's files, and the commands of its users, who stand in its directory.
struct Site(tempfile::TempDir);

impl Site {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn certck(&self, line: &str) -> Done {
        finish(command("certck").args(line.split(' ')).current_dir(self.0.path()))
    }

    /// Serves `www/ca.crl` as it is at each request; the address.
    fn publish(&self) -> String {
        std::fs::create_dir(self.at("www")).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://127.0.0.1:{}/ca.crl", listener.local_addr().unwrap().port());
        let file = self.at("www/ca.crl");
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let _ = stream.read(&mut [0; 4096]);
                let body = std::fs::read(&file).unwrap_or_default();
                let status = if body.is_empty() { "404 Not Found" } else { "200 OK" };
                let head = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all(&[head.as_bytes(), &body].concat());
            }
        });
        url
    }

    /// `cp -rp` to another machine, under another name.
    fn copy(&self, from: &str, to: &Self, name: &str) {
        finish(Command::new("cp").arg("-rp").arg(self.at(from)).arg(to.at(name))).expect(0);
    }

    fn copy_list(&self) {
        std::fs::copy(self.at("pg/ca/ca.crl"), self.at("www/ca.crl")).unwrap();
    }
}

/// How many serial numbers a directory's list revokes.
fn revoked(dir: &Path) -> usize {
    let list = dir.join("ca.crl");
    let shown =
        harness::run("certck", &["--format".as_ref(), "json".as_ref(), "show".as_ref(), list.as_os_str()]);
    shown.expect(0).of_type("certck.crl")[0]["revoked"].as_array().map_or(0, Vec::len)
}

#[test]
fn cron_keeps_revocation_alive_on_every_host() {
    let (pki, node1, node2, bob) = (Site::new(), Site::new(), Site::new(), Site::new());
    let url = pki.publish();
    pki.certck(&format!("mint ./pg --host node1.cluster --days 365 --crl-url {url}")).expect(0);
    pki.certck("check ./pg/server_certs ./pg/client_certs").expect(0);
    pki.certck("mint leaf ./pg/ca ./node2_certs --role server --host node2.cluster").expect(0);
    pki.certck("mint leaf ./pg/ca ./alice_certs --role client --name alice").expect(0);
    pki.certck("mint leaf ./pg/ca ./bob_certs --role client --name bob").expect(0);
    pki.copy_list();
    pki.copy("pg/server_certs", &node1, "server_certs");
    pki.copy("node2_certs", &node2, "server_certs");
    pki.copy("bob_certs", &bob, "client_certs");

    pki.certck("revoke ./pg/ca ./alice_certs/client.crt").expect(0);
    pki.copy_list();
    for (site, dir) in [(&node1, "server_certs"), (&node2, "server_certs"), (&bob, "client_certs")] {
        assert_eq!(revoked(&site.at(dir)), 0);
        let fetched = site.certck(&format!("crl fetch -q {dir}")).expect(0);
        assert_eq!((revoked(&site.at(dir)), fetched.stderr.as_str()), (1, ""), "{dir}");
        // The next hour, nothing is new, and cron has nothing to mail.
        let again = site.certck(&format!("crl fetch -q {dir}")).expect(0);
        assert_eq!((again.stdout.as_str(), again.stderr.as_str()), ("", ""));
        std::fs::write(site.at("certck.prom"), "").unwrap();
        std::fs::set_permissions(site.at("certck.prom"), PermissionsExt::from_mode(0o644)).unwrap();
        let checked = site.certck(&format!("check -q --format prometheus -o certck.prom {dir}")).expect(0);
        assert_eq!((checked.stdout.as_str(), checked.stderr.as_str()), ("", ""));
        let (text, meta) =
            (std::fs::read_to_string(site.at("certck.prom")), site.at("certck.prom").metadata());
        assert!(text.unwrap().contains("certck_") && meta.unwrap().permissions().mode() & 0o777 == 0o644);
    }
}

/// Standard error of a renewal that has nothing else to say.
fn said(done: Done) -> String {
    done.expect(0).stderr
}

/// Clients that were given no name have all the same one.
#[test]
fn renewal_names_every_directory_of_one_name_that_it_leaves_alone() {
    let pki = Site::new();
    pki.certck("mint ./pg --days 90").expect(0);
    for name in ["first", "second"] {
        pki.certck(&format!("mint leaf ./pg/ca ./{name} --role client --days 90")).expect(0);
        std::fs::rename(pki.at(name), pki.at(&format!("{name}-moved"))).unwrap();
    }
    let text = said(pki.certck("mint renew ./pg"));
    assert!(text.contains("/first (expires at ") && text.contains("/second (expires at "), "{text}");
}

#[test]
fn renewal_names_the_directories_that_it_leaves_alone() {
    let pki = Site::new();
    pki.certck("mint ./pg --days 90").expect(0);
    // Nothing else was issued, and nothing is due.
    assert_eq!(said(pki.certck("mint renew ./pg")), "");
    pki.certck("mint leaf ./pg/ca ./node2_certs --role server --host node2.cluster --days 90").expect(0);
    pki.certck("mint leaf ./pg/ca ./alice_certs --role client --name alice --days 20").expect(0);
    pki.certck("mint leaf ./pg/ca ./eve_certs --role client --name eve").expect(0);
    pki.certck("revoke ./pg/ca ./eve_certs/client.crt").expect(0);
    let shown = |name: &str| pki.0.path().canonicalize().unwrap().join(name).display().to_string();
    let (node2, alice) = (shown("node2_certs"), shown("alice_certs"));

    let text = said(pki.certck("mint renew ./pg"));
    assert!(text.contains(&format!("left alone: {node2} (expires at ")) && text.contains(&alice), "{text}");
    assert!(text.lines().count() == 1 && !text.contains("eve"), "{text}");
    // What expires soon has a line of its own, with the command that renews it; from wherever cron runs.
    let text = said(pki.certck("mint renew --before 30 ./pg"));
    let line = text.lines().find(|l| l.contains(&alice)).unwrap();
    let command = line.split('`').nth(1).unwrap();
    assert!(line.contains("not renewed, expires at ") && text.lines().count() == 2, "{text}");
    let before = std::fs::read(pki.at("alice_certs/client.crt")).unwrap();
    let command = command.replace("certck", bin("certck")).replace("renew", "renew --before 30");
    let done = finish(Command::new("sh").args(["-c", &command]).current_dir(pki.0.path())).expect(0);
    assert_ne!(std::fs::read(pki.at("alice_certs/client.crt")).unwrap(), before);
    assert!(!done.stderr.contains(&alice) && done.stderr.contains(&node2), "{}", done.stderr);
    // Only servers are asked for.
    let text = said(pki.certck("mint renew --role server ./pg"));
    assert!(text.contains(&node2) && !text.contains(&alice), "{text}");
    // All are given, one of them under another name than it was issued for.
    std::fs::rename(pki.at("node2_certs"), pki.at("node2")).unwrap();
    let all = "mint renew ./pg ./pg/server_certs ./pg/client_certs ./node2 ./alice_certs";
    assert_eq!(said(pki.certck(all)), "");
    // One that is not on this machine cannot be renewed by a command.
    std::fs::rename(pki.at("node2"), pki.at("pg/x")).unwrap();
    let text = said(pki.certck("mint renew --before 3650 --dry-run ./pg"));
    let line = text.lines().find(|l| l.contains(&node2)).unwrap();
    assert!(line.contains("not on this machine") && line.contains("certck mint leaf"), "{line}");
}

/// Lines of an older version have the path as it was typed.
#[test]
fn renewal_finds_directories_of_older_versions() {
    let pki = Site::new();
    pki.certck("mint ./pg").expect(0);
    pki.certck("mint leaf ./pg/ca ./alice_certs --role client --name alice").expect(0);
    let issued = pki.at("pg/ca/issued.jsonl");
    let here = format!("{}/", pki.0.path().canonicalize().unwrap().display());
    let old = std::fs::read_to_string(&issued).unwrap().replace(&here, "");
    assert!(old.contains("\"path\":\"./alice_certs\"") || old.contains("\"path\":\"alice_certs\""), "{old}");
    std::fs::write(&issued, old + "{}\nnot json\n").unwrap();
    let text = said(pki.certck("mint renew ./pg"));
    assert!(text.contains("alice_certs (expires at ") && text.lines().count() == 1, "{text}");
}
