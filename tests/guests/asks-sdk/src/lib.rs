//! Sends the requests that a record asks for, with a `|` between them, all at once, and emits what came of each. Beside it: the
//! same in Go and in Python.
//!
//! A request is `METHOD URL`, then words: `NAME:VALUE` for headers, `body=TEXT`, `timeout=MS`, and `sum` for the sum of the
//! numbers that the answer has as JSON. What it emits is the URL's end, the status, the headers that begin with `x-` and the
//! body; or the kind of the error, and the message.

use std::time::Duration;
use tidewheel::http::{HttpError, Request, Response, send_all};
use tidewheel::{Context, Record, Result, Stateless, Text, operator};

/// Asks for what a record says.
#[operator(stateless)]
struct Asks;

/// A request, and whether the sum is asked for.
fn request(words: &str) -> Result<(Request, bool)> {
    let mut words = words.split(' ');
    let (mut request, mut sums) =
        (Request::new(words.next().unwrap_or_default(), words.next().unwrap_or_default()), false);
    for word in words {
        if let Some(body) = word.strip_prefix("body=") {
            request.body = body.into();
        } else if let Some(ms) = word.strip_prefix("timeout=") {
            request = request.timeout(Duration::from_millis(ms.parse()?));
        } else if let Some((name, value)) = word.split_once(':') {
            request = request.header(name, value);
        } else {
            sums = true;
        }
    }
    Ok((request, sums))
}

fn told(answer: Result<Response, HttpError>, sums: bool) -> Result<String, HttpError> {
    let answer = answer?;
    if sums {
        return Ok(format!("sum {}", answer.json::<Vec<u64>>()?.iter().sum::<u64>()));
    }
    let headers = answer.headers.iter().filter(|(name, _)| name.starts_with("x-"));
    let headers: String = headers.map(|(name, value)| format!(" {name}={value}")).collect();
    Ok(format!("{}{headers} {}", answer.status, String::from_utf8_lossy(&answer.body)))
}

impl Stateless for Asks {
    type In = Text;
    type Out = Text;

    fn process(&mut self, record: Record<&str>, ctx: &mut Context<Self>) -> Result<()> {
        let (requests, sums): (Vec<_>, Vec<_>) =
            record.split('|').map(request).collect::<Result<Vec<_>>>()?.into_iter().unzip();
        let ends: Vec<String> =
            requests.iter().map(|request| request.url.rsplit('/').next().unwrap_or_default().to_owned()).collect();
        for ((answer, sums), end) in send_all(requests).into_iter().zip(sums).zip(ends) {
            let told = told(answer, sums).unwrap_or_else(|error| format!("{:?}: {error}", error.kind));
            ctx.emit(format!("{end} {told}").as_str());
        }
        Ok(())
    }
}
