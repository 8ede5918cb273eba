//! `tidewheel dead-letters show`: a line for each letter, or all that is known of each.

use super::read;
use crate::args::DeadLettersShow;
use crate::render::{self, Align};
use crate::{escape, terminal, values};
use anyhow::Result;
use serde_json::Value;
use std::fmt::Write;
use std::ops::ControlFlow;
use tidewheel_types::dead_letter::{DeadLetter, Named};

/// Characters of a key, a value and a reason in a line.
const KEY_SHOWN: usize = 24;
const VALUE_SHOWN: usize = 40;
const REASON_SHOWN: usize = 100;

/// Prints what the letters say.
pub(super) fn execute(show: &DeadLettersShow) -> Result<()> {
    if show.json {
        let mut lines = terminal::JsonLines::new();
        let mut is_read = true;
        read(&show.letters, |_, line| {
            if is_read {
                is_read = lines.print(&serde_json::from_str::<Value>(line)?)? == ControlFlow::Continue(());
            }
            Ok(())
        })?;
        return Ok(lines.finish()?);
    }
    let (mut rows, mut details) = (Vec::new(), String::new());
    read(&show.letters, |letter, _| {
        match show.details {
            true => detail(&letter, &mut details),
            false => rows.push(row(&letter)),
        }
        Ok(())
    })?;
    if show.details {
        return Ok(terminal::print(&details)?);
    }
    let columns = ["OPERATOR", "WHAT", "KEY", "VALUE", "REASON"].map(|name| (name, Align::Left));
    Ok(terminal::print(&render::table(&columns, &rows))?)
}

fn row(letter: &DeadLetter) -> Vec<String> {
    vec![
        letter.operator.clone(),
        what(letter),
        cut(&bytes(letter.key()), KEY_SHOWN),
        cut(&bytes(letter.value()), VALUE_SHOWN),
        cut(&letter.reason, REASON_SHOWN),
    ]
}

/// What was set aside: `orders.jsonl:17`, a timer or window with its time, or a value of state.
fn what(letter: &DeadLetter) -> String {
    let poison = letter.poison.as_ref();
    let (timer, window) = (poison.and_then(|poison| poison.timer.as_ref()), poison.and_then(|poison| poison.window));
    if let Some((version, state)) = poison.and_then(|poison| Some((poison.version?, poison.state.first()?))) {
        return format!("state {} of version {version}", state.name);
    }
    match (timer, window, &letter.split, letter.offset) {
        (Some(timer), ..) => format!("timer {timer:?} at {} ms", letter.event_time.unwrap_or_default()),
        (_, Some([start, end]), ..) => format!("window {start}..{end} ms"),
        (_, _, Some(split), Some(offset)) => format!("{split}:{offset}"),
        _ => "a record of a timer or window".to_owned(),
    }
}

fn bytes(bytes: Option<Vec<u8>>) -> String {
    values::cell(&values::key(&bytes.unwrap_or_default()))
}

fn cut(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// All that is known of a letter, a line each, and an empty one.
fn detail(letter: &DeadLetter, text: &mut String) {
    let mut add = |name: &str, said: &str| {
        writeln!(text, "{name:<11}{}", escape::line(said)).expect("a string takes everything");
    };
    add("operator", &letter.operator);
    add("what", &what(letter));
    letter.source.iter().for_each(|source| add("source", source));
    letter.event_time.iter().for_each(|time| add("event time", &values::time_cell(&Value::from(*time))));
    let key = bytes(letter.key());
    if !key.is_empty() {
        add("key", &key);
    }
    if letter.was_record() {
        add("value", &bytes(letter.value()));
    }
    letter.headers.iter().for_each(|header| add("header", &named(header)));
    letter.change.iter().for_each(|change| {
        add("change", ["insert", "update-before", "update-after", "delete"].get(usize::from(*change)).unwrap_or(&""));
    });
    add("reason", &letter.reason);
    letter.component.iter().for_each(|component| add("component", component));
    if let Some(poison) = &letter.poison {
        poison.entry.iter().for_each(|entry| add("entry", &named(entry)));
        poison.state.iter().for_each(|state| add("state", &named(state)));
        poison.backtrace.iter().for_each(|function| add("in", function));
        poison.capsule.iter().for_each(|capsule| add("capsule", capsule));
    }
    text.push('\n');
}

fn named(named: &Named) -> String {
    match named.bytes() {
        Some(value) => format!("{} = {}", named.name, bytes(Some(value))),
        None => format!("{}, without a value", named.name),
    }
}

#[cfg(test)]
mod tests {
    use super::{cut, detail, row, what};
    use tidewheel_types::dead_letter::{DeadLetter, Named, PoisonLetter};

    fn poison() -> DeadLetter {
        let mut letter = DeadLetter::new("op", "`process` trapped".to_owned(), b"k", b"{\"a\":1}\x1b");
        let backtrace = vec!["op::inner".to_owned(), "op::outer".to_owned()];
        letter.source = Some("orders".to_owned());
        letter.split = Some("orders.jsonl".to_owned());
        (letter.offset, letter.event_time) = (Some(17), Some(1_000));
        letter.poison = Some(PoisonLetter { backtrace, ..PoisonLetter::default() });
        letter
    }

    #[test]
    fn a_line_for_a_record() {
        let expected = ["op", "orders.jsonl:17", "k", "0x7b2261223a317d1b", "`process` trapped"];
        assert_eq!(row(&poison()), expected);
        assert_eq!((cut("abc", 3).as_str(), cut("äbcd", 3).as_str()), ("abc", "äbc…"));
    }

    #[test]
    fn a_value_of_state_has_its_version() {
        let mut letter = poison();
        let poison = letter.poison.as_mut().unwrap();
        (poison.version, poison.state) = (Some(3), vec![Named::new("total", Some(b"x"))]);
        assert_eq!(what(&letter), "state total of version 3");
    }

    #[test]
    fn all_of_a_timer() {
        let mut letter = poison();
        (letter.source, letter.split, letter.offset) = (None, None, None);
        let timer = letter.poison.as_mut().unwrap();
        timer.timer = Some("doom".to_owned());
        timer.state = vec![Named::new("seen", Some(b"x")), Named::new("list", None)];
        let mut text = String::new();
        detail(&letter, &mut text);
        let expected = "operator   op
what       timer \"doom\" at 1000 ms
event time 1970-01-01T00:00:01Z
key        k
reason     `process` trapped
state      seen = x
state      list, without a value
in         op::inner
in         op::outer

";
        assert_eq!(text, expected);
    }
}
