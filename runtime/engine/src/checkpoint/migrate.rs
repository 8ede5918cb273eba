//! Values of older schema versions on their way into a newer component.

use super::restore::OwnStates;
use crate::error::{CallFault, EngineError};
use crate::operator::reason;
use crate::refuse::{Refused, Target};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use tidewheel_guest::{GuestError, Instance, InstanceSettings};
use tidewheel_state::{MemoryState, OwnedRow, StateError, StateId, StateTable};
use tidewheel_types::OperatorId;
use tidewheel_types::keyed_state::{Cells, KeyedState, StateIndex};

/// Values of one state and version that go through `migrate` together.
const BATCH_ROWS: usize = 1024;

/// Bytes of such values, about.
const BATCH_BYTES: usize = 1 << 20;

/// Rows, each of its state's newest version. Those of older versions are put through the component's `migrate`, many at
/// once; rows of states that the function does not have are left out.
pub(super) struct Migrated<'a, I> {
    operator: OperatorId,
    rows: I,
    instance: Option<Instance>,
    /// By number of the state in the snapshot: its place among those of the function, and the version written now.
    declared: BTreeMap<StateId, (StateIndex, u32)>,
    /// Rows that wait to be migrated, by state and version.
    older: BTreeMap<(StateId, u32), Older>,
    ready: VecDeque<OwnedRow>,
    has_ended: bool,
    states: &'a OwnStates<'a>,
}

/// Rows of one state and version.
#[derive(Default)]
struct Older {
    rows: Vec<OwnedRow>,
    bytes: usize,
}

impl<'a, I: Iterator<Item = Result<OwnedRow, EngineError>>> Migrated<'a, I> {
    /// `rows` of an operator on `worker`, whose states are `states` now; `table` says what those of the rows are.
    pub(super) fn new(
        operator: &OperatorId,
        worker: usize,
        states: &'a OwnStates<'a>,
        table: &StateTable,
        rows: I,
    ) -> Result<Self, EngineError> {
        let mut declared = BTreeMap::new();
        let mut is_needed = false;
        for (index, state) in states.declared.iter().enumerate() {
            if let Some(stored) = table.by_name(&state.name) {
                declared.insert(stored.id, (StateIndex(index as u32), state.version));
                is_needed |= stored.versions.iter().any(|&version| version != state.version);
            }
        }
        let instance = states.function.filter(|_| is_needed).map(|function| {
            // A migration sees no state but the values that it is given.
            let state = MemoryState::new(&states.declared).map_err(|source| failed(operator, source))?;
            let state: Rc<RefCell<dyn KeyedState>> = Rc::new(RefCell::new(state));
            let settings = InstanceSettings { state: Some(state), ..function.settings(operator, worker) };
            function
                .component
                .instantiate(settings)
                .map_err(|source| EngineError::Guest { operator: operator.clone(), source: Box::new(source) })
        });
        let instance = instance.transpose()?;
        let (older, ready) = (BTreeMap::new(), VecDeque::new());
        Ok(Migrated { operator: operator.clone(), rows, instance, declared, older, ready, has_ended: false, states })
    }

    /// Takes in a row: it is ready, waits for others of its version, or is left out.
    fn take(&mut self, row: OwnedRow) -> Result<(), EngineError> {
        let newest = match self.declared.get(&row.state) {
            _ if row.state.holds_timers() => row.version,
            Some(&(_, version)) => version,
            None => return Ok(()),
        };
        if row.version == newest {
            self.ready.push_back(row);
            return Ok(());
        }
        let key = (row.state, row.version);
        let older = self.older.entry(key).or_default();
        older.bytes += row.payload.len();
        older.rows.push(row);
        match older.rows.len() >= BATCH_ROWS || older.bytes >= BATCH_BYTES {
            true => self.migrate(key),
            false => Ok(()),
        }
    }

    /// Puts the rows of a state and version that wait through `migrate`.
    fn migrate(&mut self, key: (StateId, u32)) -> Result<(), EngineError> {
        let Some(Older { rows, .. }) = self.older.remove(&key) else { return Ok(()) };
        let ((state, version), Some(instance)) = (key, &mut self.instance) else { return Ok(()) };
        let (index, newest) = self.declared[&state];
        let mut cells = Cells::default();
        rows.iter().for_each(|row| cells.push(Some(&row.payload)));
        let called = match self.states.refusals.borrow().are_fatal() {
            true => instance.migrate(index, version, &cells).map(|migrated| (migrated, Vec::new())),
            false => instance.migrate_good(index, version, &cells),
        };
        let (migrated, poison) = match called {
            Ok(migrated) => migrated,
            Err(error) => match &error {
                GuestError::Migrate { value: Some(value), .. } => (Cells::default(), vec![(*value, error)]),
                _ => return Err(EngineError::Guest { operator: self.operator.clone(), source: Box::new(error) }),
            },
        };
        for (place, error) in poison {
            set_aside(self.states, instance, (index, version), &rows[place], error)?;
        }
        let migrated = rows.into_iter().enumerate().filter_map(|(place, row)| {
            // A value that is migrated to none is gone.
            let payload = migrated.get(place)?.to_vec();
            Some(OwnedRow { payload, version: newest, ..row })
        });
        self.ready.extend(migrated);
        Ok(())
    }

    fn fill(&mut self) -> Result<(), EngineError> {
        while self.ready.is_empty() && !self.has_ended {
            match self.rows.next() {
                Some(row) => self.take(row?)?,
                None => {
                    self.has_ended = true;
                    let keys: Vec<_> = self.older.keys().copied().collect();
                    keys.into_iter().try_for_each(|key| self.migrate(key))?;
                }
            }
        }
        Ok(())
    }
}

/// Sets a value aside that could not be migrated, or is the error; the call is kept.
fn set_aside(
    states: &OwnStates<'_>,
    instance: &Instance,
    (state, version): (StateIndex, u32),
    row: &OwnedRow,
    error: GuestError,
) -> Result<(), EngineError> {
    let mut refusals = states.refusals.borrow_mut();
    let name = &states.declared[state.0 as usize].name;
    let target = Target::State { name, version, entry: &row.user_key, value: &row.payload };
    let fault = CallFault::Guest(Box::new(instance.component().located(error)));
    let refused = Refused::of_state(&row.key, reason(&fault));
    let CallFault::Guest(error) = &fault else { unreachable!("it is the guest's") };
    let component = (refusals.operator().as_str(), instance.component());
    let capsule = states.capsules.keep(component, &refused.reason, |job| {
        instance.migrate_capsule((state, version, &row.payload), error, (job, refusals.describe(&target, &refused)))
    });
    refusals.poison(refused, target, fault, capsule)
}

impl<I: Iterator<Item = Result<OwnedRow, EngineError>>> Iterator for Migrated<'_, I> {
    type Item = Result<OwnedRow, RowsError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.fill() {
            Ok(()) => self.ready.pop_front().map(Ok),
            Err(error) => {
                self.has_ended = true;
                Some(Err(RowsError::Engine(error)))
            }
        }
    }
}

/// Why rows could not be opened: they could not be had, or not be kept.
pub(super) enum RowsError {
    Engine(EngineError),
    State(StateError),
}

impl From<StateError> for RowsError {
    fn from(error: StateError) -> Self {
        RowsError::State(error)
    }
}

fn failed(operator: &OperatorId, source: StateError) -> EngineError {
    EngineError::Snapshot { operator: operator.clone(), source }
}
