//! The log of a job: numbered slots, each written once, that say which attempts there were and which checkpoints they
//! completed. Whoever has been replaced by a later attempt can write nothing into it that anybody believes, not even
//! itself.
//!
//! # Why that is so
//!
//! A *claim* is a file `attempts/K`; a *slot* a file `slots/N`. Both are written with put-if-absent, so a name has one
//! writer for ever. Claims are never removed and have no gaps. Slots of attempts are never removed; slots of manifests
//! are, from the oldest on, but never the newest slot. An attempt that begins (1) claims the next number, (2) finds the
//! newest slot, (3) puts its own after it, again from (2) if that is taken, (4) has been replaced if there is a claim
//! after its own. An attempt that publishes puts the slot after its last one. Before it removes anything it looks for a
//! claim after its own, and removes nothing if there is one.
//!
//! **Who has been replaced cannot publish.** Let Z be the last slot that attempt K wrote. The first to write Z + 1 is
//! somebody else who found Z to be the newest: an attempt that begins. Its slot is never removed, so K's put at Z + 1
//! fails, and K has no other place to put. An attempt whose slot is further on had Z + 1 before it. If K does not know
//! whether it wrote Z, as the answer was lost, it reads Z: its own bytes, or others', or nothing. Nothing may also mean
//! that a later attempt has removed it already, and K's next put there, of the same manifest or of the next, fills the
//! hole; so after such a doubt K looks at Z + 1, where that attempt's slot is.
//!
//! **Who begins does not land in a hole.** A slot that K finds free at N + 1 could have been there and have been removed,
//! if K was slow. By an earlier attempt J? J looked for a claim after its own before it removed anything, found none, so
//! K's claim came later, and K's look for the newest slot later still; what J removed lies below a slot that it had
//! written by then and did not remove, so N is at least that. By a later attempt? Its claim was there before it removed
//! anything, so K finds it in (4) and believes nothing.
//!
//! It needs a store that shows what was put before in listings, as local folders and S3 do. A folder may be changed
//! while it is listed: what was there all the time is seen, which is all that is used above.

mod history;
mod retain;
#[cfg(test)]
pub(crate) mod tests;

pub use history::CheckpointEntry;

use crate::error::CheckpointError;
use crate::manifest::{FORMAT, Manifest};
use crate::sealed;
use crate::slot::{self, Content};
use crate::store::{PutOnce, Store};
use bytes::Bytes;
use retain::Kept;
use serde::{Deserialize, Serialize};
use std::time::{SystemTime, UNIX_EPOCH};

/// The folder of claims.
const CLAIMS: &str = "attempts";

/// How often an attempt that begins may find that others were faster.
const RACES_MAX: usize = 1000;

/// The log of one job. One thread at a time writes into it.
#[derive(Debug)]
pub struct Log {
    store: Store,
    /// No other log object has the same, on no machine.
    writer: String,
    /// Number of files written, with or without success.
    serial: u64,
    own: Option<Own>,
}

/// The attempt that this log writes for.
#[derive(Debug)]
struct Own {
    attempt: u64,
    /// Where it writes next.
    next: u64,
    /// Whether it has tried before, and does not know what came of it.
    is_in_doubt: bool,
    kept: Kept,
}

/// An attempt that has begun.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// Its number: 1 for a job's first.
    pub number: u64,
    /// The slot that says so.
    pub slot: u64,
    /// The checkpoint that it starts from, if any.
    pub restore: Option<Restore>,
    /// The URL of the savepoint that it starts from, if any; with neither it starts with nothing.
    pub savepoint: Option<String>,
    /// The identity of its output, unless it goes on with that of the checkpoint: minted with the attempt.
    pub lineage: String,
    /// It restores an older checkpoint than the newest. What it makes again has been published, under the lineage and the
    /// numbers of those checkpoints, so it does not go on with that lineage.
    pub went_back: bool,
}

/// What an attempt starts from.
#[derive(Clone, Debug, PartialEq)]
pub struct Restore {
    /// The slot of the manifest.
    pub slot: u64,
    /// The manifest.
    pub manifest: Manifest,
}

/// A claim, as it is written.
#[derive(Serialize, Deserialize)]
struct Claim {
    format: u32,
    number: u64,
    writer: String,
}

impl Log {
    /// The log in a store. Nothing is read or written yet.
    pub fn open(store: Store) -> Log {
        Log { store, writer: writer(), serial: 0, own: None }
    }

    /// The log in a store, for an attempt that another process has begun: `attempt` and `slot` are those of its
    /// [`Attempt`]. One process may publish for an attempt; of two, one is refused.
    pub fn join(store: Store, attempt: u64, slot: u64) -> Log {
        let own = Own { attempt, next: slot + 1, is_in_doubt: false, kept: Kept::default() };
        Log { own: Some(own), ..Log::open(store) }
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Begins an attempt that restores the newest checkpoint, or starts with nothing if there is none. All attempts
    /// before it have been replaced.
    ///
    /// # Errors
    /// If the newest checkpoint's manifest cannot be read, if another attempt is beginning, or if the store refuses.
    pub fn begin_attempt(&mut self) -> Result<Attempt, CheckpointError> {
        self.begin(|log, slots| match log.newest_of(slots)? {
            Some(restore) => Ok((Some(restore), None)),
            None => Ok((None, log.savepoint_of(slots)?)),
        })
    }

    /// Begins an attempt that starts from the savepoint at `url`, whatever was there before. So do the attempts after it,
    /// until one has completed a checkpoint.
    ///
    /// # Errors
    /// If another attempt is beginning, or if the store refuses.
    pub fn begin_attempt_from_savepoint(&mut self, url: &str) -> Result<Attempt, CheckpointError> {
        self.begin(|_, _| Ok((None, Some(url.to_owned()))))
    }

    /// Begins an attempt that restores the checkpoint in a slot, or nothing, whatever came after it.
    ///
    /// Output that later checkpoints have committed will be made again: it is for the user to decide on.
    ///
    /// # Errors
    /// If the manifest cannot be read, if another attempt is beginning, or if the store refuses.
    pub fn begin_attempt_from(&mut self, slot: Option<u64>) -> Result<Attempt, CheckpointError> {
        self.begin(|log, _| {
            let restore = slot.map(|slot| Ok(Restore { slot, manifest: log.load(slot)? }));
            Ok((restore.transpose()?, None))
        })
    }

    fn begin(
        &mut self,
        choose: impl Fn(&Log, &[u64]) -> Result<(Option<Restore>, Option<String>), CheckpointError>,
    ) -> Result<Attempt, CheckpointError> {
        let (number, lineage) = (self.claim()?, lineage());
        for _ in 0..RACES_MAX {
            let slots = slot::list(&self.store)?;
            let (restore, savepoint) = match choose(self, &slots) {
                // What was listed may be gone by now, if the attempt that is being replaced still runs.
                Err(_) if slot::list(&self.store)?.last() != slots.last() => continue,
                chosen => chosen?,
            };
            let went_back = self.went_back(restore.as_ref(), &slots)?;
            let slot = slots.last().map_or(1, |newest| newest + 1);
            let from = restore.as_ref().map(|restore| restore.slot);
            let content =
                Content::Attempt { number, from, savepoint: savepoint.clone(), lineage: Some(lineage.clone()) };
            let bytes = self.encode(slot, &content);
            match self.store.put_once(&slot::name(slot), &bytes)? {
                PutOnce::Taken(_) => {}
                PutOnce::Done | PutOnce::DoneAfterDoubt => {
                    self.check_not_replaced(number)?;
                    self.own = Some(Own { attempt: number, next: slot + 1, is_in_doubt: false, kept: Kept::default() });
                    return Ok(Attempt { number, slot, restore, savepoint, lineage, went_back });
                }
            }
        }
        Err(CheckpointError::Replaced { attempt: number, by: None, store: self.store.to_string() })
    }

    /// Claims the next number for an attempt.
    fn claim(&mut self) -> Result<u64, CheckpointError> {
        let claims = self.store.list(CLAIMS)?;
        let mut number = claims.iter().filter_map(|listed| claimed(&listed.name)).max().unwrap_or(0) + 1;
        loop {
            let bytes = sealed::seal(&Claim { format: FORMAT, number, writer: self.writer.clone() });
            match self.store.put_once(&claim_name(number), &bytes.into())? {
                PutOnce::Done | PutOnce::DoneAfterDoubt => return Ok(number),
                PutOnce::Taken(_) => number += 1,
            }
        }
    }

    /// Fails if there is a claim after that of attempt `number`.
    fn check_not_replaced(&self, number: u64) -> Result<(), CheckpointError> {
        match self.store.size(&claim_name(number + 1))? {
            None => Ok(()),
            Some(_) => Err(self.replaced(number, Some(number + 1))),
        }
    }

    /// Fails if somebody else has claimed an attempt after this log's last one. What this log has claimed itself, and has
    /// not begun because the store went away, does not count.
    ///
    /// # Errors
    /// [`CheckpointError::Replaced`], or if the store refuses.
    pub fn check_not_taken_over(&self) -> Result<(), CheckpointError> {
        let Some(Own { attempt, .. }) = self.own else { return Ok(()) };
        for number in attempt + 1.. {
            match self.store.get(&claim_name(number)) {
                Err(error) if error.is_missing() => break,
                claim => {
                    let claim = claim?;
                    let claim: Claim = sealed::open(&claim, &self.store.name_of(&claim_name(number)))?;
                    if claim.writer != self.writer {
                        return Err(self.replaced(attempt, Some(number)));
                    }
                }
            }
        }
        Ok(())
    }

    fn replaced(&self, attempt: u64, by: Option<u64>) -> CheckpointError {
        CheckpointError::Replaced { attempt, by, store: self.store.to_string() }
    }

    /// Writes the manifest of a checkpoint: then it is complete. Returns its slot.
    ///
    /// # Errors
    /// [`CheckpointError::Replaced`] if a later attempt has begun: nothing may be committed, the process must end.
    /// After [`CheckpointError::InDoubt`] the checkpoint may be complete or not; what was staged with it must be carried
    /// on, neither committed nor dropped, and its files stay. The next checkpoint, or the next attempt, finds out.
    ///
    /// # Panics
    /// If no attempt has begun.
    pub fn publish(&mut self, manifest: Manifest) -> Result<u64, CheckpointError> {
        let attempt = self.own().attempt;
        if manifest.attempt != attempt {
            return Err(CheckpointError::OtherAttempt { given: manifest.attempt, attempt });
        }
        let content = Content::Checkpoint(Box::new(manifest));
        loop {
            let slot = self.own().next;
            let bytes = self.encode(slot, &content);
            let was_in_doubt = std::mem::replace(&mut self.own().is_in_doubt, true);
            let put = self.store.put_once(&slot::name(slot), &bytes);
            match put.map_err(|source| self.in_doubt(slot, source))? {
                PutOnce::Taken(Some(there)) => self.pass_own(slot, &there)?,
                PutOnce::Taken(None) => return Err(self.replaced(attempt, None)),
                PutOnce::Done if !was_in_doubt => return Ok(self.published(slot, &content)),
                PutOnce::Done | PutOnce::DoneAfterDoubt => {
                    let next = self.store.size(&slot::name(slot + 1));
                    if next.map_err(|source| self.in_doubt(slot, source))?.is_some() {
                        return Err(self.replaced(attempt, None));
                    }
                    return Ok(self.published(slot, &content));
                }
            }
        }
    }

    /// Goes on after a slot that is taken, if it was this log's own: what was in doubt has been written after all.
    fn pass_own(&mut self, slot: u64, there: &[u8]) -> Result<(), CheckpointError> {
        let found = slot::decode(&self.store, slot, there)?;
        if found.writer == self.writer {
            self.published(slot, &found.content);
            return Ok(());
        }
        let by = match found.content {
            Content::Attempt { number, .. } => Some(number),
            Content::Checkpoint(manifest) => Some(manifest.attempt),
            Content::Swap(_) => None,
        };
        let attempt = self.own().attempt;
        Err(self.replaced(attempt, by))
    }

    fn in_doubt(&self, slot: u64, source: CheckpointError) -> CheckpointError {
        CheckpointError::InDoubt { slot, store: self.store.to_string(), source: Box::new(source) }
    }

    /// Takes note of a slot of its own; the next one is after it.
    fn published(&mut self, slot: u64, content: &Content) -> u64 {
        let own = self.own();
        (own.next, own.is_in_doubt) = (slot + 1, false);
        own.kept.note(slot, content);
        slot
    }

    fn own(&mut self) -> &mut Own {
        self.own.as_mut().expect("an attempt has begun")
    }

    fn encode(&mut self, slot: u64, content: &Content) -> Bytes {
        self.serial += 1;
        slot::encode(slot, &self.writer, self.serial, content).into()
    }
}

fn claim_name(number: u64) -> String {
    format!("{CLAIMS}/{number:020}.json")
}

fn claimed(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(CLAIMS)?.strip_prefix('/')?.strip_suffix(".json")?;
    digits.parse().ok().filter(|number| claim_name(*number) == name)
}

/// An identity for the output of a job that starts now: unique, and in the order of starting.
pub fn lineage() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{:012x}{:05x}", since.as_millis(), std::process::id())
}

/// A name that nobody else has. Chance is right here: two processes that start at the same moment must differ.
fn writer() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the system has random numbers");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
