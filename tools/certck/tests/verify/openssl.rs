//! The verdicts beside those of OpenSSL; every disagreement is listed with its reason.

use common::pki::path::PeerName;

use crate::certificates::{CERTIFICATES, PATHS};
use crate::names::{CONSTRAINTS, NAMES};
use crate::revocation::REVOCATION;
use crate::{Chain, forge};

/// Where OpenSSL takes what the RFC, as read here, does not.
const LENIENT: &[(&str, &str)] = &[
    ("leaf that may not sign", "looks at keyUsage by purpose, and a server may also decrypt"),
    ("version 1", "checks what CAs must issue only in part"),
    ("serial number of 22 bytes", "does not look at serial numbers"),
    ("serial number of 21 bytes with a sign byte", "does not look at serial numbers"),
    ("serial number zero", "does not look at serial numbers"),
    ("serial number negative", "does not look at serial numbers"),
    ("trusted intermediate without authority key identifier", "asks less of a trusted certificate"),
    ("policy constraints that are not critical", "does not look"),
    ("a key that only signs, for key agreement", "does not look whether a key is capable of its usages"),
    ("authority key identifier with an issuer and no serial number", "does not look"),
    ("a wildcard that stands for an excluded name", "takes the star for a label"),
    ("an explicit policy demanded, and none there", "looks at policies only with -policy_check"),
    ("not critical", "does not look whether name constraints are critical"),
    ("a constraint with a leading period", "takes it for all subdomains"),
    ("empty constraints", "does not look"),
    ("constraints in a leaf", "does not look"),
    ("a malformed name beside a good one", "looks only at names that are asked for or constrained"),
    ("a network for an address", "looks only at names that are asked for or constrained"),
    ("a malformed mailbox among good ones", "takes what is before the last @ for the local part"),
    ("a list without a number", "does not look"),
    ("a list for ever", "believes it for ever"),
    ("a delta list", "took it for a complete one up to 3.0.19"),
    ("root with basicConstraints that are not critical", "does not look since 4.0"),
    ("empty subject without a critical subjectAltName", "does not look since 4.0"),
];

/// Where OpenSSL refuses what the RFC allows.
const STRICT: &[(&str, &str)] = &[
    ("the same without conformance", "-x509_strict is always given"),
    ("intermediate without keyUsage", "-x509_strict demands one of CAs; validation, 6.1.4 (n), does not"),
    ("a root without keyUsage", "-x509_strict demands one of CAs; validation, 6.1.4 (n), does not"),
    ("last second", "before 4.0 ends a validity with the beginning of its last second"),
    ("any extendedKeyUsage", "-purpose does not count it"),
    ("depth does not count self-issued intermediates", "counts them"),
    ("a forbidden way beside an allowed one", "does not go back once it has chosen an issuer"),
    ("lists that cover all reasons together", "uses such lists only with -extended_crl"),
];

/// What the `openssl` command says of the leaves of a chain.
pub(crate) fn openssl(chain: &Chain, dir: &std::path::Path, leaves: &[&str]) -> Vec<bool> {
    let (_, intermediates, roots) = chain.ders();
    let put = |name: &str, label: &str, ders: &[Vec<u8>]| {
        let text: String = ders.iter().map(|d| forge::pem(label, d)).collect();
        std::fs::write(dir.join(name), text).unwrap();
    };
    put("roots", "CERTIFICATE", &roots);
    put("intermediates", "CERTIFICATE", &intermediates);
    put("crls", "X509 CRL", &chain.crls);
    let mut command = std::process::Command::new("openssl");
    command.current_dir(dir).args([
        "verify",
        "-x509_strict",
        "-partial_chain",
        "-no-CApath",
        "-CAfile",
        "roots",
    ]);
    command.args(["-attime", &chain.at.to_string(), "-verify_depth", &chain.depth.to_string()]);
    command.args(["-purpose", if chain.client { "sslclient" } else { "sslserver" }]);
    if !intermediates.is_empty() {
        command.args(["-untrusted", "intermediates"]);
    }
    if !chain.crls.is_empty() {
        command.args(["-CRLfile", "crls", "-crl_check_all"]);
    }
    for name in &chain.names {
        match name {
            PeerName::Dns(name) => command.args(["-verify_hostname", name]),
            PeerName::Ip(ip) => command.args(["-verify_ip", &ip.to_string()]),
            PeerName::Email(name) => command.args(["-verify_email", name]),
        };
    }
    let output = command.args(leaves).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    leaves.iter().map(|leaf| text.lines().any(|l| l == format!("{leaf}: OK"))).collect()
}

/// The version of the `openssl` command that verdicts are compared with: `OpenSSL 3.0.22`.
pub(crate) fn comparable_openssl() -> Result<String, String> {
    let version = testkit::version(&testkit::find("openssl")?).unwrap_or_default();
    Ok(version.split(' ').take(2).collect::<Vec<_>>().join(" "))
}

/// Verdicts of both on named cases, beside what they may disagree on: pairs of a case and a reason.
pub(crate) struct Comparison<'a> {
    /// OpenSSL accepts what we reject.
    pub(crate) lenient: &'a [(&'a str, &'a str)],
    /// OpenSSL rejects what we accept.
    pub(crate) strict: &'a [(&'a str, &'a str)],
    /// Name, our verdict, OpenSSL's.
    pub(crate) cases: Vec<(String, bool, bool)>,
}

impl Comparison<'_> {
    /// Disagreements that no list has. Fails if so much as one listed case was not compared.
    fn unlisted(&self) -> Vec<String> {
        for (name, _) in self.lenient.iter().chain(self.strict) {
            assert!(self.cases.iter().any(|(case, ..)| case == name), "listed, and not compared: {name}");
        }
        let listed = |list: &[(&str, &str)], name: &str| list.iter().any(|(listed, _)| *listed == name);
        let wrong = self.cases.iter().filter_map(|(name, ours, theirs)| match (ours, theirs) {
            (false, true) if !listed(self.lenient, name) => {
                Some(format!("openssl accepts, we reject: {name}"))
            }
            (true, false) if !listed(self.strict, name) => {
                Some(format!("openssl rejects, we accept: {name}"))
            }
            _ => None,
        });
        wrong.collect()
    }

    /// Listed disagreements that this version of OpenSSL no longer has.
    fn agreements(&self) -> Vec<(&str, &str)> {
        let agreed =
            |name: &str| self.cases.iter().filter(|c| c.0 == name).all(|(_, ours, theirs)| ours == theirs);
        self.lenient.iter().chain(self.strict).filter(|(name, _)| agreed(name)).copied().collect()
    }

    /// A list allows, it does not demand: versions differ.
    pub(crate) fn judge(&self, version: &str) {
        let agreements = self.agreements();
        if !agreements.is_empty() {
            let names = agreements.iter().map(|(name, reason)| format!("`{name}` ({reason})"));
            let names = names.collect::<Vec<_>>().join(", ");
            testkit::note(format_args!("{version} agrees on {} listed cases: {names}", agreements.len()));
        }
        let unlisted = self.unlisted();
        assert!(unlisted.is_empty(), "{version}: {unlisted:#?}");
    }
}

#[test]
fn listed_disagreements_with_openssl_are_allowed_and_not_required() {
    let cases =
        |cases: &[(&str, bool, bool)]| cases.iter().map(|(n, a, b)| ((*n).to_owned(), *a, *b)).collect();
    let compared = |list: &[(&str, bool, bool)]| {
        let compared = Comparison {
            lenient: &[("l", "does not look")],
            strict: &[("s", "asks more")],
            cases: cases(list),
        };
        (
            compared.unlisted(),
            compared.agreements().iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>(),
        )
    };
    let both = [("l", false, true), ("s", true, false), ("x", true, true)];
    assert_eq!(compared(&both), (vec![], vec![]));
    let agreed = [("l", false, false), ("s", true, true), ("x", false, false)];
    assert_eq!(compared(&agreed), (vec![], vec!["l".to_owned(), "s".to_owned()]));
    // The other direction is another disagreement.
    let (wrong, _) =
        compared(&[("l", true, false), ("s", false, true), ("x", true, false), ("y", false, true)]);
    let expected =
        ["rejects, we accept: l", "accepts, we reject: s", "rejects, we accept: x", "accepts, we reject: y"];
    assert_eq!(wrong, expected.map(|end| format!("openssl {end}")));
    assert!(
        std::panic::catch_unwind(|| compared(&[("l", false, true)])).is_err(),
        "a typing error in a list"
    );
}

#[test]
fn openssl_disagrees_only_for_listed_reasons() {
    let Some(version) = testkit::or_skip(comparable_openssl()) else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut compared = Comparison { lenient: LENIENT, strict: STRICT, cases: Vec::new() };
    for (what, expected, change) in
        [CERTIFICATES, PATHS, NAMES, CONSTRAINTS, REVOCATION].into_iter().flatten()
    {
        let mut chain = Chain::new();
        change(&mut chain);
        std::fs::write(dir.path().join("leaf"), forge::pem("CERTIFICATE", &chain.ders().0)).unwrap();
        let theirs = openssl(&chain, dir.path(), &["leaf"])[0];
        compared.cases.push(((*what).to_owned(), expected.is_ok(), theirs));
    }
    assert!(compared.cases.len() > 150, "{}", compared.cases.len());
    compared.judge(&version);
}
