//! Two CAs of one name, such as a root before and after a change of its key: CRLs are matched by key, not by name.

#![allow(clippy::unwrap_used, reason = "a test")]

mod forge;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use common::pki::{LoadOptions, MinVersion, MtlsDir, Role, inspect_directory};
use forge::{CLIENT_AUTH, CRL_NUMBER, CrlSpec, DAY, Key, Spec, aki, eku, int, pem, ski};

/// Two roots `root`, a server under the first one, and a client.
struct Namesakes {
    keys: [Rc<Key>; 2],
    roots: [Spec; 2],
    crls: [CrlSpec; 2],
    server: (Rc<Key>, Spec),
    client: (Rc<Key>, Spec),
    /// Which root has issued the client's certificate.
    issuer: usize,
}

fn now() -> i64 {
    time::OffsetDateTime::now_utc().unix_timestamp()
}

/// A leaf under `root`, valid now.
fn leaf(signer: &Key, usage: Option<&'static str>) -> (Rc<Key>, Spec) {
    let key = Rc::new(Key::new());
    let mut leaf = Spec::leaf("root", &key, signer);
    usage.into_iter().for_each(|usage| leaf.set(eku(&[usage])));
    (leaf.from, leaf.until) = (now() - DAY, now() + 60 * DAY);
    (key, leaf)
}

impl Namesakes {
    fn new(issuer: usize) -> Self {
        let keys = [Rc::new(Key::new()), Rc::new(Key::new())];
        let roots = [0, 1].map(|n| {
            let mut root = Spec::root("root", &keys[n]);
            (root.from, root.until) = (now() - DAY, now() + 60 * DAY);
            root
        });
        // The number of a CRL says something about CRLs of the same key only.
        let crls = [7, 2].map(|number| {
            let mut crl = CrlSpec::new("root", &keys[usize::from(number == 2)]);
            crl.exts[1] = (CRL_NUMBER, false, int(&[number]));
            (crl.this, crl.next) = (now() - DAY, Some(now() + 60 * DAY));
            crl
        });
        let (server, client) = (leaf(&keys[0], None), leaf(&keys[issuer], Some(CLIENT_AUTH)));
        Self { keys, roots, crls, server, client, issuer }
    }

    /// Without the identifiers by which keys could be told apart: only signatures are left.
    fn without_identifiers(mut self) -> Self {
        let (ski, aki) = (ski(&self.keys[0]).0, aki(&self.keys[0]).0);
        self.roots.iter_mut().for_each(|root| root.drop(ski));
        self.crls.iter_mut().for_each(|crl| crl.exts.retain(|ext| ext.0 != aki));
        self.server.1.drop(aki);
        self.client.1.drop(aki);
        self
    }

    /// A directory with both roots, and the CRLs in an order.
    fn write(&self, role: Role, crls: &[usize]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o700)).unwrap();
        let put = |name: &str, text: String| {
            std::fs::write(dir.path().join(name), text).unwrap();
            std::fs::set_permissions(dir.path().join(name), PermissionsExt::from_mode(0o600)).unwrap();
        };
        let ((key, leaf), signer) = match role {
            Role::Server => (&self.server, 0),
            Role::Client => (&self.client, self.issuer),
        };
        put("ca.crt", [0, 1].map(|n| pem("CERTIFICATE", &self.roots[n].sign(&self.keys[n]))).concat());
        put(role.layout().leaf, pem("CERTIFICATE", &leaf.sign(&self.keys[signer])));
        put(role.layout().key, key.pem());
        put("ca.crl", crls.iter().map(|&n| pem("X509 CRL", &self.crls[n].sign(&self.keys[n]))).collect());
        dir
    }

    fn load(&self, role: Role, crls: &[usize]) -> MtlsDir {
        load(self.write(role, crls).path(), role).unwrap()
    }

    fn shake(&self, crls: &[usize]) -> Result<(), rustls::Error> {
        let server = self.load(Role::Server, crls).server_config(MinVersion::Tls13).unwrap();
        // The client's own directory is another question.
        let client =
            Self { crls: self.crls.clone().map(|crl| CrlSpec { revoked: vec![], ..crl }), ..self.copy() };
        let client = client.load(Role::Client, crls).client_config(MinVersion::Tls13).unwrap();
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

    fn copy(&self) -> Self {
        Self {
            keys: self.keys.clone(),
            roots: self.roots.clone(),
            crls: self.crls.clone(),
            server: self.server.clone(),
            client: self.client.clone(),
            issuer: self.issuer,
        }
    }

    /// Revokes the client in the CRL of one of the roots.
    fn revoking(mut self, by: usize) -> Self {
        let serial = self.client.1.serial.clone();
        self.crls[by].revoked.push((serial, vec![]));
        self
    }
}

fn load(dir: &Path, role: Role) -> Result<MtlsDir, common::pki::LoadError> {
    MtlsDir::load(dir, role, &LoadOptions::now())
}

const ORDERS: [[usize; 2]; 2] = [[0, 1], [1, 0]];

#[test]
fn clients_of_both_are_served_in_either_order() {
    for issuer in [0, 1] {
        for pki in [Namesakes::new(issuer), Namesakes::new(issuer).without_identifiers()] {
            for order in ORDERS {
                pki.shake(&order).unwrap_or_else(|e| panic!("client of {issuer}, CRLs {order:?}: {e}"));
            }
        }
    }
}

#[test]
fn only_the_crl_of_the_issuer_revokes() {
    for (issuer, order) in [(0, [0, 1]), (0, [1, 0]), (1, [0, 1]), (1, [1, 0])] {
        let error = Namesakes::new(issuer).revoking(issuer).shake(&order).unwrap_err().to_string();
        assert!(error.contains("Revoked"), "{error}");
        // The other CA has issued another certificate with this serial number.
        Namesakes::new(issuer).revoking(1 - issuer).shake(&order).unwrap();
        let dir = Namesakes::new(issuer).revoking(1 - issuer).write(Role::Client, &order);
        load(dir.path(), Role::Client).unwrap();
        let dir = Namesakes::new(issuer).revoking(issuer).write(Role::Client, &order);
        let error = load(dir.path(), Role::Client).unwrap_err().to_string();
        assert!(error.contains("was revoked"), "{error}");
    }
}

#[test]
fn without_the_crl_of_its_issuer_a_certificate_is_not_covered() {
    for issuer in [0, 1] {
        let dir = Namesakes::new(issuer).write(Role::Client, &[1 - issuer]);
        let findings = inspect_directory(dir.path(), Role::Client, &LoadOptions::now()).findings;
        let coverage = findings.iter().find(|f| f.rule == "crl-coverage").unwrap();
        assert!(coverage.found.contains("(key "), "{}", coverage.found);
    }
}

/// Revocations must not be lost by a reload, whatever the CRLs of the other CA are numbered.
#[test]
fn the_crl_of_one_is_no_successor_of_the_others() {
    for pki in [Namesakes::new(0), Namesakes::new(0).without_identifiers()] {
        let former = pki.load(Role::Server, &[0, 1]);
        assert_eq!(pki.load(Role::Server, &[1, 0]).explain_lost_revocations(&former), None);
        let lost = pki.load(Role::Server, &[0]).explain_lost_revocations(&former).unwrap();
        assert!(lost.contains("missing"), "{lost}");
        let mut newer = pki.copy();
        newer.crls[1].exts.last_mut().unwrap().2 = int(&[1]);
        let older = newer.load(Role::Server, &[0, 1]).explain_lost_revocations(&former).unwrap();
        assert!(older.contains("is older"), "{older}");
    }
}

/// Two roots of one name are named with their keys, and a leaf of a third one with the key that it is looking for.
#[test]
fn keys_of_one_name_are_told_apart_in_words() {
    let mut pki = Namesakes::new(0);
    let findings = |pki: &Namesakes| {
        let dir = pki.write(Role::Server, &[0, 1]);
        inspect_directory(dir.path(), Role::Server, &LoadOptions::now()).findings
    };
    let found = |pki: &Namesakes, rule: &str| {
        findings(pki).into_iter().find(|f| f.rule == rule).map(|f| f.found).unwrap_or_default()
    };
    let several = found(&pki, "several-cas");
    assert_eq!(several.matches("CN=root (key ").count(), 2, "{several}");
    assert_eq!(found(&pki, "chain"), "");
    let third = Rc::new(Key::new());
    (pki.server, pki.keys[0]) = (leaf(&third, None), third.clone());
    let chain = found(&pki, "chain");
    let wanted = common::finding::hex(&forge::key_id(&third));
    assert!(
        chain.contains(&format!("another CA of this name: it names the issuer's key {wanted}")),
        "{chain}"
    );
    // Whoever is revoked gets a whole command.
    let mut pki = Namesakes::new(0);
    pki.crls[0].revoked.push((pki.server.1.serial.clone(), vec![]));
    let revoked = findings(&pki).into_iter().find(|f| f.rule == "revoked").unwrap();
    assert!(revoked.fix.contains("`certck mint renew --revoked CA_DIR /"), "{}", revoked.fix);
}
