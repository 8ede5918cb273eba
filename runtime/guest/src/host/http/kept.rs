//! What requests have been answered, kept so that a call can be made again without the network.

use super::{HttpAccess, HttpAnswer, HttpAnswers};
use crate::bindings::http::{Problem, Request, Response};
use crate::component::digest_of;
use crate::host::base64_text;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of answers that are kept, about; of those after them none.
const KEPT_BYTES_MAX: usize = 16 << 20;

/// What a header takes besides its bytes, and an answer.
const OVERHEAD_BYTES: usize = 64;

/// A request and its answer. Of the request there is a digest, without its headers: they tend to be secrets, which may be
/// others where the call is made again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answered {
    request: String,
    answer: Answer,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    Response {
        status: u16,
        headers: Vec<(String, String)>,
        #[serde(with = "base64_text")]
        body: Vec<u8>,
    },
    Problem {
        code: u32,
        message: String,
    },
}

impl From<&HttpAnswer> for Answer {
    fn from(answer: &HttpAnswer) -> Self {
        match answer.clone() {
            Ok(Response { status, headers, body }) => Answer::Response { status, headers, body },
            Err(Problem { code, message }) => Answer::Problem { code, message },
        }
    }
}

impl From<Answer> for HttpAnswer {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Response { status, headers, body } => Ok(Response { status, headers, body }),
            Answer::Problem { code, message } => Err(Problem { code, message }),
        }
    }
}

/// What tells a request from others.
fn digest(request: &Request) -> String {
    let Request { method, url, body, .. } = request;
    digest_of(
        &[method.as_bytes(), url.as_bytes(), body].map(|part| [&part.len().to_le_bytes(), part].concat()).concat(),
    )
}

/// What an instance has been answered: when it was opened, and in its last call.
#[derive(Default)]
pub(crate) struct Kept {
    answers: Vec<Answered>,
    /// How many of them are from when it was opened.
    opened: usize,
    bytes: usize,
    opened_bytes: usize,
}

impl Kept {
    pub(super) fn opened(&mut self) {
        (self.opened, self.opened_bytes) = (self.answers.len(), self.bytes);
    }

    pub(super) fn begin_call(&mut self) {
        self.answers.truncate(self.opened);
        self.bytes = self.opened_bytes;
    }

    pub(super) fn add(&mut self, request: &Request, answer: &HttpAnswer) {
        let bytes = match answer {
            Ok(Response { headers, body, .. }) => {
                let header = |(name, value): &(String, String)| name.len() + value.len() + OVERHEAD_BYTES;
                body.len() + headers.iter().map(header).sum::<usize>()
            }
            Err(problem) => problem.message.len(),
        };
        // Once one is left out, those after it would take its place.
        self.bytes = self.bytes.saturating_add(bytes + OVERHEAD_BYTES);
        if self.bytes <= KEPT_BYTES_MAX {
            self.answers.push(Answered { request: digest(request), answer: answer.into() });
        }
    }

    pub(super) fn answers(&self) -> Vec<Answered> {
        self.answers.clone()
    }
}

/// Answers once more, in order.
struct Replayed {
    answers: Vec<Answered>,
    next: AtomicUsize,
}

impl Answered {
    /// Access to these answers and no others.
    pub(crate) fn replay(answers: Vec<Answered>) -> HttpAccess {
        HttpAccess::Answers(Arc::new(Replayed { answers, next: AtomicUsize::new(0) }))
    }
}

impl HttpAnswers for Replayed {
    fn answer(&self, request: &Request) -> Result<HttpAnswer, String> {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        let answered = self.answers.get(next).filter(|answered| answered.request == digest(request));
        let kept = answered.map(|answered| answered.answer.clone().into());
        kept.ok_or_else(|| {
            "the component sends a request whose answer is not kept: the failed call sent another one, or got too much"
                .to_owned()
        })
    }
}
