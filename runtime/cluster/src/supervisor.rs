//! The supervisor's side: starts the worker processes of an attempt, talks to them, and ends all when one has failed.
//!
//! One thread starts and reaps the processes: the kernel kills a child when the *thread* that started it ends, so it
//! lives as long as they do. Beside it each process has a thread that waits for its end and one that reads its channel.

use crate::channel::{Channel, Envelope};
use crate::course::Course;
use crate::ended::{Ended, How, LastWords};
use crate::{ClusterError, DataFolder, sys};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// The longest single wait for the end: the clock's range is not endless.
const WAIT_MAX: Duration = Duration::from_secs(3600);

/// The variable that tells a worker process the descriptors it has inherited: channel, life line and, if any, lock.
pub(crate) const DESCRIPTORS: &str = "TIDEWHEEL_SUPERVISOR_FDS";

/// The worker processes of one attempt, told `Out` messages. All of them end with this value.
pub struct Supervisor<Out, In> {
    channels: Vec<Channel<Out, In>>,
    pids: Vec<u32>,
    events: Sender<Event>,
    end: Arc<End>,
    keeper: Option<thread::JoinHandle<()>>,
}

/// Where the end of the attempt is put.
#[derive(Default)]
struct End {
    ended: Mutex<Option<Ended>>,
    changed: Condvar,
}

/// What happens to the processes of an attempt.
enum Event {
    /// This one has ended and is to be reaped.
    Exited(usize),
    /// This one said why it ends.
    LastWords(usize, LastWords),
    /// This one's channel has ended, in an error if there is one.
    Closed(usize, Option<String>),
    /// The supervisor's user wants them to end.
    Stop,
}

/// A process as it is started: the child and this side of its sockets.
struct Started {
    child: Child,
    channel: UnixStream,
    life_line: UnixStream,
}

impl<Out, In> Supervisor<Out, In>
where
    Out: Serialize + 'static,
    In: DeserializeOwned + 'static,
{
    /// Starts one process for each of `commands`, in order: the process's index is its place. Each inherits the hold on
    /// `folder`. `on_message` is called with what process *i* sends, on a thread of that process's own; it must not wait
    /// for long, or the process cannot send.
    ///
    /// A process whose program does not call [`attach`](crate::attach) is not told anything, but dies with us all the
    /// same.
    pub fn start(
        commands: Vec<Command>,
        folder: Option<&DataFolder>,
        on_message: impl Fn(usize, In) + Send + Sync + 'static,
    ) -> Result<Self, ClusterError> {
        assert!(!commands.is_empty(), "an attempt has at least one process");
        let (events, inbox) = mpsc::channel();
        let (started_in, started_out) = mpsc::channel();
        let end = Arc::new(End::default());
        let lock = folder.map(DataFolder::lock_descriptor);
        let keeper = {
            let (end, events) = (Arc::clone(&end), events.clone());
            named("supervisor", move || {
                let started = match start_all(commands, lock) {
                    Ok(started) => started,
                    Err(error) => return drop(started_in.send(Err(error))),
                };
                let channels = started.iter().map(|started| started.channel.try_clone()).collect::<Result<Vec<_>, _>>();
                let pids = started.iter().map(|started| started.child.id()).collect();
                // The one who asked waits for it.
                let _ = started_in.send(Ok((channels, pids)));
                Attempt::new(started, inbox, &events).run(&end);
            })
        };
        let (sockets, pids) = started_out.recv().expect("the supervisor's thread answers before it ends")?;
        let channels: Result<_, io::Error> =
            sockets.and_then(|sockets: Vec<UnixStream>| sockets.into_iter().map(Channel::new).collect());
        let mut supervisor = Supervisor { channels: Vec::new(), pids, events, end, keeper: Some(keeper) };
        // Failing here drops the supervisor, which ends what it has started.
        supervisor.channels = channels.map_err(|error| ClusterError::Channel { reason: error.to_string() })?;
        let on_message = Arc::new(on_message);
        for (process, channel) in supervisor.channels.iter().enumerate() {
            let (channel, events, on_message) = (channel.clone(), supervisor.events.clone(), Arc::clone(&on_message));
            named("channel", move || read_channel(process, &channel, &events, &*on_message));
        }
        Ok(supervisor)
    }

    /// Sends a message to a process.
    pub fn send(&self, process: usize, message: &Out) -> Result<(), ClusterError> {
        self.channels[process].send(message)
    }
}

impl<Out, In> Supervisor<Out, In> {
    /// The processes' numbers in the system, by index.
    pub fn pids(&self) -> &[u32] {
        &self.pids
    }

    /// Ends the processes at once, without asking them. [`wait`](Self::wait) then returns.
    pub fn stop(&self) {
        // A supervisor's thread that is gone has ended them already.
        let _ = self.events.send(Event::Stop);
    }

    /// Waits until all processes have ended and been reaped, and says which was the cause. As soon as one has failed the
    /// others are ended; one that has finished lets the others finish too.
    pub fn wait(&self) -> Ended {
        self.wait_until(None).expect("a wait without a limit has an end")
    }

    /// Like [`wait`](Self::wait), for `limit` at most.
    pub fn wait_for(&self, limit: Duration) -> Option<Ended> {
        self.wait_until(Some(Instant::now() + limit))
    }

    fn wait_until(&self, deadline: Option<Instant>) -> Option<Ended> {
        let mut ended = self.end.ended.lock().expect("nothing panics while it holds this lock");
        loop {
            if let Some(ended) = &*ended {
                return Some(ended.clone());
            }
            // A wait without a limit is one of many limited ones.
            let left = deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return None;
            }
            let waited = self.end.changed.wait_timeout(ended, left.min(WAIT_MAX));
            ended = waited.expect("nothing panics while it holds this lock").0;
        }
    }
}

impl<Out, In> Drop for Supervisor<Out, In> {
    fn drop(&mut self) {
        self.stop();
        if let Some(keeper) = self.keeper.take() {
            // A panic of that thread has been shown; the processes have died with it.
            let _ = keeper.join();
        }
    }
}

/// The processes of an attempt, as the thread that started them sees them.
struct Attempt {
    children: Vec<Child>,
    /// What ends with this value: the processes end with it.
    _life_lines: Vec<UnixStream>,
    inbox: Receiver<Event>,
    course: Course,
}

impl Attempt {
    fn new(started: Vec<Started>, inbox: Receiver<Event>, events: &Sender<Event>) -> Self {
        let course = Course::new(started.len());
        let (children, _life_lines): (Vec<Child>, Vec<UnixStream>) =
            started.into_iter().map(|started| (started.child, started.life_line)).unzip();
        for (process, child) in children.iter().enumerate() {
            let (events, pid) = (events.clone(), child.id());
            named("wait", move || {
                // It fails when we were faster and have reaped it.
                if sys::wait_for_end(pid).is_ok() {
                    let _ = events.send(Event::Exited(process));
                }
            });
        }
        Attempt { children, _life_lines, inbox, course }
    }

    /// Follows the processes to the end of the attempt, ends those that are left, and publishes the cause.
    fn run(mut self, end: &End) {
        loop {
            let event = match self.course.over_at() {
                None => self.inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => self.inbox.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            match event {
                Ok(event) => self.take(event),
                Err(_) => break,
            }
        }
        self.course.find_faults(Instant::now());
        self.end_all();
        *end.ended.lock().expect("nothing panics while it holds this lock") = Some(self.course.cause());
        end.changed.notify_all();
    }

    fn take(&mut self, event: Event) {
        let now = Instant::now();
        match event {
            Event::Stop => self.course.stopped(now),
            Event::LastWords(process, words) => self.course.spoke(process, words, now),
            Event::Closed(process, error) => self.course.closed(process, error, now),
            Event::Exited(process) => {
                let how = reap(&mut self.children[process]);
                self.course.exited(process, how, now);
            }
        }
    }

    fn end_all(&mut self) {
        let living = self.course.living();
        for process in &living {
            // It fails for a process that has just ended by itself.
            let _ = self.children[*process].kill();
        }
        for process in living {
            let how = match reap(&mut self.children[process]) {
                How::Signalled(libc::SIGKILL) => How::Stopped,
                by_itself => by_itself,
            };
            self.course.exited(process, how, Instant::now());
        }
    }
}

/// Waits for the end of a child that is about to end or has ended.
fn reap(child: &mut Child) -> How {
    // It fails only when something else in this process has reaped our child: nobody knows how it ended.
    child.wait().map_or(How::Stopped, how)
}

fn how(status: ExitStatus) -> How {
    match (status.code(), status.signal()) {
        (Some(code), _) => How::Exited(code),
        (None, signal) => How::Signalled(signal.unwrap_or_default()),
    }
}

fn start_all(commands: Vec<Command>, lock: Option<i32>) -> Result<Vec<Started>, ClusterError> {
    let mut started: Vec<Started> = Vec::new();
    for (process, mut command) in commands.into_iter().enumerate() {
        match start(&mut command, lock) {
            Ok(child) => started.push(child),
            Err(source) => {
                for Started { mut child, .. } in started {
                    // It fails for a child that has ended, which needs only reaping.
                    let _ = child.kill();
                    let _ = child.wait();
                }
                let program = command.get_program().to_string_lossy().into_owned();
                return Err(ClusterError::Start { process, program, source });
            }
        }
    }
    Ok(started)
}

fn start(command: &mut Command, lock: Option<i32>) -> io::Result<Started> {
    let (channel, its_channel) = UnixStream::pair()?;
    let (life_line, its_life_line) = UnixStream::pair()?;
    let mut inherited = vec![its_channel.as_raw_fd(), its_life_line.as_raw_fd()];
    inherited.extend(lock);
    let numbers: Vec<String> = inherited.iter().map(ToString::to_string).collect();
    command.env(DESCRIPTORS, numbers.join(","));
    sys::tie_to_parent(command, inherited);
    // The child's ends are closed here with the end of this function: then only the child has them.
    Ok(Started { child: command.spawn()?, channel, life_line })
}

fn read_channel<Out: Serialize, In: DeserializeOwned>(
    process: usize,
    channel: &Channel<Out, In>,
    events: &Sender<Event>,
    on_message: &dyn Fn(usize, In),
) {
    let reason = loop {
        match channel.receive_envelope() {
            Ok(Some(Envelope::Message(message))) => on_message(process, message),
            Ok(Some(Envelope::LastWords(words))) => {
                // When the supervisor is gone nobody asks for the cause.
                let _ = events.send(Event::LastWords(process, words));
            }
            Ok(None) => break None,
            Err(error) => break Some(error.to_string()),
        }
    };
    let _ = events.send(Event::Closed(process, reason));
}

fn named(name: &str, run: impl FnOnce() + Send + 'static) -> thread::JoinHandle<()> {
    let name = format!("tidewheel:{name}");
    thread::Builder::new().name(name).spawn(run).expect("the system has room for a few threads")
}
