//! Answers to the requests that an operator sends over HTTP: those that its case gives, since a test asks nobody.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use tidewheel_guest::{HttpAnswer, HttpAnswers, HttpRequest, HttpResponse, ProblemCode, Unanswered, check_request};

/// What is answered to a request, in `http` of a step.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    #[serde(default = "get")]
    method: String,
    url: String,
    #[serde(default = "success")]
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: String,
    /// Why there is no answer, instead.
    problem: Option<ProblemCode>,
}

fn get() -> String {
    "GET".to_owned()
}

fn success() -> u16 {
    200
}

/// The answers of a case, as far as its steps have given them.
#[derive(Debug, Default)]
pub(super) struct Answers(Mutex<Vec<Answer>>);

impl Answers {
    /// From now on there are these, too; they come before earlier ones of the same request.
    pub(super) fn add(&self, answers: &[Answer]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(answers);
    }
}

impl HttpAnswers for Answers {
    fn answer(&self, request: &HttpRequest) -> Result<HttpAnswer, Unanswered> {
        if let Err(refused) = check_request(request) {
            return Ok(Err(refused));
        }
        let answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let asked =
            answers.iter().rev().find(|answer| (&answer.method, &answer.url) == (&request.method, &request.url));
        Ok(match asked {
            None => {
                let text = format!(
                    "the case does not answer {} {}: add it to the \"http\" of a step",
                    request.method, request.url
                );
                Err(ProblemCode::NotGranted.with(text))
            }
            Some(Answer { problem: Some(code), .. }) => Err(code.with(format!("the case says {}", code.name()))),
            Some(answer) => {
                let headers = answer.headers.iter().map(|(name, value)| (name.to_lowercase(), value.clone())).collect();
                Ok(HttpResponse { status: answer.status, headers, body: answer.body.clone().into_bytes() })
            }
        })
    }
}
