//! Checked values out of a source's or sink's table: a number in a range, one word of several.

use crate::ConnectorError;
use serde::de::DeserializeOwned;
use std::fmt::Display;
use std::ops::RangeInclusive;
use tidewheel_types::job::Options;

/// The number under `key`, which must be in `range`.
pub(crate) fn take_number<T>(
    options: &mut Options,
    key: &str,
    range: RangeInclusive<T>,
) -> Result<Option<T>, ConnectorError>
where
    T: DeserializeOwned + Display + PartialOrd,
{
    let number = options.take::<T>(key)?;
    match number {
        Some(number) if !range.contains(&number) => {
            let message = format!("must be from {} to {}, not {number}", range.start(), range.end());
            Err(options.error(key, message).into())
        }
        number => Ok(number),
    }
}

/// What the words in the list under `key` stand for, of these.
pub(crate) fn take_words<T: Copy>(
    options: &mut Options,
    key: &str,
    words: &[(&str, T)],
) -> Result<Option<Vec<T>>, ConnectorError> {
    let Some(list) = options.take::<Vec<String>>(key)? else { return Ok(None) };
    let meanings = list.iter().map(|word| match words.iter().find(|(known, _)| known == word) {
        Some((_, meaning)) => Ok(*meaning),
        None => {
            let error = options.error(key, format!("{word:?} is not a choice"));
            Err(error.with_choices(word, words.iter().map(|(known, _)| *known)).into())
        }
    });
    meanings.collect::<Result<_, _>>().map(Some)
}
