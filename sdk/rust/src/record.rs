//! What an operator is given: a record with its key, time and headers.

use crate::batch::Batch;
use crate::frame::id;
use crate::time::EventTime;
use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

/// A record. It stands for its value: fields and methods of the value are reached through it.
pub struct Record<'a, V> {
    /// The value, read in the operator's input format.
    pub value: V,
    /// When it happened.
    pub event_time: EventTime,
    pub(crate) bytes: &'a [u8],
    pub(crate) index: usize,
    pub(crate) group: usize,
    pub(crate) batch: &'a Batch<'a>,
}

impl<'a, V> Record<'a, V> {
    /// The value's bytes, as they came.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The key; empty on a stream without keys.
    pub fn key(&self) -> Key<'a> {
        Key(self.batch.key(self.group))
    }

    /// Index of the input it came by, in the order of the job file's `input` list.
    pub fn input(&self) -> usize {
        usize::from(self.batch.byte(id::INPUTS, self.index, 0))
    }

    /// What it says about the record before it with the same key.
    pub fn change(&self) -> Change {
        Change::of(self.batch.byte(id::CHANGES, self.index, 0))
    }

    /// Names and values of its headers.
    pub fn headers(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a, V> {
        self.batch.headers(self.index)
    }

    /// The value of the first header of this name.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers().find(|(found, _)| *found == name.as_bytes()).map(|(_, value)| value)
    }

    /// The value alone.
    pub fn into_value(self) -> V {
        self.value
    }
}

impl<V> Deref for Record<'_, V> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.value
    }
}

impl<V: fmt::Debug> fmt::Debug for Record<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("value", &self.value)
            .field("event_time", &self.event_time)
            .field("key", &self.key())
            .finish_non_exhaustive()
    }
}

/// A key: the bytes by which records are grouped.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key<'a>(pub &'a [u8]);

impl<'a> Key<'a> {
    /// The bytes.
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// The key as text; what is not UTF-8 is replaced.
    pub fn text(self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.0)
    }

    /// A key of exactly eight bytes as a little-endian number.
    pub fn number(self) -> Option<u64> {
        self.0.try_into().ok().map(u64::from_le_bytes)
    }
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl fmt::Debug for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text(), f)
    }
}

/// A window: the times from `start` up to, but not including, `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// The first time in it.
    pub start: EventTime,
    /// The first time behind it.
    pub end: EventTime,
}

/// What a record says about the one before it with the same key, as in a change-data stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Change {
    /// A new row.
    #[default]
    Insert = 0,
    /// The old version of a row that changes.
    UpdateBefore = 1,
    /// The new version of a row that changes.
    UpdateAfter = 2,
    /// A row that goes away.
    Delete = 3,
}

impl Change {
    pub(crate) fn of(number: u8) -> Change {
        match number {
            1 => Change::UpdateBefore,
            2 => Change::UpdateAfter,
            3 => Change::Delete,
            _ => Change::Insert,
        }
    }
}
