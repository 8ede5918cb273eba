//! Files of the user's that are kept to save time: compiled components, and what components in Python are made with.
//!
//! A [`CacheFolder`] holds a bounded number of bytes: when a file is added, those that nobody has used for longest go until the
//! rest is within the bound. When a file was used last is its time of modification. Any number of processes may use a folder at
//! once, since a file appears whole under its name and is never changed; one that has just been removed is not there any more,
//! and is made anew. All that can be lost is time.

use std::ffi::OsString;
use std::fs::{self, DirEntry, File};
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// What the names of unfinished files begin with.
const UNFINISHED: &str = ".new-";

/// An unfinished file that is older has been left behind by a process that was killed.
const UNFINISHED_MAX: Duration = Duration::from_secs(3600);

/// A folder with files that can be made again.
#[derive(Clone, Debug)]
pub struct CacheFolder {
    path: PathBuf,
    bytes_max: u64,
}

impl CacheFolder {
    /// The folder at `path`, of at most `bytes_max` bytes. It is made if it is not there: readable by nobody else, since what
    /// is in it is run.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(path: PathBuf, bytes_max: u64) -> io::Result<CacheFolder> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path)?;
        Ok(CacheFolder { path, bytes_max })
    }

    /// Where a file of this name is, if it is there.
    pub fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The file of this name, which counts as used then.
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        let mut file = File::open(self.path(name)).ok()?;
        // A folder that cannot be written serves as well, as long as it lasts.
        let _ = file.set_modified(SystemTime::now());
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    /// Keeps a file under this name, and removes those that have not been used for longest, if there are too many bytes now.
    ///
    /// # Errors
    /// When it cannot be written. What could not be removed is no error.
    pub fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        // Renamed into place: who reads meanwhile sees all of it or nothing, whatever else writes it.
        let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&self.path)?;
        file.write_all(bytes)?;
        file.persist(self.path(name)).map_err(|error| error.error)?;
        self.shrink(name);
        Ok(())
    }

    /// Removes files until the others are within the bound; the one called `newest` stays, whatever its size.
    fn shrink(&self, newest: &str) {
        let now = SystemTime::now();
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        let mut files: Vec<Kept> = entries.filter_map(|entry| Kept::new(&entry)).collect();
        for unfinished in files.extract_if(.., |file| file.name.to_string_lossy().starts_with(UNFINISHED)) {
            if now.duration_since(unfinished.used).is_ok_and(|age| age > UNFINISHED_MAX) {
                self.remove(&unfinished);
            }
        }
        let mut bytes: u64 = files.iter().map(|file| file.bytes).sum();
        files.retain(|file| file.name != newest);
        files.sort_by_key(|file| file.used);
        for file in files {
            if bytes <= self.bytes_max {
                break;
            }
            self.remove(&file);
            bytes -= file.bytes;
        }
    }

    /// Removes a file that another process may have removed already.
    fn remove(&self, file: &Kept) {
        let _ = fs::remove_file(self.path.join(&file.name));
    }
}

/// A file of a folder.
struct Kept {
    name: OsString,
    used: SystemTime,
    bytes: u64,
}

impl Kept {
    /// None of what is no file, or has been removed meanwhile.
    fn new(entry: &DirEntry) -> Option<Kept> {
        let metadata = entry.metadata().ok().filter(fs::Metadata::is_file)?;
        Some(Kept { name: entry.file_name(), used: metadata.modified().ok()?, bytes: metadata.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::{CacheFolder, UNFINISHED_MAX};
    use std::fs::{self, File};
    use std::path::Path;
    use std::thread;
    use std::time::{Duration, SystemTime};

    /// What is in a folder, in the order of names.
    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Makes a file seem unused for so long.
    fn age(folder: &Path, name: &str, seconds: u64) {
        let then = SystemTime::now() - Duration::from_secs(seconds);
        File::options().append(true).open(folder.join(name)).unwrap().set_modified(then).unwrap();
    }

    #[test]
    fn what_was_not_used_for_longest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let cache = CacheFolder::open(folder.path().join("a/b"), 10).unwrap();
        let place = folder.path().join("a/b");
        for (name, seconds) in [("one", 30), ("two", 20), ("three", 10)] {
            cache.write(name, b"xxx").unwrap();
            age(&place, name, seconds);
        }
        assert_eq!(names(&place), ["one", "three", "two"], "nine bytes are within the bound");
        // It is used: now another one is the oldest.
        assert_eq!(cache.read("one").unwrap(), b"xxx");
        cache.write("four", b"xxxx").unwrap();
        assert_eq!(names(&place), ["four", "one", "three"]);
        assert_eq!(cache.read("two"), None);
        // The new one stays, though it is too large alone.
        cache.write("large", &[0; 100]).unwrap();
        assert_eq!(names(&place), ["large"]);
        cache.write("small", b"x").unwrap();
        assert_eq!(names(&place), ["small"]);
    }

    #[test]
    fn what_is_written_again_counts_once() {
        let folder = tempfile::tempdir().unwrap();
        let cache = CacheFolder::open(folder.path().to_owned(), 6).unwrap();
        cache.write("one", b"xxx").unwrap();
        for _ in 0..3 {
            cache.write("two", b"yyy").unwrap();
        }
        assert_eq!(names(folder.path()), ["one", "two"]);
    }

    #[test]
    fn what_a_killed_process_left_goes_and_what_one_writes_stays() {
        let folder = tempfile::tempdir().unwrap();
        let cache = CacheFolder::open(folder.path().to_owned(), 10).unwrap();
        for name in [".new-old", ".new-young"] {
            fs::write(folder.path().join(name), [0; 100]).unwrap();
        }
        fs::create_dir(folder.path().join("folder")).unwrap();
        age(folder.path(), ".new-old", UNFINISHED_MAX.as_secs() + 60);
        cache.write("one", b"x").unwrap();
        cache.write("two", b"x").unwrap();
        assert_eq!(names(folder.path()), [".new-young", "folder", "one", "two"]);
    }

    #[test]
    fn many_use_it_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let work = |seed: usize| {
            // As processes do, each has a folder of its own.
            let cache = CacheFolder::open(folder.path().to_owned(), 3 * 64).unwrap();
            for round in 0..200 {
                let name = ((seed + 7 * round) % 10).to_string();
                match cache.read(&name) {
                    Some(bytes) => assert_eq!(bytes, name.repeat(64).into_bytes()),
                    None => cache.write(&name, name.repeat(64).as_bytes()).unwrap(),
                }
            }
        };
        thread::scope(|scope| (0..4).for_each(|seed| _ = scope.spawn(move || work(seed))));
        assert!(names(folder.path()).len() <= 4, "{:?}", names(folder.path()));
    }

    #[test]
    fn a_folder_that_is_gone_is_an_error_that_can_be_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let cache = CacheFolder::open(folder.path().join("a"), 10).unwrap();
        fs::remove_dir(folder.path().join("a")).unwrap();
        assert_eq!(cache.read("one"), None);
        assert!(cache.write("one", b"x").is_err());
    }
}
