//! What the migration chapter says of each option of the existing programs is what profd and profctl do with it.

use super::harness::{Done, run};
use super::markdown::Document;

/// Rows of the tables below a heading: the cells of each.
fn table(document: &Document, heading: &str) -> Vec<Vec<String>> {
    let after =
        document.prose.iter().skip_while(|(_, l)| l.trim_start_matches('#').trim() != heading).skip(1);
    let section = after.take_while(|(_, l)| !l.starts_with('#')).filter(|(_, l)| l.starts_with("| `"));
    let cells =
        |row: &str| row.trim_matches('|').split(" | ").map(|c| c.trim().to_owned()).collect::<Vec<_>>();
    let rows: Vec<_> = section.map(|(_, l)| cells(l)).collect();
    assert!(!rows.is_empty(), "no table below {heading:?}");
    rows
}

/// The texts in backquotes.
fn spans(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// What a program did with an option of a command line that fails later on purpose.
fn verdict(done: &Done) -> &'static str {
    let said = &done.stderr;
    if said.contains("does not have this function") {
        "missing"
    } else if said.contains("unexpected argument") || said.contains("usage:") {
        "unknown"
    } else if said.contains("has no effect here") {
        "ignored"
    } else {
        "accepted"
    }
}

#[test]
fn options_of_the_existing_daemons() {
    let document = Document::read("docs/guide/migrating.md");
    let mut faults = Vec::new();
    for row in table(&document, "Options of the daemon") {
        for option in spans(&row[0]) {
            // The directory does not exist, so the daemon ends after it has read its options.
            let mut words: Vec<&str> = option.split(' ').collect();
            words.extend(["--certs_dir", "nowhere"].iter().filter(|_| !option.contains("certs_dir")));
            let done = run("profd", &words).expect(2);
            let verdict = verdict(&done);
            if row[1] != verdict {
                faults.push(format!(
                    "{option}: the chapter says {}, profd: {verdict}: {}",
                    row[1], done.stderr
                ));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn options_of_the_existing_clients() {
    let document = Document::read("docs/guide/migrating.md");
    let mut faults = Vec::new();
    for row in table(&document, "Options of the client") {
        for option in spans(&row[0]) {
            let named: Vec<&str> = option.split(' ').collect();
            let words: Vec<&str> = if named[0].starts_with("--") {
                named.iter().copied().chain(["status", "--timeout", "1s"]).collect()
            } else {
                // Nobody listens on port 1, so the request fails after its options were read.
                let connection = ["--certs-dir", "NO_CERTS", "--hostname", "127.0.0.1", "--port", "1"];
                let required = required_options(named[0]).iter().filter(|required| {
                    let name = required.split('=').next().unwrap_or_default();
                    !named.contains(&name)
                });
                connection.iter().chain(&named).chain(required).copied().collect()
            };
            let done = run("profctl", &words);
            let verdict = verdict(&done);
            if row[1] != verdict {
                faults.push(format!(
                    "{option}: the chapter says {}, profctl: {verdict}: {}",
                    row[1], done.stderr
                ));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The options without which a subcommand is a usage error.
fn required_options(subcommand: &str) -> &'static [&'static str] {
    match subcommand {
        "gputrace" => &["--log-file=/tmp/x.json"],
        "nputrace" => &["--log-file=/tmp", "--iterations=1", "--start-step=-1"],
        _ => &[],
    }
}
