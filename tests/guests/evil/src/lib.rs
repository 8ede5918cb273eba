//! Does harm where and how its config says: two words, such as `"process loop"`, or a table of one such string.
//!
//! Where: `open`, `process`, `on-timer`, `migrate`. How: `loop` never ends; `stack` calls itself for ever; `memory` asks
//! for more and more; `log` logs for ever; `metrics` makes metrics for ever; `blame` blames for ever; `write` writes to a
//! map for ever; `read` reads the whole of it for ever; `ask` has the host read what is not there, with columns that are as
//! large as they can be; `request` sends requests to hosts that are not granted; `give` returns a frame that says it has more columns than there are; `fail` fails.
//! Where it does none, each record becomes the options that `open` was given.

use fixture_kit::keyed::exports::tidewheel::operator::processor::{Call, Description, Failure, Guest};
use fixture_kit::keyed::tidewheel::operator::description::{Clock, StateDecl, StateKind, TimerDecl};
use fixture_kit::keyed::tidewheel::operator::http::{self, Request};
use fixture_kit::keyed::tidewheel::operator::{log, metrics, state};
use fixture_kit::{Columns, Frame, bytes_column, column_of};
use std::cell::RefCell;
use std::hint::black_box;

thread_local! {
    static CONFIG: RefCell<String> = const { RefCell::new(String::new()) };
    static OPTIONS: RefCell<String> = const { RefCell::new(String::new()) };
}

struct Evil;

fn decl(name: &str, kind: StateKind, rides: bool) -> StateDecl {
    StateDecl {
        name: name.into(),
        kind,
        format: "raw".into(),
        schema: String::new(),
        version: 2,
        oldest: 1,
        rides,
        ttl_ms: 0,
        options: vec![],
    }
}

/// Goes deeper and deeper.
#[inline(never)]
fn dig(depth: u64) -> u64 {
    let below = if black_box(depth) < u64::MAX { dig(depth + 1) } else { 0 };
    black_box([depth; 64])[below as usize % 64] + below
}

/// Does what the config says, if it says so for `place`. Gives a frame if it comes back.
#[inline(never)]
fn harm(place: &str) -> Result<Option<Vec<u8>>, Failure> {
    let config = CONFIG.with_borrow(|config| {
        let inner = config.trim_matches(['{', '}', '"']);
        inner.rsplit('"').next().unwrap_or(inner).to_owned()
    });
    let Some(how) = config.strip_prefix(place).and_then(|rest| rest.strip_prefix(' ')) else { return Ok(None) };
    let mut turn = 0u64;
    loop {
        turn = black_box(turn) + 1;
        match how {
            "loop" => {}
            "stack" => _ = dig(0),
            "memory" => std::mem::forget(black_box(vec![1u8; 1 << 20])),
            "log" => log::write(log::Level::Error, Some(0), &"x".repeat(100 << 10)),
            "metrics" => _ = metrics::define(&format!("metric {turn}"), metrics::Kind::Histogram),
            "blame" => log::blame(0, &"x".repeat(100 << 10)),
            "write" => {
                let (key_ends, keys) = bytes_column([Some(&turn.to_le_bytes()[..])]);
                let value = vec![1; 1 << 20];
                let (value_ends, values) = bytes_column([Some(&value[..])]);
                state::map_write(1, &column_of([0]), &key_ends, &keys, &value_ends, &values);
            }
            "read" => _ = state::map_scan(1, 0, &[], false, false, u32::MAX),
            "ask" => {
                let groups = column_of((0..1 << 20).map(|_| 0));
                let ends = column_of((0..1 << 20).map(|_| 0));
                state::map_get(1, &groups, &ends, &[]);
            }
            "request" => {
                let (url, body) = (format!("http://127.0.0.1:{}/", turn % 65_536), vec![0; 100]);
                let request = Request { method: "POST".into(), url, headers: vec![], body, timeout_ms: 0 };
                _ = http::send(&vec![request; 1_000]);
            }
            "give" => return Ok(Some([[0xff; 4], [0; 4], [0x7f; 4]].concat())),
            _ => return Err(Failure { code: 1, message: "told to fail".into() }),
        }
    }
}

impl Guest for Evil {
    fn describe() -> Description {
        Description {
            name: "evil".into(),
            version: "1".into(),
            sdk: "none".into(),
            inputs: vec![],
            outputs: vec![],
            states: vec![decl("value", StateKind::Value, true), decl("map", StateKind::Map, false)],
            timers: vec![TimerDecl { name: "timer".into(), clock: Clock::Event }],
            options: vec![],
        }
    }

    fn open(config: String, options: Vec<(String, String)>) -> Result<(), Failure> {
        CONFIG.set(config);
        let options: Vec<String> = options.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        OPTIONS.set(options.join(" "));
        harm("open").map(drop)
    }

    fn process(_call: Call, batch: Vec<u8>) -> Result<Vec<u8>, Failure> {
        if let Some(frame) = harm("process")? {
            return Ok(frame);
        }
        let columns = Columns::read(&batch);
        let options = OPTIONS.with_borrow(Clone::clone);
        let records = columns.values().len() as u32;
        let mut timers = Vec::new();
        for group in 0..columns.numbers(4).len() as u32 {
            timers.extend(column_of([group, 0]));
            timers.extend(1_000i64.to_le_bytes());
        }
        let frame = Frame::default()
            .entries(7, (0..records).map(|_| Some(options.as_bytes())))
            .column(16, column_of(0..records))
            .column(20, timers);
        Ok(frame.finish())
    }

    fn on_timer(_call: Call, _batch: Vec<u8>) -> Result<Vec<u8>, Failure> {
        Ok(harm("on-timer")?.unwrap_or_else(|| Frame::default().finish()))
    }

    fn migrate(_state: u32, _version: u32, values: Vec<u8>) -> Result<Vec<u8>, Failure> {
        Ok(harm("migrate")?.unwrap_or(values))
    }
}

fixture_kit::keyed::export!(Evil with_types_in fixture_kit::keyed);
