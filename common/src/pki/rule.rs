//! Every rule that a certificate directory is held to: one table, used to find, to document and to test.

use crate::finding::{Finding, Severity};
use crate::rule::Rule;

/// A finding of the permission table with the reference of its rule here.
pub(in crate::pki) fn with_reference(mut finding: Finding) -> Finding {
    if let Some(rule) = RULES.iter().find(|rule| rule.id == finding.rule) {
        finding.reference = rule.reference.to_owned();
    }
    finding
}

macro_rules! rules {
    ($($name:ident $id:literal $severity:ident $what:literal
        why $why:literal fix $fix:literal reference $reference:literal;)*) => {
        $(#[doc = $what] pub const $name: Rule = Rule {
            id: $id,
            severity: Severity::$severity,
            what: $what,
            why: $why,
            fix: $fix,
            reference: $reference,
        };)*
        /// All of them.
        pub const RULES: &[Rule] = &[$($name),*];
    };
}

rules! {
    // Files, checked before they are read.
    DIRECTORY "directory" Error
        "The directory exists, is a directory and can be listed."
        why "A directory that cannot be read cannot be checked, and no program starts with it."
        fix "Name the directory that holds ca.crt, the leaf and its key, and run certck as a user who may list it."
        reference "path_resolution(7)";
    MODE "mode" Error
        "No file or directory allows more than its class in the permission table: 0700 for the directory, 0600 for files."
        why "A user who can read the key can impersonate its holder; one who can write ca.crt decides who is trusted."
        fix "chmod 0700 DIR && chmod 0600 DIR/*; `permck fix` does it for a whole installation."
        reference "msMonitor security statement, rows key_dir and key_file (profguard-policy(5))";
    KEY_READABLE "key-readable" Error
        "No other user can read the private key."
        why "Every user who can read the file can use the key, and everyone who has read it keeps it after the mode is changed."
        fix "Replace the key with `certck mint renew --all CA_DIR DIR`, revoke the old certificate, and chmod 0600 the key."
        reference "msMonitor security statement, row key_file (profguard-policy(5))";
    OWNER "owner" Error
        "The owner is the user who runs the program, or root."
        why "The owner of a file can change its content and its mode at any time."
        fix "chown the directory and its files to the user who runs the program, or to root."
        reference "msMonitor security statement, row input files (profguard-policy(5))";
    MISSING_FILE "missing-file" Error
        "The root, the leaf and the leaf's private key exist."
        why "Without the root, the leaf and its key there is no mutual TLS, and the program does not start."
        fix "Copy the file from where it was issued, or make the directory again with `certck mint leaf`."
        reference "RFC 8446, section 4.4.2";
    UNREADABLE "unreadable" Error
        "Each file is a regular file, not a symbolic link, that can be read and is at most 1 MiB, or --max-crl-bytes for CRLs."
        why "The target of a symbolic link can change between the check and the use, and a FIFO or device may never end."
        fix "Put the file itself there instead of a link, readable for the user who runs the program."
        reference "msMonitor security statement, row input files (profguard-policy(5))";
    UNEXPECTED_FILE "unexpected-file" Warning
        "The directory holds only the root, the leaf, its private key and the CRL."
        why "Other files were copied by accident, and are neither renewed nor checked."
        fix "Move the file away, or name the directory that was meant."
        reference "msMonitor security statement, row certificates";
    STRAY_KEY "stray-key" Error
        "The directory holds no private key other than the leaf's, and never the CA's."
        why "An unused key can be stolen all the same; with the CA's key, a thief can issue certificates for anyone."
        fix "Move the key to where it is used, and replace what it signs for if others could have read it."
        reference "msMonitor security statement, row certificates";
    // Content of the files.
    PEM "pem" Error
        "Each file is well-formed PEM and holds what its name says."
        why "A program that cannot read one of its files does not start."
        fix "Copy the file again; convert DER with `openssl x509 -inform DER -in FILE`."
        reference "RFC 7468, section 2";
    EXTRA_CONTENT "extra-content" Warning
        "A file holds only what its name says."
        why "Some programs ignore additional blocks, others use them."
        fix "Remove the blocks that do not belong in the file."
        reference "RFC 7468, section 2";
    SEVERAL_KEYS "several-keys" Error
        "The key file holds one private key."
        why "Programs differ in which of several keys they use."
        fix "Keep the key that belongs to the leaf; `certck show` prints the hash by which the two match."
        reference "RFC 7468, section 10";
    BUNDLE_ORDER "bundle-order" Warning
        "The leaf comes first (else it is an error), then each certificate's issuer; certificates of ca.crt are left out."
        why "Some peers take the first certificate as the leaf and expect each one to be issued by the next."
        fix "Put the leaf first, then the issuer of each; leave the root out."
        reference "RFC 8446, section 4.4.2";
    // Every certificate.
    MALFORMED_CERTIFICATE "malformed-certificate" Error
        "Each certificate is X.509 in strict DER, with well-formed extensions, each at most once."
        why "Two programs can read a certificate that is not DER differently, and one of them accept what the other rejects."
        fix "Have the certificate issued again by a CA that writes DER."
        reference "RFC 5280, section 4.1";
    VERSION "version" Error
        "Each certificate is X.509 version 3."
        why "Only version 3 has the extensions that say what a certificate may be used for."
        fix "Have the certificate issued again, as version 3."
        reference "RFC 5280, section 4.1.2.1";
    SERIAL_NUMBER "serial-number" Error
        "Serial numbers are positive and at most 20 bytes long."
        why "A CRL names certificates by serial number, and programs compare malformed ones differently."
        fix "Have the certificate issued again with a positive serial number of at most 20 bytes."
        reference "RFC 5280, section 4.1.2.2";
    WEAK_KEY "weak-key" Error
        "Keys are RSA of 3072 to 8192 bits, EC on P-256, P-384 or P-521, or Ed25519."
        why "A shorter key can be broken within the years in which it is used."
        fix "Make a new key: `certck mint leaf`, or `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`."
        reference "msMonitor security statement, certificates: RSA of at least 3072 bits";
    SIGNATURE_ALGORITHM "signature-algorithm" Error
        "Signatures are RSA (PKCS#1 or PSS), ECDSA or Ed25519 with SHA-256 or better."
        why "With SHA-1 or MD5, an attacker can make a second certificate that has the same signature."
        fix "Have the certificate issued again, signed with SHA-256 or better."
        reference "RFC 8446, section 4.4.2.4";
    NOT_YET_VALID "not-yet-valid" Error
        "The notBefore of each certificate has passed."
        why "Peers reject the certificate until its notBefore."
        fix "Check the clocks here and where it was issued (`timedatectl`), or wait."
        reference "RFC 5280, section 6.1.3";
    EXPIRED "expired" Error
        "The notAfter of each certificate has not passed."
        why "Peers reject an expired certificate."
        fix "certck mint renew CA_DIR DIR"
        reference "RFC 5280, section 6.1.3";
    EXPIRING "expiring" Warning
        "No certificate expires within --warn-days; by default 30 days, or the last third of its validity if that is shorter."
        why "From its notAfter on, peers reject the certificate and the service stops."
        fix "certck mint renew CA_DIR DIR, from cron"
        reference "RFC 5280, section 4.1.2.5";
    LONG_VALIDITY "long-validity" Warning
        "Leaves are valid for at most 825 days, CAs for at most 25 years."
        why "A stolen key can be used as long as its certificate is valid."
        fix "Issue it again with fewer --days, and renew it from cron with `certck mint renew`."
        reference "CA/Browser Forum Baseline Requirements, section 6.3.2";
    CRITICAL_EXTENSION "critical-extension" Error
        "Every critical extension is one that certck understands."
        why "Peers must reject a certificate with a critical extension that they do not understand."
        fix "Have the certificate issued again without the extension."
        reference "RFC 5280, section 4.2";
    KEY_IDENTIFIER "key-identifier" Error
        "The authority key identifiers of certificates and CRLs are those of their issuers."
        why "Programs that find issuers by these identifiers, OpenSSL among them, find another one or none."
        fix "Have the certificate or CRL issued again by the CA as it is now."
        reference "RFC 5280, section 4.2.1.1";
    // The root.
    NOT_A_CA "not-a-ca" Error
        "ca.crt and intermediates are CAs by their basicConstraints."
        why "Peers reject certificates that are issued by a certificate which is not a CA."
        fix "Put the CA's certificate there, or have it issued again with basicConstraints CA:TRUE."
        reference "RFC 5280, section 4.2.1.9";
    CA_KEY_USAGE "ca-key-usage" Error
        "The keyUsage of ca.crt has keyCertSign and cRLSign, of intermediates keyCertSign."
        why "Without keyCertSign peers reject the certificates of this CA, without cRLSign its CRLs."
        fix "Have the CA's certificate issued again with keyCertSign and cRLSign."
        reference "RFC 5280, section 4.2.1.3";
    CA_NOT_SELF_SIGNED "ca-not-self-signed" Warning
        "ca.crt holds the self-signed root of each certificate in it."
        why "OpenSSL does not accept an intermediate as trust anchor unless -partial_chain is given."
        fix "Put the self-signed root into ca.crt."
        reference "openssl-verification-options(1), -partial_chain";
    CA_SIGNATURE "ca-signature" Error
        "The signature of a self-issued ca.crt verifies."
        why "A root whose signature does not verify is damaged or forged."
        fix "Copy the root again, over a channel that you trust."
        reference "RFC 5280, section 4.1.1.3";
    SEVERAL_CAS "several-cas" Warning
        "ca.crt holds one root, and besides it only intermediates under it."
        why "Each root is fully trusted: every client certificate under any of them is accepted."
        fix "Remove the roots that issue no peer's certificate; during a rollover, `certck mint rollover finish` does."
        reference "RFC 5280, section 6.2";
    // The leaf.
    LEAF_IS_CA "leaf-is-ca" Error
        "The leaf is not a CA."
        why "A thief of the daemon's key could issue certificates for anyone."
        fix "Issue a leaf with basicConstraints CA:FALSE: `certck mint leaf`."
        reference "RFC 5280, section 4.2.1.9";
    LEAF_HAS_CA_KEY "leaf-has-ca-key" Error
        "The leaf's key is not the key of a CA."
        why "A thief of the daemon's key could sign as the CA."
        fix "Make a key for the leaf alone with `certck mint leaf`, and keep the CA's key away from the servers."
        reference "RFC 5280, section 8";
    LEAF_KEY_USAGE "leaf-key-usage" Error
        "The leaf has a keyUsage, with digitalSignature."
        why "TLS 1.3 signs the handshake with the leaf's key: peers reject a leaf that may not sign."
        fix "Issue the leaf with keyUsage digitalSignature: `certck mint leaf`."
        reference "RFC 8446, section 4.4.2.2";
    EXTENDED_KEY_USAGE "extended-key-usage" Error
        "An extendedKeyUsage of the leaf includes its role."
        why "Peers reject a server's certificate without serverAuth and a client's without clientAuth."
        fix "Issue the leaf with the extendedKeyUsage of its role: `certck mint leaf --role ROLE`."
        reference "RFC 5280, section 4.2.1.12";
    NO_EXTENDED_KEY_USAGE "no-extended-key-usage" Note
        "The leaf has an extendedKeyUsage."
        why "Without it, a client's certificate is valid for a server too, and the other way round."
        fix "Issue the leaf with the extendedKeyUsage of its role: `certck mint leaf --role ROLE`."
        reference "RFC 5280, section 4.2.1.12";
    NO_ALT_NAME "no-alt-name" Warning
        "A server's leaf has a DNS name or IP address as subject alternative name."
        why "Clients compare the host name with subject alternative names only, so none of them can connect by name."
        fix "certck mint leaf --role server --host NAME CA_DIR DEST_DIR"
        reference "RFC 9525, section 4.1";
    UNMATCHABLE_NAME "unmatchable-name" Warning
        "Each DNS name and address of a server's leaf is one that a client can ask for."
        why "Clients compare addresses with IP names only, and reject malformed names and wildcards: they cannot connect."
        fix "certck mint leaf --role server --host NAME CA_DIR DEST_DIR"
        reference "RFC 9525, section 6.3";
    HOST_MISMATCH "host-mismatch" Error
        "A server's leaf is valid for every name and address given with --host."
        why "A client that connects by this name rejects the server."
        fix "certck mint leaf --role server --host NAME CA_DIR DEST_DIR"
        reference "RFC 9525, section 6";
    CHAIN "chain" Error
        "The leaf chains to ca.crt: signatures, names, path lengths and name constraints hold."
        why "Peers reject a leaf that does not chain to a root that they trust."
        fix "Put the intermediates after the leaf, and the root that the peers share into ca.crt."
        reference "RFC 5280, section 6.1";
    CONFORMANCE "conformance" Error
        "In the strict profile: certificates and CRLs are what RFC 5280 obliges CAs to issue."
        why "Programs differ in whether they accept what RFC 5280 forbids."
        fix "Have it issued again by a CA that conforms to RFC 5280."
        reference "RFC 5280, section 4";
    // Revocation.
    NO_CRL "no-crl" Warning
        "There is a CRL. An authority needs its own to sign anything."
        why "Without a CRL, a revoked certificate is accepted like any other."
        fix "certck crl fetch DIR, from cron; or `certck crl new --to DIR CA_DIR`"
        reference "RFC 5280, section 3.3";
    MALFORMED_CRL "malformed-crl" Error
        "Each CRL is an X.509 CRL in strict DER, with well-formed extensions, each at most once."
        why "A CRL that cannot be read revokes nothing, so no connection is accepted with it."
        fix "certck crl fetch DIR; or have the CRL made again"
        reference "RFC 5280, section 5.1";
    CRL_ISSUER "crl-issuer" Warning
        "Each CRL is issued by a CA of the chain, or is for peers under another CA."
        why "A CRL says nothing about certificates of other issuers."
        fix "Put the CRL of the CA that issued the leaf there: `certck crl fetch DIR`."
        reference "RFC 5280, section 5.1.2.3";
    CRL_SIGNATURE "crl-signature" Error
        "Each CRL is signed by its issuer's key, which may sign CRLs."
        why "A CRL whose signature does not verify may be forged, without the entry that matters."
        fix "certck crl fetch DIR"
        reference "RFC 5280, section 5.1.1.3";
    CRL_ALGORITHM "crl-algorithm" Error
        "CRLs are signed like certificates, with SHA-256 or better."
        why "A CRL that is signed with a weak hash can be forged."
        fix "Have the CRL made again, signed with SHA-256 or better."
        reference "RFC 5280, section 5.1.1.2";
    CRL_NOT_YET_VALID "crl-not-yet-valid" Error
        "The thisUpdate of each CRL has passed."
        why "Peers reject a CRL whose thisUpdate lies in the future."
        fix "Check the clock of the machine that made it (`timedatectl`)."
        reference "RFC 5280, section 5.1.2.4";
    CRL_EXPIRED "crl-expired" Error
        "Each CRL has a nextUpdate, which has not passed."
        why "An expired CRL lacks what was revoked since, so every connection is rejected."
        fix "certck crl fetch DIR, from cron; or `certck crl new --to DIR CA_DIR`"
        reference "RFC 5280, section 5.1.2.5";
    CRL_EXPIRING "crl-expiring" Warning
        "No CRL expires within --warn-days; by default 30 days, or the last third of its validity if that is shorter."
        why "From its nextUpdate on, every connection is rejected."
        fix "certck crl fetch DIR, from cron; or `certck crl new --to DIR CA_DIR`"
        reference "RFC 5280, section 5.1.2.5";
    CRL_NUMBER "crl-number" Warning
        "Each CRL has a number, positive and at most 20 bytes long, not critical."
        why "Without a number, an older CRL that is put back cannot be distinguished from a newer one."
        fix "Have the CRL made again with a number: `certck crl new --to DIR CA_DIR`."
        reference "RFC 5280, section 5.2.3";
    CRL_SCOPE "crl-scope" Error
        "Each CRL is complete for its issuer: not a delta, not partitioned, not indirect (a note: not for one distribution point)."
        why "A CRL of a part does not say what else is revoked."
        fix "Use the CA's complete CRL."
        reference "RFC 5280, section 5.2.5";
    CRL_EXTENSION "crl-extension" Error
        "Every critical extension of a CRL is one that certck understands."
        why "Peers must not use a CRL with a critical extension that they do not understand."
        fix "Have the CRL made again without the extension."
        reference "RFC 5280, section 5.2";
    CRL_COVERAGE "crl-coverage" Error
        "If there is a CRL, there is one by the issuer of each certificate of the chain."
        why "As soon as there are CRLs, a certificate that none of them covers is rejected."
        fix "Append the CRL of each CA in the chain to ca.crl: `certck crl fetch DIR`."
        reference "RFC 5280, section 6.3.3";
    REVOKED "revoked" Error
        "No certificate of the chain is revoked."
        why "Peers reject a revoked certificate."
        fix "certck mint renew --revoked CA_DIR DIR, if its holder may have a new key and certificate"
        reference "RFC 5280, section 5.1.2.6";
    // The key.
    MALFORMED_KEY "malformed-key" Error
        "The private key can be read and used."
        why "Without a usable key there is no handshake."
        fix "Issue a new key and certificate, or convert the key: `openssl pkcs8 -topk8 -nodes -in FILE`."
        reference "RFC 5958, section 2";
    KEY_ENCRYPTED "key-encrypted" Error
        "The private key can be decrypted with the passphrase given."
        why "A program that cannot decrypt its key does not start."
        fix "Give the passphrase with --passphrase-file or --passphrase-fd; convert old formats with `openssl pkcs8 -topk8 -v2 aes-256-cbc`."
        reference "RFC 5958, section 3";
    KEY_MISMATCH "key-mismatch" Error
        "The private key belongs to the leaf."
        why "The handshake fails: its signature does not verify with the leaf's public key."
        fix "Put the certificate and its key there together; `certck show` prints the hash by which the two match."
        reference "RFC 8446, section 4.4.3";
    // The whole.
    CLOCK "clock" Warning
        "The clock shows a time after certck was released."
        why "With a wrong clock, every verdict about a validity is wrong."
        fix "timedatectl set-ntp true"
        reference "RFC 5280, section 6.1.1";
    TLS "tls" Error
        "The TLS library accepts the chain."
        why "Every handshake fails if the library rejects the chain."
        fix "Issue the certificate again without what the library rejects."
        reference "RFC 8446, section 4.4.2.4";
}

/// Rules about the future: they stay warnings in the strict profile.
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

    #[test]
    fn every_rule_says_why_how_to_fix_and_where_it_comes_from() {
        for rule in RULES {
            let sentences = [rule.what, rule.why];
            assert!(sentences.iter().all(|s| s.ends_with('.') && s.len() > 20), "{}", rule.id);
            assert!(!rule.fix.is_empty() && !rule.reference.is_empty(), "{}", rule.id);
            // A reference to an RFC names a section.
            let is_rfc = rule.reference.starts_with("RFC ");
            assert_eq!(is_rfc, rule.reference.contains(", section ") && !rule.reference.contains("Baseline"));
            assert_eq!(rule.at(std::path::Path::new("x")).reference, rule.reference);
        }
    }
}
