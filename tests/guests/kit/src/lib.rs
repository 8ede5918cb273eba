//! What the fixtures share: the bindings of the three worlds, and a reader and a writer of frames that check nothing.
//!
//! The fixtures do not use the SDK, on purpose: they must be able to do what it makes impossible.

pub mod migrating;
pub mod poison;

/// World `stateless`.
pub mod stateless {
    wit_bindgen::generate!({
        path: "../../../wit",
        world: "stateless",
        pub_export_macro: true,
        export_macro_name: "export",
        default_bindings_module: "fixture_kit::stateless",
    });
}

/// World `keyed`.
pub mod keyed {
    wit_bindgen::generate!({
        path: "../../../wit",
        world: "keyed",
        pub_export_macro: true,
        export_macro_name: "export",
        default_bindings_module: "fixture_kit::keyed",
    });
}

/// World `aggregate`.
pub mod aggregate {
    wit_bindgen::generate!({
        path: "../../../wit",
        world: "aggregate",
        pub_export_macro: true,
        export_macro_name: "export",
        default_bindings_module: "fixture_kit::aggregate",
    });
}

/// Set in an end: there is no value.
pub const ABSENT: u32 = 1 << 31;

/// The columns of a frame by id.
pub struct Columns<'a>([&'a [u8]; 32]);

impl<'a> Columns<'a> {
    /// Reads a frame of the host, which is trusted.
    pub fn read(frame: &'a [u8]) -> Self {
        let word = |index: usize| u32::from_le_bytes(frame[index * 4..index * 4 + 4].try_into().unwrap()) as usize;
        let count = word(0);
        let mut columns = [&frame[..0]; 32];
        let mut start = 8 + count * 8;
        for index in 0..count {
            let (id, end) = (word(2 + index * 2), word(3 + index * 2));
            if let Some(column) = columns.get_mut(id) {
                *column = &frame[start..end];
            }
            start = end.next_multiple_of(8);
        }
        Columns(columns)
    }

    /// Column `id`.
    pub fn bytes(&self, id: usize) -> &'a [u8] {
        self.0[id]
    }

    /// Column `id` as numbers.
    pub fn numbers(&self, id: usize) -> Vec<u32> {
        numbers(self.0[id])
    }

    /// The entries of the bytes column `id + 1`, whose ends are column `id`. An absent entry is `None`.
    pub fn entries(&self, id: usize) -> Vec<Option<&'a [u8]>> {
        entries(self.0[id], self.0[id + 1])
    }

    /// The values of the records.
    pub fn values(&self) -> Vec<&'a [u8]> {
        self.entries(7).into_iter().map(Option::unwrap).collect()
    }
}

/// A column of little-endian numbers.
pub fn numbers(column: &[u8]) -> Vec<u32> {
    column.chunks_exact(4).map(|chunk| u32::from_le_bytes(chunk.try_into().unwrap())).collect()
}

/// The entries of a bytes column with the given ends.
pub fn entries<'a>(ends: &[u8], bytes: &'a [u8]) -> Vec<Option<&'a [u8]>> {
    let mut start = 0;
    let entry = |end: u32| {
        let range = start..(end & !ABSENT) as usize;
        start = range.end;
        (end & ABSENT == 0).then(|| &bytes[range])
    };
    numbers(ends).into_iter().map(entry).collect()
}

/// A frame being written; columns must be added in rising order of id.
#[derive(Default)]
pub struct Frame(Vec<(u32, Vec<u8>)>);

impl Frame {
    /// Adds a column.
    pub fn column(mut self, id: u32, bytes: Vec<u8>) -> Self {
        self.0.push((id, bytes));
        self
    }

    /// Adds the columns `id` (ends) and `id + 1` (bytes).
    pub fn entries<'a>(self, id: u32, entries: impl IntoIterator<Item = Option<&'a [u8]>>) -> Self {
        let (ends, bytes) = bytes_column(entries);
        self.column(id, ends).column(id + 1, bytes)
    }

    /// The frame.
    pub fn finish(self) -> Vec<u8> {
        let mut frame = vec![0; 8 + self.0.len() * 8];
        frame[..4].copy_from_slice(&(self.0.len() as u32).to_le_bytes());
        for (index, (id, bytes)) in self.0.into_iter().enumerate() {
            frame.resize(frame.len().next_multiple_of(8), 0);
            frame.extend(bytes);
            let entry = 8 + index * 8;
            let end = frame.len() as u32;
            frame[entry..entry + 4].copy_from_slice(&id.to_le_bytes());
            frame[entry + 4..entry + 8].copy_from_slice(&end.to_le_bytes());
        }
        frame
    }
}

/// Ends and bytes of entries.
pub fn bytes_column<'a>(entries: impl IntoIterator<Item = Option<&'a [u8]>>) -> (Vec<u8>, Vec<u8>) {
    let (mut ends, mut bytes) = (Vec::new(), Vec::new());
    for entry in entries {
        bytes.extend_from_slice(entry.unwrap_or_default());
        let mark = if entry.is_some() { 0 } else { ABSENT };
        ends.extend((bytes.len() as u32 | mark).to_le_bytes());
    }
    (ends, bytes)
}

/// Numbers as a column.
pub fn column_of(numbers: impl IntoIterator<Item = u32>) -> Vec<u8> {
    numbers.into_iter().flat_map(u32::to_le_bytes).collect()
}
