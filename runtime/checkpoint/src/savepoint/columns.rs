//! The columns of a file of rows: the schema, and a row group's values in memory.

use super::{Row, RowKind};
use bytes::Bytes;
use parquet::basic::Compression;
use parquet::column::reader::get_typed_column_reader;
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int32Type, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use parquet::file::reader::RowGroupReader;
use parquet::file::writer::SerializedRowGroupWriter;
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::{ColumnPath, TypePtr};
use std::io::Write;
use std::sync::Arc;

const SCHEMA: &str = "message savepoint {
    required binary operator (STRING);
    required binary state (STRING);
    required binary kind (STRING);
    required int32 key_group (INTEGER(16, false));
    required binary key;
    required binary namespace;
    required binary user_key;
    required int32 schema_version (INTEGER(32, false));
    required binary value;
    optional int64 expiry (TIMESTAMP(MILLIS, true));
}";

/// Columns of which few values differ.
const REPETITIVE: [&str; 5] = ["operator", "state", "kind", "key_group", "schema_version"];

pub(super) fn schema() -> TypePtr {
    Arc::new(parse_message_type(SCHEMA).expect("the schema is well formed"))
}

pub(super) fn properties() -> WriterPropertiesPtr {
    let mut properties = WriterProperties::builder()
        .set_created_by("tidewheel".to_owned())
        .set_compression(Compression::SNAPPY)
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_offset_index_disabled(true);
    for column in REPETITIVE {
        let path = ColumnPath::from(column);
        properties = properties
            .set_column_dictionary_enabled(path.clone(), true)
            .set_column_statistics_enabled(path, EnabledStatistics::Chunk);
    }
    Arc::new(properties.build())
}

/// Byte strings one after the other.
#[derive(Default)]
struct Cells {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Cells {
    fn push(&mut self, cell: &[u8]) {
        self.bytes.extend_from_slice(cell);
        self.ends.push(self.bytes.len());
    }

    /// Takes all cells, as Parquet has them: pieces of one buffer.
    fn take(&mut self) -> Vec<ByteArray> {
        let bytes = Bytes::from(std::mem::take(&mut self.bytes));
        let mut start = 0;
        let cells =
            self.ends.drain(..).map(|end| ByteArray::from(bytes.slice(std::mem::replace(&mut start, end)..end)));
        cells.collect()
    }
}

/// Rows on their way into a group.
#[derive(Default)]
pub(super) struct NewGroup {
    states: Cells,
    kinds: Vec<ByteArray>,
    key_groups: Vec<i32>,
    keys: Cells,
    namespaces: Cells,
    user_keys: Cells,
    versions: Vec<i32>,
    values: Cells,
    /// Of the rows that have one.
    expiries: Vec<i64>,
    /// By row: 1 if it has an expiry, else 0.
    has_expiry: Vec<i16>,
}

impl NewGroup {
    pub(super) fn push(&mut self, row: &Row<'_>) {
        self.states.push(match row.kind {
            RowKind::State(_) => row.state.as_bytes(),
            timers => timers.name().as_bytes(),
        });
        self.kinds.push(Bytes::from_static(row.kind.name().as_bytes()).into());
        self.key_groups.push(i32::from(row.key_group));
        self.keys.push(row.key);
        self.namespaces.push(row.namespace);
        self.user_keys.push(row.user_key);
        // Parquet has unsigned numbers in the signed ones of the same bits.
        self.versions.push(row.version.cast_signed());
        self.values.push(row.value);
        self.expiries.extend(row.expiry_ms);
        self.has_expiry.push(i16::from(row.expiry_ms.is_some()));
    }

    pub(super) fn rows(&self) -> usize {
        self.key_groups.len()
    }

    /// Bytes of keys and values.
    pub(super) fn bytes(&self) -> usize {
        [&self.keys, &self.namespaces, &self.user_keys, &self.values].map(|cells| cells.bytes.len()).iter().sum()
    }

    /// The least and the largest key group.
    pub(super) fn key_groups(&self) -> (u16, u16) {
        let least = self.key_groups.iter().min().copied().unwrap_or_default();
        let largest = self.key_groups.iter().max().copied().unwrap_or_default();
        (least as u16, largest as u16)
    }

    /// Writes all rows as a row group, and is empty then.
    pub(super) fn write<W: Write + Send>(
        &mut self,
        operator: &str,
        mut group: SerializedRowGroupWriter<'_, W>,
    ) -> Result<()> {
        let operators = vec![ByteArray::from(operator); self.rows()];
        column::<ByteArrayType, W>(&mut group, &operators, None)?;
        column::<ByteArrayType, W>(&mut group, &self.states.take(), None)?;
        column::<ByteArrayType, W>(&mut group, &std::mem::take(&mut self.kinds), None)?;
        column::<Int32Type, W>(&mut group, &std::mem::take(&mut self.key_groups), None)?;
        column::<ByteArrayType, W>(&mut group, &self.keys.take(), None)?;
        column::<ByteArrayType, W>(&mut group, &self.namespaces.take(), None)?;
        column::<ByteArrayType, W>(&mut group, &self.user_keys.take(), None)?;
        column::<Int32Type, W>(&mut group, &std::mem::take(&mut self.versions), None)?;
        column::<ByteArrayType, W>(&mut group, &self.values.take(), None)?;
        let has_expiry = std::mem::take(&mut self.has_expiry);
        column::<Int64Type, W>(&mut group, &std::mem::take(&mut self.expiries), Some(&has_expiry))?;
        group.close()?;
        Ok(())
    }
}

/// Writes the next column.
fn column<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &[T::T],
    levels: Option<&[i16]>,
) -> Result<()> {
    let mut column =
        group.next_column()?.ok_or_else(|| ParquetError::General("the schema has too few columns".into()))?;
    column.typed::<T>().write_batch(values, levels, None)?;
    column.close()
}

/// The rows of a group that has been read.
#[derive(Default)]
pub(super) struct ReadGroup {
    operators: Vec<ByteArray>,
    states: Vec<ByteArray>,
    kinds: Vec<ByteArray>,
    key_groups: Vec<i32>,
    keys: Vec<ByteArray>,
    namespaces: Vec<ByteArray>,
    user_keys: Vec<ByteArray>,
    versions: Vec<i32>,
    values: Vec<ByteArray>,
    expiries: Vec<Option<i64>>,
}

impl ReadGroup {
    pub(super) fn read(group: &dyn RowGroupReader) -> Result<ReadGroup> {
        let mut levels = Vec::new();
        let mut read = ReadGroup {
            operators: values::<ByteArrayType>(group, 0, None)?,
            states: values::<ByteArrayType>(group, 1, None)?,
            kinds: values::<ByteArrayType>(group, 2, None)?,
            key_groups: values::<Int32Type>(group, 3, None)?,
            keys: values::<ByteArrayType>(group, 4, None)?,
            namespaces: values::<ByteArrayType>(group, 5, None)?,
            user_keys: values::<ByteArrayType>(group, 6, None)?,
            versions: values::<Int32Type>(group, 7, None)?,
            values: values::<ByteArrayType>(group, 8, None)?,
            expiries: Vec::new(),
        };
        let mut expiries = values::<Int64Type>(group, 9, Some(&mut levels))?.into_iter();
        read.expiries = levels.iter().map(|level| if *level == 1 { expiries.next() } else { None }).collect();
        Ok(read)
    }

    pub(super) fn rows(&self) -> usize {
        self.key_groups.len()
    }

    pub(super) fn key_group(&self, row: usize) -> u16 {
        self.key_groups[row] as u16
    }

    /// A row; `Err` says what is wrong with it.
    pub(super) fn row(&self, row: usize, operator: &str) -> std::result::Result<Row<'_>, String> {
        let kind = self.kinds[row].as_utf8().unwrap_or_default();
        let kind = RowKind::of_name(kind).ok_or_else(|| format!("row {row} of a row group is of kind `{kind}`"))?;
        if self.operators[row].data() != operator.as_bytes() {
            return Err(format!("row {row} of a row group belongs to another operator"));
        }
        Ok(Row {
            state: self.states[row].as_utf8().map_err(|error| error.to_string())?,
            kind,
            key_group: self.key_group(row),
            key: self.keys[row].data(),
            namespace: self.namespaces[row].data(),
            user_key: self.user_keys[row].data(),
            version: self.versions[row].cast_unsigned(),
            value: self.values[row].data(),
            expiry_ms: self.expiries[row],
        })
    }
}

/// All values of a column; of one whose values may be absent with its levels.
fn values<T: DataType>(group: &dyn RowGroupReader, index: usize, levels: Option<&mut Vec<i16>>) -> Result<Vec<T::T>> {
    let rows = usize::try_from(group.metadata().num_rows())?;
    let mut values = Vec::with_capacity(rows);
    let column = group.get_column_reader(index)?;
    let (read, _, _) = get_typed_column_reader::<T>(column).read_records(rows, levels, None, &mut values)?;
    if read != rows {
        return Err(ParquetError::General(format!("column {index} has {read} rows, not {rows}")));
    }
    Ok(values)
}
