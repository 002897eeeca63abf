//! The rules against an oracle that shares no code with them.

use std::ffi::CString;
use std::os::unix::fs::PermissionsExt;

use common::policy::TABLE;
use common::walk::stat_entry;

use super::*;

/// Hands one entry of a real directory to a test of rules.
fn with_entry(
    dir: &std::path::Path,
    name: &std::ffi::CStr,
    test: impl FnOnce(&TreeNode, &rustix::fs::Statx),
) {
    use std::os::unix::ffi::OsStrExt;
    let opened = std::fs::File::open(dir).unwrap();
    let st = stat_entry(&opened, name).unwrap();
    test(&TreeNode::root(dir.as_os_str().as_bytes(), 0), &st);
}

#[test]
fn rules_have_unique_ids_and_complete_descriptions() {
    let mut ids: Vec<&str> = rule_descriptions().map(|r| r.id).collect();
    for rule in rule_descriptions() {
        assert!(rule.id.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{}", rule.id);
        for text in [rule.what, rule.why, rule.fix, rule.reference] {
            assert!(!text.trim().is_empty(), "{}", rule.id);
        }
        assert!(rule.why.ends_with('.'), "{}", rule.id);
        assert_eq!(rule_heading(rule.id), rule.what);
    }
    ids.sort_unstable();
    let n = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), n);
}

/// 4,096 modes against 17 classes: some rule about modes hits exactly when a bit is set that the maximum has
/// not, each kind of bit is told by its own rule, and the fix leaves what both have.
#[test]
fn every_mode_against_every_class() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("f"), "").unwrap();
    std::fs::set_permissions(dir.path().join("f"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let name = CString::new("f").unwrap();
    with_entry(dir.path(), &name, |node, st| {
        let context = RuleContext { strict: true, ..RuleContext::default() };
        for row in &TABLE {
            let limit = ClassLimit { class: row.class, name: row.name, max: row.max, by: "test" };
            for bits in 0..0o10000_u16 {
                let mut st = *st;
                st.stx_mode = 0o100_000 | bits;
                let subject = AuditedEntry { limit: Some(limit), ..plain(node, &name, &st) };
                let hit = |id: &str| {
                    let rule = RULES.iter().find(|r| r.description.id == id).unwrap();
                    (rule.check)(&subject, &context)
                };
                let set = |bit: u32| bits >> bit & 1 == 1 && row.max.0 >> bit & 1 == 0;
                let modes = ["world-writable", "group-writable", "mode"].map(|id| hit(id).is_some());
                let expected = [
                    set(1),
                    !set(1) && set(4),
                    !set(1) && !set(4) && [0, 2, 3, 5, 6, 7, 8].into_iter().any(set),
                ];
                assert_eq!(modes, expected, "{bits:04o} as {}", row.name);
                assert_eq!(hit("special-bits").is_some(), (9..12).any(set), "{bits:04o} as {}", row.name);
                let kept: u32 = (0..12).filter(|&b| bits >> b & 1 == 1 && !set(b)).map(|b| 1 << b).sum();
                assert_eq!(subject.strictest_mode(), Mode(kept));
            }
        }
    });
}

/// A subject about which no rule has anything to say.
fn plain<'a>(node: &'a TreeNode, name: &'a CStr, st: &'a Statx) -> AuditedEntry<'a> {
    static NONE: Xattrs = Xattrs { access: None, default: None, capability: None };
    AuditedEntry {
        node,
        name,
        st,
        limit: None,
        owner: &AllowedIds::Any,
        owner_by_default: false,
        group: &AllowedIds::Any,
        xattrs: &NONE,
        link: None,
        secret: None,
        stray: None,
        root_owner: st.stx_uid,
        dir_owner: st.stx_uid,
        unread: None,
    }
}

#[test]
fn only_hard_links_to_files_of_other_users_are_findings() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("f"), "").unwrap();
    std::fs::hard_link(dir.path().join("f"), dir.path().join("g")).unwrap();
    with_entry(dir.path(), c"g", |node, st| {
        let own = plain(node, c"g", st);
        assert!((hard_link::RULE.check)(&own, &RuleContext::default()).is_none());
        let foreign = AuditedEntry { dir_owner: st.stx_uid + 1, ..plain(node, c"g", st) };
        assert!((hard_link::RULE.check)(&foreign, &RuleContext::default()).is_some());
    });
}
