//! A table of a job file, read key by key.
//!
//! Whoever reads a table takes the keys it knows and then calls [`Options::finish`]: a key that is left over is an
//! error that names the nearest key somebody asked for. The job file's own reader and the connectors use it alike: the
//! reader takes the keys that every source or sink has, and hands what is left to the connector.

use super::error::{JobError, is_slip};
use super::units::{parse_bytes, parse_duration};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Value};

/// The keys of one table.
#[derive(Clone, Debug)]
pub struct Options {
    file: Arc<str>,
    /// Path of the table, such as `sources.orders`; empty for the file as a whole.
    path: String,
    line: usize,
    /// In file order.
    entries: Vec<Entry>,
    /// Every key anybody asked for: what is valid here.
    asked: Vec<String>,
}

#[derive(Clone, Debug)]
struct Entry {
    key: String,
    /// Where it was written, when that is not the file of its table.
    file: Option<Arc<str>>,
    line: usize,
    /// `None` once taken.
    content: Option<Content>,
}

#[derive(Clone, Debug)]
enum Content {
    Table(Options),
    Plain(Value),
}

impl Options {
    /// Reads a whole TOML document; `file` is its name in errors.
    pub fn parse(text: &str, file: &str) -> Result<Options, JobError> {
        let lines = Lines::new(text);
        let file: Arc<str> = file.into();
        let syntax_error = |error: toml::de::Error| JobError {
            file: file.to_string(),
            line: error.span().map_or(1, |span| lines.line_of(span.start)),
            message: error.message().to_owned(),
            hint: None,
        };
        let table = DeTable::parse(text).map_err(syntax_error)?.into_inner();
        Options::from_table(table, &file, String::new(), 1, &lines).map_err(syntax_error)
    }

    fn from_table(
        table: DeTable<'_>,
        file: &Arc<str>,
        path: String,
        line: usize,
        lines: &Lines,
    ) -> Result<Options, toml::de::Error> {
        // The parser's map is sorted by key; errors and results follow the order of the file.
        let mut entries: Vec<_> = table.into_iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let entries = entries.into_iter().map(|(key, value)| {
            let line = lines.line_of(key.span().start);
            let key = key.into_inner().into_owned();
            let span = value.span();
            let content = match value.into_inner() {
                DeValue::Table(table) => {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    Content::Table(Options::from_table(table, file, path, line, lines)?)
                }
                plain => Content::Plain(serde::Deserialize::deserialize(toml::de::ValueDeserializer::from(
                    Spanned::new(span, plain),
                ))?),
            };
            Ok(Entry { key, file: None, line, content: Some(content) })
        });
        let entries = entries.collect::<Result<_, _>>()?;
        Ok(Options { file: file.clone(), path, line, entries, asked: Vec::new() })
    }

    /// The line the table begins on, from 1; 0 when it is none of the file's.
    pub fn line(&self) -> usize {
        self.line
    }

    /// Takes the value of `key`, if it is there.
    pub fn take<T: DeserializeOwned>(&mut self, key: &str) -> Result<Option<T>, JobError> {
        let Some(content) = self.take_content(key) else { return Ok(None) };
        let value = content.into_value();
        T::deserialize(value).map(Some).map_err(|error| self.error(key, error.message()))
    }

    /// Takes the value of `key`, which has to be there.
    pub fn require<T: DeserializeOwned>(&mut self, key: &str) -> Result<T, JobError> {
        self.take(key)?.ok_or_else(|| self.missing(key))
    }

    /// Takes a duration, such as `"5s"`, if it is there.
    pub fn take_duration(&mut self, key: &str) -> Result<Option<Duration>, JobError> {
        self.take_parsed(key, parse_duration)
    }

    /// Takes a duration of whole milliseconds, if it is there.
    pub fn take_millis(&mut self, key: &str) -> Result<Option<u64>, JobError> {
        self.take_parsed(key, |text| {
            let duration = parse_duration(text)?;
            match duration.subsec_nanos() % 1_000_000 {
                0 => u64::try_from(duration.as_millis()).map_err(|_| format!("{text:?} is too long")),
                _ => Err(format!("{text:?} is not a whole number of milliseconds")),
            }
        })
    }

    /// Takes a size in bytes, such as `"16MiB"`, if it is there.
    pub fn take_bytes(&mut self, key: &str) -> Result<Option<u64>, JobError> {
        self.take_parsed(key, parse_bytes)
    }

    /// Takes one of several words, if the key is there, and gives what stands beside the word.
    pub fn take_choice<T: Clone>(&mut self, key: &str, choices: &[(&str, T)]) -> Result<Option<T>, JobError> {
        let Some(word) = self.take::<String>(key)? else { return Ok(None) };
        match choices.iter().find(|(choice, _)| *choice == word) {
            Some((_, meaning)) => Ok(Some(meaning.clone())),
            None => Err(self
                .error(key, format!("{word:?} is not a choice"))
                .with_choices(&word, choices.iter().map(|(choice, _)| *choice))),
        }
    }

    /// Takes a table, if it is there.
    pub fn take_table(&mut self, key: &str) -> Result<Option<Options>, JobError> {
        match self.take_content(key) {
            None => Ok(None),
            Some(Content::Table(table)) => Ok(Some(table)),
            Some(Content::Plain(value)) => {
                Err(self.error(key, format!("invalid type: {}, expected a table", value.type_str())))
            }
        }
    }

    /// Takes the tables in this one, one per key, in file order; a key that is no table is an error.
    pub(super) fn into_tables(mut self) -> Result<Vec<(String, Options)>, JobError> {
        let keys: Vec<String> = self.entries.iter().map(|entry| entry.key.clone()).collect();
        let tables = keys.into_iter().map(|key| {
            let table = self.take_table(&key)?.expect("the key is there");
            Ok((key, table))
        });
        tables.collect()
    }

    /// The keys, in file order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.key.as_str())
    }

    /// Whether `key` is there and a table.
    pub fn is_table(&self, key: &str) -> bool {
        let entry = self.entries.iter().find(|entry| entry.key == key);
        matches!(entry, Some(Entry { content: Some(Content::Table(_)), .. }))
    }

    /// Takes `key` into a table of the same name that has nothing else, for another to read.
    pub(super) fn split_off(&mut self, key: &str) -> Options {
        let content = self.take_content(key);
        let own = self.entries.iter().filter(|entry| entry.key == key);
        let entries = own.map(|entry| Entry { content: content.clone(), ..entry.clone() }).collect();
        Options { file: self.file.clone(), path: self.path.clone(), line: self.line, entries, asked: Vec::new() }
    }

    /// The keys of the table `key`; none when there is no such table.
    pub(super) fn keys_of(&self, key: &str) -> Vec<&str> {
        match self.entries.iter().find(|entry| entry.key == key).and_then(|entry| entry.content.as_ref()) {
            Some(Content::Table(table)) => table.keys().collect(),
            _ => Vec::new(),
        }
    }

    /// Puts what `from` has under `key` where `path` leads to from here, in place of what is there; tables on the way
    /// are made. Errors about it name the file of `from`.
    pub(super) fn set(&mut self, path: &[String], from: &mut Options, key: &str) -> Result<(), JobError> {
        let (first, rest) = path.split_first().expect("a path has a part");
        let at = self.entries.iter().position(|entry| entry.key == *first).unwrap_or_else(|| {
            let table = self.below(first, from);
            let content = Some(Content::Table(table));
            self.entries.push(Entry { key: first.clone(), file: Some(from.file.clone()), line: 0, content });
            self.entries.len() - 1
        });
        if !rest.is_empty() {
            return match &mut self.entries[at].content {
                Some(Content::Table(table)) => table.set(rest, from, key),
                _ => Err(from.at(0, format!("\"{first}\"{} is not a table", self.within()))),
            };
        }
        let content = match from.take_content(key) {
            Some(Content::Table(table)) => {
                let mut placed = self.below(first, from);
                placed.entries = table.entries;
                placed.place_below();
                Content::Table(placed)
            }
            Some(plain) => plain,
            None => return Err(from.missing(key)),
        };
        let entry = &mut self.entries[at];
        (entry.file, entry.line, entry.content) = (Some(from.file.clone()), 0, Some(content));
        Ok(())
    }

    /// An empty table under `key`, written where `from` was.
    fn below(&self, key: &str, from: &Options) -> Options {
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        Options { file: from.file.clone(), path, line: 0, entries: Vec::new(), asked: Vec::new() }
    }

    /// Gives the tables below their path and no line, after this one was put elsewhere.
    fn place_below(&mut self) {
        for entry in &mut self.entries {
            entry.line = 0;
            if let Some(Content::Table(table)) = &mut entry.content {
                table.path = format!("{}.{}", self.path, entry.key);
                table.line = 0;
                table.place_below();
            }
        }
    }

    /// That something is wrong with the value of `key`; `message` says what, lower case, no final dot.
    pub fn error(&self, key: &str, message: impl AsRef<str>) -> JobError {
        let message = format!("\"{key}\"{}: {}", self.within(), message.as_ref());
        match self.entries.iter().find(|entry| entry.key == key) {
            Some(entry) => self.at_entry(entry, message),
            None => self.at(self.line, message),
        }
    }

    /// That something is wrong with the table as a whole.
    pub fn table_error(&self, message: impl AsRef<str>) -> JobError {
        self.at(self.line, format!("[{}]: {}", self.path, message.as_ref()))
    }

    /// That `key` has to be there; when it is only misspelt, that.
    pub fn missing(&self, key: &str) -> JobError {
        let slip = self.entries.iter().find(|entry| entry.content.is_some() && is_slip(&entry.key, key));
        if let Some(entry) = slip {
            let message = format!("unknown key \"{}\"{}", entry.key, self.within());
            return self.at_entry(entry, message).with_choices(&entry.key, [key]);
        }
        self.at(self.line, format!("missing key \"{key}\"{}", self.within()))
    }

    /// Fails on the first key that nobody took.
    pub fn finish(&self) -> Result<(), JobError> {
        match self.entries.iter().find(|entry| entry.content.is_some()) {
            None => Ok(()),
            Some(entry) => Err(self
                .at_entry(entry, format!("unknown key \"{}\"{}", entry.key, self.within()))
                .with_choices(&entry.key, self.asked.iter().map(String::as_str))),
        }
    }

    /// The whole table as JSON, dates as strings.
    pub(super) fn to_json(&self) -> Result<serde_json::Value, JobError> {
        let mut object = serde_json::Map::new();
        for Entry { key, content, .. } in self.entries.clone() {
            let json = match content {
                None => continue,
                Some(Content::Table(table)) => table.to_json()?,
                Some(Content::Plain(value)) => {
                    plain_json(value).ok_or_else(|| self.error(&key, "infinity and NaN cannot be written as JSON"))?
                }
            };
            object.insert(key, json);
        }
        Ok(serde_json::Value::Object(object))
    }

    fn take_content(&mut self, key: &str) -> Option<Content> {
        if !self.asked.iter().any(|asked| asked == key) {
            self.asked.push(key.to_owned());
        }
        self.entries.iter_mut().find(|entry| entry.key == key)?.content.take()
    }

    fn take_parsed<T>(&mut self, key: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<Option<T>, JobError> {
        let text: Option<String> = self.take(key)?;
        text.map(|text| parse(&text).map_err(|message| self.error(key, message))).transpose()
    }

    fn within(&self) -> String {
        if self.path.is_empty() { String::new() } else { format!(" in [{}]", self.path) }
    }

    fn at_entry(&self, entry: &Entry, message: String) -> JobError {
        let file = entry.file.as_ref().unwrap_or(&self.file);
        JobError { file: file.to_string(), line: entry.line, message, hint: None }
    }

    pub(super) fn at(&self, line: usize, message: String) -> JobError {
        JobError { file: self.file.to_string(), line, message, hint: None }
    }
}

impl Content {
    fn into_value(self) -> Value {
        match self {
            Content::Plain(value) => value,
            Content::Table(table) => {
                let entries =
                    table.entries.into_iter().filter_map(|entry| Some((entry.key, entry.content?.into_value())));
                Value::Table(entries.collect())
            }
        }
    }
}

/// A value as JSON, or `None` when it holds a number that JSON cannot write.
fn plain_json(value: Value) -> Option<serde_json::Value> {
    Some(match value {
        Value::String(text) => text.into(),
        Value::Integer(number) => number.into(),
        Value::Float(number) => serde_json::Number::from_f64(number)?.into(),
        Value::Boolean(flag) => flag.into(),
        Value::Datetime(time) => time.to_string().into(),
        Value::Array(values) => values.into_iter().map(plain_json).collect::<Option<_>>()?,
        Value::Table(table) => {
            let fields = table.into_iter().map(|(key, value)| Some((key, plain_json(value)?)));
            serde_json::Value::Object(fields.collect::<Option<_>>()?)
        }
    })
}

/// Where the lines of a text begin.
struct Lines {
    starts: Vec<usize>,
}

impl Lines {
    fn new(text: &str) -> Lines {
        let starts = std::iter::once(0).chain(memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1));
        Lines { starts: starts.collect() }
    }

    fn line_of(&self, offset: usize) -> usize {
        self.starts.partition_point(|&start| start <= offset)
    }
}
