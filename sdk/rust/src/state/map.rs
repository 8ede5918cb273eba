//! Map state: a map per key, in the order of its keys.

use crate::error::{Error, Result};
use crate::format::{Decode, Encode, Format, FormatError, Postcard};
use crate::frame::{cell, entry, push_word};
use crate::host;
use crate::state::map_log::MapLog;
use crate::state::{Group, MapKey, OrderedBytes, StateField, StateItem, StateOptions, Writes};
use crate::wit::keyed::tidewheel::operator::description::{StateDecl, StateKind};
use std::borrow::Borrow;
use std::marker::PhantomData;

/// A map's types, without owning any of them.
type Types<K, V, F> = PhantomData<fn() -> (K, V, F)>;

/// A map per key, in the order of its keys: a field with `#[state]`.
///
/// Reading calls the host; [`get_many`](Map::get_many) calls it once for many entries. Writes are gathered and told to
/// the host at the end of the call. With a time-to-live each entry has its own.
pub struct Map<K, V, F = Postcard<V>> {
    state: u32,
    group: u32,
    log: MapLog,
    types: Types<K, V, F>,
}

impl<K: MapKey, V, F: for<'a> Format<Value<'a> = V>> Map<K, V, F> {
    /// The value of an entry.
    ///
    /// # Errors
    /// Bytes that are no such value fail the job: they were written by other code under the same schema version.
    pub fn get<Q: OrderedBytes + ?Sized>(&self, key: &Q) -> Result<Option<V>>
    where
        K: Borrow<Q>,
        F: Decode,
    {
        Ok(self.get_many([key])?.pop().flatten())
    }

    /// The values of many entries, in order, with one call of the host.
    ///
    /// # Errors
    /// As [`get`](Map::get).
    pub fn get_many<'k, Q: OrderedBytes + ?Sized + 'k>(
        &self,
        keys: impl IntoIterator<Item = &'k Q>,
    ) -> Result<Vec<Option<V>>>
    where
        K: Borrow<Q>,
        F: Decode,
    {
        let places: Vec<_> = keys.into_iter().map(|key| MapLog::place(self.group, |bytes| key.write(bytes))).collect();
        let (mut groups, mut key_ends, mut asked) = (Vec::new(), Vec::new(), Vec::new());
        for place in places.iter().filter(|place| self.log.get(place).is_none()) {
            push_word(&mut groups, self.group);
            asked.extend_from_slice(&place[4..]);
            push_word(&mut key_ends, asked.len() as u32);
        }
        let answers = (!groups.is_empty()).then(|| host::map_get(self.state, &groups, &key_ends, &asked));
        let mut answered = 0;
        let values = places.iter().map(|place| {
            if let Some(written) = self.log.get(place) {
                return written.map(F::decode).transpose();
            }
            let answer = answers.as_ref().and_then(|values| cell(values.ends.as_chunks().0, &values.bytes, answered));
            answered += 1;
            answer.map(F::decode).transpose()
        });
        values.collect::<Result<_, _>>().map_err(|error| corrupt(self.state, &error))
    }

    /// Whether there is such an entry. Its value is not decoded.
    pub fn contains<Q: OrderedBytes + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        let place = MapLog::place(self.group, |bytes| key.write(bytes));
        if let Some(written) = self.log.get(&place) {
            return written.is_some();
        }
        let key = &place[4..];
        let values = host::map_get(self.state, &self.group.to_le_bytes(), &(key.len() as u32).to_le_bytes(), key);
        cell(values.ends.as_chunks().0, &values.bytes, 0).is_some()
    }

    /// Sets the value of an entry.
    ///
    /// # Errors
    /// When the format cannot hold the value; nothing is set then.
    pub fn put<Q: OrderedBytes + ?Sized>(&mut self, key: &Q, value: &V) -> Result<()>
    where
        K: Borrow<Q>,
        F: Encode,
    {
        let mut bytes = Vec::new();
        F::encode(value, &mut bytes)?;
        self.log.write(MapLog::place(self.group, |place| key.write(place)), Some(bytes));
        Ok(())
    }

    /// Removes an entry.
    pub fn remove<Q: OrderedBytes + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        self.log.write(MapLog::place(self.group, |place| key.write(place)), None);
    }

    /// Reads entries in order.
    pub fn scan(&mut self) -> Scan<'_, K, V, F> {
        Scan { map: self, start: Vec::new(), after: false, backwards: false, limit: u32::MAX }
    }

    /// Removes all entries. Costs as much as reading them.
    ///
    /// # Errors
    /// As [`get`](Map::get).
    pub fn clear(&mut self) -> Result<()> {
        let mut keys = Vec::new();
        self.scan().pages(|key, _| {
            keys.push(key.to_vec());
            Ok(())
        })?;
        for key in keys {
            self.log.write(MapLog::place(self.group, |place| place.extend_from_slice(&key)), None);
        }
        Ok(())
    }
}

/// A reading of a map's entries, to be narrowed and then [collected](Scan::entries).
pub struct Scan<'m, K, V, F> {
    map: &'m mut Map<K, V, F>,
    start: Vec<u8>,
    after: bool,
    backwards: bool,
    limit: u32,
}

/// Entries that one call of the host reads.
const PAGE: u32 = 1000;

impl<K: MapKey, V, F: for<'a> Format<Value<'a> = V>> Scan<'_, K, V, F> {
    /// Starts at this key.
    pub fn from<Q: OrderedBytes + ?Sized>(mut self, key: &Q) -> Self
    where
        K: Borrow<Q>,
    {
        self.start.clear();
        key.write(&mut self.start);
        self.after = false;
        self
    }

    /// Starts at the first key behind this one.
    pub fn after<Q: OrderedBytes + ?Sized>(self, key: &Q) -> Self
    where
        K: Borrow<Q>,
    {
        Scan { after: true, ..self.from(key) }
    }

    /// Reads from the last entry to the first.
    pub fn backwards(mut self) -> Self {
        self.backwards = true;
        self
    }

    /// Reads at most this many entries.
    pub fn limit(mut self, entries: u32) -> Self {
        self.limit = entries;
        self
    }

    /// The entries.
    ///
    /// # Errors
    /// As [`Map::get`].
    pub fn entries(self) -> Result<Vec<(K, V)>>
    where
        F: Decode,
    {
        let state = self.map.state;
        let mut entries = Vec::new();
        self.pages(|key, value| {
            let value = F::decode(value).map_err(|error| corrupt(state, &error))?;
            entries.push((K::read(key)?, value));
            Ok(())
        })?;
        Ok(entries)
    }

    /// Gives `visit` the bytes of each entry, a page at a time.
    fn pages(mut self, mut visit: impl FnMut(&[u8], &[u8]) -> Result<()>) -> Result<()> {
        self.map.log.tell_within_record(self.map.state);
        while self.limit > 0 {
            let (state, group) = (self.map.state, self.map.group);
            let page = host::map_scan(state, group, &self.start, self.after, self.backwards, self.limit.min(PAGE));
            let (key_ends, value_ends) = (page.key_ends.as_chunks().0, page.value_ends.as_chunks().0);
            for at in 0..key_ends.len() {
                visit(entry(key_ends, &page.keys, at), entry(value_ends, &page.values, at))?;
            }
            if !page.more || key_ends.is_empty() {
                break;
            }
            self.start = entry(key_ends, &page.keys, key_ends.len() - 1).to_vec();
            self.after = true;
            self.limit -= key_ends.len() as u32;
        }
        Ok(())
    }
}

#[cold]
fn corrupt(state: u32, error: &FormatError) -> Error {
    Error::fail(format_args!("entry of state {state} is {error}; raise its version when its type changes"))
}

impl<K, V, F: Format> StateField for Map<K, V, F> {
    fn new(state: u32, _rides: bool) -> Self {
        Map { state, group: 0, log: MapLog::default(), types: PhantomData }
    }

    fn declare(options: StateOptions) -> StateDecl {
        options.declare(StateKind::Map, F::NAME, F::schema())
    }

    fn state(&self) -> u32 {
        self.state
    }

    fn begin_group(&mut self, group: &Group<'_>) {
        self.group = group.index;
    }

    fn begin_record(&mut self) {
        self.log.begin_record();
    }

    fn undo_record(&mut self) {
        self.log.undo_record();
    }

    fn end_group(&mut self, _writes: &mut Writes) {}

    fn end_call(&mut self, succeeded: bool) {
        if succeeded {
            self.log.tell(self.state);
        }
        self.log.clear();
    }
}

impl<K, V, F: Format> StateItem for Map<K, V, F> {
    type Format = F;
}
