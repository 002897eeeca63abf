//! Puts the results of all base chains together: whether another host's connection reaches the daemon.

use super::follow::{Fate, worst};
use super::packet::{Packet, Place};

/// The results of the base chains of one or more rulesets.
#[derive(Debug, Default)]
pub(crate) struct Passage {
    /// Something bears on all chains and is not understood.
    unknown: bool,
    /// Before destinations are translated.
    early: Vec<Fate>,
    /// After that, up to the socket.
    late: Vec<Fate>,
    /// The daemon's reply.
    reply: Vec<Fate>,
}

impl Passage {
    pub(crate) fn new(unknown: bool) -> Self {
        Self { unknown, ..Self::default() }
    }

    pub(crate) fn add(&mut self, place: Place, fate: Fate) {
        let fate = if place.partial && fate != Fate::Accept { Fate::Unsure } else { fate };
        let list = match place {
            Place { reply: true, .. } => &mut self.reply,
            Place { translated: false, .. } => &mut self.early,
            _ => &mut self.late,
        };
        // Many chains have few different results.
        if !list.contains(&fate) {
            list.push(fate);
        }
    }

    pub(crate) fn join(&mut self, other: Self) {
        self.unknown |= other.unknown;
        self.early.extend(other.early);
        self.late.extend(other.late);
        self.reply.extend(other.reply);
    }

    /// The result for a packet after every ruleset was evaluated for it.
    pub(crate) fn fate(&self, packet: &Packet<'_>) -> Fate {
        let (early, late) = (worst(self.early.iter().copied()), worst(self.late.iter().copied()));
        // A packet that is diverted from the port skips the later rules; one diverted to it was another before.
        let early_holds = early == Fate::Drop && !packet.diverted_to.get();
        let late_holds = late == Fate::Drop && !packet.diverted_from.get();
        if !self.unknown && (early_holds || late_holds) {
            return Fate::Drop;
        }
        let open =
            early == Fate::Accept && late == Fate::Accept && !packet.diverted_from.get() && !self.unknown;
        // A connection whose replies are dropped does not come about, but its first packet arrives.
        let answered = worst(self.reply.iter().copied()) == Fate::Accept;
        if open && !answered {
            packet.doubt("rules for the daemon's replies");
        }
        if open && answered { Fate::Accept } else { Fate::Unsure }
    }
}
