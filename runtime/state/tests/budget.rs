//! State of ten times the budget works, and what is resident stays within the budget and a quarter more: while it comes,
//! while it is counted in, and while checkpoints are written.
//!
//! One test alone: resident memory is of a process, and each file of tests is one.

use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{channel, sync_channel};
use std::thread;
use tempfile::TempDir;
use tidewheel_state::{Backend, BackendKind, OpenedState, SharedMemory, StateSettings, open};
use tidewheel_types::description::{StateDecl, StateKind};
use tidewheel_types::key_group::hash_key;
use tidewheel_types::keyed_state::{Cells, StateIndex, StateKey, Write};

// As the program does: what is resident depends on it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BUDGET: usize = 48 << 20;
const VALUE_BYTES: usize = 1000;
const KEYS: usize = 10 * BUDGET / VALUE_BYTES;
const BATCH_KEYS: usize = 250;

/// Batches of keys drawn anywhere, once all are there: an eighth as many records as there are keys.
const DRAWN_BATCHES: usize = KEYS / 8 / BATCH_KEYS;

#[test]
fn ten_times_the_budget_stays_resident_within_it_and_a_quarter_more() {
    let folder = TempDir::new().unwrap();
    // What each key has been counted to after the first round.
    let mut counts = vec![1u64; KEYS];
    let before = resident("VmRSS:");
    let settings = settings(folder.path().join("task"));
    let OpenedState { mut backend, mut timers, mut processing_timers, mut writer } = open(settings, None).unwrap();
    let (deltas, received) = sync_channel(1);
    let (done, written) = channel();
    let thread = thread::spawn(move || {
        done.send(()).unwrap();
        for (number, delta) in received.iter().enumerate() {
            writer.write(delta, number as u64).unwrap();
            // Nobody listens after the last batch.
            let _ = done.send(());
        }
    });
    let mut checkpoints = 0;
    let mut count = |keys: &mut dyn Iterator<Item = usize>, expected: &mut dyn FnMut(usize) -> u64| {
        count_batch(&mut *backend, &keys.collect::<Vec<_>>(), expected);
        if written.try_recv().is_ok() {
            deltas.send(backend.freeze([&mut timers, &mut processing_timers]).unwrap()).unwrap();
            checkpoints += 1;
        }
    };
    for start in (0..KEYS).step_by(BATCH_KEYS) {
        count(&mut (start..KEYS.min(start + BATCH_KEYS)), &mut |_| 0);
    }
    let filled = resident("VmHWM:");
    let mut drawn = 0;
    for _ in 0..DRAWN_BATCHES {
        // Different ones, since the step and the number of keys have no common divisor.
        let mut keys = (0..BATCH_KEYS).map(|_| {
            drawn = (drawn + 310_243) % KEYS;
            drawn
        });
        count(&mut keys, &mut |key| {
            counts[key] += 1;
            counts[key] - 1
        });
    }
    let counted = resident("VmHWM:");
    drop(deltas);
    thread.join().unwrap();
    let mib = |bytes: usize| bytes >> 20;
    println!(
        "{} MiB before, {} when filled, {} in the end; {checkpoints} checkpoints",
        mib(before),
        mib(filled),
        mib(counted)
    );
    assert!(checkpoints >= 3, "{checkpoints} checkpoints");
    let used = counted - before;
    assert!(used <= BUDGET / 4 * 5, "state takes {} MiB of {}", mib(used), mib(BUDGET));
}

fn settings(folder: PathBuf) -> StateSettings {
    let count = StateDecl {
        name: "count".to_owned(),
        kind: StateKind::Value,
        format: "raw".to_owned(),
        schema: String::new(),
        version: 1,
        oldest: 1,
        rides: true,
        ttl_ms: 0,
        options: Vec::new(),
    };
    let key_groups: Range<u16> = 0..128;
    StateSettings {
        declared: vec![count],
        backend: BackendKind::RocksDb(Arc::new(SharedMemory::new(BUDGET))),
        folder,
        max_parallelism: key_groups.end,
        key_groups,
        tracks_changes: true,
    }
}

/// Adds one to the counter of each key, which has to be what `expected` says, none for zero.
fn count_batch(backend: &mut dyn Backend, keys: &[usize], expected: &mut dyn FnMut(usize) -> u64) {
    let bytes: Vec<[u8; 8]> = keys.iter().map(|key| key.to_le_bytes()).collect();
    let state_keys: Vec<StateKey<'_>> =
        bytes.iter().map(|key| StateKey { hash: hash_key(key), key, namespace: &[] }).collect();
    let mut cells = Cells::default();
    backend.get_riding(&mut state_keys.iter().copied(), 1, &mut cells).unwrap();
    let values = keys.iter().enumerate().map(|(place, &key)| {
        let count = cells.get(place).map_or(0, |cell| u64::from_le_bytes(*cell.first_chunk().unwrap()));
        assert_eq!(count, expected(key), "key {key}");
        value(key, count + 1)
    });
    let values: Vec<Vec<u8>> = values.collect();
    let writes = state_keys.iter().zip(&values).enumerate();
    let mut writes = writes.map(|(place, (key, value))| (place, *key, StateIndex(0), Write::Put(value.as_slice())));
    backend.write_riding(&mut writes).unwrap();
}

/// A counter, and bytes that cannot be packed away.
fn value(key: usize, count: u64) -> Vec<u8> {
    let mut value = count.to_le_bytes().to_vec();
    let mut random = hash_key(&key.to_le_bytes()) | 1;
    while value.len() < VALUE_BYTES {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        value.extend_from_slice(&random.to_le_bytes());
    }
    value
}

/// What the system says of this process's memory, in bytes.
fn resident(name: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<usize>().unwrap() << 10
}
