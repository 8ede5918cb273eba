//! What is wrong with a job file: one mistake, its place, and the way out.

use std::fmt;

/// A mistake in a job file.
///
/// It prints as `FILE:LINE: MESSAGE` and, after a blank line, `hint: HINT`. What was set on the command line has no line:
/// `--set operators.count.component: MESSAGE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobError {
    /// The job file, as the user named it; or the part of the command line.
    pub file: String,
    /// The line, from 1; 0: none.
    pub line: usize,
    /// What is wrong, lower case, no final dot.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl JobError {
    /// The same mistake with a hint.
    pub fn with_hint(mut self, hint: impl Into<String>) -> JobError {
        self.hint = Some(hint.into());
        self
    }

    /// The same mistake with a hint about the word to use instead of `word`: the nearest valid one, or all of them.
    pub fn with_choices<'a>(mut self, word: &str, valid: impl IntoIterator<Item = &'a str>) -> JobError {
        self.hint = choices_hint(word, valid);
        self
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.message)?,
            line => write!(f, "{}:{line}: {}", self.file, self.message)?,
        }
        match &self.hint {
            Some(hint) => write!(f, "\n\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for JobError {}

/// Of the `valid` words, the one that `word` was probably meant to be.
pub fn nearest<'a>(word: &str, valid: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Half of the letters may be wrong, so that `pth` finds `path`, and `x` does not find `y`.
    let distance_max = word.chars().count() / 2;
    valid
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|&(distance, _)| distance <= distance_max)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// Whether `word` is surely a slip for `key`: stricter than [`nearest`], because it overrules another message.
pub(super) fn is_slip(word: &str, key: &str) -> bool {
    strsim::damerau_levenshtein(word, key) <= key.chars().count() / 3
}

/// `did you mean "component"?`, or else the list of valid words; nothing when there is no valid word.
fn choices_hint<'a>(word: &str, valid: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let valid: Vec<&str> = valid.into_iter().collect();
    match (nearest(word, valid.iter().copied()), valid.as_slice()) {
        (Some(nearest), _) => Some(format!("did you mean \"{nearest}\"?")),
        (None, []) => None,
        (None, [only]) => Some(format!("the only choice is \"{only}\"")),
        (None, [firsts @ .., last]) => {
            let firsts: Vec<String> = firsts.iter().map(|word| format!("\"{word}\"")).collect();
            Some(format!("the choices are {} and \"{last}\"", firsts.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{choices_hint, nearest};

    #[test]
    fn finds_the_word_that_was_meant() {
        let keys = ["component", "config", "input"];
        assert_eq!(nearest("compnent", keys), Some("component"));
        assert_eq!(nearest("inptu", keys), Some("input"));
        assert_eq!(nearest("colour", keys), None);
        assert_eq!(nearest("x", ["y"]), None);
    }

    #[test]
    fn hints_name_one_word_or_all() {
        assert_eq!(choices_hint("inptu", ["input", "key"]).as_deref(), Some("did you mean \"input\"?"));
        assert_eq!(choices_hint("colour", ["a", "b", "c"]).as_deref(), Some("the choices are \"a\", \"b\" and \"c\""));
        assert_eq!(choices_hint("colour", ["a"]).as_deref(), Some("the only choice is \"a\""));
        assert_eq!(choices_hint("colour", []), None);
    }
}
