//! What the processes of a trace are for, as its metadata events say.

use std::collections::HashMap;

use crate::model::{Id, Role};

/// Processes by number. Only numbered processes matter: rows that are told by their process have numbers.
#[derive(Default)]
pub(super) struct Processes {
    known: HashMap<i64, Process>,
    /// Most events stay in the process of the one before.
    last: Option<(i64, Role, Option<i64>)>,
}

#[derive(Default)]
struct Process {
    role: Role,
    device: Option<i64>,
    /// Events have been seen that its name would have told more about.
    asked: bool,
}

impl Processes {
    /// Sets a process's role. `true` if that comes too late for some of its events.
    pub(super) fn name(&mut self, pid: Id<'_>, role: Role) -> bool {
        let Id::Number(pid) = pid else { return false };
        if role == Role::None {
            return false;
        }
        self.last = None;
        let process = self.known.entry(pid).or_default();
        let late = process.asked && process.role != role;
        process.role = role;
        late
    }

    /// Sets a process's device.
    pub(super) fn label(&mut self, pid: Id<'_>, device: Option<i64>) {
        if let (Id::Number(pid), Some(_)) = (pid, device) {
            self.last = None;
            self.known.entry(pid).or_default().device = device;
        }
    }

    /// Role and device of a process.
    pub(super) fn of(&mut self, pid: Id<'_>) -> (Role, Option<i64>) {
        let Id::Number(pid) = pid else { return (Role::None, None) };
        if let Some((_, role, device)) = self.last.filter(|(last, ..)| *last == pid) {
            return (role, device);
        }
        let process = self.known.entry(pid).or_default();
        process.asked = true;
        self.last = Some((pid, process.role, process.device));
        (process.role, process.device)
    }
}
