//! The options `format`, `types` and `delimiter`.

use crate::ConnectorError;
use serde::Deserialize;
use std::collections::BTreeMap;
use tidewheel_types::job::Options;

/// How text is cut into records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TextFormat {
    /// Every line is a record, as it stands.
    Lines,
    /// Every line is a JSON value.
    JsonLines,
    /// Every line is a dead letter, of which the record is taken that was set aside, with its key and event time.
    DeadLetters,
    /// Every row but the first is a record: an object with the first row's names.
    Csv(CsvFormat),
}

/// How rows are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CsvFormat {
    pub(super) delimiter: u8,
    /// Columns that are no strings.
    pub(super) types: BTreeMap<String, ColumnType>,
}

/// The type of a column's fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ColumnType {
    Integer,
    Number,
    Boolean,
    String,
}

/// The formats by name; tab-separated text is CSV.
const FORMATS: [(&str, FormatName); 4] = [
    ("jsonl", FormatName::JsonLines),
    ("csv", FormatName::Csv),
    ("lines", FormatName::Lines),
    ("dead-letters", FormatName::DeadLetters),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FormatName {
    JsonLines,
    Csv,
    Lines,
    DeadLetters,
}

impl TextFormat {
    /// Takes the options of a source that reads lines unless told otherwise.
    pub(crate) fn from_options(options: &mut Options) -> Result<Self, ConnectorError> {
        let format = options.take_choice("format", &FORMATS)?.unwrap_or(FormatName::Lines);
        format_of(format, b',', options)
    }

    /// Takes the options of a source that reads `path`, a file or a pattern, whose ending says what it holds.
    pub(crate) fn from_options_for(path: &str, options: &mut Options) -> Result<Self, ConnectorError> {
        let ending = path.strip_suffix(".gz").unwrap_or(path).rsplit_once('.').map_or("", |(_, ending)| ending);
        let (guess, delimiter) = match ending.to_ascii_lowercase().as_str() {
            "jsonl" | "ndjson" | "json" => (Some(FormatName::JsonLines), b','),
            "csv" => (Some(FormatName::Csv), b','),
            "tsv" => (Some(FormatName::Csv), b'\t'),
            "txt" | "log" => (Some(FormatName::Lines), b','),
            _ => (None, b','),
        };
        match options.take_choice("format", &FORMATS)?.or(guess) {
            Some(format) => format_of(format, delimiter, options),
            None => {
                let error = options.error("path", format!("the ending of {path:?} does not say what it holds"));
                Err(error.with_hint("add format = \"jsonl\", \"csv\" or \"lines\"").into())
            }
        }
    }
}

fn format_of(format: FormatName, delimiter: u8, options: &mut Options) -> Result<TextFormat, ConnectorError> {
    let delimiter_option = options.take::<String>("delimiter")?;
    let types = options.take::<BTreeMap<String, ColumnType>>("types")?;
    if format != FormatName::Csv {
        let csv_only = |key| options.error(key, "only has a meaning with format = \"csv\"");
        return match (delimiter_option, types, format) {
            (Some(_), _, _) => Err(csv_only("delimiter").into()),
            (None, Some(_), _) => Err(csv_only("types").into()),
            (None, None, FormatName::JsonLines) => Ok(TextFormat::JsonLines),
            (None, None, FormatName::DeadLetters) => Ok(TextFormat::DeadLetters),
            (None, None, _) => Ok(TextFormat::Lines),
        };
    }
    let delimiter = match delimiter_option.as_deref().map(str::as_bytes) {
        None => delimiter,
        Some(&[byte]) if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => byte,
        Some(_) => {
            return Err(options.error("delimiter", "must be one ASCII character, such as \";\" or \"\\t\"").into());
        }
    };
    Ok(TextFormat::Csv(CsvFormat { delimiter, types: types.unwrap_or_default() }))
}

#[cfg(test)]
mod tests {
    use super::{ColumnType, TextFormat};
    use tidewheel_types::job::Options;

    fn format(path: &str, text: &str) -> Result<TextFormat, String> {
        let mut options = Options::parse(text, "job.toml").expect("TOML");
        let format = TextFormat::from_options_for(path, &mut options).map_err(|error| error.to_string())?;
        options.finish().map_err(|error| error.to_string())?;
        Ok(format)
    }

    fn delimiter(path: &str, text: &str) -> u8 {
        match format(path, text).expect("a format") {
            TextFormat::Csv(csv) => csv.delimiter,
            other => panic!("{other:?} is not CSV"),
        }
    }

    #[test]
    fn the_ending_says_the_format_unless_told() {
        assert_eq!(format("a.b.jsonl.gz", ""), Ok(TextFormat::JsonLines));
        assert_eq!(format("logs/*.LOG", ""), Ok(TextFormat::Lines));
        assert_eq!(format("a.csv", "format = 'lines'"), Ok(TextFormat::Lines));
        assert_eq!(delimiter("a.csv", ""), b',');
        assert_eq!(delimiter("a.tsv", ""), b'\t');
        assert_eq!(delimiter("a.tsv", "delimiter = ';'"), b';');
    }

    #[test]
    fn mistakes_are_explained() {
        let error = |path: &str, text: &str| format(path, text).expect_err("a mistake");
        assert!(error("orders", "").contains("hint: add format = "));
        assert!(error("a.jsonl", "delimiter = ';'").contains("only has a meaning with format = \"csv\""));
        assert!(error("a.csv", "delimiter = ';;'").contains("one ASCII character"));
        assert!(error("a.csv", "format = 'jsnl'").contains("did you mean \"jsonl\"?"));
        assert!(error("a.csv", "types = { a = 'int' }").contains("unknown variant `int`"));
    }

    #[test]
    fn columns_have_types() {
        let Ok(TextFormat::Csv(csv)) = format("a.csv", "types = { n = 'integer', s = 'string' }") else {
            panic!("CSV");
        };
        assert_eq!(csv.types.get("n"), Some(&ColumnType::Integer));
        assert_eq!(csv.types.get("s"), Some(&ColumnType::String));
    }
}
