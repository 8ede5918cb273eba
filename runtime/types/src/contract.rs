//! Does a job's state fit the job? The pure decision, before anything is stopped or restored.
//!
//! Where there is state, the number of key groups has to be the same. State is found by operator and name, never by its
//! place. `kind` and `format` have to be the same, `schema` too where versions are; values of an older version, from
//! `oldest` up, go through the component's `migrate`. A state that is in the snapshot and not in the job would be dropped,
//! and that has to be allowed by name. So has the loss of what else would have no owner: where a source was, what a split
//! had left to be read, timers, output that waits for its commit. What waits for its time has to mean the same
//! ([`shape`](crate::shape)).

use crate::OperatorId;
use crate::description::{StateDecl, StateKind};
use crate::shape::{Shape, ShapeError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// What a job declares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// Number of key groups.
    pub max_parallelism: u16,
    /// With the names of their splits.
    pub sources: Vec<(OperatorId, Vec<String>)>,
    /// In the order in which data flows.
    pub operators: Vec<(OperatorId, Vec<StateDecl>)>,
    /// The operators of which no component declares that.
    pub without_component: Vec<OperatorId>,
    /// The timers and windows of operators.
    pub shapes: Vec<(OperatorId, Shape)>,
    /// The sinks.
    pub sinks: Vec<OperatorId>,
}

/// What a snapshot holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Number of key groups; none when there is no operator with state.
    pub max_parallelism: Option<u16>,
    /// With the names of the splits that were not read to their end.
    pub sources: Vec<(OperatorId, Vec<String>)>,
    /// Those with state or timers.
    pub operators: Vec<(OperatorId, Vec<StoredState>)>,
    /// The timers and windows of those of which something may still wait for its time.
    pub shapes: Vec<(OperatorId, Shape)>,
    /// Those with output that may not have been committed.
    pub sinks: Vec<OperatorId>,
}

/// A state as a snapshot has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredState {
    /// By which it is found.
    pub name: String,
    /// How it keeps its entries.
    pub kind: StateKind,
    /// The encoding of its values.
    pub format: String,
    /// What a value of version `version` looks like.
    pub schema: String,
    /// The schema version of the component that wrote last.
    pub version: u32,
    /// The schema versions of the values that are there; none when there is no value.
    pub versions: BTreeSet<u32>,
}

/// What becomes of one state of one operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StateVerdict {
    /// The operator.
    pub operator: OperatorId,
    /// The state.
    pub state: String,
    /// What becomes of it.
    #[serde(flatten)]
    pub fate: Fate,
    /// Whether a component declares it.
    #[serde(skip)]
    pub has_component: bool,
}

/// What becomes of a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "fate", rename_all = "kebab-case")]
pub enum Fate {
    /// Its values are of the version that is written now.
    Reuse,
    /// Some values go through `migrate` first.
    Migrate {
        /// The older versions that are there.
        from: Vec<u32>,
        /// The version that is written now.
        to: u32,
    },
    /// The snapshot does not have it: it begins empty.
    New,
    /// The job does not have it.
    Drop,
    /// It cannot be used.
    Refuse {
        /// Why.
        #[serde(flatten)]
        mismatch: Mismatch,
    },
}

/// Why a stored state does not fit the declared one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "mismatch", rename_all = "kebab-case")]
pub enum Mismatch {
    /// It keeps its entries in another way.
    Kind {
        /// As it is in the snapshot.
        stored: StateKind,
        /// As the component declares it.
        declared: StateKind,
    },
    /// Its values are encoded in another way.
    Format {
        /// As it is in the snapshot.
        stored: String,
        /// As the component declares it.
        declared: String,
    },
    /// Two schemas under one version.
    Schema {
        /// The version.
        version: u32,
        /// As it is in the snapshot.
        stored: String,
        /// As the component declares it.
        declared: String,
    },
    /// Values of a version that `migrate` does not take.
    TooOld {
        /// The oldest version there is.
        stored: u32,
        /// The oldest version that `migrate` takes.
        oldest: u32,
        /// The version that is written now.
        declared: u32,
    },
    /// Values of a version that the component does not know yet.
    TooNew {
        /// The newest version there is.
        stored: u32,
        /// The version that is written now.
        declared: u32,
    },
    /// The state itself would fit, and its keys are looked for in other key groups.
    KeyGroups,
    /// The state itself would fit, and what waits for its time in the operator would be taken for something else.
    Shape,
}

/// What a snapshot has besides states, and the job has no place for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "part", rename_all = "kebab-case")]
pub enum Orphan {
    /// Where a source was.
    Source {
        /// The source.
        source: OperatorId,
    },
    /// What was left to be read of splits.
    Splits {
        /// Their source, which the job has.
        source: OperatorId,
        /// Their names.
        splits: Vec<String>,
    },
    /// The timers of an operator without states.
    Timers {
        /// The operator.
        operator: OperatorId,
    },
    /// Output that waits for its commit, or has just been committed.
    Output {
        /// The sink.
        sink: OperatorId,
    },
}

/// What becomes of every state of a job that starts from a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Contract {
    /// By operator in the order given, the declared states first.
    pub states: Vec<StateVerdict>,
    /// What waits for its time, and does not mean the same.
    pub shapes: Vec<ShapeError>,
    /// What else would be dropped.
    pub orphans: Vec<Orphan>,
    /// Numbers of key groups, where they differ: the snapshot's and the job's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_parallelism: Option<(u16, u16)>,
}

/// Everything for which a job cannot start from a snapshot: at least one thing.
///
/// Each prints with a hint after a blank line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContractErrors(pub Vec<ContractError>);

/// Why a job cannot start from a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContractError {
    /// A state does not fit.
    Refused {
        /// `OPERATOR.STATE`.
        state: String,
        /// Why.
        mismatch: Mismatch,
        /// The operator, if no component declares its states.
        without_component: Option<OperatorId>,
    },
    /// What waits for its time would be taken for something else.
    Shape(ShapeError),
    /// The keys are in other key groups than the job looks for them.
    MaxParallelism {
        /// Number of key groups of the snapshot.
        stored: u16,
        /// Number of key groups of the job.
        declared: u16,
    },
    /// Something would be dropped, and that was not allowed.
    Dropped {
        /// Each `OPERATOR.STATE`.
        states: Vec<String>,
        /// What else.
        orphans: Vec<Orphan>,
    },
    /// A drop was allowed of something that would not be dropped: probably a slip.
    NotDropped {
        /// What was allowed.
        name: String,
        /// What would be dropped.
        dropped: Vec<String>,
    },
}

/// Decides about one state: `declared` by the component, `stored` in the snapshot.
pub fn fate(declared: &StateDecl, stored: &StoredState) -> Fate {
    let refuse = |mismatch| Fate::Refuse { mismatch };
    if declared.kind != stored.kind {
        return refuse(Mismatch::Kind { stored: stored.kind, declared: declared.kind });
    }
    if declared.format != stored.format {
        return refuse(Mismatch::Format { stored: stored.format.clone(), declared: declared.format.clone() });
    }
    let version = declared.version;
    let (Some(&oldest), Some(&newest)) = (stored.versions.first(), stored.versions.last()) else {
        return Fate::Reuse;
    };
    if newest > version {
        return refuse(Mismatch::TooNew { stored: newest, declared: version });
    }
    if version == stored.version && newest == version && declared.schema != stored.schema {
        let (stored, declared) = (stored.schema.clone(), declared.schema.clone());
        return refuse(Mismatch::Schema { version, stored, declared });
    }
    if oldest < declared.oldest {
        return refuse(Mismatch::TooOld { stored: oldest, oldest: declared.oldest, declared: version });
    }
    let from: Vec<u32> = stored.versions.iter().copied().filter(|&stored| stored < version).collect();
    if from.is_empty() { Fate::Reuse } else { Fate::Migrate { from, to: version } }
}

impl Contract {
    /// Decides about everything a snapshot holds.
    pub fn new(declared: &Declared, stored: &Stored) -> Contract {
        let differs = stored.max_parallelism.filter(|&stored| stored != declared.max_parallelism);
        let shapes = shapes(declared, stored);
        let mut states = verdicts(declared, &stored.operators);
        for StateVerdict { operator, fate, .. } in &mut states {
            let mismatch = match () {
                () if differs.is_some() => Mismatch::KeyGroups,
                () if shapes.iter().any(|error| error.operator() == operator) => Mismatch::Shape,
                () => continue,
            };
            if matches!(fate, Fate::Reuse | Fate::Migrate { .. }) {
                *fate = Fate::Refuse { mismatch };
            }
        }
        let max_parallelism = differs.map(|stored| (stored, declared.max_parallelism));
        Contract { states, shapes, orphans: orphans(declared, stored), max_parallelism }
    }

    /// Whether a job may start with this: nothing is refused, and what would be dropped is in `allowed`: as `OPERATOR` or
    /// `OPERATOR.STATE`, as `SOURCE` or as `SINK`.
    pub fn check(&self, allowed: &[String]) -> Result<(), ContractErrors> {
        let key_groups = self.max_parallelism;
        let key_groups = key_groups.map(|(stored, declared)| ContractError::MaxParallelism { stored, declared });
        let mut errors: Vec<ContractError> = key_groups.into_iter().collect();
        errors.extend(self.states.iter().filter_map(StateVerdict::error));
        errors.extend(self.shapes.iter().cloned().map(ContractError::Shape));
        errors.extend(self.check_drops(allowed));
        if errors.is_empty() { Ok(()) } else { Err(ContractErrors(errors)) }
    }

    /// What is wrong with what would be dropped.
    fn check_drops(&self, allowed: &[String]) -> Vec<ContractError> {
        let states = self.states.iter().filter(|verdict| verdict.fate == Fate::Drop);
        // What it belongs to, and its own name.
        let states: Vec<_> = states.map(|verdict| (verdict.operator.as_str(), verdict.name())).collect();
        let orphans: Vec<_> =
            self.orphans.iter().map(|orphan| (orphan.owner().as_str(), orphan.owner().to_string())).collect();
        let dropped = || states.iter().chain(&orphans);
        let is_named = |allowed: &str, (owner, name): &(&str, String)| allowed == *owner || allowed == name;
        let slips = allowed.iter().filter(|name| !dropped().any(|dropped| is_named(name, dropped)));
        let mut errors: Vec<ContractError> = slips
            .map(|name| ContractError::NotDropped {
                name: name.clone(),
                dropped: dropped().map(|(_, name)| name.clone()).collect(),
            })
            .collect();
        let is_allowed = |dropped: &(&str, String)| allowed.iter().any(|name| is_named(name, dropped));
        let states: Vec<String> =
            states.iter().filter(|state| !is_allowed(state)).map(|(_, name)| name.clone()).collect();
        let forbidden = self.orphans.iter().zip(&orphans).filter(|(_, named)| !is_allowed(named));
        let orphans: Vec<Orphan> = forbidden.map(|(orphan, _)| orphan.clone()).collect();
        if !states.is_empty() || !orphans.is_empty() {
            errors.push(ContractError::Dropped { states, orphans });
        }
        errors
    }
}

/// What waits for its time, and does not mean the same.
fn shapes(declared: &Declared, stored: &Stored) -> Vec<ShapeError> {
    let pairs = declared.shapes.iter().filter_map(|(operator, shape)| {
        let (_, stored) = stored.shapes.iter().find(|(stored, _)| stored == operator)?;
        Some((operator, shape, stored))
    });
    let checked = pairs.map(|(operator, shape, stored)| {
        let has_component = !declared.without_component.contains(operator);
        shape.check(operator, has_component, stored)
    });
    checked.filter_map(Result::err).collect()
}

/// Decides about every state; `stored` are the operators of the snapshot.
fn verdicts(job: &Declared, stored: &[(OperatorId, Vec<StoredState>)]) -> Vec<StateVerdict> {
    let (mut states, declared) = (Vec::new(), &job.operators);
    let verdict = |operator: &OperatorId, state: &str, fate| StateVerdict {
        operator: operator.clone(),
        state: state.to_owned(),
        fate,
        has_component: !job.without_component.contains(operator),
    };
    for (operator, declared) in declared {
        let found = stored.iter().find(|(id, _)| id == operator).map(|(_, states)| states.as_slice());
        let stored = found.unwrap_or_default();
        for declared in declared {
            let found = stored.iter().find(|stored| stored.name == declared.name);
            states.push(verdict(operator, &declared.name, found.map_or(Fate::New, |stored| fate(declared, stored))));
        }
        let is_gone = |stored: &&StoredState| declared.iter().all(|declared| declared.name != stored.name);
        states.extend(stored.iter().filter(is_gone).map(|stored| verdict(operator, &stored.name, Fate::Drop)));
    }
    let is_gone = |(operator, _): &&(OperatorId, _)| declared.iter().all(|(id, _)| id != operator);
    for (operator, gone) in stored.iter().filter(is_gone) {
        states.extend(gone.iter().map(|stored| verdict(operator, &stored.name, Fate::Drop)));
    }
    states
}

/// What the job has no place for, besides states.
fn orphans(declared: &Declared, stored: &Stored) -> Vec<Orphan> {
    let mut orphans = Vec::new();
    for (source, splits) in &stored.sources {
        let Some((_, declared)) = declared.sources.iter().find(|(id, _)| id == source) else {
            orphans.push(Orphan::Source { source: source.clone() });
            continue;
        };
        let splits: Vec<String> = splits.iter().filter(|split| !declared.contains(split)).cloned().collect();
        if !splits.is_empty() {
            orphans.push(Orphan::Splits { source: source.clone(), splits });
        }
    }
    let operators = stored
        .operators
        .iter()
        .filter(|(id, states)| states.is_empty() && declared.operators.iter().all(|(declared, _)| declared != id));
    orphans.extend(operators.map(|(operator, _)| Orphan::Timers { operator: operator.clone() }));
    let sinks = stored.sinks.iter().filter(|sink| !declared.sinks.contains(sink));
    orphans.extend(sinks.map(|sink| Orphan::Output { sink: sink.clone() }));
    orphans
}

impl Orphan {
    /// Whose it is: by that name its loss is allowed.
    pub fn owner(&self) -> &OperatorId {
        match self {
            Orphan::Source { source } | Orphan::Splits { source, .. } => source,
            Orphan::Timers { operator } => operator,
            Orphan::Output { sink } => sink,
        }
    }
}

impl fmt::Display for Orphan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Orphan::Source { source } => write!(f, "the positions of source {source}"),
            Orphan::Splits { source, splits } => match &splits[..] {
                [split] => write!(f, "the rest of split {split:?} of source {source}"),
                _ => write!(f, "the rest of {} splits of source {source}, such as {:?},", splits.len(), splits[0]),
            },
            Orphan::Timers { operator } => write!(f, "the timers of operator {operator}"),
            Orphan::Output { sink } => write!(f, "the last output of sink {sink}, which may not be committed yet,"),
        }
    }
}

impl StateVerdict {
    /// `OPERATOR.STATE`.
    pub fn name(&self) -> String {
        format!("{}.{}", self.operator, self.state)
    }

    /// What is wrong with the state itself.
    fn error(&self) -> Option<ContractError> {
        match &self.fate {
            // The error of the whole says it.
            Fate::Refuse { mismatch: Mismatch::KeyGroups | Mismatch::Shape } => None,
            Fate::Refuse { mismatch } => Some(ContractError::Refused {
                state: self.name(),
                mismatch: mismatch.clone(),
                without_component: (!self.has_component).then(|| self.operator.clone()),
            }),
            Fate::Reuse | Fate::Migrate { .. } | Fate::New | Fate::Drop => None,
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fate::Reuse => f.write_str("reuse"),
            Fate::Migrate { from, to } => {
                let from: Vec<String> = from.iter().map(u32::to_string).collect();
                write!(f, "migrate from version {} to {to}", from.join(", "))
            }
            Fate::New => f.write_str("new"),
            Fate::Drop => f.write_str("would be dropped"),
            Fate::Refuse { mismatch } => write!(f, "refused: {mismatch}"),
        }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mismatch::Kind { stored, declared } => {
                write!(f, "its kind is {}, and that of the snapshot {}", declared.name(), stored.name())
            }
            Mismatch::Format { stored, declared } => {
                write!(f, "its format is {declared:?}, and that of the snapshot {stored:?}")
            }
            Mismatch::Schema { version, stored, declared } => {
                write!(
                    f,
                    "its schema is {declared:?}, and that of the snapshot {stored:?}, both under version {version}"
                )
            }
            Mismatch::TooOld { stored, oldest, declared } if oldest == declared => {
                write!(
                    f,
                    "the snapshot has values of version {stored}, and its component takes version {declared} only"
                )
            }
            Mismatch::TooOld { stored, oldest, .. } => {
                write!(f, "the snapshot has values of version {stored}, and its component migrates from {oldest} on")
            }
            Mismatch::TooNew { stored, declared } => {
                write!(f, "the snapshot has values of version {stored}, and its component knows them up to {declared}")
            }
            Mismatch::KeyGroups => f.write_str("its keys are in other key groups"),
            Mismatch::Shape => f.write_str("the timers or windows of its operator are others"),
        }
    }
}

impl Mismatch {
    /// What the author of a component can do about it.
    fn hint(&self) -> &'static str {
        match self {
            Mismatch::Kind { .. } | Mismatch::Format { .. } => {
                "give the new state another name, and allow the old one to be dropped with --allow-drop"
            }
            Mismatch::Schema { .. } => "raise the state's version, and write a `migrate` from the one before",
            Mismatch::TooOld { .. } => "write a `migrate` from that version on, and declare it as the oldest",
            Mismatch::TooNew { .. } => "start the component that wrote the snapshot, or a newer one",
            Mismatch::KeyGroups | Mismatch::Shape => "start from a savepoint that was drained",
        }
    }
}

impl fmt::Display for ContractError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ContractError::Refused { state, mismatch, without_component } => {
                write!(f, "state {state} cannot be restored: {mismatch}\n\nhint: ")?;
                match without_component {
                    None => f.write_str(mismatch.hint()),
                    Some(operator) => write!(
                        f,
                        "give the operator another name, and allow what it has kept to be dropped: --allow-drop {operator}"
                    ),
                }
            }
            ContractError::Shape(error) => error.fmt(f),
            ContractError::MaxParallelism { stored, declared } => write!(
                f,
                "the job has max-parallelism = {declared}, and its state was written with {stored}: that is fixed for the \
                 life of the state\n\nhint: set max-parallelism = {stored}"
            ),
            ContractError::Dropped { states, orphans } => {
                let noun = if states.len() == 1 { "state" } else { "states" };
                let states_text = (!states.is_empty()).then(|| format!("{noun} {}", states.join(", ")));
                let what: Vec<String> =
                    states_text.into_iter().chain(orphans.iter().map(ToString::to_string)).collect();
                let it = if states.len() == 1 { "it" } else { "them" };
                let (why, put_back) = match orphans.is_empty() {
                    true => (format!("the job does not have {it}"), ""),
                    false => {
                        ("the job has no place for that".to_owned(), "put back what is gone, under its old name, or, ")
                    }
                };
                let names = states.iter().cloned().chain(orphans.iter().map(|orphan| orphan.owner().to_string()));
                let allow: Vec<String> = names.map(|name| format!("--allow-drop {name}")).collect();
                write!(f, "{} would be dropped: {why}\n\n", what.join(", "))?;
                write!(f, "hint: {put_back}to allow it, add {}", allow.join(" "))
            }
            ContractError::NotDropped { name, dropped } if dropped.is_empty() => {
                write!(f, "--allow-drop {name}: nothing would be dropped\n\nhint: remove it")
            }
            ContractError::NotDropped { name, dropped } => {
                write!(
                    f,
                    "--allow-drop {name}: nothing of that name would be dropped\n\nhint: it is {}",
                    dropped.join(", ")
                )
            }
        }
    }
}

impl fmt::Display for ContractErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, error) in self.0.iter().enumerate() {
            // Whoever prints them has begun the first one.
            let separator = if number > 0 { "\n\nerror: " } else { "" };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ContractErrors {}

#[cfg(test)]
mod tests;
