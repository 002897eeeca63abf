//! profguard-policy(5): the manual page of policy files, from the tables that the code works with.

use std::fmt::Write;

use common::policy::TABLE;

use super::profile::PROFILES;
use crate::rule::{ROOT_RULES, RULES};

const HEAD: &str = r#".TH PROFGUARD\-POLICY 5 DATE
.SH NAME
profguard\-policy \- what permck holds files to
.SH DESCRIPTION
A policy tells
.BR permck (1)
which class, owner and group the entries of a tree must have, and which findings are accepted. It is a TOML file
that nobody but its owner can write. Without a policy, classes are told from what a file is.
.SH EXAMPLE
.nf
version = 1
extends = ["profguard"]      # a built\-in profile, whose rows stand after these
owner = ["root", "path"]     # where no row says it

[[path]]
match = ["etc/*.key", "etc/tokens/**"]
class = "key_file"
owner = ["profguard"]
reason = "tokens of the job queue"

[[exception]]
match = ["bin/helper"]
rules = ["special\-bits"]
reason = "sets the device mode; goes with release 1.4"
until = "2027\-01\-31"
.fi
.SH PATTERNS
Patterns are held against the path below the audited path, or, where they begin with a slash, against the whole path
without links. A file that is audited by itself stands below its directory.
.B *
and
.B ?
match within a name,
.B [a\-z]
one of some characters,
.B **
between slashes any number of directories, and
.B .
is the audited path itself. Of the rows that match, the first decides. A row of a class that ends in
.B _dir
is for directories, one of another class for everything else; a row without a class is for both.
.SH KEYS OF THE FILE
.TP
.B version
1.
.TP
.B extends
Built\-in profiles, whose rows stand after this file's own.
.TP
.BR owner ", " group
Who may own entries, and which groups they may have, where no row says it. Without them, the owner of the audited
path and root may own them, and the group is free.
.TP
.B path
Rows, in the order in which they are tried.
.TP
.B exception
Findings that are accepted for a time.
.SH KEYS OF A ROW
.TP
.B match
Patterns.
.TP
.B class
A class of the table below. Without it the class is told from the content.
.TP
.B max
A maximum mode in octal, which can only be tighter than the class's.
.TP
.B owner
User names or numbers, or
.B path
(the owner of the audited path),
.B self
(who runs permck),
.B account
(whom
.B \-\-owner
names, or else who runs permck; root is refused),
.BR any .
.TP
.B group
Group names or numbers, or
.BR any .
.TP
.B reason
Why; findings quote it.
.SH KEYS OF AN EXCEPTION
.TP
.B match
Patterns.
.TP
.B rules
Names of the rules whose findings are accepted. A finding
.B ancestor
is accepted where a pattern matches the directory above, as an absolute path, or the audited path.
.TP
.B classes
Classes; only findings about entries that are held to one of them are accepted then.
.TP
.B reason
Why they are accepted; it must not be empty.
.TP
.B until
The last day on which they are. After it they are findings again, and a warning names the exception; so it does
where an exception accepts nothing.
"#;

/// The page, dated.
pub(crate) fn render_page(date: &str) -> String {
    let mut page = HEAD.replacen("DATE", date, 1);
    page.push_str(".SH CLASSES\nA mode complies when it sets no bit that the maximum does not set.\n");
    for row in &TABLE {
        let _ = writeln!(page, ".TP\n.BR {} \" at most {}\"\n{}.", row.name, row.max, escape_roff(row.what));
    }
    page.push_str(".SH RULES\n");
    let entry = RULES.iter().map(|r| (r.id, r.severity, r.what));
    for (id, severity, what) in entry.chain(ROOT_RULES) {
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
                "It accepts findings\n.B {rules}\nabout {held} at {places} ({}).",
                escape_roff(&e.reason)
            );
        }
    }
    page.push_str("Nothing is accepted of an entry for which the policy file has a row of its own.\n");
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
