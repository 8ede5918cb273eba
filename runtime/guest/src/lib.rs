//! Runs users' components: the only crate that knows wasmtime. It knows neither connectors nor timely nor any state
//! backend; state comes in as a [`KeyedState`](tidewheel_types::keyed_state::KeyedState).
//!
//! Read in this order: `runtime` holds the settings; `component` loads a component and checks it against the
//! contract in `wit/`; `instance` calls its functions, within `limits` and a `deadline`; `frame` writes what
//! goes in, `output` checks what comes out; `host` has the functions that guests import. `trap` and `error` say
//! what went wrong; a `capsule` keeps a call that failed, so that it can be made again. A `script`
//! is an operator's source that a component takes when it starts.

mod bindings;
mod cache;
mod capsule;
mod component;
mod deadline;
mod describe;
mod error;
mod frame;
mod host;
mod instance;
mod limits;
mod lines;
mod output;
mod runtime;
mod script;
mod trap;

pub use bindings::{HttpProblem, HttpRequest, HttpResponse};
pub use capsule::{Capsule, CapsuleError, CapsuleFacts, Failed};
pub use component::{Component, Import};
pub use error::{GuestError, Trap, TrapCause};
pub use frame::{Frame, FrameError, FrameWriter, column};
pub use host::http::{HttpAccess, HttpAnswer, HttpAnswers, ProblemCode, Unanswered, check_request};
pub use host::log::{Blamed, LogBudget, LogLine};
pub use host::metrics::{Histogram, MetricValue, Metrics};
pub use instance::{Call, Export, Instance, InstanceSettings};
pub use limits::{Limits, PIECE_DEADLINE_MS_MIN, piece_deadline_ms};
pub use output::{CallShape, Mark, Output, TimerOp, TimerOpKind};
pub use runtime::{Runtime, RuntimeOptions};
