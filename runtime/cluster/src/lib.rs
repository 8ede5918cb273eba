//! The processes of a job: supervised, connected, each sure of its peers.
//!
//! An attempt of a job is a number of worker processes, the same program in each. Its supervisor holds the job's data
//! folder, starts them, tells each what it is over a control channel, and ends all when one has failed:
//!
//! ```no_run
//! use serde::{Deserialize, Serialize};
//! use std::path::Path;
//! use std::process::Command;
//! use tidewheel_cluster::{ClusterError, DataFolder, Ended, Member, Registry, Secret, Supervisor};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Start {
//!     member: Member,
//! }
//!
//! # fn run(program: &str, attempt: u64, processes: usize, now_ms: i64) -> Result<Ended, ClusterError> {
//! let folder = DataFolder::open(Path::new("data/count"))?;
//! let _entry = Registry::of_user()?.register("count", &folder, now_ms)?;
//! let commands = (0..processes).map(|_| Command::new(program)).collect();
//! let on_message = |process, text: String| println!("process {process}: {text}");
//! let supervisor: Supervisor<Start, String> = Supervisor::start(commands, Some(&folder), on_message)?;
//! let secret = Secret::generate()?;
//! for process in 0..processes {
//!     let member = Member { job: "count".to_owned(), attempt, process, processes, secret: secret.clone() };
//!     supervisor.send(process, &Start { member })?;
//! }
//! let ended = supervisor.wait();
//! println!("{ended}"); // process 1 was ended by SIGKILL (somebody killed it, or …
//! # Ok(ended)
//! # }
//! ```
//!
//! A worker process attaches itself to its supervisor, then joins its peers:
//!
//! ```no_run
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Serialize, Deserialize)]
//! # struct Start { member: tidewheel_cluster::Member }
//! use std::sync::Arc;
//! use std::time::Duration;
//! use tidewheel_cluster::{Channel, ClusterError, Credit, DataSockets, Heartbeat, LostPeer, Meeting};
//! use tidewheel_cluster::{SideChannels, SideHandler, attach, join};
//!
//! struct Handler(Channel<String, Start>);
//!
//! impl SideHandler for Handler {
//!     fn credit(&self, peer: usize, credit: Credit) { /* the edge may send as many bytes again */ }
//!     fn message(&self, peer: usize, message: &[u8]) {}
//!     fn lost(&self, lost: LostPeer) {
//!         // A consequence: the supervisor looks for the cause elsewhere.
//!         let _ = self.0.send_last_words(lost.into());
//!         std::process::exit(1);
//!     }
//! }
//!
//! # fn run() -> Result<(), ClusterError> {
//! let channel: Channel<String, Start> = attach()?.expect("a supervisor has started us");
//! let Some(Start { member }) = channel.receive()? else { return Ok(()) };
//! let peers = join(&member, Meeting::Folder("data/count".into()), Duration::from_secs(60))?;
//! let side = SideChannels::start(peers.side, Heartbeat::default(), Arc::new(Handler(channel)))?;
//! match peers.data {
//!     DataSockets::Unix(sockets) => { /* timely's initialize_networking_from_sockets */ }
//!     DataSockets::Tcp(sockets) => { /* the same */ }
//! }
//! side.return_credit(0, Credit { edge: 3, epoch: 12, bytes: 4096 });
//! // At the end of the job, when all processes leave:
//! side.close(Duration::from_secs(5));
//! # Ok(())
//! # }
//! ```
//!
//! Traffic between processes is not encrypted: on several machines it belongs on a private network.
//!
//! Whether a job starts again after a failure is [`Restarts`]' to say.

mod folder;
mod registry;

mod course;
mod ended;
mod supervisor;
mod worker;

mod channel;

mod handshake;
mod join;
mod secret;
mod side;
mod stream;

mod restart;

mod error;
mod sys;

pub use channel::{Channel, MESSAGE_BYTES_MAX};
pub use ended::{Ended, How, Kind, LastWords};
pub use error::ClusterError;
pub use folder::DataFolder;
pub use handshake::Member;
pub use join::{DataSockets, Meeting, Peers, ask_attempt, join, listen};
pub use registry::{Registration, Registry, RunningJob};
pub use restart::{Restart, Restarts};
pub use secret::Secret;
pub use side::{Credit, Heartbeat, Loss, LostPeer, SIDE_MESSAGE_BYTES_MAX, SideChannels, SideHandler, SideSockets};
pub use supervisor::Supervisor;
pub use worker::{attach, die_with_parent};
