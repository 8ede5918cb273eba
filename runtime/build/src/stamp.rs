//! What lies in folders, as far as it shows without reading it: names, sizes and times of files. Whoever cannot know which of them
//! a component is made of takes all.

use std::fs::{self, DirEntry, Metadata};
use std::path::Path;
use std::time::SystemTime;

/// A line for each file in a folder and below it, in the order of their names, but for those that `is_passed_over`. A folder that
/// is not there has none.
pub(crate) fn of_folder(folder: &Path, is_passed_over: &dyn Fn(&Path) -> bool) -> Vec<u8> {
    let mut stamp = Vec::new();
    add(folder, is_passed_over, &mut stamp);
    stamp
}

fn add(folder: &Path, is_passed_over: &dyn Fn(&Path) -> bool, stamp: &mut Vec<u8>) {
    let mut entries: Vec<DirEntry> = fs::read_dir(folder).into_iter().flatten().flatten().collect();
    entries.sort_by_key(DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if is_passed_over(&path) {
            continue;
        }
        // A link to a folder is not followed: it may lead back.
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => add(&path, is_passed_over, stamp),
            Ok(metadata) => line(&path, &fs::metadata(&path).unwrap_or(metadata), stamp),
            // It has just been removed.
            Err(_) => {}
        }
    }
}

fn line(path: &Path, metadata: &Metadata, stamp: &mut Vec<u8>) {
    let written = metadata.modified().ok().and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    let nanoseconds = written.unwrap_or_default().as_nanos();
    stamp.extend(path.as_os_str().as_encoded_bytes());
    stamp.extend(format!("\0{} {nanoseconds}\n", metadata.len()).into_bytes());
}

#[cfg(test)]
mod tests {
    use super::of_folder;
    use std::fs;
    use std::path::Path;

    #[test]
    fn it_is_another_one_when_a_file_is() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let stamp = || of_folder(folder.path(), &|path: &Path| path.ends_with("built.wasm"));
        assert_eq!(stamp(), b"");
        fs::create_dir(folder.path().join("shop")).unwrap();
        write("shop/prices.py", "one");
        let first = stamp();
        assert_eq!((stamp(), first.iter().filter(|byte| **byte == b'\n').count()), (first.clone(), 1));
        write("built.wasm", "x");
        assert_eq!(stamp(), first, "it is passed over");
        write("shop/prices.py", "three");
        let edited = stamp();
        assert_ne!(edited, first);
        write("shop/more.py", "");
        assert_ne!(stamp(), edited);
        fs::remove_file(folder.path().join("shop/more.py")).unwrap();
        assert_eq!(stamp(), edited);
    }

    #[test]
    fn a_folder_that_is_not_there_has_no_files() {
        assert_eq!(of_folder(Path::new("no/such/folder"), &|_| false), b"");
    }
}
