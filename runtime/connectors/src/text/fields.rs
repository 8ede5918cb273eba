//! A CSV file's header, and fields made into JSON by it.

use super::format::ColumnType;
use super::json::write_string;
use crate::ConnectorError;
use std::collections::BTreeMap;
use std::io::Write;
use tidewheel_types::batch::RECORD_BYTES_MAX;

/// Characters of a field that are shown in an error.
const SHOWN_CHARS_MAX: usize = 40;

/// The columns of a CSV file.
pub(super) struct Header {
    columns: Vec<Column>,
}

struct Column {
    name: String,
    column_type: ColumnType,
    /// What stands in front of its value: a brace or comma, the name, a colon.
    prefix: Vec<u8>,
}

impl Header {
    /// The header in this row, on line `line` of `file`.
    pub(super) fn new<'a>(
        fields: impl Iterator<Item = &'a [u8]>,
        types: &BTreeMap<String, ColumnType>,
        file: &str,
        line: u64,
    ) -> Result<Self, ConnectorError> {
        let mut columns: Vec<Column> = Vec::new();
        for field in fields {
            let Ok(name) = std::str::from_utf8(field) else {
                return Err(Header::error(file, line, format!("name {} of a column is not UTF-8", columns.len() + 1)));
            };
            if columns.iter().any(|column| column.name == name) {
                return Err(Header::error(file, line, format!("two columns are called \"{name}\"")));
            }
            let mut prefix = vec![if columns.is_empty() { b'{' } else { b',' }];
            write_string(name, &mut prefix);
            prefix.push(b':');
            let column_type = types.get(name).copied().unwrap_or(ColumnType::String);
            columns.push(Column { name: name.to_owned(), column_type, prefix });
        }
        if let Some(unknown) = types.keys().find(|name| columns.iter().all(|column| column.name != **name)) {
            let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
            let reason =
                format!("no column is called \"{unknown}\", as option \"types\" says; there is {}", names.join(", "));
            return Err(Header::error(file, line, reason));
        }
        Ok(Header { columns })
    }

    /// The columns' names.
    pub(super) fn names(&self) -> Vec<String> {
        self.columns.iter().map(|column| column.name.clone()).collect()
    }

    /// That the header of `file` is wrong.
    pub(super) fn error(file: &str, line: u64, reason: String) -> ConnectorError {
        let hint = "the first row has to name the columns".to_owned();
        ConnectorError::Input { path: format!("{file}:{line}"), reason, hint }
    }

    /// Writes a row as an object; or says what is wrong, with part of it written.
    pub(super) fn write_object<'a>(
        &self,
        fields: impl ExactSizeIterator<Item = &'a [u8]>,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        let start = out.len();
        if fields.len() != self.columns.len() {
            return Err(format!("row has {} columns, the header {}", fields.len(), self.columns.len()));
        }
        for (field, column) in fields.zip(&self.columns) {
            let of_column = |reason: String| format!("column \"{}\": {reason}", column.name);
            let field = std::str::from_utf8(field).map_err(|_| of_column("invalid UTF-8".to_owned()))?;
            out.extend_from_slice(&column.prefix);
            write_field(field, column.column_type, out).map_err(of_column)?;
            if out.len() - start >= RECORD_BYTES_MAX {
                return Err(of_column(format!(
                    "row is longer than {} MiB as JSON",
                    RECORD_BYTES_MAX.div_ceil(1 << 20)
                )));
            }
        }
        out.push(b'}');
        Ok(())
    }
}

/// Writes a field. An empty one is `null` but in a column of strings.
fn write_field(field: &str, column_type: ColumnType, out: &mut Vec<u8>) -> Result<(), String> {
    if field.is_empty() && column_type != ColumnType::String {
        out.extend_from_slice(b"null");
        return Ok(());
    }
    match column_type {
        ColumnType::String => write_string(field, out),
        ColumnType::Boolean => match field {
            "true" | "false" => out.extend_from_slice(field.as_bytes()),
            _ => return Err(format!("{} is neither true nor false", shown(field))),
        },
        ColumnType::Integer => match field.parse::<i64>() {
            Ok(number) => write!(out, "{number}").expect("a vector takes everything"),
            Err(_) => return Err(format!("{} is not an integer of 64 bits", shown(field))),
        },
        // A number is passed on as it is written, with all its digits, if JSON writes it so too.
        ColumnType::Number => match (serde_json::from_str::<serde_json::Number>(field), field.parse::<f64>()) {
            (Ok(_), Ok(number)) if number.is_finite() => out.extend_from_slice(field.trim_ascii().as_bytes()),
            (Err(_), Ok(number)) if number.is_finite() => out.extend_from_slice(number.to_string().as_bytes()),
            _ => return Err(format!("{} is not a number", shown(field))),
        },
    }
    Ok(())
}

/// A field as an error shows it.
fn shown(field: &str) -> String {
    match field.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((cut, _)) => format!("{:?}...", &field[..cut]),
        None => format!("{field:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{ColumnType, write_field};

    fn written(field: &str, column_type: ColumnType) -> Result<String, String> {
        let mut out = Vec::new();
        write_field(field, column_type, &mut out)?;
        Ok(String::from_utf8(out).expect("UTF-8"))
    }

    #[test]
    fn fields_have_types() {
        let cases = [
            ("a\"b", ColumnType::String, "\"a\\\"b\""),
            ("", ColumnType::String, "\"\""),
            ("", ColumnType::Integer, "null"),
            ("007", ColumnType::Integer, "7"),
            ("-9223372036854775808", ColumnType::Integer, "-9223372036854775808"),
            ("12.50", ColumnType::Number, "12.50"),
            (".5", ColumnType::Number, "0.5"),
            ("1e3", ColumnType::Number, "1e3"),
            ("true", ColumnType::Boolean, "true"),
        ];
        for (field, column_type, expected) in cases {
            assert_eq!(written(field, column_type).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn wrong_types_are_explained() {
        let long = "x".repeat(1000);
        let cases = [
            ("1.5", ColumnType::Integer, "\"1.5\" is not an integer of 64 bits"),
            ("NaN", ColumnType::Number, "\"NaN\" is not a number"),
            ("1e999", ColumnType::Number, "\"1e999\" is not a number"),
            ("yes", ColumnType::Boolean, "\"yes\" is neither true nor false"),
        ];
        for (field, column_type, expected) in cases {
            assert_eq!(written(field, column_type), Err(expected.to_owned()));
        }
        assert!(written(&long, ColumnType::Number).expect_err("no number").len() < 100);
    }
}
