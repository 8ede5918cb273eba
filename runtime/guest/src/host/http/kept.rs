//! What requests have been answered, kept so that a call can be made again without the network.

use super::{HttpAccess, HttpAnswer, HttpAnswers, Unanswered};
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
    /// There was none, and the call ended.
    None(Unanswered),
}

impl From<&HttpAnswer> for Answer {
    fn from(answer: &HttpAnswer) -> Self {
        match answer.clone() {
            Ok(Response { status, headers, body }) => Answer::Response { status, headers, body },
            Err(Problem { code, message }) => Answer::Problem { code, message },
        }
    }
}

impl Answer {
    fn again(self) -> Result<HttpAnswer, Unanswered> {
        match self {
            Answer::Response { status, headers, body } => Ok(Ok(Response { status, headers, body })),
            Answer::Problem { code, message } => Ok(Err(Problem { code, message })),
            Answer::None(unanswered) => Err(unanswered),
        }
    }

    fn size_bytes(&self) -> usize {
        let bytes = match self {
            Answer::Response { headers, body, .. } => {
                let header = |(name, value): &(String, String)| name.len() + value.len() + OVERHEAD_BYTES;
                body.len() + headers.iter().map(header).sum::<usize>()
            }
            Answer::Problem { message, .. } => message.len(),
            Answer::None(_) => 0,
        };
        bytes + OVERHEAD_BYTES
    }
}

/// What tells a request from others.
pub(super) fn digest(request: &Request) -> String {
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

    /// What came of the requests of a host call.
    pub(super) fn add(&mut self, requests: Vec<String>, answers: &Result<Vec<HttpAnswer>, Unanswered>) {
        match answers {
            Ok(answers) => requests.into_iter().zip(answers).for_each(|(request, answer)| {
                self.add_one(request, || answer.into());
            }),
            Err(unanswered) => requests.into_iter().take(1).for_each(|request| {
                self.add_one(request, || Answer::None(*unanswered));
            }),
        }
    }

    fn add_one(&mut self, request: String, answer: impl FnOnce() -> Answer) {
        // Once one is left out, those after it would take its place.
        if self.bytes <= KEPT_BYTES_MAX {
            let answer = answer();
            self.bytes += answer.size_bytes();
            self.answers.push(Answered { request, answer });
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

/// What is said of a request whose answer is not there.
pub(super) const NOT_KEPT: &str =
    "the component sends a request whose answer is not kept: the failed call sent another one, or got too much";

impl HttpAnswers for Replayed {
    fn answer(&self, request: &Request) -> Result<HttpAnswer, Unanswered> {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        let answered = self.answers.get(next).filter(|answered| answered.request == digest(request));
        answered.map_or(Err(Unanswered::NotKept), |answered| answered.answer.clone().again())
    }
}
