//! Renders profguard-policy(5), the manual page of policy files, from the tables of the code.

use std::fmt::Write;

use common::policy::TABLE;

use super::profile::PROFILES;
use common::rule::Rule;

use crate::rule;

const HEAD: &str = r#".TH PROFGUARD\-POLICY 5 DATE
.SH NAME
profguard\-policy \- file permission policies of permck
.SH DESCRIPTION
A policy defines for
.BR permck (1)
the class, owner and group of the entries of a tree, and the findings that are accepted. It is a TOML file that only
its owner can write. Without a policy, the content of a file decides its class.
.SH EXAMPLE
.nf
version = 1
extends = ["profguard"]      # a built\-in profile; its rows follow these
owner = ["root", "path"]     # of entries whose row has no owner

[[path]]
match = ["etc/*.key", "etc/tokens/**"]
class = "key_file"
owner = ["profguard"]
reason = "tokens of the job queue"

[[exception]]
match = ["bin/helper"]
rules = ["special\-bits"]
reason = "sets the device mode; removed in release 1.4"
until = "2027\-01\-31"
.fi
.SH PATTERNS
Patterns match the path relative to the audited path or, if they begin with a slash, the absolute path without symbolic
links. If the audited path is a file, patterns are relative to its directory.
.B *
and
.B ?
match within a name,
.B [a\-z]
one of some characters,
.B **
between slashes any number of directories, and
.B .
is the audited path itself. The first row that matches decides. A row with a class that ends in
.B _dir
matches directories only, one with another class everything else; a row without a class matches both.
.SH KEYS OF THE FILE
.TP
.B version
1.
.TP
.B extends
Built\-in profiles, whose rows follow those of this file.
.TP
.BR owner ", " group
Allowed owners and groups of entries whose row has none. Default: the owner of the audited path and root, and any
group.
.TP
.B class
Classes of this policy.
.TP
.B path
Rows; the first that matches decides. A warning names rows that decided about no entry.
.TP
.B exception
Findings that are accepted until a date.
.SH KEYS OF A CLASS
.TP
.B name
Its name; that of a class for directories ends in
.BR _dir .
.TP
.B like
The class of the table that it is like.
.TP
.B max
Its maximum mode in octal.
.TP
.B reason
The reason; it must not be empty.
.SH KEYS OF A ROW
.TP
.B match
Patterns.
.TP
.B class
A class of the table below, or of this policy. Without it the content decides the class.
.TP
.B max
A maximum mode in octal. With a
.B reason
it may allow more than the class; without a reason it only tightens. A private key that others can read is a finding
.B key\-readable
whatever the maximum is.
.TP
.B owner
User names or ids, or
.B path
(the owner of the audited path),
.B self
(the user who runs permck),
.B account
(the user of
.BR \-\-owner ,
or else the user who runs permck; root is not allowed),
.BR any .
.TP
.B group
Group names or ids, or
.BR any .
.TP
.B reason
The reason; findings quote it.
.SH KEYS OF AN EXCEPTION
.TP
.B match
Patterns.
.TP
.B rules
Names of the rules whose findings are accepted;
.B permck rules
lists them. A finding
.B ancestor
is accepted if a pattern matches the directory above, as an absolute path, or the audited path.
.TP
.B classes
Classes; only findings about entries of these classes are accepted.
.TP
.B reason
The reason; it must not be empty.
.TP
.B until
The last day on which they are accepted. A warning names exceptions that have expired or that match no finding.
"#;

/// Renders the page with a date.
pub(crate) fn render_page(date: &str) -> String {
    let mut page = HEAD.replacen("DATE", date, 1);
    page.push_str(".SH CLASSES\nA mode complies if it sets no bit that the maximum does not set.\n");
    for row in &TABLE {
        let _ = writeln!(page, ".TP\n.BR {} \" at most {}\"\n{}.", row.name, row.max, escape_roff(row.what));
    }
    page.push_str(".SH RULES\nThe severity is that of the worst case; see\n.BR permck\\-audit (1).\n");
    for Rule { id, severity, what, .. } in rule::rule_descriptions() {
        let _ = writeln!(page, ".TP\n.BR {} \" ({severity})\"\n{}.", escape_roff(id), escape_roff(what));
    }
    page.push_str(".SH PROFILES\nBuilt in, for\n.B \\-\\-profile\nand\n.BR extends :\n");
    for (name, what, text) in PROFILES {
        let _ = writeln!(page, ".TP\n.B {name}\n{}.", escape_roff(what));
        let exceptions = super::file::parse(text).map(|f| f.exception).unwrap_or_default();
        for e in exceptions {
            let list = |names: &[String]| escape_roff(&names.join(", "));
            let held = if e.classes.is_empty() { "everything".to_owned() } else { list(&e.classes) };
            let (rules, places) = (list(&e.rules), list(&e.r#match));
            let _ = writeln!(
                page,
                "It accepts the findings\n.B {rules}\nabout {held} at {places} ({}).",
                escape_roff(&e.reason)
            );
        }
    }
    page.push_str("Exceptions of profiles do not apply to entries that the policy file has a row for.\n");
    page.push_str(".SH SEE ALSO\n.BR permck (1),\n.BR permck\\-audit (1),\n.BR permck\\-fix (1)\n");
    page
}

fn escape_roff(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq")
}

#[cfg(test)]
mod tests {
    /// The example in the manual is a policy.
    #[test]
    fn the_example_is_valid() {
        let example =
            super::HEAD.split(".nf\n").nth(1).unwrap().split(".fi").next().unwrap().replace("\\-", "-");
        let file = crate::policy::file::parse(&example).unwrap();
        assert_eq!((file.path.len(), file.exception.len()), (1, 1));
        let page = super::render_page("2026-01-01");
        for row in &common::policy::TABLE {
            assert!(page.contains(row.name), "{}", row.name);
        }
        assert!(page.contains("shared with the rest of the system"));
    }
}
