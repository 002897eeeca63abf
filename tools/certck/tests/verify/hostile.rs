//! Certificates that are damaged, and chains that are made to be expensive.

use common::pki::Cert;
use common::pki::path::PeerName;

use crate::forge::{CrlSpec, Key, SKI, Spec, dns, key_id, name, nc, octets};
use crate::openssl::{comparable_openssl, openssl};
use crate::{Chain, forge};

/// Bytes of a good leaf and of a good CRL changed at random: nothing that was changed is accepted, and OpenSSL
/// accepts nothing that we do not, nor the other way round.
fn mutate(rounds: usize) {
    let version = comparable_openssl();
    if let Err(reason) = &version {
        testkit::skip_part(reason);
    }
    let dir = tempfile::tempdir().unwrap();
    let mut chain = Chain::new();
    chain.deepen();
    let (leaf, intermediates, roots) = chain.ders();
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    let mut change = |der: &[u8]| {
        let mut der = der.to_vec();
        for _ in 0..=random(3) {
            let at = random(der.len());
            match random(4) {
                0 => drop(der.remove(at)),
                1 => der.insert(at, random(256) as u8),
                _ => der[at] ^= 1 << random(8),
            }
        }
        der
    };
    let names: Vec<String> = (0..200).map(|i| format!("leaf{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for _ in 0..rounds.div_ceil(names.len()) {
        let leaves: Vec<Vec<u8>> = names.iter().map(|_| change(&leaf)).collect();
        for (name, der) in names.iter().zip(&leaves) {
            std::fs::write(dir.path().join(name), forge::pem("CERTIFICATE", der)).unwrap();
        }
        let theirs = match &version {
            Ok(_) => openssl(&chain, dir.path(), &names),
            Err(_) => leaves.iter().map(|der| *der == leaf).collect(),
        };
        for (der, theirs) in leaves.iter().zip(theirs) {
            let ours = chain.answer_to(der, &intermediates, &roots, &[]).is_ok();
            assert!(ours == theirs && (!ours || *der == leaf), "ours {ours}, theirs {theirs}: {der:02x?}");
        }
    }
    let (key, root) = (&chain.keys[0], &chain.keys[1]);
    let lists = [CrlSpec::new("root", key).sign(key), CrlSpec::new("ica", root).sign(root)];
    std::fs::write(dir.path().join("leaf"), forge::pem("CERTIFICATE", &leaf)).unwrap();
    // One process for each list, so fewer of them.
    for _ in 0..rounds.div_ceil(4) {
        let changed = change(&lists[0]);
        let crls = vec![changed.clone(), lists[1].clone()];
        let ours = chain.answer_to(&leaf, &intermediates, &roots, &crls).is_ok();
        assert!(!ours || changed == lists[0], "{changed:02x?}");
        chain.crls = crls;
        let theirs = if version.is_ok() { openssl(&chain, dir.path(), &["leaf"])[0] } else { ours };
        assert!(ours == theirs, "ours {ours}, theirs {theirs}: {changed:02x?}");
    }
}

/// PROFGUARD_MUTATIONS says how many; tests/interop/run asks for ten thousand.
#[test]
fn mutated_certificates_are_rejected() {
    let rounds = std::env::var("PROFGUARD_MUTATIONS").ok().and_then(|n| n.parse().ok());
    mutate(rounds.unwrap_or(400));
}

/// Graphs and names made to be expensive end in a refusal, not in a long wait: work is counted, and too much of it is
/// its own answer. Times are shown, and asserted nowhere: they are the machine's.
#[test]
fn chains_made_to_be_expensive_are_rejected() {
    let timed = |what: &str, chain: &Chain| {
        let begin = std::time::Instant::now();
        let answer = chain.answer();
        println!("{what}: {:?}", begin.elapsed());
        answer
    };
    // CAs of one name, each signed by the same key: every order of them is a path to nowhere.
    let maze = |size: usize| {
        let mut chain = Chain::new();
        let key = Key::new();
        chain.deepen().leaf.issuer = name("maze");
        for _ in 0..size {
            let mut one = Spec::intermediate("maze", "maze", &Key::new(), &key);
            one.set((SKI, false, octets(&key_id(&key))));
            chain.more.push(one.sign(&key));
        }
        chain
    };
    let leaf = Cert::parse(&maze(0).ders().0).unwrap();
    assert_eq!(leaf.issuer.to_string(), "CN=maze");
    assert_eq!(timed("small maze", &maze(40)), Err("no-issuer"));
    assert_eq!(timed("large maze", &maze(400)), Err("too-much-work"));

    let named = |size: usize| {
        let mut chain = Chain::new();
        let names: Vec<_> = (0..size).map(|n| dns(&format!("h{n}.example.com"))).collect();
        chain.names(&names);
        chain.root.set(nc(&names, &[dns("other.example.com")]));
        chain.any_name();
        chain
    };
    assert_eq!(timed("few names", &named(100)), Ok(2));
    assert_eq!(timed("many names", &named(2000)), Err("too-much-work"));

    // As many names to be good for as the leaf has, the fitting one last.
    let wanted = |size: usize| {
        let mut chain = Chain::new();
        chain.names(&(0..size).map(|n| dns(&format!("h{n}.example.com"))).collect::<Vec<_>>());
        let names = (0..size).map(|_| PeerName::Dns(format!("h{}.example.com", size - 1)));
        chain.names = names.collect();
        chain
    };
    assert_eq!(timed("few names wanted", &wanted(100)), Ok(2));
    assert_eq!(timed("many names wanted", &wanted(2000)), Err("too-much-work"));
}
