//! The search for what a call failed of: into which pieces its records (timers, windows) are cut.
//!
//! A call that fails has done nothing, so its records can be tried again in pieces, always the first ones first: what is
//! good is committed in order, and every record meets the state that the ones before it left. A piece that fails is
//! halved, or cut around the record that the guest blames, until a record fails alone. Between two calls the worker
//! steps its other operators, so the search is kept with the batch.

use std::ops::Range;
use tidewheel_guest::piece_deadline_ms;

/// Where the records of a failed call are cut. Positions are those of the batch.
#[derive(Debug, Default)]
pub(crate) struct Cuts {
    /// Where the pieces end that are still to be tried, the next one last. None: no call has failed.
    ends: Vec<usize>,
    /// Records of the call that failed first. It had the whole deadline.
    whole: usize,
    /// Most records that a piece had which did not fail.
    good_max: usize,
    /// Whether a piece of several records exceeded a limit, and whether a record did so alone.
    limit_hit: [bool; 2],
    has_poison: bool,
    /// The blamed record, until it has been tried alone. Meanwhile no other is believed to be to blame.
    blamed: Option<usize>,
    /// Whether one was good after all. Then the guest is not believed a second time.
    blamed_wrongly: bool,
}

/// Why a call failed, as far as the search needs to know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failure {
    /// Whether the call exceeded a limit, which fewer records might not.
    pub(super) is_limit: bool,
    /// The record that the guest blames.
    pub(super) blamed: Option<usize>,
}

/// What a failure means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The piece is cut, or to be tried once more in a fresh instance.
    TryAgain,
    /// The one record of the piece is poison.
    Poison,
}

impl Cuts {
    /// Whether a call has failed, and some of its records are still to be tried.
    pub(super) fn is_searching(&self) -> bool {
        !self.ends.is_empty()
    }

    /// Where the next piece ends at the latest.
    pub(super) fn end(&self) -> Option<usize> {
        self.ends.last().copied()
    }

    /// How long a piece of `records` may take.
    pub(super) fn deadline_ms(&self, records: usize, deadline_ms_max: u64) -> u64 {
        piece_deadline_ms(records, self.whole, deadline_ms_max)
    }

    /// The call with the records `piece` failed.
    pub(super) fn failed(&mut self, piece: &Range<usize>, failure: Failure) -> Verdict {
        let is_first = !self.is_searching();
        if is_first {
            *self = Cuts { whole: piece.len(), ..Cuts::default() };
        }
        if self.end() != Some(piece.end) {
            self.ends.push(piece.end);
        }
        if piece.len() > 1 {
            self.limit_hit[0] |= failure.is_limit;
            self.cut(piece, failure.blamed);
            return Verdict::TryAgain;
        }
        if is_first {
            // The instance may have been at the end of its memory by what came before.
            return Verdict::TryAgain;
        }
        self.limit_hit[1] |= failure.is_limit;
        self.has_poison = true;
        self.blamed.take_if(|blamed| *blamed == piece.start);
        self.pass(piece);
        Verdict::Poison
    }

    fn cut(&mut self, piece: &Range<usize>, blamed: Option<usize>) {
        let believed = self.blamed.is_none() && !self.blamed_wrongly;
        match blamed.filter(|record| believed && piece.contains(record)) {
            Some(record) => {
                self.blamed = Some(record);
                let ends = [record + 1, record].into_iter().filter(|&end| piece.start < end && end < piece.end);
                self.ends.extend(ends);
            }
            None => self.ends.push(piece.start + piece.len() / 2),
        }
    }

    /// The call with the records `piece` did not fail. When this ended a search, returns how many records a call should
    /// have at most from now on, if the search found that there were too many.
    pub(super) fn succeeded(&mut self, piece: &Range<usize>) -> Option<usize> {
        self.blamed_wrongly |= piece.len() == 1 && self.blamed.take_if(|blamed| *blamed == piece.start).is_some();
        self.good_max = self.good_max.max(piece.len());
        self.pass(piece);
        let were_too_many = !self.has_poison || self.limit_hit == [true, false];
        (!self.is_searching() && were_too_many).then_some(self.good_max)
    }

    /// The records `piece` needed no call.
    pub(super) fn passed_over<T>(&mut self, piece: &Range<usize>) -> Option<T> {
        self.pass(piece);
        None
    }

    fn pass(&mut self, piece: &Range<usize>) {
        if self.end() == Some(piece.end) {
            self.ends.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Cuts, Failure, Verdict};
    use proptest::collection::btree_set;
    use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
    use proptest::strategy::{Just, Strategy};
    use std::collections::BTreeSet;
    use tidewheel_guest::PIECE_DEADLINE_MS_MIN;

    const DEADLINE_MS: u64 = 5_000;

    /// What a guest says of a piece with poison in it.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Blames {
        Nobody,
        TheLastPoison,
        TheFirstRecord,
        TheLastRecord,
    }

    /// What a search has done.
    #[derive(Debug, Default)]
    struct Found {
        good: Vec<usize>,
        poison: Vec<usize>,
        calls: usize,
        /// The deadlines of the calls that failed.
        lost_ms: u64,
        /// What is too many from now on.
        records_max: Option<usize>,
    }

    /// Calls a guest with `records` until all have been seen. A call with `fails_from` records fails, too, and hits a
    /// limit.
    fn search(records: usize, poison: &BTreeSet<usize>, blames: Blames, fails_from: usize) -> Found {
        let (mut cuts, mut found, mut start) = (Cuts::default(), Found::default(), 0);
        while start < records {
            let piece = start..cuts.end().unwrap_or(records);
            found.calls += 1;
            let deadline_ms = cuts.deadline_ms(piece.len(), DEADLINE_MS);
            let last_poison = poison.range(piece.clone()).last();
            let is_limit = piece.len() >= fails_from;
            if last_poison.is_none() && !is_limit {
                let searching = cuts.is_searching();
                found.good.extend(piece.clone());
                found.records_max = if searching { cuts.succeeded(&piece) } else { None }.or(found.records_max);
                start = piece.end;
                continue;
            }
            found.lost_ms += deadline_ms;
            let blamed = match blames {
                Blames::Nobody => None,
                Blames::TheLastPoison => last_poison.copied(),
                Blames::TheFirstRecord => Some(piece.start),
                Blames::TheLastRecord => Some(piece.end - 1),
            };
            if cuts.failed(&piece, Failure { is_limit, blamed }) == Verdict::Poison {
                assert_eq!((piece.len(), deadline_ms), (1, DEADLINE_MS), "alone, with the whole deadline");
                found.poison.extend(piece.clone());
                start = piece.end;
            }
        }
        assert!(!cuts.is_searching());
        found
    }

    fn blames() -> impl Strategy<Value = Blames> {
        use Blames::{Nobody, TheFirstRecord, TheLastPoison, TheLastRecord};
        prop_oneof![Just(Nobody), Just(TheLastPoison), Just(TheFirstRecord), Just(TheLastRecord)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn exactly_the_poison_is_found_in_few_calls(
            records in 1usize..3_000, places in btree_set(any::<u16>(), 0..8), blames in blames(),
        ) {
            let poison: BTreeSet<usize> = places.iter().map(|&place| usize::from(place) % records).collect();
            let found = search(records, &poison, blames, usize::MAX);
            prop_assert!(found.good.iter().copied().eq((0..records).filter(|record| !poison.contains(record))));
            prop_assert!(found.poison.iter().copied().eq(poison.iter().copied()));
            let halvings = records.ilog2() as usize + 2;
            prop_assert!(found.calls <= 2 + (2 * halvings + 3) * poison.len(), "{found:?}");
            // The first call, the halves of it, and each poison record alone; pieces near the least deadline beside.
            let floors = (halvings * poison.len()) as u64 * (PIECE_DEADLINE_MS_MIN + DEADLINE_MS / records as u64);
            prop_assert!(found.lost_ms <= 2 * DEADLINE_MS + 3 * DEADLINE_MS * poison.len() as u64 + floors, "{found:?}");
        }

        #[test]
        fn what_is_too_much_at_once_is_no_poison_and_remembered(
            records in 2usize..3_000, fails_from in 2usize..3_000, place in any::<u16>(), has_poison: bool,
        ) {
            let poison = BTreeSet::from_iter(has_poison.then_some(usize::from(place) % records));
            let found = search(records, &poison, Blames::Nobody, fails_from);
            prop_assert_eq!(found.good.len() + found.poison.len(), records);
            prop_assert!(found.poison.iter().copied().eq(poison.iter().copied()));
            if records >= fails_from && !has_poison {
                let records_max = found.records_max.expect("it is remembered");
                prop_assert!(records_max < fails_from && records_max * 2 + 1 >= fails_from / 2, "{found:?}");
            }
        }
    }

    #[test]
    fn a_record_that_loops_costs_three_deadlines() {
        let found = search(16_384, &BTreeSet::from([5_000]), Blames::Nobody, usize::MAX);
        let least = 7 * PIECE_DEADLINE_MS_MIN;
        assert!((2 * DEADLINE_MS..3 * DEADLINE_MS + least).contains(&found.lost_ms), "{} ms", found.lost_ms);
        let blamed = search(16_384, &BTreeSet::from([5_000]), Blames::TheLastPoison, usize::MAX);
        assert_eq!(blamed.calls, 4, "all, those before, it alone, those after");
    }

    #[test]
    fn a_record_alone_is_tried_again_in_a_fresh_instance_and_may_be_good() {
        let mut cuts = Cuts::default();
        let failure = Failure { is_limit: true, blamed: None };
        assert_eq!(cuts.failed(&(7..8), failure), Verdict::TryAgain);
        assert!(cuts.is_searching());
        assert_eq!((cuts.end(), cuts.deadline_ms(1, 90)), (Some(8), 90));
        assert_eq!(cuts.succeeded(&(7..8)), Some(1));
        assert!(!cuts.is_searching());
    }
}
