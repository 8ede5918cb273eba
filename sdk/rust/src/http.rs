//! Requests over HTTP, to hosts that the job grants the operator with `grants = ["http:HOST"]` in its table.
//!
//! A call of the operator waits for the answers, and its worker with it; so ask for what a batch needs by [`send_all`], and
//! keep in state what need not be asked again. A call that is made again, after a crash or in smaller batches, sends its
//! requests again: send none that must not come twice.
//!
//! ```
//! use tidewheel::http::{Request, Response};
//! use tidewheel::{Context, Json, Record, Result, Stateless, Text, harness, operator};
//!
//! #[operator(stateless)]
//! struct InEuros;
//!
//! impl Stateless for InEuros {
//!     type In = Text;
//!     type Out = Json<f64>;
//!
//!     fn process(&mut self, currency: Record<&str>, ctx: &mut Context<Self>) -> Result<()> {
//!         let rate = Request::get(format!("https://rates.example.org/{}", *currency)).send()?;
//!         ctx.emit(rate.json::<f64>()?);
//!         Ok(())
//!     }
//! }
//!
//! harness::answer_http(|request| match request.url.as_str() {
//!     "https://rates.example.org/usd" => Ok(Response::new(200, "0.93")),
//!     _ => Ok(Response::new(404, "")),
//! });
//! let mut harness = harness::Harness::<InEuros>::new();
//! harness.send_all(["usd", "doubloon"].map(|currency| ("", tidewheel::EventTime(0), currency)));
//! assert_eq!(harness.outputs(), [0.93]);
//! assert_eq!(harness.rejected().len(), 1);
//! ```

use crate::host;
use crate::wit::keyed::tidewheel::operator::http as wit;
use serde::de::DeserializeOwned;
use std::fmt;
use std::time::Duration;

/// How long a request waits for its answer if it does not say.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(1);

/// A request. It goes to the host of its URL and nowhere else: redirects are answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `POST`, and so on.
    pub method: String,
    /// With scheme `http` or `https`, and no user in it.
    pub url: String,
    /// Names and values, in order.
    pub headers: Vec<(String, String)>,
    /// What is sent; empty: nothing.
    pub body: Vec<u8>,
    /// How long to wait for the whole answer, to the millisecond. `None`: as long as the call may take, by its deadline; then
    /// the call ends, and is made again later with fewer records, until in the end the job fails.
    pub timeout: Option<Duration>,
}

impl Request {
    /// A request with this method.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Request {
        let (method, url) = (method.into(), url.into());
        Request { method, url, headers: Vec::new(), body: Vec::new(), timeout: Some(TIMEOUT_DEFAULT) }
    }

    /// `GET url`.
    pub fn get(url: impl Into<String>) -> Request {
        Request::new("GET", url)
    }

    /// `POST url`, with this body.
    pub fn post(url: impl Into<String>, body: impl Into<Vec<u8>>) -> Request {
        Request { body: body.into(), ..Request::new("POST", url) }
    }

    /// With a header more.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Request {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// With another timeout.
    pub fn timeout(self, timeout: Duration) -> Request {
        Request { timeout: Some(timeout), ..self }
    }

    /// Sends it, and waits for the answer.
    pub fn send(self) -> Result<Response, HttpError> {
        let mut answers = send_all([self]);
        answers.pop().unwrap_or_else(|| Err(HttpError { kind: HttpErrorKind::Other, message: "no answer".to_owned() }))
    }
}

/// Sends requests, some of them at once, and waits for the answers, which are in order of the requests.
pub fn send_all(requests: impl IntoIterator<Item = Request>) -> Vec<Result<Response, HttpError>> {
    let requests: Vec<wit::Request> = requests.into_iter().map(wit::Request::from).collect();
    let answers = host::send_http(&requests);
    answers.into_iter().map(|answer| answer.map(Response::from).map_err(HttpError::from)).collect()
}

/// An answer, of whatever status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// 200, 404, and so on.
    pub status: u16,
    /// Names, in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// What was sent.
    pub body: Vec<u8>,
}

impl Response {
    /// One without headers, as a test answers.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Response {
        Response { status, headers: Vec::new(), body: body.into() }
    }

    /// Whether the status is one from 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first header of this name, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(of, _)| of == name).map(|(_, value)| value.as_str())
    }

    /// The body as text, if it is UTF-8 and the status one of success.
    pub fn text(&self) -> Result<&str, HttpError> {
        let body = self.success()?;
        std::str::from_utf8(body).map_err(|error| self.unreadable(&error))
    }

    /// The body read as JSON, if the status is one of success.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, HttpError> {
        serde_json::from_slice(self.success()?).map_err(|error| self.unreadable(&error))
    }

    fn success(&self) -> Result<&[u8], HttpError> {
        match self.is_success() {
            true => Ok(&self.body),
            false => Err(HttpError { kind: HttpErrorKind::Status, message: format!("answered with {}", self.status) }),
        }
    }

    fn unreadable(&self, error: &dyn fmt::Display) -> HttpError {
        HttpError { kind: HttpErrorKind::Body, message: format!("the answer cannot be read: {error}") }
    }
}

/// Why there is no answer, or none that can be used. Returned from `process` by `?`, it rejects the record at hand; where the
/// host may be back soon, [`Error::retry_later`](crate::Error::retry_later) has the whole call made again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpError {
    /// What kind.
    pub kind: HttpErrorKind,
    /// The same for people.
    pub message: String,
}

/// Kinds of [`HttpError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HttpErrorKind {
    /// The job does not grant the host.
    NotGranted,
    /// The request is none that can be sent.
    NotARequest,
    /// The host was not reached, or broke off.
    NotReached,
    /// The timeout has passed.
    TimedOut,
    /// The body is larger than what a call may give.
    TooLarge,
    /// The answer does not have a status of success, and it was asked for the body.
    Status,
    /// The body is not what it was read as.
    Body,
    /// Anything else.
    Other,
}

impl HttpErrorKind {
    /// The kinds that the contract has numbers for.
    const CODES: [(u32, HttpErrorKind); 5] = [
        (1, HttpErrorKind::NotGranted),
        (2, HttpErrorKind::NotARequest),
        (3, HttpErrorKind::NotReached),
        (4, HttpErrorKind::TimedOut),
        (5, HttpErrorKind::TooLarge),
    ];
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for HttpError {}

impl From<Request> for wit::Request {
    fn from(request: Request) -> Self {
        let Request { method, url, headers, body, timeout } = request;
        // 0 means that there is none.
        let timeout_ms = timeout.map_or(0, |timeout| u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX).max(1));
        wit::Request { method, url, headers, body, timeout_ms }
    }
}

impl From<wit::Request> for Request {
    fn from(request: wit::Request) -> Self {
        let wit::Request { method, url, headers, body, timeout_ms } = request;
        let timeout = (timeout_ms > 0).then(|| Duration::from_millis(timeout_ms.into()));
        Request { method, url, headers, body, timeout }
    }
}

impl From<wit::Response> for Response {
    fn from(response: wit::Response) -> Self {
        let wit::Response { status, headers, body } = response;
        Response { status, headers, body }
    }
}

impl From<Response> for wit::Response {
    fn from(response: Response) -> Self {
        let Response { status, headers, body } = response;
        wit::Response { status, headers, body }
    }
}

impl From<wit::Problem> for HttpError {
    fn from(problem: wit::Problem) -> Self {
        let known = HttpErrorKind::CODES.iter().find(|(code, _)| *code == problem.code);
        HttpError { kind: known.map_or(HttpErrorKind::Other, |(_, kind)| *kind), message: problem.message }
    }
}

impl From<HttpError> for wit::Problem {
    fn from(error: HttpError) -> Self {
        let code = HttpErrorKind::CODES.iter().find(|(_, kind)| *kind == error.kind);
        wit::Problem { code: code.map_or(0, |(code, _)| *code), message: error.message }
    }
}

#[cfg(test)]
mod tests {
    use super::{HttpErrorKind, Request, Response, send_all};
    use crate::harness;
    use std::time::Duration;

    #[test]
    fn what_is_not_answered_is_not_granted() {
        let error = Request::get("http://example.org/").send().unwrap_err();
        assert_eq!(error.kind, HttpErrorKind::NotGranted);
    }

    #[test]
    fn requests_are_answered_in_order() {
        harness::answer_http(|request| {
            assert_eq!(request.timeout, Some(Duration::from_millis(1)), "less is a millisecond all the same");
            Ok(Response::new(201, format!("{} {}", request.method, request.url)))
        });
        let requests = ["a", "b"].map(|url| Request::post(url, "x").timeout(Duration::from_micros(10)));
        let answers = send_all(requests).into_iter().map(|answer| answer.unwrap().text().unwrap().to_owned());
        assert_eq!(answers.collect::<Vec<_>>(), ["POST a", "POST b"]);
    }

    #[test]
    fn a_body_is_read_of_success_only() {
        assert_eq!(Response::new(200, "[1, 2]").json::<Vec<u8>>().unwrap(), [1, 2]);
        let error = Response::new(503, "[1, 2]").json::<Vec<u8>>().unwrap_err();
        assert_eq!((error.kind, error.to_string().as_str()), (HttpErrorKind::Status, "answered with 503"));
        assert_eq!(Response::new(200, "{").json::<u8>().unwrap_err().kind, HttpErrorKind::Body);
        assert_eq!(Response::new(200, [0xff]).text().unwrap_err().kind, HttpErrorKind::Body);
        let headers = vec![("etag".to_owned(), "x".to_owned())];
        assert_eq!(Response { headers, ..Response::new(200, "") }.header("etag"), Some("x"));
    }
}
