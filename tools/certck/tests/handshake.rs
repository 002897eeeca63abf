//! Directories that load, put to work: handshakes between a server and a client in memory.

#![allow(clippy::unwrap_used, reason = "a test")]

mod forge;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use common::pki::{LoadOptions, MinVersion, MtlsDir, Role};
use forge::{CLIENT_AUTH, CrlSpec, DAY, Key, Spec, bc, eku, pem};

/// A root with one server and one client under it, valid now.
struct Pki {
    root_key: Key,
    root: Spec,
    crl: CrlSpec,
    server: (Key, Spec),
    client: (Key, Spec),
    /// The key of an intermediate `mid` whose empty CRL is there too.
    extra_crl: Option<Key>,
}

fn now() -> i64 {
    time::OffsetDateTime::now_utc().unix_timestamp()
}

impl Pki {
    fn new() -> Self {
        let root_key = Key::new();
        let leaf = |usage: Option<&'static str>| {
            let key = Key::new();
            let mut leaf = Spec::leaf("root", &key, &root_key);
            usage.into_iter().for_each(|u| leaf.set(eku(&[u])));
            (leaf.from, leaf.until) = (now() - DAY, now() + 60 * DAY);
            (key, leaf)
        };
        let mut root = Spec::root("root", &root_key);
        (root.from, root.until) = (now() - DAY, now() + 60 * DAY);
        let mut crl = CrlSpec::new("root", &root_key);
        (crl.this, crl.next) = (now() - DAY, Some(now() + 60 * DAY));
        Self { server: leaf(None), client: leaf(Some(CLIENT_AUTH)), root, crl, root_key, extra_crl: None }
    }

    /// Loads one side's directory at a time of its own, so that what has expired since is still taken.
    fn load(&self, role: Role, crl: &CrlSpec, at: i64) -> MtlsDir {
        let dir = tempfile::tempdir().unwrap();
        let (key, leaf) = if role == Role::Server { &self.server } else { &self.client };
        let put = |name: &str, text: &str| write(&dir.path().join(name), text);
        put("ca.crt", &pem("CERTIFICATE", &self.root.sign(&self.root_key)));
        put(role.layout().leaf, &pem("CERTIFICATE", &leaf.sign(&self.root_key)));
        put(role.layout().key, &key.pem());
        let mut lists = pem("X509 CRL", &crl.sign(&self.root_key));
        if let Some(mid) = &self.extra_crl {
            let mut list = CrlSpec::new("mid", mid);
            (list.this, list.next) = (crl.this, crl.next);
            lists.push_str(&pem("X509 CRL", &list.sign(mid)));
        }
        put("ca.crl", &lists);
        let at = time::OffsetDateTime::from_unix_timestamp(at).unwrap();
        MtlsDir::load(dir.path(), role, &LoadOptions { at, ..LoadOptions::now() }).unwrap()
    }

    fn shake(&self, server_crl: &CrlSpec, client_crl: &CrlSpec, at: i64) -> Result<(), rustls::Error> {
        let server = self.load(Role::Server, server_crl, at).server_config(MinVersion::Tls13).unwrap();
        let client = self.load(Role::Client, client_crl, at).client_config(MinVersion::Tls13).unwrap();
        let mut client = rustls::ClientConnection::new(Arc::new(client), "example.com".try_into().unwrap())?;
        let mut server = rustls::ServerConnection::new(Arc::new(server))?;
        while client.is_handshaking() || server.is_handshaking() {
            let mut bytes = Vec::new();
            client.write_tls(&mut bytes).unwrap();
            server.read_tls(&mut bytes.as_slice()).unwrap();
            server.process_new_packets()?;
            bytes.clear();
            server.write_tls(&mut bytes).unwrap();
            client.read_tls(&mut bytes.as_slice()).unwrap();
            client.process_new_packets()?;
        }
        Ok(())
    }

    fn revoking(&self, leaf: &Spec) -> CrlSpec {
        let mut crl = self.crl.clone();
        crl.revoked.push((leaf.serial.clone(), vec![]));
        crl
    }
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::set_permissions(path.parent().unwrap(), std::fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn good_peers_shake_hands() {
    let pki = Pki::new();
    pki.shake(&pki.crl, &pki.crl, now()).unwrap();
}

#[test]
fn a_revoked_client_is_refused_by_the_servers_list() {
    let pki = Pki::new();
    let error = pki.shake(&pki.revoking(&pki.client.1), &pki.crl, now()).unwrap_err().to_string();
    assert!(error.contains("Revoked"), "{error}");
}

#[test]
fn a_revoked_server_is_refused_by_the_clients_list() {
    let pki = Pki::new();
    let error = pki.shake(&pki.crl, &pki.revoking(&pki.server.1), now()).unwrap_err().to_string();
    assert!(error.contains("Revoked"), "{error}");
}

#[test]
fn handshakes_fail_after_the_crl_has_expired() {
    let mut pki = Pki::new();
    pki.crl.next = Some(now() - 1);
    let error = pki.shake(&pki.crl, &pki.crl, now() - 10).unwrap_err().to_string();
    assert!(error.contains("ExpiredRevocationList"), "{error}");
    // Only the server's has expired: the fault is not told as one of the client's certificate.
    let good = CrlSpec { next: Some(now() + DAY), ..pki.crl.clone() };
    let error = pki.shake(&pki.crl, &good, now() - 10).unwrap_err().to_string();
    assert!(error.contains("ApplicationVerificationFailure"), "{error}");
}

#[test]
fn handshakes_fail_after_the_root_has_expired() {
    let mut pki = Pki::new();
    pki.root.until = now() - 1;
    let error = pki.shake(&pki.crl, &pki.crl, now() - 10).unwrap_err().to_string();
    assert!(error.contains("expired"), "{error}");
}

#[test]
fn a_server_under_another_root_is_refused() {
    let (ours, theirs) = (Pki::new(), Pki::new());
    let server = ours.load(Role::Server, &ours.crl, now()).server_config(MinVersion::Tls13).unwrap();
    let client = theirs.load(Role::Client, &theirs.crl, now()).client_config(MinVersion::Tls13).unwrap();
    let mut client =
        rustls::ClientConnection::new(Arc::new(client), "example.com".try_into().unwrap()).unwrap();
    let mut server = rustls::ServerConnection::new(Arc::new(server)).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    server.read_tls(&mut bytes.as_slice()).unwrap();
    server.process_new_packets().unwrap();
    bytes.clear();
    server.write_tls(&mut bytes).unwrap();
    client.read_tls(&mut bytes.as_slice()).unwrap();
    // Both roots have the same name: it is the signature that tells.
    let error = client.process_new_packets().unwrap_err().to_string();
    assert!(error.contains("BadSignature"), "{error}");
}

/// Presents a chain with any key: what no directory of ours would load.
fn shake_as(pki: &Pki, key: &Key, chain: &[Vec<u8>]) -> Result<(), rustls::Error> {
    let server = pki.load(Role::Server, &pki.crl, now()).server_config(MinVersion::Tls13).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(pki.root.sign(&pki.root_key).into()).unwrap();
    let pkcs8 = rustls::pki_types::PrivatePkcs8KeyDer::from(key.0.serialize_der());
    let client = rustls::ClientConfig::builder_with_provider(common::pki::crypto_provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain.iter().map(|d| d.clone().into()).collect(), pkcs8.into())
        .unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(client), "example.com".try_into().unwrap())?;
    let mut server = rustls::ServerConnection::new(Arc::new(server))?;
    while client.is_handshaking() || server.is_handshaking() {
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        server.read_tls(&mut bytes.as_slice()).unwrap();
        server.process_new_packets()?;
        bytes.clear();
        server.write_tls(&mut bytes).unwrap();
        client.read_tls(&mut bytes.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    Ok(())
}

#[test]
fn peers_are_checked_for_what_webpki_does_not_check() {
    let leaf = |key: &Key, issuer: &str, signer: &Key| {
        let mut leaf = Spec::leaf(issuer, key, signer);
        leaf.set(eku(&[CLIENT_AUTH]));
        (leaf.from, leaf.until) = (now() - DAY, now() + DAY);
        leaf.sign(signer)
    };
    // A key that is too weak for the policy, though not for webpki.
    let pki = Pki::new();
    let weak = Key::rsa(rcgen::RsaKeySize::_2048);
    let error = shake_as(&pki, &weak, &[leaf(&weak, "root", &pki.root_key)]).unwrap_err().to_string();
    assert!(error.contains("weak key"), "{error}");
    // More intermediates than the root's path length allows: webpki does not look at roots.
    let mut pki = Pki::new();
    pki.root.set(bc(true, Some(0)));
    let (mid, key) = (Key::new(), Key::new());
    let mut between = Spec::intermediate("mid", "root", &mid, &pki.root_key);
    (between.from, between.until) = (now() - DAY, now() + DAY);
    let chain = [leaf(&key, "mid", &mid), between.sign(&pki.root_key)];
    pki.extra_crl = Some(mid);
    let error = shake_as(&pki, &key, &chain).unwrap_err().to_string();
    assert!(error.contains("path length"), "{error}");
    // Certificates that have nothing to do with the path do no harm.
    let pki = Pki::new();
    let key = Key::new();
    let junk = Spec::root("junk", &weak).sign(&weak);
    shake_as(&pki, &key, &[leaf(&key, "root", &pki.root_key), junk]).unwrap();
}
