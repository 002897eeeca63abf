//! The access rules, which map clients to permissions.
//!
//! The rules are tried in order; the first that matches a client decides, and a client that no rule matches may do
//! nothing. Without rules every client may do everything.

use std::collections::BTreeSet;

use common::rpc::config::Config;
use common::rpc::message::Request;

use super::audit::cut_subject;
use super::output_roots::{OutputRoots, records_trace};
use super::process_scope::ProcessScope;

/// The identity of a client, by its certificate. All texts are compared exactly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClientIdentity {
    /// By RFC 4514, the last part first.
    pub(crate) subject: String,
    pub(crate) issuer: String,
    /// SHA-256 of the certificate in lower-case hexadecimal.
    pub(crate) fingerprint: String,
    /// Subject alternative names such as `DNS:node1` and `URI:spiffe://a/b`.
    pub(crate) alternative_names: Vec<String>,
}

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Permission {
    /// Status, version and metrics.
    Read,
    /// Traces.
    Trace,
    /// Monitoring of devices.
    Monitor,
    /// Everything else that changes the daemon or the host.
    Admin,
}

/// The clients that a rule is for: those that match every list that is not empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClientPattern {
    pub(crate) subjects: Vec<String>,
    pub(crate) issuers: Vec<String>,
    pub(crate) fingerprints: Vec<String>,
    pub(crate) alternative_names: Vec<String>,
    /// Clients without a certificate, on plain TCP.
    pub(crate) is_plain: bool,
}

/// One rule.
#[derive(Clone, Debug)]
pub(crate) struct AccessRule {
    pub(crate) name: String,
    pub(crate) clients: ClientPattern,
    pub(crate) permissions: BTreeSet<Permission>,
    pub(crate) scope: ProcessScope,
    /// Where processes may write; `None` for the daemon's own directories.
    pub(crate) output_roots: Option<OutputRoots>,
    /// Maximum number of requests of one client in a minute.
    pub(crate) requests_per_minute: Option<u32>,
}

/// The permissions of a client.
#[derive(Clone, Debug)]
pub(crate) enum Access<'a> {
    /// Everything: no rules file is given.
    Unlimited,
    Rule(&'a AccessRule),
}

/// The rules in order; `None` without a file.
#[derive(Clone, Debug, Default)]
pub(crate) struct AccessRules(pub(crate) Option<Vec<AccessRule>>);

impl Permission {
    /// Returns the permissions that a request needs, all of them.
    pub(crate) fn needed_for(request: &Request) -> &'static [Self] {
        match request {
            Request::Version
            | Request::Status { .. }
            | Request::Processes(_)
            | Request::Health
            | Request::ConfigStates { .. }
            | Request::Metrics(_)
            | Request::Clock => &[Self::Read],
            Request::DcgmPause { .. } | Request::DcgmResume => &[Self::Admin],
            Request::OnDemand(request) => {
                let config = Config::parse(&request.config).unwrap_or_default();
                match (config.is_monitor(), records_trace(&config)) {
                    (true, false) => &[Self::Monitor],
                    (true, true) => &[Self::Monitor, Self::Trace],
                    (false, _) => &[Self::Trace],
                }
            }
        }
    }

    /// Returns whether a request changes nothing.
    pub(crate) fn only_reads(request: &Request) -> bool {
        Self::needed_for(request) == [Self::Read]
    }

    /// Returns the word in rules and replies.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Trace => "trace",
            Self::Monitor => "monitor",
            Self::Admin => "admin",
        }
    }
}

impl AccessRules {
    /// Checks that some rule is for the clients that there are. `has_tls`: they have certificates.
    ///
    /// # Errors
    /// No client could do anything.
    pub(crate) fn check_clients(&self, has_tls: bool) -> Result<(), &'static str> {
        let Some(rules) = &self.0 else { return Ok(()) };
        match (has_tls, rules.iter().any(|rule| rule.clients.is_plain != has_tls)) {
            (_, true) => Ok(()),
            (true, false) => Err("no rule is for clients with a certificate, so no client could do anything"),
            (false, false) => Err(
                "no rule has plain = true, so no client could do anything: with NO_CERTS clients have no certificate",
            ),
        }
    }

    /// Finds what a client may do; `None` for a client without a certificate.
    ///
    /// # Errors
    /// No rule matches.
    pub(crate) fn find(&self, client: Option<&ClientIdentity>) -> Result<Access<'_>, String> {
        let Some(rules) = &self.0 else { return Ok(Access::Unlimited) };
        let found = rules.iter().find(|rule| rule.clients.matches(client));
        found.map(Access::Rule).ok_or_else(|| {
            let who = client.map_or("a client without a certificate".into(), |c| cut_subject(&c.subject));
            format!("no access rule is for {who}")
        })
    }
}

impl Access<'_> {
    /// Checks whether a request is allowed.
    ///
    /// # Errors
    /// The reason, for the client.
    pub(crate) fn check(&self, needed: &[Permission]) -> Result<(), String> {
        let Self::Rule(rule) = self else { return Ok(()) };
        match needed.iter().find(|permission| !rule.permissions.contains(permission)) {
            Some(missing) => Err(format!("access rule {} does not allow {}", rule.name, missing.name())),
            None => Ok(()),
        }
    }

    /// Returns the processes that the client may see and trace.
    pub(crate) fn scope(&self) -> ProcessScope {
        match self {
            Self::Unlimited => ProcessScope::default(),
            Self::Rule(rule) => rule.scope.clone(),
        }
    }

    /// Returns the directories that the rule allows, instead of the daemon's.
    pub(crate) fn output_roots(&self) -> Option<&OutputRoots> {
        match self {
            Self::Unlimited => None,
            Self::Rule(rule) => rule.output_roots.as_ref(),
        }
    }

    /// Returns the name of the rule.
    pub(crate) fn rule_name(&self) -> Option<&str> {
        match self {
            Self::Unlimited => None,
            Self::Rule(rule) => Some(&rule.name),
        }
    }

    /// Returns the maximum number of requests in a minute.
    pub(crate) fn requests_per_minute(&self) -> Option<u32> {
        match self {
            Self::Unlimited => None,
            Self::Rule(rule) => rule.requests_per_minute,
        }
    }
}

impl ClientPattern {
    /// Returns whether it is for every client that `other` is for.
    pub(crate) fn includes(&self, other: &Self) -> bool {
        let lists = |pattern: &Self| {
            [&pattern.subjects, &pattern.issuers, &pattern.fingerprints, &pattern.alternative_names]
                .map(Clone::clone)
        };
        let includes = |own: &Vec<String>, others: &Vec<String>| {
            own.is_empty() || (!others.is_empty() && others.iter().all(|value| own.contains(value)))
        };
        self.is_plain == other.is_plain
            && lists(self).iter().zip(lists(other).iter()).all(|(own, others)| includes(own, others))
    }

    fn matches(&self, client: Option<&ClientIdentity>) -> bool {
        let Some(client) = client else { return self.is_plain };
        let lists = [&self.subjects, &self.issuers, &self.fingerprints, &self.alternative_names];
        let holds =
            |list: &[String], values: &[String]| list.is_empty() || values.iter().any(|v| list.contains(v));
        !self.is_plain
            && lists.iter().any(|list| !list.is_empty())
            && holds(&self.subjects, std::slice::from_ref(&client.subject))
            && holds(&self.issuers, std::slice::from_ref(&client.issuer))
            && holds(&self.fingerprints, std::slice::from_ref(&client.fingerprint))
            && holds(&self.alternative_names, &client.alternative_names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(subject: &str) -> ClientIdentity {
        ClientIdentity {
            subject: subject.to_owned(),
            issuer: "CN=CA".to_owned(),
            fingerprint: "ab".to_owned(),
            alternative_names: vec!["DNS:a".to_owned(), "DNS:b".to_owned()],
        }
    }

    fn rule(name: &str, clients: ClientPattern) -> AccessRule {
        AccessRule {
            name: name.to_owned(),
            clients,
            permissions: [Permission::Read].into(),
            scope: ProcessScope::default(),
            output_roots: None,
            requests_per_minute: None,
        }
    }

    fn list(values: &[&str]) -> Vec<String> {
        values.iter().map(|v| (*v).to_owned()).collect()
    }

    #[test]
    fn the_first_rule_that_matches_decides_and_no_rule_allows_nothing() {
        let by_subject = ClientPattern { subjects: list(&["CN=alice"]), ..ClientPattern::default() };
        let by_names = ClientPattern {
            alternative_names: list(&["DNS:x", "DNS:b"]),
            issuers: list(&["CN=CA"]),
            ..ClientPattern::default()
        };
        let plain = ClientPattern { is_plain: true, ..ClientPattern::default() };
        let rules =
            AccessRules(Some(vec![rule("first", by_subject), rule("names", by_names), rule("plain", plain)]));
        let name = |c: Option<&ClientIdentity>| rules.find(c).unwrap().rule_name().unwrap().to_owned();
        assert_eq!(name(Some(&client("CN=alice"))), "first");
        assert_eq!(name(Some(&client("CN=alice,O=x"))), "names");
        assert_eq!(name(None), "plain");
        let stranger = ClientIdentity { issuer: "CN=other".into(), ..client("CN=bob") };
        assert!(rules.find(Some(&stranger)).unwrap_err().contains("CN=bob"));
        assert!(AccessRules::default().find(Some(&stranger)).is_ok());
        assert!(
            AccessRules(Some(vec![rule("empty", ClientPattern::default())])).find(Some(&stranger)).is_err()
        );
    }

    #[test]
    fn requests_need_their_permission() {
        let rules =
            AccessRules(Some(vec![rule("r", ClientPattern { is_plain: true, ..ClientPattern::default() })]));
        let access = rules.find(None).unwrap();
        assert!(access.check(&[Permission::Read]).is_ok());
        assert_eq!(
            access.check(&[Permission::Read, Permission::Trace]).unwrap_err(),
            "access rule r does not allow trace"
        );
        let of = |body: &[u8]| Permission::needed_for(&Request::decode(body).unwrap());
        assert_eq!(of(br#"{"fn":"getVersion"}"#), [Permission::Read]);
        let on_demand = |config: &str| {
            of(format!(r#"{{"fn":"setKinetOnDemandRequest","config":"{config}","pids":[]}}"#).as_bytes())
        };
        assert_eq!(on_demand("ACTIVITIES_LOG_FILE=/tmp/a"), [Permission::Trace]);
        assert_eq!(on_demand(r"\n NPU_MONITOR_START=true"), [Permission::Monitor]);
        assert_eq!(on_demand("NPU_MONITOR_STARTS=true"), [Permission::Trace]);
        let both = on_demand(r"NPU_MONITOR_START=true\nACTIVITIES_LOG_FILE=/tmp/a");
        assert_eq!(both, [Permission::Monitor, Permission::Trace]);
        let later = on_demand(r"ACTIVITIES_LOG_FILE=/tmp/a\nNPU_MONITOR_START=false\nNPU_MONITOR_STOP=true");
        assert_eq!(later, [Permission::Monitor, Permission::Trace], "processes do not mind the order");
        assert_eq!(on_demand(r"DURATION=1\nNPU_MONITOR_STOP=true"), [Permission::Monitor]);
        assert_eq!(of(br#"{"fn":"dcgmPause"}"#), [Permission::Admin]);
    }
}
