//! Path validation by RFC 5280, with the clock, the roots and the CRLs passed in as values.
//!
//! Signatures are verified by the algorithms of rustls-webpki. The building of paths is our own, because what
//! webpki leaves to its caller or does not do at all is most of section 6: a root's validity and constraints,
//! constraints on directory and e-mail names, policies, several roots of one name, CRL signers apart. A
//! certificate directory has to pass both this and webpki.
//!
//! Work is bounded: after a number of signatures, steps and name comparisons, validation fails with `too-much-work`.
//!
//! | file | holds |
//! |---|---|
//! | `profile` | sections 4 and 5: requirements on each certificate |
//! | `constraint` | name constraints |
//! | `policy` | certificate policies |
//! | `revocation` | section 6.3 |
//! | `target` | whether the leaf has the names and usages that are required |

mod constraint;
mod policy;
mod profile;
pub(in crate::pki) mod revocation;
mod target;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;

pub use target::{PeerName, is_dns_pattern};

use super::extension::KeyUsage;
use super::{Cert, Crl};

/// A certificate to validate, and what it is validated against.
#[derive(Clone, Copy, Debug)]
pub struct ValidationRequest<'a> {
    /// The peer's certificate.
    pub leaf: &'a Cert,
    /// The other certificates that the peer sent, in any order; none of them is trusted.
    pub intermediates: &'a [Cert],
    /// The trust anchors. Their validity, usages and constraints are checked too.
    pub roots: &'a [Cert],
    /// CRLs. If there are any, one must cover each certificate below the root, and none may revoke it.
    pub crls: &'a [Crl],
    /// The time, in seconds since 1970.
    pub at: i64,
    /// Extended key usages that the leaf must allow, as object identifiers' bytes.
    pub purposes: &'a [Vec<u8>],
    /// Key usages that the leaf must allow.
    pub key_usage: KeyUsage,
    /// Names for which the leaf must be valid, each of them.
    pub names: &'a [PeerName],
    /// How many intermediates there may be that are not self-issued. With those that are, there are never more than
    /// this or [`MAX_DEPTH`], whichever is greater.
    pub max_depth: usize,
    /// Whether certificates must also be what section 4 obliges CAs to issue. Without it, only what section 6
    /// has validation check.
    pub conformance: bool,
}

/// The most comparisons of names that one validation may take: both sides come from a peer, and may be long.
const COMPARISONS: u32 = 100_000;

/// The greatest number of intermediates where the question does not say.
pub const MAX_DEPTH: usize = 16;

/// Why a path is invalid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathError {
    /// A stable word for the reason, in kebab case.
    pub code: &'static str,
    /// The reason, with the subject of the certificate.
    pub text: String,
}

impl PathError {
    fn new(code: &'static str, text: impl fmt::Display) -> Self {
        Self { code, text: text.to_string() }
    }

    fn about(code: &'static str, cert: &Cert, text: impl fmt::Display) -> Self {
        Self::new(code, format_args!("{}: {text}", cert.subject))
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.text, self.code)
    }
}

impl std::error::Error for PathError {}

type PathResult<T = ()> = Result<T, PathError>;

/// The certificates of an accepted path: the leaf, its intermediates, the root.
pub type Path<'a> = Vec<&'a Cert>;

/// Validates a leaf: builds a path to a trust anchor and checks it.
///
/// # Errors
/// The first reason why the leaf is invalid, or why the longest path is.
pub fn validate_path<'a>(question: &ValidationRequest<'a>) -> Result<Path<'a>, PathError> {
    validate_path_with(question, &VerifiedCrls::default())
}

/// [`validate_path`] with CRLs whose signatures were verified before.
///
/// # Errors
/// As there.
pub fn validate_path_with<'a>(
    question: &ValidationRequest<'a>,
    verified_crls: &VerifiedCrls,
) -> Result<Path<'a>, PathError> {
    let work = PathSearch::new(question, verified_crls);
    profile::check_leaf(question)?;
    target::check_target(&work)?;
    let mut path = vec![question.leaf];
    let mut furthest = PathError::about(NO_ISSUER, question.leaf, "does not chain to a trust anchor");
    match work.extend_path(&mut path, &mut furthest) {
        Ok(true) => Ok(path),
        Ok(false) => Err(furthest),
        Err(exhausted) => Err(exhausted),
    }
}

/// The CRLs that each root has signed, by the positions of both in a question: verified once for many questions with the
/// same roots and CRLs.
#[derive(Clone, Debug, Default)]
pub struct VerifiedCrls(HashMap<(usize, usize), bool>);

impl VerifiedCrls {
    /// Verifies each CRL by each root of its issuer's name.
    #[must_use]
    pub fn of_roots(roots: &[Cert], crls: &[Crl]) -> Self {
        let mut verified = HashMap::new();
        for (c, crl) in crls.iter().enumerate() {
            for (r, root) in roots.iter().enumerate().filter(|(_, root)| root.subject == crl.issuer) {
                verified.insert((c, r), crl.verify_signature(&root.key).is_ok());
            }
        }
        Self(verified)
    }

    /// Whether this root has signed this CRL, both those of the question; `None` if that was not verified before.
    fn is_signed_by(&self, question: &ValidationRequest<'_>, crl: &Crl, issuer: &Cert) -> Option<bool> {
        let crl = question.crls.iter().position(|c| std::ptr::eq(c, crl))?;
        let root = question.roots.iter().position(|r| std::ptr::eq(r, issuer))?;
        self.0.get(&(crl, root)).copied()
    }
}

const SIGNATURES: u32 = 300;
const STEPS: u32 = 20_000;

/// One search for a path, and its cost so far.
struct PathSearch<'a, 'q> {
    question: &'q ValidationRequest<'a>,
    verified_crls: &'q VerifiedCrls,
    signatures: Cell<u32>,
    steps: Cell<u32>,
    comparisons: Cell<u32>,
    /// Whether the one signed the other, by the addresses of the two.
    known: RefCell<HashMap<(*const Cert, *const Cert), bool>>,
}

impl<'a, 'q> PathSearch<'a, 'q> {
    fn new(question: &'q ValidationRequest<'a>, verified_crls: &'q VerifiedCrls) -> Self {
        let zero = || Cell::new(0);
        Self {
            question,
            verified_crls,
            signatures: zero(),
            steps: zero(),
            comparisons: zero(),
            known: RefCell::default(),
        }
    }

    /// Extends a path towards a root, depth first. On success the path ends with the root.
    fn extend_path(&self, path: &mut Path<'a>, furthest: &mut PathError) -> PathResult<bool> {
        let Some(&last) = path.last() else { return Ok(false) };
        for root in self.question.roots {
            if root.subject == last.issuer && self.is_signed_by(last, root)? {
                match self.check_path(path, root) {
                    Ok(()) => {
                        path.push(root);
                        return Ok(true);
                    }
                    Err(e) if e.code == EXHAUSTED => return Err(e),
                    Err(e) => *furthest = e,
                }
            } else if root.subject == last.issuer {
                note_unsupported(last, root, furthest);
            }
        }
        if path.len() > self.question.max_depth.max(MAX_DEPTH) {
            return Ok(false);
        }
        let counted = path.iter().skip(1).filter(|c| !c.is_self_issued()).count();
        for next in self.candidate_issuers(last) {
            self.spend_budget(&self.steps, STEPS, "paths to try")?;
            if path.iter().any(|c| c.der == next.der || (c.subject == next.subject && c.key == next.key)) {
                continue;
            }
            if counted >= self.question.max_depth && !next.is_self_issued() {
                continue;
            }
            if let Err(e) = profile::check_intermediate(self.question, next) {
                // A root that is not trusted is not the reason why the path is invalid.
                if furthest.code == NO_ISSUER && !next.is_self_issued() {
                    *furthest = e;
                }
                continue;
            }
            if self.is_signed_by(last, next)? {
                path.push(next);
                if self.extend_path(path, furthest)? {
                    return Ok(true);
                }
                path.pop();
            } else {
                note_unsupported(last, next, furthest);
            }
        }
        Ok(false)
    }

    /// The intermediates that may have issued a certificate, those with the right key identifier first.
    fn candidate_issuers(&self, cert: &Cert) -> Vec<&'a Cert> {
        let wanted = cert.extensions.authority_key_id.as_ref().and_then(|a| a.value.key_id.as_ref());
        let mut issuers: Vec<_> =
            self.question.intermediates.iter().filter(|c| c.subject == cert.issuer).collect();
        issuers.sort_by_key(|c| c.extensions.subject_key_id.as_ref().map(|s| &s.value) != wanted);
        issuers
    }

    /// Whether `issuer`'s key signed `cert`; each pair is verified once.
    fn is_signed_by(&self, cert: &Cert, issuer: &Cert) -> PathResult<bool> {
        let pair = (std::ptr::from_ref(cert), std::ptr::from_ref(issuer));
        if let Some(&known) = self.known.borrow().get(&pair) {
            return Ok(known);
        }
        self.spend_budget(&self.signatures, SIGNATURES, "signatures to verify")?;
        let good = cert.signature.verify(&issuer.key).is_ok();
        self.known.borrow_mut().insert(pair, good);
        Ok(good)
    }

    fn spend_budget(&self, counter: &Cell<u32>, limit: u32, what: &str) -> PathResult {
        counter.set(counter.get() + 1);
        if counter.get() > limit {
            return Err(PathError::new(EXHAUSTED, format_args!("more than {limit} {what}")));
        }
        Ok(())
    }

    /// Checks section 6.1 for a whole path whose signatures and names chain.
    fn check_path(&self, path: &[&'a Cert], root: &'a Cert) -> PathResult {
        profile::check_root(self.question, root)?;
        path_lengths(path, root)?;
        constraint::check_name_constraints(self, path, root)?;
        policy::check_policies(path)?;
        target::check_purposes_of_issuers(self.question, path, root)?;
        revocation::check_revocation(self, path, root)
    }
}

/// Keeps as the reason that the signature of `cert` cannot be verified with the key of its issuer because an algorithm is
/// not supported, unless a path came further.
fn note_unsupported(cert: &Cert, issuer: &Cert, furthest: &mut PathError) {
    let names_other_key = || {
        let names = cert.extensions.authority_key_id.as_ref();
        names.is_some_and(|names| names.value.explain_mismatch(issuer).is_some())
    };
    let what = match (cert.signature.is_supported(), issuer.key.kind.is_verifiable()) {
        (true, true) => return,
        _ if furthest.code != NO_ISSUER || names_other_key() => return,
        (false, _) => cert.signature.name(),
        (true, false) => format!("a key of {}, {}", issuer.subject, issuer.key.kind),
    };
    let text = format!("is signed with {what}, which is not supported");
    *furthest = PathError::about("signature-algorithm", cert, text);
}

const EXHAUSTED: &str = "too-much-work";

/// The code of a chain that ends before a trust anchor.
const NO_ISSUER: &str = "no-issuer";

/// Checks section 6.1.4 (l) and (m): self-issued certificates do not count, and the leaf is not an intermediate.
fn path_lengths(path: &[&Cert], root: &Cert) -> PathResult {
    let limit = |c: &Cert| c.extensions.basic_constraints.as_ref().and_then(|b| b.value.path_len);
    let mut left = limit(root);
    for cert in path.iter().skip(1).rev() {
        if !cert.is_self_issued() {
            if left == Some(0) {
                return Err(PathError::about(
                    "path-length",
                    cert,
                    "more intermediates than a path length allows",
                ));
            }
            left = left.map(|n| n - 1);
        }
        left = match (left, limit(cert)) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
    Ok(())
}
