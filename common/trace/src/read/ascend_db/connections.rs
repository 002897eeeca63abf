//! What asked for what, in memory: `CONNECTION_IDS`, and the operators by their connections. A join of SQLite would make an
//! index of both for each of its queries.

use super::super::error::ReadStop;
use super::AscendReader;
use crate::model::FastMap;

/// Rows of a table from which on SQLite has to join: it keeps its index in a file, and this is memory.
pub(super) const MOST_ROWS: usize = 1 << 20;

/// Connections from here on tie a forward operator to its backward one.
pub(super) const FIRST_AUTOGRAD_CONNECTION: i64 = 5 << 28;

/// Values by number. A profiler counts up, so that most numbers are places in a list; the rest stand in a map.
pub(super) struct NumberTable<V> {
    list: Vec<Option<V>>,
    others: FastMap<i64, V>,
    count: usize,
}

impl<V> Default for NumberTable<V> {
    fn default() -> Self {
        Self { list: Vec::new(), others: FastMap::default(), count: 0 }
    }
}

impl<V: Copy> NumberTable<V> {
    /// How many values there are.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// The value of a number.
    #[inline]
    pub(super) fn get(&self, number: i64) -> Option<V> {
        let listed = usize::try_from(number).ok().and_then(|place| *self.list.get(place)?);
        listed.or_else(|| self.others.get(&number).copied())
    }

    /// Adds a value, unless the number has one. Returns whether it had none.
    pub(super) fn add(&mut self, number: i64, value: V) -> bool {
        /// Numbers begin somewhere, and some are left out.
        const FIRST: usize = 4096;
        const SPREAD: usize = 2;
        if self.get(number).is_some() {
            return false;
        }
        self.count += 1;
        match usize::try_from(number) {
            Ok(place) if place < FIRST + SPREAD * self.count => {
                if place >= self.list.len() {
                    self.list.resize(place + 1, None);
                }
                self.list[place] = Some(value);
            }
            _ => {
                self.others.insert(number, value);
            }
        }
        true
    }
}

/// Of several rows with the same number, the first counts, as in the results of a join.
#[derive(Default)]
pub(super) struct Connections {
    /// The id of each connection, and the other way round.
    ids: NumberTable<i64>,
    connections: NumberTable<i64>,
    /// When the operator of an id began, and on which thread; `None` if that is not known.
    operators: NumberTable<Option<(i64, i64)>>,
    /// There are too many rows of one of the tables for it to be here.
    too_many_ids: bool,
    too_many_operators: bool,
    /// Some connection is of a forward operator and its backward one.
    pub(super) has_autograd: bool,
}

impl Connections {
    /// Returns whether connections of ids are all here.
    pub(super) fn has_ids(&self) -> bool {
        !self.too_many_ids
    }

    /// Returns whether operators are all here, too.
    pub(super) fn has_operators(&self) -> bool {
        !self.too_many_ids && !self.too_many_operators
    }

    /// The connection of an id.
    pub(super) fn connection_of(&self, id: i64) -> Option<i64> {
        self.connections.get(id)
    }

    /// Start and thread of the operator that a connection leads to.
    pub(super) fn operator_of(&self, connection: i64) -> Option<(i64, i64)> {
        self.operators.get(self.ids.get(connection)?)?
    }

    /// Keeps an operator by its id.
    pub(super) fn add_operator(&mut self, id: i64, start: Option<i64>, thread: Option<i64>) {
        if self.operators.len() < MOST_ROWS {
            self.operators.add(id, start.zip(thread));
        } else if self.operators.get(id).is_none() {
            self.too_many_operators = true;
        }
    }

    fn add(&mut self, id: i64, connection: i64) {
        self.has_autograd |= connection >= FIRST_AUTOGRAD_CONNECTION;
        self.too_many_ids |= self.ids.len().max(self.connections.len()) >= MOST_ROWS;
        if !self.too_many_ids {
            self.ids.add(connection, id);
            self.connections.add(id, connection);
        }
    }
}

impl AscendReader<'_> {
    /// Reads `CONNECTION_IDS`.
    pub(super) fn load_connections(&mut self) -> Result<(), ReadStop> {
        let has = |column| self.database.has_column("CONNECTION_IDS", column);
        if !(has("id") && has("connectionId")) {
            return Ok(());
        }
        self.database.each_row("SELECT id, connectionId FROM CONNECTION_IDS", |row| {
            if let (Some(id), Some(connection)) = (row.integer(0), row.integer(1)) {
                self.connections.add(id, connection);
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_several_counts() {
        let mut connections = Connections::default();
        for (id, connection) in [(1, 50), (1, 51), (2, 50), (3, 52)] {
            connections.add(id, connection);
        }
        connections.add_operator(1, Some(100), Some(7));
        connections.add_operator(1, Some(200), Some(8));
        connections.add_operator(3, None, Some(7));
        connections.add_operator(3, Some(300), Some(7));
        assert_eq!(
            [50, 51, 52, 53].map(|n| connections.operator_of(n)),
            [Some((100, 7)), Some((100, 7)), None, None]
        );
        assert_eq!([1, 2, 3, 4].map(|n| connections.connection_of(n)), [Some(50), Some(50), Some(52), None]);
        assert!(!connections.has_autograd);
        connections.add(4, FIRST_AUTOGRAD_CONNECTION);
        assert!(connections.has_autograd && connections.has_operators());
    }

    /// Whatever the numbers, and in whatever order they come.
    #[test]
    fn numbers_have_the_value_that_came_first() {
        let numbers = (0..200).map(|i| i * 7919 % 211).chain([i64::MIN, -1, i64::MAX, 5 << 28, 20_000]);
        let numbers: Vec<i64> = numbers.chain(4000..9000).chain(19_000..21_000).collect();
        let (mut table, mut expected) = (NumberTable::default(), std::collections::HashMap::new());
        for (value, number) in (0_i64..).zip(numbers.iter().chain(&numbers)) {
            let is_new = !expected.contains_key(number);
            expected.entry(*number).or_insert(value);
            assert_eq!(table.add(*number, value), is_new);
        }
        assert!(expected.iter().all(|(number, value)| table.get(*number) == Some(*value)));
        assert_eq!((table.len(), table.get(-2)), (expected.len(), None));
    }

    #[test]
    fn too_many_rows_are_noticed() {
        let mut connections = Connections::default();
        (0..=MOST_ROWS as i64).for_each(|i| connections.add_operator(i, Some(i), Some(i)));
        assert!(connections.has_ids() && !connections.has_operators());
        (0..=MOST_ROWS as i64).for_each(|i| connections.add(i, i));
        assert!(!connections.has_ids() && connections.ids.len() == MOST_ROWS);
    }
}
