//! Every rule, and the command that applies it: those of directories, which are `common`'s, and those that only a
//! download, an OCSP responder or a live daemon can break.

use common::finding::Severity;
use common::pki::rule::RULES;
use common::rule::Rule;

pub(crate) const CRL_OLDER: Rule = Rule {
    id: "crl-older",
    severity: Severity::Error,
    what: "A CRL that is fetched is neither older than the present one nor numbered lower.",
    why: "An older CRL lacks what was revoked since, and those clients would be accepted again.",
    fix: "Check which server answers at the address, and keep the present CRL.",
    reference: "RFC 5280, section 5.2.3",
};

/// The rules that only a fetched CRL can break.
pub(crate) static FETCH_RULES: [Rule; 1] = [CRL_OLDER];

pub(crate) const OCSP_ANSWER: Rule = Rule {
    id: "ocsp-answer",
    severity: Severity::Error,
    what: "The OCSP response is signed by an authorized responder, about the certificate, and in force.",
    why: "Anyone on the way can forge a response that is not signed by an authorized responder.",
    fix: "Check the responder, and which server answers in its place.",
    reference: "RFC 6960, section 3.2",
};
pub(crate) const OCSP_UNKNOWN: Rule = Rule {
    id: "ocsp-unknown",
    severity: Severity::Error,
    what: "The OCSP responder knows the certificate.",
    why: "A certificate that its CA's responder does not know is forged, or the responder is another CA's.",
    fix: "Ask the CA whether it issued this certificate.",
    reference: "RFC 6960, section 2.2",
};
pub(crate) const NO_RESPONDER: Rule = Rule {
    id: "no-responder",
    severity: Severity::Note,
    what: "Each certificate names an OCSP responder.",
    why: "Without a responder, the certificate can be revoked by a CRL only.",
    fix: "certck ocsp --url URL PATH, or use a CRL",
    reference: "RFC 5280, section 4.2.2.1",
};

/// The rules that only an OCSP response can show broken.
pub(crate) static OCSP_RULES: [Rule; 3] = [OCSP_ANSWER, OCSP_UNKNOWN, NO_RESPONDER];

pub(crate) const NO_TLS: Rule = Rule {
    id: "no-tls",
    severity: Severity::Error,
    what: "The daemon speaks TLS.",
    why: "Without TLS neither end knows its peer, and anyone on the way can read and change the traffic.",
    fix: "profd --certs-dir DIR; and check that the port is the daemon's",
    reference: "RFC 8446, section 1",
};
pub(crate) const NO_CLIENT_AUTH: Rule = Rule {
    id: "no-client-auth",
    severity: Severity::Error,
    what: "The daemon accepts no client without a certificate.",
    why: "Everyone who can reach the port can do what a client can do.",
    fix: "profd --certs-dir DIR",
    reference: "RFC 8446, section 4.3.2",
};
pub(crate) const WRONG_CLIENT_ACCEPTED: Rule = Rule {
    id: "wrong-client-accepted",
    severity: Severity::Error,
    what: "The daemon rejects client certificates that are by an unknown CA, expired, revoked or not for clients.",
    why: "A daemon that accepts invalid certificates can be used by anyone who makes one.",
    fix: "Give the daemon the right ca.crt, and a CRL that is in force: `certck crl fetch DIR`.",
    reference: "RFC 5280, section 6.1",
};
pub(crate) const CLIENT_REFUSED: Rule = Rule {
    id: "client-refused",
    severity: Severity::Error,
    what: "The daemon accepts a valid client certificate.",
    why: "Clients with certificates of this CA cannot use the daemon.",
    fix: "Check that both ends have the same ca.crt, and CRLs that are in force: `certck check DIR`.",
    reference: "RFC 8446, section 4.4.2.4",
};
pub(crate) const OBSOLETE_TLS: Rule = Rule {
    id: "obsolete-tls",
    severity: Severity::Error,
    what: "The daemon speaks no TLS before 1.2.",
    why: "TLS 1.1 and 1.0 sign the handshake with SHA-1 and MD5, and have no authenticated encryption.",
    fix: "Replace the daemon, or what terminates TLS in front of it.",
    reference: "RFC 8996, section 5",
};
pub(crate) const OLD_TLS: Rule = Rule {
    id: "tls-1.2",
    severity: Severity::Note,
    what: "The daemon speaks TLS 1.3 only.",
    why: "TLS 1.2 sends certificates unencrypted, and has weak configurations.",
    fix: "Start `profd` without `--tls-min 1.2` as soon as no peer needs it.",
    reference: "RFC 8446, section 1.2",
};

/// The rules that only a live daemon can break.
pub(crate) static PROBE_RULES: [Rule; 6] =
    [NO_TLS, NO_CLIENT_AUTH, WRONG_CLIENT_ACCEPTED, CLIENT_REFUSED, OBSOLETE_TLS, OLD_TLS];

/// A command that applies rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RuleCommand {
    Check,
    CrlFetch,
    Ocsp,
    Probe,
}

impl RuleCommand {
    /// The command as one types it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::CrlFetch => "crl fetch",
            Self::Ocsp => "ocsp",
            Self::Probe => "probe",
        }
    }
}

/// Every rule, and the command that applies it.
pub(crate) fn all_rules() -> impl Iterator<Item = (&'static Rule, RuleCommand)> {
    let groups = [
        (RULES, RuleCommand::Check),
        (&FETCH_RULES[..], RuleCommand::CrlFetch),
        (&OCSP_RULES, RuleCommand::Ocsp),
        (&PROBE_RULES, RuleCommand::Probe),
    ];
    groups.into_iter().flat_map(|(rules, command)| rules.iter().map(move |rule| (rule, command)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_rule_has_an_id_of_its_own_and_says_why_and_how_to_fix() {
        let mut ids = HashSet::new();
        for (rule, command) in all_rules() {
            assert!(ids.insert(rule.id), "{}", rule.id);
            assert!(rule.what.ends_with('.') && rule.why.ends_with('.'), "{}", rule.id);
            assert!(!rule.fix.is_empty() && !rule.reference.is_empty(), "{}", rule.id);
            assert!(!rule.reference.starts_with("RFC ") || rule.reference_uri().is_some(), "{}", rule.id);
            assert!(command == RuleCommand::Check || rule.reference_uri().is_some(), "{}", rule.id);
        }
    }
}
