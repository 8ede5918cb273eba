//! Which states a snapshot holds, by name.

use crate::error::StateError;
use crate::key_codec::StateId;
use crate::ttl::{StateTime, Ttl, TtlClock};
use std::collections::BTreeSet;
use tidewheel_types::description::{StateDecl, StateKind};

/// The states of one operator, as its snapshots have them. A state that is not declared any more stays in it, and its
/// entries in the files: a component that declares it again finds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateTable {
    /// The states, by number.
    pub states: Vec<StoredState>,
}

/// A state in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredState {
    /// Its number in the keys of entries.
    pub id: StateId,
    /// By what it is found.
    pub name: String,
    /// How it keeps its entries.
    pub kind: StateKind,
    /// The encoding of its values.
    pub format: String,
    /// What a value looks like.
    pub schema: String,
    /// The clock on which its entries expire; none if they live for ever.
    pub clock: Option<TtlClock>,
    /// Schema versions that its entries may have been written under. Never too few; a version that has gone is left out
    /// once all its files have been merged.
    pub versions: BTreeSet<u32>,
}

impl StateTable {
    /// The state of that name.
    pub fn by_name(&self, name: &str) -> Option<&StoredState> {
        self.states.iter().find(|state| state.name == name)
    }

    /// The state of that number.
    pub fn by_id(&self, id: StateId) -> Option<&StoredState> {
        self.states.iter().find(|state| state.id == id)
    }

    /// Adds what another task of the operator has: the versions that its entries may have been written under.
    pub fn merge(&mut self, other: &StateTable) {
        for theirs in &other.states {
            match self.by_id_mut(theirs.id) {
                Some(state) => state.versions.extend(&theirs.versions),
                None => self.states.push(theirs.clone()),
            }
        }
    }

    pub(crate) fn by_id_mut(&mut self, id: StateId) -> Option<&mut StoredState> {
        self.states.iter_mut().find(|state| state.id == id)
    }

    /// Whether an entry of a state that expires then is gone.
    pub(crate) fn is_expired(&self, id: StateId, expiry: Option<i64>, time: StateTime) -> bool {
        let clock = || self.by_id(id).and_then(|state| state.clock);
        expiry.is_some_and(|expiry| clock().is_some_and(|clock| time.is_past(clock, expiry)))
    }

    /// The states that are declared with another clock than their entries were written under, or without a time-to-live.
    /// When those expire means nothing any more, so they do not: a time of one clock would be read as one of the other.
    pub(crate) fn of_other_clocks(&self, declared: &[StateDecl]) -> Result<BTreeSet<StateId>, StateError> {
        let mut ids = BTreeSet::new();
        for state in declared {
            let clock = Ttl::of(state)?.map(|ttl| ttl.clock);
            let stored = self.by_name(&state.name).filter(|stored| stored.clock.is_some() && stored.clock != clock);
            ids.extend(stored.map(|stored| stored.id));
        }
        Ok(ids)
    }

    /// Finds the declared states, gives those that are new a number, and says which state has which one.
    ///
    /// # Errors
    /// If two states have one name, if a state is there as another kind, or if all numbers are given away.
    pub fn declare(&mut self, declared: &[StateDecl]) -> Result<Vec<StateId>, StateError> {
        let mut ids: Vec<StateId> = Vec::with_capacity(declared.len());
        for state in declared {
            let name = || state.name.clone();
            let clock = Ttl::of(state)?.map(|ttl| ttl.clock);
            let next = self.states.iter().map(|stored| stored.id.0 + 1).max().unwrap_or(0);
            match self.states.iter_mut().find(|stored| stored.name == state.name) {
                Some(stored) if ids.contains(&stored.id) => return Err(StateError::TwoOfOneName { state: name() }),
                Some(stored) if family(stored.kind) != family(state.kind) => {
                    return Err(StateError::OtherKind { state: name(), declared: state.kind, stored: stored.kind });
                }
                Some(stored) => {
                    stored.kind = state.kind;
                    stored.format.clone_from(&state.format);
                    stored.schema.clone_from(&state.schema);
                    stored.clock = clock;
                    ids.push(stored.id);
                }
                None if StateId(next).holds_timers() => return Err(StateError::TooManyStates { state: name() }),
                None => {
                    ids.push(StateId(next));
                    self.states.push(StoredState {
                        id: StateId(next),
                        name: name(),
                        kind: state.kind,
                        format: state.format.clone(),
                        schema: state.schema.clone(),
                        clock,
                        versions: BTreeSet::new(),
                    });
                }
            }
        }
        Ok(ids)
    }
}

/// Kinds whose entries look alike: an accumulator is stored as a value is.
fn family(kind: StateKind) -> StateKind {
    if kind == StateKind::Aggregating { StateKind::Value } else { kind }
}

#[cfg(test)]
mod tests {
    use super::StateTable;
    use crate::error::StateError;
    use crate::key_codec::StateId;
    use tidewheel_types::description::{StateDecl, StateKind};

    fn declared(name: &str, kind: StateKind) -> StateDecl {
        StateDecl {
            name: name.to_owned(),
            kind,
            format: "raw".to_owned(),
            schema: String::new(),
            version: 1,
            oldest: 1,
            rides: false,
            ttl_ms: 0,
            options: Vec::new(),
        }
    }

    #[test]
    fn states_are_found_by_name_and_a_number_is_given_once() {
        let (value, list) = (StateKind::Value, StateKind::List);
        let mut table = StateTable::default();
        let first = table.declare(&[declared("a", value), declared("b", list)]).unwrap();
        assert_eq!(first, [StateId(0), StateId(1)]);
        let second = table.declare(&[declared("c", value), declared("b", list)]).unwrap();
        assert_eq!(second, [StateId(2), StateId(1)]);
        let third = table.declare(&[declared("a", StateKind::Aggregating), declared("d", list)]).unwrap();
        assert_eq!(third, [StateId(0), StateId(3)]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut table = StateTable::default();
        table.declare(&[declared("a", StateKind::Value)]).unwrap();
        let as_list = table.declare(&[declared("a", StateKind::List)]);
        assert!(matches!(as_list, Err(StateError::OtherKind { .. })));
        let twice = table.declare(&[declared("a", StateKind::Value), declared("a", StateKind::Value)]);
        assert!(matches!(twice, Err(StateError::TwoOfOneName { .. })));
    }
}
