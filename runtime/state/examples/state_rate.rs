//! How fast a backend counts records per key, with a checkpoint a second, and what memory it takes.
//!
//! `cargo run --release -p tidewheel-state --example state_rate -- memory|rocksdb KEYS BUDGET_MIB SECONDS [VALUE_BYTES]`
//!
//! One thread reads and writes a counter that rides, first of each key, then for so many seconds for batches of 1000
//! different keys drawn evenly; another one writes the checkpoints. Rates are told by the clock and by the processor time of
//! that one thread, which says more where others are at work too. Then the state is restored. Memory is what is resident
//! above what was before anything was opened: at most since the last line, and in the end at most ever, as the system
//! counted it.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tidewheel_state::{
    BackendKind, LocalFile, OpenedState, Restore, RestoredTask, SharedMemory, StateSettings, StateTable, open,
};
use tidewheel_types::description::{StateDecl, StateKind};
use tidewheel_types::key_group::hash_key;
use tidewheel_types::keyed_state::{Cells, StateIndex, StateKey, Write};

// As the program does, so that memory is what it is there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH_KEYS: usize = 1000;
const MAX_PARALLELISM: u16 = 128;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |place: usize, default: Option<usize>| {
        let given = arguments.get(place).map(|given| given.replace('_', "").parse().expect("a number"));
        given.or(default).expect("usage: memory|rocksdb KEYS BUDGET_MIB SECONDS [VALUE_BYTES]")
    };
    let (keys, budget, seconds) = (number(1, None), number(2, None) << 20, number(3, None));
    let value_bytes = number(4, Some(8)).max(8);
    let backend = match arguments[0].as_str() {
        "memory" => BackendKind::Memory,
        "rocksdb" => BackendKind::RocksDb(Arc::new(SharedMemory::new(budget))),
        other => panic!("there is no backend `{other}`"),
    };
    let folder = TempDir::new().expect("a folder");
    let settings = settings(backend, folder.path().join("task"));
    let before = resident();
    let (files, table) = count(settings.clone(), keys as u64, value_bytes, Duration::from_secs(seconds as u64));
    let store = folder.path().join("store");
    fs::create_dir(&store).expect("a folder");
    let kept = files.iter().map(|file| keep(file, &store)).collect();
    restore(settings, table, kept, before);
}

fn keep(file: &LocalFile, store: &Path) -> std::path::PathBuf {
    let path = store.join(&file.name);
    fs::hard_link(&file.path, &path).expect("a link");
    path
}

fn settings(backend: BackendKind, folder: std::path::PathBuf) -> StateSettings {
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
    StateSettings {
        declared: vec![count],
        backend,
        folder,
        key_groups: 0..MAX_PARALLELISM,
        max_parallelism: MAX_PARALLELISM,
        tracks_changes: true,
    }
}

/// Counts records for so long, and returns the files of the last checkpoint.
fn count(settings: StateSettings, keys: u64, value_bytes: usize, time: Duration) -> (Vec<LocalFile>, StateTable) {
    let before = resident();
    let OpenedState { mut backend, mut timers, mut processing_timers, mut writer } =
        open(settings, None).expect("it opens");
    let (deltas, received) = sync_channel(1);
    let (done, written) = channel();
    let thread = thread::spawn(move || {
        for (number, delta) in received.iter().enumerate() {
            let start = Instant::now();
            writer.write(delta, number as u64).expect("a checkpoint");
            done.send(start.elapsed()).expect("somebody listens");
        }
        (writer.files().to_vec(), writer.state_table())
    });
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut filling = 0;
    let (mut filled, mut reported, mut frozen) = (None, Instant::now(), Instant::now());
    let (mut records, mut cpu, mut under_way) = (0u64, Duration::ZERO, false);
    let (mut longest, mut freezes, mut most) = (Duration::ZERO, Vec::new(), 0);
    let mut all = (0u64, Duration::ZERO, Duration::ZERO);
    while filling < keys || filled.get_or_insert_with(Instant::now).elapsed() < time {
        let batch = next_batch(&mut random, &mut filling, keys);
        let (cpu_start, call_start) = (thread_time(), Instant::now());
        count_batch(&mut *backend, &batch, value_bytes);
        longest = longest.max(call_start.elapsed());
        cpu += thread_time() - cpu_start;
        records += batch.len() as u64;
        most = most.max(resident().saturating_sub(before));
        if let Ok(time) = written.try_recv() {
            under_way = false;
            freezes.push(time);
        }
        if frozen.elapsed() >= Duration::from_secs(1) && !under_way {
            frozen = Instant::now();
            let freeze = thread_time();
            deltas
                .send(backend.freeze([&mut timers, &mut processing_timers]).expect("it freezes"))
                .expect("somebody writes");
            cpu += thread_time() - freeze;
            under_way = true;
        }
        if reported.elapsed() >= Duration::from_secs(2) {
            let clock = reported.elapsed();
            println!(
                "{:>9.0} records/s by the clock, {:>9.0} by its processor time; longest call {longest:.1?}; {} checkpoints, {:.1?} each; \
                 {} MiB in its tables, {} MiB resident at most{}",
                records as f64 / clock.as_secs_f64(),
                records as f64 / cpu.as_secs_f64(),
                freezes.len(),
                freezes.iter().sum::<Duration>() / freezes.len().max(1) as u32,
                backend.bytes() >> 20,
                most >> 20,
                if filling < keys { " (filling)" } else { "" },
            );
            if filling >= keys {
                all = (all.0 + records, all.1 + cpu, all.2 + clock);
            }
            (reported, records, cpu, longest, most) = (Instant::now(), 0, Duration::ZERO, Duration::ZERO, 0);
            freezes.clear();
        }
    }
    println!(
        "all in all {:.0} records/s by the clock, {:.0} by its processor time; {} MiB resident at most",
        all.0 as f64 / all.2.as_secs_f64(),
        all.0 as f64 / all.1.as_secs_f64(),
        resident_at_most().saturating_sub(before) >> 20,
    );
    if under_way {
        written.recv().expect("it is written");
    }
    deltas.send(backend.freeze([&mut timers, &mut processing_timers]).expect("it freezes")).expect("somebody writes");
    drop(deltas);
    thread.join().expect("it ends")
}

/// First all keys once, then keys at random; all different.
fn next_batch(random: &mut Random, filling: &mut u64, keys: u64) -> Vec<[u8; 8]> {
    if *filling < keys {
        let end = (*filling + BATCH_KEYS as u64).min(keys);
        let batch = (*filling..end).map(u64::to_le_bytes).collect();
        *filling = end;
        return batch;
    }
    let mut drawn = HashSet::new();
    let mut batch = Vec::with_capacity(BATCH_KEYS);
    while batch.len() < BATCH_KEYS.min(keys as usize) {
        let key = random.next() % keys;
        if drawn.insert(key) {
            batch.push(key.to_le_bytes());
        }
    }
    batch
}

fn count_batch(backend: &mut dyn tidewheel_state::Backend, batch: &[[u8; 8]], value_bytes: usize) {
    let keys: Vec<StateKey<'_>> =
        batch.iter().map(|key| StateKey { hash: hash_key(key), key, namespace: &[] }).collect();
    let mut cells = Cells::default();
    backend.get_riding(&mut keys.iter().copied(), 1, &mut cells).expect("it reads");
    let mut values = vec![0; value_bytes * keys.len()];
    for (place, value) in values.chunks_mut(value_bytes).enumerate() {
        let count = cells.get(place).map_or(0, |cell| u64::from_le_bytes(*cell.first_chunk().expect("a counter")));
        value[..8].copy_from_slice(&(count + 1).to_le_bytes());
        // The rest is not to be packed away.
        let mut random = Random(hash_key(&batch[place]) | 1);
        value[8..].chunks_mut(8).for_each(|part| part.copy_from_slice(&random.next().to_le_bytes()[..part.len()]));
    }
    let writes = keys.iter().zip(values.chunks(value_bytes)).enumerate();
    let mut writes = writes.map(|(place, (key, value))| (place, *key, StateIndex(0), Write::Put(value)));
    backend.write_riding(&mut writes).expect("it writes");
}

fn restore(settings: StateSettings, table: StateTable, files: Vec<std::path::PathBuf>, before: usize) {
    let bytes: u64 = files.iter().map(|file| fs::metadata(file).expect("it is there").len()).sum();
    for (name, key_groups) in
        [("the same task", 0..MAX_PARALLELISM), ("half of the key groups", 0..MAX_PARALLELISM / 2)]
    {
        let tasks = vec![RestoredTask { key_groups: 0..MAX_PARALLELISM, files: files.clone() }];
        let start = Instant::now();
        let settings = StateSettings { key_groups, ..settings.clone() };
        let mut opened =
            open(settings, Some(Restore { tasks, table: table.clone(), ..Restore::default() })).expect("it restores");
        let opening = start.elapsed();
        let key = 0u64.to_le_bytes();
        let key = StateKey { hash: hash_key(&key), key: &key, namespace: &[] };
        let mut cells = Cells::default();
        opened.backend.get_riding(&mut [key].into_iter(), 1, &mut cells).expect("it reads");
        println!(
            "restored {name} from {} files of {} MiB in {opening:.2?}, the first read after {:.2?}; {} MiB resident",
            files.len(),
            bytes >> 20,
            start.elapsed(),
            resident().saturating_sub(before) >> 20,
        );
    }
}

/// Bytes of memory of this process.
fn resident() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").expect("there is /proc");
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("a number of pages") * 4096
}

/// The most that it was.
fn resident_at_most() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("there is /proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it says so");
    line.trim_end_matches("kB").trim().parse::<usize>().expect("a number of KiB") << 10
}

/// Processor time of this thread.
fn thread_time() -> Duration {
    let times = fs::read_to_string("/proc/thread-self/schedstat").expect("there is /proc");
    let nanoseconds = times.split(' ').next().and_then(|time| time.parse().ok());
    Duration::from_nanos(nanoseconds.expect("a number of nanoseconds"))
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }
}
