//! How a job keeps what it has done, and what it goes on from.

use super::protocol::CheckpointPolicy;
use super::publisher::Publisher;
use super::restore::{self, OwnStates, TaskParts, TaskPlace};
use super::uploader::Uploader;
use crate::error::EngineError;
use crate::plan::{Plan, Role};
use crate::reporter::Reporter;
use crate::streams::CheckpointId;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use tidewheel_checkpoint::savepoint::Savepoint;
use tidewheel_checkpoint::{self as checkpoint, Manifest, SinkState, SplitState, Store};
use tidewheel_connectors::StageHandle;
use tidewheel_crash_points::CrashPoint;
use tidewheel_state::BackendKind;
use tidewheel_types::shape::Shape;
use tidewheel_types::{OperatorId, Watermark};

/// How a job keeps what it has done.
#[derive(Clone)]
pub struct Durability {
    /// When checkpoints are taken.
    pub policy: CheckpointPolicy,
    /// How many complete ones are kept.
    pub keep: usize,
    /// Where their files are, and their manifests.
    pub store: Store,
    /// The number of this attempt, and the slot that says so: the store's log has given them.
    pub attempt: u64,
    /// See `attempt`.
    pub slot: u64,
    /// The number of the first checkpoint of this attempt.
    pub next_checkpoint: CheckpointId,
    /// Identity of the job's output.
    pub lineage: String,
    /// What the job goes on from.
    pub origin: StartFrom,
    /// An earlier attempt was being stopped, and had brought event time to its end before the checkpoint that it goes on
    /// from: nothing more is read, and the job ends once what that had staged is committed.
    pub is_ending: bool,
}

/// What a job goes on from.
#[derive(Clone)]
pub enum StartFrom {
    /// It begins.
    Nothing,
    /// The newest complete checkpoint.
    Checkpoint(Arc<Manifest>),
    /// A savepoint: of its own, or of another job.
    Savepoint(Arc<Savepoint>),
}

impl StartFrom {
    /// Where everything was, if the job does not begin.
    pub(crate) fn manifest(&self) -> Option<&Manifest> {
        match self {
            StartFrom::Nothing => None,
            StartFrom::Checkpoint(manifest) => Some(manifest),
            StartFrom::Savepoint(savepoint) => Some(&savepoint.manifest),
        }
    }
}

/// What the tasks of a process need to know of checkpoints.
pub(crate) struct Checkpoints {
    /// None: the job keeps nothing.
    durability: Option<Durability>,
    lineage: String,
    backend: BackendKind,
    /// The folder of working files.
    folder: PathBuf,
    /// What the manifest says of the job, whatever the checkpoint.
    facts: JobFacts,
}

/// What a manifest says of a job, whatever the checkpoint.
#[derive(Clone, Debug)]
pub(crate) struct JobFacts {
    pub(crate) job: String,
    pub(crate) workers: usize,
    pub(crate) max_parallelism: u16,
    /// Digests of the operators' components.
    pub(crate) components: BTreeMap<String, String>,
    /// Their timers and windows.
    pub(crate) shapes: BTreeMap<String, Shape>,
    /// Epochs of earlier attempts.
    pub(crate) epoch_base: u64,
}

impl Checkpoints {
    pub(crate) fn new(
        plan: &Plan,
        workers: usize,
        (backend, folder): (BackendKind, PathBuf),
        durability: Option<Durability>,
    ) -> Self {
        let lineage = durability.as_ref().map_or_else(checkpoint::lineage, |durability| durability.lineage.clone());
        let manifest = durability.as_ref().and_then(|durability| durability.origin.manifest());
        let components =
            plan.functions().map(|(id, function)| (id.to_string(), function.component.digest().to_owned()));
        let facts = JobFacts {
            job: plan.name.clone(),
            workers,
            max_parallelism: plan.max_parallelism,
            components: components.collect(),
            shapes: plan.shapes().map(|(id, shape)| (id.to_string(), shape)).collect(),
            epoch_base: manifest.map_or(0, |manifest| manifest.epoch + 1),
        };
        Checkpoints { durability, lineage, backend, folder, facts }
    }

    /// Identity of the job's output.
    pub(crate) fn lineage(&self) -> &str {
        &self.lineage
    }

    /// The number of the attempt.
    pub(crate) fn attempt(&self) -> u64 {
        self.durability.as_ref().map_or(1, |durability| durability.attempt)
    }

    pub(crate) fn policy(&self) -> CheckpointPolicy {
        self.durability.as_ref().map_or(CheckpointPolicy::AT_THE_END, |durability| durability.policy.clone())
    }

    /// See [`Durability::is_ending`].
    pub(crate) fn is_ending(&self) -> bool {
        self.durability.as_ref().is_some_and(|durability| durability.is_ending)
    }

    /// The number of the first checkpoint.
    pub(crate) fn first(&self) -> CheckpointId {
        self.durability.as_ref().map_or(1, |durability| durability.next_checkpoint)
    }

    /// The thread that writes manifests, if the job keeps any.
    pub(crate) fn publisher(&self, reporter: &Reporter) -> Option<Publisher> {
        let durability = self.durability.as_ref()?;
        Some(Publisher::start(durability, self.facts.clone(), reporter.clone()))
    }

    /// The thread of `worker` that makes state safe, if the job keeps any.
    pub(crate) fn uploader(&self, worker: usize, reporter: &Reporter) -> Option<Uploader> {
        let durability = self.durability.as_ref()?;
        Some(Uploader::start(durability.store.clone(), durability.attempt, worker, reporter.clone()))
    }

    /// Where a split was.
    pub(crate) fn split(&self, source: &OperatorId, split: &str) -> Option<&SplitState> {
        let source = self.manifest()?.sources.get(source.as_str())?;
        source.splits.iter().find(|state| state.name == split)
    }

    /// Where an operator's watermark was. A sink has none: nothing depends on it.
    pub(crate) fn watermark(&self, operator: &OperatorId) -> Watermark {
        // After the end of event time it begins anew: what comes now is not late.
        let manifest = self.manifest().filter(|manifest| !manifest.finished && !manifest.drained);
        let operator = manifest.and_then(|manifest| manifest.operators.get(operator.as_str()));
        operator.map_or(Watermark::MIN, |operator| Watermark(operator.watermark))
    }

    /// What tasks of a sink had staged that the task on `worker` settles now: those of shard `worker`, and of the shards
    /// that have no worker any more its share. A savepoint holds none.
    pub(crate) fn staged(&self, sink: &OperatorId, worker: usize) -> Vec<StageHandle> {
        let sink = self.manifest().and_then(|manifest| manifest.sinks.get(sink.as_str()));
        let shards = sink.into_iter().flat_map(|sink| &sink.shards);
        let mine = shards.filter(|shard| shard.shard % self.facts.workers == worker);
        mine.flat_map(|shard| &shard.staged).map(|staged| StageHandle(staged.handle.clone())).collect()
    }

    /// Whether any task of a sink had staged something that is settled now.
    pub(crate) fn has_staged(&self, sink: &OperatorId) -> bool {
        let sink = self.manifest().and_then(|manifest| manifest.sinks.get(sink.as_str()));
        sink.is_some_and(SinkState::has_staged)
    }

    /// Opens the state of an operator on `worker`: empty, or as the job goes on with it.
    pub(crate) fn open_state(
        &self,
        operator: &OperatorId,
        states: &OwnStates<'_>,
        worker: usize,
        uploader: Option<&Uploader>,
    ) -> Result<TaskParts, EngineError> {
        let place = TaskPlace {
            operator,
            worker,
            workers: self.facts.workers,
            max_parallelism: self.facts.max_parallelism,
            folder: &self.folder,
        };
        let opened = restore::open(&place, states, &self.backend, self.durability.as_ref(), uploader)?;
        CrashPoint::AfterRestore.reached();
        Ok(opened)
    }

    fn manifest(&self) -> Option<&Manifest> {
        self.durability.as_ref()?.origin.manifest()
    }
}

/// Whether a part of a job has a part in its checkpoints.
pub(crate) fn has_part(role: &Role) -> bool {
    !matches!(role, Role::Rekey(_) | Role::Stateless(_) | Role::Filter(_) | Role::Select(_))
}
