//! Mistakes in the command line, and what help offers.

#![allow(clippy::unwrap_used, reason = "a test")]

mod command;

use clap::{CommandFactory, Parser};
use command::certck;
use common::exit::Exit;

fn formats(path: &[&str]) -> usize {
    let mut command = certck::Cli::command();
    command.build();
    let command = path.iter().fold(&command, |c, name| c.find_subcommand(name).unwrap());
    let format = command.get_arguments().find(|a| a.get_id() == "format").unwrap();
    format.get_possible_values().len()
}

#[test]
fn each_command_offers_the_formats_that_it_writes() {
    for path in [&["check"][..], &["probe"], &["ocsp"]] {
        assert_eq!(formats(path), 6, "{path:?}");
    }
    for path in [
        &["verify"][..],
        &["rules"],
        &["show"],
        &["watch"],
        &["crl", "check"],
        &["crl", "new"],
        &["crl", "fetch"],
        &["mint"],
        &["mint", "renew"],
        &["revoke"],
    ] {
        assert_eq!(formats(path), 2, "{path:?}");
    }
    // Before the command and after it.
    for args in [["--format", "json", "rules"], ["rules", "--format", "json"]] {
        assert!(certck(&args).1.starts_with("{\"type\":\"certck.rule\""), "{args:?}");
    }
    assert!(certck(&["rules"]).1.starts_with("directory "));
    assert!(certck::Cli::try_parse_from(["certck", "rules", "--format", "sarif"]).is_err());
    assert_eq!(certck(&["--format", "sarif", "rules"]).0, Exit::Failed);
}

#[test]
fn rules_explains_a_named_rule() {
    let text = certck(&["rules", "stray-key"]).1;
    assert_eq!(text.lines().count(), 6, "{text}");
    assert!(text.contains("  why       ") && text.contains("in the strict profile error"), "{text}");
    assert!(certck(&["rules", "expiring"]).1.contains("warning; in the strict profile warning"));
}
