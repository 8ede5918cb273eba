//! What can go wrong with a guest: it cannot be loaded, or a call of it failed.

use crate::frame::FrameError;
use crate::host::log::Blamed;
use std::fmt;
use std::path::PathBuf;
use tidewheel_types::keyed_state::KeyedStateError;

/// An error of a component or of a call.
///
/// Errors of loading name the component. Errors of calls name the exported function; the operator is a field, since
/// whoever passes them on says it anyway.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuestError {
    /// The runtime itself cannot be started.
    #[error("the runtime of components cannot be started: {reason}")]
    Start {
        /// Why not.
        reason: String,
    },

    /// The file cannot be read.
    #[error("cannot read component {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },

    /// The file is something else.
    #[error("{component} is not WebAssembly: give the path of a component, as an SDK's build makes it")]
    NotWebAssembly {
        /// The component.
        component: String,
    },

    /// The file is a core module.
    #[error(
        "{component} is a core module, not a component: `tidewheel build {component} --out FOLDER` makes one of it"
    )]
    CoreModule {
        /// The component.
        component: String,
    },

    /// The component does not compile.
    #[error("{component} is not a valid component: {reason}")]
    Invalid {
        /// The component.
        component: String,
        /// Why not.
        reason: String,
    },

    /// The component is made for a contract that this host does not speak.
    #[error(
        "{component} is built for {found}, but this host speaks version {spoken} of the contract: build it with an SDK \
         of that version"
    )]
    OtherVersion {
        /// The component.
        component: String,
        /// The interface it imports or exports, with its version.
        found: String,
        /// The version spoken here.
        spoken: &'static str,
    },

    /// The component is no operator.
    #[error("{component} is not an operator: it exports none of {expected}")]
    NoInterface {
        /// The component.
        component: String,
        /// The interfaces of the three worlds.
        expected: String,
    },

    /// The component exports the interfaces of several worlds.
    #[error("{component} exports both {first} and {second}: an operator is of one world")]
    SeveralInterfaces {
        /// The component.
        component: String,
        /// An interface.
        first: String,
        /// Another one.
        second: String,
    },

    /// A function of the contract is not there.
    #[error("{component} exports {interface} without its function {function}: build it against the contract's WIT")]
    MissingFunction {
        /// The component.
        component: String,
        /// The interface.
        interface: String,
        /// The function.
        function: &'static str,
    },

    /// A function is not the one of the contract.
    #[error(
        "{component} exports {interface} with a function {function} of another type ({reason}): build it against the \
         contract's WIT"
    )]
    MistypedFunction {
        /// The component.
        component: String,
        /// The interface.
        interface: String,
        /// The function.
        function: &'static str,
        /// How they differ.
        reason: String,
    },

    /// The component needs something that no host function gives.
    #[error("{component} imports {import}, which this host does not offer: {fix}")]
    UnknownImport {
        /// The component.
        component: String,
        /// The import.
        import: String,
        /// What to do.
        fix: &'static str,
    },

    /// The component imports something of the contract as another type.
    #[error("{component} imports something of another type than the contract's ({reason}): build it against its WIT")]
    MistypedImport {
        /// The component.
        component: String,
        /// How they differ.
        reason: String,
    },

    /// The component contradicts itself in `describe`.
    #[error("{component} describes itself wrongly: {problem}")]
    Description {
        /// The component.
        component: String,
        /// What is wrong.
        problem: String,
    },

    /// A script that its component cannot take.
    #[error("{component}: {reason}")]
    Script {
        /// The component, or the operator that runs it.
        component: String,
        /// What is wrong with it, and in which line.
        reason: String,
    },

    /// The guest was stopped by an illegal action or a limit. Nothing it did in the call counts.
    #[error(transparent)]
    Trapped(Box<Trap>),

    /// The host could not read the state that a guest asked for. The guest is not to blame.
    #[error("`{function}` could not read state: {source}")]
    State {
        /// The exported function that was called.
        function: &'static str,
        /// What the state backend says.
        source: KeyedStateError,
    },

    /// The host cannot send requests over HTTP at all. The guest is not to blame.
    #[error("requests over HTTP cannot be sent: {reason}")]
    Http {
        /// Why not.
        reason: String,
    },

    /// The guest returned an error.
    #[error("`{function}` failed: {message} (code {code})")]
    Failed {
        /// The operator.
        operator: String,
        /// The exported function.
        function: &'static str,
        /// 1: the job must fail, 2: the batch may be tried again later; others are as 1.
        code: u32,
        /// What the guest says.
        message: String,
    },

    /// The guest returned a frame that is none.
    #[error("`{function}` returned a frame that breaks the contract: {source}")]
    BadFrame {
        /// The operator.
        operator: String,
        /// The exported function.
        function: &'static str,
        /// What is wrong with it.
        source: FrameError,
    },

    /// A key would have more state after the call than the operator's limit. Nothing the call did counts.
    #[error(
        "after `{function}` a key would have {bytes} bytes of state or more; `limits.state` lets it have {bytes_max}"
    )]
    StateTooLarge {
        /// The exported function.
        function: &'static str,
        /// What has been counted when it was too much.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },

    /// Values of state of an older schema version could not be taken to the newest.
    #[error("cannot migrate state {state} from version {version}: {source}")]
    Migrate {
        /// The state's name.
        state: String,
        /// The version its values were written under.
        version: u32,
        /// Which of the values given is to blame, if it is one.
        value: Option<usize>,
        /// What `migrate` did.
        source: Box<GuestError>,
    },

    /// The host gave a frame that is none: the caller's fault.
    #[error("the frame for `{function}` breaks the contract: {source}")]
    BadInput {
        /// The exported function.
        function: &'static str,
        /// What is wrong with it.
        source: FrameError,
    },

    /// The component's world has no such function: the caller's fault.
    #[error("a component of world {world} has no function `{function}`")]
    NotInWorld {
        /// The component's world.
        world: tidewheel_types::World,
        /// The exported function.
        function: &'static str,
    },
}

/// What an instance runs without any record: its core modules' start functions and, by name, exported functions.
const BEFORE_ANY_CALL: [&str; 4] = ["start", "load", "describe", "open"];

impl GuestError {
    /// Whether the records of the call may be to blame: then a smaller batch may show which. For a trap while the
    /// instance was being made ready for the call, whatever its cause, they are not.
    pub fn is_poison(&self) -> bool {
        match self {
            GuestError::Trapped(trap) => !BEFORE_ANY_CALL.contains(&trap.function),
            GuestError::Migrate { source, .. } => source.is_poison(),
            error => matches!(error, GuestError::BadFrame { .. } | GuestError::StateTooLarge { .. }),
        }
    }

    /// How and where the guest was stopped, if it was.
    pub fn trap(&self) -> Option<&Trap> {
        match self {
            GuestError::Trapped(trap) => Some(trap),
            GuestError::Migrate { source, .. } => source.trap(),
            _ => None,
        }
    }

    pub(crate) fn trap_mut(&mut self) -> Option<&mut Trap> {
        match self {
            GuestError::Trapped(trap) => Some(trap),
            GuestError::Migrate { source, .. } => source.trap_mut(),
            _ => None,
        }
    }

    /// The record that the guest has blamed for a trap: surely one of the call's, but it may be the wrong one.
    pub fn blamed(&self) -> Option<&Blamed> {
        self.trap().and_then(|trap| trap.blamed.as_ref())
    }

    /// Whether the call was ended while it waited for the network: its records may be good all the same.
    pub fn waited(&self) -> bool {
        self.trap().is_some_and(|trap| matches!(trap.cause, TrapCause::Unanswered { .. }))
    }

    /// Whether the guest asks for the same batch again later.
    pub fn is_retryable(&self) -> bool {
        match self {
            GuestError::Migrate { source, .. } => source.is_retryable(),
            error => matches!(error, GuestError::Failed { code: 2, .. }),
        }
    }
}

/// How and where a guest was stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trap {
    /// The operator.
    pub operator: String,
    /// The exported function that was called; `start` if the instance was still being made.
    pub function: &'static str,
    /// Why.
    pub cause: TrapCause,
    /// The guest's functions, the innermost first.
    pub backtrace: Vec<String>,
    /// Where each of them was in the component, until it is known in which line.
    pub(crate) addresses: Vec<Option<u64>>,
    /// The record that the guest blamed just before, if it did.
    pub blamed: Option<Blamed>,
}

/// Why a guest was stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrapCause {
    /// An illegal action: a panic, an access out of bounds, a host call it must not make.
    Illegal(String),
    /// The call took longer than this.
    Deadline {
        /// The limit.
        deadline_ms_max: u64,
    },
    /// The call waited for an answer over HTTP until it had taken this long.
    Unanswered {
        /// The limit.
        deadline_ms_max: u64,
    },
    /// The guest asked for more memory than this, and could not do without.
    Memory {
        /// The limit.
        memory_bytes_max: u64,
    },
    /// The call returned more than this, or handed it over in host calls.
    Output {
        /// The limit.
        output_bytes_max: u64,
    },
    /// A host call asked for more state than this at once.
    StateRead {
        /// The limit, which is that of the output.
        output_bytes_max: u64,
    },
    /// A host call was answered more than this at once.
    Received {
        /// The limit, which is that of the output.
        output_bytes_max: u64,
    },
}

impl fmt::Display for TrapCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TrapCause::Illegal(reason) => f.write_str(reason),
            TrapCause::Deadline { deadline_ms_max } => write!(f, "it took longer than its {deadline_ms_max} ms"),
            TrapCause::Unanswered { deadline_ms_max } => {
                write!(
                    f,
                    "it waited for an answer over HTTP longer than its {deadline_ms_max} ms: give requests a timeout"
                )
            }
            TrapCause::Memory { memory_bytes_max } => {
                write!(f, "it needs more than its {memory_bytes_max} bytes of memory")
            }
            TrapCause::Output { output_bytes_max } => {
                write!(f, "it gave more than its {output_bytes_max} bytes of output")
            }
            TrapCause::Received { output_bytes_max } => {
                write!(f, "it received more than {output_bytes_max} bytes in one host call, its limit of output")
            }
            TrapCause::StateRead { output_bytes_max } => {
                write!(f, "it read more than {output_bytes_max} bytes of state in one host call, its limit of output")
            }
        }
    }
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` trapped: {}", self.function, self.cause)?;
        if let Some(Blamed { record, message }) = &self.blamed {
            write!(f, "\n  to blame is record {record} of the batch: {message}")?;
        }
        for function in &self.backtrace {
            write!(f, "\n  in {function}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Trap {}

impl From<Trap> for GuestError {
    fn from(trap: Trap) -> Self {
        GuestError::Trapped(Box::new(trap))
    }
}
