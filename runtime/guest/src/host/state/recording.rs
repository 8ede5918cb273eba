//! What a call has been told of state, kept so that the call can be made again where the state is not.

use crate::host::base64_text;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::rc::Rc;
use tidewheel_types::keyed_state::{
    ABSENT, Cells, Entries, KeyedState, KeyedStateError, Scan, StateIndex, StateKey, Write,
};

/// A question that was put to state in a call, and the answer to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answered {
    #[serde(with = "base64_text")]
    question: Vec<u8>,
    answer: Answer,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    Cells {
        /// Where each ends in `bytes`, beginning with them; bit 31 as in [`Cells`].
        ends: Vec<u32>,
        #[serde(with = "base64_text")]
        bytes: Vec<u8>,
        is_cut: bool,
    },
    Entries {
        /// Key and value, in order.
        entries: Vec<(Text, Text)>,
        more: bool,
    },
}

/// Bytes, in base 64 where they are text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct Text(#[serde(with = "base64_text")] Vec<u8>);

/// Bytes of questions and answers that are kept of a call, about; of those after them none. A guest may ask until its
/// deadline.
const KEPT_BYTES_MAX: usize = 16 << 20;

/// What an answer takes besides its bytes, and an entry.
const OVERHEAD_BYTES: usize = 64;

/// The answers of a call, each once: state does not change while it is made.
#[derive(Default)]
struct Kept {
    answers: BTreeMap<Vec<u8>, Answer>,
    bytes: usize,
}

impl Kept {
    fn add(&mut self, question: Vec<u8>, answer: impl FnOnce() -> Answer) {
        if self.bytes >= KEPT_BYTES_MAX {
            return;
        }
        if let Entry::Vacant(place) = self.answers.entry(question) {
            let answer = answer();
            self.bytes += place.key().len() + answer.size_bytes();
            place.insert(answer);
        }
    }
}

impl Answer {
    fn size_bytes(&self) -> usize {
        let bytes = match self {
            Answer::Cells { ends, bytes, .. } => size_of_val(&ends[..]) + bytes.len(),
            Answer::Entries { entries, .. } => {
                entries.iter().map(|(key, value)| key.0.len() + value.0.len() + OVERHEAD_BYTES).sum()
            }
        };
        bytes + OVERHEAD_BYTES
    }
}

/// A backend whose answers can be kept.
pub(super) struct Recording {
    backend: Rc<RefCell<dyn KeyedState>>,
    /// Those of the call at hand; none, if they are not kept.
    answers: Option<Kept>,
}

impl Recording {
    pub(super) fn new(backend: Rc<RefCell<dyn KeyedState>>, keeps: bool) -> Self {
        Recording { backend, answers: keeps.then(Kept::default) }
    }

    pub(super) fn keep(&mut self, keeps: bool) {
        self.answers = keeps.then(Kept::default);
    }

    pub(super) fn take(&mut self) -> Vec<Answered> {
        let answers = self.answers.as_mut().map(std::mem::take).unwrap_or_default().answers;
        answers.into_iter().map(|(question, answer)| Answered { question, answer }).collect()
    }

    /// Asks the backend for cells; what it adds to `cells` is kept.
    fn cells(
        &mut self,
        question: impl FnOnce() -> Vec<u8>,
        cells: &mut Cells,
        ask: impl FnOnce(&mut dyn KeyedState, &mut Cells) -> Result<(), KeyedStateError>,
    ) -> Result<(), KeyedStateError> {
        let (first, start) = (cells.ends.len(), cells.bytes.len());
        ask(&mut *self.backend.borrow_mut(), cells)?;
        if let Some(answers) = &mut self.answers {
            answers.add(question(), || {
                let ends = cells.ends[first..].iter().map(|end| ((end & !ABSENT) - start as u32) | (end & ABSENT));
                Answer::Cells { ends: ends.collect(), bytes: cells.bytes[start..].to_vec(), is_cut: cells.is_cut }
            });
        }
        Ok(())
    }
}

/// A question in bytes: what is asked, of which state, then byte strings, each with its length before it.
fn question<'a>(what: u8, state: StateIndex, strings: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut bytes = vec![what];
    bytes.extend(state.0.to_le_bytes());
    for string in strings {
        bytes.extend((string.len() as u64).to_le_bytes());
        bytes.extend_from_slice(string);
    }
    bytes
}

const GET: u8 = 0;
const MAP_GET: u8 = 1;
const SCAN: u8 = 2;

fn get_question(state: StateIndex, keys: &[StateKey<'_>]) -> Vec<u8> {
    question(GET, state, keys.iter().flat_map(|key| [key.key, key.namespace]))
}

fn map_get_question(state: StateIndex, entries: &[(StateKey<'_>, &[u8])]) -> Vec<u8> {
    question(MAP_GET, state, entries.iter().flat_map(|(key, entry)| [key.key, key.namespace, entry]))
}

fn scan_question(state: StateIndex, key: StateKey<'_>, scan: Scan<'_>) -> Vec<u8> {
    // Guests say no end. What is only looked at is the same.
    let Scan { start, after, backwards, limit, bytes_max, until: _, peeks: _ } = scan;
    let numbers = [limit as u64, bytes_max as u64].map(u64::to_le_bytes).concat();
    let flags = [u8::from(after), u8::from(backwards)];
    question(SCAN, state, [key.key, key.namespace, start, &flags, &numbers].into_iter())
}

impl KeyedState for Recording {
    fn get_riding(
        &mut self,
        keys: &mut dyn Iterator<Item = StateKey<'_>>,
        states: u32,
        cells: &mut Cells,
    ) -> Result<(), KeyedStateError> {
        self.backend.borrow_mut().get_riding(keys, states, cells)
    }

    fn write_riding(
        &mut self,
        writes: &mut dyn Iterator<Item = (usize, StateKey<'_>, StateIndex, Write<'_>)>,
    ) -> Result<(), KeyedStateError> {
        self.backend.borrow_mut().write_riding(writes)
    }

    fn get_many(
        &mut self,
        state: StateIndex,
        keys: &mut dyn Iterator<Item = StateKey<'_>>,
        cells: &mut Cells,
    ) -> Result<(), KeyedStateError> {
        if self.answers.is_none() {
            return self.backend.borrow_mut().get_many(state, keys, cells);
        }
        let keys: Vec<_> = keys.collect();
        let ask =
            |backend: &mut dyn KeyedState, cells: &mut Cells| backend.get_many(state, &mut keys.iter().copied(), cells);
        self.cells(|| get_question(state, &keys), cells, ask)
    }

    fn map_get_many(
        &mut self,
        state: StateIndex,
        entries: &mut dyn Iterator<Item = (StateKey<'_>, &[u8])>,
        cells: &mut Cells,
    ) -> Result<(), KeyedStateError> {
        if self.answers.is_none() {
            return self.backend.borrow_mut().map_get_many(state, entries, cells);
        }
        let entries: Vec<_> = entries.collect();
        let ask = |backend: &mut dyn KeyedState, cells: &mut Cells| {
            backend.map_get_many(state, &mut entries.iter().copied(), cells)
        };
        self.cells(|| map_get_question(state, &entries), cells, ask)
    }

    fn scan(
        &mut self,
        state: StateIndex,
        key: StateKey<'_>,
        scan: Scan<'_>,
        entries: &mut Entries,
    ) -> Result<(), KeyedStateError> {
        let first = entries.keys.len();
        self.backend.borrow_mut().scan(state, key, scan, entries)?;
        if let Some(answers) = &mut self.answers {
            let text = |bytes: &[u8]| Text(bytes.to_vec());
            let found =
                (first..entries.keys.len()).map(|at| (text(entries.keys.get(at)), text(entries.values.get(at))));
            let answer = || Answer::Entries { entries: found.collect(), more: entries.more };
            answers.add(scan_question(state, key, scan), answer);
        }
        Ok(())
    }

    fn write(
        &mut self,
        writes: &mut dyn Iterator<Item = (StateIndex, StateKey<'_>, Write<'_>)>,
    ) -> Result<(), KeyedStateError> {
        self.backend.borrow_mut().write(writes)
    }
}

/// State of which nothing is known but what a call has been told. It does not change during one, so the order of the
/// questions does not matter.
pub(crate) struct Replayed(BTreeMap<Vec<u8>, Answer>);

impl Replayed {
    pub(crate) fn new(answers: &[Answered]) -> Self {
        let answers = answers.iter().cloned();
        Replayed(answers.map(|Answered { question, answer }| (question, answer)).collect())
    }

    fn answer(&self, question: &[u8]) -> Result<&Answer, KeyedStateError> {
        self.0.get(question).ok_or_else(unknown)
    }

    fn cells(&self, question: &[u8], cells: &mut Cells) -> Result<(), KeyedStateError> {
        let Answer::Cells { ends, bytes, is_cut } = self.answer(question)? else { return Err(unknown()) };
        let mut start = 0;
        for end in ends {
            let range = start..(end & !ABSENT) as usize;
            start = range.end;
            let cell = bytes.get(range).ok_or_else(unknown)?;
            cells.push((end & ABSENT == 0).then_some(cell));
        }
        cells.is_cut |= is_cut;
        Ok(())
    }
}

fn unknown() -> KeyedStateError {
    KeyedStateError(
        "the component asks for state that is not kept, since the failed call did not ask for it, or for too much"
            .to_owned(),
    )
}

impl KeyedState for Replayed {
    fn get_riding(
        &mut self,
        _: &mut dyn Iterator<Item = StateKey<'_>>,
        _: u32,
        _: &mut Cells,
    ) -> Result<(), KeyedStateError> {
        Err(unknown())
    }

    fn write_riding(
        &mut self,
        _: &mut dyn Iterator<Item = (usize, StateKey<'_>, StateIndex, Write<'_>)>,
    ) -> Result<(), KeyedStateError> {
        Ok(())
    }

    fn get_many(
        &mut self,
        state: StateIndex,
        keys: &mut dyn Iterator<Item = StateKey<'_>>,
        cells: &mut Cells,
    ) -> Result<(), KeyedStateError> {
        self.cells(&get_question(state, &keys.collect::<Vec<_>>()), cells)
    }

    fn map_get_many(
        &mut self,
        state: StateIndex,
        entries: &mut dyn Iterator<Item = (StateKey<'_>, &[u8])>,
        cells: &mut Cells,
    ) -> Result<(), KeyedStateError> {
        self.cells(&map_get_question(state, &entries.collect::<Vec<_>>()), cells)
    }

    fn scan(
        &mut self,
        state: StateIndex,
        key: StateKey<'_>,
        scan: Scan<'_>,
        entries: &mut Entries,
    ) -> Result<(), KeyedStateError> {
        let answer = self.answer(&scan_question(state, key, scan))?;
        let Answer::Entries { entries: found, more } = answer else { return Err(unknown()) };
        for (key, value) in found {
            entries.keys.push(&key.0);
            entries.values.push(&value.0);
        }
        entries.more = *more;
        Ok(())
    }

    fn write(
        &mut self,
        _: &mut dyn Iterator<Item = (StateIndex, StateKey<'_>, Write<'_>)>,
    ) -> Result<(), KeyedStateError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, KEPT_BYTES_MAX, Kept, OVERHEAD_BYTES};

    #[test]
    fn an_answer_is_kept_once_and_no_more_than_there_is_room_for() {
        let (mut kept, page) = (Kept::default(), 1 << 20);
        let answer = || Answer::Cells { ends: vec![], bytes: vec![0; page], is_cut: false };
        (0..100).for_each(|_| kept.add(b"the same".to_vec(), answer));
        assert_eq!((kept.answers.len(), kept.bytes), (1, 8 + page + OVERHEAD_BYTES));
        (0..100u8).for_each(|other| kept.add(vec![other], answer));
        assert_eq!(kept.answers.len(), KEPT_BYTES_MAX / page);
    }
}
