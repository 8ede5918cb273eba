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
use client::{Prepared, Sent};
use std::sync::Arc;
use std::time::Instant;
use tidewheel_types::http_host::HttpHost;
use wasmtime::Trap;

/// What came of a request, by interface `http`.
pub type HttpAnswer = Result<Response, Problem>;

/// Why there is no answer: the codes of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProblemCode {
    NotGranted = 1,
    NotARequest = 2,
    NotReached = 3,
    TimedOut = 4,
    TooLarge = 5,
}

impl ProblemCode {
    pub(crate) fn with(self, message: impl Into<String>) -> Problem {
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
    /// The answer to a request; an error stops the guest.
    fn answer(&self, request: &Request) -> Result<HttpAnswer, String>;
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

    fn send(&mut self, requests: &[Request]) -> wasmtime::Result<Vec<HttpAnswer>> {
        let answers = match &self.access {
            HttpAccess::Hosts(hosts) => {
                let prepared = requests.iter().map(|request| Prepared::of(request, hosts)).collect();
                match self.client.send(prepared, self.ends, self.bytes_max).map_err(HostCallError::Http)? {
                    Sent::All(answers) => answers,
                    Sent::TooLate => return Err(Trap::Interrupt.into()),
                    Sent::TooMuch => return Err(HostCallError::TooMuchReceived { bytes_max: self.bytes_max }.into()),
                }
            }
            HttpAccess::Answers(source) => {
                let answers: Result<_, _> = requests.iter().map(|request| source.answer(request)).collect();
                answers.map_err(HostCallError::Http)?
            }
        };
        if let Some(kept) = &mut self.kept {
            requests.iter().zip(&answers).for_each(|(request, answer)| kept.add(request, answer));
        }
        Ok(answers)
    }
}

impl Host for HostState {
    fn send(&mut self, requests: Vec<Request>) -> wasmtime::Result<Vec<HttpAnswer>> {
        self.http.send(&requests)
    }
}
