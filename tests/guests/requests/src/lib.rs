//! Sends the requests that its records ask for, all those of a batch at once, and emits what came of each.
//!
//! A value is `METHOD URL`, then words `NAME:VALUE` for headers, `body=TEXT` and `timeout=MS`. What it emits is the status,
//! the headers that begin with `x-` and the body, or `problem`, the code and the message. With `fail` before the method it
//! is blamed for that, and it panics. A URL as its config is asked when it is opened, and what came is put before everything it emits.

use fixture_kit::stateless::exports::tidewheel::operator::transformer::{Call, Description, Failure, Guest};
use fixture_kit::stateless::tidewheel::operator::http::{Problem, Request, Response, send};
use fixture_kit::stateless::tidewheel::operator::log;
use fixture_kit::{Columns, Frame, column_of};
use std::sync::Mutex;

struct Requests;

static OPENED: Mutex<String> = Mutex::new(String::new());

fn request(words: &str) -> Request {
    let mut words = words.split(' ');
    let (method, url) = (words.next().unwrap_or_default().into(), words.next().unwrap_or_default().into());
    let mut request = Request { method, url, headers: vec![], body: vec![], timeout_ms: 0 };
    for word in words {
        if let Some(body) = word.strip_prefix("body=") {
            request.body = body.into();
        } else if let Some(timeout) = word.strip_prefix("timeout=") {
            request.timeout_ms = timeout.parse().unwrap();
        } else {
            let (name, value) = word.split_once(':').unwrap();
            request.headers.push((name.into(), value.into()));
        }
    }
    request
}

fn told(answer: Result<Response, Problem>) -> String {
    match answer {
        Ok(Response { status, headers, body }) => {
            let headers = headers.into_iter().filter(|(name, _)| name.starts_with("x-"));
            let headers: String = headers.map(|(name, value)| format!("{name}={value} ")).collect();
            format!("{status} {headers}{}", String::from_utf8_lossy(&body))
        }
        Err(Problem { code, message }) => format!("problem {code}: {message}"),
    }
}

impl Guest for Requests {
    fn describe() -> Description {
        Description {
            name: "requests".into(),
            version: "1".into(),
            sdk: "none".into(),
            inputs: vec![],
            outputs: vec![],
            states: vec![],
            timers: vec![],
            options: vec![],
        }
    }

    fn open(config: String, _options: Vec<(String, String)>) -> Result<(), Failure> {
        let config = config.trim_matches('"');
        if config.starts_with("http") {
            let answer = send(&[request(&format!("GET {config}"))]).remove(0);
            *OPENED.lock().unwrap() = told(answer) + ", ";
        }
        Ok(())
    }

    fn process(_call: Call, batch: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let columns = Columns::read(&batch);
        let values: Vec<_> = columns.values().into_iter().map(|value| std::str::from_utf8(value).unwrap()).collect();
        let fails = |value: &&str| value.starts_with("fail ");
        let requests: Vec<_> = values.iter().map(|value| request(value.trim_start_matches("fail "))).collect();
        let answers = send(&requests);
        assert_eq!(answers.len(), requests.len());
        let opened = OPENED.lock().unwrap().clone();
        let told: Vec<_> = answers.into_iter().map(|answer| format!("{opened}{}", told(answer))).collect();
        if let Some(record) = values.iter().position(fails) {
            log::blame(record as u32, &format!("told to fail by {}", told[record]));
            panic!("told to fail");
        }
        let frame = Frame::default()
            .entries(7, told.iter().map(|text| Some(text.as_bytes())))
            .column(16, column_of(0..values.len() as u32));
        Ok(frame.finish())
    }
}

fixture_kit::stateless::export!(Requests with_types_in fixture_kit::stateless);
