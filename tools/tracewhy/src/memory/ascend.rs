//! `operator_memory.csv` and `memory_record.csv` of the Ascend profilers (torch_npu `profiler/analysis/prof_view`, msprof):
//! a row for each block with its allocation and release, and the state of each allocator over time.
//!
//! Units stand in the titles of columns. Rows are not in the order of time.

use std::io::{BufRead, Read};

use anyhow::{Context, bail};
use trace::spool::MemoryLimit;

use super::account::{DeviceMemory, MemoryAccount, MemoryChange, MemoryHolder, UNKNOWN};

/// Recognizes these tables by their first line.
pub(crate) fn looks_like_table(head: &[u8]) -> bool {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let begins = |start: &[u8]| head.starts_with(start);
    begins(b"Name,Size(")
        || begins(b"Component,Timestamp(")
        || begins(b"Device_id,") && contains(head, b"Allocation T")
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// Reads one of the tables.
///
/// # Errors
/// It cannot be read, has a line that is too long, or lacks a column; a temporary file cannot be used.
pub(crate) fn read_table(
    reader: impl BufRead,
    memory: MemoryLimit,
    points: usize,
) -> anyhow::Result<Vec<DeviceMemory>> {
    let mut lines = TableLines { reader, number: 0 };
    let titles = lines.next()?.context("is empty")?;
    let table = MemoryTable { titles };
    let mut account = MemoryAccount::new(memory);
    let mut order = 0_i64;
    let is_operators = table.column("Allocation Time").is_some();
    while let Some(row) = lines.next()? {
        let row = MemoryRow { table: &table, cells: row };
        if is_operators {
            add_operator(&mut account, &row, &mut order)?;
        } else {
            add_state(&mut account, &row, &mut order)?;
        }
    }
    Ok(account.finish(points)?)
}

struct TableLines<R> {
    reader: R,
    number: u64,
}

impl<R: BufRead> TableLines<R> {
    /// The cells of the next line.
    fn next(&mut self) -> anyhow::Result<Option<Vec<String>>> {
        const MOST_BYTES: u64 = 1 << 20;
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = (&mut self.reader).take(MOST_BYTES).read_until(b'\n', &mut line)?;
            self.number += 1;
            if read as u64 == MOST_BYTES {
                bail!("line {} is longer than {MOST_BYTES} bytes", self.number);
            }
            if read == 0 {
                return Ok(None);
            }
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n']);
            if !text.trim().is_empty() {
                return Ok(Some(split_cells(text)));
            }
        }
    }
}

/// The cells of a line; those in quotes may hold commas.
fn split_cells(line: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let (mut quoted, mut chars) = (false, line.chars().peekable());
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                push_char(&mut cells, '"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(String::new()),
            _ => push_char(&mut cells, c),
        }
    }
    cells.iter_mut().for_each(|cell| *cell = cell.trim().to_owned());
    cells
}

fn push_char(cells: &mut [String], c: char) {
    if let Some(cell) = cells.last_mut() {
        cell.push(c);
    }
}

struct MemoryTable {
    titles: Vec<String>,
}

impl MemoryTable {
    /// The place of a column, and bytes of its unit.
    fn column(&self, name: &str) -> Option<(usize, f64)> {
        let at = self.titles.iter().position(|title| title.split('(').next() == Some(name))?;
        let unit = self.titles[at].split_once('(').map_or("", |(_, unit)| unit.trim_end_matches(')'));
        let bytes = match unit {
            "KB" => 1024.0,
            "MB" => 1_048_576.0,
            "GB" => 1_073_741_824.0,
            _ => 1.0,
        };
        Some((at, bytes))
    }
}

struct MemoryRow<'a> {
    table: &'a MemoryTable,
    cells: Vec<String>,
}

impl MemoryRow<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        let (at, _) = self.table.column(name)?;
        self.cells.get(at).map(String::as_str).filter(|text| !text.is_empty() && *text != "N/A")
    }

    fn bytes(&self, name: &str) -> Option<i64> {
        let (_, unit) = self.table.column(name)?;
        let bytes = self.text(name)?.parse::<f64>().ok()? * unit;
        // Sizes are multiples of a byte far below 2^53; what is none compares as false.
        (bytes.abs() < 9e15).then(|| bytes.round() as i64)
    }

    /// Microseconds with decimals as nanoseconds, exactly.
    fn time(&self, name: &str) -> Option<i64> {
        let (whole, decimals) = self.text(name)?.split_once('.').unwrap_or((self.text(name)?, ""));
        let decimals: i64 = format!("{decimals:0<3}").get(..3)?.parse().ok()?;
        whole.parse::<i64>().ok()?.checked_mul(1000)?.checked_add(decimals)
    }
}

/// One block: its allocation, and its release where there is one.
fn add_operator(account: &mut MemoryAccount, row: &MemoryRow<'_>, order: &mut i64) -> anyhow::Result<()> {
    let (Some(bytes), Some(at)) = (row.bytes("Size"), row.time("Allocation Time")) else { return Ok(()) };
    let operator = row.text("Name").unwrap_or_default().to_owned();
    let device = row.text("Device Type").unwrap_or("NPU");
    // The graph engine has an allocator of its own, and so totals of its own.
    let device = match operator.starts_with("cann::") {
        true => account.device(&format!("{device} GE")),
        false => account.device(device),
    };
    let holder = account.holder(&MemoryHolder { part: String::new(), operator });
    // Blocks have no addresses here: the row is as good.
    let address = *order;
    *order += 2;
    let known = |name: &str| row.bytes(name).unwrap_or(UNKNOWN);
    account.push(MemoryChange {
        device,
        holder,
        at,
        order: address,
        bytes,
        address,
        allocated: known("Allocation Total Allocated"),
        reserved: known("Allocation Total Reserved"),
    })?;
    let Some(at) = row.time("Release Time") else { return Ok(()) };
    account.push(MemoryChange {
        device,
        holder,
        at,
        order: address + 1,
        bytes: -bytes,
        address,
        allocated: known("Release Total Allocated"),
        reserved: known("Release Total Reserved"),
    })?;
    Ok(())
}

/// The state of an allocator.
fn add_state(account: &mut MemoryAccount, row: &MemoryRow<'_>, order: &mut i64) -> anyhow::Result<()> {
    let Some(at) = row.time("Timestamp") else { return Ok(()) };
    let component = row.text("Component").unwrap_or("all");
    let reserved = row.bytes("Total Reserved");
    let device = account.device(&format!("{} {component}", row.text("Device Type").unwrap_or("NPU")));
    *order += 1;
    account.push(MemoryChange {
        device,
        holder: 0,
        at,
        order: *order,
        bytes: 0,
        address: UNKNOWN,
        // Of the whole process (APP) only the reserved size is known.
        allocated: row.bytes("Total Allocated").or(reserved).unwrap_or(UNKNOWN),
        reserved: reserved.unwrap_or(UNKNOWN),
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_rows_in_any_order() {
        let text = "\u{feff}Name,Size(KB),Allocation Time(us),Release Time(us),Allocation Total Allocated(MB),Allocation Total Reserved(MB),Release Total Allocated(MB),Device Type\r\n\
            aten::late,1024,1736408883702735.700\t,,3.0,8.0,,NPU:0\r\n\
            \"aten::a,b\",2048,1736408883000000.001\t,1736408883800000.5\t,2.0,4.0,1.0,NPU:0\r\n\
            broken,x,y\r\n\
            cann::MatMul,1024,1736408883702735.800\t,,1.0,1.0,,NPU:0\r\n";
        let [device, graph] =
            read_table(text.as_bytes(), MemoryLimit::default(), 0).unwrap().try_into().unwrap();
        let mib = 1 << 20;
        assert_eq!((graph.device.as_str(), graph.peak, graph.after), ("NPU:0 GE", mib, mib));
        assert_eq!((device.device.as_str(), device.peak, device.after), ("NPU:0", 3 * mib, mib));
        assert_eq!((device.peak_at, device.reserved), (1_736_408_883_702_735_700, Some(8 * mib)));
        let held: Vec<_> = device.held.iter().map(|(h, bytes, _)| (h.operator.as_str(), *bytes)).collect();
        assert_eq!(held, [("aten::a,b", 2 * mib), ("aten::late", mib)]);
        assert!(looks_like_table(text.as_bytes()));
    }

    #[test]
    fn a_size_that_no_machine_has_is_none() {
        let text = "Name,Size(GB),Allocation Time(us),Release Time(us),Device Type\n\
            x,-9e12,1,2,NPU\nx,NaN,1,2,NPU\n";
        let read = read_table(text.as_bytes(), MemoryLimit::default(), 10).unwrap();
        assert_eq!(read.iter().map(|device| device.allocations).sum::<u64>(), 0);
    }

    #[test]
    fn states_have_peaks_by_component() {
        let text = "Component,Timestamp(us),Total Allocated(MB),Total Reserved(MB),Device Type\n\
            PTA,2.5,10.0,20.0,NPU:1\nAPP,1.0,,2109.5,NPU:1\nPTA,1.0,30.0,40.0,NPU:1\n";
        let devices = read_table(text.as_bytes(), MemoryLimit::default(), 0).unwrap();
        let of: Vec<_> = devices.iter().map(|d| (d.device.as_str(), d.peak >> 20, d.peak_at)).collect();
        assert_eq!(of, [("NPU:1 PTA", 30, 1000), ("NPU:1 APP", 2109, 1000)]);
    }
}
