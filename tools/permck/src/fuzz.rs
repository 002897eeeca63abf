//! Doors for the fuzz targets to what reads hostile bytes; no part of the tool uses them.

use common::policy::TABLE;

use crate::policy::{Place, Policy};
use crate::xattr::{Acl, Capability};
use crate::{classify, cmd};
use common::accounts::AccountTable;
use common::glob::Glob;

/// The text of a policy file; what compiles answers for a path.
pub fn policy(text: &str, below: &[u8]) {
    let mut policy = Policy::default();
    if policy.add(text, &AccountTable::default()).is_err() {
        return;
    }
    let today = time::macros::date!(2027 - 01 - 01);
    for dir in [false, true] {
        let place = Place { below: Some(below), root: std::path::Path::new("/r"), dir };
        let demand = policy.demand(place);
        if let Some(standard) = demand.standard() {
            assert_eq!(standard.max.beyond(standard.class.max()).0, 0, "a policy only tightens");
        }
        let _ = (demand.owner(0, Some(&[1])), demand.group());
        let _ = policy.accepts("mode", place, None, today);
    }
    let _ = (policy.ended(today).count(), policy.idle(today).count());
}

/// A pattern and a path.
pub fn glob(pattern: &str, path: &[u8]) {
    if let Ok(glob) = Glob::parse(pattern) {
        let _ = glob.matches(path);
    }
}

/// Extended attributes as a file system gives them.
pub fn attributes(bytes: &[u8]) {
    let acl = Acl::parse(bytes);
    assert!(acl.broken || acl.grants().all(|g| g.bits != 0 && g.bits < 8));
    assert!(!Capability::parse(bytes).to_string().is_empty());
}

/// The record of a fix.
pub fn record(bytes: &[u8]) {
    let _ = cmd::undo::parse(bytes);
}

/// The content of a file.
pub fn content(name: &[u8], head: &[u8]) {
    let told = classify::file(name, head, 0o640);
    assert_eq!(TABLE[told.class as usize].class, told.class);
    for (_, at) in classify::private_key(head).into_iter().chain(classify::der_key(head, head.len() as u64)) {
        assert!(at < head.len());
    }
}
