//! Requests over HTTP from a real guest to a real server: what is granted, what comes back, and what ends a call.

use crate::guests::{CALL, component, path, process, records, runtime, settings, trap, values};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tidewheel_guest::{
    CallShape, Capsule, Export, GuestError, HttpAccess, Instance, InstanceSettings, Limits, TrapCause,
};
use tidewheel_types::http_host::HttpHost;

/// Requests that `/count` has had.
static COUNTED: AtomicUsize = AtomicUsize::new(0);

/// Requests that are with `/together`, and the most there were at once.
static TOGETHER: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];

async fn together() {
    let [now, most] = &TOGETHER;
    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(20)).await;
    now.fetch_sub(1, Ordering::SeqCst);
}

/// What the server answers.
async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let header = |name: &str| request.headers().get(name).map_or("-", |value| value.to_str().unwrap()).to_owned();
    let (method, uri, asked, agent) =
        (request.method().clone(), request.uri().clone(), header("x-asked"), header("user-agent"));
    let response = Response::builder();
    let (response, body) = match uri.path().strip_prefix("/bytes/") {
        Some(count) => (response, "x".repeat(count.parse().unwrap())),
        None => match uri.path() {
            "/echo" => {
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let agent = agent.split('/').next().unwrap();
                let told = format!("{method} {uri} {agent} {}", String::from_utf8_lossy(&body));
                (response.header("x-asked", asked), told)
            }
            "/away" => (response.status(302).header("location", "/echo").header("x-to", "/echo"), String::new()),
            "/never" => std::future::pending().await,
            "/together" => {
                together().await;
                (response, String::new())
            }
            "/count" => (response, COUNTED.fetch_add(1, Ordering::SeqCst).to_string()),
            _ => (response.status(404), "it is not there".to_owned()),
        },
    };
    Ok(response.body(Full::from(body)).unwrap())
}

/// The server that all tests share.
fn server() -> SocketAddr {
    static SERVER: OnceLock<SocketAddr> = OnceLock::new();
    *SERVER.get_or_init(|| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                loop {
                    let (socket, _) = listener.accept().await.unwrap();
                    let http = hyper::server::conn::http1::Builder::new();
                    tokio::spawn(http.serve_connection(TokioIo::new(socket), service_fn(answer)));
                }
            });
        });
        address
    })
}

fn url(path: &str) -> String {
    format!("http://{}{path}", server())
}

fn guest_with(config: &str, limits: Limits) -> Result<Instance, GuestError> {
    let http = HttpAccess::Hosts(vec![HttpHost::parse(&server().to_string()).unwrap()]);
    let config = format!("{config:?}");
    component("requests").instantiate(InstanceSettings { http, limits, config, ..settings("requests") })
}

fn guest() -> Instance {
    guest_with("", Limits::default()).unwrap()
}

/// What came of these requests, sent in one call.
fn ask(guest: &mut Instance, requests: &[String]) -> Result<Vec<String>, GuestError> {
    let requests: Vec<_> = requests.iter().map(|request| request.as_bytes()).collect();
    let output = process(guest, &requests)?;
    Ok(values(&output).into_iter().map(|value| String::from_utf8(value).unwrap()).collect())
}

#[test]
fn requests_are_sent_as_they_are_and_answered_in_order() {
    let requests = [
        format!("GET {}", url("/echo?a=b")),
        format!("POST {} x-asked:yes body=hello", url("/echo")),
        format!("GET {}", url("/missing")),
        format!("GET {}", url("/away")),
        format!("PATCH {}", url("/echo#part")),
    ];
    let answers = ask(&mut guest(), &requests).unwrap();
    assert_eq!(
        answers,
        [
            "200 x-asked=- GET /echo?a=b tidewheel ",
            "200 x-asked=yes POST /echo tidewheel hello",
            "404 it is not there",
            "302 x-to=/echo ",
            "200 x-asked=- PATCH /echo tidewheel ",
        ],
        "no redirect is followed"
    );
}

#[test]
fn what_is_not_granted_is_refused_without_a_word_to_anybody() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let other = listener.local_addr().unwrap();
    let port = server().port();
    let requests = [
        format!("GET http://{other}/"),
        format!("GET http://localhost:{port}/echo"),
        format!("GET http://127.0.0.1:{port}@{other}/"),
        format!("GET https://{other}/"),
        "GET file:///etc/passwd".to_owned(),
        "GET /echo".to_owned(),
        format!("CONNECT {}", url("/echo")),
        format!("GE\u{7f}T {}", url("/echo")),
        format!("GET {} host:other", url("/echo")),
        format!("GET {} proxy-authorization:x", url("/echo")),
        format!("GET {} x-a:b\r\nx-c:d", url("/echo")),
        format!("GET http://user@{}/echo", server()),
        format!("GET {}{}", url("/echo"), " a:b".repeat(257)),
    ];
    let answers = ask(&mut guest(), &requests).unwrap();
    let codes: Vec<&str> = answers.iter().map(|answer| &answer[..answer.find(':').unwrap()]).collect();
    let (not_granted, no_request) = ("problem 1", "problem 2");
    let mut expected = vec![not_granted; 2];
    // The user comes before the host.
    expected.extend([no_request, not_granted]);
    expected.extend([no_request; 9]);
    assert_eq!(codes, expected, "{answers:#?}");
    assert_eq!(
        answers[0],
        format!("problem 1: the job does not grant {other}: add \"http:{other}\" to the grants of the operator")
    );
    assert!(listener.accept().is_err(), "nobody has come");
    let mut nothing = component("requests").instantiate(settings("requests")).unwrap();
    let answers = ask(&mut nothing, &[format!("GET {}", url("/echo"))]).unwrap();
    assert!(answers[0].starts_with("problem 1"), "{answers:?}");
}

#[test]
fn a_host_that_is_not_there_is_a_problem() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let http = HttpAccess::Hosts(vec![HttpHost::parse(&format!("127.0.0.1:{port}")).unwrap()]);
    let mut guest = component("requests").instantiate(InstanceSettings { http, ..settings("requests") }).unwrap();
    let answers = ask(&mut guest, &[format!("GET http://127.0.0.1:{port}/")]).unwrap();
    assert!(answers[0].starts_with("problem 3: ") && answers[0].contains("refused"), "{answers:?}");
}

#[test]
fn a_timeout_is_a_problem_and_the_deadline_ends_the_call() {
    let answers = ask(&mut guest(), &[format!("GET {} timeout=30", url("/never")), format!("GET {}", url("/echo"))]);
    let answers = answers.unwrap();
    assert_eq!(answers[0], "problem 4: there was no whole answer within 30 ms");
    assert!(answers[1].starts_with("200"), "{answers:?}");

    let mut guest = guest_with("", Limits { deadline_ms_max: 100, ..Limits::default() }).unwrap();
    let started = Instant::now();
    let error = ask(&mut guest, &[format!("GET {}", url("/never"))]).map(drop).unwrap_err();
    assert!(error.waited());
    assert_eq!(trap::<()>(Err(error)).cause, TrapCause::Unanswered { deadline_ms_max: 100 });
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert!(ask(&mut guest, &[format!("GET {}", url("/echo"))]).is_ok(), "the next call is not held up");
}

#[test]
fn answers_have_the_limit_of_output() {
    let limits = Limits { output_bytes_max: 10_000, ..Limits::default() };
    let mut guest = guest_with("", limits).unwrap();
    let get = |bytes: usize| format!("GET {}", url(&format!("/bytes/{bytes}")));
    assert!(ask(&mut guest, &[get(4_000), get(4_000)]).is_ok());
    let trapped = trap(ask(&mut guest, &[get(6_000), get(6_000)]));
    assert_eq!(trapped.cause, TrapCause::Received { output_bytes_max: 10_000 });
    let answers = ask(&mut guest, &[get(20_000)]).unwrap();
    assert_eq!(answers, ["problem 5: the body is larger than what a call may give"]);
}

#[test]
fn some_are_sent_at_a_time() {
    let requests: Vec<_> = (0..100).map(|_| format!("GET {}", url("/together"))).collect();
    assert_eq!(ask(&mut guest(), &requests).unwrap().len(), 100);
    let most = TOGETHER[1].load(Ordering::SeqCst);
    assert!((2..=32).contains(&most), "{most} at once");
}

#[test]
fn a_host_call_sends_only_so_many_requests() {
    let requests: Vec<_> = (0..10_001).map(|_| "GET file:///".to_owned()).collect();
    let mut guest = guest_with("", Limits { deadline_ms_max: 60_000, ..Limits::default() }).unwrap();
    let trapped = trap(ask(&mut guest, &requests));
    let reason = "http: 10001 requests are sent in one host call, but there may be 10000";
    assert_eq!(trapped.cause, TrapCause::Illegal(reason.to_owned()));
    assert_eq!(ask(&mut guest, &requests[1..]).unwrap().len(), 10_000);
}

/// A call that ended without an answer ends in the same way when it is made again, where nobody waits.
#[test]
fn a_capsule_knows_that_there_was_no_answer() {
    let shape = CallShape { records: 1, ..CallShape::default() };
    let limits = Limits { deadline_ms_max: 300, output_bytes_max: 10_000, ..Limits::default() };
    let mut guest = guest_with("", limits).unwrap();
    guest.keep_answers(true);
    let big = format!("GET {}", url("/bytes/6000"));
    for requests in [vec![format!("GET {}", url("/never"))], vec![big.clone(), big]] {
        let frame = records(&requests.iter().map(|request| request.as_bytes()).collect::<Vec<_>>());
        let error = ask(&mut guest, &requests).map(drop).unwrap_err();
        let shape = CallShape { records: requests.len() as u32, ..shape };
        let capsule = guest.capsule((Export::Process, CALL, shape), &frame, &error, ("job", "in:1".to_owned()));
        let read = Capsule::from_bytes(&capsule.to_bytes()).unwrap();
        let again = read.replay(&component("requests"), Vec::new()).map(drop).unwrap_err();
        assert_eq!(again.to_string(), error.to_string());
    }
}

/// Made again, the call asks nobody: a counter at the server would show it.
#[test]
fn a_capsule_has_the_answers() {
    let shape = CallShape { records: 1, ..CallShape::default() };
    let mut guest = guest_with(&url("/count"), Limits::default()).unwrap();
    guest.keep_answers(true);
    let good = ask(&mut guest, &[format!("GET {}", url("/count"))]).unwrap();
    let value = format!("fail GET {} authorization:secret", url("/count"));
    let error = ask(&mut guest, std::slice::from_ref(&value)).map(drop).unwrap_err();
    let counted = COUNTED.load(Ordering::SeqCst);
    assert!(counted >= 4, "one answered when it was opened, and one before: {good:?}");
    let frame = records(&[value.as_bytes()]);
    let capsule = guest.capsule((Export::Process, CALL, shape), &frame, &error, ("job", "in:1".to_owned()));
    let bytes = capsule.to_bytes();
    let read = Capsule::from_bytes(&bytes).unwrap();
    let again = read.replay(&runtime().load(&path("requests")).unwrap(), Vec::new()).map(drop).unwrap_err();
    assert_eq!(again.to_string(), error.to_string());
    assert!(error.to_string().contains("told to fail by 200 "), "{error}");
    assert_eq!(COUNTED.load(Ordering::SeqCst), counted);
    let end = bytes.iter().position(|&byte| byte == b'\n').unwrap();
    assert!(!String::from_utf8_lossy(&bytes[..end]).contains("secret"), "headers are not kept");
}
