//! What a component says of itself: the result of `describe`, as plain values.
//!
//! The words are those of `wit/operator.wit`, interface `description`.

use crate::job::DEAD_LETTER;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Which of the three contracts a component fulfils.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum World {
    /// Records in, records out, nothing kept.
    Stateless,
    /// Records grouped by key, with keyed state and timers.
    Keyed,
    /// Accumulators per key and window.
    Aggregate,
}

impl World {
    /// All worlds.
    pub const ALL: [World; 3] = [World::Stateless, World::Keyed, World::Aggregate];

    /// The world's name in the contract.
    pub fn name(self) -> &'static str {
        match self {
            World::Stateless => "stateless",
            World::Keyed => "keyed",
            World::Aggregate => "aggregate",
        }
    }

    /// The interface a component of this world exports.
    pub fn interface(self) -> &'static str {
        match self {
            World::Stateless => "transformer",
            World::Keyed => "processor",
            World::Aggregate => "aggregator",
        }
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a state keeps its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StateKind {
    /// One value per key.
    Value,
    /// A list per key, appended to.
    List,
    /// A map per key, scanned in key order.
    Map,
    /// An accumulator of world `aggregate`, per key and pane.
    Aggregating,
}

impl StateKind {
    /// The kind's name in the contract.
    pub fn name(self) -> &'static str {
        match self {
            StateKind::Value => "value",
            StateKind::List => "list",
            StateKind::Map => "map",
            StateKind::Aggregating => "aggregating",
        }
    }
}

/// Which clock a timer follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimerClock {
    /// The watermark.
    Event,
    /// The worker's clock.
    Processing,
}

/// The contract of a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateDecl {
    /// By which the state is found again.
    pub name: String,
    /// How it keeps its entries.
    pub kind: StateKind,
    /// Name of the encoding: `json`, `postcard`, `raw`, …
    pub format: String,
    /// What a value looks like, in the words of the format.
    pub schema: String,
    /// Schema version of values written now.
    pub version: u32,
    /// Oldest schema version that `migrate` takes.
    pub oldest: u32,
    /// Whether the value is put into every batch. States that ride come before those that do not.
    pub rides: bool,
    /// Time-to-live in milliseconds; 0: for ever.
    pub ttl_ms: u64,
    /// More settings.
    pub options: Vec<(String, String)>,
}

/// An input or output.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// Name of the port. The first output is the operator's main output, the others are side outputs.
    pub name: String,
    /// Name of the encoding of its values.
    pub format: String,
    /// What a value looks like.
    pub schema: String,
}

/// A timer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimerDecl {
    /// Name of the timer; its slot is its place in the list.
    pub name: String,
    /// Which clock it follows.
    pub clock: TimerClock,
}

/// Names of outputs that operators have from the host: records behind the watermark, and records set aside. A component
/// cannot declare an output so called.
pub const HOST_OUTPUTS: [&str; 2] = ["late", DEAD_LETTER];

/// What a component says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Name of the operator.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The SDK it was built with.
    pub sdk: String,
    /// Inputs; none declared is one input.
    pub inputs: Vec<Port>,
    /// Outputs; none declared is one output.
    pub outputs: Vec<Port>,
    /// States, those that ride first.
    pub states: Vec<StateDecl>,
    /// Timers, by slot.
    pub timers: Vec<TimerDecl>,
    /// More settings.
    pub options: Vec<(String, String)>,
}

impl Description {
    /// Number of states that ride in every batch.
    pub fn riding_states(&self) -> usize {
        self.states.iter().take_while(|state| state.rides).count()
    }

    /// Whether it sees windows only.
    pub fn needs_window(&self) -> bool {
        self.options.iter().any(|(name, value)| name == "window" && value == "required")
    }

    /// Number of outputs; at least the main one.
    pub fn output_count(&self) -> usize {
        self.outputs.len().max(1)
    }
}
