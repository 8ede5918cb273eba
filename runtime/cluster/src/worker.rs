//! A worker process's side of its supervisor: the control channel, and the death that the two share.

use crate::channel::Channel;
use crate::supervisor::DESCRIPTORS;
use crate::{ClusterError, sys};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{ErrorKind, Read};
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// The code of a process that ends because its supervisor has.
const ORPHANED: i32 = 1;

/// Ties this process to the supervisor that started it, and gives the channel to it. To be called once, before anything
/// else is opened. `None`: no supervisor has started it.
pub fn attach<Out: Serialize, In: DeserializeOwned>() -> Result<Option<Channel<Out, In>>, ClusterError> {
    static ATTACHED: AtomicBool = AtomicBool::new(false);
    let Ok(descriptors) = std::env::var(DESCRIPTORS) else { return Ok(None) };
    let broken = |reason: String| ClusterError::Channel { reason };
    if ATTACHED.swap(true, Ordering::AcqRel) {
        return Err(broken("this process has taken it already".to_owned()));
    }
    let numbers: Result<Vec<RawFd>, _> = descriptors.split(',').map(str::parse).collect();
    let numbers = numbers.map_err(|_| broken(format!("{DESCRIPTORS}={descriptors} is no list of numbers")))?;
    let taken: Result<Vec<OwnedFd>, _> = numbers.into_iter().map(sys::take_inherited).collect();
    let taken = taken.map_err(|error| broken(format!("{DESCRIPTORS}={descriptors} does not hold: {error}")))?;
    let mut taken = taken.into_iter();
    let (Some(channel), Some(life_line)) = (taken.next(), taken.next()) else {
        return Err(broken(format!("{DESCRIPTORS}={descriptors} names too few descriptors")));
    };
    // The data folder's lock is held by being open, until this process ends.
    taken.for_each(std::mem::forget);
    die_with_parent(UnixStream::from(life_line));
    Channel::new(UnixStream::from(channel)).map(Some).map_err(|error| broken(error.to_string()))
}

/// Ends this process, at once and whatever it does, when the other end of `life_line` is closed.
///
/// The kernel's signal at the parent's death is faster, and reaches a process that is stopped; it is lost, however, to a
/// program that changes its user, and there is none outside Linux.
pub fn die_with_parent(mut life_line: UnixStream) {
    let watch = move || {
        let mut nothing = [0];
        loop {
            match life_line.read(&mut nothing) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(1..) => {}
                Ok(0) | Err(_) => sys::exit_at_once(ORPHANED),
            }
        }
    };
    let watcher = thread::Builder::new().name("tidewheel:life-line".to_owned()).spawn(watch);
    watcher.expect("the system has room for a thread");
}
