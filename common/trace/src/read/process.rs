//! What the processes of a trace are for, as its metadata events say.

use std::collections::HashMap;

use crate::model::{EventId, ProcessRole};

/// Processes by number. Only numbered processes matter: rows that belong to a process have its number.
#[derive(Default)]
pub(super) struct ProcessTable {
    known: HashMap<i64, Process>,
    /// Most events stay in the process of the one before.
    last: Option<(i64, ProcessRole, Option<i64>)>,
}

#[derive(Default)]
struct Process {
    role: ProcessRole,
    device: Option<i64>,
}

impl ProcessTable {
    /// Sets a process's role.
    pub(super) fn set_role(&mut self, pid: EventId<'_>, role: ProcessRole) {
        if let (EventId::Number(pid), true) = (pid, role != ProcessRole::None) {
            self.last = None;
            self.known.entry(pid).or_default().role = role;
        }
    }

    /// Sets a process's device.
    pub(super) fn set_device(&mut self, pid: EventId<'_>, device: Option<i64>) {
        if let (EventId::Number(pid), Some(_)) = (pid, device) {
            self.last = None;
            self.known.entry(pid).or_default().device = device;
        }
    }

    /// Role and device of a process.
    pub(super) fn role_and_device(&mut self, pid: EventId<'_>) -> (ProcessRole, Option<i64>) {
        let EventId::Number(pid) = pid else { return (ProcessRole::None, None) };
        if let Some((_, role, device)) = self.last.filter(|(last, ..)| *last == pid) {
            return (role, device);
        }
        let (role, device) = self.known.get(&pid).map_or((ProcessRole::None, None), |p| (p.role, p.device));
        self.last = Some((pid, role, device));
        (role, device)
    }
}
