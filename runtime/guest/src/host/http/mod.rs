//! `interface http`: requests to hosts that the job grants.
//!
//! [`send`](Http::send) refuses what is not granted, and waits for the answers of the rest, no longer than the call may
//! take. What was answered can be kept, so that a call which failed can be made again without the network.

mod client;
mod kept;

pub(crate) use client::Client;
pub(crate) use kept::{Answered, Kept};

use super::{HostCallError, HostState};
use crate::bindings::http::{Host, Problem, Request, Response};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Instant;
use tidewheel_types::http_host::HttpHost;

/// Requests of one host call, at most.
const REQUESTS_MAX: usize = 10_000;

/// What came of a request, by interface `http`.
pub type HttpAnswer = Result<Response, Problem>;

/// Why there is no answer: the codes of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemCode {
    /// The job does not grant the host.
    NotGranted = 1,
    /// The request is none that can be sent.
    NotARequest = 2,
    /// The host was not reached, or broke off.
    NotReached = 3,
    /// The timeout has passed.
    TimedOut = 4,
    /// The body is larger than what a call may give.
    TooLarge = 5,
}

impl ProblemCode {
    /// Its name, as it is written in files.
    pub fn name(self) -> &'static str {
        match self {
            ProblemCode::NotGranted => "not-granted",
            ProblemCode::NotARequest => "not-a-request",
            ProblemCode::NotReached => "not-reached",
            ProblemCode::TimedOut => "timed-out",
            ProblemCode::TooLarge => "too-large",
        }
    }

    /// The problem with these words for people.
    pub fn with(self, message: impl Into<String>) -> Problem {
        Problem { code: self as u32, message: message.into() }
    }
}

/// Where the answers to an instance's requests come from.
#[derive(Clone)]
pub enum HttpAccess {
    /// From the network; of these hosts, no others.
    Hosts(Vec<HttpHost>),
    /// From here, without a look at what is granted.
    Answers(Arc<dyn HttpAnswers>),
}

impl Default for HttpAccess {
    fn default() -> Self {
        HttpAccess::Hosts(Vec::new())
    }
}

impl HttpAccess {
    /// Whether there is anything to be had.
    pub(crate) fn is_some(&self) -> bool {
        match self {
            HttpAccess::Hosts(hosts) => !hosts.is_empty(),
            HttpAccess::Answers(_) => true,
        }
    }
}

/// Answers requests in place of the network.
pub trait HttpAnswers: Send + Sync {
    /// The answer to a request.
    fn answer(&self, request: &Request) -> Result<HttpAnswer, Unanswered>;
}

/// Checks that a request is one that can be sent, to whatever host.
pub fn check_request(request: &Request) -> Result<(), Problem> {
    client::parts(request).map(drop)
}

/// Why a request is not answered, and the call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unanswered {
    /// The call had to be over.
    TooLate,
    /// The answers are too large together.
    TooMuch,
    /// Nobody knows the answer.
    NotKept,
}

/// What an instance needs for its requests.
pub(crate) struct Http {
    access: HttpAccess,
    client: Arc<Client>,
    /// Most bytes of the answers to one host call.
    bytes_max: u64,
    /// When the call has to be over; `None`: it need not.
    ends: Option<Instant>,
    /// What has been answered, if that is kept.
    kept: Option<Kept>,
}

impl Http {
    /// One whose answers come from `access`.
    pub(crate) fn new(access: HttpAccess, client: Arc<Client>, bytes_max: u64, keeps: bool) -> Self {
        Http { access, client, bytes_max, ends: None, kept: keeps.then(Kept::default) }
    }

    /// Sets when the call at hand has to be over.
    pub(crate) fn set_end(&mut self, ends: Option<Instant>) {
        self.ends = ends;
    }

    /// The instance has been opened: what was answered so far comes before every call.
    pub(crate) fn opened(&mut self) {
        self.kept.iter_mut().for_each(Kept::opened);
    }

    /// Starts a call.
    pub(crate) fn begin_call(&mut self) {
        self.kept.iter_mut().for_each(Kept::begin_call);
    }

    /// What was answered when the instance was opened and in this call, if that is kept.
    pub(crate) fn answers(&self) -> Vec<Answered> {
        self.kept.as_ref().map(Kept::answers).unwrap_or_default()
    }

    fn send(&mut self, requests: Vec<Request>) -> Result<Vec<HttpAnswer>, HostCallError> {
        if requests.len() > REQUESTS_MAX {
            return Err(HostCallError::TooManyRequests { requests: requests.len(), requests_max: REQUESTS_MAX });
        }
        let digests: Vec<String> = match self.kept {
            Some(_) => requests.iter().map(kept::digest).collect(),
            None => Vec::new(),
        };
        let answers = match &self.access {
            HttpAccess::Hosts(hosts) => {
                let sent = self.client.send(requests, hosts, self.ends, self.bytes_max);
                sent.map_err(HostCallError::NoHttp)?
            }
            HttpAccess::Answers(source) => requests.iter().map(|request| source.answer(request)).collect(),
        };
        if let Some(kept) = &mut self.kept {
            kept.add(digests, &answers);
        }
        answers.map_err(|unanswered| match unanswered {
            Unanswered::TooLate => HostCallError::Unanswered,
            Unanswered::TooMuch => HostCallError::TooMuchReceived { bytes_max: self.bytes_max },
            Unanswered::NotKept => HostCallError::NotKept(kept::NOT_KEPT),
        })
    }
}

impl Host for HostState {
    fn send(&mut self, requests: Vec<Request>) -> wasmtime::Result<Vec<HttpAnswer>> {
        Ok(self.http.send(requests)?)
    }
}
