//! The names of part files.

use super::part::Owner;
use crate::StageHandle;
use serde::{Deserialize, Serialize};
use std::fmt::{self, Display, Formatter};
use std::path::Path;

const PREFIX: &str = ".part-";
const OPEN_ENDING: &str = ".open";
const STAGED_ENDING: &str = ".staged";

/// Of a part that records are added to.
pub(super) struct OpenName {
    pub(super) owner: Owner,
    pub(super) process: u32,
    pub(super) number: u64,
}

impl OpenName {
    /// Whether `name` is one.
    pub(super) fn is_one(name: &str) -> bool {
        name.starts_with(PREFIX) && name.ends_with(OPEN_ENDING)
    }
}

impl Display for OpenName {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Owner { lineage, sink, attempt, shard } = &self.owner;
        write!(f, "{PREFIX}{lineage}-{shard}-{attempt}-{}-{}-{sink}{OPEN_ENDING}", self.process, self.number)
    }
}

/// Of a part that is staged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StagedName {
    pub(super) owner: Owner,
    pub(super) checkpoint: u64,
}

impl StagedName {
    /// The name that this is.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let mut fields = name.strip_prefix(PREFIX)?.strip_suffix(STAGED_ENDING)?.splitn(5, '-');
        let lineage = fields.next()?.to_owned();
        let shard = fields.next()?.parse().ok()?;
        let checkpoint = fields.next()?.parse().ok()?;
        let attempt = fields.next()?.parse().ok()?;
        let sink = fields.next()?.to_owned();
        Some(StagedName { owner: Owner { lineage, sink, attempt, shard }, checkpoint })
    }
}

impl Display for StagedName {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Owner { lineage, sink, attempt, shard } = &self.owner;
        write!(f, "{PREFIX}{lineage}-{shard}-{}-{attempt}-{sink}{STAGED_ENDING}", self.checkpoint)
    }
}

/// Both names of a staged part: what a snapshot stores, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PartHandle {
    /// Its name until it is committed.
    pub(super) staged: String,
    /// Its name from then on.
    pub(super) committed: String,
}

impl PartHandle {
    /// That of the part called `name`; `ending` is that of its committed name.
    pub(super) fn new(name: &StagedName, ending: &str) -> Self {
        let StagedName { owner: Owner { lineage, shard, .. }, checkpoint } = name;
        PartHandle { staged: name.to_string(), committed: format!("part-{lineage}-{shard}-{checkpoint}.{ending}") }
    }

    pub(super) fn to_handle(&self) -> StageHandle {
        StageHandle(serde_json::to_vec(self).expect("two strings are JSON"))
    }

    /// The part that `handle` names, if it does.
    pub(super) fn from_handle(handle: &StageHandle) -> Option<Self> {
        let part: PartHandle = serde_json::from_slice(&handle.0).ok()?;
        let is_name = |name: &str| Path::new(name).file_name().is_some_and(|file_name| file_name == name);
        (StagedName::parse(&part.staged).is_some() && is_name(&part.staged) && is_name(&part.committed)).then_some(part)
    }
}

#[cfg(test)]
mod tests {
    use super::{Owner, StagedName};

    #[test]
    fn names_are_read_as_they_are_written() {
        let owner = Owner { lineage: "abc".to_owned(), sink: "my-sink_1".to_owned(), attempt: 3, shard: 2 };
        let name = StagedName { owner, checkpoint: 7 };
        assert_eq!(name.to_string(), ".part-abc-2-7-3-my-sink_1.staged");
        assert_eq!(StagedName::parse(&name.to_string()), Some(name));
        for other in [".part-abc-2-7.staged", "part-abc-2-7-3-s.staged", ".part-abc-x-7-3-s.staged", ".part-a.open"] {
            assert_eq!(StagedName::parse(other), None, "{other}");
        }
    }
}
