//! Text that somebody else wrote, made harmless for a terminal.
//!
//! Records, guests and components are not trusted: what they say ends up in errors, log lines and tables, and a terminal
//! obeys what it is sent. A control character could retitle it, clear it or make it type; an override of the writing
//! direction could make a line read as another. So everything that is shown goes through here, and shows such
//! characters as Rust writes them: `\u{1b}`.

use std::borrow::Cow;

/// For a text of several lines: line ends stay.
pub(crate) fn text(text: &str) -> Cow<'_, str> {
    escaped(text, |letter| letter != '\n' && is_active(letter), |letter| letter.escape_default().to_string())
}

/// For a cell, or anything else that has one line: line ends are shown too, so that nobody adds a line of his own.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    escaped(text, is_active, |letter| letter.escape_default().to_string())
}

/// For JSON, where such characters can only be within strings and have an escape of their own: the value is the same.
pub(crate) fn json(text: &str) -> Cow<'_, str> {
    escaped(text, |letter| letter != '\n' && is_active(letter), |letter| format!("\\u{:04x}", u32::from(letter)))
}

/// Whether a terminal does something with a character instead of showing it: control characters, of which ESC and CSI
/// begin commands; the separators that end a line; and what changes the direction of writing.
fn is_active(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn escaped(text: &str, is_active: impl Fn(char) -> bool, escape: impl Fn(char) -> String) -> Cow<'_, str> {
    if !text.contains(&is_active) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        match is_active(letter) {
            true => shown.push_str(&escape(letter)),
            false => shown.push(letter),
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::{is_active, json, line, text};
    use std::borrow::Cow;

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        assert_eq!(text("\x1b]0;pwned\x07\x1b[2J"), r"\u{1b}]0;pwned\u{7}\u{1b}[2J");
        assert_eq!(text("\u{9b}2J \u{85} \x7f \r \t \0"), r"\u{9b}2J \u{85} \u{7f} \r \t \u{0}");
        assert_eq!(text("a\u{202e}b\u{2069}c\u{2028}d\u{200f}"), r"a\u{202e}b\u{2069}c\u{2028}d\u{200f}");
    }

    #[test]
    fn only_a_text_has_several_lines() {
        assert_eq!((text("a\nb"), line("a\nb")), (Cow::Borrowed("a\nb"), Cow::Borrowed(r"a\nb")));
    }

    #[test]
    fn what_can_be_read_is_left_as_it_is() {
        for readable in ["", "plain", "naïve café", "日本語", "שלום", "🌊", r"back\slash", "\"quoted\""] {
            assert!(matches!(text(readable), Cow::Borrowed(same) if same == readable));
        }
    }

    #[test]
    fn no_character_is_both_shown_and_obeyed() {
        for letter in '\0'..=char::MAX {
            let shown = line(letter.encode_utf8(&mut [0; 4])).into_owned();
            assert!(!shown.chars().any(is_active), "{}", letter.escape_unicode());
        }
    }

    #[test]
    fn json_keeps_its_value() {
        let name = "a\u{9b}\u{202e}\x1b\x7f\nb";
        let written = serde_json::to_string(name).unwrap() + "\n";
        let shown = json(&written);
        assert!(!shown.trim_end().chars().any(is_active), "{shown}");
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), name);
    }
}
