//! One table: rows collected by column until they are a row group. A table of more than one is written by a thread of its
//! own, while rows of the next are collected.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::group::{CompleteTable, GroupWriter};
use super::row_builder::RowBuilder;
use super::rows::{GroupMark, RowGroup};
use super::values::Column;
use crate::survey::TraceSurvey;

/// Rows of a row group. Memory holds two at a time: one that is being collected, and one that is being written.
const GROUP_ROWS: u32 = 128 * 1024;
/// Bytes of texts of a row group; a row group with long texts is shorter.
const GROUP_BYTES: usize = 64 << 20;

/// Collects the rows of a table.
pub(super) struct TableWriter {
    columns: Vec<Column>,
    /// The rows that are being collected.
    pub(super) row: RowBuilder,
    /// Full groups with rows of a trace that has not ended.
    waiting: Vec<RowGroup>,
    /// Bytes in rows that wait for the end of their trace, as of the last time that they were counted.
    waiting_bytes: usize,
    /// Where the rows of the trace begin: in the first of the groups that wait, otherwise in that which is being collected.
    trace_start: GroupMark,
    output: GroupOutput,
}

/// What is known of a trace when its end has been read, and its number.
pub(super) type EndedTrace<'a> = (&'a TraceSurvey, i64);

/// Where row groups are written.
enum GroupOutput {
    /// On this thread.
    Here(Box<GroupWriter>),
    Thread(WriterThread),
    /// Nowhere, after an error.
    Failed,
}

impl TableWriter {
    /// Begins `dir/part` in a directory that exists. The first `sorted` columns, all numbers, sort the rows.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn create(
        dir: &Path,
        part: &str,
        columns: Vec<Column>,
        sorted: usize,
    ) -> anyhow::Result<Self> {
        let output = GroupOutput::Here(Box::new(GroupWriter::create(dir, part, &columns, sorted)?));
        let row = RowBuilder::new(&columns);
        let (waiting, trace_start) = Default::default();
        Ok(Self { columns, row, waiting, waiting_bytes: 0, trace_start, output })
    }

    /// Begins a trace: its rows can be forgotten until [`Self::settle`].
    pub(super) fn begin_trace(&mut self) {
        self.trace_start = self.row.group.mark();
        self.waiting_bytes = 0;
    }

    /// Bytes in rows that wait for the end of their trace, about.
    #[inline]
    pub(super) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// Ends the row.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn end_row(&mut self) -> anyhow::Result<()> {
        if self.count_row() { self.pass_full_group() } else { Ok(()) }
    }

    /// Ends a row that lacks what is known at the end of its trace, which is `ended` if that has been read. Its last column
    /// is the number of the trace.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn end_row_of(&mut self, ended: Option<EndedTrace<'_>>) -> anyhow::Result<()> {
        /// How often the bytes are counted, in rows.
        const COUNTED: u32 = 1024;
        self.row.skip(1);
        if self.count_row() {
            return self.pass_rows_of(ended);
        }
        if ended.is_none() && self.row.group.rows % COUNTED == 0 {
            self.count_waiting_bytes();
        }
        Ok(())
    }

    /// Adds rows that lack what is known at the end of their trace, which is `ended` if that has been read. The indices of their
    /// events begin with `first`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn append(
        &mut self,
        rows: &RowGroup,
        first: u64,
        ended: Option<EndedTrace<'_>>,
    ) -> anyhow::Result<()> {
        let most = rows.most_text_bytes();
        let mut known = vec![Vec::new(); self.columns.len()];
        let mut from = 0;
        while from < rows.rows {
            // As many as there is room for; where texts may fill the group, one after the other.
            let room = GROUP_ROWS - self.row.group.rows;
            let room = if self.row.text_bytes + most < GROUP_BYTES { room } else { 1 };
            let to = rows.rows.min(from + room);
            let first = i64::try_from(first).map_or(i64::MAX, |first| first.saturating_add(i64::from(from)));
            let before = self.row.group.rows;
            self.row.text_bytes += self.row.group.append(rows, from..to, first, &mut known);
            self.make_room(before);
            if self.is_full() {
                self.pass_rows_of(ended)?;
                known.iter_mut().for_each(Vec::clear);
            }
            from = to;
        }
        self.count_waiting_bytes();
        Ok(())
    }

    /// Ends the group, which is full, with rows of a trace that is `ended` if its end has been read.
    fn pass_rows_of(&mut self, ended: Option<EndedTrace<'_>>) -> anyhow::Result<()> {
        let Some((survey, trace)) = ended else {
            let full = std::mem::replace(&mut self.row, RowBuilder::new(&self.columns));
            self.waiting.push(full.group);
            self.count_waiting_bytes();
            return Ok(());
        };
        self.row.group.settle(survey, trace);
        self.pass_full_group()
    }

    fn count_waiting_bytes(&mut self) {
        self.waiting_bytes = self.waiting.iter().chain([&self.row.group]).map(RowGroup::size).sum();
    }

    /// Counts a row. Returns whether the group is full.
    #[inline]
    fn count_row(&mut self) -> bool {
        let before = self.row.group.rows;
        self.row.end_row();
        self.make_room(before);
        self.is_full()
    }

    /// Makes room for the rows of a group once there are a few; `before` is how many there were.
    #[inline]
    fn make_room(&mut self, before: u32) {
        // From here on a table is likely to fill its group: vectors that grow bit by bit would be copied each time.
        const FEW: u32 = GROUP_ROWS / 16;
        let rows = self.row.group.rows;
        if before < FEW && rows >= FEW {
            self.row.group.reserve((GROUP_ROWS / rows) as usize);
        }
    }

    #[inline]
    fn is_full(&self) -> bool {
        self.row.group.rows >= GROUP_ROWS || self.row.text_bytes >= GROUP_BYTES
    }

    /// Adds to the rows of a trace what they lack until its end has been read.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn settle(&mut self, (survey, trace): EndedTrace<'_>) -> anyhow::Result<()> {
        if !self.waiting.is_empty() {
            let current = std::mem::replace(&mut self.row, RowBuilder::new(&[]));
            for full in std::mem::take(&mut self.waiting) {
                self.row = RowBuilder::on(full);
                self.row.group.settle(survey, trace);
                self.pass_full_group()?;
            }
            self.row = current;
        }
        self.row.group.settle(survey, trace);
        Ok(())
    }

    /// Discards the rows of the trace that has not ended.
    pub(super) fn discard_trace(&mut self) {
        if let Some(first) = self.waiting.drain(..).next() {
            self.row = RowBuilder::on(first);
        }
        self.row.group.go_back(&self.trace_start);
        self.row.text_bytes = self.row.group.text_bytes();
        self.row.discard_row();
        self.waiting_bytes = 0;
    }

    fn pass_full_group(&mut self) -> anyhow::Result<()> {
        self.output = match std::mem::replace(&mut self.output, GroupOutput::Failed) {
            GroupOutput::Here(writer) => GroupOutput::start(writer),
            other => other,
        };
        self.pass_group()
    }

    /// Writes the rows that wait, or has them written.
    fn pass_group(&mut self) -> anyhow::Result<()> {
        self.row.text_bytes = 0;
        match &mut self.output {
            GroupOutput::Here(writer) => writer.write(&mut self.row.group),
            GroupOutput::Thread(thread) => {
                let full = std::mem::replace(&mut self.row.group, RowGroup::new(&self.columns));
                thread.write(full)?;
                // The one before it has been written.
                if let Ok(spare) = thread.spare.try_recv() {
                    self.row.group = spare;
                }
                Ok(())
            }
            GroupOutput::Failed => anyhow::bail!("a table that could not be written has no more rows"),
        }
    }

    /// Ends the rows. Those of a thread may still be on their way.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn end_rows(&mut self) -> anyhow::Result<()> {
        self.pass_group()?;
        if let GroupOutput::Thread(thread) = &mut self.output {
            thread.groups = None;
        }
        Ok(())
    }

    /// Ends the file, whose rows have ended.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn finish(self) -> anyhow::Result<CompleteTable> {
        match self.output {
            GroupOutput::Here(writer) => writer.finish(),
            GroupOutput::Thread(mut thread) => thread.end()?.finish(),
            GroupOutput::Failed => anyhow::bail!("a table that could not be written has no end"),
        }
    }
}

impl GroupOutput {
    /// A thread that writes; this one, if the system has none to give.
    fn start(writer: Box<GroupWriter>) -> Self {
        let (groups, full) = sync_channel(0);
        let (emptied, spare) = sync_channel(1);
        // Handed over when the thread is there, so that it is not lost with one that is not.
        let (to_thread, handed) = sync_channel::<Box<GroupWriter>>(1);
        let write = move || match handed.recv() {
            Ok(writer) => write_groups(writer, &full, &emptied),
            Err(e) => Err(e.into()),
        };
        let Ok(thread) = std::thread::Builder::new().name("encode".to_owned()).spawn(write) else {
            return Self::Here(writer);
        };
        match to_thread.send(writer) {
            Ok(()) => Self::Thread(WriterThread { groups: Some(groups), spare, thread: Some(thread) }),
            Err(unsent) => Self::Here(unsent.0),
        }
    }
}

fn write_groups(
    mut writer: Box<GroupWriter>,
    groups: &Receiver<RowGroup>,
    emptied: &SyncSender<RowGroup>,
) -> anyhow::Result<Box<GroupWriter>> {
    for mut group in groups {
        writer.write(&mut group)?;
        let _ = emptied.try_send(group);
    }
    Ok(writer)
}

/// A thread that writes row groups.
struct WriterThread {
    /// `None` when there are no more.
    groups: Option<SyncSender<RowGroup>>,
    /// Groups that were written, whose memory is free again.
    spare: Receiver<RowGroup>,
    thread: Option<JoinHandle<anyhow::Result<Box<GroupWriter>>>>,
}

impl WriterThread {
    /// Has a group written, as soon as the one before it is.
    fn write(&mut self, group: RowGroup) -> anyhow::Result<()> {
        match self.groups.as_ref().map(|groups| groups.send(group)) {
            Some(Ok(())) => Ok(()),
            // It ends early with an error only.
            _ => self.end().map(|_| ()),
        }
    }

    /// Waits until all is written.
    fn end(&mut self) -> anyhow::Result<Box<GroupWriter>> {
        self.groups = None;
        let ended = self.thread.take().map(JoinHandle::join);
        match ended {
            Some(Ok(result)) => result,
            _ => anyhow::bail!("the thread that writes a table has ended"),
        }
    }
}

impl Drop for WriterThread {
    /// Deletes the temporary file of a table that was not finished, before the program ends.
    fn drop(&mut self) {
        self.groups = None;
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::dataset::{int, text};
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::RowAccessor;

    const ROWS: i64 = 2 * GROUP_ROWS as i64 + 7;

    fn fill(dir: &Path) -> TableWriter {
        let columns = vec![int("rank"), int("step"), int("start_ns"), text("name")];
        let mut table = TableWriter::create(dir, "t.parquet", columns, 3).unwrap();
        for i in 0..ROWS {
            table.row.int(Some(1));
            table.row.int((i % 3 > 0).then_some(i / 1000));
            table.row.int(Some(-i));
            table.row.text_of_key(i % 9, |to| to.push(b'0' + (i % 9) as u8));
            table.end_row().unwrap();
        }
        table
    }

    #[test]
    fn a_table_of_several_row_groups_is_whole_and_each_is_sorted() {
        let dir = tempfile::tempdir().unwrap();
        let mut bytes = Vec::new();
        for _ in 0..2 {
            let mut table = fill(dir.path());
            table.end_rows().unwrap();
            let complete = table.finish().unwrap();
            assert_eq!(complete.about.rows, ROWS as u64);
            complete.commit().unwrap();
            bytes.push(std::fs::read(dir.path().join("t.parquet")).unwrap());
        }
        assert!(bytes[0] == bytes[1], "the same rows are the same bytes");
        let file = SerializedFileReader::new(bytes::Bytes::from(bytes.swap_remove(0))).unwrap();
        assert_eq!(file.num_row_groups(), 3);
        let mut all = Vec::new();
        for group in 0..3 {
            let rows = file.get_row_group(group).unwrap();
            let rows = rows.get_row_iter(None).unwrap().map(|row| {
                let row = row.unwrap();
                let (step, start) = (row.get_long(1).ok(), row.get_long(2).unwrap());
                assert_eq!(row.get_string(3).unwrap(), &(-start % 9).to_string());
                assert_eq!(step, (-start % 3 > 0).then_some(-start / 1000));
                (step, start)
            });
            let rows: Vec<(Option<i64>, i64)> = rows.collect();
            assert!(rows.is_sorted(), "row group {group}");
            all.extend(rows);
        }
        all.sort_unstable_by_key(|(_, start)| -start);
        assert!(all.iter().map(|(_, start)| -start).eq(0..ROWS));
    }

    #[test]
    fn a_table_that_is_given_up_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        drop(fill(dir.path()));
        assert_eq!(dir.path().read_dir().unwrap().count(), 0);
    }
}
