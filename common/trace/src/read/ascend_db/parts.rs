//! The tasks that are parts of collective operations, in memory: a join of SQLite would make an index of all tasks, and
//! another of all parts.

use super::super::emit::RowTimes;
use super::super::error::ReadStop;
use super::AscendReader;
use super::connections::{MOST_ROWS, NumberTable};

/// The task of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PartTask {
    pub(super) times: RowTimes,
    pub(super) device: i64,
    pub(super) stream: Option<i64>,
}

/// The tasks in `COMMUNICATION_TASK_INFO`, by their ids.
#[derive(Default)]
pub(super) struct Parts {
    /// Places in `tasks`.
    places: NumberTable<u32>,
    tasks: Vec<Option<PartTask>>,
    /// The ids are all here.
    loaded: bool,
    /// All tasks have gone by.
    complete: bool,
    /// Two tasks have the same id, or the time of one cannot be used, which is counted once more where it is a part.
    odd: bool,
}

impl Parts {
    /// Returns whether ids are all here.
    pub(super) fn has_ids(&self) -> bool {
        self.loaded
    }

    /// Returns whether tasks are all here, too.
    pub(super) fn has_tasks(&self) -> bool {
        self.loaded && self.complete && !self.odd
    }

    /// Notes that there are no more tasks.
    pub(super) fn end_tasks(&mut self) {
        self.complete = true;
    }

    /// Keeps a task if it is a part. Returns whether it is.
    pub(super) fn keep_task(&mut self, id: Option<i64>, task: PartTask) -> bool {
        let Some(place) = id.and_then(|id| self.places.get(id)) else { return false };
        let known = self.tasks[place as usize].replace(task);
        self.odd |= known.is_some() || task.times.untimed;
        true
    }

    /// The task of an id.
    pub(super) fn task_of(&self, id: i64) -> Option<PartTask> {
        self.tasks[self.places.get(id)? as usize]
    }
}

impl AscendReader<'_> {
    /// Reads the ids of parts, unless there are too many of them.
    pub(super) fn load_parts(&mut self) -> Result<(), ReadStop> {
        if !self.database.has_column("COMMUNICATION_TASK_INFO", "globalTaskId") {
            return Ok(());
        }
        let query = format!("SELECT globalTaskId FROM COMMUNICATION_TASK_INFO LIMIT {}", MOST_ROWS + 1);
        let mut rows = 0;
        let places = &mut self.parts.places;
        self.database.each_row(&query, |row| {
            rows += 1;
            if let Some(id) = row.integer(0) {
                places.add(id, places.len() as u32);
            }
            Ok(())
        })?;
        self.parts.loaded = rows <= MOST_ROWS;
        if self.parts.loaded {
            self.parts.tasks = vec![None; self.parts.places.len()];
        } else {
            self.parts = Parts::default();
        }
        Ok(())
    }
}
