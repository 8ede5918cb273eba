//! Timers against a plain set.

use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::sample::Index;
use std::collections::{BTreeMap, BTreeSet};
use tidewheel_state::{DueTimers, TimerChange, Timers};
use tidewheel_types::key_group::hash_key;
use tidewheel_types::keyed_state::StateKey;

/// (key, namespace).
type Owner = (Vec<u8>, Vec<u8>);
/// (time, slot) of every timer.
type Model = BTreeMap<Owner, BTreeSet<(i64, u16)>>;

#[derive(Clone, Debug)]
enum Step {
    Change(Vec<(Index, TimerChange)>),
    NextTime,
    Round(i64, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let slot = || prop_oneof![3 => Just(0u16), 1 => Just(1), 1 => Just(u16::MAX)];
    let time = || prop_oneof![8 => 0i64..20, 1 => Just(i64::MIN), 1 => Just(i64::MAX)];
    let change = prop_oneof![
        6 => (slot(), time()).prop_map(|(slot, time)| TimerChange::Set { slot, time }),
        4 => (slot(), time()).prop_map(|(slot, time)| TimerChange::Replace { slot, time }),
        3 => (slot(), time()).prop_map(|(slot, time)| TimerChange::Delete { slot, time }),
        2 => slot().prop_map(|slot| TimerChange::DeleteAll { slot }),
    ];
    prop_oneof![
        6 => vec((any::<Index>(), change), 0..70).prop_map(Step::Change),
        2 => Just(Step::NextTime),
        2 => (time(), 0usize..12).prop_map(|(time, limit)| Step::Round(time, limit)),
    ]
}

fn state_key(owner: &Owner) -> StateKey<'_> {
    StateKey { hash: hash_key(&owner.0), key: &owner.0, namespace: &owner.1 }
}

/// Of every key the earliest timer that is due, in order of time.
fn model_due(model: &Model, up_to: i64) -> BTreeSet<(i64, Owner, u16)> {
    let earliest = model.iter().filter_map(|(owner, timers)| timers.first().map(|timer| (owner, timer)));
    earliest.filter(|(_, (time, _))| *time <= up_to).map(|(o, &(time, slot))| (time, o.clone(), slot)).collect()
}

fn check_round(
    model: &mut Model,
    due: &DueTimers,
    up_to: i64,
    limit: usize,
) -> Result<(), proptest::test_runner::TestCaseError> {
    let expected = model_due(model, up_to);
    prop_assert_eq!(due.len(), expected.len().min(limit));
    prop_assert!(due.times.is_sorted());
    // Within one time the order is open, so with a limit it is the times that are given, and the set they are from.
    let times: Vec<i64> = expected.iter().map(|(time, ..)| *time).take(limit).collect();
    prop_assert_eq!(&due.times, &times);
    for index in 0..due.len() {
        let key = due.key(index);
        let owner = (key.key.to_vec(), key.namespace.to_vec());
        prop_assert_eq!(key.hash, hash_key(key.key));
        let (time, slot) = (due.times[index], due.slots[index]);
        prop_assert!(expected.contains(&(time, owner.clone(), slot)));
        // It was there once: so no timer comes twice, and no key.
        let timers = model.get_mut(&owner).expect("it is in the model");
        prop_assert_eq!(timers.pop_first(), Some((time, slot)));
    }
    let owners: BTreeSet<_> = (0..due.len()).map(|i| (due.key(i).key, due.key(i).namespace)).collect();
    prop_assert_eq!(owners.len(), due.len());
    Ok(())
}

/// Applies one change.
fn change(timers: &mut Timers, key: StateKey<'_>, change: TimerChange) {
    timers.change(&mut std::iter::once((key, change)));
}

fn change_model(model: &mut Model, owner: &Owner, change: TimerChange) {
    let mine = model.entry(owner.clone()).or_default();
    match change {
        TimerChange::Set { slot, time } => drop(mine.insert((time, slot))),
        TimerChange::Replace { slot, time } => {
            mine.retain(|&(_, other)| other != slot);
            mine.insert((time, slot));
        }
        TimerChange::Delete { slot, time } => drop(mine.remove(&(time, slot))),
        TimerChange::DeleteAll { slot } => mine.retain(|&(_, other)| other != slot),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn fires_as_a_plain_set(
        owners in vec((vec(0u8..4, 0..40), vec(0u8..2, 0..2)), 1..12),
        steps in vec(step(), 0..40),
    ) {
        let mut timers = Timers::new();
        let mut model = Model::new();
        let mut due = DueTimers::default();
        for step in steps {
            match step {
                Step::Change(changes) => {
                    let changes: Vec<_> = changes.iter().map(|(i, change)| (i.get(&owners), *change)).collect();
                    timers.change(&mut changes.iter().map(|&(owner, change)| (state_key(owner), change)));
                    changes.iter().for_each(|&(owner, change)| change_model(&mut model, owner, change));
                }
                Step::NextTime => {
                    let earliest = model.values().filter_map(|timers| timers.first()).map(|(time, _)| *time).min();
                    prop_assert_eq!(timers.next_time(), earliest);
                }
                Step::Round(up_to, limit) => {
                    timers.due_round(up_to, limit, &mut due);
                    check_round(&mut model, &due, up_to, limit)?;
                }
            }
            prop_assert_eq!(timers.keys(), model.values().filter(|timers| !timers.is_empty()).count());
        }
        // All that is left comes in rounds.
        loop {
            timers.due_round(i64::MAX, 5, &mut due);
            check_round(&mut model, &due, i64::MAX, 5)?;
            if due.is_empty() {
                break;
            }
        }
        prop_assert!(model.values().all(BTreeSet::is_empty));
        prop_assert_eq!((timers.next_time(), timers.keys()), (None, 0));
    }
}

#[test]
fn timers_of_one_time_fire_as_they_were_set_and_memory_goes_back() {
    let mut timers = Timers::new();
    let keys: Vec<[u8; 4]> = (0..50_000u32).map(|number| number.wrapping_mul(0x9e37_79b1).to_be_bytes()).collect();
    let owner = |key: &'static [u8; 4]| StateKey { hash: hash_key(key), key, namespace: &[] };
    let keys: &'static [[u8; 4]] = keys.leak();
    timers.change(&mut keys.iter().map(|key| (owner(key), TimerChange::Set { slot: 0, time: 1000 })));
    change(&mut timers, owner(&keys[0]), TimerChange::Set { slot: 1, time: 5000 });
    assert!(timers.bytes() > 50_000 * 8);
    let mut due = DueTimers::default();
    let mut fired = Vec::new();
    while timers.next_time().is_some_and(|time| time <= 1000) {
        timers.due_round(1000, 777, &mut due);
        fired.extend(due.keys.iter().map(|key| <[u8; 4]>::try_from(key).expect("keys are 4 bytes")));
    }
    assert_eq!(fired, keys);
    assert_eq!((timers.keys(), timers.next_time()), (1, Some(5000)));
    assert!(timers.bytes() < 600_000, "{} bytes", timers.bytes());
}

#[test]
fn a_key_fires_one_timer_per_round_and_deleted_ones_never() {
    let mut timers = Timers::new();
    let (a, b) = (
        StateKey { hash: hash_key(b"a"), key: b"a", namespace: &[] },
        StateKey { hash: hash_key(b"b"), key: b"b", namespace: &[] },
    );
    for (key, time) in [(a, 3), (a, 1), (a, 2), (b, 2)] {
        change(&mut timers, key, TimerChange::Set { slot: 0, time: time });
    }
    let mut due = DueTimers::default();
    timers.due_round(10, 100, &mut due);
    assert_eq!((due.keys.bytes(), &due.times[..]), (&b"ab"[..], &[1, 2][..]));
    // What the operator does on the first one counts before the second comes.
    change(&mut timers, a, TimerChange::Delete { slot: 0, time: 2 });
    timers.due_round(10, 100, &mut due);
    assert_eq!((due.keys.bytes(), &due.times[..]), (&b"a"[..], &[3][..]));
    timers.due_round(10, 100, &mut due);
    assert!(due.is_empty());
    change(&mut timers, a, TimerChange::Set { slot: 0, time: 5 });
    change(&mut timers, a, TimerChange::Set { slot: 0, time: 6 });
    change(&mut timers, a, TimerChange::Replace { slot: 0, time: 7 });
    assert_eq!(timers.next_time(), Some(7));
    change(&mut timers, a, TimerChange::DeleteAll { slot: 0 });
    assert_eq!((timers.next_time(), timers.keys()), (None, 0));
}
