//! Answers to requests over HTTP in a test: those that the test gives, since there is no network.

use crate::http::{HttpError, HttpErrorKind, Request, Response};
use crate::wit::keyed::tidewheel::operator::http as wit;
use std::cell::RefCell;

type Answer = Box<dyn FnMut(&Request) -> Result<Response, HttpError>>;

thread_local! {
    static ANSWER: RefCell<Option<Answer>> = const { RefCell::new(None) };
}

/// Answers the requests that operators send by [`http`](crate::http) from now on, in this thread. Without it no host is
/// granted.
pub fn answer_http(answer: impl FnMut(&Request) -> Result<Response, HttpError> + 'static) {
    ANSWER.set(Some(Box::new(answer)));
}

pub(crate) fn send_http(requests: &[wit::Request]) -> Vec<Result<wit::Response, wit::Problem>> {
    let answer = |request: &wit::Request| {
        let request = Request::from(request.clone());
        let answer = ANSWER.with_borrow_mut(|answer| answer.as_mut().map(|answer| answer(&request)));
        let message = "the test answers no requests: give it answers with harness::answer_http".to_owned();
        let answer = answer.unwrap_or(Err(HttpError { kind: HttpErrorKind::NotGranted, message }));
        answer.map(wit::Response::from).map_err(wit::Problem::from)
    };
    requests.iter().map(answer).collect()
}
