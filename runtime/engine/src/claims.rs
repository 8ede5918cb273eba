//! What each split says of its event time, for whoever asks what holds a watermark back.
//!
//! A source instance notes here what its splits claim whenever that changes. Every process has the claims of its own
//! splits, and process 0 also what the others tell it, twice a second (`peers.rs`). Nothing in the dataflow reads them.

use crate::metrics::NodeKind;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tidewheel_types::{OperatorId, Watermark};

/// What a split is doing, as far as its event time goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClaimState {
    /// Its watermark counts.
    Active,
    /// So does it, and it is not read: it waits for others of its alignment group.
    Paused,
    /// It has had no records for so long that nobody waits for it.
    Idle,
    /// No record will come any more.
    Ended,
}

/// What a split claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claim {
    pub(crate) state: ClaimState,
    /// Of one that is idle or has ended, where it was.
    pub(crate) watermark_ms: i64,
}

/// A claim, and since when it has been the same, in milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claimed {
    claim: Claim,
    since_ms: i64,
}

/// A split, as its source's place among the job's sources and its number in the source.
pub(crate) type SplitId = (u32, u32);

/// The claims of a job's splits.
#[derive(Debug)]
pub(crate) struct Claims {
    /// The sources with the names of their splits.
    sources: Vec<(OperatorId, Vec<String>)>,
    /// Of one that has claimed nothing yet.
    beginning: Claimed,
    /// Of the splits that this process reads.
    own: Mutex<BTreeMap<SplitId, Claimed>>,
    /// Of those that others read.
    told: Mutex<BTreeMap<SplitId, Claimed>>,
}

impl Claims {
    /// Those of a job that begins at `now_ms`.
    pub(crate) fn new(sources: Vec<(OperatorId, Vec<String>)>, now_ms: i64) -> Claims {
        let claim = Claim { state: ClaimState::Active, watermark_ms: i64::MIN };
        let beginning = Claimed { claim, since_ms: now_ms };
        Claims { sources, beginning, own: Mutex::default(), told: Mutex::default() }
    }

    /// From `now_ms` on these splits of `source`, by number, claim something else.
    pub(crate) fn note(&self, source: u32, changes: impl IntoIterator<Item = (u32, Claim)>, now_ms: i64) {
        let changes = changes.into_iter().map(|(split, claim)| ((source, split), Claimed { claim, since_ms: now_ms }));
        lock(&self.own).extend(changes);
    }

    /// The claims of this process's splits, to be told another.
    pub(crate) fn own(&self) -> Vec<(SplitId, Claimed)> {
        lock(&self.own).iter().map(|(split, claimed)| (*split, *claimed)).collect()
    }

    /// Another process has told the claims of its splits.
    pub(crate) fn told(&self, claims: Vec<(SplitId, Claimed)>) {
        lock(&self.told).extend(claims);
    }

    /// The splits of all sources, in the order of the job file.
    pub(crate) fn splits(&self) -> Vec<SplitSnapshot> {
        let (own, told) = (lock(&self.own), lock(&self.told));
        let sources = (0..).zip(&self.sources);
        let splits = sources.flat_map(|(source, (id, splits))| (0..).zip(splits).map(move |it| (source, id, it)));
        let snapshots = splits.map(|(source, id, (number, name))| {
            let split = (source, number);
            let Claimed { claim, since_ms } = *own.get(&split).or(told.get(&split)).unwrap_or(&self.beginning);
            SplitSnapshot {
                source: id.to_string(),
                split: name.clone(),
                state: claim.state,
                watermark: Watermark(claim.watermark_ms),
                since_ms,
            }
        });
        snapshots.collect()
    }

    /// The names of these sources.
    pub(crate) fn names<'a>(&'a self, sources: &'a [u32]) -> impl Iterator<Item = &'a str> + Clone {
        sources.iter().map(|&source| self.sources[source as usize].0.as_str())
    }
}

fn lock(claims: &Mutex<BTreeMap<SplitId, Claimed>>) -> MutexGuard<'_, BTreeMap<SplitId, Claimed>> {
    claims.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a split says of its event time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitSnapshot {
    /// The name of its source.
    pub source: String,
    /// Its own.
    pub split: String,
    /// What it is doing.
    pub state: ClaimState,
    /// Its watermark; of one that is idle or has ended, where it was.
    pub watermark: Watermark,
    /// Since when state and watermark have been these, in milliseconds since 1970-01-01 UTC.
    pub since_ms: i64,
}

/// Where the watermark of an operator or sink stands, and why it is not further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatermarkSnapshot {
    /// Its name in the job file.
    pub name: String,
    /// What it is.
    pub kind: NodeKind,
    /// Its watermark.
    pub watermark: Watermark,
    /// The split upstream whose watermark is the least; of several, the one for which it has been so longest. None: all are
    /// idle or have ended.
    pub held_back_by: Option<SplitSnapshot>,
}

/// The split that holds back what is downstream of the sources with these names.
pub(crate) fn holder<'a>(
    splits: &[SplitSnapshot],
    sources: impl Iterator<Item = &'a str> + Clone,
) -> Option<SplitSnapshot> {
    let upstream = splits.iter().filter(|split| sources.clone().any(|source| source == split.source));
    let active = upstream.filter(|split| !matches!(split.state, ClaimState::Idle | ClaimState::Ended));
    active.min_by_key(|split| (split.watermark, split.since_ms)).cloned()
}

#[cfg(test)]
mod tests {
    use super::{Claim, ClaimState, Claims, SplitSnapshot, holder};
    use tidewheel_types::{OperatorId, Watermark};

    fn claims() -> Claims {
        let source = |id: &str, splits: &[&str]| {
            (OperatorId::new(id), splits.iter().map(|split| (*split).to_owned()).collect::<Vec<_>>())
        };
        Claims::new(vec![source("orders", &["a", "b"]), source("rates", &["c"])], 1_000)
    }

    fn active(watermark_ms: i64) -> Claim {
        Claim { state: ClaimState::Active, watermark_ms }
    }

    fn held_back_by(claims: &Claims, sources: &[u32]) -> Option<(String, i64, i64)> {
        let holder = holder(&claims.splits(), claims.names(sources));
        holder.map(|SplitSnapshot { split, watermark, since_ms, .. }| (split, watermark.0, since_ms))
    }

    #[test]
    fn the_least_of_those_upstream_that_are_not_idle_holds_back() {
        let claims = claims();
        let found = |split: &str, watermark, since| Some((split.to_owned(), watermark, since));
        assert_eq!(held_back_by(&claims, &[0, 1]), found("a", i64::MIN, 1_000), "nobody has said anything");
        claims.note(0, [(0, active(50)), (1, active(40))], 2_000);
        assert_eq!(held_back_by(&claims, &[0]), found("b", 40, 2_000));
        assert_eq!(held_back_by(&claims, &[0, 1]), found("c", i64::MIN, 1_000));
        claims.note(0, [(1, Claim { state: ClaimState::Idle, watermark_ms: 40 })], 3_000);
        assert_eq!(
            held_back_by(&claims, &[0]),
            found("a", 50, 2_000),
            "since it is there, not since the other is idle"
        );
        claims.note(0, [(0, Claim { state: ClaimState::Ended, watermark_ms: 50 })], 4_000);
        assert_eq!(held_back_by(&claims, &[0]), None);
    }

    #[test]
    fn what_another_process_tells_is_of_its_own_splits() {
        let (first, second) = (claims(), claims());
        first.note(0, [(0, active(50))], 2_000);
        second.note(0, [(1, active(60))], 2_100);
        first.told(second.own());
        let splits: Vec<_> = first.splits().iter().map(|it| (it.split.clone(), it.watermark, it.since_ms)).collect();
        let split = |name: &str, watermark, since| (name.to_owned(), watermark, since);
        let expected =
            [split("a", Watermark(50), 2_000), split("b", Watermark(60), 2_100), split("c", Watermark::MIN, 1_000)];
        assert_eq!(splits, expected);
    }
}
