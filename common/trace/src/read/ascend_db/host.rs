//! Rows of the host: operators, Python functions, the task queue, calls of CANN, marks.

use super::super::emit::{RowTimes, plain};
use super::super::error::ReadStop;
use super::connections::FIRST_AUTOGRAD_CONNECTION;
use super::{AscendReader, Layer, NO_NUMBER, split_tid};
use crate::model::{Category, Event, EventId, FastMap};

/// Kinds of `PYTORCH_API` rows (`ENUM_API_TYPE`).
const OPERATOR: i64 = 50001;
const QUEUE: i64 = 50002;
const PYTHON: i64 = 50003;

/// One row of `PYTORCH_API`, before its call stack is known.
#[derive(Default)]
struct Operator {
    row: i64,
    times: RowTimes,
    thread: i64,
    kind: i64,
    name: Option<i64>,
    sequence: Option<i64>,
    forward_thread: Option<i64>,
    types: Option<i64>,
    shapes: Option<i64>,
    queue_number: Option<i64>,
    stack: Vec<u8>,
}

impl AscendReader<'_> {
    /// `PYTORCH_API`, with the call stacks.
    pub(super) fn read_operators(&mut self) -> Result<(), ReadStop> {
        let database = self.database;
        if !database.has_column("PYTORCH_API", "startNs") {
            return Ok(());
        }
        if let Some(host) = self.host {
            self.emit.name_process(host, b"Python")?;
            self.emit.label_process(host, b"CPU")?;
        }
        let mut wanted = [
            "startNs",
            "endNs",
            "globalTid",
            "type",
            "name",
            "connectionId",
            "sequenceNumber",
            "fwdThreadId",
            "inputDtypes",
            "inputShapes",
        ];
        let with_arguments = self.emit.args.are_wanted();
        if !with_arguments {
            wanted[6..].fill("");
        }
        let columns = database.columns("PYTORCH_API", "p", &wanted);
        let mut connection = ("NULL", String::new());
        let joined = !self.connections.has_ids();
        if joined && database.has_column("PYTORCH_API", "connectionId") {
            connection = ("q.connectionId", database.join("CONNECTION_IDS", "q", "id", "p.connectionId"));
            if connection.1.is_empty() {
                connection.0 = "NULL";
            } else {
                // Only the rows of the task queue have just one.
                connection.1.push_str(&format!(" AND p.type = {QUEUE}"));
            }
        }
        let stacks = if with_arguments && database.has_column("PYTORCH_API", "callchainId") {
            database.join("PYTORCH_CALLCHAINS", "c", "id", "p.callchainId")
        } else {
            String::new()
        };
        let (frame, order) =
            if stacks.is_empty() { ("NULL", "") } else { ("c.stack", " ORDER BY p.rowid, c.stackDepth") };
        let query = format!(
            "SELECT p.rowid, {columns}, {}, {frame} FROM PYTORCH_API p{}{stacks}{order}",
            connection.0, connection.1
        );
        let with_stacks = !stacks.is_empty();
        let may_repeat = with_stacks || !connection.1.is_empty();
        let mut rows = 0;
        let mut current: Option<Operator> = None;
        database.each_row(&query, |row| {
            rows += 1;
            let id = if may_repeat { row.integer(0).unwrap_or(rows) } else { rows };
            if current.as_ref().is_none_or(|op| op.row != id) {
                if let Some(op) = current.take() {
                    self.send_operator(&op)?;
                }
                let times = self.emit.read_span(row, 1, 2)?;
                let (kind, connection) = (row.integer(4).unwrap_or(0), row.integer(6));
                let thread = row.integer(3);
                if let (OPERATOR, Some(id)) = (kind, connection) {
                    self.connections.add_operator(id, times.start, thread);
                }
                let argument = |column| if with_arguments { row.integer(column) } else { None };
                let queue_number = match (joined, kind) {
                    (true, _) => row.integer(11),
                    (false, QUEUE) => connection.and_then(|id| self.connections.connection_of(id)),
                    (false, _) => None,
                };
                current = Some(Operator {
                    row: id,
                    times,
                    thread: thread.unwrap_or(0),
                    kind,
                    name: row.integer(5),
                    sequence: argument(7),
                    forward_thread: argument(8),
                    types: argument(9),
                    shapes: argument(10),
                    queue_number,
                    stack: Vec::new(),
                });
            }
            if with_stacks {
                if let (Some(op), Some(frame)) = (&mut current, row.integer(12)) {
                    op.add_frame(self.strings.get(frame));
                }
            }
            Ok(())
        })?;
        if let Some(op) = current {
            self.send_operator(&op)?;
        }
        if !with_arguments {
            self.look_up_frames()?;
        }
        self.send_autograd_arrows()
    }

    /// Looks up the names of all frames, so that those that are missing are counted, whether anybody looks at them or not.
    fn look_up_frames(&mut self) -> Result<(), ReadStop> {
        let database = self.database;
        let columns = database.columns("PYTORCH_CALLCHAINS", "c", &["id", "stack"]);
        if !database.has_column("PYTORCH_API", "callchainId") || columns.contains("NULL") {
            return Ok(());
        }
        let mut missing: FastMap<i64, u64> = FastMap::default();
        database.each_row(&format!("SELECT {columns} FROM PYTORCH_CALLCHAINS c"), |row| {
            if let (Some(id), Some(frame)) = (row.integer(0), row.integer(1)) {
                if !self.strings.has(frame) {
                    *missing.entry(id).or_default() += 1;
                }
            }
            Ok(())
        })?;
        if missing.is_empty() {
            return Ok(());
        }
        database.each_row("SELECT callchainId FROM PYTORCH_API", |row| {
            let frames = row.integer(0).and_then(|id| missing.get(&id));
            self.strings.count_unknown(frames.copied().unwrap_or(0));
            Ok(())
        })
    }

    fn send_operator(&mut self, op: &Operator) -> Result<(), ReadStop> {
        let (pid, tid) = split_tid(op.thread);
        let name = self.strings.get(op.name.unwrap_or(-1));
        let (cat, category) = match op.kind {
            OPERATOR => ("cpu_op", Category::Other),
            PYTHON => ("python_function", Category::Other),
            QUEUE if name.starts_with(b"Dequeue") => ("dequeue", Category::Other),
            QUEUE => ("enqueue", Category::Other),
            _ => ("mstx", Category::Marker),
        };
        if op.kind == OPERATOR && self.emit.args.are_wanted() {
            let args = &mut self.emit.args;
            args.some_integer("Sequence number", op.sequence)
                .some_integer("Fwd thread id", op.forward_thread);
            args.some_text("Input Dims", self.strings.some(op.shapes));
            args.some_text("Input type", self.strings.some(op.types));
        }
        if !op.stack.is_empty() {
            self.emit.args.text(b"Call stack", &op.stack);
        }
        let is_queue = op.kind == QUEUE;
        self.emit.args.some_integer("correlation_id", op.queue_number.filter(|_| is_queue));
        let event = Event {
            phase: b'X',
            category,
            cat: cat.into(),
            name: plain(name),
            pid: EventId::Number(pid),
            tid: EventId::Number(tid),
            start: op.times.start,
            dur: op.times.dur,
            untimed: op.times.untimed,
            correlation: op.queue_number.filter(|_| is_queue),
            ..Event::default()
        };
        self.emit.send(event)?;
        let Some(number) = op.queue_number.filter(|_| is_queue && op.times.start.is_some()) else {
            return Ok(());
        };
        self.emit.send(Event {
            phase: if cat == "enqueue" { b's' } else { b'f' },
            cat: "async_task_queue".into(),
            name: "enqueue_to_dequeue".into(),
            id: EventId::Number(number),
            dur: None,
            untimed: false,
            category: Category::Flow,
            correlation: None,
            ..event
        })
    }

    /// Arrows from a forward operator to its backward one. An operator of the forward pass has no forward thread.
    fn send_autograd_arrows(&mut self) -> Result<(), ReadStop> {
        let database = self.database;
        let has = |table, columns: &[&str]| columns.iter().all(|c| database.has_column(table, c));
        if !(self.connections.has_autograd
            && has("CONNECTION_IDS", &["id", "connectionId"])
            && has("PYTORCH_API", &["connectionId", "globalTid", "fwdThreadId"]))
        {
            return Ok(());
        }
        let query = format!(
            "SELECT c.connectionId, p.startNs, p.globalTid, p.fwdThreadId FROM CONNECTION_IDS c \
             JOIN PYTORCH_API p ON p.connectionId = c.id \
             WHERE c.connectionId >= {FIRST_AUTOGRAD_CONNECTION} AND p.type = {OPERATOR}"
        );
        database.each_row(&query, |row| {
            let (Some(id), Some(start), Some(thread)) = (row.integer(0), row.integer(1), row.integer(2))
            else {
                return Ok(());
            };
            let (pid, tid) = split_tid(thread);
            self.emit.send(Event {
                phase: if row.integer(3).unwrap_or(0) == 0 { b's' } else { b'f' },
                cat: "fwdbwd".into(),
                name: "fwdbwd".into(),
                id: EventId::Number(id - FIRST_AUTOGRAD_CONNECTION),
                pid: EventId::Number(pid),
                tid: EventId::Number(tid),
                start: Some(start),
                ..Event::default()
            })
        })
    }

    /// `CANN_API`: calls of the runtime's layers, in a process of their own.
    pub(super) fn read_calls(&mut self) -> Result<(), ReadStop> {
        let database = self.database;
        if !database.has_column("CANN_API", "startNs") {
            return Ok(());
        }
        let pid = self.layer_pid(Layer::Cann, 0);
        self.emit.name_process(pid, b"CANN")?;
        self.emit.label_process(pid, b"CPU")?;
        let columns = ["startNs", "endNs", "type", "globalTid", "connectionId", "name"];
        let query = format!("SELECT {} FROM CANN_API a", database.columns("CANN_API", "a", &columns));
        let mut name = Vec::new();
        database.each_row(&query, |row| {
            let times = self.emit.read_span(row, 0, 1)?;
            let (_, tid) = split_tid(row.integer(3).unwrap_or(0));
            let (level, layer) = layer_of_call(row.integer(2));
            let call = self.strings.get(row.integer(5).unwrap_or(-1));
            name.clear();
            name.extend_from_slice(layer.as_bytes());
            name.extend_from_slice(call);
            if self.emit.args.are_wanted() {
                let args = self.emit.args.integer("Thread Id", tid).some_text("level", level.as_bytes());
                args.some_integer("connection_id", row.integer(4).filter(|id| *id != NO_NUMBER));
            }
            self.emit.send(Event {
                phase: b'X',
                category: Category::Api,
                name: plain(&name),
                pid: EventId::Number(pid),
                tid: EventId::Number(tid),
                start: times.start,
                dur: times.dur,
                untimed: times.untimed,
                ..Event::default()
            })
        })
    }

    /// `MSTX_EVENTS`: what the program marked.
    pub(super) fn read_marks(&mut self) -> Result<(), ReadStop> {
        let database = self.database;
        if !database.has_column("MSTX_EVENTS", "startNs") {
            return Ok(());
        }
        let columns = ["startNs", "endNs", "eventType", "message", "globalTid", "domainId", "connectionId"];
        let query = format!("SELECT {} FROM MSTX_EVENTS m", database.columns("MSTX_EVENTS", "m", &columns));
        database.each_row(&query, |row| {
            let (pid, tid) = split_tid(row.integer(4).unwrap_or(0));
            // 0 and 3 are moments (`ENUM_MSTX_EVENT_TYPE`).
            let moment = matches!(row.integer(2), Some(0 | 3));
            let times = match moment {
                true => self.emit.read_start(row, 0)?,
                false => self.emit.read_span(row, 0, 1)?,
            };
            self.emit.args.some_text("domain", self.strings.some(row.integer(5)));
            self.emit.args.some_integer("connection_id", row.integer(6).filter(|id| *id != NO_NUMBER));
            self.emit.send(Event {
                phase: if moment { b'i' } else { b'X' },
                category: Category::Marker,
                cat: "mstx".into(),
                name: plain(self.strings.get(row.integer(3).unwrap_or(-1))),
                pid: EventId::Number(pid),
                tid: EventId::Number(tid),
                start: times.start,
                dur: times.dur,
                untimed: times.untimed,
                ..Event::default()
            })
        })
    }
}

impl Operator {
    /// Adds a frame of the call stack, innermost first.
    fn add_frame(&mut self, frame: &[u8]) {
        const LONGEST: usize = 1024 * 1024;
        if self.stack.len() + frame.len() > LONGEST {
            return;
        }
        if !self.stack.is_empty() {
            self.stack.extend_from_slice(b";\r\n");
        }
        self.stack.extend_from_slice(frame);
    }
}

/// The prefix that a timeline writes before the name of a call, by `ENUM_API_TYPE`.
fn layer_of_call(kind: Option<i64>) -> (&'static str, &'static str) {
    match kind {
        Some(20000) => ("acl", "AscendCL@"),
        Some(15000) => ("model", "Model@"),
        Some(10000) => ("node", "Node@"),
        Some(5500) => ("communication", "Communication@"),
        Some(5000) => ("runtime", "Runtime@"),
        _ => ("", ""),
    }
}
