//! The supervisor's side: starts the worker processes of an attempt, talks to them, and ends all when one has failed.
//!
//! One thread starts and reaps the processes: the kernel kills a child when the *thread* that started it ends, so it
//! lives as long as they do. Beside it each process has a thread that waits for its end and one that reads its channel.

use crate::channel::{Channel, Envelope};
use crate::ended::{self, Blame, Ended, How, LastWords, Outcome};
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

/// How long an end that may be a consequence waits for its cause to be noticed.
const SETTLE_MAX: Duration = Duration::from_secs(1);

/// How long the others may take to finish after one process has finished.
const FINISH_MAX: Duration = Duration::from_secs(60);

/// How long a process may live without its control channel.
const SPEECHLESS_MAX: Duration = Duration::from_secs(2);

/// How long the last words of a process that has ended are waited for. They are in the socket; only a child of its own
/// that has outlived it can keep the channel open.
const WORDS_MAX: Duration = Duration::from_millis(500);

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
                Attempt::new(started, inbox, events).run(&end);
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
    processes: Vec<Process>,
    inbox: Receiver<Event>,
    /// In which order they ended.
    order: Vec<usize>,
    stopped_at: Option<Instant>,
}

/// A worker process. When it is dropped its life line ends.
struct Process {
    child: Child,
    _life_line: UnixStream,
    outcome: Outcome,
    spoken_at: Option<Instant>,
    exited_at: Option<Instant>,
    closed_at: Option<Instant>,
}

impl Attempt {
    fn new(started: Vec<Started>, inbox: Receiver<Event>, events: Sender<Event>) -> Self {
        let mut processes = Vec::new();
        for (process, Started { child, life_line, .. }) in started.into_iter().enumerate() {
            let (events, pid) = (events.clone(), child.id());
            named("wait", move || {
                // It fails when we were faster and have reaped it.
                if sys::wait_for_end(pid).is_ok() {
                    let _ = events.send(Event::Exited(process));
                }
            });
            let outcome = Outcome::default();
            let process =
                Process { child, _life_line: life_line, outcome, spoken_at: None, exited_at: None, closed_at: None };
            processes.push(process);
        }
        Attempt { processes, inbox, order: Vec::new(), stopped_at: None }
    }

    /// Follows the processes to the end of the attempt, ends those that are left, and publishes the cause.
    fn run(mut self, end: &End) {
        loop {
            let event = match self.over_at() {
                None => self.inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => self.inbox.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            match event {
                Ok(event) => self.take(event),
                Err(_) => break,
            }
        }
        self.explain();
        self.end_all();
        let outcomes: Vec<Outcome> = self.processes.iter().map(|process| process.outcome.clone()).collect();
        *end.ended.lock().expect("nothing panics while it holds this lock") =
            Some(ended::cause(&outcomes, &self.order));
        end.changed.notify_all();
    }

    fn take(&mut self, event: Event) {
        let now = Instant::now();
        match event {
            Event::Stop => self.stopped_at = self.stopped_at.or(Some(now)),
            Event::LastWords(process, words) => {
                let process = &mut self.processes[process];
                process.spoken_at = Some(now);
                process.outcome.words.get_or_insert(words);
            }
            Event::Closed(process, reason) => {
                let process = &mut self.processes[process];
                process.closed_at = Some(now);
                process.outcome.note = reason;
            }
            Event::Exited(index) => {
                let process = &mut self.processes[index];
                process.exited_at = Some(now);
                process.outcome.how = process.child.wait().ok().map(how);
                self.order.push(index);
            }
        }
    }

    /// When the attempt is over if nothing else happens. `None`: not at all.
    fn over_at(&self) -> Option<Instant> {
        let all = self.processes.iter().map(Process::settled_at).collect::<Option<Vec<_>>>();
        let all_ended = all.and_then(|settled| settled.into_iter().max());
        let first_failed = self.processes.iter().filter_map(Process::ends_others_at).min();
        [self.stopped_at, all_ended, first_failed].into_iter().flatten().min()
    }

    /// Notes what those that are still there have done wrong.
    fn explain(&mut self) {
        let now = Instant::now();
        let finished = |index: &usize| self.processes[*index].outcome.how == Some(How::Exited(0));
        let finished = self.order.iter().copied().find(finished);
        let waited = finished.and_then(|index| self.processes[index].exited_at).map(|at| now - at);
        let is_overdue = self.stopped_at.is_none() && waited.is_some_and(|waited| waited >= FINISH_MAX);
        for process in self.processes.iter_mut().filter(|process| process.exited_at.is_none()) {
            let outcome = &mut process.outcome;
            let is_speechless = process.closed_at.is_some_and(|at| now - at >= SPEECHLESS_MAX);
            outcome.note = match (outcome.note.take(), finished) {
                (Some(reason), _) if is_speechless => Some(reason),
                (None, _) if is_speechless => Some("it closed its control channel and went on".to_owned()),
                (_, Some(first)) if is_overdue => {
                    Some(format!("it had not finished {} s after process {first} had", FINISH_MAX.as_secs()))
                }
                _ => None,
            };
        }
    }

    fn end_all(&mut self) {
        for process in self.processes.iter_mut().filter(|process| process.exited_at.is_none()) {
            // It fails for a process that has just ended by itself.
            let _ = process.child.kill();
        }
        for (index, process) in self.processes.iter_mut().enumerate().filter(|(_, process)| process.exited_at.is_none())
        {
            process.outcome.how = process.child.wait().ok().map(how).map(|how| match how {
                How::Signalled(libc::SIGKILL) => How::Stopped,
                by_itself => by_itself,
            });
            self.order.push(index);
        }
    }
}

impl Process {
    /// When it has ended and everything it said has been heard.
    fn settled_at(&self) -> Option<Instant> {
        let exited_at = self.exited_at?;
        let heard_at = self.closed_at.unwrap_or(exited_at + WORDS_MAX);
        Some(exited_at.max(heard_at))
    }

    /// When the others are to be ended because of this one.
    fn ends_others_at(&self) -> Option<Instant> {
        match (self.settled_at(), self.exited_at, self.outcome.blame()) {
            (Some(settled_at), _, Blame::Certain) => Some(settled_at),
            (_, Some(exited_at), Blame::None) => Some(exited_at + FINISH_MAX),
            (Some(settled_at), ..) => Some(settled_at + SETTLE_MAX),
            (None, ..) => {
                let speechless_at = self.closed_at.map(|at| at + SPEECHLESS_MAX);
                let silent_at = self.spoken_at.map(|at| at + SETTLE_MAX);
                [speechless_at, silent_at].into_iter().flatten().min()
            }
        }
    }
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
