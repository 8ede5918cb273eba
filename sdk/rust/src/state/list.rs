//! List state: a list per key, appended to.

use crate::error::{Error, Result};
use crate::format::{Decode, Encode, Format, Postcard};
use crate::frame::entry;
use crate::host;
use crate::state::{Group, StateField, StateItem, StateOptions, WriteOp, Writes};
use crate::wit::keyed::tidewheel::operator::description::{StateDecl, StateKind};
use std::marker::PhantomData;
use std::ops::Range;

/// A list per key: a field with `#[state]`.
///
/// Appending costs nothing but the bytes: they go out with the batch's other results. Reading calls the host. With a
/// time-to-live each element has its own: it is gone when it was pushed so long ago, the others stay.
pub struct List<T, F = Postcard<T>> {
    state: u32,
    group: u32,
    /// Whether the list was emptied in this group, before what was pushed.
    cleared: bool,
    /// Elements pushed in this group: where each ends in `bytes`.
    ends: Vec<usize>,
    bytes: Vec<u8>,
    /// `cleared` and the number of elements pushed when the record began.
    undo: (bool, usize),
    /// Elements that the record at hand took away by clearing.
    undo_cleared: Option<(Vec<usize>, Vec<u8>)>,
    types: PhantomData<fn() -> (T, F)>,
}

/// Elements that one call of the host reads.
const PAGE: u32 = 1000;

impl<T, F: for<'a> Format<Value<'a> = T>> List<T, F> {
    /// Adds an element at the end of the list of the key at hand.
    ///
    /// # Errors
    /// When the format cannot hold the element; nothing is added then.
    pub fn push(&mut self, element: &T) -> Result<()>
    where
        F: Encode,
    {
        let start = self.bytes.len();
        if let Err(error) = F::encode(element, &mut self.bytes) {
            self.bytes.truncate(start);
            return Err(error.into());
        }
        self.ends.push(self.bytes.len());
        Ok(())
    }

    /// The elements of the key at hand, oldest first, those of this call included. Read a page at a time.
    pub fn iter(&self) -> impl Iterator<Item = Result<T>>
    where
        F: Decode,
    {
        let mut start = 0u64;
        let mut more = !self.cleared;
        let pages = std::iter::from_fn(move || {
            if !more {
                return None;
            }
            let page = host::list_read(self.state, self.group, start, PAGE);
            // An element keeps its index, also when others before it have expired.
            let last = page.keys.last_chunk::<8>().map(|index| u64::from_be_bytes(*index));
            start = last.map_or(start, |last| last + 1);
            more = page.more && last.is_some();
            Some(page)
        });
        let stored = pages.flat_map(|page| {
            (0..page.value_ends.len() / 4)
                .map(|at| self.decode(entry(page.value_ends.as_chunks().0, &page.values, at)))
                .collect::<Vec<_>>()
        });
        stored.chain((0..self.ends.len()).map(|at| self.decode(&self.bytes[self.pushed(at)])))
    }

    /// Replaces the list of the key at hand by these elements.
    ///
    /// # Errors
    /// When the format cannot hold one of them; nothing is replaced then.
    pub fn replace<'e>(&mut self, elements: impl IntoIterator<Item = &'e T>) -> Result<()>
    where
        F: Encode,
        T: 'e,
    {
        let (mut ends, mut bytes) = (Vec::new(), Vec::new());
        for element in elements {
            F::encode(element, &mut bytes)?;
            ends.push(bytes.len());
        }
        self.clear();
        (self.ends, self.bytes) = (ends, bytes);
        Ok(())
    }

    /// Empties the list of the key at hand.
    pub fn clear(&mut self) {
        if self.undo_cleared.is_none() {
            self.undo_cleared = Some((std::mem::take(&mut self.ends), std::mem::take(&mut self.bytes)));
        }
        self.cleared = true;
        self.ends.clear();
        self.bytes.clear();
    }

    fn decode(&self, bytes: &[u8]) -> Result<T>
    where
        F: Decode,
    {
        F::decode(bytes).map_err(|error| {
            Error::fail(format_args!(
                "element of state {} is {error}; raise its version when its type changes",
                self.state
            ))
        })
    }
}

impl<T, F> List<T, F> {
    /// Where element `at` of those pushed in this group is.
    fn pushed(&self, at: usize) -> Range<usize> {
        if at == 0 { 0..self.ends[0] } else { self.ends[at - 1]..self.ends[at] }
    }
}

impl<T, F: Format> StateField for List<T, F> {
    fn new(state: u32, _rides: bool) -> Self {
        List {
            state,
            group: 0,
            cleared: false,
            ends: Vec::new(),
            bytes: Vec::new(),
            undo: (false, 0),
            undo_cleared: None,
            types: PhantomData,
        }
    }

    fn declare(options: StateOptions) -> StateDecl {
        options.declare(StateKind::List, F::NAME, F::schema())
    }

    fn state(&self) -> u32 {
        self.state
    }

    fn begin_group(&mut self, group: &Group<'_>) {
        self.end_call(false);
        self.group = group.index;
    }

    fn begin_record(&mut self) {
        self.undo = (self.cleared, self.ends.len());
        self.undo_cleared = None;
    }

    fn undo_record(&mut self) {
        if let Some((ends, bytes)) = self.undo_cleared.take() {
            (self.ends, self.bytes) = (ends, bytes);
        }
        let (cleared, pushed) = self.undo;
        self.cleared = cleared;
        self.ends.truncate(pushed);
        self.bytes.truncate(self.ends.last().copied().unwrap_or(0));
    }

    fn end_group(&mut self, writes: &mut Writes) {
        if self.cleared {
            writes.push(self.group, self.state, false, WriteOp::Delete, &[]);
        }
        for at in 0..self.ends.len() {
            writes.push(self.group, self.state, false, WriteOp::Append, &self.bytes[self.pushed(at)]);
        }
    }

    fn end_call(&mut self, _succeeded: bool) {
        self.cleared = false;
        self.ends.clear();
        self.bytes.clear();
        self.undo_cleared = None;
    }
}

impl<T, F: Format> StateItem for List<T, F> {
    type Format = F;
}
