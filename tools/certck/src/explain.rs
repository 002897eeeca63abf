//! Why each rule is there, and how to mend what it finds: what `certck rules RULE` adds to the one line of the table.

/// Why a rule matters, and how to mend what breaks it.
pub(crate) struct Reason {
    pub(crate) why: &'static str,
    pub(crate) mend: &'static str,
}

/// The reason for a rule.
pub(crate) fn reason(rule: &str) -> Option<Reason> {
    REASONS.iter().find(|(id, ..)| *id == rule).map(|(_, why, mend)| Reason { why, mend })
}

#[rustfmt::skip]
const REASONS: &[(&str, &str, &str)] = &[
    ("directory", "Nothing can be said of what cannot be read.", "Name the directory that holds ca.crt, the leaf and its key, and run as a user who may list it."),
    ("mode", "Whoever may read the key can be the daemon; whoever may write the root decides whom it trusts.", "chmod 0700 the directory and 0600 the files, or tighter; `permck fix` does it for a whole installation."),
    ("owner", "The owner of a file can change it and its mode at any time.", "chown the directory and its files to the user who runs the program, or to root."),
    ("missing-file", "Without the root, the leaf and its key there is no mutual TLS, and nothing starts.", "Copy the file from where it was issued, or mint the directory again."),
    ("unreadable", "A link, a FIFO or a device can change between the check and the use, or never end.", "Put the file itself there, not a link to it, readable for the user who runs the program."),
    ("unexpected-file", "What lies about was copied too far, and nobody watches over it.", "Move it away, or name the directory that was meant."),
    ("stray-key", "A key that is not used here can only be stolen here; the CA's key makes clients of anybody.", "Move the key where it belongs, and replace what it signs for if others could have read it."),
    ("pem", "A damaged file would be found out in the middle of the night, when the daemon restarts.", "Copy the file again; convert DER with `openssl x509 -inform DER`."),
    ("extra-content", "What a file holds besides is ignored by some programs and used by others.", "Remove what does not belong into the file."),
    ("several-keys", "Programs differ in which of several keys they take.", "Keep the key that belongs to the leaf."),
    ("bundle-order", "Some peers take the first certificate for the leaf and follow the rest as they come.", "Put the leaf first, then the issuer of each; leave the root out."),
    ("malformed-certificate", "Two programs that read one encoding differently can be played off against each other.", "Have the certificate issued again by a CA that writes DER."),
    ("version", "Only version 3 has the extensions that say what a certificate is for.", "Have the certificate issued again, as version 3."),
    ("serial-number", "A CRL names certificates by serial number: one that is odd may never match.", "Have the certificate issued again with a positive serial number of at most 20 bytes."),
    ("weak-key", "A key that can be computed from the certificate protects nothing for the years that it is used.", "Make a new key: `certck mint`, or `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`."),
    ("signature-algorithm", "With SHA-1 and MD5, others can make a second certificate with the same signature.", "Have the certificate issued again, signed with SHA-256 or better."),
    ("not-yet-valid", "Peers refuse it until its time has come.", "Look at the clocks here and where it was issued, or wait."),
    ("expired", "Peers refuse it: nobody watches any more whether its key is still safe.", "Issue it again: `certck mint renew`."),
    ("expiring", "What expires over the weekend stops the service over the weekend.", "Renew it in time: `certck mint renew` from cron."),
    ("long-validity", "The longer a key is good, the longer a stolen one is.", "Issue it again for less time, and renew it automatically."),
    ("critical-extension", "Its issuer says that who does not understand the extension must not use the certificate.", "Have the certificate issued again without it."),
    ("key-identifier", "Programs that choose issuers by these identifiers find another one, or none.", "Have the certificate or CRL issued again by the CA as it is now."),
    ("not-a-ca", "A leaf that signs others' certificates is exactly what basicConstraints are to prevent.", "Put the CA's certificate there, or have it issued again with basicConstraints CA."),
    ("ca-key-usage", "Without cRLSign no CRL of this CA counts, and without keyCertSign no certificate.", "Have the CA's certificate issued again with keyCertSign and cRLSign."),
    ("ca-not-self-signed", "Where the root itself is missing, some peers find no end of the chain.", "Put the self-signed root into ca.crt."),
    ("ca-signature", "A root that does not verify was damaged or forged.", "Copy the root again, from somebody whom you trust."),
    ("several-cas", "Each root is trusted fully: its clients may do everything.", "Remove the roots that issue no peer's certificate."),
    ("leaf-is-ca", "Whoever steals the daemon's key could then issue certificates for everybody.", "Issue a leaf with basicConstraints CA:FALSE."),
    ("leaf-has-ca-key", "Whoever steals the daemon's key could then sign for the CA.", "Make a key for the leaf alone, and keep the CA's key away from the servers."),
    ("leaf-key-usage", "TLS 1.3 signs the handshake: a key that may not sign is refused by strict peers.", "Issue the leaf with keyUsage digitalSignature."),
    ("extended-key-usage", "A client's certificate must not pass for a server's, nor the other way round.", "Issue the leaf with the extendedKeyUsage of its role: serverAuth or clientAuth."),
    ("no-extended-key-usage", "Without it the certificate is good for either role.", "Issue the leaf with the extendedKeyUsage of its role."),
    ("no-alt-name", "Clients compare the host's name with subject alternative names only.", "Issue the server's leaf with its names and addresses: `certck mint --host NAME`."),
    ("host-mismatch", "A client that connects by this name refuses the server.", "Issue the server's leaf for the name: `certck mint --host NAME`."),
    ("chain", "A peer believes a certificate because each step up to its root holds.", "Put the intermediates after the leaf, and the root that the peers share into ca.crt."),
    ("conformance", "What RFC 5280 forbids, one program takes and another refuses.", "Have it issued again by a CA that keeps to RFC 5280."),
    ("no-crl", "Without a CRL, a certificate that was revoked is served like any other.", "Make one with `certck crl new`, or fetch it with `certck crl fetch` from cron."),
    ("malformed-crl", "A list that cannot be read revokes nothing, so nothing is served with it.", "Fetch the list again, or have it made again."),
    ("crl-issuer", "A list of a CA that issued nobody here says nothing about anybody here.", "Put the list of the CA that issued the leaf there."),
    ("crl-signature", "An unsigned list could be anybody's: one without the entry that matters.", "Fetch the list from the CA itself."),
    ("crl-algorithm", "A signature that can be forged is none.", "Have the list made again, signed with SHA-256 or better."),
    ("crl-not-yet-valid", "A list from the future was made by a clock that is wrong.", "Look at the clock of the machine that made it."),
    ("crl-expired", "An old list does not name what was revoked since: an attacker would like it kept.", "Make a new one with `certck crl new`, or fetch it with `certck crl fetch` from cron."),
    ("crl-expiring", "When the list expires, everything is refused.", "Renew it in time: `certck crl new` or `certck crl fetch` from cron."),
    ("crl-number", "By the number a newer list is told from an older one that somebody puts back.", "Have the list made again with a number."),
    ("crl-scope", "A list of a part does not say what is revoked besides.", "Use the CA's complete list."),
    ("crl-extension", "Its issuer says that who does not understand the extension must not use the list.", "Have the list made again without it."),
    ("crl-coverage", "Once there are lists, a certificate about which none says anything is refused.", "Append the list of each CA in the chain to ca.crl."),
    ("revoked", "Somebody decided that this certificate must not be served any more.", "Issue a new key and certificate if its holder may come in again: `certck mint renew --revoked`."),
    ("malformed-key", "Without a key that works there is no handshake.", "Issue a new key and certificate, or convert the key with `openssl pkcs8 -topk8`."),
    ("key-encrypted", "A key that does not open is of no use to the program that starts unattended.", "Give the passphrase with --passphrase-file or --passphrase-fd; convert old forms with `openssl pkcs8 -topk8 -v2 aes-256-cbc`."),
    ("key-mismatch", "Certificate and key were replaced one without the other.", "Put the certificate and its key there together; `certck show` prints the hash by which they match."),
    ("clock", "Every verdict on a validity is only as right as the clock.", "Set the clock, and keep it right."),
    ("tls", "The library that shakes hands has the last word.", "Issue the certificate again; and report it, since another rule should have said so."),
    ("crl-older", "A list that somebody puts back lets in what was revoked since.", "Look at who answers at the address; keep the present list."),
    ("ocsp-answer", "An answer that anybody could have made says nothing.", "Look into the responder, and at who answers in its place."),
    ("ocsp-unknown", "The responder has never heard of the certificate: it is forged, or the responder is another CA's.", "Ask the CA whether it issued this certificate."),
    ("no-responder", "A certificate that names no responder can be revoked by a CRL only.", "Use a CRL, or name the responder with --url."),
    ("no-tls", "Without TLS nobody knows who is at the other end, and everybody on the way can read along.", "See that the port is the daemon's, and that it was started with --certs-dir."),
    ("no-client-auth", "Whoever reaches the port can do what a client can do.", "Start the daemon with --certs-dir."),
    ("wrong-client-accepted", "A daemon that looks at certificates and takes every one protects nothing.", "Give the daemon the right ca.crt and a CRL that is in force."),
    ("client-refused", "The clients that were issued certificates cannot use them.", "See that both ends have the same ca.crt, and CRLs that are in force."),
    ("obsolete-tls", "TLS before 1.2 signs the handshake with SHA-1 and MD5 and encrypts with ciphers that are broken.", "Replace the daemon, or what terminates TLS in front of it."),
    ("tls-1.2", "TLS 1.2 shows certificates in the clear, and can be spoken badly.", "Start the daemon without --tls-min 1.2 once no peer needs it."),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmd::rules::all;

    #[test]
    fn every_rule_has_a_reason_and_every_reason_a_rule() {
        let without: Vec<_> = all().map(|(r, _)| r.id).filter(|id| reason(id).is_none()).collect();
        assert!(without.is_empty(), "{without:?}");
        assert!(REASONS.iter().all(|(id, ..)| all().any(|(rule, _)| rule.id == *id)));
    }
}
