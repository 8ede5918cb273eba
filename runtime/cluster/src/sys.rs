//! The system calls that the standard library has no safe form of. All of this crate's unsafe code is here.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Makes the process that `command` starts die with the thread that starts it, and lets it inherit `descriptors`.
///
/// The kernel sends the signal when the *thread* that forked ends, not its process: start it from a thread that lives as
/// long as the child may.
#[allow(unsafe_code, reason = "there is no other way to do something in a child before it runs its program")]
pub(crate) fn tie_to_parent(command: &mut Command, descriptors: Vec<RawFd>) {
    let parent = std::process::id();
    let prepare = move || {
        // SAFETY: these calls take plain values and are safe between fork and exec; nothing here allocates or locks.
        let parent_now = unsafe {
            check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
            libc::getppid()
        };
        // The parent may have died before the signal was asked for: then nobody would send it.
        if u32::try_from(parent_now) != Ok(parent) {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        for descriptor in &descriptors {
            // SAFETY: it takes plain values; the descriptor is the child's copy. Without its close-on-exec mark it
            // outlives the exec, in this child and no other.
            check(unsafe { libc::fcntl(*descriptor, libc::F_SETFD, 0) })?;
        }
        Ok(())
    };
    // SAFETY: `prepare` only makes the calls above, which are safe between fork and exec.
    unsafe { command.pre_exec(prepare) };
}

/// Waits until the child `pid` has ended, without reaping it: its number stays its own until the owner has waited too.
#[allow(unsafe_code, reason = "the standard library can only wait and reap in one, which races with a kill")]
pub(crate) fn wait_for_end(pid: u32) -> io::Result<()> {
    loop {
        // SAFETY: all zeros is a valid value of this plain struct, and the call writes to it only.
        let result = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            check(libc::waitid(libc::P_PID, pid, &mut info, libc::WEXITED | libc::WNOWAIT))
        };
        match result {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Takes the descriptor that this process was started with under `number`, and keeps it from its own children.
///
/// The caller must make sure that each number is taken once.
#[allow(unsafe_code, reason = "an inherited descriptor is known by its number alone")]
pub(crate) fn take_inherited(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: it takes plain values, and fails for a number that is not open.
    check(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    // SAFETY: the descriptor is open, was made for this process by its supervisor, and is taken once.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Ends this process at once, without waiting for any other thread.
#[allow(unsafe_code, reason = "_exit is the only way out that waits for no other thread")]
pub(crate) fn exit_at_once(code: i32) -> ! {
    // SAFETY: it takes any value and does not return.
    unsafe { libc::_exit(code) }
}

/// Lets the kernel find out about a TCP peer that has gone without a word: after 10 s of silence, a probe each 5 s.
#[allow(unsafe_code, reason = "the standard library cannot set keep-alive")]
pub(crate) fn keep_alive(socket: &impl AsRawFd) -> io::Result<()> {
    let options = [
        (libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1),
        (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, 10),
        (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, 5),
        (libc::IPPROTO_TCP, libc::TCP_KEEPCNT, 4),
    ];
    for (level, name, value) in options {
        let value: libc::c_int = value;
        // SAFETY: the option's value is a `c_int` that lives through the call, and its size is given.
        check(unsafe {
            let size = size_of::<libc::c_int>() as libc::socklen_t;
            libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), size)
        })?;
    }
    Ok(())
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
