//! The programs of toolchains: run to their end, or until nobody wants any more what they make.

use crate::BuildError;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

/// What stops builds, if something does.
static STOP: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// What a program that is to end may take to do so.
const GRACE: Duration = Duration::from_secs(1);

/// From now on builds end with [`BuildError::Stopped`] as soon as the flag is set: the program that is running is ended with all
/// those that it has started, and what is left of them a second later is killed. They are in a process group of their own then,
/// which an interrupt from the terminal does not reach. The first call counts.
pub fn stop_when(flag: Arc<AtomicBool>) {
    let _ = STOP.set(flag);
}

/// Runs a program; it talks on its own.
pub(crate) fn status(command: &mut Command) -> Result<ExitStatus, BuildError> {
    let stop = STOP.get();
    wait(&mut start(command, stop)?, stop, command)
}

/// Runs a program that talks on stderr, and takes what it writes to stdout.
pub(crate) fn output(command: &mut Command) -> Result<Output, BuildError> {
    let stop = STOP.get();
    let mut child = start(command.stdin(Stdio::null()).stdout(Stdio::piped()), stop)?;
    let mut written = child.stdout.take();
    thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let mut stdout = Vec::new();
            written.as_mut().map_or(Ok(0), |written| written.read_to_end(&mut stdout)).map(|_| stdout)
        });
        let status = wait(&mut child, stop, command)?;
        let stdout = reading.join().expect("reading does not panic").map_err(cannot_run(command))?;
        Ok(Output { status, stdout, stderr: Vec::new() })
    })
}

/// The error of a program that has failed, and said why.
pub(crate) fn failed(program: &str, folder: &Path, status: ExitStatus) -> BuildError {
    BuildError::Failed { program: program.to_owned(), folder: folder.to_owned(), status }
}

fn start(command: &mut Command, stop: Option<&Arc<AtomicBool>>) -> Result<Child, BuildError> {
    if stop.is_some() {
        command.process_group(0).stdin(Stdio::null());
    }
    command.spawn().map_err(cannot_run(command))
}

fn wait(child: &mut Child, stop: Option<&Arc<AtomicBool>>, command: &Command) -> Result<ExitStatus, BuildError> {
    let Some(stop) = stop else { return child.wait().map_err(cannot_run(command)) };
    while !stop.load(Ordering::Relaxed) {
        if let Some(status) = child.try_wait().map_err(cannot_run(command))? {
            return Ok(status);
        }
        thread::sleep(LOOK);
    }
    end(child).map_err(cannot_run(command))?;
    Err(BuildError::Stopped)
}

/// Ends a program and all that it has started.
fn end(child: &mut Child) -> io::Result<()> {
    signal_group(child, libc::SIGTERM);
    let began = Instant::now();
    while began.elapsed() < GRACE && !has_ended(child)? {
        thread::sleep(LOOK);
    }
    signal_group(child, libc::SIGKILL);
    child.wait().map(drop)
}

/// Whether a child has ended. It is not waited for, so that its number is still its own, and that of its group.
#[allow(unsafe_code, reason = "the standard library can only look and wait in one")]
fn has_ended(child: &Child) -> io::Result<bool> {
    // SAFETY: all zeros is a valid value of this plain struct, and the call writes to it only.
    let (result, info) = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let options = libc::WEXITED | libc::WNOWAIT | libc::WNOHANG;
        (libc::waitid(libc::P_PID, child.id(), &mut info, options), info)
    };
    match result {
        // The signal is that of a child that has ended; without one nothing was written.
        0 => Ok(info.si_signo != 0),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sends a signal to the group of a child that has not been waited for.
#[allow(unsafe_code, reason = "the standard library ends a process, and not those that it has started")]
fn signal_group(child: &Child, signal: libc::c_int) {
    if let Ok(group) = libc::pid_t::try_from(child.id()) {
        // SAFETY: the call takes plain values. A group that has ended is no harm.
        unsafe { libc::killpg(group, signal) };
    }
}

fn cannot_run(command: &Command) -> impl FnOnce(io::Error) -> BuildError + use<> {
    let program = command.get_program().to_string_lossy().into_owned();
    move |source| BuildError::Run { program, source }
}

#[cfg(test)]
mod tests {
    use super::{LOOK, end, has_ended, output, start, status, wait};
    use crate::BuildError;
    use std::process::Command;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::time::{Duration, Instant};

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_program_is_run_to_its_end() {
        assert_eq!(status(&mut shell("exit 3")).unwrap().code(), Some(3));
        let said = output(&mut shell("echo one; exit 4")).unwrap();
        assert_eq!((said.stdout.as_slice(), said.status.code()), (&b"one\n"[..], Some(4)));
        let error = status(&mut Command::new("no-such-program")).unwrap_err();
        assert!(matches!(&error, BuildError::Run { program, .. } if program == "no-such-program"), "{error}");
    }

    #[test]
    fn it_is_ended_with_all_that_it_has_started() {
        // What ignores the first signal is killed.
        for script in ["sleep 600", "sleep 600 & wait", "trap '' TERM; sleep 600 & wait; sleep 600"] {
            let stop = Arc::new(AtomicBool::new(false));
            let mut command = shell(script);
            let mut child = start(&mut command, Some(&stop)).unwrap();
            let group = child.id();
            let began = Instant::now();
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            let ended = wait(&mut child, Some(&stop), &command);
            assert!(matches!(ended, Err(BuildError::Stopped)));
            assert!(began.elapsed() < Duration::from_secs(60), "{script}");
            // What was killed may take a moment to die.
            while let left @ [_, ..] = running(group).as_slice() {
                assert!(began.elapsed() < Duration::from_secs(60), "{script}: {left:?}");
                std::thread::park_timeout(LOOK);
            }
        }
    }

    /// The processes of a group, without the dead ones that nobody has waited for.
    fn running(group: u32) -> Vec<String> {
        let said = output(Command::new("pgrep").args(["-g", &group.to_string()])).unwrap();
        let stat = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let stats = String::from_utf8(said.stdout).unwrap().lines().map(stat).collect::<Vec<_>>();
        stats.into_iter().filter(|stat| !stat.is_empty() && !stat.contains(") Z ")).collect()
    }

    #[test]
    fn one_that_has_just_ended_is_ended_without_an_error() {
        let mut child = start(&mut shell("exit 0"), Some(&Arc::default())).unwrap();
        while !has_ended(&child).unwrap() {}
        end(&mut child).unwrap();
    }
}
