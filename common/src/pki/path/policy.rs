//! Certificate policies, RFC 5280, section 6.1, for callers that accept any policy.
//!
//! So the only question is whether the path has a valid policy at all if a CA requires one. Each level
//! is kept as a set of policies, as RFC 9618 does, since the tree of RFC 5280 grows without bound.

use std::collections::{BTreeMap, BTreeSet};

use super::{PathError, PathResult};
use crate::pki::Cert;
use crate::pki::oid::ANY_POLICY;

type Oid<'a> = &'a [u8];
/// The valid policies of one level, each with the policies that the next level may name it by.
type PolicyLevel<'a> = BTreeMap<Oid<'a>, BTreeSet<Oid<'a>>>;

const MOST: usize = 1000;

struct PolicyState<'a> {
    /// `None`: no policy is valid.
    level: Option<PolicyLevel<'a>>,
    /// After how many more certificates a policy is demanded, mapping is over, anyPolicy is void.
    explicit: usize,
    mapping: usize,
    any: usize,
    /// The CA whose policyConstraints determine from which certificate on a policy is required.
    demanded_by: Option<&'a Cert>,
}

pub(super) fn check_policies(path: &[&Cert]) -> PathResult {
    let infinite = path.len() + 1;
    let level = Some(PolicyLevel::from([(&ANY_POLICY[..], BTreeSet::from([&ANY_POLICY[..]]))]));
    let mut state =
        PolicyState { level, explicit: infinite, mapping: infinite, any: infinite, demanded_by: None };
    for (i, cert) in path.iter().enumerate().rev() {
        let last = i == 0;
        state.apply_policies(cert, last);
        if state.explicit == 0 && state.level.is_none() {
            return Err(state.no_policy(cert));
        }
        if state.level.as_ref().is_some_and(|l| l.len() > MOST) {
            return Err(PathError::about("too-much-work", cert, format_args!("more than {MOST} policies")));
        }
        if last {
            state.wrap_up(cert);
        } else {
            state.prepare_next(cert);
        }
    }
    match path.first() {
        Some(leaf) if state.explicit == 0 && state.level.is_none() => Err(state.no_policy(leaf)),
        _ => Ok(()),
    }
}

impl<'a> PolicyState<'a> {
    /// Section 6.1.3 (d) and (e).
    fn apply_policies(&mut self, cert: &'a Cert, last: bool) {
        let Some(policies) = cert.extensions.policies.as_ref().map(|p| &p.value) else {
            self.level = None;
            return;
        };
        let Some(above) = self.level.take() else { return };
        let expected: BTreeSet<Oid<'a>> = above.values().flatten().copied().collect();
        let wildcard = expected.contains(&ANY_POLICY[..]);
        let mut level = PolicyLevel::new();
        for policy in policies.iter().map(Vec::as_slice).filter(|p| *p != ANY_POLICY) {
            if wildcard || expected.contains(policy) {
                level.insert(policy, BTreeSet::from([policy]));
            }
        }
        let named = policies.iter().any(|p| *p == ANY_POLICY);
        if named && (self.any > 0 || (!last && cert.is_self_issued())) {
            for policy in expected {
                level.entry(policy).or_insert_with(|| BTreeSet::from([policy]));
            }
        }
        self.level = (!level.is_empty()).then_some(level);
    }

    /// Section 6.1.4 (b), (h), (i) and (j).
    fn prepare_next(&mut self, cert: &'a Cert) {
        let e = &cert.extensions;
        let mut mapped: BTreeMap<Oid<'a>, BTreeSet<Oid<'a>>> = BTreeMap::new();
        for (from, to) in e.policy_mappings.iter().flat_map(|m| &m.value) {
            mapped.entry(from).or_default().insert(to);
        }
        self.apply_mappings(mapped);
        if !cert.is_self_issued() {
            for counter in [&mut self.explicit, &mut self.mapping, &mut self.any] {
                *counter = counter.saturating_sub(1);
            }
        }
        if let Some(c) = e.policy_constraints.as_ref().map(|c| c.value) {
            self.require_explicit(cert, c.require_explicit);
            self.mapping = self.mapping.min(c.inhibit_mapping.map_or(usize::MAX, |n| n as usize));
        }
        self.any = self.any.min(e.inhibit_any_policy.as_ref().map_or(usize::MAX, |n| n.value as usize));
    }

    fn apply_mappings(&mut self, mapped: BTreeMap<Oid<'a>, BTreeSet<Oid<'a>>>) {
        let Some(level) = &mut self.level else { return };
        let wildcard = level.contains_key(&ANY_POLICY[..]);
        for (from, to) in mapped {
            if self.mapping == 0 {
                level.remove(from);
            } else if let Some(expected) = level.get_mut(from) {
                *expected = to;
            } else if wildcard {
                level.insert(from, to);
            }
        }
        if level.is_empty() {
            self.level = None;
        }
    }

    fn require_explicit(&mut self, cert: &'a Cert, skipped: Option<u32>) {
        let skipped = skipped.map_or(usize::MAX, |n| n as usize);
        if skipped < self.explicit {
            (self.explicit, self.demanded_by) = (skipped, Some(cert));
        }
    }

    fn no_policy(&self, cert: &Cert) -> PathError {
        let by = self.demanded_by.map_or_else(String::new, |ca| ca.subject.to_string());
        PathError::about(
            "policy",
            cert,
            format_args!("no valid policy, which policyConstraints of {by} require (requireExplicitPolicy)"),
        )
    }

    /// Section 6.1.5 (a) and (b).
    fn wrap_up(&mut self, cert: &'a Cert) {
        self.explicit = self.explicit.saturating_sub(1);
        let constraints = cert.extensions.policy_constraints.as_ref();
        self.require_explicit(cert, constraints.and_then(|c| c.value.require_explicit).filter(|n| *n == 0));
    }
}
