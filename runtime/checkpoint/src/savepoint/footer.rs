//! What a file of rows says of itself: where its row groups are, which key groups they have, and their checksums.
//!
//! It is in the footer, as metadata that other readers pass over. The checksum of the whole file, which the manifest has,
//! follows from those of the row groups and the footer, so each part can be checked alone, and nothing is read in vain.

use super::rows::Window;
use crate::error::CheckpointError;
use crate::manifest::FileRef;
use crate::store::Store;
use parquet::file::metadata::{KeyValue, ParquetMetaData, ParquetMetaDataReader};
use serde::{Deserialize, Serialize};

/// Under which name the row groups are in the metadata.
const KEY: &str = "tidewheel.row-groups";

/// So much of the end of a file is read first: mostly all of its footer.
const TAIL_BYTES: u64 = 64 << 10;

/// The last bytes of a Parquet file: the size of the metadata before them, and a word.
const END_BYTES: u64 = 8;

/// A row group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RowGroup {
    pub(super) rows: u64,
    /// The least and the largest key group.
    pub(super) key_groups: (u16, u16),
    pub(super) piece: Piece,
}

/// Bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Piece {
    pub(super) start: u64,
    pub(super) bytes: u64,
    pub(super) crc32c: u32,
}

/// A file that has been opened.
pub(super) struct Footer {
    pub(super) metadata: ParquetMetaData,
    pub(super) groups: Vec<RowGroup>,
}

/// The metadata to write.
pub(super) fn metadata(groups: &[RowGroup]) -> KeyValue {
    KeyValue::new(KEY.to_owned(), serde_json::to_string(groups).expect("numbers are JSON"))
}

/// Reads and checks the footer of a file.
pub(super) fn read(store: &Store, file: &FileRef) -> Result<Footer, CheckpointError> {
    let damaged = |what: String| CheckpointError::damaged(store.name_of(&file.name), what);
    let fetch = |start: u64| -> Result<Window, CheckpointError> {
        let bytes = store.get_range(&file.name, start..file.bytes)?;
        Ok(Window { file_bytes: file.bytes, start, bytes })
    };
    let mut window = fetch(file.bytes.saturating_sub(TAIL_BYTES))?;
    let size = window.bytes.len().checked_sub(END_BYTES as usize).and_then(|at| window.bytes.get(at..at + 4));
    let size = size.map_or(0, |size| u32::from_le_bytes(size.try_into().expect("four bytes")));
    let start = file.bytes.checked_sub(END_BYTES + u64::from(size));
    let start = start.ok_or_else(|| damaged("its footer is longer than the file".to_owned()))?;
    if start < window.start {
        window = fetch(start)?;
    }
    let parsed = ParquetMetaDataReader::new().parse_and_finish(&window);
    let metadata = parsed.map_err(|error| damaged(format!("its footer cannot be read: {error}")))?;
    let pairs = metadata.file_metadata().key_value_metadata().into_iter().flatten();
    let groups = pairs.filter(|pair| pair.key == KEY).find_map(|pair| serde_json::from_str(pair.value.as_ref()?).ok());
    let groups: Vec<RowGroup> = groups.ok_or_else(|| damaged("it does not say where its row groups are".to_owned()))?;
    check_pieces(file, &groups, window, fetch)?.map_err(damaged)?;
    let rows = metadata.row_groups().iter().map(|group| group.num_rows() as u64);
    if !rows.eq(groups.iter().map(|group| group.rows)) {
        return Err(damaged("its row groups do not have as many rows as it says".to_owned()));
    }
    Ok(Footer { metadata, groups })
}

/// Whether the checksums of all parts make up that of the file.
fn check_pieces(
    file: &FileRef,
    groups: &[RowGroup],
    mut window: Window,
    fetch: impl Fn(u64) -> Result<Window, CheckpointError>,
) -> Result<Result<(), String>, CheckpointError> {
    let (mut end, mut crc32c) = (0, 0);
    for piece in groups.iter().map(|group| group.piece) {
        if piece.start != end || piece.bytes > file.bytes - end {
            return Ok(Err("its row groups are not one after the other".to_owned()));
        }
        end += piece.bytes;
        crc32c = crc32c::crc32c_combine(crc32c, piece.crc32c, piece.bytes as usize);
    }
    if end < window.start {
        window = fetch(end)?;
    }
    let footer = &window.bytes[(end - window.start) as usize..];
    crc32c = crc32c::crc32c_combine(crc32c, crc32c::crc32c(footer), footer.len());
    Ok(if crc32c == file.crc32c {
        Ok(())
    } else {
        Err(format!("its checksum is {crc32c:08x}, not {:08x}", file.crc32c))
    })
}
