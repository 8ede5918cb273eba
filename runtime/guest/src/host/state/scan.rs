//! A scan of a map or list: what is stored, with the writes of this call merged in.

use super::PAGE_ENTRIES_MAX;
use super::overlay::Written;
use std::iter::Peekable;
use std::ops::Bound;
use std::ops::ControlFlow::{self, Break, Continue};
use tidewheel_types::keyed_state::{Entries, KeyedState, KeyedStateError, Scan, StateIndex, StateKey};

/// The entries that `wanted` asks for.
pub(super) fn scan(
    backend: &mut dyn KeyedState,
    state: StateIndex,
    key: StateKey<'_>,
    written: Option<Written<'_>>,
    wanted: Scan<'_>,
) -> Result<Entries, KeyedStateError> {
    let mut merge = Merge { found: Entries::default(), wanted };
    let mut ahead = in_scan(written, wanted).peekable();
    let (mut start, mut after) = (wanted.start.to_vec(), wanted.after);
    loop {
        // One more than can be taken, to see whether there is more.
        let limit = (wanted.limit - merge.found.keys.len()).saturating_add(1).min(PAGE_ENTRIES_MAX);
        let bytes_max = wanted.bytes_max.saturating_sub(merge.bytes());
        let mut page = Entries::default();
        backend.scan(state, key, Scan { start: &start, after, limit, bytes_max, ..wanted }, &mut page)?;
        for (key, value) in page.keys.iter().zip(page.values.iter()) {
            if merge.stored(key, value, &mut ahead).is_break() {
                return Ok(merge.found);
            }
        }
        match page.keys.len().checked_sub(1).map(|index| page.keys.get(index)) {
            Some(last) if page.more => (start, after) = (last.to_vec(), true),
            _ => break,
        }
    }
    for (key, value) in ahead {
        if merge.add(key, value).is_break() {
            break;
        }
    }
    Ok(merge.found)
}

/// An entry that has been written; without a value it has been removed.
type WrittenEntry<'a> = (&'a [u8], Option<&'a [u8]>);

/// The written entries that a scan comes by, in its direction.
fn in_scan<'a>(written: Option<Written<'a>>, wanted: Scan<'_>) -> Box<dyn Iterator<Item = WrittenEntry<'a>> + 'a> {
    let Some(written) = written else {
        return Box::new(std::iter::empty());
    };
    let start = if wanted.after { Bound::Excluded(wanted.start) } else { Bound::Included(wanted.start) };
    match (wanted.backwards, wanted.start.is_empty()) {
        (false, _) => Box::new(written.range((start, Bound::Unbounded))),
        (true, false) => Box::new(written.range((Bound::Unbounded, start)).rev()),
        (true, true) => Box::new(written.range((Bound::Unbounded, Bound::Unbounded)).rev()),
    }
}

/// Entries in order of the scan, up to the limits.
struct Merge<'s> {
    found: Entries,
    wanted: Scan<'s>,
}

impl Merge<'_> {
    /// Bytes of the entries found so far.
    fn bytes(&self) -> usize {
        self.found.keys.bytes().len() + self.found.values.bytes().len()
    }

    /// Adds the written entries that come before a stored one, and then that one, as far as it has not been written.
    fn stored<'a>(
        &mut self,
        key: &[u8],
        value: &[u8],
        ahead: &mut Peekable<impl Iterator<Item = WrittenEntry<'a>>>,
    ) -> ControlFlow<()> {
        let backwards = self.wanted.backwards;
        while let Some((written, value)) =
            ahead.next_if(|(written, _)| if backwards { *written > key } else { *written < key })
        {
            self.add(written, value)?;
        }
        match ahead.next_if(|(written, _)| *written == key) {
            Some((_, written)) => self.add(key, written),
            None => self.add(key, Some(value)),
        }
    }

    /// Adds an entry, if it is not a removed one; breaks when it is one too many.
    fn add(&mut self, key: &[u8], value: Option<&[u8]>) -> ControlFlow<()> {
        let Some(value) = value else {
            return Continue(());
        };
        let is_too_long = self.bytes() + key.len() + value.len() > self.wanted.bytes_max;
        let found = &mut self.found;
        if found.keys.len() == self.wanted.limit || is_too_long && !found.keys.is_empty() {
            found.more = true;
            return Break(());
        }
        found.keys.push(key);
        found.values.push(value);
        Continue(())
    }
}
