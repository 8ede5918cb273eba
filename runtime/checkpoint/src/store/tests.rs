//! Stores of every kind keep what they are given and say what is wrong with what they find.

use super::{Patience, Store};
use crate::error::CheckpointError;
use crate::manifest::FileRef;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// A folder and a memory store in turn.
fn each(check: impl Fn(&Store, &Path)) {
    let folder = TempDir::new().unwrap();
    let work = TempDir::new_in(folder.path()).unwrap();
    check(&Store::open("deep/store", folder.path()).unwrap(), work.path());
    check(&Store::open("memory:", folder.path()).unwrap(), work.path());
}

#[test]
fn files_are_put_once_or_again_read_listed_and_removed() {
    each(|store, _| {
        assert!(store.get("a/1").unwrap_err().is_missing());
        assert_eq!(store.list("a").unwrap(), [], "a folder that is not there is empty");
        store.put_new("a/1", "one").unwrap();
        assert!(matches!(store.put_new("a/1", "two"), Err(CheckpointError::Exists { .. })));
        assert_eq!(store.get("a/1").unwrap(), "one");
        store.put("a/1", "three").unwrap();
        store.put("a/2", "").unwrap();
        store.put("b/3", "x").unwrap();
        assert_eq!(store.get_range("a/1", 2..5).unwrap(), "ree");
        assert!(store.get_range("a/1", 2..9).is_err());
        assert_eq!((store.size("a/2").unwrap(), store.size("a/9").unwrap()), (Some(0), None));
        let listed: Vec<_> = store.list("a").unwrap().into_iter().map(|file| (file.name, file.bytes)).collect();
        assert_eq!(listed, [("a/1".to_owned(), 5), ("a/2".to_owned(), 0)]);
        store.remove(&["a/1".to_owned(), "a/9".to_owned(), "a/2".to_owned()]).unwrap();
        assert_eq!(store.list("a").unwrap(), []);
        assert_eq!(store.get("b/3").unwrap(), "x");
    });
}

#[test]
fn uploaded_files_come_back_as_they_were_small_and_large() {
    each(|store, work| {
        for (name, bytes) in [("files/1-0-0.sst", 0), ("files/1-0-1.sst", 1000), ("files/1-0-2.sst", 20 << 20)] {
            let content: Vec<u8> = (0..bytes).map(|i| (i * 31 + i / 7) as u8).collect();
            let local = work.join("up");
            let _ = fs::remove_file(&local);
            fs::write(&local, &content).unwrap();
            let file = store.upload(&local, name).unwrap();
            assert_eq!(file, FileRef { name: name.to_owned(), bytes: bytes as u64, crc32c: crc32c::crc32c(&content) });
            assert_eq!(store.upload(&local, name).unwrap(), file, "a second time is no error");
            let back = work.join("down");
            store.download(&file, &back).unwrap();
            assert!(fs::read(&back).unwrap() == content);
            assert!(store.get(name).unwrap() == content);
            fs::remove_file(&back).unwrap();
        }
    });
}

#[test]
fn another_file_of_the_same_name_is_refused_in_a_folder() {
    let folder = TempDir::new().unwrap();
    let store = Store::open("store", folder.path()).unwrap();
    fs::write(folder.path().join("a"), "one").unwrap();
    fs::write(folder.path().join("b"), "two").unwrap();
    store.upload(&folder.path().join("a"), "files/1-0-0.sst").unwrap();
    let error = store.upload(&folder.path().join("b"), "files/1-0-0.sst").unwrap_err();
    assert!(matches!(error, CheckpointError::Exists { .. }), "{error}");
}

#[test]
fn what_is_cut_off_changed_or_gone_is_not_given_back() {
    each(|store, work| {
        let content = vec![7; 100_000];
        fs::write(work.join("up"), &content).unwrap();
        let file = store.upload(&work.join("up"), "files/1-0-0.sst").unwrap();
        fs::remove_file(work.join("up")).unwrap();
        let back = work.join("down");
        let mut flipped = content.clone();
        flipped[77_777] ^= 4;
        for (damaged, what) in
            [(flipped, "its checksum is "), (content[..99_999].to_vec(), "it has 99999 bytes, not 100000")]
        {
            store.put(&file.name, damaged).unwrap();
            let error = store.download(&file, &back).unwrap_err();
            assert!(matches!(error, CheckpointError::Damaged { .. }), "{error}");
            let text = error.to_string();
            assert!(text.contains("files/1-0-0.sst` is damaged: ") && text.contains(what), "{text}");
            assert!(!back.exists(), "nothing is left that could be taken for the file");
        }
        store.remove(std::slice::from_ref(&file.name)).unwrap();
        let error = store.download(&file, &back).unwrap_err();
        assert!(error.is_missing(), "{error}");
        assert!(error.to_string().contains("files/1-0-0.sst` is not there; put it back"), "{error}");
        assert_eq!(fs::read_dir(work).unwrap().count(), 0);
    });
}

#[test]
fn urls_are_read_and_wrong_ones_explained() {
    let here = TempDir::new().unwrap();
    let named = |url: &str| Store::open(url, here.path()).map(|store| store.url().to_owned());
    let folder = here.path().display().to_string();
    assert_eq!(named("a/b/").unwrap(), format!("file://{folder}/a/b"));
    assert_eq!(named(&format!("{folder}/x y")).unwrap(), format!("file://{folder}/x y"));
    assert_eq!(named("file:///tmp/x%20y").unwrap(), "file:///tmp/x y");
    assert_eq!(named("s3://bucket/a/b/").unwrap(), "s3://bucket/a/b");
    assert!(fs::read_dir(here.path()).unwrap().next().is_none(), "opening makes no folder");
    for (url, text) in [
        ("gs://b/a", "`gs:` is not known, use a path, `file:///…` or `s3://bucket/prefix`"),
        ("s3:///a", "it names no bucket, write `s3://bucket/prefix`"),
        ("file://host/a", "write `file:///` and an absolute path"),
        ("../nowhere-at-all/a", "make the folder, or write a path without `..`"),
    ] {
        let error = named(url).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("`{url}` is no place for checkpoints: ")) && error.ends_with(text),
            "{error}"
        );
    }
    let odd = Store::open("x y/ä%20#1", here.path()).unwrap();
    odd.put("a", "b").unwrap();
    assert_eq!(fs::read(here.path().join("x y/ä%20#1/a")).unwrap(), b"b", "the folder is the one that was named");
    assert_eq!(odd.get("a").unwrap(), "b");
}

#[test]
fn a_store_that_is_not_there_is_an_error_in_bounded_time() {
    // A port that was free a moment ago: connections to it are refused.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let patience = Patience { retries: 2, pause: Duration::from_millis(5), ..Patience::default() };
    let error = s3_at(port, patience).put("slots/1", "x").unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, CheckpointError::Store { .. }), "{text}");
    assert!(
        text.starts_with("cannot write `s3://bucket/job/slots/1`: ") && text.contains("see that the store"),
        "{text}"
    );
}

#[test]
fn a_store_that_accepts_and_is_silent_is_an_error_in_bounded_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let patience = Patience {
        retries: 1,
        request: Duration::from_millis(50),
        pause: Duration::from_millis(5),
        ..Patience::default()
    };
    let error = s3_at(port, patience).get("slots/1").unwrap_err();
    assert!(matches!(error, CheckpointError::Store { action: "read", .. }), "{error}");
}

fn s3_at(port: u16, patience: Patience) -> Store {
    let environment = [
        ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}")),
        ("AWS_ACCESS_KEY_ID", "key".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
        ("AWS_REGION", "nowhere-1".to_owned()),
    ];
    let environment = environment.map(|(key, value)| (key.to_owned(), value));
    Store::open_with("s3://bucket/job", Path::new("."), environment, patience).unwrap()
}
