//! Starting from older state: a savepoint of another harness, or single values as an older version has written them.

use super::frames::Incoming;
use super::inspect::SingleState;
use super::memory::Place;
use super::stored::{Clocks, Stored};
use super::{Harness, Panes};
use crate::aggregate::Aggregate;
use crate::error::{Error, Result};
use crate::format::{EncodeAs, Postcard};
use crate::operator::Operator;
use crate::state::{List, Map, MapKey, StateField, StateItem};
use crate::time::EventTime;
use crate::wit::keyed::tidewheel::operator::description::StateDecl;
use std::collections::{BTreeMap, BTreeSet};

/// All that the host keeps of an operator: its states, timers and open windows. For another harness, as of a newer
/// version of the operator, to go on from.
#[derive(Clone)]
pub struct Savepoint {
    states: Vec<StateDecl>,
    values: BTreeMap<Place, Stored>,
    lists: BTreeMap<Place, Vec<Stored>>,
    maps: BTreeMap<Place, BTreeMap<Vec<u8>, Stored>>,
    timers: BTreeMap<Vec<u8>, BTreeSet<(i64, u16)>>,
    windows: BTreeMap<(i64, i64, Vec<u8>), Panes>,
    window_records: BTreeMap<(i64, i64, Vec<u8>), Vec<Incoming>>,
    clocks: Clocks,
}

impl Savepoint {
    /// Without the state of this name, as when the user allows it to be dropped.
    pub fn without(mut self, state: &str) -> Savepoint {
        if let Some(gone) = self.states.iter().position(|declared| declared.name == state) {
            self.keep_states(|index| (index != gone as u32).then_some(index - u32::from(index > gone as u32)));
            self.states.remove(gone);
        }
        self
    }

    /// Gives the states other indices, or drops them.
    fn keep_states(&mut self, index: impl Fn(u32) -> Option<u32>) {
        fn keep<T>(of: &mut BTreeMap<Place, T>, index: impl Fn(u32) -> Option<u32>) {
            let all = std::mem::take(of).into_iter();
            *of = all.filter_map(|((state, key), stored)| Some(((index(state)?, key), stored))).collect();
        }
        keep(&mut self.values, &index);
        keep(&mut self.lists, &index);
        keep(&mut self.maps, &index);
    }

    /// The schema versions of the values that are there of a state.
    fn versions(&self, state: u32) -> BTreeSet<u32> {
        let values = self.values.iter().filter(|((of, _), _)| *of == state).map(|(_, stored)| stored);
        let lists = self.lists.iter().filter(|((of, _), _)| *of == state).flat_map(|(_, stored)| stored);
        let maps = self.maps.iter().filter(|((of, _), _)| *of == state).flat_map(|(_, stored)| stored.values());
        let windows = self.windows.values().flatten().flatten();
        values.chain(lists).chain(maps).chain(windows).map(|stored| stored.version).collect()
    }
}

impl<O: Operator> Harness<O> {
    /// All that the host keeps of the operator now.
    pub fn savepoint(&self) -> Savepoint {
        Savepoint {
            states: self.description.states.clone(),
            values: self.host.values.clone(),
            lists: self.host.lists.clone(),
            maps: self.host.maps.clone(),
            timers: self.timers.clone(),
            windows: self.windows.clone(),
            window_records: self.window_records.clone(),
            clocks: self.host.clocks,
        }
    }

    /// Goes on from a savepoint, as a job does that is started from one: states are found by name.
    ///
    /// # Errors
    /// When a state is not as the operator declares it, as the host would refuse it: another kind or format, another
    /// schema under the same version, a version that cannot be migrated; or when it is not declared and would be dropped.
    pub fn restored(mut self, from: &Savepoint) -> Result<Harness<O>> {
        let mut places = Vec::new();
        for (index, stored) in from.states.iter().enumerate() {
            let name = &stored.name;
            let Some(place) = self.description.states.iter().position(|declared| declared.name == *name) else {
                return Err(Error::fail(format_args!("state {name} is in the savepoint and would be dropped")));
            };
            let declared = &self.description.states[place];
            let refuse = |what: &str, stored: &str, declared: &str| {
                Err(Error::fail(format_args!("state {name} has {what} {declared:?}, and in the savepoint {stored:?}")))
            };
            if stored.kind != declared.kind {
                return refuse("kind", &format!("{:?}", stored.kind), &format!("{:?}", declared.kind));
            }
            if stored.format != declared.format {
                return refuse("format", &stored.format, &declared.format);
            }
            if stored.version == declared.version && stored.schema != declared.schema {
                return refuse("schema", &stored.schema, &declared.schema);
            }
            let mut versions = from.versions(index as u32).into_iter();
            if let Some(version) = versions.find(|version| !self.host.rules[place].takes(*version)) {
                let message = format_args!("state {name} has values of version {version}, which it cannot migrate");
                return Err(Error::fail(message));
            }
            places.push(place as u32);
        }
        let timers = self.description.timers.len();
        if let Some((_, slot)) = from.timers.values().flatten().find(|(_, slot)| usize::from(*slot) >= timers) {
            return Err(Error::fail(format_args!(
                "timers of slot {slot} are in the savepoint, and it is not declared"
            )));
        }
        let mut from = from.clone();
        from.keep_states(|index| Some(places[index as usize]));
        (self.host.values, self.host.lists, self.host.maps) = (from.values, from.lists, from.maps);
        (self.timers, self.windows, self.host.clocks) = (from.timers, from.windows, from.clocks);
        self.window_records = from.window_records;
        Ok(self)
    }

    /// Puts a value there as an older version of the operator has written it: of another type, in the state's format.
    ///
    /// # Panics
    /// When the format cannot hold it.
    pub fn load<S, T>(&mut self, state: impl Fn(&O) -> &S, key: impl AsRef<[u8]>, version: u32, value: &T)
    where
        S: SingleState + StateItem,
        S::Format: EncodeAs<T>,
    {
        let state = state(&self.operator).state();
        let stored = self.older::<S::Format, T>(state, version, value);
        self.host.values.insert((state, key.as_ref().to_vec()), stored);
    }

    /// Adds an element to a list as an older version of the operator has written it, see [`load`](Harness::load).
    ///
    /// # Panics
    /// When the format cannot hold it.
    pub fn load_element<T, F: EncodeAs<U>, U>(
        &mut self,
        state: impl Fn(&O) -> &List<T, F>,
        key: impl AsRef<[u8]>,
        version: u32,
        element: &U,
    ) {
        let state = state(&self.operator).state();
        let stored = self.older::<F, U>(state, version, element);
        self.host.lists.entry((state, key.as_ref().to_vec())).or_default().push(stored);
    }

    /// Puts an entry into a map as an older version of the operator has written it, see [`load`](Harness::load).
    ///
    /// # Panics
    /// When the format cannot hold it.
    pub fn load_entry<K: MapKey, V, F: EncodeAs<U>, U>(
        &mut self,
        state: impl Fn(&O) -> &Map<K, V, F>,
        key: impl AsRef<[u8]>,
        version: u32,
        (entry, value): (&K, &U),
    ) {
        let state = state(&self.operator).state();
        let stored = self.older::<F, U>(state, version, value);
        let mut place = Vec::new();
        entry.write(&mut place);
        self.host.maps.entry((state, key.as_ref().to_vec())).or_default().insert(place, stored);
    }

    fn older<F: EncodeAs<T>, T>(&self, state: u32, version: u32, value: &T) -> Stored {
        let mut bytes = Vec::new();
        F::encode_as(value, &mut bytes).unwrap_or_else(|error| panic!("the older value is {error}"));
        self.host.rules[state as usize].store_under(version, &bytes, self.host.clocks)
    }
}

impl<O: Aggregate> Harness<O> {
    /// Puts the accumulator of a key and of the window that `time` is in there as an older version of the operator has
    /// written it, see [`load`](Harness::load).
    ///
    /// # Panics
    /// When the format cannot hold it.
    pub fn load_accumulator<T>(&mut self, key: impl AsRef<[u8]>, time: EventTime, version: u32, accumulator: &T)
    where
        Postcard<O::Acc>: EncodeAs<T>,
    {
        let window = self.window_of(time.0);
        let stored = self.older::<Postcard<O::Acc>, T>(0, version, accumulator);
        let place = (window.end.0, window.start.0, key.as_ref().to_vec());
        self.windows.entry(place).or_default()[0] = Some(stored);
    }
}
