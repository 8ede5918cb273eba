//! The columns of emitted records, and the record an operator builds when it wants more than a value.

use crate::batch::Batch;
use crate::frame::{id, push_word};
use crate::record::Change;
use crate::time::EventTime;

/// A record to emit whose time, key, headers or change are not those of the record it is made from.
///
/// ```
/// # use tidewheel::{Emit, EventTime};
/// let emit = Emit::new("hello").key("greetings").time(EventTime(5)).header("lang", "en");
/// ```
pub struct Emit<'a, V> {
    pub(crate) value: V,
    pub(crate) details: Details<'a>,
}

/// What is emitted besides the value.
#[derive(Default)]
pub(crate) struct Details<'a> {
    pub(crate) time: Option<EventTime>,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) headers: Vec<(&'a str, &'a [u8])>,
    pub(crate) change: Change,
}

impl<'a, V> Emit<'a, V> {
    /// A record with this value; time and key are inherited.
    pub fn new(value: V) -> Emit<'a, V> {
        Emit { value, details: Details::default() }
    }

    /// Sets the event time.
    pub fn time(mut self, time: EventTime) -> Emit<'a, V> {
        self.details.time = Some(time);
        self
    }

    /// Sets the key.
    pub fn key<K: AsRef<[u8]> + ?Sized>(mut self, key: &'a K) -> Emit<'a, V> {
        self.details.key = Some(key.as_ref());
        self
    }

    /// Adds a header.
    pub fn header<H: AsRef<[u8]> + ?Sized>(mut self, name: &'a str, value: &'a H) -> Emit<'a, V> {
        self.details.headers.push((name, value.as_ref()));
        self
    }

    /// Sets what it says about the record before it with the same key.
    pub fn change(mut self, change: Change) -> Emit<'a, V> {
        self.details.change = change;
        self
    }
}

/// What a source index of an emitted record counts, and so where its time and key come from.
#[derive(Clone, Copy)]
pub(crate) enum Origin {
    /// Records of the batch.
    Record,
    /// Groups: a timer or a window as a whole.
    Group,
}

impl Origin {
    fn time(self, batch: &Batch<'_>, source: usize) -> EventTime {
        match self {
            Origin::Record => batch.time(source),
            Origin::Group => batch.group_time(source),
        }
    }

    fn key<'a>(self, batch: &Batch<'a>, source: usize) -> &'a [u8] {
        match self {
            Origin::Record => batch.key(batch.group_of(source)),
            Origin::Group => batch.key(source),
        }
    }
}

/// Emitted records as columns. All but the first three stay empty until a record needs them, and are then filled up
/// for the records before it.
pub(crate) struct Emitted {
    sources: Vec<u8>,
    value_ends: Vec<u8>,
    values: Vec<u8>,
    outputs: Vec<u8>,
    times: Vec<u8>,
    key_ends: Vec<u8>,
    keys: Vec<u8>,
    header_ends: Vec<u8>,
    header_places: Vec<u8>,
    header_bytes: Vec<u8>,
    changes: Vec<u8>,
    /// Whether any of the columns that may stay empty is in use.
    detailed: bool,
    origin: Origin,
}

/// Most bytes reserved ahead for values: an operator may emit nothing.
const RESERVED_VALUE_BYTES_MAX: usize = 1 << 20;

impl Emitted {
    /// Columns with room for one record of the same size per record of the batch.
    pub(crate) fn for_batch(batch: &Batch<'_>, origin: Origin) -> Emitted {
        let records = batch.len();
        let value_bytes = (batch.values_len() + 16 * records).min(RESERVED_VALUE_BYTES_MAX);
        Emitted {
            sources: Vec::with_capacity(4 * records),
            value_ends: Vec::with_capacity(4 * records),
            values: Vec::with_capacity(value_bytes),
            outputs: Vec::new(),
            times: Vec::new(),
            key_ends: Vec::new(),
            keys: Vec::new(),
            header_ends: Vec::new(),
            header_places: Vec::new(),
            header_bytes: Vec::new(),
            changes: Vec::new(),
            detailed: false,
            origin,
        }
    }

    /// The bytes of values, to append the next one.
    #[inline]
    pub(crate) fn values_mut(&mut self) -> &mut Vec<u8> {
        &mut self.values
    }

    /// Number of emitted records.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.sources.len() / 4
    }

    /// Makes a record of the bytes appended since the last one.
    #[inline]
    pub(crate) fn complete(&mut self, batch: &Batch<'_>, source: usize, output: u8, details: Option<Details<'_>>) {
        if self.detailed || output != 0 || details.is_some() {
            self.complete_in_detail(batch, source, output, details.unwrap_or_default());
        }
        push_word(&mut self.sources, source as u32);
        push_word(&mut self.value_ends, self.values.len() as u32);
    }

    /// Drops the bytes appended since the last record.
    pub(crate) fn abandon(&mut self) {
        self.values.truncate(last_end(&self.value_ends));
    }

    #[inline(never)]
    fn complete_in_detail(&mut self, batch: &Batch<'_>, source: usize, output: u8, details: Details<'_>) {
        let before = self.len();
        self.detailed = true;
        if output != 0 || !self.outputs.is_empty() {
            self.outputs.resize(before, 0);
            self.outputs.push(output);
        }
        if details.change != Change::Insert || !self.changes.is_empty() {
            self.changes.resize(before, Change::Insert as u8);
            self.changes.push(details.change as u8);
        }
        if details.time.is_some() || !self.times.is_empty() {
            self.inherit_times(batch);
            let time = details.time.unwrap_or_else(|| self.origin.time(batch, source));
            self.times.extend_from_slice(&time.0.to_le_bytes());
        }
        if details.key.is_some() || !self.key_ends.is_empty() {
            self.inherit_keys(batch);
            let key = details.key.unwrap_or_else(|| self.origin.key(batch, source));
            self.keys.extend_from_slice(key);
            push_word(&mut self.key_ends, self.keys.len() as u32);
        }
        if !details.headers.is_empty() || !self.header_ends.is_empty() {
            let none_so_far = (self.header_places.len() / 8) as u32;
            while self.header_ends.len() < 4 * before {
                push_word(&mut self.header_ends, none_so_far);
            }
            for (name, value) in &details.headers {
                for part in [name.as_bytes(), value] {
                    self.header_bytes.extend_from_slice(part);
                    push_word(&mut self.header_places, self.header_bytes.len() as u32);
                }
            }
            push_word(&mut self.header_ends, (self.header_places.len() / 8) as u32);
        }
    }

    fn inherit_times(&mut self, batch: &Batch<'_>) {
        let (sources, _) = self.sources.as_chunks::<4>();
        for source in &sources[self.times.len() / 8..] {
            let time = self.origin.time(batch, u32::from_le_bytes(*source) as usize);
            self.times.extend_from_slice(&time.0.to_le_bytes());
        }
    }

    fn inherit_keys(&mut self, batch: &Batch<'_>) {
        let (sources, _) = self.sources.as_chunks::<4>();
        for source in &sources[self.key_ends.len() / 4..] {
            self.keys.extend_from_slice(self.origin.key(batch, u32::from_le_bytes(*source) as usize));
            push_word(&mut self.key_ends, self.keys.len() as u32);
        }
    }

    /// Keeps the first `records` records, and drops bytes appended since.
    pub(crate) fn truncate(&mut self, records: usize) {
        for column in [&mut self.sources, &mut self.value_ends, &mut self.key_ends, &mut self.header_ends] {
            column.truncate(4 * records);
        }
        for column in [&mut self.outputs, &mut self.changes] {
            column.truncate(records);
        }
        self.times.truncate(8 * records);
        self.values.truncate(last_end(&self.value_ends));
        self.keys.truncate(last_end(&self.key_ends));
        self.header_places.truncate(8 * last_end(&self.header_ends));
        self.header_bytes.truncate(last_end(&self.header_places));
    }

    /// The columns up to and including id 17, to be written into a frame.
    pub(crate) fn columns(&self) -> [(usize, &[u8]); 11] {
        [
            (id::TIMES, &self.times),
            (id::KEY_ENDS, &self.key_ends),
            (id::KEYS, &self.keys),
            (id::VALUE_ENDS, &self.value_ends),
            (id::VALUES, &self.values),
            (id::HEADER_ENDS, &self.header_ends),
            (id::HEADER_PLACES, &self.header_places),
            (id::HEADER_BYTES, &self.header_bytes),
            (id::CHANGES, &self.changes),
            (id::SOURCES, &self.sources),
            (id::OUTPUTS, &self.outputs),
        ]
    }
}

/// The last entry of a column of ends.
fn last_end(ends: &[u8]) -> usize {
    ends.last_chunk().map_or(0, |end| u32::from_le_bytes(*end) as usize)
}
