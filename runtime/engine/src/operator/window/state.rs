//! The state of an operator with windows: what its component declares, what its panes hold, and what else is kept of a
//! key.

use crate::operator::TaskState;
use std::cell::RefMut;
use tidewheel_state::{Backend, Timers};
use tidewheel_types::description::{StateDecl, StateKind, TimerClock};
use tidewheel_types::keyed_state::StateIndex;

/// What a pane holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// An accumulator: the only state of a component of world `aggregate`, and rides.
    Accumulator,
    /// Records, in a list of the host's.
    Records(StateIndex),
}

/// The accumulators.
pub(super) const ACCUMULATOR: StateIndex = StateIndex(0);

/// State and timers of an operator with windows on one worker.
pub(super) struct WindowState {
    pub(super) task: TaskState,
    /// What panes hold, under their key and start.
    pub(super) held: Held,
    /// What kinds of windows keep of a key besides its panes, where they keep anything.
    pub(super) kept: StateIndex,
}

impl WindowState {
    /// Panes with accumulators.
    pub(super) fn of_accumulators(task: TaskState) -> Self {
        WindowState { task, held: Held::Accumulator, kept: StateIndex(ACCUMULATOR.0 + 1) }
    }

    /// Panes with records in `list`: the first of the [`host_states`], which come behind those of the component.
    pub(super) fn of_records(task: TaskState, list: StateIndex) -> Self {
        WindowState { task, held: Held::Records(list), kept: StateIndex(list.0 + 1) }
    }

    pub(super) fn states(&self) -> RefMut<'_, Box<dyn Backend>> {
        self.task.states()
    }

    pub(super) fn timers_of(&mut self, clock: TimerClock) -> &mut Timers {
        self.task.timers_of(clock)
    }
}

/// The host's states, behind those of the component, of windows whose panes hold records or do not.
pub(crate) fn host_states(of_records: bool) -> impl Iterator<Item = StateDecl> {
    let records = of_records.then(|| declare("tidewheel-records", StateKind::List));
    records.into_iter().chain([declare("tidewheel-windows", StateKind::Value)])
}

fn declare(name: &str, kind: StateKind) -> StateDecl {
    StateDecl {
        name: name.to_owned(),
        kind,
        format: name.to_owned(),
        schema: String::new(),
        version: 1,
        oldest: 1,
        rides: false,
        ttl_ms: 0,
        options: Vec::new(),
    }
}
