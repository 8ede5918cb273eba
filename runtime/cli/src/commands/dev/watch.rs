//! Whether something has been edited: the files of some folders, looked at again and again.
//!
//! Sources are few, so a look costs less than the care that notifications of the file system need, and works everywhere.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Folders without sources: what tools write.
const PASSED_OVER: [&str; 4] = ["target", "node_modules", "__pycache__", "venv"];

/// What sources end in, and the manifests of their languages. Input and output of the job may lie beside them.
const SOURCES: [&str; 12] = ["rs", "toml", "go", "mod", "sum", "py", "pyi", "js", "ts", "c", "h", "wit"];

/// Files and when they were written, with their sizes.
type Files = BTreeMap<PathBuf, (Option<SystemTime>, u64)>;

/// Folders and one more file, and how they were.
pub(super) struct Watch {
    folders: Vec<PathBuf>,
    file: PathBuf,
    /// What was told last.
    told: Files,
    /// What was seen last.
    seen: Files,
}

/// Whether a folder of this name has no sources.
pub(super) fn is_passed_over(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with('.') || PASSED_OVER.contains(&&*name)
}

fn is_source(path: &Path) -> bool {
    let is_hidden = path.file_name().is_some_and(is_passed_over);
    !is_hidden && path.extension().is_some_and(|it| SOURCES.iter().any(|ending| it == *ending))
}

impl Watch {
    /// Watches the sources in `folders`, and one more file.
    pub(super) fn new(folders: impl Iterator<Item = PathBuf>, file: &Path) -> Watch {
        let mut watch =
            Watch { folders: folders.collect(), file: file.to_owned(), told: Files::new(), seen: Files::new() };
        watch.told = watch.look();
        watch.seen = watch.told.clone();
        watch
    }

    /// Whether something is otherwise than it was told last. While files are still being written nothing is told.
    pub(super) fn changed(&mut self) -> bool {
        let now = self.look();
        let is_at_rest = now == self.seen;
        self.seen = now;
        let is_news = is_at_rest && self.seen != self.told;
        if is_news {
            self.told = self.seen.clone();
        }
        is_news
    }

    fn look(&self) -> Files {
        let mut files = Files::new();
        self.folders.iter().for_each(|folder| add(folder, &mut files));
        add_file(&self.file, &mut files);
        files
    }
}

fn add(folder: &Path, files: &mut Files) {
    // What has just been removed is none any more.
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && !is_passed_over(&entry.file_name()) => add(&path, files),
            Ok(kind) if !kind.is_dir() && is_source(&path) => add_file(&path, files),
            _ => {}
        }
    }
}

fn add_file(path: &Path, files: &mut Files) {
    if let Ok(metadata) = fs::metadata(path) {
        files.insert(path.to_owned(), (metadata.modified().ok(), metadata.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::Watch;
    use std::fs;

    #[test]
    fn an_edit_is_told_once_when_it_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        ["one", "two"].iter().for_each(|name| fs::create_dir(folder.path().join(name)).unwrap());
        write("one/lib.rs", "one");
        write("job.toml", "");
        let folders = ["one", "two"].map(|name| folder.path().join(name));
        let mut watch = Watch::new(folders.into_iter(), &folder.path().join("job.toml"));
        let mut changed = || watch.changed();
        assert_eq!((changed(), changed()), (false, false));
        write("one/lib.rs", "three");
        assert!(!changed(), "it may still be being written");
        assert_eq!((changed(), changed()), (true, false));
        write("job.toml", "name");
        assert_eq!((changed(), changed()), (false, true));
        fs::remove_file(folder.path().join("one/lib.rs")).unwrap();
        write("two/lib.rs", "");
        assert_eq!((changed(), changed()), (false, true));
    }

    #[test]
    fn what_tools_and_jobs_write_is_no_edit() {
        let folder = tempfile::tempdir().unwrap();
        let mut watch = Watch::new([folder.path().to_owned()].into_iter(), &folder.path().join("job.toml"));
        fs::create_dir_all(folder.path().join("target/release")).unwrap();
        for name in ["target/release/x.rs", "x.wasm", ".x.rs", "x.rs~", "orders.jsonl", "part-1.csv"] {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        assert_eq!((watch.changed(), watch.changed()), (false, false));
    }
}
