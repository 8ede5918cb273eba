//! Savepoints come back as they were written, in parts and in whole, and say what is wrong with them.

use super::footer;
use super::{MANIFEST, Row, RowKind, Savepoint, Writer, check_free, complete};
use crate::error::CheckpointError;
use crate::log::tests::manifest;
use crate::manifest::{Manifest, TaskState};
use crate::store::Store;
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, any, prop_assert_eq, proptest};
use std::ops::Range;
use std::path::Path;
use tempfile::TempDir;
use tidewheel_types::description::StateKind;

/// A row with its own bytes.
#[derive(Clone, Debug, PartialEq)]
struct Owned {
    state: String,
    kind: RowKind,
    key_group: u16,
    key: Vec<u8>,
    namespace: Vec<u8>,
    user_key: Vec<u8>,
    version: u32,
    value: Vec<u8>,
    expiry_ms: Option<i64>,
}

impl Owned {
    fn row(&self) -> Row<'_> {
        Row {
            state: &self.state,
            kind: self.kind,
            key_group: self.key_group,
            key: &self.key,
            namespace: &self.namespace,
            user_key: &self.user_key,
            version: self.version,
            value: &self.value,
            expiry_ms: self.expiry_ms,
        }
    }

    fn of(row: Row<'_>) -> Owned {
        Owned {
            state: row.state.to_owned(),
            kind: row.kind,
            key_group: row.key_group,
            key: row.key.to_owned(),
            namespace: row.namespace.to_owned(),
            user_key: row.user_key.to_owned(),
            version: row.version,
            value: row.value.to_owned(),
            expiry_ms: row.expiry_ms,
        }
    }
}

fn rows() -> impl Strategy<Value = Vec<Owned>> {
    let bytes = || vec(any::<u8>(), 0..12);
    let kind = (0..RowKind::ALL.len()).prop_map(|index| RowKind::ALL[index]);
    let row =
        (("[a-zé]{1,9}", kind, 0u16..128), (bytes(), bytes(), bytes()), any::<u32>(), bytes(), any::<Option<i64>>());
    let row = row.prop_map(|((state, kind, key_group), (key, namespace, user_key), version, value, expiry_ms)| Owned {
        state: if let RowKind::State(_) = kind { state } else { kind.name().to_owned() },
        kind,
        key_group,
        key,
        namespace,
        user_key,
        version,
        value,
        expiry_ms,
    });
    vec(row, 0..200)
}

/// Writes a savepoint of operator `count` with these tasks.
fn write(store: &Store, tasks: &[(Range<u16>, Vec<Owned>)]) -> Manifest {
    let mut files = Vec::new();
    for (worker, (_, rows)) in tasks.iter().enumerate() {
        let mut writer = Writer::new(store, "count", worker).unwrap();
        rows.iter().for_each(|row| writer.push(&row.row()).unwrap());
        files.push(writer.finish().unwrap());
    }
    let mut manifest = manifest(3, 7, &[]);
    let states = (0..).zip(tasks).zip(&files).map(|((worker, (key_groups, _)), file)| TaskState {
        worker,
        key_groups: key_groups.clone(),
        files: vec![file.clone()],
    });
    manifest.operators.get_mut("count").unwrap().tasks = states.collect();
    complete(store, &manifest, true).unwrap();
    manifest
}

fn read(reader: &Savepoint, key_groups: Range<u16>) -> Result<Vec<Owned>, CheckpointError> {
    let (mut rows, mut read) = (reader.rows("count", key_groups), Vec::new());
    while let Some(row) = rows.next()? {
        read.push(Owned::of(row));
    }
    Ok(read)
}

/// Many rows of one state, of 100 bytes each.
fn many(key_groups: Range<u16>, per_group: usize) -> Vec<Owned> {
    let rows = key_groups.flat_map(|key_group| (0..per_group).map(move |index| (key_group, index)));
    let rows = rows.map(|(key_group, index)| Owned {
        state: "total".to_owned(),
        kind: RowKind::State(StateKind::Value),
        key_group,
        key: format!("key-{key_group}-{index:06}").into_bytes(),
        namespace: Vec::new(),
        user_key: Vec::new(),
        version: 1,
        value: vec![index as u8; 100],
        expiry_ms: None,
    });
    rows.collect()
}

fn memory() -> Store {
    Store::open("memory:", Path::new(".")).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn rows_come_back_as_they_were(mut rows in rows(), first in 0u16..128, count in 0u16..128) {
        rows.sort_by_key(|row| row.key_group);
        let (low, high): (Vec<Owned>, Vec<Owned>) = rows.iter().cloned().partition(|row| row.key_group < 50);
        let store = memory();
        let manifest = write(&store, &[(0..50, low), (50..128, high)]);
        let reader = Savepoint::open(&store).unwrap();
        prop_assert_eq!(&reader.manifest, &manifest);
        prop_assert_eq!(read(&reader, 0..128).unwrap(), rows.clone());
        let range = first..(first + count).min(128);
        rows.retain(|row| range.contains(&row.key_group));
        prop_assert_eq!(read(&reader, range).unwrap(), rows);
    }
}

#[test]
fn many_rows_are_read_in_parts_from_a_folder() {
    let folder = TempDir::new().unwrap();
    let store = Store::open("savepoint", folder.path()).unwrap();
    check_free(&store).unwrap();
    let rows = many(0..64, 4000);
    write(&store, &[(0..64, rows.clone())]);
    let reader = Savepoint::open(&store).unwrap();
    assert!(reader.drained);
    let file = reader.manifest.files().next().unwrap();
    let groups = footer::read(&store, file).unwrap().groups;
    assert!(groups.len() >= 4, "{} row groups", groups.len());
    assert!(groups.iter().all(|group| group.piece.bytes < 12 << 20));
    assert!(read(&reader, 0..128).unwrap() == rows);
    let some: Vec<Owned> = rows.iter().filter(|row| (17..19).contains(&row.key_group)).cloned().collect();
    assert!(read(&reader, 17..19).unwrap() == some);

    // What is not needed is not even read.
    let path = folder.path().join("savepoint/rows/count-0.parquet");
    let mut bytes = std::fs::read(&path).unwrap();
    let last = groups.last().unwrap();
    bytes[last.piece.start as usize + 1000] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert!(read(&reader, 17..19).unwrap() == some);
    let error = read(&reader, 63..64).unwrap_err();
    assert!(matches!(error, CheckpointError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("/savepoint/rows/count-0.parquet` is damaged: the checksum of the "), "{error}");
}

#[test]
fn a_savepoint_is_there_once_it_is_complete_and_only_once() {
    let store = memory();
    assert!(Savepoint::open(&store).err().unwrap().is_missing());
    let mut unfinished = Writer::new(&store, "count", 0).unwrap();
    unfinished.push(&many(0..1, 1)[0].row()).unwrap();
    drop(unfinished);
    assert_eq!(store.list("").unwrap(), [], "what was not finished never appears");
    write(&store, &[(0..128, Vec::new())]);
    assert!(matches!(check_free(&store), Err(CheckpointError::Exists { .. })));
    let error = complete(&store, &manifest(3, 7, &[]), false).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`memory:/savepoint.json` is there already; name another place, or remove it if nothing needs it"
    );
    assert_eq!(read(&Savepoint::open(&store).unwrap(), 0..128).unwrap(), []);
}

#[test]
fn a_savepoint_that_is_not_as_it_was_is_refused() {
    let store = memory();
    write(&store, &[(0..128, many(0..4, 100))]);
    let name = "rows/count-0.parquet";
    let whole = store.get(name).unwrap();
    for at in (0..whole.len()).step_by(whole.len() / 50) {
        let mut flipped = whole.to_vec();
        flipped[at] ^= 0x10;
        store.put(name, flipped).unwrap();
        let error = read(&Savepoint::open(&store).unwrap(), 0..128).unwrap_err();
        assert!(matches!(error, CheckpointError::Damaged { .. }), "byte {at}: {error}");
    }
    store.put(name, whole.slice(..whole.len() - 1)).unwrap();
    let error = Savepoint::open(&store).err().unwrap().to_string();
    assert!(error.starts_with("`memory:/rows/count-0.parquet` is damaged: it has "), "{error}");
    store.remove(&[name.to_owned()]).unwrap();
    assert!(Savepoint::open(&store).err().unwrap().is_missing());

    let manifest = store.get(MANIFEST).unwrap();
    store.put(MANIFEST, manifest.slice(..manifest.len() - 30)).unwrap();
    let error = Savepoint::open(&store).err().unwrap().to_string();
    assert!(error.starts_with("`memory:/savepoint.json` is damaged: it is cut off after "), "{error}");
}
