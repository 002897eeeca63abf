//! Entry points for the fuzz targets; the tool does not use them.

use common::policy::TABLE;

use crate::policy::{EntryLocation, Policy};
use crate::xattr::{Acl, FileCapabilities};
use crate::{classify, cmd, packages};
use common::accounts::AccountTable;
use common::glob::Glob;

/// Compiles a policy file and looks up a path in it.
pub fn check_policy(text: &str, below: &[u8]) {
    let mut policy = Policy::default();
    if policy.add_file(text, &AccountTable::default()).is_err() {
        return;
    }
    let today = time::macros::date!(2027 - 01 - 01);
    for dir in [false, true] {
        let place = EntryLocation { below: Some(below), root: std::path::Path::new("/r"), dir };
        let policy_match = policy.match_entry(place);
        if let Some(limit) = policy_match.limit() {
            assert_eq!(limit.max.0 & 0o7000, 0, "no policy allows special bits");
        }
        let _ = (policy_match.allowed_owners(0, Some(&[1])), policy_match.allowed_groups());
        let _ = policy.accepts_finding("mode", place, None, today);
    }
    let _ = (policy.expired_exceptions(today).count(), policy.unused_exceptions(today).count());
}

/// Matches a pattern against a path.
pub fn check_glob(pattern: &str, path: &[u8]) {
    if let Ok(glob) = Glob::parse(pattern) {
        let _ = glob.matches(path);
    }
}

/// Parses the bytes of extended attributes.
pub fn check_attributes(bytes: &[u8]) {
    let acl = Acl::parse(bytes);
    assert!(acl.broken || acl.named_grants().all(|g| g.bits != 0 && g.bits < 8));
    assert!(!FileCapabilities::parse(bytes).to_string().is_empty());
}

/// Parses the record of a fix.
pub fn check_journal(bytes: &[u8]) {
    let _ = cmd::undo::parse_journal(bytes);
}

/// Reads the header of a package out of a database of rpm.
pub fn check_package_header(blob: &[u8]) {
    packages::rpm::read_header(blob, &mut packages::PackagedFiles::default());
}

/// Classifies the content of a file.
pub fn check_content(name: &[u8], head: &[u8]) {
    let classification = classify::classify_file(name, head, 0o640);
    assert_eq!(TABLE[classification.class as usize].class, classification.class);
    for (_, at) in classify::find_private_key(head)
        .into_iter()
        .chain(classify::find_der_private_key(head, head.len() as u64))
    {
        assert!(at < head.len());
    }
}
