//! The network's side of requests: one client a process, which is started when it is first needed.
//!
//! It does what a request says and nothing besides: it follows no redirects, keeps no cookies, and unpacks nothing.

use super::{HttpAnswer, ProblemCode};
use crate::bindings::http::{Problem, Request, Response};
use futures::stream::{self, StreamExt, TryStreamExt};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url, redirect};
use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::{Duration, Instant};
use tidewheel_types::http_host::HttpHost;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{timeout, timeout_at};

/// Requests of one host call that are under way at a time.
const CONCURRENT_MAX: usize = 32;

/// Longest time that connecting may take.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Headers that the client sets, or that are between it and the next hop.
const OF_THE_HOST: [&str; 9] =
    ["host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade", "expect"];

/// Sends requests over the network.
#[derive(Default)]
pub(crate) struct Client(OnceLock<Result<Network, String>>);

struct Network {
    /// `None` once it has been shut down.
    runtime: Option<Runtime>,
    client: reqwest::Client,
}

/// What came of the requests of a host call.
pub(crate) enum Sent {
    /// An answer for each.
    All(Vec<HttpAnswer>),
    /// The call had to be over before that.
    TooLate,
    /// The answers are too large together.
    TooMuch,
}

/// A request that has been checked.
pub(crate) struct Prepared {
    request: reqwest::Request,
    /// `None`: as long as the call may take.
    timeout: Option<Duration>,
}

impl Prepared {
    /// Checks a request: whether it is one, and goes to one of these hosts.
    pub(crate) fn of(request: &Request, hosts: &[HttpHost]) -> Result<Prepared, Problem> {
        let refused = |reason: String| ProblemCode::NotARequest.with(reason);
        let url = Url::parse(&request.url).map_err(|error| refused(format!("{:?} is no URL: {error}", request.url)))?;
        let Some(host) = HttpHost::of(&url) else {
            return Err(refused(format!("{:?} is a URL of another scheme than http and https", request.url)));
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused("a URL has no user in it here: send an authorization header".to_owned()));
        }
        if !hosts.iter().any(|granted| granted.allows(&url)) {
            let text = format!("the job does not grant {host}: add \"http:{host}\" to the grants of the operator");
            return Err(ProblemCode::NotGranted.with(text));
        }
        let method = Method::from_bytes(request.method.as_bytes()).ok().filter(|method| *method != Method::CONNECT);
        let method = method.ok_or_else(|| refused(format!("{:?} is no method of a request", request.method)))?;
        let mut prepared = reqwest::Request::new(method, url);
        *prepared.headers_mut() = headers(&request.headers)?;
        if !request.body.is_empty() {
            *prepared.body_mut() = Some(request.body.clone().into());
        }
        let timeout_ms = Some(request.timeout_ms).filter(|&timeout_ms| timeout_ms > 0);
        Ok(Prepared { request: prepared, timeout: timeout_ms.map(|ms| Duration::from_millis(ms.into())) })
    }
}

fn headers(given: &[(String, String)]) -> Result<HeaderMap, Problem> {
    let mut headers = HeaderMap::with_capacity(given.len());
    for (name, value) in given {
        let refused = |what: &str| ProblemCode::NotARequest.with(format!("the header {name:?} {what}"));
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refused("has no name that can be sent"))?;
        if OF_THE_HOST.contains(&header.as_str()) || header.as_str().starts_with("proxy-") {
            return Err(refused("is the host's to set"));
        }
        let value = HeaderValue::from_str(value).map_err(|_| refused("has a value that cannot be sent"))?;
        headers.append(header, value);
    }
    Ok(headers)
}

impl Client {
    /// Sends requests, but for those that were refused, and waits for their answers until the call `ends`. An error says
    /// why there is no network at all.
    pub(crate) fn send(
        &self,
        requests: Vec<Result<Prepared, Problem>>,
        ends: Option<Instant>,
        bytes_max: u64,
    ) -> Result<Sent, String> {
        if requests.iter().all(Result::is_err) {
            return Ok(Sent::All(requests.into_iter().filter_map(Result::err).map(Err).collect()));
        }
        let Network { runtime, client } = self.0.get_or_init(Network::start).as_ref().map_err(String::clone)?;
        let (client, is_one) = (client.clone(), requests.len() == 1);
        let all = async move {
            let room = Arc::new(Room(AtomicU64::new(bytes_max)));
            let answers = stream::iter(requests).map(|request| answer(&client, request, &room, is_one));
            answers.buffered(CONCURRENT_MAX).try_collect().await.map_or(Sent::TooMuch, Sent::All)
        };
        let (sender, receiver) = mpsc::channel();
        let task = async move {
            let sent = match ends {
                Some(ends) => timeout_at(ends.into(), all).await.unwrap_or(Sent::TooLate),
                None => all.await,
            };
            // Whoever asked waits.
            let _ = sender.send(sent);
        };
        runtime.as_ref().ok_or("the runtime of components has ended")?.spawn(task);
        receiver.recv().map_err(|_| "the thread of requests has ended".to_owned())
    }
}

impl Network {
    fn start() -> Result<Network, String> {
        let failed = |error: &dyn Error| format!("requests cannot be sent: {}", chain(error));
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("guest-http").enable_all().build();
        let client = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .referer(false)
            .connect_timeout(CONNECT_MAX)
            .user_agent(concat!("tidewheel/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Network {
            runtime: Some(runtime.map_err(|error| failed(&error))?),
            client: client.map_err(|error| failed(&error))?,
        })
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // Without waiting: what is under way, nobody waits for.
        self.runtime.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

/// Room for the answers of a host call.
struct Room(AtomicU64);

impl Room {
    /// Whether there was room for so many bytes more, which are then taken.
    fn take(&self, bytes: usize) -> bool {
        let taken = |room: u64| room.checked_sub(bytes as u64);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    }
}

/// The answers are larger than the room for them.
struct TooMuch;

/// The answer to one request; one that `is_one` alone may have too large a body.
async fn answer(
    client: &reqwest::Client,
    request: Result<Prepared, Problem>,
    room: &Room,
    is_one: bool,
) -> Result<HttpAnswer, TooMuch> {
    let Prepared { request, timeout: longest } = match request {
        Ok(prepared) => prepared,
        Err(refused) => return Ok(Err(refused)),
    };
    let received = receive(client, request, room);
    let received = match longest {
        None => received.await,
        Some(longest) => timeout(longest, received).await.unwrap_or_else(|_| {
            let text = format!("there was no whole answer within {} ms", longest.as_millis());
            Ok(Err(ProblemCode::TimedOut.with(text)))
        }),
    };
    match received {
        Err(TooMuch) if is_one => Ok(Err(ProblemCode::TooLarge.with("the body is larger than what a call may give"))),
        received => received,
    }
}

async fn receive(client: &reqwest::Client, request: reqwest::Request, room: &Room) -> Result<HttpAnswer, TooMuch> {
    let broken = |error: reqwest::Error| ProblemCode::NotReached.with(chain(&error.without_url()));
    let mut answer = match client.execute(request).await {
        Ok(answer) => answer,
        Err(error) => return Ok(Err(broken(error))),
    };
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers: Vec<_> = answer.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    if !room.take(headers.iter().map(|(name, value)| name.len() + value.len()).sum()) {
        return Err(TooMuch);
    }
    let (status, mut body) = (answer.status().as_u16(), Vec::new());
    loop {
        match answer.chunk().await {
            Ok(Some(chunk)) if room.take(chunk.len()) => body.extend_from_slice(&chunk),
            Ok(Some(_)) => return Err(TooMuch),
            Ok(None) => return Ok(Ok(Response { status, headers, body })),
            Err(error) => return Ok(Err(broken(error))),
        }
    }
}

/// An error with what it came of, in one line.
fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |&error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
