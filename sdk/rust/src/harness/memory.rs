//! The host the harness plays: state in memory, and the functions a component imports.
//!
//! The functions find the state in a thread-local, as an operator finds its host: without being given one.

use crate::frame::{cell, entry, push_cell_end, push_word, word};
use crate::wit::keyed::tidewheel::operator::log::Level;
use crate::wit::keyed::tidewheel::operator::metrics::Kind;
use crate::wit::keyed::tidewheel::operator::state::{Entries, Values};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Bound;

/// A state and a key.
pub(super) type Place = (u32, Vec<u8>);

/// What the host keeps for one operator.
#[derive(Default)]
pub(super) struct MemoryHost {
    /// Keys of the groups of the call at hand.
    pub(super) groups: Vec<Vec<u8>>,
    pub(super) values: BTreeMap<Place, Vec<u8>>,
    pub(super) lists: BTreeMap<Place, Vec<Vec<u8>>>,
    pub(super) maps: BTreeMap<Place, BTreeMap<Vec<u8>, Vec<u8>>>,
    /// What the map writes of the call at hand replaced.
    undo: Vec<(Place, Vec<u8>, Option<Vec<u8>>)>,
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
    /// Ends a call: its map writes count, or not.
    pub(super) fn end_call(&mut self, succeeded: bool) {
        if !succeeded {
            self.revert(0);
        }
        self.undo.clear();
        self.groups.clear();
    }

    fn place(&self, state: u32, groups: &[u8], index: usize) -> Place {
        let group = word(groups.as_chunks().0, index) as usize;
        (state, self.groups[group].clone())
    }

    fn map_put(&mut self, place: Place, key: Vec<u8>, value: Option<&[u8]>) -> Option<Vec<u8>> {
        let map = self.maps.entry(place).or_default();
        match value {
            Some(value) => map.insert(key, value.to_vec()),
            None => map.remove(&key),
        }
    }

    fn revert(&mut self, mark: usize) {
        for (place, key, value) in self.undo.split_off(mark.min(self.undo.len())).into_iter().rev() {
            self.map_put(place, key, value.as_deref());
        }
    }
}

thread_local! {
    static HOST: RefCell<MemoryHost> = RefCell::default();
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
    HOST.with_borrow(|host| {
        values((0..groups.len() / 4).map(|at| host.values.get(&host.place(state, groups, at)).map(Vec::as_slice)))
    })
}

pub(crate) fn list_read(state: u32, group: u32, start: u64, limit: u32) -> Entries {
    HOST.with_borrow(|host| {
        let list = host.lists.get(&host.place(state, &group.to_le_bytes(), 0));
        let elements = list.into_iter().flatten().enumerate().skip(start as usize);
        entries(elements.map(|(index, element)| ((index as u64).to_be_bytes(), element)), limit)
    })
}

pub(crate) fn map_get(state: u32, groups: &[u8], key_ends: &[u8], keys: &[u8]) -> Values {
    HOST.with_borrow(|host| {
        values((0..groups.len() / 4).map(|at| {
            let map = host.maps.get(&host.place(state, groups, at))?;
            map.get(entry(key_ends.as_chunks().0, keys, at)).map(Vec::as_slice)
        }))
    })
}

pub(crate) fn map_scan(state: u32, group: u32, start: &[u8], after: bool, backwards: bool, limit: u32) -> Entries {
    HOST.with_borrow(|host| {
        let Some(map) = host.maps.get(&host.place(state, &group.to_le_bytes(), 0)) else {
            return entries(std::iter::empty::<(&[u8], &Vec<u8>)>(), limit);
        };
        let bound = if after { Bound::Excluded(start) } else { Bound::Included(start) };
        match (backwards, start) {
            (false, _) => entries(map.range::<[u8], _>((bound, Bound::Unbounded)), limit),
            (true, []) if !after => entries(map.iter().rev(), limit),
            (true, _) => entries(map.range::<[u8], _>((Bound::Unbounded, bound)).rev(), limit),
        }
    })
}

pub(crate) fn map_write(state: u32, groups: &[u8], key_ends: &[u8], keys: &[u8], value_ends: &[u8], values: &[u8]) {
    HOST.with_borrow_mut(|host| {
        for at in 0..groups.len() / 4 {
            let place = host.place(state, groups, at);
            let key = entry(key_ends.as_chunks().0, keys, at).to_vec();
            let value = cell(value_ends.as_chunks().0, values, at);
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

fn values<'a>(cells: impl Iterator<Item = Option<&'a [u8]>>) -> Values {
    let mut values = Values { ends: Vec::new(), bytes: Vec::new() };
    for cell in cells {
        values.bytes.extend_from_slice(cell.unwrap_or_default());
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
