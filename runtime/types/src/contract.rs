//! Does a job's state fit the job? The pure decision, before anything is stopped or restored.
//!
//! State is found by operator and name, never by its place. `kind` and `format` have to be the same, `schema` too where
//! versions are; values of an older version, from `oldest` up, go through the component's `migrate`. A state that is in
//! the snapshot and not in the job would be dropped, and that has to be allowed by name.

use crate::OperatorId;
use crate::description::{StateDecl, StateKind};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

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
}

/// What becomes of every state of a job that starts from a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Contract {
    /// By operator in the order given, the declared states first.
    pub states: Vec<StateVerdict>,
}

/// Why a job cannot start from a snapshot.
///
/// It prints with a hint after a blank line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContractError {
    /// A state does not fit.
    Refused {
        /// `OPERATOR.STATE`.
        state: String,
        /// Why.
        mismatch: Mismatch,
    },
    /// States would be dropped, and that was not allowed.
    Dropped {
        /// Each `OPERATOR.STATE`.
        states: Vec<String>,
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
    /// Decides about every state of a job: `declared` are its operators, `stored` those of the snapshot.
    pub fn new<'a>(
        declared: impl IntoIterator<Item = (&'a OperatorId, &'a [StateDecl])>,
        stored: &[(OperatorId, Vec<StoredState>)],
    ) -> Contract {
        let declared: Vec<(&OperatorId, &[StateDecl])> = declared.into_iter().collect();
        let mut states = Vec::new();
        let verdict = |operator: &OperatorId, state: &str, fate| StateVerdict {
            operator: operator.clone(),
            state: state.to_owned(),
            fate,
        };
        for &(operator, declared) in &declared {
            let found = stored.iter().find(|(id, _)| id == operator).map(|(_, states)| states.as_slice());
            let stored = found.unwrap_or_default();
            for declared in declared {
                let found = stored.iter().find(|stored| stored.name == declared.name);
                states.push(verdict(
                    operator,
                    &declared.name,
                    found.map_or(Fate::New, |stored| fate(declared, stored)),
                ));
            }
            let is_gone = |stored: &&StoredState| declared.iter().all(|declared| declared.name != stored.name);
            states.extend(stored.iter().filter(is_gone).map(|stored| verdict(operator, &stored.name, Fate::Drop)));
        }
        let is_gone = |(operator, _): &&(OperatorId, _)| declared.iter().all(|(id, _)| id != &operator);
        for (operator, gone) in stored.iter().filter(is_gone) {
            states.extend(gone.iter().map(|stored| verdict(operator, &stored.name, Fate::Drop)));
        }
        Contract { states }
    }

    /// Whether a job may start with this: nothing is refused, and what would be dropped is in `allowed`, as `OPERATOR` or
    /// `OPERATOR.STATE`.
    pub fn check(&self, allowed: &[String]) -> Result<(), ContractError> {
        for verdict in &self.states {
            if let Fate::Refuse { mismatch } = &verdict.fate {
                return Err(ContractError::Refused { state: verdict.name(), mismatch: mismatch.clone() });
            }
        }
        let dropped = || self.states.iter().filter(|verdict| verdict.fate == Fate::Drop);
        let names = |name: &str, verdict: &StateVerdict| name == verdict.operator.as_str() || name == verdict.name();
        if let Some(name) = allowed.iter().find(|name| !dropped().any(|verdict| names(name, verdict))) {
            let dropped = dropped().map(StateVerdict::name).collect();
            return Err(ContractError::NotDropped { name: name.clone(), dropped });
        }
        let forbidden = dropped().filter(|verdict| !allowed.iter().any(|name| names(name, verdict)));
        let states: Vec<String> = forbidden.map(StateVerdict::name).collect();
        if states.is_empty() { Ok(()) } else { Err(ContractError::Dropped { states }) }
    }
}

impl StateVerdict {
    /// `OPERATOR.STATE`.
    pub fn name(&self) -> String {
        format!("{}.{}", self.operator, self.state)
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
        }
    }
}

impl Mismatch {
    /// What the author of the component can do about it.
    fn hint(&self) -> &'static str {
        match self {
            Mismatch::Kind { .. } | Mismatch::Format { .. } => {
                "give the new state another name, and allow the old one to be dropped with --allow-drop"
            }
            Mismatch::Schema { .. } => "raise the state's version, and write a `migrate` from the one before",
            Mismatch::TooOld { .. } => "write a `migrate` from that version on, and declare it as the oldest",
            Mismatch::TooNew { .. } => "start the component that wrote the snapshot, or a newer one",
        }
    }
}

impl fmt::Display for ContractError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ContractError::Refused { state, mismatch } => {
                write!(f, "state {state} cannot be restored: {mismatch}\n\nhint: {}", mismatch.hint())
            }
            ContractError::Dropped { states } => {
                let allow: Vec<String> = states.iter().map(|state| format!("--allow-drop {state}")).collect();
                let (noun, it) = if states.len() == 1 { ("state", "it") } else { ("states", "them") };
                let (states, allow) = (states.join(", "), allow.join(" "));
                write!(f, "{noun} {states} would be dropped: the job does not have {it}\n\n")?;
                write!(f, "hint: to allow it, add {allow}")
            }
            ContractError::NotDropped { name, dropped } if dropped.is_empty() => {
                write!(f, "--allow-drop {name}: nothing would be dropped\n\nhint: remove it")
            }
            ContractError::NotDropped { name, dropped } => {
                write!(f, "--allow-drop {name}: no such state would be dropped\n\nhint: it is {}", dropped.join(", "))
            }
        }
    }
}

impl std::error::Error for ContractError {}

#[cfg(test)]
mod tests;
