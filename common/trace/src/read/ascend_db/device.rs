//! Rows of the devices: tasks, and collective operations with their parts.

use super::super::database::Cells;
use super::super::emit::{Arguments, plain};
use super::super::error::ReadStop;
use super::parts::PartTask;
use super::{AscendReader, Layer, NO_NUMBER, StringTable, split_tid};
use crate::model::{Category, Event, EventId, FastMap};

/// Threads of the communication process: groups first, then the planes that their parts run on.
const FIRST_PLANE: i64 = 1 << 20;

impl AscendReader<'_> {
    /// `TASK`, with what the tables of computation and copies say, and arrows from the operators that launched them.
    pub(super) fn read_tasks(&mut self) -> Result<(), ReadStop> {
        let database = self.database;
        if !(database.has_column("TASK", "startNs") && database.has_column("TASK", "globalTaskId")) {
            return Ok(());
        }
        // Of a profile without details, only the kind of a task is known.
        let known = database.has_column("COMPUTE_TASK_INFO", "globalTaskId");
        let mut task =
            ["startNs", "endNs", "deviceId", "connectionId", "taskType", "streamId", "taskId", "modelId"];
        let mut compute = [
            "globalTaskId",
            "name",
            "opType",
            "blockNum|blockDim|block_dim",
            "inputShapes",
            "inputDataTypes",
            "outputShapes",
            "outputDataTypes",
        ];
        let mut copies = database.join("MEMCPY_INFO", "m", "globalTaskId", "t.globalTaskId");
        let with_arguments = self.emit.args.are_wanted();
        if !with_arguments {
            task[6..].fill("");
            compute[2..].fill("");
            copies.clear();
        }
        let columns = [
            database.columns("TASK", "t", &task),
            database.columns("COMPUTE_TASK_INFO", "c", &compute),
            if copies.is_empty() {
                "NULL".to_owned()
            } else {
                database.columns("MEMCPY_INFO", "m", &["size"])
            },
            match self.parts.has_ids() {
                true => "t.globalTaskId".to_owned(),
                false => database.columns("COMMUNICATION_TASK_INFO", "h", &["globalTaskId"]),
            },
        ];
        let joins = [
            database.join("COMPUTE_TASK_INFO", "c", "globalTaskId", "t.globalTaskId"),
            copies,
            match self.parts.has_ids() {
                true => String::new(),
                false => database.join("COMMUNICATION_TASK_INFO", "h", "globalTaskId", "t.globalTaskId"),
            },
        ];
        let (linked, joined) = (self.has_connections(), !self.connections.has_operators());
        let (mut arrow, mut arrow_joins) = ("NULL, NULL", String::new());
        if linked && joined {
            arrow = "p.startNs, p.globalTid";
            arrow_joins.push_str(
                " LEFT JOIN CONNECTION_IDS i ON i.connectionId = t.connectionId \
                 LEFT JOIN PYTORCH_API p ON p.connectionId = i.id AND p.type = 50001",
            );
        }
        let query = format!(
            "SELECT {}, {arrow}, t.rowid FROM TASK t{}{arrow_joins}",
            columns.join(", "),
            joins.concat()
        );
        let mut last = None;
        let derives_lanes = self.derives_lanes();
        database.each_row(&query, |row| {
            // Several details or operators of one task make several rows.
            let number = row.integer(20);
            if number == last {
                return Ok(());
            }
            last = number;
            let times = self.emit.read_span(row, 0, 1)?;
            let (told_device, told_stream, connection) = (row.integer(2), row.integer(5), row.integer(3));
            let (device, stream) = (told_device.unwrap_or(0), told_stream.unwrap_or(0));
            let pid = self.layer_pid(Layer::Hardware, device);
            let kind = self.strings.get(row.integer(4).unwrap_or(-1));
            let computes = row.integer(8).is_some();
            let id = row.integer(17);
            let is_part = match self.parts.has_ids() {
                true => self.parts.keep_task(id, PartTask { times, device, stream: told_stream }),
                false => id.is_some(),
            };
            let name = if computes { self.strings.get(row.integer(9).unwrap_or(-1)) } else { kind };
            let of_computation = is_computation(kind);
            let counts = computes || !known || !of_computation;
            if with_arguments {
                write_task_arguments(&mut self.emit.args, row, &self.strings, (kind, counts));
            }
            if derives_lanes && (computes || !known && of_computation) {
                let end = times.start.zip(times.dur).map(|(start, dur)| start.saturating_add(dur));
                self.pieces.add_computation(told_device, times.start, end)?;
            }
            let marker = kind == b"MsTx";
            // Where the kind does not decide, the details do.
            let told = computes && !of_computation;
            let event = Event {
                phase: b'X',
                category: if marker { Category::Marker } else { Category::Other },
                cat: if told { "kernel" } else { "" }.into(),
                name: plain(name),
                device: told.then_some(device),
                stream: told.then_some(stream),
                pid: EventId::Number(pid),
                tid: EventId::Number(stream),
                start: times.start,
                dur: times.dur,
                untimed: times.untimed,
                task_type: plain(if counts { kind } else { b"" }),
                ..Event::default()
            };
            self.emit.send(event)?;
            let (Some(connection), Some(start)) = (connection, times.start) else { return Ok(()) };
            if !linked || !counts || is_part {
                return Ok(());
            }
            let operator = match joined {
                true => row.integer(18).zip(row.integer(19)),
                false => self.connections.operator_of(connection),
            };
            operator.map_or(Ok(()), |(at, thread)| self.send_arrow(at, thread, pid, stream, start))
        })?;
        self.parts.end_tasks();
        Ok(())
    }

    fn has_connections(&self) -> bool {
        let has = |table, columns: &[&str]| columns.iter().all(|c| self.database.has_column(table, c));
        has("CONNECTION_IDS", &["id", "connectionId"])
            && has("PYTORCH_API", &["startNs", "globalTid", "connectionId", "type"])
            && has("TASK", &["connectionId"])
    }

    /// The arrow from an operator to what it put on a device; like a timeline's, its number is the start of the latter.
    fn send_arrow(&mut self, at: i64, thread: i64, pid: i64, tid: i64, start: i64) -> Result<(), ReadStop> {
        let (host, host_thread) = split_tid(thread);
        let event = Event {
            phase: b's',
            cat: "async_npu".into(),
            name: "torch_to_npu".into(),
            id: EventId::Number(start),
            pid: EventId::Number(host),
            tid: EventId::Number(host_thread),
            start: Some(at),
            ..Event::default()
        };
        self.emit.send(event)?;
        let (pid, tid) = (EventId::Number(pid), EventId::Number(tid));
        self.emit.send(Event { phase: b'f', pid, tid, start: Some(start), ..event })
    }

    /// `COMMUNICATION_OP`, and the parts of each in `COMMUNICATION_TASK_INFO`.
    pub(super) fn read_collectives(&mut self) -> Result<(), ReadStop> {
        let database = self.database;
        if !database.has_column("COMMUNICATION_OP", "startNs") {
            return Ok(());
        }
        let own = database.columns(
            "COMMUNICATION_OP",
            "o",
            &[
                "opName",
                "startNs",
                "endNs",
                "connectionId",
                "groupName",
                "algType",
                "count",
                "dataType",
                "deviceId",
                "relay",
                "retry",
            ],
        );
        // Older files do not say on which device: its tasks do.
        let device = self.device_of_collective().unwrap_or("NULL");
        let (linked, joined) = (self.has_connections(), !self.connections.has_operators());
        let (mut arrow, mut joins) = ("NULL, NULL", String::new());
        if linked && joined && database.has_column("COMMUNICATION_OP", "connectionId") {
            arrow = "p.startNs, p.globalTid";
            joins.push_str(
                " LEFT JOIN CONNECTION_IDS i ON i.connectionId = o.connectionId \
                 LEFT JOIN PYTORCH_API p ON p.connectionId = i.id AND p.type = 50001",
            );
        }
        let type_name = database.join("ENUM_HCCL_DATA_TYPE", "e", "id", "o.dataType");
        let (data_type, type_name) =
            if type_name.is_empty() { ("NULL", String::new()) } else { ("e.name", type_name) };
        let query = format!(
            "SELECT {own}, {device}, {data_type}, {arrow}, o.rowid FROM COMMUNICATION_OP o{type_name}{joins}"
        );
        let mut groups = FastMap::default();
        let mut last = None;
        database.each_row(&query, |row| {
            if row.integer(15) == last {
                return Ok(());
            }
            last = row.integer(15);
            let times = self.emit.read_span(row, 1, 2)?;
            let only = self.devices.first().copied().filter(|_| self.devices.len() == 1);
            let device = row.integer(8).or(row.integer(11)).or(only).unwrap_or(0);
            let pid = self.layer_pid(Layer::Communication, device);
            let group = row.integer(4).unwrap_or(-1);
            let tid = self.group_thread(&mut groups, group, pid)?;
            let args = &mut self.emit.args;
            args.some_integer("connection_id", row.integer(3).filter(|id| *id != NO_NUMBER));
            args.some_text("data_type", row.text(12));
            args.some_text("alg_type", self.strings.some(row.integer(5)));
            if let Some(count) = row.number(6) {
                args.json(b"count", &count);
            }
            args.some_text("group_name", self.strings.some(Some(group)));
            args.some_integer("relay", row.integer(9)).some_integer("retry", row.integer(10));
            let name = self.strings.get(row.integer(0).unwrap_or(-1));
            // A name that is not known is that of another library: the table decides.
            let told = !name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"hcom_"));
            self.emit.send(Event {
                phase: b'X',
                category: if told { Category::Collective } else { Category::Other },
                device: Some(device).filter(|_| told),
                name: plain(name),
                pid: EventId::Number(pid),
                tid: EventId::Number(tid),
                start: times.start,
                dur: times.dur,
                untimed: times.untimed,
                ..Event::default()
            })?;
            let operator = match joined {
                true => row.integer(13).zip(row.integer(14)),
                false => row.integer(3).filter(|_| linked).and_then(|id| self.connections.operator_of(id)),
            };
            match (operator, times.start) {
                (Some((at, thread)), Some(start)) => self.send_arrow(at, thread, pid, tid, start),
                _ => Ok(()),
            }
        })?;
        self.read_parts()
    }

    /// The thread of a communication group, in the order in which they are met.
    fn group_thread(
        &mut self,
        groups: &mut FastMap<i64, i64>,
        group: i64,
        pid: i64,
    ) -> Result<i64, ReadStop> {
        const MOST: usize = 65_536;
        if let Some(tid) = groups.get(&group) {
            return Ok(*tid);
        }
        if groups.len() < MOST {
            groups.insert(group, groups.len() as i64);
        }
        let tid = groups.len() as i64 - 1;
        let name = [b"Group ", self.strings.get(group), b" Communication"].concat();
        self.emit.name_thread(pid, tid, &name)?;
        Ok(tid)
    }

    fn read_parts(&mut self) -> Result<(), ReadStop> {
        let database = self.database;
        let has = |table| database.has_column(table, "globalTaskId");
        if !(has("COMMUNICATION_TASK_INFO") && has("TASK")) {
            return Ok(());
        }
        let in_memory = self.parts.has_tasks();
        let (task, join) = match in_memory {
            true => ("NULL, NULL, NULL, NULL".to_owned(), ""),
            false => (
                database.columns("TASK", "t", &["startNs", "endNs", "deviceId", "streamId"]),
                " JOIN TASK t ON t.globalTaskId = h.globalTaskId",
            ),
        };
        let mut part = ["taskType", "planeId", "size", "srcRank", "dstRank", "globalTaskId"];
        let with_arguments = self.emit.args.are_wanted();
        if !with_arguments {
            part[2..5].fill("");
        }
        let part = database.columns("COMMUNICATION_TASK_INFO", "h", &part);
        let names =
            [("ENUM_HCCL_TRANSPORT_TYPE", "transportType", "x"), ("ENUM_HCCL_LINK_TYPE", "linkType", "y")];
        let (mut selected, mut joins) = (String::new(), String::new());
        for (table, column, alias) in names {
            let join = if with_arguments && database.has_column("COMMUNICATION_TASK_INFO", column) {
                database.join(table, alias, "id", &format!("h.{column}"))
            } else {
                String::new()
            };
            selected.push_str(&if join.is_empty() { ", NULL".to_owned() } else { format!(", {alias}.name") });
            joins.push_str(&join);
        }
        let query = format!("SELECT {task}, {part}{selected} FROM COMMUNICATION_TASK_INFO h{join}{joins}");
        database.each_row(&query, |row| {
            let PartTask { times, device, stream } = if in_memory {
                let Some(task) = row.integer(9).and_then(|id| self.parts.task_of(id)) else { return Ok(()) };
                task
            } else {
                let times = self.emit.read_span(row, 0, 1)?;
                PartTask { times, device: row.integer(2).unwrap_or(0), stream: row.integer(3) }
            };
            let pid = self.layer_pid(Layer::Communication, device);
            if with_arguments {
                let args = &mut self.emit.args;
                args.some_integer("stream id", stream);
                for (key, column) in [("size(Byte)", 6), ("src rank", 7), ("dst rank", 8)] {
                    args.some_integer(key, row.integer(column));
                }
                args.some_text("transport type", row.text(10)).some_text("link type", row.text(11));
            }
            self.emit.send(Event {
                phase: b'X',
                name: plain(self.strings.get(row.integer(4).unwrap_or(-1))),
                pid: EventId::Number(pid),
                tid: EventId::Number(FIRST_PLANE + row.integer(5).unwrap_or(0)),
                start: times.start,
                dur: times.dur,
                untimed: times.untimed,
                ..Event::default()
            })
        })
    }
}

/// Writes the arguments of a task of this kind, which counts as computation or not.
fn write_task_arguments(
    args: &mut Arguments,
    row: Cells<'_>,
    strings: &StringTable,
    (kind, counts): (&[u8], bool),
) {
    // What the exporter does not count as computation must not look like it.
    args.some_text(if counts { "Task Type" } else { "Physical Task Type" }, kind);
    for (key, column) in [("Task Id", 6), ("Model Id", 7), ("connection_id", 3), ("Block Num", 11)] {
        args.some_integer(key, row.integer(column).filter(|n| *n != NO_NUMBER));
    }
    args.some_integer("size(B)", row.integer(16));
    for (key, column) in [
        ("Op Type", 10),
        ("Input Shapes", 12),
        ("Input Data Types", 13),
        ("Output Shapes", 14),
        ("Output Data Types", 15),
    ] {
        args.some_text(key, strings.some(row.integer(column)));
    }
}

/// The kinds of tasks that a timeline without details counts as computation.
pub(super) fn is_computation(kind: &[u8]) -> bool {
    crate::model::is_compute_task(kind)
}
