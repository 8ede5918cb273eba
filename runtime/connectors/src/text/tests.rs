//! Where blocks end must not matter: cutting text in any pieces yields what cutting it whole does.

use super::cut::{Cutter, Output};
use super::format::{ColumnType, CsvFormat};
use super::lines::{LineCutter, LineKind};
use super::rows::RowCutter;
use crate::{ConnectorError, Malformed};
use proptest::bool::weighted;
use proptest::collection::vec;
use proptest::prelude::{Strategy, prop_assert_eq, proptest};
use proptest::sample::select;
use std::collections::BTreeMap;
use tidewheel_types::Batch;
use tidewheel_types::dead_letter::{DeadLetter, Named, PoisonLetter};

type Cut = Result<(Batch, Vec<Malformed>), String>;

/// Cuts `text` in pieces of these sizes, in turn, with reads of at most `bytes_max` bytes; after each read whose turn
/// it is in `restarts` another cutter goes on from where the first one was.
fn cut_with_restarts<C: Cutter>(
    new: impl Fn() -> C,
    text: &[u8],
    sizes: &[usize],
    bytes_max: usize,
    restarts: &[bool],
) -> Cut {
    let (mut batch, mut malformed) = (Batch::default(), Vec::new());
    let mut cut_all = || -> Result<(), ConnectorError> {
        let mut cutter = new();
        let mut sizes = sizes.iter().cycle();
        let mut restarts = restarts.iter().cycle();
        // The text has been cut up to `position`; up to `block_end` it is at hand.
        let (mut position, mut block_end) = (0, 0);
        while position < text.len() {
            if position == block_end {
                block_end = text.len().min(position + sizes.next().expect("there are sizes"));
            }
            let mut output = Output::new("name", 1, 2, bytes_max, &mut batch, &mut malformed);
            position += cutter.cut(&text[position..block_end], &mut output)?;
            if *restarts.next().expect("there are restarts") {
                let place = cutter.place();
                position -= place.bytes_kept as usize;
                block_end = position;
                let stored = serde_json::to_string(&place).expect("JSON");
                cutter = new();
                cutter.resume(&serde_json::from_str(&stored).expect("JSON"), "name")?;
            }
        }
        cutter.finish(&mut Output::new("name", 1, 2, bytes_max, &mut batch, &mut malformed))
    };
    cut_all().map_err(|error| error.to_string())?;
    Ok((batch, malformed))
}

/// Cuts `text` in pieces of these sizes, in turn, with reads of at most `bytes_max` bytes.
fn cut(mut cutter: impl Cutter, text: &[u8], sizes: &[usize], bytes_max: usize) -> Cut {
    let (mut batch, mut malformed) = (Batch::default(), Vec::new());
    let mut cut_all = || -> Result<(), ConnectorError> {
        let mut sizes = sizes.iter().cycle();
        let mut rest = text;
        while !rest.is_empty() {
            let (mut piece, after) = rest.split_at(rest.len().min(*sizes.next().expect("there are sizes")));
            rest = after;
            while !piece.is_empty() {
                let mut output = Output::new("name", 1, 2, bytes_max, &mut batch, &mut malformed);
                let count = cutter.cut(piece, &mut output)?;
                piece = &piece[count..];
            }
        }
        cutter.finish(&mut Output::new("name", 1, 2, bytes_max, &mut batch, &mut malformed))
    };
    cut_all().map_err(|error| error.to_string())?;
    Ok((batch, malformed))
}

/// Text of the bytes that cutters look at.
fn text() -> impl Strategy<Value = Vec<u8>> {
    vec(select(b"ab1,,\"\"\n\n\n\r {}[]\xFF".to_vec()), 0..200)
}

fn rows() -> RowCutter {
    let types = BTreeMap::from([("a".to_owned(), ColumnType::Integer)]);
    RowCutter::new(CsvFormat { delimiter: b',', types })
}

proptest! {
    #[test]
    fn pieces_do_not_matter(text in text(), sizes in vec(1usize..7, 1..4), bytes_max in 1usize..200) {
        let whole = [text.len().max(1)];
        let csv = [b"a,b\n", text.as_slice()].concat();
        let csv_whole = [csv.len()];
        prop_assert_eq!(
            cut(LineCutter::new(LineKind::Any), &text, &sizes, bytes_max),
            cut(LineCutter::new(LineKind::Any), &text, &whole, usize::MAX)
        );
        prop_assert_eq!(
            cut(LineCutter::new(LineKind::Json), &text, &sizes, bytes_max),
            cut(LineCutter::new(LineKind::Json), &text, &whole, usize::MAX)
        );
        prop_assert_eq!(cut(rows(), &csv, &sizes, bytes_max), cut(rows(), &csv, &csv_whole, usize::MAX));
    }

    #[test]
    fn where_cutting_begins_again_does_not_matter(
        text in text(),
        size in 1usize..90,
        bytes_max in 1usize..100,
        restarts in vec(weighted(0.3), 1..9),
    ) {
        // Now and then a cutter goes on, so that a record longer than a piece ends.
        let restarts = [restarts.as_slice(), &[false; 90]].concat();
        let sizes = [size, 90];
        let csv = [b"a,b\n", text.as_slice()].concat();
        prop_assert_eq!(
            cut_with_restarts(rows, &csv, &sizes, bytes_max, &restarts),
            cut(rows(), &csv, &[csv.len()], usize::MAX)
        );
        for kind in [LineKind::Any, LineKind::Json] {
            let new = || LineCutter::new(kind);
            prop_assert_eq!(
                cut_with_restarts(new, &text, &sizes, bytes_max, &restarts),
                cut(new(), &text, &[text.len().max(1)], usize::MAX)
            );
        }
    }

    #[test]
    fn lines_are_those_of_the_standard_library(text in "([a-c]|\r\n|\n){0,60}") {
        let (batch, malformed) = cut(LineCutter::new(LineKind::Any), text.as_bytes(), &[3], 100).expect("no error");
        let expected: Vec<&[u8]> = text.lines().map(str::as_bytes).collect();
        prop_assert_eq!(batch.values.iter().collect::<Vec<_>>(), expected);
        prop_assert_eq!(malformed, vec![]);
    }

    #[test]
    fn rows_are_those_that_were_written(rows in vec(("[a-z\",;\r\n]{1,6}", "[a-z\",\n]{0,6}"), 0..6)) {
        let quoted = |field: &str| format!("\"{}\"", field.replace('"', "\"\""));
        let mut text = "x,y\n".to_owned();
        for (x, y) in &rows {
            text.push_str(&format!("{},{}\r\n", quoted(x), quoted(y)));
        }
        let cutter = RowCutter::new(CsvFormat { delimiter: b',', types: BTreeMap::new() });
        let (batch, malformed) = cut(cutter, text.as_bytes(), &[5], 100).expect("no error");
        let read = batch.values.iter().map(|value| serde_json::from_slice(value).expect("JSON"));
        let read: Vec<BTreeMap<String, String>> = read.collect();
        let expected = rows.iter().map(|(x, y)| BTreeMap::from([("x".into(), x.clone()), ("y".into(), y.clone())]));
        prop_assert_eq!(read, expected.collect::<Vec<_>>());
        prop_assert_eq!(malformed, vec![]);
    }
}

#[test]
fn dead_letters_are_records_with_all_they_had() {
    let plain = DeadLetter::new("op", "bad".to_owned(), b"", b"1");
    let mut full = DeadLetter::new("op", "bad".to_owned(), b"k\xff", b"2\n");
    (full.change, full.event_time) = (Some(3), Some(7));
    full.headers = vec![Named::new("h", Some(b"x"))];
    let timer = PoisonLetter { timer: Some("t".to_owned()), ..PoisonLetter::default() };
    let mut of_timer = plain.clone();
    of_timer.poison = Some(timer);
    let lines = [plain.to_json(), Vec::new(), full.to_json(), of_timer.to_json(), b"{}".to_vec(), plain.to_json()];
    let (batch, malformed) =
        cut(LineCutter::new(LineKind::DeadLetter), &lines.join(&b'\n'), &[7], 100).expect("no error");
    let keys: Vec<_> = batch.keys.iter().collect();
    assert_eq!(keys, [&b""[..], b"k\xff", b""]);
    assert_eq!(batch.values.iter().collect::<Vec<_>>(), [&b"1"[..], b"2\n", b"1"]);
    assert_eq!((batch.times[1], batch.changes.as_slice()), (7, &[0, 3, 0][..]));
    let headers: Vec<_> = (0..3).map(|record| batch.headers.of(record).collect::<Vec<_>>()).collect();
    assert_eq!(headers, [vec![], vec![(&b"h"[..], &b"x"[..])], vec![]]);
    let reasons: Vec<_> = malformed.iter().map(|line| line.reason.as_str()).collect();
    assert_eq!(reasons[0], "name:4: a timer or window was set aside, which cannot be input");
    assert!(reasons.len() == 2 && reasons[1].starts_with("name:5: it is no dead letter"), "{reasons:?}");
}
