//! The order in which rows come due: for each time a list of rows, linked through the rows themselves.
//!
//! So a row leaves the middle of a list at once, and a hundred thousand rows that wait for one time cost one entry of
//! the ordered map.

use super::row::TimerRow;
use crate::key_table::KeyTable;
use crate::rows::RowId;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// A row's place in the queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Links {
    /// The time whose list the row is in.
    time: i64,
    /// The row before it, or `NONE`.
    before: RowId,
    /// The row after it, or `NONE`.
    after: RowId,
}

impl Links {
    /// Of a row that is yet to be pushed.
    pub(super) const NEW: Links = Links { time: 0, before: RowId::NONE, after: RowId::NONE };

    /// The time at which the row waits.
    #[inline]
    pub(super) fn time(&self) -> i64 {
        self.time
    }

    /// The row after it, or `NONE`.
    #[inline]
    pub(super) fn after(&self) -> RowId {
        self.after
    }
}

/// The ends of a list.
#[derive(Clone, Copy, Debug)]
struct List {
    first: RowId,
    last: RowId,
}

/// Rows by the time at which they are to be looked at.
#[derive(Default)]
pub(super) struct Queue {
    /// No list is empty.
    lists: BTreeMap<i64, List>,
}

impl Queue {
    /// The earliest time and the first row that waits for it.
    #[inline]
    pub(super) fn first(&self) -> Option<(i64, RowId)> {
        self.lists.first_key_value().map(|(&time, list)| (time, list.first))
    }

    /// Lets a row that is in no list wait for `time`, as the last one.
    #[inline]
    pub(super) fn push(&mut self, rows: &mut KeyTable<TimerRow>, id: RowId, time: i64) {
        let before = match self.lists.entry(time) {
            Entry::Vacant(entry) => {
                entry.insert(List { first: id, last: id });
                RowId::NONE
            }
            Entry::Occupied(mut entry) => {
                let last = std::mem::replace(&mut entry.get_mut().last, id);
                rows.row_mut(last).links.after = id;
                last
            }
        };
        rows.row_mut(id).links = Links { time, before, after: RowId::NONE };
    }

    /// Takes a row out of its list.
    #[inline]
    pub(super) fn unlink(&mut self, rows: &mut KeyTable<TimerRow>, id: RowId) {
        let Links { time, before, after } = rows.row(id).links;
        if before != RowId::NONE {
            rows.row_mut(before).links.after = after;
        }
        if after != RowId::NONE {
            rows.row_mut(after).links.before = before;
        }
        match (before, after) {
            (RowId::NONE, RowId::NONE) => drop(self.lists.remove(&time)),
            (RowId::NONE, first) => self.list(time).first = first,
            (last, RowId::NONE) => self.list(time).last = last,
            _ => {}
        }
    }

    /// Lets the list of `time` begin with `first`, or end if that is `NONE`. The rows before it are in no list then.
    pub(super) fn cut(&mut self, rows: &mut KeyTable<TimerRow>, time: i64, first: RowId) {
        if first == RowId::NONE {
            self.lists.remove(&time);
        } else {
            self.list(time).first = first;
            rows.row_mut(first).links.before = RowId::NONE;
        }
    }

    /// Memory held, about: an entry and its share of a tree that is two thirds full.
    pub(super) fn bytes(&self) -> usize {
        self.lists.len() * size_of::<(i64, List)>() * 3 / 2
    }

    fn list(&mut self, time: i64) -> &mut List {
        self.lists.get_mut(&time).expect("a row that waits is in the list of its time")
    }
}
