//! The processes of a job: supervised, connected, each sure of its peers.

mod channel;
mod ended;
mod error;
mod folder;
mod handshake;
mod join;
mod registry;
mod restart;
mod secret;
mod side;
mod stream;
mod supervisor;
mod sys;
mod worker;

pub use channel::{Channel, MESSAGE_BYTES_MAX};
pub use ended::{Ended, How, Kind, LastWords};
pub use error::ClusterError;
pub use folder::DataFolder;
pub use handshake::Member;
pub use join::{DataSockets, Meeting, Peers, join, listen};
pub use registry::{Registration, Registry, RunningJob};
pub use restart::{Restart, RestartStrategy, Restarts};
pub use secret::Secret;
pub use side::{Credit, Heartbeat, Loss, LostPeer, SIDE_MESSAGE_BYTES_MAX, SideChannels, SideHandler, SideSockets};
pub use supervisor::Supervisor;
pub use worker::{attach, die_with_parent};
