//! JSON documents that tell whether they are whole: the last member is the checksum of all that comes before it.
//!
//! `{"format":1,…,"crc32c":"9ae0daaf"}` is plain JSON for any reader. The checksum covers the bytes as they were written,
//! so it does not depend on how numbers and spaces are printed.

use crate::error::CheckpointError;
use crate::manifest::FORMAT;
use serde::Serialize;
use serde::de::DeserializeOwned;

const MARK: &str = ",\"crc32c\":\"";
const TAIL: &str = "\"}";
/// The checksum is eight digits, between the mark and the tail.
const SEAL_BYTES: usize = MARK.len() + 8 + TAIL.len();

/// All that every document has.
#[derive(serde::Deserialize)]
struct Head {
    format: u32,
}

/// The bytes of a document.
///
/// # Panics
/// If it is not an object with members: all of ours are.
pub(crate) fn seal(document: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(document).expect("manifests are JSON");
    assert_eq!(bytes.pop(), Some(b'}'), "documents are objects");
    let crc = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(format!("{MARK}{crc:08x}{TAIL}").as_bytes());
    bytes
}

/// Reads what [`seal`] wrote. `file` is what errors call it.
pub(crate) fn open<T: DeserializeOwned>(bytes: &[u8], file: &str) -> Result<T, CheckpointError> {
    let damaged = |what: String| CheckpointError::damaged(file, what);
    let whole = bytes.len().checked_sub(SEAL_BYTES).map(|end| bytes.split_at(end));
    let given = whole.and_then(|(_, seal)| {
        let digits = std::str::from_utf8(seal).ok()?.strip_prefix(MARK)?.strip_suffix(TAIL)?;
        u32::from_str_radix(digits, 16).ok()
    });
    let (Some((document, _)), Some(given)) = (whole, given) else {
        return Err(damaged(format!("it is cut off after {} bytes, or was not written by Tidewheel", bytes.len())));
    };
    let found = crc32c::crc32c(document);
    if found != given {
        return Err(damaged(format!("its checksum is {found:08x}, not {given:08x}")));
    }
    let head: Head = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
    if head.format > FORMAT {
        return Err(CheckpointError::NewerFormat { file: file.to_owned(), format: head.format, known: FORMAT });
    }
    serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::{open, seal};
    use crate::error::CheckpointError;
    use crate::manifest::FORMAT;
    use serde_json::{Value, json};

    #[test]
    fn what_is_sealed_is_json_and_opens() {
        let document = json!({"format": FORMAT, "name": "a \"b\" é", "time": i64::MIN});
        let bytes = seal(&document);
        let mut plain: Value = serde_json::from_slice(&bytes).expect("any reader can read it");
        plain.as_object_mut().unwrap().remove("crc32c").expect("the checksum is a member");
        assert_eq!(plain, document);
        assert_eq!(open::<Value>(&bytes, "f").unwrap()["name"], document["name"]);
    }

    #[test]
    fn a_document_that_is_cut_off_anywhere_or_changed_anywhere_is_damaged() {
        let bytes = seal(&json!({"format": FORMAT, "name": "count", "bytes": 12}));
        for end in 0..bytes.len() {
            let error = open::<Value>(&bytes[..end], "slots/1").unwrap_err();
            assert!(matches!(error, CheckpointError::Damaged { .. }), "{end}: {error}");
        }
        for at in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            // The case of a digit of the checksum may change: it is the same number.
            if let Err(error) = open::<Value>(&flipped, "slots/1") {
                assert!(matches!(error, CheckpointError::Damaged { .. }), "{at}: {error}");
            } else {
                assert!(at / 8 >= bytes.len() - 10 && at % 8 == 5, "bit {at} may not change");
            }
        }
        let text = open::<Value>(&bytes[..9], "slots/1").unwrap_err().to_string();
        assert!(text.starts_with("`slots/1` is damaged: it is cut off after 9 bytes"), "{text}");
    }

    #[test]
    fn a_later_format_is_refused() {
        let error = open::<Value>(&seal(&json!({"format": FORMAT + 1, "new": true})), "slots/1").unwrap_err();
        assert_eq!(
            error.to_string(),
            "`slots/1` has format 2, this version reads up to 1; use the version that wrote it, or a later one"
        );
    }
}
