//! Keyed state: fields of an operator whose content belongs to the key at hand and is kept by the host.
//!
//! A field is told by the adapter when a group begins (from then on it is about that group's key), when a record
//! begins, and when a record was rejected; at the end of the group it hands over what changed.

mod bytes_value;
mod list;
mod map;
mod map_key;
mod map_log;
mod value;
mod value_forms;

pub use list::List;
pub use map::{Map, Scan};
pub use map_key::{MapKey, OrderedBytes};
pub use value::Value;
pub use value_forms::{AggregateFunction, Aggregating, ReduceFunction, Reducing};

use crate::batch::Batch;
use crate::format::Format;
use crate::frame::{ABSENT, append, id, push_word, word};
use crate::wit::keyed::tidewheel::operator::description::{StateDecl, StateKind};
use std::ops::Range;
use std::rc::Rc;

/// What the attribute says about a state.
#[derive(Clone, Copy)]
pub struct StateOptions {
    /// The field's name, by which the state is found again.
    pub name: &'static str,
    /// Time-to-live in milliseconds; 0: for ever.
    pub ttl_ms: u64,
    /// Schema version of values written now.
    pub version: u32,
    /// Oldest version that can be migrated.
    pub oldest: u32,
    /// Whether a value rides in the batch.
    pub rides: bool,
    /// Words of the contract that only some states say.
    pub options: &'static [(&'static str, &'static str)],
}

impl StateOptions {
    pub(crate) fn declare(self, kind: StateKind, format: &str, schema: String) -> StateDecl {
        StateDecl {
            name: self.name.into(),
            kind,
            format: format.into(),
            schema,
            version: self.version,
            oldest: self.oldest,
            rides: self.rides,
            ttl_ms: self.ttl_ms,
            options: self.options.iter().map(|&(name, value)| (name.into(), value.into())).collect(),
        }
    }
}

/// A field with `#[state]`: what the attribute's code and the adapter call.
pub trait StateField {
    /// The field for the state of this index.
    fn new(state: u32, rides: bool) -> Self
    where
        Self: Sized;

    /// The state's contract.
    fn declare(options: StateOptions) -> StateDecl
    where
        Self: Sized;

    /// The index of its state.
    fn state(&self) -> u32;

    /// From now on the field is about this group's key.
    fn begin_group(&mut self, group: &Group<'_>);

    /// From now on changes belong to another record.
    fn begin_record(&mut self);

    /// Undoes what changed since the record began.
    fn undo_record(&mut self);

    /// Hands over what changed since the group began.
    fn end_group(&mut self, writes: &mut Writes);

    /// The call ends: nothing of it may be kept. What is still to be told to the host is told if the call `succeeded`.
    fn end_call(&mut self, succeeded: bool);
}

/// What a state holds one or many of: for migrations, and for the harness.
pub trait StateItem: StateField {
    /// The format of a value, an element or the value of an entry.
    type Format: Format;
}

/// A group, as state fields see it.
pub struct Group<'a> {
    pub(crate) index: u32,
    frame: &'a Rc<Vec<u8>>,
    cell_ends: &'a [[u8; 4]],
    /// Where the column of cells starts in the frame.
    cells_start: usize,
    riding: usize,
}

impl<'a> Group<'a> {
    /// The first group of a batch.
    pub(crate) fn first(frame: &'a Rc<Vec<u8>>, batch: &Batch<'a>, riding: u32) -> Group<'a> {
        Group {
            index: 0,
            frame,
            cell_ends: batch.columns.words(id::CELL_ENDS),
            cells_start: batch.columns.start(id::CELLS),
            riding: riding as usize,
        }
    }

    /// The frame, to be shared by fields instead of copied into them.
    pub(crate) fn frame(&self) -> &'a Rc<Vec<u8>> {
        self.frame
    }

    /// Where in the frame the value of a riding state is.
    #[inline]
    pub(crate) fn cell(&self, state: u32) -> Option<Range<usize>> {
        let index = self.index as usize * self.riding + state as usize;
        let start = if index == 0 { 0 } else { word(self.cell_ends, index - 1) & !ABSENT };
        let end = word(self.cell_ends, index);
        (end & ABSENT == 0).then(|| self.cells_start + start as usize..self.cells_start + end as usize)
    }
}

/// Changes of state, on their way out as columns.
pub struct Writes {
    riding: u32,
    all: u32,
    pub(crate) entries: Vec<u8>,
    pub(crate) bytes: Vec<u8>,
}

/// What happens to a cell.
#[derive(Clone, Copy)]
pub(crate) enum WriteOp {
    Put = 0,
    Delete = 1,
    Append = 2,
}

impl Writes {
    pub(crate) fn new(riding: u32, all: u32, groups: usize) -> Writes {
        let entries = groups * riding as usize;
        Writes { riding, all, entries: Vec::with_capacity(8 * entries), bytes: Vec::with_capacity(16 * entries) }
    }

    /// Adds a change of a state of a group.
    #[inline(always)]
    pub(crate) fn push(&mut self, group: u32, state: u32, rides: bool, op: WriteOp, bytes: &[u8]) {
        append(&mut self.bytes, bytes);
        let (cell, aside) = if rides { (group * self.riding + state, 0) } else { (group * self.all + state, 8) };
        push_word(&mut self.entries, cell | (op as u32 | aside) << 28);
        push_word(&mut self.entries, self.bytes.len() as u32);
    }
}
