//! Combines the results of all base chains: whether another host's connection reaches the daemon.

use super::follow::{PacketFate, worst_fate};
use super::packet::{HookPlace, Packet};

/// The results of the base chains of one or more rulesets.
#[derive(Debug, Default)]
pub(crate) struct ChainResults {
    /// Something bears on all chains and is not understood.
    unknown: bool,
    /// Before destinations are translated.
    early: Vec<PacketFate>,
    /// After that, up to the socket.
    late: Vec<PacketFate>,
    /// The daemon's reply.
    reply: Vec<PacketFate>,
}

impl ChainResults {
    pub(crate) fn new(unknown: bool) -> Self {
        Self { unknown, ..Self::default() }
    }

    pub(crate) fn add_fate(&mut self, place: HookPlace, fate: PacketFate) {
        let fate = if place.partial && fate != PacketFate::Accept { PacketFate::Unsure } else { fate };
        let list = match place {
            HookPlace { reply: true, .. } => &mut self.reply,
            HookPlace { translated: false, .. } => &mut self.early,
            _ => &mut self.late,
        };
        // Many chains have few different results.
        if !list.contains(&fate) {
            list.push(fate);
        }
    }

    pub(crate) fn merge_results(&mut self, other: Self) {
        self.unknown |= other.unknown;
        self.early.extend(other.early);
        self.late.extend(other.late);
        self.reply.extend(other.reply);
    }

    /// The result for a packet after every ruleset was evaluated for it.
    pub(crate) fn overall_fate(&self, packet: &Packet<'_>) -> PacketFate {
        let (early, late) = (worst_fate(self.early.iter().copied()), worst_fate(self.late.iter().copied()));
        // A packet that is diverted from the port skips the later rules; one diverted to it was another before.
        let early_holds = early == PacketFate::Drop && !packet.diverted_to.get();
        let late_holds = late == PacketFate::Drop && !packet.diverted_from.get();
        if !self.unknown && (early_holds || late_holds) {
            return PacketFate::Drop;
        }
        let open = early == PacketFate::Accept
            && late == PacketFate::Accept
            && !packet.diverted_from.get()
            && !self.unknown;
        // If replies are dropped no connection is established, but its first packet arrives.
        let answered = worst_fate(self.reply.iter().copied()) == PacketFate::Accept;
        if open && !answered {
            packet.note_doubt("rules for the daemon's replies");
        }
        if open && answered { PacketFate::Accept } else { PacketFate::Unsure }
    }
}
