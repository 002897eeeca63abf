//! Tables of values over time.

use super::super::allocation::{Allocation, GRAPH_ENGINE, allocator_of_name};
use super::super::emit::plain;
use super::super::error::ReadStop;
use super::{AscendReader, Layer};
use crate::model::{Event, EventId};

/// A table of values over time.
struct CounterTable {
    table: &'static str,
    /// The name of the counter, as a timeline has it.
    name: &'static str,
    at: &'static str,
    /// Values of different rows belong to different series by these columns; strings are named by number.
    by: &'static [&'static str],
    /// Columns of names among them.
    named: &'static [&'static str],
    values: &'static [&'static str],
}

const fn counter(
    table: &'static str,
    name: &'static str,
    by: &'static [&'static str],
    values: &'static [&'static str],
) -> CounterTable {
    CounterTable { table, name, at: "timestampNs", by, named: &[], values }
}

const fn named(
    table: &'static str,
    name: &'static str,
    named: &'static [&'static str],
    values: &'static [&'static str],
) -> CounterTable {
    CounterTable { table, name, at: "timestampNs", by: &[], named, values }
}

/// The states of allocators; which device they are of, `mem` of `tracewhy` has to know.
const MEMORY: &str = "Memory";

const COUNTERS: &[CounterTable] = &[
    counter("AICORE_FREQ", "AI Core Freq", &["dieId"], &["freq"]),
    named("NPU_MEM", "NPU MEM", &["type"], &["ddr", "hbm"]),
    named("HBM", "HBM", &["type"], &["bandwidth"]),
    counter("DDR", "DDR", &[], &["read", "write"]),
    counter("LLC", "LLC", &["llcId", "mode"], &["hitRate", "throughput"]),
    counter("HCCS", "HCCS", &[], &["txThroughput", "rxThroughput"]),
    counter(
        "PCIE",
        "PCIe",
        &[],
        &["txPostAvg", "txNonpostAvg", "txCplAvg", "rxPostAvg", "rxNonpostAvg", "rxCplAvg"],
    ),
    counter("NIC", "NIC", &["funcId"], &["bandwidth", "rxByteRate", "txByteRate"]),
    counter("ROCE", "RoCE", &["funcId"], &["bandwidth", "rxByteRate", "txByteRate"]),
    counter(
        "ACC_PMU",
        "Acc PMU",
        &["accId"],
        &["readBwLevel", "writeBwLevel", "readOstLevel", "writeOstLevel"],
    ),
    counter("SOC_BANDWIDTH_LEVEL", "Stars Soc Info", &[], &["l2BufferBwLevel", "mataBwLevel"]),
    named("QOS", "QoS", &["eventName"], &["bandwidth"]),
    counter("CPU_USAGE", "CPU Usage", &["cpuId"], &["usage"]),
    counter("HOST_MEM_USAGE", "Memory Usage", &[], &["usage"]),
    counter("NPU_MODULE_MEM", "NPU Module MEM", &["moduleId"], &["totalReserved"]),
    CounterTable {
        table: "MEMORY_RECORD",
        name: MEMORY,
        at: "timestamp",
        by: &[],
        named: &["component"],
        values: &["totalAllocated", "totalReserved", "totalActive"],
    },
];

impl AscendReader<'_> {
    /// Every table of values that the file has.
    pub(super) fn read_counters(&mut self) -> Result<(), ReadStop> {
        for table in COUNTERS {
            if self.database.has_column(table.table, table.at) {
                self.read_counter(table)?;
            }
        }
        self.read_allocations()
    }

    /// `OP_MEMORY`: allocations of operators, each with its release if there was one.
    fn read_allocations(&mut self) -> Result<(), ReadStop> {
        if !self.database.has_column("OP_MEMORY", "allocationTime") {
            return Ok(());
        }
        let wanted = [
            "name",
            "size",
            "deviceId",
            "allocationTime",
            "allocationTotalAllocated",
            "allocationTotalReserved",
            "allocationTotalActive",
            "releaseTime",
            "releaseTotalAllocated",
            "releaseTotalReserved",
            "releaseTotalActive",
            "streamPtr",
        ];
        // The graph engine knows no streams; of the other rows, the table of states names the allocator.
        let tells_stream = self.database.has_column("OP_MEMORY", "streamPtr");
        let framework = self.find_framework_allocator()?;
        let columns = self.database.columns("OP_MEMORY", "v", &wanted);
        let mut number = 0;
        self.database.each_row(&format!("SELECT {columns} FROM OP_MEMORY v"), |row| {
            let operator = self.strings.get(row.integer(0).unwrap_or(-1));
            let Some(size) = row.integer(1) else { return Ok(()) };
            number += 1;
            for (first, bytes) in [(3, size), (7, size.saturating_neg())] {
                let Some(at) = row.integer(first).filter(|at| *at > 0) else { continue };
                let [allocated, reserved, active] = [1, 2, 3].map(|i| row.integer(first + i));
                let device = row.integer(2).filter(|device| *device >= 0);
                let allocator = match allocator_of_name(operator) {
                    b"" if tells_stream && row.integer(11).is_none() => GRAPH_ENGINE,
                    b"" => &framework,
                    told => told,
                };
                let row = number;
                Allocation { at, row, operator, bytes, allocated, reserved, active, device, allocator }
                    .send(&mut self.emit)?;
            }
            Ok(())
        })
    }

    /// The component of `MEMORY_RECORD` that is the allocator of the framework (`PTA`): the one that is neither that of the graph
    /// engine, nor both together, nor the whole process, nor the workspace. Empty if there are several, or none.
    fn find_framework_allocator(&mut self) -> Result<Vec<u8>, ReadStop> {
        let mut names: Vec<Vec<u8>> = Vec::new();
        if self.database.has_column("MEMORY_RECORD", "component") {
            self.database.each_row("SELECT DISTINCT component FROM MEMORY_RECORD", |row| {
                let name = self.strings.get(row.integer(0).unwrap_or(-1));
                let other = matches!(name, b"" | b"GE" | b"APP" | b"WORKSPACE") || name.contains(&b'+');
                if !other && names.len() < 2 {
                    names.push(name.to_vec());
                }
                Ok(())
            })?;
        }
        Ok(names.pop().filter(|_| names.is_empty()).unwrap_or_default())
    }

    fn read_counter(&mut self, counter: &CounterTable) -> Result<(), ReadStop> {
        let wanted: Vec<&str> =
            [&[counter.at, "deviceId"], counter.by, counter.named, counter.values].concat();
        let columns = self.database.columns(counter.table, "v", &wanted);
        let query = format!("SELECT {columns} FROM \"{}\" v", counter.table);
        let mut name = Vec::new();
        let first_value = 2 + counter.by.len() + counter.named.len();
        self.database.each_row(&query, |row| {
            let Some(at) = row.integer(0) else { return Ok(()) };
            let pid = self.layer_pid(Layer::Counters, row.integer(1).unwrap_or(0));
            name.clear();
            name.extend_from_slice(counter.name.as_bytes());
            for (i, _) in counter.by.iter().enumerate() {
                if let Some(id) = row.integer(2 + i) {
                    name.extend_from_slice(format!(" {id}").as_bytes());
                }
            }
            for (i, _) in counter.named.iter().enumerate() {
                if let Some(id) = row.integer(2 + counter.by.len() + i) {
                    name.push(b' ');
                    name.extend_from_slice(self.strings.get(id));
                }
            }
            for (i, value) in counter.values.iter().enumerate() {
                if let Some(number) = row.number(first_value + i) {
                    self.emit.args.json(value.as_bytes(), &number);
                }
            }
            self.emit.send(Event {
                phase: b'C',
                name: plain(&name),
                pid: EventId::Number(pid),
                tid: EventId::Number(0),
                start: Some(at),
                device: row.integer(1).filter(|_| counter.name == MEMORY),
                ..Event::default()
            })
        })
    }
}
