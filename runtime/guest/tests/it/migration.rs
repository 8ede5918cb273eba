//! Migrations of real guests: fixtures `migrating-1` to `-3`, each on what the one before has left, and two that trap.

use crate::guests::{component, instance, limited};
use crate::keyed::{Model, Operator};
use std::rc::Rc;
use tidewheel_guest::{GuestError, Instance, Limits, TrapCause};
use tidewheel_types::keyed_state::{Cells, StateIndex};

fn cells<B: AsRef<[u8]>>(values: impl IntoIterator<Item = B>) -> Cells {
    let mut cells = Cells::default();
    values.into_iter().for_each(|value| cells.push(Some(value.as_ref())));
    cells
}

/// An operator of the newer component, which takes all that the older one has left to its version.
fn go_on(from: Operator, name: &str, version: u32) -> Operator {
    let old = from.state.take();
    let mut operator = Operator::new(name, Rc::default());
    let mut new = Model::default();
    for ((state, key), entries) in old.0 {
        let values = operator.instance.migrate(StateIndex(state), version, &cells(entries.values())).unwrap();
        let migrated = entries.into_keys().enumerate().map(|(at, entry)| (entry, values.get(at).unwrap().to_vec()));
        new.0.insert((state, key), migrated.collect());
    }
    *operator.state.borrow_mut() = new;
    operator
}

#[test]
fn each_version_goes_on_from_every_older_one() {
    let mut first = Operator::new("migrating-1", Rc::default());
    assert_eq!(first.told("k", "5"), "k total=5/1 list=5/1 map=5:5/1");
    let mut second = go_on(first, "migrating-2", 1);
    assert_eq!(second.told("k", "17"), "k total=22/2 list=5/2,17/2 map=5:5/2,7:17/2");
    let mut third = go_on(second, "migrating-3", 2);
    assert_eq!(third.told("k", "25"), "k total=47/2 list=5/2,17/2,25/3 map=5:30/2,7:17/2");

    let mut first = Operator::new("migrating-1", Rc::default());
    first.told("k", "5");
    let mut third = go_on(first, "migrating-3", 1);
    assert_eq!(third.told("k", "5"), "k total=10/1 list=5/1,5/3 map=5:10/1");
    let contract =
        |name| component(name).description().states.iter().map(|it| (it.version, it.oldest)).collect::<Vec<_>>();
    assert_eq!(contract("migrating-3"), [(3, 1); 3]);
    assert_eq!(contract("migrating-1"), [(1, 1); 3]);
}

/// What a migration that was refused says, and which value is to blame.
fn refused(instance: &mut Instance, version: u32, values: &Cells) -> (String, Option<usize>, GuestError) {
    let error = instance.migrate(StateIndex(0), version, values).unwrap_err();
    let text = error.to_string();
    let GuestError::Migrate { value, .. } = &error else { panic!("{error}") };
    (text, *value, error)
}

#[test]
fn a_version_that_is_not_read_is_refused_by_name() {
    let (text, value, error) = refused(&mut instance("migrating-1"), 2, &cells([[0; 8]; 3]));
    assert_eq!(text, "cannot migrate state total from version 2: `migrate` failed: version 2 is not read (code 1)");
    assert_eq!((value, error.is_poison(), error.is_retryable()), (None, false, false));
}

#[test]
fn a_value_that_traps_is_found_among_the_others() {
    let mut guest = instance("migrate-trap");
    let mut numbers: Vec<u32> = (1000..3000).collect();
    numbers[1234] = 13;
    let (text, value, error) = refused(&mut guest, 1, &cells(numbers.iter().map(|number| number.to_le_bytes())));
    assert!(text.starts_with("cannot migrate state total from version 1: `migrate` trapped: "), "{text}");
    assert_eq!((value, error.is_poison()), (Some(1234), true));
    let trap = error.trap().unwrap();
    assert!(matches!(trap.cause, TrapCause::Illegal(_)));
    assert!(trap.backtrace.iter().any(|function| function.contains("look_at")), "{:?}", trap.backtrace);

    // One that breaks the contract likewise; and the instance works on.
    numbers[1234] = 14;
    let (text, value, _) = refused(&mut guest, 1, &cells(numbers.iter().map(|number| number.to_le_bytes())));
    assert!(text.contains("`migrate` returned a frame that breaks the contract"), "{text}");
    assert_eq!(value, Some(1234));
    numbers[1234] = 15;
    let migrated = guest.migrate(StateIndex(0), 1, &cells(numbers.iter().map(|number| number.to_le_bytes()))).unwrap();
    let expected = cells(numbers.iter().map(|&number| u64::from(number).to_le_bytes()));
    assert_eq!((migrated.ends, migrated.bytes), (expected.ends, expected.bytes));
}

#[test]
fn the_good_ones_are_migrated_whatever_is_among_them() {
    let limits = Limits { deadline_ms_max: 300, output_bytes_max: 4_000, ..Limits::default() };
    let mut guest = limited("migrate-trap", limits);
    for poison in [&[][..], &[13], &[14], &[16], &[13, 13, 14], &[14, 16, 13]] {
        for len in [1, 2, 7, 1_000] {
            let mut numbers: Vec<u32> = (1000..1000 + len).collect();
            let places = poison.iter().enumerate().map(|(nth, _)| (nth * 331 + 5) % len as usize);
            places.clone().zip(poison).for_each(|(place, &number)| numbers[place] = number);
            let is_bad = |number: u32| (13..=16).contains(&number);
            let values = cells(numbers.iter().map(|number| number.to_le_bytes()));
            let (migrated, found) = guest.migrate_good(StateIndex(0), 1, &values).unwrap();
            let expected: Vec<usize> = (0..numbers.len()).filter(|&place| is_bad(numbers[place])).collect();
            assert_eq!(found.iter().map(|(place, _)| *place).collect::<Vec<_>>(), expected, "{poison:?} of {len}");
            for (place, error) in &found {
                let GuestError::Migrate { value, .. } = error else { panic!("{error}") };
                assert_eq!((*value, error.is_poison()), (Some(*place), true));
            }
            for (place, &number) in numbers.iter().enumerate() {
                let new = (!is_bad(number)).then(|| u64::from(number).to_le_bytes());
                assert_eq!(migrated.get(place), new.as_ref().map(|new| &new[..]), "{poison:?} of {len}");
            }
        }
    }
}

#[test]
fn accumulators_are_migrated() {
    let mut sum = instance("sum-2");
    let migrated = sum.migrate(StateIndex(0), 1, &cells([7u64, 9].map(u64::to_le_bytes))).unwrap();
    assert_eq!((migrated.get(0), migrated.get(1)), (Some(&7u128.to_le_bytes()[..]), Some(&9u128.to_le_bytes()[..])));
    let (text, value, _) = refused(&mut sum, 1, &cells([7u64, 13].map(u64::to_le_bytes)));
    assert!(text.starts_with("cannot migrate state sum from version 1: `migrate` trapped"), "{text}");
    assert_eq!(value, Some(1));
    assert!(sum.migrate(StateIndex(0), 1, &Cells::default()).unwrap().is_empty());
}

/// Values that together are more than a call may return, and double in `migrate`.
#[test]
fn calls_are_as_large_as_the_limit_of_output_allows() {
    let limits = Limits { output_bytes_max: 4_000, ..Limits::default() };
    let numbers: Vec<u32> = (0..10_000).map(|number| number + 1000).collect();
    let mut guest = limited("migrating-2", limits);
    let migrated = guest.migrate(StateIndex(0), 1, &cells(numbers.iter().map(|number| number.to_le_bytes()))).unwrap();
    assert_eq!(migrated.len(), numbers.len());
    let last = migrated.get(numbers.len() - 1).unwrap();
    assert_eq!(last, 10_999u64.to_le_bytes());
    // One value alone that does not fit is named.
    let mut guest = limited("migrating-2", Limits { output_bytes_max: 20, ..Limits::default() });
    let (text, value, _) = refused(&mut guest, 1, &cells([1u32, 2].map(u32::to_le_bytes)));
    assert!(text.contains("it gave more than its 20 bytes of output"), "{text}");
    assert_eq!(value, Some(0));
}
