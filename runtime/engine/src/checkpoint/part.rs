//! What a task contributes to a checkpoint, and how the parts become its manifest.

use super::durability::JobFacts;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Range;
use tidewheel_checkpoint::{
    FileRef, Manifest, OperatorState, ShardState, SinkState, SplitState, Staged, StateEntry, TaskState,
};

/// A task's part of a checkpoint, as it travels to the controller.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Part {
    /// Where the splits of a source are that this worker reads.
    Source { source: String, splits: Vec<SplitState> },
    /// The state of an operator on one worker.
    Operator(OperatorPart),
    /// What a sink's task has staged and not committed.
    Sink { sink: String, shard: usize, staged: Vec<Staged> },
    /// Nothing: the job keeps nothing.
    Nothing,
}

/// The state of an operator on one worker.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct OperatorPart {
    pub(crate) operator: String,
    pub(crate) worker: usize,
    /// Those that it has the state of.
    pub(crate) key_groups: Range<u16>,
    pub(crate) watermark: i64,
    pub(crate) states: Vec<StateEntry>,
    /// In the order in which they are to be read.
    pub(crate) files: Vec<FileRef>,
    /// Bytes of the files that no checkpoint before has had.
    pub(crate) new_bytes: u64,
    /// What was written to the savepoint, if one was asked for.
    pub(crate) savepoint: Option<FileRef>,
}

impl Part {
    pub(crate) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("parts hold nothing that JSON cannot")
    }

    pub(super) fn decode(bytes: &[u8]) -> Part {
        serde_json::from_slice(bytes).expect("workers of one job speak one format")
    }
}

/// Files of rows, by operator and worker.
pub(super) type RowFiles = BTreeMap<(String, usize), FileRef>;

/// Adds a part to the manifest it belongs to; what it wrote to a savepoint goes to `rows`.
pub(super) fn add(manifest: &mut Manifest, rows: &mut RowFiles, part: Part, facts: &JobFacts) {
    match part {
        Part::Source { source, splits } => manifest.sources.entry(source).or_default().splits.extend(splits),
        Part::Sink { sink, shard, staged } => {
            let SinkState { shards } = manifest.sinks.entry(sink).or_default();
            shards.push(ShardState { shard, staged });
        }
        Part::Operator(part) => add_operator(manifest, rows, part, facts),
        Part::Nothing => {}
    }
}

fn add_operator(manifest: &mut Manifest, rows: &mut RowFiles, part: OperatorPart, facts: &JobFacts) {
    let OperatorPart { operator, worker, key_groups, watermark, states, files, new_bytes, savepoint } = part;
    manifest.bytes += new_bytes;
    rows.extend(savepoint.map(|file| ((operator.clone(), worker), file)));
    let component = facts.components.get(&operator).cloned().unwrap_or_default();
    let shape = facts.shapes.get(&operator).cloned();
    let new = || OperatorState { component, watermark, states: states.clone(), shape, tasks: Vec::new() };
    let state = manifest.operators.entry(operator).or_insert_with(new);
    add_versions(&mut state.states, &states);
    state.tasks.push(TaskState { worker, key_groups, files });
}

/// Every worker knows the versions of its own values.
fn add_versions(states: &mut [StateEntry], more: &[StateEntry]) {
    for state in states {
        let Some(other) = more.iter().find(|other| other.id == state.id) else { continue };
        state.versions.extend(&other.versions);
        state.versions.sort_unstable();
        state.versions.dedup();
    }
}

/// The manifest of a savepoint: the files of its rows in the place of state files, and no output that is staged.
pub(super) fn of_savepoint(manifest: &Manifest, rows: &RowFiles) -> Manifest {
    let mut manifest = manifest.clone();
    for (name, operator) in &mut manifest.operators {
        for task in &mut operator.tasks {
            task.files = rows.get(&(name.clone(), task.worker)).into_iter().cloned().collect();
        }
    }
    for shard in manifest.sinks.values_mut().flat_map(|sink| &mut sink.shards) {
        shard.staged.clear();
    }
    manifest
}
