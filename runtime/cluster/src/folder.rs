//! The data folder of a job: held by one supervisor at a time, home of its local state and its sockets.
//!
//! The hold is `flock` on the file `lock`. The kernel lets go of it when the last process that has the file open ends,
//! however it ends, so a crash never leaves a folder locked. Worker processes inherit the open file: the folder is free
//! only when the last of them is gone too, and a new attempt never works beside an old one.

use crate::ClusterError;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long [`DataFolder::open`] waits for a lock: who looks whether a job is running holds it for a moment, and the
/// workers of a supervisor that was killed need one to die.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(2);

/// Between two tries.
const LOCK_RETRY: Duration = Duration::from_millis(10);

const LOCK_FILE: &str = "lock";

/// The socket a running job is spoken to by.
const CONTROL_SOCKET: &str = "control.sock";

/// A job's data folder, held as long as this value, and every worker process started with it, lives.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    lock: File,
    state: PathBuf,
    checkpoints: PathBuf,
}

impl DataFolder {
    /// Creates the folder if need be, readable by this user alone, and holds it.
    pub fn open(path: &Path) -> Result<DataFolder, ClusterError> {
        create(path)?;
        let path = path.canonicalize().map_err(|source| failed("find", path, source))?;
        let mut lock = open_lock(&path).map_err(|source| failed("open", &path.join(LOCK_FILE), source))?;
        wait_for_lock(&path, &lock)?;
        lock.set_len(0)
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .map_err(|source| failed("write", &path.join(LOCK_FILE), source))?;
        let (state, checkpoints) = (path.join("state"), path.join("checkpoints"));
        create(&state)?;
        create(&checkpoints)?;
        Ok(DataFolder { path, lock, state, checkpoints })
    }

    /// Its absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where tasks keep their working state.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Where checkpoints go when the job names no other store.
    pub fn checkpoints(&self) -> &Path {
        &self.checkpoints
    }

    /// Listens on the job's control socket, for this user alone. A socket that a crash has left is replaced.
    pub fn bind_control(&self) -> Result<UnixListener, ClusterError> {
        bind_in(&self.path, CONTROL_SOCKET)
    }

    /// Connects to the job that runs with the data folder `path`.
    pub fn connect_control(path: &Path) -> Result<UnixStream, ClusterError> {
        connect_in(path, CONTROL_SOCKET)
            .map_err(|source| ClusterError::Unreachable { path: path.join(CONTROL_SOCKET), source })
    }

    /// The descriptor whose being open is the hold, for worker processes to inherit.
    pub(crate) fn lock_descriptor(&self) -> RawFd {
        self.lock.as_raw_fd()
    }
}

/// Does `if_free` when nobody holds the data folder `path`, keeping everybody out meanwhile. Returns whether it is held.
/// A folder that is gone is free.
pub(crate) fn is_held(path: &Path, if_free: impl FnOnce()) -> io::Result<bool> {
    let file = match File::open(path.join(LOCK_FILE)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if_free();
            return Ok(false);
        }
        Err(error) => return Err(error),
    };
    // Shared, so that two who look at once do not take each other for the job.
    match file.try_lock_shared() {
        Ok(()) => {
            if_free();
            Ok(false)
        }
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Listens on the socket `name` in `folder`.
///
/// A socket address holds 108 bytes, and data folders may be deeper than that: the folder is therefore named by its open
/// descriptor.
pub(crate) fn bind_in(folder: &Path, name: &str) -> Result<UnixListener, ClusterError> {
    let path = folder.join(name);
    let bind = || {
        if fs::symlink_metadata(&path).is_ok_and(|old| old.file_type().is_socket()) {
            fs::remove_file(&path)?;
        }
        let opened = File::open(folder)?;
        let listener = UnixListener::bind(through(&opened, name))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    };
    bind().map_err(|source| failed("listen on", &path, source))
}

/// Connects to the socket `name` in `folder`, however long its path is.
pub(crate) fn connect_in(folder: &Path, name: &str) -> io::Result<UnixStream> {
    let opened = File::open(folder)?;
    UnixStream::connect(through(&opened, name))
}

fn through(folder: &File, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd()))
}

fn open_lock(folder: &Path) -> io::Result<File> {
    File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(folder.join(LOCK_FILE))
}

fn wait_for_lock(folder: &Path, lock: &File) -> Result<(), ClusterError> {
    let deadline = Instant::now() + LOCK_WAIT_MAX;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(source)) => return Err(failed("lock", &folder.join(LOCK_FILE), source)),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(LOCK_RETRY),
            Err(TryLockError::WouldBlock) => {
                let holder = fs::read_to_string(folder.join(LOCK_FILE)).ok();
                let pid = holder.and_then(|text| text.trim().parse().ok());
                return Err(ClusterError::Locked { path: folder.to_owned(), pid });
            }
        }
    }
}

pub(crate) fn create(folder: &Path) -> Result<(), ClusterError> {
    let create = || fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    create().map_err(|source| failed("create folder", folder, source))
}

pub(crate) fn failed(action: &'static str, path: &Path, source: io::Error) -> ClusterError {
    ClusterError::File { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::{ClusterError, DataFolder, is_held};
    use std::io::{Read, Write};
    use std::path::PathBuf;

    #[test]
    fn a_folder_has_one_holder_at_a_time() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a/b");
        let folder = DataFolder::open(&path).unwrap();
        assert!(folder.state().is_dir() && folder.checkpoints().is_dir());
        assert!(is_held(&path, || panic!("it is held")).unwrap());

        let error = DataFolder::open(&path).unwrap_err();
        assert!(matches!(&error, ClusterError::Locked { pid, .. } if *pid == Some(std::process::id())));
        assert!(error.to_string().contains(&format!("in use by process {}\n\nhint: stop", std::process::id())));

        drop(folder);
        let mut asked = false;
        assert!(!is_held(&path, || asked = true).unwrap());
        assert!(asked, "what is to be done with a free folder is done");
        DataFolder::open(&path).unwrap();
    }

    #[test]
    fn a_control_socket_may_be_deeper_than_an_address_is_long() {
        let home = tempfile::tempdir().unwrap();
        let deep: PathBuf = std::iter::repeat_n("a-folder-with-a-name", 12).collect();
        let folder = DataFolder::open(&home.path().join(deep)).unwrap();
        assert!(folder.path().as_os_str().len() > 200);
        drop(folder.bind_control().unwrap());
        let unheard = DataFolder::connect_control(folder.path()).unwrap_err();
        assert!(matches!(unheard, ClusterError::Unreachable { .. }), "nobody listens on a socket that was left");

        let listener = folder.bind_control().unwrap();
        let mut near = DataFolder::connect_control(folder.path()).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        near.write_all(b"hello").unwrap();
        let mut heard = [0; 5];
        far.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"hello");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("file");
        std::fs::write(&path, "").unwrap();
        let error = DataFolder::open(&path.join("data")).unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot create folder {}/data: ", path.display())), "{error}");
    }
}
