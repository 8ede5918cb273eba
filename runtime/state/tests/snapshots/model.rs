//! What state and timers should hold, in ordered maps, and what may be done to them.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use std::collections::{BTreeMap, BTreeSet};
use tidewheel_state::{StateTime, TimerChange, Ttl, TtlClock, TtlRefresh};
use tidewheel_types::description::{StateDecl, StateKind};
use tidewheel_types::key_group::hash_key;
use tidewheel_types::keyed_state::{StateKey, Write};

/// Two states that ride, one value that does not, a list, a map.
pub(crate) const KINDS: [StateKind; STATES] =
    [StateKind::Value, StateKind::Value, StateKind::Value, StateKind::List, StateKind::Map];
pub(crate) const STATES: usize = 5;
pub(crate) const RIDING: usize = 2;
pub(crate) const VALUES: usize = 3;
pub(crate) const LIST: usize = 3;
pub(crate) const MAP: usize = 4;

/// Timers are a set for each clock: event time, then processing time.
pub(crate) type Clock = usize;
pub(crate) const CLOCKS: usize = 2;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Owner {
    pub(crate) key: Vec<u8>,
    pub(crate) namespace: Vec<u8>,
}

impl Owner {
    pub(crate) fn state_key(&self) -> StateKey<'_> {
        StateKey { hash: hash_key(&self.key), key: &self.key, namespace: &self.namespace }
    }
}

/// Few keys, so that they meet; short ones, empty ones, and one that does not fit into its row.
pub(crate) fn owner() -> impl Strategy<Value = Owner> {
    let key = prop_oneof![vec(0u8..3, 0..3), vec(any::<u8>(), 8), Just(vec![7; 200])];
    let namespace = prop_oneof![Just(Vec::new()), Just(vec![0; 8]), Just(vec![1; 8])];
    (key, namespace).prop_map(|(key, namespace)| Owner { key, namespace })
}

/// The time-to-live of a state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Declared(pub(crate) Option<Ttl>);

pub(crate) fn declared() -> impl Strategy<Value = Declared> {
    let clock = prop_oneof![Just(TtlClock::Processing), Just(TtlClock::Event)];
    let refresh = prop_oneof![Just(TtlRefresh::Write), Just(TtlRefresh::ReadWrite)];
    let ttl = (1i64..15, clock, refresh).prop_map(|(ms, clock, refresh)| Ttl { ms, clock, refresh });
    option::of(ttl).prop_map(Declared)
}

impl Declared {
    /// What a component says of state `state`.
    pub(crate) fn decl(self, state: usize, version: u32) -> StateDecl {
        let mut options = Vec::new();
        if let Some(ttl) = self.0 {
            let clock = if ttl.clock == TtlClock::Event { "event" } else { "processing" };
            let refresh = if ttl.refresh == TtlRefresh::ReadWrite { "read-write" } else { "write" };
            options.push(("ttl-clock".to_owned(), clock.to_owned()));
            options.push(("ttl-refresh".to_owned(), refresh.to_owned()));
        }
        StateDecl {
            name: format!("state-{state}"),
            kind: KINDS[state],
            format: "raw".to_owned(),
            schema: String::new(),
            version,
            oldest: 1,
            rides: state < RIDING,
            ttl_ms: self.0.map_or(0, |ttl| ttl.ms as u64),
            options,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Change {
    Put(usize, Vec<u8>),
    Append(Vec<u8>),
    PutEntry(Vec<u8>, Vec<u8>),
    DeleteEntry(Vec<u8>),
    Delete(usize),
}

pub(crate) fn change() -> impl Strategy<Value = Change> {
    let entry = || vec(0u8..3, 0..3);
    let value = || prop_oneof![4 => vec(any::<u8>(), 0..10), 1 => vec(any::<u8>(), 0..300)];
    prop_oneof![
        4 => (0..VALUES, value()).prop_map(|(state, value)| Change::Put(state, value)),
        2 => value().prop_map(Change::Append),
        3 => (entry(), value()).prop_map(|(entry, value)| Change::PutEntry(entry, value)),
        1 => entry().prop_map(Change::DeleteEntry),
        3 => (0..STATES).prop_map(Change::Delete),
    ]
}

pub(crate) fn timer_change() -> impl Strategy<Value = TimerChange> {
    let timer = || (0u16..3, 0i64..30);
    prop_oneof![
        4 => timer().prop_map(|(slot, time)| TimerChange::Set { slot, time }),
        1 => timer().prop_map(|(slot, time)| TimerChange::Replace { slot, time }),
        1 => timer().prop_map(|(slot, time)| TimerChange::Delete { slot, time }),
        1 => (0u16..3).prop_map(|slot| TimerChange::DeleteAll { slot }),
    ]
}

impl Change {
    pub(crate) fn state(&self) -> usize {
        match self {
            Change::Put(state, _) | Change::Delete(state) => *state,
            Change::Append(_) => LIST,
            Change::PutEntry(..) | Change::DeleteEntry(_) => MAP,
        }
    }

    pub(crate) fn write(&self) -> Write<'_> {
        match self {
            Change::Put(_, value) => Write::Put(value),
            Change::Append(value) => Write::Append(value),
            Change::PutEntry(entry, value) => Write::PutEntry(entry, value),
            Change::DeleteEntry(entry) => Write::DeleteEntry(entry),
            Change::Delete(_) => Write::Delete,
        }
    }
}

/// An entry: state, owner, place within.
pub(crate) type Place = (usize, Owner, Vec<u8>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) version: u32,
    pub(crate) expiry: Option<i64>,
    pub(crate) value: Vec<u8>,
}

/// All of it. What has expired is taken out when the clocks are set.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    ttls: [Option<Ttl>; STATES],
    pub(crate) time: StateTime,
    pub(crate) entries: BTreeMap<Place, Entry>,
    pub(crate) timers: [BTreeSet<(Owner, u16, i64)>; CLOCKS],
}

impl Model {
    pub(crate) fn new(states: &[Declared; STATES]) -> Self {
        let ttls = states.map(|state| state.0);
        Model { ttls, time: StateTime::START, entries: BTreeMap::new(), timers: Default::default() }
    }

    pub(crate) fn set_time(&mut self, now_ms: i64, watermark_ms: i64) {
        self.time.set(now_ms, watermark_ms);
        let (ttls, time) = (self.ttls, self.time);
        self.entries.retain(|(state, ..), entry| match (ttls[*state], entry.expiry) {
            (Some(ttl), Some(expiry)) => expiry > time.on(ttl.clock),
            _ => true,
        });
    }

    pub(crate) fn apply(&mut self, owner: &Owner, change: &Change, version: u32) {
        let state = change.state();
        let expiry = self.ttls[state].map(|ttl| ttl.expiry(self.time));
        let at = |place: &[u8]| (state, owner.clone(), place.to_vec());
        let entry = |value: &[u8]| Entry { version, expiry, value: value.to_vec() };
        match change {
            Change::Put(_, value) => drop(self.entries.insert(at(&[]), entry(value))),
            Change::Append(value) => {
                let last = self.of(state, owner).last().map(|(place, _)| place.clone());
                let next = last.map_or(0, |last| u64::from_be_bytes(last.try_into().unwrap()) + 1);
                self.entries.insert(at(&next.to_be_bytes()), entry(value));
            }
            Change::PutEntry(place, value) => drop(self.entries.insert(at(place), entry(value))),
            Change::DeleteEntry(place) => drop(self.entries.remove(&at(place))),
            Change::Delete(_) => self.entries.retain(|(s, o, _), _| *s != state || o != owner),
        }
    }

    /// The entries of a state and owner, in order.
    pub(crate) fn of(&self, state: usize, owner: &Owner) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mine = self.entries.iter().filter(|((s, o, _), _)| *s == state && o == owner);
        mine.map(|((_, _, place), entry)| (place.clone(), entry.value.clone())).collect()
    }

    /// Whether the map of an owner has an entry.
    pub(crate) fn has_entry(&self, owner: &Owner, entry: &[u8]) -> bool {
        self.entries.contains_key(&(MAP, owner.clone(), entry.to_vec()))
    }

    /// An entry that is being read.
    pub(crate) fn read(&mut self, state: usize, owner: &Owner, place: &[u8]) -> Option<Vec<u8>> {
        let entry = self.entries.get_mut(&(state, owner.clone(), place.to_vec()))?;
        let refreshing = self.ttls[state].filter(|ttl| ttl.refresh == TtlRefresh::ReadWrite);
        if let Some(ttl) = refreshing {
            entry.expiry = Some(ttl.expiry(self.time));
        }
        Some(entry.value.clone())
    }

    pub(crate) fn change_timer(&mut self, clock: Clock, owner: &Owner, change: TimerChange) {
        let timers = &mut self.timers[clock];
        let delete_slot = |timers: &mut BTreeSet<(Owner, u16, i64)>, slot| {
            timers.retain(|(o, s, _)| o != owner || *s != slot);
        };
        match change {
            TimerChange::Set { slot, time } => drop(timers.insert((owner.clone(), slot, time))),
            TimerChange::Replace { slot, time } => {
                delete_slot(timers, slot);
                timers.insert((owner.clone(), slot, time));
            }
            TimerChange::Delete { slot, time } => drop(timers.remove(&(owner.clone(), slot, time))),
            TimerChange::DeleteAll { slot } => delete_slot(timers, slot),
        }
    }
}
