//! The network's side of requests: one client a process, which is started when it is first needed.
//!
//! It does what a request says and nothing besides: it goes to the host itself, whatever proxies the machine has, follows
//! no redirects, keeps no cookies, and unpacks nothing.

use super::{HttpAnswer, ProblemCode, Unanswered};
use crate::bindings::http::{Problem, Request, Response};
use futures::stream::{self, StreamExt, TryStreamExt};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url, redirect};
use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};
use tidewheel_types::http_host::HttpHost;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{timeout, timeout_at};

/// Requests of one host call that are under way at a time.
const CONCURRENT_MAX: usize = 32;

/// Longest time that connecting may take.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Headers of a request, at most; servers do not take many more.
const HEADERS_MAX: usize = 256;

/// Headers that the client sets, or that are between it and the next hop.
const OF_THE_HOST: [&str; 9] =
    ["host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade", "expect"];

/// Sends requests over the network.
#[derive(Default)]
pub(crate) struct Client(Mutex<Option<Arc<Network>>>);

struct Network {
    /// `None` once it has been shut down.
    runtime: Option<Runtime>,
    client: reqwest::Client,
}

/// A request that has been checked.
struct Prepared {
    request: reqwest::Request,
    /// `None`: as long as the call may take.
    timeout: Option<Duration>,
}

impl Prepared {
    /// Checks a request: whether it is one, and goes to one of these hosts.
    fn of(request: Request, hosts: &[HttpHost]) -> Result<Prepared, Problem> {
        let (method, url, headers) = parts(&request)?;
        if !hosts.iter().any(|granted| granted.allows(&url)) {
            let host = HttpHost::of(&url).map(|host| host.to_string()).unwrap_or_default();
            let text = format!("the job does not grant {host}: add \"http:{host}\" to the grants of the operator");
            return Err(ProblemCode::NotGranted.with(text));
        }
        let mut prepared = reqwest::Request::new(method, url);
        *prepared.headers_mut() = headers;
        if !request.body.is_empty() {
            *prepared.body_mut() = Some(request.body.into());
        }
        let timeout_ms = Some(request.timeout_ms).filter(|&timeout_ms| timeout_ms > 0);
        Ok(Prepared { request: prepared, timeout: timeout_ms.map(|ms| Duration::from_millis(ms.into())) })
    }
}

/// What a request consists of, if it is one that can be sent, to whatever host.
pub(super) fn parts(request: &Request) -> Result<(Method, Url, HeaderMap), Problem> {
    let refused = |reason: String| ProblemCode::NotARequest.with(reason);
    // The URL is not told: keys are often in one, and messages go into dead letters.
    let url = Url::parse(&request.url).map_err(|error| refused(format!("the URL cannot be read: {error}")))?;
    if HttpHost::of(&url).is_none() {
        return Err(refused(format!("the scheme of the URL is {:?}, not http or https", url.scheme())));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused("a URL has no user in it here: send an authorization header".to_owned()));
    }
    let method = Method::from_bytes(request.method.as_bytes()).ok().filter(|method| *method != Method::CONNECT);
    let method = method.ok_or_else(|| refused("the method is none of a request".to_owned()))?;
    Ok((method, url, headers(&request.headers)?))
}

fn headers(given: &[(String, String)]) -> Result<HeaderMap, Problem> {
    let refused = |what: String| ProblemCode::NotARequest.with(what);
    if given.len() > HEADERS_MAX {
        return Err(refused(format!("there are {} headers, but there may be {HEADERS_MAX}", given.len())));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let header = HeaderName::from_bytes(name.as_bytes());
        let header = header.map_err(|_| refused("a header has a name that cannot be sent".to_owned()))?;
        if OF_THE_HOST.contains(&header.as_str()) || header.as_str().starts_with("proxy-") {
            return Err(refused(format!("the header {header} is the host's to set")));
        }
        let value = HeaderValue::from_str(value);
        let value = value.map_err(|_| refused(format!("the header {header} has a value that cannot be sent")))?;
        headers.append(header, value);
    }
    Ok(headers)
}

impl Client {
    /// Starts what sends requests, if it is not there yet: a job that cannot have it is not to begin. An error says why.
    pub(crate) fn start(&self) -> Result<(), String> {
        self.network().map(drop)
    }

    fn network(&self) -> Result<Arc<Network>, String> {
        let mut network = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(network) = &*network {
            return Ok(network.clone());
        }
        Ok(network.insert(Arc::new(Network::start()?)).clone())
    }

    /// Sends the requests that go to `hosts`, refuses the others, and waits for all answers until the call `ends`. An error
    /// says why there is no network at all.
    pub(crate) fn send(
        &self,
        requests: Vec<Request>,
        hosts: &[HttpHost],
        ends: Option<Instant>,
        bytes_max: u64,
    ) -> Result<Result<Vec<HttpAnswer>, Unanswered>, String> {
        if hosts.is_empty() {
            let refused = requests.into_iter().filter_map(|request| Prepared::of(request, hosts).err());
            return Ok(Ok(refused.map(Err).collect()));
        }
        let network = self.network()?;
        let (client, hosts, is_one) = (network.client.clone(), hosts.to_vec(), requests.len() == 1);
        let all = async move {
            let room = Room(AtomicU64::new(bytes_max));
            let answers = stream::iter(requests).map(|request| answer(&client, (request, &hosts), &room, is_one));
            answers.buffered(CONCURRENT_MAX).try_collect().await.map_err(|TooMuch| Unanswered::TooMuch)
        };
        let (sender, receiver) = mpsc::channel();
        let task = async move {
            let sent = match ends {
                Some(ends) => timeout_at(ends.into(), all).await.unwrap_or(Err(Unanswered::TooLate)),
                None => all.await,
            };
            // Whoever asked waits.
            let _ = sender.send(sent);
        };
        network.runtime.as_ref().ok_or("the runtime of components has ended")?.spawn(task);
        receiver.recv().map_err(|_| "the thread of requests has ended".to_owned())
    }
}

impl Network {
    fn start() -> Result<Network, String> {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("guest-http").enable_all().build();
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            .connect_timeout(CONNECT_MAX)
            .user_agent(concat!("tidewheel/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Network {
            runtime: Some(runtime.map_err(|error| chain(&error))?),
            client: client.map_err(|error| chain(&error))?,
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
    (request, hosts): (Request, &[HttpHost]),
    room: &Room,
    is_one: bool,
) -> Result<HttpAnswer, TooMuch> {
    let Prepared { request, timeout: longest } = match Prepared::of(request, hosts) {
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
