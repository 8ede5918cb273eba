//! The processes of a job: supervised, connected, each sure of its peers.

mod channel;
mod ended;
mod error;
mod folder;
mod registry;
mod restart;
mod supervisor;
mod sys;
mod worker;

pub use channel::{Channel, MESSAGE_BYTES_MAX};
pub use ended::{Ended, How, Kind, LastWords};
pub use error::ClusterError;
pub use folder::DataFolder;
pub use registry::{Registration, Registry, RunningJob};
pub use restart::{Restart, RestartStrategy, Restarts};
pub use supervisor::Supervisor;
pub use worker::{attach, die_with_parent};
