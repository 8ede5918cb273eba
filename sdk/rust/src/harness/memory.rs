//! The host the harness plays: state in memory, and the functions a component imports.
//!
//! The functions find the state in a thread-local, as an operator finds its host: without being given one.

use super::stored::{Clocks, Rules, Stored};
use crate::frame::{cell, entry, push_cell_end, push_word, word};
use crate::wit::keyed::tidewheel::operator::log::Level;
use crate::wit::keyed::tidewheel::operator::metrics::Kind;
use crate::wit::keyed::tidewheel::operator::state::{Entries, Values};
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Bound;

/// A state and a key.
pub(super) type Place = (u32, Vec<u8>);

/// What the host keeps for one operator.
pub(super) struct MemoryHost {
    /// Keys of the groups of the call at hand.
    pub(super) groups: Vec<Vec<u8>>,
    /// By state.
    pub(super) rules: Vec<Rules>,
    pub(super) clocks: Clocks,
    pub(super) values: BTreeMap<Place, Stored>,
    pub(super) lists: BTreeMap<Place, Vec<Stored>>,
    pub(super) maps: BTreeMap<Place, BTreeMap<Vec<u8>, Stored>>,
    /// What the map writes of the call at hand replaced.
    undo: Vec<(Place, Vec<u8>, Option<Stored>)>,
    pub(super) log: Vec<String>,
    pub(super) metrics: Vec<Metric>,
}

/// A metric and its value; of a histogram the last one recorded.
pub(super) struct Metric {
    pub(super) name: String,
    is_counter: bool,
    pub(super) value: f64,
}

impl MemoryHost {
    /// A host of states with these rules, before any time.
    pub(super) fn new(rules: Vec<Rules>) -> MemoryHost {
        MemoryHost {
            groups: Vec::new(),
            rules,
            clocks: Clocks::START,
            values: BTreeMap::new(),
            lists: BTreeMap::new(),
            maps: BTreeMap::new(),
            undo: Vec::new(),
            log: Vec::new(),
            metrics: Vec::new(),
        }
    }

    /// Ends a call: its map writes count, or not.
    pub(super) fn end_call(&mut self, succeeded: bool) {
        if !succeeded {
            self.revert(0);
        }
        self.undo.clear();
        self.groups.clear();
    }

    /// A value that is written now.
    pub(super) fn store(&self, state: u32, bytes: &[u8]) -> Stored {
        self.rules[state as usize].store(bytes, self.clocks)
    }

    /// What is still good of what was stored, in the newest version.
    pub(super) fn live<'s>(&self, state: u32, stored: &'s Stored) -> Option<Cow<'s, [u8]>> {
        self.rules[state as usize].live(stored, self.clocks)
    }

    /// A value as a call sees it; seeing it may keep it longer.
    pub(super) fn value(&mut self, place: &Place) -> Option<Vec<u8>> {
        let rules = &self.rules[place.0 as usize];
        let stored = self.values.get_mut(place)?;
        read(rules, self.clocks, stored)
    }

    fn place(&self, state: u32, groups: &[u8], index: usize) -> Place {
        let group = word(groups.as_chunks().0, index) as usize;
        (state, self.groups[group].clone())
    }

    fn map_put(&mut self, place: Place, key: Vec<u8>, value: Option<Stored>) -> Option<Stored> {
        let map = self.maps.entry(place).or_default();
        match value {
            Some(value) => map.insert(key, value),
            None => map.remove(&key),
        }
    }

    fn revert(&mut self, mark: usize) {
        for (place, key, value) in self.undo.split_off(mark.min(self.undo.len())).into_iter().rev() {
            self.map_put(place, key, value);
        }
    }
}

/// What a read by a call gives. It keeps the value for another time-to-live, if the state says so.
fn read(rules: &Rules, clocks: Clocks, stored: &mut Stored) -> Option<Vec<u8>> {
    let bytes = rules.live(stored, clocks)?.into_owned();
    if rules.refreshed_by_reads {
        stored.expiry = rules.expiry(clocks);
    }
    Some(bytes)
}

thread_local! {
    static HOST: RefCell<MemoryHost> = RefCell::new(MemoryHost::new(Vec::new()));
}

/// Runs `call` with `host` as the operator's host.
pub(super) fn with_host<R>(host: &mut MemoryHost, call: impl FnOnce() -> R) -> R {
    HOST.swap_with(host);
    let result = call();
    HOST.swap_with(host);
    result
}

trait SwapWith {
    fn swap_with(&'static self, host: &mut MemoryHost);
}

impl SwapWith for std::thread::LocalKey<RefCell<MemoryHost>> {
    fn swap_with(&'static self, host: &mut MemoryHost) {
        self.with_borrow_mut(|current| std::mem::swap(current, host));
    }
}

pub(crate) fn log(level: Level, _record: Option<u32>, message: &str) {
    HOST.with_borrow_mut(|host| host.log.push(format!("{level:?}: {message}")));
}

pub(crate) fn define_metric(name: &str, kind: Kind) -> u32 {
    HOST.with_borrow_mut(|host| {
        let known = host.metrics.iter().position(|metric| metric.name == name);
        known.unwrap_or_else(|| {
            host.metrics.push(Metric { name: name.into(), is_counter: matches!(kind, Kind::Counter), value: 0.0 });
            host.metrics.len() - 1
        }) as u32
    })
}

pub(crate) fn update_metric(metric: u32, value: f64) {
    HOST.with_borrow_mut(|host| {
        // A metric that was defined with another harness's host is not this one's.
        if let Some(metric) = host.metrics.get_mut(metric as usize) {
            metric.value = if metric.is_counter { metric.value + value } else { value };
        }
    });
}

pub(crate) fn get(state: u32, groups: &[u8]) -> Values {
    HOST.with_borrow_mut(|host| {
        values((0..groups.len() / 4).map(|at| {
            let place = host.place(state, groups, at);
            host.value(&place)
        }))
    })
}

pub(crate) fn list_read(state: u32, group: u32, start: u64, limit: u32) -> Entries {
    HOST.with_borrow_mut(|host| {
        let place = host.place(state, &group.to_le_bytes(), 0);
        let (rules, clocks) = (&host.rules[state as usize], host.clocks);
        let stored = host.lists.get_mut(&place).into_iter().flatten().enumerate().skip(start as usize);
        let read = |(at, element): (usize, _)| Some(((at as u64).to_be_bytes(), read(rules, clocks, element)?));
        entries(stored.filter_map(read), limit)
    })
}

pub(crate) fn map_get(state: u32, groups: &[u8], key_ends: &[u8], keys: &[u8]) -> Values {
    HOST.with_borrow_mut(|host| {
        values((0..groups.len() / 4).map(|at| {
            let place = host.place(state, groups, at);
            let stored = host.maps.get_mut(&place)?.get_mut(entry(key_ends.as_chunks().0, keys, at))?;
            read(&host.rules[state as usize], host.clocks, stored)
        }))
    })
}

pub(crate) fn map_scan(state: u32, group: u32, start: &[u8], after: bool, backwards: bool, limit: u32) -> Entries {
    HOST.with_borrow_mut(|host| {
        let place = host.place(state, &group.to_le_bytes(), 0);
        let (rules, clocks) = (&host.rules[state as usize], host.clocks);
        let map = host.maps.entry(place).or_default();
        let bound = if after { Bound::Excluded(start) } else { Bound::Included(start) };
        let range = match (backwards, start) {
            (false, _) => (bound, Bound::Unbounded),
            (true, []) if !after => (Bound::Unbounded, Bound::Unbounded),
            (true, _) => (Bound::Unbounded, bound),
        };
        let mut read = |(key, stored): (_, &mut Stored)| Some((key, read(rules, clocks, stored)?));
        let range = map.range_mut::<[u8], _>(range);
        if backwards {
            entries(range.rev().filter_map(&mut read), limit)
        } else {
            entries(range.filter_map(read), limit)
        }
    })
}

pub(crate) fn map_write(state: u32, groups: &[u8], key_ends: &[u8], keys: &[u8], value_ends: &[u8], values: &[u8]) {
    HOST.with_borrow_mut(|host| {
        for at in 0..groups.len() / 4 {
            let place = host.place(state, groups, at);
            let key = entry(key_ends.as_chunks().0, keys, at).to_vec();
            let value = cell(value_ends.as_chunks().0, values, at).map(|bytes| host.store(state, bytes));
            let replaced = host.map_put(place.clone(), key.clone(), value);
            host.undo.push((place, key, replaced));
        }
    });
}

pub(crate) fn mark() -> u32 {
    HOST.with_borrow(|host| host.undo.len() as u32)
}

pub(crate) fn revert(mark: u32) {
    HOST.with_borrow_mut(|host| host.revert(mark as usize));
}

fn values(cells: impl Iterator<Item = Option<Vec<u8>>>) -> Values {
    let mut values = Values { ends: Vec::new(), bytes: Vec::new() };
    for cell in cells {
        values.bytes.extend_from_slice(cell.as_deref().unwrap_or_default());
        push_cell_end(&mut values.ends, values.bytes.len(), cell.is_some());
    }
    values
}

fn entries<K: AsRef<[u8]>>(mut stored: impl Iterator<Item = (K, impl AsRef<[u8]>)>, limit: u32) -> Entries {
    let mut entries =
        Entries { key_ends: Vec::new(), keys: Vec::new(), value_ends: Vec::new(), values: Vec::new(), more: false };
    for (key, value) in stored.by_ref().take(limit as usize) {
        entries.keys.extend_from_slice(key.as_ref());
        push_word(&mut entries.key_ends, entries.keys.len() as u32);
        entries.values.extend_from_slice(value.as_ref());
        push_word(&mut entries.value_ends, entries.values.len() as u32);
    }
    entries.more = stored.next().is_some();
    entries
}
