//! Measures of the code itself: `make house` prints them, `make check` fails if one is beyond its limit.
//!
//! Modules that import each other in a circle cannot be read one after the other, and a function in `common` that one
//! tool uses belongs to that tool, unless it stands among the exceptions below with its reason. A rule without a reference
//! is an opinion. Names are counted; their meaning is for reviewers to judge.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test program")]

use std::collections::BTreeSet;
use std::process::Command;

mod harness;
#[path = "house/modules.rs"]
mod modules;
#[path = "house/names.rs"]
mod names;

use modules::{Crate, workspace};

/// Circles between sibling modules: each with everything below it counts as one.
#[test]
fn no_module_imports_another_in_a_circle() {
    let circles: Vec<String> = workspace().iter().flat_map(Crate::circles).collect();
    assert!(circles.is_empty(), "{} circles:\n{}", circles.len(), circles.join("\n"));
}

/// The layers as ARCHITECTURE.md draws them: every module of the crate stands in one line, and imports from its own line
/// and from those below it.
#[test]
fn layers_are_those_of_the_picture() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/ARCHITECTURE.md")).unwrap();
    let crates = workspace();
    let mut faults = Vec::new();
    for name in ["common", "profd"] {
        let title = format!("layers of {name}");
        let picture = text.lines().skip_while(|l| *l != title).skip(1).take_while(|l| *l != "```");
        // Two spaces or more stand between the name of a layer and its modules.
        let layers = picture.map(|l| l.split_once("  ").expect("a name and modules").1);
        let mut place = std::collections::BTreeMap::new();
        for (depth, modules) in layers.enumerate() {
            place.extend(modules.split_whitespace().map(|module| (module.to_owned(), depth)));
        }
        assert!(!place.is_empty(), "ARCHITECTURE.md has no {title}");
        let drawn = crates.iter().find(|c| c.name == name).unwrap();
        let modules: BTreeSet<&String> = drawn.modules.keys().filter_map(|path| path.first()).collect();
        let (missing, gone): (Vec<_>, Vec<_>) = (
            modules.iter().filter(|m| !place.contains_key(**m)).collect(),
            place.keys().filter(|m| !modules.contains(m)).collect(),
        );
        assert!(missing.is_empty() && gone.is_empty(), "{name}: not drawn {missing:?}, not there {gone:?}");
        let up = drawn.top_level_imports().into_iter().filter(|(from, to)| place[from] > place[to]);
        faults.extend(up.map(|(from, to)| format!("{name}: {from} imports {to}, which is above it")));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// What one tool uses is that tool's own, except for [`KEPT_IN_COMMON`]; the test fails for a new one, and for an
/// exception that is none any more.
#[test]
fn public_functions_of_common_have_two_users() {
    let single: BTreeSet<String> = names::functions_with_one_user(&workspace()).into_iter().collect();
    let kept: BTreeSet<String> =
        KEPT_IN_COMMON.iter().flat_map(|(_, functions)| *functions).map(|f| (*f).to_owned()).collect();
    let new: Vec<&String> = single.difference(&kept).collect();
    assert!(new.is_empty(), "move these functions of `common` to the one tool that uses them: {new:#?}");
    let stale: Vec<&String> = kept.difference(&single).collect();
    assert!(stale.is_empty(), "take these off KEPT_IN_COMMON, they have two users or are gone: {stale:#?}");
}

/// Functions of one word and types of one name, in percent: what well-kept crates stay below.
const MAX_ONE_WORD_PERCENT: f64 = 40.0;
const MAX_SHARED_PERCENT: f64 = 10.0;

#[test]
fn names_are_within_their_limits() {
    let figures = names::Figures::of(&workspace());
    let within = figures.one_word_percent() < MAX_ONE_WORD_PERCENT;
    assert!(within && figures.shared_percent() < MAX_SHARED_PERCENT, "{figures}");
}

/// The rules of a tool that do not say where they come from, and how many it has; by its own list.
fn rules_without_reference(tool: &str) -> (Vec<String>, usize) {
    let output = Command::new(harness::bin(tool)).args(["--format", "json", "rules"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let rules: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|record| record["type"].as_str().is_some_and(|name| name.ends_with(".rule")))
        .collect();
    let without = rules.iter().filter(|rule| rule["reference"].as_str().is_none_or(|r| r.trim().is_empty()));
    (without.map(|rule| format!("{tool}: {}", rule["rule"])).collect(), rules.len())
}

/// The tools that check something.
const CHECKERS: [&str; 4] = ["certck", "hostck", "permck", "traceq"];

#[test]
fn every_rule_has_a_reference() {
    for tool in CHECKERS {
        let (without, all) = rules_without_reference(tool);
        assert!(all > 5, "{tool} lists {all} rules");
        assert!(without.is_empty(), "{without:#?}");
    }
}

/// Functions of `common` with one user that stay there, by reason.
const KEPT_IN_COMMON: [(&str, &[&str]); 4] = [
    (
        "one half of a pair: the other half has more users, and both share what is private",
        &[
            "common accounts::describe_group: permck",
            "common error::is_output_error: certck",
            "common accounts::gid_of: permck",
            "common accounts::group_of: permck",
            "common accounts::is_private_group: permck",
            "common accounts::no_group: permck",
            "common accounts::no_user: permck",
            "common inputs::given_only: permck",
            "common ipc::message::to_wire: profd",
            "common out::for_journal: profd",
            "common inputs::into_paths: certck",
            "common pki::key::describe_algorithm: certck",
            "common pki::key::describe_curve: certck",
            "common pki::name::normalize_text: profd",
            "common pki::passphrase::describe_encryption: certck",
            "common pki::passphrase::encrypt_pkcs8: certck",
            "common pki::pem::parse_each: certck",
            "common pki::signature::split_signed_from: certck",
            "common pki::tls::for_connection: profd",
            "common pki::tls::server_config: certck",
            "common program::run_to_end: hostck",
            "common rpc::config::may_end_line: profctl",
            "common finding::lasting_found: certck",
            "common walk::mount_of: permck",
            "common walk::owner_above: permck",
            "common walk::reach::through_path: permck",
            "common walk::reach_of_entries: permck",
            "common walk::stat_path: permck",
        ],
    ),
    (
        "one notation of durations for all tools, whose parsers share their table of units",
        &[
            "common duration::days_within: certck",
            "common duration::parse_whole_days: certck",
            "common duration::parse_whole_milliseconds: profctl",
            "common duration::parse_whole_seconds: profctl",
        ],
    ),
    (
        "a rule of the security statement, which belongs in the one policy table",
        &["common policy::check_mode: profd", "common system_paths::holds_unrelated_trees: datack"],
    ),
    (
        "the method of a type of common that needs its private fields",
        &[
            "common ipc::socket::from_bound: profd",
            "common ipc::socket::local_address: profd",
            "common out::set_format: profd",
            "common out::set_line_format: profd",
            "common pki::crl_update::read_newer_crls: profd",
            "common pki::crl_update::take_newer_crls: profd",
            "common pki::load::explain_lost_revocations: profd",
            "common pki::path::revocation::explain_out_of_scope: profd",
            "common pki::load::list_new_roots: profd",
            "common pki::tls::verify_client: profd",
        ],
    ),
];

/// `make house` runs this one.
#[test]
#[ignore = "prints figures, and decides nothing"]
fn figures() {
    let crates = workspace();
    println!("{}", names::Figures::of(&crates));
    let circles: usize = crates.iter().map(|c| c.circles().len()).sum();
    println!(
        "{circles} import circles, {} functions of `common` with one user",
        names::functions_with_one_user(&crates).len()
    );
    let rules = CHECKERS.map(rules_without_reference);
    println!(
        "{} rules, without a reference: {}",
        rules.iter().map(|(_, all)| all).sum::<usize>(),
        rules.iter().map(|(without, _)| without.len()).sum::<usize>()
    );
}
