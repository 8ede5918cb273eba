//! What goes wrong between a job and those who speak to it.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a request came to nothing. It is shown as its message and, after a blank line, the hint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiError {
    /// Who is at fault.
    pub fault: Fault,
    /// What is wrong, lower case, no final dot.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Who is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// What was asked for is wrong.
    Request,
    /// There is no such thing.
    Missing,
    /// Something else is under way, or the job is not such that it could be done: ask again later.
    Conflict,
    /// It was tried, and failed.
    Job,
}

/// An error as it travels.
#[derive(Serialize, Deserialize)]
pub(crate) struct ErrorBody {
    pub(crate) error: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
}

impl ApiError {
    /// An error without a hint.
    pub fn new(fault: Fault, message: impl Into<String>) -> ApiError {
        ApiError { fault, message: message.into(), hint: None }
    }

    /// The same with a hint.
    pub fn with_hint(mut self, hint: impl Into<String>) -> ApiError {
        self.hint = Some(hint.into());
        self
    }

    /// The one place where an error gets its status.
    pub(crate) fn status(&self) -> StatusCode {
        match self.fault {
            Fault::Request => StatusCode::BAD_REQUEST,
            Fault::Missing => StatusCode::NOT_FOUND,
            Fault::Conflict => StatusCode::CONFLICT,
            Fault::Job => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The error that came with `status`.
    pub(crate) fn from_body(status: StatusCode, ErrorBody { error, hint }: ErrorBody) -> ApiError {
        let fault = match status {
            StatusCode::NOT_FOUND => Fault::Missing,
            StatusCode::CONFLICT => Fault::Conflict,
            status if status.is_client_error() => Fault::Request,
            _ => Fault::Job,
        };
        ApiError { fault, message: error, hint }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hint {
            Some(hint) => write!(f, "{}\n\nhint: {hint}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for ApiError {}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status(), Json(ErrorBody { error: self.message, hint: self.hint })).into_response()
    }
}

/// Why a client has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The job refused, or failed at it.
    #[error(transparent)]
    Refused(#[from] ApiError),

    /// The job went away before it answered: whether it did what was asked is not known.
    #[error("the job went away before it answered")]
    Gone(#[source] hyper::Error),

    /// The job says nothing.
    #[error("the job has not answered in {seconds} s: it is stopped, or hangs")]
    Silent {
        /// How long it was waited for.
        seconds: u64,
    },

    /// The answer is not one of this version's.
    #[error("the job's answer to {path} cannot be understood: is it of another version?")]
    Answer {
        /// What was asked.
        path: &'static str,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },

    /// The connection could not be used.
    #[error("cannot speak to the job")]
    Connection(#[source] std::io::Error),
}
