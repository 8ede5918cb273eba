//! Panes with records, for world `keyed`: a list of the host's for each pane, and `process` gets those of a window when
//! it fires, with the state that the component has under the window's key.
//!
//! A window that does not fit into a call comes in parts, one call each, with no other window. Each is a transaction of
//! its own, and nothing else of the operator happens in between.

use super::assigner::damaged;
use super::firing::{Fired, Firing};
use super::fold::{Fold, Panes, TakenIn, Taking, WindowTask};
use super::stored_record::{WindowRecords, encode};
use crate::error::EngineError;
use crate::inbox::Arrived;
use crate::operator::component_state;
use crate::operator::emit::Inherit;
use crate::operator::frames::{self, Part};
use crate::operator::function::{Attempt, Called, Pieces};
use crate::operator::group::Grouping;
use crate::operator::size::CALL_BYTES_MAX;
use crate::outputs::Outputs;
use crate::refuse::{Refused, Target};
use crate::task::{Flow, Moment};
use std::collections::HashSet;
use std::ops::Range;
use tidewheel_guest::{Export, Output};
use tidewheel_types::keyed_state::{Cells, Entries, KeyedState, Scan, StateIndex, Write};
use tidewheel_types::{Batch, BytesColumn, Origin};

/// Records in lists of the host's.
pub(super) struct Records {
    list: StateIndex,
    /// Records on their way into a list.
    elements: BytesColumn,
    /// Where the next part begins of the window that fires next.
    next_part: Place,
    /// What the call gets: windows, and the state of their keys.
    given: WindowRecords,
    cells: Cells,
    /// The elements of a window, as they are read.
    entries: Entries,
}

/// A place in a window: one of its panes, and an element there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    pane: usize,
    element: u64,
}

/// The windows of a call.
struct Call {
    /// Of those that fire.
    windows: Range<usize>,
    part: Part,
    /// Where the next part begins; none, if they are whole, or it is the last.
    rest: Option<Place>,
}

impl Records {
    /// In the lists of this state.
    pub(super) fn new(list: StateIndex) -> Self {
        Records {
            list,
            elements: BytesColumn::default(),
            next_part: Place::default(),
            given: WindowRecords::default(),
            cells: Cells::default(),
            entries: Entries::default(),
        }
    }

    /// Reads the windows that the next call gets, and the state of their keys; none, if the next has no records: it is
    /// passed over.
    fn prepare_call(&mut self, task: &mut WindowTask, firing: &mut Firing) -> Result<Option<Call>, EngineError> {
        let mut windows = task.function.piece_of_round(firing.keys(), firing.next(), &firing.cuts);
        if !task.function.description().states.is_empty() {
            windows.end = windows.start + with_different_keys(firing, &windows);
        }
        loop {
            let call = self.read_windows(task, firing, windows)?;
            if call.windows.is_empty() {
                firing.pass_over();
                return Ok(None);
            }
            let (keys, state) = (firing.keys_of(call.windows.clone()), &task.state.task);
            component_state::read_riding(&mut task.function, state, call.windows.len(), keys, &mut self.cells)?;
            let fitting = task.function.fitting_state(Pieces::Groups, &call.windows, &self.cells);
            if fitting == call.windows {
                return Ok(Some(call));
            }
            windows = fitting;
        }
    }

    /// Reads the records of windows, from the first on as many as fit into a call, and of the first at least a part.
    fn read_windows(&mut self, task: &WindowTask, firing: &Firing, windows: Range<usize>) -> Result<Call, EngineError> {
        let first = windows.start;
        let part = Part { is_first: self.next_part == Place::default(), is_last: true };
        let mut call = Call { windows: first..first, part, rest: None };
        self.given.clear();
        for window in windows {
            let from = if window == first { self.next_part } else { Place::default() };
            let rest = self.read_window(task, firing, window, from)?;
            if self.entries.values.is_empty() || rest.is_some() && window != first {
                break;
            }
            task.checked(self.given.push(&self.entries.values).ok_or_else(damaged))?;
            call.windows.end = window + 1;
            if rest.is_some() {
                (call.part.is_last, call.rest) = (false, rest);
                break;
            }
            if !call.part.is_first {
                // A part is alone.
                break;
            }
        }
        Ok(call)
    }

    /// Reads the records of a window from a place on, as many as still fit into a call; returns where the rest begins.
    fn read_window(
        &mut self,
        task: &WindowTask,
        firing: &Firing,
        window: usize,
        from: Place,
    ) -> Result<Option<Place>, EngineError> {
        let given_bytes = self.given.bytes();
        let entries = &mut self.entries;
        entries.keys.clear();
        entries.values.clear();
        for (pane, key) in firing.state_keys(window..window + 1).enumerate().skip(from.pane) {
            let element = if pane == from.pane { from.element } else { 0 };
            let (len, bytes) = (entries.values.len(), given_bytes + entries.values.bytes().len());
            let bytes_max = CALL_BYTES_MAX.saturating_sub(bytes);
            let scan = Scan { start: &element.to_be_bytes(), bytes_max, ..Scan::ALL };
            entries.more = false;
            let read = task.state.states().scan(self.list, key, scan, entries);
            task.checked(read)?;
            if entries.values.len() == len {
                continue;
            }
            if bytes > 0 && given_bytes + entries.values.bytes().len() > CALL_BYTES_MAX {
                // One is read whatever there is room for.
                entries.keys.truncate(len);
                entries.values.truncate(len);
                return Ok(Some(Place { pane, element }));
            }
            if entries.more {
                let last = entries.keys.get(entries.keys.len() - 1).try_into().map(u64::from_be_bytes);
                let last = task.checked(last.map_err(|_| damaged()))?;
                return Ok(Some(Place { pane, element: last + 1 }));
            }
        }
        Ok(None)
    }

    /// Removes the panes that go with windows.
    fn drop_panes(&self, task: &WindowTask, firing: &Firing, windows: &Range<usize>) -> Result<(), EngineError> {
        let mut dropped = firing.dropped(windows).map(|(_, key)| (self.list, key, Write::Delete));
        let written = task.state.states().write(&mut dropped);
        task.checked(written)
    }

    /// Makes what a call did with windows count.
    fn called(
        &self,
        task: &mut WindowTask,
        output: &Output,
        from: &FiredRecords<'_>,
        at: &Moment,
        outputs: &mut Outputs,
    ) -> Result<(), EngineError> {
        let Fired { firing, range } = &from.fired;
        let key = |group| firing.key(range.start + group as usize);
        component_state::write(&mut task.function, &task.state.task, output, &key)?;
        let rejected = output.rejected().map(|(record, reason)| {
            // The batch has neither keys nor origins: they are those of the windows.
            let (batch, record) = (&self.given.batch, record as usize);
            Refused {
                origin: Origin::NONE,
                time: Some(batch.times[record]),
                key: from.key(self.given.window_of(record)),
                value: batch.values.get(record),
                within: Some((batch, record)),
                reason: reason.to_owned(),
            }
        });
        task.function.reject(rejected, at, outputs)?;
        task.function.emit(output, from, at, outputs);
        Ok(())
    }
}

/// How many of the windows, from the first on, have keys that are all different: what one does to its key's state the
/// next is to see.
fn with_different_keys(firing: &Firing, windows: &Range<usize>) -> usize {
    let mut keys = HashSet::new();
    windows.clone().take_while(|&window| keys.insert(firing.keys().get(window))).count()
}

impl Fold for Records {
    fn prepare(
        &mut self,
        _: &mut WindowTask,
        _: &Batch,
        _: &Grouping,
        piece: &Range<usize>,
    ) -> Result<Range<usize>, EngineError> {
        Ok(piece.clone())
    }

    fn take_in(
        &mut self,
        task: &mut WindowTask,
        arrived: &mut Arrived,
        taking: Taking<'_>,
        _: &Moment,
        _: &mut Outputs,
    ) -> Result<TakenIn<'_>, EngineError> {
        let (batch, Taking { grouping, piece, .. }) = (&arrived.batch, taking);
        self.elements.clear();
        for &record in grouping.order() {
            encode(batch, record as usize, arrived.input, self.elements.bytes_mut());
            self.elements.end_entry();
        }
        let start_of = |group: usize| if group == 0 { 0 } else { grouping.record_ends()[group - 1] as usize };
        let (list, elements) = (self.list, &self.elements);
        let mut appended = (0..grouping.len()).flat_map(|group| {
            let key = grouping.state_key(&batch.keys, group);
            let of_group = start_of(group)..grouping.record_ends()[group] as usize;
            of_group.map(move |element| (list, key, Write::Append(elements.get(element))))
        });
        let written = task.state.states().write(&mut appended);
        task.checked(written)?;
        arrived.cuts.passed_over::<()>(&piece);
        Ok(TakenIn::Done { panes: Panes::Records, rejected: Vec::new() })
    }

    fn fire(
        &mut self,
        task: &mut WindowTask,
        firing: &mut Firing,
        at: &Moment,
        outputs: &mut Outputs,
    ) -> Result<Flow, EngineError> {
        let Some(Call { windows, part, rest }) = self.prepare_call(task, firing)? else { return Ok(Flow::More) };
        let (keys, bounds) = ((firing.keys(), windows.clone()), firing.bounds(windows.clone()));
        let WindowRecords { batch, inputs, ends } = &self.given;
        let frame = &mut task.function.frame;
        frames::windows_of_records(frame, keys, (bounds, part), (batch, inputs, ends), &self.cells);
        let (records, groups, state_bytes) = (batch.len(), windows.len(), self.cells.bytes.len());
        let mut cuts = std::mem::take(&mut firing.cuts);
        let from = FiredRecords { fired: Fired { firing, range: windows.clone() }, records: &self.given };
        let (export, pieces) = (Export::Process, Pieces::Groups);
        let attempt = Attempt { export, pieces, piece: windows.clone(), records, groups, state_bytes, cuts: &mut cuts };
        let called = task.function.call(attempt, &from, at)?;
        let (rest, instead) = match called {
            Called::Returned(output) => {
                self.called(task, &output, &from, at, outputs)?;
                (rest, None)
            }
            Called::Poison(fault) => {
                let description = task.function.description();
                let target = Target::window_of_records(firing.bounds(windows.clone())[0], &description, &self.cells);
                task.function.set_aside(fault, &from, target, at, outputs)?;
                // The rest of it is worth nothing.
                (None, None)
            }
            Called::Again(flow) => (None, Some(flow)),
        };
        firing.cuts = cuts;
        if let Some(flow) = instead {
            return Ok(flow);
        }
        self.next_part = rest.unwrap_or_default();
        if rest.is_none() {
            self.drop_panes(task, firing, &windows)?;
            firing.done(windows.end);
        }
        Ok(Flow::More)
    }
}

/// Windows that fire together, in a call that has their records.
struct FiredRecords<'a> {
    fired: Fired<'a>,
    records: &'a WindowRecords,
}

impl Inherit for FiredRecords<'_> {
    fn place(&self, index: usize) -> usize {
        self.fired.place(index)
    }

    fn place_of_record(&self, record: usize) -> usize {
        self.place(self.records.window_of(record))
    }

    fn time(&self, index: usize) -> i64 {
        self.fired.time(index)
    }

    fn key(&self, index: usize) -> &[u8] {
        self.fired.key(index)
    }

    fn origin(&self, index: usize) -> Origin {
        self.fired.origin(index)
    }

    fn value(&self, index: usize) -> &[u8] {
        self.fired.value(index)
    }

    fn key_bytes_max(&self) -> usize {
        self.fired.key_bytes_max()
    }
}
