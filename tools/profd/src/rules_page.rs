//! Renders profd-rules(5), the manual page of rules files, from the schema of the file.

use std::fmt::Write;

use serde_json::Value;

use crate::plan::rules::RulesFile;

const HEAD: &str = r#".TH PROFD\-RULES 5 DATE
.SH NAME
profd\-rules \- rules of profd about its clients
.SH DESCRIPTION
A rules file defines what each client of
.BR profd (8)
may do. It is a TOML file that only its owner, root or the user of the daemon, can write, and is given with
.BR \-\-rules .
The rules are tried in order, and the first that matches a client decides. A client that no rule matches may do nothing.
Without a file every client may do everything.
.PP
The daemon reads the file again when it changes. One that is invalid does not replace the rules in use, and the log has the
reason.
.B profd \-\-check\-config
checks the file together with the other options.
.SH EXAMPLE
.nf
version = 1

[[rule]]
name = "operators"
fingerprint = ["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]
allow = ["admin"]

[[rule]]
name = "research"
issuer = ["CN=profguard CA"]
subject = ["CN=alice,O=Research", "CN=bob,O=Research"]
allow = ["trace", "monitor"]
users = ["alice", "bob"]
output = ["/data/research"]
requests_per_minute = 60

[[rule]]
name = "dashboards"
san = ["DNS:grafana.example"]
allow = ["read"]
.fi
"#;

const TAIL: &str = r#".SH CLIENTS
A rule matches a client that has one of the values of each of the keys
.BR subject ,
.BR san ,
.B fingerprint
and
.B issuer
that the rule has; it has at least one of them, or
.BR plain .
Values are compared exactly, without wildcards.
.B certck show
prints them. A subject or an issuer in another form (a space after a comma,
.BR cn= )
and a rule that never decides, because one before it is for all of its clients, are errors.
.SH ROLES
.TP
.B read
Status, version and metrics (also over HTTP with TLS): of the processes in
.B jobs
and
.B users
only.
.TP
.B trace
Also traces (gputrace, nputrace).
.TP
.B monitor
Also monitoring of devices (npu\-monitor). A monitor command that has keys of a trace needs
.BR trace ,
too.
.TP
.B admin
Everything.
.SH SEE ALSO
.BR profctl (1),
.BR profctl\-audit (1),
.BR profd (8)
"#;

/// Renders the page with a date.
pub(crate) fn rules_page(date: &str) -> String {
    let schema = serde_json::to_value(schemars::schema_for!(RulesFile)).unwrap_or_default();
    let mut page = HEAD.replacen("DATE", date, 1);
    page.push_str(".SH KEYS OF THE FILE\n");
    push_keys(&mut page, &schema["properties"]);
    page.push_str(".SH KEYS OF A RULE\n");
    push_keys(&mut page, &schema["$defs"]["RuleEntry"]["properties"]);
    page.push_str(TAIL);
    page
}

fn push_keys(page: &mut String, properties: &Value) {
    for (name, property) in properties.as_object().into_iter().flatten() {
        let text = property["description"].as_str().unwrap_or_default().replace('\n', " ");
        let text = text.replace('\\', "\\e").replace('-', "\\-").replace('`', "\\(ga");
        let _ = write!(page, ".TP\n.B {}\n{text}\n", name.replace('-', "\\-"));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_example_is_a_valid_file_and_every_key_is_described() {
        let page = super::rules_page("2026-01-01");
        let example = page.split(".nf\n").nth(1).unwrap().split(".fi").next().unwrap();
        let accounts = crate::core::accounts::Accounts::parse("alice:x:1:1::/:\nbob:x:2:1::/:", "");
        crate::plan::rules::parse_rules(example, &accounts).unwrap();
        for key in ["version", "rule", "subject", "requests_per_minute", "output"] {
            assert!(page.contains(&format!(".TP\n.B {key}\n")), "{key}");
        }
    }
}
