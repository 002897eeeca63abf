//! Policies: what a row decides, which comes first, and what is refused.

use time::macros::date;

use super::*;

fn policy(text: &str) -> Policy {
    let mut policy = Policy::default();
    policy.add_file(text, &AccountTable::default()).unwrap();
    policy
}

fn place(below: &str, dir: bool) -> EntryLocation<'_> {
    EntryLocation { below: Some(below.as_bytes()), root: Path::new("/opt/x"), dir }
}

fn class(policy: &Policy, below: &str, dir: bool) -> Option<Class> {
    policy.match_entry(place(below, dir)).limit().map(|s| s.class)
}

#[test]
fn the_first_row_that_matches_and_fits_decides() {
    let p = policy(
        "version = 1\n[[path]]\nmatch = ['etc/*.key']\nclass = 'key_file'\n[[path]]\nmatch = ['etc/**']\n\
         class = 'config_file'\n[[path]]\nmatch = ['etc/**']\nclass = 'config_dir'\n[[path]]\nmatch = ['/opt/x/abs']\n\
         class = 'data_file'\n",
    );
    assert_eq!(class(&p, "etc/a.key", false), Some(Class::KeyFile));
    assert_eq!(class(&p, "etc/a.conf", false), Some(Class::ConfigFile));
    assert_eq!(class(&p, "etc/sub", true), Some(Class::ConfigDir));
    assert_eq!(class(&p, "abs", false), Some(Class::DataFile));
    assert_eq!(class(&p, "other", false), None);
}

#[test]
fn owners_and_tighter_maxima_are_kept() {
    let p = policy(
        "version = 1\nowner = ['path', '7']\n[[path]]\nmatch = ['a']\nclass = 'data_file'\nmax = '0440'\n\
         owner = ['any']\n",
    );
    let demand = p.match_entry(place("a", false));
    assert_eq!(demand.limit().unwrap().max, Mode(0o440));
    assert_eq!(demand.allowed_owners(1000, None), Some(AllowedIds::Any));
    assert_eq!(
        p.match_entry(place("b", false)).allowed_owners(1000, None),
        Some(AllowedIds::Ids(vec![1000, 7]))
    );
    assert_eq!(p.match_entry(place("b", false)).allowed_owners(1000, Some(&[5])), None);
    assert_eq!(demand.allowed_owners(1000, Some(&[5])), Some(AllowedIds::Any));
}

#[test]
fn exceptions_expire() {
    let p = policy(
        "version = 1\n[[exception]]\nmatch = ['bin/*']\nrules = ['special-bits']\nreason = 'r'\nuntil = '2027-01-31'\n",
    );
    let accepts = |rule, below, today| p.accepts_finding(rule, place(below, false), None, today);
    assert!(accepts("special-bits", "bin/x", date!(2027 - 01 - 31)));
    assert!(!accepts("special-bits", "bin/x", date!(2027 - 02 - 01)));
    assert!(!accepts("mode", "bin/x", date!(2027 - 01 - 01)));
    assert!(!accepts("special-bits", "x", date!(2027 - 01 - 01)));
    assert_eq!(
        (
            p.expired_exceptions(date!(2027 - 02 - 01)).count(),
            p.unused_exceptions(date!(2027 - 01 - 01)).count()
        ),
        (1, 0)
    );
    let idle = policy(
        "version = 1\n[[exception]]\nmatch = ['x']\nrules = ['mode']\nclasses = ['key_dir']\nreason = 'r'\n\
         until = 2027-01-31\n",
    );
    let today = date!(2027 - 01 - 01);
    assert!(!idle.accepts_finding("mode", place("x", true), Some("data_dir"), today));
    assert_eq!(
        idle.unused_exceptions(today).collect::<Vec<_>>(),
        ["exception 1 for mode matched no finding: r"]
    );
    assert!(idle.accepts_finding("mode", place("x", true), Some("key_dir"), today));
    assert_eq!(idle.unused_exceptions(today).count(), 0);
}

/// A class of the policy is a class like others in exceptions, and an entry of it is not of the class that it is like.
#[test]
fn exceptions_may_name_classes_of_the_policy() {
    let class =
        "version = 1\n[[class]]\nname = 'model_dir'\nlike = 'data_dir'\nmax = '0755'\nreason = 'shared'\n";
    let exception = |name: &str| {
        format!(
            "{class}[[path]]\nmatch = ['models']\nclass = 'model_dir'\n[[exception]]\nmatch = ['**']\nrules = ['mode']\n\
             classes = ['{name}']\nreason = 'r'\nuntil = '2027-01-31'\n"
        )
    };
    let accepts = |text: &str| {
        let p = policy(text);
        let name = p.match_entry(place("models", true)).limit().unwrap().name;
        assert_eq!(name, "model_dir");
        p.accepts_finding("mode", place("models", true), Some(name), date!(2027 - 01 - 01))
    };
    assert!(accepts(&exception("model_dir")) && !accepts(&exception("data_dir")));
    let wrong = Policy::default().add_file(&exception("modeldir"), &AccountTable::default()).unwrap_err();
    assert!(wrong.to_string().contains("unknown class \"modeldir\""), "{wrong}");
}

#[test]
fn the_account_is_set_by_owner_and_not_root() {
    let p = policy("version = 1\nowner = ['account']\n");
    assert!(p.needs_account() && !policy("version = 1\nowner = ['self']\n").needs_account());
    let owner = |given| p.match_entry(place("b", false)).allowed_owners(0, given);
    assert_eq!(owner(Some(&[7][..])), Some(AllowedIds::Ids(vec![7])));
    assert_eq!(owner(None), Some(AllowedIds::Ids(vec![rustix::process::geteuid().as_raw()])));
}

#[test]
fn absolute_patterns_and_those_above_match_whole_paths() {
    let p = policy(
        "version = 1\n[[exception]]\nmatch = ['/opt']\nrules = ['ancestor']\nreason = 'r'\nuntil = '2027-01-31'\n",
    );
    let accepts = |dir: &str| {
        p.accepts_finding("ancestor", EntryLocation::above_root(Path::new(dir)), None, date!(2027 - 01 - 01))
    };
    assert!(accepts("/opt") && !accepts("/"));
}

#[test]
fn errors_in_a_policy_have_positions() {
    let bad =
        |text: &str| Policy::default().add_file(text, &AccountTable::default()).unwrap_err().to_string();
    assert!(bad("version = 2").contains("unsupported version 2"));
    assert_eq!(bad("version = 1\n\n  x ="), bad("version = 1\n\n  x =").trim_end());
    assert!(bad("version = 1\n[[path]]\nmatsch = []\n").starts_with("3:1: unknown field `matsch`"));
    assert!(
        bad("version = 1\n[[path]]\nmatch = ['a']\nclass = 'log'\n")
            .contains("the classes are home_dir, program_file")
    );
    assert!(
        bad("version = 1\n[[path]]\nmatch = ['a']\nclass = 'key_file'\nmax = '0640'\n")
            .contains("allows more")
    );
    assert!(bad("version = 1\n[[path]]\nmatch = ['a']\nowner = ['nobody-such']\n").contains("unknown user"));
    assert!(bad("version = 1\nextends = ['x']\n").contains("unknown profile"));
    let exception = "version = 1\n[[exception]]\nmatch = ['a']\nrules = ['mode']\nreason = 'r'\n";
    assert!(bad(exception).contains("until"));
    assert!(bad(&format!("{exception}until = 'soon'\n")).contains("is not a date such as"));
    assert!(bad(&format!("{exception}until = 3\n")).contains("expected a date such as"));
}

#[test]
fn every_profile_compiles_and_every_row_can_match() {
    for (name, _, text) in profile::PROFILES {
        let mut p = Policy::default();
        p.add_file(text, &AccountTable::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(!p.rows.is_empty(), "{name}");
    }
    let certs = policy(profile::find_profile("certs").unwrap());
    assert_eq!(class(&certs, "", true), Some(Class::KeyDir));
    assert_eq!(class(&certs, "server.key", false), Some(Class::KeyFile));
    let msmonitor = policy(profile::find_profile("msmonitor").unwrap());
    assert_eq!(class(&msmonitor, "plugin/client.py", false), Some(Class::ProgramFile));
    assert_eq!(class(&msmonitor, "x/client.key", false), Some(Class::KeyFile));
    let ascend = policy(profile::find_profile("ascend").unwrap());
    let data = "h_1_20260101000000000_ascend_pt/ASCEND_PROFILER_OUTPUT/trace_view.json";
    assert_eq!(class(&ascend, data, false), Some(Class::DataFile));
}

/// Who writes a stricter row wants it, whatever the profile accepts.
#[test]
fn rows_of_the_file_win_over_exceptions_of_a_profile() {
    let accepts = |rows: &str| {
        let p = policy(&format!("version = 1\nextends = ['profguard']\n{rows}"));
        p.accepts_finding("mode", place("usr/bin", true), Some("program_dir"), date!(2027 - 01 - 31))
    };
    assert!(accepts(""));
    assert!(!accepts("[[path]]\nmatch = ['usr/bin']\nclass = 'program_dir'\nmax = '0500'\n"));
    assert!(accepts("[[path]]\nmatch = ['usr/sbin']\nclass = 'program_dir'\nmax = '0500'\n"));
}

#[test]
fn a_row_is_named_with_where_it_stands() {
    let p = policy("version = 1\nextends = ['certs']\n[[path]]\nmatch = ['x']\nclass = 'data_file'\n");
    assert_eq!(p.match_entry(place("x", false)).limit().unwrap().by, "policy row 1: x");
    let by = p.match_entry(place("server.key", false)).limit().unwrap().by.to_owned();
    assert!(by.starts_with("profile certs row "), "{by}");
}
