//! Follows the rules of chains as the kernel does, for one packet whose conditions are met, not met, or undecided.

use std::collections::HashMap;
use std::rc::Rc;

/// Whether the packet meets a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ConditionMet {
    No,
    Unsure,
    Yes,
}

impl ConditionMet {
    pub(crate) fn from_bool(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }

    pub(crate) fn negate_if(self, negated: bool) -> Self {
        match self {
            Self::Yes if negated => Self::No,
            Self::No if negated => Self::Yes,
            met => met,
        }
    }

    /// The common answer, or `Unsure` where they differ or there is none.
    pub(crate) fn common_answer(answers: impl IntoIterator<Item = Self>) -> Self {
        answers.into_iter().reduce(|a, b| if a == b { a } else { Self::Unsure }).unwrap_or(Self::Unsure)
    }
}

/// The result for a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum PacketFate {
    Accept,
    Drop,
    Unsure,
}

/// The action of a rule on a packet that meets its conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RuleVerdict {
    Accept,
    Drop,
    Return,
    Jump(String),
    Goto(String),
    /// Not decidable here: a queue to a program, a statement that is not understood.
    Unknown,
}

/// A rule for one packet: its conditions and its verdict. Rules without a verdict are left out.
pub(crate) type EvaluatedRule = (ConditionMet, RuleVerdict);

/// Maximum depth of jumps: the kernel allows 16 (`NFT_JUMP_STACK_SIZE`, include/net/netfilter/nf_tables.h).
const DEPTH: u32 = 32;

/// Maximum number of chains to follow, a bound for hostile rulesets.
const CALLS: u32 = 2_000;

/// The possible results of a chain: a set of these.
type Outcomes = u8;
const ACCEPT: Outcomes = 1;
const DROP: Outcomes = 2;
/// The packet reaches the end, and the calling chain continues.
const THROUGH: Outcomes = 4;
const ANY: Outcomes = ACCEPT | DROP | THROUGH;

/// Looks up the rules of a chain; `None` where it does not exist.
pub(crate) type ChainLookup<'l> = dyn FnMut(&str) -> Option<Rc<[EvaluatedRule]>> + 'l;

/// Follows the rules of a base chain with this policy.
pub(crate) fn follow_base(chain: &str, policy: PacketFate, rules: &mut ChainLookup<'_>) -> PacketFate {
    let outcomes = Follower { rules, calls: 0, known: HashMap::new() }.follow_chain(chain, 0);
    let end = match policy {
        _ if outcomes & THROUGH == 0 => 0,
        PacketFate::Accept => ACCEPT,
        PacketFate::Drop => DROP,
        PacketFate::Unsure => ACCEPT | DROP,
    };
    match outcomes & !THROUGH | end {
        ACCEPT => PacketFate::Accept,
        DROP => PacketFate::Drop,
        _ => PacketFate::Unsure,
    }
}

/// Follows chains, each once: the result does not depend on the caller.
struct Follower<'r, 'l> {
    rules: &'r mut ChainLookup<'l>,
    calls: u32,
    known: HashMap<String, Outcomes>,
}

impl Follower<'_, '_> {
    fn follow_chain(&mut self, chain: &str, depth: u32) -> Outcomes {
        if let Some(known) = self.known.get(chain) {
            return *known;
        }
        self.calls += 1;
        if depth >= DEPTH || self.calls >= CALLS {
            return ANY;
        }
        // A second visit before the result is known is a circle.
        self.known.insert(chain.to_owned(), ANY);
        let outcomes = (self.rules)(chain).map_or(ANY, |list| self.follow_rules(&list, depth));
        self.known.insert(chain.to_owned(), outcomes);
        outcomes
    }

    fn follow_rules(&mut self, list: &[EvaluatedRule], depth: u32) -> Outcomes {
        let mut outcomes = 0;
        for (met, verdict) in list.iter().filter(|(met, _)| *met != ConditionMet::No) {
            // The results of this rule, and whether the next rule may be reached from it.
            let (to, goes_on) = match verdict {
                RuleVerdict::Accept => (ACCEPT, false),
                RuleVerdict::Drop => (DROP, false),
                RuleVerdict::Return => (THROUGH, false),
                RuleVerdict::Unknown => (ANY, true),
                RuleVerdict::Goto(to) => (self.follow_chain(to, depth + 1), false),
                RuleVerdict::Jump(to) => {
                    let to = self.follow_chain(to, depth + 1);
                    (to & !THROUGH, to & THROUGH != 0)
                }
            };
            outcomes |= to;
            if *met == ConditionMet::Yes && !goes_on {
                return outcomes;
            }
        }
        outcomes | THROUGH
    }
}

/// A drop in any chain drops the packet; without one, an unsure chain makes the result unsure.
pub(crate) fn worst_fate(fates: impl IntoIterator<Item = PacketFate>) -> PacketFate {
    fates.into_iter().fold(PacketFate::Accept, |all, fate| match (all, fate) {
        (PacketFate::Drop, _) | (_, PacketFate::Drop) => PacketFate::Drop,
        (PacketFate::Unsure, _) | (_, PacketFate::Unsure) => PacketFate::Unsure,
        _ => PacketFate::Accept,
    })
}
