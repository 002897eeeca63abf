//! Every rule that a certificate directory is held to: one table, used to find, to document and to test.

use std::path::Path;

use crate::finding::{Finding, Severity};

/// One rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Stable id, in kebab case.
    pub id: &'static str,
    /// How bad it is to break it.
    pub severity: Severity,
    /// What it demands.
    pub what: &'static str,
}

impl Rule {
    /// A finding of this rule about a path.
    #[must_use]
    pub fn at(&self, path: &Path) -> Finding {
        Finding::new(self.id, self.severity, path)
    }
}

macro_rules! rules {
    ($($name:ident $id:literal $severity:ident $what:literal;)*) => {
        $(#[doc = $what] pub const $name: Rule = Rule { id: $id, severity: Severity::$severity, what: $what };)*
        /// All of them.
        pub const RULES: &[Rule] = &[$($name),*];
    };
}

rules! {
    // Files, judged before they are read.
    DIRECTORY "directory" Error "The directory exists, is a directory and can be listed.";
    MODE "mode" Error "No file or directory allows more than its class of the permission table.";
    OWNER "owner" Error "The owner is the user who runs the tool, or root.";
    MISSING_FILE "missing-file" Error "The root, the leaf and the leaf's private key are there.";
    UNREADABLE "unreadable" Error "Each file is a regular file, no link, that can be read and is at most 1 MiB, or 16 MiB for CRLs.";
    UNEXPECTED_FILE "unexpected-file" Warning "Nothing lies in the directory that does not belong there.";
    STRAY_KEY "stray-key" Error "No private key lies in the directory but the leaf's: above all not the CA's.";
    // What the files consist of.
    PEM "pem" Error "Each file is well-formed PEM and holds what its name says.";
    EXTRA_CONTENT "extra-content" Warning "A file holds nothing that its name does not say.";
    SEVERAL_KEYS "several-keys" Error "The key file holds one private key.";
    BUNDLE_ORDER "bundle-order" Warning "The leaf comes first (else an error), then each certificate's issuer; what is in ca.crt is left out.";
    // Every certificate.
    MALFORMED_CERTIFICATE "malformed-certificate" Error "Each certificate is X.509 in strict DER, with well-formed extensions, none twice.";
    VERSION "version" Error "Each certificate is X.509 version 3.";
    SERIAL_NUMBER "serial-number" Error "Serial numbers are positive and at most 20 bytes long.";
    WEAK_KEY "weak-key" Error "Keys are RSA of 3072 to 8192 bits, EC on P-256, P-384 or P-521, or Ed25519.";
    SIGNATURE_ALGORITHM "signature-algorithm" Error "Signatures are RSA (PKCS#1 or PSS), ECDSA or Ed25519 with SHA-256 or better.";
    NOT_YET_VALID "not-yet-valid" Error "The validity of each certificate has begun.";
    EXPIRED "expired" Error "The validity of each certificate has not ended.";
    EXPIRING "expiring" Warning "No certificate expires within the days of warning, or within the last third of its validity if that is shorter.";
    LONG_VALIDITY "long-validity" Warning "Leaves are valid for at most 825 days, CAs for at most 25 years.";
    CRITICAL_EXTENSION "critical-extension" Error "There is no critical extension that is not understood.";
    KEY_IDENTIFIER "key-identifier" Error "The authority key identifiers of certificates and CRLs are those of their issuers.";
    // The root.
    NOT_A_CA "not-a-ca" Error "ca.crt and intermediates are CAs by their basicConstraints.";
    CA_KEY_USAGE "ca-key-usage" Error "The keyUsage of ca.crt has keyCertSign and cRLSign, of intermediates keyCertSign.";
    CA_NOT_SELF_SIGNED "ca-not-self-signed" Warning "ca.crt holds the self-signed root of each certificate in it.";
    CA_SIGNATURE "ca-signature" Error "The signature of a self-issued ca.crt is right.";
    SEVERAL_CAS "several-cas" Warning "ca.crt holds one root, and at most intermediates under it besides.";
    // The leaf.
    LEAF_IS_CA "leaf-is-ca" Error "The leaf is not a CA.";
    LEAF_HAS_CA_KEY "leaf-has-ca-key" Error "The leaf's key is not the key of a CA: who serves could sign for everybody.";
    LEAF_KEY_USAGE "leaf-key-usage" Error "The leaf has a keyUsage, with digitalSignature.";
    EXTENDED_KEY_USAGE "extended-key-usage" Error "An extendedKeyUsage of the leaf includes its role.";
    NO_EXTENDED_KEY_USAGE "no-extended-key-usage" Note "The leaf says by an extendedKeyUsage which role it is for.";
    NO_ALT_NAME "no-alt-name" Warning "A server's leaf has a DNS name or address as subject alternative name: clients verify no other.";
    HOST_MISMATCH "host-mismatch" Error "A server's leaf is good for the names and addresses asked for.";
    CHAIN "chain" Error "The leaf leads to ca.crt through signatures, names, path lengths and name constraints that hold.";
    CONFORMANCE "conformance" Error "In the strict profile: certificates and CRLs are what RFC 5280 obliges CAs to issue.";
    // Revocation.
    NO_CRL "no-crl" Warning "There is a CRL: without one, a revoked certificate is served. An authority needs its own to sign anything.";
    MALFORMED_CRL "malformed-crl" Error "Each CRL is an X.509 CRL in strict DER, with well-formed extensions, none twice.";
    CRL_ISSUER "crl-issuer" Warning "Each CRL is issued by a certificate of the chain, or meant for peers under another.";
    CRL_SIGNATURE "crl-signature" Error "Each CRL is signed by its issuer's key, which may sign CRLs.";
    CRL_ALGORITHM "crl-algorithm" Error "CRLs are signed like certificates, with SHA-256 or better.";
    CRL_NOT_YET_VALID "crl-not-yet-valid" Error "The thisUpdate of each CRL has passed.";
    CRL_EXPIRED "crl-expired" Error "The nextUpdate of each CRL is there and has not passed.";
    CRL_EXPIRING "crl-expiring" Warning "No nextUpdate passes within the days of warning, or within the last third of the time from thisUpdate if that is shorter.";
    CRL_NUMBER "crl-number" Warning "Each CRL has a number, positive and at most 20 bytes long, not critical.";
    CRL_SCOPE "crl-scope" Error "Each CRL covers all that its issuer issued: no delta, no part, no other issuers.";
    CRL_EXTENSION "crl-extension" Error "No CRL has a critical extension that is not understood.";
    CRL_COVERAGE "crl-coverage" Error "If there is a CRL, there is one by the issuer of each certificate of the chain.";
    REVOKED "revoked" Error "No certificate of the chain is revoked.";
    // The key.
    MALFORMED_KEY "malformed-key" Error "The private key can be read and used.";
    KEY_ENCRYPTED "key-encrypted" Error "The private key can be decrypted with what was given.";
    KEY_MISMATCH "key-mismatch" Error "The private key belongs to the leaf.";
    // The whole.
    CLOCK "clock" Warning "The clock is not obviously wrong.";
    TLS "tls" Error "The TLS library takes all of it.";
}

/// Rules about what will be, not about what is: they stay warnings in the strict profile.
pub const FORESIGHT: &[Rule] = &[EXPIRING, CRL_EXPIRING, CLOCK];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_in_kebab_case() {
        let mut ids: Vec<_> = RULES.iter().map(|r| r.id).collect();
        assert!(ids.iter().all(|id| id.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')));
        ids.sort_unstable();
        let n = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), n);
    }
}
