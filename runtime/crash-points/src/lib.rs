//! Named places at which a worker process can be told to die: how tests hit the moments that matter for recovery, each
//! time and not by chance.
//!
//! They are in every build, so that what is tested is what users run, and they are where a checkpoint is: none is passed
//! for a record or a batch. They do nothing unless [`VARIABLE`] names one:
//!
//! ```text
//! TIDEWHEEL_CRASH_POINTS=2:before-manifest:3:kill,4:after-stage:1:stop
//! ```
//!
//! In attempt 2 the process that comes to `before-manifest` for the third time is killed; in attempt 4 the one that comes
//! to `after-stage` first is stopped. Attempts that are not named go on undisturbed, so a job finishes. What dies says so
//! on stderr ([`marker`]).

use std::fmt;
use std::io::Write;
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

/// The environment variable that names crash points, `ATTEMPT:POINT:TIME:ACTION` with commas between.
pub const VARIABLE: &str = "TIDEWHEEL_CRASH_POINTS";

/// A place where a process can be told to die. In the order in which an attempt comes to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashPoint {
    /// The attempt is in the log; nothing has been restored.
    BeforeRestore,
    /// The state of an operator has been restored, that of others may not be.
    AfterRestore,
    /// A sink has not yet looked at what earlier attempts have left.
    BeforeSettle,
    /// A sink has settled what earlier attempts have left, and nobody knows.
    AfterSettle,
    /// A sink's output up to a checkpoint is written, and not yet durable.
    BeforeStage,
    /// A sink's output up to a checkpoint is staged, and nobody knows.
    AfterStage,
    /// A task's state is frozen, in memory only.
    AfterFreeze,
    /// A task's snapshot is on the local disk, and not in the store.
    BeforeUpload,
    /// A task's snapshot is in the store, and nobody knows.
    AfterUpload,
    /// All parts of a checkpoint are safe; its manifest is not written.
    BeforeManifest,
    /// The manifest is written: the checkpoint is complete, and nobody knows. Old ones are not removed.
    AfterManifest,
    /// Old checkpoints are removed; nobody knows that the new one is complete.
    BeforeComplete,
    /// A sink knows that a checkpoint is complete, and has not committed its output.
    BeforeCommit,
    /// A sink has committed output, other sinks may not have, and nobody knows.
    AfterCommit,
    /// All sinks have committed, and the savepoint's rows are written; its manifest is not.
    BeforeSavepoint,
    /// The savepoint is finished, and nobody knows.
    AfterSavepoint,
}

/// What a crash point is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The beginning of an attempt.
    Restore,
    /// A checkpoint, from its snapshot to its commit.
    SnapshotToCommit,
    /// A checkpoint, after its output was committed.
    Committed,
    /// A savepoint.
    Savepoint,
}

/// What happens at a crash point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The process is killed, as by `kill -9`.
    Kill,
    /// The process is stopped, and goes on when it is sent SIGCONT.
    Stop,
    /// The thread goes on no more; all others do.
    Hold,
}

/// The crash points and their names.
const NAMES: [(CrashPoint, &str, Phase); 16] = [
    (CrashPoint::BeforeRestore, "before-restore", Phase::Restore),
    (CrashPoint::AfterRestore, "after-restore", Phase::Restore),
    (CrashPoint::BeforeSettle, "before-settle", Phase::Restore),
    (CrashPoint::AfterSettle, "after-settle", Phase::Restore),
    (CrashPoint::BeforeStage, "before-stage", Phase::SnapshotToCommit),
    (CrashPoint::AfterStage, "after-stage", Phase::SnapshotToCommit),
    (CrashPoint::AfterFreeze, "after-freeze", Phase::SnapshotToCommit),
    (CrashPoint::BeforeUpload, "before-upload", Phase::SnapshotToCommit),
    (CrashPoint::AfterUpload, "after-upload", Phase::SnapshotToCommit),
    (CrashPoint::BeforeManifest, "before-manifest", Phase::SnapshotToCommit),
    (CrashPoint::AfterManifest, "after-manifest", Phase::SnapshotToCommit),
    (CrashPoint::BeforeComplete, "before-complete", Phase::SnapshotToCommit),
    (CrashPoint::BeforeCommit, "before-commit", Phase::SnapshotToCommit),
    (CrashPoint::AfterCommit, "after-commit", Phase::Committed),
    (CrashPoint::BeforeSavepoint, "before-savepoint", Phase::Savepoint),
    (CrashPoint::AfterSavepoint, "after-savepoint", Phase::Savepoint),
];

impl CrashPoint {
    /// All of them.
    pub fn all() -> impl Iterator<Item = CrashPoint> {
        NAMES.iter().map(|(point, ..)| *point)
    }

    /// What it is part of.
    pub fn phase(self) -> Phase {
        NAMES[self as usize].2
    }

    /// The process comes to this point: it goes on, unless it was told to die here.
    pub fn reached(self) {
        if let Some(armed) = ARMED.get() {
            armed.reached(self);
        }
    }
}

impl fmt::Display for CrashPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAMES[*self as usize].1)
    }
}

impl FromStr for CrashPoint {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = NAMES.iter().find(|(_, known, _)| *known == name);
        found.map(|(point, ..)| *point).ok_or_else(|| {
            let names: Vec<&str> = NAMES.iter().map(|(_, name, _)| *name).collect();
            format!("there is no crash point {name:?}, only {}", names.join(", "))
        })
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Action::Kill => "kill",
            Action::Stop => "stop",
            Action::Hold => "hold",
        })
    }
}

/// An entry of [`VARIABLE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    /// In which attempt of the job.
    pub attempt: u64,
    /// Where.
    pub point: CrashPoint,
    /// The how manieth time that a process comes there; 1 is the first.
    pub time: u32,
    /// How.
    pub action: Action,
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Crash { attempt, point, time, action } = self;
        write!(f, "{attempt}:{point}:{time}:{action}")
    }
}

impl FromStr for Crash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let [attempt, point, time, action] = parts[..] else {
            return Err(format!("{text:?} is not ATTEMPT:POINT:TIME:ACTION"));
        };
        Ok(Crash {
            attempt: attempt.parse().map_err(|_| format!("{attempt:?} is no number of an attempt"))?,
            point: point.parse()?,
            time: time.parse().map_err(|_| format!("{time:?} is no number of times"))?,
            action: match action {
                "kill" => Action::Kill,
                "stop" => Action::Stop,
                "hold" => Action::Hold,
                other => return Err(format!("{other:?} is none of kill, stop and hold")),
            },
        })
    }
}

/// What a process writes to stderr before it dies at `point`.
pub fn marker(point: CrashPoint) -> String {
    format!("crash point {point} reached")
}

/// The crash points of this process, and how often it has come to each.
struct Armed {
    crashes: Vec<Crash>,
    reached: [AtomicU32; NAMES.len()],
}

static ARMED: OnceLock<Armed> = OnceLock::new();

/// Reads [`VARIABLE`]: this process belongs to `attempt`. Until then, and without it, no crash point does anything.
///
/// # Errors
/// If the variable is not what it has to be.
pub fn arm(attempt: u64) -> Result<(), String> {
    let Some(text) = std::env::var_os(VARIABLE) else { return Ok(()) };
    let text = text.into_string().map_err(|_| format!("{VARIABLE} is not text"))?;
    let crashes = parse(&text, attempt)?;
    if !crashes.is_empty() {
        // A process belongs to one attempt: there is no second call.
        let _ = ARMED.set(Armed { crashes, reached: [const { AtomicU32::new(0) }; NAMES.len()] });
    }
    Ok(())
}

fn parse(text: &str, attempt: u64) -> Result<Vec<Crash>, String> {
    let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    let crashes: Result<Vec<Crash>, String> = entries.map(str::parse).collect();
    let mut crashes = crashes.map_err(|reason| format!("{VARIABLE}: {reason}"))?;
    crashes.retain(|crash| crash.attempt == attempt);
    Ok(crashes)
}

impl Armed {
    /// What happens now that the process has come to `point` once more.
    fn action(&self, point: CrashPoint) -> Option<Action> {
        let time = self.reached[point as usize].fetch_add(1, Ordering::Relaxed) + 1;
        self.crashes.iter().find(|crash| crash.point == point && crash.time == time).map(|crash| crash.action)
    }

    fn reached(&self, point: CrashPoint) {
        let Some(action) = self.action(point) else { return };
        // In one write: others write there, too. If it cannot be said, nobody listens.
        let _ = std::io::stderr().write_all(format!("{}\n", marker(point)).as_bytes());
        match action {
            Action::Kill => raise(libc::SIGKILL),
            Action::Stop => raise(libc::SIGSTOP),
            Action::Hold => loop {
                thread::park();
            },
        }
    }
}

#[allow(unsafe_code, reason = "the standard library cannot send signals")]
fn raise(signal: libc::c_int) {
    // SAFETY: it takes a plain value, and neither signal has a handler.
    unsafe { libc::raise(signal) };
}

#[cfg(test)]
mod tests {
    use super::{Action, Armed, Crash, CrashPoint, NAMES, parse};

    #[test]
    fn names_are_in_order_and_read_back() {
        for (at, (point, name, phase)) in NAMES.into_iter().enumerate() {
            assert_eq!(point as usize, at);
            assert_eq!((point.to_string().as_str(), name.parse(), point.phase()), (name, Ok(point), phase));
        }
    }

    #[test]
    fn each_attempt_has_its_own() {
        let text = "1:before-manifest:3:kill, 2:after-stage:1:stop,2:after-stage:4:hold,";
        assert_eq!(parse(text, 1).map(|crashes| crashes.len()), Ok(1));
        assert_eq!(parse(text, 3), Ok(Vec::new()));
        let second = parse(text, 2).expect("it is right");
        assert_eq!(second[0].to_string(), "2:after-stage:1:stop");
        assert_eq!(second[1].to_string(), "2:after-stage:4:hold");
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, reason) in [
            ("before-manifest", "\"before-manifest\" is not ATTEMPT:POINT:TIME:ACTION"),
            ("x:before-manifest:1:kill", "\"x\" is no number of an attempt"),
            ("1:before-manifest:x:kill", "\"x\" is no number of times"),
            ("1:before-manifest:1:x", "\"x\" is none of kill, stop and hold"),
        ] {
            assert_eq!(parse(text, 1), Err(format!("TIDEWHEEL_CRASH_POINTS: {reason}")));
        }
        let unknown = parse("1:x:1:kill", 1).expect_err("there is none");
        assert!(unknown.contains("no crash point \"x\", only before-restore, after-restore"), "{unknown}");
    }

    #[test]
    fn it_happens_at_the_time_that_was_said_and_once() {
        let crash = Crash { attempt: 1, point: CrashPoint::AfterStage, time: 2, action: Action::Stop };
        let armed = Armed { crashes: vec![crash], reached: Default::default() };
        let seen: Vec<_> = (0..4).map(|_| armed.action(CrashPoint::AfterStage)).collect();
        assert_eq!(seen, [None, Some(Action::Stop), None, None]);
        assert_eq!(armed.action(CrashPoint::BeforeStage), None);
    }
}
