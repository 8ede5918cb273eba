//! Several controllers of one job on one store, in any order of their requests, with answers that are lost and puts that
//! arrive late: whatever anybody believes to be complete is part of the one history that goes on.

use super::{manifest, put_file};
use crate::error::CheckpointError;
use crate::log::Log;
use crate::manifest::{FileRef, Manifest};
use crate::store::Store;
use crate::store::stepped::{Fate, Gate};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::thread;

const PARTIES: usize = 3;
const CHECKPOINTS: u64 = 5;

/// More is a matter of time: `PROPTEST_CASES` sets the number of both.
fn cases(usual: u32) -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(usual);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// One party has so many requests done, of which the last meets this fate.
#[derive(Clone, Debug)]
struct Burst {
    who: usize,
    requests: usize,
    fate: Fate,
    /// Before it, puts that are late arrive.
    arrives: bool,
}

fn burst() -> impl Strategy<Value = Burst> {
    let fate = prop_oneof![
        6 => Just(Fate::Done),
        1 => Just(Fate::Refused),
        1 => Just(Fate::AnswerLost),
        1 => Just(Fate::Late),
    ];
    let requests = prop_oneof![3 => 1usize..4, 1 => 1usize..40];
    (0..PARTIES, requests, fate, any::<bool>()).prop_map(|(who, requests, fate, arrives)| Burst {
        who,
        requests,
        fate,
        arrives,
    })
}

/// What a party believes to be complete: the whole history that leads to it, which is what its manifest calls the job.
type Believed = Arc<Mutex<Vec<String>>>;

/// An attempt: it begins, publishes and removes what is old, until it is replaced.
fn attempt(store: &Store, who: usize, believed: &Believed) -> Result<(), CheckpointError> {
    let mut log = Log::open(store.clone());
    let begun = log.begin_attempt()?;
    let (mut history, mut checkpoint, mut files) = match begun.restore {
        Some(restore) => {
            let files: Vec<FileRef> = restore.manifest.files().cloned().collect();
            (restore.manifest.job, restore.manifest.checkpoint, files)
        }
        None => (String::new(), 0, Vec::new()),
    };
    for number in 0..CHECKPOINTS {
        checkpoint += 1;
        // A file that could not be put is none of the checkpoint's.
        files.extend(put_file(store, begun.number, number).ok());
        files.drain(..files.len().saturating_sub(2));
        // What was begun is part of the history even if it is in doubt: the job goes on with its state.
        history.push_str(&format!("{who}:{}:{checkpoint}/", begun.number));
        let manifest = Manifest { job: history.clone(), ..manifest(begun.number, checkpoint, &files) };
        match log.publish(manifest) {
            Ok(_) => believed.lock().unwrap().push(history.clone()),
            Err(CheckpointError::InDoubt { .. }) => continue,
            Err(error) => return Err(error),
        }
        match log.retain(1 + (number as usize % 2), &BTreeSet::new()) {
            Err(error) if error.is_replaced() => return Err(error),
            // What could not be removed is removed later.
            _ => {}
        }
    }
    Ok(())
}

fn check(objects: &Arc<dyn ObjectStore>, bursts: &[Burst]) {
    let believed = Believed::default();
    let gate = Arc::new(Gate::default());
    let stores: Vec<Store> = (0..PARTIES).map(|who| gate.join(who, objects)).collect();
    thread::scope(|scope| {
        for (who, store) in stores.iter().enumerate() {
            let (gate, believed) = (&gate, &believed);
            scope.spawn(move || {
                // A process that fails is started again.
                for _ in 0..2 {
                    let _ = attempt(store, who, believed);
                }
                gate.left(who);
            });
        }
        let mut bursts = bursts.iter();
        loop {
            let waiting = gate.settle();
            let Some(first) = waiting.first() else { break };
            // When the plan is used up, all come to their end.
            let Some(burst) = bursts.next() else {
                gate.arrive(objects);
                gate.grant(*first, Fate::Done);
                continue;
            };
            if burst.arrives {
                gate.arrive(objects);
            }
            for request in 1..=burst.requests {
                if gate.settle().contains(&burst.who) {
                    gate.grant(burst.who, if request == burst.requests { burst.fate } else { Fate::Done });
                }
            }
        }
    });
    gate.arrive(objects);
    check_history(objects, &believed.lock().unwrap());
}

fn check_history(objects: &Arc<dyn ObjectStore>, believed: &[String]) {
    let log = Log::open(Store::over(objects.clone(), "memory:", crate::store::Patience::default()).unwrap());
    let newest = log.newest().unwrap();
    let history = newest.as_ref().map_or("", |newest| &newest.manifest.job);
    for believed in believed {
        assert!(history.starts_with(believed), "{believed} was believed complete, and what goes on is {history}");
    }
    if let Some(newest) = &newest {
        log.verify(newest).unwrap();
    }
}

proptest! {
    #![proptest_config(cases(300))]
    #[test]
    fn what_anybody_believes_complete_goes_on_in_memory(bursts in vec(burst(), 0..60)) {
        check(&(Arc::new(InMemory::new()) as Arc<dyn ObjectStore>), &bursts);
    }
}

proptest! {
    #![proptest_config(cases(40))]
    #[test]
    fn what_anybody_believes_complete_goes_on_in_a_folder(bursts in vec(burst(), 0..60)) {
        let folder = tempfile::TempDir::new().unwrap();
        let objects = LocalFileSystem::new_with_prefix(folder.path()).unwrap();
        check(&(Arc::new(objects) as Arc<dyn ObjectStore>), &bursts);
    }
}
