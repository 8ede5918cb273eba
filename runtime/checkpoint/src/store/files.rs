//! State files: from this machine into a store and back, checked.

use super::{REQUESTS_MAX, Store};
use crate::error::CheckpointError;
use crate::manifest::FileRef;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::{ObjectStoreExt, WriteMultipart};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

/// Most bytes of one request: so many in memory, and so long at most until an answer.
const PART_BYTES: usize = 8 << 20;

/// Bytes read from a file at a time.
const READ_BYTES: usize = 1 << 20;

impl Store {
    /// Puts a file of this machine into the store, under a name that nothing else has, and says what it is.
    ///
    /// The file must not change any more: in a store of local files on the same disk it is the same file, under two
    /// names. When it returns the file is as safe as the store keeps anything.
    ///
    /// # Errors
    /// If the file cannot be read, or the store refuses; [`CheckpointError::Exists`] if another file has that name.
    pub fn upload(&self, path: &Path, name: &str) -> Result<FileRef, CheckpointError> {
        let mut file = File::open(path).map_err(CheckpointError::io("open", path))?;
        let (bytes, crc32c) = match &self.local {
            Some(root) if self.link(&file, path, &root.join(name))? => {
                sum(&mut file).map_err(CheckpointError::io("read", path))?
            }
            _ => self.send(&mut file, path, name)?,
        };
        Ok(FileRef { name: name.to_owned(), bytes, crc32c })
    }

    /// Gives a file a second name in the store. `false` if it has to be copied: it is on another disk.
    fn link(&self, file: &File, path: &Path, target: &Path) -> Result<bool, CheckpointError> {
        let folder = target.parent().expect("a name is in a folder");
        file.sync_all().map_err(CheckpointError::io("bring to the disk", path))?;
        let link = || fs::hard_link(path, target);
        let linked = link().or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                create_folder(folder)?;
                link()
            }
            _ => Err(error),
        });
        match linked {
            Ok(()) => {
                sync_folder(folder).map_err(CheckpointError::io("bring to the disk", folder))?;
                Ok(true)
            }
            // An upload that is made again finds what it did the first time.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let is_same = is_same_content(path, target).map_err(CheckpointError::io("read", target))?;
                is_same.then_some(true).ok_or_else(|| CheckpointError::Exists { file: target.display().to_string() })
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::CrossesDevices | io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied
                ) =>
            {
                Ok(false)
            }
            Err(error) => Err(CheckpointError::io("write", target)(error)),
        }
    }

    /// Copies a file into the store, in parts if it is large.
    fn send(&self, file: &mut File, path: &Path, name: &str) -> Result<(u64, u32), CheckpointError> {
        let read = CheckpointError::io;
        let first = read_part(file).map_err(read("read", path))?;
        if first.len() < PART_BYTES {
            let sum = (first.len() as u64, crc32c::crc32c(&first));
            self.put(name, first)?;
            return Ok(sum);
        }
        let mut upload = self.writer(name)?;
        let mut part = first;
        while !part.is_empty() {
            upload.write_all(&part).map_err(|error| upload.error(error))?;
            part = read_part(file).map_err(read("read", path))?;
        }
        upload.finish()
    }

    /// Begins a file that is written piece by piece. It is there once it is finished.
    pub(crate) fn writer(&self, name: &str) -> Result<Upload, CheckpointError> {
        let path = self.path(name)?;
        let begun = self.wait(self.objects.put_multipart(&path));
        let upload = begun.map_err(CheckpointError::store("write", self.name_of(name)))?;
        let upload = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
        Ok(Upload { store: self.clone(), name: name.to_owned(), upload: Some(upload), bytes: 0, crc32c: 0 })
    }

    /// Gets a file out of the store, and checks it. `path` appears once it is whole.
    ///
    /// In a store of local files on the same disk it is the same file under two names: it must not be changed.
    ///
    /// # Errors
    /// [`CheckpointError::Missing`] or [`CheckpointError::Damaged`] if it is not there as it was, or if the store or
    /// this machine's disk refuse.
    pub fn download(&self, file: &FileRef, path: &Path) -> Result<(), CheckpointError> {
        let part = path.with_extension("part");
        let fetched = self.fetch(file, &part);
        let fetched = fetched.and_then(|()| fs::rename(&part, path).map_err(CheckpointError::io("write", path)));
        if fetched.is_err() {
            // What is left of it helps nobody; that it cannot be removed is not the error to tell of.
            let _ = fs::remove_file(&part);
        }
        fetched
    }

    fn fetch(&self, file: &FileRef, part: &Path) -> Result<(), CheckpointError> {
        let found = if let Some(source) = self.local.as_ref().map(|root| root.join(&file.name)) {
            let _ = fs::remove_file(part);
            match fs::hard_link(&source, part).or_else(|_| fs::copy(&source, part).map(drop)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && !source.exists() => {
                    return Err(CheckpointError::Missing { file: self.name_of(&file.name) });
                }
                linked => linked.map_err(CheckpointError::io("write", part))?,
            }
            File::open(part).and_then(|mut file| sum(&mut file)).map_err(CheckpointError::io("read", part))?
        } else {
            self.receive(file, part)?
        };
        self.check(file, found)
    }

    /// Copies a file out of the store, a part at a time.
    fn receive(&self, file: &FileRef, path: &Path) -> Result<(u64, u32), CheckpointError> {
        let io = CheckpointError::io;
        let mut target = File::create(path).map_err(io("write", path))?;
        let named = self.name_of(&file.name);
        self.check_size(file)?;
        let object = self.path(&file.name)?;
        let starts = (0..file.bytes).step_by(PART_BYTES);
        let parts = starts.map(|start| {
            let end = file.bytes.min(start + PART_BYTES as u64);
            let object = &object;
            async move { self.objects.get_range(object, start..end).await }
        });
        let mut parts = futures::stream::iter(parts).buffered(REQUESTS_MAX);
        let (mut bytes, mut crc32c) = (0, 0);
        while let Some(part) = self.wait(parts.try_next()).map_err(CheckpointError::store("read", named.clone()))? {
            bytes += part.len() as u64;
            crc32c = crc32c::crc32c_append(crc32c, &part);
            target.write_all(&part).map_err(io("write", path))?;
        }
        Ok((bytes, crc32c))
    }

    fn check(&self, file: &FileRef, (bytes, crc32c): (u64, u32)) -> Result<(), CheckpointError> {
        self.check_bytes(file, bytes)?;
        if crc32c != file.crc32c {
            let what = format!("its checksum is {crc32c:08x}, not {:08x}", file.crc32c);
            return Err(CheckpointError::damaged(self.name_of(&file.name), what));
        }
        Ok(())
    }

    /// Whether a file is there, with its size. Its content is checked when it is fetched.
    pub(crate) fn check_size(&self, file: &FileRef) -> Result<(), CheckpointError> {
        match self.size(&file.name)? {
            None => Err(CheckpointError::Missing { file: self.name_of(&file.name) }),
            Some(bytes) => self.check_bytes(file, bytes),
        }
    }

    /// Whether a file has its size.
    pub(crate) fn check_bytes(&self, file: &FileRef, bytes: u64) -> Result<(), CheckpointError> {
        if bytes != file.bytes {
            return Err(wrong_size(self.name_of(&file.name), bytes, file.bytes));
        }
        Ok(())
    }
}

fn wrong_size(file: String, found: u64, expected: u64) -> CheckpointError {
    CheckpointError::damaged(file, format!("it has {found} bytes, not {expected}"))
}

/// A file on its way into a store. Dropped before it is finished, it never appears.
pub(crate) struct Upload {
    store: Store,
    name: String,
    /// Taken when it is finished.
    upload: Option<WriteMultipart>,
    bytes: u64,
    crc32c: u32,
}

impl Upload {
    /// Brings the rest of it into the store. Returns its size and checksum.
    pub(crate) fn finish(mut self) -> Result<(u64, u32), CheckpointError> {
        let upload = self.upload.take().expect("finished once");
        let finished = self.store.wait(upload.finish());
        finished.map_err(CheckpointError::store("write", self.store.name_of(&self.name)))?;
        Ok((self.bytes, self.crc32c))
    }

    /// What a failed write means.
    pub(crate) fn error(&self, source: io::Error) -> CheckpointError {
        CheckpointError::Store { action: "write", file: self.store.name_of(&self.name), source: Box::new(source) }
    }
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let upload = self.upload.as_mut().expect("not finished");
        let store = &self.store;
        // Parts are sent by tasks of the runtime.
        store.wait(async {
            upload.wait_for_capacity(REQUESTS_MAX).await?;
            upload.write(bytes);
            Ok::<(), object_store::Error>(())
        })?;
        self.bytes += bytes.len() as u64;
        self.crc32c = crc32c::crc32c_append(self.crc32c, bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(upload) = self.upload.take() {
            // The parts that were sent would stay and cost money. When this fails, too, nothing can be done here.
            let _ = self.store.wait(upload.abort());
        }
    }
}

fn read_part(file: &mut File) -> io::Result<Bytes> {
    let mut part = Vec::new();
    file.take(PART_BYTES as u64).read_to_end(&mut part)?;
    Ok(part.into())
}

/// Size and checksum of a file, from its start.
fn sum(file: &mut File) -> io::Result<(u64, u32)> {
    let (mut bytes, mut crc32c) = (0, 0);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((bytes, crc32c)),
            read => {
                bytes += read as u64;
                crc32c = crc32c::crc32c_append(crc32c, &buffer[..read]);
            }
        }
    }
}

fn is_same_content(left: &Path, right: &Path) -> io::Result<bool> {
    Ok(sum(&mut File::open(left)?)? == sum(&mut File::open(right)?)?)
}

/// Makes a folder and those above it, so that they are there after a crash.
fn create_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().expect("the root is there");
    create_folder(above)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => sync_folder(above),
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
