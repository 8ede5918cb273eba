//! Operators that see windows, through the harness.

use std::time::Duration;
use tidewheel::harness::Harness;
use tidewheel::{Context, Error, EventTime, ProcessWindow, Records, Result, Text, Value, Window, operator};

/// Joins the words of each window, behind the number of windows its key has had. A word `refuse` is an error.
#[operator(process_window)]
struct Words {
    #[state]
    windows: Value<u32>,
}

impl ProcessWindow for Words {
    type In = Text;
    type Out = Text;

    fn process(&mut self, window: Window, words: Records<&str>, ctx: &mut Context<Self>) -> Result<()> {
        assert_eq!(ctx.window(), Some(window));
        let windows = self.windows.get()?.unwrap_or(0) + 1;
        self.windows.set(&windows)?;
        let words: Vec<&str> = words.map(|word| word.value).collect();
        ctx.emit(&format!("{windows} {}", words.join(" ")));
        match words.contains(&"refuse") {
            true => Err(Error::reject("it is refused")),
            false => Ok(()),
        }
    }
}

fn words() -> Harness<Words> {
    Harness::new().tumbling(Duration::from_millis(10))
}

fn texts<O: tidewheel::Operator>(harness: &mut Harness<O>) -> Vec<(String, i64, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    harness.records().iter().map(|record| (text(&record.key), record.event_time.0, text(&record.value))).collect()
}

fn expected<const N: usize>(of: [(&str, i64, &str); N]) -> Vec<(String, i64, String)> {
    of.map(|(key, time, text)| (key.to_owned(), time, text.to_owned())).to_vec()
}

#[test]
fn a_window_has_all_its_records_when_the_watermark_reaches_its_end() {
    let mut harness = words();
    harness.send_all([("a", EventTime(5), "one"), ("b", EventTime(9), "other"), ("a", EventTime(1), "two")]);
    harness.send("a", EventTime(10), "next");
    harness.advance_watermark(EventTime(8));
    assert_eq!(texts(&mut harness), []);
    harness.advance_watermark(EventTime(9));
    assert_eq!(texts(&mut harness), expected([("a", 9, "1 one two"), ("b", 9, "1 other")]));
    harness.send("a", EventTime(9), "late");
    assert_eq!(harness.late(), [b"late"]);
    harness.finish();
    assert_eq!(texts(&mut harness), expected([("a", 19, "2 next")]));
}

#[test]
fn an_error_rejects_the_records_of_the_window_and_undoes_what_it_did() {
    let mut harness = words();
    harness.send_all([("a", EventTime(1), "good"), ("a", EventTime(2), "refuse"), ("a", EventTime(10), "next")]);
    harness.send_bytes("a", EventTime(3), [0xff]);
    harness.finish();
    assert_eq!(texts(&mut harness), expected([("a", 19, "1 next")]));
    let rejected = harness.rejected();
    let reasons: Vec<_> = rejected.iter().map(|record| (record.value.as_slice(), record.reason.as_str())).collect();
    assert_eq!(reasons[..2], [(&b"good"[..], "it is refused"), (b"refuse", "it is refused")]);
    assert_eq!(reasons[2].0, [0xff]);
    assert!(reasons[2].1.contains("text"), "{}", reasons[2].1);
}

#[test]
fn parts_of_a_window_are_put_together() {
    let mut harness = words().parts_of(2);
    harness.send_all(["one", "two", "three", "four", "five"].map(|word| ("a", EventTime(1), word)));
    harness.send_bytes("a", EventTime(2), [0xff]);
    harness.send_all(["six", "seven", "eight"].map(|word| ("a", EventTime(10), word)));
    harness.finish();
    let all = [("a", 9, "1 one two three four five"), ("a", 19, "2 six seven eight")];
    assert_eq!(texts(&mut harness), expected(all));
    assert_eq!(harness.rejected().len(), 1);
}

#[test]
fn open_windows_are_in_a_savepoint() {
    let mut harness = words();
    harness.send("a", EventTime(1), "before");
    let mut harness = words().restored(&harness.savepoint()).unwrap();
    harness.send("a", EventTime(2), "after");
    harness.finish();
    assert_eq!(texts(&mut harness), expected([("a", 9, "1 before after")]));
}

/// Counts the records of a window part by part.
#[operator(process_window)]
struct Count {
    #[state]
    count: Value<usize>,
}

impl ProcessWindow for Count {
    type In = Text;
    type Out = Text;

    const IN_PARTS: bool = true;

    fn process(&mut self, _window: Window, words: Records<&str>, ctx: &mut Context<Self>) -> Result<()> {
        let before = if ctx.is_first_part() { 0 } else { self.count.get()?.unwrap_or(0) };
        let count = before + words.len();
        if ctx.is_last_part() {
            ctx.emit(&count.to_string());
        }
        self.count.set(&count)
    }
}

#[test]
fn an_operator_can_take_parts_one_by_one() {
    let mut harness = Harness::<Count>::new().tumbling(Duration::from_millis(10)).parts_of(3);
    harness.send_all((0..7).map(|_| ("a", EventTime(1), "word")));
    harness.send_all((0..2).map(|_| ("a", EventTime(10), "word")));
    harness.finish();
    assert_eq!(texts(&mut harness), expected([("a", 9, "7"), ("a", 19, "2")]));
}
