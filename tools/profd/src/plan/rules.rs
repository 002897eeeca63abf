//! The rules file: who may do what, in TOML. profd-rules(5) describes it.

use common::pki::name::Name;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::core::access::{AccessRule, AccessRules, ClientPattern, Permission};
use crate::core::accounts::Accounts;
use crate::core::output_roots::OutputRoots;
use crate::core::process_scope::ProcessScope;

/// A rules file, as profd-rules(5) describes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RulesFile {
    /// Version of this format: 1.
    version: u32,
    /// Rules; the first that matches a client decides. A client that none matches may do nothing.
    #[serde(default, rename = "rule")]
    rules: Vec<RuleEntry>,
}

/// The permissions of some clients.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleEntry {
    /// Name of the rule, for messages and the audit trail.
    name: String,
    /// Subjects of client certificates by RFC 4514, as the audit trail shows them: `CN=alice,O=Research`. Compared exactly.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    subject: Vec<String>,
    /// Subject alternative names, such as `DNS:node1.example`, `email:a@example`, `URI:spiffe://example/a` or
    /// `IP:192.0.2.1`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    san: Vec<String>,
    /// SHA-256 fingerprints of client certificates in hexadecimal, with or without colons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    fingerprint: Vec<String>,
    /// Issuers of client certificates by RFC 4514.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    issuer: Vec<String>,
    /// The rule is for clients without a certificate, which there are with `--certs-dir NO_CERTS` only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    plain: bool,
    /// The permissions of these clients. `trace` and `monitor` include `read`, `admin` includes everything.
    allow: Vec<AllowedRole>,
    /// Jobs whose processes they see and trace [default: all].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jobs: Option<Vec<i64>>,
    /// Users, by name or uid, whose processes they see and trace [default: all].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    users: Option<Vec<String>>,
    /// Directories that their traces are written below [default: those of `--output-root`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    output: Option<Vec<String>>,
    /// Maximum number of requests of one client in a minute [default: no limit]. Questions about the state of a request
    /// (`profctl --wait`) are counted for themselves, and there may be 300 at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    requests_per_minute: Option<u32>,
}

/// A role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum AllowedRole {
    /// Status, version and metrics.
    Read,
    /// Traces (gputrace, nputrace).
    Trace,
    /// Monitoring of devices (npu-monitor).
    Monitor,
    /// Everything.
    Admin,
}

/// Parses the text of a rules file.
///
/// # Errors
/// The position and the reason, in one line.
pub(crate) fn parse_rules(text: &str, accounts: &Accounts) -> Result<AccessRules, String> {
    let file: RulesFile = toml::from_str(text).map_err(|e| describe_toml_error(text, &e))?;
    if file.version != 1 {
        return Err(format!("version {} is not supported, expected 1", file.version));
    }
    if file.rules.is_empty() {
        return Err("there is no [[rule]], so no client could do anything".to_owned());
    }
    let mut rules: Vec<AccessRule> = Vec::new();
    for entry in file.rules {
        let name = entry.name.clone();
        let rule = compile_rule(entry, accounts).map_err(|e| format!("rule {name:?}: {e}"))?;
        if rules.iter().any(|r| r.name == rule.name) {
            return Err(format!("rule {name:?} is there twice"));
        }
        // A client of both is decided about by the first, so the other one would say what does not hold.
        if let Some(earlier) = rules.iter().find(|r| r.clients.includes(&rule.clients)) {
            return Err(format!(
                "rule {name:?} never decides: rule {:?} before it is for all of its clients",
                earlier.name
            ));
        }
        rules.push(rule);
    }
    Ok(AccessRules(Some(rules)))
}

/// Describes an error with its place, in one line.
pub(super) fn describe_toml_error(text: &str, error: &toml::de::Error) -> String {
    let reason = error.message().replace('\n', " ");
    match error.span() {
        Some(span) => format!("{}: {reason}", describe_position(text, span.start)),
        None => reason,
    }
}

/// Formats the line and the column of a byte, both from 1.
pub(super) fn describe_position(text: &str, offset: usize) -> String {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("{line}:{column}")
}

fn compile_rule(entry: RuleEntry, accounts: &Accounts) -> Result<AccessRule, String> {
    if entry.name.is_empty() || entry.name.chars().any(char::is_control) {
        return Err("the name is empty or has a control character".to_owned());
    }
    if entry.allow.is_empty() {
        return Err("allow is empty".to_owned());
    }
    let by_certificate =
        [&entry.subject, &entry.san, &entry.fingerprint, &entry.issuer].iter().any(|list| !list.is_empty());
    if by_certificate == entry.plain {
        return Err("expected one of subject, san, fingerprint and issuer, or else plain = true".to_owned());
    }
    entry.subject.iter().try_for_each(|name| check_name("subject", name))?;
    entry.issuer.iter().try_for_each(|name| check_name("issuer", name))?;
    entry.san.iter().try_for_each(|name| check_alternative_name(name))?;
    let clients = ClientPattern {
        subjects: entry.subject,
        issuers: entry.issuer,
        fingerprints: entry.fingerprint.iter().map(|f| parse_fingerprint(f)).collect::<Result<_, _>>()?,
        alternative_names: entry.san,
        is_plain: entry.plain,
    };
    let find_user = |user: &String| accounts.find_uid(user).ok_or_else(|| format!("unknown user {user:?}"));
    let users = entry.users.map(|users| users.iter().map(find_user).collect::<Result<_, _>>()).transpose()?;
    let roots = entry.output.map(|dirs| {
        let dirs = dirs.into_iter().map(Into::into).collect();
        let roots = OutputRoots::new(dirs, "output").map_err(|e| format!("{e:#}"))?;
        Ok::<_, String>(roots.of_rule(&entry.name))
    });
    if entry.requests_per_minute == Some(0) {
        return Err("requests_per_minute is 0".to_owned());
    }
    Ok(AccessRule {
        name: entry.name,
        clients,
        permissions: entry.allow.iter().flat_map(|role| role.permissions()).copied().collect(),
        scope: ProcessScope { users, jobs: entry.jobs.map(|jobs| jobs.into_iter().collect()) },
        output_roots: roots.transpose()?,
        requests_per_minute: entry.requests_per_minute,
    })
}

/// Checks that a name is written as certificates are shown: they are compared as text, and another notation of the same name
/// would match nobody.
fn check_name(key: &str, name: &str) -> Result<(), String> {
    match Name::normalize_text(name) {
        Some(shown) if shown == name => Ok(()),
        Some(shown) => {
            Err(format!("{key} {name:?}: expected the form that certificates are shown with: {shown}"))
        }
        None => Err(format!("{key} {name:?}: expected a name such as CN=alice,O=Research")),
    }
}

/// Checks the form of a subject alternative name.
fn check_alternative_name(name: &str) -> Result<(), String> {
    let expected = |what: &str| Err(format!("san {name:?}: expected {what}"));
    match name.split_once(':') {
        Some(("DNS" | "email" | "URI" | "DN", value)) if !value.is_empty() => Ok(()),
        // Of an unusual length, and names of other kinds.
        Some((kind, value)) if value.starts_with('#') && (kind == "IP" || kind.starts_with('[')) => Ok(()),
        Some(("IP", value)) => match value.parse::<std::net::IpAddr>() {
            Ok(ip) if ip.to_string() == value => Ok(()),
            Ok(ip) => expected(&format!("the form that certificates are shown with: IP:{ip}")),
            Err(_) => expected("an address such as IP:192.0.2.1"),
        },
        _ => expected("DNS:NAME, email:ADDRESS, URI:URI or IP:ADDRESS, in this case of letters"),
    }
}

fn parse_fingerprint(text: &str) -> Result<String, String> {
    let hex: String = text.chars().filter(|c| *c != ':').map(|c| c.to_ascii_lowercase()).collect();
    let is_sha256 = hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit());
    if is_sha256 {
        Ok(hex)
    } else {
        Err(format!("fingerprint {text:?}: expected the 64 digits of a SHA-256"))
    }
}

impl AllowedRole {
    fn permissions(self) -> &'static [Permission] {
        match self {
            Self::Read => &[Permission::Read],
            Self::Trace => &[Permission::Read, Permission::Trace],
            Self::Monitor => &[Permission::Read, Permission::Monitor],
            Self::Admin => &[Permission::Read, Permission::Trace, Permission::Monitor, Permission::Admin],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::access::ClientIdentity;

    const EXAMPLE: &str = r#"
version = 1
[[rule]]
name = "operators"
issuer = ["CN=CA"]
fingerprint = ["AB:cd"]
allow = ["admin"]
[[rule]]
name = "research"
subject = ["CN=alice"]
allow = ["trace"]
users = ["alice", "1001"]
jobs = [7]
output = ["/data/research"]
requests_per_minute = 30
"#;

    fn example() -> String {
        EXAMPLE.replace("AB:cd", &"AB:cd:".repeat(16))
    }

    #[test]
    fn a_file_becomes_rules() {
        let accounts = Accounts::parse("alice:x:1000:1::/:", "");
        let rules = parse_rules(&example(), &accounts).unwrap();
        let alice = ClientIdentity { subject: "CN=alice".into(), ..ClientIdentity::default() };
        let access = rules.find(Some(&alice)).unwrap();
        assert_eq!((access.rule_name(), access.requests_per_minute()), (Some("research"), Some(30)));
        assert!(access.check(&[Permission::Read, Permission::Trace]).is_ok());
        assert!(access.check(&[Permission::Monitor]).is_err());
        assert!(access.scope().contains(7, 1000) && access.scope().contains(7, 1001));
        assert!(!access.scope().contains(7, 0) && !access.scope().contains(8, 1000));
        assert!(access.output_roots().is_some());
        let operator = ClientIdentity {
            issuer: "CN=CA".into(),
            fingerprint: "abcd".repeat(16),
            ..ClientIdentity::default()
        };
        assert_eq!(rules.find(Some(&operator)).unwrap().rule_name(), Some("operators"));
        assert!(rules.find(None).is_err());
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        let error = |text: &str| parse_rules(text, &Accounts::default()).unwrap_err();
        let rule = |keys: &str| format!("version = 1\n[[rule]]\nname = \"r\"\n{keys}");
        assert!(error("version = 2").contains("version 2"));
        assert!(error("version = 1").contains("no [[rule]]"));
        assert!(error(&rule("allow = [\"read\"]\nsubjct = []")).starts_with("5:1: unknown field"));
        assert!(error(&rule("allow = [\"root\"]\nplain = true")).starts_with("4:10: unknown variant"));
        assert!(error(&rule("allow = []\nplain = true")).contains("allow is empty"));
        assert!(error(&rule("allow = [\"read\"]")).contains("expected one of subject"));
        assert!(
            error(&rule("allow = [\"read\"]\nplain = true\nsan = [\"DNS:a\"]")).contains("or else plain")
        );
        assert!(error(&rule("allow = [\"read\"]\nfingerprint = [\"ab\"]")).contains("64 digits"));
        let by = |key: &str| error(&rule(&format!("allow = [\"read\"]\n{key}")));
        assert!(by("san = [\"grafana\"]").contains("san \"grafana\": expected DNS:NAME"));
        assert!(by("san = [\"DNS:a\", \"dns:x\"]").contains("san \"dns:x\""));
        assert!(by("san = [\"IP:999.1.1.1\"]").contains("expected an address"));
        assert!(by("san = [\"IP:2001:DB8::1\"]").contains("IP:2001:db8::1"));
        assert!(by("subject = [\"not a dn\"]").contains("subject \"not a dn\": expected a name"));
        assert!(by("issuer = [\"CN=a,\"]").contains("issuer \"CN=a,\""));
        // The same name in another notation, which would match nobody: then the next rule would decide.
        for (other, shown) in
            [("CN=a, O=b", "CN=a,O=b"), ("cn=a", "CN=a"), ("CN=a ", "CN=a"), ("2.5.4.3=a", "CN=a")]
        {
            let error = by(&format!("subject = [\"{other}\"]"));
            assert!(error.ends_with(&format!("are shown with: {shown}")), "{error}");
        }
        for good in [
            r#"subject = ['CN=a\,b,O=x+OU=y,2.5.4.99=#0c017a', 'CN=\#x']"#,
            r#"san = ["IP:2001:db8::1", "URI:spiffe://e/a"]"#,
        ] {
            let text = rule(&format!("allow = [\"read\"]\n{good}"));
            assert!(parse_rules(&text, &Accounts::default()).is_ok(), "{good}");
        }
        assert!(error(&rule("allow = [\"read\"]\nplain = true\nusers = [\"nobody\"]")).contains("nobody"));
        assert!(error(&rule("allow = [\"read\"]\nplain = true\noutput = [\"x\"]")).contains("absolute"));
        let twice = format!(
            "{0}\n{1}",
            rule("allow = [\"read\"]\nplain = true"),
            "[[rule]]\nname = \"r\"\nallow = [\"read\"]\nplain = true"
        );
        assert!(error(&twice).contains("twice"));
        let then = |first: &str, second: &str| {
            let second = format!("[[rule]]\nname = \"s\"\nallow = [\"read\"]\n{second}");
            parse_rules(
                &format!("{}\n{second}", rule(&format!("allow = [\"read\"]\n{first}"))),
                &Accounts::default(),
            )
        };
        for (first, second) in [
            ("issuer = [\"CN=CA\"]", "issuer = [\"CN=CA\"]\nsubject = [\"CN=a\"]"),
            ("subject = [\"CN=a\", \"CN=b\"]", "subject = [\"CN=b\"]"),
            ("plain = true", "plain = true"),
        ] {
            assert!(
                then(first, second).unwrap_err().contains("never decides: rule \"r\" before it"),
                "{first}"
            );
        }
        for (first, second) in [
            ("subject = [\"CN=a\"]", "subject = [\"CN=a\", \"CN=b\"]"),
            ("issuer = [\"CN=CA\"]\nsubject = [\"CN=a\"]", "issuer = [\"CN=CA\"]"),
            ("subject = [\"CN=a\"]", "san = [\"DNS:a\"]"),
            ("plain = true", "subject = [\"CN=a\"]"),
        ] {
            assert!(then(first, second).is_ok(), "{first}");
        }
    }
}
