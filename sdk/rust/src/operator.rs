//! What the `#[operator]` attribute writes for a struct, and what the worlds do with it.

use crate::error::{Error, Result};
use crate::format::Format;
use crate::state::StateField;
use crate::wit::keyed::tidewheel::operator::description::{Description, Port, StateDecl, TimerDecl};
use crate::wit::keyed::tidewheel::operator::types::Call;
use serde::de::DeserializeOwned;

/// An operator: a struct with `#[operator(stateless)]`, `#[operator(keyed)]`, `#[operator(process_window)]` or
/// `#[operator(aggregate)]`. The attribute implements this trait; what the operator does is said by
/// [`Stateless`](crate::Stateless), [`Keyed`](crate::Keyed), [`ProcessWindow`](crate::ProcessWindow) or
/// [`Aggregate`](crate::Aggregate).
pub trait Operator: Sized + 'static {
    /// The world it belongs to.
    #[doc(hidden)]
    type World: World<Self>;
    /// The format of its main output.
    #[doc(hidden)]
    type Output: Format;
    /// Number of states.
    #[doc(hidden)]
    const STATES: u32;
    /// Number of states that ride in the batch; they come first.
    #[doc(hidden)]
    const RIDING: u32;

    /// What it declares.
    #[doc(hidden)]
    fn declare() -> Declarations;

    /// Makes one, of the operator's config as JSON.
    #[doc(hidden)]
    fn create(config: &str) -> Result<Self>;

    /// Visits the fields with `#[state]`.
    #[doc(hidden)]
    fn each_state(&mut self, visit: impl FnMut(&mut dyn StateField));

    /// Brings a value of a state from an older schema version to the newest.
    #[doc(hidden)]
    fn migrate(state: u32, version: u32, old: &[u8], new: &mut Vec<u8>) -> Result<()>;
}

/// What an operator declares by its attributes.
pub struct Declarations {
    /// The package's name.
    pub name: &'static str,
    /// The package's version.
    pub version: &'static str,
    /// Names of inputs; none is one input.
    pub inputs: &'static [&'static str],
    /// Side outputs.
    pub outputs: Vec<Port>,
    /// States, those that ride first.
    pub states: Vec<StateDecl>,
    /// Timers.
    pub timers: Vec<TimerDecl>,
}

/// Which of the three worlds, and in world `keyed` whether it is called with windows.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Stateless,
    Keyed,
    ProcessWindow,
    Aggregate,
}

/// One of the three worlds, as the adapter between calls with batches and an operator's functions for records.
#[doc(hidden)]
pub trait World<O> {
    /// Which world it is.
    const KIND: Kind;
    /// The format of the operator's input.
    type In: Format;

    /// The operator's own part of opening it.
    fn opened(operator: &mut O) -> Result<()>;

    /// The call with new records.
    fn records(operator: &mut O, call: Call, frame: Vec<u8>) -> Result<Vec<u8>>;

    /// The call with what the watermark made due: timers or windows.
    fn due(operator: &mut O, call: Call, frame: Vec<u8>) -> Result<Vec<u8>>;
}

/// The answer to `describe`.
#[doc(hidden)]
pub fn describe<O: Operator>() -> Description {
    let declared = O::declare();
    let input = |name: &str| port::<<O::World as World<O>>::In>(name);
    let inputs = match declared.inputs {
        [] => vec![input("main")],
        names => names.iter().map(|name| input(name)).collect(),
    };
    let mut outputs = vec![port::<O::Output>("main")];
    outputs.extend(declared.outputs);
    // World `keyed` does not say so.
    let needs_window = <O::World as World<O>>::KIND == Kind::ProcessWindow;
    Description {
        name: declared.name.into(),
        version: declared.version.into(),
        sdk: concat!("rust ", env!("CARGO_PKG_VERSION")).into(),
        inputs,
        outputs,
        states: declared.states,
        timers: declared.timers,
        options: needs_window.then(|| ("window".into(), "required".into())).into_iter().collect(),
    }
}

/// A port of format `F`.
#[doc(hidden)]
pub fn port<F: Format>(name: &str) -> Port {
    Port { name: name.into(), format: F::NAME.into(), schema: F::schema() }
}

/// Reads a `#[config]` field. No table in the job file is an empty one.
#[doc(hidden)]
pub fn parse_config<C: DeserializeOwned>(config: &str) -> Result<C> {
    let config = if is_empty_config(config) { "{}" } else { config };
    serde_json::from_str(config)
        .map_err(|error| Error::fail(format_args!("config is not as the operator wants it: {error}")))
}

/// Refuses a config that nothing reads.
#[doc(hidden)]
pub fn refuse_config(config: &str) -> Result<()> {
    if is_empty_config(config) {
        return Ok(());
    }
    Err(Error::fail("this operator takes no config; remove it from the job file, or add a field with #[config]"))
}

fn is_empty_config(config: &str) -> bool {
    matches!(config.trim(), "" | "null" | "{}")
}
